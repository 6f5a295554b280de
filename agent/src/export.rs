//! Gets reports to the receiver: collapses what can be collapsed, keeps what must not be lost, retries for as long as it takes.
//!
//! [`Outbox`] is pure: what waits, and what is given up when memory is used up. [`deliver`] is the task that empties it.
//!
//! | what | while it waits | given up |
//! |---|---|---|
//! | progress of a running pull | only the newest is kept | when its pull ends |
//! | outcome of a pull, and its trace | kept until both were accepted, oldest first | only beyond [`MAX_OUTCOMES`] |
//! | heartbeat | only the newest is kept | never |

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{BuildHasher as _, Hasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use lifecycle::{
    pull::{Node, NodeReport, Pull, PullId},
    wire::{self, Event, Signal},
};
use otlp::{Backoff, Client, SendError};
use tokio::sync::Notify;

/// Outcomes that wait at once; beyond it the oldest is dropped and counted. 4,096 pulls of ten layers are about 12 MB.
pub(crate) const MAX_OUTCOMES: usize = 4_096;
/// Reports that go into one request: receivers accept 4 MiB, and a report of 512 layers takes about 100 kB.
const MAX_BATCH_LAYERS: usize = 8_192;
/// Pulls that go into one request, however small they are.
const MAX_BATCH: usize = 512;

/// What waits to be delivered. Shared between the loop that fills it and the task that empties it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    recovered: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    running: BTreeMap<PullId, (Event, Pull)>,
    ended: VecDeque<Last>,
    node: Option<NodeReport>,
    /// Whether a batch was taken and neither delivered nor put back.
    under_way: bool,
    dropped_progress: u64,
    dropped_outcomes: u64,
}

/// The last word about a pull: a log record and a trace, each delivered for itself.
#[derive(Clone, Debug)]
struct Last {
    pull: Pull,
    record_due: bool,
    trace_due: bool,
}

/// What goes out next.
#[derive(Debug)]
struct Batch {
    node: Option<NodeReport>,
    running: Vec<(Event, Pull)>,
    ended: Vec<Last>,
}

impl Outbox {
    /// Takes in a pull's state. Progress that was not delivered is replaced.
    pub(crate) fn pull(&self, first: bool, pull: Pull) {
        let mut waiting = self.lock();
        if pull.ending.is_some() {
            waiting.running.remove(&pull.id);
            if waiting.ended.len() >= MAX_OUTCOMES {
                waiting.ended.pop_front();
                waiting.dropped_outcomes += 1;
            }
            waiting.ended.push_back(Last { pull, record_due: true, trace_due: true });
        } else {
            let started = first || matches!(waiting.running.get(&pull.id), Some((Event::Started, _)));
            waiting.running.insert(pull.id, (if started { Event::Started } else { Event::Progress }, pull));
        }
        drop(waiting);
        self.filled.notify_one();
    }

    /// Takes in a heartbeat, and completes it with what was dropped.
    pub(crate) fn node(&self, report: NodeReport) {
        let mut waiting = self.lock();
        let (dropped_progress, dropped_outcomes) = (waiting.dropped_progress, waiting.dropped_outcomes);
        waiting.node = Some(NodeReport { dropped_progress, dropped_outcomes, ..report });
        drop(waiting);
        self.filled.notify_one();
    }

    /// Resolves when the receiver answers again after it did not: it may be another one that knows nothing.
    pub(crate) async fn recovered(&self) {
        self.recovered.notified().await;
    }

    /// Resolves when everything was delivered.
    pub(crate) async fn emptied(&self) {
        while !self.is_empty() || self.is_under_way() {
            self.emptied.notified().await;
        }
    }

    fn is_under_way(&self) -> bool {
        self.lock().under_way
    }

    fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.running.is_empty() && waiting.ended.is_empty() && waiting.node.is_none()
    }

    fn take(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        let (mut pulls, mut layers) = (0, 0);
        let mut fits = |pull: &Pull| {
            pulls += 1;
            layers += pull.layers.len();
            pulls <= MAX_BATCH && layers <= MAX_BATCH_LAYERS
        };
        let mut ended = Vec::new();
        while waiting.ended.front().is_some_and(|last| fits(&last.pull)) {
            ended.extend(waiting.ended.pop_front());
        }
        let mut running = Vec::new();
        while waiting.running.first_key_value().is_some_and(|(_, (_, pull))| fits(pull)) {
            running.extend(waiting.running.pop_first().map(|(_, item)| item));
        }
        let node = waiting.node.take();
        waiting.under_way = node.is_some() || !running.is_empty() || !ended.is_empty();
        waiting.under_way.then_some(Batch { node, running, ended })
    }

    /// Puts back what was not delivered, behind nothing newer.
    fn put_back(&self, batch: Batch) {
        let mut waiting = self.lock();
        waiting.under_way = false;
        let Batch { node, running, ended } = batch;
        waiting.node = waiting.node.take().or(node);
        for (event, pull) in running {
            let over = waiting.ended.iter().any(|last| last.pull.id == pull.id);
            match waiting.running.get_mut(&pull.id) {
                Some((newer, _)) if event == Event::Started => *newer = Event::Started,
                Some(_) => {}
                None if over => waiting.dropped_progress += 1,
                None => drop(waiting.running.insert(pull.id, (event, pull))),
            }
        }
        ended.into_iter().rev().filter(|last| last.record_due || last.trace_due).for_each(|last| waiting.ended.push_front(last));
        while waiting.ended.len() > MAX_OUTCOMES {
            waiting.ended.pop_front();
            waiting.dropped_outcomes += 1;
        }
    }

    fn delivered(&self) {
        self.lock().under_way = false;
        self.emptied.notify_one();
    }

    fn refused(&self, progress: u64, outcomes: u64) {
        let mut waiting = self.lock();
        waiting.dropped_progress += progress;
        waiting.dropped_outcomes += outcomes;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Delivers what is in the outbox, for ever.
pub(crate) async fn deliver(outbox: Arc<Outbox>, client: Client, node: impl Fn() -> Node, agent_version: &str) {
    let mut backoff = Backoff::default();
    loop {
        let Some(mut batch) = outbox.take() else {
            outbox.filled.notified().await;
            continue;
        };
        match send(&outbox, &client, &node(), agent_version, &mut batch).await {
            Ok(()) => {
                outbox.delivered();
                if backoff.failures() > 0 {
                    tracing::info!("the receiver answers again");
                    outbox.recovered.notify_one();
                }
                backoff.reset();
            }
            Err(error) => {
                let random = RandomState::new().build_hasher().finish();
                let pause = backoff.next(random).max(error.retry_after().unwrap_or_default());
                if backoff.failures() == 1 {
                    tracing::warn!(%error, "cannot deliver, trying again until it works");
                }
                outbox.put_back(batch);
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Sends a batch; what was accepted is marked, so that after an error only the rest is tried again.
async fn send(outbox: &Outbox, client: &Client, node: &Node, agent_version: &str, batch: &mut Batch) -> Result<(), SendError> {
    if let Some(report) = &batch.node {
        settle(client.send(Signal::Logs, Bytes::from(wire::encode::node(report))).await, || ())?;
        batch.node = None;
    }
    let due = batch.ended.iter().filter(|last| last.record_due);
    let ended = due.map(|last| (Event::Finished, &last.pull));
    let records: Vec<_> = batch.running.iter().map(|(event, pull)| (*event, pull)).chain(ended).collect();
    if !records.is_empty() {
        let (progress, outcomes) = (batch.running.len() as u64, (records.len() - batch.running.len()) as u64);
        let request = wire::encode::pulls(node, agent_version, records);
        settle(client.send(Signal::Logs, Bytes::from(request)).await, || outbox.refused(progress, outcomes))?;
        batch.running.clear();
        batch.ended.iter_mut().for_each(|last| last.record_due = false);
    }
    for last in batch.ended.iter_mut().filter(|last| last.trace_due) {
        if let Some(request) = wire::encode::spans(node, agent_version, &last.pull) {
            settle(client.send(Signal::Traces, Bytes::from(request)).await, || outbox.refused(0, 1))?;
        }
        last.trace_due = false;
    }
    Ok(())
}

/// An answer that ends the matter is no error, even if it is a refusal: sending the same again would be refused again.
fn settle(answer: Result<otlp::Sent, SendError>, refused: impl FnOnce()) -> Result<(), SendError> {
    match answer {
        Ok(sent) if sent.rejected > 0 => {
            tracing::warn!(rejected = sent.rejected, message = sent.message, "the receiver rejected a part");
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(error) if error.retryable() => Err(error),
        Err(SendError::Unsupported { known: true, .. }) => Ok(()),
        Err(error @ SendError::Unsupported { .. }) => {
            tracing::warn!(%error, "sending it the rest; asking again from time to time");
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, "the receiver does not want this");
            refused();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::{
        pull::{Ending, Outcome, Phase, TimingSource},
        time::Timestamp,
    };

    use super::*;

    fn pull(n: u64, sequence: u64, outcome: Option<Outcome>) -> Pull {
        let at = Timestamp::from_millis(n);
        Pull {
            id: PullId::derive("n", "k8s.io", "l", at),
            sequence,
            namespace: "k8s.io".into(),
            image: None,
            digest: None,
            snapshotter: String::new(),
            phase: Phase::Resolving,
            wait: None,
            waits: Vec::new(),
            ending: outcome.map(|outcome| Ending { outcome, at, source: TimingSource::Poll }),
            started_at: at,
            resolved_at: None,
            observed_at: at,
            total_known: false,
            bytes_per_sec: None,
            eta: None,
            layers: Vec::new(),
        }
    }

    fn sequences(batch: &Batch) -> Vec<(Event, u64)> {
        batch.running.iter().map(|(event, pull)| (*event, pull.sequence)).collect()
    }

    #[test]
    fn progress_collapses_to_the_newest_and_stays_a_start_until_it_was_delivered() {
        let outbox = Outbox::default();
        outbox.pull(true, pull(1, 1, None));
        outbox.pull(false, pull(1, 2, None));
        assert_eq!(outbox.take().as_ref().map(sequences), Some(vec![(Event::Started, 2)]));
        outbox.pull(false, pull(1, 3, None));
        assert_eq!(outbox.take().as_ref().map(sequences), Some(vec![(Event::Progress, 3)]));
    }

    #[test]
    fn what_comes_back_does_not_replace_what_is_newer() {
        let outbox = Outbox::default();
        outbox.pull(true, pull(1, 1, None));
        let failed = outbox.take().expect("a batch");
        outbox.pull(false, pull(1, 2, None));
        outbox.put_back(failed);
        assert_eq!(outbox.take().as_ref().map(sequences), Some(vec![(Event::Started, 2)]));
    }

    #[test]
    fn progress_of_a_pull_that_has_ended_is_not_sent_after_its_outcome() {
        let outbox = Outbox::default();
        outbox.pull(true, pull(1, 1, None));
        let failed = outbox.take().expect("a batch");
        outbox.pull(false, pull(1, 2, Some(Outcome::Ready)));
        outbox.put_back(failed);
        let batch = outbox.take().expect("a batch");
        assert_eq!((batch.running.len(), batch.ended.len()), (0, 1));
    }

    #[test]
    fn an_outcome_stays_until_both_its_record_and_its_trace_were_accepted() {
        let outbox = Outbox::default();
        outbox.pull(false, pull(1, 1, Some(Outcome::Ready)));
        let mut batch = outbox.take().expect("a batch");
        batch.ended[0].record_due = false;
        outbox.put_back(batch);
        let mut batch = outbox.take().expect("the trace is still due");
        assert!(!batch.ended[0].record_due && batch.ended[0].trace_due);
        batch.ended[0].trace_due = false;
        outbox.put_back(batch);
        assert!(outbox.is_empty());
    }

    #[test]
    fn beyond_the_bound_the_oldest_outcome_is_dropped_and_counted() {
        let outbox = Outbox::default();
        (0..=MAX_OUTCOMES as u64).for_each(|n| outbox.pull(false, pull(n + 1, 1, Some(Outcome::Ready))));
        assert_eq!(outbox.lock().dropped_outcomes, 1);
        assert_eq!(outbox.lock().ended.front().map(|l| l.pull.id), Some(pull(2, 1, None).id));
    }

    #[test]
    fn a_request_holds_a_bounded_number_of_pulls() {
        let outbox = Outbox::default();
        (0..2_000).for_each(|n| outbox.pull(false, pull(n + 1, 1, Some(Outcome::Ready))));
        let sizes: Vec<_> = std::iter::from_fn(|| outbox.take()).map(|b| b.ended.len()).collect();
        assert_eq!(sizes, [512, 512, 512, 464]);
    }
}
