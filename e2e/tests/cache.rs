//! What is already on the node is told apart from what is fetched, and a pull that fetches nothing is a pull all the same.

use std::time::Duration;

use e2e::follow::{Follow, ended, number};
use e2e::image;
use e2e::on_containerd;
use e2e::site::{Site, reference};
use e2e::tools::Version;
use serde_json::Value;

fn cached_and_fetched_bytes_add_up(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    site.link.set_rate(Some(4_000_000));
    let plans = image::layers(20, &[2, 1, 3, 2]);
    let (half, whole) = (site.push("team/half:v1", &plans[..2]), site.push("team/whole:v1", &plans));
    let mut follow = Follow::default();

    let fresh = pull(&site, &mut follow, &reference(&half), 1);
    assert_eq!(bytes(&fresh), [half.size(), half.size(), 0, half.size()], "{fresh:#}");

    let partly = pull(&site, &mut follow, &reference(&whole), 2);
    let (cached, fetched) = (half.size(), whole.size() - half.size());
    assert_eq!(bytes(&partly), [fetched, fetched, cached, whole.size()], "{partly:#}");
    assert_eq!((number(&partly, "layersCached"), number(&partly, "layersDone")), (2, 4), "{partly:#}");
    let states: Vec<&str> = partly["layers"].as_array().into_iter().flatten().filter_map(|l| l["state"].as_str()).collect();
    assert_eq!(states, ["cached", "cached", "ready", "ready"]);

    let again = pull(&site, &mut follow, &reference(&whole), 3);
    assert_eq!(bytes(&again), [0, 0, whole.size(), whole.size()], "{again:#}");
    assert_eq!((number(&again, "layersCached"), number(&again, "layerCount")), (4, 4), "{again:#}");
    let of = |cache: &str| site.collector.metric("pulltrace_pulls_total", &["outcome=\"ready\"", &format!("cache=\"{cache}\"")]);
    assert_eq!(["none", "partial", "full"].map(of), [1.0, 1.0, 1.0]);
}

on_containerd!(cached_and_fetched_bytes_add_up: V1_6, V1_7, V2_1, V2_4);

/// Pulls to the end and returns how Pulltrace saw it: the newest of `count` pulls, all of them ready.
fn pull(site: &Site, follow: &mut Follow, image: &str, count: usize) -> Value {
    site.containerd.pull(image).wait().expect("the pull succeeds");
    let pulls = follow.until(&site.collector, &format!("pull {count}, of {image}"), Duration::from_secs(6), |pulls| {
        pulls.len() >= count && pulls.iter().all(|p| ended(p, "ready"))
    });
    assert_eq!(pulls.len(), count, "{pulls:#?}");
    assert_eq!(pulls[0]["imageRef"], image, "the newest is first: {pulls:#?}");
    pulls[0].clone()
}

/// To fetch, fetched, cached, all.
fn bytes(pull: &Value) -> [u64; 4] {
    ["totalBytes", "downloadedBytes", "cachedBytes", "sizeBytes"].map(|key| number(pull, key))
}
