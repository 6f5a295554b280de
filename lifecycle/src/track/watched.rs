//! One pull under observation: folds what was seen of its lease into the state of the pull.
//!
//! It knows nothing of other pulls; what it needs of them (who brings a layer, who unpacks it) is handed in as [`Around`]. What it wants
//! to know more it puts on a list, which the tracker turns into questions.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    layer::{Moment, Origin, Track},
    plan::{Document, PlannedLayer, chain_ids},
    rate::{Meter, UnpackSpeed, eta},
    seen::{
        Answer, ContentFacts, ExtractKey, ImageRecord, Inventory, Lease, LeaseKey, Reference, Resource, SnapshotFacts, Subject,
    },
    verdict::{Remains, judge},
};
use crate::{
    image::{Digest, ImageRef},
    pull::{Ending, Layer, MAX_WAITS, Outcome, Phase, Pull, PullId, TimingSource, Wait, Waited},
    time::Timestamp,
};

/// Largest document that is read, bytes (OCI distribution specification: registries should accept manifests up to 4 MiB).
const MAX_DOCUMENT: u64 = 4 << 20;
/// A blob without labels is looked into only up to this size: labels lag a commit by milliseconds.
const SMALL_DOCUMENT: u64 = 64 << 10;
/// A lease that holds nothing is shown as resolving once it is this old. Younger ones may be anything.
const RESOLVING_VISIBLE_AFTER: Duration = Duration::from_millis(700);
/// How long the plan may stay unsettled before it is told as far as it is known.
const SETTLE: Duration = Duration::from_millis(500);
/// How long events may lag behind the survey that missed the lease.
const ENDING_GRACE: Duration = Duration::from_millis(150);
/// The same where nothing but the image record can tell what was pulled: it is looked into first.
const EMPTY_GRACE: Duration = Duration::from_secs(2);
/// How long answers may take before the pull is judged without them.
const ENDING_PATIENCE: Duration = Duration::from_secs(5);
/// How far the clocks of agent and containerd may be apart: the same clock, but the agent's runs on without steps while something happens.
const CLOCK_SLACK: Duration = Duration::from_millis(500);
/// A pull that nobody saw took no longer than this.
const LONGEST_UNSEEN: Duration = Duration::from_secs(10);
/// A wait is told when no byte has come for this long.
const WAIT_VISIBLE_AFTER: Duration = Duration::from_millis(1_200);
/// Shorter waits are not worth remembering.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
/// A lease of which nothing has moved for so long belongs to a client that is gone (`ctr` and Docker leave theirs behind).
const ORPHANED_AFTER: Duration = Duration::from_secs(600);

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
    /// Whether another pull may have written this image record.
    fn rivals(&self, asker: PullId, record: &ImageRecord) -> bool;
    /// The pull that brings this blob; the asker, if nobody else claimed it before.
    fn claim(&mut self, digest: &Digest, asker: PullId) -> PullId;
    /// Another pull that is unpacking this chain or fetching this blob now.
    fn holder(&self, asker: PullId, chain: Option<&Digest>, blob: &Digest) -> Option<PullId>;
    /// Whether bytes of another pull are moving.
    fn others_move(&self, asker: PullId) -> bool;
    /// When the snapshot for this chain was prepared, by event.
    fn prepared(&self, chain: &Digest) -> Option<Timestamp>;
    /// When this chain was committed, by event.
    fn unpacked(&self, chain: &Digest) -> Option<Timestamp>;
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
    /// When snapshots were made, by key or chain id.
    snapshots: BTreeMap<String, Timestamp>,
    layers: Vec<Track>,
    /// When the manifest's layers became known; `None` before.
    planned_at: Option<Timestamp>,
    /// Whether the configuration was read, so that layers have chain ids.
    chained: bool,
    /// Whether this was made from an image record, because its lease was never seen: the record is its proof.
    from_record: bool,
    /// Whether the event that tells of its image record was seen.
    record_seen: bool,
    /// Whether its lease holds something that no pull holds.
    strange: bool,
    /// Whether a layer that it was unpacking was given up.
    given_up: bool,
    resolved_at: Option<Timestamp>,
    name: Option<ImageRef>,
    records: Vec<ImageRecord>,
    meter: Meter,
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
            last_change: now,
            contents: BTreeSet::new(),
            facts: BTreeMap::new(),
            open: BTreeSet::new(),
            extracting: BTreeMap::new(),
            chains: BTreeSet::new(),
            snapshotter: String::new(),
            documents: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            layers: Vec::new(),
            planned_at: None,
            chained: false,
            from_record: false,
            record_seen: false,
            strange: false,
            given_up: false,
            resolved_at: None,
            name: None,
            records: Vec::new(),
            meter: Meter::default(),
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
        watched.record_seen = record.is_by_tag();
        watched.name.clone_from(&record.name);
        watched.hold(record.target.clone());
        watched.records.push(record);
        watched
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

    /// Whether its end is not told yet.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Candidate | Stage::Live | Stage::Ending { .. })
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
            Some(Ending { .. }) => None,
        };
        self.stage != Stage::Dull && self.created_at.before(belongs) <= at && until.is_some_and(|until| at <= until)
    }

    /// Whether the event of its image record was not seen yet.
    pub(super) const fn awaits_record(&self) -> bool {
        !self.record_seen
    }

    /// Whether its lease was gone after `at` without ever having shown what was pulled: a pull that found everything on the node is over
    /// between two looks.
    pub(super) fn ended_empty_after(&self, at: Timestamp) -> bool {
        let gone_at = match self.stage {
            Stage::Ending { since, .. } => since,
            Stage::Ended { at } if self.ending.is_none() => at,
            Stage::Candidate | Stage::Live | Stage::Ended { .. } | Stage::Dull => return false,
        };
        self.is_empty() && !self.strange && (self.created_at..=gone_at).contains(&at)
    }

    /// Takes an image record for its own, and what was pulled from there.
    pub(super) fn adopt(&mut self, record: ImageRecord, now: Timestamp) {
        if let Stage::Ended { at } = self.stage {
            self.stage = Stage::Ending { since: at, runtime_restarted: false };
        }
        self.asking_since = now;
        self.record_seen = record.is_by_tag();
        self.name.clone_from(&record.name);
        self.hold(record.target.clone());
        self.records.push(record);
    }

    /// Notes that a layer that it was unpacking was given up. Usually it failed or was canceled then.
    pub(super) const fn gives_up(&mut self) {
        self.given_up = true;
    }

    /// Notes that the event of its image record was seen: the next one is another pull's.
    pub(super) const fn record_is_seen(&mut self) {
        self.record_seen = true;
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

    /// What it wants to know now.
    pub(super) fn take_wants(&mut self) -> Vec<Subject> {
        std::mem::take(&mut self.wants)
    }

    /// Asks again what could not be answered.
    pub(super) fn ask_again(&mut self) {
        self.wants.extend(std::mem::take(&mut self.unavailable));
    }

    /// Asks again what was on its way when the connection broke: the answers went with it.
    pub(super) fn reconnected(&mut self, now: Timestamp) {
        self.asking_since = now;
        self.unavailable.clear();
        self.wants = self.pending.iter().cloned().collect();
    }

    /// Takes in what a survey shows of its lease.
    pub(super) fn survey(&mut self, lease: &Lease, inventory: &Inventory, taken_at: Timestamp, around: &mut impl Around) {
        let before = (self.contents.len(), self.chains.len(), self.extracting.clone(), self.open.clone());
        let seen_before = std::mem::replace(&mut self.last_alive, taken_at);
        let mut references = Vec::new();
        let was_extracting = std::mem::take(&mut self.extracting);
        let mut other = false;
        for resource in &lease.resources {
            match resource {
                Resource::Content(digest) => self.hold(digest.clone()),
                Resource::Ingest(reference) => references.push(reference),
                Resource::Extraction { snapshotter, key } => {
                    self.snapshotter.clone_from(snapshotter);
                    self.extracting.insert(key.chain().clone(), key.clone());
                    if self.name.as_ref().is_none_or(|n| n.tag().is_none()) || around.prepared(key.chain()).is_none() {
                        self.want(Subject::Snapshot { snapshotter: snapshotter.clone(), key: key.as_str().to_owned() });
                    }
                }
                Resource::Chain { snapshotter, chain } => {
                    self.snapshotter.clone_from(snapshotter);
                    self.chains.insert(chain.clone());
                }
                Resource::Other => other = true,
            }
        }
        self.strange |= other;
        self.given_up |= was_extracting.keys().any(|chain| !self.extracting.contains_key(chain) && !self.chains.contains(chain));
        self.open = references.iter().map(|r| r.digest.clone()).collect();
        self.ingests(&references, inventory, taken_at, around);
        self.classify(other, inventory, taken_at);
        let after = (self.contents.len(), self.chains.len(), self.extracting.clone(), self.open.clone());
        if before != after {
            self.last_change = taken_at;
            self.changed_after = seen_before;
        }
        self.fold(taken_at, around);
        self.age(taken_at);
    }

    /// Takes in what the ingests show when the lease is gone: their last words.
    pub(super) fn last_words(&mut self, inventory: &Inventory) {
        for ingest in &inventory.ingests {
            let ours = |layer: &&mut Track| layer.planned.digest == ingest.reference.digest && layer.origin == Origin::Ours;
            if let Some(layer) = self.layers.iter_mut().find(ours) {
                layer.wrote(ingest.offset);
            }
        }
    }

    /// Takes in the answer to a question.
    pub(super) fn answer(&mut self, subject: &Subject, answer: Answer, now: Timestamp, around: &mut impl Around) {
        if answer == Answer::Unavailable {
            self.unavailable.extend(self.pending.get(subject).cloned());
            return;
        }
        self.pending.remove(subject);
        if self.outdated.remove(subject) {
            self.want_again(subject.clone());
            return;
        }
        match (subject, answer) {
            (Subject::Blob(digest), Answer::Blob(Some(bytes))) => {
                if let Ok(document) = Document::parse(&bytes) {
                    self.documents.insert(digest.clone(), document);
                }
            }
            (Subject::Content(digest), Answer::Content(Some(facts))) => self.learn_content(digest, facts),
            (Subject::Snapshot { key, .. }, Answer::Snapshot(Some(facts))) => self.learn_snapshot(key, facts),
            (Subject::ImagesOf(digest), Answer::Images(records)) => self.learn_images(digest, records),
            // There is no such thing, or the answer is to another question: nothing is learned.
            (
                Subject::Blob(_) | Subject::Content(_) | Subject::Snapshot { .. } | Subject::ImagesOf(_) | Subject::ImageNamed(_),
                _,
            ) => {}
        }
        self.plan(now);
        if matches!(self.stage, Stage::Ending { .. }) {
            self.ask_for_evidence(Self::want);
        }
        self.fold(now, around);
    }

    /// Says that the lease is gone, or its runtime, since `since`.
    pub(super) fn vanish(&mut self, since: Timestamp, now: Timestamp, runtime_restarted: bool) {
        if matches!(self.stage, Stage::Candidate | Stage::Live) {
            self.hold_documents();
        }
        match self.stage {
            Stage::Candidate if self.contents.is_empty() => self.stage = Stage::Ended { at: now },
            Stage::Dull => self.stage = Stage::Ended { at: now },
            Stage::Candidate | Stage::Live => {
                self.stage = Stage::Ending { since, runtime_restarted };
                self.asking_since = now;
                self.ask_for_evidence(Self::want_again);
            }
            Stage::Ending { .. } | Stage::Ended { .. } => {}
        }
    }

    /// Reaches the verdict if its evidence is complete, or if it has been waited for long enough. True when it was reached by this call.
    pub(super) fn conclude(&mut self, now: Timestamp, around: &mut impl Around, speed: &mut UnpackSpeed) -> bool {
        let Stage::Ending { since, runtime_restarted } = self.stage else { return false };
        let waits_for_answers = !self.pending.is_empty() && now.since(self.asking_since) < ENDING_PATIENCE;
        if now < since + self.grace() || waits_for_answers {
            return false;
        }
        if self.from_record {
            self.date_back(around);
        }
        self.fold(now, around);
        let proven = self.records.iter().any(|r| self.proves(r) && !(self.given_up && around.rivals(self.id, r)));
        let outcome = judge(Remains { proven, ..self.remains(since, runtime_restarted) });
        self.end(outcome, since);
        for layer in &self.layers {
            if let (false, Some((start, _)), Some((end, _))) =
                (layer.is_cached(), layer.committed_at.max(layer.prepared_at), layer.unpacked_at)
            {
                speed.learn(layer.planned.size, end.since(start));
            }
        }
        self.stage = Stage::Ended { at: now };
        true
    }

    /// Gives the pull up as lost.
    pub(super) fn lose(&mut self, now: Timestamp) {
        self.ending = Some(Ending { outcome: Outcome::Lost, at: now, source: TimingSource::Inferred });
        self.stage = Stage::Ended { at: now };
    }

    /// When something is to be done about it without anything being seen.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Ending { since, .. } if self.pending.is_empty() => Some(since + self.grace()),
            Stage::Ending { since, .. } => Some((self.asking_since + ENDING_PATIENCE).max(since + self.grace())),
            Stage::Candidate | Stage::Live | Stage::Ended { .. } | Stage::Dull => None,
        }
    }

    /// How long the verdict waits for what lags behind.
    fn grace(&self) -> Duration {
        if self.is_empty() { EMPTY_GRACE } else { ENDING_GRACE }
    }

    /// Whether nothing of what it pulls was ever seen.
    fn is_empty(&self) -> bool {
        self.contents.is_empty() && self.layers.is_empty() && self.open.is_empty()
    }

    /// Whether it may be told: enough is settled that totals will not jump.
    pub(super) fn is_settled(&self, now: Timestamp) -> bool {
        let unsettled = |layer: &Track| {
            let here =
                self.contents.contains(&layer.planned.digest) || layer.chain.as_ref().is_some_and(|c| self.chains.contains(c));
            here && layer.origin == Origin::Unknown
        };
        let resolving_in_a_hurry = self.planned_at.is_none() && !self.contents.is_empty() && now.since(self.first_seen) < SETTLE;
        match self.planned_at {
            _ if !self.is_live() => true,
            Some(at) => {
                now.since(at) >= SETTLE || !(self.layers.iter().any(unsettled) || (!self.chained && !self.layers.is_empty()))
            }
            None => !resolving_in_a_hurry,
        }
    }

    /// The whole present state.
    pub(super) fn view(&mut self, now: Timestamp, around: &impl Around, speed: UnpackSpeed) -> Pull {
        let layers: Vec<Layer> = self.layers.iter().map(|l| l.view(self.created_at)).collect();
        let phase = self.phase();
        let running = self.is_live();
        let wait = if running { self.wait(phase, now, around) } else { None };
        self.note_wait(wait.clone(), self.ending.as_ref().map_or(now, |e| e.at));
        let rate = self.meter.bytes_per_sec().filter(|_| running && phase == Phase::Downloading);
        let remaining: u64 = self.layers.iter().filter(|l| !l.is_cached()).map(|l| l.planned.size - l.fetched()).sum();
        let tail = self.layers.iter().filter(|l| !l.unpacked && !l.complete).map(|l| l.planned.size).max();
        let tail = tail.unwrap_or_else(|| self.layers.iter().filter(|l| !l.unpacked).map(|l| l.planned.size).sum());
        let slowest = self.layers.iter().filter_map(Track::remaining_time).max();
        let total_known = self.planned_at.is_some();
        let sequence = self.told.as_ref().map_or(0, |(told, _)| told.sequence + 1);
        let elapsed = now.since(self.created_at).as_millis();
        Pull {
            id: self.id,
            sequence: sequence.max(u64::try_from(elapsed).unwrap_or(u64::MAX)).max(1),
            namespace: self.key.namespace.clone(),
            image: self.name.clone(),
            digest: self.top(),
            snapshotter: self.snapshotter.clone(),
            phase,
            wait,
            waits: self.waits.clone(),
            ending: self.ending.clone(),
            started_at: self.created_at,
            resolved_at: self.resolved_at,
            observed_at: now,
            total_known,
            bytes_per_sec: rate,
            eta: if running && total_known { eta(remaining, rate, slowest, tail, speed) } else { None },
            layers,
        }
    }
}

