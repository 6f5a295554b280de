//! The trace of a pull that ended: told once and whole, every span within the root and none before its start.

use std::collections::BTreeSet;

use lifecycle::{
    names,
    pull::{Ending, ErrorClass, Failure, Interval, LayerState, Outcome, Phase, Pull, TimingSource},
    wire::{self, Signal, encode, root_span},
};
use proptest::prelude::*;
use serde_json::Value;

use super::sample::{VERSION, any_node, any_pull, at, downloading, failed, node, ready, started};

fn spans_of(pull: &Pull) -> Vec<Value> {
    let bytes = encode::spans(&node(), VERSION, pull).expect("it ended");
    let mut json = wire::to_json(Signal::Traces, &bytes).unwrap();
    let resources = json["resourceSpans"].as_array_mut().unwrap();
    assert_eq!(resources.len(), 1, "one request, one resource");
    serde_json::from_value(resources[0]["scopeSpans"][0]["spans"].take()).unwrap()
}

fn names_of(spans: &[Value]) -> Vec<&str> {
    spans.iter().map(|span| span["name"].as_str().unwrap()).collect()
}

fn attribute<'s>(span: &'s Value, name: &str) -> Option<&'s Value> {
    let found = span["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == name)?;
    found["value"].as_object()?.values().next()
}

fn times(span: &Value) -> (u64, u64) {
    let time = |field: &str| span[field].as_str().unwrap().parse().unwrap();
    (time("startTimeUnixNano"), time("endTimeUnixNano"))
}

#[test]
fn a_pull_that_runs_or_was_lost_has_no_trace() {
    assert_eq!(encode::spans(&node(), VERSION, &downloading()), None);
    let lost = Some(Ending { outcome: Outcome::Lost, at: at(9), source: TimingSource::Poll });
    assert_eq!(encode::spans(&node(), VERSION, &Pull { ending: lost, ..downloading() }), None);
}

#[test]
fn a_pull_that_is_ready_has_a_span_for_everything_it_did_and_no_status() {
    let spans = spans_of(&ready());
    assert_eq!(
        names_of(&spans),
        [
            names::SPAN_PULL,
            names::SPAN_RESOLVE,
            names::SPAN_WAIT_LAYER,
            names::SPAN_STALL,
            names::SPAN_DOWNLOAD,
            names::SPAN_UNPACK,
            names::SPAN_DOWNLOAD,
            names::SPAN_UNPACK
        ]
    );
    assert!(spans.iter().all(|span| span["status"].is_null()), "success is not claimed, only not denied");
    assert!(spans.iter().all(|span| attribute(span, names::ERROR_TYPE).is_none()));
    assert_eq!(times(&spans[0]), (at(0).as_nanos(), at(4_000).as_nanos()));
    assert_eq!(times(&spans[6]), (at(410).as_nanos(), at(2_600).as_nanos()));
}

#[test]
fn a_failure_marks_the_root_and_what_was_not_completed() {
    let spans = spans_of(&failed());
    assert_eq!(names_of(&spans), [names::SPAN_PULL, names::SPAN_RESOLVE, names::SPAN_DOWNLOAD, names::SPAN_DOWNLOAD]);
    let marked: Vec<_> =
        spans.iter().map(|span| (span["status"]["code"] == 2, attribute(span, names::ERROR_TYPE).is_some())).collect();
    assert_eq!(marked, [(true, true), (false, false), (false, false), (true, true)]);
    assert_eq!(attribute(&spans[3], names::TIMING_SOURCE), Some(&Value::from("inferred")), "its end was guessed");
    assert_eq!(times(&spans[3]).1, at(2_000).as_nanos());
}

#[test]
fn a_pull_that_failed_before_it_was_resolved_shows_where_it_failed() {
    let outcome = Outcome::Failed(Failure { class: ErrorClass::NotFound, message: "404".into() });
    let ending = Some(Ending { outcome, at: at(300), source: TimingSource::Poll });
    let spans = spans_of(&Pull { ending, ..started() });
    assert_eq!(names_of(&spans), [names::SPAN_PULL, names::SPAN_RESOLVE]);
    assert!(spans.iter().all(|span| span["status"]["message"] == "404"));
}

