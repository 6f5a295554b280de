//! Pulls that have layers in common, and images that go while others come.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::clock;
use e2e::cri::Pull;
use e2e::follow::number;
use e2e::image::{self, Image, LayerPlan, MIB};
use e2e::site::reference;
use serde_json::Value;

use crate::stage::{Stage, is};

/// Five at once that have their lower layers in common: each layer is fetched by exactly one of them, and what they say they fetched is
/// what the link sent.
pub(crate) fn five(stage: &mut Stage) {
    let common = image::layers(90, &[4, 3]);
    let image = |n: u64| {
        let own = LayerPlan { bytes: MIB + 50_000, seed: 91_000 + n, files: 1 };
        stage.push(&format!("team/shared-{n}:1"), &[common.as_slice(), &[own]].concat())
    };
    let images: Vec<Image> = (0..5).map(image).collect();
    let before = stage.site.link.answered().len();
    let pulls: Vec<Pull> = images.iter().map(|image| stage.site.containerd.pull(&reference(image))).collect();
    pulls.into_iter().for_each(|pull| drop(pull.wait().expect("every pull succeeds")));
    let told = stage.told_all(5);
    for image in &images {
        let pull = told.iter().find(|p| p["imageRef"] == reference(image).as_str());
        is(pull.unwrap_or_else(|| panic!("no pull of {}: {told:#?}", image.name)), "ready", image);
    }
    let digests: BTreeSet<String> = images.iter().flat_map(|i| &i.layers).map(|l| l.digest.clone()).collect();
    for digest in &digests {
        let fetchers = told.iter().filter(|p| fetched(p, digest) > 0).count();
        assert_eq!(fetchers, 1, "{digest} was fetched by so many: {told:#?}");
    }
    let fetched: u64 = told.iter().map(|p| number(p, "downloadedBytes")).sum();
    assert_eq!(fetched, stage.sent(before, &digests), "what was told, what was sent: {told:#?}");
}

/// An image is removed while another that shares its layers is pulled.
pub(crate) fn removed(stage: &mut Stage) {
    let plans = image::layers(95, &[3, 1, 5]);
    let (old, new) = (stage.push("team/old:1", &plans[..2]), stage.push("team/new:1", &plans));
    assert!(stage.pull(&old), "nothing is wrong");
    is(&stage.told(), "ready", &old);
    let pull = stage.site.containerd.pull(&reference(&new));
    stage.until("bytes", Duration::from_secs(15), |p| number(p, "downloadedBytes") > 0);
    stage.site.containerd.remove_image(&reference(&old));
    pull.wait().expect("its lease keeps what it needs");
    let told = stage.told();
    is(&told, "ready", &new);
    let (cached, fresh) = (old.size(), new.layers[2].size);
    assert_eq!((number(&told, "downloadedBytes"), number(&told, "cachedBytes")), (fresh, cached), "{told:#}");
}

/// The same image by two clients, of which one breaks off: the other's success is not its own.
pub(crate) fn twice(stage: &mut Stage) {
    let image = stage.push("team/twice:1", &image::layers(96, &[6]));
    let first = stage.site.containerd.pull(&reference(&image));
    stage.until("bytes", Duration::from_secs(15), |p| number(p, "downloadedBytes") > 0);
    let second = stage.site.containerd.pull(&reference(&image));
    stage
        .until("the second", Duration::from_secs(15), |p| p["wait"]["kind"] == "layer_lock" || number(p, "downloadedBytes") == 0);
    first.cancel();
    second.wait().expect("the other goes on");
    let told = stage.told_all(2);
    is(&told[0], "canceled", &image);
    is(&told[1], "ready", &image);
}

/// Layers that containerd unpacks at once are told so: by when each was prepared, committed and unpacked, not by a version.
pub(crate) fn unpacked_at_once(stage: &mut Stage) {
    let plans: Vec<LayerPlan> = (0..3).map(|n| LayerPlan { bytes: 4_000_000, seed: 97_000 + n, files: 3_000 }).collect();
    let image = stage.push("team/parallel:1", &plans);
    stage.site.link.set_rate(None);
    assert!(stage.pull(&image), "nothing is wrong");
    let told = stage.told();
    is(&told, "ready", &image);
    let time =
        |layer: &Value, key: &str| layer[key].as_str().and_then(clock::parse).unwrap_or_else(|| panic!("no {key}: {layer:#}"));
    let layers = told["layers"].as_array().cloned().unwrap_or_default();
    let spans: Vec<_> = layers.iter().map(|l| (time(l, "unpackStartedAt"), time(l, "unpackCompletedAt"))).collect();
    assert!(spans.iter().all(|(start, end)| start <= end), "{told:#}");
    assert!(spans.windows(2).any(|pair| pair[1].0 < pair[0].1), "no two were unpacked at once: {told:#}");
    let real: Vec<_> = stage.site.truth.layers(&image).iter().filter_map(|l| l.unpack_started.zip(l.unpack_ended)).collect();
    assert!(real.windows(2).any(|pair| pair[1].0 < pair[0].1), "containerd unpacks at once: {real:?}");
}

fn fetched(pull: &Value, digest: &str) -> u64 {
    let layers = pull["layers"].as_array().into_iter().flatten();
    layers.filter(|l| l["digest"] == digest).map(|l| number(l, "downloadedBytes")).sum()
}
