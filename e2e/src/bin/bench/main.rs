//! `cargo xtask bench`, after building: measures the binaries as shipped against real things and writes what it found, beside what it is
//! compared with. The numbers belong to the machine they were measured on.
//!
//! `agent-idle`: a real containerd that pulls nothing, alternately without and with an agent that is connected to a collector, so that
//! what the agent costs containerd is a difference of neighbours in time. Before each stretch everything may settle for 10 s.

mod usage;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use e2e::clock;
use e2e::containerd::Containerd;
use e2e::process::Process;
use e2e::pulltrace::{Collector, free_address};
use e2e::tools::{Need, Tools, Version, built};
use serde_json::json;

use crate::usage::{Memory, Rate, Usage};

/// How long everything may settle before a stretch is measured.
const WARM_UP: Duration = Duration::from_secs(10);

/// A stretch that is shorter holds no heartbeat of the agent, so its result says too little.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Stretches without and with an agent, alternating.
const PAIRS: u32 = 2;

/// What an idle agent may cost.
const GATE: Cost = Cost { cpu_ms: 0.05, wakeups: 1.0, rss_mb: 8.0, containerd_cpu_ms: 0.0 };

/// The Go Pulltrace agent beside containerd 1.7.24, measured 2026-11 on 2 cores.
const GO: Cost = Cost { cpu_ms: 0.79, wakeups: 25.9, rss_mb: 16.8, containerd_cpu_ms: 0.61 };

/// One line of the comparison.
struct Cost {
    /// Milliseconds of CPU per second.
    cpu_ms: f64,
    /// Wakeups per second.
    wakeups: f64,
    /// Megabytes (10^6 bytes).
    rss_mb: f64,
    /// Additional milliseconds of CPU per second in containerd.
    containerd_cpu_ms: f64,
}

/// Started by `cargo xtask bench`.
#[derive(Parser)]
struct Args {
    /// Where results are written
    #[arg(long)]
    results: PathBuf,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// What an agent costs while nothing is pulled
    AgentIdle {
        /// Seconds measured without and as many with the agent
        #[arg(long, default_value_t = 120)]
        seconds: u32,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|panic| {
        say(format!("The benchmark cannot go on: {}", panic.payload_as_str().unwrap_or("a panic without words")));
    }));
    match args.bench {
        Bench::AgentIdle { seconds } => agent_idle(seconds, &args.results),
    }
}

fn agent_idle(seconds: u32, results: &Path) -> ExitCode {
    let found = [Version::V1_7, Version::V2_1, Version::V2_4, Version::V1_6]
        .map(|version| (version, Tools::look(&[Need::Root, Need::Containerd(version), Need::Pulltrace])));
    let Some((version, tools)) = found.iter().find_map(|(version, tools)| Some((*version, tools.as_ref().ok()?))) else {
        let why = found.iter().find_map(|(_, tools)| tools.as_ref().err());
        say(format!("SKIPPED agent-idle: {}", why.map_or("", String::as_str)));
        return ExitCode::FAILURE;
    };
    let containerd = Containerd::start(tools, version);
    // As on a node that has pulled before: without a namespace there would be nothing to look at.
    drop(containerd.ctr(&["namespaces", "create", "k8s.io"]));
    let collector = Collector::start(&[]);
    let stretch = Duration::from_secs(seconds.max(PAIRS).into()) / PAIRS;
    if stretch < HEARTBEAT {
        say(format!(
            "Stretches of {} s hold no heartbeat of the agent: good for trying this out, not for a result.",
            stretch.as_secs()
        ));
    }
    let mut idle = Idle { alone: Vec::new(), watched: Vec::new(), agent: Vec::new(), memory: None };
    for pair in 1..=PAIRS {
        say(format!("pair {pair} of {PAIRS}: containerd {version} alone for {} s ...", stretch.as_secs()));
        idle.measure_alone(&containerd, stretch);
        say(format!("pair {pair} of {PAIRS}: with an agent for {} s ...", stretch.as_secs()));
        idle.measure_watched(&containerd, &collector, stretch);
    }
    idle.conclude(version, seconds, results)
}

/// What was measured, one entry per stretch.
struct Idle {
    /// containerd without an agent.
    alone: Vec<Rate>,
    /// containerd with one.
    watched: Vec<Rate>,
    agent: Vec<Rate>,
    /// Of the agent, at the end.
    memory: Option<Memory>,
}

