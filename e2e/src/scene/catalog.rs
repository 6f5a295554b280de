//! The scenes by name. Each is a few lines over [`Script::usual`], so that what is odd about it is all that is read here.

use super::script::{Disk, End, PodOf, Script, Stall};
use super::{Cast, NodeRole, Scene};

const GB: u64 = 1_000_000_000;
const MB: u64 = 1_000_000;

/// All of them, in the order of their names.
pub const SCENES: [Scene; 14] = [
    scene("agent-away", "Nodes whose agents fall silent in the middle of a pull.", None, agent_away),
    scene("cached", "Images that are on the node already, wholly or in part.", Some("cached"), cached),
    scene("churn", "Nodes that fetch an image again and again, because it was thrown away.", None, churn),
    scene("disk-bound", "Layers arrive at once and unpack for a minute: the disk is busy all the time.", None, disk_bound),
    scene(
        "failing",
        "Pulls that fail, one for every class of errors, and a registry that fails every other time.",
        Some("failed"),
        failing,
    ),
    scene("late", "Nodes of which everything arrives half a minute late.", None, late),
    scene("queue", "Nodes whose kubelets pull one image at a time, with a dozen waiting.", None, queue),
    scene("rate-limited", "A registry that answers 429: too many pulls.", None, rate_limited),
    scene("rollout", "A Deployment rolls out a large image; a few nodes are so slow that its deadline passes.", None, rollout),
    scene("slow", "Large images over slow links: minutes for each.", None, slow),
    scene("stalled", "Downloads that stand still in the middle, some for ever.", Some("stalled"), stalled),
    scene("storm", "Nodes that pull a dozen images at once, so that everything waits for the disk.", None, storm),
    scene("unrelated", "Pods that wait for images of which their nodes' agents tell nothing.", None, unrelated),
    scene("usual", "What happens every day: images of several registries, ready in seconds.", Some("demo"), usual),
];

/// The registries of the scenes, all of them invented.
const REGISTRY: &str = "registry.example.com";
const MIRROR: &str = "mirror.example.org";
const HUB: &str = "hub.example.net";
const FLAKY: &str = "flaky.example.net";
const FAR: &str = "far.example.org";

/// One failure of every class that a registry, a network or a node can cause.
const FAILURES: [(&str, &str, &str, f64); 10] = [
    ("team/private", "unauthorized", "failed to authorize: 401 Unauthorized", 0.0),
    ("team/secret", "forbidden", "unexpected status: 403 Forbidden", 0.0),
    ("team/missing", "not_found", "failed to resolve reference: not found", 0.0),
    ("team/unnamed", "dns", "dial tcp: lookup registry.example.com: no such host", 0.0),
    ("team/untrusted", "tls", "x509: certificate signed by unknown authority", 0.0),
    ("team/far", "timeout", "context deadline exceeded", 0.2),
    ("team/dropped", "connection", "connection reset by peer", 0.5),
    ("team/other-machine", "platform_mismatch", "no match for platform in manifest", 0.0),
    ("team/changed", "digest_mismatch", "unexpected commit digest", 0.9),
    ("team/huge", "no_space", "no space left on device", 0.7),
];

/// The scene of that name.
#[must_use]
pub fn named(name: &str) -> Option<Scene> {
    SCENES.into_iter().find(|scene| scene.name == name)
}

