//! What of the Helm chart is written from elsewhere: the dashboards and rules that it carries, and the table of values in its README, from the
//! comments of `values.yaml`. That it renders, and what, is the business of `e2e/tests/chart.rs`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use serde_json::Value;

use crate::shell::{Repo, say};
use crate::tree::{Finding, Tree};

/// The chart.
const CHART: &str = "charts/pulltrace/";
/// What the chart carries is below this.
const FILES: &str = "charts/pulltrace/files/";
/// The rules as Prometheus reads them.
const RULES: &str = "rules/pulltrace-rules.yaml";
/// Stands before the table of values; what is behind it is written.
const MARK: &str = "<!-- Written by `cargo xtask gen` from the comments of values.yaml: -->\n";
/// Defaults longer than this are left to `values.yaml`.
const LONG: usize = 60;

/// Writes the files of the chart.
///
/// # Errors
/// When what they are made from is not what it should be, or a file cannot be written.
pub(crate) fn generate(repo: &Repo) -> anyhow::Result<()> {
    let files = files(&Tree::read(repo)?)?;
    let folder = repo.root.join(FILES).join("dashboards");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (path, text) in &files {
        fs::write(repo.root.join(path), text).with_context(|| format!("cannot write {path}"))?;
    }
    say(format!("wrote {} files of {CHART}", files.len()));
    Ok(())
}

/// What is wrong with the chart's written files.
pub(crate) fn findings(tree: &Tree) -> Vec<Finding> {
    if tree.get(&format!("{CHART}Chart.yaml")).is_none() {
        return Vec::new();
    }
    let files = match files(tree) {
        Ok(files) => files,
        Err(error) => return vec![Finding::new(CHART, format!("{error:#}"))],
    };
    let differ = files.iter().filter(|(path, text)| tree.get(path) != Some(text));
    let mut found: Vec<Finding> =
        differ.map(|(path, _)| Finding::new(path, "is not what would be written: run `cargo xtask gen`")).collect();
    let strays = tree.files().filter(|(path, _)| path.starts_with(FILES) && !files.contains_key(*path));
    found.extend(strays.map(|(path, _)| Finding::new(path, "is written by nobody")));
    found.extend(versions(tree));
    found
}

/// Whatever the chart says of a version is the workspace's.
fn versions(tree: &Tree) -> Option<Finding> {
    let version_of = |line: &str| line.strip_prefix("version = \"")?.strip_suffix('"').map(str::to_owned);
    let version = tree.get("Cargo.toml")?.lines().find_map(version_of)?;
    let speaks = |line: &&str| ["version: ", "appVersion: ", "image: "].iter().any(|key| line.trim_start().starts_with(key));
    let path = format!("{CHART}Chart.yaml");
    let ends = [format!(" {version}"), format!(":{version}")];
    let other = tree.get(&path)?.lines().filter(speaks).find(|line| !ends.iter().any(|end| line.ends_with(end)))?;
    Some(Finding::new(path, format!("`{}` is not version {version} of Cargo.toml", other.trim())))
}

/// What is written, by path.
fn files(tree: &Tree) -> anyhow::Result<BTreeMap<String, String>> {
    let read = |path: &str| tree.get(path).with_context(|| format!("{path} is missing"));
    let mut files = BTreeMap::new();
    files.insert(format!("{FILES}rules.yaml"), read(RULES)?.to_owned());
    for (path, text) in tree.ending(".json").filter(|(path, _)| path.starts_with("dashboards/")) {
        // Without its white space: it lies in the release's Secret twice, which holds a megabyte.
        let json: Value = serde_json::from_str(text).with_context(|| format!("{path} is not JSON"))?;
        files.insert(format!("{FILES}{path}"), format!("{json}\n"));
    }
    let readme = format!("{CHART}README.md");
    let (written_by_hand, _) = read(&readme)?.split_once(MARK).with_context(|| format!("{readme} has no line {MARK}"))?;
    let table = table(read(&format!("{CHART}values.yaml"))?)?;
    files.insert(readme.clone(), format!("{written_by_hand}{MARK}{table}"));
    Ok(files)
}

/// One value that is described.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    /// Its path, with points between.
    path: String,
    description: String,
}

