//! Agent and collector may crash while a pull runs: it stays the same pull, and nothing that happened meanwhile is lost or doubled.

use std::time::{Duration, Instant};

use e2e::follow::{Follow, ended, id, number};
use e2e::image;
use e2e::on_containerd;
use e2e::site::{Site, reference};
use e2e::tools::Version;

/// How long an agent may take to try again.
const RECONNECTS: Duration = Duration::from_secs(31);

fn a_pull_stays_the_same_when_the_agent_crashes(test: &str, version: Version) {
    let Some(mut site) = Site::start(test, version) else { return };
    let image = site.push("team/agent:v1", &image::layers(50, &[12, 1]));
    // `Follow` itself holds that start, node and bytes of an id stay or grow.
    let mut follow = Follow::default();
    let pull = site.containerd.pull(&reference(&image));
    follow.until(&site.collector, "two megabytes", Duration::from_secs(10), |pulls| {
        pulls.iter().any(|p| number(p, "downloadedBytes") > 2_000_000)
    });
    site.agent.kill9();
    site.agent.restart();
    let before = follow.look(&site.collector);
    follow.until(&site.collector, "more bytes after the crash", Duration::from_secs(10), |pulls| {
        pulls.iter().any(|p| number(p, "downloadedBytes") > number(&before[0], "downloadedBytes"))
    });
    assert!(!pull.ended(), "the crash was to be in the middle of the pull");
    pull.wait().expect("the pull succeeds");
    let pulls =
        follow.until(&site.collector, "the outcome", Duration::from_secs(5), |pulls| pulls.iter().all(|p| ended(p, "ready")));
    assert_eq!((pulls.len(), follow.ids().len()), (1, 1), "{pulls:#?}");
    assert_eq!(number(&pulls[0], "downloadedBytes"), image.size());
}

on_containerd!(a_pull_stays_the_same_when_the_agent_crashes: V1_6, V1_7, V2_1, V2_4);

fn a_collector_that_comes_back_learns_everything_once(test: &str, version: Version) {
    let Some(mut site) = Site::start(test, version) else { return };
    let long = site.push("team/long:v1", &image::layers(60, &[40]));
    let short = site.push("team/short:v1", &image::layers(61, &[1]));
    let mut follow = Follow::default();
    let pull = site.containerd.pull(&reference(&long));
    let seen = follow
        .until(&site.collector, "bytes", Duration::from_secs(10), |pulls| pulls.iter().any(|p| number(p, "downloadedBytes") > 0));
    site.collector.kill9();
    site.containerd.pull(&reference(&short)).wait().expect("a pull ends while the collector is away");
    site.collector.restart();
    let reached = e2e::clock::until("the agent's first report", RECONNECTS, || {
        (site.collector.metric("pulltrace_agent_reports_total", &[]) > 0.0).then(Instant::now)
    });
    follow.until(&site.collector, "the live pull", Duration::from_secs(2), |pulls| {
        pulls.iter().any(|p| id(p) == id(&seen[0]) && p["outcome"].is_null())
    });
    assert!(reached.elapsed() < Duration::from_secs(2), "the live pull came back after {:?}", reached.elapsed());
    assert!(!pull.ended(), "the pull was to outlast the restart");
    follow.until(&site.collector, "the outcome that happened meanwhile", Duration::from_secs(5), |pulls| {
        pulls.iter().any(|p| ended(p, "ready") && p["imageRef"] == reference(&short).as_str())
    });
    pull.wait().expect("the pull succeeds");
    let pulls = follow.until(&site.collector, "both outcomes", Duration::from_secs(5), |p| p.iter().all(|p| ended(p, "ready")));
    assert_eq!((pulls.len(), follow.ids().len()), (2, 2), "nothing is doubled: {pulls:#?}");
    assert!(site.agent.runs());
    site.collector.has_not_panicked();
}

on_containerd!(a_collector_that_comes_back_learns_everything_once: V1_7, V2_1);
