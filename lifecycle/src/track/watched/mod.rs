//! One pull under observation: folds what was seen of its lease into the state of the pull.
//!
//! It knows nothing of other pulls; what it needs of them (who brings a layer, who unpacks it) is handed in as [`Around`]. What it wants
//! to know more it puts on a list, which the tracker turns into questions.
//!
//! Rooms: `asking` what it wants to know, `learning` what it takes in, `naming` whose image it is, `folding` it into layers, `expecting`
//! its end, `telling` the state, `ending` it.

mod asking;
mod ending;
mod expecting;
mod folding;
mod learning;
mod naming;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::expecting::Expected;
use super::experience::Experience;
use super::layer::Track;
use super::pace::Pace;
use super::plan::Document;
use super::rate::Meter;
use super::seen::{ContentFacts, ExtractKey, ImageRecord, LeaseKey, Subject};
use crate::image::{Digest, ImageRef};
use crate::pull::{Ending, ErrorClass, Failure, Outcome, Pull, PullId, Wait, Waited};
use crate::time::Timestamp;

/// A blob without labels is looked into only up to this size: labels lag a commit by milliseconds.
const SMALL_DOCUMENT: u64 = 64 << 10;
/// A lease of which nothing has moved for so long belongs to a client that is gone (`ctr` and Docker leave theirs behind).
const ORPHANED_AFTER: Duration = Duration::from_secs(600);

/// A pull that is older is not over in a moment.
const SHORT: Duration = Duration::from_millis(500);

/// Where the observation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A lease that may be a pull. Back to here: never.
    Candidate,
    /// A pull that runs.
    Live,
    /// The lease is gone, or its runtime is; the verdict waits for evidence.
    Ending {
        /// When that was noticed.
        since: Timestamp,
        /// Whether another process serves the socket now.
        runtime_restarted: bool,
    },
    /// The verdict was told. Kept for a while so that its layers and its image record are not taken for someone else's.
    Ended {
        /// When that was.
        at: Timestamp,
    },
    /// A lease that is no pull, or the leftover of one; looked at no more while it exists.
    Dull,
}

/// What one pull must know of the others on its node.
pub(super) trait Around {
    /// Notes that the asker brings this blob now, whoever did before.
    fn take(&mut self, digest: &Digest, asker: PullId);
    /// Whether another pull brings this blob since the asker was seen to.
    fn is_taken(&self, digest: &Digest, asker: PullId) -> bool;
    /// Whether another pull may have written this image record.
    fn rivals(&self, asker: PullId, record: &ImageRecord) -> bool;
    /// The record that the asker wrote, by event, if its lease was gone by then; see [`super::records`].
    fn record_of(&mut self, asker: &Watched, until: Timestamp) -> Option<Written>;
    /// When the record that this one replaced was written, by event.
    fn recorded_before(&self, record: &ImageRecord) -> Option<Timestamp>;
    /// The pull that brings this blob; the asker, if nobody else claimed it before.
    fn claim(&mut self, digest: &Digest, asker: PullId) -> PullId;
    /// Another pull that is unpacking this chain or fetching this blob now.
    fn holder(&self, asker: PullId, chain: Option<&Digest>, blob: &Digest) -> Option<PullId>;
    /// Whether bytes of another pull are moving.
    fn others_move(&self, asker: PullId) -> bool;
    /// When another pull will have brought and unpacked this layer; `None` if nobody knows.
    fn unpacked_by(&self, holder: PullId, layer: &Digest) -> Option<Timestamp>;
    /// When one of the other pulls will have fetched a layer, so that its slot is free; `None` if nobody knows.
    fn slot_free(&self, asker: PullId) -> Option<Timestamp>;
    /// When the snapshot for this chain was prepared, by event.
    fn prepared(&self, chain: &Digest) -> Option<Timestamp>;
    /// When this chain was committed, by event.
    fn unpacked(&self, chain: &Digest) -> Option<Timestamp>;
}

/// An image record that a pull wrote at its end, by event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) name: ImageRef,
    pub(super) at: Timestamp,
}

