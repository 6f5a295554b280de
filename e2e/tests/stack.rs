//! Pulltrace in the middle of the stack that `otel-config/` describes: what an agent says goes through a stock OpenTelemetry Collector to ours, and
//! from there through another one to a real Tempo, a real Loki and a real Prometheus, where the documented questions find their answers.

use std::{ffi::OsString, fs, path::PathBuf, process::Command, time::Duration};

use e2e::clock;
use e2e::containerd::Containerd;
use e2e::image::{self, Form, LayerPlan};
use e2e::link::{Fault, Link};
use e2e::otlp_sink::Sink;
use e2e::prometheus::Release;
use e2e::pulltrace::{Agent, Collector, free_address};
use e2e::questions::{self, Question};
use e2e::registry::Registry;
use e2e::scene::api::{Api, Resource};
use e2e::stack::{self, Running, Tempo};
use e2e::tools::{Need, Tools, Version};
use serde_json::{Value, json};

/// Metrics that Tempo makes come after the ten seconds in which the other half of an edge might, and Tempo tells them every fifteen.
const LIMIT: Duration = Duration::from_secs(90);
const NODE: &str = "worker-1";
const REGISTRY: &str = "slow.test";
const VERSION: Version = Version::V2_4;
/// Pulls of [`Site::play`].
const PLAYED: usize = 6;
/// A port at which nobody listens.
const NOWHERE: &str = "127.0.0.1:9";

/// What pulls, and who tells of it. Fields are in the order in which they end.
struct Site {
    _agent: Agent,
    _fronts: Vec<Running>,
    collector: Collector,
    containerd: Containerd,
    link: Link,
    registry: Registry,
    api: Api,
}

impl Site {
    /// An agent that speaks to a stock collector on its node, which speaks to a collector of ours, which forwards to this endpoint.
    fn start(tools: &Tools, forward: &str) -> Self {
        Self::start_through(tools, &["otelcol/daemonset.yaml"], forward)
    }

