//! How one pull ends: noticing, waiting for evidence, the verdict, and what it does to the layers.

use std::time::Duration;

use super::{Around, ORPHANED_AFTER, Stage, Watched};
use crate::image::{Digest, ImageRef};
use crate::pull::{Ending, Outcome, TimingSource, Wait};
use crate::time::Timestamp;
use crate::track::experience::Experience;
use crate::track::layer::Origin;
use crate::track::plan::Document;
use crate::track::seen::{ImageRecord, Subject};
use crate::track::verdict::{Remains, judge};

/// How far the clocks of agent and containerd may be apart: the same clock, but the agent's runs on without steps while something happens.
const CLOCK_SLACK: Duration = Duration::from_millis(500);
/// How long answers may take before the pull is judged without them.
const ENDING_PATIENCE: Duration = Duration::from_secs(5);
/// The same where nothing but the image record can tell what was pulled: it is looked into first.
const EMPTY_GRACE: Duration = Duration::from_secs(2);
/// A pull that gave up a layer, or whose download another pull goes on with, is over when nothing of it moves for this long, though its
/// lease stays: Docker keeps the lease of what was canceled for hours (`moby` daemon/containerd/image_pull.go).
const ABANDONED_AFTER: Duration = Duration::from_secs(3);
/// A registry that refuses has done so within this time, though the node is busy; who has no byte later than that lacks a download slot.
const REFUSED_WITHIN: Duration = Duration::from_secs(10);
/// How long events may lag behind the survey that missed the lease.
const ENDING_GRACE: Duration = Duration::from_millis(150);

impl Watched {
    /// Whether its lease was gone after `at` without ever having shown what was pulled: a pull that found everything on the node is over
    /// between two looks.
    pub(in crate::track) fn ended_empty_after(&self, at: Timestamp) -> bool {
        let gone_at = match self.stage {
            Stage::Ending { since, .. } => since,
            Stage::Ended { at } if self.ending.is_none() => at,
            Stage::Candidate | Stage::Live | Stage::Ended { .. } | Stage::Dull => return false,
        };
        self.is_empty() && self.awaits_record() && !self.strange && !self.leftover && (self.created_at..=gone_at).contains(&at)
    }

    /// Takes an image record for its own, and what was pulled from there.
    pub(in crate::track) fn adopt(&mut self, record: ImageRecord, now: Timestamp) {
        if let Stage::Ended { at } = self.stage {
            self.stage = Stage::Ending { since: at, runtime_restarted: false };
        }
        self.adopted = true;
        self.asking_since = now;
        self.written = Some(record.updated_at);
        self.name.clone_from(&record.name);
        self.hold(record.target.clone());
        self.records.push(record);
    }

    /// Takes an image record for its own that is gone by now, so that only its name is known.
    pub(in crate::track) fn adopt_name(&mut self, name: ImageRef, at: Timestamp) {
        if let Stage::Ended { at } = self.stage {
            self.stage = Stage::Ending { since: at, runtime_restarted: false };
        }
        self.written = Some(at);
        self.name = Some(name);
    }

    /// Whether its downloads may still say that bytes came.
    pub(in crate::track) const fn lingers(&self) -> bool {
        matches!(self.stage, Stage::Ending { .. }) && self.lingering
    }

    /// Notes that a layer that it was unpacking was given up. Usually it failed or was canceled then.
    pub(in crate::track) const fn gives_up(&mut self) {
        self.given_up = true;
    }

    /// Says that the lease is gone, or its runtime, since `since`.
    pub(in crate::track) fn vanish(&mut self, since: Timestamp, now: Timestamp, runtime_restarted: bool) {
        if matches!(self.stage, Stage::Candidate | Stage::Live) {
            self.hold_documents();
        }
        match self.stage {
            Stage::Candidate if self.contents.is_empty() => self.stage = Stage::Ended { at: since },
            Stage::Dull => {
                self.leftover = true;
                self.stage = Stage::Ended { at: now };
            }
            Stage::Candidate | Stage::Live => {
                self.stage = Stage::Ending { since, runtime_restarted };
                self.asking_since = now;
                self.look_for_sources();
                self.ask_for_evidence(Self::want_again);
            }
            Stage::Ending { .. } | Stage::Ended { .. } => {}
        }
    }

