//! B7 and B8: what readers of the streams cost while a large cluster reports, how old what they read is, and what those do to the others who
//! read slowly or not at all.

use std::time::Duration;

use e2e::clock;
use e2e::pulltrace::Collector;
use e2e::swarm::{Habit, Swarm};

use super::body::Node;
use super::load::{Target, Wire};
use super::{Baseline, Line, Observed, T2, nodes, of_collector};
use crate::usage::Memory;

/// What the page reads.
const FRAMES: &str = "/api/v1/frames";
/// What programs read.
const EVENTS: &str = "/api/v1/events?layers=false";
/// What one looks at to see how old it is: few events, so that looking costs little.
const OF_ONE_NODE: &str = "/api/v1/events?layers=false&node=node-0.example.internal";
/// Readers that never read, and readers that read so many bytes a second.
const DEAF: usize = 50;
const CRAWLING: (usize, usize) = (20, 1000);
/// Runs whose median counts where two runs are compared.
const PAIRS: usize = 3;

/// Readers of the streams while T2 reports; then the same with slow ones among them.
pub(super) fn measure(seconds: u64) -> Vec<Line> {
    let nodes = nodes(T2);
    let mut lines = Vec::new();
    // Readers, path, gzip, and most and wanted CPU, percent of a core.
    let stretches = [
        (100, FRAMES, true, Some((50.0, 10.0))),
        (1000, FRAMES, true, Some((50.0, 20.0))),
        (5000, FRAMES, true, Some((100.0, 80.0))),
        (100, FRAMES, false, None),
        (100, EVENTS, false, None),
    ];
    for (readers, path, gzip, cpu) in stretches {
        let subject = open();
        let told = Followed::of(&subject, &nodes, (readers, path, gzip), seconds);
        lines.extend(told.lines(readers, path, gzip, cpu));
    }
    let baseline = Baseline::start();
    let swarm = Swarm::connect(baseline.port(), "/events", false, Habit::Reads, 100);
    let observed = Observed::with(baseline.process.pid(), &baseline.target(), &nodes, seconds, || swarm.bytes());
    lines.push(Line::plain("T2 and 100 readers of the plain baseline: CPU", "% of a core", observed.cores * 100.0));
    lines.push(Line::plain("T2 and 100 readers of the plain baseline: each", "kB/s", observed.counted / 100.0 / 1e3));
    lines.extend(slow(&nodes, seconds));
    lines
}

/// B8: the same with and without slow readers, in turns; the median of the ratios.
fn slow(nodes: &[Node], seconds: u64) -> Vec<Line> {
    let (mut intake, mut ages, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let alone = Followed::of(&open(), nodes, (100, FRAMES, true), seconds);
        let subject = open();
        let deaf = Swarm::connect(subject.http_port(), FRAMES, false, Habit::Deaf, DEAF);
        let crawling = Swarm::connect(subject.http_port(), FRAMES, false, Habit::Crawls(CRAWLING.1), CRAWLING.0);
        let among = Followed::of(&subject, nodes, (100, FRAMES, true), seconds);
        memory.push((among.rss - alone.rss).max(0.0) * 1e3 / (DEAF + CRAWLING.0) as f64);
        intake.push(among.answered / alone.answered);
        ages.push(among.age / alone.age);
        drop((deaf, crawling));
    }
    let name = format!("T2, 100 readers, {DEAF} that never read and {} at {} B/s", CRAWLING.0, CRAWLING.1);
    vec![
        Line::most(format!("{name}: intake p99, times that without"), "x", middle(intake), 1.5, 1.05),
        Line::most(format!("{name}: age p99, times that without"), "x", middle(ages), 1.5, 1.1),
        Line::most(format!("{name}: each slow one"), "kB RSS", middle(memory), 256.0, 32.0),
    ]
}

/// What a stretch with readers came to.
struct Followed {
    /// Cores that were busy.
    cores: f64,
    /// Bytes per second of each.
    bytes: f64,
    /// Bytes of memory of each connection, idle.
    each_connection: f64,
    /// How old events were when they were read, milliseconds: what 99 of 100 did not exceed.
    age: f64,
    /// How long a report took to be answered, milliseconds: the same.
    answered: f64,
    /// Megabytes.
    rss: f64,
}

impl Followed {
    fn of(subject: &Collector, nodes: &[Node], (readers, path, gzip): (usize, &str, bool), seconds: u64) -> Self {
        let (pid, target): (u32, Target) = (subject.pid(), of_collector(subject, Wire::Grpc));
        let before = Memory::read(pid).rss;
        let swarm = Swarm::connect(subject.http_port(), path, gzip, Habit::Reads, readers);
        clock::pause(Duration::from_secs(1));
        let each_connection = Memory::read(pid).rss.saturating_sub(before) as f64 / readers as f64;
        let looker = Swarm::connect(subject.http_port(), OF_ONE_NODE, false, Habit::Looks, 1);
        let observed = Observed::with(pid, &target, nodes, seconds, || swarm.bytes());
        assert_eq!((swarm.ended(), looker.ended()), (0, 0), "nobody who reads is sent away");
        let ages = looker.ages();
        let age = ages.get(ages.len() * 99 / 100).map_or(f64::NAN, |age| age.as_secs_f64() * 1e3);
        let bytes = observed.counted / readers as f64;
        Self { cores: observed.cores, bytes, each_connection, age, answered: observed.answered, rss: observed.rss }
    }

    fn lines(&self, readers: usize, path: &str, gzip: bool, cpu: Option<(f64, f64)>) -> Vec<Line> {
        let packed = if gzip { "gzip" } else { "plain" };
        let name = format!("T2 and {readers} readers of {}, {packed}", path.split('?').next().unwrap_or(path));
        let line = |what: &str, unit, value| Line::plain(format!("{name}: {what}"), unit, value);
        let busy = match cpu {
            Some((gate, aim)) => Line::most(format!("{name}: CPU"), "% of a core", self.cores * 100.0, gate, aim),
            None => line("CPU", "% of a core", self.cores * 100.0),
        };
        let age = match readers {
            1000 => Line::most(format!("{name}: age p99"), "ms", self.age, 500.0, 300.0),
            _ => line("age p99", "ms", self.age),
        };
        let each = line("each", "kB/s", self.bytes / 1e3);
        vec![busy, age, each, line("each connection", "kB RSS", self.each_connection / 1e3), line("RSS", "MB", self.rss)]
    }
}

/// A collector that lets in more readers than it does by default: 5,000, and those who look.
fn open() -> Collector {
    Collector::start(&[("PULLTRACE_LOG_LEVEL", "error"), ("PULLTRACE_SSE_MAX_CLIENTS", "6000")])
}

fn middle(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
