//! What the chart renders, kept beside the tests for people to look at: `default.yaml`, and of every other situation the objects that are not as
//! there. `UPDATE_GOLDEN=1` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use e2e::helm::chart;

use crate::lines;

/// Longer lines are dashboards.
const LONG: usize = 1000;
/// What holds the chart's version.
const VERSIONED: [&str; 3] = ["app.kubernetes.io/version: ", "helm.sh/chart: ", "image: "];
/// The situation that is kept whole.
const DEFAULT: &str = "default";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart/snapshots")
}

/// Without what differs from time to time: a token that was made, versions, and what dashboards and rules hold.
pub(crate) fn stable(text: &str) -> String {
    let chart = fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    let version = chart.lines().find_map(|line| line.strip_prefix("version: ")).unwrap();
    let mut stable = String::new();
    let mut in_rules = false;
    for line in lines(text).lines() {
        in_rules = line == "  groups:" || (in_rules && (line.starts_with("  -") || line.starts_with("   ")));
        if in_rules && line != "  groups:" {
            continue;
        }
        let is_versioned = VERSIONED.iter().any(|key| line.trim_start().starts_with(key));
        let line = if is_versioned { line.replace(version, "(version)") } else { line.to_owned() };
        match line.split_once(": ") {
            Some(("  token", _)) => stable += "  token: (made)",
            Some((key, _)) if line.len() > LONG => stable += &format!("{key}: (a dashboard)"),
            Some(_) | None => stable += &line,
        }
        stable.push('\n');
    }
    stable
}

/// Objects by kind and name.
fn objects(text: &str) -> BTreeMap<String, &str> {
    let texts = text.split("---\n").filter(|object| object.contains("kind: "));
    let named = texts.map(|object| {
        let word = |key: &str| object.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        let inside = |key: &str| {
            object.lines().take_while(|line| *line != "spec:").find_map(|line| line.strip_prefix(key)).unwrap_or_default()
        };
        (format!("{} {}/{}", word("kind: "), inside("  namespace: "), inside("  name: ")), object)
    });
    named.collect()
}

/// What is kept of a situation.
fn kept(text: &str, default: &str) -> String {
    let (here, there) = (objects(text), objects(default));
    let without: String =
        there.keys().filter(|name| !here.contains_key(*name)).map(|name| format!("# without {name}\n")).collect();
    let other = here.iter().filter(|(name, object)| there.get(*name) != Some(object));
    without + &other.map(|(_, object)| format!("---\n{object}")).collect::<String>()
}

/// Compares all of them; what is no more rendered must be gone too.
pub(crate) fn compare(rendered: impl Iterator<Item = (String, String)>) {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let rendered: BTreeMap<String, String> = rendered.map(|(name, text)| (name, stable(&text))).collect();
    let mut known = BTreeSet::new();
    for (name, text) in &rendered {
        let file = folder().join(format!("{name}.yaml"));
        let now = if name == DEFAULT { text.clone() } else { kept(text, &rendered[DEFAULT]) };
        if update {
            fs::write(&file, &now).unwrap();
        }
        let was = fs::read_to_string(&file).unwrap_or_default();
        let differs = was.lines().zip(now.lines()).find(|(was, now)| was != now);
        assert!(was == now, "{name} renders otherwise, first {differs:?}; if that is right: UPDATE_GOLDEN=1");
        known.insert(file);
    }
    let there: BTreeSet<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(there, known, "each snapshot has a situation");
}

#[test]
fn of_a_situation_the_objects_that_are_not_as_by_default_are_kept() {
    let object = |kind: &str, name: &str, more: &str| {
        format!("---\n# Source: a\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n  {more}\n")
    };
    let default = [object("A", "a", "x: 1"), object("B", "b", "x: 1"), object("C", "c", "name: 1")].concat();
    let here = [object("A", "a", "x: 1"), object("B", "b", "x: 2"), object("C", "d", "x: 1")].concat();
    let wanted = format!("# without C /c\n{}{}", object("B", "b", "x: 2"), object("C", "d", "x: 1"));
    assert_eq!(kept(&here, &default), wanted);
}
