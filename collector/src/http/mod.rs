//! What people and programs read: REST, the event stream, the page, health, and `/metrics` on its own port.
//!
//! Reads snapshots only; nothing here can hold up the intake. [`routes`] is the table of the API; [`api`], [`pods`], [`images`] and
//! [`badge`] answer questions, [`sse`] streams changes, [`query`] is what they are asked with, [`door`] knows who may ask. [`report`] alone takes something
//! in.

mod answer;
mod api;
mod badge;
mod door;
mod images;
mod openapi;
mod page;
mod pods;
mod query;
pub(crate) mod report;
mod routes;
mod sse;
mod surroundings;

pub(crate) use self::{sse::Caps, surroundings::Surroundings};

use std::sync::Arc;

use axum::{
    Router,
    extract::{State, rejection::PathRejection},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::sync::Semaphore;
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

pub(crate) use self::door::Door;
use self::report::Desk;
use crate::{
    auth::{Denied, Grade},
    keeper::View,
    metrics::{Metrics, exposition},
    readiness::Readiness,
};

/// What every answer says to browsers, unless it says something else itself: nothing in it may do anything, in no frame, with no guessing of
/// types.
const SECURITY: [(&str, &str); 4] = [
    ("content-security-policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// What the handlers need.
#[derive(Clone, Debug)]
struct Site {
    view: View,
    stage: sse::Stage,
    answering: Arc<Semaphore>,
    surroundings: Arc<Surroundings>,
}

/// Everything on the API's port.
pub(crate) fn site(
    view: View,
    metrics: &Metrics,
    door: Door,
    readiness: Readiness,
    desk: Desk,
    caps: Caps,
    surroundings: Arc<Surroundings>,
) -> Router {
    let answering = Arc::new(Semaphore::new(answer::MAX_ANSWERING));
    let site = Site { stage: sse::Stage::new(view.clone(), metrics, caps), view, answering, surroundings };
    let router = routes::router()
        .merge(badge::router())
        .with_state(site)
        .route_layer(middleware::from_fn_with_state(door, door::admit))
        .merge(desk.router())
        .route("/readyz", get(ready).with_state(readiness))
        .route("/healthz", get(async || "ok\n"))
        .merge(page::router())
        .fallback(async || Problem::NotFound("there is nothing at this path".to_owned()))
        .method_not_allowed_fallback(async |method: Method| Problem::Method(method))
        .layer(CompressionLayer::new());
    SECURITY.into_iter().fold(router, |router, (name, value)| {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        router.layer(SetResponseHeaderLayer::if_not_present(name, value))
    })
}

/// Everything on the port of the metrics.
pub(crate) fn metrics(metrics: Metrics, view: View) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state((metrics, view)).layer(CompressionLayer::new())
}

async fn scrape(State((metrics, view)): State<(Metrics, View)>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match exposition::write(&metrics, &view.now(), accept) {
        Ok((media_type, text)) => ([(header::CONTENT_TYPE, media_type)], text).into_response(),
        Err(_) => Problem::Internal.into_response(),
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    match readiness.problem() {
        None => "ready\n".into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

/// Why a question is not answered, or a report not taken; as JSON for whoever asked.
#[derive(Debug)]
enum Problem {
    BadRequest(String),
    Denied(Denied),
    Forbidden(&'static str),
    NotFound(String),
    Method(Method),
    TooSlow,
    TooLarge,
    MediaType(&'static str),
    HeaderTooLarge(String),
    TooManyReaders(sse::Full),
    Busy,
    Internal,
}

impl Problem {
    /// The status, the code beside it, and what to do about it in words.
    fn said(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, "bad_request", message),
            Self::Denied(denied) => {
                let (status, code) = match denied.grade() {
                    Grade::Unknown => (StatusCode::UNAUTHORIZED, "unauthorized"),
                    Grade::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
                    Grade::Later => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
                };
                (status, code, denied.to_string())
            }
            Self::Forbidden(message) => (StatusCode::FORBIDDEN, "forbidden", message.to_owned()),
            Self::NotFound(message) => (StatusCode::NOT_FOUND, "not_found", message),
            Self::Method(method) => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", format!("{method} is not answered here"))
            }
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too_slow", "the report did not arrive in time".to_owned()),
            Self::TooLarge => {
                let message = format!("a report has at most {} bytes", report::MAX_REPORT);
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
            }
            Self::MediaType(message) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", message.to_owned()),
            Self::HeaderTooLarge(message) => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large", message),
            Self::TooManyReaders(full) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_readers", full.to_string()),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", "the collector is busy; send it again later".to_owned()),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer could not be written".to_owned()),
        }
    }

    /// The reason for which a report was not taken, as metrics name it.
    const fn reason(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.as_str(),
            Self::Forbidden(_) => "forbidden",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::MediaType(_) => "content_type",
            Self::Busy | Self::TooManyReaders(_) => "busy",
            Self::BadRequest(_) | Self::HeaderTooLarge(_) | Self::NotFound(_) | Self::Method(_) | Self::Internal => "malformed",
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, message) = self.said();
        let body = json!({ "error": { "code": code, "message": message } });
        let mut response = (status, axum::Json(body)).into_response();
        let mut say = |name, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => _ = say(header::RETRY_AFTER, "5"),
            StatusCode::UNAUTHORIZED => _ = say(header::WWW_AUTHENTICATE, "Bearer"),
            // The rest of the body is not worth waiting for.
            StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => _ = say(header::CONNECTION, "close"),
            _ => {}
        }
        response
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::BadRequest(rejection.body_text())
    }
}

impl From<serde_json::Error> for Problem {
    fn from(_: serde_json::Error) -> Self {
        Self::Internal
    }
}

#[cfg(test)]
mod tests;
