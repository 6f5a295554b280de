//! How pulls and nodes look from outside: the JSON of API, event stream and event log (the contract, version 1).
//!
//! Field names are camelCase, times RFC 3339 in UTC, bytes integers, and what is unknown is absent. JSON Schema of [`PullEvent`]:
//! `docs/schemas/pull-event-v1.json`. Who fills a status is [`super::Board::status`].

use std::{sync::Arc, time::Duration};

use serde::{Serialize, Serializer};

use super::{
    HostStatus, PodRef,
    entry::{Entry, Standing},
    story::Past,
};
use crate::{
    explain::Holder,
    image::{Digest, ImageRef},
    pull::{Eta, Layer, LayerState, Node, NodeReport, Outcome, Phase, Pull, PullId, Size, TimingSource, Wait},
    time::Timestamp,
};

/// Version of the JSON of a [`PullEvent`].
pub const SCHEMA_VERSION: &str = "v1";

/// One pull, as everyone outside sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::module_name_repetitions, reason = "the contract's name")]
pub struct PullStatus {
    /// Identity, also of the trace.
    pub id: PullId,
    /// Node on which it runs.
    pub node_name: String,
    /// Name of the cluster, if one was configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The container runtime and its version, `containerd 2.1.4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// containerd's namespace: `k8s.io`, `moby`, `default`, ...
    pub containerd_namespace: String,
    /// Best known name of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_ref: Option<ImageRef>,
    /// Digest that the name stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Digest>,
    /// Host of the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// How far it has come; an ended pull keeps its last phase.
    pub phase: Phase,
    /// How it ended: `ready`, `failed`, `canceled` or `lost`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = Outcome::WORDS)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// Why no byte moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<WaitStatus>,
    /// The one sentence.
    pub summary: String,
    /// Bytes to fetch; a lower bound while `total_known` is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Whether the manifest was read, so that all sizes are exact.
    pub total_known: bool,
    /// Bytes that this pull fetched.
    pub downloaded_bytes: u64,
    /// Bytes that need not be fetched.
    pub cached_bytes: u64,
    /// Compressed size of the image's layers; a lower bound while `total_known` is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Bytes per second over the last seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_sec: Option<u64>,
    /// Estimated seconds to ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
    /// Lower bound of the estimate; where it stands alone: at least so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_low_seconds: Option<f64>,
    /// Upper bound of the estimate. Between the bounds the truth lies four times in five.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_high_seconds: Option<f64>,
    /// Share of what is to be fetched; 100 only when every byte is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Layers of the image, as far as known.
    pub layer_count: usize,
    /// Layers of which nothing is left to do.
    pub layers_done: usize,
    /// Layers that this pull did not fetch.
    pub layers_cached: usize,
    /// Layers that a lazy snapshotter mounted from afar; absent if none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers_lazy: Option<usize>,
    /// When it began.
    pub started_at: Timestamp,
    /// When this state was observed on the node.
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Original text of the error, or what was observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its class, one of a closed set.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = crate::pull::ErrorClass::ALL.map(crate::pull::ErrorClass::as_str))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<&'static str>,
    /// What usually helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_hint: Option<&'static str>,
    /// How often the kubelet asked for the image so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When the kubelet asks again after a failure, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<Timestamp>,
    /// The containers that wait for it, or waited.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pods: Vec<PodRef>,
    /// Since when no byte has arrived, if one should have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stalled_since: Option<Timestamp>,
    /// Whether the agent is silent, so that nobody knows how far the pull is now.
    pub stale: bool,
    /// What else the node did meanwhile; left out while nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostStatus>,
    /// What is told of it only when it is asked for alone.
    #[serde(skip)]
    pub past: Past,
    /// Its layers, base first; left out where they were not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<LayerStatus>>,
}

/// One layer of a pull.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::module_name_repetitions, reason = "the contract's name")]
pub struct LayerStatus {
    /// The pull it belongs to.
    pub pull_id: PullId,
    /// Digest of the blob.
    pub digest: Digest,
    /// Media type from the manifest; empty, and left out, while unknown.
    #[serde(skip_serializing_if = "is_empty", serialize_with = "text")]
    pub media_type: Arc<str>,
    /// How far it has come.
    pub state: LayerState,
    /// Compressed size.
    pub total_bytes: u64,
    /// Whether that size is exact.
    pub total_known: bool,
    /// Compressed bytes that this pull fetched; 0 for a layer that it did not need to fetch.
    pub downloaded_bytes: u64,
    /// Share of its bytes that are on the node; 100 only when all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// When its download was opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When its blob was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// When unpacking began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpack_started_at: Option<Timestamp>,
    /// When its snapshot was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unpack_completed_at: Option<Timestamp>,
    /// How exactly the times of its download are known.
    #[serde(skip)]
    pub download_source: TimingSource,
    /// How exactly the times of its unpacking are known.
    #[serde(skip)]
    pub unpack_source: TimingSource,
}

