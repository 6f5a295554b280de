//! What is remembered beside the pulls themselves, and how one pull sees the others of its node.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    seen::{ImageRecord, LeaseKey},
    watched::{Around, Watched},
};
use crate::{
    image::{Digest, ImageRef},
    pull::PullId,
    time::Timestamp,
};

/// The records of one pull are written within this time of its end: CRI adds two names behind the client's own.
pub(super) const RECORD_OF_PULL: Duration = Duration::from_secs(2);
/// The newest record that was there when a pull was judged is its end; what CRI still adds comes within this time.
pub(super) const LAST_RECORD_OF_PULL: Duration = Duration::from_millis(100);
/// Most chains whose events are remembered.
const MAX_CHAINS: usize = 8_192;

/// Most image records that are remembered by name.
const MAX_RECORDED: usize = 256;
/// CRI writes a name that is there already again within this time, behind the record by id.
const ECHO: Duration = Duration::from_secs(1);

/// What is remembered beside the pulls themselves.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When the runtime's process started, if known: leases from before it are leftovers.
    pub(super) born: Option<Timestamp>,
    /// Who brings which blob.
    pub(super) owners: BTreeMap<(String, Digest), PullId>,
    /// When which chain was prepared and committed, by event.
    pub(super) chains: BTreeMap<(String, Digest), Chain>,
    /// The newest image records by event, the newest last.
    recorded: VecDeque<Recorded>,
    /// When an image was recorded by its id last, by namespace.
    by_id: BTreeMap<String, Timestamp>,
}

/// An image record, by event.
#[derive(Debug)]
struct Recorded {
    namespace: String,
    name: ImageRef,
    at: Timestamp,
}

/// When a chain was prepared and committed.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub(super) prepared: Option<Timestamp>,
    pub(super) unpacked: Option<Timestamp>,
}

impl Chain {
    /// The last thing that happened to it.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.unpacked.max(self.prepared)
    }
}

impl Memory {
    /// Notes that an image was recorded by its id.
    pub(super) fn recorded_by_id(&mut self, namespace: &str, at: Timestamp) {
        self.by_id.insert(namespace.to_owned(), at);
    }

    /// Notes that an image was recorded under this name; whether that only repeats what was written a moment ago: 1.6, and CRI for images
    /// that others pulled, write the name, the id, then the name again, and the name by digest at last.
    pub(super) fn recorded(&mut self, namespace: &str, name: ImageRef, at: Timestamp) -> bool {
        let same = |r: &&Recorded| r.namespace == namespace && r.name == name;
        let before = self.recorded.iter().rev().find(same).map(|r| r.at);
        let by_id = self.by_id.get(namespace).copied();
        let closed = |by_id: Timestamp| {
            let repository = |n: &ImageRef| (n.registry_host().to_owned(), n.repository().to_owned());
            let own = repository(&name);
            self.recorded
                .iter()
                .any(|r| r.namespace == namespace && r.at >= by_id && r.name.digest().is_some() && repository(&r.name) == own)
        };
        let is_echo = before
            .zip(by_id)
            .is_some_and(|(before, by_id)| before <= by_id && by_id <= at && at.since(before) < ECHO && !closed(by_id));
        if self.recorded.len() >= MAX_RECORDED {
            self.recorded.pop_front();
        }
        self.recorded.push_back(Recorded { namespace: namespace.to_owned(), name, at });
        is_echo
    }

    /// A chain, to note something about it; forgets the oldest if there are too many.
    pub(super) fn chain(&mut self, namespace: &str, chain: &Digest) -> &mut Chain {
        if self.chains.len() >= MAX_CHAINS {
            let oldest = self.chains.iter().min_by_key(|(_, c)| c.newest()).map(|(k, _)| k.clone());
            if let Some(oldest) = oldest {
                self.chains.remove(&oldest);
            }
        }
        self.chains.entry((namespace.to_owned(), chain.clone())).or_default()
    }
}

