//! The download of one blob within a pull: from waiting for a slot to committed content.
//!
//! The state is here, and how bytes become visible offsets. Slots and bandwidth are shared by all pulls, so [`super::Simulation`] hands
//! them out; when a download begins is decided by [`super::pull`].

use std::time::Duration;

use lifecycle::time::Timestamp;

use super::store::{Owner, Resource, Store};
use crate::containerd::simulated::{
    image::{Blob, Kind},
    scenario::Stall,
};

/// containerd writes what it fetched in pieces of this many bytes.
pub(super) const PIECE: u64 = 1 << 20;
/// How long a request takes until the first byte comes.
const FIRST_BYTE: Duration = Duration::from_millis(5);
/// How long a blob takes from its last byte to its commit: hashing and flushing.
const COMMIT: Duration = Duration::from_millis(4);

/// One blob that a pull needs.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) kind: Kind,
    pub(super) blob: Blob,
    pub(super) bytes: Option<Vec<u8>>,
    pub(super) state: State,
    /// Standstills that are still to come, in order of bytes.
    pub(super) stalls: Vec<Stall>,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody asked for it yet.
    Idle,
    /// Asked for; another pull may be writing the same blob, then it waits for that. Leads to `Queued` or `Done`.
    Wanted,
    /// Waits for a slot, in order of tickets. Leads to `Requested`.
    Queued { ticket: u64 },
    /// Has a slot, no byte yet. Leads to `Flowing`.
    Requested { until: Timestamp },
    /// Bytes come. Leads to `Stalled` and `Closing`.
    Flowing,
    /// The link stands still. Leads back to `Flowing`.
    Stalled { until: Timestamp },
    /// All bytes are written, the commit is under way. Leads to `Done`.
    Closing { until: Timestamp },
    /// It is content.
    Done,
}

impl Download {
    pub(super) const fn new(kind: Kind, blob: Blob, bytes: Option<Vec<u8>>, stalls: Vec<Stall>) -> Self {
        Self { kind, blob, bytes, state: State::Idle, stalls }
    }

    pub(super) fn ingest_ref(&self) -> String {
        self.blob.ingest_ref(self.kind)
    }

    /// Whether it takes one of the slots.
    pub(super) const fn holds_slot(&self) -> bool {
        matches!(self.state, State::Requested { .. } | State::Flowing | State::Stalled { .. } | State::Closing { .. })
    }

    /// Asks for it, unless somebody did.
    pub(super) fn want(&mut self) {
        if self.state == State::Idle {
            self.state = State::Wanted;
        }
    }

    /// Looks whether the blob is there, is being written by another pull, or has to be fetched.
    pub(super) fn look(&mut self, store: &mut Store, lease: &str, owner: Owner, ticket: u64, now: Timestamp) {
        let digest = self.blob.digest.to_string();
        if store.content.contains_key(&digest) {
            store.keep(lease, Resource::Content(digest));
            self.state = State::Done;
            return;
        }
        let reference = self.ingest_ref();
        if store.ingests.get(&reference).is_some_and(|ingest| ingest.writer.is_some()) {
            return;
        }
        if store.personality.limits_globally() {
            store.open_ingest(lease, &reference, self.blob.size, owner, now);
        }
        self.state = State::Queued { ticket };
    }

    /// Gives it a slot. Where the limit is per pull, only now the ingest appears, unless another pull was faster.
    pub(super) fn grant(&mut self, store: &mut Store, lease: &str, owner: Owner, now: Timestamp) {
        if !store.personality.limits_globally() {
            let reference = self.ingest_ref();
            let taken = store.ingests.get(&reference).is_some_and(|ingest| ingest.writer.is_some());
            if taken || store.content.contains_key(self.blob.digest.as_str()) {
                self.state = State::Wanted;
                return;
            }
            store.open_ingest(lease, &reference, self.blob.size, owner, now);
        }
        self.state = State::Requested { until: now + FIRST_BYTE };
    }

    /// Receives thousandths of bytes; whole pieces become visible, and the tail at the end.
    pub(super) fn receive(&mut self, store: &mut Store, milli: u64, now: Timestamp) {
        let Some(ingest) = store.ingests.get_mut(&self.ingest_ref()) else { return };
        ingest.received_milli = (ingest.received_milli + milli).min(ingest.total * 1_000);
        let received = ingest.received_milli / 1_000;
        let complete = received == ingest.total;
        let written = if complete { received } else { received - received % PIECE };
        if written > ingest.offset {
            ingest.offset = written;
            ingest.updated_at = now;
        }
        if complete {
            self.state = State::Closing { until: now + COMMIT };
        } else if self.stalls.first().is_some_and(|stall| received >= stall.after_bytes.0) {
            let stall = self.stalls.remove(0);
            self.state = State::Stalled { until: now + stall.lasts.0 };
        }
    }

    /// Bytes that came over the link so far.
    pub(super) fn received(&self, store: &Store) -> u64 {
        store.ingests.get(&self.ingest_ref()).map_or(0, |ingest| ingest.received_milli / 1_000)
    }

    /// Gives up: what came is flushed, the slot is free, and the ingest is nobody's.
    pub(super) fn give_up(&mut self, store: &mut Store, owner: Owner, now: Timestamp) {
        self.state = State::Idle;
        let Some(ingest) = store.ingests.get_mut(&self.ingest_ref()).filter(|ingest| ingest.writer == Some(owner)) else {
            return;
        };
        ingest.writer = None;
        if ingest.received_milli / 1_000 > ingest.offset {
            ingest.offset = ingest.received_milli / 1_000;
            ingest.updated_at = now;
        }
    }
}
