//! `cargo xtask bench`, after building: measures the binaries as shipped against real things and writes what it found, beside what it is
//! compared with. The numbers belong to the machine they were measured on.
//!
//! `agent`: what an agent costs beside a real containerd, while nothing is pulled ([`idle`]) and while 3 and 15 layers come at once
//! ([`active`]); stretches without and with an agent alternate, so that what it costs containerd is a difference of neighbours in time.
//! `outage`: a thousand pulls while nobody receives ([`outage`]).
//! `collector`: what a collector costs for what it takes, tells and answers, beside a plain baseline ([`collector`]).
//! `cli`: what `pulltrace watch` costs for thousands of pulls, and how long a key takes to be seen ([`watch`]).
//! `pull`: what `pulltrace pull` costs beside `docker pull`, with each image store of a real Docker Engine ([`pull`]).
//! `eta`: how far off the estimated times to ready are for pulls over a slow link ([`eta`]); no gate, as the link is what we make it.

mod active;
mod collector;
mod eta;
mod idle;
mod outage;
mod pull;
mod usage;
mod watch;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use e2e::clock;
use e2e::containerd::{Containerd, Extra};
use e2e::process::Process;
use e2e::pulltrace::{Collector, free_address};
use e2e::tools::{Need, Tools, Version, built};
use serde_json::json;
use tempfile::TempDir;

use crate::usage::{Memory, Rate, Usage};

/// How long everything may settle before a stretch is measured.
const WARM_UP: Duration = Duration::from_secs(10);

/// Stretches without and with an agent, alternating.
const PAIRS: u32 = 2;

/// Largest binary of the agent, bytes.
const BINARY_GATE: u64 = 6_000_000;

/// One line of the comparison.
#[derive(Debug, Clone, Copy, Default)]
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
    /// What an agent costs, idle and while layers come
    Agent {
        /// Idle seconds measured without and as many with the agent
        #[arg(long, default_value_t = 120)]
        seconds: u32,
    },
    /// What an agent keeps, and what that costs, while its collector is away
    Outage {
        /// Pulls that end meanwhile
        #[arg(long, default_value_t = 1_000)]
        pulls: u32,
    },
    /// How good estimates are for 20 real pulls
    Eta,
    /// What `pulltrace pull` costs beside `docker pull`
    Pull {
        /// How often everybody pulls
        #[arg(long, default_value_t = 21)]
        rounds: usize,
    },
    /// What a collector costs for what it takes, tells and answers
    Collector {
        /// How long each stretch is measured
        #[arg(long, default_value_t = 15)]
        seconds: u64,
        /// Only this part
        #[arg(long)]
        only: Option<String>,
    },
    /// What the command line costs who looks on
    Cli {
        /// How long each stretch is measured
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Pulls that change every second
        #[arg(long, default_value_t = 5_000)]
        pulls: u64,
    },
    /// The plain baseline, as a process that is measured
    #[command(hide = true)]
    Baseline {
        #[arg(long)]
        port: u16,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|panic| {
        say(format!("The benchmark cannot go on: {}", panic.payload_as_str().unwrap_or("a panic without words")));
    }));
    match &args.bench {
        Bench::Collector { seconds, only } => return collector::run(*seconds, only.as_deref(), &args.results),
        Bench::Cli { seconds, pulls } => return watch::run(*seconds, *pulls, &args.results),
        Bench::Pull { rounds } => return pull::run(*rounds, &args.results),
        Bench::Baseline { port } => {
            collector::baseline::serve(*port);
            return ExitCode::SUCCESS;
        }
        Bench::Agent { .. } | Bench::Outage { .. } | Bench::Eta => {}
    }
    let found = [Version::V1_7, Version::V2_1, Version::V2_4, Version::V1_6]
        .map(|version| (version, Tools::look(&[Need::Root, Need::Containerd(version), Need::Registry, Need::Pulltrace])));
    let Some((version, tools)) = found.iter().find_map(|(version, tools)| Some((*version, tools.as_ref().ok()?))) else {
        let why = found.iter().find_map(|(_, tools)| tools.as_ref().err());
        say(format!("SKIPPED: {}", why.map_or("", String::as_str)));
        return ExitCode::FAILURE;
    };
    match args.bench {
        Bench::Agent { seconds } => agent(tools, version, seconds, &args.results),
        Bench::Eta => eta::run(tools, version, &args.results),
        Bench::Outage { pulls } => outage::run(tools, version, pulls, &args.results),
        Bench::Collector { .. } | Bench::Cli { .. } | Bench::Baseline { .. } | Bench::Pull { .. } => ExitCode::SUCCESS,
    }
}

fn agent(tools: &Tools, version: Version, seconds: u32, results: &Path) -> ExitCode {
    let binary = fs::metadata(built("pulltrace-agent")).map_or(0, |file| file.len());
    let idle = idle::measure(tools, version, seconds);
    let active = active::LAYERS.map(|layers| active::measure(tools, version, layers));
    say("\n                              CPU ms/s  wakeups/s    RSS MB  containerd CPU ms/s");
    let mut passed = binary <= BINARY_GATE;
    let mut stretches = Vec::new();
    for result in std::iter::once(&idle).chain(&active) {
        result.print();
        passed &= result.passed();
        stretches.push(result.json());
    }
    say(format!("\nbinary {:.2} MB (gate {:.0} MB)", mb(binary), mb(BINARY_GATE)));
    let report = json!({
        "bench": "agent", "measuredAtUnix": clock::now().floor(), "containerd": version.to_string(), "binaryBytes": binary,
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get), "results": stretches,
    });
    write(results, "agent", &report, passed)
}

