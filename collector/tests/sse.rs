//! The event stream from outside: snapshot then changes, resume, filters, and readers that misbehave.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{collections::BTreeSet, io::Write, net::TcpStream};

use house::{House, Message, eventually, failed, pull, ready};
use lifecycle::{
    pull::ErrorClass,
    wire::Event::{Finished, Progress, Started},
};
use serde_json::{Value, json};

const EVENTS: &str = "/api/v1/events";

fn kinds(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(Message::kind).collect()
}

fn revision(message: &Message) -> u64 {
    message.id.split_once('.').unwrap().1.parse().unwrap()
}

#[test]
fn a_newcomer_gets_the_present_state_then_sync_then_changes() {
    let house = House::start(&[]);
    let (a, b) = (pull("a", 1, 10), pull("b", 1, 0));
    house.report(&[(Started, &a), (Started, &b), (Finished, &ready(pull("b", 2, 1500)))]);
    let (mut stream, snapshot) = eventually("both are known", || {
        let mut stream = house.events(EVENTS, &[]);
        assert!(stream.head.contains("content-type: text/event-stream"), "{}", stream.head);
        let snapshot = stream.until_sync();
        (snapshot.len() == 3).then_some((stream, snapshot))
    });
    assert_eq!(kinds(&snapshot), ["pull.progress", "pull.progress", "sync"]);
    assert!(snapshot[0].data["pull"].get("layers").is_none());

    house.report(&[(Progress, &pull("a", 2, 700))]);
    let change = stream.next();
    assert!(change.is("pull.progress", &a) && change.data["pull"]["downloadedBytes"] == 700, "{change:?}");
    house.report(&[(Finished, &failed(pull("a", 3, 700), ErrorClass::NoSpace, "no space left on device"))]);
    let end = stream.next();
    assert!(end.is("pull.failed", &a), "{end:?}");
    assert_eq!((&end.data["pull"]["errorClass"], &end.data["schemaVersion"]), (&json!("no_space"), &json!("v1")));
}

#[test]
fn a_pull_that_starts_and_ends_between_two_looks_is_told_as_both() {
    let house = House::start(&[]);
    let mut stream = house.events(EVENTS, &[]);
    stream.until_sync();
    let a = pull("a", 1, 0);
    house.report(&[(Started, &a), (Finished, &ready(pull("a", 2, 1500)))]);
    assert_eq!(kinds(&stream.until(|m| m.is("pull.completed", &a))), ["pull.started", "pull.completed"]);
}

#[test]
fn who_comes_back_gets_exactly_what_was_missed() {
    let house = House::start(&[]);
    let quiet = pull("quiet", 1, 10);
    house.report(&[(Started, &quiet)]);
    let mut stream = house.events(EVENTS, &[]);
    let snapshot = stream.until(|m| m.is("pull.progress", &quiet) || m.is("pull.started", &quiet));
    let snapshot = if snapshot.iter().any(|m| m.kind() == "sync") { snapshot } else { stream.until_sync() };
    drop(stream);
    let (a, b) = (pull("a", 1, 0), pull("b", 1, 0));
    house.report(&[(Started, &a)]);
    house.report(&[(Started, &b)]);
    house.report(&[(Finished, &ready(pull("a", 2, 1500)))]);
    eventually("a is ready", || (house.json("/api/v1/pulls?outcome=ready")["pulls"].as_array()?.len() == 1).then_some(()));

    let last = &snapshot.last().unwrap().id;
    let header = house.events(EVENTS, &[("Last-Event-ID", last)]).until(|m| m.is("pull.completed", &a));
    let in_query = house.events(&format!("{EVENTS}?lastEventId={last}"), &[]).until(|m| m.is("pull.completed", &a));
    for missed in [&header, &in_query] {
        assert_eq!(kinds(missed), ["pull.started", "pull.started", "pull.completed"]);
        assert!(missed.iter().all(|m| m.data["pull"]["id"] != quiet.id.to_string()), "nothing that was not missed");
        assert!(missed.is_sorted_by_key(revision));
    }
    // Cut off in the middle: an id says that everything before it was told, so all of it comes again.
    let resumed = house.events(EVENTS, &[("Last-Event-ID", &header[1].id)]).until(|m| m.is("pull.completed", &a));
    let untold = header.iter().position(|m| m.id == header[1].id).filter(|at| header[*at].id == *last).unwrap_or(2);
    assert_eq!(kinds(&resumed), kinds(&header[untold..]));
    let nothing_missed = house.events(EVENTS, &[("Last-Event-ID", &header[2].id)]);
    house.report(&[(Progress, &pull("b", 2, 5))]);
    assert!({ nothing_missed }.next().is("pull.progress", &b));
}

