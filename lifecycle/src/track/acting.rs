//! What the tracker does as time passes: reaches verdicts, looks, tells, forgets, and shows that it lives.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Link, MAX_WATCHED, Output, Question, Tracker,
    memory::{SECOND_NAME, with},
    records::{Found, Record, same_repository},
    seen::ImageRecord,
    watched::{Stage, Watched},
};
use crate::{
    pull::{MAX_QUEUED_IMAGES, NodeReport, Pull, Wait},
    time::Timestamp,
};

/// How long an ended pull is kept, so that what it brought and recorded is not taken for another's.
const KEEP_ENDED: Duration = Duration::from_secs(10);
/// The same while one runs that began before it ended.
const KEEP_BESIDE: Duration = Duration::from_secs(60);
/// Ended pulls are forgotten in such steps.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// While nothing runs, events about chains are remembered for so long: the first of a pull come before its lease is seen.
const KEEP_CHAINS: Duration = Duration::from_secs(60);
/// Heartbeat.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(30);
/// A running pull is told this often even if nothing changed, so that a receiver that has forgotten it learns it again.
const REPEAT_AFTER: Duration = Duration::from_secs(2);
/// Progress of one pull is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// A pull whose runtime stays away for so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(600);

impl Tracker {
    pub(super) fn conclude(&mut self, now: Timestamp) {
        self.explain_records(now);
        let ending = |w: &&Watched| matches!(w.stage, Stage::Ending { .. });
        let keys: Vec<_> = self.watched.values().filter(ending).map(|w| w.key.clone()).collect();
        for key in keys {
            let experience = &mut self.experience;
            with(&mut self.watched, &mut self.memory, &key, now, |w, around| w.conclude(now, around, experience));
        }
        self.ask_wants();
    }

    /// An image record that no lease explains is a pull that was over before anyone looked.
    fn explain_records(&mut self, now: Timestamp) {
        for record in self.memory.records.take_due(self.surveys.taken_at, now) {
            let writer = self.writer_of(&record);
            if let Some(writer) = writer {
                if record.is_by_tag() {
                    writer.has_written(record.at);
                }
                let id = writer.id;
                self.memory.records.written_by(record.nth, id);
                continue;
            }
            let Record { key, name, at, found, .. } = record;
            let has_room = self.watched.len() < MAX_WATCHED;
            let empty = self.watched.values_mut().filter(|w| w.key.namespace == key.namespace && w.ended_empty_after(at));
            match (empty.min_by_key(|w| (w.gone_at(), w.created_at())), found) {
                (Some(empty), Found::Here(record)) => empty.adopt(ImageRecord { updated_at: at, ..record }, now),
                (Some(empty), Found::Gone) if name.tag().is_some() => empty.adopt_name(name, at),
                (None, Found::Here(_)) if !has_room => self.refused += 1,
                (None, Found::Here(record)) => {
                    let record = ImageRecord { updated_at: at, ..record };
                    self.watched.insert(key.clone(), Watched::from_record(&self.node.uid, key, record, now));
                }
                // Nothing is left of it that says what it was.
                (Some(_) | None, Found::Gone | Found::Asked | Found::Unavailable) => {}
            }
        }
        self.ask_wants();
    }

    /// The pull that wrote a record, as far as leases tell; see [`super::records`].
    fn writer_of(&mut self, record: &Record) -> Option<&mut Watched> {
        let belongs = |w: &Watched| match record.target() {
            Some(target) if record.is_by_tag() => w.holds(target) && w.awaits_record() && w.had_its_lease(record.at),
            Some(target) => w.holds(target) && w.may_have_written(record.at, SECOND_NAME),
            None => {
                let same = w.name().is_some_and(|name| same_repository(name, &record.name));
                same && w.awaits_record() && w.had_its_lease(record.at)
            }
        };
        let of_namespace = |w: &&mut Watched| w.key.namespace == record.key.namespace && belongs(w);
        self.watched.values_mut().filter(of_namespace).min_by_key(|w| (w.gone_at().is_none(), w.gone_at(), w.created_at()))
    }

    pub(super) fn look(&mut self, now: Timestamp) {
        if now < self.surveys.next(self.is_active(), self.pace) {
            return;
        }
        self.surveys.ask(now);
        let ingests = self.is_active();
        self.out.push_back(Output::Ask(Question::Survey { ingests }));
    }

    /// Pulls whose runtime does not come back are lost.
    pub(super) fn give_up(&mut self, now: Timestamp) {
        if let Link::Down { since: Some(since), .. } = self.runtime
            && now.since(since) >= LOST_AFTER
        {
            self.watched
                .values_mut()
                .filter(|w| w.is_live() || matches!(w.stage, Stage::Ending { .. }))
                .for_each(|w| w.lose(now));
        }
    }