/// Keeps a report; the exit code says whether its gates were held.
fn write(results: &Path, name: &str, report: &serde_json::Value, passed: bool) -> ExitCode {
    fs::create_dir_all(results).expect("the results folder can be made");
    let file = results.join(format!("{name}.json"));
    fs::write(&file, format!("{report:#}\n")).expect("the results folder is writable");
    say(format!("{}; written to {}", if passed { "within the gates" } else { "MISSES A GATE" }, file.display()));
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was measured in one situation, one entry per stretch, and what it is compared with.
struct Compared {
    name: String,
    gate: Cost,
    /// Lines of others, measured elsewhere.
    others: Vec<(&'static str, Cost)>,
    /// containerd without an agent.
    alone: Vec<Rate>,
    /// containerd with one.
    watched: Vec<Rate>,
    agent: Vec<Rate>,
    /// Of the agent, at the end of each stretch.
    memory: Vec<Memory>,
}

impl Compared {
    fn cost(&self) -> Cost {
        let agent = Rate::mean(&self.agent);
        Cost {
            cpu_ms: agent.cpu_ms,
            wakeups: agent.wakeups,
            rss_mb: mb(self.memory.iter().map(|m| m.rss).max().unwrap_or(0)),
            containerd_cpu_ms: Rate::mean(&self.watched).cpu_ms - Rate::mean(&self.alone).cpu_ms,
        }
    }

    /// containerd's part is no gate: on a shared machine its own noise is larger than the difference.
    fn passed(&self) -> bool {
        let cost = self.cost();
        cost.cpu_ms <= self.gate.cpu_ms && cost.wakeups <= self.gate.wakeups && cost.rss_mb <= self.gate.rss_mb
    }

    fn print(&self) {
        say(&self.name);
        let own = [("  this agent", self.cost()), ("  gate", self.gate)];
        for (name, Cost { cpu_ms, wakeups, rss_mb, containerd_cpu_ms }) in own.iter().chain(&self.others) {
            say(format!("{name:<30}{cpu_ms:>8.4}{wakeups:>11.2}{rss_mb:>10.2}{containerd_cpu_ms:>+21.4}"));
        }
        let (alone, watched) = (Rate::mean(&self.alone), Rate::mean(&self.watched));
        let pss = self.memory.iter().map(|m| m.pss).max().unwrap_or(0);
        say(format!("  PSS {:.2} MB; containerd alone {:.3} ms/s, watched {:.3} ms/s", mb(pss), alone.cpu_ms, watched.cpu_ms));
    }

    fn json(&self) -> serde_json::Value {
        let rates =
            |rates: &[Rate]| rates.iter().map(|r| json!({"cpuMsPerS": r.cpu_ms, "wakeupsPerS": r.wakeups})).collect::<Vec<_>>();
        let memory: Vec<_> = self.memory.iter().map(|m| json!({"rssBytes": m.rss, "pssBytes": m.pss})).collect();
        json!({"name": self.name, "agent": rates(&self.agent), "containerdAlone": rates(&self.alone),
               "containerdWatched": rates(&self.watched), "memory": memory, "passed": self.passed(),
               "gate": {"cpuMsPerS": self.gate.cpu_ms, "wakeupsPerS": self.gate.wakeups, "rssMB": self.gate.rss_mb}})
    }
}

/// An agent as shipped, connected to a collector.
struct Agent {
    process: Process,
    _folder: TempDir,
}

impl Agent {
    fn start(containerd: &Containerd, collector: &Collector) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-bench-").tempdir().expect("the temporary folder is writable");
        let env = [
            ("PULLTRACE_NODE_NAME", "bench-node".to_owned()),
            ("PULLTRACE_CONTAINERD_SOCKET", containerd.socket().display().to_string()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("PULLTRACE_METRICS_ADDR", free_address()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value));
        let mut process = Process::spawn("pulltrace-agent", folder.path(), &built("pulltrace-agent"), &[], &env);
        process.ready(WARM_UP, || is_connected(collector));
        Self { process, _folder: folder }
    }

    fn usage(&self) -> Usage {
        Usage::read(self.process.pid())
    }

    fn memory(&self) -> Memory {
        Memory::read(self.process.pid())
    }
}

fn is_connected(collector: &Collector) -> bool {
    collector.metric("pulltrace_agents_connected", &[]) >= 1.0
}

fn of_containerd(containerd: &Containerd) -> Usage {
    Usage::read(containerd.pid().expect("containerd runs"))
}

fn private(tools: &Tools, version: Version, extra: Extra) -> Containerd {
    let containerd = Containerd::with(tools, version, extra);
    // As on a node that has pulled before: without a namespace there would be nothing to look at.
    drop(containerd.ctr(&["namespaces", "create", "k8s.io"]));
    containerd
}

fn mb(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush()));
}
