//! The pulls in memory, what they come to, and which of them stand in the table in which order. Arranging looks at every pull once; it is done
//! when somebody asks for another order, else at most once a second ([`super::model`] says when).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use lifecycle::{pull::PullId, time::Timestamp};

use super::{
    clock::Clock,
    filter::Filter,
    pull::{Pull, State},
    trail::Trail,
};

/// Most pulls in memory, as many as a collector keeps; what comes beyond them is counted and said.
pub(super) const MAX_PULLS: usize = 100_000;
/// A failure that nobody tried again is told first for so long.
const FAILING: Duration = Duration::from_secs(600);

/// What is told of one pull.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) pull: Pull,
    /// When the collector learned it, by its clock.
    pub(super) told: Timestamp,
    pub(super) trail: Trail,
    fits: bool,
    /// The connection that told it last.
    connection: u32,
}

/// All pulls, and those that are shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<PullId, Entry>,
    filter: Filter,
    order: Vec<PullId>,
    sums: Sums,
    refused: u64,
}

/// All pulls in a few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) active: usize,
    pub(super) stalled: usize,
    /// That failed lately and were not tried again.
    pub(super) failing: usize,
    pub(super) ended: usize,
    /// Bytes per second.
    pub(super) speed: u64,
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// What needs a person first, then what runs, then what ended; each the newest first.
    #[default]
    Need,
    State,
    Image,
    Workload,
    Node,
    Progress,
    Rate,
    Eta,
    Time,
}

/// How rows are to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    /// Whether pulls that ended are shown.
    pub(super) finished: bool,
}

impl Default for Order {
    fn default() -> Self {
        Self { sort: Sort::Need, reversed: false, finished: true }
    }
}

impl Table {
    /// The present state of a pull, as the connection of this number tells it.
    pub(super) fn put(&mut self, pull: Pull, told: Timestamp, connection: u32, second: u64) {
        let fits = self.filter.fits(&pull);
        if let Some(entry) = self.entries.get_mut(&pull.id) {
            entry.trail.push(second, pull.speed());
            (entry.pull, entry.told, entry.fits, entry.connection) = (pull, told, fits, connection);
        } else if self.entries.len() < MAX_PULLS {
            let mut trail = Trail::new(second);
            trail.push(second, pull.speed());
            self.entries.insert(pull.id, Entry { pull, told, trail, fits, connection });
        } else {
            self.refused += 1;
        }
    }

    /// A pull left the collector's memory.
    pub(super) fn remove(&mut self, id: PullId) {
        self.entries.remove(&id);
    }

    /// The connection of this number told everything there is: forgets what only those before it told.
    pub(super) fn keep_only(&mut self, connection: u32) {
        self.entries.retain(|_, entry| entry.connection >= connection);
    }

    /// Shows only these from the next arrangement on.
    pub(super) fn filter(&mut self, filter: Filter) {
        self.filter = filter;
        for entry in self.entries.values_mut() {
            entry.fits = self.filter.fits(&entry.pull);
        }
    }

    /// What is shown.
    pub(super) const fn filtered(&self) -> &Filter {
        &self.filter
    }

    /// Counts all pulls, and puts those that are shown in order.
    pub(super) fn arrange(&mut self, order: Order, clock: &Clock, now: Duration) {
        let lately = clock.now(now).map(|now| now.before(FAILING));
        let last = self.last_tries();
        let mut sums = Sums::default();
        let mut keyed = Vec::with_capacity(self.order.len());
        for (id, entry) in &self.entries {
            let state = entry.pull.state();
            let is_failing =
                state == State::Failed && lately.is_none_or(|lately| entry.told >= lately) && is_last(&entry.pull, &last);
            sums.add(&entry.pull, state, is_failing);
            if entry.fits && (order.finished || state.is_running() || is_failing) {
                let (rank, word) = key(&entry.pull, order.sort, state, is_failing);
                keyed.push((rank, word, Reverse(entry.pull.at()), *id));
            }
        }
        match order.reversed {
            false => keyed.sort_unstable(),
            true => keyed.sort_unstable_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)).then((a.2, a.3).cmp(&(b.2, b.3)))),
        }
        self.order.clear();
        self.order.extend(keyed.into_iter().map(|(.., id)| id));
        self.sums = sums;
    }

    /// Of every image and node, when the last pull of it began.
    fn last_tries(&self) -> HashMap<(&str, &str), Timestamp> {
        let failed = self.entries.values().filter(|entry| entry.pull.state() == State::Failed);
        let mut last: HashMap<_, _> = failed.filter_map(|entry| Some((try_of(&entry.pull)?, entry.pull.started_at))).collect();
        if !last.is_empty() {
            for entry in self.entries.values() {
                if let Some(at) = try_of(&entry.pull).and_then(|key| last.get_mut(&key)) {
                    *at = (*at).max(entry.pull.started_at);
                }
            }
        }
        last
    }

    /// The ids of the rows.
    pub(super) fn rows(&self) -> &[PullId] {
        &self.order
    }

    /// What is told of a pull.
    pub(super) fn get(&self, id: PullId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// What all pulls came to when they were arranged last.
    pub(super) const fn sums(&self) -> Sums {
        self.sums
    }

    /// Pulls in memory.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Reports of pulls for which there was no room.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }
}

impl Sums {
    fn add(&mut self, pull: &Pull, state: State, is_failing: bool) {
        if state.is_running() {
            self.active += 1;
        } else {
            self.ended += 1;
        }
        if matches!(state, State::Stalled) {
            self.stalled += 1;
        }
        if is_failing {
            self.failing += 1;
        }
        self.speed = self.speed.saturating_add(pull.speed());
    }
}

fn try_of(pull: &Pull) -> Option<(&str, &str)> {
    Some((pull.named()?, &pull.node))
}

fn is_last(pull: &Pull, last: &HashMap<(&str, &str), Timestamp>) -> bool {
    try_of(pull).and_then(|key| last.get(&key)).is_none_or(|last| pull.started_at >= *last)
}

/// What a pull is ordered by, the smallest first.
#[expect(clippy::cast_possible_truncation, reason = "shares and times, far below 2^63")]
fn key(pull: &Pull, sort: Sort, state: State, is_failing: bool) -> (i64, Arc<str>) {
    let none = || Arc::from("");
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    match sort {
        Sort::Need => {
            let rank = match (is_failing, state) {
                (true, _) => 0,
                (false, State::Stalled) => 1,
                (false, state) if state.is_running() => 2,
                (false, _) => 3,
            };
            (rank, none())
        }
        Sort::State => (state as i64, none()),
        Sort::Image => (0, pull.image()),
        Sort::Workload => (i64::from(pull.pods.is_empty()), pull.whose().map_or_else(none, |(name, _)| Arc::from(name))),
        Sort::Node => (0, pull.node.clone()),
        Sort::Progress if !state.is_running() => (1, none()),
        Sort::Progress => (-pull.percent.map_or(-1, |percent| (percent * 10.0) as i64), none()),
        Sort::Rate => (-number(pull.speed()), none()),
        Sort::Eta if !state.is_running() => (i64::MAX, none()),
        Sort::Eta => (pull.eta_seconds.or(pull.eta_low_seconds).map_or(i64::MAX - 1, |eta| (eta * 10.0) as i64), none()),
        Sort::Time => (-number(pull.updated_at().since(pull.started_at).as_secs()), none()),
    }
}
