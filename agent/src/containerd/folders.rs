//! Tells when something changes in the folders where sockets are expected, so that a containerd that comes later is found without looking
//! again and again (inotify(7)). Folders that do not exist yet are awaited in the nearest one that does. Which socket it concerns, and
//! whether anybody answers there, is found out by `place`.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::Path,
};

use futures_util::StreamExt as _;
use inotify::{EventStream, Inotify, WatchMask, Watches};

/// Room for the events of one read.
const BUFFER: usize = 4_096;

/// A watch on the folders of sockets.
pub struct Folders {
    watches: Watches,
    events: EventStream<[u8; BUFFER]>,
}

/// What changed: the entry of this name in one of the folders, or anything.
#[derive(Debug)]
pub struct Change(Option<OsString>);

impl Change {
    /// Whether it may concern this socket.
    pub fn concerns(&self, socket: &Path) -> bool {
        self.0.as_deref().is_none_or(|name: &OsStr| socket.iter().any(|part| part == name))
    }
}

impl Folders {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the system gives no watches.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        Ok(Self { watches: inotify.watches(), events: inotify.into_event_stream([0; BUFFER])? })
    }

    /// Watches the socket's folder, or the nearest above it that exists; `false` if it may not be watched. Cheap if it is watched already.
    pub fn await_socket(&mut self, socket: &Path) -> bool {
        let mask = WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        for folder in socket.ancestors().skip(1) {
            match self.watches.add(folder, mask) {
                Ok(_) => return true,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Waits for the next change; `None` if the watch is of no more use.
    pub async fn next(&mut self) -> Option<Change> {
        match self.events.next().await? {
            Ok(event) => Some(Change(event.name)),
            Err(error) => {
                tracing::debug!(%error, "folders cannot be watched any more");
                None
            }
        }
    }
}
