//! `cargo xtask scenario`: builds everything and hands over to the program that plays a cluster's situations, `e2e/src/bin/scenario/`, in this
//! very process, so that Ctrl-C and the exit code are its own.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::build::{self, Profile};
use crate::shell::{Repo, step};

/// What to play.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which situations, or `all`; without a name they are listed
    names: Vec<String>,
    /// Nodes of the situations that are about many
    #[arg(long)]
    nodes: Option<usize>,
    /// End after so many seconds instead of on Ctrl-C
    #[arg(long = "for", value_name = "SECONDS")]
    lasts: Option<u64>,
    /// Beside it Prometheus with the rules, and Tempo where it is installed
    #[arg(long)]
    pub(crate) stack: bool,
}

impl Args {
    /// Everything at once, with what people look with.
    pub(crate) fn stack() -> Self {
        Self { names: vec!["all".to_owned()], nodes: None, lasts: None, stack: true }
    }
}

/// Builds and becomes the player.
///
/// # Errors
/// When building fails or the player cannot be started; one that starts does not return.
pub(crate) fn run(repo: &Repo, args: &Args) -> anyhow::Result<()> {
    let (binaries, player) = step("build", || {
        let binaries = build::binaries(repo, Profile::Quick)?;
        Ok((binaries, build::program(repo, Profile::Quick, "e2e", "scenario")?))
    })?;
    let mut command = Command::new(&player);
    command.current_dir(&repo.root).env("E2E_BINARIES", binaries).arg("--root").arg(&repo.root).args(&args.names);
    for (flag, value) in [("--nodes", args.nodes.map(|nodes| nodes as u64)), ("--for", args.lasts)] {
        command.args(value.into_iter().flat_map(|value| [flag.to_owned(), value.to_string()]));
    }
    command.args(args.stack.then_some("--stack"));
    Err(command.exec()).with_context(|| format!("cannot start {}", player.display()))
}
