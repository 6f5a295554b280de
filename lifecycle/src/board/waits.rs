//! Waits of containers that are over, on their way to whoever counts and tells them: each is given the pull it was for. The pull may become known
//! a little later than the end of the wait, because agents and kubelets are heard by different ways; for so long a wait is held.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    Board,
    pods::{SLACK, WaitOver, is_same_image},
};
use crate::{
    pull::{Node, NodeName, PullId},
    time::Timestamp,
};

/// A wait is held for so long. An agent reports within a second or two; the kubelet's own word counts after three.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most waits that are held; more are told without their pulls.
const MAX_HELD: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Waits {
    held: BTreeMap<NodeName, Vec<(Timestamp, WaitOver)>>,
    /// When something held is due, and on which node; in order.
    due: VecDeque<(Timestamp, NodeName)>,
    /// Bounded by what one call can add; whoever calls drains it before the next call.
    told: VecDeque<(WaitOver, Option<PullId>)>,
}

impl Waits {
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.due.front().map(|(at, _)| *at)
    }
}

impl Board {
    /// The wait of a container that is over, and the pull it waited for, if that is known. Each is told once.
    pub fn poll_wait(&mut self) -> Option<(WaitOver, Option<PullId>)> {
        self.waits.told.pop_front()
    }

    /// When the runtime began with a pull; `None` if only a kubelet tells of it, which knows when it asked and no more.
    pub fn began(&self, id: PullId) -> Option<Timestamp> {
        self.pulls.get(&id).filter(|entry| !entry.known.coarse).map(|entry| entry.pull.started_at)
    }

    /// The node of a pull as whoever tells of it says, and whether that is an agent.
    pub fn teller(&self, id: PullId) -> Option<(&Node, bool)> {
        self.pulls.get(&id).map(|entry| (&*entry.node, !entry.known.coarse))
    }

    /// Takes over what the pods say is over now.
    pub(super) fn take_waits(&mut self, now: Timestamp) {
        while let Some(over) = self.pods.take_over() {
            match self.pull_of(&over) {
                None if self.waits.due.len() < MAX_HELD => {
                    self.waits.due.push_back((now + PATIENCE, over.node.clone()));
                    self.waits.held.entry(over.node.clone()).or_default().push((now + PATIENCE, over));
                }
                pull => self.waits.told.push_back((over, pull)),
            }
        }
    }

    /// Tells the waits of a node whose pulls are known now.
    pub(super) fn place_waits(&mut self, node: &NodeName) {
        self.settle(node, None);
    }

    /// Tells the waits that were held for long enough.
    pub(super) fn give_up_waits(&mut self, now: Timestamp) {
        while self.waits.next_deadline().is_some_and(|at| at <= now) {
            if let Some((_, node)) = self.waits.due.pop_front() {
                self.settle(&node, Some(now));
            }
        }
    }

    fn settle(&mut self, node: &NodeName, now: Option<Timestamp>) {
        let Some(held) = self.waits.held.remove(node) else { return };
        let mut left = Vec::new();
        for (due, over) in held {
            match self.pull_of(&over) {
                None if now.is_none_or(|now| due > now) => left.push((due, over)),
                pull => self.waits.told.push_back((over, pull)),
            }
        }
        if !left.is_empty() {
            self.waits.held.insert(node.clone(), left);
        }
    }

    /// The pull for which a container waited: of the same image, and at the same time.
    fn pull_of(&self, over: &WaitOver) -> Option<PullId> {
        let image = over.image.as_ref()?;
        let pulls = self.pulls_on(&over.node).into_iter();
        let fitting = pulls.filter(|pull| {
            let ended = pull.ending.as_ref().map(|ending| ending.at);
            is_same_image(image, pull)
                && pull.started_at <= over.until + SLACK
                && ended.is_none_or(|ended| ended + SLACK >= over.asked)
        });
        fitting.max_by_key(|pull| pull.started_at).map(|pull| pull.id)
    }
}