type Casting = fn(&'static str, usize) -> Cast;

const fn scene(name: &'static str, about: &'static str, real: Option<&'static str>, cast: Casting) -> Scene {
    Scene { name, about, real, cast }
}

/// So many nodes, each with a role and its pulls.
fn cast(scene: &str, nodes: usize, mut role: impl FnMut(usize, NodeRole) -> (NodeRole, Vec<Script>)) -> Cast {
    let mut cast = Cast::default();
    for number in 0..nodes {
        let node = NodeRole { name: format!("{scene}-{number:03}"), ..NodeRole::default() };
        let (node, scripts) = role(number, node);
        cast.nodes.push(node);
        cast.scripts.extend(scripts);
    }
    cast
}

fn pod(workload: (&'static str, &'static str), number: usize) -> Option<PodOf> {
    Some(PodOf { workload, name: format!("{number:05}") })
}

fn usual(scene: &str, nodes: usize) -> Cast {
    let images = [(REGISTRY, "shop/web"), (MIRROR, "library/postgres"), (HUB, "library/redis"), (REGISTRY, "shop/cart")];
    cast(scene, nodes, |number, node| {
        let (registry, repository) = images[number % images.len()];
        let usual = Script::usual(&node.name, &format!("{registry}/{repository}:{{round}}"));
        let (at, pod) = (number as f64 * 1.7 % 30.0, pod(("shop", "web"), number));
        let half = Script { at, pod, cached: number % 3, rate: 8e6 + number as f64 % 7.0 * 4e6, ..usual };
        (node, vec![half])
    })
}

fn slow(scene: &str, _: usize) -> Cast {
    cast(scene, 6, |number, node| {
        let large = format!("{FAR}/ml/trainer:2.{number}");
        let long =
            Script { layers: vec![80 * MB, 3 * GB, 900 * MB], rate: 4e6, every: None, ..Script::usual(&node.name, &large) };
        let image = format!("{FAR}/data/reports:{{round}}");
        let again = Script { at: number as f64 * 9.0, every: Some(95.0), rate: 0.6e6, ..Script::usual(&node.name, &image) };
        (node, vec![Script { pod: pod(("ml", "trainer"), number), ..long }, again])
    })
}

fn stalled(scene: &str, _: usize) -> Cast {
    cast(scene, 4, |number, node| {
        let stall = |lasts| Some(Stall { after: 0.4, lasts });
        let image = format!("{REGISTRY}/data/warehouse:0.{number}");
        let forever = Script { stall: stall(1e7), every: None, at: number as f64 * 4.0, ..Script::usual(&node.name, &image) };
        let image = format!("{MIRROR}/data/lake:{{round}}");
        let again = Script { stall: stall(25.0), every: Some(60.0), ..Script::usual(&node.name, &image) };
        (node, vec![Script { pod: pod(("data", "warehouse"), number), ..forever }, again])
    })
}

fn rate_limited(scene: &str, _: usize) -> Cast {
    let message = "429 Too Many Requests: toomanyrequests: You have reached your pull rate limit";
    cast(scene, 5, |number, node| {
        let image = format!("{HUB}/library/nginx:{{round}}");
        let end = End::Failed { class: "rate_limited", message, after: 0.0 };
        let refused = Script { end, at: number as f64 * 3.0, every: Some(15.0), ..Script::usual(&node.name, &image) };
        (node, vec![Script { pod: pod(("edge", "proxy"), number), ..refused }])
    })
}

fn disk_bound(scene: &str, _: usize) -> Cast {
    cast(scene, 3, |number, node| {
        let disk = Disk { busy: 97, some: 72, full: 48 };
        let image = format!("{REGISTRY}/ml/notebook:{{round}}");
        let pull = Script { disk, rate: 200e6, unpack: 58.0, every: Some(45.0), ..Script::usual(&node.name, &image) };
        (node, vec![Script { at: number as f64 * 5.0, pod: pod(("ml", "notebook"), number), ..pull }])
    })
}

fn failing(scene: &str, _: usize) -> Cast {
    cast(scene, FAILURES.len(), |number, node| {
        let (repository, class, message, after) = FAILURES[number];
        let usual = |image: String| Script { every: Some(20.0), at: number as f64 * 1.9, ..Script::usual(&node.name, &image) };
        let end = End::Failed { class, message, after };
        let failing = Script { end, pod: pod(("team", "app"), number), ..usual(format!("{REGISTRY}/{repository}:1.{number}")) };
        let end = match number % 2 {
            0 => End::Ready,
            _ => End::Failed { class: "registry_unavailable", message: "unexpected status: 503 Service Unavailable", after: 0.0 },
        };
        let flaky = Script { end, ..usual(format!("{FLAKY}/team/app:{{round}}")) };
        (node, vec![failing, flaky])
    })
}

fn cached(scene: &str, _: usize) -> Cast {
    cast(scene, 4, |number, node| {
        let usual = Script::usual(&node.name, &format!("{REGISTRY}/platform/gateway:5.{number}"));
        let whole = Script { cached: usual.layers.len(), unpack: 0.1, every: Some(12.0), ..usual };
        let part = Script::usual(&node.name, &format!("{REGISTRY}/platform/sidecar:{{round}}"));
        (node, vec![Script { pod: pod(("platform", "gateway"), number), ..whole }, Script { cached: 2, at: 6.0, ..part }])
    })
}

fn rollout(scene: &str, nodes: usize) -> Cast {
    cast(scene, nodes.max(4), |number, node| {
        let image = format!("{REGISTRY}/shop/checkout:1.5");
        let pull = Script { layers: vec![60 * MB, 700 * MB, 140 * MB], every: None, ..Script::usual(&node.name, &image) };
        let pod = pod(("shop", "checkout"), number);
        // Two are far behind; the others have it one after the other while somebody watches.
        let pull = match number {
            0 | 1 => Script { rate: 0.7e6, at: 5.0, ..pull },
            _ => Script { rate: 25e6, at: 270.0 + number as f64 * 2.0, ..pull },
        };
        let previous = Script::usual(&node.name, &format!("{REGISTRY}/shop/search:{{round}}"));
        let previous = Script { at: number as f64 * 1.3, every: Some(90.0), ..previous };
        (node, vec![Script { pod: pod.clone(), ..pull }, Script { pod: search(pod), ..previous }])
    })
}

/// The same pod of another Deployment.
fn search(pod: Option<PodOf>) -> Option<PodOf> {
    pod.map(|pod| PodOf { workload: ("shop", "search"), ..pod })
}

fn storm(scene: &str, _: usize) -> Cast {
    cast(scene, 2, |place, node| {
        let one = |number: usize| {
            let image = format!("{MIRROR}/batch/job-{number}:{{round}}");
            let disk = Disk { busy: 99, some: 91, full: 66 };
            let pull = Script { disk, rate: 2.5e6, every: Some(60.0), ..Script::usual(&node.name, &image) };
            Script { at: number as f64 * 0.4, pod: pod(("batch", "job"), place * 100 + number), ..pull }
        };
        let scripts = (0..14).map(one).collect();
        (node, scripts)
    })
}

fn queue(scene: &str, _: usize) -> Cast {
    cast(scene, 3, |number, node| {
        let queued = (0..12).map(|place| format!("{REGISTRY}/team/service-{place}:7")).collect();
        let first =
            Script { every: Some(40.0), rate: 4e6, ..Script::usual(&node.name, &format!("{REGISTRY}/ml/model:{{round}}")) };
        (NodeRole { queued, ..node }, vec![Script { pod: pod(("ml", "model"), number), ..first }])
    })
}

fn churn(scene: &str, _: usize) -> Cast {
    cast(scene, 3, |number, node| {
        let image = format!("{MIRROR}/ci/builder:4.{number}");
        (
            node.clone(),
            vec![Script { every: Some(20.0), rate: 40e6, at: number as f64 * 4.0, ..Script::usual(&node.name, &image) }],
        )
    })
}

fn agent_away(scene: &str, _: usize) -> Cast {
    cast(scene, 3, |number, node| {
        let pull =
            Script { rate: 0.5e6, every: None, at: 250.0, ..Script::usual(&node.name, &format!("{REGISTRY}/shop/api:{number}")) };
        (NodeRole { silent_after: Some(5.0), ..node }, vec![pull])
    })
}

fn late(scene: &str, _: usize) -> Cast {
    cast(scene, 3, |number, node| {
        let pull = Script {
            at: number as f64 * 4.0,
            every: Some(20.0),
            ..Script::usual(&node.name, &format!("{MIRROR}/edge/cache:{{round}}"))
        };
        (NodeRole { late: 35.0, ..node }, vec![pull])
    })
}

fn unrelated(scene: &str, _: usize) -> Cast {
    cast(scene, 12, |number, node| {
        let image = format!("{REGISTRY}/team/unseen:{{round}}");
        let pull = Script { at: number as f64 * 3.0, every: Some(20.0), ..Script::usual(&node.name, &image) };
        (NodeRole { mute: true, ..node }, vec![Script { pod: pod(("team", "unseen"), number), ..pull }])
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_scene_is_found_by_its_name_and_its_nodes_are_its_own() {
        let mut nodes = BTreeSet::new();
        for scene in SCENES {
            assert_eq!(named(scene.name).map(|found| found.about), Some(scene.about));
            let cast = (scene.cast)(scene.name, 8);
            assert!(!cast.scripts.is_empty(), "{}", scene.name);
            for script in &cast.scripts {
                assert!(cast.nodes.iter().any(|node| node.name == script.node), "{}: {}", scene.name, script.node);
                assert!(script.every.is_none_or(|every| every > 0.0), "{}: {}", scene.name, script.image);
            }
            assert!(cast.nodes.into_iter().all(|node| nodes.insert(node.name)), "{}", scene.name);
        }
        assert!(named("no such scene").is_none());
    }
}