/// What it asks.
impl Watched {
    fn want(&mut self, subject: Subject) {
        if self.asked.insert(subject.clone()) {
            self.pending.insert(subject.clone());
            self.wants.push(subject);
        }
    }

    fn want_again(&mut self, subject: Subject) {
        if self.pending.contains(&subject) {
            self.outdated.insert(subject);
        } else {
            self.asked.remove(&subject);
            self.want(subject);
        }
    }

    /// Notes that the lease holds a blob, and asks about it.
    fn hold(&mut self, digest: Digest) {
        if self.contents.insert(digest.clone()) && !self.facts.contains_key(&digest) {
            self.want_again(Subject::Content(digest));
        }
    }

    /// Takes documents that were being written for written: what followed may have happened between two looks.
    fn hold_documents(&mut self) {
        let is_layer = |digest: &Digest| self.layers.iter().any(|layer| layer.planned.digest == *digest);
        let documents: Vec<_> = self.open.iter().filter(|digest| !is_layer(digest)).cloned().collect();
        documents.into_iter().for_each(|digest| self.hold(digest));
    }

    /// Everything that may prove how it ended, or say when what happened.
    fn ask_for_evidence(&mut self, mut ask: impl FnMut(&mut Self, Subject)) {
        let targets: Vec<_> = self.contents.iter().filter(|digest| self.may_be_target(digest)).cloned().collect();
        targets.into_iter().for_each(|digest| ask(self, Subject::ImagesOf(digest)));
        let (mut blobs, mut chains) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            if !layer.is_cached() && !self.facts.contains_key(&layer.planned.digest) {
                blobs.push(layer.planned.digest.clone());
            }
            if let (false, None, Some(chain)) = (layer.is_cached(), layer.unpacked_at, &layer.chain) {
                chains.push(chain.to_string());
            }
        }
        blobs.into_iter().for_each(|digest| ask(self, Subject::Content(digest)));
        if !self.snapshotter.is_empty() {
            let snapshotter = self.snapshotter.clone();
            chains.into_iter().for_each(|key| ask(self, Subject::Snapshot { snapshotter: snapshotter.clone(), key }));
        }
    }

    /// Whether an image record may point to this blob: to all that is not known to be something else.
    fn may_be_target(&self, digest: &Digest) -> bool {
        let large = self.facts.get(digest).is_some_and(|facts| facts.size > SMALL_DOCUMENT && !facts.has_children);
        !large && !self.is_config(digest) && !self.layers.iter().any(|layer| layer.planned.digest == *digest)
    }
}

