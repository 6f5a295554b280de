//! REST: questions about what is known now, each answered from one snapshot.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use lifecycle::{
    board::{PodStatus, status::NodeStatus},
    pull::PullId,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Problem, Site,
    query::{Question, Wanted, cursor_behind},
};
use crate::snapshot::Snapshot;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PullList<'a> {
    pulls: Vec<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct NodeList<'a> {
    nodes: &'a [NodeStatus],
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    pulls: usize,
    active: usize,
    stalled: usize,
    stale: usize,
    ready: usize,
    failed: usize,
    canceled: usize,
    lost: usize,
    bytes_per_sec: u64,
    nodes: usize,
    nodes_connected: usize,
    pods_waiting: usize,
}

/// `GET /api/v1/pulls`: newest first, with layers unless `layers=false`.
pub(super) async fn pulls(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = Wanted::read(&uri, Question::List)?;
    let snapshot = site.view.now();
    let tag = format!("W/\"{}\"", snapshot.cursor());
    if is_known(&headers, &tag) {
        return Ok(unchanged(&tag));
    }
    let mut found = snapshot.newest(wanted.after).filter(|row| wanted.filter.matches(&row.status));
    let rows: Vec<_> = found.by_ref().take(wanted.limit).collect();
    let next_cursor = found.next().and(rows.last()).map(|row| cursor_behind(row.place()));
    let layers = wanted.layers.unwrap_or(true);
    let pulls = rows.iter().map(|row| row.json(layers)).collect::<Result<_, _>>()?;
    json(&tag, &PullList { pulls, next_cursor })
}

/// `GET /api/v1/pulls/{id}`: one pull with its layers.
pub(super) async fn pull(
    State(site): State<Site>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    no_query(&uri)?;
    let id: PullId = id.parse().map_err(|error| Problem::BadRequest(format!("{error}")))?;
    let snapshot = site.view.now();
    let row = snapshot.row(id).ok_or_else(|| Problem::NotFound(format!("no pull {id} is in memory")))?;
    let tag = format!("W/\"{:016x}.{}\"", snapshot.epoch, row.revision);
    if is_known(&headers, &tag) { Ok(unchanged(&tag)) } else { json(&tag, row.json(true)?) }
}

/// `GET /api/v1/nodes`: the nodes whose agents were heard of.
pub(super) async fn nodes(State(site): State<Site>, uri: Uri) -> Result<Response, Problem> {
    no_query(&uri)?;
    Ok(axum::Json(NodeList { nodes: &site.view.now().nodes }).into_response())
}

/// `GET /api/v1/summary`: all of it in a few numbers.
pub(super) async fn summary(State(site): State<Site>, uri: Uri) -> Result<Response, Problem> {
    no_query(&uri)?;
    Ok(axum::Json(Summary::of(&site.view.now())).into_response())
}

impl Summary {
    fn of(snapshot: &Snapshot) -> Self {
        let mut sum = Self {
            nodes: snapshot.nodes.len(),
            nodes_connected: snapshot.nodes.iter().filter(|node| node.connected).count(),
            pods_waiting: snapshot.pods().filter(|pod| is_waiting(pod)).count(),
            ..Self::default()
        };
        for row in snapshot.newest(None) {
            let pull = &row.status;
            sum.pulls += 1;
            sum.active += usize::from(pull.is_running());
            sum.stalled += usize::from(pull.is_running() && pull.stalled_since.is_some());
            sum.stale += usize::from(pull.stale);
            sum.bytes_per_sec += pull.bytes_per_sec.filter(|_| pull.is_running()).unwrap_or(0);
            let outcomes = [
                ("ready", &mut sum.ready),
                ("failed", &mut sum.failed),
                ("canceled", &mut sum.canceled),
                ("lost", &mut sum.lost),
            ];
            for (outcome, count) in outcomes {
                *count += usize::from(pull.outcome == Some(outcome));
            }
        }
        sum
    }
}

/// Whether a kubelet has asked for an image of this pod that is not there.
fn is_waiting(pod: &PodStatus) -> bool {
    pod.containers.iter().any(|container| matches!(container.state, "queued" | "pulling" | "failed"))
}

pub(super) fn no_query(uri: &Uri) -> Result<(), Problem> {
    match uri.query().filter(|query| !query.is_empty()) {
        Some(query) => Err(Problem::BadRequest(format!("no query is understood here, not {query:?}"))),
        None => Ok(()),
    }
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').any(|known| known.trim() == tag)
}

fn unchanged(tag: &str) -> Response {
    (StatusCode::NOT_MODIFIED, tagged(tag)).into_response()
}

fn json(tag: &str, body: &(impl Serialize + ?Sized)) -> Result<Response, Problem> {
    let body = serde_json::to_vec(body)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], tagged(tag), body).into_response())
}

fn tagged(tag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers
}
