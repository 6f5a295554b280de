//! The agent's mind: folds what was seen of containerd into pulls.
//!
//! One grammar, shared with [`crate::board`]: [`Tracker::observe`] takes what was seen, [`Tracker::tick`] lets time pass,
//! [`Tracker::poll`] hands out what to say and what to ask, [`Tracker::next_deadline`] says when to tick next at the latest. No clock,
//! no I/O: the shell reads the clock and carries questions to containerd and answers back.
//!
//! ```text
//!   Seen::{Event, Stirred} ─┐                        ┌─▶ Output::Ask(Survey | About)
//!   Seen::{Survey, Answer} ─┼─▶ one Watched a lease ─┼─▶ Output::Pull (state changed)
//!   Seen::{Dis,}Connected  ─┘                        └─▶ Output::Node (heartbeat)
//! ```
//!
//! A lease is a pull (`containerd` client/pull.go, core/transfer/local/pull.go take one before they resolve). Rooms: `seen` is the
//! language of the shell, `watched` one pull, `naming` what the kubelet means to pull, `layer` one layer, `plan` the documents, `rate` speed
//! and silence, `pace` the speed over the whole, `eta` what is to come, `experience` what the node has shown, `verdict` the end, `memory`
//! what is known beside the pulls, `records` who wrote which image record.

mod eta;
mod experience;
mod layer;
mod memory;
mod naming;
mod pace;
mod plan;
mod rate;
mod records;
mod seen;
#[cfg(test)]
mod tests;
mod verdict;
mod watched;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use self::{
    experience::Experience,
    memory::{Memory, SECOND_NAME, with},
    naming::Intents,
    records::{Found, Record, same_repository},
    watched::{Stage, Watched},
};
pub use self::{
    naming::Intent,
    plan::MAX_LAYERS,
    seen::{
        Answer, ContentFacts, Event, ExtractKey, Happening, ImageRecord, Ingest, Inventory, Lease, LeaseKey, Question, Reference,
        Resource, Runtime, Seen, SnapshotFacts, Subject, Survey,
    },
};
use crate::{
    image::ImageRef,
    pull::{MAX_QUEUED_IMAGES, Node, NodeReport, Pull},
    time::Timestamp,
};

/// Most leases that are watched at once; a node pulls a handful at a time, Docker and crashed clients leave some behind.
pub const MAX_WATCHED: usize = 1_024;
/// How long an ended pull is kept, so that what it brought and recorded is not taken for another's.
const KEEP_ENDED: Duration = Duration::from_secs(10);
/// The same while one runs that began before it ended.
const KEEP_BESIDE: Duration = Duration::from_secs(60);
/// Ended pulls are forgotten in such steps.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// While nothing runs, events about chains are remembered for so long: the first of a pull come before its lease is seen.
const KEEP_CHAINS: Duration = Duration::from_secs(60);
/// Heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// A running pull is told this often even if nothing changed, so that a receiver that has forgotten it learns it again.
const REPEAT_AFTER: Duration = Duration::from_secs(2);
/// Progress of one pull is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// Time between two surveys while a pull runs and something stirs.
const ACTIVE_GAP: Duration = Duration::from_millis(20);
/// The same while nothing is known of what a pull that has just begun pulls, and while nothing runs; there it grows while surveys find
/// nothing. A pull whose registry refuses its blobs is over in 30 ms, and nothing is left of it soon after.
const SHORTEST_GAP: Duration = Duration::from_millis(4);
/// Longest time between two surveys while something stirs.
const LONGEST_GAP: Duration = Duration::from_millis(500);
/// After so long without a stir, or the gap if that is longer, surveys follow each other closely again.
const QUIET: Duration = Duration::from_millis(40);
/// An unanswered survey is asked again after this.
const SURVEY_TIMEOUT: Duration = Duration::from_secs(15);
/// A pull whose runtime stays away for so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(600);

/// How often the tracker looks.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// While nothing runs and nothing stirs.
    pub idle: Duration,
    /// While a pull runs.
    pub active: Duration,
}