/// What it learns.
impl Watched {
    fn ingests(&mut self, references: &[&Reference], inventory: &Inventory, now: Timestamp, around: &mut impl Around) {
        for ingest in inventory.ingests.iter().filter(|i| references.contains(&&i.reference)) {
            let digest = &ingest.reference.digest;
            if self.planned_at.is_none()
                && ingest.reference.kind == "layer"
                && !self.layers.iter().any(|l| l.planned.digest == *digest)
            {
                let planned = PlannedLayer { digest: digest.clone(), media_type: String::new(), size: ingest.total };
                self.layers.push(Track::new(planned, None));
            }
            if let Some(layer) = self.layers.iter_mut().find(|l| l.planned.digest == *digest) {
                around.take(digest, self.id);
                layer.origin = Origin::Ours;
                layer.open(ingest.started_at, ingest.offset, self.created_at, now);
            }
        }
    }

    fn learn_content(&mut self, digest: &Digest, facts: ContentFacts) {
        let is_layer = self.layers.iter().any(|l| l.planned.digest == *digest);
        let is_document =
            facts.size <= MAX_DOCUMENT && (facts.has_children || facts.size <= SMALL_DOCUMENT || self.is_config(digest));
        if !is_layer && is_document && (!self.chained || facts.has_children) {
            self.want(Subject::Blob(digest.clone()));
        }
        if facts.has_children
            && let Some(source) = facts.sources.last()
        {
            self.learn_name(source.clone());
        }
        if self.is_explored() && !is_layer {
            self.contents.insert(digest.clone());
        }
        self.facts.insert(digest.clone(), facts);
    }

