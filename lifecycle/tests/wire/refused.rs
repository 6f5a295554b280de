//! Records of ours that cannot be right are refused one by one, each with its reason, and their neighbours are taken.

use std::collections::BTreeMap;

use lifecycle::wire::{self, Event, MAX_ATTRIBUTES, MAX_BYTES, MAX_LAYERS, MAX_REPORTS, Reason, Signal, encode};
use serde_json::{Value, json};

use super::sample::{VERSION, downloading, failed, heartbeat, node, waiting};

/// A request of one report, as JSON.
fn request(bytes: &[u8]) -> Value {
    wire::to_json(Signal::Logs, bytes).unwrap()
}

fn record(request: &mut Value) -> &mut Value {
    &mut request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
}

/// Gives an attribute another value, or takes it away.
fn set(holder: &mut Value, name: &str, value: Option<Value>) {
    let attributes = holder["attributes"].as_array_mut().unwrap();
    let before = attributes.len();
    attributes.retain(|attribute| attribute["key"] != name);
    assert!(attributes.len() < before, "{name} is not there to be changed");
    attributes.extend(value.map(|value| json!({ "key": name, "value": value })));
}

#[track_caller]
fn refuses(request: &Value, reason: Reason, subject: &str) {
    let decoded = wire::decode_json(Signal::Logs, request.to_string().as_bytes()).unwrap();
    let reasons: Vec<_> = decoded.rejected.by_reason().collect();
    assert_eq!((decoded.reports, decoded.accepted, reasons), (vec![], 0, vec![(reason, 1)]), "{subject}");
    let message = decoded.rejected.message();
    assert!(message.starts_with(subject), "{message}");
}

fn text(text: &str) -> Option<Value> {
    Some(json!({ "stringValue": text }))
}

fn int(number: i64) -> Option<Value> {
    Some(json!({ "intValue": number.to_string() }))
}

fn ints(numbers: &[i64]) -> Option<Value> {
    let values: Vec<_> = numbers.iter().map(|number| json!({ "intValue": number.to_string() })).collect();
    Some(json!({ "arrayValue": { "values": values } }))
}

fn texts(list: &[&str]) -> Option<Value> {
    let values: Vec<_> = list.iter().map(|text| json!({ "stringValue": text })).collect();
    Some(json!({ "arrayValue": { "values": values } }))
}

