//! The walls of `tidy`, each tried with a small invented repository: one that breaks the rule and one that only looks like it.

use super::*;

/// What is wrong with a repository of one Rust file.
fn of_rust(path: &str, code: &str) -> Vec<String> {
    whats(&findings(&Tree::from([(path, format!("//! x\n{code}").as_str())])))
}

fn whats(found: &[Finding]) -> Vec<String> {
    found.iter().map(|finding| finding.what.clone()).collect()
}

/// A crate's Cargo.toml with these dependencies.
fn crate_of(name: &str, dependencies: &str) -> Vec<String> {
    let text = format!("[lints]\nworkspace = true\n[dependencies]\n{dependencies}");
    whats(&findings(&Tree::from([(format!("{name}/Cargo.toml").as_str(), text.as_str())])))
}

#[test]
fn each_world_has_one_door() {
    for (world, places) in DOORS {
        let code = format!("use {world}::thing;");
        assert_eq!(of_rust("collector/src/keeper.rs", &code).len(), 1, "{world}");
        for place in places {
            assert_eq!(of_rust(&format!("{place}/inner.rs"), &code), [""; 0], "{world} in {place}");
        }
    }
}

#[test]
fn what_never_knows_something_is_found_out_however_it_is_written() {
    for code in [
        "use crate::board::Board;",
        "use super::board;",
        "use crate::{board::Board, pull::Pull};",
        "fn f() { crate::board::Board::new(); }",
        "fn f() { assert!(crate::board::empty()); }",
        "use crate::*;",
    ] {
        let found = of_rust("lifecycle/src/track/mod.rs", code);
        assert!(found.iter().any(|what| what.ends_with("lifecycle/src/track never knows lifecycle::board")), "{code}: {found:?}");
    }
    assert_eq!(of_rust("lifecycle/src/track/mod.rs", "use crate::pull::Pull; mod tests { use super::*; }"), [""; 0]);
    assert_eq!(of_rust("lifecycle/src/tracker.rs", "use crate::board::Board;"), [""; 0]);
    assert_eq!(of_rust("lifecycle/src/explain.rs", "use crate::board::Board;"), [""; 0]);
}

#[test]
fn the_minds_the_dialect_and_the_binaries_keep_apart() {
    assert_eq!(of_rust("lifecycle/src/board/limits.rs", "use crate::track::Tracker;").len(), 1);
    assert_eq!(of_rust("lifecycle/src/board.rs", "use crate::wire::decode;").len(), 1);
    assert_eq!(of_rust("lifecycle/src/wire/encode.rs", "use crate::track::Tracker;").len(), 1);
    assert_eq!(of_rust("lifecycle/src/pull.rs", "use crate::wire::encode;").len(), 1);
    assert_eq!(of_rust("agent/src/run.rs", "use lifecycle::board::Board;").len(), 1);
    assert_eq!(of_rust("collector/src/keeper.rs", "use lifecycle::track::Tracker;").len(), 1);
    assert_eq!(of_rust("collector/src/keeper.rs", "use lifecycle::board::Board;"), [""; 0]);
}

#[test]
fn the_pure_crate_has_no_clock_environment_files_or_network() {
    for wall in ["std::fs", "std::env", "std::net", "std::time::Instant", "std::thread"] {
        assert_eq!(of_rust("lifecycle/src/pull.rs", &format!("use {wall};")).len(), 1, "{wall}");
    }
    assert_eq!(of_rust("lifecycle/src/pull.rs", "use std::time::Duration;"), [""; 0]);
    assert_eq!(of_rust("lifecycle/tests/house.rs", "use std::fs;"), [""; 0]);
}

#[test]
fn the_transport_knows_only_the_dialect() {
    assert_eq!(of_rust("otlp/src/grpc.rs", "use lifecycle::pull::Pull;").len(), 1);
    assert_eq!(of_rust("otlp/src/grpc.rs", "use lifecycle::wire::Signal;"), [""; 0]);
}

