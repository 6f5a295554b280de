//! What waits, and for whom. Outcomes stand in one row for all lanes, each as few bytes (`wire::shrink`), and a lane is a place in that row:
//! a receiver that is away costs what it has not had, once, however many there are. Pure; how things travel is [`super::deliver`]'s.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use lifecycle::{
    pull::{NodeReport, Pull, PullId},
    wire::{self, Event, Signal},
};

/// Bytes of outcomes that wait at once; beyond it the oldest is dropped and counted. About 5,000 pulls of ten layers.
pub(super) const MAX_OUTCOMES: usize = 4 << 20;
/// Bytes of progress that wait for one lane, beyond which progress of further pulls is dropped and counted. About 300 pulls of ten layers.
pub(super) const MAX_PROGRESS: usize = 1 << 20;
/// Bytes of waiting outcomes of which one request is made, unless the first alone is larger; it becomes some ten times as large.
const MAX_BATCH_OUTCOMES: usize = 8 << 10;
/// Bytes of waiting progress of which one request is made, unless the first alone is larger.
const MAX_BATCH_PROGRESS: usize = 64 << 10;

/// What an outcome costs beside its bytes.
const OUTCOME: usize = size_of::<Outcome>() + 16;
/// What a running pull costs, about: itself, and each of its layers with digest and media type.
const PULL: usize = 700;
const LAYER: usize = 280;

/// All that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    outcomes: VecDeque<Outcome>,
    /// Number of the oldest outcome; they are numbered as they come.
    first: u64,
    /// What the outcomes cost.
    bytes: usize,
    lanes: Vec<Lane>,
}

#[derive(Debug)]
struct Outcome {
    id: PullId,
    small: Box<[u8]>,
}

/// One signal on its way to one receiver.
#[derive(Debug)]
struct Lane {
    signal: Signal,
    /// Number of the outcome that is due next.
    next: u64,
    running: BTreeMap<PullId, (Event, Arc<Pull>)>,
    node: Option<NodeReport>,
    /// Whether a batch was taken and not settled.
    under_way: bool,
    dropped_progress: u64,
    dropped_outcomes: u64,
}

/// What goes out next on a lane.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) node: Option<NodeReport>,
    /// Outcomes first.
    pub(super) items: Vec<Item>,
    /// Number of the first outcome that is not among them.
    end: u64,
}

/// Something about a pull.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) event: Event,
    pub(super) pull: Arc<Pull>,
    /// Of an outcome, its number.
    number: Option<u64>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Whether the heartbeat, if there was one, is settled.
    pub(super) node: bool,
    /// Items that are settled, from the first on: accepted, or refused for good.
    pub(super) items: usize,
    /// Progress refused for good.
    pub(super) refused_progress: u64,
    /// Outcomes refused for good.
    pub(super) refused_outcomes: u64,
}

impl Waiting {
    pub(super) fn new(signals: Vec<Signal>) -> Self {
        let lanes = signals.into_iter().map(Lane::new).collect();
        Self { outcomes: VecDeque::new(), first: 0, bytes: 0, lanes }
    }

    /// Takes in a pull's state.
    pub(super) fn pull(&mut self, first: bool, pull: Pull) {
        if pull.ending.is_none() {
            let pull = Arc::new(pull);
            return self.reporting().for_each(|lane| lane.progress(first, &pull));
        }
        self.reporting().for_each(|lane| drop(lane.running.remove(&pull.id)));
        if self.lanes.is_empty() {
            return;
        }
        let outcome = Outcome { id: pull.id, small: wire::shrink(&pull) };
        self.bytes += outcome.cost();
        self.outcomes.push_back(outcome);
        while self.bytes > MAX_OUTCOMES {
            self.forget_oldest();
            for lane in self.lanes.iter_mut().filter(|lane| lane.next < self.first) {
                lane.next = self.first;
                lane.dropped_outcomes += 1;
            }
        }
    }

    /// Takes in a heartbeat.
    pub(super) fn node(&mut self, report: &NodeReport) {
        self.reporting().for_each(|lane| lane.node = Some(report.clone()));
    }