#[test]
fn an_id_that_means_nothing_here_brings_a_snapshot() {
    let house = House::start(&[]);
    house.report(&[(Started, &pull("a", 1, 10))]);
    let id = house.events(EVENTS, &[]).until(|m| m.name.is_none()).pop().unwrap().id;
    let (epoch, revision) = id.split_once('.').unwrap();
    let other = format!("{:016x}.{revision}", !u64::from_str_radix(epoch, 16).unwrap());
    let future = format!("{epoch}.999999");
    let forged = format!("{epoch}.{}", "9".repeat(4000));
    for id in [&other, &future, &forged, "", ".", "x.1", "0.0"] {
        let mut stream = house.events(EVENTS, &[("Last-Event-ID", id)]);
        assert_eq!(kinds(&stream.until_sync()), ["pull.progress", "sync"], "{id:?}");
    }
}

#[test]
fn after_a_restart_readers_get_a_snapshot_of_the_new_epoch() {
    let house = House::start(&[]);
    house.report(&[(Started, &pull("a", 1, 10))]);
    let id = house.events(EVENTS, &[]).until(|m| m.name.is_none()).pop().unwrap().id;
    house.stop();
    let house = House::start(&[]);
    let again = house.events(EVENTS, &[("Last-Event-ID", &id)]).until_sync();
    assert_eq!(kinds(&again), ["sync"]);
    assert_ne!(again[0].id.split_once('.').unwrap().0, id.split_once('.').unwrap().0);
}

#[test]
fn a_pull_that_leaves_memory_is_told_as_removed() {
    let house = House::start(&["--history-ttl", "300ms"]);
    let mut stream = house.events(EVENTS, &[]);
    stream.until_sync();
    let a = pull("a", 1, 1500);
    house.report(&[(Started, &a), (Finished, &ready(pull("a", 2, 1500)))]);
    let messages = stream.until(|m| m.name.is_some());
    let last = messages.last().unwrap();
    assert_eq!((last.kind(), &last.data), ("removed", &json!({ "id": a.id })));
    let resumed = house.events(EVENTS, &[("Last-Event-ID", &messages[0].id)]).next();
    assert_eq!((resumed.kind(), &resumed.id), ("removed", &last.id));
}

#[test]
fn with_layers_each_layer_tells_its_start_its_progress_and_its_end() {
    let house = House::start(&[]);
    let mut stream = house.events(&format!("{EVENTS}?layers=true"), &[]);
    stream.until_sync();
    let a = pull("a", 1, 0);
    let mut told = Vec::new();
    for (event, pull) in [(Started, a.clone()), (Progress, pull("a", 2, 10)), (Progress, pull("a", 3, 1200))] {
        house.report(&[(event, &pull)]);
        told.extend(stream.until(|m| m.data["pull"]["downloadedBytes"] == pull.fetched_bytes() && m.kind().starts_with("pull.")));
    }
    let first = a.layers[0].digest.as_str();
    let of_first: Vec<_> = told.iter().filter(|m| m.data["layer"]["digest"] == first).map(Message::kind).collect();
    assert_eq!(of_first, ["layer.progress", "layer.started", "layer.completed"]);
    let has_layers = |m: &Message| m.data["pull"]["layers"].as_array().is_some_and(|l| l.len() == 2);
    assert!(told.iter().all(|m| has_layers(m) != m.kind().starts_with("layer.")), "{told:?}");
}

