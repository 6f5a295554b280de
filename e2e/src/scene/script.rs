//! One pull as it is written down, and its state at any time after it began: pure arithmetic, so that a scene can begin in the middle of
//! a story that is minutes old. Layers come one after the other; the agents of a faithful scene know better.

/// How a pull ends.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Everything is there.
    Ready,
    /// It fails.
    Failed {
        /// The error class of the contract.
        class: &'static str,
        /// What the registry or the runtime says.
        message: &'static str,
        /// After which share of what is to be fetched.
        after: f64,
    },
}

/// The link stands still.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// After which share of what is to be fetched.
    pub after: f64,
    /// For how long, seconds.
    pub lasts: f64,
}

/// What the node's disk does while a pull runs, percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Share of time in which it is busy.
    pub busy: u64,
    /// Share of time in which some task waits for it.
    pub some: u64,
    /// Share of time in which all tasks wait for it.
    pub full: u64,
}

/// Which pod waits for a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodOf {
    /// Namespace and Deployment.
    pub workload: (&'static str, &'static str),
    /// The pod's name without its round; one pod for each round.
    pub name: String,
}

/// One pull of one node, as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// Where.
    pub node: String,
    /// What: with registry and tag.
    pub image: String,
    /// When it begins, seconds after the scene did.
    pub at: f64,
    /// It begins again so many seconds later; none: it happens once.
    pub every: Option<f64>,
    /// Compressed sizes of the layers, bytes, lowest first.
    pub layers: Vec<u64>,
    /// So many of them, from below, are there already.
    pub cached: usize,
    /// How long the registry takes to say what the tag means, seconds.
    pub resolve: f64,
    /// What the link gives, bytes per second.
    pub rate: f64,
    /// How long unpacking goes on after the last byte, seconds.
    pub unpack: f64,
    /// Where the link stands still.
    pub stall: Option<Stall>,
    /// What the disk does meanwhile.
    pub disk: Disk,
    /// How it ends.
    pub end: End,
    /// Who waits for it.
    pub pod: Option<PodOf>,
}

/// Where a pull stands.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// resolving, downloading or unpacking.
    pub phase: &'static str,
    /// Bytes that came.
    pub fetched: u64,
    /// Since when no byte comes, seconds after the begin.
    pub stalled_since: Option<f64>,
    /// When it ended, seconds after the begin.
    pub ended: Option<f64>,
}

impl Script {
    /// An image of four layers over a link of 20 MB/s: ready in about ten seconds, and again after 30.
    #[must_use]
    pub fn usual(node: &str, image: &str) -> Self {
        Self {
            node: node.to_owned(),
            image: image.to_owned(),
            at: 0.0,
            every: Some(30.0),
            layers: vec![28 << 20, 90 << 20, 4 << 20, 12 << 20],
            cached: 0,
            resolve: 0.3,
            rate: 20e6,
            unpack: 2.5,
            stall: None,
            disk: Disk { busy: 12, some: 4, full: 1 },
            end: End::Ready,
            pod: None,
        }
    }

    /// What is to be fetched, bytes.
    #[must_use]
    pub fn to_fetch(&self) -> u64 {
        self.layers.iter().skip(self.cached).sum()
    }

    /// How long it takes from begin to end, seconds.
    #[must_use]
    pub fn lasts(&self) -> f64 {
        match self.end {
            End::Ready => self.when(self.to_fetch() as f64) + self.unpack,
            End::Failed { after, .. } => self.when(after * self.to_fetch() as f64),
        }
    }

    /// When so many bytes have come, seconds after the begin.
    #[must_use]
    pub fn when(&self, bytes: f64) -> f64 {
        let stood = self.stall.filter(|stall| bytes > stall.after * self.to_fetch() as f64).map_or(0.0, |stall| stall.lasts);
        self.resolve + bytes / self.rate + stood
    }

    /// Where it stands so many seconds after its begin.
    #[must_use]
    pub fn state(&self, after: f64) -> State {
        let lasts = self.lasts();
        let now = after.min(lasts);
        let stall_at = self.stall.map(|stall| (self.resolve + stall.after * self.to_fetch() as f64 / self.rate, stall.lasts));
        let stalled_since = stall_at.filter(|(from, lasts)| (*from..from + lasts).contains(&now)).map(|(from, _)| from);
        let stood = stall_at.map_or(0.0, |(from, lasts)| (now - from).clamp(0.0, lasts));
        let fetched = ((now - self.resolve - stood) * self.rate).clamp(0.0, self.to_fetch() as f64);
        let fetched = whole(fetched);
        let phase = match (now < self.resolve, fetched < self.to_fetch()) {
            (true, _) => "resolving",
            (false, true) => "downloading",
            (false, false) => "unpacking",
        };
        State { phase, fetched, stalled_since, ended: (after >= lasts).then_some(lasts) }
    }
}

/// The whole number next to one that is not negative and far below 2^53.
#[expect(clippy::cast_possible_truncation, reason = "it was rounded, and such numbers are whole in both types")]
pub(super) fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull() -> Script {
        let stall = Some(Stall { after: 0.5, lasts: 10.0 });
        Script { layers: vec![100, 100], cached: 1, resolve: 1.0, rate: 10.0, unpack: 2.0, stall, ..Script::usual("n", "r/i:1") }
    }

    #[test]
    fn a_pull_goes_through_its_phases_and_ends_with_all_its_bytes() {
        let pull = pull();
        assert_eq!(pull.lasts(), 23.0);
        let told = [0.5, 3.0, 8.0, 20.0, 22.0, 30.0].map(|after| {
            let State { phase, fetched, stalled_since, ended } = pull.state(after);
            (phase, fetched, stalled_since, ended)
        });
        assert_eq!(
            told,
            [
                ("resolving", 0, None, None),
                ("downloading", 20, None, None),
                ("downloading", 50, Some(6.0), None),
                ("downloading", 90, None, None),
                ("unpacking", 100, None, None),
                ("unpacking", 100, None, Some(23.0)),
            ]
        );
    }

    #[test]
    fn a_pull_that_fails_never_has_more_than_the_share_after_which_it_does() {
        let end = End::Failed { class: "no_space", message: "full", after: 0.3 };
        let pull = Script { end, ..pull() };
        let state = pull.state(1e9);
        assert_eq!((state.phase, state.fetched, state.ended), ("downloading", 30, Some(4.0)));
    }
}
