//! OTLP in and out from outside: both protocols on both ports, every refusal, and what is passed on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
};

use flate2::{Compression, write::GzEncoder};
use house::{Answer, DEADLINE, House, eventually, get, heartbeat, node, post, pull, ready, request};
use lifecycle::wire::{
    self,
    Event::{Finished, Progress, Started},
    Signal,
};
use otlp::{Compression::Gzip, Compression::None as Plain, SendError};
use serde_json::{Value, json};
use tonic::Code;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");
const MIB: usize = 1 << 20;

fn logs(image: &str) -> Vec<u8> {
    wire::encode::pulls(&node("node-1"), "0.1.0", [(Started, &pull(image, 1, 10))])
}

fn gzip(chunks: usize, chunk: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..chunks {
        encoder.write_all(chunk).unwrap();
    }
    encoder.finish().unwrap()
}

fn images(house: &House) -> Vec<String> {
    let list = house.json("/api/v1/pulls");
    list["pulls"].as_array().unwrap().iter().map(|p| p["imageRef"].as_str().unwrap().to_owned()).collect()
}

fn arrives(house: &House, image: &str) {
    let full = format!("docker.io/library/{image}:latest");
    eventually(image, || images(house).contains(&full).then_some(()));
}

/// The body of an error in the encoding of the request.
fn status(answer: &Answer) -> wire::Status {
    match answer.header("content-type") {
        "application/x-protobuf" => wire::Status::decode(&answer.body).unwrap(),
        "application/json" => {
            let json = answer.json();
            let code = i32::try_from(json["code"].as_i64().unwrap()).unwrap();
            wire::Status { code, message: json["message"].as_str().unwrap().into(), retry_after: None }
        }
        other => panic!("{other}: {}", answer.text()),
    }
}

#[test]
fn reports_arrive_over_both_protocols_on_both_ports_in_every_encoding() {
    let house = House::start(&[]);
    house.grpc(house.grpc, Plain, Signal::Logs, logs("grpc")).unwrap();
    house.grpc(house.grpc, Gzip, Signal::Logs, logs("grpc-gzip")).unwrap();
    house.grpc(house.web, Plain, Signal::Logs, logs("grpc-on-the-port-of-http")).unwrap();
    let http = [
        ("http", house.web, PROTOBUF, ("x-none", ""), logs("http")),
        ("http-on-the-port-of-grpc", house.grpc, PROTOBUF, ("x-none", ""), logs("http-on-the-port-of-grpc")),
        ("gzip", house.web, PROTOBUF, ("content-encoding", "gzip"), gzip(1, &logs("gzip"))),
        ("zstd", house.web, PROTOBUF, ("content-encoding", "zstd"), zstd::encode_all(&*logs("zstd"), 1).unwrap()),
        ("json", house.web, JSON, ("x-none", ""), wire::to_json(Signal::Logs, &logs("json")).unwrap().to_string().into()),
    ];
    for (image, to, content_type, encoding, body) in http {
        let answer = post(to, "/v1/logs", &[content_type, encoding], &body);
        assert_eq!((answer.status, answer.header("content-type")), (200, content_type.1), "{image}: {}", answer.text());
        assert_eq!(answer.text(), if content_type == JSON { "{}" } else { "" });
        arrives(&house, image);
    }
    for image in ["grpc", "grpc-gzip", "grpc-on-the-port-of-http"] {
        arrives(&house, image);
    }
    assert_eq!(house.metric("pulltrace_agent_reports_total"), 8.0);
}

#[test]
fn an_empty_request_of_every_signal_is_a_success() {
    let house = House::start(&[]);
    for signal in Signal::ALL {
        house.accept(signal, Vec::new());
        let answer = post(house.web, signal.http_path(), &[JSON], b"{}");
        assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
        assert_eq!(house.grpc(house.grpc, Plain, signal, Vec::new()).unwrap().rejected, 0);
    }
}

