//! What an image pull is: identity, phases, waits, outcomes, layers and their bytes.
//!
//! A [`Report`] is the whole present state of one pull, never a delta, so late, lost, doubled or reordered reports do no harm.
//! These are plain values with the arithmetic that every surface must agree on; who fills them is [`crate::track`].

use std::{fmt, str::FromStr, time::Duration};

use serde::{Serialize, Serializer};
use sha2::Digest as _;
use thiserror::Error;

use crate::{
    image::{Digest, ImageRef, hex},
    time::Timestamp,
};

/// Tag of the recipe by which [`PullId::derive`] makes ids. A change of the recipe changes the tag.
const ID_RECIPE: &str = "pulltrace/1";

/// Most waits that are remembered of one pull.
pub const MAX_WAITS: usize = 32;

/// Longest node name, in bytes: a DNS subdomain, as Kubernetes demands of node names.
const MAX_NODE_NAME: usize = 253;

/// Identity of one pull, which is also the id of its trace. Never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::module_name_repetitions, reason = "an id alone would say nothing where it is used")]
pub struct PullId([u8; 16]);

impl PullId {
    /// The id of the pull that runs under a lease of containerd: a pure function of what containerd records, so that an agent that was
    /// restarted finds the same id.
    pub fn derive(node_uid: &str, namespace: &str, lease: &str, created_at: Timestamp) -> Self {
        let hash = fingerprint(&[ID_RECIPE, node_uid, namespace, lease, &created_at.as_nanos().to_string()]);
        Self(first_bytes_nonzero(&hash))
    }

    /// From the 16 bytes of a trace id; `None` for another length or all zeros, which W3C Trace Context calls invalid.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id: [u8; 16] = bytes.try_into().ok()?;
        (id != [0; 16]).then_some(Self(id))
    }

    /// The bytes, as a trace id has them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of one span of this pull's trace: the same for the same role and layer, whoever computes it.
    pub fn span(&self, role: &str, layer: Option<&Digest>) -> SpanId {
        let hash = fingerprint(&[&self.to_string(), role, layer.map_or("", Digest::as_str)]);
        SpanId(first_bytes_nonzero(&hash))
    }
}

impl FromStr for PullId {
    type Err = ParsePullIdError;

    /// Reads 32 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(text).ok_or(ParsePullIdError)?;
        let value = u128::from_str_radix(digits, 16).map_err(|_| ParsePullIdError)?;
        Self::from_bytes(&value.to_be_bytes()).ok_or(ParsePullIdError)
    }
}

