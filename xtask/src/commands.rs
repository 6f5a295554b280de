//! `cargo xtask commands`: documents only tell people to type what exists. Every `pulltrace...` and `cargo xtask ...` on a line of code is held against
//! the program's own `--help`, with its subcommand and flags; every chart value that is named against `values.yaml`; every `PULLTRACE_...` and every
//! path of the API against the code. What a command does when it is typed is for the tests of the program; whether metrics and attributes exist is for `vocab`.

mod routes;
mod values;

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::ensure;

use crate::build::SHIPPED;
use crate::markdown::{Code, Page};
use crate::shell::{Repo, say};
use crate::tree::{Finding, Tree, conclude};
use values::Values;

/// What the chart can be told.
const VALUES: &str = "charts/pulltrace/values.yaml";
/// What fences say whose lines are typed; one without a word may be anything, and is looked at too.
const SHELLS: [&str; 3] = ["bash", "console", "sh"];
/// Where code reads variables.
const CODE: [&str; 3] = [".rs", ".sh", ".ci/run"];
/// Where the collector has its paths.
const ROUTES: &str = "collector/src/http/";
/// How files end, which may begin as values do.
const FILES: [&str; 7] = [".json", ".md", ".rs", ".sh", ".toml", ".tpl", ".yaml"];
/// Words before a program that are no program.
const BEFORE: [&str; 4] = ["$", "exec", "sudo", "time"];

/// Holds all documents against the programs as built in the everyday profile.
///
/// # Errors
/// When something is told that does not exist; each is said first. When the programs are not built.
pub(crate) fn run(repo: &Repo, xtask: &clap::Command) -> anyhow::Result<()> {
    let folder = repo.target.join("debug");
    let missing = SHIPPED.iter().find(|(_, program)| !folder.join(program).exists());
    ensure!(missing.is_none(), "the programs are not built: `cargo xtask build`");
    let help = |words: &[&str]| match words {
        ["cargo", "xtask", subcommands @ ..] => help_of(xtask, subcommands),
        [program, subcommands @ ..] => {
            let output = Command::new(folder.join(program)).args(subcommands).arg("--help").output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        }
        [] => None,
    };
    let tree = Tree::read(repo)?;
    let mut found = findings(&tree);
    let mut count = 0;
    for (path, line) in lines(&tree) {
        for typed in typed(&line.text) {
            count += 1;
            found.extend(unknown(&typed, &help).map(|what| Finding::new(path, format!("line {}: {what}", line.line))));
        }
    }
    say(format!("{count} commands in documents"));
    conclude(&found)
}

/// What needs no program to be known: chart values, variables and paths of the API.
pub(crate) fn findings(tree: &Tree) -> Vec<Finding> {
    let values = tree.get(VALUES).and_then(|text| Values::read(text).ok());
    let code = tree.files().filter(|(path, _)| CODE.iter().any(|end| path.ends_with(end)));
    let read: BTreeSet<&str> = code.flat_map(|(_, text)| variables(text)).collect();
    let routes = tree
        .files()
        .filter(|(path, _)| path.starts_with(ROUTES) && !path.contains("test"))
        .flat_map(|(_, text)| routes::paths(text))
        .collect();
    let mut found = Vec::new();
    for (path, text) in documents(tree) {
        let strange: BTreeSet<&str> = variables(text).filter(|name| !exists(name, &read)).collect();
        found.extend(strange.into_iter().map(|name| Finding::new(path, format!("no code reads {name}"))));
        let strange = routes::paths(text).into_iter().filter(|path| !routes::exists(path, &routes));
        found.extend(strange.map(|route| Finding::new(path, format!("the collector has no {route}"))));
        let Some(values) = &values else { continue };
        for code in Page::read(text).code {
            let wrong: Vec<String> = match named(&code, values) {
                Ok(named) => {
                    let unknown = named.into_iter().filter(|value| !values.has(value));
                    unknown.map(|value| format!("the chart has no value `{value}`")).collect()
                }
                Err(error) => vec![format!("is not YAML: {error}")],
            };
            found.extend(wrong.into_iter().map(|what| Finding::new(path, format!("line {}: {what}", code.line))));
        }
    }
    found
}

/// What people read to know what to type; a changelog also speaks of what was.
fn documents(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.ending(".md").filter(|(path, _)| *path != "CHANGELOG.md")
}

/// The lines that are typed, with continued ones made whole.
fn lines(tree: &Tree) -> Vec<(&str, Code)> {
    let mut found = Vec::new();
    for (path, text) in documents(tree) {
        for code in Page::read(text).code {
            if code.language.as_deref().is_none_or(|language| SHELLS.contains(&language)) {
                let whole = code.text.replace("\\\n", " ");
                found.extend(whole.lines().map(|line| (path, Code { text: line.to_owned(), language: None, line: code.line })));
            }
        }
    }
    found
}