#[test]
fn an_attribute_that_cannot_be_right_refuses_its_record_and_is_named() {
    use Reason::{
        BadDigest, BadName, BadTime, Missing, OutOfRange, TooLong, TooManyLayers, UnequalLengths, UnknownWord, WrongType,
    };
    let long = "x".repeat(300);
    let many = vec!["x"; MAX_LAYERS + 1];
    let exbibytes = i64::try_from(MAX_BYTES).unwrap();
    let cases: Vec<(&str, Option<Value>, Reason)> = vec![
        ("pulltrace.pull.sequence", None, Missing),
        ("pulltrace.pull.sequence", int(-1), OutOfRange),
        ("pulltrace.pull.sequence", text("7"), WrongType),
        ("pulltrace.pull.phase", None, Missing),
        ("pulltrace.pull.phase", text("flying"), UnknownWord),
        ("pulltrace.pull.phase", int(1), WrongType),
        ("pulltrace.pull.started_at", None, Missing),
        ("pulltrace.pull.started_at", int(0), BadTime),
        ("pulltrace.pull.started_at", int(-5), OutOfRange),
        ("pulltrace.pull.resolved_at", int(0), BadTime),
        ("pulltrace.pull.total_known", None, Missing),
        ("pulltrace.pull.total_known", int(1), WrongType),
        ("pulltrace.pull.rate", int(exbibytes + 1), OutOfRange),
        ("pulltrace.pull.eta", int(-1), OutOfRange),
        ("pulltrace.containerd.namespace", None, Missing),
        ("pulltrace.containerd.namespace", text(&long), TooLong),
        ("pulltrace.snapshotter.name", text(&long), TooLong),
        ("container.image.name", text("no name at all"), BadName),
        ("oci.manifest.digest", text("sha256:abc"), BadDigest),
        ("pulltrace.layers.digest", None, UnequalLengths),
        ("pulltrace.layers.digest", texts(&["sha256:abc", "x", "y"]), BadDigest),
        ("pulltrace.layers.digest", text("x"), WrongType),
        ("pulltrace.layers.media_type", texts(&["a", "b", &long]), TooLong),
        ("pulltrace.layers.size", None, UnequalLengths),
        ("pulltrace.layers.size", ints(&[30_000_000, 8_000_000]), UnequalLengths),
        ("pulltrace.layers.size", ints(&[30_000_000, 2_000_000, exbibytes + 1]), OutOfRange),
        ("pulltrace.layers.size", ints(&[30_000_000, 2_000_000, -1]), OutOfRange),
        ("pulltrace.layers.digest", texts(&many), TooManyLayers),
        ("pulltrace.layers.size", texts(&["1", "2", "3"]), WrongType),
        ("pulltrace.layers.offset", ints(&[0, 0, 8_000_001]), OutOfRange),
        ("pulltrace.layers.state", texts(&["cached", "downloaded", "gone"]), UnknownWord),
        ("pulltrace.layers.cached", ints(&[0, 0, 0]), WrongType),
        ("pulltrace.layers.download.start", ints(&[0, 0]), UnequalLengths),
        ("pulltrace.layers.download.end", ints(&[0, 0, -1]), OutOfRange),
        ("pulltrace.layers.download.source", texts(&["poll", "poll", "guess"]), UnknownWord),
        ("pulltrace.layers.unpack.start", None, UnequalLengths),
        ("pulltrace.layers.unpack.source", texts(&["poll"; 4]), UnequalLengths),
    ];
    let bytes = encode::pulls(&node(), VERSION, [(Event::Progress, &downloading())]);
    for (name, value, reason) in cases {
        let mut request = request(&bytes);
        set(record(&mut request), name, value);
        let blamed =
            if name == "pulltrace.layers.digest" && reason == UnequalLengths { "pulltrace.layers.media_type" } else { name };
        refuses(&request, reason, blamed);
    }
}

#[test]
fn a_wait_and_an_ending_are_whole_or_refused() {
    use Reason::{BadDigest, BadId, BadTime, Missing, TooLong, UnknownWord};
    let long = "x".repeat(5_000);
    let waiting = encode::pulls(&node(), VERSION, [(Event::Progress, &waiting())]);
    let failed = encode::pulls(&node(), VERSION, [(Event::Finished, &failed())]);
    let cases: Vec<(&[u8], &str, Option<Value>, Reason)> = vec![
        (&waiting, "pulltrace.pull.wait.kind", text("coffee"), UnknownWord),
        (&waiting, "pulltrace.pull.wait.since", None, Missing),
        (&waiting, "pulltrace.pull.wait.since", int(0), BadTime),
        (&waiting, "pulltrace.pull.wait.holder", None, Missing),
        (&waiting, "pulltrace.pull.wait.holder", text("00000000000000000000000000000000"), BadId),
        (&waiting, "pulltrace.pull.wait.layer", text("top"), BadDigest),
        (&failed, "pulltrace.pull.outcome", text("fine"), UnknownWord),
        (&failed, "pulltrace.pull.ended_at", None, Missing),
        (&failed, "pulltrace.pull.ended_at", int(0), BadTime),
        (&failed, "pulltrace.timing.source", text("guess"), UnknownWord),
        (&failed, "error.type", None, Missing),
        (&failed, "error.type", text("bad_luck"), UnknownWord),
        (&failed, "error.message", text(&long), TooLong),
    ];
    for (bytes, name, value, reason) in cases {
        let mut request = request(bytes);
        set(record(&mut request), name, value);
        refuses(&request, reason, name);
    }
}

