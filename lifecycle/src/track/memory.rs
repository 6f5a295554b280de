//! What is remembered beside the pulls themselves, and how one pull sees the others of its node.

use std::{collections::BTreeMap, time::Duration};

use super::{
    records::{Record, Records, same_repository},
    seen::{ImageRecord, LeaseKey},
    watched::{Around, Watched, Written},
};
use crate::{image::Digest, pull::PullId, time::Timestamp};

/// CRI adds the name by digest within this time of the end of a pull.
pub(super) const SECOND_NAME: Duration = Duration::from_secs(2);
/// The newest record that was there when a pull was judged is its end; what CRI still adds comes within this time.
pub(super) const LAST_RECORD_OF_PULL: Duration = Duration::from_millis(100);
/// Most chains whose events are remembered.
const MAX_CHAINS: usize = 8_192;

/// What is remembered beside the pulls themselves.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When the runtime's process started, if known: leases from before it are leftovers.
    pub(super) born: Option<Timestamp>,
    /// Who brings which blob.
    pub(super) owners: BTreeMap<(String, Digest), PullId>,
    /// When which chain was prepared and committed, by event.
    pub(super) chains: BTreeMap<(String, Digest), Chain>,
    /// The newest image records by event.
    pub(super) records: Records,
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

    fn record_of(&mut self, asker: &Watched, until: Timestamp) -> Option<Written> {
        let others = || self.others.values().filter(|w| w.key.namespace == self.namespace && w.awaits_record());
        let records = self.memory.records.between(self.namespace, asker.writes_from(), until);
        let own = records.filter(|r| r.is_free_for(asker.id)).filter(|r| match r.target() {
            Some(target) if asker.holds(target) || asker.top().is_some() => {
                let may_be_rivals = || others().any(|w| w.holds(target) && w.may_have_written(r.at, LAST_RECORD_OF_PULL));
                asker.holds(target) && !(asker.doubts(r.at) && may_be_rivals())
            }
            // Removed at once, or nobody saw what the lease held at last.
            Some(_) | None => {
                let may_be =
                    |w: &Watched| w.may_have_ended_at(r.at) && w.name().is_none_or(|name| same_repository(name, &r.name));
                asker.name().is_some_and(|name| same_repository(name, &r.name))
                    && !asker.doubts_removed(r.at)
                    && !others().any(may_be)
            }
        });
        // Of several the oldest, but for one that a pull needs whose lease was gone before.
        let is_needed = |r: &Record| {
            let needs = |w: &Watched| {
                w.gone_at().is_some_and(|gone_at| gone_at <= until)
                    && w.had_its_lease(r.at)
                    && r.target().is_none_or(|t| w.holds(t))
            };
            others().any(needs)
        };
        let own = own.min_by_key(|r| (!r.is_by_tag(), is_needed(r), r.at))?;
        let (nth, written) = (own.nth, Written { name: own.name.clone(), at: own.at });
        self.memory.records.written_by(nth, asker.id);
        Some(written)
    }

    fn recorded_before(&self, record: &ImageRecord) -> Option<Timestamp> {
        self.memory.records.newest_before(self.namespace, record)
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
