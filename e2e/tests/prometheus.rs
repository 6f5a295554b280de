//! A real Prometheus scrapes the collector, keeps its exemplars, and finds nothing wrong with its names.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::clock;
use e2e::prometheus::{Job, Prometheus, Release};
use e2e::pulltrace::Collector;
use e2e::tools::{Need, Tools};
use serde_json::{Value, json};

/// Scrapes are a second apart.
const LIMIT: Duration = Duration::from_secs(30);

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// One pull that took seven seconds, as OTLP/JSON.
fn finished() -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let int = |key: &str, value: u64| json!({"key": key, "value": {"intValue": value.to_string()}});
    let begin = 1_760_000_000_000_000_000_u64;
    let (resolved, end) = (begin + 1_000_000_000, begin + 7_000_000_000);
    let record = json!({
        "timeUnixNano": end.to_string(), "eventName": "pulltrace.pull.finished", "traceId": TRACE, "spanId": "00f067aa0ba902b7",
        "attributes": [
            int("pulltrace.pull.sequence", 5), text("pulltrace.pull.phase", "unpacking"), int("pulltrace.pull.started_at", begin),
            int("pulltrace.pull.resolved_at", resolved), text("pulltrace.pull.outcome", "ready"), int("pulltrace.pull.ended_at", end),
            text("container.image.name", "ghcr.io/team/app:v1"), text("pulltrace.containerd.namespace", "k8s.io"),
            {"key": "pulltrace.pull.total_known", "value": {"boolValue": true}},
        ],
    });
    let resource = json!({"attributes": [text("k8s.node.name", "worker-1"), text("k8s.node.uid", "uid-1")]});
    json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": {"name": "pulltrace"}, "logRecords": [record]}]}]})
}

fn told() -> Collector {
    let collector = Collector::start(&[]);
    let answer = ureq::post(&collector.otlp_url("/v1/logs")).content_type("application/json").send(finished().to_string());
    assert_eq!(answer.expect("the collector answers").body_mut().read_to_string().expect("as text"), "{}");
    clock::until("the pull is counted", LIMIT, || (collector.metric("pulltrace_pulls_total", &[]) >= 1.0).then_some(()));
    collector
}

fn scrapes_and_keeps_exemplars(tools: &Tools, release: Release) {
    let collector = told();
    let target = (collector.metrics_address(), Vec::new());
    let prometheus = Prometheus::start(tools, release, None, &[Job { name: "pulltrace", targets: vec![target] }], &[]);
    let value = clock::until("the counter", LIMIT, || prometheus.query("pulltrace_pulls_total > 0").ok()?.first().cloned());
    assert_eq!((&value["metric"]["outcome"], &value["value"][1]), (&json!("ready"), &json!("1")));
    assert_eq!(value["metric"]["registry"], "ghcr.io");
    let (from, to) = ((clock::now() - 60.0).to_string(), (clock::now() + 60.0).to_string());
    for name in ["pulltrace_pull_duration_seconds_bucket", "pulltrace_pull_phase_duration_seconds_bucket"] {
        let exemplar = clock::until(name, LIMIT, || {
            let found = prometheus.get("/api/v1/query_exemplars", &[("query", name), ("start", &from), ("end", &to)]).ok()?;
            Some(found.as_array()?.first()?["exemplars"].as_array()?.first()?.clone())
        });
        assert_eq!(exemplar["labels"]["trace_id"], TRACE, "{name}");
    }
    let targets = prometheus.get("/api/v1/targets", &[]).expect("prometheus answers");
    assert_eq!(targets["activeTargets"][0]["health"], "up", "{targets}");
}

#[test]
fn prometheus_scrapes_the_collector_and_keeps_the_traces_of_pulls_as_exemplars() {
    let test = "prometheus_scrapes_the_collector_and_keeps_the_traces_of_pulls_as_exemplars";
    let Some(tools) = Tools::find(test, &[Need::Prometheus(Release::V2), Need::Pulltrace]) else { return };
    scrapes_and_keeps_exemplars(&tools, Release::V2);
}

#[test]
fn prometheus_3_scrapes_the_collector_and_keeps_the_traces_of_pulls_as_exemplars() {
    let test = "prometheus_3_scrapes_the_collector_and_keeps_the_traces_of_pulls_as_exemplars";
    let Some(tools) = Tools::find(test, &[Need::Prometheus(Release::V3), Need::Pulltrace]) else { return };
    scrapes_and_keeps_exemplars(&tools, Release::V3);
}

#[test]
fn promtool_finds_nothing_wrong_with_the_classic_text() {
    let test = "promtool_finds_nothing_wrong_with_the_classic_text";
    let Some(tools) = Tools::find(test, &[Need::Promtool, Need::Pulltrace]) else { return };
    let collector = told();
    let url = format!("http://{}/metrics", collector.metrics_address());
    let mut answer = ureq::get(&url).header("accept", "text/plain;version=0.0.4").call().expect("/metrics answers");
    let text = answer.body_mut().read_to_string().expect("it is text");
    let mut promtool = Command::new(tools.program("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    promtool.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("promtool reads");
    let said = promtool.wait_with_output().expect("promtool ends");
    let words = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && words.is_empty(), "{words}");
}
