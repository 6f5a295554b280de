//! What the collector says, through its Service, of pods that a real kubelet starts.

use std::time::Duration;

use e2e::clock;
use e2e::cluster::SLOW;
use e2e::image::layers;
use e2e::link::Fault;
use serde_json::{Value, json};

use super::{NAMESPACE, Release, SOON};

/// Bytes per second of each response.
const RATE: u64 = 2_000_000;
/// A pull is told with its pod and workload so soon after it has begun.
const SEEN: f64 = 2.0;
/// The kubelet tries again after 10 s, 20 s, ...
const RETRIED: Duration = Duration::from_secs(60);

/// A Deployment whose image comes slowly: its pull is there while it runs, with the names of who waits for it, and stays the same when the
/// agent's pod is replaced meanwhile.
pub(crate) fn a_slow_pull_is_seen_with_pod_and_workload(release: &Release<'_>) {
    let (cluster, kubectl) = (release.cluster, &release.cluster.kubectl);
    cluster.link.set_rate(Some(RATE));
    let image = cluster.push_shell("team/shop:v1", &layers(7, &[24, 3]), &["busybox", "sleep", "3600"]);
    let name = format!("{SLOW}/team/shop:v1");
    kubectl.run(&["create", "deployment", "shop", &format!("--image={name}")], "");
    let of_shop = |pull: &Value| pull["imageRef"].as_str().is_some_and(|image| image.starts_with(&format!("{SLOW}/team/shop")));
    let find = || release.get("/api/v1/pulls")?["pulls"].as_array()?.iter().find(|pull| of_shop(pull)).cloned();
    let whole = |pull: &Value| pull["pods"][0]["workload"]["name"] == "shop" && pull["imageRef"] == *name;
    let pull = clock::until("the pull with its pod", SOON, || find().filter(whole));
    let seen = clock::now();
    let began = pull["startedAt"].as_str().and_then(clock::parse).expect("a pull has a start");
    assert!(seen - began < SEEN, "told {:.1} s after its start: {pull}", seen - began);
    let pod = kubectl.run(&["get", "pods", "-l", "app=shop", "-o", "jsonpath={.items[0].metadata.name}"], "");
    let waiting = json!([{ "namespace": "default", "podName": pod, "container": "shop", "image": name,
        "workload": { "kind": "Deployment", "name": "shop" } }]);
    assert_eq!((&pull["pods"], &pull["nodeName"], &pull["outcome"]), (&waiting, &json!("node-1"), &Value::Null), "{pull}");

    // The shell's layer is there already, from the image of every sandbox.
    let to_fetch: u64 = image.layers.iter().take(2).map(|layer| layer.size).sum();
    let moved = || find().filter(|pull| pull["totalBytes"] == to_fetch && pull["downloadedBytes"].as_u64() > Some(1_000_000));
    let running = clock::until("bytes that come", SOON, moved);
    assert_eq!(running["outcome"], Value::Null, "{running}");
    what_waits_in_the_kubelet_says_for_whom(release, &name);
    kubectl.run(&["-n", NAMESPACE, "delete", "pod", "-l", "app.kubernetes.io/component=agent", "--wait=false"], "");
    let ready = clock::until("its end", SOON, || find().filter(|pull| pull["outcome"] == "ready"));
    let told = ["sizeBytes", "downloadedBytes", "cachedBytes"].map(|key| ready[key].as_u64());
    assert_eq!(told, [image.size(), to_fetch, image.size() - to_fetch].map(Some), "{ready}");
    assert_eq!((&ready["id"], &ready["startedAt"]), (&pull["id"], &pull["startedAt"]), "{ready}");
    kubectl.run(&["wait", "--for=condition=Available", "deployment/shop", "--timeout=60s"], "");
    kubectl.run(&["delete", "deployment", "shop", "--now", "--wait=false"], "");
}

/// The kubelet pulls one image after another; a pod that comes meanwhile waits for its turn.
fn what_waits_in_the_kubelet_says_for_whom(release: &Release<'_>, behind: &str) {
    let image = format!("{SLOW}/team/later:v1");
    release.cluster.kubectl.run(&["run", "later", &format!("--image={image}")], "");
    let queued = || {
        let container = release.get("/api/v1/pods/default/later")?["containers"][0].clone();
        (container["state"] == "queued").then_some(container)
    };
    let container = clock::until("the place in the queue", SOON, queued);
    assert_eq!(container["queue"], json!({ "position": 2, "of": 2, "behind": behind }), "{container}");
    release.cluster.kubectl.run(&["delete", "pod", "later", "--now", "--wait=false"], "");
}

/// Pods whose images the registry refuses: class, words and the time of the next try.
pub(crate) fn refused_pulls_say_why_and_when_next(release: &Release<'_>) {
    let cluster = release.cluster;
    let cases = [
        ("gone", Fault::NotFound, "not_found", "not found"),
        ("secret", Fault::Unauthorized, "unauthorized", "authorization failed"),
        ("busy", Fault::TooManyRequests, "rate_limited", "429 "),
    ];
    for (name, fault, _, _) in cases {
        cluster.push_shell(&format!("refused/{name}:v1"), &layers(11, &[1]), &["busybox", "sleep", "3600"]);
        cluster.link.set_fault_at(&format!("refused/{name}"), fault);
        let image = format!("--image={SLOW}/refused/{name}:v1");
        cluster.kubectl.run(&["run", name, &image], "");
    }
    for (name, _, class, words) in cases {
        let path = format!("/api/v1/pods/default/{name}");
        let told = || {
            let container = release.get(&path)?["containers"][0].clone();
            (container["state"] == "failed" && container["nextRetryAt"].is_string()).then_some(container)
        };
        let container = clock::until(&format!("{name}: what the kubelet says of it"), RETRIED, told);
        assert_eq!(container["errorClass"], class, "{container}");
        assert!(container["error"].as_str().is_some_and(|error| error.contains(words)), "{container}");
        let next = container["nextRetryAt"].as_str().and_then(clock::parse).expect("a time");
        assert!((-10.0..320.0).contains(&(next - clock::now())), "{container}");
    }
    for (name, ..) in cases {
        cluster.kubectl.run(&["delete", "pod", name, "--now", "--wait=false"], "");
    }
}
