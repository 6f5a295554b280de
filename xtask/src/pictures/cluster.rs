//! A whole cluster for the scenes that ask a collector: the player of situations, with everything that it plays on a few nodes.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::build::{self, Profile};
use crate::shell::{self, Repo};

/// Nodes of the situations that are about many.
const NODES: &str = "4";
/// What stands before the address of its page.
const PAGE: &str = "page ";

/// A cluster that lives as long as this.
pub(super) struct Cluster {
    /// Where its collector answers.
    pub(super) url: String,
    player: Child,
    /// It is read no more, but has to be there for who writes.
    _said: BufReader<ChildStdout>,
}

impl Cluster {
    /// Builds and starts it, and waits until its collector answers.
    pub(super) fn start(repo: &Repo) -> anyhow::Result<Self> {
        let binaries = build::binaries(repo, Profile::Dev)?;
        let player = build::program(repo, Profile::Dev, "e2e", "scenario")?;
        let mut command = Command::new(&player);
        command.current_dir(&repo.root).args(["--nodes", NODES, "--root"]).arg(&repo.root).arg("all");
        let mut player =
            command.env("E2E_BINARIES", binaries).stdout(Stdio::piped()).spawn().context("cannot start the player")?;
        let mut said = BufReader::new(player.stdout.take().context("the player has no output")?);
        match page(&mut said)? {
            Some(url) => Ok(Self { url, player, _said: said }),
            None => {
                player.wait().context("cannot wait for the player")?;
                bail!("the player ended before its collector answered")
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It ends what it started when it is asked to, not when it is killed.
        drop(shell::run(Command::new("kill").args(["-TERM", &self.player.id().to_string()])));
        drop(self.player.wait());
    }
}

fn page(said: &mut BufReader<ChildStdout>) -> anyhow::Result<Option<String>> {
    for line in said.lines() {
        let line = line.context("cannot read what the player says")?;
        if let Some((_, url)) = line.split_once(PAGE) {
            return Ok(Some(url.trim().trim_end_matches('/').to_owned()));
        }
    }
    Ok(None)
}
