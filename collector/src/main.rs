//! `pulltrace-collector`: reads the configuration, binds, runs until SIGTERM or Ctrl-C.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use collector::{
    config::{Config, ConfigError, unknown_variables},
    listen::Listeners,
    logging,
};
use tokio::signal::unix::{SignalKind, signal};

/// Exit code of a configuration that is wrong (`EX_USAGE`).
const WRONG_CONFIG: u8 = 64;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
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
    collector::run(config, listeners, async move {
        tokio::select! { _ = term.recv() => {}, _ = interrupt.recv() => {} }
    })
    .await;
    Ok(ExitCode::SUCCESS)
}

fn fail(sentence: &str, code: u8) -> anyhow::Result<ExitCode> {
    writeln!(io::stderr(), "{sentence}")?;
    Ok(ExitCode::from(code))
}
