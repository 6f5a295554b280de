//! One pull as it was at one moment: cheap to hold, cheap to ask for a single fact, and worded in full only when somebody reads it. Whoever
//! keeps pictures of a cluster keeps these.
//!
//! Here is also what of a pull is a number that moves all the time, and what is its shape, which changes a few times in its life. Numbers are
//! bytes, rate, estimate, finished layers and the sentence that words them; also what else the node did, which is told with the next shape.

use std::{sync::Arc, time::Duration};

use super::{
    PodRef,
    entry::{Entry, Said, Standing},
    relate::Known,
    status::PullStatus,
};
use crate::{
    image::{Digest, ImageRef},
    pull::{ErrorClass, Eta, LayerState, NodeName, Outcome, Phase, Pull, PullId, Size, Wait},
    time::Timestamp,
};

/// One pull at one moment. All clones share one.
#[derive(Clone, Debug)]
pub struct PullView(pub(super) Arc<Entry>);

/// What became different about one layer between two views of its pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerChange {
    /// Nothing.
    None,
    /// At most its bytes, and how exactly its times are known.
    Bytes,
    /// More than that.
    Shape,
}

impl PullView {
    /// Everything that is told of it.
    pub fn status(&self) -> PullStatus {
        PullStatus::of(&self.0)
    }

    /// Identity.
    pub fn id(&self) -> PullId {
        self.0.pull.id
    }

    /// Node on which it runs.
    pub fn node(&self) -> &NodeName {
        &self.0.node.name
    }

    /// containerd's namespace.
    pub fn namespace(&self) -> &str {
        &self.0.pull.namespace
    }

    /// Best known name of the image.
    pub fn image(&self) -> Option<&ImageRef> {
        self.0.pull.image.as_ref()
    }

    /// Digest that the name stands for.
    pub fn digest(&self) -> Option<&Digest> {
        self.0.pull.digest.as_ref()
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.0.pull.phase
    }

    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        self.0.pull.started_at
    }

    /// Whether it has no outcome yet.
    pub fn is_running(&self) -> bool {
        self.outcome().is_none()
    }

    /// How it ended, in a word.
    pub fn outcome(&self) -> Option<&'static str> {
        self.0.ending().map(|ending| ending.outcome.as_str())
    }

    /// When it ended.
    pub fn completed_at(&self) -> Option<Timestamp> {
        self.0.ending().map(|ending| ending.at)
    }

    /// Class and text of the error, if it failed.
    pub fn failure(&self) -> Option<(ErrorClass, String)> {
        match &self.0.ending()?.outcome {
            Outcome::Failed(failure) => Some((failure.class, failure.message.clone())),
            Outcome::Ready | Outcome::Canceled | Outcome::Lost => None,
        }
    }

    /// Whether the agent is silent, so that nobody knows how far the pull is now.
    pub fn is_stale(&self) -> bool {
        self.0.standing == Standing::Stale
    }

    /// Whether no byte arrives although one should.
    pub fn is_stalled(&self) -> bool {
        matches!(self.0.wait(), Some(Wait::Stalled { .. }))
    }

    /// Bytes per second over the last seconds.
    pub fn bytes_per_sec(&self) -> Option<u64> {
        self.0.pull.bytes_per_sec.filter(|_| self.0.is_watched())
    }

    /// Estimated time to ready.
    pub fn eta(&self) -> Option<Duration> {
        self.0.pull.eta.filter(|_| self.0.is_watched()).and_then(Eta::likely)
    }

    /// The containers that wait for it, or waited.
    pub fn pods(&self) -> &[PodRef] {
        &self.0.known.relation.pods
    }

    /// Compressed size of the image's layers.
    pub fn size(&self) -> Size {
        let size = self.0.layers.iter().map(|slot| slot.size).fold(0, u64::saturating_add);
        if self.0.pull.total_known { Size::Known(size) } else { Size::AtLeast(size) }
    }

    /// Bytes that this pull fetched, and bytes that it need not fetch.
    pub fn fetched_and_cached(&self) -> (u64, u64) {
        self.0.layers.iter().fold((0, 0), |(fetched, cached): (u64, u64), slot| match slot.cached {
            true => (fetched, cached.saturating_add(slot.size)),
            false => (fetched.saturating_add(slot.fetched), cached),
        })
    }

    /// The one sentence.
    pub fn sentence(&self) -> String {
        self.0.sentence(&self.0.shown(), &self.0.said)
    }

    /// The states of its layers, base first.
    pub fn layer_states(&self) -> impl ExactSizeIterator<Item = LayerState> {
        self.0.layers.iter().map(|slot| slot.state)
    }

    /// For each layer its place in the view before, if it was in it, and what became different about it.
    pub fn layer_changes(&self, before: &Self) -> impl ExactSizeIterator<Item = Option<(usize, LayerChange)>> {
        let same_total = self.0.pull.total_known == before.0.pull.total_known;
        self.0.layers.iter().enumerate().map(move |(place, slot)| {
            let (place, was) = before.0.layers.find(place, slot.digest())?;
            let change = match (same_total && slot.is_same_but_bytes(was), slot == was) {
                (true, true) => LayerChange::None,
                (true, false) => LayerChange::Bytes,
                (false, _) => LayerChange::Shape,
            };
            Some((place, change))
        })
    }

    /// Whether two views of one pull differ in its numbers at most. Of its layers only which they are belongs to its shape, what they are to the
    /// pull, and their sizes once they are known.
    pub fn is_same_shape(&self, other: &Self) -> bool {
        let (a, b) = (&*self.0, &*other.0);
        // Everything is named, so that a new field must be sorted to one side or the other.
        let Entry { node, agent: _, pull, layers, heard: _, standing, said, known } = a;
        let Known { relation, coarse } = known;
        let Said { at: _, hearing: _, holder } = said;
        let Pull {
            id,
            sequence: _,
            namespace,
            image,
            digest,
            snapshotter: _,
            phase,
            wait,
            waits: _,
            ending,
            started_at,
            resolved_at: _,
            observed_at: _,
            total_known,
            bytes_per_sec: _,
            eta: _,
            host: _,
            layers: _,
        } = pull;
        let image_of = |said: &Said| said.holder.as_ref().map(|holder| holder.image.clone());
        // While the total is a lower bound it moves like the bytes.
        let same_layers = layers.len() == b.layers.len()
            && layers.iter().zip(b.layers.iter()).all(|(one, other)| {
                one.digest() == other.digest()
                    && (one.cached, one.lazy) == (other.cached, other.lazy)
                    && (!total_known || one.size == other.size)
            });
        same_layers
            && (id, started_at, phase, wait, ending)
                == (&b.pull.id, &b.pull.started_at, &b.pull.phase, &b.pull.wait, &b.pull.ending)
            && (namespace, image, digest, total_known) == (&b.pull.namespace, &b.pull.image, &b.pull.digest, &b.pull.total_known)
            && (standing, relation, coarse) == (&b.standing, &b.known.relation, &b.known.coarse)
            && (Arc::ptr_eq(node, &b.node) || node == &b.node)
            && (holder.is_none() && b.said.holder.is_none() || image_of(said) == image_of(&b.said))
    }
}
