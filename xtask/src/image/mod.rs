//! `cargo xtask image`: the container images as they are shipped, from scratch and without Docker: nothing is in them but static programs, no
//! shell, no files of certificates (the public authorities are compiled in), no users (they run as numbers). Each becomes a folder in the
//! OCI image layout and the same as an archive, which containerd, Podman, kind and k3s import and `skopeo` or `crane` push; the same programs
//! give the same bytes. The `Containerfile` in the root makes the same images where there is Docker, from the same folder of programs.
//!
//! How programs are built is the business of `build`, what an image looks like on disk that of [`layout`].

mod layout;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use lifecycle::time::Timestamp;

use crate::build::{self, Profile};
use crate::dist;
use crate::shell::{self, Repo, say, step};
use layout::Layout;

/// One image: what is in it and how it runs.
struct Image {
    /// Of the folder and the archive.
    name: &'static str,
    /// Where it is published, without a tag; the chart says the same.
    published: &'static str,
    description: &'static str,
    /// Each in a layer and at the root; the first is what runs.
    programs: &'static [&'static str],
    /// User and group as numbers, so that Kubernetes can see that they are not root's.
    user: &'static str,
    /// What it listens on, for people and tools that look.
    ports: &'static [u16],
    /// Most bytes to download that are let pass for an image of the release.
    gate: u64,
}

/// The images.
const IMAGES: [Image; 2] = [
    Image {
        name: "pulltrace-agent",
        published: "ghcr.io/pulltrace/pulltrace-agent",
        description: "Watches containerd on a node and tells every image pull by OTLP.",
        programs: &["pulltrace-agent"],
        // containerd's socket is root's, so a process that may open it is root on the node whatever its number is; see SECURITY.md.
        user: "0:0",
        ports: &[9091],
        gate: 8_000_000,
    },
    Image {
        name: "pulltrace-collector",
        published: "ghcr.io/pulltrace/pulltrace-collector",
        description: "Takes what the agents tell and shows every image pull of a cluster; with the command line, pulltrace.",
        programs: &["pulltrace-collector", "pulltrace"],
        user: "65532:65532",
        ports: &[4317, 4318, 8080, 9090],
        gate: 20_000_000,
    },
];

/// An architecture: its name in Go's words, as OCI has them, and its number in an ELF header (`e_machine`).
const ARCHITECTURES: [(&str, usize); 2] = [("amd64", 62), ("arm64", 183)];

/// What to make images of.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Everyday code: built in a moment, larger and slower, for trying the images
    #[arg(long, conflicts_with = "programs")]
    trial: bool,
    /// Programs that were built elsewhere, in DIR/amd64 and DIR/arm64, or in one of these; without, they are built for this machine
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Where the images go [default: images/ in the target folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The tag that their archives carry
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
}

/// What is said of where the images come from.
struct Origin {
    tag: String,
    revision: Option<String>,
    created: Timestamp,
}

/// Builds the programs unless they are given, and writes the images.
///
/// # Errors
/// When a program cannot be built, is missing, not static or for another architecture; when an image is too large or cannot be written.
pub(crate) fn run(repo: &Repo, args: &Args) -> anyhow::Result<()> {
    let programs = match &args.programs {
        Some(folder) => folder.clone(),
        None => staged(repo, args.trial)?,
    };
    let folder = args.output.clone().unwrap_or_else(|| folder_of(repo));
    let origin = Origin::of(repo, &args.tag)?;
    step("images", || all(&programs, &folder, &origin, !args.trial))
}

/// The images of everyday code, for the live tests.
///
/// # Errors
/// As [`run`].
pub(crate) fn trial(repo: &Repo) -> anyhow::Result<PathBuf> {
    let programs = staged(repo, true)?;
    let origin = Origin::of(repo, env!("CARGO_PKG_VERSION"))?;
    let folder = folder_of(repo);
    all(&programs, &folder, &origin, false).map(|()| folder)
}

/// Writes all images and says what they are.
fn all(programs: &Path, folder: &Path, origin: &Origin, gated: bool) -> anyhow::Result<()> {
    for image in &IMAGES {
        write(image, programs, folder, origin, gated)?.iter().for_each(say);
    }
    Ok(())
}

fn folder_of(repo: &Repo) -> PathBuf {
    repo.target.join("images")
}