#[test]
fn a_filtered_reader_gets_only_what_it_asked_for_and_hears_when_that_ends() {
    let house = House::start(&[]);
    let mut stream = house.events(&format!("{EVENTS}?active=true&image=library/a"), &[]);
    stream.until_sync();
    let (a, b) = (pull("a", 1, 0), pull("b", 1, 0));
    house.report(&[(Started, &b), (Started, &a), (Finished, &ready(pull("b", 2, 1500)))]);
    assert!(stream.next().is("pull.started", &a));
    house.report(&[(Finished, &ready(pull("a", 2, 1500)))]);
    assert!(stream.next().is("pull.completed", &a));
    let mut phase = house.events(&format!("{EVENTS}?phase=downloading&active=true"), &[]);
    assert_eq!(kinds(&phase.until_sync()), ["sync"]);
    let c = pull("c", 1, 0);
    let mut unpacking = pull("c", 2, 1500);
    unpacking.phase = lifecycle::pull::Phase::Unpacking;
    house.report(&[(Started, &c)]);
    assert!(phase.next().is("pull.started", &c));
    house.report(&[(Progress, &unpacking)]);
    let gone = phase.next();
    assert_eq!((gone.kind(), &gone.data["id"]), ("removed", &json!(c.id)));
}

#[test]
fn readers_that_never_read_change_nothing_for_others_and_for_the_intake() {
    let house = House::start(&[]);
    let deaf: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(house.http).unwrap();
            rustix::net::sockopt::set_socket_recv_buffer_size(&stream, 4096).unwrap();
            write!(stream, "GET {EVENTS}?layers=true HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
            stream
        })
        .collect();
    eventually("all are connected", || (house.metric("pulltrace_sse_clients_active") >= 20.0).then_some(()));
    let mut stream = house.events(EVENTS, &[]);
    stream.until_sync();
    for sequence in 1..=300 {
        let pulls: Vec<_> = (0..50).map(|n| pull(&format!("image-{n}"), sequence, sequence)).collect();
        house.report(&pulls.iter().map(|p| (Progress, p)).collect::<Vec<_>>());
    }
    let last = pull("image-49", 301, 1500);
    house.report(&[(Finished, &ready(last.clone()))]);
    let told = stream.until(|m| m.is("pull.completed", &last));
    let ids: BTreeSet<_> = told.iter().map(|m| m.data["pull"]["id"].to_string()).collect();
    assert_eq!(ids.len(), 50);
    assert_eq!(house.metric("pulltrace_agent_reports_total"), 15_001.0);
    drop(deaf);
    eventually("the deaf are forgotten", || (house.metric("pulltrace_sse_clients_active") <= 1.0).then_some(()));
}

#[test]
fn every_event_is_as_the_schema_says() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/schemas/pull-event-v1.json")).unwrap();
    let house = House::start(&[]);
    let mut stream = house.events(&format!("{EVENTS}?layers=true"), &[]);
    stream.until_sync();
    let holder = pull("holder", 1, 700);
    let mut waiting = pull("waiter", 1, 10);
    let layer = holder.layers[0].digest.clone();
    waiting.wait = Some(lifecycle::pull::Wait::LayerLock { since: house::at(1), holder: holder.id, layer });
    let bad = failed(pull("bad", 1, 3), ErrorClass::Tls, "x509: certificate signed by unknown authority");
    house.report(&[(Started, &holder), (Started, &waiting), (Finished, &bad), (Finished, &ready(pull("holder", 2, 1500)))]);
    let messages = stream.until(|m| m.is("pull.completed", &holder));
    assert!(messages.len() >= 6, "{:?}", kinds(&messages));
    for message in messages {
        check(&message.data, &schema, &schema, "event");
    }
}

/// The part of JSON Schema that ours uses: `$ref`, `type`, `enum`, `required`, `properties`, `additionalProperties: false` and `items`.
fn check(value: &Value, schema: &Value, root: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#')).unwrap_or_else(|| panic!("{reference}"));
        return check(value, target, root, at);
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        other => panic!("{at}: type {other:?}"),
    };
    assert!(fits, "{at}: {value} is no {}", schema["type"]);
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is none of {words:?}");
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(required.as_str().unwrap()).is_some(), "{at}: {required} is missing");
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let known = schema["properties"].get(key).unwrap_or_else(|| panic!("{at}: {key} is not in the schema"));
        check(inner, known, root, &format!("{at}.{key}"));
    }
    for inner in value.as_array().into_iter().flatten() {
        check(inner, &schema["items"], root, &format!("{at}[]"));
    }
}
