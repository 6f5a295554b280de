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
    query::{IMAGE_KEYS, Key, NAMESPACE, Question},
    sse,
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
    /// The OpenAPI document itself.
    Document,
}

fn json<T: JsonSchema>() -> Answer {
    Answer::Json(SchemaGenerator::subschema_for::<T>)
}

/// The table.
pub(super) fn routes() -> Vec<Route> {
    let route =
        |path, id, summary, answer, handler| Route { path, id, summary, keys: Vec::new(), answer, may_miss: false, handler };
    vec![
        Route {
            keys: Question::List.keys(),
            ..route("/api/v1/pulls", "listPulls", "Pulls, newest first.", json::<api::PullList<'_>>(), get(api::pulls))
        },
        Route {
            may_miss: true,
            ..route(
                "/api/v1/pulls/{id}",
                "getPull",
                "One pull with its layers, the tries before and after it, and what happened when.",
                json::<api::PullDetail<'_>>(),
                get(api::pull),
            )
        },
        Route {
            may_miss: true,
            ..route(
                "/api/v1/pods/{namespace}/{pod}",
                "getPod",
                "Everything that the start of a pod waits for.",
                json::<pods::PodAnswer<'_>>(),
                get(pods::pod),
            )
        },
        Route {
            keys: vec![NAMESPACE],
            ..route(
                "/api/v1/workloads",
                "listWorkloads",
                "How far the pods of each workload are with their images.",
                json::<pods::WorkloadList>(),
                get(pods::workloads),
            )
        },
        route("/api/v1/nodes", "listNodes", "The nodes whose agents are known.", json::<api::NodeList<'_>>(), get(api::nodes)),
        Route {
            keys: IMAGE_KEYS.to_vec(),
            ..route(
                "/api/v1/images",
                "listImages",
                "Images, and what their pulls on all nodes came to.",
                json::<images::ImageList>(),
                get(images::images),
            )
        },
        route("/api/v1/summary", "getSummary", "All of it in a few numbers.", json::<api::Summary>(), get(api::summary)),
        Route {
            keys: Question::Stream.keys(),
            ..route(
                "/api/v1/events",
                "followPulls",
                "Everything as it is, then the event named sync, then changes; a pull that leaves memory is an event named removed.",
                Answer::Events(SchemaGenerator::subschema_for::<PullEvent<'static, PullStatus>>),
                get(sse::events),
            )
        },
        route("/api/v1/openapi.json", "getDocument", "This document.", Answer::Document, get(openapi::document)),
    ]
}

/// The router of the table.
pub(super) fn router() -> Router<Site> {
    routes().into_iter().fold(Router::new(), |router, route| router.route(route.path, route.handler))
}