    fn learn_snapshot(&mut self, key: &str, facts: SnapshotFacts) {
        self.snapshots.insert(key.to_owned(), facts.created_at);
        if let Some(name) = facts.image {
            self.learn_name(name);
        }
    }

    /// Image records are candidates for the name while the pull runs, and proof of its success at the end.
    fn learn_images(&mut self, target: &Digest, records: Vec<ImageRecord>) {
        let proves = |r: &&ImageRecord| self.proves(r);
        let proven = records.iter().filter(proves).filter_map(|r| r.name.clone()).min_by_key(|n| n.tag().is_none());
        if let Some(name) = proven {
            self.name = Some(name);
        } else {
            let same_repository = |n: &ImageRef| {
                self.name
                    .as_ref()
                    .is_some_and(|own| (own.registry_host(), own.repository()) == (n.registry_host(), n.repository()))
            };
            let candidate = records.iter().filter_map(|r| r.name.clone()).find(|n| n.tag().is_some() && same_repository(n));
            candidate.into_iter().for_each(|name| self.learn_name(name));
        }
        self.records.retain(|r| r.target != *target);
        self.records.extend(records);
    }

    /// Takes a name if it says more than the one that is known.
    fn learn_name(&mut self, name: ImageRef) {
        if self.name.as_ref().is_none_or(|known| !known.is_exact()) {
            self.name = Some(name);
        }
    }

