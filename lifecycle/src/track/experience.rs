//! What earlier pulls have shown about this node: how fast it unpacks, how fast bytes come to it, and whether it is the link or each
//! connection that limits them. Forgotten with the process: a few pulls teach it again.

use std::time::Duration;

use super::{eta::LAYER_COST, pace::as_f64};

/// Layers of fewer bytes say more about latency than about speed.
const TELLING: u64 = 1 << 20;
/// How much of what was known counts beside the next pull.
const KEPT: f64 = 0.8;
/// The same beside the next layer.
const KEPT_OF_LAYERS: f64 = 0.95;
/// How many seconds (by the square of the logarithm of a number of connections) count for what is supposed before anything was seen.
const SUPPOSED: f64 = 4.0;

/// What this node has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Experience {
    /// Logarithm of compressed bytes unpacked per second, and how much it counts.
    unpack: (f64, f64),
    /// Logarithm of bytes per second of whole pulls.
    link: Option<f64>,
    /// Variance of the logarithm of the rate from one stretch to the next.
    wavering: f64,
    /// How bytes grew with the number of connections.
    crowd: Crowd,
}

/// How the logarithm of bytes per second depends on the logarithm of the number of layers that were fetched at a time: the slope of a line
/// through what was seen, each number counting as many seconds as it lasted. 0 where the link limits, 1 where each connection is limited.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    together: f64,
    apart: f64,
}

impl Default for Experience {
    /// A modest disk, until the node has shown its own speed; a link that nothing is known of.
    fn default() -> Self {
        Self {
            unpack: (60e6_f64.ln(), 0.5),
            link: None,
            wavering: 0.06,
            crowd: Crowd { together: 0.2 * SUPPOSED, apart: SUPPOSED },
        }
    }
}

impl Experience {
    /// Learns from the unpacking of one layer.
    pub(super) fn unpacked(&mut self, bytes: u64, took: Duration) {
        if bytes >= TELLING && !took.is_zero() {
            let took = (took.as_secs_f64() - LAYER_COST).max(took.as_secs_f64() / 2.0);
            // A long unpacking says more than a short one, and none says everything: files differ.
            let (known, weight) = (self.unpack.0, self.unpack.1 * KEPT_OF_LAYERS);
            let new = took / (took + 1.0);
            self.unpack = ((known * weight + (as_f64(bytes) / took).ln() * new) / (weight + new), weight + new);
        }
    }

    /// Compressed bytes per second that it unpacks.
    pub(super) fn unpack_rate(self) -> f64 {
        self.unpack.0.exp()
    }

    /// Learns how much the rate of a pull wavered.
    pub(super) fn wavered(&mut self, variance: f64) {
        self.wavering = self.wavering * 0.5 + variance * 0.5;
    }

    /// How much a rate wavers before anything was seen of it.
    pub(super) const fn wavering(self) -> f64 {
        self.wavering
    }

    /// Learns from a whole pull that so many bytes came in so many seconds.
    pub(super) fn fetched(&mut self, seconds: f64, bytes: f64) {
        if seconds >= 2.0 && bytes >= as_f64(4 * TELLING) {
            let seen = (bytes / seconds).ln();
            self.link = Some(self.link.map_or(seen, |known| known * 0.5 + seen * 0.5));
        }
    }

    /// Bytes per second that came with the last pulls.
    pub(super) fn link_rate(self) -> Option<f64> {
        self.link.map(f64::exp)
    }

    /// Learns from a pull how many seconds it fetched so many layers at a time, and how many bytes came in them.
    pub(super) fn shared(&mut self, by_count: &[(f64, f64)]) {
        let points = by_count.iter().enumerate().filter(|(n, (seconds, bytes))| *n > 0 && *seconds >= 1.0 && *bytes > 0.0);
        let points: Vec<_> =
            points.map(|(n, (seconds, bytes))| (as_f64(n as u64).ln(), (bytes / seconds).ln(), *seconds)).collect();
        let weight: f64 = points.iter().map(|(.., seconds)| seconds).sum();
        let mean = |of: fn(&(f64, f64, f64)) -> f64| points.iter().map(|p| of(p) * p.2).sum::<f64>() / weight.max(1.0);
        let (count, rate) = (mean(|p| p.0), mean(|p| p.1));
        let together: f64 = points.iter().map(|p| (p.0 - count) * (p.1 - rate) * p.2).sum();
        let apart: f64 = points.iter().map(|p| (p.0 - count).powi(2) * p.2).sum();
        self.crowd = Crowd { together: self.crowd.together * KEPT + together, apart: self.crowd.apart * KEPT + apart };
    }

    /// Who limits: 0 the link, 1 each connection.
    pub(super) fn sharing(self) -> f64 {
        (self.crowd.together / self.crowd.apart.max(1e-3)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_teaches_its_own_speed() {
        let mut node = Experience::default();
        (0..20).for_each(|_| node.unpacked(200 * TELLING, Duration::from_secs(1)));
        let seconds = as_f64(200 * TELLING) / node.unpack_rate();
        assert!((0.95..1.05).contains(&seconds), "{seconds}");
    }

    #[test]
    fn small_layers_teach_nothing() {
        let mut node = Experience::default();
        let before = node.unpack_rate();
        (0..20).for_each(|_| node.unpacked(1_000, Duration::from_secs(1)));
        assert!((node.unpack_rate() - before).abs() < 1.0);
    }
}