#[test]
fn what_is_no_otlp_is_refused_for_good_and_counted() {
    let house = House::start(&[]);
    for (content_type, body) in [(PROTOBUF, &b"\x0a\xff\xff\xff\xff\x0f"[..]), (PROTOBUF, b"hello"), (JSON, b"{"), (JSON, b"[]")]
    {
        let answer = post(house.web, "/v1/logs", &[content_type], body);
        assert_eq!((answer.status, answer.header("content-type")), (400, content_type.1), "{}", answer.text());
        assert_eq!(status(&answer).code, i32::from(Code::InvalidArgument));
        assert!(status(&answer).message.contains("not an OTLP logs"), "{}", status(&answer).message);
    }
    let truncated = post(house.web, "/v1/logs", &[PROTOBUF, ("content-encoding", "gzip")], &gzip(1, &logs("cut"))[..20]);
    assert_eq!(truncated.status, 400, "{}", truncated.text());
    let refused = house.grpc(house.grpc, Plain, Signal::Logs, b"hello".to_vec()).unwrap_err();
    assert!(matches!(refused, SendError::Grpc { code: Code::InvalidArgument, .. }), "{refused}");
    assert_eq!(house.metric("pulltrace_receiver_rejected_total{reason=\"malformed\"}"), 5.0);
    house.grpc(house.grpc, Plain, Signal::Logs, logs("good")).unwrap();
    arrives(&house, "good");
}

#[test]
fn a_bad_record_is_refused_alone_and_its_sender_is_told() {
    let house = House::start(&[]);
    let span = |trace: &str| json!({ "traceId": trace, "spanId": "00f067aa0ba902b7", "name": "x", "startTimeUnixNano": "1", "endTimeUnixNano": "2" });
    let spans = json!([span("abcd"), span("4bf92f3577b34da6a3ce929d0e0e4736")]);
    let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }).to_string();
    let answer = post(house.web, "/v1/traces", &[JSON], body.as_bytes());
    let partial = &answer.json()["partialSuccess"];
    assert_eq!((answer.status, &partial["rejectedSpans"]), (200, &json!("1")));
    assert!(partial["errorMessage"].as_str().unwrap().contains("id"), "{partial}");
    let sent =
        house.grpc(house.grpc, Plain, Signal::Traces, wire::transcode_json(Signal::Traces, body.as_bytes()).unwrap()).unwrap();
    assert_eq!(sent.rejected, 1);
    assert_eq!(house.metric("pulltrace_receiver_accepted_total"), 2.0);
    assert_eq!(house.metric("pulltrace_receiver_rejected_total{reason=\"bad_id\"}"), 2.0);
}

#[test]
fn what_is_asked_for_in_a_wrong_way_is_answered_as_the_specification_says() {
    let house = House::start(&[]);
    let unknown_type = post(house.web, "/v1/logs", &[("content-type", "text/plain")], b"x");
    assert_eq!((unknown_type.status, status(&unknown_type).code), (415, i32::from(Code::InvalidArgument)));
    let unknown_encoding = post(house.web, "/v1/logs", &[PROTOBUF, ("content-encoding", "br")], b"x");
    assert_eq!((unknown_encoding.status, unknown_encoding.header("accept-encoding")), (415, "gzip, zstd"));
    assert!(status(&unknown_encoding).message.contains("br"), "{}", status(&unknown_encoding).message);
    let method = get(house.web, "/v1/logs", &[]);
    assert_eq!((method.status, method.header("allow")), (405, "POST"));
    assert_eq!(post(house.web, "/v1/profiles", &[PROTOBUF], b"x").status, 404);
    let grpc = request(
        "POST",
        house.web,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Import",
        &[("content-type", "application/grpc")],
        b"x",
    );
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, "12"));
}

#[test]
fn a_request_over_the_limit_is_refused_for_good_however_it_travels() {
    let house = House::start(&[]);
    let bomb = gzip(65, &vec![0; MIB]);
    assert!(bomb.len() < MIB, "{}", bomb.len());
    for content_type in [PROTOBUF, JSON] {
        let answer = post(house.web, "/v1/logs", &[content_type, ("content-encoding", "gzip")], &bomb);
        assert_eq!((answer.status, status(&answer).code), (413, i32::from(Code::ResourceExhausted)));
    }
    for compression in [Plain, Gzip] {
        let error = house.grpc(house.grpc, compression, Signal::Logs, vec![0; 65 * MIB]).unwrap_err();
        assert!(matches!(error, SendError::Grpc { code: Code::ResourceExhausted, .. }) && !error.retryable(), "{error}");
    }
    assert_eq!(house.metric("pulltrace_receiver_rejected_total{reason=\"too_large\"}"), 4.0);
    house.grpc(house.grpc, Plain, Signal::Logs, logs("good")).unwrap();
    arrives(&house, "good");
}

#[test]
fn a_heartbeat_makes_a_node_known() {
    let house = House::start(&["--cluster-name", "prod"]);
    house.accept(Signal::Logs, wire::encode::node(&heartbeat(3)));
    let node = eventually("the node is known", || house.json("/api/v1/nodes")["nodes"].get(0).cloned());
    let expected = json!({ "name": "node-1", "cluster": "prod", "runtime": "containerd", "version": "2.1.4", "agentVersion": "0.1.0",
        "reachable": true, "connected": true, "activePulls": 3, "droppedProgress": 0, "droppedOutcomes": 0 });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&node[key], value, "{key}");
    }
    assert_eq!(house.metric("pulltrace_agents_connected"), 1.0);
}

