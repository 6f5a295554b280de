//! What the agent sees of containerd, and what the tracker asks it to look at.
//!
//! The shell (`agent::containerd`) translates protobuf into these and nothing else; the tracker never sees a wire type. Every value here
//! was parsed at that edge. The facts behind them are containerd's: `core/metadata` (leases, buckets), `core/unpack` (snapshot keys),
//! `core/remotes` (references of ingests).

use std::collections::BTreeMap;

use super::naming::Intent;
use crate::{
    image::{Digest, ImageRef},
    time::Timestamp,
};

/// Everything that the tracker can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The runtime answers, for the first time or again.
    Connected(Runtime),
    /// The runtime does not answer any more.
    Disconnected,
    /// Something changed in containerd's metadata; what, a survey has to tell.
    Stirred,
    /// A complete look at the selected namespaces, in answer to [`Question::Survey`].
    Survey(Survey),
    /// containerd published an event.
    Event(Event),
    /// The answer to a [`Question::About`].
    Answer(LeaseKey, Subject, Answer),
    /// Every image that the kubelet pulls or is about to pull, by now. Said again whenever that changes.
    Intents(Vec<Intent>),
}

/// The runtime that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Its version as it says itself.
    pub version: String,
    /// Its uuid, which it keeps in its root folder; the same after a restart.
    pub uuid: String,
    /// Its process id, as it says itself; 0 if it does not.
    pub pid: u64,
    /// When that process started; `None` if this cannot be seen from here.
    pub started_at: Option<Timestamp>,
}

/// Leases and ingests of all selected namespaces at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Just before the first of its calls was made: what happened later may be missing from it.
    pub taken_at: Timestamp,
    /// By namespace.
    pub namespaces: BTreeMap<String, Inventory>,
}

/// What one namespace holds that has to do with pulls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Leases that may be pulls.
    pub leases: Vec<Lease>,
    /// Ingests, whoever's they are.
    pub ingests: Vec<Ingest>,
}

/// Identity of a lease on this node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseKey {
    /// containerd's namespace.
    pub namespace: String,
    /// Id of the lease.
    pub lease: String,
}

/// A lease and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// What it holds.
    pub resources: Vec<Resource>,
}

/// One thing that a lease holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A committed blob.
    Content(Digest),
    /// A blob that is being written.
    Ingest(Reference),
    /// A snapshot that is being filled with a layer.
    Extraction {
        /// Who keeps it.
        snapshotter: String,
        /// The whole key.
        key: ExtractKey,
    },
    /// A committed snapshot, by its chain id.
    Chain {
        /// Who keeps it.
        snapshotter: String,
        /// Chain id.
        chain: Digest,
    },
    /// Anything else: the lease may belong to something that is no pull.
    Other,
}

/// The key of an active snapshot that receives a layer: `extract-<nanoseconds>-<random> <chain id>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExtractKey {
    text: String,
    chain: Digest,
}

impl ExtractKey {
    /// Parses a snapshot key; `None` if it is not one that the unpacker makes.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, chain) = text.split_once(' ')?;
        prefix.strip_prefix("extract-")?;
        Some(Self { text: text.to_owned(), chain: chain.parse().ok()? })
    }

    /// The whole key.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Chain id that the snapshot will have.
    pub const fn chain(&self) -> &Digest {
        &self.chain
    }
}

/// The reference of an ingest that a pull made: `<kind>-<digest>` or `<kind>-<name>@<digest>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `layer`, `manifest`, `index`, `config`, or what a client chose.
    pub kind: String,
    /// The blob that is being written.
    pub digest: Digest,
}

impl Reference {
    /// Parses a reference from the right, since kinds may contain dashes; `None` for references of other writers than pulls.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, hash) = text.rsplit_once(':')?;
        let at = head.rfind(['-', '@'])?;
        let (front, algorithm) = (head.get(..at)?, head.get(at + 1..)?);
        let digest = format!("{algorithm}:{hash}").parse().ok()?;
        let kind = match head.as_bytes().get(at) {
            Some(b'@') => front.split_once('-')?.0,
            _ => front,
        };
        (!kind.is_empty()).then(|| Self { kind: kind.to_owned(), digest })
    }
}

/// A blob that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// Which blob.
    pub reference: Reference,
    /// Bytes written.
    pub offset: u64,
    /// Size that the manifest promised; 0 if unknown.
    pub total: u64,
    /// When it was opened; survives a resume.
    pub started_at: Timestamp,
    /// When the last byte was written.
    pub updated_at: Timestamp,
}

