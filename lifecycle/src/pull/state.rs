//! Where a running pull stands: its phase, and beside it the wait that explains why no byte moves.

use std::str::FromStr;

use serde::Serialize;
use thiserror::Error;

use super::PullId;
use crate::{image::Digest, time::Timestamp};

/// Most waits that are remembered of one pull.
pub const MAX_WAITS: usize = 32;

/// How far a pull has come. An outcome is not a phase: a finished pull keeps the phase that it had reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The node has not begun; known from pods only.
    Queued,
    /// Name, manifest and plan are being found.
    Resolving,
    /// At least one layer that is to be fetched is not complete.
    Downloading,
    /// Every byte is here and at least one layer is not unpacked.
    Unpacking,
}

impl Phase {
    /// All of them, in the order in which a pull passes through them.
    pub const ALL: [Self; 4] = [Self::Queued, Self::Resolving, Self::Downloading, Self::Unpacking];

    /// The word on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Resolving => "resolving",
            Self::Downloading => "downloading",
            Self::Unpacking => "unpacking",
        }
    }
}

impl FromStr for Phase {
    type Err = UnknownWordError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word).ok_or(UnknownWordError)
    }
}

/// Why no byte moves, beside the phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// containerd's limit of concurrent downloads is used up by others.
    DownloadSlot {
        /// When the waiting began.
        since: Timestamp,
    },
    /// Another pull downloads or unpacks a layer that both need.
    LayerLock {
        /// When the waiting began.
        since: Timestamp,
        /// The pull that holds the layer.
        holder: PullId,
        /// The layer both need.
        layer: Digest,
    },
    /// No byte arrived for longer than the link's speed explains.
    Stalled {
        /// When the last byte arrived.
        since: Timestamp,
    },
    /// containerd lost the connection and tries again.
    Retrying {
        /// When the connection was lost.
        since: Timestamp,
    },
}

impl Wait {
    /// The words of all waits.
    pub const WORDS: [&str; 4] = ["download_slot", "layer_lock", "stalled", "retrying"];

    /// The word on every surface.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::DownloadSlot { .. } => "download_slot",
            Self::LayerLock { .. } => "layer_lock",
            Self::Stalled { .. } => "stalled",
            Self::Retrying { .. } => "retrying",
        }
    }

    /// When the waiting began.
    pub const fn since(&self) -> Timestamp {
        match self {
            Self::DownloadSlot { since } | Self::LayerLock { since, .. } | Self::Stalled { since } | Self::Retrying { since } => {
                *since
            }
        }
    }
}

/// A wait that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waited {
    /// What was waited for, and since when.
    pub wait: Wait,
    /// When it was over.
    pub until: Timestamp,
}

/// How a time became known, best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimingSource {
    /// From one of containerd's events.
    Event,
    /// From a time that containerd recorded (`startedat`, `created_at`).
    Record,
    /// Between two looks; late by at most the time between them.
    Poll,
    /// Concluded from something else.
    #[default]
    Inferred,
}

impl TimingSource {
    /// All sources, best first.
    pub const ALL: [Self; 4] = [Self::Event, Self::Record, Self::Poll, Self::Inferred];

    /// The word on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Record => "record",
            Self::Poll => "poll",
            Self::Inferred => "inferred",
        }
    }
}

impl FromStr for TimingSource {
    type Err = UnknownWordError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|source| source.as_str() == word).ok_or(UnknownWordError)
    }
}

/// A word outside a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not one of the known words")]
pub struct UnknownWordError;
