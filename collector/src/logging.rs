//! Messages of the collector about itself: lines on standard error, as JSON for machines or as text for people.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Starts logging for this process, as configured.
pub fn start(config: &Config) {
    // What our own messages say already; a filter that names them brings them back.
    let filter = format!("kube_client=off,kube_runtime=off,{}", config.log_level);
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(io::stderr);
    match config.log_format {
        LogFormat::Json => log.json().flatten_event(true).init(),
        LogFormat::Text => log.init(),
    }
}