    /// As [`Self::start`], with a row of stock collectors in front from these files.
    fn start_through(tools: &Tools, fronts: &[&'static str], forward: &str) -> Self {
        let registry = Registry::start(tools);
        let link = Link::start(registry.port());
        link.set_rate(Some(1_000_000));
        let containerd = Containerd::start(tools, VERSION);
        containerd.map(REGISTRY, link.port());
        let api = Api::start();
        api.put(Resource::Nodes, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}));
        let kubeconfig = api.kubeconfig();
        let own = [
            ("PULLTRACE_FORWARD_OTLP_ENDPOINT", forward),
            ("PULLTRACE_KUBERNETES", "on"),
            ("KUBECONFIG", &kubeconfig),
            ("PULLTRACE_AUTH", "token"),
            ("PULLTRACE_AGENT_TOKEN", "secret"),
        ];
        let collector = Collector::start(&own);
        let (mut to, mut row) = (collector.endpoint().replace("http://", ""), Vec::new());
        for name in fronts.iter().rev() {
            let front = stack::otelcol(tools, name, &[("PULLTRACE_COLLECTOR", &*to), ("PULLTRACE_AGENT_TOKEN", "secret")]);
            to = front.grpc();
            row.push(front);
        }
        let more = [("PULLTRACE_CLUSTER_NAME", "test")];
        let agent = Agent::start(NODE, &containerd.socket(), &format!("http://{to}"), &more);
        agent.until_ready();
        Self { _agent: agent, _fronts: row, collector, containerd, link, registry, api }
    }

    /// One pull of every kind that the documentation asks about; the ids of all, first that of the one that was waited for.
    fn play(&self) -> Vec<String> {
        let images = [("web", 60, 70), ("app", 60, 71), ("broken", 62, 72), ("still", 63, 73)];
        let [web, app, broken, still] =
            images.map(|(name, base, own)| self.image(name, &[image::layers(base, &[6]), image::layers(own, &[1])].concat()));
        self.say("web", &web, None);
        let first = self.containerd.pull(&web);
        let fetching = |pull: &Value| pull["downloadedBytes"].as_u64() > Some(0) && pull["outcome"].is_null();
        let id = self.collector.until_pull("its first byte", LIMIT, fetching)["id"].as_str().expect("it has one").to_owned();
        // Its base is the first one's.
        let second = self.containerd.pull(&app);
        self.collector.until_pull("the second one's wait", LIMIT, |pull| pull["wait"]["kind"] == "layer_lock");
        first.wait().expect("the pull succeeds");
        second.wait().expect("the pull succeeds");
        self.say("web", &web, Some("Pulled"));
        self.link.set_fault_at("team/broken", Fault::Corrupt);
        self.say("broken", &broken, None);
        self.containerd.pull(&broken).wait().expect_err("a damaged layer is refused");
        self.say("broken", &broken, Some("Failed"));
        self.link.set_fault_at("team/still", Fault::Stall);
        let stalled = self.containerd.pull(&still);
        self.collector.until_pull("a stall", LIMIT, |pull| pull["wait"]["kind"] == "stalled");
        self.link.set_fault_at("team/still", Fault::None);
        stalled.wait().expect("it goes on");
        self.stand_in_line();
        let ended = || {
            let ends: Vec<Value> = self.collector.pulls().into_iter().filter(|pull| pull["outcome"].is_string()).collect();
            (ends.len() == PLAYED).then_some(ends)
        };
        let mut ids = vec![id];
        let ends = clock::until("every end", LIMIT, ended);
        ids.extend(ends.iter().filter_map(|pull| pull["id"].as_str().map(str::to_owned)));
        ids
    }

    /// A pull that takes every download slot, and one that has to wait for it.
    fn stand_in_line(&self) {
        let wide = self.image("wide", &image::layers(64, &[8, 8, 8]));
        let late = self.image("late", &image::layers(65, &[1]));
        let first = self.containerd.pull(&wide);
        // Its tag is not known before the end.
        let is_wide = |pull: &Value| pull["imageRef"].as_str().is_some_and(|name| wide.starts_with(name));
        let fetching = |pull: &Value| pull["downloadedBytes"].as_u64() > Some(0) && is_wide(pull);
        self.collector.until_pull("its first byte", LIMIT, fetching);
        let second = self.containerd.pull(&late);
        self.collector.until_pull("a wait for a slot", LIMIT, |pull| pull["wait"]["kind"] == "download_slot");
        first.wait().expect("the pull succeeds");
        second.wait().expect("the pull succeeds");
    }

    /// An image in the registry; its name.
    fn image(&self, name: &str, plans: &[LayerPlan]) -> String {
        format!("{REGISTRY}/{}", image::push(&self.registry, &format!("team/{name}:v1"), plans, Form::OciIndex).name)
    }

    /// What the kubelet writes when a pod of this Deployment needs the image, or when that came to its end.
    fn say(&self, name: &str, image: &str, end: Option<&str>) {
        let image_id = if end == Some("Pulled") { "sha256:0" } else { "" };
        let state = match end {
            None => json!({"waiting": {"reason": "ContainerCreating"}}),
            Some("Pulled") => json!({"running": {"startedAt": clock::text(clock::now())}}),
            Some(_) => json!({"waiting": {"reason": "ErrImagePull", "message": "unexpected commit digest"}}),
        };
        let pod = format!("{name}-5d4f8b6c9-x2k9p");
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-5d4f8b6c9"), "uid": name, "controller": true}]);
        let status = json!({"name": "main", "image": image, "imageID": image_id, "ready": !image_id.is_empty(), "restartCount": 0, "state": state});
        let metadata = json!({"namespace": "shop", "name": pod, "uid": pod, "labels": {"pod-template-hash": "5d4f8b6c9"}, "ownerReferences": owner});
        self.api.put(Resource::Pods, json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": image}]}, "status": {"containerStatuses": [status]}}));
        let reason = end.unwrap_or("Pulling");
        let message = match end {
            None => format!("Pulling image \"{image}\""),
            Some("Pulled") => format!("Successfully pulled image \"{image}\""),
            Some(_) => format!("Failed to pull image \"{image}\": unexpected commit digest"),
        };
        let object = json!({"kind": "Pod", "namespace": "shop", "name": pod, "uid": pod, "fieldPath": "spec.containers{main}"});
        let at = clock::text(clock::now());
        self.api.put(Resource::Events, json!({"apiVersion": "v1", "kind": "Event",
            "metadata": {"namespace": "shop", "name": format!("{pod}.{}", reason.to_lowercase())}, "involvedObject": object, "reason": reason,
            "message": message, "count": 1, "source": {"component": "kubelet"}, "firstTimestamp": at, "lastTimestamp": at}));
    }
}

const PULLS: [Need; 6] =
    [Need::Root, Need::Containerd(VERSION), Need::Registry, Need::Pulltrace, Need::Otelcol, Need::Prometheus(Release::V3)];

