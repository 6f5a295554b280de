//! The pulls that run, counted: by phase, and by what holds them up. A word for that is given only where it is clear.

use crate::{
    explain::Strain,
    pull::{Phase, Pull, Wait},
};

/// The pulls that run now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub running: usize,
    /// Those of which no byte arrives although one should.
    pub stalled: usize,
    /// By phase, in the order of [`Phase::ALL`].
    pub in_phase: [usize; Phase::ALL.len()],
    /// Those that are clearly held up, in the order of [`Tally::HELD_UP`].
    pub held_up: [usize; Self::HELD_UP.len()],
}

impl Tally {
    /// The words for what may hold a pull up: the kubelet's queue, what it waits for in the runtime, the node itself.
    pub const HELD_UP: [&str; 8] = [QUEUE, "download_slot", "layer_lock", "stalled", "retrying", "network", "memory", "disk"];

    /// Counts a pull in or out.
    pub(super) fn count(&mut self, pull: &Pull, by: fn(usize, usize) -> usize) {
        self.running = by(self.running, 1);
        self.stalled = by(self.stalled, usize::from(matches!(pull.wait, Some(Wait::Stalled { .. }))));
        self.in_phase[pull.phase as usize] = by(self.in_phase[pull.phase as usize], 1);
        let at = held_up(pull).and_then(|word| Self::HELD_UP.iter().position(|known| *known == word));
        if let Some(count) = at.and_then(|at| self.held_up.get_mut(at)) {
            *count = by(*count, 1);
        }
    }
}

const QUEUE: &str = "queue";

/// First what the pull itself waits for, then the load of its node.
fn held_up(pull: &Pull) -> Option<&'static str> {
    match (pull.phase, &pull.wait) {
        (Phase::Queued, _) => Some(QUEUE),
        (_, Some(wait)) => Some(wait.as_str()),
        (_, None) => Strain::on(pull).map(Strain::as_str),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_for_a_hold_up_is_counted() {
        let strains = [Strain::Network, Strain::Memory, Strain::Disk].map(Strain::as_str);
        assert!(Wait::WORDS.into_iter().chain(strains).chain([QUEUE]).all(|word| Tally::HELD_UP.contains(&word)));
        assert_eq!(Tally::HELD_UP.len(), Wait::WORDS.len() + strains.len() + 1);
    }
}
