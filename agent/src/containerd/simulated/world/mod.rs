//! The simulated world: what a scenario makes happen on a node, second by second. Pure: the time is told, nothing is asked.
//!
//! [`Simulation`] owns the namespaces ([`store`]), the pulls ([`pull`]) and what pulls share: download slots, bandwidth, and a
//! containerd that may die. It moves in steps of a millisecond. The server beside it only reads.

mod collect;
mod diary;
mod download;
mod pull;
pub(super) mod store;

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use lifecycle::{image::ImageRef, time::Timestamp};

pub use self::diary::{Diary, LayerDiary};
use self::{download::State, pull::Pull, store::Store};
use super::{
    events::Event,
    ids::Ids,
    image::Image,
    personality::Personality,
    scenario::{Crash, Parts, Scenario},
};

/// The grain of simulated time.
const STEP: Duration = Duration::from_millis(1);
/// How many downloads run at once, per pull or in all (`max_concurrent_downloads`).
const SLOTS: usize = 3;
/// How long before the first second what is present from the start was pulled.
const PRESENT_FOR: Duration = Duration::from_secs(3600);

/// A node on which a scenario happens.
#[derive(Debug)]
pub struct Simulation {
    scenario: Scenario,
    personality: Personality,
    images: BTreeMap<ImageRef, Arc<Image>>,
    stores: BTreeMap<String, Store>,
    /// What a namespace that does not exist holds.
    nothing: Store,
    pulls: Vec<Pull>,
    /// The crashes of this round that are still ahead.
    crashes: Vec<Crash>,
    daemon: Daemon,
    incarnation: u64,
    now: Timestamp,
    round: Round,
    ids: Ids,
    events: Vec<Event>,
}

/// Whether containerd runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Daemon {
    /// It runs. Leads to `Down` by a crash.
    Up,
    /// It is dead until that time. Leads to `Up`.
    Down { until: Timestamp },
}

/// One play of the scenario.
#[derive(Clone, Copy, Debug)]
struct Round {
    began: Timestamp,
    /// When everything was over, if it is.
    over: Option<Timestamp>,
    repeat: bool,
}

impl Simulation {
    /// A node that has what the scenario says it has; the first round begins at `origin`. With `repeat` the scenario begins anew, on a
    /// node without images, each time it is over. `seed` decides all random-looking names.
    pub fn new(scenario: Scenario, personality: Personality, repeat: bool, origin: Timestamp, seed: u64) -> Self {
        let images = scenario.images.iter().map(|spec| (spec.name.clone(), Arc::new(Image::build(spec)))).collect();
        let mut ids = Ids::new(seed);
        let mut names: Vec<_> = scenario.pulls.iter().map(|pull| pull.namespace.clone()).collect();
        names.push("k8s.io".to_owned());
        let mut stores: BTreeMap<_, _> = names.into_iter().map(|name| (name.clone(), Store::new(name, personality))).collect();
        if let Some(cri) = stores.get_mut("k8s.io").filter(|_| personality.leases_sandboxes()) {
            for _ in 0..scenario.sandboxes {
                cri.create_sandbox_lease(ids.hex(), origin.before(PRESENT_FOR));
            }
        }
        let mut simulation = Self {
            nothing: Store::new(String::new(), personality),
            round: Round { began: origin, over: None, repeat },
            daemon: Daemon::Up,
            now: origin,
            incarnation: 0,
            pulls: Vec::new(),
            crashes: Vec::new(),
            events: Vec::new(),
            scenario,
            personality,
            images,
            stores,
            ids,
        };
        simulation.begin_round();
        simulation
    }

    /// Lets everything happen that happens until `now`.
    pub fn advance(&mut self, now: Timestamp) {
        while self.now + STEP <= now {
            self.now = self.now + STEP;
            self.step();
        }
    }

    /// The simulated time, in whole steps since the origin.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether containerd runs.
    pub fn is_up(&self) -> bool {
        self.daemon == Daemon::Up
    }