fn traces_read_well(test: &str, release: Tempo) {
    let Some(tools) = Tools::find(test, &[&PULLS[..], &[Need::Tempo(release)]].concat()) else { return };
    let address = free_address();
    let tempo = stack::tempo(&tools, release, &address);
    let site = Site::start(&tools, &format!("http://{}", tempo.grpc()));
    let prometheus = stack::prometheus(&tools, &address, [&site.collector.metrics_address(), &tempo.address(), NOWHERE]);
    let ids = site.play();
    reads_as_documented(&tempo, &ids[0]);
    let recipes = questions::of_document("docs/traces.md", "traceql");
    assert!(!recipes.is_empty(), "docs/traces.md has no traceql");
    each_is_answered([recipes, questions::of_dashboards("tempo")].concat(), |question| searched(&tempo, question, &ids));
    each_is_answered(questions::of_document("docs/traces.md", "promql"), |question| prometheus.promql(&question.text));
    for series in [
        r#"traces_service_graph_request_total{client="pulltrace",server="slow.test",connection_type="virtual_node"}"#,
        r#"traces_spanmetrics_latency_bucket{span_name="download layer",service_peer_name="slow.test",le="1200"}"#,
        // Of a native histogram.
        r#"histogram_count(traces_spanmetrics_latency{span_name="download layer",service_peer_name="slow.test"}) > 0"#,
    ] {
        clock::until(series, LIMIT, || prometheus.promql(series).ok().filter(|found| !found.is_empty()));
    }
    leads_to_a_trace(&prometheus, "traces_spanmetrics_latency_bucket", &ids);
}

/// Asks until each question has an answer. What cannot be asked is not asked twice.
fn each_is_answered(questions: Vec<Question>, ask: impl Fn(&Question) -> Result<Vec<Value>, String>) {
    for question in questions {
        let Question { by, text } = &question;
        let found = clock::until(&format!("{by}: {text}"), LIMIT, || {
            Some(ask(&question)).filter(|told| !told.as_ref().is_ok_and(Vec::is_empty))
        });
        if let Err(error) = found {
            panic!("{by}: {text}: {error}");
        }
    }
}

/// What a Tempo finds; where one pull is asked for, of the first of these that has it. An id alone is how Grafana asks for a whole trace.
fn searched(tempo: &Running, question: &Question, ids: &[String]) -> Result<Vec<Value>, String> {
    let mut found = Ok(Vec::new());
    for id in ids {
        let text = lowered(&question.filled(&[&CHOSEN[..], &[("traceID", id)]].concat()));
        found = if text.contains('{') {
            tempo.traceql(&text)
        } else {
            tempo.get(&format!("/api/v2/traces/{text}"), &[]).map(|trace| spans(&trace["trace"]))
        };
        if !text.contains(id) || found.as_ref().map_or(true, |found| !found.is_empty()) {
            break;
        }
    }
    found
}

/// What somebody has chosen on a dashboard.
const CHOSEN: [(&str, &str); 6] = [
    ("node", NODE),
    ("image", "team/web"),
    ("registry", REGISTRY),
    ("namespace", "shop"),
    ("workload", "web"),
    ("cluster", "test"),
];

/// Waits until a histogram has an exemplar with one of these ids.
fn leads_to_a_trace(prometheus: &Running, histogram: &str, ids: &[String]) {
    clock::until(&format!("an exemplar of {histogram} that leads to a trace"), LIMIT, || {
        let (begin, end) = ((clock::now() - 600.0).to_string(), (clock::now() + 60.0).to_string());
        let answer = prometheus.get("/api/v1/query_exemplars", &[("query", histogram), ("start", &begin), ("end", &end)]).ok()?;
        let series = answer["data"].as_array()?;
        let mut exemplars = series.iter().filter_map(|series| series["exemplars"].as_array()).flatten();
        exemplars.any(|exemplar| ids.iter().any(|id| exemplar["labels"]["trace_id"] == **id)).then_some(())
    });
}

/// The same question with thresholds that pulls on one machine pass.
fn lowered(recipe: &str) -> String {
    let mut words: Vec<&str> = recipe.split_whitespace().collect();
    for at in 1..words.len() {
        let length = words[at].trim_end_matches([')', '}']);
        if words[at - 1] == ">" && length.strip_suffix('s').is_some_and(|n| n.parse::<u32>().is_ok()) {
            words[at] = if words[at].ends_with(')') { "1ms)" } else { "1ms" };
        }
    }
    words.join(" ")
}

