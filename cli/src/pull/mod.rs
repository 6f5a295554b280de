//! `pulltrace pull`: has images pulled by Docker's Engine and shows how far they are. What happens is decided by the Engine alone; here it is
//! folded (`fold`, `track`) into pictures (`picture`) that surfaces show (`surfaces`, `plain`, `json`, `quiet`), and worded at the end
//! (`summary`). Sizes come from the registry (`registry`, `manifest`, `platform`) where that is allowed. `session` and `asking` are the shell.

mod asking;
pub(crate) mod exit;
mod fallback;
mod fold;
mod json;
mod manifest;
pub(crate) mod picture;
mod plain;
pub(crate) mod plan;
mod platform;
mod quiet;
mod registry;
mod session;
pub(crate) mod summary;
pub(crate) mod surfaces;
mod track;

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use lifecycle::{image::ImageRef, pull::Node, time::Timestamp};
use tokio::sync::mpsc;

use self::{
    asking::Asking,
    exit::Exit,
    json::Json,
    plain::Plain,
    platform::Platform,
    quiet::Quiet,
    session::{MAX_WAITING, Session},
    surfaces::Surfaces,
};
use crate::{
    bars::{self, Bars, Console},
    clock::Clock,
    docker::{Engine, Place, Surroundings},
    fleet::{self, Fleet},
    log::{self, Log},
};

/// Most images that one command pulls.
const MAX_IMAGES: usize = 256;

/// What `pull` is told on the command line.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Images to pull, as `docker pull` takes them
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Pull so many images at a time
    #[arg(short, long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Pull for another platform than the Engine's own: os/arch[/variant]
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    platform: Option<String>,
    /// Give up after this long (30s, 5m, 1h) and end with 124
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// How to show it; auto is tty on a terminal, else plain
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Progress::Auto)]
    progress: Progress,
    /// Who says how big the layers are before they come: the registry, which counts as a pull at Docker Hub, or the Engine, which says it
    /// late; auto asks every registry but Docker Hub
    #[arg(long, value_name = "WHO", value_enum, default_value_t = Sizes::Auto)]
    sizes: Sizes,
    /// Draw bars on this screen too, as on /dev/tty1; if it goes away the pull goes on
    #[arg(long, value_name = "TERMINAL")]
    console: Option<PathBuf>,
    /// What to do when the Engine's interface cannot be reached: run `docker pull` instead, or end
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Fallback::Docker)]
    fallback: Fallback,
    /// Keep the log in this file, or `none`; else in /var/log/pulltrace, or where the user's programs keep their state
    #[arg(long, value_name = "PATH")]
    log_file: Option<OsString>,
    #[command(flatten)]
    fleet: fleet::Options,
}

/// How a pull is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// Bars on a terminal, else lines
    Auto,
    /// Bars
    Tty,
    /// Lines
    Plain,
    /// Events, one line of JSON each
    Json,
    /// Only the names of what was pulled
    Quiet,
}

/// Who says how big the layers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sizes {
    /// The registry, unless it is Docker Hub
    Auto,
    /// The registry
    Registry,
    /// The Engine, as bytes come
    Engine,
}

impl Sizes {
    fn asks_registry_of(self, image: &ImageRef) -> bool {
        match self {
            Self::Auto => image.registry() != "docker.io",
            Self::Registry => true,
            Self::Engine => false,
        }
    }
}

/// What is done when the Engine's interface cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fallback {
    /// Run `docker pull`
    Docker,
    /// End with an error
    Never,
}

/// Pulls the images; messages go to standard error.
pub(crate) fn run(options: &Options) -> ExitCode {
    match pull(options) {
        Ok(code) => code,
        Err(exit) => {
            tell(&exit.to_string());
            exit.code()
        }
    }
}

fn pull(options: &Options) -> Result<ExitCode, Exit> {
    let images = images(&options.images)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Exit::Start)?;
    let surroundings = Surroundings::read();
    let clock = Clock::start();
    let code = runtime.block_on(pull_with(options, &surroundings, clock, &images));
    // A registry that is still being asked is not waited for.
    runtime.shutdown_background();
    code
}

