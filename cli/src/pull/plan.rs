//! `pulltrace plan`: what a pull would fetch, what is here already, and whether the disk has room; nothing is pulled. The manifest comes from
//! the registry, what is here from the Engine's images.
//!
//! What is here can only be concluded, as no Engine tells its layers by the digests of their blobs. A layer counts as cached when an image
//! has the same unpacked layers from the base up to it: both image stores then fetch nothing. containerd's store also reuses a blob that
//! lies elsewhere in another image; that is told beside, as it holds only if the blob is packed the same.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use lifecycle::{
    explain,
    image::{Digest, ImageRef},
};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::{
    exit::{self, Exit, PlanError},
    manifest::{Blob, Manifest},
    platform::Platform,
    registry::{self, Question},
    tell,
};
use crate::{
    ask::{Format, yaml},
    docker::{self, Engine, Facts, Place, Surroundings},
};

/// Images of the Engine that are looked at.
const MAX_LOOKED_AT: usize = 500;
/// Where containerd keeps what Docker's Engine unpacks, unless it was told otherwise.
const CONTAINERD_ROOT: &str = "/var/lib/containerd";

/// What a pull would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    image: ImageRef,
    digest: Digest,
    size_bytes: u64,
    cached_bytes: u64,
    to_fetch_bytes: u64,
    /// Of those to fetch, so many may be found in other images after all.
    maybe_cached_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk: Option<Disk>,
    layers: Vec<Layer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    digest: Digest,
    size_bytes: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Cached,
    MaybeCached,
    ToFetch,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Disk {
    path: PathBuf,
    free_bytes: u64,
}

/// Says what a pull would do; messages go to standard error.
pub(crate) fn run(image: &str, platform: Option<&str>, format: Format) -> ExitCode {
    let done = plan(image, platform).and_then(|plan| {
        let out = io::stdout().lock();
        match write(out, &plan, format) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Exit::Output(error)),
            Ok(()) | Err(_) => Ok(plan),
        }
    });
    match done {
        Ok(plan) if plan.has_room() => ExitCode::SUCCESS,
        Ok(plan) => {
            let free = plan.disk.as_ref().map_or(0, |disk| disk.free_bytes);
            tell(&format!("{} would not fit: {} free", plan.image, explain::size(free)));
            ExitCode::from(exit::NO_SPACE)
        }
        Err(exit) => {
            tell(&exit.to_string());
            exit.code()
        }
    }
}

fn plan(image: &str, platform: Option<&str>) -> Result<Plan, Exit> {
    let image: ImageRef = image.parse().map_err(|error| Exit::Image { text: image.to_owned(), error })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Exit::Start)?;
    let plan = runtime.block_on(plan_of(image, platform));
    runtime.shutdown_background();
    plan
}

async fn plan_of(image: ImageRef, platform: Option<&str>) -> Result<Plan, Exit> {
    let surroundings = Surroundings::read();
    let place = surroundings.place().map_err(Exit::Place)?;
    let engine = Engine::connect(&place).await.map_err(Exit::Engine)?;
    let facts = engine.facts().await.map_err(Exit::Engine)?;
    let credentials = match docker::credentials(surroundings.config.as_deref(), image.registry()).await {
        Ok(credentials) => credentials,
        Err(error) => {
            tell(&format!("{error}; going on without credentials"));
            None
        }
    };
    let host = engine.host();
    let own = || Platform::of(&host.os, &host.arch, &facts.machine);
    let platform = platform.and_then(Platform::parse).unwrap_or_else(own);
    let question = Question { image: image.clone(), platform, credentials, insecure: facts.insecure.clone() };
    let read = spawn_blocking(move || registry::read_whole(&question)).await;
    let (manifest, diff_ids) = match read {
        Ok(read) => read.map_err(|source| Exit::Plan(PlanError { image: image.clone(), source }))?,
        Err(error) => return Err(Exit::Start(error.into())),
    };
    let (images, all) = engine.images(MAX_LOOKED_AT).await.map_err(Exit::Engine)?;
    if !all {
        tell(&format!("only {MAX_LOOKED_AT} images were looked at; more may be here already"));
    }
    let mut plan = Plan::new(image, &manifest, &diff_ids, &images, facts.containerd_store);
    plan.disk = disk(&place, &facts);
    Ok(plan)
}

