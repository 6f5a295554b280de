//! A host that pulls by `pulltrace pull` is seen from elsewhere: in the collector while it pulls and afterwards, in whatever takes traces, by a
//! webhook, and in the log that another process follows. With a real Docker Engine, a registry behind a slow link, the collector, and a stock
//! OpenTelemetry Collector.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use e2e::clock;
use e2e::docker::{Docker, Store};
use e2e::follow::{ended, id, number};
use e2e::image::{self, Form};
use e2e::link::Link;
use e2e::otlp_sink::Sink;
use e2e::pulltrace::{Collector, free_address};
use e2e::registry::Registry;
use e2e::tools::{Need, Tools};
use serde_json::Value;

/// Long enough for anything that ought to happen.
const SOON: Duration = Duration::from_secs(30);

fn a_host_that_pulls_is_seen_from_elsewhere(test: &str, store: Store) {
    let needs = [Need::Root, Need::Docker, Need::Registry, Need::Pulltrace, Need::Otelcol];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let registry = Registry::start(&tools);
    let link = Link::start(registry.port());
    link.set_rate(Some(2_000_000));
    let (docker, collector, sink) = (Docker::start(&tools, store), Collector::start(&[]), Sink::start(&tools));
    let (hook, posted) = hook();
    let image = image::push(&registry, "team/fleet:v1", &image::layers(91, &[6, 3]), Form::OciIndex);
    let (name, log) = (format!("127.0.0.1:{}/team/fleet:v1", link.port()), docker.home().join("pull.log").display().to_string());
    let otlp = format!("http/protobuf={}", collector.otlp_url(""));
    let further = format!("grpc={}", sink.grpc_endpoint());
    let variables = [("PULLTRACE_NODE_NAME", "till-7"), ("PULLTRACE_OTLP_ENDPOINTS", &*further)];
    let mut follower = docker.pulltrace(&["logs", "-f", "--log-file", &log], &[]);
    let secret = format!("{hook}/hook?key=s3cret");
    let arguments = ["pull", &name, "--progress", "plain", "--otlp", &otlp, "--notify", &secret, "--log-file", &log];
    let mut pull = docker.pulltrace(&arguments, &variables);

    let running = collector.until_pull("a part of it", SOON, |pull| {
        let share = pull["percent"].as_f64().unwrap_or(50.0);
        number(pull, "downloadedBytes") > 0 && share > 0.0 && share < 100.0 && pull["outcome"].is_null()
    });
    assert_eq!((running["nodeName"].as_str(), running["phase"].as_str()), (Some("till-7"), Some("downloading")), "{running:#}");
    assert_eq!(pull.exit_code(SOON), Some(0), "{}", pull.stderr());
    let ready = collector.until_pull("its outcome", SOON, |pull| ended(pull, "ready"));
    assert_eq!(id(&ready), id(&running));
    assert_eq!((number(&ready, "layerCount"), number(&ready, "layersDone")), (2, 2), "{ready:#}");
    assert_eq!(number(&ready, "downloadedBytes"), image.layers.iter().map(|layer| layer.size).sum::<u64>(), "{ready:#}");
    assert!(ready["runtime"].as_str().is_some_and(|runtime| runtime.starts_with("docker 28")), "{ready:#}");

    let spans = clock::until("the trace", SOON, || Some(sink.spans()).filter(|spans| !spans.is_empty()));
    assert_eq!(spans.iter().map(|span| &*span.trace_id).collect::<BTreeSet<_>>(), BTreeSet::from([id(&ready)]), "one trace");
    let named = |name: &str| spans.iter().filter(|span| span.name == name).count();
    assert_eq!((named("pull image"), named("download layer")), (1, 2), "{spans:#?}");

    let outcomes: Vec<_> = posted.try_iter().collect();
    assert_eq!(outcomes.len(), 1, "{outcomes:#?}");
    assert_eq!((&outcomes[0]["type"], &outcomes[0]["pull"]["id"]), (&"pull.completed".into(), &ready["id"]));
    assert!(!pull.stderr().contains("not everything") && !pull.stderr().contains("s3cret"), "{}", pull.stderr());

    let followed = clock::until("the end in the log", SOON, || Some(follower.stdout()).filter(|text| text.contains("  ready ")));
    assert!(followed.contains("  downloading "), "{followed}");
    assert!(follower.runs(), "who follows goes on");
}

