//! Answers `/healthz` (the process turns) and `/readyz` (containerd answers) for probes. Nothing else is served here.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

/// Connections at once; further ones wait in the kernel's queue. Probes come one by one.
const MAX_CONNECTIONS: usize = 8;
/// A request's headers must have come by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for one connection's headers, bytes; hyper allows no less.
const MAX_HEADERS: usize = 8 << 10;

/// Whether the agent can do its work.
#[derive(Debug, Default)]
pub(crate) struct Health {
    runtime_reachable: AtomicBool,
}

impl Health {
    /// Says whether containerd answers.
    pub(crate) fn runtime(&self, reachable: bool) {
        self.runtime_reachable.store(reachable, Ordering::Relaxed);
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
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") if health.runtime_reachable.load(Ordering::Relaxed) => (StatusCode::OK, "ok\n"),
        (&Method::GET | &Method::HEAD, "/readyz") => (StatusCode::SERVICE_UNAVAILABLE, "containerd does not answer\n"),
        (_, "/healthz" | "/readyz") => (StatusCode::METHOD_NOT_ALLOWED, "GET only\n"),
        (_, _) => (StatusCode::NOT_FOUND, "here are /healthz and /readyz\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