async fn pull_with(
    options: &Options,
    surroundings: &Surroundings,
    clock: Clock,
    images: &[(String, ImageRef)],
) -> Result<ExitCode, Exit> {
    let place = surroundings.place().map_err(Exit::Place)?;
    let engine = match Engine::connect(&place).await {
        Ok(engine) => engine,
        Err(error) if options.fallback == Fallback::Docker => {
            tell(&format!("{error}; running `docker pull` instead, without progress of our own"));
            let quiet = options.progress == Progress::Quiet;
            return fallback::run(&options.images, options.platform.as_deref(), quiet).await;
        }
        Err(error) => return Err(Exit::Engine(error)),
    };
    let node = Arc::new(fleet::speaker(node(&engine, &place).await, variable).map_err(Exit::Node)?);
    let (tell, heard) = mpsc::channel(MAX_WAITING);
    let asking = Asking {
        engine,
        config: surroundings.config.clone(),
        platform: options.platform.clone(),
        sizes: options.sizes,
        tell,
        facts: Arc::default(),
    };
    let has_bars = match options.progress {
        Progress::Auto | Progress::Tty => bars::look(|name| std::env::var(name).ok()).is_some(),
        Progress::Plain | Progress::Json | Progress::Quiet => false,
    };
    let is_told = has_bars && io::stderr().is_terminal();
    let session = Session::new(clock, compose(options, &node, clock.now())?, images, &node, is_told);
    Ok(session.run(asking, heard, usize::from(options.jobs), options.timeout).await)
}

/// What shows the pulls: the one surface that was chosen, and beside it whatever else was asked for.
fn compose(options: &Options, node: &Arc<Node>, now: Timestamp) -> Result<Surfaces, Exit> {
    let mut surfaces = Surfaces::default();
    let out = io::stdout();
    let groups = std::env::var("GITHUB_ACTIONS").is_ok_and(|value| value == "true");
    let plain = || Box::new(Plain::new(io::stdout(), node.name.clone(), groups));
    match options.progress {
        Progress::Auto | Progress::Tty => match bars(node) {
            Some(bars) => surfaces.add("bars", Box::new(bars)),
            None => surfaces.add("plain", plain()),
        },
        Progress::Plain => surfaces.add("plain", plain()),
        Progress::Json => surfaces.add("json", Box::new(Json::new(out, node.clone()))),
        Progress::Quiet => surfaces.add("quiet", Box::new(Quiet(out))),
    }
    if let Some(path) = &options.console {
        let (console, problem) = Console::open(path, node.name.clone());
        if let Some(problem) = problem {
            tell(&format!("cannot draw on {}: {problem}; the pull goes on, and it is tried again", path.display()));
        }
        surfaces.add("console", Box::new(console));
    }
    let log_file = options.log_file.clone().map(log::Choice::from).unwrap_or_default();
    match Log::open(&log_file, Node::clone(node), variable) {
        Ok(Some(log)) => surfaces.add("log", Box::new(log)),
        Ok(None) => {}
        Err(message) => tell(&message),
    }
    surfaces.add("fleet", Box::new(Fleet::start(&options.fleet, node, variable, now).map_err(Exit::Fleet)?));
    Ok(surfaces)
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Bars on standard output, if that is a terminal that can be drawn on.
fn bars(node: &Node) -> Option<Bars> {
    let look = bars::look(|name| std::env::var(name).ok())?;
    Bars::on_stdout(look, node.name.clone()).ok()
}

/// The machine of the Engine.
async fn node(engine: &Engine, place: &Place) -> Node {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let (name, uid) = match place.is_local() {
        true => (file("/proc/sys/kernel/hostname"), fleet::machine_uid(Path::new("/"))),
        false => engine.facts().await.map(|facts| (facts.name, facts.id)).unwrap_or_default(),
    };
    let unnamed = || place.describe().parse().or_else(|_| "docker".parse());
    Node {
        name: name.parse().or_else(|_| unnamed()).unwrap_or_else(|_| unreachable!("a constant name is valid")),
        uid,
        cluster: String::new(),
        runtime_name: engine.host().runtime.to_owned(),
        runtime_version: engine.host().version.clone(),
    }
}

fn images(asked: &[String]) -> Result<Vec<(String, ImageRef)>, Exit> {
    if asked.len() > MAX_IMAGES {
        return Err(Exit::TooMany);
    }
    let parse = |text: &String| match text.parse() {
        Ok(image) => Ok((text.clone(), image)),
        Err(error) => Err(Exit::Image { text: text.clone(), error }),
    };
    asked.iter().map(parse).collect()
}

/// A message for people.
fn tell(text: &str) {
    // Nobody is left to tell if this fails.
    _ = writeln!(io::stderr(), "pulltrace: {}", text.replace(char::is_control, " "));
}

pub(crate) fn platform(text: &str) -> Result<String, &'static str> {
    Platform::parse(text).map(|_| text.to_owned()).ok_or("os/arch[/variant], as linux/arm64 or linux/arm/v7")
}

/// `30s`, `5m`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    let says = "a time like 30s, 5m or 1h";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let number: u64 = digits.parse().map_err(|_| says)?;
    let seconds = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(says),
    };
    number.checked_mul(seconds).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or(says)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_not_nothing() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for text in ["", "5", "m", "0s", "-1s", "1d", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
