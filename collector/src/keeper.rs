//! The one task that owns the board: takes reports from a bounded mailbox, lets time pass, and publishes snapshots that nobody can block.
//!
//! The only place in the collector that reads a clock. It never waits for a reader: who reads slowly sees fewer, newer snapshots. Reports
//! come from [`crate::receive`]; what is made of a snapshot is the business of [`crate::http`] and [`crate::event_log`].

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use lifecycle::{
    board::{Board, ChangeKind, Input, Limits, WaitOver},
    pull::PullId,
    time::{Anchor, Timestamp},
    wire::{self, ImageWait, Signal},
};
use tokio::sync::{mpsc, watch};

use crate::{forward::Forward, metrics::Metrics, snapshot::Snapshot};

/// Requests that may wait for the keeper. When they are so many, receivers answer that they are busy.
pub(crate) const MAILBOX: usize = 256;
/// Most requests that are taken in between two snapshots.
const BATCH: usize = 64;
/// The list of nodes is made anew at most this often.
const NODES_EVERY: Duration = Duration::from_secs(1);

/// How others reach the keeper and see what it knows.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    mailbox: mpsc::Sender<Vec<Input>>,
    view: View,
}

/// What readers see.
#[derive(Clone, Debug)]
pub(crate) struct View {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    urgent: watch::Receiver<u64>,
}

impl Keeper {
    /// As [`Self::start_telling`], and telling nobody.
    #[cfg(test)]
    pub(crate) fn start(limits: Limits, epoch: u64, metrics: Metrics, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::start_telling(Forward::default(), limits, epoch, metrics, stop)
    }

    /// Starts the task, which adds the waits of containers to what is forwarded. When `stop` ends it takes nothing more, finishes what it has taken, and ends, and with it every view.
    pub(crate) fn start_telling(
        forward: Forward,
        limits: Limits,
        epoch: u64,
        metrics: Metrics,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let (snapshots, view) = watch::channel(Arc::new(Snapshot::new(epoch)));
        let (urgent, urgent_view) = watch::channel(0);
        let task = Task {
            board: Board::new(limits),
            snapshot: Snapshot::new(epoch),
            clock: Clock::start(),
            metrics,
            forward,
            nodes_heard: false,
            nodes_made_at: Timestamp::EPOCH,
            snapshots,
            urgent,
        };
        tokio::spawn(task.run(inbox, stop));
        Self { mailbox, view: View { snapshots: view, urgent: urgent_view } }
    }

    /// Room for one request's reports, taken before anything is done with the request; `None` when the keeper is behind or gone.
    pub(crate) fn reserve(&self) -> Option<mpsc::Permit<'_, Vec<Input>>> {
        self.mailbox.try_reserve().ok()
    }

    /// Tells the keeper something as soon as it has room; `false` when it has ended.
    pub(crate) async fn tell(&self, inputs: Vec<Input>) -> bool {
        inputs.is_empty() || self.mailbox.send(inputs).await.is_ok()
    }

    /// Whether the keeper still takes reports.
    pub(crate) fn is_alive(&self) -> bool {
        !self.mailbox.is_closed()
    }

    /// What readers see.
    pub(crate) const fn view(&self) -> &View {
        &self.view
    }
}

