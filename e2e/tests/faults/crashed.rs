//! Who dies in the middle of a pull, and disks that are full.

use std::time::Duration;

use e2e::follow::{ended, id, number};
use e2e::image::{self, LayerPlan};
use e2e::site::reference;
use e2e::tools::Version;

use crate::stage::{Stage, failed_as, is, is_called};

/// How long something that happens on the node may take to be told.
const SOON: Duration = Duration::from_secs(20);

/// containerd is killed while bytes come; the pull that follows it is another, and goes on with the bytes that are there.
pub(crate) fn runtime_downloading(stage: &mut Stage) {
    let image = stage.push("team/killed:1", &image::layers(80, &[8]));
    let pull = stage.site.containerd.pull(&reference(&image));
    stage.until("bytes", SOON, |p| number(p, "downloadedBytes") > 2_000_000);
    stage.site.containerd.kill9();
    pull.wait().expect_err("the call ends with containerd");
    comes_back(stage);
    let told = stage.told();
    is(&told, "failed", &image);
    failed_as(&told, &["runtime_unavailable"]);
    assert!(stage.pull(&image), "nothing is wrong any more");
    let next = stage.told();
    is(&next, "ready", &image);
    assert_eq!(number(&next, "downloadedBytes"), image.size(), "what was left is part of the blob that it completed: {next:#}");
}

/// containerd is killed while a layer of many files is unpacked, and the image pulled again before anyone can look.
pub(crate) fn runtime_unpacking(stage: &mut Stage) {
    let plan = LayerPlan { bytes: 12_000_000, seed: 81_000, files: 12_000 };
    let image = stage.push("team/unpacked:1", &[plan]);
    stage.site.link.set_rate(None);
    let pull = stage.site.containerd.pull(&reference(&image));
    let told = stage.until("the unpacking", SOON, |p| p["phase"] == "unpacking" || !p["outcome"].is_null());
    assert!(told["outcome"].is_null(), "unpacking takes long enough to be seen: {told:#}");
    stage.site.containerd.kill9();
    pull.wait().expect_err("the call ends with containerd");
    stage.site.containerd.restart();
    assert!(stage.pull(&image), "nothing is wrong any more");
    let told = stage.told_all(2);
    is(&told[0], "failed", &image);
    failed_as(&told[0], &["runtime_unavailable"]);
    is(&told[1], "ready", &image);
}

/// No room for a layer: the download ends with it, or the unpacking. containerd does not tell an observer that a disk is full.
pub(crate) fn no_room(stage: &mut Stage) {
    let image = stage.push("team/large:1", &image::layers(82, &[2, 24]));
    assert!(!stage.pull(&image), "there is no room to download it");
    let told = stage.told();
    let outcome = told["outcome"].as_str().unwrap_or_default().to_owned();
    assert!(["failed", "canceled"].contains(&&*outcome), "{told:#}");
    is(&told, &outcome, &image);
    stage.site.containerd.until_quiet();
    let image = stage.push("team/wide:1", &image::layers(83, &[2, 10]));
    assert!(!stage.pull(&image), "there is no room to unpack it");
    let told = stage.told();
    is(&told, "failed", &image);
    failed_as(&told, &["unpack"]);
    stage.site.containerd.until_unpacked_are_collected();
    let small = stage.push("team/fits:1", &image::layers(84, &[1]));
    assert!(stage.pull(&small), "there is room for this");
    let told = stage.told();
    is(&told, "ready", &small);
}

/// A client that fetches by itself is killed, as `ctr` and `nerdctl` may be.
pub(crate) fn client(stage: &mut Stage) {
    // 1.6 knows no other way.
    let local: &[&str] = if stage.site.containerd.version() == Version::V1_6 { &[] } else { &["--local"] };
    killed(stage, "team/ctr:1", local);
}

/// A client that lets containerd fetch is killed: containerd breaks off, and keeps the client's lease all the same.
pub(crate) fn client_of_transfer(stage: &mut Stage) {
    killed(stage, "team/transfer:1", &[]);
}

/// What a killed client holds in containerd stays, for a day. It is told as stalled, or soon as canceled where containerd gave up the layer
/// that was to be unpacked. It is not ready when another pull of the same completes what it left, nor when its lease is gone at last.
fn killed(stage: &mut Stage, image: &str, how: &[&str]) {
    let image = stage.push(image, &image::layers(85, &[16]));
    let name = format!("127.0.0.1:{}/{}", stage.site.link.port(), image.name);
    let mut first = stage.site.containerd.ctr_pull(how, &name);
    let killed = stage.until("bytes", SOON, |p| number(p, "downloadedBytes") > 2_000_000);
    assert_eq!(killed["containerdNamespace"], "default");
    first.kill9();
    stage.until("the silence, or the end", Duration::from_secs(40), |p| p["wait"]["kind"] == "stalled" || ended(p, "canceled"));
    let left = stage.site.containerd.ctr(&["leases", "list", "-q"]);
    assert!(!left.trim().is_empty(), "a client that is killed leaves its lease");
    let mut second = stage.site.containerd.ctr_pull(how, &name);
    assert_eq!(second.exit_code(Duration::from_secs(60)), Some(0), "{}", second.stderr());
    let next = stage.until("the end of the second", SOON, |p| id(p) != id(&killed) && !p["outcome"].is_null());
    is_called(&next, "ready", &name);
    assert_eq!(number(&next, "downloadedBytes"), image.size(), "it completed the blob: {next:#}");
    for lease in left.split_whitespace() {
        stage.site.containerd.ctr(&["leases", "delete", lease]);
    }
    let told = stage.told_all(2);
    let first = told.iter().find(|p| id(p) == id(&killed)).expect("it was told");
    assert!(ended(first, "canceled") || ended(first, "failed"), "the second one's success is not the first one's: {first:#}");
}

fn comes_back(stage: &mut Stage) {
    stage.site.containerd.restart();
    stage.site.agent.until_ready();
}