impl fmt::Display for PullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for PullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PullId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no [`PullId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a pull id is 32 hexadecimal digits, not all zero")]
pub struct ParsePullIdError;

/// Identity of one span within a pull's trace. Never all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// The bytes, as OTLP has them.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// How far a pull has come. An outcome is not a phase: a finished pull keeps the phase that it had reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

impl FromStr for Phase {
    type Err = UnknownWordError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word).ok_or(UnknownWordError)
    }
}

impl FromStr for LayerState {
    type Err = UnknownWordError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or(UnknownWordError)
    }
}

/// A word outside a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not one of the known words")]
pub struct UnknownWordError;

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

/// A number of bytes that may be only a lower bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Exactly so many bytes.
    Known(u64),
    /// So many bytes or more: the manifest has not been read.
    AtLeast(u64),
}

impl Size {
    /// The number, whichever way it is meant.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Known(bytes) | Self::AtLeast(bytes) => bytes,
        }
    }

    /// Whether the number is exact.
    pub const fn is_known(self) -> bool {
        matches!(self, Self::Known(_))
    }
}

/// How far one layer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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

/// One layer of the image that is pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the blob as stored in the manifest (compressed).
    pub digest: Digest,
    /// Media type from the manifest; empty while unknown.
    pub media_type: String,
    /// Compressed size, bytes.
    pub size: u64,
    /// Compressed bytes that this pull fetched; at most `size`, and only a complete layer reaches it.
    pub fetched: u64,
    /// Not fetched by this pull, because it was here or because another pull brought it.
    pub cached: bool,
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

/// The whole present state of one pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Identity, also of its trace.
    pub id: PullId,
    /// Grows with every report of this pull, also across a restart of the agent. The highest one wins.
    pub sequence: u64,
    /// containerd's namespace (`k8s.io`, `moby`, `default`, ...).
    pub namespace: String,
    /// Best known name.
    pub image: Option<ImageRef>,
    /// Digest that the name stands for: of the index, or of the manifest where there is no index.
    pub digest: Option<Digest>,
    /// Which snapshotter unpacks it; empty while unknown.
    pub snapshotter: String,
    /// How far it has come.
    pub phase: Phase,
    /// Why no byte moves, if none does.
    pub wait: Option<Wait>,
    /// Waits that are over, oldest first; at most [`MAX_WAITS`].
    pub waits: Vec<Waited>,
    /// The end, if it has one. Final, except [`Outcome::Lost`].
    pub ending: Option<Ending>,
    /// When the pull began: its lease was made.
    pub started_at: Timestamp,
    /// When manifest and config were both here.
    pub resolved_at: Option<Timestamp>,
    /// When this state was observed.
    pub observed_at: Timestamp,
    /// Whether the manifest was read, so that `layers` are all there are and their sizes are exact.
    pub total_known: bool,
    /// Bytes per second over the last seconds; `None` while nothing was measured or nothing is to come.
    pub bytes_per_sec: Option<u64>,
    /// Estimated time to ready.
    pub eta: Option<Duration>,
    /// The layers, base first; as far as known.
    pub layers: Vec<Layer>,
}

impl Pull {
    /// Size of the image's layers as stored in the manifest: cached plus to fetch.
    pub fn size(&self) -> Size {
        self.qualify(self.layers.iter().map(|l| l.size))
    }

    /// Bytes that need not be fetched.
    pub fn cached_bytes(&self) -> u64 {
        sum(self.layers.iter().filter(|l| l.cached).map(|l| l.size))
    }

    /// Bytes that this pull has to fetch, those already fetched among them.
    pub fn to_fetch(&self) -> Size {
        self.qualify(self.layers.iter().filter(|l| !l.cached).map(|l| l.size))
    }

    /// Bytes that this pull has fetched.
    pub fn fetched_bytes(&self) -> u64 {
        sum(self.layers.iter().filter(|l| !l.cached).map(|l| l.fetched))
    }

    /// Layers of which nothing is left to do.
    pub fn layers_done(&self) -> usize {
        self.layers.iter().filter(|l| l.is_done()).count()
    }

    /// Layers that this pull did not fetch.
    pub fn layers_cached(&self) -> usize {
        self.layers.iter().filter(|l| l.cached).count()
    }

    /// Share of what is to be fetched, 0 to 100. 100 only when every byte is there, and never for a pull that ended otherwise than ready.
    ///
    /// `None` while the total is unknown, and when nothing was to be fetched by a pull that did not end well.
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
    pub fn percent(&self) -> Option<f64> {
        let Size::Known(total) = self.to_fetch() else { return None };
        let ended_badly = self.ending.as_ref().is_some_and(|e| e.outcome != Outcome::Ready);
        match (total, self.fetched_bytes()) {
            (0, _) => (!ended_badly).then_some(100.0),
            (total, fetched) if fetched >= total && !ended_badly => Some(100.0),
            (total, fetched) => Some((fetched as f64 / total as f64 * 100.0).min(99.9)),
        }
    }

    /// How long it took, or has taken so far.
    pub fn duration(&self) -> Duration {
        self.ending.as_ref().map_or(self.observed_at, |e| e.at).since(self.started_at)
    }

    /// Whether the cache saved nothing, something or everything; `None` while the plan is not known.
    pub fn cache_use(&self) -> Option<CacheUse> {
        match (self.total_known, self.layers_cached()) {
            (false, _) => None,
            (true, 0) => Some(CacheUse::None),
            (true, n) if n == self.layers.len() => Some(CacheUse::Full),
            (true, _) => Some(CacheUse::Partial),
        }
    }

    fn qualify(&self, bytes: impl Iterator<Item = u64>) -> Size {
        if self.total_known { Size::Known(sum(bytes)) } else { Size::AtLeast(sum(bytes)) }
    }
}

/// How much of an image a pull found on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheUse {
    /// Every layer was fetched.
    None,
    /// Some layers were fetched.
    Partial,
    /// No layer was fetched.
    Full,
}

impl CacheUse {
    /// The word on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }
}

/// The name of a node: not empty, at most 253 bytes, printable ASCII without spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Box<str>);

impl NodeName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = ParseNodeNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ok = (1..=MAX_NODE_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        ok.then(|| Self(text.into())).ok_or(ParseNodeNameError)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no [`NodeName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a node name has 1 to {MAX_NODE_NAME} printable ASCII characters and no spaces")]
pub struct ParseNodeNameError;

/// The node on which pulls run: who speaks in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in the cluster, or its host name.
    pub name: NodeName,
    /// What stays the same when the name is used again: the node's uid, or the machine's id.
    pub uid: String,
    /// Name of the cluster; empty if none was given.
    pub cluster: String,
    /// The container runtime, `containerd`.
    pub runtime_name: String,
    /// Its version as it says itself; empty while unknown.
    pub runtime_version: String,
}

/// What an agent says about one pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where the pull runs.
    pub node: Node,
    /// Its whole present state.
    pub pull: Pull,
}

/// What an agent says about itself: its heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// Where the agent runs.
    pub node: Node,
    /// When this was so.
    pub observed_at: Timestamp,
    /// Version of the agent.
    pub agent_version: String,
    /// Whether the agent reaches its runtime now.
    pub runtime_reachable: bool,
    /// Pulls that run now.
    pub active_pulls: u64,
    /// Progress reports that the agent dropped because it could not deliver them.
    pub dropped_progress: u64,
    /// Outcomes that the agent dropped because memory was used up.
    pub dropped_outcomes: u64,
}

