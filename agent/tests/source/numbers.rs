//! What the agent says about itself: on `/metrics` to whoever asks, and by OTLP, seldom.

use agent::containerd::simulated::{Play, Simulated, Simulation, personality::Personality};
use lifecycle::names;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::{
    sink::Sink,
    stage::{config, scenario, until},
};

/// The answer to a scrape that accepts this.
async fn scrape(port: u16, accept: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: agent\r\naccept: {accept}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The value of the sample that begins like this.
fn sample(text: &str, begin: &str) -> Option<f64> {
    text.lines().find(|line| line.starts_with(begin))?.rsplit_once(' ')?.1.parse().ok()
}

#[tokio::test]
async fn pulls_calls_and_exports_are_counted_on_metrics_and_go_out_by_otlp_once() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::open().await;
    let socket = folder.path().join("containerd.sock");
    let probes = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = probes.local_addr().unwrap().port();
    let (stop, stopped) = oneshot::channel::<()>();
    let agent = agent::run(config(vec![socket.clone()], &sink), Some(probes), async { drop(stopped.await) });
    let direct = async {
        let play = Play { personality: Personality::V2_4, speed: 1, repeat: false };
        let simulated = Simulated::start(&socket, scenario("four-layers"), play).await.unwrap();
        until("the scenario to be over", || simulated.look(Simulation::is_over)).await;
        until("the end of the pull", || sink.look(|heard| heard.pulls.iter().any(|pull| pull.ending.is_some()))).await;
        until("the trace of the pull", || sink.look(|heard| !heard.traces.is_empty())).await;
        let texts = (scrape(port, "text/plain").await, scrape(port, "application/openmetrics-text; version=1.0.0").await);
        stop.send(()).unwrap();
        texts
    };
    let ((), (classic, open)) = tokio::join!(agent, direct);
    assert!(classic.contains("content-type: text/plain; version=0.0.4") && !classic.contains("# EOF"), "{classic}");
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0") && open.ends_with("# EOF\n"), "{open}");
    assert!(open.contains(" # {trace_id=\""), "the pull is an exemplar: {open}");
    for text in [&classic, &open] {
        let ready = "pulltrace_image_pull_duration_seconds_count{pulltrace_pull_outcome=\"ready\"";
        assert_eq!(sample(text, ready), Some(1.0), "{text}");
        assert_eq!(sample(text, "pulltrace_agent_runtime_reachable"), Some(1.0));
        assert_eq!(sample(text, "pulltrace_layer_download_duration_seconds_count"), Some(4.0));
        for counter in [
            "pulltrace_agent_runtime_calls_total{rpc_method=\"Leases/List\"}",
            "pulltrace_agent_runtime_calls_total{rpc_method=\"Events/Subscribe\"}",
            "pulltrace_agent_events_total",
            "pulltrace_agent_survey_duration_seconds_count",
            "pulltrace_agent_exports_total{pulltrace_signal=\"logs\",pulltrace_export_result=\"accepted\"}",
            "process_resident_memory_bytes",
            "process_open_fds",
        ] {
            assert!(sample(text, counter).is_some_and(|value| value >= 1.0), "{counter} in {text}");
        }
    }
    let heard = sink.heard();
    assert_eq!(heard.metrics.len(), 1, "once a minute at most");
    let told = &heard.metrics[0]["resourceMetrics"][0];
    let metrics = told["scopeMetrics"][0]["metrics"].as_array().unwrap();
    assert!(metrics.iter().any(|metric| metric["name"] == names::AGENT_METRIC_REACHABLE), "{told}");
    let node = told["resource"]["attributes"].as_array().unwrap().iter().find(|attribute| attribute["key"] == names::NODE_NAME);
    assert_eq!(node.map(|node| &node["value"]["stringValue"]), Some(&Value::from("worker-1")));
}
