//! One layer of a pull: whose bytes they are, how far they have come, and when.

use std::{str::FromStr, sync::Arc};

use serde::Serialize;

use super::{TimingSource, UnknownWordError};
use crate::{image::Digest, time::Timestamp};

/// One layer of the image that is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob as stored in the manifest (compressed).
    pub digest: Digest,
    /// Media type from the manifest; empty while unknown.
    pub media_type: Arc<str>,
    /// Compressed size, bytes.
    pub size: u64,
    /// Compressed bytes that this pull fetched; at most `size`, and only a complete layer reaches it.
    pub fetched: u64,
    /// Not fetched by this pull, because it was here or because another pull brought it.
    pub cached: bool,
    /// Mounted from afar by a lazy snapshotter: used without its bytes being on the node. Neither fetched nor cached.
    pub lazy: bool,
    /// How far it has come.
    pub state: LayerState,
    /// When its bytes came, from opening the download to its commit.
    pub download: Interval,
    /// When it was unpacked.
    pub unpack: Interval,
}

impl Layer {
    /// Whether every byte of it is on the node.
    pub const fn is_complete(&self) -> bool {
        match self.state {
            LayerState::Downloaded | LayerState::Unpacking | LayerState::Ready | LayerState::Cached => true,
            LayerState::Queued | LayerState::Downloading | LayerState::Failed => false,
        }
    }

    /// Whether nothing is left to do for it.
    pub const fn is_done(&self) -> bool {
        matches!(self.state, LayerState::Ready | LayerState::Cached)
    }
}

/// How far one layer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LayerState {
    /// No byte has been asked for.
    Queued,
    /// Bytes are arriving.
    Downloading,
    /// Complete and waiting to be unpacked.
    Downloaded,
    /// Being unpacked.
    Unpacking,
    /// Unpacked.
    Ready,
    /// Was here before the pull, or was brought by another one.
    Cached,
    /// The pull ended before the layer was complete.
    Failed,
}

impl LayerState {
    /// All states, in the order in which a layer passes through them.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Downloading, Self::Downloaded, Self::Unpacking, Self::Ready, Self::Cached, Self::Failed];

    /// The word on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Downloading => "downloading",
            Self::Downloaded => "downloaded",
            Self::Unpacking => "unpacking",
            Self::Ready => "ready",
            Self::Cached => "cached",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for LayerState {
    type Err = UnknownWordError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or(UnknownWordError)
    }
}

/// A stretch of time of which both ends may be unknown yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// When it began.
    pub start: Option<Timestamp>,
    /// When it ended.
    pub end: Option<Timestamp>,
    /// How exactly the worse known end is known.
    pub source: TimingSource,
}
