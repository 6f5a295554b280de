//! Answers `/healthz` (the process turns) and `/readyz` (containerd answers, or which does not and why) for probes, and `/metrics` for
//! Prometheus. Nothing else is served here; what is measured is the business of [`crate::telemetry`].

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

use crate::telemetry::{Telemetry, text};

/// Connections at once; further ones wait in the kernel's queue. Probes come one by one.
const MAX_CONNECTIONS: usize = 8;
/// A request's headers must have come by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for one connection's headers, bytes; hyper allows no less.
const MAX_HEADERS: usize = 8 << 10;

/// Whether the agent can do its work, and what it has measured.
#[derive(Debug)]
pub(crate) struct Health {
    /// Whether containerd answers.
    runtime: Mutex<Runtime>,
    telemetry: Arc<Telemetry>,
}

#[derive(Debug, Default)]
enum Runtime {
    /// Not known yet.
    #[default]
    Unknown,
    /// Every containerd that is watched answers.
    Answers,
    /// None does, or one that was watched does not; which, and why.
    Absent(String),
}

impl Health {
    /// Of an agent that knows of no containerd yet.
    pub(crate) fn new(telemetry: Arc<Telemetry>) -> Self {
        Self { runtime: Mutex::default(), telemetry }
    }

    /// Says why containerd cannot be watched, or nothing if it can.
    pub(crate) fn runtime(&self, problem: Option<String>) {
        *self.runtime.lock().unwrap_or_else(PoisonError::into_inner) = problem.map_or(Runtime::Answers, Runtime::Absent);
    }

    fn ready(&self) -> (StatusCode, String) {
        match &*self.runtime.lock().unwrap_or_else(PoisonError::into_inner) {
            Runtime::Unknown => (StatusCode::SERVICE_UNAVAILABLE, "looking for containerd\n".to_owned()),
            Runtime::Answers => (StatusCode::OK, "ok\n".to_owned()),
            Runtime::Absent(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("containerd cannot be watched:\n{problem}\n")),
        }
    }
}

/// Opens the address for probes.
///
/// # Errors
/// When it is taken, or may not be opened.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers probes for ever.
pub(crate) async fn serve(listener: TcpListener, health: Arc<Health>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a probe");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let health = Arc::clone(&health);
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let response = answer(&request, &health);
                async move { Ok::<_, Infallible>(response) }
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(MAX_HEADERS)
                .keep_alive(false)
                .serve_connection(TokioIo::new(connection), answer)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a probe went wrong");
            }
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, health: &Health) -> Response<Full<Bytes>> {
    let plain = |(status, text): (StatusCode, String)| (status, "text/plain; charset=utf-8", text);
    let (status, media_type, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => plain((StatusCode::OK, "ok\n".to_owned())),
        (&Method::GET | &Method::HEAD, "/readyz") => plain(health.ready()),
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let (media_type, text) = text::write(&health.telemetry, accept);
            (StatusCode::OK, media_type, text)
        }
        (_, "/healthz" | "/readyz" | "/metrics") => plain((StatusCode::METHOD_NOT_ALLOWED, "GET only\n".to_owned())),
        (_, _) => plain((StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n".to_owned())),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    response
}