    /// Whether this record was written by this pull, at its end.
    fn proves(&self, record: &ImageRecord) -> bool {
        let from = self.changed_after.before(CLOCK_SLACK).max(self.created_at);
        self.contents.contains(&record.target) && (self.from_record || record.updated_at >= from)
    }

    /// The digests that the image's name may stand for: indexes and manifests that the lease holds.
    fn tops(&self) -> impl Iterator<Item = &Digest> {
        self.documents.iter().filter(|(_, d)| !matches!(d, Document::Config { .. })).map(|(digest, _)| digest)
    }

    fn top(&self) -> Option<Digest> {
        let index = self.documents.iter().find(|(_, d)| matches!(d, Document::Index { .. }));
        index.map(|(digest, _)| digest).or_else(|| self.tops().next()).cloned()
    }

    /// Whether the image's tree is followed from its top, because the lease shows no more of it: it was never seen, or is gone.
    const fn is_explored(&self) -> bool {
        self.planned_at.is_none() && matches!(self.stage, Stage::Ending { .. })
    }

    fn is_config(&self, digest: &Digest) -> bool {
        self.documents.values().any(|d| matches!(d, Document::Manifest { config, .. } if config == digest))
    }

    fn classify(&mut self, other: bool, inventory: &Inventory, now: Timestamp) {
        if self.stage != Stage::Candidate {
            return;
        }
        let is_pull = !(self.contents.is_empty() && self.open.is_empty() && self.extracting.is_empty());
        let newest = inventory.ingests.iter().filter(|i| self.open.contains(&i.reference.digest)).map(|i| i.updated_at).max();
        let newest = newest.unwrap_or(self.created_at).max(self.created_at);
        self.stage = match (is_pull, other) {
            _ if now.since(newest) >= ORPHANED_AFTER => Stage::Dull,
            (true, _) => Stage::Live,
            (false, true) => Stage::Dull,
            (false, false) if now.since(self.created_at) >= RESOLVING_VISIBLE_AFTER => Stage::Live,
            (false, false) => Stage::Candidate,
        };
    }

