//! What really happened to a pull, and when: the truth that whoever watches from outside is compared with. Nothing here is told over the
//! socket.

use lifecycle::{
    image::{Digest, ImageRef},
    time::Timestamp,
};

/// One pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diary {
    /// containerd's namespace.
    pub namespace: String,
    /// What was pulled.
    pub image: ImageRef,
    /// Id of its lease; empty before it began.
    pub lease: String,
    /// When its lease was made.
    pub began: Option<Timestamp>,
    /// When it wrote the last of its image records: it is ready.
    pub recorded: Option<Timestamp>,
    /// When its lease was deleted, or containerd died.
    pub over: Option<Timestamp>,
    /// The image's layers, lowest first.
    pub layers: Vec<LayerDiary>,
}

/// What this pull did to one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerDiary {
    /// Digest of the blob.
    pub digest: Digest,
    /// Compressed size, bytes.
    pub size: u64,
    /// When the ingest was opened that this pull wrote into.
    pub opened: Option<Timestamp>,
    /// When this pull committed the blob.
    pub committed: Option<Timestamp>,
    /// When this pull prepared the snapshot.
    pub prepared: Option<Timestamp>,
    /// When this pull committed the snapshot.
    pub unpacked: Option<Timestamp>,
}

impl LayerDiary {
    pub(super) const fn new(digest: Digest, size: u64) -> Self {
        Self { digest, size, opened: None, committed: None, prepared: None, unpacked: None }
    }

    /// When unpacking began: with both the snapshot and the bytes.
    pub fn unpacking(&self) -> Option<Timestamp> {
        self.prepared.max(self.committed).filter(|_| self.prepared.is_some())
    }
}
