//! `pulltrace-collector`: reads the configuration, binds, runs until SIGTERM or Ctrl-C, and ends at once at the second.

use std::{
    io::{self, Write as _},
    num::NonZero,
    pin::pin,
    process::ExitCode,
};

use collector::{
    config::{Config, ConfigError, unknown_variables},
    listen::Listeners,
    logging,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// Exit code of a configuration that is wrong (`EX_USAGE`).
const WRONG_CONFIG: u8 = 64;

/// Exit code of an end that was asked for twice, before everything was finished.
const CUT_OFF: u8 = 130;

/// Threads that take reports and tell streams, beside those that write large answers: one for so many cores. A cluster of thousands of nodes keeps
/// less than one busy, and two of them wake each other for every report.
const CORES_PER_WORKER: usize = 4;
/// The most of them, on any machine: each holds memory of its own.
const MAX_WORKERS: usize = 4;

fn main() -> anyhow::Result<ExitCode> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let workers = cores.div_ceil(CORES_PER_WORKER).min(MAX_WORKERS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> anyhow::Result<ExitCode> {
    let config = match Config::read(std::env::args_os()) {
        Ok(config) => config,
        Err(ConfigError::Asked(text)) => {
            io::stdout().write_all(text.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(ConfigError::Wrong(sentence)) => return fail(&sentence, WRONG_CONFIG),
    };
    logging::start(&config);
    for name in unknown_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())) {
        tracing::warn!(name, "nobody reads this variable");
    }
    let listeners = match Listeners::bind(&config).await {
        Ok(listeners) => listeners,
        Err(error) => return fail(&error.to_string(), 1),
    };
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut asked = async move || tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} };
    let (stop, stopped) = oneshot::channel::<()>();
    // That the sender is gone means the same.
    let mut running = pin!(collector::run(config, listeners, async { _ = stopped.await }));
    tokio::select! {
        () = &mut running => return Ok(ExitCode::SUCCESS),
        () = asked() => drop(stop),
    }
    tracing::info!("asked to end: finishing what is open; asked again, it ends at once");
    Ok(tokio::select! {
        () = running => ExitCode::SUCCESS,
        () = asked() => ExitCode::from(CUT_OFF),
    })
}

fn fail(sentence: &str, code: u8) -> anyhow::Result<ExitCode> {
    writeln!(io::stderr(), "{sentence}")?;
    Ok(ExitCode::from(code))
}