/// The trace as `docs/traces.md` draws it.
#[track_caller]
fn reads_as_documented(tempo: &Running, id: &str) {
    let spans = clock::until("the trace, whole", LIMIT, || {
        let trace = tempo.get(&format!("/api/v2/traces/{id}"), &[]).ok()?;
        let spans = spans(&trace["trace"]);
        spans.iter().any(|span| span["name"] == "wait for image").then_some(spans)
    });
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    let [root] = named("pull image")[..] else { panic!("one root: {spans:#?}") };
    assert_eq!(root["parentSpanId"].as_str().unwrap_or_default(), "");
    assert_eq!(text(root, "container.image.name"), format!("{REGISTRY}/team/web:v1"));
    assert_eq!((text(root, "pulltrace.pull.outcome"), text(root, "service.peer.name")), ("ready", REGISTRY));
    assert_eq!([named("download layer").len(), named("unpack layer").len()], [2, 2], "{spans:#?}");
    for client in named("download layer").into_iter().chain(named("resolve image")) {
        assert_eq!((client["kind"].as_str(), text(client, "service.peer.name")), (Some("SPAN_KIND_CLIENT"), REGISTRY));
    }
    let [wait] = named("wait for image")[..] else { panic!("one wait: {spans:#?}") };
    assert_eq!(wait["parentSpanId"], root["spanId"]);
    assert_eq!((text(wait, "k8s.pod.name"), text(wait, "k8s.namespace.name")), ("web-5d4f8b6c9-x2k9p", "shop"));
    assert_eq!((text(wait, "pulltrace.workload.kind"), text(wait, "pulltrace.workload.name")), ("Deployment", "web"));
}

fn spans(trace: &Value) -> Vec<Value> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let scopes = list(trace, "resourceSpans").into_iter().flat_map(|resource| list(&resource, "scopeSpans"));
    scopes.flat_map(|scope| list(&scope, "spans")).collect()
}

fn text<'a>(span: &'a Value, key: &str) -> &'a str {
    e2e::otlp_sink::attribute(span, key).and_then(|value| value["stringValue"].as_str()).unwrap_or_default()
}

#[test]
fn traces_read_well_in_tempo_2() {
    traces_read_well("traces_read_well_in_tempo_2", Tempo::V2);
}

#[test]
fn traces_read_well_in_tempo_3() {
    traces_read_well("traces_read_well_in_tempo_3", Tempo::V3);
}

