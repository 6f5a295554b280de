//! The repository's texts as data: path -> content. `tidy` and `vocab` look at nothing else, so that their tests can hand them a small
//! invented repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::shell::{Repo, say};

/// Folders that hold what is built or measured, not what is written.
const NOT_OURS: [&str; 5] = [".git", "target", "node_modules", "bench-results", "dist"];

/// All text files, by their path from the root with `/` between folders; of the others (pictures) only that they exist.
#[derive(Default)]
pub(crate) struct Tree {
    texts: BTreeMap<String, String>,
    others: BTreeSet<String>,
}

impl Tree {
    /// Reads the repository.
    ///
    /// # Errors
    /// When a file or folder cannot be read.
    pub(crate) fn read(repo: &Repo) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(&repo.root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            // In a second worktree of git `.git` is a file.
            if NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                self.read_folder(&entry.path(), &format!("{prefix}{name}/"))?;
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
                let path = format!("{prefix}{name}");
                match String::from_utf8(bytes) {
                    Ok(text) => drop(self.texts.insert(path, text)),
                    Err(_) => drop(self.others.insert(path)),
                }
            }
        }
        Ok(())
    }

    /// The text of one file.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is a file, text or not.
    pub(crate) fn has_file(&self, path: &str) -> bool {
        self.texts.contains_key(path) || self.others.contains(path)
    }

    /// Whether there is a folder with a file in it; the root is `""`.
    pub(crate) fn has_folder(&self, path: &str) -> bool {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        self.texts.keys().chain(&self.others).any(|file| file.starts_with(&prefix))
    }

    /// All files in the order of their paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The files whose name ends so.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files().filter(move |(path, _)| path.ends_with(end))
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Tree {
    fn from(files: [(&str, &str); N]) -> Self {
        let texts = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        Self { texts, others: BTreeSet::new() }
    }
}

#[cfg(test)]
impl Tree {
    /// A file that is not text.
    pub(crate) fn add_picture(&mut self, path: &str) {
        self.others.insert(path.to_owned());
    }
}

/// What is wrong, and in which file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Path from the root.
    pub(crate) file: String,
    /// What is wrong and what the rule is.
    pub(crate) what: String,
}

impl Finding {
    pub(crate) fn new(file: impl Into<String>, what: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into() }
    }
}

/// Says all findings.
///
/// # Errors
/// When there is one.
pub(crate) fn conclude(findings: &[Finding]) -> anyhow::Result<()> {
    for Finding { file, what } in findings {
        say(format!("{file}: {what}"));
    }
    anyhow::ensure!(findings.is_empty(), "findings: {}", findings.len());
    Ok(())
}