/// The other pulls of the node, as one of them sees them.
pub(super) struct Neighbours<'a> {
    namespace: &'a str,
    now: Timestamp,
    memory: &'a mut Memory,
    others: &'a BTreeMap<LeaseKey, Watched>,
}

impl Around for Neighbours<'_> {
    fn take(&mut self, digest: &Digest, asker: PullId) {
        self.memory.owners.insert((self.namespace.to_owned(), digest.clone()), asker);
    }

    fn is_taken(&self, digest: &Digest, asker: PullId) -> bool {
        self.memory.owners.get(&(self.namespace.to_owned(), digest.clone())).is_some_and(|owner| *owner != asker)
    }

    fn rivals(&self, asker: PullId, record: &ImageRecord) -> bool {
        let others = self.others.values().filter(|w| w.id != asker && w.key.namespace == self.namespace);
        others.filter(|w| w.holds(&record.target)).any(|w| w.may_have_written(record.updated_at, LAST_RECORD_OF_PULL))
    }

    fn witness(&self, asker: PullId, name: &ImageRef, from: Timestamp, until: Timestamp) -> Option<ImageRef> {
        let of_repository =
            |other: &ImageRef| (other.registry_host(), other.repository()) == (name.registry_host(), name.repository());
        let others = || self.others.values().filter(|w| w.id != asker && w.key.namespace == self.namespace);
        let rival = |at| others().filter(|w| w.name().is_none_or(of_repository)).any(|w| w.was_there(at));
        let records = self.memory.recorded.iter().filter(|r| r.namespace == self.namespace && (from..=until).contains(&r.at));
        let mut own = records.filter(|r| r.name.tag().is_some() && of_repository(&r.name));
        own.find(|r| !rival(r.at)).map(|r| r.name.clone())
    }

    fn claim(&mut self, digest: &Digest, asker: PullId) -> PullId {
        *self.memory.owners.entry((self.namespace.to_owned(), digest.clone())).or_insert(asker)
    }

    fn holder(&self, asker: PullId, chain: Option<&Digest>, blob: &Digest) -> Option<PullId> {
        let others = || self.others.values().filter(|w| w.is_live() && w.id != asker && w.key.namespace == self.namespace);
        let unpacking = chain.and_then(|chain| others().find(|w| w.is_extracting(chain)));
        unpacking.or_else(|| others().find(|w| w.is_fetching(blob))).map(|w| w.id)
    }

    fn others_move(&self, asker: PullId) -> bool {
        self.others.values().any(|w| w.id != asker && w.moves(self.now))
    }

    fn unpacked_by(&self, holder: PullId, layer: &Digest) -> Option<Timestamp> {
        self.others.values().find(|w| w.id == holder)?.expects(layer)
    }

    fn slot_free(&self, asker: PullId) -> Option<Timestamp> {
        self.others.values().filter(|w| w.id != asker).filter_map(Watched::expects_a_slot).min()
    }

    fn prepared(&self, chain: &Digest) -> Option<Timestamp> {
        self.memory.chains.get(&(self.namespace.to_owned(), chain.clone()))?.prepared
    }

    fn unpacked(&self, chain: &Digest) -> Option<Timestamp> {
        self.memory.chains.get(&(self.namespace.to_owned(), chain.clone()))?.unpacked
    }
}

/// Lets one pull act with a view of all others: it is taken out of the map for that long.
pub(super) fn with<T>(
    watched: &mut BTreeMap<LeaseKey, Watched>,
    memory: &mut Memory,
    key: &LeaseKey,
    now: Timestamp,
    act: impl FnOnce(&mut Watched, &mut Neighbours<'_>) -> T,
) -> Option<T> {
    let mut one = watched.remove(key)?;
    let result = act(&mut one, &mut Neighbours { namespace: &key.namespace, now, memory, others: watched });
    watched.insert(key.clone(), one);
    Some(result)
}
