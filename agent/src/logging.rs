//! The agent's own log: lines on stderr, as JSON for machines or as text for people.

use std::io;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// A log setting that cannot be used.
#[derive(Debug, Error)]
pub enum LogError {
    /// The level or filter.
    #[error("PULLTRACE_LOG_LEVEL={0:?} is no level (error, warn, info, debug, trace) and no filter like agent=debug")]
    Level(String),
    /// The format.
    #[error("PULLTRACE_LOG_FORMAT={0:?} is neither json nor text")]
    Format(String),
}

/// Starts logging for this process.
///
/// # Errors
/// When level or format cannot be used.
pub fn start(level: &str, format: &str) -> Result<(), LogError> {
    // A single word that is no level would be taken for a target.
    let known =
        level.contains('=') || ["off", "error", "warn", "info", "debug", "trace"].contains(&level.to_lowercase().as_str());
    let filter = EnvFilter::builder().parse(level).ok().filter(|_| known).ok_or_else(|| LogError::Level(level.to_owned()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        "json" => builder.json().flatten_event(true).init(),
        "text" => builder.init(),
        _ => return Err(LogError::Format(format.to_owned())),
    }
    Ok(())
}
