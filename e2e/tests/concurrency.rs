//! Several pulls at once on one node: each keeps its own name, layers and bytes, and one that waits says for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use e2e::follow::{Follow, digests, ended, id, number};
use e2e::image::{self, Image, LayerPlan, MIB};
use e2e::on_containerd;
use e2e::site::{Site, reference};
use e2e::tools::Version;
use serde_json::Value;

fn a_pull_that_waits_for_a_shared_layer_says_for_whom(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    let base = LayerPlan { bytes: 12 * MIB, seed: 777, files: 1 };
    let own = |seed| LayerPlan { bytes: 2 * MIB, seed, files: 1 };
    let (one, two) = (site.push("team/one:v1", &[base, own(1)]), site.push("team/two:v1", &[base, own(2)]));
    assert_eq!(one.layers[0], two.layers[0]);
    let mut follow = Follow::default();
    let first = site.containerd.pull(&reference(&one));
    let pulls = follow.until(&site.collector, "bytes of the first pull", Duration::from_secs(10), |pulls| {
        pulls.iter().any(|p| number(p, "downloadedBytes") > 0)
    });
    let holder = id(&pulls[0]).to_owned();
    let second = site.containerd.pull(&reference(&two));
    let pulls = follow.until(&site.collector, "the second pull's wait", Duration::from_secs(6), |pulls| {
        pulls.iter().any(|p| id(p) != holder && p["wait"]["kind"] == "layer_lock")
    });
    let waiting = pulls.iter().find(|p| id(p) != holder).expect("the second pull was just seen");
    assert_eq!(waiting["wait"]["pullId"], holder.as_str(), "{waiting:#}");
    assert_eq!(waiting["wait"]["layer"], one.layers[0].digest.as_str(), "{waiting:#}");
    for pull in [first, second] {
        pull.wait().expect("both pulls succeed");
    }
    let pulls = until_all_ready(&mut follow, &site, 2);
    let (first, second) = (named(&pulls, &one), named(&pulls, &two));
    assert_eq!(
        (id(first), number(first, "downloadedBytes"), number(first, "cachedBytes")),
        (&*holder, one.size(), 0),
        "{first:#}"
    );
    assert_eq!(number(second, "downloadedBytes"), two.layers[1].size, "only its own layer was fetched: {second:#}");
    assert_eq!(number(second, "cachedBytes"), two.layers[0].size, "the other pull fetched the base: {second:#}");
    assert!(first["wait"].is_null() && second["wait"].is_null(), "a pull that ended waits for nothing: {pulls:#?}");
    assert_eq!(follow.ids().len(), 2);
}

on_containerd!(a_pull_that_waits_for_a_shared_layer_says_for_whom: V1_6, V1_7, V2_1, V2_4);

fn five_pulls_at_once_are_never_merged(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    let images: Vec<Image> = (0..5).map(|i| site.push(&format!("team/five-{i}:v1"), &image::layers(100 + i, &[3, 2]))).collect();
    let owner: BTreeMap<&str, usize> =
        images.iter().enumerate().flat_map(|(i, image)| image.layers.iter().map(move |l| (l.digest.as_str(), i))).collect();
    let pulls: Vec<_> = images.iter().map(|image| site.containerd.pull(&reference(image))).collect();
    let mut follow = Follow::default();
    let mut at_once = 0;
    follow.until(&site.collector, "the end of five pulls", Duration::from_secs(60), |seen| {
        for pull in seen {
            let of: BTreeSet<usize> = digests(pull).iter().map(|d| owner[d.as_str()]).collect();
            assert!(of.len() <= 1, "layers of several images in one pull: {pull:#}");
        }
        at_once = at_once.max(seen.iter().filter(|p| p["outcome"].is_null()).count());
        pulls.iter().all(e2e::cri::Pull::ended)
    });
    for pull in pulls {
        pull.wait().expect("every pull succeeds");
    }
    assert_eq!(at_once, 5, "all five were to be seen at once");
    let seen = until_all_ready(&mut follow, &site, 5);
    for image in &images {
        let pull = named(&seen, image);
        assert_eq!(digests(pull), image.layers.iter().map(|l| l.digest.clone()).collect::<Vec<_>>());
        assert_eq!((number(pull, "downloadedBytes"), number(pull, "sizeBytes")), (image.size(), image.size()), "{pull:#}");
    }
    assert_eq!(follow.ids().len(), 5);
}

on_containerd!(five_pulls_at_once_are_never_merged: V1_7, V2_1);

fn until_all_ready(follow: &mut Follow, site: &Site, count: usize) -> Vec<Value> {
    follow.until(&site.collector, "the outcomes", Duration::from_secs(5), |pulls| {
        pulls.len() == count && pulls.iter().all(|p| ended(p, "ready"))
    })
}

fn named<'a>(pulls: &'a [Value], image: &Image) -> &'a Value {
    let mut found = pulls.iter().filter(|p| p["imageRef"] == reference(image).as_str());
    let pull = found.next().unwrap_or_else(|| panic!("no pull of {} in {pulls:#?}", image.name));
    assert!(found.next().is_none(), "two pulls of {}: {pulls:#?}", image.name);
    pull
}
