//! The repository's texts as data: path -> content. `tidy` and `vocab` look at nothing else, so that their tests can hand them a small
//! invented repository.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context as _;

use crate::shell::{Repo, say};

/// Folders that hold what is built or measured, not what is written.
const NOT_OURS: [&str; 5] = [".git", "target", "node_modules", "bench-results", "dist"];

/// All text files, by their path from the root with `/` between folders.
#[derive(Default)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// Reads the repository. Files that are not text (pictures) are left out.
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
            if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &format!("{prefix}{name}/"))?;
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
                if let Ok(text) = String::from_utf8(bytes) {
                    self.0.insert(format!("{prefix}{name}"), text);
                }
            }
        }
        Ok(())
    }

    /// The text of one file.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// All files in the order of their paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The files whose name ends so.
    pub(crate) fn ending<'a>(&'a self, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files().filter(move |(path, _)| path.ends_with(end))
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Tree {
    fn from(files: [(&str, &str); N]) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
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