    /// Whether every pull of the round is over and nothing more will happen by itself.
    pub const fn is_over(&self) -> bool {
        self.round.over.is_some()
    }

    /// How often containerd was started again.
    pub const fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Which containerd is played.
    pub const fn personality(&self) -> Personality {
        self.personality
    }

    /// An image of the registry.
    pub fn image(&self, name: &ImageRef) -> Option<&Image> {
        self.images.get(name).map(AsRef::as_ref)
    }

    /// What really happened to the pulls of this round, in the order of the scenario.
    pub fn diaries(&self) -> impl Iterator<Item = &Diary> {
        self.pulls.iter().map(|pull| &pull.diary)
    }

    /// The names of the namespaces.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = &String> {
        self.stores.keys()
    }

    /// What a namespace holds; nothing if it does not exist, as in containerd.
    pub(super) fn store(&self, namespace: &str) -> &Store {
        self.stores.get(namespace).unwrap_or(&self.nothing)
    }

    /// Takes the events since the last time, in order.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        mem::take(&mut self.events)
    }

    fn step(&mut self) {
        self.step_daemon();
        if self.is_up() {
            for pull in &mut self.pulls {
                if let Some(store) = self.stores.get_mut(&pull.spec.namespace) {
                    pull.step(store, &mut self.ids, self.now);
                }
            }
            self.grant_slots();
            self.move_bytes();
            for store in self.stores.values_mut() {
                if store.collect_at.is_some_and(|due| self.now >= due) {
                    store.collect_garbage(self.now);
                }
                self.events.append(&mut store.take_events());
            }
        }
        self.step_round();
    }

    /// Dies and comes back. Pulls die with it; leases, ingests, content and snapshots stay.
    fn step_daemon(&mut self) {
        match self.daemon {
            Daemon::Up => {
                let Some(crash) = self.crashes.pop_if(|crash| self.now >= self.round.began + crash.at.0) else { return };
                self.daemon = Daemon::Down { until: self.now + crash.down_for.0 };
                self.pulls.iter_mut().for_each(|pull| pull.forget(self.now));
                for store in self.stores.values_mut() {
                    store.chain_locks.clear();
                    store.collect_at = None;
                    store.ingests.values_mut().for_each(|ingest| ingest.writer = None);
                }
            }
            Daemon::Down { until } if self.now >= until => {
                self.daemon = Daemon::Up;
                self.incarnation += 1;
            }
            Daemon::Down { .. } => {}
        }
    }

    /// Gives free slots to those that wait, first come, first served.
    fn grant_slots(&mut self) {
        let global = self.personality.limits_globally();
        let in_use = |pull: &mut Pull| pull.downloads().filter(|download| download.holds_slot()).count();
        let mut used: Vec<usize> = self.pulls.iter_mut().map(in_use).collect();
        let mut queue: Vec<_> = self.pulls.iter_mut().enumerate().flat_map(|(i, pull)| queued(i, pull)).collect();
        queue.sort_unstable();
        for (ticket, i) in queue {
            let taken = if global { used.iter().sum() } else { used[i] };
            if taken >= SLOTS {
                continue;
            }
            let pull = &mut self.pulls[i];
            let (owner, lease) = (pull.owner, pull.lease.clone());
            let Some(store) = self.stores.get_mut(&pull.spec.namespace) else { continue };
            for download in pull.downloads().filter(|download| download.state == State::Queued { ticket }) {
                download.grant(store, &lease, owner, self.now);
                used[i] += usize::from(download.holds_slot());
            }
        }
    }

    /// Moves the bytes of one step: each download gets what its link carries, but not more than its share of the total.
    fn move_bytes(&mut self) {
        let flowing = |pull: &mut Pull| pull.downloads().filter(|download| download.state == State::Flowing).count() as u64;
        let count: u64 = self.pulls.iter_mut().map(flowing).sum();
        let share = self.scenario.total_bytes_per_sec.map_or(u64::MAX, |total| total.0 / count.max(1));
        for pull in &mut self.pulls {
            // Bytes per second are thousandths of bytes per millisecond.
            let milli = pull.spec.bytes_per_sec.0.min(share);
            let Some(store) = self.stores.get_mut(&pull.spec.namespace) else { continue };
            for download in pull.downloads().filter(|download| download.state == State::Flowing) {
                download.receive(store, milli, self.now);
            }
        }
    }

    fn step_round(&mut self) {
        let quiet = self.is_up()
            && self.crashes.is_empty()
            && self.pulls.iter().all(Pull::is_over)
            && self.stores.values().all(|store| store.collect_at.is_none());
        if quiet && self.round.over.is_none() {
            self.round.over = Some(self.now);
        }
        let Some(over) = self.round.over.filter(|_| self.round.repeat) else { return };
        if self.now >= over + self.scenario.pause.0 {
            self.round = Round { began: self.now, over: None, repeat: true };
            self.begin_round();
        }
    }

    /// Empties the node, leases of dead pulls included, and puts there what is present from the start.
    fn begin_round(&mut self) {
        for store in self.stores.values_mut() {
            store.leases.retain(|_, lease| lease.labels.is_empty());
            store.delete_records(self.now);
            store.collect_garbage(self.now);
            self.events.append(&mut store.take_events());
        }
        let since = self.now.before(PRESENT_FOR);
        for present in &self.scenario.present {
            if let (Some(image), Some(cri)) = (self.images.get(&present.image), self.stores.get_mut("k8s.io")) {
                cri.add_image(image, present.parts, since);
            }
        }
        let first = self.pulls.last().map_or(0, |pull| pull.owner + 1);
        let began = self.now;
        let specs = self.scenario.pulls.iter().enumerate();
        let pulls = specs.filter_map(|(i, spec)| {
            let image = Arc::clone(self.images.get(&spec.image)?);
            Some(Pull::new(first + i, spec.clone(), image, began + spec.at.0))
        });
        self.pulls = pulls.collect();
        self.crashes = self.scenario.crashes.iter().rev().cloned().collect();
    }
}