    /// Makes the list of layers as soon as the documents are there.
    fn plan(&mut self, now: Timestamp) {
        let (mut manifests, mut children) = (Vec::new(), Vec::new());
        for document in self.documents.values() {
            match document {
                Document::Index { manifests } if self.is_explored() => children.extend(manifests.iter().cloned()),
                Document::Manifest { config, layers } => manifests.push((config.clone(), layers.clone())),
                Document::Index { .. } | Document::Config { .. } => {}
            }
        }
        children.into_iter().for_each(|child| self.want(Subject::Content(child)));
        if self.chained || manifests.is_empty() {
            return;
        }
        let mut chained = true;
        for (config, layers) in &manifests {
            if self.facts.contains_key(config) {
                self.want(Subject::Blob(config.clone()));
            }
            let chains = match self.documents.get(config) {
                Some(Document::Config { diff_ids }) if diff_ids.len() == layers.len() => chain_ids(diff_ids),
                Some(_) => Vec::new(),
                None => {
                    chained = false;
                    Vec::new()
                }
            };
            self.add_layers(layers, &chains);
        }
        if self.planned_at.is_none() {
            self.planned_at = Some(now);
            let blobs: Vec<_> = self.layers.iter().map(|l| l.planned.digest.clone()).collect();
            blobs.into_iter().for_each(|digest| self.want(Subject::Content(digest)));
        }
        if chained {
            self.chained = true;
            self.resolved_at = Some(self.resolved(&manifests, now));
            if let (Some(top), false) = (self.top(), self.name.as_ref().is_some_and(|n| n.tag().is_some())) {
                self.want(Subject::ImagesOf(top));
            }
        }
    }

    /// Brings the layers into the order of the manifest; what another manifest or an ingest told before keeps its place behind them. A
    /// layer that a manifest lists twice is fetched once; its last place decides when it is unpacked.
    fn add_layers(&mut self, layers: &[PlannedLayer], chains: &[Digest]) {
        let mut known = std::mem::take(&mut self.layers);
        for (index, planned) in layers.iter().enumerate() {
            let chain = chains.get(index).cloned();
            if let Some(twice) = self.layers.iter_mut().find(|l| l.planned.digest == planned.digest) {
                twice.chain = chain.or(twice.chain.take());
                continue;
            }
            let seen = known.iter().position(|l| l.planned.digest == planned.digest).map(|at| known.remove(at));
            let mut layer = seen.unwrap_or_else(|| Track::new(planned.clone(), None));
            layer.planned.clone_from(planned);
            layer.chain = chain.or(layer.chain.take());
            self.layers.push(layer);
        }
        self.layers.append(&mut known);
    }

    /// When the last of manifest and configuration was committed, or `now` if they were here before.
    fn resolved(&self, manifests: &[(Digest, Vec<PlannedLayer>)], now: Timestamp) -> Timestamp {
        let configs = manifests.iter().map(|(config, _)| config);
        let committed = configs.chain(self.tops()).filter_map(|d| self.facts.get(d)).map(|f| f.created_at);
        committed.filter(|at| *at >= self.created_at).max().unwrap_or(now)
    }

