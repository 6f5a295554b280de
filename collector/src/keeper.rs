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

use crate::{
    forward::Forward,
    metrics::{LONG, Metrics},
    snapshot::Snapshot,
};

/// Requests that may wait for the keeper. When they are so many, receivers answer that they are busy.
pub(crate) const MAILBOX: usize = 256;
/// Most requests that are taken in between two snapshots.
const BATCH: usize = 64;
/// Progress is shown at most this often, so that a picture costs many changes and not each; what starts, ends or leaves is shown at once.
/// It is also how often streams tell of progress.
const SHOW_EVERY: Duration = Duration::from_millis(250);
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
pub(crate) struct View(watch::Receiver<Arc<Snapshot>>);

impl Keeper {
    /// As [`Self::start_telling`], and telling nobody.
    #[cfg(test)]
    pub(crate) fn start(limits: Limits, epoch: u64, metrics: Metrics, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::start_telling(Forward::default(), limits, epoch, metrics, stop)
    }

    /// Starts the task, which adds the waits of containers to what is forwarded. When `stop` ends it takes nothing more, finishes what it has
    /// taken, and ends, and with it every view.
    pub(crate) fn start_telling(
        forward: Forward,
        limits: Limits,
        epoch: u64,
        metrics: Metrics,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let (mailbox, inbox) = mpsc::channel(MAILBOX);
        let (snapshots, view) = watch::channel(Arc::new(Snapshot::new(epoch)));
        let task = Task {
            board: Board::new(limits),
            snapshot: Snapshot::new(epoch),
            clock: Clock::start(),
            metrics,
            forward,
            unshown: Vec::new(),
            noted: BTreeSet::new(),
            shown_at: Timestamp::EPOCH,
            show: Show::Nothing,
            nodes_heard: false,
            nodes_made_at: Timestamp::EPOCH,
            snapshots,
        };
        tokio::spawn(task.run(inbox, stop));
        Self { mailbox, view: View(view) }
    }

    /// Room for one request's reports, taken before anything is done with the request; `None` when the keeper is gone, or so far behind
    /// that there is none within `patience`.
    pub(crate) async fn reserve(&self, patience: Duration) -> Option<mpsc::Permit<'_, Vec<Input>>> {
        if let Ok(room) = self.mailbox.try_reserve() {
            return Some(room);
        }
        tokio::time::timeout(patience, self.mailbox.reserve()).await.ok()?.ok()
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
        self.0.borrow().clone()
    }

    /// The first snapshot with a revision above `seen`; `None` when the keeper has ended.
    pub(crate) async fn after(&mut self, seen: u64) -> Option<Arc<Snapshot>> {
        self.0.wait_for(|s| s.revision > seen).await.ok().map(|s| s.clone())
    }
}

struct Task {
    board: Board,
    snapshot: Snapshot,
    clock: Clock,
    metrics: Metrics,
    forward: Forward,
    /// Pulls that changed since the last picture, once each, in the order of their first change.
    unshown: Vec<PullId>,
    /// The same.
    noted: BTreeSet<PullId>,
    shown_at: Timestamp,
    show: Show,
    /// Whether something was heard of nodes since their list was made.
    nodes_heard: bool,
    nodes_made_at: Timestamp,
    snapshots: watch::Sender<Arc<Snapshot>>,
}

