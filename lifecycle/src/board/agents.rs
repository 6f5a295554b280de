//! Who speaks for the pulls: the agents, when they were heard last, and which pulls are theirs.
//!
//! All times here are the collector's, so that a node's clock can be as wrong as it likes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    HEARTBEAT, LOST_AFTER, SILENT_AFTER,
    entry::{Entry, Standing},
    host::HostStatus,
    skew::Skew,
    status::NodeStatus,
};
use crate::{
    pull::{Host, Node, NodeName, NodeReport, PullId},
    time::Timestamp,
};

/// Begins the uid of an agent that sends lists; its node's name follows.
pub(super) const LISTER: &str = "list:";

/// Name and uid of a node: a node that was made anew under an old name is another one. All clones share one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AgentKey(Arc<(NodeName, Box<str>)>);

impl AgentKey {
    pub(super) fn of(node: &Node) -> Self {
        Self::new(&node.name, &node.uid)
    }

    fn new(name: &NodeName, uid: &str) -> Self {
        Self(Arc::new((name.clone(), uid.into())))
    }

    pub(super) fn name(&self) -> &NodeName {
        &self.0.0
    }

    /// Whether it sends lists instead of reports.
    pub(super) fn is_lister(&self) -> bool {
        self.0.1.strip_prefix(LISTER).is_some_and(|name| name == self.name().as_str())
    }

    /// The same node as its agent calls it before it knows a uid: by its name.
    fn provisional(&self) -> Self {
        Self::new(self.name(), self.name().as_str())
    }
}

/// What an agent's silence has come to.
pub(super) enum Word {
    /// Three heartbeats are missing.
    Silent,
    /// It is not expected back.
    Gone {
        /// Since when.
        at: Timestamp,
    },
    /// Pulls of it are still in memory.
    Remembered,
    /// Nothing of it was left to know.
    Forgotten,
}

#[derive(Debug, Default)]
pub(super) struct Agents {
    known: BTreeMap<AgentKey, Agent>,
    /// The next deadline of every agent.
    deadlines: BTreeSet<(Timestamp, AgentKey)>,
    connected: usize,
}

#[derive(Debug)]
struct Agent {
    node: Node,
    /// Its last word about itself, and when that came.
    report: Option<(NodeReport, Timestamp)>,
    skew: Skew,
    /// What the node did as the last report of a pull says.
    host: Host,
    heard: Timestamp,
    /// How long its last report was on the way.
    delay: Duration,
    presence: Presence,
    /// When to look next whether silence has come to something; stands in [`Agents::deadlines`] too.
    deadline: Timestamp,
    /// Pulls whose last report has no ending.
    open: BTreeSet<PullId>,
    /// Pulls that ended or were lost, by when that became known.
    ended: BTreeSet<(Timestamp, PullId)>,
    pulls: usize,
    /// Layers of these pulls.
    layers: usize,
    stale: usize,
}

/// Any word leads back to `Connected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Connected,
    Silent,
    Gone,
}

impl Agents {
    /// Notes that an agent spoke, and how long its report was on the way, by the clocks of both. Says whether pulls of it are stale; `None`
    /// if it is a new one and `max` are known already.
    pub(super) fn hear(&mut self, key: &AgentKey, node: &Node, delay: Duration, max: usize, now: Timestamp) -> Option<bool> {
        let heard = |agent: &mut Agent| {
            (agent.heard, agent.delay) = (now, delay);
            if agent.node != *node {
                agent.node = node.clone();
            }
            agent.stale > 0
        };
        match self.known.get_mut(key).filter(|agent| agent.presence == Presence::Connected) {
            // Its deadline stays: when it comes, it is seen that the agent spoke meanwhile.
            Some(agent) => Some(heard(agent)),
            None => self.welcome(key, node, max, now).map(heard),
        }
    }

