//! `cargo xtask workflows`: what GitHub runs in our name. actionlint, where there is one, says whether the workflows mean anything; that they trust no
//! more than they must is looked at everywhere (part of `tidy`): an action is named by the commit it is, with its version beside it, and nothing
//! is permitted before a job asks for it.

use std::process::Command;

use crate::shell::{self, Repo, say};
use crate::tool;
use crate::tree::{Finding, Tree};

/// Where the workflows are.
const FOLDER: &str = ".github/workflows/";

/// Checks what the workflows mean; where there is no actionlint says so and returns what it said.
///
/// # Errors
/// When actionlint has something to say; it has said it.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<Option<String>> {
    let Some(actionlint) = tool::find("actionlint") else {
        let said = "SKIPPED workflows: no actionlint".to_owned();
        say(&said);
        return Ok(Some(said));
    };
    shell::run(Command::new(actionlint).current_dir(&repo.root).arg("-color=false"))?;
    Ok(None)
}

/// What is wrong with whom the workflows trust.
pub(crate) fn findings(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.starts_with(FOLDER)) {
        if !text.lines().any(|line| line == "permissions: {}") {
            found.push(Finding::new(path, "says `permissions: {}` at the top, and each job what it needs"));
        }
        for (number, line) in (1..).zip(text.lines()) {
            let Some((_, used)) = line.split_once("uses: ") else { continue };
            if !(used.starts_with("./") || is_pinned(used)) {
                found.push(Finding::new(path, format!("line {number}: an action is named as `OWNER/NAME@COMMIT # vVERSION`")));
            }
            if used.starts_with("actions/checkout@")
                && !text.lines().nth(number).is_some_and(|next| next.contains("persist-credentials: false"))
            {
                found.push(Finding::new(
                    path,
                    format!("line {number}: `with: {{persist-credentials: false}}` stands below a checkout"),
                ));
            }
        }
        for secret in text.match_indices("secrets.").map(|(at, word)| &text[at + word.len()..]) {
            if !secret.starts_with("GITHUB_TOKEN") {
                found.push(Finding::new(path, "knows no secret but GITHUB_TOKEN"));
            }
        }
    }
    found
}

/// `owner/name@` with 40 hexadecimal digits, and the version for people.
fn is_pinned(used: &str) -> bool {
    let Some((action, version)) = used.split_once(" # v") else { return false };
    let commit = action.split_once('@').map(|(_, commit)| commit.trim());
    commit.is_some_and(|commit| commit.len() == 40 && commit.chars().all(|c| c.is_ascii_hexdigit()))
        && version.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> usize {
        let text = format!("permissions: {{}}\n{lines}\n");
        findings(&Tree::from([(".github/workflows/a.yml", text.as_str())])).len()
    }

    #[test]
    fn actions_are_named_by_their_commit_and_version() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(of(&format!("- uses: a/b@{commit} # v1.2.3")), 0);
        assert_eq!(of("uses: ./.github/workflows/ci.yml"), 0);
        assert_eq!(of("- uses: a/b@v1"), 1);
        assert_eq!(of(&format!("- uses: a/b@{commit}")), 1);
        assert_eq!(of("- uses: a/b@0123 # v1"), 1);
    }

    #[test]
    fn a_checkout_leaves_no_token_behind() {
        let checkout = "- uses: actions/checkout@0123456789abcdef0123456789abcdef01234567 # v7.0.1";
        assert_eq!(of(&format!("{checkout}\n  with: {{persist-credentials: false}}")), 0);
        assert_eq!(of(checkout), 1);
    }

    #[test]
    fn nothing_is_permitted_at_the_top_and_no_other_secret_is_known() {
        assert_eq!(findings(&Tree::from([(".github/workflows/a.yml", "permissions: write-all\n")])).len(), 1);
        assert_eq!(of("password: ${{ secrets.GITHUB_TOKEN }}"), 0);
        assert_eq!(of("password: ${{ secrets.OTHER }}"), 1);
    }
}
