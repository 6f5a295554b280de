//! One reader: a position, and nothing that waits for it. It takes the next chunk when the last one was written to its connection; until
//! then nobody does anything for it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    beat::Beat,
    gzip,
    places::Place,
    shared::Shared,
    walk::{Class, Position},
};
use crate::{
    metrics::{SseClient, Streams},
    snapshot::Cursor,
};

/// A comment is sent after so long a silence.
const COMMENT_AFTER: Duration = Duration::from_secs(15);
/// Readers are told to come back after so many milliseconds and up to a second more, so that not all come at once.
const RETRY_MILLIS: usize = 1500;

/// A reader of one stream.
#[derive(Debug)]
pub(super) struct Reader {
    shared: Arc<Shared>,
    beats: watch::Receiver<Beat>,
    class: Arc<Class>,
    at: Position,
    /// The last id that it was told.
    id: u64,
    greeting: Option<Bytes>,
    told_at: Instant,
    numbers: Streams,
    _counted: SseClient,
    _place: Place,
}

impl Reader {
    /// One who is at a position. `turn` tells readers that come together apart.
    pub(super) fn new(
        (shared, beats): (Arc<Shared>, watch::Receiver<Beat>),
        class: Class,
        at: Position,
        (numbers, place, turn): (Streams, Place, usize),
    ) -> Self {
        let retry = format!("retry: {}\n\n", RETRY_MILLIS + turn * 379 % 1000);
        let greeting = match class.gzip {
            true => [gzip::HEADER.as_slice(), &gzip::stored(retry.as_bytes())].concat(),
            false => retry.into_bytes(),
        };
        Self {
            shared,
            beats,
            class: Arc::new(class),
            at,
            id: at.complete,
            greeting: Some(greeting.into()),
            told_at: Instant::now(),
            _counted: numbers.client(),
            numbers,
            _place: place,
        }
    }

    /// The next bytes; `None` ends the stream.
    pub(super) async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let bytes = match self.greeting.take() {
            Some(greeting) => greeting,
            None => self.tell().await?,
        };
        self.numbers.sent(bytes.len());
        self.told_at = Instant::now();
        Some((Ok(bytes), self))
    }

    async fn tell(&mut self) -> Option<Bytes> {
        loop {
            let beat = self.beats.borrow().clone();
            if self.at.is_behind(&beat.now) {
                // It comes back with its last id, which is too old, and gets the present state.
                self.numbers.ended("behind");
                return None;
            }
            if self.at.is_at_end(&beat.now) {
                let seen = self.at.seen;
                let newer = async { self.beats.wait_for(|beat| beat.now.revision > seen).await.map(drop) };
                tokio::select! {
                    newer = newer => newer.ok()?,
                    () = sleep_until(self.told_at + COMMENT_AFTER) => return Some(self.comment(beat.now.epoch)),
                }
                continue;
            }
            let chunk = self.shared.chunk(&self.class, self.at, &beat)?;
            self.at = chunk.then;
            if !chunk.bytes.is_empty() {
                self.id = self.at.complete;
                return Some(chunk.bytes);
            }
        }
    }

    /// A sign of life, with the id of now if that is not known, so that a reader of rare things comes back with a young one.
    fn comment(&mut self, epoch: u64) -> Bytes {
        let id = std::mem::replace(&mut self.id, self.at.complete) != self.at.complete;
        let id = id.then(|| format!("id: {}\n", Cursor { epoch, revision: self.at.complete }));
        let comment = format!(":\n{}\n", id.unwrap_or_default());
        match self.class.gzip {
            true => gzip::stored(comment.as_bytes()).into(),
            false => comment.into(),
        }
    }
}
