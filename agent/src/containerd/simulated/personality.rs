//! Which release of containerd is played, and everything in which the releases differ for somebody who watches pulls.
//!
//! Each method is one observed difference; nothing else in this folder knows a release. `super::world` and `super::events` ask.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A release line of containerd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Personality {
    /// 1.6: the client pulls; snapshot events do not name the snapshotter.
    V1_6,
    /// 1.7: the client pulls.
    V1_7,
    /// 2.1: the transfer service pulls; content is announced, the download limit is global.
    V2_1,
    /// 2.4: as 2.1; events of content carry the media type, snapshots their diff id.
    V2_4,
}

impl Personality {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::V1_6, Self::V1_7, Self::V2_1, Self::V2_4];

    /// The version that the version service answers with.
    pub const fn version(self) -> &'static str {
        match self {
            Self::V1_6 => "1.6.20",
            Self::V1_7 => "1.7.24",
            Self::V2_1 => "2.1.9",
            Self::V2_4 => "2.4.2",
        }
    }

    /// The short name on the command line, such as `2.1`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_6 => "1.6",
            Self::V1_7 => "1.7",
            Self::V2_1 => "2.1",
            Self::V2_4 => "2.4",
        }
    }

    /// Whether committed content is announced by `/content/create`.
    pub const fn announces_content(self) -> bool {
        self.is_two()
    }

    /// Whether `/content/create` carries the media type.
    pub const fn announces_media_type(self) -> bool {
        matches!(self, Self::V2_4)
    }

    /// Whether events of snapshots name the snapshotter.
    pub const fn names_snapshotter(self) -> bool {
        !matches!(self, Self::V1_6)
    }

    /// Whether the garbage collector announces the snapshots that it removes.
    pub const fn announces_collected_snapshots(self) -> bool {
        !matches!(self, Self::V1_6)
    }

    /// Whether the download limit holds for all pulls together and is taken *behind* the ingest, so that every layer in the queue is
    /// an ingest at offset 0. Otherwise each pull has a limit of its own and what waits for it is invisible.
    pub const fn limits_globally(self) -> bool {
        self.is_two()
    }

    /// Whether snapshots are labelled with their diff id and their parent's chain id.
    pub const fn labels_snapshots(self) -> bool {
        matches!(self, Self::V2_4)
    }

    /// Whether a pull writes all three image records every time, and the one of the reference twice.
    pub const fn rewrites_image_records(self) -> bool {
        matches!(self, Self::V1_6)
    }

    /// Whether each pod sandbox holds a lease without labels for as long as it lives.
    pub const fn leases_sandboxes(self) -> bool {
        self.is_two()
    }

    /// The capabilities of the overlayfs snapshotter.
    pub const fn snapshotter_capabilities(self) -> &'static [&'static str] {
        match self {
            Self::V1_6 | Self::V1_7 => &[],
            Self::V2_1 => &["remap-ids", "only-remap-ids"],
            Self::V2_4 => &["remap-ids", "only-remap-ids", "rebase"],
        }
    }

    const fn is_two(self) -> bool {
        matches!(self, Self::V2_1 | Self::V2_4)
    }
}

impl fmt::Display for Personality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Personality {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|known| known.name() == text).ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

/// A version that is not played.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not one of the versions 1.6, 1.7, 2.1, 2.4")]
pub struct UnknownVersion(String);
