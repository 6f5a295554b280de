//! The event stream. A reader is a cursor into the revisions of [`crate::snapshot`], and nothing else: it has no queue, so a slow one gets
//! one merged change when it reads again, and none can hold up another or the intake.
//!
//! A newcomer gets everything as it is, then the named event `sync`, then changes. Every event has an id; a reader that comes back with one
//! gets what it missed, once, in the order of revisions: of every pull that it began, if that was missed, and how it is now. Layer events
//! that belong to one change carry the id of what came before, except the last. Every event has the whole state.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use lifecycle::{board::status::EventType, pull::PullId};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};

use super::{
    Problem, Site,
    query::{Filter, Question, Wanted},
};
use crate::{
    keeper::View,
    metrics::SseClient,
    snapshot::{Cursor, Row, Snapshot, Step},
};

/// Readers at a time.
pub(super) const MAX_READERS: usize = 5000;
/// Progress is told at most this often to one reader; what starts, ends or leaves is told at once.
const PACE: Duration = Duration::from_millis(100);
/// A comment is sent after so long a silence.
const COMMENT_AFTER: Duration = Duration::from_secs(15);
/// About so many bytes are written at a time; what is left is taken from the newest snapshot then.
const CHUNK: usize = 64 * 1024;
/// Readers are told to come back after this time and up to a second more, so that not all come at once.
const RETRY_MILLIS: usize = 1500;

/// `GET /api/v1/events`.
pub(super) async fn events(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = Wanted::read(&uri, Question::Stream)?;
    let place = site.readers.clone().try_acquire_owned().map_err(|_| Problem::TooManyReaders)?;
    let last_id = headers.get("last-event-id").and_then(|value| value.to_str().ok()).or(wanted.last_event_id.as_deref());
    let snapshot = site.view.now();
    let resumed = last_id.and_then(|id| id.parse().ok()).filter(|cursor| snapshot.can_resume(*cursor));
    let seen = resumed.map_or(0, |cursor: Cursor| cursor.revision);
    let reader = Reader {
        view: site.view.clone(),
        filter: wanted.filter,
        layers: wanted.layers.unwrap_or(false),
        seen,
        complete: seen,
        sync_at: resumed.is_none().then_some(snapshot.revision),
        greeting: Some(format!("retry: {}\n\n", RETRY_MILLIS + site.readers.available_permits() * 379 % 1000)),
        told_at: Instant::now(),
        _counted: site.metrics.sse_client(),
        _place: place,
    };
    let body = Body::from_stream(stream::unfold(reader, Reader::next));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, [("x-accel-buffering", "no")], body).into_response())
}

struct Reader {
    view: View,
    filter: Filter,
    layers: bool,
    /// The revision of the last event.
    seen: u64,
    /// The revision up to which everything was told. Behind it pulls may be untold that changed again since `seen`.
    complete: u64,
    /// The revision at which the present state is complete, until that was said.
    sync_at: Option<u64>,
    greeting: Option<String>,
    told_at: Instant,
    _counted: SseClient,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    /// The next bytes; `None` ends the stream.
    async fn next(mut self) -> Option<(Result<String, Infallible>, Self)> {
        let mut text = self.greeting.take().unwrap_or_default();
        loop {
            let snapshot = self.view.now();
            if self.seen >= snapshot.revision && self.sync_at.is_none() && text.is_empty() {
                text = self.wait().await?;
            } else {
                self.tell(&snapshot, &mut text).ok()?;
            }
            if !text.is_empty() {
                self.told_at = Instant::now();
                return Some((Ok(text), self));
            }
        }
    }

    /// Waits for something to tell, at the reader's pace; gives a comment when there is nothing for long, and `None` at the end.
    async fn wait(&mut self) -> Option<String> {
        let changed = async {
            let mut urgent = self.view.clone();
            let newer = self.view.after(self.seen).await;
            tokio::select! {
                () = sleep_until(self.told_at + PACE) => {}
                () = urgent.urgent(self.seen) => {}
            }
            newer
        };
        tokio::select! {
            newer = changed => newer.map(|_| String::new()),
            () = sleep_until(self.told_at + COMMENT_AFTER) => Some(":\n\n".to_owned()),
        }
    }

