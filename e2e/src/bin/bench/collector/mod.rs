//! What a collector costs: CPU time for each span, record and report it takes, each reader it tells and each scrape it answers, beside the
//! [`baseline`] in the same run. CPU time is the process's own, from the scheduler's account; it hardly depends on who else uses the
//! machine. Medians of [`TIMES`] stretches.

pub(crate) mod baseline;
pub(crate) mod body;
pub(crate) mod load;
mod memory;
mod readers;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use e2e::clock;
use e2e::process::Process;
use e2e::pulltrace::{Collector, free_address};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::body::{Node, Told};
use self::load::{Sent, Target, What, Wire};
use crate::usage::{Memory, Usage};
use crate::{mb, say, write};

/// Stretches of which the median counts.
const TIMES: usize = 3;

/// Rounds of a cluster before it is measured: connections, and the first report of every pull.
const WARM_ROUNDS: u64 = 3;

/// Layers of each record that is measured by itself.
const RECORD_LAYERS: u64 = 2;

/// One line of the result: what was measured, what it must reach and what it shall.
pub(crate) struct Line {
    name: String,
    unit: &'static str,
    value: f64,
    /// Gate and moonshot; none for what is only compared.
    aims: Option<(f64, f64)>,
    /// Whether more is better.
    rising: bool,
}

impl Line {
    pub(crate) fn most(name: impl Into<String>, unit: &'static str, value: f64, gate: f64, moonshot: f64) -> Self {
        Self { name: name.into(), unit, value, aims: Some((gate, moonshot)), rising: false }
    }

    pub(crate) fn least(name: impl Into<String>, unit: &'static str, value: f64, gate: f64, moonshot: f64) -> Self {
        Self { name: name.into(), unit, value, aims: Some((gate, moonshot)), rising: true }
    }

    pub(crate) fn plain(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value, aims: None, rising: false }
    }

    fn reaches(&self, aim: f64) -> bool {
        if self.rising { self.value >= aim } else { self.value <= aim }
    }

    pub(crate) fn passed(&self) -> bool {
        self.aims.is_none_or(|(gate, _)| self.reaches(gate))
    }

    pub(crate) fn print(&self) {
        let aims = self.aims.map_or_else(String::new, |(gate, moonshot)| {
            let verdict = match (self.reaches(gate), self.reaches(moonshot)) {
                (_, true) => "aim reached",
                (true, false) => "within the gate",
                (false, false) => "MISSES THE GATE",
            };
            format!("   gate {gate:>9.1}   aim {moonshot:>9.1}   {verdict}")
        });
        say(format!("{:<58}{:>12.2} {:<14}{aims}", self.name, self.value, self.unit));
    }

    pub(crate) fn json(&self) -> Value {
        json!({"name": self.name, "unit": self.unit, "value": self.value, "passed": self.passed(),
               "gate": self.aims.map(|(gate, _)| gate), "aim": self.aims.map(|(_, aim)| aim)})
    }
}

/// Measures for about `seconds` in each stretch and writes what came of it; `only` names one part.
pub(crate) fn run(seconds: u64, only: Option<&str>, results: &Path) -> ExitCode {
    type Part = (&'static str, fn(u64) -> Vec<Line>);
    let parts: [Part; 6] =
        [("rate", rate), ("t1", t1), ("t2", t2), ("t3", t3), ("readers", readers::measure), ("memory", memory::measure)];
    let mut lines = Vec::new();
    for (name, measure) in parts.into_iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        say(format!("\n{name}"));
        let found = measure(seconds);
        found.iter().for_each(Line::print);
        lines.extend(found);
    }
    let passed = lines.iter().all(Line::passed);
    let report = json!({
        "bench": "collector", "measuredAtUnix": clock::now().floor(), "results": lines.iter().map(Line::json).collect::<Vec<_>>(),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
    });
    write(results, "collector", &report, passed)
}

