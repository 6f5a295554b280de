//! What earlier pulls have shown about this node: how fast it unpacks, and how its link behaves. Forgotten with the process: a few pulls
//! teach it again.

use std::time::Duration;

use super::eta::LAYER_COST;
use super::pace::{Link, as_f64};

/// Layers of fewer bytes say more about latency than about speed.
const TELLING: u64 = 1 << 20;
/// How much of what was known counts beside the next layer.
const KEPT: f64 = 0.95;
/// Compressed bytes per second of a modest disk, and how many layers' worth that counts.
const MODEST: (f64, f64) = (60e6, 0.5);
/// How much unpacking is supposed to differ from layer to layer of the same size (variance of the logarithm).
const DIFFERENT: f64 = 0.09;
/// An unpacking that took so many seconds counts half: shorter ones are not seen sharply.
const SHARP: f64 = 0.2;

/// What this node has shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Experience {
    pub(super) unpacking: Unpacking,
    pub(super) link: Link,
}

/// How fast a node unpacks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unpacking {
    /// Logarithm of compressed bytes per second.
    speed: f64,
    /// How much it counts, in layers.
    weight: f64,
    /// Variance of the logarithm from layer to layer.
    different: f64,
}

impl Default for Unpacking {
    fn default() -> Self {
        Self { speed: MODEST.0.ln(), weight: MODEST.1, different: DIFFERENT }
    }
}

impl Unpacking {
    /// Learns from the unpacking of one layer.
    pub(super) fn learn(&mut self, bytes: u64, took: Duration) {
        if bytes >= TELLING && !took.is_zero() {
            let took = (took.as_secs_f64() - LAYER_COST).max(took.as_secs_f64() / 2.0);
            let (known, new) = (self.weight * KEPT, took / (took + SHARP));
            let off = (as_f64(bytes) / took).ln() - self.speed;
            self.weight = known + new;
            self.speed += off * new / self.weight;
            // What is off because the node was not known is no difference between layers.
            let layers = off * off * known / self.weight;
            self.different += (layers.min(1.0) - self.different) * new / (self.weight + 1.0);
        }
    }

    /// How much unpacking differs from layer to layer (deviation of the logarithm).
    pub(super) fn of_layers(self) -> f64 {
        self.different.sqrt()
    }

    /// How far off the speed may be (deviation of its logarithm).
    pub(super) fn spread(self) -> f64 {
        (self.different / self.weight).sqrt()
    }

    /// Compressed bytes per second.
    pub(super) fn rate(self) -> f64 {
        self.speed.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_teaches_its_own_speed() {
        let mut node = Unpacking::default();
        (0..20).for_each(|_| node.learn(200 * TELLING, Duration::from_secs(1)));
        let seconds = as_f64(200 * TELLING) / node.rate();
        assert!((0.95..1.05).contains(&seconds), "{seconds}");
    }

    #[test]
    fn small_layers_teach_nothing() {
        let mut node = Unpacking::default();
        let before = node.rate();
        (0..20).for_each(|_| node.learn(1_000, Duration::from_secs(1)));
        assert!((node.rate() - before).abs() < 1.0);
    }
}