impl Store {
    /// Puts an image there as a pull that is long over left it, without telling anybody.
    fn add_image(&mut self, image: &Image, parts: Parts, since: Timestamp) {
        let (source, repository) = image.source_label();
        for document in &image.documents {
            self.add_content(&document.blob, Some(document.bytes.clone()), since);
            for (key, value) in document.references.iter().chain([&(source.clone(), repository.clone())]) {
                self.label_content(document.blob.digest.as_str(), key, value, since);
            }
        }
        let mut parent = None;
        for layer in &image.layers {
            if parts != Parts::Snapshots {
                self.add_content(&layer.blob, None, since);
                self.label_content(layer.blob.digest.as_str(), &source, &repository, since);
            }
            if parts != Parts::Content {
                let chain = layer.chain_id.to_string();
                let labels = BTreeMap::from([("containerd.io/snapshot.ref".to_owned(), chain.clone())]);
                let snapshot = store::Snapshot { committed: true, parent, labels, created_at: since, size: layer.blob.size };
                self.snapshots.entry(chain.clone()).or_insert(snapshot);
                self.label_content(image.config().digest.as_str(), store::SNAPSHOT_REFERENCE, &chain, since);
                parent = Some(chain);
            }
        }
        for name in image.record_names() {
            self.add_record(name, image.target(), since);
        }
    }
}

/// The tickets of a pull's queued downloads, with the pull's place.
fn queued(place: usize, pull: &mut Pull) -> Vec<(u64, usize)> {
    let tickets = pull.downloads().filter_map(|download| match download.state {
        State::Queued { ticket } => Some((ticket, place)),
        State::Idle
        | State::Wanted
        | State::Requested { .. }
        | State::Flowing
        | State::Stalled { .. }
        | State::Closing { .. }
        | State::Done => None,
    });
    tickets.collect()
}

#[cfg(test)]
mod tests;