/// An event of containerd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Namespace that it happened in.
    pub namespace: String,
    /// containerd's time of it.
    pub at: Timestamp,
    /// What happened.
    pub what: Happening,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A blob was committed (containerd 2.1 and later).
    ContentCreated(Digest),
    /// A snapshot was made to receive a layer.
    ExtractionPrepared(ExtractKey),
    /// A layer is unpacked: its snapshot was committed under this chain id.
    ChainCommitted(Digest),
    /// A snapshot was given up before it was committed.
    ExtractionRemoved(ExtractKey),
    /// An image record was written under this name.
    ImageRecorded(String),
    /// An image record was written under an image id, as CRI does beside the name.
    ImageRecordedById,
}

/// What the tracker wants to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Look at all selected namespaces; `ingests` says whether the ingests are wanted even where there is no lease.
    Survey {
        /// Whether to list ingests of namespaces without leases.
        ingests: bool,
    },
    /// Look at one thing for the sake of one pull.
    About(LeaseKey, Subject),
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The bytes of a blob that is a manifest, an index or a configuration.
    Blob(Digest),
    /// When a blob was committed, and its labels.
    Content(Digest),
    /// When a snapshot was made, and its labels.
    Snapshot {
        /// Who keeps it.
        snapshotter: String,
        /// Its key or chain id.
        key: String,
    },
    /// All image records that point to this digest.
    ImagesOf(Digest),
    /// The image record of this name.
    ImageNamed(String),
}

/// What there was to see. `None` and an empty list mean that containerd has no such thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The bytes of a blob.
    Blob(Option<Vec<u8>>),
    /// Facts about a blob.
    Content(Option<ContentFacts>),
    /// Facts about a snapshot.
    Snapshot(Option<SnapshotFacts>),
    /// Image records.
    Images(Vec<ImageRecord>),
    /// It could not be asked now; ask again.
    Unavailable,
}

/// What containerd records about a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentFacts {
    /// When it was committed.
    pub created_at: Timestamp,
    /// When its labels were written last; every pull that uses it writes where it came from.
    pub labelled_at: Timestamp,
    /// Its size in bytes.
    pub size: u64,
    /// Whether labels name children, which index and manifest have.
    pub has_children: bool,
    /// Repositories that it came from (`containerd.io/distribution.source.*`), in no order that means anything.
    pub sources: Vec<ImageRef>,
}

/// What containerd records about a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// When it was prepared (active) or committed (committed).
    pub created_at: Timestamp,
    /// The name of the image, where the client says it (`containerd.io/snapshot/cri.image-ref`).
    pub image: Option<ImageRef>,
    /// Whether the snapshotter mounted it from afar instead of unpacking a blob: its bytes are not on the node (stargz, SOCI, nydus and
    /// overlaybd say so in labels).
    pub remote: bool,
}

/// An image record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// Its name; `None` for the records that are named by an image id.
    pub name: Option<ImageRef>,
    /// Digest that it points to.
    pub target: Digest,
    /// When it was written first. Writing it again, for the same image or another, leaves this (`containerd` metadata/images.go).
    pub created_at: Timestamp,
    /// When it was written last.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parsed(text: &str) -> Option<(String, String)> {
        Reference::parse(text).map(|r| (r.kind, r.digest.to_string()))
    }

    #[test]
    fn references_of_ingests_are_read_from_the_right() {
        let is = |kind: &str| Some((kind.to_owned(), D.to_owned()));
        assert_eq!(parsed(&format!("layer-{D}")), is("layer"));
        assert_eq!(parsed(&format!("cosign-signature-{D}")), is("cosign-signature"));
        assert_eq!(parsed(&format!("index-docker.io/library/a-b:v1@{D}")), is("index"));
        for other in ["", "random", "buildkit-1234", &format!("-{D}"), D, "layer-sha256:abc"] {
            assert_eq!(parsed(other), None, "{other}");
        }
    }

    #[test]
    fn only_the_unpackers_keys_are_extractions() {
        let key = ExtractKey::parse(&format!("extract-127569636-Ws0g {D}")).expect("a key");
        assert_eq!(key.chain().as_str(), D);
        for other in ["", D, "extract-1-a", "extract-1-a nonsense", &format!("container {D}")] {
            assert_eq!(ExtractKey::parse(other), None, "{other}");
        }
    }
}
