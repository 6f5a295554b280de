//! Gets reports to the receivers: collapses what can be collapsed, keeps what must not be lost, retries for as long as it takes.
//!
//! [`waiting`] is pure: what waits for whom, and what is given up when memory is used up. [`deliver`] is a task for each lane, which is one
//! signal to one receiver, so that nothing that stands still holds up anything else. [`Outbox`] is what they share with who fills it.
//!
//! | what | while it waits | given up |
//! |---|---|---|
//! | progress of a running pull | only the newest is kept | when its pull ends, and beyond [`MAX_PROGRESS`](waiting::MAX_PROGRESS) |
//! | outcome of a pull, and its trace | kept until every lane has had it, oldest first | only beyond [`MAX_OUTCOMES`](waiting::MAX_OUTCOMES) |
//! | heartbeat | only the newest is kept | never |

mod deliver;
mod waiting;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lifecycle::{
    pull::{Node, NodeReport, Pull},
    wire::Signal,
};
use otlp::Client;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use self::{
    deliver::Delivery,
    waiting::{Batch, Settled, Waiting},
};
use crate::{
    config::Route,
    telemetry::{self, Telemetry},
};

/// Longest pause before the next try when the last words are said.
const HURRIED_PAUSE: Duration = Duration::from_millis(500);

/// What waits to be delivered. Shared between the loop that fills it and the tasks that empty it.
#[derive(Debug)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    /// For each lane, that there is something for it.
    filled: Vec<Notify>,
    recovered: Notify,
    emptied: Notify,
    /// Whether the end is near, so that nobody pauses for long.
    hurry: watch::Sender<bool>,
    /// For each lane, what stands in its way: the receiver's name, and what it said.
    troubles: Mutex<Vec<Option<String>>>,
}

impl Outbox {
    /// For what these routes carry; metrics do not come by here.
    pub(crate) fn new(routes: &[Route]) -> Self {
        let signals: Vec<_> = lanes(routes).map(|(_, signal)| signal).collect();
        Self {
            filled: signals.iter().map(|_| Notify::new()).collect(),
            troubles: Mutex::new(vec![None; signals.len()]),
            waiting: Mutex::new(Waiting::new(signals)),
            recovered: Notify::new(),
            emptied: Notify::new(),
            hurry: watch::Sender::new(false),
        }
    }

    /// Takes in a pull's state. Progress that was not delivered is replaced.
    pub(crate) fn pull(&self, first: bool, pull: Pull) {
        self.lock().pull(first, pull);
        self.filled.iter().for_each(Notify::notify_one);
    }

    /// Takes in a heartbeat.
    pub(crate) fn node(&self, report: &NodeReport) {
        self.lock().node(report);
        self.filled.iter().for_each(Notify::notify_one);
    }

    /// Resolves when a receiver answers again after it did not: it may be another one that knows nothing.
    pub(crate) async fn recovered(&self) {
        self.recovered.notified().await;
    }

    /// The end is near: what failed is tried again at once, and often.
    pub(crate) fn hurry(&self) {
        self.hurry.send_replace(true);
    }

    /// Resolves when everything was delivered.
    pub(crate) async fn emptied(&self) {
        while !self.lock().is_empty() {
            self.emptied.notified().await;
        }
    }

    /// What stands in the way of delivery now, in a sentence for each receiver and reason.
    pub(crate) fn troubles(&self) -> BTreeSet<String> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten().cloned().collect()
    }

    /// Lets time pass before the next try: all of it, or while there is a hurry only a little.
    async fn pause(&self, pause: Duration) {
        let mut hurry = self.hurry.subscribe();
        let is_hurried = *hurry.borrow_and_update();
        if is_hurried {
            tokio::time::sleep(pause.min(HURRIED_PAUSE)).await;
        } else {
            // The time is over, or there is a hurry: either way it is tried again.
            _ = tokio::time::timeout(pause, hurry.changed()).await;
        }
    }

    fn note(&self, lane: usize, trouble: Option<String>) {
        if let Some(known) = self.troubles.lock().unwrap_or_else(PoisonError::into_inner).get_mut(lane) {
            *known = trouble;
        }
    }

    /// Tells what was given up and how much waits.
    fn count(&self, telemetry: &Telemetry) {
        let (progress, outcomes, bytes) = self.lock().measure();
        telemetry.queue(progress, outcomes, bytes);
    }

    fn take(&self, lane: usize) -> Option<Batch> {
        self.lock().take(lane)
    }

    fn settle(&self, lane: usize, batch: Batch, settled: &Settled) {
        self.lock().settle(lane, batch, settled);
        self.emptied.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts to deliver what is in the outbox, for ever, or until what is returned is dropped.
pub(crate) fn start(
    routes: &[Route],
    outbox: &Arc<Outbox>,
    node: impl Fn() -> Node + Clone + Send + Sync + 'static,
    agent_version: &'static str,
    telemetry: &Arc<Telemetry>,
) -> JoinSet<()> {
    let clients: Vec<_> = routes.iter().map(|route| Arc::new(Client::new(route.endpoint.clone()))).collect();
    let mut tasks = JoinSet::new();
    for (lane, (route, signal)) in lanes(routes).enumerate() {
        let (outbox, client, telemetry) = (Arc::clone(outbox), Arc::clone(&clients[route]), Arc::clone(telemetry));
        tasks.spawn(Delivery { outbox, lane, signal, client, node: node.clone(), agent_version, telemetry }.run());
    }
    let measured = routes.iter().zip(clients).filter(|(route, _)| route.signals.contains(&Signal::Metrics));
    for (_, client) in measured {
        tasks.spawn(telemetry::deliver::deliver(Arc::clone(telemetry), client, node.clone(), agent_version));
    }
    tasks
}

/// Which route each lane takes, and what it carries.
fn lanes(routes: &[Route]) -> impl Iterator<Item = (usize, Signal)> {
    let carried =
        |route: &Route| [Signal::Logs, Signal::Traces].into_iter().filter(|signal| route.signals.contains(signal)).collect();
    routes
        .iter()
        .map(carried)
        .enumerate()
        .flat_map(|(route, signals): (_, Vec<_>)| signals.into_iter().map(move |signal| (route, signal)))
}

#[cfg(test)]
pub(crate) mod tests;
