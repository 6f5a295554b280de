//! One pull as the table knows it: read from an event's JSON, harmless to a terminal, and without what the table never shows. What is shown of a
//! pull by itself is in [`super::detail`].

use std::{sync::Arc, time::Duration};

use lifecycle::{pull::PullId, time::Timestamp};
use serde::{Deserialize, Deserializer, de};

use super::{
    detail::short,
    text::{perhaps_plainly, plainly},
};

/// An event of the stream, as far as it is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    /// When the collector learned it, by its clock.
    pub(super) timestamp: Timestamp,
    /// The pull after it.
    pub(super) pull: Pull,
}

/// The present state of a pull.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pull {
    #[serde(deserialize_with = "id")]
    pub(super) id: PullId,
    #[serde(rename = "nodeName", deserialize_with = "plainly")]
    pub(super) node: Arc<str>,
    #[serde(rename = "imageRef", default, deserialize_with = "perhaps_plainly")]
    image: Option<Arc<str>>,
    #[serde(rename = "imageDigest", default, deserialize_with = "perhaps_plainly")]
    digest: Option<Arc<str>>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) registry: Option<Box<str>>,
    phase: Phase,
    outcome: Option<Outcome>,
    wait: Option<Wait>,
    #[serde(deserialize_with = "plainly")]
    pub(super) summary: Box<str>,
    pub(super) total_bytes: Option<u64>,
    #[serde(default)]
    pub(super) total_known: bool,
    #[serde(default)]
    pub(super) downloaded_bytes: u64,
    #[serde(default)]
    pub(super) cached_bytes: u64,
    pub(super) bytes_per_sec: Option<u64>,
    pub(super) eta_seconds: Option<f64>,
    pub(super) eta_low_seconds: Option<f64>,
    pub(super) percent: Option<f64>,
    #[serde(default)]
    pub(super) layer_count: u32,
    #[serde(default)]
    pub(super) layers_done: u32,
    pub(super) started_at: Timestamp,
    updated_at: Timestamp,
    completed_at: Option<Timestamp>,
    stalled_since: Option<Timestamp>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) error: Option<Box<str>>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) error_class: Option<Box<str>>,
    pub(super) attempt: Option<u32>,
    #[serde(default)]
    pub(super) pods: Vec<Pod>,
    #[serde(default)]
    stale: bool,
}

/// A container that waits for the image, or waited.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pod {
    #[serde(deserialize_with = "plainly")]
    pub(super) namespace: Box<str>,
    #[serde(deserialize_with = "plainly")]
    pub(super) pod_name: Box<str>,
    #[serde(deserialize_with = "plainly")]
    pub(super) container: Box<str>,
    pub(super) workload: Option<Workload>,
}

/// Who made a pod.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Workload {
    #[serde(deserialize_with = "plainly")]
    pub(super) kind: Box<str>,
    #[serde(deserialize_with = "plainly")]
    pub(super) name: Box<str>,
}

/// What a person has to know first of a pull: how it ended, what it waits for, or how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Failed,
    Stalled,
    Retrying,
    /// Waits for a layer that another pull brings.
    Layer,
    /// Waits for a download slot.
    Slot,
    /// A wait that this program does not know yet.
    Waiting,
    /// The agent is silent.
    Stale,
    Downloading,
    Unpacking,
    Resolving,
    Queued,
    Lost,
    Canceled,
    Ready,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    Queued,
    Resolving,
    Downloading,
    Unpacking,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ready,
    Failed,
    Canceled,
    Lost,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Wait {
    kind: WaitKind,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WaitKind {
    DownloadSlot,
    LayerLock,
    Stalled,
    Retrying,
    #[serde(other)]
    Other,
}

impl State {
    /// The word on the screen; at most 11 cells.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stalled => "stalled",
            Self::Retrying => "retrying",
            Self::Layer => "layer lock",
            Self::Slot => "slot wait",
            Self::Waiting => "waiting",
            Self::Stale => "stale",
            Self::Downloading => "downloading",
            Self::Unpacking => "unpacking",
            Self::Resolving => "resolving",
            Self::Queued => "queued",
            Self::Lost => "lost",
            Self::Canceled => "canceled",
            Self::Ready => "ready",
        }
    }

    /// Whether the pull has no outcome yet.
    pub(super) const fn is_running(self) -> bool {
        !matches!(self, Self::Failed | Self::Lost | Self::Canceled | Self::Ready)
    }

    /// Whether it waits for something that others hold, or for the connection.
    pub(super) const fn is_waiting(self) -> bool {
        matches!(self, Self::Stalled | Self::Retrying | Self::Layer | Self::Slot | Self::Waiting)
    }
}

