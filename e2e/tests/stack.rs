//! Pulltrace in the middle of the stack that `otel-config/` describes: what an agent says goes through a stock OpenTelemetry Collector to ours, and
//! from there through another one to a real Tempo, a real Loki and a real Prometheus, where the documented questions find their answers.

use std::time::Duration;

use e2e::clock;
use e2e::containerd::Containerd;
use e2e::image::{self, Form};
use e2e::link::{Fault, Link};
use e2e::otlp_sink::Sink;
use e2e::prometheus::Release;
use e2e::pulltrace::{Agent, Collector, free_address};
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

/// What pulls, and who tells of it. Fields are in the order in which they end.
struct Site {
    _agent: Agent,
    _front: Running,
    collector: Collector,
    containerd: Containerd,
    link: Link,
    registry: Registry,
    api: Api,
}

impl Site {
    /// An agent that speaks to a stock collector on its node, which speaks to a collector of ours, which forwards to this endpoint.
    fn start(tools: &Tools, forward: &str, collector: &[(&str, &str)]) -> Self {
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
        let collector = Collector::start(&[&own[..], collector].concat());
        let to = collector.endpoint().replace("http://", "");
        let env = [("PULLTRACE_COLLECTOR", &*to), ("PULLTRACE_AGENT_TOKEN", "secret")];
        let front = stack::otelcol(tools, "otelcol/daemonset.yaml", &env);
        let more = [("PULLTRACE_CLUSTER_NAME", "test")];
        let agent = Agent::start(NODE, &containerd.socket(), &format!("http://{}", front.grpc()), &more);
        agent.until_ready();
        Self { _agent: agent, _front: front, collector, containerd, link, registry, api }
    }

    /// One pull of every kind that the documentation asks about; the id of the one that was waited for.
    fn play(&self) -> String {
        let [web, app, broken, still] = [("web", 60, 5), ("app", 60, 2), ("broken", 62, 2), ("still", 63, 2)].map(|(name, seed, last)| {
            let plans = [image::layers(seed, &[5]), image::layers(100 + last as u64, &[last])].concat();
            image::push(&self.registry, &format!("team/{name}:v1"), &plans, Form::OciIndex)
        });
        let [web, app, broken, still] = [web, app, broken, still].map(|image| format!("{REGISTRY}/{}", image.name));
        self.say("web", &web, None);
        let first = self.containerd.pull(&web);
        let fetching = |pull: &Value| pull["downloadedBytes"].as_u64() > Some(0) && pull["outcome"].is_null();
        let id = self.collector.until_pull("its first byte", LIMIT, fetching)["id"].as_str().expect("it has one").to_owned();
        // Its base is the first one's.
        let second = self.containerd.pull(&app);
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
        let all = || (self.collector.pulls().iter().filter(|pull| pull["outcome"].is_string()).count() == 4).then_some(());
        clock::until("four ends", LIMIT, all);
        id
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
    let site = Site::start(&tools, &format!("http://{}", tempo.grpc()), &[]);
    let prometheus = stack::prometheus(&tools, &address, [&site.collector.metrics_address(), &tempo.address(), "127.0.0.1:9"]);
    let id = site.play();
    reads_as_documented(&tempo, &id);
    let recipes = stack::recipes("docs/traces.md", "traceql");
    assert!(recipes.len() > 10, "{recipes:?}");
    for (line, recipe) in &recipes {
        let lowered = lowered(recipe);
        let found = clock::until(&format!("{release}: docs/traces.md:{line}: {lowered}"), LIMIT, || match tempo.traceql(&lowered) {
            Ok(found) if found.is_empty() => None,
            told => Some(told),
        });
        let found = found.unwrap_or_else(|error| panic!("docs/traces.md:{line}: {lowered}: {error}"));
        eprintln!("{release} docs/traces.md:{line}: {} found, first {}", found.len(), found[0]);
    }
    for (line, recipe) in stack::recipes("docs/traces.md", "promql") {
        let edges = clock::until(&format!("docs/traces.md:{line}: {recipe}"), LIMIT, || {
            let edges = prometheus.promql(&recipe).unwrap_or_else(|error| panic!("docs/traces.md:{line}: {error}"));
            (!edges.is_empty()).then_some(edges)
        });
        assert!(edges.iter().any(|edge| edge["metric"]["server"] == REGISTRY), "{edges:?}");
    }
    let buckets = r#"traces_spanmetrics_latency_bucket{span_name="download layer",service_peer_name="slow.test",le="1200"}"#;
    clock::until(buckets, LIMIT, || prometheus.promql(buckets).ok().filter(|found| !found.is_empty()));
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
