//! Names that look random, as containerd makes them, from a seed: the same seed plays the same names.
//!
//! Tickets, which order those who wait, are counted here too.

use lifecycle::{image::Digest, time::Timestamp};

/// The alphabet of base64url.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A source of names.
#[derive(Debug)]
pub(super) struct Ids {
    seed: u64,
    used: u64,
}

impl Ids {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, used: 0 }
    }

    /// A number that is larger than all before.
    pub(super) const fn ticket(&mut self) -> u64 {
        self.used += 1;
        self.used
    }

    /// 64 hexadecimal digits, as sandboxes and containers are named.
    pub(super) fn hex(&mut self) -> String {
        let ticket = self.ticket();
        Digest::of(format!("{} {ticket}", self.seed).as_bytes()).encoded().to_owned()
    }

    /// The nanosecond of the second and four characters of base64url, as leases and extractions are named.
    pub(super) fn shaped(&mut self, now: Timestamp) -> String {
        let hex = self.hex();
        let part = |at: usize, digits: usize| {
            hex.get(at..at + digits).and_then(|part| usize::from_str_radix(part, 16).ok()).unwrap_or_default()
        };
        let letters: String = (0..4).map(|i| char::from(ALPHABET[part(i * 2, 2) % ALPHABET.len()])).collect();
        // Steps are milliseconds; what is below them is as good as random.
        let nanos = (now.as_nanos() + part(8, 8) as u64 % 1_000_000) % 1_000_000_000;
        format!("{nanos}-{letters}")
    }

    /// A UUID that belongs to the seed.
    pub(super) fn uuid(seed: u64) -> String {
        let hex = Self::new(seed).hex();
        let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
        format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
    }
}
