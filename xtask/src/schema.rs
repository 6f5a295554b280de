//! `cargo xtask schema`: the dashboards fit the types that Grafana itself publishes, as its npm package `@grafana/schema` and the TypeScript
//! compiler see it. Needs Node; where there is none it says so, by the word that [`crate::test`] counts. What else a dashboard keeps to is the
//! business of [`crate::dashboards`].

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

use crate::shell::{self, Repo, say};
use crate::tree::Tree;

/// The npm package with the types, below the root.
const FOLDER: &str = "xtask/schema";

/// What is said where there is no Node.
const SKIPPED: &str = "SKIPPED schema: no npm";

/// Compares all dashboards; where it cannot it says so and returns what it said.
///
/// # Errors
/// When one does not fit; each finding is said first. When the packages cannot be installed.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<Option<&'static str>> {
    let dashboards = dashboards(&Tree::read(repo)?)?;
    ensure!(!dashboards.is_empty(), "no dashboard was found, so nothing would be checked");
    if Command::new("npm").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        say(SKIPPED);
        return Ok(Some(SKIPPED));
    }
    let folder = repo.root.join(FOLDER);
    shell::output(Command::new("npm").current_dir(&folder).args(["ci", "--no-audit", "--no-fund"]))?;
    let mut node = Command::new("node");
    let mut child = node.current_dir(&folder).arg("check.js").stdin(Stdio::piped()).spawn().context("cannot start node")?;
    child.stdin.take().context("it is piped")?.write_all(Value::Object(dashboards).to_string().as_bytes())?;
    ensure!(child.wait()?.success(), "not every dashboard fits");
    Ok(None)
}

/// The dashboards by their paths.
fn dashboards(tree: &Tree) -> anyhow::Result<Map<String, Value>> {
    let files = tree.ending(".json").filter(|(path, _)| path.starts_with("dashboards/"));
    let parsed = files.map(|(path, text)| {
        let json = serde_json::from_str(text).with_context(|| format!("{path} is not JSON"))?;
        Ok((path.to_owned(), json))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashboards_are_the_json_of_their_folder() {
        let tree = Tree::from([("dashboards/a.json", "{\"uid\": 1}"), ("docs/b.json", "{}"), ("dashboards/c.md", "")]);
        let found = dashboards(&tree).expect("they are JSON");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["dashboards/a.json"]);
        assert!(dashboards(&Tree::from([("dashboards/a.json", "{")])).is_err());
    }
}
