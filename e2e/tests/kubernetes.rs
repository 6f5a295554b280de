//! The collector beside a real API server: it sees with exactly the documented role, says what is missing without it, and comes back when
//! the server does.

use std::path::Path;
use std::time::Duration;

use e2e::clock;
use e2e::kubernetes::Kubernetes;
use e2e::pulltrace::Collector;
use e2e::tools::{Need, Tools};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);

/// What the API server takes a pod's status and its kubelet's words for.
fn failing_pod(kubernetes: &Kubernetes, name: &str) {
    let container = json!({ "name": "app", "image": "registry.test/none:v1" });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
        "spec": { "nodeName": "node-1", "containers": [container] } });
    kubernetes.kubectl(&["create", "-f", "-"], Some(&pod));
    let uid = kubernetes.kubectl(&["get", "pod", name, "-o", "jsonpath={.metadata.uid}"], None);
    let waiting = json!({ "reason": "ErrImagePull", "message": "registry.test/none:v1: not found" });
    let status = json!({ "status": { "phase": "Pending", "containerStatuses": [{ "name": "app", "image": "registry.test/none:v1",
        "imageID": "", "ready": false, "restartCount": 0, "state": { "waiting": waiting } }] } });
    kubernetes.kubectl(&["patch", "pod", name, "--subresource", "status", "--patch", &status.to_string()], None);
    let why = "Failed to pull image \"registry.test/none:v1\": registry.test/none:v1: not found";
    for (n, reason, message) in [(1, "Pulling", "Pulling image \"registry.test/none:v1\""), (2, "Failed", why)] {
        let object =
            json!({ "kind": "Pod", "namespace": "default", "name": name, "uid": uid, "fieldPath": "spec.containers{app}" });
        let event = json!({ "apiVersion": "v1", "kind": "Event", "metadata": { "name": format!("{name}.{n}"), "namespace": "default" },
            "involvedObject": object, "reason": reason, "message": message, "count": 1, "type": "Normal", "source": { "component": "kubelet" },
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:01Z" });
        kubernetes.kubectl(&["create", "-f", "-"], Some(&event));
    }
}

fn container(collector: &Collector, pod: &str) -> Option<(Value, Value)> {
    let (status, body) = collector.get(&format!("/api/v1/pods/default/{pod}"));
    (status == 200).then(|| (body["containers"][0].clone(), body["stale"].clone()))
}

#[test]
fn with_the_documented_role_pods_are_seen_and_come_back_with_the_api_server() {
    let test = "with_the_documented_role_pods_are_seen_and_come_back_with_the_api_server";
    let Some(tools) = Tools::find(test, &[Need::Kubernetes, Need::Pulltrace]) else { return };
    let mut kubernetes = Kubernetes::start(&tools);
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rbac.yaml").display().to_string();
    let more = [("PULLTRACE_KUBERNETES", "on"), ("KUBECONFIG", &*kubernetes.kubeconfig())];
    let mut collector = Collector::start(&more);
    let missing = || collector.stderr().contains("a permission is missing").then_some(());
    clock::until("a word about what is missing", SOON, missing);
    let log = collector.stderr();
    assert!(["pods", "events", "nodes"].iter().all(|resource| log.contains(&format!("\"resource\":\"{resource}\""))), "{log}");
    assert!(log.contains("\"verb\":\"list\""), "{log}");

    kubernetes.kubectl(&["apply", "-f", &role], None);
    kubernetes
        .kubectl(&["create", "clusterrolebinding", "c", "--clusterrole", "pulltrace-collector", "--user", "collector"], None);
    collector.restart();
    failing_pod(&kubernetes, "first");
    let failed =
        |pod: &str| container(&collector, pod).filter(|(app, _)| app["errorClass"] == "not_found" && app["pullId"].is_string());
    let (app, stale) = clock::until("the failure with its pull", SOON, || failed("first"));
    assert_eq!((&app["state"], &app["attempt"], &stale), (&json!("failed"), &json!(1), &json!(false)));
    let pulls = collector.pulls();
    assert_eq!((pulls.len(), &pulls[0]["outcome"], &pulls[0]["pods"][0]["podName"]), (1, &json!("failed"), &json!("first")));

    kubernetes.kill9();
    clock::until("stale pods", SOON, || container(&collector, "first").filter(|(_, stale)| *stale == true));
    kubernetes.restart();
    clock::until("pods that are not stale", SOON, || container(&collector, "first").filter(|(_, stale)| *stale == false));
    failing_pod(&kubernetes, "second");
    clock::until("what comes after", SOON, || failed("second"));
    collector.has_not_panicked();
}