impl Plan {
    /// From what the registry says of the image, and the unpacked layers of those that are here.
    fn new(image: ImageRef, manifest: &Manifest, diff_ids: &[Digest], here: &[Vec<Digest>], by_blob: bool) -> Self {
        let same = |own: &Vec<Digest>| own.iter().zip(diff_ids).take_while(|(own, wanted)| own == wanted).count();
        let cached = here.iter().map(same).max().unwrap_or(0);
        let elsewhere = |at: usize| by_blob && diff_ids.get(at).is_some_and(|diff| here.iter().flatten().any(|own| own == diff));
        let state = |(at, blob): (usize, &Blob)| Layer {
            digest: blob.digest.clone(),
            size_bytes: blob.size,
            state: match () {
                () if at < cached => State::Cached,
                () if elsewhere(at) => State::MaybeCached,
                () => State::ToFetch,
            },
        };
        // A layer may be listed twice, and is fetched once.
        let first = |(at, blob): &(usize, &Blob)| !manifest.layers[..*at].iter().any(|before| before.digest == blob.digest);
        let layers: Vec<Layer> = manifest.layers.iter().enumerate().filter(first).map(state).collect();
        let sum = |states: &[State]| layers.iter().filter(|l| states.contains(&l.state)).map(|l| l.size_bytes).sum();
        Self {
            image,
            digest: manifest.top.clone(),
            size_bytes: sum(&[State::Cached, State::MaybeCached, State::ToFetch]),
            cached_bytes: sum(&[State::Cached]),
            to_fetch_bytes: sum(&[State::MaybeCached, State::ToFetch]),
            maybe_cached_bytes: sum(&[State::MaybeCached]),
            disk: None,
            layers,
        }
    }

    /// Whether it is not certain that the disk is too small.
    fn has_room(&self) -> bool {
        let least = self.to_fetch_bytes - self.maybe_cached_bytes;
        self.disk.as_ref().is_none_or(|disk| disk.free_bytes >= least)
    }

    fn count(&self, states: &[State]) -> String {
        match self.layers.iter().filter(|layer| states.contains(&layer.state)).count() {
            1 => "1 layer".to_owned(),
            count => format!("{count} layers"),
        }
    }
}

fn write(mut out: impl Write, plan: &Plan, format: Format) -> io::Result<()> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut out, plan)?;
            writeln!(out)
        }
        Format::Yaml => out.write_all(yaml(plan)?.as_bytes()),
        Format::Table | Format::Wide => write_lines(out, plan),
    }
}

fn write_lines(mut out: impl Write, plan: &Plan) -> io::Result<()> {
    let fetch = [State::MaybeCached, State::ToFetch];
    writeln!(out, "{}", plan.image)?;
    writeln!(
        out,
        "  size      {} in {}",
        explain::size(plan.size_bytes),
        plan.count(&[State::Cached, State::MaybeCached, State::ToFetch])
    )?;
    writeln!(out, "  cached    {} in {}", explain::size(plan.cached_bytes), plan.count(&[State::Cached]))?;
    writeln!(out, "  to fetch  {} in {}", explain::size(plan.to_fetch_bytes), plan.count(&fetch))?;
    if plan.maybe_cached_bytes > 0 {
        let (bytes, count) = (explain::size(plan.maybe_cached_bytes), plan.count(&[State::MaybeCached]));
        writeln!(out, "            of these {bytes} in {count} may be found in other images here")?;
    }
    if let Some(disk) = &plan.disk {
        let path = disk.path.display().to_string().replace(char::is_control, " ");
        writeln!(
            out,
            "  disk      {} free in {path}; unpacked, layers take more room than to fetch",
            explain::size(disk.free_bytes)
        )?;
    }
    writeln!(out, "  digest    {}", plan.digest)?;
    for layer in &plan.layers {
        let state = match layer.state {
            State::Cached => "cached",
            State::MaybeCached => "maybe cached",
            State::ToFetch => "to fetch",
        };
        let digits = layer.digest.encoded();
        writeln!(out, "  {}  {:>10}  {state}", digits.get(..docker::SHORT).unwrap_or(digits), explain::size(layer.size_bytes))?;
    }
    out.flush()
}

