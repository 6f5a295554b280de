//! Small checks that are written in JavaScript, because what they ask is published for it: each is a folder here with a `check.js` that reads
//! JSON and ends with 0 if all is well. Needs Node and npm; where there is none, or npm reaches no registry, that is said by the word that
//! [`crate::test`] counts. What is asked is the business of whoever asks.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::shell::{Repo, say};

/// What npm says when it is the network that is missing (Node's and npm's names of errors).
const AWAY: [&str; 6] = ["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH"];

/// Gives `input` to the check in this folder, which is called `name`. Where it cannot run, says so and returns what it said.
///
/// # Errors
/// When something is not well; the check has said what. When its packages cannot be installed.
pub(crate) fn check(repo: &Repo, name: &str, folder: &str, input: &str) -> anyhow::Result<Option<String>> {
    let skipped = |why: &str| {
        let said = format!("SKIPPED {name}: {why}");
        say(&said);
        Ok(Some(said))
    };
    let folder = repo.root.join(folder);
    let Ok(install) = Command::new("npm").current_dir(&folder).args(["ci", "--no-audit", "--no-fund"]).output() else {
        return skipped("no npm");
    };
    if !install.status.success() {
        let said = String::from_utf8_lossy(&install.stderr);
        if is_away(&said) {
            return skipped("npm reaches no registry");
        }
        bail!("npm ci ended with {}\n{said}", install.status);
    }
    let mut node = Command::new("node");
    let mut child = node.current_dir(&folder).arg("check.js").stdin(Stdio::piped()).spawn().context("cannot start node")?;
    child.stdin.take().context("it is piped")?.write_all(input.as_bytes())?;
    ensure!(child.wait()?.success(), "{name}: not all is well");
    Ok(None)
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
