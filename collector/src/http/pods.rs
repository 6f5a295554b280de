//! REST about pods: everything that a pod's start waits for, and how far rollouts are. Pods are kept while they wait for images and as long as
//! history after; how they look is the business of `lifecycle::board`, what is said of them of `lifecycle::explain`.

use std::collections::BTreeSet;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, Uri},
    response::Response,
};
use lifecycle::{
    board::{ContainerStatus, PodKey, PodStatus, status::PullStatus},
    explain::{self, Image},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Problem, Site,
    answer::written,
    query::{Asked, NAMESPACE},
};
use crate::{
    rollouts::{self, pull_of},
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

/// `GET /api/v1/pods/{namespace}/{pod}`.
pub(super) async fn pod(
    State(site): State<Site>,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Asked::read(&uri, &[])?;
    let Path((namespace, name)) = path?;
    let key = PodKey { namespace: namespace.into(), name: name.into() };
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

fn summary(pod: &PodStatus, snapshot: &Snapshot) -> String {
    let images: Vec<_> = pod.containers.iter().map(|container| image(container, pull_of(container, snapshot))).collect();
    explain::pod(&images)
}

fn image<'a>(container: &'a ContainerStatus, pull: Option<&'a PullStatus>) -> Image<'a> {
    Image {
        name: &container.image,
        state: container.state,
        percent: pull.and_then(|pull| pull.percent),
        eta_seconds: pull.and_then(|pull| pull.eta_seconds),
        behind: container.queue.as_ref().map(|queue| (queue.behind.familiar(), queue.position, queue.of)),
        attempt: container.attempt,
        error: container.error.as_deref(),
        hint: container.error_hint,
    }
}
