//! What an image pull is: identity, phases, waits, outcomes, layers and their bytes.
//!
//! A [`Report`] is the whole present state of one pull, never a delta, so late, lost, doubled or reordered reports do no harm.
//! These are plain values with the arithmetic that every surface must agree on; who fills them is [`crate::track`].

mod ending;
mod eta;
mod host;
mod id;
mod layer;
mod node;
mod state;

use std::{sync::Arc, time::Duration};

#[expect(clippy::module_name_repetitions, reason = "an id alone would say nothing where it is used")]
pub use self::id::{ParsePullIdError, PullId, SpanId};
pub use self::{
    ending::{Ending, ErrorClass, Failure, Outcome},
    eta::Eta,
    host::{Host, Percent, Pressure},
    layer::{Interval, Layer, LayerState},
    node::{MAX_QUEUED_IMAGES, Node, NodeName, NodeReport, ParseNodeNameError},
    state::{MAX_WAITS, Phase, TimingSource, UnknownWordError, Wait, Waited},
};
use crate::{
    image::{Digest, ImageRef},
    time::Timestamp,
};

/// A number of bytes that may be only a lower bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Exactly so many bytes.
    Known(u64),
    /// So many bytes or more: the manifest has not been read.
    AtLeast(u64),
}

impl Size {
    /// The number, whichever way it is meant.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Known(bytes) | Self::AtLeast(bytes) => bytes,
        }
    }

    /// Whether the number is exact.
    pub const fn is_known(self) -> bool {
        matches!(self, Self::Known(_))
    }
}

/// The whole present state of one pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Identity, also of its trace.
    pub id: PullId,
    /// Grows with every report of this pull, also across a restart of the agent. The highest one wins.
    pub sequence: u64,
    /// containerd's namespace (`k8s.io`, `moby`, `default`, ...).
    pub namespace: String,
    /// Best known name.
    pub image: Option<ImageRef>,
    /// Digest that the name stands for: of the index, or of the manifest where there is no index.
    pub digest: Option<Digest>,
    /// Which snapshotter unpacks it; empty while unknown.
    pub snapshotter: String,
    /// How far it has come.
    pub phase: Phase,
    /// Why no byte moves, if none does.
    pub wait: Option<Wait>,
    /// Waits that are over, oldest first; at most [`MAX_WAITS`].
    pub waits: Vec<Waited>,
    /// The end, if it has one. Final, except [`Outcome::Lost`].
    pub ending: Option<Ending>,
    /// When the pull began: its lease was made.
    pub started_at: Timestamp,
    /// When manifest and config were both here.
    pub resolved_at: Option<Timestamp>,
    /// When this state was observed.
    pub observed_at: Timestamp,
    /// Whether the manifest was read, so that `layers` are all there are and their sizes are exact.
    pub total_known: bool,
    /// Bytes per second over the last seconds; `None` while nothing was measured or nothing is to come.
    pub bytes_per_sec: Option<u64>,
    /// Estimated time to ready; `None` while nothing can be said about it.
    pub eta: Option<Eta>,
    /// What else the node did meanwhile, as far as known.
    pub host: Host,
    /// The layers, base first; as far as known.
    pub layers: Vec<Layer>,
}

impl Pull {
    /// Size of the image's layers as stored in the manifest: cached plus to fetch plus lazy.
    pub fn size(&self) -> Size {
        self.qualify(self.layers.iter().map(|l| l.size))
    }

    /// Bytes that need not be fetched.
    pub fn cached_bytes(&self) -> u64 {
        sum(self.layers.iter().filter(|l| l.cached).map(|l| l.size))
    }

    /// Bytes that this pull has to fetch, those already fetched among them.
    pub fn to_fetch(&self) -> Size {
        self.qualify(self.layers.iter().filter(|l| !l.cached && !l.lazy).map(|l| l.size))
    }

    /// Bytes that this pull has fetched.
    pub fn fetched_bytes(&self) -> u64 {
        sum(self.layers.iter().filter(|l| !l.cached).map(|l| l.fetched))
    }

    /// Layers of which nothing is left to do.
    pub fn layers_done(&self) -> usize {
        self.layers.iter().filter(|l| l.is_done()).count()
    }

    /// Layers that this pull did not fetch.
    pub fn layers_cached(&self) -> usize {
        self.layers.iter().filter(|l| l.cached).count()
    }

    /// Bytes of layers that are mounted from afar: the node reads them when it needs them.
    pub fn lazy_bytes(&self) -> u64 {
        sum(self.layers.iter().filter(|l| l.lazy).map(|l| l.size))
    }

    /// Layers that are mounted from afar.
    pub fn layers_lazy(&self) -> usize {
        self.layers.iter().filter(|l| l.lazy).count()
    }

    /// Share of what is to be fetched, 0 to 100. 100 only when every byte is there, and never for a pull that ended otherwise than ready.
    ///
    /// `None` while the total is unknown, and when nothing was to be fetched by a pull that did not end well.
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits")]
    pub fn percent(&self) -> Option<f64> {
        let Size::Known(total) = self.to_fetch() else { return None };
        let ended_badly = self.ending.as_ref().is_some_and(|e| e.outcome != Outcome::Ready);
        match (total, self.fetched_bytes()) {
            (0, _) => (!ended_badly).then_some(100.0),
            (total, fetched) if fetched >= total && !ended_badly => Some(100.0),
            (total, fetched) => Some((fetched as f64 / total as f64 * 100.0).min(99.9)),
        }
    }

    /// How long it took, or has taken so far.
    pub fn duration(&self) -> Duration {
        self.ending.as_ref().map_or(self.observed_at, |e| e.at).since(self.started_at)
    }