/// One lease, or one image record without a lease, and what is known of its pull.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) key: LeaseKey,
    pub(super) id: PullId,
    pub(super) stage: Stage,
    created_at: Timestamp,
    /// When this agent saw it first.
    first_seen: Timestamp,
    /// Last survey that listed the lease; its beginning before the first.
    last_alive: Timestamp,
    /// What the lease holds changed last after this: it is complete before the image is recorded.
    changed_after: Timestamp,
    /// What the lease holds of blobs changed last after this.
    fetched_after: Timestamp,
    /// Last change of anything.
    last_change: Timestamp,
    contents: BTreeSet<Digest>,
    facts: BTreeMap<Digest, ContentFacts>,
    open: BTreeSet<Digest>,
    /// Snapshots that are open to receive a layer, by the chain that they become.
    extracting: BTreeMap<Digest, ExtractKey>,
    chains: BTreeSet<Digest>,
    snapshotter: String,
    documents: BTreeMap<Digest, Document>,
    /// When snapshots were committed, by chain id.
    snapshots: BTreeMap<String, Timestamp>,
    /// When snapshots were prepared for layers, by the chain that they become.
    prepared: BTreeMap<Digest, Timestamp>,
    layers: Vec<Track>,
    /// When the manifest's layers became known; `None` before.
    planned_at: Option<Timestamp>,
    /// Whether the configuration was read, so that layers have chain ids.
    chained: bool,
    /// Whether this was made from an image record, because its lease was never seen: the record is its proof.
    from_record: bool,
    /// Whether its lease never showed what it holds, so that only an image record of that time says what was pulled.
    adopted: bool,
    /// When it wrote its image record, by event: it is proof, and the next record is another pull's.
    written: Option<Timestamp>,
    /// Whether its lease holds something that no pull holds.
    strange: bool,
    /// Whether it was never looked into, so that it being empty says nothing.
    leftover: bool,
    /// Whether a layer that it was unpacking was given up.
    given_up: bool,
    /// Whether its downloads were still there when its lease was gone, and no byte had come.
    lingering: bool,
    /// Blobs that another pull goes on with.
    yielded: BTreeSet<Digest>,
    /// Whether something came, or began to come, in the way of a pull.
    fetched_any: bool,
    resolved_at: Option<Timestamp>,
    name: Option<ImageRef>,
    /// Whether the name is from an intent of which nothing but the time fits yet.
    guessed: bool,
    /// Repositories that its index or manifest is known to come from: one of them is its own.
    sources: Vec<ImageRef>,
    records: Vec<ImageRecord>,
    meter: Meter,
    pace: Pace,
    /// Most layers that were fetched at a time.
    slots: usize,
    /// When each layer that is left is expected to be fetched and unpacked.
    expected: BTreeMap<Digest, Expected>,
    /// What it waits for now, and what it waited for.
    waiting: Option<Wait>,
    waits: Vec<Waited>,
    ending: Option<Ending>,
    /// Asked, answered or not; asked once each.
    asked: BTreeSet<Subject>,
    /// Asked and not answered.
    pending: BTreeSet<Subject>,
    /// Asked, not answered, and to be asked again: the answer under way may be from before what makes the question matter.
    outdated: BTreeSet<Subject>,
    /// Asked, and it could not be answered: asked again with the next survey.
    unavailable: BTreeSet<Subject>,
    wants: Vec<Subject>,
    /// Since when the evidence about its end could be asked for.
    asking_since: Timestamp,
    /// The last state that was told, and when.
    pub(super) told: Option<(Pull, Timestamp)>,
}

impl Watched {
    /// A lease that was seen for the first time.
    pub(super) fn new(node_uid: &str, key: LeaseKey, created_at: Timestamp, now: Timestamp) -> Self {
        let id = PullId::derive(node_uid, &key.namespace, &key.lease, created_at);
        Self {
            key,
            id,
            stage: Stage::Candidate,
            created_at,
            first_seen: now,
            last_alive: created_at,
            changed_after: created_at,
            fetched_after: created_at,
            last_change: now,
            contents: BTreeSet::new(),
            facts: BTreeMap::new(),
            open: BTreeSet::new(),
            extracting: BTreeMap::new(),
            chains: BTreeSet::new(),
            snapshotter: String::new(),
            documents: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            prepared: BTreeMap::new(),
            layers: Vec::new(),
            planned_at: None,
            chained: false,
            from_record: false,
            adopted: false,
            written: None,
            strange: false,
            leftover: false,
            given_up: false,
            lingering: false,
            yielded: BTreeSet::new(),
            fetched_any: false,
            resolved_at: None,
            name: None,
            guessed: false,
            sources: Vec::new(),
            records: Vec::new(),
            meter: Meter::default(),
            pace: Pace::default(),
            slots: 0,
            expected: BTreeMap::new(),
            waiting: None,
            waits: Vec::new(),
            ending: None,
            asked: BTreeSet::new(),
            pending: BTreeSet::new(),
            outdated: BTreeSet::new(),
            unavailable: BTreeSet::new(),
            wants: Vec::new(),
            asking_since: now,
            told: None,
        }
    }

    /// A pull that was over before its lease was seen: all there is of it is the image record that it wrote.
    pub(super) fn from_record(node_uid: &str, key: LeaseKey, record: ImageRecord, now: Timestamp) -> Self {
        let mut watched = Self::new(node_uid, key, record.updated_at, now);
        watched.stage = Stage::Ending { since: now, runtime_restarted: false };
        watched.from_record = true;
        watched.written = Some(record.updated_at);
        watched.name.clone_from(&record.name);
        watched.hold(record.target.clone());
        watched.records.push(record);
        watched
    }

    /// On a node of which this is known.
    pub(super) fn on(mut self, node: &Experience) -> Self {
        self.pace = Pace::on(&node.link);
        self
    }

