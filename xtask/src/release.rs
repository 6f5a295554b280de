//! What a release says of itself: `cargo xtask release-notes` takes it out of the changelog, after everything that carries the version agreed on it;
//! `cargo xtask krew` fills the manifest by which `kubectl krew` installs the command line. Building, signing and publishing is the business of
//! `.github/workflows/release.yml`, which starts these.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};

use crate::shell::{Repo, say};
use crate::tree::Tree;

const CHANGELOG: &str = "CHANGELOG.md";
const CHART: &str = "charts/pulltrace/Chart.yaml";
/// The manifest with `{VERSION}`, `{REPOSITORY}` and the checksums to be filled in.
const TEMPLATE: &str = "cli/krew.yaml";
/// The archives of a release, and what the template calls their checksums.
const ARCHIVES: [(&str, &str); 2] = [("linux_amd64", "{SHA256_AMD64}"), ("linux_arm64", "{SHA256_ARM64}")];

/// Which release.
#[derive(clap::Args)]
pub(crate) struct Notes {
    /// Such as `0.1.0` or `v0.1.0`
    version: String,
}

/// Which release, and what it consists of.
#[derive(clap::Args)]
pub(crate) struct Krew {
    /// Such as `0.1.0` or `v0.1.0`
    version: String,
    /// `OWNER/NAME` on GitHub
    #[arg(long)]
    repository: String,
    /// What `sha256sum` said of the release's files
    #[arg(long, value_name = "FILE")]
    checksums: PathBuf,
}

/// Says what the changelog has about a version.
///
/// # Errors
/// When it has nothing about it, or another file is of another version.
pub(crate) fn notes(repo: &Repo, args: &Notes) -> anyhow::Result<()> {
    say(notes_of(&Tree::read(repo)?, plain(&args.version))?);
    Ok(())
}

/// Says the filled manifest.
///
/// # Errors
/// When a checksum is missing.
pub(crate) fn krew(repo: &Repo, args: &Krew) -> anyhow::Result<()> {
    let template = fs::read_to_string(repo.root.join(TEMPLATE)).with_context(|| format!("cannot read {TEMPLATE}"))?;
    let checksums = fs::read_to_string(&args.checksums).with_context(|| format!("cannot read {}", args.checksums.display()))?;
    say(filled(&template, plain(&args.version), &args.repository, &checksums)?.trim_end());
    Ok(())
}

/// A tag is a version behind a `v`.
fn plain(version: &str) -> &str {
    version.strip_prefix('v').unwrap_or(version)
}

fn notes_of(tree: &Tree, version: &str) -> anyhow::Result<String> {
    let cargo: toml::Table = tree.get("Cargo.toml").context("there is a Cargo.toml")?.parse()?;
    let ours = cargo.get("workspace").and_then(|workspace| workspace.get("package")?.get("version")?.as_str());
    ensure!(ours == Some(version), "Cargo.toml is of version {}, not {version}", ours.unwrap_or("none"));
    if let Some(chart) = tree.get(CHART) {
        for key in ["version", "appVersion"] {
            let said = chart.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap_or_default();
            let said = said.trim().trim_matches('"');
            ensure!(said == version, "{CHART}: {key} is {said}, not {version}");
        }
    }
    section(tree.get(CHANGELOG).unwrap_or_default(), version)
}

/// What stands below `## [VERSION]`, up to the next version or the links at the end.
fn section(changelog: &str, version: &str) -> anyhow::Result<String> {
    let heading = format!("## [{version}]");
    let mut lines = changelog.lines().skip_while(|line| !line.starts_with(&heading));
    let Some(first) = lines.next() else { bail!("{CHANGELOG} has no `{heading}`") };
    let date = first[heading.len()..].trim_start_matches([' ', '-']);
    let is_date = date.len() == 10 && date.chars().all(|c| c.is_ascii_digit() || c == '-');
    ensure!(is_date, "{CHANGELOG}: `{first}` says no day, as in `{heading} - 2006-01-02`");
    let text: Vec<&str> = lines.take_while(|line| !line.starts_with("## ") && !line.starts_with('[')).collect();
    let text = text.join("\n").trim().to_owned();
    ensure!(!text.is_empty(), "{CHANGELOG} says nothing about {version}");
    Ok(text)
}