/// A program of ours with its words, as they are typed.
#[derive(Debug, PartialEq, Eq)]
struct Typed {
    /// The program, and the subcommands that may be among what follows.
    words: Vec<String>,
    flags: Vec<String>,
}

/// The commands of ours on a line.
fn typed(line: &str) -> Vec<Typed> {
    let line = line.split(" #").next().unwrap_or_default();
    line.split(['|', ';', '&', '(', ')']).filter_map(command).collect()
}

fn command(part: &str) -> Option<Typed> {
    let is_set = |word: &str| {
        word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let mut words = part.split_whitespace().skip_while(|word| BEFORE.contains(word) || is_set(word)).peekable();
    let first = words.next()?;
    let program = match (first, words.peek()) {
        ("cargo", Some(&"xtask")) => vec![first, words.next()?],
        ("kubectl", Some(&"pulltrace")) => vec![words.next()?],
        _ if SHIPPED.iter().any(|(_, program)| first.rsplit('/').next() == Some(program)) => vec![first.rsplit('/').next()?],
        _ => return None,
    };
    let (mut all, mut flags, mut own) = (program, Vec::new(), true);
    for word in words.take_while(|word| *word != "--") {
        if let Some(flag) = word.strip_prefix("--") {
            own = false;
            flags.push(format!("--{}", flag.split('=').next().unwrap_or_default().trim_end_matches([',', '.', ']'])));
        } else if own && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            all.push(word);
        } else {
            own = false;
        }
    }
    Some(Typed { words: all.into_iter().map(str::to_owned).collect(), flags })
}

/// What does not exist of a command; `help` says what a program with subcommands says of itself.
fn unknown(typed: &Typed, help: &impl Fn(&[&str]) -> Option<String>) -> Option<String> {
    let words: Vec<&str> = typed.words.iter().map(String::as_str).collect();
    // Behind the subcommands there may be other words, such as a name: as many as the program knows are its own.
    let known = if words[0] == "cargo" { 2 } else { 1 };
    let has_subcommands = help(&words[..known]).is_some_and(|said| said.contains("\nCommands:\n"));
    let at_least = if has_subcommands { known + 1 } else { known };
    if words.len() < at_least {
        let flags = &typed.flags;
        let said = help(&words)?;
        return flags.iter().find(|flag| !has_flag(&said, flag)).map(|flag| format!("`{}` has no {flag}", words.join(" ")));
    }
    let said = (at_least..=words.len()).rev().find_map(|count| help(&words[..count]));
    match said {
        None => Some(format!("there is no `{}`", words[..at_least].join(" "))),
        Some(said) => {
            let flag = typed.flags.iter().find(|flag| !has_flag(&said, flag))?;
            Some(format!("`{}` has no {flag}", words.join(" ")))
        }
    }
}

fn has_flag(help: &str, flag: &str) -> bool {
    help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == flag) || flag == "--version"
}

/// What an xtask subcommand says of itself.
fn help_of(xtask: &clap::Command, subcommands: &[&str]) -> Option<String> {
    let found = subcommands.iter().try_fold(xtask, |command, name| command.find_subcommand(name))?;
    Some(found.clone().render_long_help().to_string())
}

/// The chart's values that a piece of code names: behind `--set`, as a path of its own, or as a file of values.
fn named(code: &Code, values: &Values) -> Result<Vec<String>, serde_saphyr::Error> {
    let mut named: Vec<String> = Vec::new();
    let words: Vec<&str> = code.text.split_whitespace().collect();
    for pair in words.windows(2).filter(|pair| pair[0].starts_with("--set")) {
        named.extend(pair[1].trim_matches(['\'', '"']).split_once('=').map(|(path, _)| path.to_owned()));
    }
    let path = code.text.split('=').next().unwrap_or_default();
    let is_path = path.contains('.') && path.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    let is_file = FILES.iter().any(|end| path.ends_with(end));
    if code.language.is_none() && is_path && !is_file && values.begins(path) {
        named.push(path.to_owned());
    }
    if code.language.as_deref() == Some("yaml") && code.text.starts_with("# values") {
        named.extend(Values::read(&code.text)?.leaves());
    }
    Ok(named)
}

/// Every `PULLTRACE_...` in a text.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_').filter(|word| word.starts_with("PULLTRACE_"))
}

/// `PULLTRACE_TLS_` stands for all that begin so, as in `PULLTRACE_TLS_*`.
fn exists(name: &str, read: &BTreeSet<&str>) -> bool {
    read.contains(name) || (name.ends_with('_') && name != "PULLTRACE_" && read.iter().any(|known| known.starts_with(name)))
}

#[cfg(test)]
mod tests;