impl View {
    /// The present snapshot.
    pub(crate) fn now(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// The first snapshot with a revision above `seen`; `None` when the keeper has ended.
    pub(crate) async fn after(&mut self, seen: u64) -> Option<Arc<Snapshot>> {
        self.snapshots.wait_for(|s| s.revision > seen).await.ok().map(|s| s.clone())
    }

    /// Waits until a pull appears, ends or leaves with a revision above `seen`; forever when the keeper has ended.
    pub(crate) async fn urgent(&mut self, seen: u64) {
        if self.urgent.wait_for(|revision| *revision > seen).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

struct Task {
    board: Board,
    snapshot: Snapshot,
    clock: Clock,
    metrics: Metrics,
    forward: Forward,
    /// Whether something was heard of nodes since their list was made.
    nodes_heard: bool,
    nodes_made_at: Timestamp,
    snapshots: watch::Sender<Arc<Snapshot>>,
    urgent: watch::Sender<u64>,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Vec<Input>>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut stopping = false;
        let mut batch = Vec::with_capacity(BATCH);
        self.publish(self.clock.now(), &[]);
        loop {
            let wait = self.next_deadline().map(|at| at.since(self.clock.now()));
            tokio::select! {
                taken = inbox.recv_many(&mut batch, BATCH) => if taken == 0 { return },
                () = sleep(wait) => {}
                () = &mut stop, if !stopping => {
                    stopping = true;
                    inbox.close();
                }
            }
            self.turn(batch.drain(..).flatten());
        }
    }

    /// One turn: everything that has arrived, then the time that has passed, then one snapshot.
    fn turn(&mut self, inputs: impl Iterator<Item = Input>) {
        let now = self.clock.now();
        let mut touched = Vec::new();
        for input in inputs {
            self.nodes_heard |= !matches!(input, Input::Sighting(_));
            self.board.observe(input, now);
            self.take_changes(&mut touched);
        }
        if self.board.next_deadline().is_some_and(|at| at <= now) {
            self.board.tick(now);
            self.nodes_heard = true;
            self.take_changes(&mut touched);
        }
        self.take_waits();
        self.publish(now, &touched);
    }

    /// Takes what changed, in order, and counts it; every pull is noted once, at its first change.
    fn take_changes(&mut self, touched: &mut Vec<PullId>) {
        while let Some(change) = self.board.poll() {
            touched.push(change.id);
            match change.kind {
                ChangeKind::Completed | ChangeKind::Failed => {
                    if let Some(pull) = self.board.pull(change.id) {
                        self.metrics.pull_ended(&pull);
                    }
                }
                ChangeKind::Started | ChangeKind::Progress | ChangeKind::Removed => {}
            }
        }
    }

    /// Takes the waits that are over, counts them, and adds them to the traces of their pulls.
    fn take_waits(&mut self) {
        let mut spans = Vec::new();
        while let Some((wait, pull)) = self.board.poll_wait() {
            if wait.failure.is_none() {
                self.metrics.pod_waited(wait.until.since(wait.from));
            }
            let teller = pull.and_then(|pull| Some((pull, self.board.teller(pull)?)));
            if let Some((pull, (node, has_root))) = teller.filter(|_| !self.forward.is_empty()) {
                spans.extend(wire::encode::image_waits(node, env!("CARGO_PKG_VERSION"), [said(&wait, pull, has_root)]));
            }
        }
        self.forward.offer(Signal::Traces, &spans.into());
    }

    fn publish(&mut self, now: Timestamp, touched: &[PullId]) {
        let mut done = BTreeSet::new();
        let mut urgent = None;
        for id in touched.iter().filter(|id| done.insert(**id)) {
            match self.board.status(*id) {
                Some(status) => self.snapshot.put(status, now),
                None => self.snapshot.remove(*id),
            }
            if self.snapshot.row(*id).is_none_or(|row| row.is_urgent()) {
                urgent = Some(self.snapshot.revision);
            }
        }
        let nodes = self.nodes_deadline().is_some_and(|at| at <= now);
        if nodes {
            (self.nodes_heard, self.nodes_made_at) = (false, now);
            self.snapshot.nodes = Arc::new(self.board.nodes());
        }
        let mut pods = false;
        while let Some(key) = self.board.poll_pod() {
            let status = self.board.pod(&key);
            self.snapshot.put_pod(key, status);
            pods = true;
        }
        self.metrics.board(&self.board);
        if nodes || pods || !touched.is_empty() {
            self.snapshots.send_replace(Arc::new(self.snapshot.clone()));
        }
        if let Some(revision) = urgent {
            self.urgent.send_replace(revision);
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        [self.board.next_deadline(), self.nodes_deadline()].into_iter().flatten().min()
    }

    fn nodes_deadline(&self) -> Option<Timestamp> {
        self.nodes_heard.then(|| self.nodes_made_at + NODES_EVERY)
    }
}

fn said(wait: &WaitOver, pull: PullId, has_root: bool) -> ImageWait<'_> {
    ImageWait {
        pull,
        has_root,
        namespace: &wait.pod.namespace,
        pod: &wait.pod.name,
        uid: &wait.uid,
        container: &wait.container,
        workload: wait.workload.as_ref().map(|workload| (&*workload.kind, &*workload.name)),
        image: wait.image.as_ref(),
        from: wait.asked,
        until: wait.until,
        failure: wait.failure.as_ref(),
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// Wall time at the start, carried on by the monotonic clock: a step of the wall does not make agents silent or pulls old.
struct Clock {
    started: Instant,
    anchor: Anchor,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place in the collector that reads the wall clock")]
    fn start() -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::EPOCH + wall;
        Self { started: Instant::now(), anchor: Anchor::new(wall, Duration::ZERO) }
    }

    fn now(&self) -> Timestamp {
        self.anchor.at(self.started.elapsed())
    }
}
