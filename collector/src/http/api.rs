//! REST about pulls and nodes: what is known now, each question answered from one picture.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::{HeaderMap, Uri},
    response::Response,
};
use lifecycle::{
    board::{Attempt, Moment, PodKey, PodStatus, attempts, status::NodeStatus, status::PullStatus, timeline},
    pull::PullId,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Problem, Site,
    answer::written,
    query::{Asked, Question, Wanted, cursor_behind},
};
use crate::{
    census::Census,
    snapshot::{Row, Snapshot},
};

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PullList<'a> {
    /// The pulls, newest first.
    #[schemars(with = "Vec<PullStatus>")]
    pulls: Vec<&'a RawValue>,
    /// Where the list goes on; absent at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One pull and its story.
#[derive(JsonSchema, Serialize)]
pub(super) struct PullDetail<'a> {
    #[serde(flatten)]
    pull: &'a PullStatus,
    /// The tries to get this image onto this node that follow one another, oldest first; this pull is one of them.
    attempts: Vec<Attempt>,
    /// What happened, in order.
    timeline: Vec<Moment>,
}

#[derive(JsonSchema, Serialize)]
pub(super) struct NodeList<'a> {
    /// The nodes, by name.
    nodes: Vec<&'a NodeStatus>,
}

/// All of it in a few numbers.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    /// Pulls in memory.
    pulls: usize,
    /// Of these, those that run.
    active: usize,
    /// Of these, those of which no byte arrives although one should.
    stalled: usize,
    /// Those whose agent is silent.
    stale: usize,
    /// Those that ended with the image.
    ready: usize,
    /// Those that ended by an error.
    failed: usize,
    /// Those that were taken back.
    canceled: usize,
    /// Those of which nobody knows how they ended.
    lost: usize,
    /// Bytes per second of all pulls that run.
    bytes_per_sec: u64,
    /// Nodes whose agents are known.
    nodes: usize,
    /// Of these, those whose agents were heard within three heartbeats.
    nodes_connected: usize,
    /// Pods that lack an image for which their kubelet has asked.
    pods_waiting: usize,
}

/// `GET /api/v1/pulls`: newest first, with layers unless `layers=false`.
pub(super) async fn pulls(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = Wanted::read(&uri, Question::List)?;
    site.answer(headers, move |snapshot| {
        let mut found = snapshot.newest(wanted.after).filter(|row| wanted.filter.matches(row));
        let rows: Vec<_> = found.by_ref().take(wanted.limit).collect();
        let next_cursor = found.next().and(rows.last()).map(|row| cursor_behind(row.place()));
        let layers = wanted.layers.unwrap_or(true);
        let pulls = rows.iter().map(|row| row.json(layers)).collect::<Result<_, _>>()?;
        written(&PullList { pulls, next_cursor })
    })
    .await
}

/// `GET /api/v1/pulls/{id}`: one pull with its layers and its story.
pub(super) async fn pull(
    State(site): State<Site>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Asked::read(&uri, &[])?;
    let Path(id) = id?;
    let id: PullId = id.parse().map_err(|error| Problem::BadRequest(format!("{error}")))?;
    site.answer(headers, move |snapshot| {
        let row = snapshot.row(id).ok_or_else(|| Problem::NotFound(format!("no pull {id} is in memory")))?;
        let pull = row.status();
        let same = |other: &Row| {
            let images = row.view.image().zip(other.view.image());
            row.view.node() == other.view.node() && images.is_some_and(|(one, other)| one.is_same_repository(other))
        };
        let attempts = attempts(pull, snapshot.akin(row).filter(|other| same(other)).map(|other| other.status()));
        written(&PullDetail { pull, attempts, timeline: timeline(pull, pods_of(pull, snapshot)) })
    })
    .await
}

/// `GET /api/v1/nodes`: the nodes whose agents were heard of.
pub(super) async fn nodes(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    Asked::read(&uri, &[])?;
    site.answer(headers, |snapshot| written(&NodeList { nodes: snapshot.nodes.iter().collect() })).await
}

/// `GET /api/v1/summary`: all of it in a few numbers.
pub(super) async fn summary(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    Asked::read(&uri, &[])?;
    site.answer(headers, |snapshot| written(&Summary::of(snapshot))).await
}

/// The pods that wait for a pull, as far as they are kept, each once.
fn pods_of<'a>(pull: &PullStatus, snapshot: &'a Snapshot) -> Vec<&'a PodStatus> {
    let keys = pull.pods.iter().map(|pod| PodKey { namespace: pod.namespace.clone(), name: pod.pod_name.clone() });
    let keys: std::collections::BTreeSet<_> = keys.collect();
    keys.iter().filter_map(|key| snapshot.pod(key)).map(|pod| &**pod).collect()
}

impl Summary {
    fn of(snapshot: &Snapshot) -> Self {
        let Census { pulls, active, stalled, stale, ready, failed, canceled, lost, bytes_per_sec } = snapshot.census;
        Self {
            pulls,
            active,
            stalled,
            stale,
            ready,
            failed,
            canceled,
            lost,
            bytes_per_sec,
            nodes: snapshot.nodes.len(),
            nodes_connected: snapshot.nodes.iter().filter(|node| node.connected).count(),
            pods_waiting: snapshot.pods().filter(|pod| is_waiting(pod)).count(),
        }
    }
}

/// Whether a kubelet has asked for an image of this pod that is not there.
fn is_waiting(pod: &PodStatus) -> bool {
    pod.containers.iter().any(|container| matches!(container.state, "queued" | "pulling" | "failed"))
}
