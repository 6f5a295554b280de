//! The story of one pull: what happened to it and when, and which tries came before and after it. Told from statuses alone, so whoever holds a
//! picture of the pulls can tell it without asking the board.
//!
//! A kubelet that does not get an image asks again, and each time is a pull of its own: those of one image on one node that follow one
//! another without success are one episode. The one sentence about a pull is the business of [`crate::explain`].

use std::time::Duration;

use serde::Serialize;

use super::{
    PodStatus,
    status::{LayerStatus, PullStatus},
};
use crate::{
    image::{Digest, ImageRef},
    pull::{LayerState, Phase, PullId, TimingSource, Waited},
    time::Timestamp,
};

/// Most tries of one episode that are told: the last ones.
pub const MAX_ATTEMPTS: usize = 100;
/// A try that follows later than this is another episode, unless the same container waits for it: twice a kubelet's longest pause.
const PAUSE: Duration = Duration::from_secs(600);

/// What is known of a pull beside its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// When manifest and config were both here.
    pub resolved_at: Option<Timestamp>,
    /// Waits that are over, oldest first.
    pub waits: Vec<Waited>,
    /// How exactly the time of its end is known.
    pub ending_source: Option<TimingSource>,
    /// Whether only a kubelet tells of it.
    pub is_secondhand: bool,
}

/// One try to get an image onto a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The pull that was this try.
    pub pull_id: PullId,
    /// Whether it is the pull that was asked for.
    pub current: bool,
    /// Which try of the kubelet's it was, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Who tells of it: `agent`, or `kubelet` where containerd shows nothing.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["agent", "kubelet"])))]
    pub source: &'static str,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// How it ended; absent while it runs.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = crate::pull::Outcome::WORDS)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// Original text of the error, or what was observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its class.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = crate::pull::ErrorClass::ALL.map(crate::pull::ErrorClass::as_str))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<&'static str>,
    /// What usually helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_hint: Option<&'static str>,
    /// When the kubelet asks again, or asked again, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<Timestamp>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: What,
    /// How the time is known: `event`, `record`, `poll` or `inferred`, best first, or `kubelet` by its event, to the second.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["event", "record", "poll", "inferred", "kubelet"])))]
    pub source: &'static str,
    /// Which wait it was: `download_slot`, `layer_lock`, `stalled` or `retrying`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = crate::pull::Wait::WORDS)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<&'static str>,
    /// The layer it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer: Option<Digest>,
    /// The pull that is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_id: Option<PullId>,
    /// The container it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Whom>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Whom {
    /// Namespace of its pod.
    pub namespace: Box<str>,
    /// Name of its pod.
    pub pod_name: Box<str>,
    /// Its name.
    pub container: Box<str>,
}

/// What can happen to a pull. Of things that happen at one time the first in this order is told first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The kubelet was first asked for the image of a container.
    ImageWanted,
    /// The kubelet asked, and the runtime has not begun.
    Queued,
    /// The pull began; the manifest is looked for.
    Resolving,
    /// The manifest is known, and layers are fetched.
    Downloading,
    /// A layer's download was opened.
    LayerStarted,
    /// A wait began.
    WaitStarted,
    /// A wait was over.
    WaitCompleted,
    /// A layer's last byte was there.
    LayerCompleted,
    /// Every byte is there, and layers are unpacked.
    Unpacking,
    /// Unpacking of a layer began.
    LayerUnpackStarted,
    /// A layer was unpacked.
    LayerUnpackCompleted,
    /// The image of a container was there.
    ImageThere,
    /// The pull ended with the image.
    Ready,
    /// It ended by an error.
    Failed,
    /// It was taken back.
    Canceled,
    /// Nobody knows how it ended.
    Lost,
}

impl Moment {
    const fn new(at: Timestamp, what: What, source: &'static str) -> Self {
        Self { at, what, source, wait: None, layer: None, pull_id: None, pod: None }
    }
}

/// What happened to a pull, in order, with what its pods say about their waiting for it.
pub fn timeline<'a>(pull: &PullStatus, pods: impl IntoIterator<Item = &'a PodStatus>) -> Vec<Moment> {
    let mut moments = phases(pull);
    for layer in pull.layers.iter().flatten() {
        moments.extend(of_layer(layer));
    }
    moments.extend(waits(pull));
    for pod in pods {
        moments.extend(of_pod(pull.id, pod));
    }
    moments.extend(outcome(pull));
    moments.sort_by_key(|moment| (moment.at, moment.what));
    moments
}

