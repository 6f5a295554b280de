//! From nothing to seeing pulls on a real Kubernetes, by the very commands of the README: chart, images, agent and collector together. What needs
//! no kubelet is proved with less elsewhere; an API server alone is `kubernetes.rs`.

#[path = "cluster/auth.rs"]
mod auth;
#[path = "cluster/plugin.rs"]
mod plugin;
#[path = "cluster/pulls.rs"]
mod pulls;
#[path = "cluster/quick_start.rs"]
mod quick_start;

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::clock;
use e2e::cluster::{self, Cluster, FAST};
use e2e::helm;
use e2e::helm::Release::{V3, V4};
use e2e::site;
use e2e::tools::{Need, Tools};
use serde_json::{Value, json};

use quick_start::QuickStart;

/// Where the chart of this test puts everything.
const NAMESPACE: &str = "pulltrace";
/// All pods are ready this long after the command.
const READY: f64 = 60.0;
/// What is over in a moment, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(30);
/// Kubernetes keeps these in every namespace.
const KUBERNETES_OWN: [&str; 3] = ["configmap/kube-root-ca.crt", "serviceaccount/default", "event"];

/// A release that is installed, and how its collector is reached through the Service.
struct Release<'a> {
    cluster: &'a Cluster,
    /// The Service's address in the cluster.
    address: String,
}

impl Release<'_> {
    fn url(&self, port: u16, path: &str) -> String {
        format!("http://{}:{port}{path}", self.address)
    }

    /// What REST says, through the Service.
    fn get(&self, path: &str) -> Option<Value> {
        let mut answer = ureq::get(self.url(8080, path)).call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    }
}

#[test]
fn from_nothing_to_seeing_pulls_by_the_commands_of_the_readme() {
    let test = "from_nothing_to_seeing_pulls_by_the_commands_of_the_readme";
    let needs = [Need::Root, Need::Cluster, Need::Helm(V3), Need::Helm(V4), Need::Registry, Need::Images];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let told = QuickStart::read();
    site::play_once_more(test, || cluster::within(&tools, |cluster| everything(cluster, &told)));
}

#[test]
fn kubectl_pulltrace_shows_what_the_cluster_does() {
    let test = "kubectl_pulltrace_shows_what_the_cluster_does";
    let needs = [Need::Root, Need::Cluster, Need::Helm(V4), Need::Registry, Need::Images, Need::CommandLine];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let told = QuickStart::read();
    cluster::within(&tools, |cluster| {
        told.images().iter().for_each(|(own, name, tag)| cluster.push_own(own, name, tag));
        plugin::without_a_collector_it_says_where_it_looked(cluster);
        let release = install(cluster, &told, V4);
        plugin::a_slow_pull_is_shown_everywhere(&release);
        plugin::a_refused_pull_ends_a_wait_with_its_class(cluster);
        plugin::contexts_and_rights_are_those_of_the_kubeconfig(cluster);
        plugin::kubectl_completes_its_words(cluster);
    });
}

fn everything(cluster: &Cluster, told: &QuickStart) {
    told.images().iter().for_each(|(own, name, tag)| cluster.push_own(own, name, tag));
    for helm in [V3, V4] {
        let release = install(cluster, told, helm);
        ports_are_reachable(&release);
        cluster.shell(helm, &told.command("helm test")).unwrap_or_else(|error| panic!("{helm}: helm test: {error}"));
        if helm == V4 {
            pulls::a_slow_pull_is_seen_with_pod_and_workload(&release);
            pulls::refused_pulls_say_why_and_when_next(&release);
            auth::only_an_agent_of_this_node_may_report(&release);
            the_page_is_forwarded(&release, told);
            policies_are_taken(&release);
        }
        nothing_is_left_of_it(&release, told, helm);
    }
    the_role_is_what_is_called(cluster);
}

/// `helm install`, and all pods ready within a minute.
fn install<'a>(cluster: &'a Cluster, told: &QuickStart, helm: helm::Release) -> Release<'a> {
    let begin = clock::now();
    let command = format!("{} --set global.imageRegistry={FAST}", told.command("helm install"));
    let said = cluster.shell(helm, &command).unwrap_or_else(|error| panic!("{helm}: {command}: {error}"));
    assert!(said.contains("STATUS: deployed"), "{said}");
    let wait = ["-n", NAMESPACE, "wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s"];
    cluster.kubectl.run(&wait, "");
    let took = clock::now() - begin;
    let pods = cluster.kubectl.run(&["-n", NAMESPACE, "get", "pods", "-o", "name"], "");
    assert_eq!(pods.lines().count(), 2, "an agent and a collector: {pods}");
    assert!(took < READY, "{helm}: ready after {took:.1} s");
    let jsonpath = ["-n", NAMESPACE, "get", "service", "pulltrace-collector", "-o", "jsonpath={.spec.clusterIP}"];
    Release { cluster, address: cluster.kubectl.run(&jsonpath, "") }
}