    /// Whether every lane has had everything.
    pub(super) fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
            && self.lanes.iter().all(|lane| lane.running.is_empty() && lane.node.is_none() && !lane.under_way)
    }

    /// What a lane sends next, to be [settled](Self::settle).
    pub(super) fn take(&mut self, lane: usize) -> Option<Batch> {
        let lane = self.lanes.get_mut(lane)?;
        let mut batch = Batch { node: lane.node.take(), items: Vec::new(), end: lane.next };
        let skip = usize::try_from(lane.next - self.first).unwrap_or(usize::MAX);
        let mut room = MAX_BATCH_OUTCOMES;
        for outcome in self.outcomes.iter().skip(skip) {
            if !fits(&mut room, outcome.small.len(), batch.items.is_empty()) {
                break;
            }
            if let Some(pull) = wire::restore(&outcome.small) {
                batch.items.push(Item { event: Event::Finished, pull: Arc::new(pull), number: Some(batch.end) });
            }
            batch.end += 1;
        }
        let (mut room, outcomes) = (MAX_BATCH_PROGRESS, batch.items.len());
        while let Some(entry) = lane.running.first_entry()
            && fits(&mut room, weight(&entry.get().1), batch.items.len() == outcomes)
        {
            let (event, pull) = entry.remove();
            batch.items.push(Item { event, pull, number: None });
        }
        if let Some(node) = &mut batch.node {
            (node.dropped_progress, node.dropped_outcomes) = (lane.dropped_progress, lane.dropped_outcomes);
        }
        lane.under_way = batch.node.is_some() || batch.end > lane.next || !batch.items.is_empty();
        lane.under_way.then_some(batch)
    }

    /// Takes back what was not settled, behind nothing newer, and forgets what every lane has had.
    pub(super) fn settle(&mut self, lane: usize, batch: Batch, settled: &Settled) {
        let Some(lane) = self.lanes.get_mut(lane) else { return };
        lane.under_way = false;
        lane.dropped_progress += settled.refused_progress;
        lane.dropped_outcomes += settled.refused_outcomes;
        lane.node = lane.node.take().or(batch.node.filter(|_| !settled.node));
        let rest = batch.items.get(settled.items..).unwrap_or_default();
        lane.next = lane.next.max(rest.iter().find_map(|item| item.number).unwrap_or(batch.end));
        for item in rest.iter().filter(|item| item.number.is_none()) {
            match lane.running.get_mut(&item.pull.id) {
                Some((newer, _)) if item.event == Event::Started => *newer = Event::Started,
                Some(_) => {}
                None if self.outcomes.iter().any(|outcome| outcome.id == item.pull.id) => lane.dropped_progress += 1,
                None => drop(lane.running.insert(item.pull.id, (item.event, Arc::clone(&item.pull)))),
            }
        }
        let had = self.lanes.iter().map(|lane| lane.next).min().unwrap_or(u64::MAX);
        while self.first < had && !self.outcomes.is_empty() {
            self.forget_oldest();
        }
        if self.outcomes.is_empty() {
            self.outcomes.shrink_to_fit();
        }
    }

    /// Progress and outcomes that were given up by all lanes since the start, and the bytes of what waits.
    pub(super) fn measure(&self) -> (u64, u64, usize) {
        let sum = |of: fn(&Lane) -> u64| self.lanes.iter().map(of).sum();
        let running = self.lanes.iter().flat_map(|lane| lane.running.values()).map(|(_, pull)| weight(pull));
        (sum(|lane| lane.dropped_progress), sum(|lane| lane.dropped_outcomes), self.bytes + running.sum::<usize>())
    }

    fn forget_oldest(&mut self) {
        if let Some(outcome) = self.outcomes.pop_front() {
            self.bytes -= outcome.cost();
            self.first += 1;
        }
    }

    /// The lanes that say how it stands; the others know only what is over.
    fn reporting(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.lanes.iter_mut().filter(|lane| lane.signal == Signal::Logs)
    }
}

impl Lane {
    fn new(signal: Signal) -> Self {
        Self { signal, next: 0, running: BTreeMap::new(), node: None, under_way: false, dropped_progress: 0, dropped_outcomes: 0 }
    }

    fn progress(&mut self, first: bool, pull: &Arc<Pull>) {
        let before = self.running.remove(&pull.id);
        let waiting: usize = self.running.values().map(|(_, pull)| weight(pull)).sum();
        if waiting + weight(pull) > MAX_PROGRESS {
            self.dropped_progress += 1;
            return;
        }
        let started = first || matches!(before, Some((Event::Started, _)));
        self.running.insert(pull.id, (if started { Event::Started } else { Event::Progress }, Arc::clone(pull)));
    }
}

impl Outcome {
    fn cost(&self) -> usize {
        OUTCOME + self.small.len()
    }
}

/// Whether this much still fits; the first always does.
fn fits(room: &mut usize, bytes: usize, first: bool) -> bool {
    let fits = first || *room >= bytes;
    *room = room.saturating_sub(bytes);
    fits
}

fn weight(pull: &Pull) -> usize {
    PULL + LAYER * pull.layers.len()
}

#[cfg(test)]
#[path = "waiting/tests.rs"]
pub(crate) mod tests;
