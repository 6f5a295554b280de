//! What breaks on the way, and who breaks it off.

use std::time::Duration;

use e2e::follow::number;
use e2e::image;
use e2e::link::Fault;
use e2e::site::reference;

use crate::stage::{Stage, failed_as, is};

/// How long the bytes of a pull may take to be told.
const BYTES: Duration = Duration::from_secs(15);

/// A TCP reset in the middle of a layer: containerd gives up, and leaves what a cancellation leaves. It is never told as a success.
pub(crate) fn reset(stage: &mut Stage) {
    let image = stage.push("team/reset:1", &image::layers(60, &[2, 6]));
    assert!(!stage.with(Fault::Reset, |stage| stage.pull(&image)), "the link breaks");
    let told = stage.told();
    let outcome = told["outcome"].as_str().unwrap_or_default().to_owned();
    assert!(["failed", "canceled"].contains(&&*outcome), "{told:#}");
    is(&told, &outcome, &image);
}

/// Connections that close early are resumed by containerd: one pull, every byte once. That it asked again is known to the link alone: the
/// ingest neither falls nor begins anew, so nobody who looks at containerd can tell a retry.
pub(crate) fn resumed(stage: &mut Stage) {
    let image = stage.push("team/resumed:1", &image::layers(61, &[3]));
    let before = stage.site.link.answered().len();
    stage.site.link.set_fault(Fault::Close);
    let pull = stage.site.containerd.pull(&reference(&image));
    stage.until("the end", BYTES, |p| {
        assert!(p["wait"].is_null(), "a retry is not seen: {p:#}");
        p["outcome"] == "ready"
    });
    pull.wait().expect("containerd goes on where it was");
    let told = stage.told();
    is(&told, "ready", &image);
    assert_eq!(number(&told, "downloadedBytes"), image.size(), "{told:#}");
    let layer = &image.layers[0].digest;
    let answered = stage.site.link.answered();
    let asked = answered[before..].iter().filter(|a| a.method == "GET" && a.path.contains(layer.as_str())).count();
    let ingest = stage.site.truth.ingest(layer).expect("it was seen to come");
    assert!(asked > 1 && !ingest.fell, "asked {asked} times: {ingest:?}");
}

/// A wrong byte: the digest does not match.
pub(crate) fn corrupt(stage: &mut Stage) {
    let image = stage.push("team/corrupt:1", &image::layers(62, &[3]));
    assert!(!stage.with(Fault::Corrupt, |stage| stage.pull(&image)), "containerd verifies");
    let told = stage.told();
    is(&told, "failed", &image);
    failed_as(&told, &["digest_mismatch"]);
}

/// Broken off by the one who asked, in the middle.
pub(crate) fn canceled(stage: &mut Stage) {
    let image = stage.push("team/canceled:1", &image::layers(63, &[1, 8]));
    let pull = stage.site.containerd.pull(&reference(&image));
    stage.until("bytes", BYTES, |p| number(p, "downloadedBytes") > 0);
    pull.cancel();
    let told = stage.told();
    is(&told, "canceled", &image);
}

/// Broken off by the one who asked, while the registry is being asked what there is.
pub(crate) fn canceled_early(stage: &mut Stage) {
    let image = stage.push("team/early:1", &image::layers(64, &[1]));
    stage.site.link.set_fault(Fault::SlowManifest(Duration::from_secs(60)));
    let pull = stage.site.containerd.pull(&reference(&image));
    stage.until("a pull that resolves", BYTES, |p| p["phase"] == "resolving");
    pull.cancel();
    let told = stage.told();
    // Of a pull that is broken off before anything came containerd keeps nothing, not even by whom.
    let outcome = told["outcome"].as_str().unwrap_or_default();
    assert!(["failed", "canceled"].contains(&outcome), "{told:#}");
}

/// A slow link is slow and not stalled, at any look.
pub(crate) fn slow(stage: &mut Stage) {
    let image = stage.push("team/slow:1", &image::layers(65, &[3]));
    stage.site.link.set_rate(Some(80_000));
    let pull = stage.site.containerd.pull(&reference(&image));
    let whole = Duration::from_secs(image.size() / 80_000 + 20);
    stage.until("the end of a slow pull", whole, |p| {
        assert!(p["wait"].is_null(), "it is slow, and waits for nothing: {p:#}");
        p["outcome"] == "ready"
    });
    pull.wait().expect("a slow pull succeeds");
    let told = stage.told();
    is(&told, "ready", &image);
}

/// Silence is told as such, and what containerd then gives up as out of time.
pub(crate) fn stalled(stage: &mut Stage) {
    let image = stage.push("team/stalled:1", &image::layers(66, &[6]));
    stage.site.link.set_fault(Fault::Stall);
    let pull = stage.site.containerd.pull(&reference(&image));
    stage.until("the stall", Duration::from_secs(40), |p| p["wait"]["kind"] == "stalled" && p["outcome"].is_null());
    stage.until("the end", Duration::from_secs(120), |p| !p["outcome"].is_null());
    pull.wait().expect_err("containerd gives it up");
    let told = stage.told();
    is(&told, "failed", &image);
    failed_as(&told, &["timeout"]);
}
