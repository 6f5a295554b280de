//! The collector's mind: folds what agents report into what is known about every pull, and says what changed.
//!
//! Reports may come late, doubled, out of order or never: the highest sequence wins, an outcome is final (except `lost`), bytes never fall,
//! and an agent that falls silent makes its pulls stale and then lost, by the collector's clock alone. Everything is bounded by [`Limits`].
//! It refuses to know where reports come from ([`crate::wire`]) and how they look outside ([`status`] holds those views).

mod agents;
mod classify;
mod entry;
mod host;
mod layers;
mod limits;
mod listed;
mod pods;
mod relate;
mod room;
mod sighting;
mod skew;
pub mod status;
mod story;
mod tally;
mod timing;
mod view;
mod waits;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use self::{
    agents::{AgentKey, Agents, Word},
    entry::{Entry, Said, Standing},
    layers::Blobs,
    listed::Listers,
    pods::Pods,
    room::Room,
    status::{NodeStatus, PullStatus},
    waits::Waits,
};
pub use self::{
    classify::classify,
    host::{HostStatus, PressureStatus},
    limits::{
        HEARTBEAT, HISTORY_TTL, LOST_AFTER, Limits, MAX_LAYERS, MAX_LAYERS_PER_NODE, MAX_NODES, MAX_PULLS, MAX_PULLS_PER_NODE,
        SILENT_AFTER, UNTOLD_AFTER,
    },
    listed::{Listed, ListedLayer, Listing, MAX_LISTED_LAYERS},
    pods::{ContainerStatus, MAX_PODS, MAX_PODS_PER_NODE, PodRef, PodStatus, QueueStatus, WaitOver},
    sighting::{ContainerKind, ContainerSeen, EventKind, KubeletEvent, PodKey, PodSeen, Sighting, Waiting, Workload},
    story::{Attempt, MAX_ATTEMPTS, Moment, Past, What, Whom, attempts, timeline},
    tally::Tally,
    timing::phase_durations,
    view::{LayerChange, PullView},
};
use crate::{
    explain::Hearing,
    image::Digest,
    pull::{Ending, NodeName, NodeReport, Outcome, Pull, PullId, Report, Wait},
    time::Timestamp,
};

/// A sentence that speaks of time is said anew this often while nothing else changes.
const SAY_AGAIN: Duration = Duration::from_secs(5);

/// What a board is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The state of one pull.
    Pull(Box<Report>),
    /// An agent's word about itself.
    Node(Box<NodeReport>),
    /// Everything that an agent of another make sees on its node.
    Listing(Box<Listing>),
    /// Something that was seen of the cluster's pods and nodes.
    Sighting(Sighting),
}

/// Something about one pull became different. Its present state is asked for by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What became different.
    pub kind: ChangeKind,
    /// Of which pull.
    pub id: PullId,
}

/// What became different about a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It was seen for the first time.
    Started,
    /// Anything else: bytes, phase, wait, staleness, the sentence; or it turned out not to be lost.
    Progress,
    /// It ended ready.
    Completed,
    /// It ended failed, canceled or lost.
    Failed,
    /// It left memory.
    Removed,
}

/// How often the board said no, and what it forgot, since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Reports that changed something, or confirmed that an agent is there.
    pub accepted: u64,
    /// Reports with a sequence that was known already.
    pub refused_stale: u64,
    /// Reports about a pull whose outcome is final.
    pub refused_final: u64,
    /// Reports about a pull of another node.
    pub refused_foreign: u64,
    /// Reports about new pulls or nodes for which no memory was left.
    pub refused_capacity: u64,
    /// Lists of a node that has an agent of ours.
    pub refused_other_agent: u64,
    /// Pulls that were forgotten because their history was over.
    pub evicted_ttl: u64,
    /// Pulls that were forgotten to make room.
    pub evicted_capacity: u64,
}

/// What is known about all pulls of a cluster. See the module's documentation for its rules.
#[derive(Debug, Default)]
pub struct Board {
    limits: Limits,
    /// Shared with whoever looks at them.
    pulls: BTreeMap<PullId, Arc<Entry>>,
    blobs: Blobs,
    /// Layers of all pulls.
    layers: usize,
    /// Agents for whose new pulls there was no room.
    crowded: BTreeSet<AgentKey>,
    /// Ended pulls by the time at which that became known.
    ended: BTreeSet<(Timestamp, PullId)>,
    /// Pulls that run, by when they began.
    running: BTreeSet<(Timestamp, PullId)>,
    agents: Agents,
    tally: Tally,
    counts: Counts,
    pods: Pods,
    waits: Waits,
    /// Pulls that only a kubelet tells of, by node.
    coarse: BTreeMap<NodeName, BTreeSet<PullId>>,
    /// Agents that send lists.
    listers: Listers,
    /// Nodes whose agent gets time to speak, and until when.
    recheck: BTreeMap<NodeName, Timestamp>,
    say_again_at: Timestamp,
    /// Bounded by what one call can change; whoever calls drains it before the next call.
    changes: VecDeque<Change>,
}

