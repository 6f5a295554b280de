//! Building the binaries. In the profiles of everyday work the agent's package also gives the simulated containerd; what is shipped
//! never contains it. Every build brings the protobuf compiler first (`protoc`).

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::protoc;
use crate::shell::{self, Repo, say, step};

/// The programs that are shipped, each with the package it comes from.
const SHIPPED: [(&str, &str); 3] = [("agent", "pulltrace-agent"), ("collector", "pulltrace-collector"), ("cli", "pulltrace")];

/// What to build for.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// As shipped: small, without the simulated containerd
    #[arg(long, conflicts_with = "quick")]
    release: bool,
    /// The release's code without its build time
    #[arg(long)]
    quick: bool,
}

/// What a build is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Editing and testing.
    Dev,
    /// The demo: the release's code without its build time.
    Quick,
    /// Shipping and measuring.
    Release,
}

impl Profile {
    /// Cargo's name of the profile and of the folder below the target folder.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Dev => ("dev", "debug"),
            Self::Quick => ("quick", "quick"),
            Self::Release => ("release", "release"),
        }
    }
}

/// Builds the binaries.
///
/// # Errors
/// As [`binaries`].
pub(crate) fn run(repo: &Repo, args: &Args) -> anyhow::Result<()> {
    let profile = match (args.release, args.quick) {
        (true, _) => Profile::Release,
        (false, true) => Profile::Quick,
        (false, false) => Profile::Dev,
    };
    let folder = binaries(repo, profile)?;
    say(format!("built in {}", folder.display()));
    Ok(())
}

/// Builds the binaries and returns the folder they are in.
///
/// # Errors
/// When the protobuf compiler cannot be brought or cargo fails.
pub(crate) fn binaries(repo: &Repo, profile: Profile) -> anyhow::Result<PathBuf> {
    protoc::install(repo)?;
    let (name, folder) = profile.names();
    if profile == Profile::Release {
        // One package at a time: built together, each would carry the features that only the others need.
        for (package, _) in SHIPPED {
            shell::run(&mut repo.cargo(&["build", "--profile", name, "--package", package, "--bins"]))?;
        }
    } else {
        let mut cargo = repo.cargo(&["build", "--profile", name, "--bins", "--features", "agent/simulated"]);
        shell::run(cargo.args(SHIPPED.iter().flat_map(|(package, _)| ["--package", package])))?;
    }
    Ok(repo.target.join(folder))
}

/// Builds one program of the end-to-end kit (the demo, the benchmarks) and returns its path.
///
/// # Errors
/// When cargo fails.
pub(crate) fn kit(repo: &Repo, profile: Profile, program: &str) -> anyhow::Result<PathBuf> {
    let (name, folder) = profile.names();
    shell::run(&mut repo.cargo(&["build", "--profile", name, "--package", "e2e", "--bin", program]))?;
    Ok(repo.target.join(folder).join(program))
}

/// Builds what is shipped and says how large it is.
///
/// # Errors
/// As [`binaries`].
pub(crate) fn dist(repo: &Repo) -> anyhow::Result<()> {
    let folder = step("release build", || binaries(repo, Profile::Release))?;
    for (_, program) in SHIPPED {
        let path = folder.join(program);
        let bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        say(format!("{program:<20} {:>8.2} MiB  {}", mebibytes(bytes), path.display()));
    }
    Ok(())
}

/// For people; exact far beyond any size a program has.
fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}