/// What the tracker wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask containerd.
    Ask(Question),
    /// Say this about a pull.
    Pull {
        /// Whether this is the first word about it.
        first: bool,
        /// Its state; ended if it has an ending.
        pull: Box<Pull>,
    },
    /// Say this about the node. Counters of the exporter are not the tracker's; they are 0.
    Node(NodeReport),
}

/// Folds [`Seen`] into [`Output`].
#[derive(Debug)]
pub struct Tracker {
    node: Node,
    /// Whether the node has no uid of its own, and goes by its runtime's uuid.
    goes_by_runtime: bool,
    agent_version: String,
    pace: Pace,
    runtime: Link,
    watched: BTreeMap<LeaseKey, Watched>,
    memory: Memory,
    experience: Experience,
    intents: Intents,
    surveys: Surveys,
    heartbeat_at: Option<Timestamp>,
    /// When an image may be told as waiting in the kubelet.
    queue_at: Option<Timestamp>,
    heartbeat_said: Option<(bool, u64, Vec<ImageRef>)>,
    refused: u64,
    repeat: bool,
    forgot_at: Option<Timestamp>,
    out: VecDeque<Output>,
}

/// How the tracker stands to the runtime.
#[derive(Debug)]
enum Link {
    /// It answers. Back to here: `Connected`.
    Up { pid: u64 },
    /// It does not. Back to here: `Disconnected`.
    Down { pid: u64, since: Option<Timestamp> },
}

/// When to look next.
#[derive(Debug)]
struct Surveys {
    asked_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    /// When the last one was taken: what happened later may be missing from it.
    taken_at: Option<Timestamp>,
    stirred: bool,
    stirred_at: Option<Timestamp>,
    urgent: bool,
    gap: Duration,
}

impl Surveys {
    /// None yet, and nothing that asks for one.
    const NONE: Self = Self {
        asked_at: None,
        last_at: None,
        taken_at: None,
        stirred: false,
        stirred_at: None,
        urgent: false,
        gap: SHORTEST_GAP,
    };

    /// Notes that something changed. After a quiet time the first write may be of a lease that is not committed yet, and the pull over in
    /// a moment: the next looks must not be far.
    fn stir(&mut self, now: Timestamp) {
        if self.stirred_at.is_some_and(|at| now.since(at) >= QUIET.max(self.gap)) {
            self.gap = SHORTEST_GAP;
        }
        self.stirred = true;
        self.stirred_at = Some(now);
    }
}

impl Tracker {
    /// A tracker for this node that has seen nothing yet. A node without a uid goes by its name until a runtime answers,
    /// then by the uuid of the one that answers.
    pub fn new(mut node: Node, agent_version: &str, pace: Pace) -> Self {
        let goes_by_runtime = node.uid.is_empty();
        if goes_by_runtime {
            node.uid = node.name.to_string();
        }
        Self {
            node,
            goes_by_runtime,
            agent_version: agent_version.to_owned(),
            pace,
            runtime: Link::Down { pid: 0, since: None },
            watched: BTreeMap::new(),
            memory: Memory::default(),
            experience: Experience::default(),
            intents: Intents::default(),
            surveys: Surveys::NONE,
            heartbeat_at: None,
            queue_at: None,
            heartbeat_said: None,
            refused: 0,
            repeat: false,
            forgot_at: None,
            out: VecDeque::new(),
        }
    }

    /// Who speaks: changes when the runtime says its version.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Tells every running pull again at the next tick: the receiver may have forgotten them.
    pub const fn repeat(&mut self) {
        self.repeat = true;
    }

    /// Sets how often to look while nothing runs: it depends on what else wakes the shell.
    pub const fn set_idle_pace(&mut self, idle: Duration) {
        self.pace.idle = idle;
    }

    /// Leases that were not watched because [`MAX_WATCHED`] were.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Leases that need not be looked into any more: they are no pulls, or have ended.
    pub fn dull(&self) -> BTreeSet<LeaseKey> {
        let dull = |w: &&Watched| matches!(w.stage, Stage::Dull | Stage::Ended { .. });
        self.watched.values().filter(dull).map(|w| w.key.clone()).collect()
    }

    /// Whether a pull runs, or ends.
    pub fn is_active(&self) -> bool {
        self.watched.values().any(Watched::is_open)
    }

