//! The receiver beside the OTLP specification: every protocol with every compression and everything that can become of a request, over real
//! sockets; and gRPC's health.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use bytes::{BufMut, Bytes};
use flate2::write::GzEncoder;
use house::{House, eventually, node, pull};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use lifecycle::wire::{self, Event::Started, Signal};
use serde_json::{Value, json};
use tonic::Code;

const MIB: usize = 1 << 20;
/// The limit of a request and the budget of all of them, as documented.
const LIMIT: usize = 64 * MIB;
const BUDGET: usize = 128 * MIB;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Grpc,
    Protobuf,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::Protobuf, Protocol::Json];
const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

/// What became of a request, however it travelled.
#[derive(Debug, PartialEq)]
struct Verdict {
    /// gRPC's code; for HTTP the one in the body.
    code: Code,
    /// HTTP's status; always 200 for gRPC.
    http: u16,
    /// When to come back.
    retry_after: Option<Duration>,
    /// Of the partial success.
    rejected: u64,
}

const OK: Verdict = Verdict { code: Code::Ok, http: 200, retry_after: None, rejected: 0 };

impl Protocol {
    fn content_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    fn verdict(self, code: Code, http: u16, retry_after: Option<Duration>) -> Verdict {
        Verdict { code, http: if self == Self::Grpc { 200 } else { http }, retry_after, rejected: 0 }
    }

    /// This request in the protocol's encoding.
    fn encode(self, signal: Signal, protobuf: Vec<u8>) -> Vec<u8> {
        if self == Self::Json { wire::to_json(signal, &protobuf).unwrap().to_string().into() } else { protobuf }
    }
}

