//! A receiver of OTLP on a port of its own that answers as the test tells it to, and remembers what it was asked.

use std::{
    convert::Infallible,
    io::Read as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::read::GzDecoder;
use http::{HeaderMap, Request, Response, request::Parts};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use otlp::{Client, Endpoint, Protocol};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What a receiver does with a request.
pub(crate) enum Answer {
    /// Sends this.
    Whole(Response<Body>),
    /// Never says anything.
    Silence,
}

impl Answer {
    /// An answer over HTTP.
    pub(crate) fn http(status: u16, headers: &[(&'static str, &str)], body: impl Into<Bytes>) -> Self {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        Self::Whole(response.body(Full::new(body.into()).boxed_unsync()).unwrap())
    }

    /// An answer over gRPC: a frame as it stands, and trailers.
    pub(crate) fn grpc(frame: impl Into<Bytes>, trailers: &[(&'static str, &str)]) -> Self {
        let trailers: HeaderMap = trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let body = Full::new(frame.into()).with_trailers(async { Some(Ok(trailers)) });
        Self::Whole(Response::builder().header("content-type", "application/grpc").body(body.boxed_unsync()).unwrap())
    }
}

/// A message in a gRPC frame.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.extend_from_slice(message);
    frame.freeze()
}

/// What gzip made of a text.
pub(crate) fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

/// A receiver that runs as long as its test.
pub(crate) struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What it was asked.
#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<(Parts, Bytes)>,
}

impl Receiver {
    /// One that answers its n-th request, counted from 0, with `answer(n)`.
    pub(crate) async fn start(answer: impl Fn(usize) -> Answer + Clone + Send + 'static) -> Self {
        Self::start_with(None, answer).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_with(tls: Option<TlsAcceptor>, answer: impl Fn(usize) -> Answer + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let remembered = seen.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                remembered.lock().unwrap().connections += 1;
                let (seen, answer, tls) = (remembered.clone(), answer.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, seen, answer).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, seen, answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn client(&self, protocol: Protocol) -> Client {
        Client::new(self.endpoint(protocol))
    }

    pub(crate) fn endpoint(&self, protocol: Protocol) -> Endpoint {
        Endpoint::parse(&self.url(), protocol).unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }

    pub(crate) fn request(&self, n: usize) -> (Parts, Bytes) {
        self.seen.lock().unwrap().requests[n].clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.lock().unwrap().requests.len()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    seen: Arc<Mutex<Seen>>,
    answer: impl Fn(usize) -> Answer + Clone + Send + 'static,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, answer) = (seen.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let n = {
                let mut seen = seen.lock().unwrap();
                seen.requests.push((parts, body));
                seen.requests.len() - 1
            };
            match answer(n) {
                Answer::Whole(response) => Ok::<_, hyper::Error>(response),
                Answer::Silence => std::future::pending().await,
            }
        }
    });
    // A client that gives up ends the connection with an error, which is its right.
    drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}

/// Long enough for anything that ought to happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Short enough to wait for.
pub(crate) const BRIEF: Duration = Duration::from_millis(100);
