//! The collector: one per cluster. OTLP in; memory; REST, an event stream, a page, Prometheus and OTLP out.
//!
//! ```text
//!  receive ──▶ keeper (owns the board) ──▶ snapshot ──▶ http (api, sse, page), event_log
//!     └─────▶ forward                └──▶ metrics
//! ```
//!
//! What a pull is, and every rule about it, lives in `lifecycle`; here is the I/O around it. [`run`] is all of it; [`config`] says what
//! can be set.

mod auth;
pub mod config;
mod event_log;
mod files;
mod forward;
mod http;
mod keeper;
pub mod listen;
pub mod logging;
mod metrics;
mod receive;
mod serve;
mod snapshot;
mod tls;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use lifecycle::board::Limits;
use tokio::{sync::watch, task::JoinSet};

use crate::{config::Config, forward::Forward, keeper::Keeper, listen::Listeners, metrics::Metrics, serve::Manner};

/// Open requests get this long to finish at the end; then they are cut off.
pub const GRACE: Duration = Duration::from_secs(5);

/// Runs until `shutdown` ends, then lets open requests finish for at most [`GRACE`].
pub async fn run(config: Config, listeners: Listeners, shutdown: impl Future<Output = ()>) {
    listeners.announce();
    let (stop, stopped) = watch::channel(false);
    let stopping = move || until(stopped.clone());
    let epoch = RandomState::new().hash_one(());
    let metrics = Metrics::new(&config.registry_labels);
    let limits = Limits { history: config.history_ttl, ..Limits::default() };
    let keeper = Keeper::start(limits, epoch, metrics.clone(), stopping());
    let forward = Forward::start(config.forward_endpoints, &metrics, &stopping);
    let serving = Arc::new(AtomicUsize::new(0));
    let readiness = http::Readiness { keeper: keeper.clone(), serving: serving.clone(), listeners: Listeners::COUNT };
    let access = config.access;
    let pass_on = receive::PassOn { forward, progress: config.forward_progress };
    let intake = receive::Intake::new(keeper.clone(), pass_on, metrics.clone(), access.agents, &config.cluster_name).router();
    let site = http::site(keeper.view().clone(), metrics.clone(), access.readers, readiness);
    let for_readers = Manner { identity: access.http_tls, age: None };
    let for_agents = Manner { identity: access.otlp_tls, age: Some(config.otlp_connection_age) };

    let mut tasks = JoinSet::new();
    tasks.spawn(serve::serve(listeners.http, site, for_readers, serving.clone(), stopping()));
    tasks.spawn(serve::serve(listeners.metrics, http::metrics(metrics), Manner::default(), serving.clone(), stopping()));
    tasks.spawn(serve::serve(listeners.otlp_grpc, intake.clone(), for_agents.clone(), serving.clone(), stopping()));
    tasks.spawn(serve::serve(listeners.otlp_http, intake, for_agents, serving, stopping()));
    if config.event_log {
        let view = keeper.view().clone();
        tasks.spawn(async move {
            if let Err(error) = event_log::write(view, tokio::io::stdout()).await {
                tracing::error!(%error, "the event log cannot be written and has ended");
            }
        });
    }
    shutdown.await;
    stop.send_replace(true);
    drop(keeper);
    if tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut off");
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that `run` itself is gone.
    if stopped.wait_for(|stopped| *stopped).await.is_err() {
        tracing::debug!("stopped from outside");
    }
}