/// Why no byte moves.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::module_name_repetitions, reason = "named like its siblings")]
pub struct WaitStatus {
    /// `download_slot`, `layer_lock`, `stalled` or `retrying`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = Wait::WORDS)))]
    pub kind: &'static str,
    /// When the waiting began.
    pub since: Timestamp,
    /// The pull that holds the layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_id: Option<PullId>,
    /// The layer that is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// The image that the holder pulls, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageRef>,
}

/// One node, as everyone outside sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::module_name_repetitions, reason = "named like its siblings")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Name of the cluster, if one was configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The container runtime, `containerd`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// The runtime's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The agent's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// Whether the agent reaches the runtime, as it said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,
    /// When the agent was heard last, by the collector's clock.
    pub last_seen: Timestamp,
    /// Whether that was within three heartbeats.
    pub connected: bool,
    /// Pulls that run now, as the agent said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_pulls: Option<u64>,
    /// Images that wait for their turn in the kubelet, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queued_images: Vec<ImageRef>,
    /// Progress reports that the agent could not deliver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_progress: Option<u64>,
    /// Outcomes that the agent could not deliver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped_outcomes: Option<u64>,
    /// What else the node does while it pulls; left out while it does not, or nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostStatus>,
    /// Whether nobody misses its agent: the cluster has no such node any more, or it never had an agent, only a command that told of its pulls.
    #[serde(skip)]
    pub unmissed: bool,
    /// How long its last report was on the way, by the clocks of both.
    #[serde(skip)]
    pub delay: Duration,
    /// By how many seconds the node's clock is ahead of the collector's, or behind if negative; only if that is 2 s or more. Times of the
    /// node's pulls are by its clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_offset_seconds: Option<f64>,
}

/// What happened, in the words of the event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventType {
    /// A pull was seen for the first time.
    #[serde(rename = "pull.started")]
    PullStarted,
    /// A pull's state, changed or as it is at the beginning of a stream.
    #[serde(rename = "pull.progress")]
    PullProgress,
    /// A pull is ready.
    #[serde(rename = "pull.completed")]
    PullCompleted,
    /// A pull failed, was canceled or lost.
    #[serde(rename = "pull.failed")]
    PullFailed,
    /// The first byte of a layer was asked for.
    #[serde(rename = "layer.started")]
    LayerStarted,
    /// A layer's state changed.
    #[serde(rename = "layer.progress")]
    LayerProgress,
    /// The last byte of a layer arrived.
    #[serde(rename = "layer.completed")]
    LayerCompleted,
}

/// One event: what happened, and the whole state of the pull after it.
///
/// `P` is a [`PullStatus`] or its finished JSON, so that it need not be written twice.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PullEvent<'a, P> {
    /// [`SCHEMA_VERSION`].
    pub schema_version: &'static str,
    /// When the collector learned it.
    pub timestamp: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// Node of the pull.
    pub node_name: &'a str,
    /// The pull after the event.
    pub pull: P,
    /// For events of a layer: that layer after the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<&'a LayerStatus>,
}

impl PullStatus {
    /// Whether the pull has no outcome yet.
    pub const fn is_running(&self) -> bool {
        self.outcome.is_none()
    }

    pub(super) fn of(entry: &Entry) -> Self {
        let pull = entry.shown();
        let outcome = pull.ending.as_ref().map(|e| &e.outcome);
        let failure = outcome.and_then(|o| match o {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Ready | Outcome::Canceled | Outcome::Lost => None,
        });
        let stalled_since = pull.wait.as_ref().and_then(|w| matches!(w, Wait::Stalled { .. }).then(|| w.since()));
        Self {
            id: pull.id,
            node_name: entry.node.name.to_string(),
            cluster: known(&entry.node.cluster),
            runtime: known(format!("{} {}", entry.node.runtime_name, entry.node.runtime_version).trim()),
            containerd_namespace: pull.namespace.clone(),
            image_ref: pull.image.clone(),
            image_digest: pull.digest.clone(),
            registry: pull.image.as_ref().map(|image| image.registry().to_owned()),
            phase: pull.phase,
            outcome: outcome.map(Outcome::as_str),
            wait: pull.wait.as_ref().map(|wait| WaitStatus::of(wait, entry.said.holder.as_deref())),
            summary: entry.sentence(&pull, &entry.said),
            total_bytes: bound(pull.to_fetch()),
            total_known: pull.total_known,
            downloaded_bytes: pull.fetched_bytes(),
            cached_bytes: pull.cached_bytes(),
            size_bytes: bound(pull.size()),
            bytes_per_sec: pull.bytes_per_sec,
            eta_seconds: pull.eta.and_then(Eta::likely).map(seconds),
            eta_low_seconds: pull.eta.and_then(Eta::low).map(seconds),
            eta_high_seconds: pull.eta.and_then(Eta::high).map(seconds),
            percent: pull.percent().map(tenths),
            layer_count: pull.layers.len(),
            layers_done: pull.layers_done(),
            layers_cached: pull.layers_cached(),
            layers_lazy: Some(pull.layers_lazy()).filter(|lazy| *lazy > 0),
            started_at: pull.started_at,
            updated_at: pull.observed_at,
            completed_at: pull.ending.as_ref().map(|e| e.at),
            error: failure.map(|f| f.message.clone()),
            error_class: failure.map(|f| f.class.as_str()),
            error_hint: failure.map(|f| f.class.hint()),
            attempt: entry.known.relation.attempt,
            next_retry_at: entry.known.relation.next_retry,
            pods: entry.known.relation.pods.clone(),
            stalled_since,
            stale: entry.standing == Standing::Stale,
            host: HostStatus::of(&pull.host),
            past: Past {
                resolved_at: pull.resolved_at,
                waits: pull.waits.clone(),
                ending_source: pull.ending.as_ref().map(|e| e.source),
                is_secondhand: entry.known.coarse,
            },
            layers: Some(pull.layers.iter().map(|layer| LayerStatus::of(layer, &pull)).collect()),
        }
    }
}

