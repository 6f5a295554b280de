//! Wakes the agent when containerd writes its metadata, so that it need not poll while nothing happens.
//!
//! containerd keeps leases, content, snapshots and images in one bolt database; whatever happens to a pull is a write to that file, and
//! the kernel tells of it (inotify(7)). The file is only watched: it is never opened. Where it cannot be watched (no access to containerd's
//! folder) the agent polls instead, see `run`.

use std::{
    io,
    path::{Path, PathBuf},
};

use futures_util::{FutureExt as _, StreamExt as _};
use inotify::{EventStream, Inotify, WatchMask};

/// Where the database lies below containerd's root (`containerd` plugins/metadata).
const DATABASE: &str = "io.containerd.metadata.v1.bolt/meta.db";
/// Room for the events of one read; the kernel merges equal ones, so a burst of writes takes little.
const BUFFER: usize = 1_024;

/// A watch on containerd's database.
pub struct Stir {
    events: EventStream<[u8; BUFFER]>,
}

impl Stir {
    /// Watches the database of the containerd with this root folder. Returns the file's path for the log.
    ///
    /// # Errors
    /// When the file is not there, or may not be watched.
    pub fn watch(root: &Path) -> io::Result<(Self, PathBuf)> {
        let file = root.join(DATABASE);
        let inotify = Inotify::init()?;
        inotify.watches().add(&file, WatchMask::MODIFY)?;
        Ok((Self { events: inotify.into_event_stream([0; BUFFER])? }, file))
    }

    /// Whether there was a write that nobody waited for yet, as far as the kernel has told.
    pub fn take_any(&mut self) -> bool {
        self.next().now_or_never().is_some()
    }

    /// Waits for the next write; `false` if the watch is of no more use.
    pub async fn next(&mut self) -> bool {
        matches!(self.events.next().await, Some(Ok(_)))
    }
}