    /// Takes in what was seen at `now`.
    pub fn observe(&mut self, seen: Seen, now: Timestamp) {
        match seen {
            Seen::Connected(runtime) => self.connected(&runtime, now),
            Seen::Disconnected => self.disconnected(now),
            Seen::Stirred => self.surveys.stir(now),
            Seen::Survey(survey) => self.survey(&survey, now),
            Seen::Event(event) => self.event(event, now),
            Seen::Intents(intents) => self.intents.take(intents, now),
            Seen::Answer(key, subject, answer) => self.answer(&key, &subject, answer, now),
        }
        self.tick(now);
    }

    /// Lets time pass: reaches verdicts, tells progress, asks for the next look.
    pub fn tick(&mut self, now: Timestamp) {
        self.intents.name(&mut self.watched);
        if matches!(self.runtime, Link::Up { .. }) {
            self.conclude(now);
            self.look(now);
        } else {
            self.give_up(now);
        }
        self.tell(now);
        self.forget(now);
        self.intents.forget(now);
        self.beat(now);
    }

    /// The next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to [`tick`](Self::tick) at the latest if nothing is seen before. Changes with every call of `observe` and `tick`.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let beat = Some(self.heartbeat_at.map_or(Timestamp::EPOCH, |at| at + HEARTBEAT));
        let beat = beat.min(self.queue_at.or(beat));
        if matches!(self.runtime, Link::Down { .. }) {
            return beat;
        }
        let look = Some(self.next_look());
        let ends = self.watched.values().filter_map(Watched::deadline).min();
        let records = self.memory.records.deadline(self.surveys.taken_at);
        [beat, look, ends, records].into_iter().flatten().min()
    }
}

/// What it takes in.
impl Tracker {
    fn connected(&mut self, runtime: &Runtime, now: Timestamp) {
        let (old_pid, away_since) = match self.runtime {
            Link::Up { pid } => (pid, None),
            Link::Down { pid, since } => (pid, since),
        };
        self.node.runtime_version.clone_from(&runtime.version);
        if self.goes_by_runtime && !runtime.uuid.is_empty() {
            self.node.uid.clone_from(&runtime.uuid);
        }
        // 1.6 does not say by which process it is served, but that one made its socket anew.
        let other = (old_pid != 0 && runtime.pid != 0).then_some(runtime.pid != old_pid);
        let restarted = other.unwrap_or_else(|| self.memory.born.zip(runtime.started_at).is_some_and(|(old, new)| old < new));
        let born = runtime.started_at.or(away_since.filter(|_| restarted));
        for watched in self.watched.values_mut() {
            let older = born.is_some_and(|born| watched.created_at() < born);
            watched.reconnected(now);
            if restarted && older {
                watched.vanish(away_since.unwrap_or(now), now, true);
            }
        }
        self.out.extend(self.memory.records.ask_again(true).into_iter().map(Output::Ask));
        self.memory.born = born;
        self.runtime = Link::Up { pid: runtime.pid };
        self.surveys = Surveys { stirred: true, ..Surveys::NONE };
        self.ask_wants();
    }

    fn disconnected(&mut self, now: Timestamp) {
        if let Link::Up { pid } = self.runtime {
            self.runtime = Link::Down { pid, since: Some(now) };
        }
    }

