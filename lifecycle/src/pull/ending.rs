//! How pulls end: outcomes, and the closed set of reasons for failures with one line of help for each.

use std::str::FromStr;

use super::{TimingSource, UnknownWordError};
use crate::time::Timestamp;

/// How a pull ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image is usable on the node; claimed only with proof.
    Ready,
    /// It ended without the image, by an error.
    Failed(Failure),
    /// It ended without the image, because whoever asked for it took the request back.
    Canceled,
    /// Nobody knows: runtime or agent fell silent. The only outcome that a later word may replace.
    Lost,
}

impl Outcome {
    /// The words of all outcomes.
    pub const WORDS: [&str; 4] = ["ready", "failed", "canceled", "lost"];

    /// The word on every surface.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Failed(_) => "failed",
            Self::Canceled => "canceled",
            Self::Lost => "lost",
        }
    }
}

/// What went wrong: a class that can be counted, and the evidence in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of a closed set.
    pub class: ErrorClass,
    /// The original text where there is one, else what was observed.
    pub message: String,
}

/// The end of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub at: Timestamp,
    /// How exactly `at` is known.
    pub source: TimingSource,
}

/// The closed set of reasons why pulls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is explained by its hint")]
pub enum ErrorClass {
    NotFound,
    Unauthorized,
    Forbidden,
    RateLimited,
    RegistryUnavailable,
    Dns,
    Tls,
    Connection,
    Timeout,
    DigestMismatch,
    NoSpace,
    PlatformMismatch,
    InvalidImageName,
    Signature,
    Unpack,
    Canceled,
    RuntimeUnavailable,
    Other,
}

impl ErrorClass {
    /// All classes, in the order of the contract.
    pub const ALL: [Self; 18] = [
        Self::NotFound,
        Self::Unauthorized,
        Self::Forbidden,
        Self::RateLimited,
        Self::RegistryUnavailable,
        Self::Dns,
        Self::Tls,
        Self::Connection,
        Self::Timeout,
        Self::DigestMismatch,
        Self::NoSpace,
        Self::PlatformMismatch,
        Self::InvalidImageName,
        Self::Signature,
        Self::Unpack,
        Self::Canceled,
        Self::RuntimeUnavailable,
        Self::Other,
    ];

    /// The word on every surface, also `error.type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::RateLimited => "rate_limited",
            Self::RegistryUnavailable => "registry_unavailable",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::DigestMismatch => "digest_mismatch",
            Self::NoSpace => "no_space",
            Self::PlatformMismatch => "platform_mismatch",
            Self::InvalidImageName => "invalid_image_name",
            Self::Signature => "signature",
            Self::Unpack => "unpack",
            Self::Canceled => "canceled",
            Self::RuntimeUnavailable => "runtime_unavailable",
            Self::Other => "other",
        }
    }

    /// One line for people: what usually helps.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NotFound => "Check the image's name and tag; the registry does not have it.",
            Self::Unauthorized => "Sign in: the registry wants credentials, or refused those it got.",
            Self::Forbidden => "These credentials may not read this repository; ask for access.",
            Self::RateLimited => "Slow down pulls or sign in to raise the limit.",
            Self::RegistryUnavailable => "The registry answers with errors; check its health, then retry.",
            Self::Dns => "The node cannot resolve the registry's name; check the node's DNS.",
            Self::Tls => "The node does not trust the registry's certificate; check its CA and the clock.",
            Self::Connection => "The connection to the registry broke; check network, proxy and firewall.",
            Self::Timeout => "No byte for too long; check the path to the registry and its load.",
            Self::DigestMismatch => "Bytes arrived damaged; suspect a proxy or mirror in between, then retry.",
            Self::NoSpace => "The node's disk is full; free space or enlarge it.",
            Self::PlatformMismatch => "The image has no variant for this node's architecture.",
            Self::InvalidImageName => "The image's name is not valid; correct it where it is written.",
            Self::Signature => "The image's signature was refused by the node's policy.",
            Self::Unpack => "All bytes came, unpacking failed; check the node's disk and snapshotter.",
            Self::Canceled => "Whoever asked for the image took the request back.",
            Self::RuntimeUnavailable => "containerd stopped or restarted during the pull; it is usually tried again.",
            Self::Other => "See the node's containerd log and the pod's events for the reason.",
        }
    }
}

impl FromStr for ErrorClass {
    type Err = UnknownWordError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|class| class.as_str() == word).ok_or(UnknownWordError)
    }
}