    /// Tells what changed since, oldest first, until a chunk is full.
    fn tell(&mut self, snapshot: &Snapshot, text: &mut String) -> Result<(), serde_json::Error> {
        for (revision, step) in snapshot.after(self.seen) {
            if self.sync_at.is_some_and(|at| revision > at) {
                self.sync(snapshot, text);
            }
            if text.len() >= CHUNK {
                return Ok(());
            }
            match step {
                Step::Started(id) if self.sync_at.is_none() => self.tell_started(snapshot, revision, *id, text)?,
                Step::Row(row) => self.tell_row(snapshot, row, text)?,
                Step::Removed(id) if self.sync_at.is_none() => removed(snapshot.epoch, revision, *id, text),
                Step::Started(_) | Step::Removed(_) => {}
            }
            self.seen = revision;
        }
        self.seen = snapshot.revision;
        self.sync(snapshot, text);
        self.complete = self.seen;
        Ok(())
    }

    /// Says that the present state is complete, once.
    fn sync(&mut self, snapshot: &Snapshot, text: &mut String) {
        if let Some(at) = self.sync_at.take() {
            self.seen = self.seen.max(at);
            self.complete = self.seen;
            event(text, Some("sync"), snapshot.epoch, self.seen, "{}");
        }
    }

    /// Tells that a pull appeared that has changed since.
    fn tell_started(&self, snapshot: &Snapshot, revision: u64, id: PullId, text: &mut String) -> Result<(), serde_json::Error> {
        let Some(row) = snapshot.row(id) else { return Ok(()) };
        let ended = row.status.outcome.is_some() && self.filter.is_about(&row.status);
        if ended || self.filter.matches(&row.status) {
            write(text, snapshot.epoch, revision, row, (EventType::PullStarted, None), self.layers)?;
        }
        Ok(())
    }

    fn tell_row(&self, snapshot: &Snapshot, row: &Arc<Row>, text: &mut String) -> Result<(), serde_json::Error> {
        let matches = self.filter.matches(&row.status);
        let new = self.sync_at.is_some();
        if new && matches {
            return write(text, snapshot.epoch, row.revision, row, (EventType::PullProgress, None), self.layers);
        }
        if new || !self.filter.is_about(&row.status) {
            return Ok(());
        }
        if !matches && !row.ended_after(self.complete) {
            // It may have been shown while it matched: whoever has it shall forget it, once.
            if row.turned > self.complete {
                removed(snapshot.epoch, row.revision, row.status.id, text);
            }
            return Ok(());
        }
        let events = row.events(self.complete, self.layers);
        let last = events.len().saturating_sub(1);
        for (index, what) in events.into_iter().enumerate() {
            let id = if index == last { row.revision } else { self.seen };
            write(text, snapshot.epoch, id, row, what, self.layers)?;
        }
        Ok(())
    }
}

fn write(
    text: &mut String,
    epoch: u64,
    revision: u64,
    row: &Row,
    (kind, layer): (EventType, Option<&lifecycle::board::status::LayerStatus>),
    layers: bool,
) -> Result<(), serde_json::Error> {
    let json = row.event_json(kind, layer, layers)?;
    event(text, None, epoch, revision, &String::from_utf8_lossy(&json));
    Ok(())
}

fn removed(epoch: u64, revision: u64, id: PullId, text: &mut String) {
    event(text, Some("removed"), epoch, revision, &format!("{{\"id\":\"{id}\"}}"));
}

/// One event; `data` is one line.
fn event(text: &mut String, name: Option<&str>, epoch: u64, revision: u64, data: &str) {
    use std::fmt::Write as _;
    let name = name.map_or_else(String::new, |name| format!("event: {name}\n"));
    let id = Cursor { epoch, revision };
    // Writing to a String cannot fail.
    _ = write!(text, "{name}id: {id}\ndata: {data}\n\n");
}