    fn survey(&mut self, survey: &Survey, now: Timestamp) {
        let Self { watched, memory, node, surveys, refused, out, .. } = self;
        let took = surveys.asked_at.take().map_or(Duration::ZERO, |asked| now.since(asked));
        surveys.last_at = Some(now);
        surveys.taken_at = Some(survey.taken_at);
        let mut present = BTreeSet::new();
        let mut leases: Vec<_> =
            survey.namespaces.iter().flat_map(|(ns, inv)| inv.leases.iter().map(move |l| (ns, inv, l))).collect();
        leases.sort_by_key(|(_, _, lease)| lease.created_at);
        for (namespace, inventory, lease) in leases {
            let key = LeaseKey { namespace: namespace.clone(), lease: lease.id.clone() };
            // It was listed and gone when it was looked into.
            if lease.resources.is_empty() && watched.get(&key).is_some_and(Watched::held_something) {
                continue;
            }
            present.insert(key.clone());
            if !watched.contains_key(&key) {
                if watched.len() >= MAX_WATCHED {
                    *refused += 1;
                    continue;
                }
                let mut fresh = Watched::new(&node.uid, key.clone(), lease.created_at, survey.taken_at).on(&self.experience);
                if memory.born.is_some_and(|born| lease.created_at < born) {
                    fresh.stage = Stage::Dull;
                }
                watched.insert(key.clone(), fresh);
            }
            with(watched, memory, &key, now, |w, around| match w.stage {
                Stage::Candidate | Stage::Live => w.survey(lease, inventory, survey.taken_at, around),
                Stage::Ended { .. } | Stage::Dull => w.still_there(survey.taken_at),
                // The leftover of a runtime that is no more says nothing about when the pull was alive.
                Stage::Ending { .. } => {}
            });
        }
        for (key, w) in watched.iter_mut().filter(|(key, _)| !present.contains(key)) {
            if let Some(inventory) = survey.namespaces.get(&key.namespace) {
                w.last_words(inventory);
                if w.created_at() <= survey.taken_at {
                    w.vanish(now, now, false);
                }
            }
        }
        watched.values_mut().for_each(Watched::ask_again);
        out.extend(memory.records.ask_again(false).into_iter().map(Output::Ask));
        let lingers = watched.values().any(Watched::lingers);
        surveys.stirred |= lingers;
        surveys.gap = if lingers || watched.values().any(|w| w.is_unknown(now)) {
            SHORTEST_GAP
        } else if watched.values().any(Watched::is_open) {
            ACTIVE_GAP
        } else {
            (surveys.gap * 2).min(LONGEST_GAP)
        };
        // A node that is busy is not kept busy by looks.
        surveys.gap = surveys.gap.max(took.min(LONGEST_GAP));
        self.ask_wants();
    }

    fn event(&mut self, event: Event, now: Timestamp) {
        self.surveys.stir(now);
        let Event { namespace, at, what } = event;
        match what {
            // A pull has begun to fetch layers; if the registry refuses them it is over in a moment.
            Happening::ExtractionPrepared(key) => {
                self.surveys.urgent = true;
                self.memory.chain(&namespace, key.chain()).prepared = Some(at);
            }
            Happening::ChainCommitted(chain) => self.memory.chain(&namespace, &chain).unpacked = Some(at),
            // Given up: what its ingests show now is gone in a moment.
            Happening::ExtractionRemoved(key) => {
                self.surveys.urgent = true;
                let of_key = |w: &&mut Watched| w.key.namespace == namespace && w.extracts_into(&key);
                self.watched.values_mut().filter(of_key).for_each(Watched::gives_up);
            }
            // The first word of a pull, unless it is a layer of one that is known: its documents come before its layers.
            Happening::ContentCreated(digest) => {
                self.surveys.urgent |= !self.watched.values().any(|w| w.key.namespace == namespace && w.plans(&digest));
            }
            Happening::ImageRecordedById => self.memory.records.note_by_id(namespace, at),
            Happening::ImageRecorded(name) => {
                let question = self.memory.records.note(namespace, &name, at, now);
                self.out.extend(question.map(Output::Ask));
            }
        }
    }

    fn answer(&mut self, key: &LeaseKey, subject: &Subject, answer: Answer, now: Timestamp) {
        if self.memory.records.answer(key, &answer) {
            return;
        }
        with(&mut self.watched, &mut self.memory, key, now, |w, around| w.answer(subject, answer, now, around));
        self.ask_wants();
    }
}

/// What it does as time passes.
impl Tracker {
    fn conclude(&mut self, now: Timestamp) {
        self.explain_records(now);
        let ending = |w: &&Watched| matches!(w.stage, Stage::Ending { .. });
        let keys: Vec<_> = self.watched.values().filter(ending).map(|w| w.key.clone()).collect();
        for key in keys {
            let experience = &mut self.experience;
            with(&mut self.watched, &mut self.memory, &key, now, |w, around| w.conclude(now, around, experience));
        }
        self.ask_wants();
    }

