//! What a collector answers, as far as tables and sentences need it; `-o json` shows its answers as they are. A field that may be missing
//! is an option: what is unknown is absent.

use lifecycle::time::Timestamp;
use serde::{Deserialize, Deserializer};

/// A time as the collector writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At(pub(crate) Timestamp);

/// One pull.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pull {
    pub(crate) id: String,
    pub(crate) node_name: String,
    pub(crate) image_ref: Option<String>,
    pub(crate) image_digest: Option<String>,
    pub(crate) phase: String,
    pub(crate) outcome: Option<String>,
    pub(crate) wait: Option<Wait>,
    pub(crate) summary: String,
    pub(crate) total_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) total_known: bool,
    #[serde(default)]
    pub(crate) downloaded_bytes: u64,
    #[serde(default)]
    pub(crate) cached_bytes: u64,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) bytes_per_sec: Option<u64>,
    pub(crate) eta_seconds: Option<f64>,
    pub(crate) percent: Option<f64>,
    #[serde(default)]
    pub(crate) layer_count: usize,
    #[serde(default)]
    pub(crate) layers_done: usize,
    #[serde(default)]
    pub(crate) layers_cached: usize,
    pub(crate) started_at: At,
    pub(crate) updated_at: At,
    pub(crate) completed_at: Option<At>,
    pub(crate) error: Option<String>,
    pub(crate) error_class: Option<String>,
    pub(crate) error_hint: Option<String>,
    pub(crate) next_retry_at: Option<At>,
    #[serde(default)]
    pub(crate) pods: Vec<PodRef>,
    pub(crate) stalled_since: Option<At>,
    #[serde(default)]
    pub(crate) stale: bool,
    pub(crate) host: Option<Host>,
    #[serde(default)]
    pub(crate) layers: Vec<Layer>,
    #[serde(default)]
    pub(crate) attempts: Vec<Attempt>,
}

/// One layer of a pull.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Layer {
    pub(crate) digest: String,
    pub(crate) total_bytes: u64,
}

/// One try to get an image.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) outcome: Option<String>,
}

/// Why no byte moves.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wait {
    pub(crate) kind: String,
    pub(crate) since: At,
    pub(crate) image: Option<String>,
    /// The pull that has what is waited for.
    pub(crate) pull_id: Option<String>,
}

/// What else the node does.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Host {
    pub(crate) network_bytes_per_sec: Option<u64>,
    pub(crate) network_limit_bytes_per_sec: Option<u64>,
    pub(crate) disk_busy: Option<u8>,
}

/// A container that waits for a pull.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodRef {
    pub(crate) namespace: String,
    pub(crate) pod_name: String,
}

/// One pod with its containers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) pod_name: String,
    pub(crate) node_name: Option<String>,
    #[serde(default)]
    pub(crate) stale: bool,
    pub(crate) containers: Vec<Container>,
    pub(crate) summary: String,
    pub(crate) pulls: Vec<Pull>,
}

/// One container and its image.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container {
    pub(crate) container: String,
    pub(crate) image: String,
    pub(crate) state: String,
    pub(crate) waiting_since: Option<At>,
    pub(crate) ready_at: Option<At>,
    pub(crate) attempt: Option<u32>,
    pub(crate) error: Option<String>,
    pub(crate) error_class: Option<String>,
    pub(crate) error_hint: Option<String>,
    pub(crate) next_retry_at: Option<At>,
    pub(crate) pull_id: Option<String>,
    pub(crate) queue: Option<Queue>,
}

/// A place in a kubelet's queue.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Queue {
    pub(crate) position: usize,
    pub(crate) of: usize,
    pub(crate) behind: String,
}

/// One pod in short.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodItem {
    pub(crate) namespace: String,
    pub(crate) pod_name: String,
    pub(crate) node_name: Option<String>,
    pub(crate) state: String,
    pub(crate) eta_seconds: Option<f64>,
    pub(crate) waiting_since: Option<At>,
    pub(crate) summary: String,
}

/// How far the pods of a workload are.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Workload {
    pub(crate) namespace: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) nodes_done: usize,
    pub(crate) nodes_pulling: usize,
    pub(crate) nodes_queued: usize,
    pub(crate) nodes_failed: usize,
    pub(crate) eta_seconds: Option<f64>,
}

/// One node and its agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) runtime: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) agent_version: Option<String>,
    pub(crate) reachable: Option<bool>,
    pub(crate) last_seen: At,
    pub(crate) connected: bool,
    pub(crate) active_pulls: Option<u64>,
    #[serde(default)]
    pub(crate) queued_images: Vec<String>,
}

/// One image and its pulls.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Image {
    pub(crate) image_ref: String,
    pub(crate) image_digest: Option<String>,
    pub(crate) size_bytes: Option<u64>,
    pub(crate) active: usize,
    pub(crate) ready: usize,
    pub(crate) failed: usize,
    pub(crate) downloaded_bytes: u64,
    pub(crate) node_count: usize,
    #[serde(default)]
    pub(crate) nodes: Vec<String>,
    pub(crate) durations: Option<Durations>,
    pub(crate) last_started_at: At,
}

/// How long pulls took.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Durations {
    pub(crate) median_seconds: f64,
}

/// All of it in a few numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) active: usize,
    pub(crate) stalled: usize,
    pub(crate) failed: usize,
    pub(crate) bytes_per_sec: u64,
    pub(crate) nodes: usize,
    pub(crate) nodes_connected: usize,
    pub(crate) pods_waiting: usize,
}

impl<'de> Deserialize<'de> for At {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::parse_rfc3339(&text).map(Self).ok_or_else(|| serde::de::Error::custom("not a time by RFC 3339"))
    }
}

impl Pull {
    /// The best known name.
    pub(crate) fn name(&self) -> Option<&str> {
        self.image_ref.as_deref().or(self.image_digest.as_deref())
    }

    /// One word: how it ended, what it waits for, or its phase.
    pub(crate) fn state(&self) -> &str {
        match (&self.outcome, self.stale, &self.wait) {
            (Some(outcome), ..) => outcome,
            (None, true, _) => "stale",
            (None, false, Some(wait)) => &wait.kind,
            (None, false, None) => &self.phase,
        }
    }

    /// From its beginning to its end, or to what was seen of it last; by the clock of its node.
    pub(crate) fn seconds(&self) -> f64 {
        self.completed_at.unwrap_or(self.updated_at).0.since(self.started_at.0).as_secs_f64()
    }
}
