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
    files::Held,
    grpc, tls, web,
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

/// Sends to one [`Endpoint`]. Connects when there is something to send, and anew when a connection is gone, which asks for the address anew
/// too. The endpoint's [`Files`](crate::Files) are read when they are others than before, and connections made with the old ones left.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    link: Mutex<Link>,
    /// Signals that the receiver does not take, and until when it is not asked again.
    unsupported: Mutex<BTreeMap<Signal, Instant>>,
}

/// What requests travel over.
#[derive(Debug)]
struct Link {
    connections: Connections,
    /// What the files held; nothing yet before the first request.
    held: Option<Held>,
}

impl Client {
    /// For this endpoint; nothing is sent yet.
    pub fn new(endpoint: Endpoint) -> Self {
        let link = Mutex::new(Link { connections: connections(&endpoint, &endpoint.tls), held: None });
        Self { endpoint, link, unsupported: Mutex::default() }
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
        let connections = self.prepare(&mut request)?;
        let answer = tokio::time::timeout(self.endpoint.timeout, self.exchange(&connections, request)).await;
        let answer = answer.unwrap_or(Err(SendError::Timeout(self.endpoint.timeout)));
        match &answer {
            // A connection on which nothing came back may be dead without saying so; the next request gets a new one.
            Err(SendError::Timeout(_)) => self.link().connect(&self.endpoint),
            Err(error) if error.unauthorized() => self.link().held.iter_mut().for_each(Held::distrust),
            Ok(_) | Err(_) => {}
        }
        answer
    }

    /// The connections to use, and the token put in; both as the files say now. What was read before serves as long as nothing better can be
    /// read, but nothing is ever sent without.
    fn prepare(&self, request: &mut Request<Full<Bytes>>) -> Result<Connections, SendError> {
        let mut link = self.link();
        let files = &self.endpoint.files;
        if !files.is_empty() && !link.held.as_ref().is_some_and(|held| files.are(held)) {
            match files.read() {
                Ok(held) => {
                    let other = link.held.replace(held).is_none_or(|before| !before.same_tls(link.held.as_ref()));
                    if other {
                        link.connect(&self.endpoint);
                    }
                }
                Err(_) if link.held.is_some() => {}
                Err(error) => return Err(SendError::Unreachable(causes(&error))),
            }
        }
        if let Some(token) = link.held.as_ref().and_then(|held| held.token.as_ref()) {
            request.headers_mut().extend(token.as_map().clone());
        }
        Ok(link.connections.clone())
    }

    async fn exchange(&self, connections: &Connections, request: Request<Full<Bytes>>) -> Result<Sent, SendError> {
        let response = connections.request(request).await.map_err(|error| SendError::connection(&error))?;
        match self.endpoint.protocol {
            Protocol::Grpc => grpc::answer(response).await,
            Protocol::HttpProtobuf => web::answer(response).await,
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsupported(&self) -> MutexGuard<'_, BTreeMap<Signal, Instant>> {
        self.unsupported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    /// Leaves the connections for new ones.
    fn connect(&mut self, endpoint: &Endpoint) {
        let tls = self.held.as_ref().and_then(|held| held.tls.as_ref()).filter(|_| endpoint.is_tls());
        self.connections = connections(endpoint, tls.unwrap_or(&endpoint.tls));
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

fn connections(endpoint: &Endpoint, tls: &tls::Config) -> Connections {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(endpoint.timeout));
    let tls = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
    let (connector, http2) = match endpoint.protocol {
        Protocol::Grpc => (tls.enable_http2().wrap_connector(tcp), true),
        Protocol::HttpProtobuf => (tls.enable_http1().wrap_connector(tcp), false),
    };
    Pool::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).timer(TokioTimer::new()).http2_only(http2).build(connector)
}
