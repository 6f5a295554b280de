//! What is refused, and why: one record of a request, or bytes that are no request at all. The reasons are a closed set, so that they
//! can label a metric; the first refusal of a request also says in words what was wrong, for the answer to its sender.

use std::{collections::BTreeMap, fmt};

use thiserror::Error;

use super::Signal;
use crate::names;

/// Why one record, span or report was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its bytes are not what its place demands.
    Malformed,
    /// Something that must be there is not.
    Missing,
    /// An attribute is of another type than the dialect says.
    WrongType,
    /// A word outside a closed set.
    UnknownWord,
    /// A trace id or span id of another length than 16 or 8 bytes, or all zero.
    BadId,
    /// A text that is no content digest.
    BadDigest,
    /// A text that is no name of an image or of a node.
    BadName,
    /// A negative or implausibly large number, or more bytes fetched than there are.
    OutOfRange,
    /// A time of zero, or an end before its start.
    BadTime,
    /// Arrays that describe the same layers and differ in length.
    UnequalLengths,
    /// More layers than [`MAX_LAYERS`](super::MAX_LAYERS).
    TooManyLayers,
    /// A text longer than [`MAX_TEXT`](super::MAX_TEXT) or [`MAX_MESSAGE`](super::MAX_MESSAGE).
    TooLong,
    /// More reports than [`MAX_REPORTS`](super::MAX_REPORTS), or attributes than [`MAX_ATTRIBUTES`](super::MAX_ATTRIBUTES).
    TooMany,
    /// It speaks for another node than its sender may.
    ForeignNode,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Malformed,
        Self::Missing,
        Self::WrongType,
        Self::UnknownWord,
        Self::BadId,
        Self::BadDigest,
        Self::BadName,
        Self::OutOfRange,
        Self::BadTime,
        Self::UnequalLengths,
        Self::TooManyLayers,
        Self::TooLong,
        Self::TooMany,
        Self::ForeignNode,
    ];

    /// The word for labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::WrongType => "wrong_type",
            Self::UnknownWord => "unknown_word",
            Self::BadId => "bad_id",
            Self::BadDigest => "bad_digest",
            Self::BadName => "bad_name",
            Self::OutOfRange => "out_of_range",
            Self::BadTime => "bad_time",
            Self::UnequalLengths => "unequal_lengths",
            Self::TooManyLayers => "too_many_layers",
            Self::TooLong => "too_long",
            Self::TooMany => "too_many",
            Self::ForeignNode => "foreign_node",
        }
    }
}

/// What of one request was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    counts: BTreeMap<Reason, u64>,
    first: Option<Refusal>,
}

impl Rejected {
    /// How many records, spans or data points.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// How many for each reason that occurred.
    pub fn by_reason(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        self.counts.iter().map(|(reason, count)| (*reason, *count))
    }

    /// The first refusal in words, for the `error_message` of the answer; empty if there was none.
    pub fn message(&self) -> String {
        self.first.map(|refusal| refusal.to_string()).unwrap_or_default()
    }

    /// Adds what [`only_of`](super::only_of) took out of the request.
    pub fn add_foreign(&mut self, taken_out: u64) {
        if taken_out > 0 {
            self.add_many(Refusal::new(Reason::ForeignNode, names::NODE_NAME), taken_out);
        }
    }

    pub(super) fn add(&mut self, refusal: Refusal) {
        self.add_many(refusal, 1);
    }

    fn add_many(&mut self, refusal: Refusal, count: u64) {
        *self.counts.entry(refusal.reason).or_default() += count;
        self.first.get_or_insert(refusal);
    }
}

/// One refusal: the reason, and the attribute or field that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) subject: &'static str,
}

impl Refusal {
    pub(super) const fn new(reason: Reason, subject: &'static str) -> Self {
        Self { reason, subject }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let complaint = match self.reason {
            Reason::Malformed => "is not valid protobuf",
            Reason::Missing => "is missing",
            Reason::WrongType => "has a value of another type",
            Reason::UnknownWord => "is none of the known words",
            Reason::BadId => "is not an id of the right length, or all zero",
            Reason::BadDigest => "is not a content digest",
            Reason::BadName => "is not a valid name",
            Reason::OutOfRange => "is negative or too large",
            Reason::BadTime => "is not a time, or lies before its start",
            Reason::UnequalLengths => "differs in length from the list of digests",
            Reason::TooManyLayers => "lists too many layers",
            Reason::TooLong => "is too long",
            Reason::TooMany => "are too many",
            Reason::ForeignNode => "is another node than the one that the sender may speak for",
        };
        write!(f, "{} {complaint}", self.subject)
    }
}

/// Bytes that are no OTLP request or answer at all; nothing of them was taken.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Not the protobuf message.
    #[error("not an OTLP {} message: {problem}", signal.as_str())]
    Protobuf {
        /// The signal whose message was expected.
        signal: Signal,
        /// What does not fit.
        problem: &'static str,
    },
    /// Not the JSON message; the error says line and column.
    #[error("not an OTLP {} request in JSON: {source}", signal.as_str())]
    Json {
        /// The signal whose message was expected.
        signal: Signal,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Not the answer, or whole request, that was expected.
    #[error("not the OTLP message that was expected")]
    Message(#[source] prost::DecodeError),
}
