//! Sends requests to one endpoint over connections that are kept, and reads the answers within bounds of time and size.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::USER_AGENT};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use lifecycle::wire::{PartialSuccess, Signal};
use tokio::time::Instant;
use tonic::Code;

use crate::{
    endpoint::{Endpoint, Protocol},
    error::{SendError, causes},
    grpc, web,
};

/// Longest answer that is read, in bytes.
pub const MAX_ANSWER: usize = 64 * 1024;

/// How we call ourselves.
const AGENT: &str = concat!("pulltrace/", env!("CARGO_PKG_VERSION"));

type Connections = Pool<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A request that the receiver accepted, perhaps not in whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Records, spans or data points that it did not take. Sending them again is useless.
    pub rejected: u64,
    /// Why, or a warning although everything was taken; may be empty.
    pub message: String,
}

impl From<PartialSuccess> for Sent {
    fn from(PartialSuccess { rejected, message }: PartialSuccess) -> Self {
        Self { rejected, message: if message.is_empty() { message } else { crate::error::said(&message) } }
    }
}

/// How long a receiver that does not take a signal is not asked again.
pub const ASK_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// Sends to one [`Endpoint`]. Connects when there is something to send, and anew when a connection is gone.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    connections: Mutex<Connections>,
    /// Signals that the receiver does not take, and until when it is not asked again.
    unsupported: Mutex<BTreeMap<Signal, Instant>>,
}

impl Client {
    /// For this endpoint; nothing is sent yet.
    pub fn new(endpoint: Endpoint) -> Self {
        let connections = Mutex::new(connections(&endpoint));
        Self { endpoint, connections, unsupported: Mutex::default() }
    }

    /// Where it sends to.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends one export request, once. A signal that the receiver does not take, as Tempo takes only traces, is refused without asking for
    /// [`ASK_AGAIN_AFTER`].
    ///
    /// # Errors
    /// When it was not accepted, or nobody knows; see [`SendError::retryable`].
    pub async fn send(&self, signal: Signal, request: Bytes) -> Result<Sent, SendError> {
        if self.unsupported().get(&signal).is_some_and(|until| Instant::now() < *until) {
            return Err(SendError::Unsupported { signal, known: true });
        }
        let answer = self.send_now(signal, request).await;
        if matches!(&answer, Err(SendError::Grpc { code: Code::Unimplemented, .. } | SendError::Http { status: 404, .. })) {
            let known = self.unsupported().insert(signal, Instant::now() + ASK_AGAIN_AFTER).is_some();
            return Err(SendError::Unsupported { signal, known });
        }
        if answer.is_ok() {
            self.unsupported().remove(&signal);
        }
        answer
    }

    async fn send_now(&self, signal: Signal, request: Bytes) -> Result<Sent, SendError> {
        let mut request = match self.endpoint.protocol {
            Protocol::Grpc => grpc::request(&self.endpoint, signal, request),
            Protocol::HttpProtobuf => web::request(&self.endpoint, signal, request),
        };
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        request.headers_mut().extend(self.endpoint.headers.as_map().clone());
        let answer = tokio::time::timeout(self.endpoint.timeout, self.exchange(request)).await;
        answer.unwrap_or_else(|_| {
            self.forget_connections();
            Err(SendError::Timeout(self.endpoint.timeout))
        })
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Sent, SendError> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let response = connections.request(request).await.map_err(|error| SendError::connection(&error))?;
        match self.endpoint.protocol {
            Protocol::Grpc => grpc::answer(response).await,
            Protocol::HttpProtobuf => web::answer(response).await,
        }
    }

    fn unsupported(&self) -> MutexGuard<'_, BTreeMap<Signal, Instant>> {
        self.unsupported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection on which nothing came back may be dead without saying so; the next request gets a new one.
    fn forget_connections(&self) {
        *self.connections.lock().unwrap_or_else(PoisonError::into_inner) = connections(&self.endpoint);
    }
}

/// The body of an answer and the headers behind it.
pub(crate) async fn read(response: Response<Incoming>) -> Result<(Bytes, HeaderMap), SendError> {
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            SendError::Answer("its answer is too long")
        } else {
            SendError::Broken(causes(error.as_ref()))
        }
    })?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    Ok((body.to_bytes(), trailers))
}

fn connections(endpoint: &Endpoint) -> Connections {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(endpoint.timeout));
    let tls = HttpsConnectorBuilder::new().with_tls_config(endpoint.tls.clone()).https_or_http();
    let (connector, http2) = match endpoint.protocol {
        Protocol::Grpc => (tls.enable_http2().wrap_connector(tcp), true),
        Protocol::HttpProtobuf => (tls.enable_http1().wrap_connector(tcp), false),
    };
    Pool::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).timer(TokioTimer::new()).http2_only(http2).build(connector)
}
