//! What the scenarios are played on: an engine, a registry behind a link, and the `pulltrace` command between them, whose JSON is held
//! against what the link really sent.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use e2e::clock;
use e2e::docker::{Docker, Store};
use e2e::follow::{Follow, number};
use e2e::image::{self, Form, Image, LayerPlan, MIB};
use e2e::link::{Fault, Link};
use e2e::process::Process;
use e2e::registry::Registry;
use e2e::site::said;
use e2e::tools::{Need, Tools};
use serde_json::Value;

/// How long any pull here may take to end.
pub(crate) const END: Duration = Duration::from_secs(60);

/// Bytes per second of each response: three layers of some MiB take a second or two.
const RATE: u64 = 3_000_000;

/// A name for the one who reads a failure, and what is played.
pub(crate) type Scenario = (&'static str, fn(&Stage));

/// An engine on which scenario after scenario is played.
pub(crate) struct Stage {
    pub(crate) docker: Docker,
    pub(crate) link: Link,
    pub(crate) registry: Registry,
    seed: Cell<u64>,
}

impl Stage {
    /// Plays all scenarios; fails with the names of those that failed.
    pub(crate) fn play(test: &str, store: Store, scenarios: &[Scenario]) {
        Self::play_in(test, store, None, scenarios);
    }

    /// The same on an engine that has room for so many bytes.
    pub(crate) fn play_in(test: &str, store: Store, room: Option<u64>, scenarios: &[Scenario]) {
        let Some(tools) = Tools::find(test, &[Need::Root, Need::Docker, Need::Registry, Need::CommandLine]) else { return };
        let stage = Self::on(&tools, Docker::with_room(&tools, store, room));
        let mut failed = Vec::new();
        for (name, scenario) in scenarios {
            stage.link.set_fault(Fault::None);
            stage.link.set_rate(Some(RATE));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(&stage))) {
                failed.push(format!("{name} ({})", said(&*panic)));
            }
        }
        assert!(failed.is_empty(), "failed on {store:?}: {}", failed.join(", "));
    }

    /// On this engine, with a registry of its own.
    pub(crate) fn on(tools: &Tools, docker: Docker) -> Self {
        let registry = Registry::start(tools);
        Self { docker, link: Link::start(registry.port()), registry, seed: Cell::new(0) }
    }

    /// Layers of so many MiB that no image has had.
    pub(crate) fn fresh(&self, mebibytes: &[usize]) -> Vec<LayerPlan> {
        let plan = |mebibytes: &usize| {
            self.seed.set(self.seed.get() + 1);
            LayerPlan { bytes: mebibytes * MIB, seed: self.seed.get(), files: 3 }
        };
        mebibytes.iter().map(plan).collect()
    }

    pub(crate) fn push(&self, name: &str, plans: &[LayerPlan]) -> Image {
        image::push(&self.registry, name, plans, Form::OciIndex)
    }

    /// An image of fresh layers, and its full name.
    pub(crate) fn image(&self, name: &str, mebibytes: &[usize]) -> (Image, String) {
        let image = self.push(name, &self.fresh(mebibytes));
        let full = self.full(&image.name);
        (image, full)
    }

    /// The name under which the engine pulls through the link.
    pub(crate) fn full(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.link.port())
    }

    /// Begins `pulltrace pull --progress json` with these arguments.
    pub(crate) fn begin(&self, args: &[&str], more: &[(&str, &str)]) -> Process {
        let log = self.log();
        let own = ["pull", "--progress", "json", "--log-file", &log];
        self.docker.pulltrace(&[&own[..], args].concat(), more)
    }

    /// Where these pulls are logged.
    pub(crate) fn log(&self) -> String {
        self.docker.home().join("pull.log").display().to_string()
    }

    /// Pulls to the end.
    #[track_caller]
    pub(crate) fn pull(&self, args: &[&str]) -> Told {
        self.pull_with(args, &[])
    }

    /// Pulls to the end, with more environment variables.
    #[track_caller]
    pub(crate) fn pull_with(&self, args: &[&str], more: &[(&str, &str)]) -> Told {
        Told::by(self.begin(args, more))
    }

    /// Bytes of these layers that the link sent since `from`, a number of answers.
    pub(crate) fn sent(&self, from: usize, image: &Image) -> u64 {
        let digests: BTreeSet<&str> = image.layers.iter().map(|l| l.digest.as_str()).collect();
        let of_layer = |path: &str| path.rsplit_once("/blobs/").is_some_and(|(_, digest)| digests.contains(digest));
        self.link.answered().iter().skip(from).filter(|a| a.method == "GET" && of_layer(&a.path)).map(|a| a.bytes).sum()
    }

    /// How many answers the link has given.
    pub(crate) fn answers(&self) -> usize {
        self.link.answered().len()
    }

    /// Waits until nothing is fetched any more, and makes sure that it stays so.
    #[track_caller]
    pub(crate) fn until_nothing_is_fetched(&self) {
        clock::until("the end of every request", Duration::from_secs(10), || (self.link.under_way() == 0).then_some(()));
        let sent = self.link.sent();
        clock::pause(Duration::from_secs(1));
        assert_eq!(self.link.sent(), sent, "bytes come although nobody pulls");
    }
}