impl Idle {
    fn measure_alone(&mut self, containerd: &Containerd, stretch: Duration) {
        let of_containerd = || Usage::read(containerd.pid().expect("containerd runs"));
        clock::pause(WARM_UP);
        let before = of_containerd();
        clock::pause(stretch);
        self.alone.push(of_containerd().since(before));
    }

    fn measure_watched(&mut self, containerd: &Containerd, collector: &Collector, stretch: Duration) {
        let folder = tempfile::Builder::new().prefix("pt-bench-").tempdir().expect("the temporary folder is writable");
        let env = [
            ("PULLTRACE_NODE_NAME", "bench-node".to_owned()),
            ("PULLTRACE_CONTAINERD_SOCKET", containerd.socket().display().to_string()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("PULLTRACE_METRICS_ADDR", free_address()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value));
        let mut agent = Process::spawn("pulltrace-agent", folder.path(), &built("pulltrace-agent"), &[], &env);
        let connected = || (collector.metric("pulltrace_agents_connected", &[]) >= 1.0).then_some(());
        agent.ready(WARM_UP, || connected().is_some());
        let of_containerd = || Usage::read(containerd.pid().expect("containerd runs"));
        clock::pause(WARM_UP);
        let before = (Usage::read(agent.pid()), of_containerd());
        clock::pause(stretch);
        self.agent.push(Usage::read(agent.pid()).since(before.0));
        self.watched.push(of_containerd().since(before.1));
        self.memory = Some(Memory::read(agent.pid()));
        assert!(connected().is_some(), "the agent lost the collector, so what was measured is not an idle agent");
    }

    /// Writes the result, prints the comparison; fails when the gate is missed.
    fn conclude(self, version: Version, seconds: u32, results: &Path) -> ExitCode {
        let Self { alone, watched, agent, memory } = &self;
        let (agent, alone, watched) = (Rate::mean(agent), Rate::mean(alone), Rate::mean(watched));
        let memory = memory.expect("at least one pair was measured");
        let mb = |bytes: u64| f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0;
        let cost = Cost {
            cpu_ms: agent.cpu_ms,
            wakeups: agent.wakeups,
            rss_mb: mb(memory.rss),
            containerd_cpu_ms: watched.cpu_ms - alone.cpu_ms,
        };
        let passed = cost.cpu_ms <= GATE.cpu_ms && cost.rss_mb <= GATE.rss_mb;
        let rates =
            |rates: &[Rate]| rates.iter().map(|r| json!({"cpuMsPerS": r.cpu_ms, "wakeupsPerS": r.wakeups})).collect::<Vec<_>>();
        let report = json!({
            "bench": "agent-idle", "measuredAtUnix": clock::now().floor(), "containerd": version.to_string(), "seconds": seconds,
            "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            "agent": {"cpuMsPerS": cost.cpu_ms, "wakeupsPerS": cost.wakeups, "rssBytes": memory.rss, "pssBytes": memory.pss,
                      "stretches": rates(&self.agent)},
            "containerdAlone": {"cpuMsPerS": alone.cpu_ms, "wakeupsPerS": alone.wakeups, "stretches": rates(&self.alone)},
            "containerdWatched": {"cpuMsPerS": watched.cpu_ms, "wakeupsPerS": watched.wakeups, "stretches": rates(&self.watched)},
            "gate": {"cpuMsPerS": GATE.cpu_ms, "rssMB": GATE.rss_mb, "passed": passed},
        });
        fs::create_dir_all(results).expect("the results folder can be made");
        let file = results.join("agent-idle.json");
        fs::write(&file, format!("{report:#}\n")).expect("the results folder is writable");
        say("\n                              CPU ms/s  wakeups/s    RSS MB  containerd CPU ms/s");
        for (name, cost) in [("this agent", &cost), ("gate (CPU and RSS)", &GATE), ("Go Pulltrace, 2026-11, 2 cores", &GO)] {
            let Cost { cpu_ms, wakeups, rss_mb, containerd_cpu_ms } = cost;
            say(format!("{name:<30}{cpu_ms:>8.4}{wakeups:>11.2}{rss_mb:>10.2}{containerd_cpu_ms:>+21.4}"));
        }
        say(format!(
            "PSS {:.2} MB; containerd alone {:.3} ms/s, {:.1} wakeups/s; watched {:.3} ms/s, {:.1} wakeups/s",
            mb(memory.pss),
            alone.cpu_ms,
            alone.wakeups,
            watched.cpu_ms,
            watched.wakeups
        ));
        say(format!("{}; written to {}", if passed { "within the gate" } else { "MISSES THE GATE" }, file.display()));
        if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush()));
}