    /// Tells every pull whose state changed: at once when it is a step, else at most once in [`PROGRESS_EVERY`].
    pub(super) fn tell(&mut self, now: Timestamp) {
        let keys: Vec<_> = self.watched.values().filter(|w| w.is_live() || w.told_open()).map(|w| w.key.clone()).collect();
        let repeat = std::mem::take(&mut self.repeat);
        for key in keys {
            let experience = &self.experience;
            let told = with(&mut self.watched, &mut self.memory, &key, now, |w, around| {
                if !w.is_settled(now) || matches!(w.stage, Stage::Ending { .. }) {
                    return None;
                }
                let pull = w.view(now, around, experience);
                let first = w.told.is_none();
                let worth = match &w.told {
                    None => true,
                    Some((old, at)) => {
                        let quiet = now.since(*at);
                        repeat
                            || is_step(old, &pull)
                            || (quiet >= PROGRESS_EVERY && is_change(old, &pull))
                            || quiet >= REPEAT_AFTER
                    }
                };
                worth.then(|| {
                    w.told = Some((pull.clone(), now));
                    Output::Pull { first, pull: Box::new(pull) }
                })
            });
            self.out.extend(told.flatten());
        }
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        let Self { watched, memory, surveys, forgot_at, .. } = self;
        if forgot_at.is_some_and(|at| now.since(at) < FORGET_EVERY) {
            return;
        }
        *forgot_at = Some(now);
        let listed = |w: &Watched| surveys.last_at.is_none_or(|last| w.was_listed_since(last.before(KEEP_ENDED)));
        let oldest = watched.values().filter(|w| w.is_open()).map(Watched::created_at).min();
        let keep = |at: Timestamp| if oldest.is_some_and(|open| open <= at) { KEEP_BESIDE } else { KEEP_ENDED };
        let before = watched.len();
        watched.retain(|_, w| match w.stage {
            Stage::Ended { at } => now.since(at) < keep(at) || listed(w),
            Stage::Candidate | Stage::Live | Stage::Ending { .. } | Stage::Dull => true,
        });
        if watched.len() < before {
            let ids: BTreeSet<_> = watched.values().map(|w| w.id).collect();
            memory.owners.retain(|_, owner| ids.contains(owner));
        }
        if watched.is_empty() {
            memory.chains.retain(|_, c| c.newest().is_some_and(|at| now.since(at) < KEEP_CHAINS));
        }
    }

    pub(super) fn beat(&mut self, now: Timestamp) {
        // Before the first look it is not known what runs: a number of pulls would be wrong.
        let reachable = matches!(self.runtime, Link::Up { .. }) && self.surveys.last_at.is_some();
        let active_pulls = self.watched.values().filter(|w| w.is_live()).count() as u64;
        self.queue_at = self.intents.deadline(now);
        let mut queued_images = self.intents.queued(&self.watched, now);
        queued_images.truncate(MAX_QUEUED_IMAGES);
        let due = self.heartbeat_at.is_none_or(|at| now.since(at) >= HEARTBEAT);
        let said = Some((reachable, active_pulls, queued_images.clone()));
        if !due && self.heartbeat_said == said {
            return;
        }
        self.heartbeat_at = Some(now);
        self.heartbeat_said = said;
        self.out.push_back(Output::Node(NodeReport {
            node: self.node.clone(),
            observed_at: now,
            agent_version: self.agent_version.clone(),
            runtime_reachable: reachable,
            active_pulls,
            queued_images,
            dropped_progress: 0,
            dropped_outcomes: 0,
        }));
    }

    pub(super) fn ask_wants(&mut self) {
        for w in self.watched.values_mut() {
            let wants = w.take_wants().into_iter();
            self.out.extend(wants.map(|subject| Output::Ask(Question::About(w.key.clone(), subject))));
        }
    }
}

/// Whether something changed that is told at once.
fn is_step(old: &Pull, new: &Pull) -> bool {
    let kind = |p: &Pull| p.wait.as_ref().map(Wait::as_str);
    let states = |p: &Pull| p.layers.iter().map(|l| (l.state, l.cached)).collect::<Vec<_>>();
    old.phase != new.phase
        || old.ending != new.ending
        || kind(old) != kind(new)
        || old.total_known != new.total_known
        || old.image != new.image
        || states(old) != states(new)
}

/// Whether anything changed but the time of the look.
fn is_change(old: &Pull, new: &Pull) -> bool {
    let still = Pull { sequence: old.sequence, observed_at: old.observed_at, ..new.clone() };
    still != *old
}
