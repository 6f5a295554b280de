//! `cargo xtask pictures`: pictures of the command line in a terminal, for the documentation. Every scene is the real program in a real terminal
//! (tmux) of each size, before an Engine, registry or cluster that plays a part (`engine`, `scenes`); what the terminal then shows is drawn as
//! SVG, light and dark (`ansi`, `svg`). They are looked at before they are committed: nothing here knows what is ugly.

mod ansi;
mod cluster;
mod engine;
mod scenes;
mod svg;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use self::cluster::Cluster;
use self::engine::Engine;
use self::scenes::{Behind, SCENES, SIZES, Scene, Size};
use crate::build::{self, Profile};
use crate::shell::{self, Repo, say};

/// Where they are.
const FOLDER: &str = "docs/cli";
/// A scene that has not come up by then has failed.
const DEADLINE: Duration = Duration::from_secs(60);
/// Time between two looks at a terminal.
const LOOK: Duration = Duration::from_millis(50);

/// Which pictures.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Scenes to draw; all without a name
    names: Vec<String>,
}

/// Draws the scenes anew.
///
/// # Errors
/// When a scene does not come up, or there is no tmux here.
pub(crate) fn run(repo: &Repo, args: &Args) -> anyhow::Result<()> {
    if let Some(unknown) = args.names.iter().find(|name| SCENES.iter().all(|scene| scene.name != name.as_str())) {
        let known: Vec<&str> = SCENES.iter().map(|scene| scene.name).collect();
        bail!("no scene is called {unknown}; there are {}", known.join(", "));
    }
    shell::output(Command::new("tmux").arg("-V")).context("the pictures need tmux")?;
    let program = build::program(repo, Profile::Dev, "cli", "pulltrace")?;
    let stage = std::env::temp_dir().join(format!("pulltrace-pictures-{}", std::process::id()));
    fs::create_dir_all(&stage).with_context(|| format!("cannot create {}", stage.display()))?;
    let mut wanted = SCENES.iter().filter(|scene| args.names.is_empty() || args.names.iter().any(|name| name == scene.name));
    let asks = wanted.clone().any(|scene| matches!(scene.behind, Behind::Cluster));
    let cluster = asks.then(|| Cluster::start(repo)).transpose()?;
    let server = cluster.as_ref().map_or("", |cluster| cluster.url.as_str());
    let drawn =
        wanted.try_for_each(|scene| draw(&repo.root.join(FOLDER), &Stage { folder: &stage, program: &program, server }, scene));
    fs::remove_dir_all(&stage).with_context(|| format!("cannot remove {}", stage.display()))?;
    drawn
}

/// What every scene is played on.
struct Stage<'a> {
    folder: &'a Path,
    program: &'a Path,
    /// Address of the cluster's collector, if a scene needs one.
    server: &'a str,
}

fn draw(folder: &Path, stage: &Stage<'_>, scene: &Scene) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for size in SIZES {
        let terminal = Terminal { socket: stage.folder.join(format!("{}-{}", scene.name, size.columns)) };
        let seen = play(&terminal, stage, scene, size);
        terminal.end();
        let seen = seen.with_context(|| format!("scene {} at {}x{}", scene.name, size.columns, size.rows))?;
        let cells = ansi::cells(&seen, usize::from(size.columns));
        for theme in &svg::THEMES {
            let name = format!("{}-{}-{}x{}.svg", scene.name, theme.name, size.columns, size.rows);
            let picture = svg::draw(&cells, size.columns, size.rows, theme, scene.about);
            fs::write(folder.join(&name), picture).with_context(|| format!("cannot write {name}"))?;
            say(format!("{FOLDER}/{name}"));
        }
    }
    Ok(())
}

/// Plays a scene up to its moment; what the terminal shows then.
fn play(terminal: &Terminal, stage: &Stage<'_>, scene: &Scene, size: Size) -> anyhow::Result<String> {
    let Stage { folder, program, server } = stage;
    let (engine, words, env) = match scene.behind {
        Behind::Engine(stories) => {
            let socket = folder.join("docker.sock");
            let engine = Engine::start(&socket, stories)?;
            let words = scene.words.replace("REGISTRY", &engine.registry);
            (Some(engine), words, format!("DOCKER_HOST=unix://{} DOCKER_CONFIG={}", socket.display(), folder.display()))
        }
        Behind::Cluster => (None, scene.words.to_owned(), format!("PULLTRACE_SERVER={server}")),
    };
    // A cluster has something to show when what takes longest has come: that a pull stalls.
    let before = match scene.behind {
        Behind::Engine(_) => String::new(),
        Behind::Cluster => format!("until env {env} '{}' ls | grep -q ^stalled; do sleep 1; done; ", program.display()),
    };
    // As someone would type it, and the prompt again when it has ended.
    let script = format!(
        "{before}printf '$ {shown}pulltrace {words}\\n'; env {env} {vars} '{program}' {words}; printf '$ '; read _",
        shown = scene.vars.iter().map(|var| format!("{var} ")).collect::<String>(),
        vars = scene.vars.join(" "),
        program = program.display(),
    );
    terminal.start(size, &script)?;
    let deadline = Instant::now() + DEADLINE;
    for key in scene.keys {
        terminal.wait(key.0, deadline)?;
        terminal.run(&["send-keys", key.1])?;
    }
    terminal.wait(scene.moment, deadline)?;
    let seen = terminal.run(&["capture-pane", "-e", "-p"]);
    drop(engine);
    seen
}

/// A terminal of its own, of which nobody else knows.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn start(&self, size: Size, script: &str) -> anyhow::Result<()> {
        let (columns, rows) = (size.columns.to_string(), size.rows.to_string());
        let settings = ["set", "-g", "default-terminal", "tmux-256color", ";", "set", "-g", "status", "off", ";"];
        let session = ["new-session", "-d", "-x", &columns, "-y", &rows, "sh", "-c", script];
        self.run(&[&["start-server", ";"][..], &settings, &session].concat()).map(drop)
    }

    /// Looks until one of these words is shown.
    fn wait(&self, words: &[&str], deadline: Instant) -> anyhow::Result<()> {
        let (_never, look) = mpsc::channel::<()>();
        loop {
            let shown = self.run(&["capture-pane", "-p"])?;
            if words.iter().any(|word| shown.contains(word)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("none of {words:?} was shown in time; this was:\n{shown}");
            }
            // Nothing ever comes; this is the time between two looks.
            _ = look.recv_timeout(LOOK);
        }
    }

    fn run(&self, words: &[&str]) -> anyhow::Result<String> {
        shell::output(Command::new("tmux").arg("-u").arg("-f").arg("/dev/null").arg("-S").arg(&self.socket).args(words))
    }

    /// Whatever still runs in it gets a hangup.
    fn end(self) {
        drop(self.run(&["kill-server"]));
    }
}