/// What a pull that has ended left.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<Value>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Told {
    /// Waits for the end and reads what was told.
    #[track_caller]
    pub(crate) fn by(mut process: Process) -> Self {
        let code = process.exit_code(END);
        let (out, err) = (process.stdout(), process.stderr());
        let event = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\n{err}"));
        let events: Vec<Value> = out.lines().map(event).collect();
        assert!(events.iter().all(|e| e["schemaVersion"] == "v1"), "an event of another form: {out}");
        Self { code, events, out, err }
    }

    /// Ended with this code.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "it said:\n{}{}", self.out, self.err);
        self
    }

    /// Every state of the pull of this name, oldest first; it is one pull.
    #[track_caller]
    pub(crate) fn of(&self, full: &str) -> Vec<&Value> {
        let pulls: Vec<&Value> = self.events.iter().map(|e| &e["pull"]).filter(|p| p["imageRef"] == full).collect();
        let mut follow = Follow::default();
        pulls.iter().for_each(|pull| follow.take(pull));
        assert_eq!(follow.ids().len(), 1, "one pull of {full}:\n{}{}", self.out, self.err);
        pulls
    }

    /// The image came, and at every moment so much was to come and so much was there.
    #[track_caller]
    pub(crate) fn is_true(&self, full: &str, to_fetch: u64, cached: u64) {
        let pulls = self.of(full);
        let mut percent = 0.0;
        for pull in &pulls {
            // Until the registry has answered, what the engine has named is told as a lower bound, without a percentage.
            let (so_far, some) = (number(pull, "totalBytes"), pull["percent"].is_number());
            if pull["totalKnown"] != true {
                assert!(so_far <= to_fetch && !some, "a part of an unknown total, or more than it: {pull:#}");
            } else {
                let told = (number(pull, "totalBytes"), number(pull, "cachedBytes"), number(pull, "sizeBytes"));
                assert_eq!(told, (to_fetch, cached, to_fetch + cached), "to come, there already, in all: {pull:#}");
            }
            let now = pull["percent"].as_f64().unwrap_or(0.0);
            assert!((percent..=100.0).contains(&now), "{percent} % is followed by {now} %: {pull:#}");
            percent = now;
        }
        let last = pulls.last().expect("there is one");
        assert_eq!((last["outcome"].as_str(), number(last, "downloadedBytes")), (Some("ready"), to_fetch), "{last:#}");
        assert!(last["totalKnown"] == true && percent >= 100.0, "ready is all of it: {last:#}");
        assert!(self.events.iter().any(|e| e["type"] == "pull.completed" && e["pull"]["imageRef"] == full), "{}", self.out);
    }

    /// The pull of this name did not come to a good end, with one of these classes, and never said that it was all there.
    #[track_caller]
    pub(crate) fn failed(&self, full: &str, outcome: &str, classes: &[&str]) {
        let pulls = self.of(full);
        assert!(pulls.iter().all(|p| p["percent"].as_f64().unwrap_or(0.0) < 100.0), "100 % of a failure: {}", self.out);
        let last = pulls.last().expect("there is one");
        assert_eq!(last["outcome"], outcome, "{last:#}");
        assert!(classes.is_empty() || classes.iter().any(|c| last["errorClass"] == *c), "not of {classes:?}: {last:#}");
    }
}