impl Board {
    /// An empty board with these bounds.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes in one report, which arrived `now` by the collector's clock.
    pub fn observe(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Pull(report) => self.observe_pull(*report, now),
            Input::Node(report) => self.observe_node(*report, now),
            Input::Listing(listing) => self.observe_listing(*listing, now),
            Input::Sighting(sighting) => self.observe_sighting(sighting, now),
        }
    }

    /// Lets time pass: agents fall silent, pulls are lost, history ends, sentences age.
    pub fn tick(&mut self, now: Timestamp) {
        self.expire(now);
        self.pods.expire(self.limits.history, now);
        self.recheck(now);
        self.give_up_waits(now);
        while let Some((key, word)) = self.agents.overdue(now) {
            match word {
                Word::Silent => {
                    self.each_open(&key, now, |entry| matches!(entry.standing, Standing::Current).then_some(Standing::Stale))
                }
                Word::Gone { at } => {
                    self.each_open(&key, now, |entry| entry.is_running().then_some(Standing::Lost { at, silent: true }))
                }
                Word::Forgotten => _ = self.listers.remove(key.name()),
                Word::Remembered => {}
            }
        }
        if now >= self.say_again_at {
            self.say_again_at = now + SAY_AGAIN;
            self.say_again(now);
        }
    }

    /// The next change, oldest first; `None` when all were taken.
    pub fn poll(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When [`Board::tick`] has something to do next; `None` while nothing is awaited.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let expiry = self.ended.first().map(|(at, _)| *at + self.limits.history);
        let again = (!self.running.is_empty()).then_some(self.say_again_at);
        let pods = self.pods.next_deadline(self.limits.history);
        let recheck = self.recheck.values().min().copied();
        [expiry, self.agents.next_deadline(), again, pods, recheck, self.waits.next_deadline()].into_iter().flatten().min()
    }

    /// One pull as it is now; `None` if it is not in memory.
    pub fn view(&self, id: PullId) -> Option<PullView> {
        self.pulls.get(&id).cloned().map(PullView)
    }

    /// How one pull looks from outside; `None` if it is not in memory.
    pub fn status(&self, id: PullId) -> Option<PullStatus> {
        Some(self.view(id)?.status())
    }

    /// The state that counts of one pull: as reported, but lost if that was concluded here.
    pub fn pull(&self, id: PullId) -> Option<Pull> {
        self.pulls.get(&id).map(|entry| entry.shown().into_owned())
    }

    /// Every pull in memory.
    pub fn ids(&self) -> impl Iterator<Item = PullId> + '_ {
        self.pulls.keys().copied()
    }

    /// Those of the `most` pulls that began first that have been running for `age` or longer by the clocks of their nodes, longest first.
    pub fn long_running(&self, most: usize, age: Duration, now: Timestamp) -> impl Iterator<Item = PullId> {
        let long =
            move |id: PullId| self.pulls.get(&id).is_some_and(|entry| entry.node_time(now).since(entry.pull.started_at) >= age);
        self.running.iter().take(most).map(|(_, id)| *id).filter(move |id| long(*id))
    }

    /// How many pulls are in memory.
    pub fn len(&self) -> usize {
        self.pulls.len()
    }

    /// Whether no pull is in memory.
    pub fn is_empty(&self) -> bool {
        self.pulls.is_empty()
    }

    /// The nodes whose agents are known, by name.
    pub fn nodes(&self) -> Vec<NodeStatus> {
        let mut nodes = self.agents.statuses();
        for node in nodes.iter_mut().filter(|node| !node.connected) {
            node.unmissed |= self.pods.is_without(&node.name);
        }
        nodes
    }

    /// Whether the node had the image of this pull before, from a pull that is still remembered.
    pub fn had_image(&self, id: PullId) -> bool {
        let Some(Entry { node, pull, .. }) = self.pulls.get(&id).map(AsRef::as_ref) else { return false };
        let ready = |ending: &Ending| ending.outcome == Outcome::Ready && ending.at <= pull.started_at;
        let had = |other: &Pull| other.digest == pull.digest && other.ending.as_ref().is_some_and(ready);
        pull.digest.is_some() && self.pulls_on(&node.name).into_iter().any(had)
    }

    /// Agents that were heard of within three heartbeats.
    pub fn connected(&self) -> usize {
        self.agents.connected()
    }

    /// The pulls that run now, counted.
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// What was refused and forgotten so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn observe_pull(&mut self, report: Report, now: Timestamp) {
        let id = report.pull.id;
        // Most reports are of a pull and a node that are known as they are.
        let spoke = self.pulls.get(&id).filter(|entry| *entry.node == *report.node);
        let key = spoke.map_or_else(|| AgentKey::of(&report.node), |entry| entry.agent.clone());
        if !self.hear(&key, &report, now) {
            self.counts.refused_capacity += 1;
            return;
        }
        let known = self.pulls.get(&id);
        if known.is_some_and(|entry| entry.node.name != report.node.name) {
            self.counts.refused_foreign += 1;
        } else if known.is_some_and(|entry| entry.pull.sequence >= report.pull.sequence) {
            self.counts.refused_stale += 1;
        } else if known.is_some_and(|entry| entry.is_final()) {
            self.counts.refused_final += 1;
        } else if !self.make_room(&key, Room::of(known.map(AsRef::as_ref), &report.pull)) {
            self.counts.refused_capacity += 1;
        } else {
            self.counts.accepted += 1;
            let is_news = self.pulls.get(&id).is_none_or(|before| {
                report.pull.ending.is_some() || before.pull.image != report.pull.image || before.pull.digest != report.pull.digest
            });
            let node = report.node.clone();
            self.agents.take_host(&key, report.pull.host);
            self.put(Entry::new(report, key, now), now);
            if is_news && (self.pods.knows(&node.name) || self.coarse.contains_key(&node.name)) {
                self.relate(&node.name, now);
            }
        }
    }

    fn observe_node(&mut self, report: NodeReport, now: Timestamp) {
        let key = AgentKey::of(&report.node);
        // After an outage the first word may come before the outcomes that waited with it: then nothing is given up yet.
        let after_outage = self.agents.silence(&key, now) > HEARTBEAT + UNTOLD_AFTER;
        let active = usize::try_from(report.active_pulls).ok().filter(|_| !after_outage).unwrap_or(usize::MAX);
        let knows_its_pulls = report.runtime_reachable;
        let delay = now.since(report.observed_at);
        if self.agents.hear(&key, &report.node, delay, self.limits.nodes, now).is_none() {
            self.counts.refused_capacity += 1;
            return;
        }
        self.counts.accepted += 1;
        self.withdraw_lists(&report.node.name);
        self.agents.take_report(&key, report, now);
        if knows_its_pulls {
            self.reconcile(&key, active, now);
        }
    }

    /// Notes that an agent spoke, which makes its stale pulls current; `false` if there is no room for one more agent.
    fn hear(&mut self, key: &AgentKey, report: &Report, now: Timestamp) -> bool {
        let delay = now.since(report.pull.observed_at);
        let Some(has_stale) = self.agents.hear(key, &report.node, delay, self.limits.nodes, now) else { return false };
        if has_stale {
            self.each_open(key, now, |entry| matches!(entry.standing, Standing::Stale).then_some(Standing::Current));
        }
        self.withdraw_lists(&report.node.name);
        true
    }

    /// Compares how many pulls an agent says to watch with those that are open here. Where it knows of fewer, those that were not
    /// reported for longest, and not within [`UNTOLD_AFTER`], are lost: the agent was restarted and they ended meanwhile. The others hold.
    fn reconcile(&mut self, key: &AgentKey, active: usize, now: Timestamp) {
        let mut open: Vec<_> = self.agents.open(key).filter_map(|id| Some((self.pulls.get(&id)?.heard, id))).collect();
        open.sort_unstable();
        let surplus: BTreeSet<PullId> = open
            .iter()
            .take(open.len().saturating_sub(active))
            .filter(|(heard, _)| now.since(*heard) >= UNTOLD_AFTER)
            .map(|(_, id)| *id)
            .collect();
        self.each_open(key, now, |entry| match (surplus.contains(&entry.pull.id), entry.standing) {
            (true, Standing::Current | Standing::Stale) => Some(Standing::Lost { at: now, silent: false }),
            (true, Standing::Lost { .. } | Standing::Ended { .. }) | (false, Standing::Current | Standing::Ended { .. }) => None,
            (false, Standing::Stale | Standing::Lost { .. }) => Some(Standing::Current),
        });
    }

    /// Gives every open pull of an agent the standing that `next` wants for it, if any.
    fn each_open(&mut self, key: &AgentKey, now: Timestamp, next: impl Fn(&Entry) -> Option<Standing>) {
        let open: Vec<_> = self.agents.open(key).collect();
        for id in open {
            let Some(before) = self.pulls.get(&id) else { continue };
            let Some(standing) = next(before) else { continue };
            let after = Entry { standing, ..Entry::clone(before) };
            self.put(after, now);
        }
    }

    /// Words the sentences anew that may speak of time. What was worded lately, as it was reported, has its turn the next time.
    fn say_again(&mut self, now: Timestamp) {
        let aged = |id: &PullId| self.pulls.get(id).is_some_and(|entry| now.since(entry.said.at) >= SAY_AGAIN / 2);
        let aged: Vec<_> = self.running.iter().map(|(_, id)| *id).filter(aged).collect();
        for id in aged {
            let Some(entry) = self.pulls.get(&id) else { continue };
            let (shown, said) = (entry.shown(), self.said(entry, now));
            if entry.sentence(&shown, &said) != entry.sentence(&shown, &entry.said) {
                self.changes.push_back(Change { kind: ChangeKind::Progress, id });
                self.change(id, |entry| entry.said = said);
            }
        }
    }

    /// What the sentence about a pull speaks of beside it.
    fn said(&self, entry: &Entry, now: Timestamp) -> Said {
        let hearing = match entry.standing {
            Standing::Current if entry.known.coarse => {
                let name = &entry.node.name;
                Hearing::Secondhand { watched: self.agents.is_watched(name) && !self.listers.contains_key(name) }
            }
            Standing::Current | Standing::Ended { .. } => Hearing::Clear,
            Standing::Stale => Hearing::Silent(self.agents.silence(&entry.agent, now)),
            Standing::Lost { silent: true, .. } => Hearing::Silent(self.agents.silence(&entry.agent, now)),
            Standing::Lost { silent: false, .. } => Hearing::Forgotten,
        };
        let held = holder_of(&entry.pull).and_then(|(id, layer)| Some((self.pulls.get(&id)?, layer)));
        Said { at: now, hearing, holder: held.map(|(holder, layer)| Box::new(holder.as_holder(layer))) }
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((_, id)) = self.ended.first().copied().filter(|(at, _)| *at + self.limits.history <= now) {
            self.counts.evicted_ttl += 1;
            self.remove(id);
        }
    }

    fn remove(&mut self, id: PullId) {
        if let Some(entry) = self.pulls.remove(&id) {
            self.unlink(&entry);
            self.forget_coarse(&entry);
            self.changes.push_back(Change { kind: ChangeKind::Removed, id });
        }
    }

    /// Puts an entry in, merged with the one before it, and notes what that changed.
    fn put(&mut self, mut after: Entry, now: Timestamp) {
        let id = after.pull.id;
        let before = self.pulls.get(&id).cloned();
        if let Some(before) = &before {
            after.merge(before);
        }
        after.pack(before.as_deref(), &mut self.blobs);
        after.said = self.said(&after, now);
        if before.as_ref().is_none_or(|before| !before.stands_like(&after)) {
            if let Some(before) = &before {
                self.unlink(before);
            }
            self.link(&after);
        }
        let mut note = |kind| self.changes.push_back(Change { kind, id });
        if before.is_none() {
            note(ChangeKind::Started);
        }
        match after.ending().as_ref().map(|ending| &ending.outcome) {
            Some(Outcome::Ready) => note(ChangeKind::Completed),
            Some(Outcome::Failed(_) | Outcome::Canceled | Outcome::Lost) => note(ChangeKind::Failed),
            None if before.is_some() => note(ChangeKind::Progress),
            None => {}
        }
        self.pulls.insert(id, Arc::new(after));
    }

    /// Changes what neither counts nor decides where an entry is found. Readers keep the one that they have.
    fn change(&mut self, id: PullId, by: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.pulls.get_mut(&id) {
            by(Arc::make_mut(entry));
        }
    }

    /// Counts an entry, and notes where it is found.
    fn link(&mut self, entry: &Entry) {
        self.agents.link(entry);
        self.layers += entry.layers.len();
        match entry.ended_at() {
            Some(at) => _ = self.ended.insert((at, entry.pull.id)),
            None => {
                self.running.insert((entry.pull.started_at, entry.pull.id));
                self.count(entry, usize::saturating_add);
            }
        }
    }

    /// The reverse of [`Self::link`].
    fn unlink(&mut self, entry: &Entry) {
        self.agents.unlink(entry);
        self.layers -= entry.layers.len();
        match entry.ended_at() {
            Some(at) => _ = self.ended.remove(&(at, entry.pull.id)),
            None => {
                self.running.remove(&(entry.pull.started_at, entry.pull.id));
                self.count(entry, usize::saturating_sub);
            }
        }
    }

    fn count(&mut self, entry: &Entry, by: fn(usize, usize) -> usize) {
        self.tally.count(&entry.pull, by);
    }
}

/// The pull that holds the layer for which this one waits.
const fn holder_of(pull: &Pull) -> Option<(PullId, &Digest)> {
    match &pull.wait {
        Some(Wait::LayerLock { holder, layer, .. }) => Some((*holder, layer)),
        Some(Wait::DownloadSlot { .. } | Wait::Stalled { .. } | Wait::Retrying { .. }) | None => None,
    }
}
