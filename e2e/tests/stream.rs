//! The event stream: who leaves and resumes gets exactly what was missed, and who never reads changes nothing for anybody else.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::clock;
use e2e::follow::{Follow, ended, number};
use e2e::image;
use e2e::on_containerd;
use e2e::otlp_sink::{Sink, attribute};
use e2e::pulltrace::{Agent, Collector};
use e2e::site::{Site, reference};
use e2e::sse::{Client, Deaf, Event};
use e2e::tools::{Need, Tools, Version};
use serde_json::{Value, json};

fn who_resumes_gets_what_was_missed_and_nothing_else(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    let port = site.collector.http_port();
    let pull = |name: &str, seed, mebibytes: &[usize]| {
        let image = site.push(name, &image::layers(seed, mebibytes));
        site.containerd.pull(&reference(&image))
    };
    let limit = Duration::from_secs(15);
    pull("team/old:v1", 80, &[1]).wait().expect("the pull succeeds");
    let stays = Client::connect(port, None);
    let done = |name: &'static str| move |e: &Event| e.kind() == "pull.completed" && e.data["pull"]["imageRef"] == name;
    stays.until("the first sync", limit, |e| e.name == "sync");
    let running = pull("team/new:v1", 81, &[8]);
    let leaves = Client::connect(port, None);
    leaves.until("the newcomer's sync", limit, |e| e.name == "sync");
    leaves.until("news", limit, |e| e.kind() == "pull.progress" && number(&e.data["pull"], "downloadedBytes") > 0);
    let had = leaves.leave();
    let last = had.last().expect("events had come").id.clone();
    running.wait().expect("the pull succeeds");
    let all = stays.until("the end of the second pull", limit, done("slow.test/team/new:v1"));

    let resumed = Client::connect(port, Some(&last));
    let missed = resumed.until("the end of the second pull, resumed", limit, done("slow.test/team/new:v1"));
    assert!(missed.iter().all(|e| e.name != "sync"), "resuming needs no new snapshot: {missed:#?}");
    assert!(missed.iter().all(|e| place(&e.id) >= place(&last)), "an event that was not missed: {missed:#?}");
    let new = |(_, e): &(String, Event)| e.data["pull"]["imageRef"] == "slow.test/team/new:v1";
    let of_others: Vec<_> = latest(&all).into_iter().filter(new).map(|(_, e)| e.data).collect();
    let of_resumed: Vec<_> = latest(&missed).into_values().map(|e| e.data).collect();
    assert_eq!(of_resumed, of_others, "what was missed, and nothing else, is what the others got");
    let nothing_new = Client::connect(port, Some(&missed.last().expect("something was missed").id));
    let stranger = Client::connect(port, Some("ffffffff.1"));
    let snapshot = stranger.until("a snapshot for an unknown id", limit, |e| e.name == "sync");
    assert_eq!(latest(&snapshot).len(), 2, "both pulls are in the snapshot: {snapshot:#?}");
    assert_eq!(nothing_new.leave(), [], "nothing was missed");
}

on_containerd!(who_resumes_gets_what_was_missed_and_nothing_else: V2_1);

/// Pulls in the flood, and how often each changes. Together far more than the buffers of a socket hold.
const FLOOD: (usize, u64) = (300, 40);

