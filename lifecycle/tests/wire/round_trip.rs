//! What is said comes out as it went in, in either encoding and whatever a collector in between does to the order.

use lifecycle::{
    image::Digest,
    pull::{Ending, ErrorClass, Failure, Interval, Layer, LayerState, Outcome, Pull, Report, TimingSource},
    time::Timestamp,
    wire::{self, Decoded, Event, MAX_BYTES, MAX_LAYERS, MAX_MESSAGE, MAX_TEXT, Said, Signal, encode},
};
use proptest::prelude::*;
use serde_json::Value;

use super::sample::{
    VERSION, any_heartbeat, any_node, any_pull, at, downloading, failed, heartbeat, node, ready, started, waiting,
};

fn heard(bytes: &[u8]) -> Decoded {
    wire::decode(Signal::Logs, bytes).unwrap()
}

/// The same request in JSON, with every list of attributes changed.
fn with_attributes(bytes: &[u8], change: &mut dyn FnMut(&mut Vec<Value>)) -> Vec<u8> {
    fn walk(value: &mut Value, change: &mut dyn FnMut(&mut Vec<Value>)) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::Array(attributes)) = fields.get_mut("attributes") {
                    change(attributes);
                }
                fields.values_mut().for_each(|value| walk(value, change));
            }
            Value::Array(values) => values.iter_mut().for_each(|value| walk(value, change)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut json = wire::to_json(Signal::Logs, bytes).unwrap();
    walk(&mut json, change);
    json.to_string().into_bytes()
}

#[test]
fn several_pulls_of_a_node_travel_in_one_request() {
    let pulls = [started(), downloading(), waiting(), ready(), failed()];
    let bytes = encode::pulls(&node(), VERSION, pulls.iter().map(|pull| (Event::Progress, pull)));
    let expected: Vec<_> = pulls.into_iter().map(|pull| Said::Pull(Report { node: node().into(), pull }.into())).collect();
    let heard = heard(&bytes);
    assert_eq!((heard.reports, heard.accepted, heard.rejected.total()), (expected, 5, 0));
    let json = wire::to_json(Signal::Logs, &bytes).unwrap();
    assert_eq!(json["resourceLogs"].as_array().map(Vec::len), Some(1));
}

#[test]
fn requests_written_one_after_the_other_are_one_request() {
    let mut bytes = encode::pulls(&node(), VERSION, [(Event::Started, &started())]);
    bytes.extend(encode::node(&heartbeat()));
    let expected = vec![Said::Pull(Report { node: node().into(), pull: started() }.into()), Said::Node(heartbeat().into())];
    assert_eq!(heard(&bytes).reports, expected);
}

#[test]
fn what_exceeds_the_bounds_is_cut_before_it_is_sent_so_that_no_outcome_is_refused() {
    let layer =
        |n: usize| Layer { digest: Digest::of(&n.to_be_bytes()), size: u64::MAX, fetched: u64::MAX, ..ready().layers[0].clone() };
    let outcome = Outcome::Failed(Failure { class: ErrorClass::Other, message: "ü".repeat(MAX_MESSAGE) });
    let pull = Pull {
        namespace: "n".repeat(MAX_TEXT + 1),
        ending: Some(Ending { outcome, ..failed().ending.unwrap() }),
        layers: (0..MAX_LAYERS + 1).map(layer).collect(),
        ..ready()
    };
    let decoded = heard(&encode::pulls(&node(), VERSION, [(Event::Finished, &pull)]));
    let [Said::Pull(heard)] = decoded.reports.as_slice() else { panic!("{:?}", decoded.rejected) };
    let heard = &heard.pull;
    assert_eq!(heard.namespace.len(), MAX_TEXT);
    assert_eq!((heard.layers.len(), heard.total_known), (MAX_LAYERS, false), "a list that was cut is no longer the whole");
    assert!(heard.layers.iter().all(|layer| layer.size == MAX_BYTES && layer.fetched == MAX_BYTES));
    let Some(Ending { outcome: Outcome::Failed(failure), .. }) = &heard.ending else { panic!("{:?}", heard.ending) };
    assert_eq!(failure.message, "ü".repeat(MAX_MESSAGE / 2));
}

