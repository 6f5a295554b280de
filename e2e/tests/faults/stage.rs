//! What the scenarios are played on: a site, and what was told of its pulls so far.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use e2e::containerd::{Containerd, Extra};
use e2e::follow::{Follow, ended, id, number};
use e2e::image::{self, Image, LayerPlan};
use e2e::link::Fault;
use e2e::site::{Site, reference, said};
use e2e::tools::{Need, Tools, Version};
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
        Self::play_on(test, version, Extra::default(), scenarios);
    }

    /// The same on a containerd that has something more.
    pub(crate) fn play_on(test: &str, version: Version, extra: Extra, scenarios: &[Scenario]) {
        let needs = [Need::Root, Need::Containerd(version), Need::Registry, Need::Pulltrace];
        let Some(tools) = Tools::find(test, &needs) else { return };
        let containerd = Containerd::with(&tools, version, extra);
        let mut stage = Self { site: Site::around(tools, containerd, &[]), follow: Follow::default(), known: BTreeSet::new() };
        let mut failed = Vec::new();
        for (name, scenario) in scenarios {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(&mut stage))) {
                failed.push(format!("{name} ({})", said(&*panic)));
            }
            stage.clear();
        }
        stage.site.collector.has_not_panicked();
        assert!(failed.is_empty() && stage.site.agent.runs(), "failed on {version}: {}", failed.join(", "));
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

    /// Looks until it is so for some pull that was told since the last question, and returns that.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, limit: Duration, is: impl Fn(&Value) -> bool) -> Value {
        let known = self.known.clone();
        let found = |pulls: &[Value]| pulls.iter().find(|p| !known.contains(id(p)) && is(p)).cloned();
        let pulls = self.follow.until(&self.site.collector, what, limit, |pulls| found(pulls).is_some());
        found(&pulls).expect("it was just found")
    }

    /// The pull that was told since the last question, if there was any: one that is over before anything can be seen of it may not be
    /// told. That nothing more comes is shown by a pull that is told after it, and by the same again: that one is told by its record alone.
    #[track_caller]
    pub(crate) fn told_or_nothing(&mut self) -> Option<Value> {
        self.site.link.set_rate(None);
        let later = self.push("team/later:1", &image::layers(9, &[1]));
        assert!(self.pull(&later) && self.pull(&later), "nothing is wrong any more");
        let name = reference(&later);
        let is_later = |p: &Value| p["imageRef"] == name.as_str() && ended(p, "ready");
        let known = self.known.clone();
        let fresh = |pulls: &[Value]| -> Vec<Value> { pulls.iter().filter(|p| !known.contains(id(p))).cloned().collect() };
        let pulls = self.follow.until(&self.site.collector, "the end of what was told", TOLD, |pulls| {
            fresh(pulls).iter().all(|p| !p["outcome"].is_null()) && fresh(pulls).iter().filter(|p| is_later(p)).count() == 2
        });
        let mut fresh = fresh(&pulls);
        self.known.extend(fresh.iter().map(|p| id(p).to_owned()));
        fresh.retain(|p| !is_later(p));
        self.site.containerd.remove_image(&name);
        self.site.link.set_rate(Some(e2e::site::SLOW));
        assert!(fresh.len() <= 1, "more than was there: {fresh:#?}");
        fresh.iter().for_each(is_honest);
        fresh.pop()
    }

    /// Bytes of these layers that the link sent since `from`, a number of answers.
    pub(crate) fn sent(&self, from: usize, digests: &BTreeSet<String>) -> u64 {
        let answered = self.site.link.answered();
        let of_layer = |path: &str| path.contains("/blobs/") && digests.iter().any(|d| path.contains(d.as_str()));
        answered.iter().skip(from).filter(|a| a.method == "GET" && of_layer(&a.path)).map(|a| a.bytes).sum()
    }

    /// Makes the site as it was, whatever a scenario left behind.
    fn clear(&mut self) {
        self.site.link.set_fault(Fault::None);
        self.site.link.set_rate(Some(e2e::site::SLOW));
        for name in self.site.containerd.images() {
            self.site.containerd.remove_image(&name);
        }
        let listed = |what: &str| -> Vec<String> {
            self.site.containerd.ctr(&[what, "list", "-q"]).split_whitespace().map(str::to_owned).collect()
        };
        for lease in listed("leases") {
            self.site.containerd.ctr(&["leases", "delete", &lease]);
        }
        for image in listed("images") {
            self.site.containerd.ctr(&["images", "remove", &image]);
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
    is_called(pull, outcome, &reference(image));
}

/// Ended so, and by this name: the whole of it when ready, else perhaps only its repository, as containerd keeps it.
#[track_caller]
pub(crate) fn is_called(pull: &Value, outcome: &str, full: &str) {
    assert!(ended(pull, outcome), "not {outcome}: {pull:#}");
    let name = pull["imageRef"].as_str().unwrap_or_default();
    let repository = full.split_once('@').map_or_else(|| full.rsplit_once(':').map_or(full, |(r, _)| r), |(r, _)| r);
    let (registry, path) = repository.split_once('/').unwrap_or_default();
    let without_port = format!("{}/{path}", registry.split_once(':').map_or(registry, |(host, _)| host));
    let known = name == full || (outcome != "ready" && (name == repository || name == without_port));
    assert!(known, "the name of {full} is told as {name}: {pull:#}");
}

/// Failed, with a class of these.
#[track_caller]
pub(crate) fn failed_as(pull: &Value, classes: &[&str]) {
    assert!(ended(pull, "failed"), "not failed: {pull:#}");
    assert!(classes.iter().any(|c| pull["errorClass"] == *c), "not of class {classes:?}: {pull:#}");
}