    /// An image record that no lease explains is a pull that was over before anyone looked.
    fn explain_records(&mut self, now: Timestamp) {
        for record in self.memory.records.take_due(self.surveys.taken_at, now) {
            let writer = self.writer_of(&record);
            if let Some(writer) = writer {
                if record.is_by_tag() {
                    writer.has_written(record.at);
                }
                let id = writer.id;
                self.memory.records.written_by(record.nth, id);
                continue;
            }
            let Record { key, name, at, found, .. } = record;
            let has_room = self.watched.len() < MAX_WATCHED;
            let empty = self.watched.values_mut().filter(|w| w.key.namespace == key.namespace && w.ended_empty_after(at));
            match (empty.min_by_key(|w| w.created_at()), found) {
                (Some(empty), Found::Here(record)) => empty.adopt(ImageRecord { updated_at: at, ..record }, now),
                (Some(empty), Found::Gone) if name.tag().is_some() => empty.adopt_name(name, at),
                (None, Found::Here(_)) if !has_room => self.refused += 1,
                (None, Found::Here(record)) => {
                    let record = ImageRecord { updated_at: at, ..record };
                    self.watched.insert(key.clone(), Watched::from_record(&self.node.uid, key, record, now));
                }
                // Nothing is left of it that says what it was.
                (Some(_) | None, Found::Gone | Found::Asked | Found::Unavailable) => {}
            }
        }
        self.ask_wants();
    }

    /// The pull that wrote a record, as far as leases tell; see [`records`].
    fn writer_of(&mut self, record: &Record) -> Option<&mut Watched> {
        let belongs = |w: &Watched| match record.target() {
            Some(target) if record.is_by_tag() => w.holds(target) && w.awaits_record() && w.had_its_lease(record.at),
            Some(target) => w.holds(target) && w.may_have_written(record.at, SECOND_NAME),
            None => {
                let same = w.name().is_some_and(|name| same_repository(name, &record.name));
                same && w.awaits_record() && w.had_its_lease(record.at)
            }
        };
        let of_namespace = |w: &&mut Watched| w.key.namespace == record.key.namespace && belongs(w);
        self.watched.values_mut().filter(of_namespace).min_by_key(|w| (w.gone_at().is_none(), w.gone_at(), w.created_at()))
    }

    fn next_look(&self) -> Timestamp {
        let Surveys { asked_at, last_at, stirred, urgent, gap, .. } = self.surveys;
        if let Some(asked) = asked_at {
            return asked + SURVEY_TIMEOUT;
        }
        let active = self.is_active();
        let pause = match (urgent, stirred, active) {
            (true, ..) => Duration::ZERO,
            (false, true, _) => gap,
            (false, false, true) => self.pace.active,
            (false, false, false) => self.pace.idle,
        };
        last_at.map_or(Timestamp::EPOCH, |last| last + pause)
    }

    fn look(&mut self, now: Timestamp) {
        if now < self.next_look() {
            return;
        }
        self.surveys.asked_at = Some(now);
        self.surveys.stirred = false;
        self.surveys.urgent = false;
        let ingests = self.is_active();
        self.out.push_back(Output::Ask(Question::Survey { ingests }));
    }

    /// Pulls whose runtime does not come back are lost.
    fn give_up(&mut self, now: Timestamp) {
        if let Link::Down { since: Some(since), .. } = self.runtime
            && now.since(since) >= LOST_AFTER
        {
            self.watched
                .values_mut()
                .filter(|w| w.is_live() || matches!(w.stage, Stage::Ending { .. }))
                .for_each(|w| w.lose(now));
        }
    }

