//! Chance that is the same every time: one seed decides everything (SplitMix64, Box-Muller).

/// A source of chance.
#[derive(Clone, Debug)]
pub(super) struct Luck(u64);

impl Luck {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u8) -> usize {
        usize::from(u8::try_from(self.next() % u64::from(bound)).unwrap_or(0))
    }

    /// With mean 0 and deviation 1.
    pub(super) fn normal(&mut self) -> f64 {
        let (radius, angle) = ((1.0 - self.unit()).ln() * -2.0, self.unit() * std::f64::consts::TAU);
        radius.sqrt() * angle.cos()
    }

    /// A source of its own for one purpose.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }
}
