//! `pulltrace`: shows pulls in a terminal, and runs agent and collector together on one host. Data goes to standard output, messages to
//! standard error, and the exit code says what went wrong, as the contract lists it.

mod check;
mod client;
mod clock;
mod docker;
mod line;
mod pull;
mod pulls;
mod up;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};

use crate::client::{Client, ClientError};

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
    },
    /// Follow pulls: a line for each that starts, changes its state or ends, until interrupted
    Watch {
        #[command(flatten)]
        server: Server,
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
    /// Run agent and collector in this process, for this host; all their variables count
    Up(up::Options),
}

#[derive(Debug, Args)]
struct Server {
    /// The collector to ask
    #[arg(long = "server", env = "PULLTRACE_SERVER", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// File with the token that the collector wants of readers
    #[arg(long = "token-file", env = "PULLTRACE_READ_TOKEN_FILE")]
    token_file: Option<PathBuf>,
}

impl Server {
    fn client(&self) -> Result<Client, ClientError> {
        Client::new(&self.url, self.token_file.as_deref())
    }
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Ls { server, active } => server.client().and_then(|client| pulls::list(&client, active)).map_err(Into::into),
        Command::Watch { server } => server.client().and_then(|client| pulls::watch(&client)).map_err(Into::into),
        Command::Check { server, agents, within } => {
            let client = server.client().map_err(Into::into);
            client.and_then(|client| check::run(&client, agents, Duration::from_secs(within)))
        }
        Command::Pull(options) => return pull::run(&options),
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
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Url(_) | ClientError::Token { .. }) => 2,
        Some(ClientError::Status { status: 404, .. }) => 3,
        Some(ClientError::Status { status: 401 | 403, .. }) => 4,
        Some(ClientError::Status { status: 429, .. }) => 5,
        Some(ClientError::Network { .. }) => 6,
        Some(ClientError::Status { .. } | ClientError::Answer(_) | ClientError::Output(_)) => 1,
        None => {
            if error.is::<up::UsageError>() {
                2
            } else if error.is::<check::Late>() {
                124
            } else {
                1
            }
        }
    }
}

/// Whoever read our output has enough, as `head` does: no error.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ClientError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe)
}
