//! REST about pods: everything that a pod's start waits for, and how far rollouts are. Pods are kept while they wait for images and as long as
//! history after; how they look is the business of `lifecycle::board`, what is said of them of `lifecycle::explain`.

use std::collections::BTreeSet;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, Uri},
    response::Response,
};
use lifecycle::{
    board::{ContainerStatus, PodKey, PodStatus, Workload, status::PullStatus},
    explain::{self, Image},
    pull::PullId,
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Problem, Site,
    answer::written,
    query::{Asked, NAMESPACE, NODE, POD_KEYS, WORKLOAD},
};
use crate::{
    rollouts::{self, Slowest, Stage, pull_of},
    snapshot::Snapshot,
};

/// One pod, and what its start waits for.
#[derive(JsonSchema, Serialize)]
pub(super) struct PodAnswer<'a> {
    #[serde(flatten)]
    pod: &'a PodStatus,
    /// The one sentence.
    summary: String,
    /// The pulls that its containers name, without layers.
    #[schemars(with = "Vec<PullStatus>")]
    pulls: Vec<&'a RawValue>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodList<'a> {
    /// The pods, by namespace and name.
    pods: Vec<PodItem<'a>>,
    /// Where the list goes on; absent at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One pod in short.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct PodItem<'a> {
    /// Its namespace.
    namespace: &'a str,
    /// Its name.
    pod_name: &'a str,
    /// Where it was placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    node_name: Option<&'a str>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    workload: Option<&'a Workload>,
    /// How far its slowest container is: `ready`, `pulling`, `queued` or `failed`.
    #[schemars(extend("enum" = Stage::ALL))]
    state: &'static str,
    /// The pull that this container names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_id: Option<PullId>,
    /// Estimated seconds until its image is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_seconds: Option<f64>,
    /// When the kubelet first asked for one of its images.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_since: Option<Timestamp>,
    /// Its containers.
    container_count: usize,
    /// The one sentence.
    summary: String,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct WorkloadList {
    /// The workloads, by namespace, kind and name.
    workloads: Vec<WorkloadStatus>,
}

/// How far the pods of one workload are that wait for images, or did lately.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkloadStatus {
    /// Namespace of its pods.
    namespace: String,
    /// `Deployment`, `DaemonSet`, ...
    kind: String,
    /// Its name.
    name: String,
    /// The one sentence.
    summary: String,
    /// Nodes on which all its pods have their images.
    nodes_done: usize,
    /// Nodes on which images are pulled for it.
    nodes_pulling: usize,
    /// Nodes on which its images wait for their turn.
    nodes_queued: usize,
    /// Nodes on which an image of it was not to be had.
    nodes_failed: usize,
    /// Estimated seconds until the last node has the images; absent where a node has no estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_seconds: Option<f64>,
}

/// `GET /api/v1/pods`.
pub(super) async fn pods(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let mut asked = Asked::read(&uri, &POD_KEYS)?;
    let limit = asked.limit()?;
    let [namespace, workload, node, cursor] = [NAMESPACE.name, WORKLOAD.name, NODE.name, "cursor"].map(|key| asked.text(key));
    let behind = cursor.map(|text| {
        let (namespace, name) = text.split_once('/').unwrap_or((&text, ""));
        (namespace.to_owned(), name.to_owned())
    });
    site.answer(headers, move |snapshot| {
        let is = |wanted: &Option<String>, text: Option<&str>| wanted.as_deref().is_none_or(|wanted| text == Some(wanted));
        let is_of = |pod: &PodStatus| match (&workload, &pod.workload) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wanted), Some(of)) => wanted.split_once('/').is_some_and(|(kind, name)| (kind, name) == (&of.kind, &of.name)),
        };
        let mut wanted = snapshot.pods().map(AsRef::as_ref).filter(|pod| {
            let at = (&*pod.namespace, &*pod.pod_name);
            behind.as_ref().is_none_or(|(namespace, name)| at > (namespace.as_str(), name.as_str()))
                && is(&namespace, Some(&pod.namespace))
                && is(&node, pod.node_name.as_deref())
                && is_of(pod)
        });
        let pods: Vec<_> = wanted.by_ref().take(limit).map(|pod| PodItem::of(pod, snapshot)).collect();
        let last = wanted.next().and(pods.last());
        let next_cursor = last.map(|pod| format!("{}/{}", pod.namespace, pod.pod_name));
        written(&PodList { pods, next_cursor })
    })
    .await
}

