//! One image, four layers, a slow registry: what REST says while it is pulled and afterwards is what containerd does.

use std::time::Duration;

use e2e::clock::{self, Seconds};
use e2e::follow::{Follow, digests, ended, number};
use e2e::image::{self, Image};
use e2e::site::{Site, reference};
use e2e::tools::Version;
use e2e::{on_containerd, truth};
use serde_json::Value;

/// How far a time may be from containerd's own where containerd tells it by an event.
const BY_EVENT: Seconds = 0.05;

/// How far where it must be found by asking.
const BY_ASKING: Seconds = 1.2;

fn a_pull_of_four_layers_is_followed_to_its_end(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    let image = site.push("team/app:v1", &image::layers(10, &[5, 20, 1, 8]));
    let (mut follow, mut looks) = (Follow::default(), Vec::new());
    let begin = clock::now();
    let pull = site.containerd.pull(&reference(&image));
    follow.until(&site.collector, "the end of the pull", Duration::from_secs(60), |pulls| {
        looks.extend(pulls.first().map(|p| (clock::now() - begin, p.clone())));
        assert!(pulls.len() <= 1, "more than one pull: {pulls:#?}");
        pull.ended()
    });
    pull.wait().expect("the pull succeeds");
    while_it_ran(&looks, &image);
    let pulls = follow.until(&site.collector, "the outcome", Duration::from_secs(5), |p| p.iter().any(|p| ended(p, "ready")));
    assert_eq!(pulls.len(), 1, "{pulls:#?}");
    afterwards(&pulls[0], &image);
    let layers = pulls[0]["layers"].as_array().expect("a pull has layers");
    for (layer, truth) in layers.iter().zip(site.truth.layers(&image)) {
        times_agree(layer, &truth, version);
    }
    assert!((site.collector.metric("pulltrace_pulls_total", &["outcome=\"ready\""]) - 1.0).abs() < f64::EPSILON);
    site.collector.has_not_panicked();
}

on_containerd!(a_pull_of_four_layers_is_followed_to_its_end: V1_6, V1_7, V2_1, V2_4);

/// From its first seconds on the pull is there with its total and its real layers, and its bytes come in many steps.
fn while_it_ran(looks: &[(Seconds, Value)], image: &Image) {
    let (first, _) = looks.first().expect("the pull is seen while it runs");
    assert!(*first < 2.5, "the pull was first seen after {first} s");
    for (at, pull) in looks.iter().filter(|(at, _)| *at > 3.0) {
        assert_eq!(
            (pull["totalKnown"].as_bool(), number(pull, "totalBytes")),
            (Some(true), image.size()),
            "after {at} s: {pull:#}"
        );
        let real: Vec<&str> = image.layers.iter().map(|l| l.digest.as_str()).collect();
        assert_eq!(digests(pull), real, "after {at} s");
    }
    let mut steps: Vec<u64> = looks.iter().map(|(_, p)| number(p, "downloadedBytes")).collect();
    steps.dedup();
    assert!(steps.len() >= 8, "bytes came in few steps: {steps:?}");
    let downloading = looks.iter().filter(|(_, p)| p["phase"] == "downloading" && number(p, "bytesPerSec") > 0);
    let eta = downloading.filter(|(_, p)| p["etaSeconds"].as_f64().is_some()).count();
    assert!(eta > 3, "rate and estimate were seen only {eta} times");
}

fn afterwards(pull: &Value, image: &Image) {
    assert_eq!(pull["imageRef"], reference(image).as_str(), "{pull:#}");
    assert_eq!((pull["registry"].as_str(), pull["nodeName"].as_str()), (Some("slow.test"), Some("node-1")));
    let size = image.size();
    let bytes = ["totalBytes", "downloadedBytes", "sizeBytes", "cachedBytes"].map(|key| number(pull, key));
    assert_eq!(bytes, [size, size, size, 0], "{pull:#}");
    assert_eq!(
        (pull["percent"].as_f64(), number(pull, "layersDone"), number(pull, "layerCount")),
        (Some(100.0), 4, 4),
        "{pull:#}"
    );
    assert!(pull["completedAt"].is_string() && pull["summary"].as_str().is_some_and(|s| s.starts_with("Ready")), "{pull:#}");
    for (layer, real) in pull["layers"].as_array().into_iter().flatten().zip(&image.layers) {
        assert_eq!((layer["state"].as_str(), number(layer, "totalBytes")), (Some("ready"), real.size), "{layer:#}");
        assert_eq!(number(layer, "downloadedBytes"), real.size, "{layer:#}");
    }
}

fn times_agree(layer: &Value, truth: &truth::Layer, version: Version) {
    let near = |key: &str, real: Option<Seconds>, within: Seconds| {
        let real = real.unwrap_or_else(|| panic!("containerd did not tell {key}: {truth:?}"));
        let told = layer[key].as_str().and_then(clock::parse).unwrap_or_else(|| panic!("no {key}: {layer:#}"));
        assert!((told - real).abs() <= within, "{key} is off by {:.3} s (allowed {within}): {layer:#} {truth:?}", told - real);
    };
    let commit = if version.has_content_events() { BY_EVENT } else { BY_ASKING };
    near("startedAt", truth.opened, BY_ASKING);
    near("completedAt", truth.committed, commit);
    near("unpackStartedAt", truth.unpack_started, commit);
    near("unpackCompletedAt", truth.unpack_ended, BY_EVENT);
}
