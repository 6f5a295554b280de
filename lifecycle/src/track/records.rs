//! Image records as events tell of them, and which pull wrote each.
//!
//! A pull that succeeds writes exactly one record under the name that it was asked for, while its lease is there. So a record belongs to a
//! pull of its namespace that
//!
//! 1. had its lease when it was written (containerd's clock timed all three),
//! 2. holds what the record points to; or, if somebody removed the image at once, comes from the repository that the record names,
//! 3. has no record yet; of several the one whose lease was gone first.
//!
//! It proves that this pull succeeded. A record without such a pull was written by one that was over before anyone looked. What CRI writes
//! behind a pull belongs to none: the image's id, the name again ([`Records::is_echo`]), the name by digest ([`Records::is_second_name`]).

use std::{collections::VecDeque, time::Duration};

use super::seen::{Answer, ImageRecord, LeaseKey, Question, Subject};
use crate::{
    image::{Digest, ImageRef},
    pull::PullId,
    time::Timestamp,
};

/// Most records that are remembered: those of ten seconds in which a hundred pulls a second end.
const MAX_RECORDS: usize = 1_024;
/// What CRI writes behind a pull it writes within this time.
const BEHIND: Duration = Duration::from_secs(1);
/// How long a record waits for a lease that explains it.
const GRACE: Duration = Duration::from_secs(1);
/// How long the answer about a record may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The newest image records.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// In the order in which events told of them.
    known: VecDeque<Record>,
    /// When an image was recorded under its id, by namespace.
    by_id: VecDeque<(String, Timestamp)>,
    /// How many were noted so far.
    noted: u64,
}

/// One record that was written.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Stands for a pull that is known by this record alone.
    pub(super) key: LeaseKey,
    /// Which it is: two may be written at the same time.
    pub(super) nth: u64,
    pub(super) name: ImageRef,
    /// When it was written.
    pub(super) at: Timestamp,
    pub(super) found: Found,
    /// As the event has it.
    text: String,
    seen_at: Timestamp,
    writer: Writer,
}

/// What became of the question about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is on its way. Back to here: `Unavailable`, with the next survey.
    Asked,
    /// It could not be answered.
    Unavailable,
    /// It was not there any more.
    Gone,
    /// It was there.
    Here(ImageRecord),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    /// Not known yet.
    Sought,
    /// This pull.
    Pull(PullId),
    /// No pull that is known.
    Nobody,
}

impl Record {
    /// What it points to, as far as is known.
    pub(super) fn target(&self) -> Option<&Digest> {
        match &self.found {
            Found::Here(record) => Some(&record.target),
            Found::Asked | Found::Unavailable | Found::Gone => self.name.digest(),
        }
    }

    /// Whether it is named by a tag, as nearly all images are that are pulled.
    pub(super) fn is_by_tag(&self) -> bool {
        self.name.tag().is_some()
    }

    /// Whether this pull wrote it, or nobody is known to have.
    pub(super) fn is_free_for(&self, id: PullId) -> bool {
        self.writer != Writer::Nobody && (self.writer == Writer::Sought || self.writer == Writer::Pull(id))
    }

    fn question(&self) -> Question {
        Question::About(self.key.clone(), Subject::ImageNamed(self.text.clone()))
    }

    /// When it is to be explained: a survey that was taken after it shows whose lease it may have been.
    fn due_at(&self, surveyed: Option<Timestamp>) -> Timestamp {
        let answered = matches!(self.found, Found::Gone | Found::Here(_));
        self.seen_at + if answered && surveyed.is_some_and(|taken_at| taken_at > self.at) { GRACE } else { PATIENCE }
    }

    fn is_of_image(&self, name: &ImageRef, target: Option<&Digest>) -> bool {
        same_repository(&self.name, name) && self.target().zip(target).is_none_or(|(own, other)| own == other)
    }
}

impl Records {
    /// Notes that a record was written; what to ask about it, unless too many wait for their answers.
    pub(super) fn note(&mut self, namespace: String, text: &str, at: Timestamp, now: Timestamp) -> Option<Question> {
        let name = text.parse().ok()?;
        if self.known.len() >= MAX_RECORDS {
            let settled = self.known.iter().position(|r| r.writer != Writer::Sought)?;
            self.known.remove(settled);
        }
        let key = LeaseKey { lease: format!("record {text} {}", at.as_nanos()), namespace };
        self.noted += 1;
        let nth = self.noted;
        let record =
            Record { key, nth, name, at, found: Found::Asked, text: text.to_owned(), seen_at: now, writer: Writer::Sought };
        let question = record.question();
        self.known.push_back(record);
        Some(question)
    }

    /// Notes that an image was recorded under its id.
    pub(super) fn note_by_id(&mut self, namespace: String, at: Timestamp) {
        if self.by_id.len() >= MAX_RECORDS {
            self.by_id.pop_front();
        }
        self.by_id.push_back((namespace, at));
    }