/// Builds the programs for this machine and puts them where `--programs` and the `Containerfile` expect them.
fn staged(repo: &Repo, trial: bool) -> anyhow::Result<PathBuf> {
    let build = || if trial { build::trial(repo) } else { build::binaries(repo, Profile::Release) };
    let built = step("static programs", build)?;
    let folder = repo.target.join("programs");
    let place = folder.join(architecture()?);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&place).with_context(|| format!("cannot create {}", place.display()))?;
    for (_, program) in build::SHIPPED {
        fs::copy(built.join(program), place.join(program)).with_context(|| format!("cannot copy {program}"))?;
    }
    Ok(folder)
}

/// This machine's, in Go's words.
fn architecture() -> anyhow::Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => anyhow::bail!("no images are made for {other}"),
    }
}

impl Origin {
    /// From the repository's last commit; `SOURCE_DATE_EPOCH` says the time instead, as reproducible-builds.org has it.
    fn of(repo: &Repo, tag: &str) -> anyhow::Result<Self> {
        let git = |format: &str| {
            let said =
                shell::output(Command::new("git").current_dir(&repo.root).args(["log", "-1", &format!("--format={format}")]));
            said.ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let seconds = std::env::var("SOURCE_DATE_EPOCH").ok().or_else(|| git("%ct")).unwrap_or_else(|| "0".to_owned());
        let number = seconds.parse().with_context(|| format!("SOURCE_DATE_EPOCH is seconds since 1970, not `{seconds}`"))?;
        let created = Timestamp::from_parts(number, 0).with_context(|| format!("SOURCE_DATE_EPOCH={seconds} is no time"))?;
        Ok(Self { tag: tag.to_owned(), revision: git("%H"), created })
    }

    /// The annotations that OCI has names for; also the image's labels.
    fn annotations(&self, image: &Image) -> serde_json::Value {
        let mut all = serde_json::json!({
            "org.opencontainers.image.title": image.name,
            "org.opencontainers.image.description": image.description,
            "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
            "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
            "org.opencontainers.image.version": self.tag,
            "org.opencontainers.image.created": self.created.to_string(),
        });
        if let Some(revision) = &self.revision {
            all["org.opencontainers.image.revision"] = revision.as_str().into();
        }
        all
    }
}

/// Writes one image as a folder and an archive, for every architecture that there are programs for; what to say of it.
fn write(image: &Image, programs: &Path, folder: &Path, origin: &Origin, gated: bool) -> anyhow::Result<Vec<String>> {
    let mut said = Vec::new();
    let place = folder.join(image.name);
    let mut layout = Layout::create(&place)?;
    let annotations = origin.annotations(image);
    for (architecture, machine) in ARCHITECTURES {
        let own = programs.join(architecture);
        if !own.is_dir() {
            continue;
        }
        let config = layout::Config {
            architecture,
            created: origin.created.to_string(),
            user: image.user,
            entrypoint: format!("/{}", image.programs[0]),
            ports: image.ports,
            annotations: &annotations,
        };
        let files = image.programs.iter().map(|program| Ok((*program, program_for(&own.join(program), machine)?)));
        let (unpacked, packed) = layout.add(&config, &files.collect::<anyhow::Result<Vec<_>>>()?)?;
        said.push(format!("{:<20} {architecture}  {packed:>9} bytes to download, {unpacked:>9} unpacked", image.name));
        ensure!(!gated || packed <= image.gate, "{} has {packed} bytes to download, {} are allowed", image.name, image.gate);
    }
    let digest = layout.finish(&format!("{}:{}", image.published, origin.tag), &origin.tag, &annotations)?;
    let archive = folder.join(format!("{}.tar", image.name));
    layout::archive(&place, &archive)?;
    said.push(format!("{:<20} {digest} in {} and {}", image.name, place.display(), archive.display()));
    Ok(said)
}

/// A program, if it is what the image needs.
fn program_for(path: &Path, machine: usize) -> anyhow::Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let header = dist::Header::of(&bytes).with_context(|| format!("{} is no program of 64 bits", path.display()))?;
    ensure!(header.is_static, "{} asks for a loader, which the image does not have: it must be static", path.display());
    ensure!(header.machine == machine, "{} is for another architecture than its folder says", path.display());
    Ok(bytes)
}

#[cfg(test)]
mod tests;
