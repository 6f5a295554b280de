//! `/metrics` from outside: every name of the vocabulary, both formats, bounded labels.

mod house;

use house::{House, eventually, failed, get, heartbeat, pull, ready};
use lifecycle::{
    names::{self, Entry, Kind, TABLE},
    pull::{ErrorClass, Host, NodeReport, Percent, Pressure, Wait},
    wire::{
        self,
        Event::{Finished, Progress, Started},
        Signal,
    },
};

/// A collector to which everything has happened that is counted.
fn eventful() -> House {
    let house = House::start(&["--registry-labels", "docker.io", "--forward-otlp-endpoint", "http/protobuf=http://127.0.0.1:9"]);
    let mut stalled = pull("a", 1, 10);
    (stalled.wait, stalled.observed_at) = (Some(Wait::Stalled { since: house::at(0) }), house::at(20));
    let mut long = pull("long", 1, 500);
    long.observed_at = house::at(20);
    let pressure = Percent::new(30).map(|some| Pressure { some, full: Percent::default() });
    long.host = Host { disk_busy: Percent::new(80), io: pressure, ..Host::default() };
    house.report(&[(Started, &long)]);
    house.report(&[(Started, &stalled), (Progress, &stalled), (Finished, &ready(pull("b", 1, 1500)))]);
    house.report(&[(Finished, &failed(pull("ghcr.io/c/c:1", 1, 3), ErrorClass::Tls, "bad certificate"))]);
    let queued = NodeReport { queued_images: "later:1".parse().into_iter().collect(), ..heartbeat(2) };
    house.accept(Signal::Logs, wire::encode::node(&queued));
    house::post(house.web, "/v1/logs", &[("content-type", "application/json")], b"{");
    let large = vec![0x0a; 64 << 20];
    assert_eq!(house::post(house.web, Signal::Traces.http_path(), &[("content-type", "text/plain")], &large[..10]).status, 415);
    eventually("all are counted", || (house.metric("pulltrace_board_pulls") == 4.0).then_some(()));
    let node = |measure: &str| house.scrape().contains(&format!("pulltrace_node_{measure}{{node=\"node-1\"}}"));
    eventually("the node is told", || (node("images_queued") && node("disk_busy_ratio")).then_some(()));
    house
}

/// What nobody but the Kubernetes API, or a silence of minutes, leads to; `metrics::pressing` and `rollouts` hold its tests.
const ELSEWHERE: [&str; 4] =
    [names::METRIC_AGENT_SILENT, names::METRIC_WORKLOAD_NODES, names::METRIC_WORKLOAD_SINCE, names::METRIC_WORKLOAD_ETA];

#[test]
fn every_metric_of_the_vocabulary_is_exported_with_its_labels() {
    let house = eventful();
    let scrape = house.scrape();
    let is_told = |e: &&Entry| matches!(e.kind, Kind::Gauge | Kind::Counter | Kind::Histogram) && !ELSEWHERE.contains(&e.name);
    for entry in TABLE.iter().filter(is_told) {
        let kind = entry.kind.as_str();
        assert!(
            scrape.contains(&format!("# HELP {} {}\n# TYPE {0} {kind}\n", entry.name, entry.help)),
            "{}:\n{scrape}",
            entry.name
        );
        let sample =
            scrape.lines().find(|line| line.strip_prefix(entry.name).is_some_and(|rest| rest.starts_with(['{', ' ', '_'])));
        let sample = sample.unwrap_or_else(|| panic!("{} has no sample", entry.name));
        for label in entry.labels {
            assert!(sample.contains(&format!("{label}=\"")), "{label} is missing: {sample}");
        }
    }
}

