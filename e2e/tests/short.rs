//! Pulls of 10 to 600 ms, five at once: each is told exactly once, in its time, by its name and with the outcome that CRI gave.
//!
//! A mixture as a busy cluster makes it: mostly images that are new to the node, some that are there already, tags of one repository at
//! once, some that the registry refuses or that are canceled half way, and some that are removed in the moment in which they are pulled.
//! `PULLTRACE_SHORT_PULLS=1000` makes a thousand of them; by default it is what a run of all tests can afford.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use e2e::clock::{self, Seconds};
use e2e::image::LayerPlan;
use e2e::link::Fault;
use e2e::on_containerd;
use e2e::site::{REGISTRY, Site};
use e2e::tools::Version;

/// Pulls at once.
const AT_ONCE: usize = 5;
/// How long the last outcome may take to reach the collector.
const TOLD: Duration = Duration::from_secs(20);
/// How far a told start may lie outside of the call, seconds: the call is timed by its client.
const SLACK: Seconds = 0.05;
/// Of so many pulls that the registry refused within 50 ms one may be unseen: their lease is all there is, and it may be gone before a busy
/// node gets to look (`docs/outcomes.md`).
const UNSEEN: usize = 20;
/// How long a layer that stalls may take to do so.
const HALF: Duration = Duration::from_secs(10);

/// What is done with one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// It is pulled, and new to the node.
    New,
    /// As `New`, from a repository of which other tags are pulled at the same time.
    Tag,
    /// What the step before pulled is pulled again.
    Again,
    /// The registry refuses its blobs.
    Refused(u16),
    /// The call is broken off when half of a layer is there.
    Canceled,
    /// It is pulled and removed in the same moment.
    Removed,
}

impl Step {
    /// Twenty in a row, of which each of the pulls at once begins with another.
    const fn nth(nth: usize) -> Self {
        match nth % 20 {
            3 | 11 => Self::Tag,
            5 | 9 | 13 | 15 => Self::Again,
            7 => Self::Refused(429),
            14 => Self::Refused(404),
            18 => Self::Canceled,
            19 => Self::Removed,
            _ => Self::New,
        }
    }
}

/// One call and what CRI answered.
#[derive(Clone, Debug)]
struct Call {
    step: Step,
    image: String,
    outcome: &'static str,
    begin: Seconds,
    end: Seconds,
}

impl Call {
    /// Whether this is an honest word about it. One that is canceled before its first mebibyte is written leaves what a refused one leaves.
    fn may_be_told(&self, outcome: &str) -> bool {
        outcome == self.outcome || (self.step == Step::Canceled && outcome == "failed")
    }

    fn took(&self) -> Seconds {
        self.end - self.begin
    }
}

/// An image that is in the registry, and what is to be done with it.
struct Plan {
    step: Step,
    repository: String,
    tag: String,
}

#[expect(clippy::print_stdout, reason = "how long the pulls took is for whoever reads the output")]
fn no_short_pull_is_missed(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    site.link.set_rate(None);
    let each = pulls(version) / AT_ONCE;
    let plans: Vec<Vec<Plan>> = (0..AT_ONCE).map(|worker| (0..each).map(|nth| prepare(&site, worker, nth)).collect()).collect();
    let mut calls: Vec<Call> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            plans.iter().map(|own| scope.spawn(|| own.iter().map(|plan| call(&site, plan)).collect())).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|_| Vec::new())).collect()
    });
    assert_eq!(calls.len(), AT_ONCE * each, "a call did not come to its end");
    calls.sort_by(|a, b| a.begin.total_cmp(&b.begin));
    println!("{test}: {}", times(&calls));
    let begin = Instant::now();
    let wrong = loop {
        let wrong = compare(&calls, &site);
        if wrong.is_empty() || begin.elapsed() > TOLD {
            break wrong;
        }
        clock::pause(Duration::from_millis(500));
    };
    assert!(
        wrong.is_empty(),
        "of {} calls {} names are told wrong: {}\n{}",
        calls.len(),
        wrong.len(),
        wrong.join("; "),
        site.agent.log()
    );
}

on_containerd!(no_short_pull_is_missed: V1_6, V1_7, V2_1, V2_4);

fn pulls(version: Version) -> usize {
    let wanted = std::env::var("PULLTRACE_SHORT_PULLS").ok().and_then(|count| count.parse().ok());
    wanted.unwrap_or(match version {
        Version::V1_7 | Version::V2_1 => 200,
        Version::V1_6 | Version::V2_4 => 100,
    })
}

/// Pushes what a step needs: one to three layers of 8 to 300 KiB, and answers that come up to 45 ms late.
fn prepare(site: &Site, worker: usize, nth: usize) -> Plan {
    let step = Step::nth(nth + worker * 4);
    let number = worker + nth * AT_ONCE;
    let plan = |repository: String, tag: String| Plan { step, repository, tag };
    if step == Step::Again {
        let Plan { repository, tag, .. } = image_before(worker, nth);
        return plan(repository, tag);
    }
    let Plan { repository, tag, .. } = image_of(step, worker, nth);
    let size = |layer: usize| (8 << 10) + (number * 37 + layer * 11) % 100 * 3_000;
    let least = if step == Step::Canceled { 200 << 10 } else { 0 };
    let layers = (0..=number % 3).map(|n| LayerPlan { bytes: size(n).max(least), seed: (number * 10 + n) as u64, files: 1 });
    let _image = site.push(&format!("{repository}:{tag}"), &layers.collect::<Vec<_>>());
    site.link.set_delay_at(&repository, Duration::from_millis((number * 29 % 10 * 5) as u64));
    match step {
        Step::Refused(429) => site.link.set_fault_at(&repository, Fault::TooManyRequests),
        Step::Refused(_) => site.link.set_fault_at(&repository, Fault::BlobsNotFound),
        Step::Canceled => site.link.set_fault_at(&repository, Fault::Stall),
        Step::New | Step::Tag | Step::Again | Step::Removed => {}
    }
    plan(repository, tag)
}