/// Room where the Engine keeps images, if that is on this machine.
fn disk(place: &Place, facts: &Facts) -> Option<Disk> {
    let root = facts.root.as_path();
    let containerd = Path::new(CONTAINERD_ROOT);
    // A containerd of its own keeps its files below Docker's.
    let is_own = !facts.containerd_store || root.join("containerd/daemon").is_dir() || !containerd.is_dir();
    let path = if is_own { root } else { containerd };
    let room = place.is_local().then(|| rustix::fs::statvfs(path).ok())??;
    Some(Disk { path: path.to_owned(), free_bytes: room.f_bavail.saturating_mul(room.f_frsize) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn plan(here: &[&[&str]], by_blob: bool) -> Plan {
        let blob = |(name, size): (&str, u64)| Blob { digest: digest(name), media_type: String::new(), size };
        let layers = [("base", 100), ("lib", 20), ("app", 3)].map(blob).to_vec();
        let manifest = Manifest { top: digest("top"), config: digest("config"), layers };
        let unpacked = |names: &&[&str]| names.iter().map(|name| digest(&format!("{name} unpacked"))).collect();
        let here: Vec<Vec<Digest>> = here.iter().map(unpacked).collect();
        let wanted: Vec<Digest> = ["base", "lib", "app"].iter().map(|name| digest(&format!("{name} unpacked"))).collect();
        Plan::new("a:1".parse().expect("a name"), &manifest, &wanted, &here, by_blob)
    }

    #[test]
    fn a_layer_is_cached_on_top_of_the_same_layers_only() {
        let bytes = |plan: Plan| (plan.cached_bytes, plan.to_fetch_bytes, plan.maybe_cached_bytes);
        assert_eq!(bytes(plan(&[], false)), (0, 123, 0));
        assert_eq!(bytes(plan(&[&["base", "other"], &["base", "lib", "x"]], false)), (120, 3, 0));
        assert_eq!(bytes(plan(&[&["x", "base", "lib"]], false)), (0, 123, 0), "not from the base up");
        assert_eq!(bytes(plan(&[&["base"], &["x", "lib"]], true)), (100, 23, 20), "containerd's store may have the blob");
        assert_eq!(bytes(plan(&[&["base", "lib", "app"]], true)), (123, 0, 0));
    }

    #[test]
    fn room_is_missing_only_if_that_is_certain() {
        let with = |free_bytes| Plan { disk: Some(Disk { path: "/".into(), free_bytes }), ..plan(&[&["x", "lib"]], true) };
        assert!(!with(102).has_room() && with(103).has_room());
        assert!(plan(&[], true).has_room(), "nobody knows");
    }

    #[test]
    fn a_plan_is_told_in_lines_and_in_json() {
        let plan = plan(&[&["base"]], false);
        let told = |format| {
            let mut out = Vec::new();
            write(&mut out, &plan, format).expect("memory");
            String::from_utf8(out).expect("text")
        };
        assert!(told(Format::Table).contains("to fetch  23 B in 2 layers"), "{}", told(Format::Table));
        let json: serde_json::Value = serde_json::from_str(&told(Format::Json)).expect("JSON");
        assert_eq!((json["toFetchBytes"].as_u64(), json["layers"][1]["state"].as_str()), (Some(23), Some("to_fetch")));
    }
}