impl Compression {
    fn word(self) -> &'static str {
        match self {
            Self::None => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn apply(self, plain: &[u8]) -> Vec<u8> {
        match self {
            Self::None => plain.to_vec(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Self::Zstd => zstd::encode_all(plain, 1).unwrap(),
        }
    }
}

/// A client without opinions.
struct Sender {
    runtime: tokio::runtime::Runtime,
    http1: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
    http2: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
}

struct Answer {
    http: u16,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
}

impl Sender {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let builder = || Client::builder(TokioExecutor::new());
        Self { runtime, http1: builder().build_http(), http2: builder().http2_only(true).build_http() }
    }

    fn post(&self, http2: bool, to: SocketAddr, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::post(format!("http://{to}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::from(body)).unwrap();
        let client = if http2 { &self.http2 } else { &self.http1 };
        self.runtime.block_on(async {
            let response = tokio::time::timeout(house::DEADLINE, client.request(request)).await.unwrap().unwrap();
            let (head, body) = response.into_parts();
            let body = body.collect().await.unwrap();
            let trailers = body.trailers().cloned().unwrap_or_default();
            Answer { http: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers }
        })
    }

    /// Sends a body of a signal and reads the verdict, and on the way everything that holds for every answer.
    fn export(&self, house: &House, how: (Protocol, Compression), signal: Signal, body: &[u8]) -> Verdict {
        let (protocol, compression) = how;
        let compressed = compression.apply(body);
        let content_type = ("content-type", protocol.content_type());
        if protocol == Protocol::Grpc {
            let headers = [content_type, ("te", "trailers"), ("grpc-encoding", compression.word())];
            let framed = frame(compression != Compression::None, &compressed);
            return grpc_verdict(&self.post(true, house.grpc, signal.grpc_path(), &headers, framed), how);
        }
        let headers = [content_type, ("content-encoding", compression.word())];
        http_verdict(&self.post(false, house.web, signal.http_path(), &headers, compressed), signal, how)
    }
}

fn frame(compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(message.len() + 5);
    framed.put_u8(u8::from(compressed));
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.extend_from_slice(message);
    framed
}

fn grpc_verdict(answer: &Answer, how: (Protocol, Compression)) -> Verdict {
    assert_eq!(answer.headers["content-type"], "application/grpc", "{how:?}");
    let status = tonic::Status::from_header_map(&answer.headers).or_else(|| tonic::Status::from_header_map(&answer.trailers));
    let status = status.unwrap_or_else(|| panic!("{how:?}: no status"));
    let (mut rejected, mut retry_after) = (0, None);
    if status.code() == Code::Ok {
        rejected = wire::parse_response(&answer.body[5..]).unwrap().rejected;
    } else {
        assert!(!status.message().is_empty(), "{how:?}");
        retry_after = wire::Status::decode(status.details()).unwrap().retry_after;
    }
    Verdict { code: status.code(), http: answer.http, retry_after, rejected }
}

fn http_verdict(answer: &Answer, signal: Signal, how: (Protocol, Compression)) -> Verdict {
    assert_eq!(answer.headers["content-type"], how.0.content_type(), "{how:?}");
    let json = || serde_json::from_slice::<Value>(&answer.body).unwrap();
    let retry_after =
        answer.headers.get("retry-after").map(|after| Duration::from_secs(after.to_str().unwrap().parse().unwrap()));
    let (mut code, mut rejected) = (Code::Ok, 0);
    match (answer.http == 200, how.0 == Protocol::Json) {
        (true, true) => {
            let field = ["rejectedLogRecords", "rejectedSpans", "rejectedDataPoints"][signal as usize];
            rejected = json()["partialSuccess"][field].as_str().map_or(0, |count| count.parse().unwrap());
            assert!(rejected > 0 || answer.body == "{}", "{how:?}");
        }
        (true, false) => rejected = wire::parse_response(&answer.body).unwrap().rejected,
        (false, true) => {
            code = Code::from(i32::try_from(json()["code"].as_i64().unwrap()).unwrap());
            assert!(!json()["message"].as_str().unwrap().is_empty());
        }
        (false, false) => {
            let status = wire::Status::decode(&answer.body).unwrap();
            assert!(!status.message.is_empty(), "{how:?}");
            code = Code::from(status.code);
        }
    }
    Verdict { code, http: answer.http, retry_after, rejected }
}

fn every_way() -> impl Iterator<Item = (Protocol, Compression)> {
    PROTOCOLS.into_iter().flat_map(|protocol| COMPRESSIONS.map(|compression| (protocol, compression)))
}

fn good() -> Vec<u8> {
    wire::encode::pulls(&node("node-1"), "0.1.0", [(Started, &pull("a", 1, 10))])
}

/// Two spans, the first with an id that is none.
fn half_good() -> Vec<u8> {
    let span = |trace: &str| json!({ "traceId": trace, "spanId": "00f067aa0ba902b7", "name": "x" });
    let spans = json!([span("abcd"), span("4bf92f3577b34da6a3ce929d0e0e4736")]);
    let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }).to_string();
    wire::transcode_json(Signal::Traces, body.as_bytes()).unwrap()
}

#[test]
fn whatever_can_become_of_a_request_is_answered_alike_in_every_protocol_and_compression() {
    let (house, sender) = (House::start(&[]), Sender::new());
    let large = vec![0; LIMIT + 1];
    for how in every_way() {
        let export = |signal, body: &[u8]| sender.export(&house, how, signal, body);
        assert_eq!(export(Signal::Logs, &how.0.encode(Signal::Logs, good())), OK, "{how:?}: ok");
        for signal in Signal::ALL {
            assert_eq!(export(signal, &how.0.encode(signal, Vec::new())), OK, "{how:?}: empty {signal:?}");
        }
        let partial = export(Signal::Traces, &how.0.encode(Signal::Traces, half_good()));
        assert_eq!(partial, Verdict { rejected: 1, ..OK }, "{how:?}: partial");
        let refused = how.0.verdict(Code::InvalidArgument, 400, None);
        for signal in Signal::ALL {
            assert_eq!(export(signal, b"hello"), refused, "{how:?}: malformed {signal:?}");
        }
        let too_large = how.0.verdict(Code::ResourceExhausted, 413, None);
        assert_eq!(export(Signal::Logs, &large), too_large, "{how:?}: oversize");
    }
    let ways = 9.0;
    for (series, value) in [
        ("pulltrace_receiver_accepted_total", 2.0 * ways),
        ("pulltrace_receiver_rejected_total{reason=\"bad_id\"}", ways),
        ("pulltrace_receiver_rejected_total{reason=\"malformed\"}", 3.0 * ways),
        ("pulltrace_receiver_rejected_total{reason=\"too_large\"}", ways),
    ] {
        assert_eq!(house.metric(series), value, "{series}");
    }
}

/// A connection that has sent all but the last byte of a request as long as can be.
fn stalled(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    let head = "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n";
    write!(stream, "{head}content-length: {LIMIT}\r\n\r\n").unwrap();
    stream.write_all(&vec![0; LIMIT - 1]).unwrap();
    stream
}

#[test]
fn while_there_is_no_room_every_sender_is_told_when_to_come_back_and_afterwards_it_is_taken() {
    let (house, sender) = (House::start(&[]), Sender::new());
    let full: Vec<_> = (0..BUDGET / LIMIT).map(|_| stalled(house.web)).collect();
    let large = pull(&"n".repeat(200), 1, 10);
    let body = wire::encode::pulls(&node("node-1"), "0.1.0", [(Started, &large)]);
    let busy = |how| sender.export(&house, how, Signal::Logs, &Protocol::encode(how.0, Signal::Logs, body.clone()));
    eventually("it is full", || (busy((Protocol::Grpc, Compression::None)).code == Code::Unavailable).then_some(()));
    for how in every_way() {
        let told = how.0.verdict(Code::Unavailable, 503, Some(Duration::from_secs(1)));
        assert_eq!(busy(how), told, "{how:?}: overload");
    }
    drop(full);
    for how in every_way() {
        eventually("there is room again", || (busy(how) == OK).then_some(()));
    }
}

#[test]
fn a_compression_that_is_not_known_is_refused_for_good_and_says_which_are() {
    let (house, sender) = (House::start(&[]), Sender::new());
    for word in ["br", "gzip, gzip", "deflate"] {
        let headers = [("content-type", "application/grpc"), ("grpc-encoding", word)];
        let answer = sender.post(true, house.grpc, Signal::Logs.grpc_path(), &headers, frame(true, b"x"));
        assert_eq!(tonic::Status::from_header_map(&answer.headers).unwrap().code(), Code::Unimplemented);
        assert_eq!(answer.headers["grpc-accept-encoding"], "identity,gzip,zstd");
        let headers = [("content-type", "application/json"), ("content-encoding", word)];
        let answer = sender.post(false, house.web, "/v1/logs", &headers, b"x".to_vec());
        assert_eq!((answer.http, &answer.headers["accept-encoding"]), (415, &"gzip, zstd".parse().unwrap()));
    }
    let twice = [("content-type", "application/json"), ("content-encoding", "gzip"), ("content-encoding", "gzip")];
    assert_eq!(sender.post(false, house.web, "/v1/logs", &twice, b"x".to_vec()).http, 415);
    assert_eq!(house.metric("pulltrace_receiver_rejected_total{reason=\"content_encoding\"}"), 7.0);
}

#[test]
fn a_grpc_request_that_is_not_one_message_is_refused_for_good() {
    let (house, sender) = (House::start(&[]), Sender::new());
    let two = [frame(false, b""), frame(false, b"")].concat();
    let headers = [("content-type", "application/grpc+proto")];
    for body in [
        Vec::new(),
        vec![0; 4],
        frame(false, b"")[..4].to_vec(),
        two,
        frame(true, b"x"),
        vec![2, 0, 0, 0, 0],
        vec![0, 255, 0, 0, 0],
    ] {
        let answer = sender.post(true, house.grpc, Signal::Logs.grpc_path(), &headers, body.clone());
        let code = tonic::Status::from_header_map(&answer.headers).unwrap().code();
        let expected = if body.get(1) == Some(&255) { Code::ResourceExhausted } else { Code::InvalidArgument };
        assert_eq!(code, expected, "{body:?}");
    }
    let other = sender.post(true, house.grpc, Signal::Logs.grpc_path(), &[("content-type", "text/plain")], Vec::new());
    assert_eq!(other.http, 415);
}

#[test]
fn grpc_health_answers_for_the_whole_and_for_every_service() {
    let (house, sender) = (House::start(&[]), Sender::new());
    let check = |service: &str| {
        let mut question = vec![0x0a, u8::try_from(service.len()).unwrap()];
        question.extend_from_slice(service.as_bytes());
        let headers = [("content-type", "application/grpc"), ("te", "trailers")];
        let path = "/grpc.health.v1.Health/Check";
        let answer =
            sender.post(true, house.grpc, path, &headers, frame(false, if service.is_empty() { &[] } else { &question }));
        let status = tonic::Status::from_header_map(&answer.headers).or_else(|| tonic::Status::from_header_map(&answer.trailers));
        (status.unwrap().code(), answer.body.to_vec())
    };
    let serving = (Code::Ok, frame(false, &[8, 1]));
    eventually("it serves", || (check("") == serving).then_some(()));
    assert_eq!(check("opentelemetry.proto.collector.logs.v1.LogsService"), serving);
    assert_eq!(check("opentelemetry.proto.collector.trace.v1.TraceService"), serving);
    assert_eq!(check("someone.else"), (Code::NotFound, Vec::new()));
}