impl LayerStatus {
    fn of(layer: &Layer, pull: &Pull) -> Self {
        Self {
            pull_id: pull.id,
            digest: layer.digest.clone(),
            media_type: layer.media_type.clone(),
            state: layer.state,
            total_bytes: layer.size,
            total_known: pull.total_known,
            downloaded_bytes: if layer.cached { 0 } else { layer.fetched },
            percent: layer_percent(layer, pull.total_known),
            started_at: layer.download.start,
            completed_at: layer.download.end,
            unpack_started_at: layer.unpack.start,
            unpack_completed_at: layer.unpack.end,
            download_source: layer.download.source,
            unpack_source: layer.unpack.source,
        }
    }
}

impl WaitStatus {
    /// A wait that is over.
    pub(super) fn past(wait: &Wait) -> Self {
        Self::of(wait, None)
    }

    fn of(wait: &Wait, holder: Option<&Holder>) -> Self {
        let (pull_id, layer) = match wait {
            Wait::LayerLock { holder, layer, .. } => (Some(*holder), Some(layer.clone())),
            Wait::DownloadSlot { .. } | Wait::Stalled { .. } | Wait::Retrying { .. } => (None, None),
        };
        let image = holder.and_then(|h| h.image.clone());
        Self { kind: wait.as_str(), since: wait.since(), pull_id, layer, image }
    }
}

impl NodeStatus {
    pub(super) fn of(
        node: &Node,
        report: Option<&NodeReport>,
        last_seen: Timestamp,
        connected: bool,
        offset: Option<i64>,
    ) -> Self {
        Self {
            name: node.name.to_string(),
            cluster: known(&node.cluster),
            runtime: known(&node.runtime_name),
            version: known(&node.runtime_version),
            agent_version: report.and_then(|r| known(&r.agent_version)),
            reachable: report.map(|r| r.runtime_reachable),
            last_seen,
            connected,
            active_pulls: report.map(|r| r.active_pulls),
            queued_images: report.map(|r| r.queued_images.clone()).unwrap_or_default(),
            dropped_progress: report.map(|r| r.dropped_progress),
            dropped_outcomes: report.map(|r| r.dropped_outcomes),
            host: None,
            unmissed: false,
            delay: Duration::ZERO,
            clock_offset_seconds: offset.map(|millis| (millis as f64 / 100.0).round() / 10.0),
        }
    }
}

impl<'a, P: Serialize> PullEvent<'a, P> {
    /// An event about a pull as a whole.
    pub const fn of_pull(kind: EventType, timestamp: Timestamp, node_name: &'a str, pull: P) -> Self {
        Self { schema_version: SCHEMA_VERSION, timestamp, kind, node_name, pull, layer: None }
    }

    /// An event about one layer.
    pub const fn of_layer(kind: EventType, timestamp: Timestamp, layer: &'a LayerStatus, node_name: &'a str, pull: P) -> Self {
        Self { schema_version: SCHEMA_VERSION, timestamp, kind, node_name, pull, layer: Some(layer) }
    }
}

fn is_empty(text: &Arc<str>) -> bool {
    text.is_empty()
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

fn known(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// A lower bound of nothing says nothing.
fn bound(size: Size) -> Option<u64> {
    (size != Size::AtLeast(0)).then(|| size.bytes())
}

fn seconds(time: Duration) -> f64 {
    tenths(time.as_secs_f64())
}

/// Rounded down to one decimal, so that 99.97 % is not 100 %.
fn tenths(value: f64) -> f64 {
    (value * 10.0).floor() / 10.0
}

fn layer_percent(layer: &Layer, total_known: bool) -> Option<f64> {
    match (layer.is_complete(), total_known && layer.size > 0) {
        (true, _) => Some(100.0),
        (false, false) => None,
        (false, true) => Some(tenths(layer.fetched as f64 / layer.size as f64 * 100.0).min(99.9)),
    }
}
