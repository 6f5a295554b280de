//! `pulltrace-agent`: reads its settings, says what is wrong with them, runs until it is told to stop.

use std::{env, fs, process::ExitCode};

use agent::{
    config::{Address, Args, PROBES},
    health, logging,
    telemetry::trace::SelfTracing,
};
use anyhow::Context as _;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

/// `EX_USAGE` of sysexits(3): the settings are wrong.
const USAGE: u8 = 64;

/// musl's own allocator maps and unmaps memory with every look at a running pull.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let told = error.print();
            return if error.use_stderr() || told.is_err() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match start(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => {
            say(&error);
            ExitCode::from(USAGE)
        }
        Err(Failure::Other(error)) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    Usage(anyhow::Error),
    Other(anyhow::Error),
}

fn start(args: Args) -> Result<(), Failure> {
    let endpoint = args.self_tracing().map_err(|e| Failure::Usage(e.into()))?;
    let own = endpoint.map(|endpoint| SelfTracing::new(endpoint, args.node_name.as_deref().unwrap_or_default()));
    logging::start(&args.log_level, &args.log_format, own.as_ref().map(SelfTracing::layer))
        .map_err(|e| Failure::Usage(e.into()))?;
    for unknown in agent::config::unknown(env::vars_os().filter_map(|(name, _)| name.into_string().ok())) {
        tracing::warn!(variable = unknown, "unknown variable, nothing is done with it");
    }
    let host_name = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let config = args.check(host_name).map_err(|e| Failure::Usage(e.into()))?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start").map_err(Failure::Other)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals").map_err(Failure::Other)?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals").map_err(Failure::Other)?;
        let probes = match config.probes {
            Address::Off => None,
            Address::Usual => match health::listen(PROBES).await {
                Ok(listener) => Some(listener),
                Err(error) => {
                    tracing::warn!(address = %PROBES, %error, "probes are not answered");
                    None
                }
            },
            Address::On(address) => {
                let told = || format!("PULLTRACE_METRICS_ADDR={address} cannot be listened on");
                Some(health::listen(address).await.with_context(told).map_err(Failure::Other)?)
            }
        };
        let shutdown = async move {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        };
        if let Some(own) = own {
            tokio::spawn(own.deliver());
        }
        // A task of its own: what the runtime itself waits for is woken through the kernel.
        tokio::spawn(agent::run(config, probes, shutdown)).await.context("stopped").map_err(Failure::Other)
    })
}

#[expect(clippy::print_stderr, reason = "there may be no log yet, and this is for the person who started it")]
fn say(error: &anyhow::Error) {
    eprintln!("pulltrace-agent: {error:#}");
}
