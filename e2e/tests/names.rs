//! Every pull goes by its own name: whoever makes it, in whichever namespace, and while others of the same repository run beside it. What
//! is no pull is not told as one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::clock;
use e2e::follow::{Follow, ended};
use e2e::image::{self, sha256};
use e2e::on_containerd;
use e2e::pulltrace::Agent;
use e2e::site::{REGISTRY, Site, reference};
use e2e::tools::Version;
use serde_json::Value;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(20);

/// Writes an intent as the kubelet does: under another name, then renamed.
fn intend(kubelet: &Path, image: &str) {
    let folder = kubelet.join("image_manager/pulling");
    let text = format!(r#"{{"kind":"ImagePullIntent","apiVersion":"kubelet.config.k8s.io/v1beta1","image":"{image}"}}"#);
    let file = folder.join(format!("sha256-{}", sha256(image.as_bytes()).trim_start_matches("sha256:")));
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("temporary"), text))
        .and_then(|()| fs::rename(folder.join("temporary"), file))
        .expect("the folder of the kubelet is writable");
}

fn image(pull: &Value) -> &str {
    pull["imageRef"].as_str().unwrap_or_default()
}

fn two_tags_of_one_repository_are_never_swapped(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    let (one, two) = (site.push("team/app:v1", &image::layers(30, &[6])), site.push("team/app:v2", &image::layers(31, &[6])));
    let digests = [(reference(&one), one.digest.clone()), (reference(&two), two.digest.clone())];
    let pulls = [site.containerd.pull(&reference(&one)), site.containerd.pull(&reference(&two))];
    let mut follow = Follow::default();
    let told = follow.until(&site.collector, "both pulls", SOON, |pulls| {
        for pull in pulls.iter().filter(|pull| image(pull).contains(":v")) {
            let known = digests.iter().any(|(name, digest)| image(pull) == name && pull["imageDigest"] == digest.as_str());
            assert!(known, "a name that is another pull's: {pull:#}");
        }
        pulls.len() == 2 && pulls.iter().all(|pull| ended(pull, "ready"))
    });
    assert!(told.iter().all(|pull| image(pull).contains(":v")), "{told:#?}");
    pulls.into_iter().for_each(|pull| drop(pull.wait().expect("the pull succeeds")));

    let third = site.push("team/app:v3", &image::layers(35, &[1]));
    let pinned = format!("{REGISTRY}/team/app@{}", third.digest);
    site.containerd.pull(&pinned).wait().expect("the pull succeeds");
    follow.until(&site.collector, "the pull by digest", SOON, |pulls| {
        pulls.iter().any(|pull| image(pull) == pinned && ended(pull, "ready"))
    });
    // Another tag for the same image, told by its own name though the first one is recorded for it.
    let again = site.push("team/app:again", &image::layers(30, &[6]));
    site.containerd.pull(&reference(&again)).wait().expect("the pull succeeds");
    follow.until(&site.collector, "the second tag of the image", SOON, |pulls| {
        pulls.iter().any(|pull| image(pull) == reference(&again) && ended(pull, "ready"))
    });
}

on_containerd!(two_tags_of_one_repository_are_never_swapped: V1_6, V1_7, V2_1, V2_4);

fn the_kubelets_intents_name_a_pull_while_it_runs_and_what_waits_for_its_turn(test: &str, version: Version) {
    let Some(mut site) = Site::start(test, version) else { return };
    let kubelet = tempfile::tempdir().expect("the temporary folder is writable");
    let folder = kubelet.path().join("kubelet");
    let more = folder.display().to_string();
    site.agent =
        Agent::start("node-1", &site.containerd.socket(), &site.collector.endpoint(), &[("PULLTRACE_KUBELET_DIR", &more)]);
    site.agent.until_ready();
    let (now, next) = (site.push("team/now:v1", &image::layers(32, &[8])), format!("{REGISTRY}:5000/team/next:v2"));
    intend(&folder, &reference(&now));
    intend(&folder, &next);
    let pull = site.containerd.pull(&reference(&now));
    let running = site.collector.until_pull("the tag of a running pull", SOON, |pull| image(pull) == reference(&now));
    assert!(running["outcome"].is_null(), "the tag was known before the end: {running:#}");
    clock::until("the image that waits", SOON, || {
        let (_, nodes) = site.collector.get("/api/v1/nodes");
        let waiting: Vec<_> = nodes["nodes"][0]["queuedImages"].as_array().into_iter().flatten().cloned().collect();
        (waiting == [Value::from(next.clone())]).then_some(())
    });
    pull.wait().expect("the pull succeeds");
}

on_containerd!(the_kubelets_intents_name_a_pull_while_it_runs_and_what_waits_for_its_turn: V1_7, V2_1);

/// ctr pulls into a namespace of its own, from a registry with a port, and does other things that make leases and records.
fn clients_beside_the_kubelet_are_seen_and_what_is_no_pull_is_not(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    let image = site.push("team/ctr:v1", &image::layers(33, &[4, 2]));
    let name = format!("127.0.0.1:{}/{}", site.link.port(), image.name);
    site.containerd.ctr(&["-n", "default", "images", "pull", "--plain-http", &name]);
    let mut follow = Follow::default();
    let told = follow.until(&site.collector, "the pull of ctr", SOON, |pulls| pulls.iter().any(|pull| ended(pull, "ready")));
    assert_eq!((told.len(), told[0]["imageRef"].as_str()), (1, Some(name.as_str())), "{told:#?}");
    assert_eq!(told[0]["containerdNamespace"], "default");

    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let archive = folder.path().join("image.tar").display().to_string();
    let ctr = |args: &[&str]| drop(site.containerd.ctr(&[&["-n", "default", "images"], args].concat()));
    ctr(&["export", &archive, &name]);
    ctr(&["tag", &name, "example.com/second:name"]);
    ctr(&["remove", &name, "example.com/second:name"]);
    // An import beside a collection may lose what it writes.
    image.layers.iter().for_each(|layer| site.containerd.until_collected(&layer.digest));
    ctr(&["import", &archive]);
    // A pull that is made after all of this is told after all of this.
    let last = site.push("team/last:v1", &image::layers(34, &[1]));
    site.containerd.pull(&reference(&last)).wait().expect("the pull succeeds");
    clock::pause(Duration::from_secs(3));
    let told = follow.until(&site.collector, "the last pull", SOON, |pulls| {
        pulls.iter().any(|pull| pull["imageRef"] == reference(&last) && ended(pull, "ready"))
    });
    let names: Vec<_> = told.iter().filter_map(|pull| pull["imageRef"].as_str()).collect();
    assert_eq!(names, [reference(&last).as_str(), name.as_str()], "{told:#?}");
}

on_containerd!(clients_beside_the_kubelet_are_seen_and_what_is_no_pull_is_not: V1_7, V2_1, V2_4);