    /// One that was not connected is; `None` if there is no room for it.
    fn welcome(&mut self, key: &AgentKey, node: &Node, max: usize, now: Timestamp) -> Option<&mut Agent> {
        if !self.known.contains_key(key) {
            self.forget_provisional(&key.provisional());
            if self.known.len() >= max {
                return None;
            }
        }
        let agent = self.known.entry(key.clone()).or_insert_with(|| Agent {
            node: node.clone(),
            report: None,
            skew: Skew::default(),
            host: Host::default(),
            heard: now,
            delay: Duration::ZERO,
            presence: Presence::Gone,
            deadline: now,
            open: BTreeSet::new(),
            ended: BTreeSet::new(),
            pulls: 0,
            layers: 0,
            stale: 0,
        });
        self.deadlines.remove(&(agent.deadline, key.clone()));
        self.connected += 1;
        agent.presence = Presence::Connected;
        agent.deadline = now + SILENT_AFTER;
        self.deadlines.insert((agent.deadline, key.clone()));
        Some(agent)
    }

    /// An agent that has met no runtime goes by its node's name; once it has, it is not another one. Without a runtime there are no pulls.
    fn forget_provisional(&mut self, key: &AgentKey) {
        if let Some(agent) = self.known.get(key).filter(|agent| agent.pulls == 0) {
            self.deadlines.remove(&(agent.deadline, key.clone()));
            self.connected -= usize::from(agent.presence == Presence::Connected);
            self.known.remove(key);
        }
    }

    /// Keeps what an agent says about itself, unless something newer is known. What is older than what came half a heartbeat ago is not late:
    /// the node's clock was set back.
    pub(super) fn take_report(&mut self, key: &AgentKey, report: NodeReport, now: Timestamp) {
        let Some(agent) = self.known.get_mut(key) else { return };
        agent.skew.note(report.observed_at, now);
        let is_news = |(known, came): &(NodeReport, Timestamp)| {
            known.observed_at <= report.observed_at || now.since(*came) >= HEARTBEAT / 2
        };
        if agent.report.as_ref().is_none_or(is_news) {
            agent.report = Some((report, now));
        }
    }

    /// Keeps what a report of a pull says about its node.
    pub(super) fn take_host(&mut self, key: &AgentKey, host: Host) {
        if let Some(agent) = self.known.get_mut(key).filter(|_| !host.is_empty()) {
            agent.host = host;
        }
    }

    /// The next agent whose silence has come to something by now.
    pub(super) fn overdue(&mut self, now: Timestamp) -> Option<(AgentKey, Word)> {
        let (at, key) = self.next_overdue(now)?;
        let agent = self.known.get_mut(&key)?;
        let (word, presence, again) = match agent.presence {
            Presence::Connected => (Word::Silent, Presence::Silent, agent.heard + LOST_AFTER),
            Presence::Silent => (Word::Gone { at }, Presence::Gone, at + LOST_AFTER),
            Presence::Gone if agent.pulls == 0 => {
                self.known.remove(&key);
                return Some((key, Word::Forgotten));
            }
            Presence::Gone => (Word::Remembered, Presence::Gone, now + LOST_AFTER),
        };
        self.connected -= usize::from(agent.presence == Presence::Connected);
        agent.presence = presence;
        agent.deadline = again;
        self.deadlines.insert((again, key.clone()));
        Some((key, word))
    }

