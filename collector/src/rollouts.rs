//! How far workloads are with their images, node by node: what `/api/v1/workloads` answers ([`crate::http`]) and what has series of its own
//! ([`crate::metrics`]). Of pods that wait for images, or did lately; who makes pods is not asked how many there shall be.

use std::collections::BTreeMap;

use lifecycle::{
    board::{ContainerStatus, PodStatus, Workload, status::PullStatus},
    explain::Rollout,
    pull::PullId,
};

use crate::snapshot::{Row, Snapshot};

/// Every workload of this namespace, or of all, by namespace, kind and name.
pub(crate) fn all<'a>(snapshot: &'a Snapshot, namespace: Option<&str>) -> Vec<((&'a str, &'a Workload), Rollout)> {
    let mut grouped: BTreeMap<(&str, &Workload), Vec<&PodStatus>> = BTreeMap::new();
    for pod in snapshot.pods().filter(|pod| namespace.is_none_or(|wanted| *pod.namespace == *wanted)) {
        if let Some(workload) = &pod.workload {
            grouped.entry((&pod.namespace, workload)).or_default().push(pod);
        }
    }
    grouped.into_iter().map(|(key, pods)| (key, rollout(&pods, snapshot))).collect()
}

/// The pull that a container names.
pub(crate) fn pull_of<'a>(container: &ContainerStatus, snapshot: &'a Snapshot) -> Option<&'a PullStatus> {
    row_of(container, snapshot).map(|row| row.status())
}

fn row_of<'a>(container: &ContainerStatus, snapshot: &'a Snapshot) -> Option<&'a Row> {
    container.pull_id.and_then(|id| snapshot.row(id)).map(AsRef::as_ref)
}

/// How far each node is: as its slowest pod.
fn rollout(pods: &[&PodStatus], snapshot: &Snapshot) -> Rollout {
    let mut nodes: BTreeMap<&str, Slowest> = BTreeMap::new();
    for pod in pods {
        let slowest = nodes.entry(pod.node_name.as_deref().unwrap_or_default()).or_default();
        *slowest = slowest.or(Slowest::of(pod, snapshot));
    }
    let count = |wanted| nodes.values().filter(|node| node.stage == wanted).count();
    let open = nodes.values().filter(|node| node.stage > Stage::Ready).map(|node| node.eta_seconds);
    let eta_seconds = open.collect::<Option<Vec<_>>>().and_then(|etas| etas.into_iter().max_by(f64::total_cmp));
    Rollout {
        done: count(Stage::Ready),
        pulling: count(Stage::Pulling),
        queued: count(Stage::Queued),
        failed: count(Stage::Failed),
        eta_seconds,
    }
}

/// How far an image is where it is wanted; the later, the slower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It is there.
    #[default]
    Ready,
    /// It is pulled.
    Pulling,
    /// It waits for its turn.
    Queued,
    /// It was not to be had.
    Failed,
}

impl Stage {
    /// The words for them.
    pub(crate) const ALL: [&str; 4] = ["ready", "pulling", "queued", "failed"];

    fn of(state: &str) -> Self {
        match state {
            "ready" => Self::Ready,
            "pulling" => Self::Pulling,
            "failed" => Self::Failed,
            _ => Self::Queued,
        }
    }

    /// One of [`Self::ALL`].
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Pulling => "pulling",
            Self::Queued => "queued",
            Self::Failed => "failed",
        }
    }
}

/// The slowest of several containers, which is what all of them wait for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slowest {
    pub(crate) stage: Stage,
    /// Estimated seconds until its image is there.
    pub(crate) eta_seconds: Option<f64>,
    /// The pull that brings the image, brought or did not bring it.
    pub(crate) pull: Option<PullId>,
}

impl Slowest {
    /// Of a pod's.
    pub(crate) fn of(pod: &PodStatus, snapshot: &Snapshot) -> Self {
        let each = pod.containers.iter().map(|container| Self {
            stage: Stage::of(container.state),
            eta_seconds: row_of(container, snapshot).and_then(|row| row.view.eta()).map(|eta| eta.as_secs_f64()),
            pull: container.pull_id,
        });
        each.reduce(Self::or).unwrap_or_default()
    }

    fn or(self, other: Self) -> Self {
        let rank = |of: &Self| (of.stage, of.eta_seconds.unwrap_or(-1.0));
        if rank(&other) > rank(&self) { other } else { self }
    }
}
