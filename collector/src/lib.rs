//! The collector: one per cluster. OTLP in; memory; REST, an event stream, a page, Prometheus and OTLP out.
//!
//! ```text
//!  kube ──────────┐
//!  receive ──▶ keeper (owns the board) ──▶ snapshot ──▶ http (api, sse, page), event_log
//!     └─────▶ forward                └──▶ metrics
//! ```
//!
//! What a pull is, and every rule about it, lives in `lifecycle`; here is the I/O around it. [`run`] is all of it; [`config`] says what
//! can be set.

mod auth;
mod census;
pub mod config;
mod event_log;
mod files;
mod forward;
mod http;
mod keeper;
mod kube;
pub mod listen;
pub mod logging;
mod metrics;
mod proxies;
mod readiness;
mod receive;
mod rollouts;
mod serve;
mod snapshot;
mod tls;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use lifecycle::board::Limits;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use crate::{
    auth::{Agents, accounts::Accounts},
    config::{Config, Known},
    forward::Forward,
    http::{
        Door,
        report::{Desk, Reach},
    },
    keeper::{Keeper, View},
    kube::Reviewer,
    listen::Listeners,
    metrics::Metrics,
    readiness::Readiness,
    serve::Manner,
};

/// How long reports are still taken after the probe has said that no more should be sent here.
pub const LEAVING: Duration = Duration::from_secs(1);
/// Open requests, and what waits to be forwarded, get this long to finish at the end; then they are cut off.
pub const GRACE: Duration = Duration::from_secs(5);

/// Runs until `shutdown` ends. Then it is no longer ready; after [`LEAVING`] it takes nothing more; it finishes what it has taken, forwards it,
/// and ends, at most [`GRACE`] later.
pub async fn run(config: Config, listeners: Listeners, shutdown: impl Future<Output = ()>) {
    listeners.announce();
    let (intake_stop, site_stop) = (Stop::default(), Stop::default());
    let epoch = RandomState::new().hash_one(());
    let metrics = Metrics::following(&config.registry_labels, config.followed);
    let surroundings = http::Surroundings::new(&config);
    let limits = Limits { history: config.history_ttl, ..Limits::default() };
    let forward = Forward::start(config.forward_endpoints, &metrics);
    let keeper = Keeper::start_telling(forward.clone(), limits, epoch, metrics.clone(), site_stop.wait());
    let serving = Arc::new(AtomicUsize::new(0));
    let readiness = Readiness::new(keeper.clone(), serving.clone(), Listeners::COUNT);
    let access = config.access;
    let pass_on = receive::PassOn { forward: forward.clone(), progress: config.forward_progress };
    let cluster = kube::connect(config.kubernetes).await;
    let agents = match access.agents {
        Known::Guard(guard) => Agents::Guard(guard),
        Known::Accounts(rules) => Agents::Accounts(Arc::new(Accounts::new(rules, cluster.clone().map(Reviewer::new)))),
    };
    let desk = Desk::new(keeper.clone(), metrics.clone(), agents.clone(), access.reach, &config.cluster_name);
    let intake = receive::Intake::new(pass_on, metrics.clone(), agents, readiness.clone(), &config.cluster_name).router();
    let intake = intake.merge(desk.reaching(Reach::Everywhere).router());
    let door = Door::new(access.readers, access.proxies);
    let view = keeper.view().clone();
    let site = http::site(view, &metrics, door, readiness.clone(), desk, config.readers, surroundings);
    let for_readers = Manner {
        identity: access.http_tls,
        buffer: serve::SMALL_BUFFER,
        unread: metrics.streams().unread(),
        ..Manner::default()
    };
    let for_agents = Manner {
        identity: access.otlp_tls,
        age: Some(config.otlp_connection_age),
        buffer: serve::SMALLEST_BUFFER,
        ..Manner::default()
    };

    let (mut takers, mut tellers) = (JoinSet::new(), JoinSet::new());
    let Listeners { http, metrics: scraped, otlp_grpc, otlp_http } = listeners;
    takers.spawn(serve::serve(otlp_grpc, intake.clone(), for_agents.clone(), serving.clone(), intake_stop.wait()));
    takers.spawn(serve::serve(otlp_http, intake, for_agents, serving.clone(), intake_stop.wait()));
    tellers.spawn(serve::serve(http, site, for_readers, serving.clone(), site_stop.wait()));
    let numbers = http::metrics(metrics, keeper.view().clone());
    tellers.spawn(serve::serve(scraped, numbers, Manner::default(), serving, site_stop.wait()));
    if config.event_log {
        tellers.spawn(write_events(keeper.view().clone()));
    }
    takers.spawn(kube::run(cluster, config.watch_namespaces, keeper.clone(), intake_stop.wait()));
    shutdown.await;
    readiness.leave();
    tokio::time::sleep(LEAVING).await;
    let deadline = Instant::now() + GRACE;
    intake_stop.now();
    all(&mut takers, deadline).await;
    takers.abort_all();
    site_stop.now();
    tokio::join!(all(&mut tellers, deadline), forward.finish(deadline));
}

/// Writes events until nothing changes any more.
async fn write_events(view: View) {
    if let Err(error) = event_log::write(view, tokio::io::stdout()).await {
        tracing::error!(%error, "the event log cannot be written and has ended");
    }
}

/// Waits until all have ended, at most until this time.
async fn all(tasks: &mut JoinSet<()>, deadline: Instant) {
    if tokio::time::timeout_at(deadline, async { while tasks.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!("some requests did not finish in time and are cut off");
    }
}

/// Says to some that they end now.
#[derive(Debug, Default)]
struct Stop(watch::Sender<bool>);

impl Stop {
    fn now(&self) {
        self.0.send_replace(true);
    }

    fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopped = self.0.subscribe();
        async move {
            // An error means that `run` itself is gone.
            if stopped.wait_for(|stopped| *stopped).await.is_err() {
                tracing::debug!("stopped from outside");
            }
        }
    }
}