    /// Takes the next deadline that has come, of an agent that has not spoken since it was set.
    fn next_overdue(&mut self, now: Timestamp) -> Option<(Timestamp, AgentKey)> {
        loop {
            let (at, key) = self.deadlines.first().filter(|(at, _)| *at <= now).cloned()?;
            self.deadlines.remove(&(at, key.clone()));
            let Some(agent) = self.known.get_mut(&key) else { continue };
            let silent_at = agent.heard + SILENT_AFTER;
            if agent.presence != Presence::Connected || silent_at <= at {
                return Some((at, key));
            }
            agent.deadline = silent_at;
            self.deadlines.insert((silent_at, key));
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// How long an agent has said nothing.
    pub(super) fn silence(&self, key: &AgentKey, now: Timestamp) -> Duration {
        self.known.get(key).map_or(Duration::ZERO, |agent| now.since(agent.heard))
    }

    pub(super) const fn connected(&self) -> usize {
        self.connected
    }

    /// Pulls of an agent whose last report has no ending.
    pub(super) fn open(&self, key: &AgentKey) -> impl Iterator<Item = PullId> {
        self.known.get(key).into_iter().flat_map(|agent| agent.open.iter().copied())
    }

    /// Pulls of this node in memory, whichever uid it has or had.
    pub(super) fn pulls_on(&self, name: &NodeName) -> impl Iterator<Item = PullId> {
        self.named(name).flat_map(|agent| agent.open.iter().copied().chain(agent.ended.iter().map(|(_, id)| *id)))
    }

    /// Whether an agent is heard that watches this node.
    pub(super) fn is_watched(&self, name: &NodeName) -> bool {
        self.named(name).any(|agent| agent.presence == Presence::Connected)
    }

    /// Whether another agent is heard that watches the same node.
    pub(super) fn is_watched_beside(&self, key: &AgentKey) -> bool {
        self.named(key.name()).any(|agent| agent.presence == Presence::Connected && *agent.node.uid != *key.0.1)
    }

    fn named(&self, name: &NodeName) -> impl Iterator<Item = &Agent> {
        let from = AgentKey::new(name, "");
        self.known.range(from..).take_while(move |(key, _)| key.name() == name).map(|(_, agent)| agent)
    }

    /// Pulls of an agent that are in memory.
    pub(super) fn pulls(&self, key: &AgentKey) -> usize {
        self.known.get(key).map_or(0, |agent| agent.pulls)
    }

    /// Layers of an agent's pulls that are in memory.
    pub(super) fn layers(&self, key: &AgentKey) -> usize {
        self.known.get(key).map_or(0, |agent| agent.layers)
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Of the agents with pulls that ended, the one with the most pulls.
    pub(super) fn most_crowded(&self) -> Option<&AgentKey> {
        self.known.iter().filter(|(_, agent)| !agent.ended.is_empty()).max_by_key(|(_, agent)| agent.pulls).map(|(key, _)| key)
    }

    pub(super) fn oldest_ended(&self, key: &AgentKey) -> Option<PullId> {
        self.known.get(key)?.ended.first().map(|(_, id)| *id)
    }

    pub(super) fn link(&mut self, entry: &Entry) {
        if let Some(agent) = self.known.get_mut(&entry.agent) {
            if entry.pull.ending.is_none() {
                agent.open.insert(entry.pull.id);
            }
            if let Some(at) = entry.ended_at() {
                agent.ended.insert((at, entry.pull.id));
            }
            agent.pulls += 1;
            agent.layers += entry.layers.len();
            agent.stale += usize::from(entry.standing == Standing::Stale);
        }
    }

    pub(super) fn unlink(&mut self, entry: &Entry) {
        if let Some(agent) = self.known.get_mut(&entry.agent) {
            agent.open.remove(&entry.pull.id);
            if let Some(at) = entry.ended_at() {
                agent.ended.remove(&(at, entry.pull.id));
            }
            agent.pulls -= 1;
            agent.layers -= entry.layers.len();
            agent.stale -= usize::from(entry.standing == Standing::Stale);
        }
    }

    /// One for each agent, and for each node of which only a command told.
    pub(super) fn statuses(&self) -> Vec<NodeStatus> {
        let status = |(key, agent): (&AgentKey, &Agent)| {
            let report = agent.report.as_ref().map(|(report, _)| report);
            let by_command = report.is_none() && !key.is_lister();
            if by_command && self.named(key.name()).any(|agent| agent.report.is_some()) {
                return None;
            }
            let connected = agent.presence == Presence::Connected;
            // Without a pull nobody looks at the node.
            let host = if connected && !agent.open.is_empty() { HostStatus::of(&agent.host) } else { None };
            let status = NodeStatus::of(&agent.node, report, agent.heard, connected, agent.skew.offset());
            Some(NodeStatus { host, delay: agent.delay, unmissed: by_command, ..status })
        };
        self.known.iter().filter_map(status).collect()
    }
}
