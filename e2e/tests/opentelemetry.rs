//! The OpenTelemetry project's own programs send to our collector and receive from it: what any client sends arrives whole at any sink.

use std::process::Command;
use std::time::Duration;

use e2e::clock;
use e2e::otlp_relay::{Relay, WAYS};
use e2e::otlp_sink::Sink;
use e2e::pulltrace::Collector;
use e2e::tools::{Need, Tools};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// A collector that forwards to a stock one over this protocol, and that one.
fn way(tools: &Tools, protocol: &str) -> (Collector, Sink) {
    let sink = Sink::start(tools);
    let endpoint = if protocol == "grpc" { sink.grpc_endpoint() } else { sink.http_endpoint() };
    let to = format!("{protocol}={endpoint}");
    (Collector::start(&[("PULLTRACE_FORWARD_OTLP_ENDPOINT", &to), ("PULLTRACE_KUBERNETES", "off")]), sink)
}

/// Sends ten of each signal with `telemetrygen`; fails if it says that it could not.
fn generate(tools: &Tools, collector: &Collector, more: &[&str], compression: &str) {
    let grpc = collector.endpoint();
    let http = collector.otlp_url("");
    let endpoint = if more.contains(&"--otlp-http") { http } else { grpc };
    for (signal, count) in [("traces", "--traces"), ("metrics", "--metrics"), ("logs", "--logs")] {
        let out = Command::new(tools.program("telemetrygen"))
            .args([signal, "--otlp-insecure", "--otlp-endpoint", endpoint.trim_start_matches("http://"), count, "10"])
            .args(["--rate", "0", "--service", "checkout"])
            .args(more)
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
            .output()
            .expect("telemetrygen starts");
        assert!(out.status.success(), "{signal}: {}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn what_telemetrygen_sends_arrives_whole_behind_us() {
    let test = "what_telemetrygen_sends_arrives_whole_behind_us";
    let Some(tools) = Tools::find(test, &[Need::Telemetrygen, Need::Otelcol, Need::Pulltrace]) else { return };
    for protocol in ["grpc", "http/protobuf"] {
        let (collector, sink) = way(&tools, protocol);
        let ways: [(&[&str], &str); 4] = [(&[], "none"), (&[], "gzip"), (&["--otlp-http"], "none"), (&["--otlp-http"], "gzip")];
        for (more, compression) in ways {
            generate(&tools, &collector, more, compression);
        }
        // Each trace is a client's span and a server's.
        let all = || (sink.spans().len(), sink.points().len(), sink.logs().len()) == (80, 40, 40);
        clock::until("all of it", SOON, || all().then_some(()));
        assert!((collector.metric("pulltrace_receiver_accepted_total", &[]) - 160.0).abs() < 0.5);
        assert!(collector.metric("pulltrace_receiver_rejected_total", &[]) < 0.5);
        assert!(collector.metric("pulltrace_forward_dropped_total", &[]) < 0.5);
        assert_eq!(collector.pulls(), Vec::<Value>::new());
        collector.has_not_panicked();
    }
}

#[test]
fn a_stock_collector_sends_to_us_in_every_way_and_takes_from_us() {
    let test = "a_stock_collector_sends_to_us_in_every_way_and_takes_from_us";
    let Some(tools) = Tools::find(test, &[Need::Otelcol, Need::Pulltrace]) else { return };
    let (collector, sink) = way(&tools, "grpc");
    let relay = Relay::start(&tools, &collector.endpoint(), &collector.otlp_url(""));
    let attributes = json!([{ "key": "service.name", "value": { "stringValue": "checkout" } },
        { "key": "big", "value": { "stringValue": "x".repeat(100_000) } }]);
    let resource = json!({ "attributes": attributes });
    let span = json!({ "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "GET /", "kind": 2,
        "startTimeUnixNano": "1700000000000000001", "endTimeUnixNano": "1700000000000000002",
        "events": [{ "timeUnixNano": "1700000000000000001", "name": "e" }], "status": { "code": 2, "message": "m" } });
    let record = json!({ "timeUnixNano": "5", "body": { "stringValue": "paid" }, "severityNumber": 9, "eventName": "paid" });
    let metric = json!({ "name": "n", "sum": { "dataPoints": [{ "asInt": "9007199254740993", "timeUnixNano": "5" }],
        "aggregationTemporality": 2, "isMonotonic": true } });
    for (path, body) in [
        ("/v1/traces", json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": [span] }] }] })),
        ("/v1/logs", json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": [record] }] }] })),
        ("/v1/metrics", json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "metrics": [metric] }] }] })),
    ] {
        let sent = ureq::post(&relay.url(path)).content_type("application/json").send(body.to_string());
        assert!(sent.is_ok(), "{path}: {sent:?}; the relay says: {}", relay.log());
    }
    let ways = WAYS.len();
    let all = || (sink.spans().len(), sink.points().len(), sink.logs().len()) == (ways, ways, ways);
    clock::until("all of it by every way", SOON, || all().then_some(()));
    for got in sink.spans() {
        assert_eq!((&got.json["events"][0]["name"], &got.json["status"]), (&json!("e"), &span["status"]));
        assert_eq!(got.json["startTimeUnixNano"], span["startTimeUnixNano"]);
    }
    assert!(sink.points().iter().all(|point| point["asInt"] == "9007199254740993"));
    assert!(sink.logs().iter().all(|got| got["body"] == record["body"]));
    assert!((collector.metric("pulltrace_receiver_accepted_total", &[]) - 27.0).abs() < 0.5);
    collector.has_not_panicked();
}