#[test]
fn an_attribute_that_stands_twice_counts_by_its_last_value() {
    let bytes = encode::pulls(&node(), VERSION, [(Event::Progress, &downloading())]);
    let doubled = with_attributes(&bytes, &mut |attributes| {
        let first =
            attributes.iter().map(|attribute| serde_json::json!({ "key": attribute["key"], "value": { "intValue": -1 } }));
        *attributes = first.chain(attributes.iter().cloned()).collect();
    });
    assert_eq!(wire::decode_json(Signal::Logs, &doubled).unwrap(), heard(&bytes));
}

#[test]
fn an_outcome_that_waits_takes_a_fifth_of_what_travels() {
    let mut pull = ready();
    pull.waits = Vec::new();
    let times = |index: u64, from: u64| Interval {
        start: Some(Timestamp::from_nanos(at(from).as_nanos() + index * 104_729)),
        end: Some(Timestamp::from_nanos(at(from + 900).as_nanos() + index * 1_299_709)),
        source: TimingSource::Record,
    };
    pull.layers = (0..10_u64)
        .map(|index| Layer {
            digest: Digest::of(&index.to_be_bytes()),
            size: 1_000_003 * (index + 1),
            fetched: 1_000_003 * (index + 1),
            state: LayerState::Ready,
            download: times(index, 1_000),
            unpack: times(index, 3_000),
            ..pull.layers[0].clone()
        })
        .collect();
    let travels = encode::pulls(&node(), VERSION, [(Event::Finished, &pull)]).len();
    let waits = wire::shrink(&pull).len();
    assert!(waits <= 850 && waits * 5 < travels, "{waits} of {travels} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_pull_that_was_made_small_is_restored(pull in any_pull()) {
        prop_assert_eq!(wire::restore(&wire::shrink(&pull)), Some(pull));
    }

    #[test]
    fn every_report_of_a_pull_comes_out_as_it_went_in(node in any_node(), pull in any_pull()) {
        let bytes = encode::pulls(&node, VERSION, [(Event::Progress, &pull)]);
        let decoded = heard(&bytes);
        prop_assert_eq!(decoded.rejected.message(), "");
        prop_assert_eq!(decoded.reports, vec![Said::Pull(Report { node: node.into(), pull }.into())]);
    }

    #[test]
    fn every_heartbeat_comes_out_as_it_went_in(report in any_heartbeat()) {
        let decoded = heard(&encode::node(&report));
        prop_assert_eq!(decoded.reports, vec![Said::Node(report.into())]);
    }

    #[test]
    fn json_says_the_same_as_protobuf(node in any_node(), pull in any_pull()) {
        let bytes = encode::pulls(&node, VERSION, [(Event::Progress, &pull)]);
        let json = wire::to_json(Signal::Logs, &bytes).unwrap().to_string();
        prop_assert_eq!(wire::decode_json(Signal::Logs, json.as_bytes()).unwrap(), heard(&bytes));
        if let Some(bytes) = encode::spans(&node, VERSION, &pull) {
            let json = wire::to_json(Signal::Traces, &bytes).unwrap().to_string();
            prop_assert_eq!(wire::decode_json(Signal::Traces, json.as_bytes()).unwrap(), wire::decode(Signal::Traces, &bytes).unwrap());
        }
    }

    #[test]
    fn the_order_of_attributes_means_nothing(node in any_node(), pull in any_pull(), seed: u64) {
        let bytes = encode::pulls(&node, VERSION, [(Event::Progress, &pull)]);
        let mut random = seed;
        let shuffled = with_attributes(&bytes, &mut |attributes| {
            attributes.sort_by_cached_key(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                random >> 33
            });
        });
        prop_assert_eq!(wire::decode_json(Signal::Logs, &shuffled).unwrap(), heard(&bytes));
    }
}
