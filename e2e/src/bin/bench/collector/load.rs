//! The senders: whole clusters at their own pace, each node over a connection of its own, and a few that send as fast as they are answered.
//! Over OTLP/HTTP, OTLP/gRPC, and the plain baseline's JSON; what they cost themselves is nobody's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

use super::body::Node;

/// How reports travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// OTLP/HTTP, protobuf.
    Http,
    /// OTLP/gRPC.
    Grpc,
    /// The baseline's own: the node's whole state as JSON.
    Json,
}

impl Wire {
    /// Its name in results.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Grpc => "gRPC",
            Self::Json => "JSON",
        }
    }
}

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Logs,
    Traces,
}

/// Where reports go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// How.
    pub(crate) wire: Wire,
    /// Host and port.
    pub(crate) address: String,
}

/// What came of sending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    /// Requests that were accepted.
    pub(crate) accepted: u64,
    /// Requests that were not.
    pub(crate) refused: u64,
    /// Time from sending to the answer, each accepted request.
    pub(crate) waits: Vec<Duration>,
}

impl Sent {
    /// The wait that so many percent of the requests did not exceed.
    pub(crate) fn percentile(&mut self, percent: usize) -> Duration {
        self.waits.sort_unstable();
        self.waits.get((self.waits.len() * percent / 100).min(self.waits.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// A cluster: every node sends one report a second, `rounds` times. Counts the answers as they come.
pub(crate) fn cluster(target: &Target, nodes: &[Node], rounds: u64, answered: &Arc<AtomicU64>) -> Sent {
    let begin = tokio::time::Instant::now() + Duration::from_millis(500 + nodes.len() as u64 / 5);
    run(async {
        let mut tasks = JoinSet::new();
        for (place, node) in (0_u32..).zip(nodes.iter().copied()) {
            let (target, answered) = (target.clone(), answered.clone());
            let offset = Duration::from_secs(1) * place / u32::try_from(nodes.len()).unwrap_or(u32::MAX);
            tasks.spawn(async move {
                let mut sent = Sent::default();
                let mut sender = Sender::connect(&target).await;
                for round in 0..rounds {
                    tokio::time::sleep_until(begin + offset + Duration::from_secs(round)).await;
                    let body = if target.wire == Wire::Json { node.json(round + 1).into_bytes() } else { node.report(round + 1) };
                    sender.send(What::Logs, body, &mut sent).await;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                sent
            });
        }
        all(tasks).await
    })
}

/// `requests` requests over four connections, each sent when the one before was answered.
pub(crate) fn closed_loop(
    target: &Target,
    what: What,
    requests: u64,
    body: impl Fn(u64) -> Vec<u8> + Clone + Send + 'static,
) -> Sent {
    const CONNECTIONS: u64 = 4;
    run(async {
        let mut tasks = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let (target, body) = (target.clone(), body.clone());
            tasks.spawn(async move {
                let mut sent = Sent::default();
                let mut sender = Sender::connect(&target).await;
                for number in (connection..requests).step_by(4) {
                    sender.send(what, body(number), &mut sent).await;
                }
                sent
            });
        }
        all(tasks).await
    })
}

fn run(work: impl Future<Output = Sent>) -> Sent {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs only memory");
    runtime.block_on(work)
}

async fn all(mut tasks: JoinSet<Sent>) -> Sent {
    let mut all = Sent::default();
    while let Some(sent) = tasks.join_next().await {
        let sent = sent.expect("a sender does not panic");
        all.accepted += sent.accepted;
        all.refused += sent.refused;
        all.waits.extend(sent.waits);
    }
    all
}

enum Sender {
    Web { stream: TcpStream, path: Option<&'static str>, buffer: Vec<u8> },
    Grpc(tonic::client::Grpc<Channel>),
}

impl Sender {
    async fn connect(target: &Target) -> Self {
        if target.wire == Wire::Grpc {
            let endpoint = Endpoint::from_shared(format!("http://{}", target.address)).expect("an address is a URL");
            return Self::Grpc(tonic::client::Grpc::new(endpoint.connect().await.expect("the measured process listens")));
        }
        let stream = TcpStream::connect(&target.address).await.expect("the measured process listens");
        stream.set_nodelay(true).expect("a socket takes options");
        Self::Web { stream, path: (target.wire == Wire::Json).then_some("/report"), buffer: vec![0; 4096] }
    }

    async fn send(&mut self, what: What, body: Vec<u8>, sent: &mut Sent) {
        let begin = Instant::now();
        let accepted = match self {
            Self::Web { stream, path, buffer } => {
                let path = path.unwrap_or(match what {
                    What::Logs => "/v1/logs",
                    What::Traces => "/v1/traces",
                });
                post(stream, path, &body, buffer).await
            }
            Self::Grpc(client) => call(client, what, body).await,
        };
        match accepted {
            true => sent.accepted += 1,
            false => sent.refused += 1,
        }
        sent.waits.extend(accepted.then(|| begin.elapsed()));
    }
}

async fn post(stream: &mut TcpStream, path: &str, body: &[u8], buffer: &mut [u8]) -> bool {
    let media_type = if path == "/report" { "application/json" } else { "application/x-protobuf" };
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: collector\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let request = [head.as_bytes(), body].concat();
    stream.write_all(&request).await.expect("the measured process reads");
    let mut length = 0;
    loop {
        let read = stream.read(&mut buffer[length..]).await.expect("the measured process answers");
        assert!(read > 0, "the measured process hung up");
        length += read;
        let text = std::str::from_utf8(&buffer[..length]).unwrap_or_default();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let expected = lines.filter(|(name, _)| *name == "content-length").find_map(|(_, value)| value.parse().ok());
            if rest.len() >= expected.unwrap_or(0) {
                return text.starts_with("HTTP/1.1 200");
            }
        }
    }
}

async fn call(client: &mut tonic::client::Grpc<Channel>, what: What, body: Vec<u8>) -> bool {
    let method = PathAndQuery::from_static(match what {
        What::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        What::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    });
    client.ready().await.expect("the measured process answers");
    client.unary(tonic::Request::new(body), method, Raw).await.is_ok()
}

/// Messages as the bytes they are.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = tonic::Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, tonic::Status> {
        let rest = bytes::Buf::remaining(from);
        bytes::Buf::advance(from, rest);
        Ok(Some(()))
    }
}
