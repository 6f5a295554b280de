//! Images of every shape, and names that mean another image than before.

use e2e::follow::{digests, ended, number};
use e2e::grpc::Refused;
use e2e::image::{self, Form, Image, LayerPlan};
use e2e::site::{REGISTRY, reference};
use serde_json::Value;

use crate::stage::{Stage, is, is_called};

/// Pulls a whole image that shares nothing with what is there, and holds that all of it was fetched.
fn fresh(stage: &mut Stage, image: &Image) {
    assert!(stage.pull(image), "nothing is wrong with {}", image.name);
    let told = stage.told();
    is(&told, "ready", image);
    is_all_of(&told, image);
    assert_eq!((number(&told, "downloadedBytes"), number(&told, "cachedBytes")), (image.size(), 0), "{told:#}");
}

/// The layers of this image in its order, and no other; the digest that its name stands for.
#[track_caller]
fn is_all_of(told: &Value, image: &Image) {
    assert_eq!(digests(told), image.layers.iter().map(|l| l.digest.clone()).collect::<Vec<_>>(), "{told:#}");
    assert_eq!(told["imageDigest"], image.digest.as_str(), "{told:#}");
    assert_eq!((number(told, "sizeBytes"), number(told, "layerCount")), (image.size(), image.layers.len() as u64), "{told:#}");
}

/// An index, a plain manifest, and both in Docker's media types.
pub(crate) fn every_form(stage: &mut Stage) {
    let forms = [
        ("oci-index", Form::OciIndex),
        ("oci-manifest", Form::OciManifest),
        ("docker-list", Form::DockerList),
        ("docker-manifest", Form::DockerManifest),
    ];
    for (seed, (name, form)) in (70..).zip(forms) {
        let image = image::push(&stage.site.registry, &format!("team/{name}:1"), &image::layers(seed, &[1, 1]), form);
        fresh(stage, &image);
    }
}

/// Nothing but a configuration: no byte to fetch, and nothing to unpack.
pub(crate) fn no_layer(stage: &mut Stage) {
    let image = stage.push("team/none:1", &[]);
    fresh(stage, &image);
}

/// One layer.
pub(crate) fn one_layer(stage: &mut Stage) {
    let image = stage.push("team/single:1", &image::layers(75, &[2]));
    fresh(stage, &image);
}

/// As many layers as Docker allows.
pub(crate) fn most_layers(stage: &mut Stage) {
    let plans: Vec<LayerPlan> = (0..127).map(|i| LayerPlan { bytes: 9_000, seed: 76_000 + i, files: 1 }).collect();
    let image = stage.push("team/many:1", &plans);
    fresh(stage, &image);
}

/// Unchanged: nothing is fetched. Moved: what is new is fetched, and what stayed is not.
pub(crate) fn again(stage: &mut Stage) {
    let plans = image::layers(77, &[1, 2]);
    let image = stage.push("team/again:1", &plans[..1]);
    fresh(stage, &image);
    assert!(stage.pull(&image), "it is there");
    let told = stage.told();
    is(&told, "ready", &image);
    is_all_of(&told, &image);
    assert_eq!((number(&told, "downloadedBytes"), number(&told, "cachedBytes")), (0, image.size()), "{told:#}");
    let moved = stage.push("team/again:1", &plans);
    assert_ne!(moved.digest, image.digest);
    assert!(stage.pull(&moved), "nothing is wrong with it");
    let told = stage.told();
    is(&told, "ready", &moved);
    is_all_of(&told, &moved);
    assert_eq!(
        (number(&told, "downloadedBytes"), number(&told, "cachedBytes")),
        (moved.layers[1].size, image.size()),
        "{told:#}"
    );
}

/// By digest instead of by tag.
pub(crate) fn by_digest(stage: &mut Stage) {
    let image = stage.push("team/pinned:1", &image::layers(78, &[1]));
    let name = format!("{REGISTRY}/team/pinned@{}", image.digest);
    stage.site.containerd.pull(&name).wait().expect("nothing is wrong with it");
    let told = stage.told();
    is_called(&told, "ready", &name);
    is_all_of(&told, &image);
}

/// Nothing in it is for this machine: resolving ends with that. Where the transfer service pulls, it has recorded the index by then.
pub(crate) fn foreign_index(stage: &mut Stage) {
    let (image, pulled) = pull_foreign(stage, "team/foreign:1", Form::OciIndex);
    assert!(pulled.is_err(), "{pulled:?}");
    if stage.site.containerd.version().pulls_by_transfer() {
        let told = stage.told();
        is(&told, "failed", &image);
        assert_eq!(told["errorClass"], "platform_mismatch", "{told:#}");
    } else if let Some(told) = stage.told_or_nothing() {
        assert!(ended(&told, "failed"), "containerd refused it with {pulled:?}: {told:#}");
    }
}

/// A plain manifest says nothing of a platform: that it is for another is only in its configuration.
pub(crate) fn foreign_manifest(stage: &mut Stage) {
    let (image, pulled) = pull_foreign(stage, "team/foreign:2", Form::OciManifest);
    if pulled.is_ok() {
        is(&stage.told(), "ready", &image);
    } else if let Some(told) = stage.told_or_nothing() {
        assert!(ended(&told, "failed"), "containerd refused it with {pulled:?}: {told:#}");
    }
}

fn pull_foreign(stage: &Stage, name: &str, form: Form) -> (Image, Result<String, Refused>) {
    let other = if image::architecture() == "amd64" { "arm64" } else { "amd64" };
    let image = image::push_for(&stage.site.registry, name, &image::layers(79, &[1]), form, other);
    let pulled = stage.site.containerd.pull(&reference(&image)).wait();
    (image, pulled)
}
