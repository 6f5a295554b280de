//! Several containerds on one node, and one that goes, comes back, and comes back as another release.

use std::time::Duration;

use e2e::clock;
use e2e::containerd::Containerd;
use e2e::follow::{Follow, ended, id, number};
use e2e::image;
use e2e::on_containerd;
use e2e::pulltrace::Agent;
use e2e::site::{REGISTRY, Site, reference};
use e2e::tools::{Need, Tools, Version};

/// How long the agent may take to see that its containerd went or came: it is told, it does not look.
const NOTICED: Duration = Duration::from_secs(10);

fn a_containerd_that_is_upgraded_in_the_middle_is_the_same_node(test: &str, version: Version) {
    let later = if version == Version::V1_7 { Version::V2_1 } else { Version::V2_4 };
    if Tools::find(test, &[Need::Containerd(later)]).is_none() {
        return;
    }
    let Some(mut site) = Site::start(test, version) else { return };
    let (before, after) =
        (site.push("team/before:v1", &image::layers(70, &[1])), site.push("team/after:v1", &image::layers(71, &[1])));
    let mut follow = Follow::default();
    site.containerd.pull(&reference(&before)).wait().expect("the pull succeeds");
    follow.until(&site.collector, "the outcome", NOTICED, |pulls| pulls.iter().any(|p| ended(p, "ready")));
    site.containerd.kill9();
    clock::until("the agent to say that it is not ready", NOTICED, || (!site.agent.is_ready()).then_some(()));
    site.containerd.upgrade(later);
    clock::until("the agent to be ready", NOTICED, || site.agent.is_ready().then_some(()));
    site.containerd.pull(&reference(&after)).wait().expect("the pull succeeds");
    let pulls = follow
        .until(&site.collector, "both outcomes", NOTICED, |pulls| pulls.len() == 2 && pulls.iter().all(|p| ended(p, "ready")));
    let runtimes: Vec<_> = pulls.iter().filter_map(|p| p["runtime"].as_str()).collect();
    assert!(runtimes[0] != runtimes[1] && runtimes.iter().all(|r| r.starts_with("containerd ")), "newest first: {runtimes:?}");
    let nodes = site.collector.get("/api/v1/nodes").1;
    assert_eq!(nodes["nodes"].as_array().map(Vec::len), Some(1), "{nodes:#}");
    assert!(site.agent.runs());
}

on_containerd!(a_containerd_that_is_upgraded_in_the_middle_is_the_same_node: V1_7, V2_1);

fn two_containerds_of_one_node_are_watched_at_once(test: &str, version: Version) {
    let other = if version == Version::V2_4 { Version::V1_7 } else { Version::V2_4 };
    if Tools::find(test, &[Need::Containerd(other)]).is_none() {
        return;
    }
    let Some(mut site) = Site::start(test, version) else { return };
    let mut second = Containerd::start(&site.tools, other);
    second.map(REGISTRY, site.link.port());
    let sockets = format!("{},{}", site.containerd.socket().display(), second.socket().display());
    let endpoint = site.collector.endpoint();
    site.agent = Agent::start("node-1", &site.containerd.socket(), &endpoint, &[("PULLTRACE_CONTAINERD_SOCKET", &sockets)]);
    site.agent.until_ready();
    let image = site.push("team/both:v1", &image::layers(72, &[6]));
    let pulls = [site.containerd.pull(&reference(&image)), second.pull(&reference(&image))];
    let mut follow = Follow::default();
    follow.until(&site.collector, "two pulls of one image that run at once", NOTICED, |pulls| {
        pulls.len() == 2 && pulls.iter().all(|p| p["outcome"].is_null() && number(p, "downloadedBytes") > 0)
    });
    pulls.into_iter().for_each(|pull| drop(pull.wait().expect("both pulls succeed")));
    let told = follow.until(&site.collector, "both outcomes", NOTICED, |pulls| pulls.iter().all(|p| ended(p, "ready")));
    assert_eq!((told.len(), follow.ids().len()), (2, 2), "{told:#?}");
    assert_ne!(id(&told[0]), id(&told[1]));
    assert!(told.iter().all(|p| number(p, "downloadedBytes") == image.size()), "{told:#?}");
    let nodes = || site.collector.get("/api/v1/nodes").1["nodes"].as_array().cloned().unwrap_or_default();
    assert_eq!(nodes().len(), 1, "{:#?}", nodes());
    second.kill9();
    clock::until("the agent to say which one is missing", NOTICED, || (!site.agent.is_ready()).then_some(()));
    let again = site.push("team/again:v1", &image::layers(73, &[1]));
    site.containerd.pull(&reference(&again)).wait().expect("the pull succeeds");
    follow.until(&site.collector, "an outcome of the one that lives", NOTICED, |pulls| {
        pulls.iter().filter(|p| ended(p, "ready")).count() == 3
    });
    second.restart();
    clock::until("the agent to be ready", NOTICED, || site.agent.is_ready().then_some(()));
    assert_eq!(nodes().len(), 1, "{:#?}", nodes());
}

on_containerd!(two_containerds_of_one_node_are_watched_at_once: V1_6, V2_4);
