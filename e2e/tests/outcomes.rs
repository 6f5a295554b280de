//! How pulls end that do not end well: broken off, refused, damaged, crashed. None of them is ever told as a success.

use std::time::Duration;

use e2e::follow::{Follow, ended, id, number};
use e2e::image;
use e2e::link::Fault;
use e2e::on_containerd;
use e2e::site::{Site, reference};
use e2e::tools::Version;
use serde_json::Value;

fn a_canceled_pull_ends_as_canceled_and_a_failed_one_as_failed(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    let image = site.push("team/ends:v1", &image::layers(30, &[2, 6]));
    let mut follow = Follow::default();

    let pull = site.containerd.pull(&reference(&image));
    until_bytes(&site, &mut follow, 1);
    pull.cancel();
    let canceled = until_ended(&site, &mut follow, 1);
    assert!(ended(&canceled, "canceled"), "{canceled:#}");

    // A reset in the middle leaves in containerd exactly what a cancellation leaves; a damaged layer leaves more.
    for (count, fault, outcomes) in [(2, Fault::Reset, &["canceled", "failed"][..]), (3, Fault::Corrupt, &["failed"])] {
        site.containerd.until_quiet();
        site.link.set_fault(fault);
        site.containerd.pull(&reference(&image)).wait().expect_err("a broken link breaks the pull");
        let broken = until_ended(&site, &mut follow, count);
        assert!(outcomes.iter().any(|o| ended(&broken, o)), "{fault:?}: {broken:#}");
        assert!(!ended(&broken, "failed") || broken["errorClass"].is_string(), "a failure has a class: {broken:#}");
    }

    site.containerd.until_quiet();
    site.link.set_fault(Fault::Close);
    site.containerd.pull(&reference(&image)).wait().expect("containerd resumes after a closed connection");
    let resumed = until_ended(&site, &mut follow, 4);
    assert!(ended(&resumed, "ready") && number(&resumed, "downloadedBytes") + number(&resumed, "cachedBytes") == image.size());
    assert_eq!(follow.ids().len(), 4);
}

on_containerd!(a_canceled_pull_ends_as_canceled_and_a_failed_one_as_failed: V1_6, V1_7, V2_1, V2_4);

fn a_crash_of_containerd_makes_no_false_outcome(test: &str, version: Version) {
    let Some(mut site) = Site::start(test, version) else { return };
    let image = site.push("team/crash:v1", &image::layers(40, &[10]));
    let mut follow = Follow::default();
    let pull = site.containerd.pull(&reference(&image));
    let crashed = id(&until_bytes(&site, &mut follow, 1)).to_owned();
    site.containerd.kill9();
    pull.wait().expect_err("the call ends with containerd");
    // As long as a look may take to tell, twice over.
    let begin = std::time::Instant::now();
    follow.until(&site.collector, "three seconds without containerd", Duration::from_secs(10), |pulls| {
        for pull in pulls {
            let outcome = pull["outcome"].as_str();
            assert!(matches!(outcome, None | Some("lost")), "nobody can know how it ended: {pull:#}");
        }
        begin.elapsed() > Duration::from_secs(3)
    });
    site.containerd.restart();
    site.agent.until_ready();
    site.containerd.pull(&reference(&image)).wait().expect("the next pull succeeds");
    let pulls = follow.until(&site.collector, "both ends", Duration::from_secs(20), |pulls| {
        pulls.len() >= 2 && pulls.iter().all(|p| !p["outcome"].is_null())
    });
    assert_eq!(pulls.len(), 2, "{pulls:#?}");
    let (next, first) = (&pulls[0], &pulls[1]);
    assert_eq!(id(first), crashed);
    assert!(!ended(first, "ready") && first["percent"].as_f64().unwrap_or(0.0) < 100.0, "{first:#}");
    assert!(ended(next, "ready") && next["imageRef"] == reference(&image).as_str(), "{next:#}");
    assert!(site.agent.runs());
}

on_containerd!(a_crash_of_containerd_makes_no_false_outcome: V1_7, V2_1);

fn until_bytes(site: &Site, follow: &mut Follow, count: usize) -> Value {
    let pulls = follow.until(&site.collector, "bytes of the pull", Duration::from_secs(10), |pulls| {
        pulls.len() == count && number(&pulls[0], "downloadedBytes") > 0
    });
    pulls[0].clone()
}

/// The newest of `count` pulls, once it has ended.
fn until_ended(site: &Site, follow: &mut Follow, count: usize) -> Value {
    let pulls = follow.until(&site.collector, "the outcome", Duration::from_secs(10), |pulls| {
        pulls.len() == count && !pulls[0]["outcome"].is_null()
    });
    let percent = pulls[0]["percent"].as_f64().unwrap_or(0.0);
    assert!(ended(&pulls[0], "ready") || percent < 100.0, "100 % without success: {:#}", pulls[0]);
    pulls[0].clone()
}