    /// Whether the cache saved nothing, something or everything; `None` while the plan is not known.
    pub fn cache_use(&self) -> Option<CacheUse> {
        match (self.total_known, self.layers_cached()) {
            (false, _) => None,
            (true, 0) => Some(CacheUse::None),
            (true, n) if n == self.layers.len() => Some(CacheUse::Full),
            (true, _) => Some(CacheUse::Partial),
        }
    }

    fn qualify(&self, bytes: impl Iterator<Item = u64>) -> Size {
        if self.total_known { Size::Known(sum(bytes)) } else { Size::AtLeast(sum(bytes)) }
    }
}

/// How much of an image a pull found on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CacheUse {
    /// Every layer was fetched.
    None,
    /// Some layers were fetched.
    Partial,
    /// No layer was fetched.
    Full,
}

impl CacheUse {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Partial, Self::Full];

    /// The word on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Partial => "partial",
            Self::Full => "full",
        }
    }
}

/// What an agent says about one pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where the pull runs; shared by all reports of one request.
    pub node: Arc<Node>,
    /// Its whole present state.
    pub pull: Pull,
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::hex;

    fn layer(size: u64, fetched: u64, state: LayerState) -> Layer {
        Layer {
            digest: Digest::of(&size.to_be_bytes()),
            media_type: "".into(),
            size,
            fetched,
            cached: state == LayerState::Cached,
            lazy: false,
            state,
            download: Interval::default(),
            unpack: Interval::default(),
        }
    }

    fn pull(layers: Vec<Layer>) -> Pull {
        Pull {
            id: PullId::derive("uid", "k8s.io", "lease", Timestamp::from_millis(1)),
            sequence: 1,
            namespace: "k8s.io".into(),
            image: None,
            digest: None,
            snapshotter: String::new(),
            phase: Phase::Downloading,
            wait: None,
            waits: Vec::new(),
            ending: None,
            started_at: Timestamp::from_millis(1),
            resolved_at: None,
            observed_at: Timestamp::from_millis(1_001),
            total_known: true,
            bytes_per_sec: None,
            eta: None,
            host: Host::default(),
            layers,
        }
    }

    fn ended(mut pull: Pull, outcome: Outcome) -> Pull {
        pull.ending = Some(Ending { outcome, at: pull.observed_at, source: TimingSource::Poll });
        pull
    }

    #[test]
    fn the_same_lease_on_the_same_node_is_the_same_pull() {
        let at = Timestamp::from_millis(5);
        assert_eq!(PullId::derive("n", "k8s.io", "l", at), PullId::derive("n", "k8s.io", "l", at));
        assert_ne!(PullId::derive("n", "k8s.io", "l", at), PullId::derive("n", "k8s.io", "l", Timestamp::from_millis(6)));
        assert_ne!(PullId::derive("ab", "c", "l", at), PullId::derive("a", "bc", "l", at), "parts do not run together");
    }

    #[test]
    fn the_recipe_of_ids_never_changes_under_the_same_tag() {
        let id = PullId::derive("node-uid", "k8s.io", "123456789-AbCd", Timestamp::from_nanos(1_736_937_000_123_456_789));
        assert_eq!(id.to_string(), "b1df0e7fe33f3abf3d7a9212e97aebbd");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(hex(id.span("root", None).as_bytes()), "3781393b735f800f");
    }

    #[test]
    fn ids_that_are_no_trace_ids_are_refused() {
        for text in
            ["", "00000000000000000000000000000000", "4bf92f3577b34da6a3ce929d0e0e473", "+bf92f3577b34da6a3ce929d0e0e4736"]
        {
            assert!(text.parse::<PullId>().is_err(), "{text}");
        }
    }

    #[test]
    fn cached_and_to_fetch_add_up_to_the_size() {
        let pull =
            pull(vec![layer(10, 0, LayerState::Cached), layer(20, 5, LayerState::Downloading), layer(30, 30, LayerState::Ready)]);
        assert_eq!(pull.size(), Size::Known(60));
        assert_eq!((pull.cached_bytes(), pull.to_fetch().bytes(), pull.fetched_bytes()), (10, 50, 35));
        assert_eq!(pull.percent(), Some(70.0));
        assert_eq!(pull.cache_use(), Some(CacheUse::Partial));
    }

    #[test]
    fn only_a_pull_that_is_ready_or_on_its_way_shows_100_percent() {
        let full = pull(vec![layer(10, 10, LayerState::Downloaded)]);
        assert_eq!(full.percent(), Some(100.0));
        assert_eq!(ended(full.clone(), Outcome::Ready).percent(), Some(100.0));
        assert_eq!(ended(full.clone(), Outcome::Canceled).percent(), Some(99.9));
        assert_eq!(ended(full, Outcome::Lost).percent(), Some(99.9));
        assert_eq!(ended(pull(vec![]), Outcome::Canceled).percent(), None);
    }

    #[test]
    fn an_unread_manifest_makes_the_total_a_lower_bound() {
        let mut unread = pull(vec![layer(10, 10, LayerState::Downloaded)]);
        unread.total_known = false;
        assert_eq!((unread.to_fetch(), unread.percent(), unread.cache_use()), (Size::AtLeast(10), None, None));
    }

    #[test]
    fn every_word_reads_back_as_what_it_was_written_from() {
        assert!(ErrorClass::ALL.iter().all(|c| c.as_str().parse() == Ok(*c)));
        assert!(Phase::ALL.iter().all(|p| p.as_str().parse() == Ok(*p)));
        assert!(LayerState::ALL.iter().all(|s| s.as_str().parse() == Ok(*s)));
        assert!(TimingSource::ALL.iter().all(|s| s.as_str().parse() == Ok(*s)));
    }
}