#[test]
fn a_canceled_pull_is_no_error() {
    let ending = Some(Ending { outcome: Outcome::Canceled, ..failed().ending.unwrap() });
    let spans = spans_of(&Pull { ending, ..failed() });
    assert!(spans.iter().all(|span| span["status"].is_null()));
    assert_eq!(attribute(&spans[0], names::PULL_OUTCOME), Some(&Value::from("canceled")));
}

#[test]
fn times_that_are_not_known_are_guessed_and_marked_or_left_out() {
    let mut pull = Pull { waits: Vec::new(), ..ready() };
    pull.layers[1].download = Interval { start: None, end: Some(at(900)), source: TimingSource::Record };
    pull.layers[1].unpack = Interval::default();
    pull.layers[2].download = Interval::default();
    let spans = spans_of(&pull);
    assert_eq!(names_of(&spans), [names::SPAN_PULL, names::SPAN_RESOLVE, names::SPAN_DOWNLOAD, names::SPAN_UNPACK]);
    assert_eq!(times(&spans[2]), (at(350).as_nanos(), at(900).as_nanos()), "from when the plan was known");
    assert_eq!(attribute(&spans[2], names::TIMING_SOURCE), Some(&Value::from("inferred")));
    assert_eq!(attribute(&spans[3], names::TIMING_SOURCE), Some(&Value::from("event")));
}

#[test]
fn a_layer_that_stands_twice_is_told_once() {
    let mut pull = ready();
    pull.layers.push(pull.layers[1].clone());
    assert_eq!(spans_of(&pull).len(), spans_of(&ready()).len());
}

#[test]
fn a_layer_that_another_pull_brought_was_unpacked_here_but_not_downloaded() {
    let mut pull = ready();
    pull.layers[1].cached = true;
    pull.layers[1].state = LayerState::Ready;
    let names = spans_of(&pull);
    assert_eq!(names_of(&names).iter().filter(|name| **name == names::SPAN_DOWNLOAD).count(), 1);
    assert_eq!(names_of(&names).iter().filter(|name| **name == names::SPAN_UNPACK).count(), 2);
}

#[test]
fn the_same_pull_has_the_same_ids_whoever_tells_it() {
    let (one, other) = (spans_of(&ready()), spans_of(&Pull { sequence: 99, ..ready() }));
    let ids = |spans: &[Value]| spans.iter().map(|span| span["spanId"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&one), ids(&other));
    let root: String = root_span(ready().id).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(one[0]["spanId"], root.as_str());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_trace_is_one_tree_within_its_root(node in any_node(), pull in any_pull(), phase in 0..4_usize) {
        let pull = Pull { phase: Phase::ALL[phase], ..pull };
        prop_assume!(encode::spans(&node, VERSION, &pull).is_some());
        let spans = spans_of(&pull);
        let (start, end) = times(&spans[0]);
        prop_assert_eq!((names_of(&spans)[0], spans[0]["parentSpanId"].as_str()), (names::SPAN_PULL, Some("")));
        let mut ids = BTreeSet::new();
        for span in &spans {
            let (from, to) = times(span);
            prop_assert!(start <= from && from <= to && to <= end);
            prop_assert!(ids.insert(span["spanId"].as_str()), "an id stands twice");
            prop_assert_eq!(&span["traceId"], &Value::from(pull.id.to_string()));
        }
        for child in &spans[1..] {
            prop_assert_eq!(&child["parentSpanId"], &spans[0]["spanId"]);
        }
        let bytes = encode::spans(&node, VERSION, &pull).unwrap_or_default();
        let decoded = wire::decode(Signal::Traces, &bytes).unwrap();
        prop_assert_eq!((decoded.accepted, decoded.rejected.total()), (spans.len() as u64, 0));
    }
}