fn filled(template: &str, version: &str, repository: &str, checksums: &str) -> anyhow::Result<String> {
    ensure!(repository.split('/').filter(|part| !part.is_empty()).count() == 2, "a repository is OWNER/NAME, not `{repository}`");
    // `sha256sum` writes the checksum, two spaces (or ` *`), and the name.
    let sums: BTreeMap<&str, &str> = checksums
        .lines()
        .filter_map(|line| line.split_once(' ').map(|(sum, name)| (name.trim_start_matches([' ', '*']), sum)))
        .collect();
    let mut manifest = template.replace("{VERSION}", version).replace("{REPOSITORY}", repository);
    for (archive, place) in ARCHIVES {
        let name = format!("pulltrace_{version}_{archive}.tar.gz");
        let sum = sums.get(name.as_str()).with_context(|| format!("the checksums have no {name}"))?;
        ensure!(sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit()), "`{sum}` is no SHA-256 of {name}");
        ensure!(manifest.contains(place), "{TEMPLATE} has no {place}");
        manifest = manifest.replace(place, sum);
    }
    let is_place = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_uppercase());
    let left = manifest.split('{').skip(1).find(is_place);
    ensure!(left.is_none(), "{TEMPLATE}: nobody fills in {{{}", left.unwrap_or_default().lines().next().unwrap_or_default());
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "# Changelog\n\n## [Unreleased]\n\n- Later.\n\n## [0.2.0] - 2026-01-02\n\n### Added\n\n- This.\n\n## [0.1.0] - 2025-01-02\n\n- First.\n\n[0.1.0]: x\n";

    fn tree(cargo: &str, chart: &str) -> Tree {
        let cargo = format!("[workspace.package]\nversion = \"{cargo}\"\n");
        let chart = format!("name: pulltrace\nversion: {chart}\nappVersion: \"{chart}\"\n");
        Tree::from([(CHANGELOG, LOG), ("Cargo.toml", cargo.as_str()), (CHART, chart.as_str())])
    }

    #[test]
    fn notes_are_the_changelogs_section_and_nothing_else() {
        assert_eq!(notes_of(&tree("0.2.0", "0.2.0"), plain("v0.2.0")).unwrap(), "### Added\n\n- This.");
        assert_eq!(section(LOG, "0.1.0").unwrap(), "- First.");
    }

    #[test]
    fn a_version_on_which_not_all_agree_is_no_release() {
        let why = |tree: &Tree, version: &str| notes_of(tree, version).unwrap_err().to_string();
        assert_eq!(why(&tree("0.1.0", "0.2.0"), "0.2.0"), "Cargo.toml is of version 0.1.0, not 0.2.0");
        assert_eq!(why(&tree("0.2.0", "0.1.0"), "0.2.0"), "charts/pulltrace/Chart.yaml: version is 0.1.0, not 0.2.0");
        assert_eq!(why(&tree("0.3.0", "0.3.0"), "0.3.0"), "CHANGELOG.md has no `## [0.3.0]`");
    }

    #[test]
    fn a_section_has_a_day_and_says_something() {
        assert!(section("## [1.0.0]\n\n- x\n", "1.0.0").unwrap_err().to_string().contains("says no day"));
        assert!(
            section("## [1.0.0] - 2026-01-02\n\n## [0.9.0] - x\n- y\n", "1.0.0")
                .unwrap_err()
                .to_string()
                .contains("says nothing")
        );
    }

    #[test]
    fn the_manifest_of_the_repository_is_filled_whole() {
        let template = fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(TEMPLATE)).unwrap();
        let sums = format!(
            "{}  pulltrace_1.2.3_linux_amd64.tar.gz\n{} *pulltrace_1.2.3_linux_arm64.tar.gz\n",
            "a".repeat(64),
            "b".repeat(64)
        );
        let manifest = filled(&template, "1.2.3", "o/r", &sums).unwrap();
        for line in [
            "  version: v1.2.3",
            "  homepage: https://github.com/o/r",
            "      uri: https://github.com/o/r/releases/download/v1.2.3/pulltrace_1.2.3_linux_arm64.tar.gz",
        ] {
            assert!(manifest.lines().any(|other| other == line), "{line}\n{manifest}");
        }
        assert!(manifest.contains(&"a".repeat(64)) && manifest.contains(&"b".repeat(64)), "{manifest}");
    }

    #[test]
    fn a_checksum_that_is_missing_or_none_is_said() {
        let template = "{VERSION} {REPOSITORY} {SHA256_AMD64} {SHA256_ARM64}";
        let why = |sums: &str| filled(template, "1.0.0", "o/r", sums).unwrap_err().to_string();
        assert_eq!(why(""), "the checksums have no pulltrace_1.0.0_linux_amd64.tar.gz");
        assert_eq!(why("abc  pulltrace_1.0.0_linux_amd64.tar.gz\n"), "`abc` is no SHA-256 of pulltrace_1.0.0_linux_amd64.tar.gz");
        assert!(filled(template, "1.0.0", "o", "").is_err());
    }
}