impl<'a> PodItem<'a> {
    fn of(pod: &'a PodStatus, snapshot: &Snapshot) -> Self {
        let slowest = Slowest::of(pod, snapshot);
        Self {
            namespace: &pod.namespace,
            pod_name: &pod.pod_name,
            node_name: pod.node_name.as_deref(),
            workload: pod.workload.as_ref(),
            state: slowest.stage.word(),
            pull_id: slowest.pull,
            eta_seconds: slowest.eta_seconds,
            waiting_since: pod.containers.iter().filter_map(|container| container.waiting_since).min(),
            container_count: pod.containers.len(),
            summary: summary(pod, snapshot),
        }
    }
}

/// Namespace and name of a pod in a path.
pub(super) type PodPath = Result<Path<(String, String)>, PathRejection>;

/// The pod that is asked for, about which there is nothing to choose.
pub(super) fn asked_for(path: PodPath, uri: &Uri) -> Result<PodKey, Problem> {
    Asked::read(uri, &[])?;
    let Path((namespace, name)) = path?;
    Ok(PodKey { namespace: namespace.into(), name: name.into() })
}

/// `GET /api/v1/pods/{namespace}/{pod}`.
pub(super) async fn pod(State(site): State<Site>, path: PodPath, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let key = asked_for(path, &uri)?;
    site.answer(headers, move |snapshot| {
        let pod = snapshot.pod(&key).ok_or_else(|| {
            Problem::NotFound(format!(
                "pod {}/{} waits for no image and did not lately, as far as is known",
                key.namespace, key.name
            ))
        })?;
        let ids: BTreeSet<_> = pod.containers.iter().filter_map(|container| container.pull_id).collect();
        let rows: Vec<_> = ids.into_iter().filter_map(|id| snapshot.row(id)).collect();
        let pulls = rows.iter().map(|row| row.json(false)).collect::<Result<_, _>>()?;
        written(&PodAnswer { pod, summary: summary(pod, snapshot), pulls })
    })
    .await
}

/// `GET /api/v1/workloads`.
pub(super) async fn workloads(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = Asked::read(&uri, &[NAMESPACE])?.text(NAMESPACE.name);
    site.answer(headers, move |snapshot| {
        let all = rollouts::all(snapshot, wanted.as_deref());
        let workloads = all.into_iter().map(|((namespace, workload), rollout)| WorkloadStatus {
            namespace: namespace.to_owned(),
            kind: workload.kind.to_string(),
            name: workload.name.to_string(),
            summary: explain::rollout(&rollout),
            nodes_done: rollout.done,
            nodes_pulling: rollout.pulling,
            nodes_queued: rollout.queued,
            nodes_failed: rollout.failed,
            eta_seconds: rollout.eta_seconds,
        });
        written(&WorkloadList { workloads: workloads.collect() })
    })
    .await
}

/// The one sentence of a pod.
pub(super) fn summary(pod: &PodStatus, snapshot: &Snapshot) -> String {
    let images: Vec<_> = pod.containers.iter().map(|container| image(container, pull_of(container, snapshot))).collect();
    explain::pod(&images)
}

fn image<'a>(container: &'a ContainerStatus, pull: Option<&'a PullStatus>) -> Image<'a> {
    Image {
        name: &container.image,
        state: container.state,
        percent: pull.and_then(|pull| pull.percent),
        eta_seconds: pull.and_then(|pull| pull.eta_seconds),
        wait: pull.and_then(|pull| pull.wait.as_ref()).map(|wait| wait.kind),
        behind: container.queue.as_ref().map(|queue| (queue.behind.familiar(), queue.position, queue.of)),
        attempt: container.attempt,
        error: container.error.as_deref(),
        hint: container.error_hint,
    }
}
