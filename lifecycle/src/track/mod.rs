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
//! what is known beside the pulls, `records` who wrote which image record; `outlook` lends speed and expectation to whoever watches pulls
//! elsewhere. `taking` and `acting` are the two halves of the tracker,
//! `surveys` when it looks.

mod acting;
mod eta;
mod experience;
mod layer;
mod memory;
mod naming;
mod outlook;
mod pace;
mod plan;
mod rate;
mod records;
mod seen;
mod surveys;
mod taking;
#[cfg(test)]
mod tests;
mod verdict;
mod watched;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use self::{
    acting::HEARTBEAT,
    experience::Experience,
    memory::Memory,
    naming::Intents,
    surveys::Surveys,
    watched::{Stage, Watched},
};
pub use self::{
    naming::Intent,
    outlook::Outlook,
    plan::MAX_LAYERS,
    seen::{
        Answer, ContentFacts, Event, ExtractKey, Happening, ImageRecord, Ingest, Inventory, Lease, LeaseKey, Question, Reference,
        Resource, Runtime, Seen, SnapshotFacts, Subject, Survey,
    },
};
use crate::{
    image::ImageRef,
    pull::{Node, NodeReport, Pull},
    time::Timestamp,
};

/// Most leases that are watched at once; a node pulls a handful at a time, Docker and crashed clients leave some behind.
pub const MAX_WATCHED: usize = 1_024;

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
        let look = Some(self.surveys.next(self.is_active(), self.pace));
        let ends = self.watched.values().filter_map(Watched::deadline).min();
        let records = self.memory.records.deadline(self.surveys.taken_at);
        [beat, look, ends, records].into_iter().flatten().min()
    }
}
