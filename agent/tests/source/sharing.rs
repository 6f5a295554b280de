//! Several pulls at once, and several namespaces.

use agent::containerd::{Selection, simulated::scenario::Scenario};
use lifecycle::pull::{Outcome, Pull, Wait};

use super::stage::{Watch, hasten, id, play, scenario};

/// The wait of one pull for a layer of another: holder and layer.
fn lock(pull: &Pull) -> Option<(lifecycle::pull::PullId, lifecycle::image::Digest)> {
    match &pull.wait {
        Some(Wait::LayerLock { holder, layer, .. }) => Some((*holder, layer.clone())),
        Some(Wait::DownloadSlot { .. } | Wait::Stalled { .. } | Wait::Retrying { .. }) | None => None,
    }
}

#[tokio::test]
async fn of_two_pulls_that_share_a_base_one_fetches_it_and_the_other_says_what_it_waits_for() {
    for played in play(&scenario("shared-base"), || Watch::until(2)).await {
        let (first, second) = (played.diary("first"), played.diary("second"));
        assert_eq!(played.heard.last_words().len(), 2, "{}", played.personality);
        for diary in [first, second] {
            assert_eq!(played.outcome(diary), &Outcome::Ready, "{}", played.personality);
            let last = played.last(diary);
            assert_eq!(last.image.as_ref(), Some(&diary.image), "{}", played.personality);
            let fetched: Vec<_> = last.layers.iter().map(|layer| !layer.cached).collect();
            let truly: Vec<_> = diary.layers.iter().map(|layer| layer.committed.is_some()).collect();
            assert_eq!(fetched, truly, "{}: {}", played.personality, diary.image);
            assert_eq!(last.cached_bytes() + last.fetched_bytes(), last.size().bytes(), "{}", played.personality);
        }
        let told = played.told(second);
        let waits: Vec<_> = told.iter().filter_map(|pull| lock(pull)).collect();
        assert!(!waits.is_empty(), "{}: the second pull waits", played.personality);
        let shared = &first.layers[..2];
        for (holder, layer) in waits {
            assert_eq!(Some(holder), id(first), "{}", played.personality);
            assert!(shared.iter().any(|l| l.digest == layer), "{}: {layer}", played.personality);
        }
    }
}

/// Two namespaces, one pull in each.
const TWO_NAMESPACES: &str = r#"{
    "about": "Two pulls in two namespaces.",
    "images": [
        {"name": "registry.example.com/team/pod:1", "layers": ["3MiB", "1MiB"]},
        {"name": "registry.example.com/team/docker:1", "layers": ["2MiB", "2MiB"]}
    ],
    "pulls": [
        {"image": "registry.example.com/team/pod:1", "at": 1, "bytesPerSec": 1000000},
        {"image": "registry.example.com/team/docker:1", "at": 2, "bytesPerSec": 1000000, "namespace": "moby"}
    ]
}"#;

#[tokio::test]
async fn all_namespaces_are_watched_unless_some_are_selected() {
    let scenario: Scenario = hasten(TWO_NAMESPACES.parse().unwrap());
    for played in play(&scenario, || Watch::until(2)).await {
        for (name, namespace) in [("pod", "k8s.io"), ("docker", "moby")] {
            let last = played.last(played.diary(name));
            assert_eq!((last.namespace.as_str(), last.fetched_bytes()), (namespace, 4 << 20), "{}", played.personality);
            assert_eq!(played.outcome(played.diary(name)), &Outcome::Ready, "{}", played.personality);
        }
    }
    let only = || Watch { selection: Selection::Only(["moby".to_owned()].into()), ..Watch::until(1) };
    for played in play(&scenario, only).await {
        let namespaces: Vec<_> = played.heard.last_words().iter().map(|pull| pull.namespace.clone()).collect();
        assert_eq!(namespaces, ["moby"], "{}", played.personality);
    }
}
