//! `pulltrace`: shows pulls in a terminal, and runs agent and collector together on one host. Data goes to standard output, messages to
//! standard error, and the exit code says what went wrong, as the contract lists it.

mod ask;
mod bars;
mod check;
mod client;
mod clock;
mod cluster;
mod docker;
mod fleet;
mod line;
mod log;
mod plan;
mod pull;
mod pulls;
mod server;
mod shell;
mod up;
mod watch;

use std::{
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    client::ClientError,
    server::{Called, Server},
};

/// What happens to every container image pull: live, and afterwards.
#[derive(Debug, Parser)]
#[command(name = "pulltrace", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    overview: ask::Overview,
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
    /// Say what a pull would fetch and what is here already, on this host or, if a collector or a cluster is named, node by node
    Plan(plan::Options),
    /// Show the log of the pulls of this host, and follow it
    Logs(log::LogsOptions),
    #[command(flatten)]
    Ask(ask::Command),
    /// Write completions for a shell, such as `source <(pulltrace completions bash)`
    Completions(shell::Completions),
    /// Write manual pages
    Man(shell::Man),
    /// Run agent and collector in this process, for this host; all their variables count
    Up(up::Options),
}

fn main() -> ExitCode {
    let words = ask::split(std::env::args());
    let program = words.first().map(String::as_str).unwrap_or_default();
    let called = Called::by(program);
    let mut commands = Arguments::command().bin_name(called.command());
    if Called::is_completer(program) {
        commands.build();
        let done = shell::kubectl_complete(&commands, words.get(1..).unwrap_or_default(), &mut io::stdout());
        return if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let read = commands.clone().try_get_matches_from(&words).and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = read.unwrap_or_else(|error| error.exit());
    let Some(command) = arguments.command else { return overview(&arguments.overview, called, commands) };
    let done = match command {
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
        Command::Plan(options) => match plan::run(&options, called) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Logs(options) => {
            log::logs(&options, |name| std::env::var_os(name), &mut io::stdout().lock(), &mut io::stderr()).map_err(Into::into)
        }
        Command::Ask(command) => ask::run(&command, called),
        Command::Completions(options) => shell::completions(&options, commands).map_err(Into::into),
        Command::Man(options) => shell::man(&options, commands).map_err(Into::into),
        Command::Up(options) => up::run(&options),
    };
    end(done)
}

/// What runs, if it is clear whom to ask; else what can be asked.
fn overview(overview: &ask::Overview, called: Called, mut commands: clap::Command) -> ExitCode {
    if overview.server.is_named(called) {
        return end(ask::overview(overview, called));
    }
    // Nobody is left to tell if this fails.
    _ = write!(io::stderr(), "{}", commands.render_help());
    ExitCode::from(2)
}

fn end(done: anyhow::Result<()>) -> ExitCode {
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
    } else if error.is::<up::UsageError>() || error.is::<plan::PlatformError>() {
        2
    } else if error.is::<check::Late>() {
        124
    } else {
        ask::exit_code(error).unwrap_or(1)
    }
}

/// Whoever read our output has enough, as `head` does: no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let of_client = matches!(error.downcast_ref(), Some(ClientError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe);
    of_client || matches!(error.downcast_ref(), Some(log::LogsError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe)
}
