//! `cargo xtask schema`: the dashboards fit the types that Grafana itself publishes, as its npm package `@grafana/schema` and the TypeScript
//! compiler see it. Needs [Node](crate::node). What else a dashboard keeps to is the business of [`crate::dashboards`].

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

use crate::node;
use crate::shell::Repo;
use crate::tree::Tree;

/// The npm package with the types, below the root.
const FOLDER: &str = "xtask/schema";

/// Compares all dashboards; where it cannot it says so and returns what it said.
///
/// # Errors
/// When one does not fit; each finding is said first. When the packages cannot be installed.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<Option<String>> {
    let dashboards = dashboards(&Tree::read(repo)?)?;
    ensure!(!dashboards.is_empty(), "no dashboard was found, so nothing would be checked");
    node::check(repo, "schema", FOLDER, &Value::Object(dashboards).to_string())
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
