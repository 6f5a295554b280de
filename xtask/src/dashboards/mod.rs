//! `cargo xtask dashboards`: the Grafana dashboards, made from the vocabulary so that no name can drift, and written to `dashboards/`, with a
//! drawing of each for the documentation ([`picture`]).
//!
//! Each dashboard is a function that says its questions ([`fleet`], [`itself`], ...), in words that are checked against
//! `lifecycle::names` ([`query`], [`traceql`]); [`lint`] is what any dashboard of ours keeps to.

mod board;
mod fleet;
mod itself;
mod lint;
mod node;
mod panel;
mod picture;
mod pull;
mod query;
mod registry;
mod rollout;
mod shared;
mod table;
mod traceql;
mod view;

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;

use self::board::Board;
use crate::shell::{Repo, say};
use crate::tree::{Finding, Tree, conclude};

/// Where the dashboards lie.
const FOLDER: &str = "dashboards/";
/// Where their pictures lie.
const PICTURES: &str = "docs/dashboards/";

/// All dashboards, in the order of the tour.
fn boards() -> Vec<Board> {
    vec![fleet::board(), node::board(), registry::board(), pull::board(), rollout::board(), itself::board()]
}

/// Writes every dashboard.
///
/// # Errors
/// When one has a fault, or a file cannot be written.
pub(crate) fn generate(repo: &Repo) -> anyhow::Result<()> {
    let boards = boards();
    conclude(&faults(&boards))?;
    for folder in [FOLDER, PICTURES] {
        fs::create_dir_all(repo.root.join(folder)).with_context(|| format!("cannot create {folder}"))?;
    }
    for (file, text) in files(&boards) {
        fs::write(repo.root.join(&file), text).with_context(|| format!("cannot write {file}"))?;
        say(format!("wrote {file}"));
    }
    Ok(())
}

/// Checks that the dashboards keep the rules, and that the files are what would be written.
///
/// # Errors
/// When something is not so.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    conclude(&findings(&Tree::read(repo)?, &boards()))
}

fn findings(tree: &Tree, boards: &[Board]) -> Vec<Finding> {
    let mut found = faults(boards);
    let files = files(boards);
    for (file, text) in &files {
        if tree.get(file) != Some(text.as_str()) {
            found.push(Finding::new(file, "is not what would be generated: run `cargo xtask dashboards`"));
        }
    }
    let others = tree
        .ending(".json")
        .filter(|(file, _)| file.strip_prefix(FOLDER).is_some_and(|name| !name.contains('/')) && !files.contains_key(*file));
    found.extend(others.map(|(file, _)| Finding::new(file, "is a dashboard that nothing generates")));
    found
}

fn faults(boards: &[Board]) -> Vec<Finding> {
    boards.iter().flat_map(lint::findings).collect()
}

/// What is written, by path: the dashboard, and its picture for the documentation.
fn files(boards: &[Board]) -> BTreeMap<String, String> {
    let dashboards = boards.iter().map(|board| (board.file(), format!("{:#}\n", board.json())));
    let pictures = boards.iter().map(|board| (format!("{PICTURES}{}.svg", board.uid), picture::svg(board)));
    dashboards.chain(pictures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dashboard_keeps_the_rules() {
        assert_eq!(faults(&boards()), []);
    }

    #[test]
    fn a_file_that_drifted_and_one_that_nobody_writes_are_found() {
        let boards = boards();
        let files = files(&boards);
        let mut names = findings(&Tree::from([("dashboards/own.json", "{}")]), &boards);
        names.retain(|finding| finding.what.contains("nothing generates"));
        assert_eq!(names, [Finding::new("dashboards/own.json", "is a dashboard that nothing generates")]);
        assert_eq!(findings(&Tree::default(), &boards).len(), files.len());
        let (file, text) = files.first_key_value().expect("there are dashboards");
        let one = Tree::from([(file.as_str(), text.as_str())]);
        assert!(findings(&one, &boards).iter().all(|finding| finding.file != *file));
    }
}
