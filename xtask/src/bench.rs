//! `cargo xtask bench`: builds what is shipped and hands over to the program that measures it, `e2e/src/bin/bench/`. Results land in
//! `bench-results/`, which is not kept in git: a number belongs to the machine it was measured on. What needs no machine (simulated estimates) is `src/bin/eta/` here.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::build::{self, Profile};
use crate::shell::{Repo, step};
use crate::ui;

/// What to measure.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// CPU, wakeups, memory and size of an agent beside a real containerd, idle and while layers come, and what it costs containerd.
    /// Needs root
    Agent {
        /// How long each idle half (with and without the agent) is measured
        #[arg(long, default_value_t = 120)]
        seconds: u64,
    },
    /// What an agent keeps, and what that costs, while a thousand real pulls end and its collector is away. Needs root
    Outage {
        /// Pulls that end meanwhile
        #[arg(long, default_value_t = 1_000)]
        pulls: u64,
    },
    /// CPU of a collector for each span, record, report, reader and scrape, and its memory, beside a plain baseline
    Collector {
        /// How long each stretch is measured
        #[arg(long, default_value_t = 15)]
        seconds: u64,
        /// Only this part: rate, t1, t2, t3, readers or memory
        #[arg(long)]
        only: Option<String>,
    },
    /// `pulltrace watch` on a terminal with 5,000 pulls that change once a second: CPU, memory, and how long a key takes to be seen
    Cli {
        /// How long each stretch is measured
        #[arg(long, default_value_t = 30)]
        seconds: u64,
        /// Pulls that change every second
        #[arg(long, default_value_t = 5_000)]
        pulls: u64,
    },
    /// `pulltrace pull` beside `docker pull`, with both image stores of a real Docker Engine: time, CPU and memory. Needs root
    Pull {
        /// How often everybody pulls
        #[arg(long, default_value_t = 21)]
        rounds: u32,
    },
    /// The web UI with 5,000 pulls that change once a second: script per frame, memory, first paint, size. Needs Node and Chromium
    Ui {
        /// How long memory is watched
        #[arg(long, default_value_t = 10)]
        minutes: u32,
    },
    /// How good the estimated times to ready are, against an oracle that knows the true mean rate: simulated pulls, the real mind
    Eta {
        /// Simulated nodes of each class
        #[arg(long, default_value_t = 250)]
        nodes: u64,
        /// Uses the seeds that constants may be chosen on; gives no verdict
        #[arg(long)]
        tune: bool,
        /// Pulls from a real registry over a slow link instead. Needs root
        #[arg(long, conflicts_with_all = ["nodes", "tune"])]
        real: bool,
    },
}

/// A program that measures.
enum Program {
    /// Of the end-to-end kit: measures the binaries, built like this.
    Kit(Profile),
    /// Measures the agent's mind, which needs nothing built.
    Simulation,
    /// Measures the web UI for so many minutes.
    Browser(u32),
}

impl Bench {
    /// The program and its arguments.
    fn program(&self) -> (Program, Vec<String>) {
        let words = |words: &[&str]| -> Vec<String> { words.iter().map(|w| (*w).to_owned()).collect() };
        match self {
            Self::Agent { seconds } => (Program::Kit(Profile::Release), words(&["agent", "--seconds", &seconds.to_string()])),
            Self::Outage { pulls } => (Program::Kit(Profile::Release), words(&["outage", "--pulls", &pulls.to_string()])),
            Self::Collector { seconds, only } => {
                let mut args = words(&["collector", "--seconds", &seconds.to_string()]);
                args.extend(only.iter().flat_map(|only| words(&["--only", only])));
                (Program::Kit(Profile::Release), args)
            }
            Self::Cli { seconds, pulls } => {
                let args = words(&["cli", "--seconds", &seconds.to_string(), "--pulls", &pulls.to_string()]);
                (Program::Kit(Profile::Release), args)
            }
            Self::Pull { rounds } => (Program::Kit(Profile::Release), words(&["pull", "--rounds", &rounds.to_string()])),
            Self::Ui { minutes } => (Program::Browser(*minutes), Vec::new()),
            Self::Eta { real: true, .. } => (Program::Kit(Profile::Quick), words(&["eta"])),
            Self::Eta { nodes, tune: true, .. } => (Program::Simulation, words(&["--nodes", &nodes.to_string(), "--tune"])),
            Self::Eta { nodes, .. } => (Program::Simulation, words(&["--nodes", &nodes.to_string()])),
        }
    }
}

/// Builds and becomes the benchmark.
///
/// # Errors
/// When building fails or the benchmark cannot be started; one that starts does not return.
pub(crate) fn run(repo: &Repo, bench: &Bench) -> anyhow::Result<()> {
    let (program, args) = bench.program();
    let mut command = match program {
        Program::Kit(profile) => {
            let (binaries, program) = step("build", || {
                let binaries = build::binaries(repo, profile)?;
                Ok((binaries, build::program(repo, Profile::Quick, "e2e", "bench")?))
            })?;
            let mut command = Command::new(program);
            command.env("E2E_BINARIES", binaries);
            command
        }
        Program::Browser(minutes) => return ui::measure(repo, minutes),
        Program::Simulation => Command::new(step("build", || build::program(repo, Profile::Quick, "xtask", "eta"))?),
    };
    command.current_dir(&repo.root).arg("--results").arg(repo.root.join("bench-results")).args(args);
    Err(command.exec()).with_context(|| format!("cannot start {}", command.get_program().display()))
}
