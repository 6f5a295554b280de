//! The agent: one per node, containerd in, OTLP out. This file is the wiring; what a pull is stands in `lifecycle::track`.
//!
//! ```text
//!  containerd ──▶ Place ──Step──▶ Runtimes (a Tracker for each) ──▶ Voice ──▶ Outbox ──▶ export::deliver ══OTLP══▶
//!                   ▲                 │
//!                   └── questions ────┘
//! ```
//!
//! One task drives it all on one thread; the clock is read in `clock` and nowhere else. Without containerd the agent lives on, says so in
//! its heartbeat and keeps trying.

mod chorus;
mod clock;
pub mod config;
pub mod containerd;
mod export;
pub mod health;
pub mod host;
mod kubelet;
pub mod logging;
mod place;
mod runtimes;
mod session;
pub mod sockets;
pub mod telemetry;
pub mod teller;
mod voice;

use std::{
    future::pending,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use lifecycle::track::Intent;
use tokio::net::TcpListener;

use self::{clock::Clock, config::Config, kubelet::Kubelet, runtimes::Runtimes, telemetry::Telemetry, voice::Voice};

/// How long the last words may take when the agent is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs until `shutdown` resolves, then delivers what is left for at most five seconds. Probes are answered on `probes`, if there is such.
pub async fn run(config: Config, probes: Option<TcpListener>, shutdown: impl Future<Output = ()>) {
    let mut clock = Clock::start();
    let version = env!("CARGO_PKG_VERSION");
    let telemetry = Arc::new(Telemetry::new(clock.now(false), Instant::now()));
    let mut runtimes = Runtimes::new(&config, version, &telemetry, clock.now(false));
    let voice = Voice::new(&config, Arc::clone(&telemetry));
    let outbox = Arc::clone(&voice.outbox);
    let receivers: Vec<_> = config.routes.iter().map(|route| route.endpoint.origin()).collect();
    tracing::info!(?receivers, node = %config.node.name, version, "sending");
    if let Some(listener) = probes {
        tokio::spawn(health::serve(listener, Arc::clone(&voice.health)));
    }
    let deliveries = export::start(&config.routes, &outbox, voice.speaker(), version, &telemetry);
    let mut shutdown = pin!(shutdown);
    let mut kubelet = config.kubelet.as_deref().map(Kubelet::new);
    loop {
        let now = clock.now(runtimes.is_active());
        runtimes.hand_out(&voice, now);
        let pause = runtimes.next_deadline().map(|at| at.since(now));
        tokio::select! {
            () = &mut shutdown => break,
            () = outbox.recovered() => runtimes.repeat(clock.now(true)),
            turn = runtimes.next() => {
                let now = clock.now(runtimes.is_active());
                runtimes.take(turn, now);
            }
            intents = intents(kubelet.as_mut()) => runtimes.intend(&intents, clock.now(runtimes.is_active())),
            () = sleep(pause) => {
                let now = clock.now(runtimes.is_active());
                runtimes.tick(now);
            }
        }
    }
    tracing::info!("stopping");
    outbox.hurry();
    tokio::select! {
        () = outbox.emptied() => {}
        () = tokio::time::sleep(LAST_WORDS) => tracing::warn!("stopping with reports that could not be delivered"),
    }
    drop(deliveries);
}

async fn intents(kubelet: Option<&mut Kubelet>) -> Vec<Intent> {
    match kubelet {
        Some(kubelet) => kubelet.next().await,
        None => pending().await,
    }
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => pending().await,
    }
}
