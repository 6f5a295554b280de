//! Unary gRPC calls for callers that are threads: to containerd on its unix socket, and to an OTLP receiver with whatever message a
//! test wants to send it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// Why a call did not succeed.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The gRPC code.
    pub code: tonic::Code,
    /// The server's words.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

/// Sends one message whose field 1 is the given bytes, which is the shape of every OTLP export request, and waits for the answer.
///
/// # Errors
/// What the server answered, or that it cannot be reached within 5 s.
pub fn export(endpoint: &str, method: &'static str, field: Vec<u8>) -> Result<(), Refused> {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("an endpoint is a URL");
    run(unary(endpoint.connect(), method, Envelope { field }, Some(Duration::from_secs(5)))).map(|_: Nothing| ())
}

/// A channel to a unix socket.
pub(crate) async fn unix(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    let socket = socket.to_owned();
    let connect = service_fn(move |_: http::Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://containerd").connect_with_connector(connect).await
}

/// Runs one call to its end on this thread; leaving early closes the connection.
pub(crate) fn run<T>(call: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs only memory");
    runtime.block_on(call)
}

/// Connects and makes one call. With a deadline, the server is told and the call ends when it passes.
pub(crate) async fn unary<Q, A>(
    channel: impl Future<Output = Result<Channel, tonic::transport::Error>>,
    method: &'static str,
    message: Q,
    deadline: Option<Duration>,
) -> Result<A, Refused>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let unreachable = |e: tonic::transport::Error| Refused { code: tonic::Code::Unavailable, message: e.to_string() };
    let mut client = tonic::client::Grpc::new(channel.await.map_err(unreachable)?);
    client.ready().await.map_err(unreachable)?;
    let mut request = tonic::Request::new(message);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    let codec = tonic_prost::ProstCodec::<Q, A>::default();
    let answer = client.unary(request, PathAndQuery::from_static(method), codec).await;
    answer.map(tonic::Response::into_inner).map_err(|s| Refused { code: s.code(), message: s.message().to_owned() })
}

#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(bytes = "vec", tag = "1")]
    field: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Nothing {}
