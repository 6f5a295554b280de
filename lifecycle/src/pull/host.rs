//! What else the node did while a pull ran: how full its network and its disk were, and how short it was of memory. Facts that explain
//! slowness; what they mean is said by [`crate::explain`]. Each is absent where it is not known.

/// The node's load during the last seconds, beside the pull that it is told with: everything on the node counts, not this pull alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Bytes per second that the node's network cards received, all together.
    pub network_rate: Option<u64>,
    /// Bytes per second that their links carry, all together; known only if every link that is up says its speed.
    pub network_limit: Option<u64>,
    /// Share of time in which the disk below containerd's folder had something to do.
    pub disk_busy: Option<Percent>,
    /// How far tasks waited for disks.
    pub io: Option<Pressure>,
    /// How far tasks waited for memory.
    pub memory: Option<Pressure>,
    /// Share of time in which some task waited for a processor.
    pub cpu: Option<Percent>,
}

/// The kernel's pressure stall information over the last ten seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Share of time in which at least one task waited.
    pub some: Percent,
    /// Share of time in which all tasks that had something to do waited.
    pub full: Percent,
}

/// A share in whole percent, 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Host {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Percent {
    /// Everything.
    pub const ALL: Self = Self(100);

    /// This share; `None` beyond 100.
    pub fn new(percent: u64) -> Option<Self> {
        u8::try_from(percent).ok().filter(|percent| *percent <= 100).map(Self)
    }

    /// `part` of `whole`, rounded down, at most all of it; `None` of nothing.
    pub fn of(part: u64, whole: u64) -> Option<Self> {
        let percent = (u128::from(part) * 100).checked_div(u128::from(whole))?;
        Some(u8::try_from(percent).ok().map_or(Self::ALL, |percent| Self(percent.min(100))))
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lies_between_nothing_and_everything() {
        assert_eq!(Percent::new(100), Some(Percent::ALL));
        assert_eq!(Percent::new(101), None);
        assert_eq!(Percent::of(1, 3).map(Percent::get), Some(33));
        assert_eq!(Percent::of(u64::MAX, 1), Some(Percent::ALL));
        assert_eq!(Percent::of(1, 0), None);
    }
}
