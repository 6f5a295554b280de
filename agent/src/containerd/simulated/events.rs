//! What happened, and the envelope in which containerd tells it: topics, type URLs without a prefix, and fields as in each version.

use containerd_client::{
    events::{ContentCreate, SnapshotCommit, SnapshotPrepare, SnapshotRemove},
    services::v1::{ImageCreate, ImageDelete, ImageUpdate},
    to_any,
    types::Envelope,
};
use lifecycle::time::Timestamp;
use prost_types::Any;

use super::{image::Blob, personality::Personality, services::proto_time};

/// The one snapshotter of the simulated node.
pub(super) const SNAPSHOTTER: &str = "overlayfs";

/// Something that containerd announces.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) namespace: String,
    pub(super) fact: Fact,
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) enum Fact {
    ContentCreated { blob: Blob },
    SnapshotPrepared { key: String, parent: String },
    SnapshotCommitted { key: String, name: String },
    SnapshotRemoved { key: String },
    ImageCreated { name: String },
    ImageUpdated { name: String },
    ImageDeleted { name: String },
}

impl Event {
    /// As subscribers get it.
    pub(super) fn envelope(&self, personality: Personality) -> Envelope {
        Envelope {
            timestamp: Some(proto_time(self.at)),
            namespace: self.namespace.clone(),
            topic: self.topic().to_owned(),
            event: Some(self.fact.encode(personality)),
        }
    }

    /// The value at a path, for filters.
    pub(super) fn field(&self, path: &[&str]) -> Option<String> {
        match path {
            ["namespace"] => Some(self.namespace.clone()),
            ["topic"] => Some(self.topic().to_owned()),
            ["event", name] => self.fact.field(name),
            _ => None,
        }
    }

    const fn topic(&self) -> &'static str {
        match self.fact {
            Fact::ContentCreated { .. } => "/content/create",
            Fact::SnapshotPrepared { .. } => "/snapshot/prepare",
            Fact::SnapshotCommitted { .. } => "/snapshot/commit",
            Fact::SnapshotRemoved { .. } => "/snapshot/remove",
            Fact::ImageCreated { .. } => "/images/create",
            Fact::ImageUpdated { .. } => "/images/update",
            Fact::ImageDeleted { .. } => "/images/delete",
        }
    }
}

impl Fact {
    fn encode(&self, personality: Personality) -> Any {
        let snapshotter = if personality.names_snapshotter() { SNAPSHOTTER } else { "" }.to_owned();
        match self.clone() {
            Self::ContentCreated { blob } => {
                let mut any = to_any(&ContentCreate {
                    digest: blob.digest.to_string(),
                    size: i64::try_from(blob.size).unwrap_or(i64::MAX),
                });
                if personality.announces_media_type() {
                    any.value.extend(prost::Message::encode_to_vec(&MediaType { media_type: blob.media_type.to_owned() }));
                }
                any
            }
            Self::SnapshotPrepared { key, parent } => to_any(&SnapshotPrepare { key, parent, snapshotter }),
            Self::SnapshotCommitted { key, name } => to_any(&SnapshotCommit { key, name, snapshotter }),
            Self::SnapshotRemoved { key } => to_any(&SnapshotRemove { key, snapshotter }),
            Self::ImageCreated { name } => to_any(&ImageCreate { name, labels: image_labels() }),
            Self::ImageUpdated { name } => to_any(&ImageUpdate { name, labels: image_labels() }),
            Self::ImageDeleted { name } => to_any(&ImageDelete { name }),
        }
    }

    fn field(&self, wanted: &str) -> Option<String> {
        let fields: Vec<(&str, &str)> = match self {
            Self::ContentCreated { blob } => vec![("digest", blob.digest.as_str())],
            Self::SnapshotPrepared { key, parent } => vec![("key", key), ("parent", parent), ("snapshotter", SNAPSHOTTER)],
            Self::SnapshotCommitted { key, name } => vec![("key", key), ("name", name), ("snapshotter", SNAPSHOTTER)],
            Self::SnapshotRemoved { key } => vec![("key", key), ("snapshotter", SNAPSHOTTER)],
            Self::ImageCreated { name } | Self::ImageUpdated { name } | Self::ImageDeleted { name } => vec![("name", name)],
        };
        fields.into_iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned())
    }
}

/// The field that `ContentCreate` gained after the client library was generated; appended, it merges into the message.
#[derive(Clone, PartialEq, prost::Message)]
struct MediaType {
    #[prost(string, tag = "3")]
    media_type: String,
}

/// The labels of image records that CRI manages.
pub(super) fn image_labels() -> std::collections::HashMap<String, String> {
    [("io.cri-containerd.image".to_owned(), "managed".to_owned())].into()
}