    pub(super) const fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live)
    }

    /// Whether it was told and its end was not: there is a last word to say. One that is made from a record has only a last word.
    pub(super) fn told_open(&self) -> bool {
        let ended = matches!(self.stage, Stage::Ended { .. }) && self.ending.is_some();
        ended && self.told.as_ref().is_none_or(|(told, _)| told.ending.is_none())
    }

    /// Whether a survey listed its lease at or after `time`.
    pub(super) fn was_listed_since(&self, time: Timestamp) -> bool {
        self.last_alive >= time
    }

    /// Notes that the lease is still there though it is of no more interest.
    pub(super) const fn still_there(&mut self, taken_at: Timestamp) {
        self.last_alive = taken_at;
    }

    /// Whether it is no pull, or the leftover of one.
    pub(super) const fn is_dull(&self) -> bool {
        matches!(self.stage, Stage::Dull)
    }

    /// Whether its end is not told yet.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Candidate | Stage::Live | Stage::Ending { .. })
    }

    /// Whether it has just begun and nothing is known of what it pulls, or by which name: it may be over in a moment.
    pub(super) fn is_unknown(&self, now: Timestamp) -> bool {
        let begins = matches!(self.stage, Stage::Candidate | Stage::Live) && now.since(self.first_seen) < SHORT;
        begins && (self.planned_at.is_none() || self.name.is_none())
    }

    /// Whether this blob is one of its layers.
    pub(super) fn plans(&self, blob: &Digest) -> bool {
        self.layers.iter().any(|layer| layer.planned.digest == *blob)
    }

    pub(super) const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// Whether the image that this digest names is the one that is or was pulled.
    pub(super) fn holds(&self, digest: &Digest) -> bool {
        self.contents.contains(digest)
    }

    /// Whether an image record that was written at `at` may be of this pull: after its beginning, and at most `belongs` after its end.
    pub(super) fn may_have_written(&self, at: Timestamp, belongs: Duration) -> bool {
        let until = match &self.ending {
            None => Some(at),
            Some(Ending { outcome: Outcome::Ready, at, .. }) => Some(*at + belongs),
            // The transfer service records an index before it finds nothing in it.
            Some(Ending { outcome: Outcome::Failed(Failure { class: ErrorClass::PlatformMismatch, .. }), at, .. }) => {
                Some(*at + belongs)
            }
            Some(Ending { .. }) => None,
        };
        self.stage != Stage::Dull && self.created_at <= at && until.is_some_and(|until| at <= until)
    }

    /// By which name it is known.
    pub(super) const fn name(&self) -> Option<&ImageRef> {
        self.name.as_ref()
    }

    /// Whether its lease was there at that time, as far as is known, and was not seen again.
    pub(super) fn may_have_ended_at(&self, at: Timestamp) -> bool {
        let until = match self.stage {
            Stage::Candidate | Stage::Live | Stage::Dull => at,
            Stage::Ending { since, .. } => since,
            Stage::Ended { at } => self.ending.as_ref().map_or(at, |ending| ending.at),
        };
        self.stage != Stage::Dull && (self.created_at..=until).contains(&at) && self.last_alive <= at
    }

    /// Whether its lease was there at that time, as far as is known, and it may have succeeded.
    pub(super) fn had_its_lease(&self, at: Timestamp) -> bool {
        let until = match self.stage {
            Stage::Candidate | Stage::Live => at,
            Stage::Ending { since, .. } => since,
            Stage::Ended { at } if self.ending.as_ref().is_some_and(|e| e.outcome == Outcome::Ready) => at,
            Stage::Ended { .. } | Stage::Dull => return false,
        };
        (self.created_at..=until).contains(&at)
    }

    /// When its lease was gone, or its verdict reached; `None` while it runs.
    pub(super) const fn gone_at(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Candidate | Stage::Live | Stage::Dull => None,
            Stage::Ending { since: at, .. } | Stage::Ended { at } => Some(at),
        }
    }

    /// Whether the record that it writes at its end is not known yet.
    pub(super) const fn awaits_record(&self) -> bool {
        self.written.is_none()
    }

    /// Notes when it wrote its record.
    pub(super) const fn has_written(&mut self, at: Timestamp) {
        self.written = Some(at);
    }

    pub(super) fn is_extracting(&self, chain: &Digest) -> bool {
        self.extracting.contains_key(chain)
    }

    /// Whether this very snapshot was open when it was looked at last.
    pub(super) fn extracts_into(&self, key: &ExtractKey) -> bool {
        self.extracting.get(key.chain()) == Some(key)
    }

    pub(super) fn is_fetching(&self, blob: &Digest) -> bool {
        self.open.contains(blob)
    }

    pub(super) fn moves(&self, now: Timestamp) -> bool {
        self.is_live() && self.meter.last_progress().is_some_and(|at| now.since(at) < Duration::from_secs(3))
    }
}
