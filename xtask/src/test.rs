//! `cargo xtask test`: everything CI runs, and at the end what it came to: how many tests passed, and by name which live tests did not
//! run because this machine lacks something, and which passed only when they were played again. A skip is never taken for a pass, so with
//! `--live` a skip is a failure.

use std::io::{BufRead as _, BufReader};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::build::{self, Profile};
use crate::check;
use crate::image;
use crate::queries;
use crate::schema;
use crate::shell::{Repo, say, step};
use crate::ui;
use crate::{book, commands, workflows};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A live test that cannot run on this machine is a failure
    #[arg(long, conflicts_with = "no_live")]
    live: bool,
    /// Leave out the tests against a real containerd and a real registry
    #[arg(long)]
    no_live: bool,
}

/// Check, build, tests, live tests.
///
/// # Errors
/// When anything fails; with `--live` also when anything was skipped.
pub(crate) fn run(repo: &Repo, args: &Args) -> anyhow::Result<()> {
    check::run(repo)?;
    step("build", || build::binaries(repo, Profile::Dev))?;
    let mut tally = Tally::default();
    tally.one(step("schema", || schema::run(repo))?);
    tally.one(step("queries", || queries::run(repo))?);
    tally.one(step("workflows", || workflows::run(repo))?);
    tally.one(step("book", || book::run(repo))?);
    step("commands", || commands::run(repo, &crate::all()))?;
    tally.one(step("web UI", || ui::test(repo))?);
    tally.one(step("browser", || ui::browser(repo))?);
    let tests = step("tests", || {
        let all = ["test", "--workspace", "--exclude", "e2e", "--all-features", "--no-fail-fast"];
        tally.follow(repo.cargo(&all), |line| say(line))
    });
    let live = if args.no_live {
        say("== live tests: left out by --no-live");
        Ok(())
    } else {
        // The binaries once more, because a test build may have put others in their place.
        step("live tests", || {
            build::binaries(repo, Profile::Dev)?;
            image::trial(repo)?;
            let all = ["test", "--package", "e2e", "--no-fail-fast", "--", "--test-threads=2"];
            tally.follow(repo.cargo(&all), |line| say(line))
        })
    };
    for line in tally.summary() {
        say(line);
    }
    tests.and(live)?;
    ensure!(!args.live || tally.skipped.is_empty(), "--live: {} were skipped", tally.skipped.len());
    Ok(())
}

/// What the test programs said.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: Vec<String>,
    again: Vec<String>,
}

impl Tally {
    /// Runs a test command, shows each line of its output as it comes and keeps count. What the live tests skip is on stderr, past the test
    /// harness, which hides the output of tests that pass.
    fn follow(&mut self, mut command: Command, mut show: impl FnMut(&str)) -> anyhow::Result<()> {
        let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn().context("cannot start cargo")?;
        // Our ends of the pipe; the reader sees the end when the child's are closed too.
        drop(command);
        for line in BufReader::new(reader).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            show(&line);
            self.read(&line);
        }
        let status = child.wait()?;
        ensure!(status.success(), "cargo test ended with {status}");
        Ok(())
    }

    /// A check that is no test program: it passed, or said why it did not run.
    fn one(&mut self, skipped: Option<String>) {
        self.passed += usize::from(skipped.is_none());
        self.skipped.extend(skipped);
    }

    /// One line of a test program.
    fn read(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) {
            let passed = counts.1.split_once(" passed").and_then(|(number, _)| number.parse::<usize>().ok());
            self.passed += passed.unwrap_or_default();
        } else if let Some(at) = line.find("SKIPPED ") {
            self.skipped.push(line[at..].trim_end().to_owned());
        } else if let Some(at) = line.find("AGAIN ") {
            self.again.push(line[at..].trim_end().to_owned());
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failed.push(name.to_owned());
        }
    }

    fn summary(&mut self) -> Vec<String> {
        self.skipped.sort();
        self.skipped.dedup();
        let mut lines = vec!["== summary".to_owned()];
        lines.extend(self.failed.iter().map(|name| format!("FAILED {name}")));
        lines.extend(self.again.iter().chain(&self.skipped).cloned());
        let Self { passed, failed, skipped, again } = self;
        let ran = passed.saturating_sub(skipped.len());
        let (failed, skipped, again) = (failed.len(), skipped.len(), again.len());
        lines.push(format!("{ran} passed, {failed} failed, {skipped} skipped, {again} played again (by name above)"));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_named_once_and_not_counted_as_a_pass_and_what_was_played_again_is_named() {
        let mut tally = Tally::default();
        for line in [
            "test a ... ok",
            "test b ... SKIPPED b: needs root",
            "test b ... FAILED",
            "test c ... AGAIN c: it failed",
            "SKIPPED b: needs root",
            "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            tally.read(line);
        }
        assert_eq!(
            tally.summary(),
            [
                "== summary",
                "FAILED b",
                "AGAIN c: it failed",
                "SKIPPED b: needs root",
                "6 passed, 1 failed, 1 skipped, 1 played again (by name above)"
            ]
        );
    }

    #[test]
    fn both_outputs_are_followed_to_the_end_and_a_failure_is_one() {
        let script = "echo 'test result: ok. 2 passed; 0 failed;'; echo 'SKIPPED b: needs root' >&2; exit 1";
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut tally = Tally::default();
        let mut shown = 0;
        assert!(tally.follow(command, |_| shown += 1).is_err());
        assert_eq!(shown, 2);
        assert_eq!((tally.passed, tally.skipped), (2, vec!["SKIPPED b: needs root".to_owned()]));
    }
}
