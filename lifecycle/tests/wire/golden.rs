//! What is on the wire, for people to read: each file is a request as OTLP JSON, and reads back as what was said. A change of these files
//! is a change of the dialect.

use std::path::Path;
use std::time::Duration;

use lifecycle::measure::Metric;
use lifecycle::pull::Eta;
use lifecycle::wire::{self, Event, Signal, encode};
use serde_json::Value;

use super::sample::{VERSION, at, downloading, failed, heartbeat, measured, node, ready, started, waiting};

/// Widest line of a golden file that is not broken up.
const WIDTH: usize = 150;

#[track_caller]
fn shows(name: &str, signal: Signal, bytes: &[u8]) {
    let shown = pretty(&without_defaults(wire::to_json(signal, bytes).unwrap()), 0) + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        write(&path, &shown);
    }
    let golden = read(&path);
    assert!(golden == shown, "{name} differs; look at it and run again with UPDATE_GOLDEN=1:\n{shown}");
    assert_eq!(wire::decode_json(signal, golden.as_bytes()).unwrap(), wire::decode(signal, bytes).unwrap());
}

#[expect(clippy::disallowed_methods, reason = "golden files are files")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[expect(clippy::disallowed_methods, reason = "golden files are rewritten when that is asked for")]
fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// Leaves out what protobuf's JSON need not say.
fn without_defaults(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let said = fields.into_iter().map(|(name, value)| (name, without_defaults(value)));
            Value::Object(
                said.filter(|(name, value)| name == "values" || name.ends_with("Value") || !is_default(value)).collect(),
            )
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_defaults).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn is_default(value: &Value) -> bool {
    matches!(value, Value::Null) || *value == "" || *value == 0 || *value == Value::Array(vec![])
}

/// JSON in which what fits into a line stands in a line.
fn pretty(value: &Value, indent: usize) -> String {
    let line = value.to_string();
    if indent * 2 + line.len() <= WIDTH {
        return line;
    }
    let (open, close, items): (_, _, Vec<String>) = match value {
        Value::Object(fields) => {
            ('{', '}', fields.iter().map(|(name, value)| format!("{name:?}: {}", pretty(value, indent + 1))).collect())
        }
        Value::Array(values) => ('[', ']', values.iter().map(|value| pretty(value, indent + 1)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return line,
    };
    let inner = "  ".repeat(indent + 1);
    format!("{open}\n{inner}{}\n{}{close}", items.join(&format!(",\n{inner}")), "  ".repeat(indent))
}

#[test]
fn a_pull_that_began() {
    shows("started.json", Signal::Logs, &encode::pulls(&node(), VERSION, [(Event::Started, &started())]));
}

#[test]
fn a_pull_that_downloads() {
    shows("progress.json", Signal::Logs, &encode::pulls(&node(), VERSION, [(Event::Progress, &downloading())]));
}

/// The file is never written again: agents that were shipped before bounds were told speak like this.
#[test]
fn an_estimate_without_bounds_from_an_older_agent_is_understood() {
    let frozen = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/before-bounds.json"));
    let decoded = wire::decode_json(Signal::Logs, frozen.as_bytes()).unwrap();
    let etas: Vec<_> =
        decoded.reports.iter().map(|r| if let wire::Said::Pull(report) = r { report.pull.eta } else { None }).collect();
    assert_eq!(etas, [Some(Eta::About(Duration::from_millis(1_200)))]);
}

#[test]
fn a_pull_that_waits_for_another() {
    shows("waiting.json", Signal::Logs, &encode::pulls(&node(), VERSION, [(Event::Progress, &waiting())]));
}

#[test]
fn a_pull_that_is_ready() {
    shows("finished-ready.json", Signal::Logs, &encode::pulls(&node(), VERSION, [(Event::Finished, &ready())]));
}

#[test]
fn a_pull_that_failed() {
    shows("finished-failed.json", Signal::Logs, &encode::pulls(&node(), VERSION, [(Event::Finished, &failed())]));
}

#[test]
fn the_heartbeat_of_a_node() {
    shows("node.json", Signal::Logs, &encode::node(&heartbeat()));
}

#[test]
fn what_a_node_measured() {
    let metrics = measured();
    shows("metrics.json", Signal::Metrics, &encode::metrics(&node(), VERSION, at(0), at(60_000), &metrics));
    let empty = Metric { series: vec![], ..metrics[0].clone() };
    let one = encode::metrics(&node(), VERSION, at(0), at(1), &[empty, metrics[1].clone()]);
    assert_eq!(wire::decode(Signal::Metrics, &one).unwrap().accepted, 1, "a metric without a series is left out");
}

#[test]
fn the_trace_of_a_pull_that_is_ready() {
    shows("trace-ready.json", Signal::Traces, &encode::spans(&node(), VERSION, &ready()).expect("it ended"));
}

#[test]
fn the_trace_of_a_pull_that_failed() {
    shows("trace-failed.json", Signal::Traces, &encode::spans(&node(), VERSION, &failed()).expect("it ended"));
}