/// The tries that the pull is one of, oldest first, found among other pulls; itself among them.
pub fn attempts<'a>(pull: &'a PullStatus, others: impl IntoIterator<Item = &'a PullStatus>) -> Vec<Attempt> {
    let mut tries: Vec<_> = others.into_iter().filter(|other| other.id != pull.id && is_same(pull, other)).collect();
    tries.push(pull);
    tries.sort_by_key(|other| (other.started_at, other.id));
    let place = tries.iter().position(|other| other.id == pull.id).unwrap_or_default();
    let first = (1..=place).rev().take_while(|at| follows(tries[at - 1], tries[*at])).count();
    let more = (place + 1..tries.len()).take_while(|at| follows(tries[at - 1], tries[*at])).count();
    let episode = &tries[place - first..=place + more];
    let from = episode.len().saturating_sub(MAX_ATTEMPTS);
    episode[from..].iter().map(|other| Attempt::of(other, other.id == pull.id)).collect()
}

impl Attempt {
    fn of(pull: &PullStatus, current: bool) -> Self {
        Self {
            pull_id: pull.id,
            current,
            attempt: pull.attempt,
            source: if pull.past.is_secondhand { "kubelet" } else { "agent" },
            started_at: pull.started_at,
            completed_at: pull.completed_at,
            outcome: pull.outcome,
            error: pull.error.clone(),
            error_class: pull.error_class,
            error_hint: pull.error_hint,
            next_retry_at: pull.next_retry_at,
        }
    }
}

/// Whether both are of one image, as far as their names are known, on one node.
fn is_same(pull: &PullStatus, other: &PullStatus) -> bool {
    let same = |a: &ImageRef, b: &ImageRef| {
        a.is_same_repository(b)
            && (a.tag() == b.tag() || a.tag().is_none() || b.tag().is_none())
            && (a.digest() == b.digest() || a.digest().is_none() || b.digest().is_none())
    };
    pull.node_name == other.node_name
        && pull.containerd_namespace == other.containerd_namespace
        && pull.image_ref.as_ref().zip(other.image_ref.as_ref()).is_some_and(|(a, b)| same(a, b))
}

/// Whether a try is the next one after another: that did not succeed, and this came soon after it or for the same container.
fn follows(earlier: &PullStatus, later: &PullStatus) -> bool {
    let soon = earlier.completed_at.is_none_or(|end| later.started_at <= end + PAUSE);
    let whom = |pull: &PullStatus| {
        pull.pods.iter().map(|pod| (pod.namespace.clone(), pod.pod_name.clone(), pod.container.clone())).collect::<Vec<_>>()
    };
    let before = whom(earlier);
    earlier.outcome != Some("ready") && (soon || whom(later).iter().any(|whom| before.contains(whom)))
}

fn phases(pull: &PullStatus) -> Vec<Moment> {
    let began = match pull.past.is_secondhand {
        true => Moment::new(pull.started_at, What::Queued, "kubelet"),
        false => Moment::new(pull.started_at, What::Resolving, TimingSource::Record.as_str()),
    };
    let layers = || pull.layers.iter().flatten().filter(|layer| layer.state != LayerState::Cached);
    let opened = layers().filter_map(|layer| Some((layer.started_at?, layer.download_source))).min();
    let resolved = pull.past.resolved_at.map(|at| (at, TimingSource::Record));
    let downloading = opened.map(|opened| resolved.unwrap_or(opened));
    let is_unpacked = pull.phase == Phase::Unpacking || pull.outcome == Some("ready");
    let committed = layers().filter_map(|layer| Some((layer.completed_at?, layer.download_source))).max();
    let unpacked = layers().filter_map(|layer| Some((layer.unpack_started_at?, layer.unpack_source))).min();
    let unpacking = unpacked.or(committed.filter(|_| pull.phase == Phase::Unpacking)).filter(|_| is_unpacked);
    let unpacking = unpacking.map(|first| committed.map_or(first, |last| last.max(first)));
    let mut moments = vec![began];
    moments.extend(downloading.map(|(at, source)| Moment::new(at, What::Downloading, source.as_str())));
    moments.extend(unpacking.map(|(at, source)| Moment::new(at, What::Unpacking, source.as_str())));
    moments
}

fn of_layer(layer: &LayerStatus) -> impl Iterator<Item = Moment> {
    let times = [
        (layer.started_at, What::LayerStarted, layer.download_source),
        (layer.completed_at, What::LayerCompleted, layer.download_source),
        (layer.unpack_started_at, What::LayerUnpackStarted, layer.unpack_source),
        (layer.unpack_completed_at, What::LayerUnpackCompleted, layer.unpack_source),
    ];
    let digest = layer.digest.clone();
    times.into_iter().filter_map(move |(at, what, source)| {
        Some(Moment { layer: Some(digest.clone()), ..Moment::new(at?, what, source.as_str()) })
    })
}

/// The agent sees waits when it looks.
fn waits(pull: &PullStatus) -> impl Iterator<Item = Moment> {
    let moment = |at, what, wait: &super::status::WaitStatus| Moment {
        wait: Some(wait.kind),
        layer: wait.layer.clone(),
        pull_id: wait.pull_id,
        ..Moment::new(at, what, TimingSource::Poll.as_str())
    };
    let over = pull.past.waits.iter().flat_map(move |waited| {
        let wait = super::status::WaitStatus::past(&waited.wait);
        [moment(wait.since, What::WaitStarted, &wait), moment(waited.until, What::WaitCompleted, &wait)]
    });
    over.chain(pull.wait.iter().map(move |wait| moment(wait.since, What::WaitStarted, wait)))
}

