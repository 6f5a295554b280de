//! `pulltrace`: shows pulls in a terminal, and runs agent and collector together on one host. Data goes to standard output, messages to
//! standard error, and the exit code says what went wrong, as the contract lists it.

mod bars;
mod check;
mod client;
mod clock;
mod cluster;
mod docker;
mod fleet;
mod line;
mod log;
mod pull;
mod pulls;
mod server;
mod up;
mod watch;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};

use crate::{
    client::ClientError,
    server::{Called, Server},
};

/// What happens to every container image pull: live, and afterwards.
#[derive(Debug, Parser)]
#[command(name = "pulltrace", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List pulls, newest first, one line each
    Ls {
        #[command(flatten)]
        server: Server,
        /// Only pulls that run now
        #[arg(long)]
        active: bool,
        /// Go on with a line for each pull that starts, changes its state or ends, until interrupted
        #[arg(short, long, conflicts_with = "active")]
        follow: bool,
    },
    /// Look at pulls as they run: a live table that fills the terminal. `pulltrace ls --follow` writes lines instead
    #[command(visible_alias = "top")]
    Watch {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        options: watch::Options,
    },
    /// Wait until the collector is ready and agents are heard, say so in a line, and end; with 124 if it is not so in time
    Check {
        #[command(flatten)]
        server: Server,
        /// At least so many agents, whose containerd answers
        #[arg(long, default_value_t = 1)]
        agents: usize,
        /// So many seconds long
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        within: u64,
    },
    /// Pull images with Docker or Podman, and see how far they are
    Pull(pull::Options),
    /// Say what a pull with Docker would fetch, and what is here already; nothing is pulled
    Plan(pull::plan::Options),
    /// Show the log of the pulls of this host, and follow it
    Logs(log::LogsOptions),
    /// Run agent and collector in this process, for this host; all their variables count
    Up(up::Options),
}

fn main() -> ExitCode {
    let called = Called::by(&std::env::args().next().unwrap_or_default());
    let done = match Arguments::parse().command {
        Command::Ls { server, active, follow } => {
            let lines = |client| if follow { pulls::follow(&client) } else { pulls::list(&client, active) };
            server.client(called).and_then(lines).map_err(Into::into)
        }
        Command::Watch { server, options } => watch::run(|| server.client(called), &options).map_err(Into::into),
        Command::Check { server, agents, within } => {
            let client = server.client(called).map_err(Into::into);
            client.and_then(|client| check::run(&client, agents, Duration::from_secs(within)))
        }
        Command::Pull(options) => return pull::run(&options),
        Command::Plan(options) => return pull::plan::run(&options),
        Command::Logs(options) => {
            log::logs(&options, |name| std::env::var_os(name), &mut io::stdout().lock(), &mut io::stderr()).map_err(Into::into)
        }
        Command::Up(options) => up::run(&options),
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    if is_closed_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    // Nobody is left to tell if this fails.
    _ = writeln!(io::stderr(), "pulltrace: {error:#}");
    ExitCode::from(exit_code(&error))
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(error) = error.downcast_ref::<ClientError>() {
        error.code()
    } else if let Some(error) = error.downcast_ref::<log::LogsError>() {
        error.exit_code()
    } else if let Some(error) = error.downcast_ref::<watch::WatchError>() {
        error.code()
    } else if error.is::<up::UsageError>() {
        2
    } else if error.is::<check::Late>() {
        124
    } else {
        1
    }
}

/// Whoever read our output has enough, as `head` does: no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let of_client = matches!(error.downcast_ref(), Some(ClientError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe);
    of_client || matches!(error.downcast_ref(), Some(log::LogsError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe)
}