/// The table of all values.
fn table(values: &str) -> anyhow::Result<String> {
    let parsed: Value = serde_saphyr::from_str(values).context("values.yaml is not YAML")?;
    let described = described(values);
    let mut leaves = Vec::new();
    undescribed(&parsed, "", &described, &mut leaves);
    anyhow::ensure!(leaves.is_empty(), "values.yaml has no description of {}", leaves.join(", "));
    let mut table = String::from("\n| value | default | meaning |\n|---|---|---|\n");
    for Described { path, description } in &described {
        let default = parsed.pointer(&format!("/{}", path.replace('.', "/"))).with_context(|| format!("there is no {path}"))?;
        let shown = match default {
            Value::String(text) if text.is_empty() => "`\"\"`".to_owned(),
            Value::String(text) => format!("`{text}`"),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => match default.to_string() {
                long if long.len() > LONG => "see `values.yaml`".to_owned(),
                short => format!("`{short}`"),
            },
        };
        table += &format!("| `{path}` | {shown} | {} |\n", description.replace('|', "\\|"));
    }
    Ok(table)
}

/// The values with a comment that begins with `# --`, in their order.
fn described(values: &str) -> Vec<Described> {
    let mut found = Vec::new();
    let mut folders: Vec<(usize, &str)> = Vec::new();
    let mut description: Option<String> = None;
    for line in values.lines() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        if let Some(begun) = text.strip_prefix("# -- ") {
            description = Some(begun.to_owned());
        } else if let (Some(more), Some(description)) = (text.strip_prefix("# "), &mut description) {
            *description += &format!(" {more}");
        } else if let Some((key, _)) = text.split_once(':').filter(|_| !text.starts_with(['#', '-'])) {
            folders.retain(|(outer, _)| *outer < depth);
            folders.push((depth, key));
            if let Some(description) = description.take() {
                let path: Vec<&str> = folders.iter().map(|(_, key)| *key).collect();
                found.push(Described { path: path.join("."), description });
            }
        } else {
            description = None;
        }
    }
    found
}

/// The paths of values that neither have a description nor are part of one that has.
fn undescribed(value: &Value, path: &str, described: &[Described], found: &mut Vec<String>) {
    if described.iter().any(|known| known.path == path) {
        return;
    }
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, field) in fields {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                undescribed(field, &inner, described, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            found.push(path.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "# About the file.\n\n# -- How many.\n# At least one | two.\nreplicas: 1\nimage:\n  # -- Its tag.\n  tag: \"\"\n\
                          # -- What it may use.\nresources:\n  limits:\n    memory: 64Mi\n# -- Which.\nnames: [a]\n";

    #[test]
    fn a_value_is_told_with_its_path_default_and_comment() {
        assert_eq!(
            table(VALUES).expect("all are described"),
            "\n| value | default | meaning |\n|---|---|---|\n\
             | `replicas` | `1` | How many. At least one \\| two. |\n\
             | `image.tag` | `\"\"` | Its tag. |\n\
             | `resources` | `{\"limits\":{\"memory\":\"64Mi\"}}` | What it may use. |\n\
             | `names` | `[\"a\"]` | Which. |\n"
        );
    }

    #[test]
    fn a_value_without_a_comment_is_named() {
        let error = table(&format!("{VALUES}other:\n  a: 1\n  # no description\n  b: {{}}\n")).expect_err("two lack it");
        assert_eq!(error.to_string(), "values.yaml has no description of other.a, other.b");
    }

    #[test]
    fn a_version_that_is_not_the_workspaces_is_found() {
        let found =
            |chart| versions(&Tree::from([("Cargo.toml", "version = \"1.2.0\"\n"), ("charts/pulltrace/Chart.yaml", chart)]));
        assert_eq!(found("version: 1.2.0\nappVersion: 1.2.0\n      image: a/b:1.2.0\nkubeVersion: 1\n"), None);
        assert!(found("version: 1.2.0\nappVersion: 1.1.0\n").is_some());
        assert!(found("      image: a/b:1.1.0\n").is_some());
    }

    #[test]
    fn files_that_drifted_and_strays_are_found() {
        let readme = format!("# Chart\n{MARK}{}", table(VALUES).expect("all are described"));
        let tree = |rules: &'static str, stray: &'static str| {
            let files = [
                ("charts/pulltrace/Chart.yaml", ""),
                ("charts/pulltrace/README.md", readme.as_str()),
                ("charts/pulltrace/values.yaml", VALUES),
                ("charts/pulltrace/files/rules.yaml", rules),
                ("charts/pulltrace/files/dashboards/a.json", "{\"a\":1}\n"),
                ("rules/pulltrace-rules.yaml", "groups"),
                ("dashboards/a.json", "{\n  \"a\": 1\n}\n"),
                (stray, ""),
            ];
            findings(&Tree::from(files)).into_iter().map(|finding| finding.file).collect::<Vec<_>>()
        };
        assert_eq!(tree("groups", "other"), [""; 0]);
        assert_eq!(tree("old", "other"), ["charts/pulltrace/files/rules.yaml"]);
        assert_eq!(tree("groups", "charts/pulltrace/files/b"), ["charts/pulltrace/files/b"]);
    }
}
