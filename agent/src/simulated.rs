//! The program `simulated-containerd`: plays a scenario at a socket until it is told to stop.
//!
//! Everything it does is in [`agent::containerd::simulated`]; here are the command line and the exit codes: 64 for what the caller got
//! wrong, 1 for what broke later.

use std::{path::PathBuf, process::ExitCode};

use agent::containerd::simulated::{Play, Simulated, personality::Personality, scenario::Scenario};
use clap::{Parser, error::ErrorKind};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};
use tracing_subscriber::EnvFilter;

/// Exit code for a wrong command line, file or socket (`EX_USAGE`).
const USAGE: u8 = 64;
/// Highest speed: above it a machine may not keep up.
const MAX_SPEED: i64 = 1_000;

/// Speaks containerd's gRPC at a unix socket and plays a written scenario. Answers only what reads.
#[derive(Debug, Parser)]
#[command(name = "simulated-containerd", disable_version_flag = true)]
struct Arguments {
    /// The socket to listen at
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Which containerd to play: 1.6, 1.7, 2.1 or 2.4
    #[arg(long, value_name = "VERSION", default_value = "2.1")]
    version: Personality,
    /// The file of the scenario
    #[arg(long, value_name = "FILE", conflicts_with = "scenario_name")]
    scenario: Option<PathBuf>,
    /// One of the scenarios that come along
    #[arg(long, value_name = "NAME", default_value = "demo")]
    scenario_name: String,
    /// Begin anew each time the scenario is over
    #[arg(long = "loop")]
    repeat: bool,
    /// Simulated seconds per second
    #[arg(long, value_name = "FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MAX_SPEED))]
    speed: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let told = error.kind() == ErrorKind::DisplayHelp;
            return if error.print().is_ok() && told { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    match play(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, problem)) => {
            error!("{problem}");
            ExitCode::from(code)
        }
    }
}

/// Plays until a signal comes. The error is an exit code and what to say.
async fn play(arguments: Arguments) -> Result<(), (u8, String)> {
    let scenario = match &arguments.scenario {
        Some(path) => Scenario::read(path),
        None => Scenario::named(&arguments.scenario_name),
    };
    let scenario = scenario.map_err(|error| (USAGE, error.to_string()))?;
    let about = scenario.about.clone();
    let play = Play { personality: arguments.version, speed: arguments.speed, repeat: arguments.repeat };
    let broken = |error: std::io::Error| (1, format!("broken: {error}"));
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt()).map_err(broken)?, signal(SignalKind::terminate()).map_err(broken)?);
    let mut simulated = Simulated::start(&arguments.socket, scenario, play).await.map_err(|error| (USAGE, error.to_string()))?;
    info!(socket = %arguments.socket.display(), version = %arguments.version, "playing: {about}");
    tokio::select! {
        error = simulated.broken() => return Err(broken(error)),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!("stopped");
    Ok(())
}
