//! Building the binaries. In the profiles of everyday work the agent's package also gives the simulated containerd; what is shipped
//! never contains it, and is one static file for each program: `dist` proves it. Every build brings the protobuf compiler first (`protoc`).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::protoc;
use crate::shell::{self, Repo, say};
use crate::ui;

/// The programs that are shipped, each with the package it comes from.
pub(crate) const SHIPPED: [(&str, &str); 3] =
    [("agent", "pulltrace-agent"), ("collector", "pulltrace-collector"), ("cli", "pulltrace")];

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
    ui::build(repo)?;
    let (name, folder) = profile.names();
    if profile == Profile::Release {
        // The collector has a profile of its own.
        return place(repo, "shipped", |package| if package == "collector" { "server" } else { "release" });
    }
    let mut cargo = repo.cargo(&["build", "--profile", name, "--bins", "--features", "agent/simulated"]);
    shell::run(cargo.args(SHIPPED.iter().flat_map(|(package, _)| ["--package", package])))?;
    Ok(repo.target.join(folder))
}

/// Builds static programs, each in its own profile, and puts them into one folder.
fn place(repo: &Repo, folder: &str, profile_of: impl Fn(&str) -> &'static str) -> anyhow::Result<PathBuf> {
    let place = repo.target.join(folder);
    fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
    // One package at a time: built together, each would carry the features that only the others need.
    for (package, program) in SHIPPED {
        let (target, profile) = (target_of(package)?, profile_of(package));
        shell::run(&mut static_build(repo, package, profile, &target))?;
        // The folders of these profiles have the profiles' names.
        let built = repo.target.join(&target).join(profile).join(program);
        fs::copy(&built, place.join(program)).with_context(|| format!("cannot copy {}", built.display()))?;
    }
    Ok(place)
}

/// Builds the programs of everyday code for what they are shipped for, for images to try, and returns the folder they are in.
///
/// # Errors
/// As [`binaries`].
pub(crate) fn trial(repo: &Repo) -> anyhow::Result<PathBuf> {
    protoc::install(repo)?;
    place(repo, "trial", |_| "trial")
}

/// What a shipped program is built for. The agent is smallest with musl, if its part of Rust is installed (`rustup target add`); what takes
/// in the reports of a cluster is better off with the allocator of glibc.
fn target_of(package: &str) -> anyhow::Result<String> {
    let host = host()?;
    let sysroot = shell::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let musl = host.replace("-gnu", "-musl");
    let has_musl = Path::new(sysroot.trim()).join("lib/rustlib").join(&musl).exists();
    if package != "agent" {
        return Ok(host);
    }
    if !has_musl {
        say(format!("{musl} is not installed: the agent gets glibc and is larger (rustup target add {musl})"));
    }
    Ok(if has_musl { musl } else { host })
}

/// What this machine's compiler builds for by itself.
fn host() -> anyhow::Result<String> {
    let said = shell::output(Command::new("rustc").arg("-vV"))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names the host")?;
    Ok(host.to_owned())
}

/// `cargo build` of one package into static programs, as they are shipped.
fn static_build(repo: &Repo, package: &str, profile: &str, target: &str) -> Command {
    let mut cargo = repo.cargo(&["build", "--profile", profile, "--package", package, "--bins", "--target", target]);
    let name = target.replace(['-', '.'], "_");
    // The C library becomes part of the program. With a target of its own, build scripts do not get the flag.
    cargo.env(format!("CARGO_TARGET_{}_RUSTFLAGS", name.to_uppercase()), "-C target-feature=+crt-static");
    // What there is of C needs no library, so that any compiler for this machine will do.
    if target.ends_with("-musl") && std::env::var_os(format!("CC_{name}")).is_none() {
        cargo.env(format!("CC_{name}"), "cc");
    }
    cargo
}

/// Builds one program that is not shipped (the demo, the benchmarks) and returns its path.
///
/// # Errors
/// When cargo fails.
pub(crate) fn program(repo: &Repo, profile: Profile, package: &str, program: &str) -> anyhow::Result<PathBuf> {
    let (name, folder) = profile.names();
    shell::run(&mut repo.cargo(&["build", "--profile", name, "--package", package, "--bin", program]))?;
    Ok(repo.target.join(folder).join(program))
}