/// B5: spans and log records per second of CPU.
fn rate(seconds: u64) -> Vec<Line> {
    let collector = quiet();
    // Gate: twice the fastest Rust receiver measured (2026-11, 2 cores); the aim is what decoding without building messages allows.
    let wanted =
        [(Wire::Http, 50, 526_000.0, 1_000_000.0), (Wire::Grpc, 50, 406_000.0, 800_000.0), (Wire::Http, 8, 322_000.0, 533_000.0)];
    let mut lines = Vec::new();
    for (wire, each, gate, aim) in wanted {
        let target = of_collector(&collector, wire);
        let requests = seconds * if each == 8 { 4000 } else { 2000 };
        let body = body::spans(each);
        let cost = median(|| {
            cpu_each(collector.pid(), requests * each, || {
                load::closed_loop(&target, What::Traces, requests, {
                    let body = body.clone();
                    move |_| body.clone()
                })
            })
        });
        lines.push(Line::least(
            format!("{each} spans a request, {} ({} B)", wire.name(), body.len()),
            "spans/CPU-s",
            1e6 / cost,
            gate,
            aim,
        ));
        lines.push(Line::plain(format!("{each} spans a request, {}: each request", wire.name()), "us", cost * each as f64));
    }
    let mut first = 0;
    for (wire, each) in [(Wire::Http, 50), (Wire::Grpc, 50), (Wire::Http, 8), (Wire::Grpc, 8)] {
        let target = of_collector(&collector, wire);
        let requests = seconds * 10_000 / each;
        let node = move |number: u64| Node { number: number % NODES, pulls: each, layers: RECORD_LAYERS };
        let size = node(0).report(1).len();
        let cost = median(|| {
            first += requests;
            let body = move |number: u64| node(number).report(first + number);
            cpu_each(collector.pid(), requests * each, || load::closed_loop(&target, What::Logs, requests, body))
        });
        lines.push(Line::plain(
            format!("{each} records a request, {} ({size} B), state updated", wire.name()),
            "records/CPU-s",
            1e6 / cost,
        ));
    }
    lines
}

/// Nodes among which records are spread; as many as make each node's requests travel over one connection.
const NODES: u64 = 64;