/// The name of the image of a step that brings one.
fn image_of(step: Step, worker: usize, nth: usize) -> Plan {
    let (repository, tag) = match step {
        Step::Tag => ("short/many".to_owned(), format!("v{worker}.{nth}")),
        Step::New | Step::Again | Step::Refused(_) | Step::Canceled | Step::Removed => {
            (format!("short/n{worker}-{nth}"), "1".to_owned())
        }
    };
    Plan { step, repository, tag }
}

/// The newest image that a worker has pulled and kept.
fn image_before(worker: usize, nth: usize) -> Plan {
    let kept = |n: &usize| matches!(Step::nth(n + worker * 4), Step::New | Step::Tag);
    let before = (0..nth).rev().find(kept);
    before.map_or_else(|| image_of(Step::New, worker, nth), |n| image_of(Step::nth(n + worker * 4), worker, n))
}

/// Makes one call and says how it went.
fn call(site: &Site, plan: &Plan) -> Call {
    let Plan { step, repository, tag } = plan;
    let image = format!("{REGISTRY}/{repository}:{tag}");
    let begin = clock::now();
    let pull = site.containerd.pull(&image);
    if *step == Step::Canceled {
        clock::until("half a layer", HALF, || (site.link.stalled(repository) > 0).then_some(()));
        pull.cancel();
        return Call { step: *step, image: format!("{REGISTRY}/{repository}"), outcome: "canceled", begin, end: clock::now() };
    }
    let ready = pull.wait().is_ok();
    let end = clock::now();
    if *step == Step::Removed {
        site.containerd.remove_image(&image);
    }
    // The tag of a pull that failed is nowhere in containerd; that of one that is ready is in its record.
    let (image, outcome) = if ready { (image, "ready") } else { (format!("{REGISTRY}/{repository}"), "failed") };
    Call { step: *step, image, outcome, begin, end }
}

/// How long the calls took, for whoever reads the output.
fn times(calls: &[Call]) -> String {
    let mut millis: Vec<_> = calls.iter().map(|call| (call.took() * 1_000.0).round()).collect();
    millis.sort_by(f64::total_cmp);
    let mut steps = BTreeMap::<&str, usize>::new();
    for call in calls {
        *steps.entry(call.outcome).or_default() += 1;
    }
    let at = |share: usize| millis[(millis.len() - 1) * share / 100];
    format!("{} pulls of {} to {} ms, half of them below {} ms; {steps:?}", millis.len(), at(0), at(100), at(50))
}

/// What is wrong with what is told: for each name the calls and the pulls, in the order of time, must be the same.
fn compare(calls: &[Call], site: &Site) -> Vec<String> {
    let (mut of_name, mut wrong, mut unseen) = (BTreeMap::<&str, Vec<&Call>>::new(), Vec::new(), 0);
    calls.iter().for_each(|call| of_name.entry(&call.image).or_default().push(call));
    let mut told = told(site);
    let may_be_unseen = calls.iter().filter(|call| matches!(call.step, Step::Refused(_))).count().div_ceil(UNSEEN);
    for (name, calls) in of_name {
        let pulls = told.remove(name).unwrap_or_default();
        let pairs = calls.iter().zip(&pulls).all(|(call, pull)| {
            pull.outcome.as_deref().is_some_and(|told| call.may_be_told(told))
                && (call.begin - SLACK..=call.end + SLACK).contains(&pull.started)
        });
        if pulls.is_empty() && calls.iter().all(|call| matches!(call.step, Step::Refused(_))) && unseen < may_be_unseen {
            unseen += 1;
        } else if calls.len() != pulls.len() || !pairs {
            wrong.push(format!("{name}: of the calls {calls:?} is told {pulls:?}"));
        }
    }
    wrong.extend(told.iter().map(|(name, pulls)| format!("{name}: nobody pulled that, and it is told as {pulls:?}")));
    wrong
}

/// What the collector tells of one pull.
#[derive(Debug)]
struct Told {
    started: Seconds,
    /// None while it runs.
    outcome: Option<String>,
    /// For whoever reads a failure.
    _error: String,
}

/// What the collector tells, by name and in the order of time; page by page.
fn told(site: &Site) -> BTreeMap<String, Vec<Told>> {
    let (mut told, mut cursor) = (BTreeMap::<String, Vec<Told>>::new(), String::new());
    loop {
        let (status, page) = site.collector.get(&format!("/api/v1/pulls?layers=false&limit=100{cursor}"));
        assert_eq!(status, 200, "{page}");
        for pull in page["pulls"].as_array().into_iter().flatten() {
            let text = |key: &str| pull[key].as_str().map(str::to_owned);
            let started = pull["startedAt"].as_str().and_then(clock::parse).expect("a pull has a start");
            let name = text("imageRef").unwrap_or_default();
            let error = format!("{} {}", text("id").unwrap_or_default(), text("error").unwrap_or_default());
            told.entry(name).or_default().push(Told { started, outcome: text("outcome"), _error: error });
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    told.values_mut().for_each(|pulls| pulls.sort_by(|a, b| a.started.total_cmp(&b.started)));
    told
}
