//! Small checks that are written in JavaScript, because what they ask is published for it: each is a folder here with a `check.js` that reads
//! JSON and ends with 0 if all is well. Needs Node and npm; where there is none, or npm reaches no registry, that is said by the word that
//! [`crate::test`] counts. What is asked is the business of whoever asks.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::shell::{Repo, say};

/// What npm says when it is the network that is missing (Node's and npm's names of errors).
const AWAY: [&str; 6] = ["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH"];
/// What npm says where a folder wants a newer Node (`engine-strict`).
const TOO_OLD: &str = "EBADENGINE";

/// Gives `input` to the check in this folder, which is called `name`. Where it cannot run, says so and returns what it said.
///
/// # Errors
/// When something is not well; the check has said what. When its packages cannot be installed.
pub(crate) fn check(repo: &Repo, name: &str, folder: &str, input: &str) -> anyhow::Result<Option<String>> {
    let folder = repo.root.join(folder);
    if let Installed::No(why) = install(&folder)? {
        return Ok(skipped(name, why));
    }
    let mut node = Command::new("node");
    let mut child = node.current_dir(&folder).arg("check.js").stdin(Stdio::piped()).spawn().context("cannot start node")?;
    child.stdin.take().context("it is piped")?.write_all(input.as_bytes())?;
    ensure!(child.wait()?.success(), "{name}: not all is well");
    Ok(None)
}

/// Says by the word that [`crate::test`] counts what did not run, and why.
pub(crate) fn skipped(name: &str, why: &str) -> Option<String> {
    let said = format!("SKIPPED {name}: {why}");
    say(&said);
    Some(said)
}

/// Whether the packages of a folder are there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Installed {
    Yes,
    /// They cannot be had on this machine; why.
    No(&'static str),
}

/// Installs exactly the packages that the folder's lock names, unless they are there.
///
/// # Errors
/// When they cannot be installed although npm and a registry are there.
pub(crate) fn install(folder: &Path) -> anyhow::Result<Installed> {
    let time = |name: &str| folder.join(name).metadata().and_then(|file| file.modified()).ok();
    // npm writes this file when it is done.
    if time("node_modules/.package-lock.json").zip(time("package-lock.json")).is_some_and(|(there, wanted)| there >= wanted) {
        return Ok(Installed::Yes);
    }
    let Ok(install) = Command::new("npm").current_dir(folder).args(["ci", "--no-audit", "--no-fund"]).output() else {
        return Ok(Installed::No("no npm"));
    };
    if install.status.success() {
        return Ok(Installed::Yes);
    }
    let said = String::from_utf8_lossy(&install.stderr);
    if said.contains(TOO_OLD) {
        return Ok(Installed::No("this Node is too old"));
    }
    if is_away(&said) {
        return Ok(Installed::No("npm reaches no registry"));
    }
    bail!("npm ci ended with {}\n{said}", install.status)
}

fn is_away(said: &str) -> bool {
    AWAY.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_is_missing_is_told_from_packages_that_are() {
        assert!(is_away(
            "npm error code ENOTFOUND\nnpm error network request failed, reason: getaddrinfo ENOTFOUND example.test"
        ));
        assert!(!is_away("npm error code E404\nnpm error 404 Not Found"));
    }
}
