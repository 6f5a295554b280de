//! Bytes of anyone: whatever arrives, in whichever encoding, is read or refused, and nothing else.

use lifecycle::wire::{self, Event, PartialSuccess, Signal, Status, encode};
use proptest::{collection::vec, prelude::*, sample::select};

use super::sample::{VERSION, any_node, any_pull, downloading, node, ready};

fn read_every_way(bytes: &[u8]) {
    for signal in Signal::ALL {
        drop(wire::decode(signal, bytes));
        drop(wire::decode_json(signal, bytes));
        drop(wire::to_json(signal, bytes));
        drop(wire::only_of(signal, bytes, &node().name));
    }
    drop(wire::without_progress(bytes));
    drop(wire::parse_response(bytes));
    drop(Status::decode(bytes));
}

#[test]
fn an_empty_request_is_a_success() {
    for signal in Signal::ALL {
        let decoded = wire::decode(signal, &[]).unwrap();
        assert_eq!((decoded.accepted, decoded.rejected.total()), (0, 0));
        assert_eq!(wire::decode_json(signal, b"{}").unwrap(), decoded);
    }
}

#[test]
fn bytes_that_are_no_request_are_refused_as_a_whole() {
    for signal in Signal::ALL {
        assert!(wire::decode(signal, b"<html>").is_err());
        assert!(wire::decode(signal, b"{}").is_err());
        assert!(wire::decode_json(signal, b"<html>").is_err());
    }
}

#[test]
fn lengths_beyond_the_end_and_nests_without_end_are_refused() {
    let beyond = [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let nest = (0..1_000).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut outer = vec![0x0a];
        let mut length = inner.len();
        while length > 0x7f {
            outer.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        outer.push(u8::try_from(length).unwrap());
        outer.extend(inner);
        outer
    });
    for signal in Signal::ALL {
        assert!(wire::decode(signal, &beyond).is_err());
        drop(wire::decode(signal, &nest));
    }
}

#[test]
fn telemetry_of_others_is_counted_and_left_alone() {
    let logs = r#"{"resourceLogs":[{"scopeLogs":[{"scope":{"name":"app"},"logRecords":[
        {"eventName":"pulltrace.pull.progress","attributes":[{"key":"pulltrace.pull.sequence","value":{"boolValue":true}}]},
        {"body":{"stringValue":"hello"}}]},{"logRecords":[{}]}]}]}"#;
    let decoded = wire::decode_json(Signal::Logs, logs.as_bytes()).unwrap();
    assert_eq!((decoded.reports.len(), decoded.accepted, decoded.rejected.total()), (0, 3, 0));

    let newer =
        r#"{"resourceLogs":[{"scopeLogs":[{"scope":{"name":"pulltrace"},"logRecords":[{"eventName":"pulltrace.new"}]}]}]}"#;
    let decoded = wire::decode_json(Signal::Logs, newer.as_bytes()).unwrap();
    assert_eq!((decoded.reports.len(), decoded.accepted, decoded.rejected.total()), (0, 1, 0));

    let metrics = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a","gauge":{"dataPoints":[{"asInt":"1"},{"asDouble":2}]}},
        {"name":"b","sum":{"dataPoints":[{"asInt":"1"}]}},
        {"name":"c","histogram":{"dataPoints":[{}]}},
        {"name":"d","exponentialHistogram":{"dataPoints":[{}]}},
        {"name":"e","summary":{"dataPoints":[{}]}}]}]}]}"#;
    let decoded = wire::decode_json(Signal::Metrics, metrics.as_bytes()).unwrap();
    assert_eq!((decoded.accepted, decoded.rejected.total()), (6, 0));
}

#[test]
fn progress_of_ours_is_taken_out_and_everything_else_stays() {
    let foreign =
        br#"{"resourceLogs":[{"scopeLogs":[{"scope":{"name":"app"},"logRecords":[{"eventName":"pulltrace.pull.progress"}]}]}]}"#;
    let foreign = wire::transcode_json(Signal::Logs, foreign).unwrap();
    assert_eq!(wire::without_progress(&foreign).unwrap(), foreign, "not ours");

    let progress = encode::pulls(&node(), VERSION, [(Event::Progress, &downloading())]);
    assert!(wire::without_progress(&progress).unwrap().is_empty());

    let both = encode::pulls(&node(), VERSION, [(Event::Progress, &downloading()), (Event::Finished, &ready())]);
    let finished = encode::pulls(&node(), VERSION, [(Event::Finished, &ready())]);
    let mixed = [foreign.clone(), progress, both].concat();
    assert_eq!(wire::without_progress(&mixed).unwrap(), [foreign, finished].concat());
}

proptest! {
    #[test]
    fn any_bytes_at_all_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        read_every_way(&bytes);
    }

    #[test]
    fn any_text_at_all_is_read_or_refused(text in "[{}\\[\\]\",:a-zA-Z0-9.+-]{0,200}") {
        read_every_way(text.as_bytes());
    }

    #[test]
    fn a_request_with_bytes_changed_added_or_missing_is_read_or_refused(
        node in any_node(),
        pull in any_pull(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), select(vec!['=', '+', '-'])), 1..8),
    ) {
        let logs = encode::pulls(&node, VERSION, [(Event::Progress, &pull)]);
        let traces = encode::spans(&node, VERSION, &pull).unwrap_or_default();
        let json = wire::to_json(Signal::Logs, &logs).unwrap().to_string().into_bytes();
        for mut bytes in [logs, traces, json] {
            for (index, byte, change) in &changes {
                let at = index.index(bytes.len().max(1));
                match change {
                    '=' => bytes.splice(at..(at + 1).min(bytes.len()), [*byte]).for_each(drop),
                    '+' => bytes.insert(at, *byte),
                    _ => bytes.truncate(at),
                }
            }
            read_every_way(&bytes);
        }
    }

    #[test]
    fn every_answer_is_read_as_it_was_given(rejected in 0..=i64::MAX as u64, message in "\\PC{0,60}") {
        let read = wire::parse_response(&wire::response(rejected, &message)).unwrap();
        prop_assert_eq!(read, PartialSuccess { rejected, message });
    }
}