    /// Brings every layer up to what is known.
    fn fold(&mut self, now: Timestamp, around: &mut impl Around) {
        let mut unknown_times = Vec::new();
        let is_ending = matches!(self.stage, Stage::Ending { .. });
        for layer in &mut self.layers {
            let digest = &layer.planned.digest;
            let held = self.contents.contains(digest);
            match self.facts.get(digest) {
                Some(facts) if facts.created_at < self.created_at => {
                    layer.complete = true;
                    if layer.origin == Origin::Unknown {
                        layer.origin = Origin::Here;
                    }
                }
                Some(facts) if held || (is_ending && around.claim(digest, self.id) == self.id) => {
                    layer.complete = true;
                    if layer.origin == Origin::Unknown {
                        layer.origin = if around.claim(digest, self.id) == self.id { Origin::Ours } else { Origin::Theirs };
                    }
                    layer.committed_at = Some((facts.created_at, TimingSource::Record));
                    layer.wrote(u64::MAX);
                }
                Some(_) | None => {}
            }
            let Some(chain) = &layer.chain else { continue };
            layer.extracting = self.extracting.contains_key(chain);
            if self.chains.contains(chain) || self.snapshots.contains_key(chain.as_str()) {
                layer.unpacked = true;
                layer.extracting = false;
            }
            let recorded = |at: Option<&Timestamp>| at.map(|at| (*at, TimingSource::Record));
            let committed: Option<Moment> = around
                .unpacked(chain)
                .map(|at| (at, TimingSource::Event))
                .or_else(|| recorded(self.snapshots.get(chain.as_str())));
            match committed {
                Some((at, _)) if layer.unpacked && layer.origin == Origin::Unknown && !held => {
                    layer.origin = if at < self.created_at { Origin::Here } else { Origin::Theirs };
                }
                None if layer.unpacked => unknown_times.push(chain.to_string()),
                Some(_) | None => {}
            }
            layer.unpacked_at = committed.filter(|(at, _)| *at >= self.created_at);
            if layer.origin != Origin::Theirs {
                let prepared = around.prepared(chain).map(|at| (at, TimingSource::Event));
                layer.prepared_at = prepared.filter(|(at, _)| *at >= self.created_at).or(layer.prepared_at);
            }
        }
        let snapshotter = self.snapshotter.clone();
        unknown_times.into_iter().for_each(|key| self.want(Subject::Snapshot { snapshotter: snapshotter.clone(), key }));
        if self.is_live() {
            self.meter.note(self.layers.iter().map(Track::fetched).sum(), now);
        }
    }

    /// A pull of which only the record is known began when the first of the blobs came that nobody else brought.
    fn date_back(&mut self, around: &mut impl Around) {
        let earliest = self.created_at.before(LONGEST_UNSEEN);
        let layers = self.layers.iter().filter_map(|l| Some((&l.planned.digest, self.facts.get(&l.planned.digest)?.created_at)));
        let recent = layers.filter(|(_, at)| (earliest..self.created_at).contains(at));
        let own = recent.filter(|(digest, _)| around.claim(digest, self.id) == self.id).map(|(_, at)| at).min();
        self.created_at = own.unwrap_or(self.created_at);
    }

    /// Gives up a pull whose client is gone: nothing has moved for very long, and nothing explains it.
    fn age(&mut self, now: Timestamp) {
        let last = self.meter.last_progress().unwrap_or(self.created_at).max(self.last_change);
        let explained = self
            .told
            .as_ref()
            .is_some_and(|(told, _)| matches!(told.wait, Some(Wait::LayerLock { .. } | Wait::DownloadSlot { .. })));
        if self.is_live() && !explained && now.since(last) >= ORPHANED_AFTER {
            self.end(Outcome::Canceled, now);
            self.stage = Stage::Ended { at: now };
        }
    }
}

/// What it concludes.
impl Watched {
    fn phase(&self) -> Phase {
        let fetched_any = self.layers.iter().any(|l| !l.is_cached());
        let missing = self.layers.iter().any(|l| !l.is_cached() && !l.complete);
        let packed = self.layers.iter().any(|l| !l.unpacked);
        match (self.layers.is_empty(), missing, packed, fetched_any) {
            (true, ..) | (false, false, false, false) => Phase::Resolving,
            (false, true, ..) => Phase::Downloading,
            (false, false, _, _) => Phase::Unpacking,
        }
    }

