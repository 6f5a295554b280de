//! What the scenarios are played on: a site, and what was told of its pulls so far.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use e2e::follow::{Follow, ended, id, number};
use e2e::image::{Image, LayerPlan};
use e2e::link::Fault;
use e2e::site::{Site, reference};
use e2e::tools::Version;
use serde_json::Value;

/// How long an outcome may take to reach the collector.
const TOLD: Duration = Duration::from_secs(15);

/// A name for the one who reads a failure, and what is played.
pub(crate) type Scenario = (&'static str, fn(&mut Stage));

/// A site on which scenario after scenario is played.
pub(crate) struct Stage {
    /// The site.
    pub(crate) site: Site,
    follow: Follow,
    known: BTreeSet<String>,
}

impl Stage {
    /// Plays all scenarios; fails with the names of those that failed.
    pub(crate) fn play(test: &str, version: Version, scenarios: &[Scenario]) {
        let Some(site) = Site::start(test, version) else { return };
        let mut stage = Self { site, follow: Follow::default(), known: BTreeSet::new() };
        let mut failed = Vec::new();
        for (name, scenario) in scenarios {
            if catch_unwind(AssertUnwindSafe(|| scenario(&mut stage))).is_err() {
                failed.push(*name);
            }
            stage.clear();
        }
        stage.site.collector.has_not_panicked();
        assert!(failed.is_empty() && stage.site.agent.runs(), "failed on {version}: {failed:#?}");
    }

    /// Pushes an image of one layer for each number of MiB.
    pub(crate) fn push(&self, name: &str, plans: &[LayerPlan]) -> Image {
        self.site.push(name, plans)
    }

    /// Breaks the link while `act` runs.
    pub(crate) fn with<T>(&mut self, fault: Fault, act: impl FnOnce(&mut Self) -> T) -> T {
        self.site.link.set_fault(fault);
        let result = act(self);
        self.site.link.set_fault(Fault::None);
        result
    }

    /// Pulls and waits for the end; whether it came to a good one.
    pub(crate) fn pull(&self, image: &Image) -> bool {
        self.site.containerd.pull(&reference(image)).wait().is_ok()
    }

    /// The only pull that was told since the last question, once it has ended.
    #[track_caller]
    pub(crate) fn told(&mut self) -> Value {
        self.told_all(1).remove(0)
    }

    /// The pulls that were told since the last question, oldest first, once all have ended. There are exactly so many.
    #[track_caller]
    pub(crate) fn told_all(&mut self, count: usize) -> Vec<Value> {
        let known = self.known.clone();
        let fresh = |pulls: &[Value]| -> Vec<Value> { pulls.iter().rev().filter(|p| !known.contains(id(p))).cloned().collect() };
        let all_ended = |pulls: &[Value]| {
            let fresh = fresh(pulls);
            fresh.len() >= count && fresh.iter().all(|p| !p["outcome"].is_null())
        };
        let pulls = self.follow.until(&self.site.collector, &format!("the end of {count} pulls"), TOLD, all_ended);
        let fresh = fresh(&pulls);
        assert_eq!(fresh.len(), count, "pulls that were told: {fresh:#?}");
        for pull in &fresh {
            self.known.insert(id(pull).to_owned());
            is_honest(pull);
        }
        fresh
    }

    /// Makes the site as it was, whatever a scenario left behind.
    fn clear(&mut self) {
        self.site.link.set_fault(Fault::None);
        self.site.link.set_rate(Some(e2e::site::SLOW));
        for name in self.site.containerd.images() {
            self.site.containerd.remove_image(&name);
        }
        self.site.containerd.until_quiet();
        self.known.extend(self.follow.look(&self.site.collector).iter().map(|p| id(p).to_owned()));
    }
}

/// What holds of every pull that has ended.
#[track_caller]
fn is_honest(pull: &Value) {
    let sum = |key: &str| -> u64 { pull["layers"].as_array().into_iter().flatten().map(|l| number(l, key)).sum() };
    if pull["totalKnown"] == true {
        assert_eq!(sum("totalBytes"), number(pull, "sizeBytes"), "sizes do not add up: {pull:#}");
        assert_eq!(
            number(pull, "totalBytes") + number(pull, "cachedBytes"),
            number(pull, "sizeBytes"),
            "bytes do not add up: {pull:#}"
        );
    }
    if ended(pull, "ready") {
        assert_eq!(number(pull, "downloadedBytes"), number(pull, "totalBytes"), "ready without every byte: {pull:#}");
        assert!(pull["percent"].as_f64() == Some(100.0), "ready is 100 %: {pull:#}");
    } else {
        assert!(pull["percent"].as_f64().unwrap_or(0.0) < 100.0, "100 % without success: {pull:#}");
    }
    assert!(!ended(pull, "failed") || pull["errorClass"].is_string(), "a failure has a class: {pull:#}");
}

/// Ended so, and by this name.
#[track_caller]
pub(crate) fn is(pull: &Value, outcome: &str, image: &Image) {
    assert!(ended(pull, outcome), "not {outcome}: {pull:#}");
    let name = pull["imageRef"].as_str().unwrap_or_default();
    let repository = reference(image).rsplit_once(':').map_or_else(|| reference(image), |(r, _)| r.to_owned());
    let port_is_not_kept = repository.replace(".test:", ".test");
    assert!(name == reference(image) || name == port_is_not_kept, "the name of {} is told as {name}: {pull:#}", image.name);
}
