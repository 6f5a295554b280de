//! Building the binaries. In the profiles of everyday work the agent's package also gives the simulated containerd; what is shipped
//! never contains it. Every build brings the protobuf compiler first (`protoc`).

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::protoc;
use crate::shell::{Repo, run, say, step};

/// The programs that are shipped, each with the package it comes from.
const SHIPPED: [(&str, &str); 3] =
    [("agent", "pulltrace-agent"), ("collector", "pulltrace-collector"), ("cli", "pulltrace")];

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
    /// From the flags of `build`.
    pub(crate) fn chosen(release: bool, quick: bool) -> Self {
        match (release, quick) {
            (true, _) => Self::Release,
            (false, true) => Self::Quick,
            (false, false) => Self::Dev,
        }
    }

    /// Cargo's name of the profile and of the folder below the target folder.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Dev => ("dev", "debug"),
            Self::Quick => ("quick", "quick"),
            Self::Release => ("release", "release"),
        }
    }
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
            run(&mut repo.cargo(&["build", "--profile", name, "--package", package, "--bins"]))?;
        }
    } else {
        let mut cargo = repo.cargo(&["build", "--profile", name, "--bins", "--features", "agent/simulated"]);
        run(cargo.args(SHIPPED.iter().flat_map(|(package, _)| ["--package", package])))?;
    }
    Ok(repo.target.join(folder))
}

/// Builds one program of the end-to-end kit (the demo, the benchmarks) and returns its path.
///
/// # Errors
/// When cargo fails.
pub(crate) fn kit(repo: &Repo, profile: Profile, program: &str) -> anyhow::Result<PathBuf> {
    let (name, folder) = profile.names();
    run(&mut repo.cargo(&["build", "--profile", name, "--package", "e2e", "--bin", program]))?;
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