fn up_says_whose_pulls_it_sees_and_sees_them(test: &str, store: Store) {
    let needs = [Need::Root, Need::Docker, Need::Registry, Need::Pulltrace];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let registry = Registry::start(&tools);
    let docker = Docker::start(&tools, store);
    drop(image::push(&registry, "team/up:v1", &image::layers(92, &[2, 1]), Form::OciIndex));
    let [page, otlp, grpc] = [(); 3].map(|()| free_address());
    let variables = [
        ("PULLTRACE_OTLP_HTTP_ADDR", &*otlp),
        ("PULLTRACE_OTLP_GRPC_ADDR", &*grpc),
        ("PULLTRACE_METRICS_ADDR", "127.0.0.1:0"),
        ("PULLTRACE_NODE_NAME", "till-7"),
    ];
    let socket = docker.containerd_socket().display().to_string();
    let up = docker.pulltrace(&["up", "--http-addr", &page, "--containerd-socket", &socket], &variables);
    let (advice, runtime, report) = match store {
        Store::Classic => ("in its own store (overlay2), not in containerd", "docker 28", format!("http/protobuf=http://{otlp}")),
        Store::Containerd => ("Docker keeps its images in containerd: its pulls are shown", "containerd", "none".to_owned()),
    };
    clock::until("what it says of Docker", SOON, || up.stderr().contains(advice).then_some(()));
    let get = |path: &str| -> Option<Value> {
        let body = ureq::get(format!("http://{page}{path}")).call().ok()?.body_mut().read_to_string().ok()?;
        serde_json::from_str(&body).ok()
    };
    clock::until("its agent", SOON, || {
        get("/api/v1/nodes")?["nodes"].as_array()?.iter().find(|n| n["reachable"] == true).cloned()
    });
    let name = format!("127.0.0.1:{}/team/up:v1", registry.port());
    let mut pull = docker.pulltrace(&["pull", &name, "--otlp", &report], &[("PULLTRACE_NODE_NAME", "till-7")]);
    assert_eq!(pull.exit_code(SOON), Some(0), "{}", pull.stderr());
    let ready =
        clock::until("the pull", SOON, || get("/api/v1/pulls")?["pulls"].as_array()?.iter().find(|p| ended(p, "ready")).cloned());
    assert!(ready["runtime"].as_str().is_some_and(|told| told.starts_with(runtime)), "{ready:#}");
    let nodes = get("/api/v1/nodes").expect("an answer");
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(1), "one host is one node: {nodes:#}");
    if store == Store::Containerd {
        // Whoever reports all the same is told twice, each time by its teller's name, and it stays one node.
        let mut again = docker.pulltrace(&["pull", &name, "--otlp", &format!("http/protobuf=http://{otlp}")], &variables[3..]);
        assert_eq!(again.exit_code(SOON), Some(0), "{}", again.stderr());
        clock::until("both", SOON, || {
            let told = get("/api/v1/pulls")?;
            let by = |name: &str| {
                told["pulls"].as_array().into_iter().flatten().any(|p| p["runtime"].as_str().is_some_and(|r| r.starts_with(name)))
            };
            (by("docker 28") && by("containerd")).then_some(())
        });
        let nodes = get("/api/v1/nodes").expect("an answer");
        assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(1), "one host is one node: {nodes:#}");
    }
}

#[test]
fn up_says_that_pulls_into_dockers_own_store_must_be_reported() {
    up_says_whose_pulls_it_sees_and_sees_them("up_says_that_pulls_into_dockers_own_store_must_be_reported", Store::Classic);
}

#[test]
fn up_says_that_it_sees_pulls_into_containerds_store() {
    up_says_whose_pulls_it_sees_and_sees_them("up_says_that_it_sees_pulls_into_containerds_store", Store::Containerd);
}

#[test]
fn a_host_that_pulls_into_dockers_own_store_is_seen_from_elsewhere() {
    a_host_that_pulls_is_seen_from_elsewhere("a_host_that_pulls_into_dockers_own_store_is_seen_from_elsewhere", Store::Classic);
}

#[test]
fn a_host_that_pulls_into_containerds_store_is_seen_from_elsewhere() {
    a_host_that_pulls_is_seen_from_elsewhere(
        "a_host_that_pulls_into_containerds_store_is_seen_from_elsewhere",
        Store::Containerd,
    );
}

/// A webhook: its URL, and what is posted to it.
fn hook() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (tell, posted) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if tell.send(take(&stream).expect("a request")).is_err() {
                return;
            }
        }
    });
    (url, posted)
}

fn take(mut stream: &TcpStream) -> std::io::Result<Value> {
    let (mut reader, mut length) = (BufReader::new(stream), 0);
    for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")?;
    Ok(serde_json::from_slice(&body)?)
}
