//! What a sender may say who speaks for one node only: of others nothing goes through, in any signal and however it is hidden.

use lifecycle::{
    pull::{Node, NodeName},
    wire::{self, Event, Reason, Signal, encode},
};
use serde_json::json;

use super::sample::{VERSION, at, measured, node, ready};

fn other() -> Node {
    Node { name: "other".parse().unwrap(), ..node() }
}

/// A request of each signal in which this node says something, and how much.
fn said(of: &Node) -> [(Signal, Vec<u8>, u64); 3] {
    let logs = encode::pulls(of, VERSION, [(Event::Started, &ready()), (Event::Finished, &ready())]);
    let traces = encode::spans(of, VERSION, &ready()).unwrap();
    let metrics = encode::metrics(of, VERSION, at(0), at(9), &measured());
    [(Signal::Logs, logs), (Signal::Traces, traces), (Signal::Metrics, metrics)].map(|(signal, bytes)| {
        let said = wire::decode(signal, &bytes).unwrap().accepted;
        (signal, bytes, said)
    })
}

fn only(signal: Signal, request: &[u8], node: &NodeName) -> (Vec<u8>, u64) {
    let own = wire::only_of(signal, request, node).unwrap();
    (own.request.into_owned(), own.taken_out)
}

#[test]
fn what_is_of_another_node_is_taken_out_and_the_rest_stays_byte_for_byte() {
    for ((signal, own, _), (_, foreign, said)) in said(&node()).into_iter().zip(said(&other())) {
        assert!(said > 1);
        let foreign_scope = foreign_telemetry(signal, "other");
        let mixed = [own.as_slice(), &foreign, &foreign_scope, &own].concat();
        let rest = [own.as_slice(), &foreign_scope, &own].concat();
        assert_eq!(only(signal, &mixed, &node().name), (rest, said), "{signal:?}");
        assert_eq!(only(signal, &own, &node().name), (own.clone(), 0), "{signal:?}");
        assert_eq!(only(signal, &foreign, &node().name), (Vec::new(), said), "{signal:?}");
    }
    let mut rejected = wire::decode(Signal::Logs, &[]).unwrap().rejected;
    rejected.add_foreign(0);
    assert_eq!((rejected.total(), rejected.message()), (0, String::new()));
    rejected.add_foreign(3);
    assert_eq!(rejected.by_reason().collect::<Vec<_>>(), [(Reason::ForeignNode, 3)]);
    assert!(rejected.message().starts_with("k8s.node.name is another node"), "{}", rejected.message());
}

/// What some other program says, on whichever node it says to be.
fn foreign_telemetry(signal: Signal, node: &str) -> Vec<u8> {
    let resource = json!({ "attributes": [{ "key": "k8s.node.name", "value": { "stringValue": node } }] });
    let scope = json!({ "name": "app" });
    let span = json!({ "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7" });
    let body = match signal {
        Signal::Logs => {
            json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "scope": scope, "logRecords": [{}] }] }] })
        }
        Signal::Traces => {
            json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "scope": scope, "spans": [span] }] }] })
        }
        Signal::Metrics => {
            json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "scope": scope, "metrics": [] }] }] })
        }
    };
    wire::transcode_json(signal, body.to_string().as_bytes()).unwrap()
}

#[test]
fn two_names_or_none_are_not_the_senders_own() {
    let name = |name: &str| json!({ "key": "k8s.node.name", "value": { "stringValue": name } });
    let own = node().name;
    let number = json!({ "key": "k8s.node.name", "value": { "intValue": "1" } });
    for (attributes, taken_out) in [
        (vec![name(own.as_str())], 0),
        (vec![name(own.as_str()), name(own.as_str())], 0),
        (vec![name("other"), name(own.as_str())], 1),
        (vec![name(own.as_str()), name("other")], 1),
        (vec![name(own.as_str()), number], 1),
        (vec![], 1),
    ] {
        let request = json!({ "resourceLogs": [{ "resource": { "attributes": attributes },
            "scopeLogs": [{ "scope": { "name": "pulltrace" }, "logRecords": [{}] }] }] });
        let request = wire::transcode_json(Signal::Logs, request.to_string().as_bytes()).unwrap();
        assert_eq!(wire::only_of(Signal::Logs, &request, &own).unwrap().taken_out, taken_out, "{attributes:?}");
    }
}
