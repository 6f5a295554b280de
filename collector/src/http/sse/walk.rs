//! What a reader at a position must be told: a function of its class, its position and two snapshots, and of nothing else. So readers of
//! one class at one position get the same bytes, and a reader who was away is no special case.
//!
//! A reader has been told everything up to `complete`, and is walking to the newest snapshot in the order of revisions; `seen` is how far it
//! is. What changes behind it moves in front of it, so it may walk on in a newer snapshot at any time: of a pull that changed often
//! it is told once. It is complete when it arrives at the end. Everything that is told before has the id of the last complete state, so
//! whoever is cut off on the way is told all of it again, and nothing is lost. A newcomer that is slow is complete up to 0 for as long, though it
//! hears `sync` when it has come as far as the world was when it came.

use super::{beat::Beat, dense::Dense, plain::Plain};
use crate::{
    http::query::Filter,
    snapshot::{Cursor, Row, Snapshot, Step},
};

/// About so many bytes are told at a time. A reader that stops reading keeps so much from being freed.
const CHUNK: usize = 16 * 1024;
/// The same before it is compressed, which makes it several times smaller.
const CHUNK_TO_PACK: usize = 64 * 1024;

/// What a reader asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Class {
    pub(super) filter: Filter,
    pub(super) dialect: Dialect,
    pub(super) gzip: bool,
}

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Dialect {
    /// The contract's events.
    Events {
        /// Whether layers are told too.
        layers: bool,
    },
    /// Many pulls in one message, for the page.
    Frames {
        /// Whether layers are told too.
        layers: bool,
        /// Whether the sentence is told whenever it changes.
        summary: bool,
    },
}

/// How far a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Position {
    /// Everything up to this revision was told.
    pub(super) complete: u64,
    /// The revision of what was told last.
    pub(super) seen: u64,
    /// Of a newcomer: the revision at which it came, until it has come so far.
    pub(super) sync_at: Option<u64>,
}

impl Position {
    /// Of one who knows nothing.
    pub(super) const fn newcomer(snapshot: &Snapshot) -> Self {
        Self { complete: 0, seen: 0, sync_at: Some(snapshot.revision) }
    }

    /// Of one who comes back and knows everything up to there; `None` if what was missed since is not known any more.
    pub(super) fn resumed(cursor: Cursor, snapshot: &Snapshot) -> Option<Self> {
        let known = cursor.revision > 0 && snapshot.can_resume(cursor);
        known.then_some(Self { complete: cursor.revision, seen: cursor.revision, sync_at: None })
    }

    /// Whether there is nothing to tell.
    pub(super) const fn is_at_end(&self, snapshot: &Snapshot) -> bool {
        self.seen >= snapshot.revision && self.sync_at.is_none()
    }

    /// Whether something left that was told to this reader, and that it left is forgotten.
    pub(super) fn is_behind(&self, snapshot: &Snapshot) -> bool {
        snapshot.forgotten > self.seen.max(self.sync_at.unwrap_or(0))
    }
}

/// Writes what is told, in one form.
pub(super) trait Tell {
    /// How a pull is, for one who knows nothing.
    fn present(&mut self, row: &Row) -> Result<(), serde_json::Error>;
    /// That a pull appeared, which has changed since.
    fn started(&mut self, row: &Row) -> Result<(), serde_json::Error>;
    /// What changed of a pull.
    fn changed(&mut self, row: &Row) -> Result<(), serde_json::Error>;
    /// That a pull is not there any more, for this reader.
    fn gone(&mut self, id: lifecycle::pull::PullId) -> Result<(), serde_json::Error>;
    /// Bytes so far.
    fn len(&self) -> usize;
    /// The bytes, when the reader now is complete up to `end`, or not yet.
    fn finish(self: Box<Self>, end: Option<End>) -> Result<Vec<u8>, serde_json::Error>;
}

/// How a walk ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// The revision up to which the reader is complete.
    pub(super) complete: u64,
    /// Whether a newcomer has been told the state that it found, which is said.
    pub(super) sync: bool,
    /// Whether something was told on the way that had an older id.
    pub(super) resumed: bool,
}

/// The next bytes for a reader at a position, and where it is then; no bytes if nothing of what changed is for this class.
pub(super) fn chunk(class: &Class, at: Position, beat: &Beat) -> Result<(Vec<u8>, Position), serde_json::Error> {
    let now = &*beat.now;
    let from = Cursor { epoch: now.epoch, revision: at.complete };
    let mut tell: Box<dyn Tell> = match class.dialect {
        Dialect::Events { layers } => Box::new(Plain::new(from, layers)),
        Dialect::Frames { layers, summary } => Box::new(Dense::new(from, layers, summary, class.filter.looks_at_words())),
    };
    let limit = if class.gzip { CHUNK_TO_PACK } else { CHUNK };
    let walk = Walk { filter: &class.filter, at, before: (at.complete == beat.before.revision).then_some(&*beat.before), now };
    let goal = at.sync_at.unwrap_or(now.revision);
    let mut seen = at.seen;
    for (revision, step) in now.after(at.seen).take_while(|(revision, _)| *revision <= goal) {
        if tell.len() >= limit {
            return Ok((tell.finish(None)?, Position { seen, ..at }));
        }
        walk.step(step, &mut *tell)?;
        seen = revision;
    }
    let seen = goal.max(at.seen);
    let complete = if seen >= now.revision { seen } else { at.complete };
    let end = End { complete, sync: at.sync_at.is_some(), resumed: at.seen > at.complete };
    Ok((tell.finish(Some(end))?, Position { complete, seen, sync_at: None }))
}

struct Walk<'a> {
    filter: &'a Filter,
    at: Position,
    /// The snapshot with which the reader is complete, if it is at hand.
    before: Option<&'a Snapshot>,
    now: &'a Snapshot,
}

impl Walk<'_> {
    fn step(&self, step: &Step, tell: &mut dyn Tell) -> Result<(), serde_json::Error> {
        let newcomer = self.at.sync_at.is_some();
        match step {
            Step::Row(row) if newcomer => match self.filter.matches(row) {
                true => tell.present(row),
                false => Ok(()),
            },
            Step::Started(_) | Step::Removed(_) if newcomer => Ok(()),
            Step::Started(id) => match self.now.row(*id) {
                Some(row) if self.is_told(row) => tell.started(row),
                Some(_) | None => Ok(()),
            },
            Step::Row(row) if self.is_told(row) => tell.changed(row),
            Step::Row(row) if self.may_have(row) => tell.gone(row.view.id()),
            Step::Row(_) => Ok(()),
            Step::Removed(id)
                if self.before.is_none_or(|before| before.row(*id).is_some_and(|row| self.filter.is_about(row))) =>
            {
                tell.gone(*id)
            }
            Step::Removed(_) => Ok(()),
        }
    }

    /// Whether the reader is told of this pull as it is now. That it ended is told to whoever it was about.
    fn is_told(&self, row: &Row) -> bool {
        self.filter.matches(row) || row.ended_after(self.at.complete) && self.filter.is_about(row)
    }

    /// Whether the reader may have a pull of which it is not told now. For one who walks from beat to beat this is certain; others hear it
    /// of a few pulls too many.
    fn may_have(&self, row: &Row) -> bool {
        let changed_sides = row.shaped > self.at.complete || self.filter.looks_at_words();
        let was_told = |was: &Row| self.filter.matches(was) || self.filter.is_about(was) && !self.filter.is_about(row);
        changed_sides
            && self.filter.is_of_node(row)
            && self.before.is_none_or(|before| before.row(row.view.id()).is_some_and(|was| was_told(was)))
    }
}
