//! `cargo xtask bench`: builds what is shipped and hands over to the program that measures it, `e2e/src/bin/bench/`. Results land in
//! `bench-results/`, which is not kept in git: a number belongs to the machine it was measured on. What needs no machine (`eta`) runs here.

mod eta;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::build::{self, Profile};
use crate::shell::{Repo, step};

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
    /// How good the estimated times to ready are, against an oracle that knows the true mean rate: simulated pulls, the real mind
    Eta {
        /// Simulated nodes of each class
        #[arg(long, default_value_t = 20)]
        nodes: u64,
    },
}

/// Builds and becomes the benchmark.
///
/// # Errors
/// When building fails or the benchmark cannot be started; one that starts does not return.
pub(crate) fn run(repo: &Repo, bench: &Bench) -> anyhow::Result<()> {
    let (name, setting, value) = match bench {
        Bench::Eta { nodes } => return eta::run(repo, *nodes),
        Bench::Agent { seconds } => ("agent", "--seconds", seconds),
        Bench::Outage { pulls } => ("outage", "--pulls", pulls),
    };
    let (binaries, program) = step("build", || {
        let binaries = build::binaries(repo, Profile::Release)?;
        Ok((binaries, build::kit(repo, Profile::Quick, "bench")?))
    })?;
    let mut command = Command::new(&program);
    command.current_dir(&repo.root).env("E2E_BINARIES", binaries).arg("--results").arg(repo.root.join("bench-results"));
    command.args([name, setting]).arg(value.to_string());
    Err(command.exec()).with_context(|| format!("cannot start {}", program.display()))
}