/// A cluster of the size of one of the tiers: how many nodes, pulls of each, and layers of each pull.
type Tier = (&'static str, u64, u64, u64);

const T1: Tier = ("T1", 100, 2, 8);
const T2: Tier = ("T2", 1000, 3, 8);
const T3: Tier = ("T3", 5000, 1, 12);

fn nodes((_, count, pulls, layers): Tier) -> Vec<Node> {
    (0..count).map(|number| Node { number, pulls, layers }).collect()
}

/// B6: reports of whole clusters. `aims` says which of what was observed has a gate.
fn cluster(tier: Tier, seconds: u64, aims: impl Fn(&str, &Observed) -> Vec<Line>) -> Vec<Line> {
    let mut lines = Vec::new();
    let (name, count, pulls, layers) = tier;
    for wire in [Wire::Grpc, Wire::Http] {
        let subject = quiet();
        let of = Observed::of(subject.pid(), &of_collector(&subject, wire), &nodes(tier), seconds);
        let name = format!("{name} ({count} x {pulls} x {layers}), {}", wire.name());
        lines.extend(aims(&name, &of));
        lines.push(Line::most(format!("{name}: refused"), "reports", of.refused, 0.0, 0.0));
    }
    lines
}

/// The same for the plain baseline.
fn plain(tier: Tier, seconds: u64) -> Vec<Line> {
    let baseline = Baseline::start();
    let of = Observed::of(baseline.process.pid(), &baseline.target(), &nodes(tier), seconds);
    of.plain(&format!("{}, the plain baseline", tier.0))
}

fn t1(seconds: u64) -> Vec<Line> {
    cluster(T1, seconds, |name, of| of.plain(name)).into_iter().chain(plain(T1, seconds)).collect()
}

fn t2(seconds: u64) -> Vec<Line> {
    let aims = |name: &str, of: &Observed| {
        vec![
            Line::most(format!("{name}: each report"), "us", of.each, 80.0, 40.0),
            Line::most(format!("{name}: RSS"), "MB", of.rss, 40.0, 30.0),
        ]
    };
    cluster(T2, seconds, aims).into_iter().chain(plain(T2, seconds)).collect()
}

fn t3(seconds: u64) -> Vec<Line> {
    let aims = |name: &str, of: &Observed| {
        let cores = Line::most(format!("{name}: CPU"), "% of a core", of.cores * 100.0, 100.0, 25.0);
        of.plain(name).into_iter().chain([cores]).collect()
    };
    cluster(T3, seconds, aims)
}

/// What a stretch of a cluster's reports came to.
struct Observed {
    /// Microseconds of CPU for each report.
    each: f64,
    /// Cores that were busy.
    cores: f64,
    /// Megabytes.
    rss: f64,
    refused: f64,
    /// What `count` grew by, per second.
    counted: f64,
    /// Milliseconds to the answer, which 99 of 100 reports did not exceed.
    answered: f64,
}

impl Observed {
    /// Lines without an aim.
    fn plain(&self, name: &str) -> Vec<Line> {
        vec![
            Line::plain(format!("{name}: each report"), "us", self.each),
            Line::plain(format!("{name}: busy"), "% of a core", self.cores * 100.0),
            Line::plain(format!("{name}: RSS"), "MB", self.rss),
        ]
    }

    fn of(pid: u32, target: &Target, nodes: &[Node], seconds: u64) -> Self {
        Self::with(pid, target, nodes, seconds, || 0)
    }

    fn with(pid: u32, target: &Target, nodes: &[Node], seconds: u64, count: impl Fn() -> u64) -> Self {
        let answered = Arc::new(AtomicU64::new(0));
        let (target, all, counter) = (target.clone(), nodes.to_vec(), answered.clone());
        let sending = std::thread::spawn(move || load::cluster(&target, &all, WARM_ROUNDS + seconds, &counter));
        let expected = nodes.len() as u64;
        clock::until("the first reports", Duration::from_secs(60), || {
            (answered.load(Ordering::Relaxed) >= expected * WARM_ROUNDS).then_some(())
        });
        let look = || (Usage::read(pid), answered.load(Ordering::Relaxed), count());
        let (before, reports, counted) = look();
        clock::pause(Duration::from_secs(seconds - 1));
        let (after, more, count) = look();
        let rss = mb(Memory::read(pid).rss);
        let mut sent: Sent = sending.join().expect("senders do not panic");
        let (cpu, took) = after.since_raw(before);
        Self {
            each: cpu.as_secs_f64() * 1e6 / (more - reports).max(1) as f64,
            cores: cpu.as_secs_f64() / took.as_secs_f64(),
            rss,
            refused: sent.refused as f64,
            answered: sent.percentile(99).as_secs_f64() * 1e3,
            counted: (count - counted) as f64 / took.as_secs_f64(),
        }
    }
}

/// The baseline in a process of its own.
struct Baseline {
    process: Process,
    address: String,
    _folder: TempDir,
}

impl Baseline {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("pt-baseline-").tempdir().expect("the temporary folder is writable");
        let address = free_address();
        let port = address.rsplit(':').next().unwrap_or_default().to_owned();
        let program = std::env::current_exe().expect("this program is a file");
        let mut process =
            Process::spawn("baseline", folder.path(), &program, &["--results", ".", "baseline", "--port", &port], &[]);
        process.ready(Duration::from_secs(10), || std::net::TcpStream::connect(&address).is_ok());
        Self { process, address, _folder: folder }
    }

    fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default()
    }

    fn target(&self) -> Target {
        Target { wire: Wire::Json, address: self.address.clone() }
    }
}

/// A collector that is alone.
fn quiet() -> Collector {
    Collector::start(&[("PULLTRACE_LOG_LEVEL", "error")])
}

fn of_collector(collector: &Collector, wire: Wire) -> Target {
    let url = if wire == Wire::Grpc { collector.endpoint() } else { collector.otlp_url("") };
    Target { wire, address: url.trim_start_matches("http://").to_owned() }
}

/// Microseconds of CPU that a process uses for each of so many units of work.
fn cpu_each(pid: u32, units: u64, work: impl FnOnce() -> Sent) -> f64 {
    let before = Usage::read(pid);
    let sent = work();
    assert_eq!(sent.refused, 0, "every request is accepted");
    let (cpu, _) = Usage::read(pid).since_raw(before);
    cpu.as_secs_f64() * 1e6 / units as f64
}

fn median(mut measure: impl FnMut() -> f64) -> f64 {
    let mut found: Vec<_> = (0..TIMES).map(|_| measure()).collect();
    found.sort_by(f64::total_cmp);
    found[found.len() / 2]
}

/// Fills a collector with pulls that have ended.
fn fill(target: &Target, nodes: u64, pulls: u64, layers: u64) -> Sent {
    const EACH: u64 = 50;
    let body = move |number: u64| {
        let (node, part) = (number % nodes, number / nodes);
        Node { number: node, pulls, layers }.request(900, part * EACH..(part + 1) * EACH, Told::Finished)
    };
    load::closed_loop(target, What::Logs, nodes * pulls / EACH, body)
}