/// An HTTP receiver that answers with these statuses, then with 200, and hands over what it got.
fn sink(answers: Vec<u16>) -> (SocketAddr, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            while let Some((path, body)) = read_request(&mut stream) {
                let status = answers.next().unwrap_or(200);
                let wait = if status == 503 { "Retry-After: 0\r\n" } else { "" };
                write!(stream.get_mut(), "HTTP/1.1 {status} X\r\n{wait}Content-Length: 0\r\n\r\n").unwrap();
                if tell.send((path, body)).is_err() {
                    return;
                }
            }
        }
    });
    (address, told)
}

fn read_request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        lines.push(line.trim().to_ascii_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((lines[0].split(' ').nth(1)?.to_owned(), body))
}

#[test]
fn what_is_received_is_passed_on_as_it_came_but_without_progress() {
    let (address, told) = sink(vec![]);
    let second = House::start(&[]);
    let sinks = format!("http/protobuf=http://{address},http://{}", second.grpc);
    let house = House::start(&["--forward-otlp-endpoint", &sinks]);
    let spans = wire::encode::spans(&node("node-1"), "0.1.0", &ready(pull("a", 3, 1500))).unwrap();
    house.accept(Signal::Traces, spans.clone());
    assert_eq!(told.recv_timeout(DEADLINE).unwrap(), ("/v1/traces".to_owned(), spans));

    let progress = pull("a", 2, 700);
    house.accept(Signal::Logs, wire::encode::pulls(&node("node-1"), "0.1.0", [(Progress, &progress)]));
    let end = ready(pull("a", 3, 1500));
    let both = wire::encode::pulls(&node("node-1"), "0.1.0", [(Progress, &progress), (Finished, &end)]);
    let json = wire::to_json(Signal::Logs, &both).unwrap().to_string();
    assert_eq!(post(house.web, "/v1/logs", &[JSON], json.as_bytes()).status, 200);
    let (path, body) = told.recv_timeout(DEADLINE).unwrap();
    let only_the_end = wire::encode::pulls(&node("node-1"), "0.1.0", [(Finished, &end)]);
    assert_eq!(
        (path.as_str(), wire::decode(Signal::Logs, &body).unwrap()),
        ("/v1/logs", wire::decode(Signal::Logs, &only_the_end).unwrap())
    );
    arrives(&second, "a");
    let series = format!("pulltrace_forward_sent_total{{sink=\"http://{address}\"}}");
    eventually("both are counted", || (house.metric(&series) == 2.0).then_some(()));
}

#[test]
fn a_sink_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let (address, told) = sink(vec![503, 200, 400]);
    let house = House::start(&["--forward-otlp-endpoint", &format!("http/protobuf=http://{address}")]);
    for image in ["first", "second"] {
        house.accept(Signal::Logs, logs(image));
    }
    let bodies: Vec<_> = (0..3).map(|_| told.recv_timeout(DEADLINE).unwrap().1).collect();
    assert_eq!(bodies, [logs("first"), logs("first"), logs("second")]);
    let dropped = format!("pulltrace_forward_dropped_total{{sink=\"http://{address}\",reason=\"refused\"}}");
    eventually("the refusal is counted", || (house.metric(&dropped) == 1.0).then_some(()));
    assert_eq!(house.metric(&format!("pulltrace_forward_sent_total{{sink=\"http://{address}\"}}")), 1.0);
}

#[test]
fn a_dead_sink_holds_up_nothing_and_its_queue_is_bounded() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let house = House::start(&["--forward-otlp-endpoint", &format!("http://{closed}")]);
    let metrics: Value = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{ "name": "n".repeat(20 * MIB) }] }] }] });
    let large = wire::transcode_json(Signal::Metrics, metrics.to_string().as_bytes()).unwrap();
    for _ in 0..4 {
        house.accept(Signal::Metrics, large.clone());
    }
    house.accept(Signal::Logs, logs("good"));
    arrives(&house, "good");
    let label = format!("sink=\"http://{closed}\"");
    assert_eq!(house.metric(&format!("pulltrace_forward_dropped_total{{{label},reason=\"queue_full\"}}")), 1.0);
    let queued = house.metric(&format!("pulltrace_forward_queued_bytes{{{label}}}"));
    assert!((60e6..=67.2e6).contains(&queued), "{queued}");
}
