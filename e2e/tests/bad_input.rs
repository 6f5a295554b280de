//! What is wrong is said clearly or refused and counted; nothing of it stops a process or harms what is good.

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use e2e::clock;
use e2e::containerd::Containerd;
use e2e::grpc;
use e2e::on_containerd;
use e2e::process::Process;
use e2e::pulltrace::{Agent, Collector, free_address, run_to_end};
use e2e::site::{Site, reference};
use e2e::tools::{Need, Tools, Version, built};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_wrong_value_is_one_clear_error_with_exit_code_64() {
    if Tools::find("a_wrong_value_is_one_clear_error_with_exit_code_64", &[Need::Pulltrace]).is_none() {
        return;
    }
    for (program, name, value) in [
        ("pulltrace-agent", "PULLTRACE_REPORT_INTERVAL", "soonish"),
        ("pulltrace-agent", "OTEL_EXPORTER_OTLP_ENDPOINT", "ht!tp//"),
        ("pulltrace-agent", "PULLTRACE_METRICS_ADDR", "everywhere"),
        ("pulltrace-agent", "PULLTRACE_LOG_LEVEL", "shouting"),
        ("pulltrace-collector", "PULLTRACE_HTTP_ADDR", "everywhere"),
        ("pulltrace-collector", "PULLTRACE_HISTORY_TTL", "long"),
        ("pulltrace-collector", "PULLTRACE_FORWARD_OTLP_ENDPOINT", "ht!tp//"),
    ] {
        let (code, said) = run_to_end(program, &[(name, value)]);
        assert_eq!(code, Some(64), "{program} with {name}={value} said: {said}");
        assert!(said.contains(name) && said.contains(value), "variable and value are to be named: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_port_in_use_is_named_and_ends_the_collector() {
    if Tools::find("a_port_in_use_is_named_and_ends_the_collector", &[Need::Pulltrace]).is_none() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let taken = taken.local_addr().expect("a listener has an address").to_string();
    for name in ["PULLTRACE_HTTP_ADDR", "PULLTRACE_METRICS_ADDR", "PULLTRACE_OTLP_GRPC_ADDR", "PULLTRACE_OTLP_HTTP_ADDR"] {
        let free: Vec<String> = (0..4).map(|_| free_address()).collect();
        let all = ["PULLTRACE_HTTP_ADDR", "PULLTRACE_METRICS_ADDR", "PULLTRACE_OTLP_GRPC_ADDR", "PULLTRACE_OTLP_HTTP_ADDR"];
        let env: Vec<(&str, &str)> =
            all.iter().zip(&free).map(|(other, address)| (*other, if *other == name { &*taken } else { &**address })).collect();
        let (code, said) = run_to_end("pulltrace-collector", &env);
        assert!(code.is_some_and(|c| c != 0), "{name} in use, exit code {code:?}: {said}");
        assert!(said.contains(&taken) && !said.contains("panicked"), "the address is to be named: {said}");
    }
}

#[test]
fn a_missing_socket_is_said_and_waited_for() {
    if Tools::find("a_missing_socket_is_said_and_waited_for", &[Need::Pulltrace]).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let socket = folder.path().join("nobody.sock");
    let collector = Collector::start(&[]);
    let mut agent = Agent::start("node-1", &socket, &collector.endpoint(), &[]);
    clock::until("a word about the socket", SOON, || agent.log().contains("nobody.sock").then_some(()));
    assert!(!agent.is_ready() && agent.runs(), "{}", agent.log());
    assert_eq!(collector.pulls(), Vec::<Value>::new());
}

fn an_agent_may_be_there_before_its_containerd(test: &str, version: Version) {
    let Some(tools) = Tools::find(test, &[Need::Root, Need::Containerd(version), Need::Pulltrace]) else { return };
    let mut containerd = Containerd::start(&tools, version);
    containerd.kill9();
    let collector = Collector::start(&[]);
    let agent = Agent::start("node-1", &containerd.socket(), &collector.endpoint(), &[]);
    assert!(!agent.is_ready());
    containerd.restart();
    agent.until_ready();
}

on_containerd!(an_agent_may_be_there_before_its_containerd: V2_1);

#[test]
fn a_socket_without_permission_is_said() {
    let test = "a_socket_without_permission_is_said";
    let Some(tools) = Tools::find(test, &[Need::Root, Need::Containerd(Version::V1_7), Need::Pulltrace]) else { return };
    let containerd = Containerd::start(&tools, Version::V1_7);
    let socket = containerd.socket();
    // Nobody gets a copy it can reach; only the socket itself is closed to it.
    let open = |path: &Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("root may change modes");
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let program = folder.path().join("pulltrace-agent");
    std::fs::copy(built("pulltrace-agent"), &program).expect("the temporary folder is writable");
    open(folder.path());
    open(&program);
    open(socket.parent().expect("a socket is in a folder"));
    let env = [
        ("PULLTRACE_NODE_NAME", "node-1".to_owned()),
        ("PULLTRACE_CONTAINERD_SOCKET", socket.display().to_string()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", free_address())),
        ("PULLTRACE_METRICS_ADDR", free_address()),
    ]
    .map(|(k, v)| (k.to_owned(), v));
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", &program.display().to_string()];
    let mut agent = Process::spawn("nobody", folder.path(), Path::new("setpriv"), &nobody, &env);
    clock::until("a word about the permission", SOON, || {
        let log = agent.stdout() + &agent.stderr();
        assert!(agent.runs(), "the agent ended: {log}");
        let log = log.to_lowercase();
        (log.contains("permission denied") && log.contains("containerd.sock")).then_some(())
    });
}

fn an_unknown_namespace_and_a_dead_endpoint_are_said(test: &str, version: Version) {
    let Some(tools) = Tools::find(test, &[Need::Root, Need::Containerd(version), Need::Pulltrace]) else { return };
    let containerd = Containerd::start(&tools, version);
    let nowhere = free_address();
    let selected = [("PULLTRACE_CONTAINERD_NAMESPACES", "nosuch")];
    let mut agent = Agent::start("node-1", &containerd.socket(), &format!("http://{nowhere}"), &selected);
    clock::until("a word about the namespace", SOON, || agent.log().contains("nosuch").then_some(()));
    clock::until("a word about the endpoint", SOON, || agent.log().contains(&nowhere).then_some(()));
    assert!(agent.runs() && !agent.log().contains("panicked"));
}

on_containerd!(an_unknown_namespace_and_a_dead_endpoint_are_said: V1_7);

fn malformed_otlp_is_refused_and_counted_and_harms_nothing(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    site.link.set_rate(None);
    let image = site.push("team/good:v1", &e2e::image::layers(95, &[1]));
    site.containerd.pull(&reference(&image)).wait().expect("the pull succeeds");
    let ready = |p: &Value| p["outcome"] == "ready";
    let good = site.collector.until_pull("the good pull", SOON, ready);

    let rejected = || site.collector.metric("pulltrace_receiver_rejected_total", &[]);
    let mut before = rejected();
    for (what, kind, encoding, body, status) in bodies() {
        let answer = post(&site.collector.otlp_url("/v1/logs"), kind, encoding, &body);
        assert_eq!(answer.0, status, "{what}: {}", answer.1);
        let now = rejected();
        assert!(now > before, "{what} is not counted");
        before = now;
    }
    let method = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    let refused =
        grpc::export(&site.collector.endpoint(), method, b"\xff\xff\xffgarbage".to_vec()).expect_err("garbage is refused");
    let named = [tonic::Code::InvalidArgument, tonic::Code::Internal];
    assert!(named.contains(&refused.code) && !refused.message.is_empty(), "{refused}");

    let traces = site.collector.otlp_url("/v1/traces");
    assert_eq!(post(&traces, "application/json", "identity", b"{}").0, 200, "an empty request is fine");
    let odd =
        json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"eventName": "pulltrace.pull.progress", "traceId": "abcd"}]}]}]});
    let (status, answer) = post(&site.collector.otlp_url("/v1/logs"), "application/json", "identity", odd.to_string().as_bytes());
    assert_eq!((status, answer.contains("rejectedLogRecords")), (200, true), "a bad record is a partial success: {answer}");
    assert!(rejected() > before, "a bad record is not counted");

    assert_eq!(site.collector.pull(good["id"].as_str().unwrap_or_default()).map(|p| p["outcome"] == "ready"), Some(true));
    site.containerd.pull(&reference(&image)).wait().expect("the pull succeeds");
    clock::until("a good pull after all that", SOON, || (site.collector.pulls().len() == 2).then_some(()));
    site.collector.has_not_panicked();
}

