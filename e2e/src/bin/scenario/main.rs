//! `cargo xtask scenario`, after building: plays the scenes of a cluster (`e2e/src/scene/`) to a collector until Ctrl-C, and says where to look.
//! With `--stack` there is more to look with (`stack`).
//!
//! It shows and judges nothing; whether the numbers and alerts are right is for `e2e/tests/` to say. What it starts comes from the kit,
//! which fails by panicking with a sentence; that sentence is all a person sees here.

mod stack;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use e2e::clock;
use e2e::pulltrace::{Agent, Collector};
use e2e::scene::api::Api;
use e2e::scene::player::Player;
use e2e::scene::{Scene, catalog};
use e2e::simulated::Simulated;
use e2e::stop::Stop;

use crate::stack::Stack;

/// Time between two words of the nodes.
const BEAT: Duration = Duration::from_secs(1);
/// The name that stands for all scenes.
const ALL: &str = "all";

/// Builds nothing: started by `cargo xtask scenario` and `cargo xtask demo --stack`.
#[derive(Parser)]
struct Args {
    /// What to play, or `all`; without a name they are listed
    names: Vec<String>,
    /// Nodes of the scenes that are about many
    #[arg(long, default_value_t = 40)]
    nodes: usize,
    /// End after so many seconds instead of on Ctrl-C
    #[arg(long = "for", value_name = "SECONDS")]
    lasts: Option<u64>,
    /// Prometheus with the rules beside it, and Tempo where it is installed
    #[arg(long)]
    stack: bool,
    /// The repository's root
    #[arg(long, default_value = ".")]
    root: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let scenes = match chosen(&args.names) {
        Ok(scenes) if scenes.is_empty() => {
            list();
            return ExitCode::SUCCESS;
        }
        Ok(scenes) => scenes,
        Err(unknown) => {
            say(format!("There is no scenario {unknown:?}."));
            list();
            return ExitCode::FAILURE;
        }
    };
    let stop = Stop::on_signals();
    let told = stop.clone();
    std::panic::set_hook(Box::new(move |panic| {
        if !told.is_set() {
            say(format!("The scenario cannot go on: {}", panic.payload_as_str().unwrap_or("a panic without words")));
        }
    }));
    let ended = catch_unwind(AssertUnwindSafe(|| play(&args, &scenes, &stop)));
    say("\nStopped. Every process started here has ended, every temporary folder is gone.");
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Err(_) if stop.is_set() => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// The scenes of these names; the first that is none.
fn chosen(names: &[String]) -> Result<Vec<Scene>, &str> {
    if names.iter().any(|name| name == ALL) {
        return Ok(catalog::SCENES.to_vec());
    }
    names.iter().map(|name| catalog::named(name).ok_or(name.as_str())).collect()
}

fn list() {
    say("Scenarios, for `cargo xtask scenario NAME...`:\n");
    for Scene { name, about, .. } in catalog::SCENES {
        say(format!("  {name:<13} {about}"));
    }
    say(format!("  {ALL:<13} All of them at once: one cluster in which everything happens."));
}

/// Plays until it is to end; whether the collector took all that was said.
fn play(args: &Args, scenes: &[Scene], stop: &Stop) -> bool {
    let api = Api::start();
    let kubeconfig = api.kubeconfig();
    let tempo = args.stack.then(stack::Tempo::start).flatten();
    let mut env = vec![("PULLTRACE_KUBERNETES", "on"), ("KUBECONFIG", &*kubeconfig)];
    env.extend(tempo.as_ref().map(|tempo| ("PULLTRACE_FORWARD_OTLP_ENDPOINT", tempo.endpoint())));
    let collector = Collector::start_documented(&env);
    let real: Vec<Real> = scenes.iter().filter_map(|scene| Real::start(scene, &collector)).collect();
    let begun = Instant::now();
    let mut player = Player::new(scenes, args.nodes, &collector.otlp_url("/v1/logs"), &api, clock::now());
    let names: Vec<&str> = scenes.iter().map(|scene| scene.name).collect();
    say(format!(
        "Playing {}: {} nodes, {} of them with a real agent.",
        names.join(", "),
        player.nodes() + real.len(),
        real.len()
    ));
    scenes.iter().for_each(|scene| say(format!("  {:<13} {}", scene.name, scene.about)));
    let agents: Vec<_> = real.iter().map(|real| (real.node.as_str(), real.agent.metrics_address())).collect();
    let stack = args.stack.then(|| Stack::start(&args.root, &collector.metrics_address(), &agents, tempo));
    places(&collector, stack.as_ref());
    let mut taken = true;
    while !stop.is_set() && args.lasts.is_none_or(|seconds| begun.elapsed() < Duration::from_secs(seconds)) {
        let beat = Instant::now();
        if let Err(why) = player.tick(&api, clock::now()) {
            say(format!("The collector did not take a report: {why}"));
            taken = false;
        }
        stop.rest(BEAT.saturating_sub(beat.elapsed()));
    }
    say("\nStopping ...");
    taken
}

/// Where to look.
fn places(collector: &Collector, stack: Option<&Stack>) {
    let metrics = collector.metrics_address();
    say(format!(
        "\n  page        {}\n  REST        {}\n  metrics     http://{metrics}/metrics\n  OTLP        {} (gRPC)",
        collector.url("/"),
        collector.url("/api/v1/summary"),
        collector.endpoint(),
    ));
    match stack {
        Some(stack) => stack.places().iter().for_each(say),
        None => say("  Prometheus  not started: `cargo xtask demo --stack` brings it, with the rules"),
    }
    say("\nCtrl-C ends everything.");
}

/// A node with a real agent, on a containerd that is simulated at its socket.
struct Real {
    node: String,
    agent: Agent,
    _containerd: Simulated,
}

impl Real {
    /// Starts both for a scene that they can play.
    fn start(scene: &Scene, collector: &Collector) -> Option<Self> {
        let node = format!("{}-real", scene.name);
        let containerd = Simulated::start(scene.real?);
        let agent = containerd.watched(&node, &collector.endpoint());
        Some(Self { node, agent, _containerd: containerd })
    }
}

/// One line for the person who watches; that nobody reads any more is no reason to stop.
pub(crate) fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush()));
}