fn of_pod(pull: PullId, pod: &PodStatus) -> impl Iterator<Item = Moment> {
    let waiting = pod.containers.iter().filter(move |container| container.pull_id == Some(pull));
    waiting.flat_map(|container| {
        let whom =
            Whom { namespace: pod.namespace.clone(), pod_name: pod.pod_name.clone(), container: container.container.clone() };
        let times = [(container.waiting_since, What::ImageWanted), (container.ready_at, What::ImageThere)];
        times
            .into_iter()
            .filter_map(move |(at, what)| Some(Moment { pod: Some(whom.clone()), ..Moment::new(at?, what, "kubelet") }))
    })
}

fn outcome(pull: &PullStatus) -> Option<Moment> {
    let what = match pull.outcome? {
        "ready" => What::Ready,
        "failed" => What::Failed,
        "canceled" => What::Canceled,
        _ => What::Lost,
    };
    let source = if pull.past.is_secondhand { "kubelet" } else { pull.past.ending_source.unwrap_or_default().as_str() };
    Some(Moment::new(pull.completed_at?, what, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::PodRef;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000_000 + second * 1000)
    }

    /// A try that began and ended so.
    fn tried(image: &str, began: u64, ended: Option<(u64, &'static str)>) -> PullStatus {
        let report = crate::pull::Report {
            node: std::sync::Arc::new(crate::pull::Node {
                name: "node-1".parse().unwrap(),
                uid: "u".into(),
                cluster: String::new(),
                runtime_name: String::new(),
                runtime_version: String::new(),
            }),
            pull: crate::pull::Pull {
                id: PullId::derive("u", "k8s.io", image, at(began)),
                sequence: 1,
                namespace: "k8s.io".into(),
                image: image.parse().ok(),
                digest: None,
                snapshotter: String::new(),
                phase: Phase::Resolving,
                wait: None,
                waits: Vec::new(),
                ending: None,
                started_at: at(began),
                resolved_at: None,
                observed_at: at(began),
                total_known: false,
                bytes_per_sec: None,
                eta: None,
                host: crate::pull::Host::default(),
                layers: Vec::new(),
            },
        };
        let mut board = super::super::Board::new(super::super::Limits::default());
        let id = report.pull.id;
        board.observe(super::super::Input::Pull(Box::new(report)), at(began));
        let mut status = board.status(id).unwrap();
        (status.completed_at, status.outcome) = (ended.map(|(at_, _)| at(at_)), ended.map(|(_, outcome)| outcome));
        status
    }

    fn episode(of: &PullStatus, all: &[PullStatus]) -> Vec<u64> {
        let told = attempts(of, all);
        assert_eq!(told.iter().filter(|attempt| attempt.current).map(|attempt| attempt.pull_id).collect::<Vec<_>>(), [of.id]);
        told.iter().map(|attempt| attempt.started_at.since(at(0)).as_secs()).collect()
    }

    #[test]
    fn tries_without_success_that_follow_one_another_are_one_episode() {
        let all = [
            tried("a:1", 0, Some((5, "ready"))),
            tried("a:1", 20, Some((25, "failed"))),
            tried("b:1", 26, Some((27, "failed"))),
            tried("a:1", 40, Some((45, "canceled"))),
            tried("a:1", 300, None),
            tried("a:2", 301, None),
        ];
        for of in [&all[1], &all[3], &all[4]] {
            assert_eq!(episode(of, &all), [20, 40, 300]);
        }
        assert_eq!(episode(&all[0], &all), [0], "a success ends its episode");
        assert_eq!(episode(&all[2], &all), [26], "another image");
    }

    #[test]
    fn a_long_pause_parts_episodes_unless_the_same_container_waits() {
        let mut all = [tried("a:1", 0, Some((5, "failed"))), tried("a:1", 5000, None)];
        assert_eq!(episode(&all[1], &all), [5000]);
        let pod = PodRef {
            namespace: "shop".into(),
            pod_name: "web".into(),
            container: "app".into(),
            image: "a:1".into(),
            workload: None,
        };
        for pull in &mut all {
            pull.pods.push(pod.clone());
        }
        assert_eq!(episode(&all[1], &all), [0, 5000]);
    }

    #[test]
    fn only_the_last_tries_of_a_long_episode_are_told() {
        let all: Vec<_> = (0..150).map(|n| tried("a:1", n * 10, Some((n * 10 + 1, "failed")))).collect();
        let told = episode(&all[149], &all);
        assert_eq!((told.len(), told[0]), (MAX_ATTEMPTS, 500));
    }
}