#[test]
fn crates_know_only_the_crates_they_may() {
    assert_eq!(crate_of("agent", "collector.workspace = true"), ["agent never knows collector"]);
    assert_eq!(crate_of("collector", "agent.workspace = true"), ["collector never knows agent"]);
    assert_eq!(crate_of("e2e", "lifecycle.workspace = true"), ["e2e never knows lifecycle"]);
    assert_eq!(crate_of("xtask", "otlp.workspace = true"), ["xtask never knows otlp"]);
    assert_eq!(crate_of("lifecycle", "tokio.workspace = true"), ["lifecycle is pure: tokio is not on its list"]);
    assert_eq!(crate_of("lifecycle", "serde.workspace = true"), [""; 0]);
    assert_eq!(crate_of("agent", "lifecycle.workspace = true\nfutures = \"1\""), [""; 0]);
    assert_eq!(crate_of("attic", "").len(), 1);
}

#[test]
fn a_crate_without_the_workspaces_lints_is_found() {
    let tree = Tree::from([("agent/Cargo.toml", "[dependencies]\n")]);
    assert_eq!(whats(&findings(&tree)), ["lints.workspace = true is missing"]);
}

#[test]
fn every_file_says_what_it_is_for() {
    assert_eq!(findings(&Tree::from([("agent/src/lib.rs", "use std::fmt;")])).len(), 1);
    assert_eq!(findings(&Tree::from([("agent/src/lib.rs", "//! For this.\n")])), []);
}

#[test]
fn names_that_say_nothing_are_refused() {
    assert_eq!(of_rust("agent/src/util.rs", "").len(), 1);
    assert_eq!(of_rust("agent/src/common/paths.rs", "").len(), 1);
    assert_eq!(of_rust("agent/src/utility.rs", ""), [""; 0]);
}

#[test]
fn an_ignored_test_is_found_and_an_ignored_word_is_not() {
    assert_eq!(of_rust("agent/src/lib.rs", "mod tests { #[test] #[ignore] fn a() {} }").len(), 1);
    assert_eq!(of_rust("agent/src/lib.rs", "#[ignore = \"slow\"] fn a() {}").len(), 1);
    assert_eq!(of_rust("agent/src/lib.rs", "#[cfg_attr(unix, ignore)] fn a() {}").len(), 1);
    assert_eq!(of_rust("agent/src/lib.rs", "// #[ignore]\nfn ignore() {}"), [""; 0]);
}

#[test]
fn a_decision_says_what_holds_it() {
    assert_eq!(findings(&Tree::from([("docs/adr/0009-x.md", "# X\n\nWe do.\n")])).len(), 1);
    assert_eq!(findings(&Tree::from([("docs/adr/0009-x.md", "# X\n\n**Enforced by:** the type `X`.\n")])), []);
}

#[test]
fn two_versions_of_what_is_one_and_foreign_sources_are_found() {
    let package = |name: &str, source: &str| format!("[[package]]\nname = \"{name}\"\nsource = \"{source}\"\n");
    let one = package("tonic", SOURCE);
    let of = |lock: &str| findings(&Tree::from([("Cargo.lock", lock)])).len();
    assert_eq!(of(&one), 0);
    assert_eq!(of(&format!("{one}{one}")), 1);
    assert_eq!(of(&package("serde", "git+https://example.com/serde")), 1);
}

#[test]
fn a_path_of_one_machine_is_found() {
    let [home, ..] = MACHINE_PATHS;
    let of = |line: String| findings(&Tree::from([("README.md", line.as_str())])).len();
    assert_eq!(of(format!("cd {home}me/pulltrace")), 1);
    assert_eq!(of(format!("\"{home}me\"")), 1);
    assert_eq!(of(format!("docs{home}me.md")), 0);
    assert_eq!(of("cd $HOME/pulltrace".to_owned()), 0);
}

#[test]
fn long_files_are_a_hint_and_no_finding() {
    let long = format!("//! x\n{}", "// line\n".repeat(LONG.0));
    let tree = Tree::from([("agent/src/lib.rs", long.as_str()), ("agent/tests/a.rs", long.as_str())]);
    assert_eq!(long_files(&tree).len(), 1);
    assert_eq!(findings(&tree), []);
}
