//! What the tracker takes in: connections, surveys, events, answers.

use std::collections::BTreeSet;

use super::{
    Answer, Event, Happening, LeaseKey, Link, MAX_WATCHED, Output, Runtime, Subject, Survey, Tracker,
    memory::with,
    surveys::{Finding, Surveys},
    watched::{Stage, Watched},
};
use crate::time::Timestamp;

impl Tracker {
    pub(super) fn connected(&mut self, runtime: &Runtime, now: Timestamp) {
        let (old_pid, away_since) = match self.runtime {
            Link::Up { pid } => (pid, None),
            Link::Down { pid, since } => (pid, since),
        };
        self.node.runtime_version.clone_from(&runtime.version);
        if self.goes_by_runtime && !runtime.uuid.is_empty() {
            self.node.uid.clone_from(&runtime.uuid);
        }
        // 1.6 does not say by which process it is served, but that one made its socket anew.
        let other = (old_pid != 0 && runtime.pid != 0).then_some(runtime.pid != old_pid);
        let restarted = other.unwrap_or_else(|| self.memory.born.zip(runtime.started_at).is_some_and(|(old, new)| old < new));
        let born = runtime.started_at.or(away_since.filter(|_| restarted));
        for watched in self.watched.values_mut() {
            let older = born.is_some_and(|born| watched.created_at() < born);
            watched.reconnected(now);
            if restarted && older {
                watched.vanish(away_since.unwrap_or(now), now, true);
            }
        }
        self.out.extend(self.memory.records.ask_again(true).into_iter().map(Output::Ask));
        self.memory.born = born;
        self.runtime = Link::Up { pid: runtime.pid };
        self.surveys = Surveys::AT_ONCE;
        self.ask_wants();
    }

    pub(super) fn disconnected(&mut self, now: Timestamp) {
        if let Link::Up { pid } = self.runtime {
            self.runtime = Link::Down { pid, since: Some(now) };
        }
    }

    pub(super) fn survey(&mut self, survey: &Survey, now: Timestamp) {
        let Self { watched, memory, node, surveys, refused, out, .. } = self;
        let took = surveys.answered(survey.taken_at, now);
        let mut present = BTreeSet::new();
        let mut leases: Vec<_> =
            survey.namespaces.iter().flat_map(|(ns, inv)| inv.leases.iter().map(move |l| (ns, inv, l))).collect();
        leases.sort_by_key(|(_, _, lease)| lease.created_at);
        for (namespace, inventory, lease) in leases {
            let key = LeaseKey { namespace: namespace.clone(), lease: lease.id.clone() };
            // It was listed and gone when it was looked into.
            if lease.resources.is_empty() && watched.get(&key).is_some_and(Watched::held_something) {
                continue;
            }
            present.insert(key.clone());
            if !watched.contains_key(&key) {
                if watched.len() >= MAX_WATCHED {
                    *refused += 1;
                    continue;
                }
                let mut fresh = Watched::new(&node.uid, key.clone(), lease.created_at, survey.taken_at).on(&self.experience);
                if memory.born.is_some_and(|born| lease.created_at < born) {
                    fresh.stage = Stage::Dull;
                }
                watched.insert(key.clone(), fresh);
            }
            with(watched, memory, &key, now, |w, around| match w.stage {
                Stage::Candidate | Stage::Live => w.survey(lease, inventory, survey.taken_at, around),
                Stage::Ended { .. } | Stage::Dull => w.still_there(survey.taken_at),
                // The leftover of a runtime that is no more says nothing about when the pull was alive.
                Stage::Ending { .. } => {}
            });
        }
        for (key, w) in watched.iter_mut().filter(|(key, _)| !present.contains(key)) {
            if let Some(inventory) = survey.namespaces.get(&key.namespace) {
                w.last_words(inventory);
                if w.created_at() <= survey.taken_at {
                    w.vanish(now, now, false);
                }
            }
        }
        watched.values_mut().for_each(Watched::ask_again);
        out.extend(memory.records.ask_again(false).into_iter().map(Output::Ask));
        let lingers = watched.values().any(Watched::lingers);
        surveys.stirred |= lingers;
        let found = if lingers || watched.values().any(|w| w.is_unknown(now)) {
            Finding::Unclear
        } else if watched.values().any(Watched::is_open) {
            Finding::Open
        } else {
            Finding::Nothing
        };
        surveys.space(found, took);
        self.ask_wants();
    }

    pub(super) fn event(&mut self, event: Event, now: Timestamp) {
        self.surveys.stir(now);
        let Event { namespace, at, what } = event;
        match what {
            // A pull has begun to fetch layers; if the registry refuses them it is over in a moment.
            Happening::ExtractionPrepared(key) => {
                self.surveys.urgent = true;
                self.memory.chain(&namespace, key.chain()).prepared = Some(at);
            }
            Happening::ChainCommitted(chain) => self.memory.chain(&namespace, &chain).unpacked = Some(at),
            // Given up: what its ingests show now is gone in a moment.
            Happening::ExtractionRemoved(key) => {
                self.surveys.urgent = true;
                let of_key = |w: &&mut Watched| w.key.namespace == namespace && w.extracts_into(&key);
                self.watched.values_mut().filter(of_key).for_each(Watched::gives_up);
            }
            // The first word of a pull, unless it is a layer of one that is known: its documents come before its layers.
            Happening::ContentCreated(digest) => {
                self.surveys.urgent |= !self.watched.values().any(|w| w.key.namespace == namespace && w.plans(&digest));
            }
            Happening::ImageRecordedById => self.memory.records.note_by_id(namespace, at),
            Happening::ImageRecorded(name) => {
                let question = self.memory.records.note(namespace, &name, at, now);
                self.out.extend(question.map(Output::Ask));
            }
        }
    }

    pub(super) fn answer(&mut self, key: &LeaseKey, subject: &Subject, answer: Answer, now: Timestamp) {
        if self.memory.records.answer(key, &answer) {
            return;
        }
        with(&mut self.watched, &mut self.memory, key, now, |w, around| w.answer(subject, answer, now, around));
        self.ask_wants();
    }
}