impl Pull {
    /// The most telling of what is known.
    pub(super) const fn state(&self) -> State {
        match (self.outcome, self.stale, self.wait) {
            (Some(Outcome::Ready), ..) => State::Ready,
            (Some(Outcome::Failed), ..) => State::Failed,
            (Some(Outcome::Canceled), ..) => State::Canceled,
            (Some(Outcome::Lost), ..) => State::Lost,
            (None, true, _) => State::Stale,
            (None, false, Some(wait)) => match wait.kind {
                WaitKind::DownloadSlot => State::Slot,
                WaitKind::LayerLock => State::Layer,
                WaitKind::Stalled => State::Stalled,
                WaitKind::Retrying => State::Retrying,
                WaitKind::Other => State::Waiting,
            },
            (None, false, None) => match self.phase {
                Phase::Queued => State::Queued,
                Phase::Resolving => State::Resolving,
                Phase::Downloading => State::Downloading,
                Phase::Unpacking => State::Unpacking,
            },
        }
    }

    /// The best known name of the image.
    pub(super) fn image(&self) -> Arc<str> {
        self.image.clone().or_else(|| self.digest.clone()).unwrap_or_else(|| Arc::from("(name not known yet)"))
    }

    /// The image's name, without what everybody leaves out; of a digest its beginning.
    pub(super) fn familiar(&self) -> String {
        if let (None, Some(digest)) = (&self.image, &self.digest) {
            return format!("sha256:{}", short(digest));
        }
        let image = self.image();
        let short = image.strip_prefix("docker.io/").unwrap_or(&image);
        short.strip_prefix("library/").unwrap_or(short).to_owned()
    }

    /// Whether it has an image of which the name is known.
    pub(super) const fn named(&self) -> Option<&Arc<str>> {
        self.image.as_ref()
    }

    /// The workload, or the pod, for which it is pulled, and how many more there are.
    pub(super) fn whose(&self) -> Option<(&str, usize)> {
        let first = self.pods.first()?;
        let name = |pod: &'_ Pod| pod.workload.as_ref().map_or_else(|| pod.pod_name.clone(), |workload| workload.name.clone());
        let own = name(first);
        let mut others: Vec<_> = self.pods.iter().map(name).filter(|other| *other != own).collect();
        others.sort_unstable();
        others.dedup();
        Some((first.workload.as_ref().map_or(&*first.pod_name, |workload| &*workload.name), others.len()))
    }

    /// Speed, of a pull that runs.
    pub(super) fn speed(&self) -> u64 {
        self.bytes_per_sec.filter(|_| self.state().is_running()).unwrap_or_default()
    }

    /// How long it took or has taken, `since` its state was told. The node's clock is only compared with itself.
    pub(super) fn elapsed(&self, since: Duration) -> Duration {
        match self.completed_at {
            Some(end) => end.since(self.started_at),
            None => self.updated_at.since(self.started_at) + since,
        }
    }

    /// When what matters most of it happened: its end, the last byte, or its begin.
    pub(super) fn at(&self) -> Timestamp {
        self.completed_at.or(self.stalled_since).unwrap_or(self.started_at)
    }

    /// When it was seen last, by the node's clock.
    pub(super) const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// Whether everything was on the node already.
    pub(super) const fn is_cached(&self) -> bool {
        self.downloaded_bytes == 0 && self.cached_bytes > 0
    }
}

fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PullId, D::Error> {
    std::borrow::Cow::<'_, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(more: &str) -> Pull {
        let json = format!(
            r#"{{"id":"{:032x}","nodeName":"n1","phase":"unpacking","summary":"s","startedAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:10Z"{more}}}"#,
            7
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn the_state_is_what_a_person_has_to_know_first() {
        assert_eq!(pull("").state(), State::Unpacking);
        assert_eq!(pull(r#","wait":{"kind":"layer_lock","since":"x"}"#).state(), State::Layer);
        assert_eq!(pull(r#","wait":{"kind":"quota"}"#).state(), State::Waiting, "a word of a later version");
        assert_eq!(pull(r#","wait":{"kind":"stalled"},"stale":true"#).state(), State::Stale);
        assert_eq!(pull(r#","outcome":"failed","stale":true"#).state(), State::Failed);
    }

    #[test]
    fn elapsed_does_not_compare_clocks_of_two_machines() {
        assert_eq!(pull("").elapsed(Duration::from_secs(5)), Duration::from_secs(15));
        assert_eq!(pull(r#","completedAt":"2026-01-01T00:00:07Z""#).elapsed(Duration::from_secs(5)), Duration::from_secs(7));
    }

    #[test]
    fn a_pull_is_for_a_workload_and_others() {
        let pod =
            |pod: &str, workload: &str| format!(r#"{{"namespace":"a","podName":"{pod}","container":"c","image":"i"{workload}}}"#);
        let web = r#","workload":{"kind":"Deployment","name":"web"}"#;
        let pods = [pod("web-1", web), pod("web-2", web), pod("job", "")].join(",");
        assert_eq!(pull(&format!(r#","pods":[{pods}]"#)).whose(), Some(("web", 1)));
        assert_eq!(pull(&format!(r#","pods":[{}]"#, pod("job", ""))).whose(), Some(("job", 0)));
        assert_eq!(pull("").whose(), None);
    }

    #[test]
    fn names_cannot_drive_a_terminal() {
        assert_eq!(&*pull(r#","imageRef":"a\u001b[2Jb""#).image(), "a [2Jb");
    }
}
