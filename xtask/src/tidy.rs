//! `cargo xtask tidy`: the rules of the house that a compiler does not check. Who may import what (the walls), what every file has, and
//! what no file may contain. The rules are the tables at the top; each finding names its rule. How Rust files are read is the business
//! of `paths`.

use std::collections::BTreeMap;

use proc_macro2::{TokenStream, TokenTree};

use crate::shell::{Repo, say};
use crate::tree::{Finding, Tree, conclude};
use crate::{book, commands, links, paths, workflows};

/// Which crates of the house each crate may know.
const KNOWS: [(&str, &[&str]); 8] = [
    ("lifecycle", &[]),
    ("otlp", &["lifecycle"]),
    ("agent", &["lifecycle", "otlp"]),
    ("collector", &["lifecycle", "otlp"]),
    ("cli", &["agent", "collector", "lifecycle"]),
    ("fuzz", &["lifecycle"]),
    ("e2e", &[]),
    ("xtask", &["lifecycle"]),
];

/// All that the pure crate may depend on.
const PURE: [&str; 9] =
    ["memchr", "opentelemetry-proto", "proptest", "prost", "schemars", "serde", "serde_json", "sha2", "thiserror"];

/// One door per world: the crate, and the only places that may mention it.
const DOORS: [(&str, &[&str]); 7] = [
    ("opentelemetry_proto", &["lifecycle/src/wire", "agent/src/telemetry/trace"]),
    ("containerd_client", &["agent/src/containerd", "agent/tests"]),
    ("inotify", &["agent/src/containerd", "agent/src/folders", "agent/src/kubelet"]),
    ("axum", &["collector/src/http", "collector/src/receive"]),
    ("kube", &["collector/src/kube", "cli/src/cluster"]),
    ("k8s_openapi", &["collector/src/kube", "cli/src/cluster"]),
    ("bollard", &["cli/src/docker"]),
];

/// Inside the place on the left, nothing on the right is mentioned.
const NEVER: [(&str, &[&str]); 10] = [
    ("lifecycle/src/pull", &["lifecycle::track", "lifecycle::board", "lifecycle::wire"]),
    ("lifecycle/src/image", &["lifecycle::track", "lifecycle::board", "lifecycle::wire"]),
    ("lifecycle/src/time", &["lifecycle::track", "lifecycle::board", "lifecycle::wire"]),
    ("lifecycle/src/names", &["lifecycle::track", "lifecycle::board", "lifecycle::wire"]),
    ("lifecycle/src/track", &["lifecycle::board", "lifecycle::wire"]),
    ("lifecycle/src/board", &["lifecycle::track", "lifecycle::wire"]),
    ("lifecycle/src/wire", &["lifecycle::track", "lifecycle::board"]),
    (
        "lifecycle/src",
        &[
            "std::env",
            "std::fs",
            "std::net",
            "std::os",
            "std::process",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
        ],
    ),
    ("agent/src", &["lifecycle::board"]),
    ("collector/src", &["lifecycle::track"]),
];

/// Inside the place on the left, of the crate in the middle only the modules on the right are mentioned.
const ONLY: [(&str, &str, &[&str]); 1] = [("otlp/src", "lifecycle", &["lifecycle::wire"])];

/// Names that invite the wrong code.
const BAD_NAMES: [&str; 6] = ["common", "helper", "helpers", "misc", "util", "utils"];

/// Of these there is one version in the whole build.
const ONE_OF: [&str; 5] = ["axum", "opentelemetry-proto", "prost", "rustls", "tonic"];

/// Where every dependency comes from, as `Cargo.lock` has it.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Folders that exist on one machine only.
const MACHINE_PATHS: [&str; 4] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// Lines to think about, for code and for tests.
const LONG: (usize, usize) = (400, 600);

/// Checks the repository.
///
/// # Errors
/// When it cannot be read or a rule is broken; every finding is said first.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    let tree = Tree::read(repo)?;
    for line in long_files(&tree) {
        say(line);
    }
    conclude(&findings(&tree))
}

/// All rules on all files.
fn findings(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, text) in tree.files() {
        machine_paths(path, text, &mut found);
        if path.ends_with(".rs") {
            rust(path, text, &mut found);
        } else if path.ends_with("Cargo.toml") {
            manifest(path, text, &mut found);
        } else if path.starts_with("docs/adr/") && path.ends_with(".md") && !text.contains("**Enforced by:**") {
            found.push(Finding::new(path, "a decision says what holds it: **Enforced by:**"));
        }
    }
    if let Some(lock) = tree.get("Cargo.lock") {
        lockfile(lock, &mut found);
    }
    found.extend(links::findings(tree));
    found.extend(book::findings(tree));
    found.extend(commands::findings(tree));
    found.extend(workflows::findings(tree));
    found
}

/// Every rule about one Rust file.
fn rust(path: &str, text: &str, found: &mut Vec<Finding>) {
    if !text.starts_with("//!") {
        found.push(Finding::new(path, "a file opens with `//!`: what it is for, what it refuses, where its neighbour is"));
    }
    if let Some(name) = path.trim_end_matches(".rs").split('/').find(|part| BAD_NAMES.contains(part)) {
        found.push(Finding::new(path, format!("`{name}` says nothing and invites everything: name what is in it")));
    }
    match text.parse::<TokenStream>() {
        Ok(tokens) if ignores_a_test(&tokens) => found.push(Finding::new(path, "#[ignore]: a test runs or does not exist")),
        Ok(_) => {}
        Err(error) => found.push(Finding::new(path, format!("is not Rust: {error}"))),
    }
    for mention in paths::mentioned(path, text).unwrap_or_default() {
        walls(path, &mention, found);
    }
}

