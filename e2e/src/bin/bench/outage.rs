//! What an agent does while nobody receives: a thousand real pulls of ten layers each end while its collector is away. Afterwards none of
//! their outcomes may be missing or doubled; what the waiting costs in memory and, with nothing going on, in CPU is measured.

use std::collections::VecDeque;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use e2e::clock;
use e2e::containerd::{Containerd, Extra};
use e2e::cri::Pull;
use e2e::image::{self, Form, LayerPlan};
use e2e::pulltrace::Collector;
use e2e::registry::Registry;
use e2e::site::{REGISTRY, reference};
use e2e::tools::{Tools, Version};
use serde_json::json;

use crate::{Agent, WARM_UP, mb, private, say, write};

/// Layers of each image; all are its own.
const LAYERS: u64 = 10;

/// Pulls at once.
const AT_ONCE: usize = 5;

/// How long the idle agent without a receiver is watched: longer than the longest pause between two attempts.
const AWAY: Duration = Duration::from_secs(60);

/// What an agent may use while its receiver is away and nothing is pulled, milliseconds of CPU per second.
const CPU_GATE: f64 = 0.1;

/// What a thousand outcomes that wait may take, megabytes.
const MEMORY_GATE: f64 = 1.0;

/// How long everything that waited may take to arrive.
const CATCH_UP: Duration = Duration::from_secs(90);

/// Pulls `pulls` images while the collector is away, brings it back, and writes what came of it.
pub(crate) fn run(tools: &Tools, version: Version, pulls: u32, results: &Path) -> ExitCode {
    let registry = Registry::start(tools);
    let containerd = private(tools, version, Extra::default());
    containerd.map(REGISTRY, registry.port());
    say(format!("building {pulls} images of {LAYERS} layers ..."));
    let images = push(&registry, pulls);
    let mut collector = Collector::start(&[]);
    let agent = Agent::start(&containerd, &collector);
    // One pull, so that what the first one costs once is not counted.
    let first = image::push(&registry, "bench/first:v1", &plans(u64::from(pulls)), Form::OciManifest);
    containerd.pull(&reference(&first)).wait().expect("the first pull succeeds");
    until_told(&collector, 1);
    clock::pause(WARM_UP);
    let before = agent.memory();
    collector.kill9();
    say("the collector is away; pulling ...");
    let begin = Instant::now();
    let peak = pull_all(&containerd, &images, || agent.memory().rss);
    let took = begin.elapsed();
    say(format!("{pulls} pulls in {:.0} s; idle without a receiver for {} s ...", took.as_secs_f64(), AWAY.as_secs()));
    clock::pause(WARM_UP);
    let (usage, waiting) = (agent.usage(), agent.memory());
    clock::pause(AWAY);
    let idle = agent.usage().since(usage);
    collector.restart();
    let begin = Instant::now();
    let told = until_told(&collector, pulls);
    let caught_up = begin.elapsed();
    clock::pause(WARM_UP);
    let after = agent.memory();
    let grown = mb(waiting.anonymous.saturating_sub(before.anonymous));
    let passed = told == f64::from(pulls) && grown <= MEMORY_GATE && idle.cpu_ms <= CPU_GATE;
    say(format!(
        "\nanonymous memory {:.2} MB before, {:.2} MB with {pulls} outcomes waiting (+{grown:.2}, gate {MEMORY_GATE}), {:.2} MB after; RSS {:.2}, {:.2}, \
         {:.2} MB, at most {:.2} MB\nidle without a receiver {:.4} ms/s (gate {CPU_GATE}), {:.2} wakeups/s\n{told} of {pulls} outcomes arrived, the last \
         {:.1} s after the collector was back",
        mb(before.anonymous),
        mb(waiting.anonymous),
        mb(after.anonymous),
        mb(before.rss),
        mb(waiting.rss),
        mb(after.rss),
        mb(peak),
        idle.cpu_ms,
        idle.wakeups,
        caught_up.as_secs_f64()
    ));
    let report = json!({
        "bench": "outage", "measuredAtUnix": clock::now().floor(), "containerd": version.to_string(), "pulls": pulls, "told": told,
        "layers": LAYERS, "anonymousBytes": {"before": before.anonymous, "waiting": waiting.anonymous, "after": after.anonymous},
        "rssBytes": {"before": before.rss, "waiting": waiting.rss, "after": after.rss, "peak": peak},
        "idleAway": {"cpuMsPerS": idle.cpu_ms, "wakeupsPerS": idle.wakeups}, "caughtUpS": caught_up.as_secs_f64(), "passed": passed,
    });
    write(results, "outage", &report, passed)
}

fn plans(image: u64) -> Vec<LayerPlan> {
    (0..LAYERS).map(|n| LayerPlan { bytes: 64, seed: 1_000_000 + image * LAYERS + n, files: 1 }).collect()
}

fn push(registry: &Registry, pulls: u32) -> VecDeque<String> {
    let one = |n| reference(&image::push(registry, &format!("bench/outage-{n}:v1"), &plans(n), Form::OciManifest));
    (0..u64::from(pulls)).map(one).collect()
}

/// Pulls everything and returns the most that `watch` ever said.
fn pull_all(containerd: &Containerd, images: &VecDeque<String>, watch: impl Fn() -> u64) -> u64 {
    let (mut left, mut running, mut most) = (images.iter(), Vec::<Pull>::new(), 0);
    loop {
        let (over, rest): (Vec<_>, Vec<_>) = running.drain(..).partition(Pull::ended);
        over.into_iter().for_each(|pull| drop(pull.wait().expect("every pull succeeds")));
        running = rest;
        while running.len() < AT_ONCE
            && let Some(image) = left.next()
        {
            running.push(containerd.pull(image));
        }
        most = most.max(watch());
        if running.is_empty() {
            return most;
        }
        clock::pause(Duration::from_millis(5));
    }
}

/// Waits until so many pulls were told as ready, and returns how many there are a moment later.
fn until_told(collector: &Collector, pulls: u32) -> f64 {
    let told = || collector.metric("pulltrace_pulls_total", &["outcome=\"ready\""]);
    let begin = Instant::now();
    while told() < f64::from(pulls) && begin.elapsed() < CATCH_UP {
        clock::pause(Duration::from_millis(100));
    }
    clock::pause(Duration::from_secs(2));
    collector.metric("pulltrace_pulls_total", &[])
}
