//! Everything below `/api/v1` as one table: from it the router is made and the OpenAPI document, so that neither knows a path that the
//! other does not.

use axum::{
    Router,
    routing::{MethodRouter, get},
};
use lifecycle::board::status::{PullEvent, PullStatus};
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    Site, api, images, openapi, pods,
    query::{IMAGE_KEYS, Key, NAMESPACE, POD_KEYS, Question},
    sse, surroundings,
};

/// One path and what is said about it.
pub(super) struct Route {
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// What may stand behind the question mark.
    pub(super) keys: Vec<Key>,
    pub(super) answer: Answer,
    /// Whether it may be that what is asked for is not there.
    pub(super) may_miss: bool,
    handler: MethodRouter<Site>,
}

/// What is answered.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    /// JSON of this schema.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// A stream of events with data of this schema.
    Events(fn(&mut SchemaGenerator) -> Schema),
    /// A stream of events with data that nobody shall rely on.
    Frames,
    /// The OpenAPI document itself.
    Document,
}

/// The table.
pub(super) fn routes() -> Vec<Route> {
    answers().into_iter().chain(streams()).collect()
}

/// What is answered at once.
fn answers() -> Vec<Route> {
    vec![
        list::<api::PullList<'_>>("/api/v1/pulls", "listPulls", "Pulls, newest first.", get(api::pulls))
            .with(&Question::List.keys()),
        one::<api::PullDetail<'_>>(
            "/api/v1/pulls/{id}",
            "getPull",
            "One pull with its layers, the tries before and after it, and what happened when.",
            get(api::pull),
        ),
        one::<pods::PodAnswer<'_>>(
            "/api/v1/pods/{namespace}/{pod}",
            "getPod",
            "Everything that the start of a pod waits for.",
            get(pods::pod),
        ),
        list::<pods::PodList<'_>>(
            "/api/v1/pods",
            "listPods",
            "Pods that wait for images, or did lately, in short.",
            get(pods::pods),
        )
        .with(&POD_KEYS),
        list::<pods::WorkloadList>(
            "/api/v1/workloads",
            "listWorkloads",
            "How far the pods of each workload are with their images.",
            get(pods::workloads),
        )
        .with(&[NAMESPACE]),
        list::<api::NodeList<'_>>("/api/v1/nodes", "listNodes", "The nodes whose agents are known.", get(api::nodes)),
        list::<images::ImageList>(
            "/api/v1/images",
            "listImages",
            "Images, and what their pulls on all nodes came to.",
            get(images::images),
        )
        .with(&IMAGE_KEYS),
        list::<api::Summary>("/api/v1/summary", "getSummary", "All of it in a few numbers.", get(api::summary)),
        list::<surroundings::Surroundings>(
            "/api/v1/ui",
            "getSurroundings",
            "What the page has to know beside pulls: version, cluster, where the dashboards are.",
            get(surroundings::surroundings),
        ),
        Route::new("/api/v1/openapi.json", "getDocument", "This document.", Answer::Document, get(openapi::document)),
    ]
}

/// What goes on as long as somebody reads.
fn streams() -> [Route; 2] {
    [
        Route::new(
            "/api/v1/events",
            "followPulls",
            "Everything as it is, then the event named sync, then changes; a pull that leaves memory is an event named removed.",
            Answer::Events(SchemaGenerator::subschema_for::<PullEvent<'static, PullStatus>>),
            get(sse::events),
        )
        .with(&Question::Stream.keys()),
        Route::new(
            "/api/v1/frames",
            "followFrames",
            "A dense stream for the page, of no stable form.",
            Answer::Frames,
            get(sse::frames),
        )
        .with(&Question::Frames.keys()),
    ]
}

/// A path that always has an answer.
fn list<T: JsonSchema>(path: &'static str, id: &'static str, summary: &'static str, handler: MethodRouter<Site>) -> Route {
    Route::new(path, id, summary, Answer::Json(SchemaGenerator::subschema_for::<T>), handler)
}

/// A path of one thing, which may not be there.
fn one<T: JsonSchema>(path: &'static str, id: &'static str, summary: &'static str, handler: MethodRouter<Site>) -> Route {
    Route { may_miss: true, ..list::<T>(path, id, summary, handler) }
}

impl Route {
    const fn new(
        path: &'static str,
        id: &'static str,
        summary: &'static str,
        answer: Answer,
        handler: MethodRouter<Site>,
    ) -> Self {
        Self { path, id, summary, keys: Vec::new(), answer, may_miss: false, handler }
    }

    fn with(self, keys: &[Key]) -> Self {
        Self { keys: keys.to_vec(), ..self }
    }
}

/// The router of the table.
pub(super) fn router() -> Router<Site> {
    routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler))
}