/// Every wall for one mentioned path.
fn walls(path: &str, mention: &str, found: &mut Vec<Finding>) {
    for (world, places) in DOORS {
        if within(mention, world) && !places.iter().any(|place| lies_in(path, place)) {
            found.push(Finding::new(path, format!("`{mention}`: {world} has one door, {}", places.join(" and "))));
        }
    }
    for (place, what) in NEVER {
        if lies_in(path, place) {
            for wall in what.iter().filter(|wall| within(mention, wall) || uncovers(mention, wall)) {
                found.push(Finding::new(path, format!("`{mention}`: {place} never knows {wall}")));
            }
        }
    }
    for (place, world, allowed) in ONLY {
        if lies_in(path, place) && within(mention, world) && !allowed.iter().any(|part| within(mention, part)) {
            found.push(Finding::new(path, format!("`{mention}`: {place} knows of {world} only {}", allowed.join(" and "))));
        }
    }
}

/// The walls that stand in a crate's `Cargo.toml`.
fn manifest(path: &str, text: &str, found: &mut Vec<Finding>) {
    let Some(krate) = path.strip_suffix("/Cargo.toml") else { return };
    let parsed: toml::Table = match text.parse() {
        Ok(parsed) => parsed,
        Err(error) => return found.push(Finding::new(path, format!("is not TOML: {error}"))),
    };
    let Some((_, knows)) = KNOWS.iter().find(|(name, _)| *name == krate) else {
        return found.push(Finding::new(path, "is not on the map: give it a line in KNOWS and in docs/architecture.md"));
    };
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(dependencies) = parsed.get(section).and_then(toml::Value::as_table) else { continue };
        for name in dependencies.keys() {
            let ours = KNOWS.iter().any(|(ours, _)| ours == name);
            if ours && !knows.contains(&name.as_str()) {
                found.push(Finding::new(path, format!("{krate} never knows {name}")));
            }
            if krate == "lifecycle" && !PURE.contains(&name.as_str()) {
                found.push(Finding::new(path, format!("lifecycle is pure: {name} is not on its list")));
            }
        }
    }
    // A crate outside the workspace cannot take its lints.
    let is_member = !parsed.contains_key("workspace");
    if is_member && parsed.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool) != Some(true) {
        found.push(Finding::new(path, "lints.workspace = true is missing"));
    }
}

/// One version of what must be one, and everything from one place.
fn lockfile(text: &str, found: &mut Vec<Finding>) {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            *versions.entry(name.trim_matches('"')).or_default() += 1;
        }
        if line.strip_prefix("source = ").is_some_and(|source| source.trim_matches('"') != SOURCE) {
            found.push(Finding::new("Cargo.lock", format!("a dependency is from elsewhere: {line}")));
        }
    }
    for name in ONE_OF {
        if versions.get(name).is_some_and(|count| *count > 1) {
            found.push(Finding::new("Cargo.lock", format!("there is one {name} in the build, not several")));
        }
    }
}

fn machine_paths(path: &str, text: &str, found: &mut Vec<Finding>) {
    for (number, line) in (1..).zip(text.lines()) {
        for machine in MACHINE_PATHS.iter().filter(|machine| names_a_root(line, machine)) {
            found.push(Finding::new(path, format!("line {number}: {machine} exists on one machine only")));
        }
    }
}

/// Whether `root` stands in `line` as the beginning of a path, not in the middle of one.
fn names_a_root(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        !line[..at].ends_with(|before: char| before.is_alphanumeric() || matches!(before, '.' | '_' | '-' | '}' | '*'))
    })
}

fn ignores_a_test(tokens: &TokenStream) -> bool {
    let mut after_hash = false;
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Group(group) if after_hash => group.stream().into_iter().any(|token| mentions(&token, "ignore")),
        TokenTree::Group(group) => ignores_a_test(&group.stream()),
        TokenTree::Punct(punct) => {
            after_hash = punct.as_char() == '#';
            false
        }
        TokenTree::Ident(_) | TokenTree::Literal(_) => {
            after_hash = false;
            false
        }
    })
}

fn mentions(token: &TokenTree, word: &str) -> bool {
    match token {
        TokenTree::Ident(ident) => *ident == word,
        TokenTree::Group(group) => group.stream().into_iter().any(|token| mentions(&token, word)),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    }
}

/// `lifecycle/src/track` holds `lifecycle/src/track.rs` and `lifecycle/src/track/rate.rs`, but not `lifecycle/src/tracker.rs`.
fn lies_in(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// `axum::Router` lies within `axum`, `axum_extra` does not.
fn within(mention: &str, world: &str) -> bool {
    mention.strip_prefix(world).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// A glob of something above the wall brings in what is behind it.
fn uncovers(mention: &str, wall: &str) -> bool {
    mention.strip_suffix("::*").is_some_and(|above| within(wall, above))
}

/// Guidance, not a rule: a good file is not split for a number.
fn long_files(tree: &Tree) -> Vec<String> {
    let (code, tests) = LONG;
    let long = tree.ending(".rs").filter_map(|(path, text)| {
        let limit =
            if path.contains("/tests/") || path.ends_with("/tests.rs") || path.starts_with("e2e/") { tests } else { code };
        let lines = text.lines().count();
        (lines > limit).then(|| format!("to think about: {path} has {lines} lines (guidance: {limit})"))
    });
    long.collect()
}

#[cfg(test)]
mod tests;