/// When the next picture is made. Making it leads back to `Nothing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Show {
    /// Nothing is different.
    Nothing,
    /// [`SHOW_EVERY`] after the last one.
    Soon,
    /// At the end of this turn.
    Now,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Vec<Input>>, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut stopping = false;
        let mut batch = Vec::with_capacity(BATCH);
        self.publish(self.clock.now());
        loop {
            let wait = self.next_deadline().map(|at| at.since(self.clock.now()));
            tokio::select! {
                taken = inbox.recv_many(&mut batch, BATCH) => if taken == 0 { return self.publish(self.clock.now()) },
                () = sleep(wait) => {}
                () = &mut stop, if !stopping => {
                    stopping = true;
                    inbox.close();
                }
            }
            self.turn(batch.drain(..).flatten());
        }
    }

    /// One turn: everything that has arrived, then the time that has passed, then one picture, if it is time for one.
    fn turn(&mut self, inputs: impl Iterator<Item = Input>) {
        let now = self.clock.now();
        for input in inputs {
            // Who tells of pods tells little, and of what people wait for.
            let (heard, show) = if let Input::Sighting(_) = input { (false, Show::Now) } else { (true, Show::Soon) };
            self.nodes_heard |= heard;
            let observed = match &input {
                Input::Pull(report) => Some(report.pull.observed_at),
                Input::Node(report) => Some(report.observed_at),
                Input::Listing(_) | Input::Sighting(_) => None,
            };
            observed.iter().for_each(|at| self.metrics.ends().heard_after(now.since(*at)));
            self.show = self.show.max(show);
            self.board.observe(input, now);
            self.take_changes();
        }
        if self.board.next_deadline().is_some_and(|at| at <= now) {
            self.board.tick(now);
            self.nodes_heard = true;
            self.show = self.show.max(Show::Soon);
            self.take_changes();
        }
        self.take_waits();
        if self.show_deadline().is_some_and(|at| at <= now) || self.nodes_deadline().is_some_and(|at| at <= now) {
            self.publish(now);
        }
    }

    /// Takes what changed, in order, and counts it; every pull is noted once.
    fn take_changes(&mut self) {
        while let Some(change) = self.board.poll() {
            if self.noted.insert(change.id) {
                self.unshown.push(change.id);
            }
            match change.kind {
                ChangeKind::Completed | ChangeKind::Failed => {
                    self.show = Show::Now;
                    if let Some(pull) = self.board.pull(change.id) {
                        self.metrics.pull_ended(&pull, self.board.had_image(change.id));
                    }
                }
                ChangeKind::Started | ChangeKind::Removed => self.show = Show::Now,
                ChangeKind::Progress => {}
            }
        }
    }

    /// Takes the waits that are over, counts them, and adds them to the traces of their pulls.
    fn take_waits(&mut self) {
        let mut spans = Vec::new();
        while let Some((wait, pull)) = self.board.poll_wait() {
            self.metrics.pod_waited(&wait, pull.map(|pull| (pull, self.board.began(pull))));
            let teller = pull.and_then(|pull| Some((pull, self.board.teller(pull)?)));
            self.metrics.ends().waited(teller.map(|(_, (_, is_agent))| is_agent));
            if let Some((pull, (node, has_root))) = teller.filter(|_| !self.forward.is_empty()) {
                spans.extend(wire::encode::image_waits(node, env!("CARGO_PKG_VERSION"), [said(&wait, pull, has_root)]));
            }
        }
        self.forward.offer(Signal::Traces, &spans.into());
    }

    /// Makes the next picture, of everything that changed since the last.
    fn publish(&mut self, now: Timestamp) {
        (self.shown_at, self.show) = (now, Show::Nothing);
        let unshown = std::mem::take(&mut self.unshown);
        self.noted.clear();
        for id in &unshown {
            match self.board.view(*id) {
                Some(view) => self.snapshot.put(view, now),
                None => self.snapshot.remove(*id),
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
        let long = self.board.long_running(self.metrics.followed().pulls, LONG, now);
        let long_running: Arc<[PullId]> = long.collect();
        let crowded: BTreeSet<_> = self.board.crowded().cloned().collect();
        let others = self.snapshot.long_running != long_running || *self.snapshot.crowded != crowded;
        self.snapshot.long_running = long_running;
        if others {
            self.snapshot.crowded = Arc::new(crowded);
        }
        if others || nodes || pods || !unshown.is_empty() {
            self.snapshots.send_replace(Arc::new(self.snapshot.clone()));
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        [self.board.next_deadline(), self.show_deadline(), self.nodes_deadline()].into_iter().flatten().min()
    }

    fn show_deadline(&self) -> Option<Timestamp> {
        match self.show {
            Show::Nothing => None,
            Show::Soon => Some(self.shown_at + SHOW_EVERY),
            Show::Now => Some(self.shown_at),
        }
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
