//! What earlier pulls have shown about this node: how fast it unpacks, how fast bytes come to it, and whether it is the link or each
//! connection that limits them. Forgotten with the process: a few pulls teach it again.

use std::time::Duration;

use super::pace::as_f64;

/// Layers of fewer bytes say more about latency than about speed.
const TELLING: u64 = 1 << 20;
/// How much of what was known counts beside the next layer or pull.
const KEPT: f64 = 0.8;

/// What this node has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Experience {
    /// Compressed bytes that were unpacked, and the seconds it took; older ones count less.
    unpacked: (f64, f64),
    /// Logarithm of bytes per second of whole pulls.
    link: Option<f64>,
    /// Who limits: 0 the link, 1 each connection.
    sharing: f64,
}

impl Default for Experience {
    /// A modest disk, until the node has shown its own speed; a link that nothing is known of.
    fn default() -> Self {
        Self { unpacked: (30e6, 0.5), link: None, sharing: 0.3 }
    }
}

impl Experience {
    /// Learns from the unpacking of one layer.
    pub(super) fn unpacked(&mut self, bytes: u64, took: Duration) {
        if bytes >= TELLING && !took.is_zero() {
            let (known, seconds) = self.unpacked;
            self.unpacked = (known * KEPT + as_f64(bytes), seconds * KEPT + took.as_secs_f64());
        }
    }

    /// Compressed bytes per second that it unpacks.
    pub(super) fn unpack_rate(self) -> f64 {
        self.unpacked.0 / self.unpacked.1
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

    /// Who limits: 0 the link, 1 each connection.
    pub(super) const fn sharing(self) -> f64 {
        self.sharing
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