    fn wait(&self, phase: Phase, now: Timestamp, around: &impl Around) -> Option<Wait> {
        let since = self.meter.last_progress().unwrap_or(self.created_at).max(self.resolved_at.unwrap_or(self.created_at));
        let quiet = now.since(since);
        let asleep = !self.layers.iter().any(|l| self.open.contains(&l.planned.digest) && l.offset > 0);
        let next = self.layers.iter().find(|l| !l.unpacked && (!l.complete || !l.extracting));
        match (phase, next) {
            (Phase::Unpacking | Phase::Queued, _) => None,
            (Phase::Downloading, Some(layer)) if asleep => {
                let digest = &layer.planned.digest;
                let holder = if layer.extracting || self.open.contains(digest) {
                    None
                } else {
                    around.holder(self.id, layer.chain.as_ref(), digest)
                };
                match holder {
                    Some(holder) => Some(Wait::LayerLock { since, holder, layer: digest.clone() }),
                    None => self.wait_for_bytes(since, quiet, asleep, around),
                }
            }
            (Phase::Downloading, _) => self.wait_for_bytes(since, quiet, asleep, around),
            (Phase::Resolving, _) if !self.open.is_empty() => self.wait_for_bytes(since, quiet, asleep, around),
            (Phase::Resolving, _) => None,
        }
    }

    /// Remembers a wait that is over. A stall that turns out to be a wait for something is the same stretch, told better.
    fn note_wait(&mut self, wait: Option<Wait>, now: Timestamp) {
        let same = |a: &Wait, b: &Wait| a.as_str() == b.as_str() && a.since() == b.since();
        let over = match (&self.waiting, &wait) {
            (Some(was), Some(is)) if same(was, is) || was.since() == is.since() => None,
            (was, _) => was.clone(),
        };
        if self.waiting.is_some() {
            self.meter.restart();
        }
        let long_enough = |was: &Wait| now.since(was.since()) >= SHORTEST_WAIT;
        if let Some(was) = over.filter(long_enough)
            && self.waits.len() < MAX_WAITS
        {
            self.waits.push(Waited { wait: was, until: now });
        }
        self.waiting = wait;
    }

    fn wait_for_bytes(&self, since: Timestamp, quiet: Duration, asleep: bool, around: &impl Around) -> Option<Wait> {
        if asleep && quiet >= WAIT_VISIBLE_AFTER && around.others_move(self.id) {
            Some(Wait::DownloadSlot { since })
        } else if quiet >= self.meter.stall_after() {
            Some(Wait::Stalled { since })
        } else {
            None
        }
    }

    fn remains(&self, since: Timestamp, runtime_restarted: bool) -> Remains {
        let fetching = || self.layers.iter().filter(|l| !l.is_cached());
        let last = self.meter.last_progress().or(self.planned_at).unwrap_or(self.created_at);
        Remains {
            proven: false,
            runtime_restarted,
            planned: self.planned_at.is_some(),
            had_to_fetch: fetching().next().is_some(),
            all_complete: fetching().all(|l| l.complete) && self.layers.iter().any(|l| !l.unpacked),
            full_but_uncommitted: fetching().any(|l| !l.complete && l.planned.size > 0 && l.offset >= l.planned.size),
            any_byte: fetching().any(|l| l.complete || l.has_moved()),
            held_up: self
                .told
                .as_ref()
                .is_some_and(|(told, _)| matches!(told.wait, Some(Wait::LayerLock { .. } | Wait::DownloadSlot { .. }))),
            silence: since.since(last),
        }
    }

    fn end(&mut self, outcome: Outcome, since: Timestamp) {
        let proof = self.records.iter().filter(|r| self.proves(r)).map(|r| r.updated_at).max();
        let (at, source) = match (&outcome, proof) {
            (Outcome::Ready, Some(at)) => (at, TimingSource::Record),
            (Outcome::Ready | Outcome::Failed(_) | Outcome::Canceled | Outcome::Lost, _) => (since, TimingSource::Poll),
        };
        match outcome {
            Outcome::Ready => {
                for layer in &mut self.layers {
                    if layer.origin == Origin::Unknown {
                        layer.origin = Origin::Here;
                    }
                    layer.conclude();
                }
            }
            Outcome::Failed(_) => self.layers.iter_mut().for_each(|l| l.failed = l.opened_at.is_some() && !l.complete),
            Outcome::Canceled | Outcome::Lost => {}
        }
        self.ending = Some(Ending { outcome, at, source });
    }
}