fn ports_are_reachable(release: &Release<'_>) {
    let metrics = || ureq::get(release.url(9090, "/metrics")).call().ok()?.body_mut().read_to_string().ok();
    let text = clock::until("metrics through the Service", SOON, metrics);
    assert!(text.contains("pulltrace_"), "{text}");
    // Who shows no token is heard, and refused, in both protocols.
    assert_eq!(auth::report(release, "node-1", None), 401);
    let refused =
        e2e::grpc::export(&release.url(4317, ""), "/opentelemetry.proto.collector.logs.v1.LogsService/Export", Vec::new());
    assert!(refused.as_ref().is_err_and(|error| error.to_string().starts_with("Unauthenticated")), "{refused:?}");
    let node = || release.get("/api/v1/nodes").map(|nodes| nodes["nodes"].clone()).filter(|nodes| nodes[0]["connected"] == true);
    let nodes = clock::until("the agent's node", SOON, node);
    let (name, runtime, reachable) = (&nodes[0]["name"], &nodes[0]["runtime"], &nodes[0]["reachable"]);
    assert_eq!(
        (nodes.as_array().map(Vec::len), name, runtime, reachable),
        (Some(1), &json!("node-1"), &json!("containerd"), &json!(true))
    );
}

fn the_page_is_forwarded(release: &Release<'_>, told: &QuickStart) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let _forward = release.cluster.background(V4, folder.path(), &told.command("kubectl"));
    let page = || ureq::get("http://127.0.0.1:8080/").call().ok()?.body_mut().read_to_string().ok();
    let page = clock::until("the page at the forwarded port", SOON, page);
    assert!(page.contains("Pulltrace"), "{page}");
}

/// The API server takes the network policies of the chart, and they are there.
fn policies_are_taken(release: &Release<'_>) {
    let upgrade =
        "helm upgrade pulltrace ../charts/pulltrace --namespace pulltrace --reuse-values --set networkPolicy.enabled=true";
    release.cluster.shell(V4, upgrade).unwrap_or_else(|error| panic!("{upgrade}: {error}"));
    let policies = release.cluster.kubectl.run(&["-n", NAMESPACE, "get", "networkpolicies", "-o", "name"], "");
    assert!(policies.contains("collector") && policies.contains("agent"), "{policies}");
}

/// `helm uninstall`: nothing of the release is left, neither in its namespace nor in the cluster.
fn nothing_is_left_of_it(release: &Release<'_>, told: &QuickStart, helm: helm::Release) {
    let kubectl = &release.cluster.kubectl;
    let command = told.command("helm uninstall");
    release.cluster.shell(helm, &command).unwrap_or_else(|error| panic!("{helm}: {command}: {error}"));
    let kinds = |namespaced: &str| {
        let of = format!("--namespaced={namespaced}");
        kubectl.run(&["api-resources", "--verbs=list", &of, "-o", "name"], "").lines().collect::<Vec<_>>().join(",")
    };
    let (inside, outside) = (kinds("true"), kinds("false"));
    let left = || {
        let inside = kubectl.run(&["-n", NAMESPACE, "get", &inside, "-o", "name", "--ignore-not-found"], "");
        let label = "app.kubernetes.io/instance=pulltrace";
        let outside = kubectl.run(&["get", &outside, "-l", label, "-o", "name", "--ignore-not-found"], "");
        let own = |line: &&str| !KUBERNETES_OWN.iter().any(|kept| line.starts_with(kept));
        let left: Vec<String> = inside.lines().chain(outside.lines()).filter(own).map(str::to_owned).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    };
    let begin = clock::now();
    while let Err(left) = left() {
        assert!(clock::now() - begin < 60.0, "{helm}: left behind: {left:?}");
        clock::pause(Duration::from_millis(500));
    }
}

/// What the collector's account was seen to do by the API server is what its role allows: nothing is missing, and nothing is too much.
fn the_role_is_what_is_called(cluster: &Cluster) {
    let called: BTreeSet<(String, String)> = cluster.audit("system:serviceaccount:pulltrace:pulltrace-collector");
    let rendered = cluster.shell(
        V4,
        "helm template pulltrace ../charts/pulltrace --namespace pulltrace | kubectl create --dry-run=client -f - -o json",
    );
    let rendered = rendered.unwrap_or_else(|error| panic!("helm template: {error}"));
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut allowed = BTreeSet::new();
    let objects =
        serde_json::Deserializer::from_str(&rendered).into_iter::<Value>().map(|object| object.expect("kubectl writes JSON"));
    for object in objects.filter(|object| matches!(object["kind"].as_str(), Some("ClusterRole" | "Role"))) {
        for rule in object["rules"].as_array().into_iter().flatten() {
            let verbs = texts(&rule["verbs"]);
            let pairs = texts(&rule["resources"]);
            allowed.extend(pairs.iter().flat_map(|resource| verbs.iter().map(move |verb| (verb.clone(), resource.clone()))));
        }
    }
    assert_eq!(called, allowed);
}