/// The flood is made of a real agent's report, so it is what agents say, only more of it.
fn clients_that_never_read_change_nothing_for_others(test: &str, version: Version) {
    let needs = [Need::Root, Need::Containerd(version), Need::Registry, Need::Pulltrace, Need::Otelcol];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let sink = Sink::start(&tools);
    let site = Site::with(tools, version, &[]);
    let _second = Agent::start("node-2", &site.containerd.socket(), &sink.grpc_endpoint(), &[]);
    let image = site.push("team/flood:v1", &image::layers(90, &[4]));
    let under_way = site.containerd.pull(&reference(&image));
    let report = clock::until("a report of progress", Duration::from_secs(10), || sink.log_requests().iter().find_map(progress));
    under_way.wait().expect("the pull succeeds");

    let collector = Collector::start(&[("PULLTRACE_EVENT_LOG", "off")]);
    let _deaf: Vec<Deaf> = (0..8).map(|_| Deaf::connect(collector.http_port())).collect();
    let reader = Client::connect(collector.http_port(), None);
    let begin = Instant::now();
    for round in 1..=FLOOD.1 {
        let body = flood(&report, round).to_string();
        let answer = ureq::post(&collector.otlp_url("/v1/logs")).content_type("application/json").send(&body);
        let answer = answer.and_then(|mut a| a.body_mut().read_to_string()).expect("the intake takes every round");
        assert_eq!(answer.trim(), "{}", "nothing is rejected in round {round}");
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(60), "the intake took {took:?}");
    clock::until("the last state of every pull, for who reads", Duration::from_secs(20), || {
        let told = latest(&reader.events());
        let last = |e: &&Event| number(&e.data["pull"], "downloadedBytes") == bytes(FLOOD.1);
        (told.values().filter(last).count() == FLOOD.0).then_some(())
    });
    let pulls = collector.get("/api/v1/pulls?limit=1000").1["pulls"].as_array().map_or(0, Vec::len);
    assert_eq!(pulls, FLOOD.0);
    assert!((collector.metric("pulltrace_sse_clients_active", &[]) - 9.0).abs() < f64::EPSILON, "nobody was thrown out");
    collector.has_not_panicked();
    let mut follow = Follow::default();
    follow.until(&site.collector, "the real pull", Duration::from_secs(5), |pulls| pulls.iter().all(|p| ended(p, "ready")));
}

on_containerd!(clients_that_never_read_change_nothing_for_others: V2_1);

/// The sequence in an id of the form `epoch.sequence`.
fn place(id: &str) -> u64 {
    let sequence = id.rsplit_once('.').map(|(_, n)| n.parse().ok());
    sequence.flatten().unwrap_or_else(|| panic!("an id is epoch.sequence: {id:?}"))
}

/// The last event of each pull.
fn latest(events: &[Event]) -> BTreeMap<String, Event> {
    let told = events.iter().filter(|e| !e.pull_id().is_empty());
    told.map(|e| (e.pull_id().to_owned(), e.clone())).collect()
}

/// A request that holds nothing but one progress record, cut from one that was recorded.
fn progress(request: &Value) -> Option<Value> {
    let resource = request["resourceLogs"].as_array()?.first()?;
    let records = resource["scopeLogs"][0]["logRecords"].as_array()?;
    let wanted = |r: &&Value| r["eventName"] == "pulltrace.pull.progress" && offsets(r).is_some();
    let record = records.iter().find(wanted)?;
    let mut cut = request.clone();
    cut["resourceLogs"] = json!([resource]);
    cut["resourceLogs"][0]["scopeLogs"][0]["logRecords"] = json!([record]);
    Some(cut)
}

/// Bytes of every pull of the flood in a round.
const fn bytes(round: u64) -> u64 {
    round * 10_000
}

/// The report of one round: the same record for every pull, with its own trace id, this round's sequence and bytes.
fn flood(report: &Value, round: u64) -> Value {
    let mut request = report.clone();
    let record = &report["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    let of = |pull: usize| {
        let mut record = record.clone();
        record["traceId"] = json!(format!("f100d{pull:027x}"));
        set(&mut record, "pulltrace.pull.sequence", &json!({"intValue": (1_000 + round).to_string()}));
        set(&mut record, "pulltrace.pull.bytes.fetched", &json!({"intValue": bytes(round).to_string()}));
        let offset = json!({"arrayValue": {"values": [{"intValue": bytes(round).to_string()}]}});
        set(&mut record, "pulltrace.layers.offset", &offset);
        record
    };
    let records: Vec<Value> = (0..FLOOD.0).map(of).collect();
    request["resourceLogs"][0]["scopeLogs"][0]["logRecords"] = Value::Array(records);
    request
}

fn offsets(record: &Value) -> Option<usize> {
    attribute(record, "pulltrace.layers.offset")?["arrayValue"]["values"].as_array().map(Vec::len).filter(|n| *n == 1)
}

fn set(record: &mut Value, key: &str, value: &Value) {
    for attribute in record["attributes"].as_array_mut().into_iter().flatten().filter(|a| a["key"] == key) {
        attribute["value"] = value.clone();
    }
}
