//! The agent's own log: lines on stderr, as JSON for machines or as text for people.

use std::io;

use thiserror::Error;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// What hears of spans beside the log.
pub type Layer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

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

/// Starts logging for this process, and what else wants to hear of spans.
///
/// # Errors
/// When level or format cannot be used.
pub fn start(level: &str, format: &str, spans: Option<Layer>) -> Result<(), LogError> {
    // A single word that is no level would be taken for a target.
    let known =
        level.contains('=') || ["off", "error", "warn", "info", "debug", "trace"].contains(&level.to_lowercase().as_str());
    let filter = EnvFilter::builder().parse(level).ok().filter(|_| known).ok_or_else(|| LogError::Level(level.to_owned()))?;
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        "json" => lines.json().flatten_event(true).with_filter(filter).boxed(),
        "text" => lines.with_filter(filter).boxed(),
        _ => return Err(LogError::Format(format.to_owned())),
    };
    let layers: Vec<Layer> = spans.into_iter().chain([lines]).collect();
    tracing_subscriber::registry().with(layers).init();
    Ok(())
}