    /// Takes in an answer; whether it was about a record.
    pub(super) fn answer(&mut self, key: &LeaseKey, answer: &Answer) -> bool {
        let Some(record) = self.known.iter_mut().rfind(|record| record.key == *key && record.found == Found::Asked) else {
            return false;
        };
        match answer {
            Answer::Images(found) => record.found = found.first().map_or(Found::Gone, |found| Found::Here(found.clone())),
            Answer::Unavailable => record.found = Found::Unavailable,
            Answer::Blob(_) | Answer::Content(_) | Answer::Snapshot(_) => {}
        }
        true
    }

    /// Asks again what could not be answered; after a reconnection also what was on its way.
    pub(super) fn ask_again(&mut self, reconnected: bool) -> Vec<Question> {
        let again = |r: &&mut Record| r.found == Found::Unavailable || (reconnected && r.found == Found::Asked);
        let ask = |record: &mut Record| {
            record.found = Found::Asked;
            record.question()
        };
        self.known.iter_mut().filter(|r| r.writer == Writer::Sought).filter(again).map(ask).collect()
    }

    /// When the next one is to be explained.
    pub(super) fn deadline(&self, surveyed: Option<Timestamp>) -> Option<Timestamp> {
        self.known.iter().filter(|r| r.writer == Writer::Sought).map(|r| r.due_at(surveyed)).min()
    }

    /// Those whose writer is to be found now, the names before the second names. Each is handed out once.
    pub(super) fn take_due(&mut self, surveyed: Option<Timestamp>, now: Timestamp) -> Vec<Record> {
        let is_due = |r: &&Record| r.writer == Writer::Sought && now >= r.due_at(surveyed);
        let due: Vec<Record> = self.known.iter().filter(is_due).cloned().collect();
        self.known.iter_mut().filter(|r| due.iter().any(|d| d.nth == r.nth)).for_each(|r| r.writer = Writer::Nobody);
        let mut due: Vec<_> = due.into_iter().filter(|r| !self.is_echo(r)).collect();
        due.sort_by_key(|r| (!r.is_by_tag(), r.at));
        due
    }

    /// Notes who wrote a record.
    pub(super) fn written_by(&mut self, nth: u64, id: PullId) {
        self.known.iter_mut().rfind(|r| r.nth == nth).into_iter().for_each(|r| r.writer = Writer::Pull(id));
    }

    /// The records of a namespace that were written between these times by a pull.
    pub(super) fn between(&self, namespace: &str, from: Timestamp, until: Timestamp) -> impl Iterator<Item = &Record> {
        let of_pulls = |r: &&Record| !self.is_echo(r) && (r.is_by_tag() || !self.is_second_name(r));
        self.known.iter().filter(move |r| r.key.namespace == namespace && (from..=until).contains(&r.at)).filter(of_pulls)
    }

    /// When the record that this one replaced was written.
    pub(super) fn newest_before(&self, namespace: &str, record: &ImageRecord) -> Option<Timestamp> {
        let same =
            |r: &&Record| r.key.namespace == namespace && record.name.as_ref() == Some(&r.name) && r.at < record.updated_at;
        self.known.iter().filter(same).map(|r| r.at).max()
    }

    /// Whether CRI only wrote a name again: 1.6, and CRI for images that others pulled, write the name, the id, then the name again, and
    /// the name by digest at last. The name by digest of the pull before comes before the next pull writes its name.
    fn is_echo(&self, record: &Record) -> bool {
        let of_namespace = || self.known.iter().filter(|r| r.key.namespace == record.key.namespace);
        let before = of_namespace().filter(|r| r.name == record.name && r.at < record.at).map(|r| r.at).max();
        let Some(before) = before.filter(|before| record.at.since(*before) < BEHIND) else { return false };
        let by_digest = |from: Timestamp, until: Timestamp| {
            of_namespace()
                .filter(|r| !r.is_by_tag() && (from..=until).contains(&r.at))
                .any(|r| r.is_of_image(&record.name, record.target()))
        };
        let by_id = self.by_id.iter().any(|(ns, at)| *ns == record.key.namespace && (before..=record.at).contains(at));
        by_id && !by_digest(before, record.at) && by_digest(record.at, record.at + BEHIND)
    }

    /// Whether CRI wrote this name by digest behind the name by tag.
    fn is_second_name(&self, record: &Record) -> bool {
        let from = record.at.before(BEHIND);
        let names = self.known.iter().filter(|r| r.key.namespace == record.key.namespace && r.is_by_tag());
        names.filter(|r| (from..=record.at).contains(&r.at)).any(|r| r.is_of_image(&record.name, record.target()))
    }
}

/// Whether both are of one repository, as far as containerd's labels tell registries apart.
pub(super) fn same_repository(one: &ImageRef, other: &ImageRef) -> bool {
    (one.registry_host(), one.repository()) == (other.registry_host(), other.repository())
}