    /// Reaches the verdict if its evidence is complete, or if it has been waited for long enough. True when it was reached by this call.
    pub(in crate::track) fn conclude(&mut self, now: Timestamp, around: &mut impl Around, experience: &mut Experience) -> bool {
        let Stage::Ending { since, runtime_restarted } = self.stage else { return false };
        let waits_for_answers = !self.pending.is_empty() && now.since(self.asking_since) < ENDING_PATIENCE;
        if now < since + self.grace() || waits_for_answers {
            return false;
        }
        if self.from_record {
            self.date_back(around);
        }
        self.fold(now, around);
        if self.is_no_pull() && self.told.is_none() {
            self.stage = Stage::Ended { at: now };
            return false;
        }
        if self.awaits_record()
            && let Some(written) = around.record_of(self, since)
        {
            self.written = Some(written.at);
            if written.name.tag().is_some() {
                self.name = Some(written.name);
            } else {
                self.learn_name(written.name);
            }
        }
        let anothers = |r: &ImageRecord| self.doubts(r.updated_at) && around.rivals(self.id, r);
        let proven = self.from_record || self.written.is_some() || self.records.iter().any(|r| self.proves(r) && !anothers(r));
        let hollow = proven && self.is_hollow();
        let outcome = judge(Remains { proven: proven && !hollow, hollow, ..self.remains(since, runtime_restarted) });
        self.end(outcome, since);
        self.teach(experience);
        self.stage = Stage::Ended { at: now };
        true
    }

    /// Whether the image is an index of which nothing is on the node. The transfer service records it and fails then.
    fn is_hollow(&self) -> bool {
        let absent = |digest: &Digest| {
            let subject = Subject::Content(digest.clone());
            self.asked.contains(&subject) && !self.pending.contains(&subject) && !self.facts.contains_key(digest)
        };
        let is_empty = |d: &Document| matches!(d, Document::Index { manifests } if manifests.iter().all(absent));
        self.planned_at.is_none() && self.documents.values().any(is_empty)
    }

    /// Whether it was over when this came, which is another pull's then, though its index may list it.
    pub(super) fn is_over_before(&self, came_at: Timestamp) -> bool {
        match (self.written, self.stage) {
            (Some(written), _) => came_at > written,
            (None, Stage::Ending { since, .. }) => came_at > since + CLOCK_SLACK,
            (None, Stage::Candidate | Stage::Live | Stage::Ended { .. } | Stage::Dull) => false,
        }
    }

    /// Whether a record of that time may rather be another pull's: something that it was doing then was not done, or was given up.
    pub(in crate::track) fn doubts(&self, at: Timestamp) -> bool {
        self.given_up || !self.has_arrived() || at < self.complete_after()
    }

    /// The same for a record that nobody could read because the image was removed at once, and its blobs with it: what it fetched may have
    /// arrived after the last look at its lease.
    pub(in crate::track) fn doubts_removed(&self, at: Timestamp) -> bool {
        self.given_up || at < self.complete_after() || (at < self.last_alive && !self.has_arrived())
    }

    /// From when on it may have written its record: what its lease holds is complete then.
    pub(in crate::track) fn writes_from(&self) -> Timestamp {
        self.complete_after().before(CLOCK_SLACK).max(self.created_at)
    }

    /// Whether everything came that it was seen to fetch.
    fn has_arrived(&self) -> bool {
        self.layers.iter().all(|l| l.complete || l.is_cached() || l.opened_at.is_none())
    }

    /// After what time an image record can be its own: containerd writes it when all is unpacked, and `ctr` when all is fetched, to unpack
    /// it then.
    fn complete_after(&self) -> Timestamp {
        let whole = self.planned_at.is_some() && self.layers.iter().all(|l| l.unpacked) && self.has_arrived();
        if whole { self.fetched_after } else { self.changed_after }
    }

    /// Gives the pull up as lost.
    pub(in crate::track) fn lose(&mut self, now: Timestamp) {
        self.ending = Some(Ending { outcome: Outcome::Lost, at: now, source: TimingSource::Inferred });
        self.stage = Stage::Ended { at: now };
    }