/// SHA-256 over length-prefixed parts, so that no two lists of parts look alike.
fn fingerprint(parts: &[&str]) -> [u8; 32] {
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The first bytes of a hash; the last bit is set in the one case in 2^64 or less that they are all zero.
fn first_bytes_nonzero<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut id = [0; N];
    id.copy_from_slice(&hash[..N]);
    if id == [0; N] {
        id[N - 1] = 1;
    }
    id
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(size: u64, fetched: u64, state: LayerState) -> Layer {
        Layer {
            digest: Digest::of(&size.to_be_bytes()),
            media_type: String::new(),
            size,
            fetched,
            cached: state == LayerState::Cached,
            state,
            download: Interval::default(),
            unpack: Interval::default(),
        }
    }

    fn pull(layers: Vec<Layer>) -> Pull {
        Pull {
            id: PullId::derive("uid", "k8s.io", "lease", Timestamp::from_millis(1)),
            sequence: 1,
            namespace: "k8s.io".into(),
            image: None,
            digest: None,
            snapshotter: String::new(),
            phase: Phase::Downloading,
            wait: None,
            waits: Vec::new(),
            ending: None,
            started_at: Timestamp::from_millis(1),
            resolved_at: None,
            observed_at: Timestamp::from_millis(1_001),
            total_known: true,
            bytes_per_sec: None,
            eta: None,
            layers,
        }
    }

    fn ended(mut pull: Pull, outcome: Outcome) -> Pull {
        pull.ending = Some(Ending { outcome, at: pull.observed_at, source: TimingSource::Poll });
        pull
    }

    #[test]
    fn the_same_lease_on_the_same_node_is_the_same_pull() {
        let at = Timestamp::from_millis(5);
        assert_eq!(PullId::derive("n", "k8s.io", "l", at), PullId::derive("n", "k8s.io", "l", at));
        assert_ne!(PullId::derive("n", "k8s.io", "l", at), PullId::derive("n", "k8s.io", "l", Timestamp::from_millis(6)));
        assert_ne!(PullId::derive("ab", "c", "l", at), PullId::derive("a", "bc", "l", at), "parts do not run together");
    }

    #[test]
    fn the_recipe_of_ids_never_changes_under_the_same_tag() {
        let id = PullId::derive("node-uid", "k8s.io", "123456789-AbCd", Timestamp::from_nanos(1_736_937_000_123_456_789));
        assert_eq!(id.to_string(), "b1df0e7fe33f3abf3d7a9212e97aebbd");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(hex(id.span("root", None).as_bytes()), "3781393b735f800f");
    }

    #[test]
    fn ids_that_are_no_trace_ids_are_refused() {
        for text in
            ["", "00000000000000000000000000000000", "4bf92f3577b34da6a3ce929d0e0e473", "+bf92f3577b34da6a3ce929d0e0e4736"]
        {
            assert!(text.parse::<PullId>().is_err(), "{text}");
        }
    }

    #[test]
    fn cached_and_to_fetch_add_up_to_the_size() {
        let pull =
            pull(vec![layer(10, 0, LayerState::Cached), layer(20, 5, LayerState::Downloading), layer(30, 30, LayerState::Ready)]);
        assert_eq!(pull.size(), Size::Known(60));
        assert_eq!((pull.cached_bytes(), pull.to_fetch().bytes(), pull.fetched_bytes()), (10, 50, 35));
        assert_eq!(pull.percent(), Some(70.0));
        assert_eq!(pull.cache_use(), Some(CacheUse::Partial));
    }

    #[test]
    fn only_a_pull_that_is_ready_or_on_its_way_shows_100_percent() {
        let full = pull(vec![layer(10, 10, LayerState::Downloaded)]);
        assert_eq!(full.percent(), Some(100.0));
        assert_eq!(ended(full.clone(), Outcome::Ready).percent(), Some(100.0));
        assert_eq!(ended(full.clone(), Outcome::Canceled).percent(), Some(99.9));
        assert_eq!(ended(full, Outcome::Lost).percent(), Some(99.9));
        assert_eq!(ended(pull(vec![]), Outcome::Canceled).percent(), None);
    }

    #[test]
    fn an_unread_manifest_makes_the_total_a_lower_bound() {
        let mut unread = pull(vec![layer(10, 10, LayerState::Downloaded)]);
        unread.total_known = false;
        assert_eq!((unread.to_fetch(), unread.percent(), unread.cache_use()), (Size::AtLeast(10), None, None));
    }

    #[test]
    fn every_word_reads_back_as_what_it_was_written_from() {
        assert!(ErrorClass::ALL.iter().all(|c| c.as_str().parse() == Ok(*c)));
        assert!(Phase::ALL.iter().all(|p| p.as_str().parse() == Ok(*p)));
        assert!(LayerState::ALL.iter().all(|s| s.as_str().parse() == Ok(*s)));
        assert!(TimingSource::ALL.iter().all(|s| s.as_str().parse() == Ok(*s)));
    }
}
