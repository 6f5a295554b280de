//! `cargo xtask demo`: builds everything and hands over to the program that shows it, `e2e/src/bin/demo/`, in this very process, so
//! that Ctrl-C and the exit code are the demo's own.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::build::{self, Profile};
use crate::scenario;
use crate::shell::{Repo, step};

/// What to show.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Use the simulated containerd even where a real one can run
    #[arg(long)]
    simulated: bool,
    /// One round of pulls instead of round after round until Ctrl-C
    #[arg(long)]
    once: bool,
    /// All situations of a cluster instead, with Prometheus and its alerts, and Tempo where it is installed
    #[arg(long, conflicts_with_all = ["simulated", "once"])]
    stack: bool,
}

/// Builds and becomes the demo.
///
/// # Errors
/// When building fails or the demo cannot be started; a demo that starts does not return.
pub(crate) fn run(repo: &Repo, args: &Args) -> anyhow::Result<()> {
    if args.stack {
        return scenario::run(repo, &scenario::Args::stack());
    }
    let (binaries, demo) = step("build", || {
        let binaries = build::binaries(repo, Profile::Quick)?;
        Ok((binaries, build::program(repo, Profile::Quick, "e2e", "demo")?))
    })?;
    let mut command = Command::new(&demo);
    command.current_dir(&repo.root).env("E2E_BINARIES", binaries);
    command.args(args.simulated.then_some("--simulated")).args(args.once.then_some("--once"));
    Err(command.exec()).with_context(|| format!("cannot start {}", demo.display()))
}