    /// When something is to be done about it without anything being seen.
    pub(in crate::track) fn deadline(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Ending { since, .. } if self.pending.is_empty() => Some(since + self.grace()),
            Stage::Ending { since, .. } => Some((self.asking_since + ENDING_PATIENCE).max(since + self.grace())),
            Stage::Candidate | Stage::Live | Stage::Ended { .. } | Stage::Dull => None,
        }
    }

    /// How long the verdict waits for what lags behind.
    pub(super) fn grace(&self) -> Duration {
        if self.is_empty() { EMPTY_GRACE } else { ENDING_GRACE }
    }

    /// Whether its lease was seen to hold content, which it does until it is gone.
    pub(in crate::track) fn held_something(&self) -> bool {
        matches!(self.stage, Stage::Candidate | Stage::Live) && !self.contents.is_empty()
    }

    /// Whether nothing of what it pulls was ever seen.
    pub(in crate::track) fn is_empty(&self) -> bool {
        self.contents.is_empty() && self.layers.is_empty() && self.open.is_empty()
    }

    /// Whether this record was written by this pull, at its end.
    pub(super) fn proves(&self, record: &ImageRecord) -> bool {
        self.contents.contains(&record.target) && (self.from_record || record.updated_at >= self.writes_from())
    }

    /// Gives up a pull whose client is gone: nothing has moved for very long, and nothing explains it.
    pub(super) fn age(&mut self, now: Timestamp) {
        let last = self.meter.last_progress().unwrap_or(self.created_at).max(self.last_change);
        let given_up = !self.yielded.is_empty() || (self.given_up && self.extracting.is_empty());
        if self.is_live() && given_up && now.since(last) >= ABANDONED_AFTER {
            self.vanish(last, now, false);
        }
        if self.is_live() && !self.is_held_up(now) && now.since(last) >= ORPHANED_AFTER {
            self.end(Outcome::Canceled, now);
            self.stage = Stage::Ended { at: now };
        }
    }

    /// Whether it waited for another pull. That it lacks a download slot is concluded from others that move while it does not, and so does one
    /// that a registry is about to refuse.
    fn is_held_up(&self, now: Timestamp) -> bool {
        match self.told.as_ref().and_then(|(told, _)| told.wait.as_ref()) {
            Some(Wait::LayerLock { .. }) => true,
            Some(Wait::DownloadSlot { since }) => now.since(*since) >= REFUSED_WITHIN,
            Some(Wait::Stalled { .. } | Wait::Retrying { .. }) | None => false,
        }
    }

    pub(super) fn remains(&self, since: Timestamp, runtime_restarted: bool) -> Remains {
        let fetching = || self.layers.iter().filter(|l| !l.needs_no_fetching());
        let last = self.planned_at.unwrap_or(self.created_at);
        Remains {
            proven: false,
            hollow: false,
            runtime_restarted,
            planned: self.planned_at.is_some(),
            had_to_fetch: fetching().next().is_some(),
            all_complete: fetching().all(|l| l.complete) && self.layers.iter().any(|l| !l.unpacked),
            full_but_uncommitted: fetching().any(|l| !l.complete && l.planned.size > 0 && l.offset >= l.planned.size),
            any_byte: fetching().any(|l| l.complete || l.has_moved()),
            held_up: self.is_held_up(since),
            silence: self.meter.silence_before(since).unwrap_or_else(|| since.since(last)),
        }
    }

    pub(super) fn end(&mut self, outcome: Outcome, since: Timestamp) {
        // A record that the next pull has written again says nothing about this one.
        let own = |at: &Timestamp| *at >= self.created_at && self.written.is_none_or(|written| *at <= written);
        let proof = self.records.iter().filter(|r| self.proves(r)).map(|r| r.updated_at).filter(own).max();
        let (at, source) = match (&outcome, proof, self.written) {
            (Outcome::Ready, Some(at), _) => (at, TimingSource::Record),
            (Outcome::Ready, None, Some(at)) => (at, TimingSource::Event),
            (Outcome::Ready | Outcome::Failed(_) | Outcome::Canceled | Outcome::Lost, ..) => (since, TimingSource::Poll),
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