    /// Tells every pull whose state changed: at once when it is a step, else at most once in [`PROGRESS_EVERY`].
    fn tell(&mut self, now: Timestamp) {
        let keys: Vec<_> = self.watched.values().filter(|w| w.is_live() || w.told_open()).map(|w| w.key.clone()).collect();
        let repeat = std::mem::take(&mut self.repeat);
        for key in keys {
            let experience = &self.experience;
            let told = with(&mut self.watched, &mut self.memory, &key, now, |w, around| {
                if !w.is_settled(now) || matches!(w.stage, Stage::Ending { .. }) {
                    return None;
                }
                let pull = w.view(now, around, experience);
                let first = w.told.is_none();
                let worth = match &w.told {
                    None => true,
                    Some((old, at)) => {
                        let quiet = now.since(*at);
                        repeat
                            || is_step(old, &pull)
                            || (quiet >= PROGRESS_EVERY && is_change(old, &pull))
                            || quiet >= REPEAT_AFTER
                    }
                };
                worth.then(|| {
                    w.told = Some((pull.clone(), now));
                    Output::Pull { first, pull: Box::new(pull) }
                })
            });
            self.out.extend(told.flatten());
        }
    }

    fn forget(&mut self, now: Timestamp) {
        let Self { watched, memory, surveys, forgot_at, .. } = self;
        if forgot_at.is_some_and(|at| now.since(at) < FORGET_EVERY) {
            return;
        }
        *forgot_at = Some(now);
        let listed = |w: &Watched| surveys.last_at.is_none_or(|last| w.was_listed_since(last.before(KEEP_ENDED)));
        let oldest = watched.values().filter(|w| w.is_open()).map(Watched::created_at).min();
        let keep = |at: Timestamp| if oldest.is_some_and(|open| open <= at) { KEEP_BESIDE } else { KEEP_ENDED };
        let before = watched.len();
        watched.retain(|_, w| match w.stage {
            Stage::Ended { at } => now.since(at) < keep(at) || listed(w),
            Stage::Candidate | Stage::Live | Stage::Ending { .. } | Stage::Dull => true,
        });
        if watched.len() < before {
            let ids: BTreeSet<_> = watched.values().map(|w| w.id).collect();
            memory.owners.retain(|_, owner| ids.contains(owner));
        }
        if watched.is_empty() {
            memory.chains.retain(|_, c| c.newest().is_some_and(|at| now.since(at) < KEEP_CHAINS));
        }
    }

    fn beat(&mut self, now: Timestamp) {
        // Before the first look it is not known what runs: a number of pulls would be wrong.
        let reachable = matches!(self.runtime, Link::Up { .. }) && self.surveys.last_at.is_some();
        let active_pulls = self.watched.values().filter(|w| w.is_live()).count() as u64;
        self.queue_at = self.intents.deadline(now);
        let mut queued_images = self.intents.queued(&self.watched, now);
        queued_images.truncate(MAX_QUEUED_IMAGES);
        let due = self.heartbeat_at.is_none_or(|at| now.since(at) >= HEARTBEAT);
        let said = Some((reachable, active_pulls, queued_images.clone()));
        if !due && self.heartbeat_said == said {
            return;
        }
        self.heartbeat_at = Some(now);
        self.heartbeat_said = said;
        self.out.push_back(Output::Node(NodeReport {
            node: self.node.clone(),
            observed_at: now,
            agent_version: self.agent_version.clone(),
            runtime_reachable: reachable,
            active_pulls,
            queued_images,
            dropped_progress: 0,
            dropped_outcomes: 0,
        }));
    }

    fn ask_wants(&mut self) {
        for w in self.watched.values_mut() {
            let wants = w.take_wants().into_iter();
            self.out.extend(wants.map(|subject| Output::Ask(Question::About(w.key.clone(), subject))));
        }
    }
}

/// Whether something changed that is told at once.
fn is_step(old: &Pull, new: &Pull) -> bool {
    let kind = |p: &Pull| p.wait.as_ref().map(crate::pull::Wait::as_str);
    let states = |p: &Pull| p.layers.iter().map(|l| (l.state, l.cached)).collect::<Vec<_>>();
    old.phase != new.phase
        || old.ending != new.ending
        || kind(old) != kind(new)
        || old.total_known != new.total_known
        || old.image != new.image
        || states(old) != states(new)
}

/// Whether anything changed but the time of the look.
fn is_change(old: &Pull, new: &Pull) -> bool {
    let still = Pull { sequence: old.sequence, observed_at: old.observed_at, ..new.clone() };
    still != *old
}
