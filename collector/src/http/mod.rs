//! What people and programs read: REST, the event stream, the page, health, and `/metrics` on its own port.
//!
//! Reads snapshots only; nothing here can hold up the intake. [`api`] answers questions, [`sse`] streams changes, [`query`] is the
//! filter that both understand.

mod api;
mod page;
mod pods;
mod query;
mod sse;

pub(crate) use self::sse::Caps;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tower_http::{compression::CompressionLayer, set_header::SetResponseHeaderLayer};

use crate::{
    auth::{Denied, Grade, Guard},
    keeper::View,
    metrics::{Metrics, exposition},
    readiness::Readiness,
};

/// What every answer says to browsers: only our own scripts and styles, in no frame, with no guessing of types.
const SECURITY: [(&str, &str); 4] = [
    ("content-security-policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// What the handlers need.
#[derive(Clone, Debug)]
struct Site {
    view: View,
    stage: sse::Stage,
}

/// Everything on the API's port.
pub(crate) fn site(view: View, metrics: &Metrics, readers: Guard, readiness: Readiness, caps: Caps) -> Router {
    let site = Site { stage: sse::Stage::new(view.clone(), metrics, caps), view };
    let router = Router::new()
        .route("/api/v1/pulls", get(api::pulls))
        .route("/api/v1/pulls/{id}", get(api::pull))
        .route("/api/v1/pods/{namespace}/{pod}", get(pods::pod))
        .route("/api/v1/workloads", get(pods::workloads))
        .route("/api/v1/nodes", get(api::nodes))
        .route("/api/v1/summary", get(api::summary))
        .route("/api/v1/events", get(sse::events))
        .route("/api/v1/frames", get(sse::frames))
        .with_state(site)
        .route_layer(middleware::from_fn_with_state(readers, admit))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/healthz", get(async || "ok\n"))
        .merge(page::router())
        .fallback(async || Problem::NotFound("there is nothing at this path".to_owned()))
        .method_not_allowed_fallback(async || Problem::Method)
        .layer(CompressionLayer::new());
    SECURITY.into_iter().fold(router, |router, (name, value)| {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        router.layer(SetResponseHeaderLayer::overriding(name, value))
    })
}

/// Everything on the port of the metrics.
pub(crate) fn metrics(metrics: Metrics) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(metrics).layer(CompressionLayer::new())
}

async fn scrape(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match exposition::write(&metrics, accept) {
        Ok((media_type, text)) => ([(header::CONTENT_TYPE, media_type)], text).into_response(),
        Err(_) => Problem::Internal.into_response(),
    }
}

/// Lets in who may read. Page and probes are for everyone: nothing in them is secret.
async fn admit(State(readers): State<Guard>, request: Request, next: Next) -> Response {
    match readers.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(denied) => Problem::Denied(denied).into_response(),
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    match readiness.problem() {
        None => "ready\n".into_response(),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")).into_response(),
    }
}

/// Why a question is not answered; as JSON for whoever asked.
#[derive(Debug)]
enum Problem {
    BadRequest(String),
    Denied(Denied),
    NotFound(String),
    Method,
    HeaderTooLarge(String),
    TooManyReaders(sse::Full),
    Internal,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, "bad_request", message),
            Self::Denied(denied) => {
                let (status, code) = match denied.grade() {
                    Grade::Unknown => (StatusCode::UNAUTHORIZED, "unauthorized"),
                    Grade::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
                    Grade::Later => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
                };
                (status, code, denied.to_string())
            }
            Self::NotFound(message) => (StatusCode::NOT_FOUND, "not_found", message),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "only GET is answered here".to_owned()),
            Self::HeaderTooLarge(message) => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "header_too_large", message),
            Self::TooManyReaders(full) => (StatusCode::SERVICE_UNAVAILABLE, "too_many_readers", full.to_string()),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer could not be written".to_owned()),
        };
        let body = json!({ "error": { "code": code, "message": message } });
        let mut response = (status, axum::Json(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<serde_json::Error> for Problem {
    fn from(_: serde_json::Error) -> Self {
        Self::Internal
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use lifecycle::board::Limits;
    use tower::ServiceExt as _;

    use super::*;
    use crate::keeper::Keeper;

    #[tokio::test]
    async fn it_is_not_ready_while_a_listener_is_missing_or_the_keeper_has_ended() {
        let numbers = Metrics::new(&[]);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let keeper = Keeper::start(Limits::default(), 1, numbers.clone(), async { _ = stopped.await });
        let serving = Arc::new(AtomicUsize::new(3));
        let readiness = Readiness::new(keeper.clone(), serving.clone(), 4);
        let site = site(keeper.view().clone(), &numbers, Guard::Everyone, readiness, Caps { total: 1, per_address: 1 });
        let status = async || site.clone().oneshot(Request::get("/readyz").body(Body::empty()).unwrap()).await.unwrap().status();
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
        serving.store(4, Ordering::Relaxed);
        assert_eq!(status().await, StatusCode::OK);
        drop(stop);
        while keeper.is_alive() {
            tokio::task::yield_now().await;
        }
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