on_containerd!(malformed_otlp_is_refused_and_counted_and_harms_nothing: V2_1);

/// What, media type, encoding, body, and the status the OTLP specification wants.
fn bodies() -> Vec<(&'static str, &'static str, &'static str, Vec<u8>, u16)> {
    let (protobuf, json) = ("application/x-protobuf", "application/json");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..80 {
        gzip.write_all(&zeros).expect("writing to memory does not fail");
    }
    let bomb = gzip.finish().expect("writing to memory does not fail");
    vec![
        ("protobuf that is none", protobuf, "identity", b"\x0a\xff\xff\xff\xff\x0fnonsense".to_vec(), 400),
        ("JSON that is none", json, "identity", b"{\"resourceLogs\": [".to_vec(), 400),
        ("JSON of another shape", json, "identity", b"{\"resourceLogs\": 7}".to_vec(), 400),
        ("gzip that is none", protobuf, "gzip", b"not gzip at all".to_vec(), 400),
        ("80 MiB in 80 kB of gzip", json, "gzip", bomb, 413),
        ("an unknown media type", "text/plain", "identity", b"hello".to_vec(), 415),
    ]
}

fn post(url: &str, kind: &str, encoding: &str, body: &[u8]) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(30)));
    let agent: ureq::Agent = config.build().into();
    let mut request = agent.post(url).content_type(kind);
    if encoding != "identity" {
        request = request.header("Content-Encoding", encoding);
    }
    match request.send(body) {
        Ok(mut answer) => (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap_or_default()),
        Err(e) => (0, e.to_string()),
    }
}

/// A client that never leaves must not keep a collector from leaving.
#[test]
fn a_collector_ends_on_term_even_with_listeners_connected() {
    let test = "a_collector_ends_on_term_even_with_listeners_connected";
    if Tools::find(test, &[Need::Pulltrace]).is_none() {
        return;
    }
    let mut collector = Collector::start(&[]);
    let _deaf = e2e::sse::Deaf::connect(collector.http_port());
    let _reader = e2e::sse::Client::connect(collector.http_port(), None);
    assert!(collector.stop(), "TERM was not enough");
}
