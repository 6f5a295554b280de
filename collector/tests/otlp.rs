//! OTLP in from outside: both protocols on both ports, and every refusal.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use house::{Answer, House, eventually, get, heartbeat, node, post, pull, request};
use lifecycle::wire::{self, Event::Started, Signal};
use otlp::{Compression::Gzip, Compression::None as Plain, SendError};
use serde_json::json;
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