#[test]
fn who_speaks_and_about_what_must_be_known() {
    let bytes = encode::pulls(&node(), VERSION, [(Event::Progress, &downloading())]);
    for (name, value, reason) in [
        ("k8s.node.name", None, Reason::Missing),
        ("k8s.node.name", text("two words"), Reason::BadName),
        ("k8s.node.name", text(""), Reason::BadName),
        ("k8s.node.uid", None, Reason::Missing),
        ("k8s.node.uid", text(""), Reason::Missing),
        ("k8s.cluster.name", int(1), Reason::WrongType),
    ] {
        let mut request = request(&bytes);
        set(&mut request["resourceLogs"][0]["resource"], name, value);
        refuses(&request, reason, name);
    }
    for (field, value, reason) in [
        ("traceId", json!(""), Reason::BadId),
        ("traceId", json!("abcd"), Reason::BadId),
        ("traceId", json!("00000000000000000000000000000000"), Reason::BadId),
        ("timeUnixNano", json!("0"), Reason::BadTime),
    ] {
        let mut request = request(&bytes);
        record(&mut request)[field] = value;
        refuses(&request, reason, "the t");
    }
}

#[test]
fn a_heartbeat_is_held_to_the_same() {
    let bytes = encode::node(&heartbeat());
    for (name, value, reason) in [
        ("pulltrace.agent.runtime_reachable", None, Reason::Missing),
        ("pulltrace.agent.active_pulls", int(-1), Reason::OutOfRange),
        ("pulltrace.agent.version", int(1), Reason::WrongType),
    ] {
        let mut request = request(&bytes);
        set(record(&mut request), name, value);
        refuses(&request, reason, name);
    }
}

#[test]
fn a_record_with_too_many_attributes_is_not_looked_at() {
    let mut request = request(&encode::pulls(&node(), VERSION, [(Event::Progress, &downloading())]));
    let attributes = record(&mut request)["attributes"].as_array_mut().unwrap();
    attributes.resize(MAX_ATTRIBUTES + 1, json!({ "key": "x" }));
    refuses(&request, Reason::TooMany, "the attributes of one record");
}

#[test]
fn a_refused_record_does_not_take_its_neighbours_along() {
    let pull = downloading();
    let bytes = encode::pulls(&node(), VERSION, [(Event::Progress, &pull); 3]);
    let mut request = request(&bytes);
    set(&mut request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][1], "pulltrace.pull.phase", text("flying"));
    let decoded = wire::decode_json(Signal::Logs, request.to_string().as_bytes()).unwrap();
    assert_eq!((decoded.reports.len(), decoded.accepted, decoded.rejected.total()), (2, 2, 1));
}

#[test]
fn reports_beyond_the_bound_of_a_request_are_refused() {
    let beat = heartbeat();
    let bytes = encode::node(&beat).repeat(MAX_REPORTS + 2);
    let decoded = wire::decode(Signal::Logs, &bytes).unwrap();
    assert_eq!((decoded.reports.len(), decoded.accepted), (MAX_REPORTS, MAX_REPORTS as u64));
    assert_eq!(decoded.rejected.by_reason().collect::<Vec<_>>(), [(Reason::TooMany, 2)]);
}

#[test]
fn spans_of_anyone_need_ids_of_the_right_length_and_an_end_after_the_start() {
    let good = json!({ "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "startTimeUnixNano": "5", "endTimeUnixNano": "5" });
    let with = |field: &str, value: &str| {
        let mut span = good.clone();
        span[field] = json!(value);
        span
    };
    let spans = json!([
        good,
        with("traceId", "abcd"),
        with("traceId", ""),
        with("traceId", "00000000000000000000000000000000"),
        with("spanId", "01020304050607080910"),
        with("spanId", "0000000000000000"),
        with("endTimeUnixNano", "4"),
    ]);
    let request = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] });
    let decoded = wire::decode_json(Signal::Traces, request.to_string().as_bytes()).unwrap();
    let reasons: BTreeMap<_, _> = decoded.rejected.by_reason().collect();
    assert_eq!((decoded.accepted, reasons), (1, BTreeMap::from([(Reason::BadId, 5), (Reason::BadTime, 1)])));
    assert_eq!(decoded.rejected.message(), "the trace id of a span is not an id of the right length, or all zero");
}

#[test]
fn every_reason_has_a_word_of_its_own() {
    let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(words.len(), Reason::ALL.len());
}