#[test]
fn what_happened_is_what_is_counted() {
    let house = eventful();
    for (series, value) in [
        ("pulltrace_pulls_active", 2.0),
        ("pulltrace_pulls_in_phase{phase=\"downloading\"}", 2.0),
        ("pulltrace_pulls_in_phase{phase=\"resolving\"}", 0.0),
        ("pulltrace_pulls_stalled", 1.0),
        ("pulltrace_pulls_total{outcome=\"ready\",registry=\"docker.io\",cache=\"none\"}", 1.0),
        ("pulltrace_pulls_total{outcome=\"failed\",registry=\"other\",cache=\"none\"}", 1.0),
        ("pulltrace_pull_duration_seconds_bucket{le=\"5.0\",outcome=\"ready\",registry=\"docker.io\",cache=\"none\"}", 0.0),
        ("pulltrace_pull_duration_seconds_bucket{le=\"10.0\",outcome=\"ready\",registry=\"docker.io\",cache=\"none\"}", 1.0),
        ("pulltrace_pull_phase_duration_seconds_sum{phase=\"downloading\",registry=\"docker.io\"}", 3.0),
        ("pulltrace_pull_bytes_total{registry=\"docker.io\",source=\"fetched\"}", 1500.0),
        ("pulltrace_pull_errors_total{class=\"tls\",registry=\"other\"}", 1.0),
        ("pulltrace_pulls_held_up{by=\"stalled\"}", 1.0),
        ("pulltrace_pulls_held_up{by=\"disk\"}", 0.0),
        ("pulltrace_pull_throughput_bytes_per_second_sum{registry=\"docker.io\"}", 500.0),
        ("pulltrace_pull_wait_seconds_total{kind=\"layer_lock\"}", 0.0),
        ("pulltrace_agents_in_state{state=\"watching\"}", 1.0),
        ("pulltrace_agents_in_state{state=\"silent\"}", 0.0),
        ("pulltrace_agents_connected", 1.0),
        ("pulltrace_agent_reports_total", 6.0),
        ("pulltrace_receiver_accepted_total", 6.0),
        ("pulltrace_pull_size_duration_seconds_count{size=\"small\",registry=\"docker.io\"}", 1.0),
        ("pulltrace_repulls_total{registry=\"docker.io\"}", 0.0),
        ("pulltrace_agent_report_delay_seconds_count", 6.0),
        ("pulltrace_pod_waits_total{told_by=\"agent\"}", 0.0),
        ("pulltrace_node_pulls_active{node=\"node-1\"}", 2.0),
        ("pulltrace_node_io_pressure_ratio{node=\"node-1\"}", 0.3),
        (
            "pulltrace_active_pull_stalled_timestamp_seconds{node=\"node-1\",image=\"docker.io/library/a:latest\",phase=\"downloading\"}",
            1.76e9,
        ),
        ("pulltrace_receiver_rejected_total{reason=\"malformed\"}", 1.0),
        ("pulltrace_receiver_rejected_total{reason=\"content_type\"}", 1.0),
        ("pulltrace_board_refused_total{reason=\"stale\"}", 1.0),
        ("pulltrace_board_evicted_total{reason=\"ttl\"}", 0.0),
    ] {
        assert_eq!(house.metric(series), value, "{series}\n{}", house.scrape());
    }
}

#[test]
fn the_counters_of_a_registry_begin_with_its_first_pull_so_that_the_first_failure_is_growth() {
    let house = House::start(&[]);
    house.report(&[(Finished, &ready(pull("ghcr.io/c/c:1", 1, 1500)))]);
    let errors = "pulltrace_pull_errors_total{class=\"tls\",registry=\"ghcr.io\"}";
    eventually("they are there", || house.scrape().contains(errors).then_some(()));
    assert_eq!(house.metric(errors), 0.0);
    house.report(&[(Finished, &failed(pull("ghcr.io/c/d:1", 2, 3), ErrorClass::Tls, "bad certificate"))]);
    eventually("it is counted", || (house.metric(errors) == 1.0).then_some(()));
    assert_eq!(house.metric("pulltrace_pulls_total{outcome=\"lost\",registry=\"ghcr.io\",cache=\"full\"}"), 0.0);
}

#[test]
fn the_longest_running_pulls_have_series_that_end_with_them() {
    let house = House::start(&["--metrics-active-pulls", "1"]);
    let running = |image: &str, began: u64, sequence| {
        let mut pull = pull(image, sequence, 750);
        (pull.started_at, pull.observed_at) = (house::at(began), house::at(20));
        pull
    };
    let (oldest, middle, young) = (running("oldest", 0, 1), running("middle", 3, 1), running("young", 10, 1));
    house.report(&[(Started, &young), (Started, &middle), (Started, &oldest)]);
    let series = |scrape: &str, image: &str| {
        let of_it: Vec<_> = scrape.lines().filter(|l| l.contains(image)).map(str::to_owned).collect();
        of_it
    };
    let labels = "{node=\"node-1\",image=\"docker.io/library/oldest:latest\",phase=\"downloading\"}";
    let expected =
        ["progress_ratio", "bytes_per_second", "eta_seconds"].map(|name| format!("pulltrace_active_pull_{name}{labels}"));
    eventually("the oldest has its series", || (series(&house.scrape(), "oldest").len() == 3).then_some(()));
    let scrape = house.scrape();
    assert!(
        expected.iter().zip([" 0.5", " 100", " 5.0"]).all(|(name, value)| scrape.contains(&format!("{name}{value}"))),
        "{scrape}"
    );
    assert!(series(&scrape, "middle").is_empty(), "only as many as are configured");
    house.report(&[(Finished, &ready(running("oldest", 0, 2)))]);
    eventually("the next takes its place", || (series(&house.scrape(), "middle").len() == 3).then_some(()));
    assert!(series(&house.scrape(), "oldest").is_empty());
    house.report(&[(Finished, &ready(running("middle", 3, 2)))]);
    eventually("none has series that has not run for long", || series(&house.scrape(), "middle").is_empty().then_some(()));
    assert!(series(&house.scrape(), "young").is_empty());
}

#[test]
fn open_metrics_with_traces_as_exemplars_for_those_who_ask() {
    let house = eventful();
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let open = get(house.metrics, "/metrics", &[("accept", accept)]);
    assert!(open.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    let text = open.text();
    let trace = format!("# {{trace_id=\"{}\"}} 7.0", pull("b", 1, 0).id);
    assert!(text.ends_with("# EOF\n") && text.contains(&trace), "{text}");
    let classic = get(house.metrics, "/metrics", &[]);
    assert!(classic.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert!(!classic.text().contains("trace_id") && !classic.text().contains("# EOF"));
    assert_eq!(get(house.metrics, "/", &[]).status, 404);
}
