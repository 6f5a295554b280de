//! `cargo xtask ui`: the web UI, built by npm into `collector/ui/dist`, which the collector embeds; and its checks. Whoever has no Node gets a
//! collector with a plain page, and is told; what is built already and not older than what it is built from is left alone. What the page does is
//! the business of `collector/ui`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, bail};

use crate::build::{self, Profile};
use crate::node::{self, Installed};
use crate::shell::{self, Repo, say};

/// Where it lies.
const FOLDER: &str = "collector/ui";
/// What the build reads, below that folder.
const SOURCES: [&str; 8] =
    ["src", "public", "index.html", "embed.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"];
/// What the build writes last.
const BUILT: &str = "dist/index.html.br";
/// What the browser is called.
const CHROMIUMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Builds the page if it is not built, or old.
///
/// # Errors
/// When the build fails. That there is no npm is none: it is said, and the plain page is embedded.
pub(crate) fn build(repo: &Repo) -> anyhow::Result<()> {
    let folder = repo.root.join(FOLDER);
    if newest(&SOURCES.map(|name| folder.join(name)))? < changed(&folder.join(BUILT)) {
        return Ok(());
    }
    match node::install(&folder)? {
        Installed::Yes => shell::run(&mut script(&folder, "build")),
        Installed::No(why) => {
            say(format!("no full web UI: {why}; the collector gets the plain page"));
            Ok(())
        }
    }
}

/// Types and the tests that need no browser.
///
/// # Errors
/// When one fails.
pub(crate) fn test(repo: &Repo) -> anyhow::Result<Option<String>> {
    let folder = repo.root.join(FOLDER);
    if let Installed::No(why) = node::install(&folder)? {
        return Ok(node::skipped("web UI", why));
    }
    shell::run(&mut script(&folder, "check"))?;
    shell::run(&mut script(&folder, "test"))?;
    Ok(None)
}

/// The tests in a real browser, against the binaries of everyday work. They ask of a machine what it may not have: Node and a Chromium.
///
/// # Errors
/// When one fails, or what they need does not build.
pub(crate) fn browser(repo: &Repo) -> anyhow::Result<Option<String>> {
    in_browser(repo, Profile::Dev, "browser", &[])
}

/// Measures the page with thousands of pulls that change every second, for so many minutes.
///
/// # Errors
/// When a promise is not kept, or there is no Chromium or no npm here.
pub(crate) fn measure(repo: &Repo, minutes: u32) -> anyhow::Result<()> {
    needed(in_browser(repo, Profile::Quick, "measure", &[("BENCH_MINUTES", minutes.to_string())])?)
}

/// Draws every view anew into `docs/ui/`.
///
/// # Errors
/// When a view does not come up, or there is no Chromium or no npm here.
pub(crate) fn screenshots(repo: &Repo) -> anyhow::Result<()> {
    needed(in_browser(repo, Profile::Quick, "screenshots", &[])?)
}

/// Runs a script that drives Chromium against what is built, or says why it cannot.
fn in_browser(repo: &Repo, profile: Profile, name: &str, env: &[(&str, String)]) -> anyhow::Result<Option<String>> {
    let folder = repo.root.join(FOLDER);
    let Some(chromium) = chromium() else {
        return Ok(node::skipped(name, "no Chromium"));
    };
    if let Installed::No(why) = node::install(&folder)? {
        return Ok(node::skipped(name, why));
    }
    let binaries = build::binaries(repo, profile)?;
    for player in ["scenario", "demo"] {
        build::program(repo, profile, "e2e", player)?;
    }
    let mut command = script(&folder, name);
    command.env("CHROMIUM", chromium).env("E2E_BINARIES", binaries).envs(env.iter().map(|(name, value)| (name, value)));
    shell::run(&mut command)?;
    Ok(None)
}

/// What was asked for by name has to be done.
fn needed(skipped: Option<String>) -> anyhow::Result<()> {
    skipped.map_or(Ok(()), |why| bail!(why))
}

/// The browser that `CHROMIUM` names, or the first of its names on the path.
fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found =
        || CHROMIUMS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file());
    std::env::var_os("CHROMIUM").map(PathBuf::from).or_else(found)
}

fn script(folder: &Path, name: &str) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(folder).args(["run", "--silent", name]);
    npm
}

/// When the newest of these files, or of those in these folders, was changed.
fn newest(paths: &[PathBuf]) -> anyhow::Result<SystemTime> {
    let mut newest = SystemTime::UNIX_EPOCH;
    for path in paths {
        newest = newest.max(changed(path));
        if path.is_dir() {
            let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
            let below = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
            newest = newest.max(self::newest(&below)?);
        }
    }
    Ok(newest)
}

/// The beginning of time for what is not there.
fn changed(path: &Path) -> SystemTime {
    fs::metadata(path).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}