/// The outcome of every pull is in Loki, and the agent's numbers are in Prometheus, both by way of the collector behind ours.
#[test]
fn outcomes_arrive_in_loki_and_the_agents_numbers_in_prometheus() {
    let test = "outcomes_arrive_in_loki_and_the_agents_numbers_in_prometheus";
    let Some(tools) = Tools::find(test, &[&PULLS[..], &[Need::Loki]].concat()) else { return };
    let (address, loki) = (free_address(), stack::loki(&tools));
    let env =
        [("LOKI", &*format!("http://{}", loki.address())), ("PROMETHEUS", &format!("http://{address}")), ("TEMPO", NOWHERE)];
    let behind = stack::otelcol(&tools, "otelcol/gateway-behind.yaml", &env);
    let site = Site::start(&tools, &format!("http://{}", behind.grpc()));
    let prometheus = stack::prometheus(&tools, &address, [&site.collector.metrics_address(), NOWHERE, &loki.address()]);
    let ids = site.play();
    let records = clock::until("every outcome", LIMIT, || {
        let streams = loki.logql(r#"{service_name="pulltrace"}"#).unwrap_or_else(|error| panic!("{error}"));
        let lines = |stream: &Value| stream["values"].as_array().map_or(0, Vec::len);
        (streams.iter().map(lines).sum::<usize>() == PLAYED).then_some(streams)
    });
    // Nothing but ends: no starts, no heartbeats, no arrays of layers.
    for stream in &records {
        let said = (&stream["stream"]["event_name"], &stream["stream"]["k8s_node_name"]);
        assert_eq!(said, (&json!("pulltrace.pull.finished"), &json!(NODE)));
        assert!(stream["stream"]["pulltrace_layers_digest"].is_null(), "{stream:#}");
    }
    let recipes = questions::of_document("docs/stack.md", "logql");
    assert!(!recipes.is_empty(), "docs/stack.md has no logql");
    let (from_spans, numbers): (Vec<_>, Vec<_>) =
        questions::of_data_sources().into_iter().partition(|asked| asked.text.starts_with('{'));
    assert_eq!((from_spans.len(), numbers.len()), (1, 3));
    let filled = |question: &Question| {
        let more = [("__span.traceId", &*ids[0]), ("__tags", r#"registry="slow.test""#), ("__rate_interval", "30s")];
        question.filled(&[&CHOSEN[..], &more].concat()).replace(EXAMPLE, &ids[0])
    };
    each_is_answered([recipes, questions::of_dashboards("loki"), from_spans].concat(), |question| loki.logql(&filled(question)));
    each_is_answered(numbers, |question| prometheus.promql(&filled(question)));
    if stack::takes_otlp(&tools) {
        let count = format!("pulltrace_image_pull_duration_seconds_count{{node=\"{NODE}\",pulltrace_pull_outcome=\"ready\"}}");
        clock::until(&count, LIMIT, || prometheus.promql(&count).ok().filter(|found| !found.is_empty()));
    } else {
        eprintln!("SKIPPED {test}: the agents' metrics: this Prometheus is built without its OTLP receiver");
    }
    leads_to_a_trace(&prometheus, "pulltrace_pull_duration_seconds_bucket", &ids);
}

/// The pull that the documents speak of.
const EXAMPLE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The way that needs no store: every outcome and every span, through a stock collector on both sides.
#[test]
fn stock_collectors_on_both_sides_lose_and_double_nothing() {
    let test = "stock_collectors_on_both_sides_lose_and_double_nothing";
    let Some(tools) = Tools::find(test, &PULLS) else { return };
    let sink = Sink::start(&tools);
    let http = sink.http_endpoint();
    let env = [("TEMPO", &*sink.grpc_endpoint().replace("http://", "")), ("LOKI", &*http), ("PROMETHEUS", &*http)];
    let behind =
        stack::otelcol_at(&tools, "otelcol/gateway-behind.yaml", &env, &[("}/otlp\"", "}\""), ("}/api/v1/otlp\"", "}\"")]);
    let site = Site::start_through(
        &tools,
        &["otelcol/daemonset.yaml", "otelcol/gateway-front.yaml"],
        &format!("http://{}", behind.grpc()),
    );
    site.play();
    let ended = || sink.logs().iter().filter(|record| record["eventName"] == "pulltrace.pull.finished").count() == PLAYED;
    clock::until("every outcome", LIMIT, || ended().then_some(()));
    let named = |name: &str| sink.spans().iter().filter(|span| span.name == name).count();
    let whole = || named("pull image") == PLAYED && named("wait for image") == 2;
    clock::until("every root and two waits", LIMIT, || whole().then_some(()));
    assert_eq!(sink.logs().len(), PLAYED, "only what ended: {:#?}", sink.logs());
    let ids: std::collections::BTreeSet<_> = sink.spans().into_iter().map(|span| span.span_id).collect();
    assert_eq!(ids.len(), sink.spans().len(), "a span came twice");
    clock::until("the agent's numbers", LIMIT, || (!sink.points().is_empty()).then_some(()));
    assert!(site.collector.metric("pulltrace_forward_dropped_total", &[]) < 0.5);
    site.collector.has_not_panicked();
}

#[test]
fn the_stock_collector_takes_every_configuration() {
    let test = "the_stock_collector_takes_every_configuration";
    let Some(tools) = Tools::find(test, &[Need::Otelcol]) else { return };
    let names: Vec<PathBuf> =
        fs::read_dir(stack::path("otelcol")).expect("the folder is there").flatten().map(|e| e.path()).collect();
    assert!(names.len() >= 3, "{names:?}");
    for path in names {
        let mut config = OsString::from("--config=");
        config.push(&path);
        succeeds(Command::new(tools.program("otelcol")).arg("validate").arg(config));
    }
}

#[test]
fn promtool_takes_the_configuration_of_prometheus() {
    let test = "promtool_takes_the_configuration_of_prometheus";
    let Some(tools) = Tools::find(test, &[Need::Promtool3]) else { return };
    succeeds(Command::new(tools.promtool_3()).args(["check", "config"]).arg(stack::path("prometheus/prometheus.yaml")));
}

#[track_caller]
fn succeeds(command: &mut Command) {
    let said = command.output().expect("the program starts");
    assert!(
        said.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}
