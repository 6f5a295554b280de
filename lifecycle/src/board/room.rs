//! Who may take how much memory. A node that reaches its own bounds forgets its own ended pulls; where all nodes together reach theirs, room
//! is made where most is taken. So a node that tells of more than it may, however much, takes no other's place.

use super::{Board, agents::AgentKey, entry::Entry};
use crate::pull::{NodeName, Pull, PullId};

/// What a report needs beyond what is in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pulls: usize,
    layers: usize,
}

impl Room {
    /// That of a pull without layers.
    pub(super) const PULL: Self = Self { pulls: 1, layers: 0 };

    /// That of a pull of which this is known.
    pub(super) fn of(known: Option<&Entry>, pull: &Pull) -> Self {
        let layers = known.map_or(0, |entry| entry.layers.len());
        Self { pulls: usize::from(known.is_none()), layers: pull.layers.len().saturating_sub(layers) }
    }
}

impl Board {
    /// The nodes of which no new pull is taken for now: so many of theirs are running.
    pub fn crowded(&mut self) -> impl Iterator<Item = &NodeName> {
        let (agents, limits) = (&self.agents, self.limits);
        self.crowded.retain(|key| {
            let full = agents.pulls(key) >= limits.pulls_per_node || agents.layers(key) >= limits.layers_per_node;
            full && agents.oldest_ended(key).is_none()
        });
        self.crowded.iter().map(AgentKey::name)
    }

    /// Whether so much more of this agent may be taken in, at the price of forgetting ended pulls where a bound is reached.
    pub(super) fn make_room(&mut self, key: &AgentKey, room: Room) -> bool {
        if room.pulls == 0 && room.layers == 0 {
            return true;
        }
        loop {
            let of_node = self.agents.pulls(key) + room.pulls > self.limits.pulls_per_node
                || self.agents.layers(key) + room.layers > self.limits.layers_per_node;
            let of_all = self.pulls.len() + room.pulls > self.limits.pulls || self.layers + room.layers > self.limits.layers;
            if !of_node && !of_all {
                return true;
            }
            let victim = if of_node { self.agents.oldest_ended(key) } else { self.spare(key) };
            let Some(id) = victim else {
                if of_node {
                    self.crowded.insert(key.clone());
                }
                return false;
            };
            self.counts.evicted_capacity += 1;
            self.remove(id);
        }
    }

    /// The ended pull that goes when all of memory is taken: the oldest of the agent itself if it has more than its share, else of the one
    /// that has most.
    fn spare(&self, key: &AgentKey) -> Option<PullId> {
        let share = self.limits.pulls / self.agents.len().max(1);
        let own = (self.agents.pulls(key) > share).then(|| self.agents.oldest_ended(key)).flatten();
        let of_most = || self.agents.oldest_ended(self.agents.most_crowded()?);
        own.or_else(of_most).or_else(|| self.ended.first().map(|(_, id)| *id))
    }
}
