//! The event stream on a thread of its own: reads it, comes back to where it was when it breaks, and hands on what it told. While nobody takes that
//! the thread waits, and a collector merges meanwhile what it would have told, so nothing grows and nothing is missed.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;

use super::model::News;
use crate::client::{Client, Event, events_of};

/// Most pieces of news that wait to be taken.
const MAX_WAITING: usize = 8192;
/// Before the stream is opened again for the first time; doubled from time to time.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest of these pauses.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// A stream that is being read. Dropped, its thread ends with the next event.
#[derive(Debug)]
pub(super) struct Feed {
    news: Receiver<News>,
    /// When bytes came last, in milliseconds since the begin, and one more; 0: never.
    heard: Arc<AtomicU64>,
    begin: Instant,
}

/// The thread is gone, which only a panic does to it.
#[derive(Debug)]
pub(super) struct Gone;

impl Feed {
    /// Begins to read; times count from `begin`.
    ///
    /// # Errors
    /// When there is no room for a thread.
    pub(super) fn start(client: Arc<Client>, begin: Instant) -> io::Result<Self> {
        let (sender, news) = sync_channel(MAX_WAITING);
        let heard = Arc::new(AtomicU64::new(0));
        let reading = heard.clone();
        thread::Builder::new().name("feed".to_owned()).spawn(move || read(&client, &sender, &reading, begin))?;
        Ok(Self { news, heard, begin })
    }

    /// The next piece of news, if there is one by now.
    pub(super) fn next(&self) -> Result<Option<News>, Gone> {
        match self.news.try_recv() {
            Ok(news) => Ok(Some(news)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Gone),
        }
    }

    /// When bytes came last, since the begin.
    pub(super) fn heard(&self) -> Option<Duration> {
        let millis = self.heard.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(millis).min(self.begin.elapsed()))
    }
}

/// Reads until nobody takes the news any more.
fn read(client: &Client, sender: &SyncSender<News>, heard: &Arc<AtomicU64>, begin: Instant) {
    let (mut last_id, mut pause) = (None::<String>, PAUSE);
    loop {
        let why = match client.stream(last_id.as_deref()) {
            Err(error) => error.to_string(),
            Ok(stream) => {
                if sender.send(News::Open(stream.date)).is_err() {
                    return;
                }
                pause = PAUSE;
                for event in events_of(Noted { bytes: stream.bytes, heard, begin }) {
                    if news(&event).is_some_and(|news| sender.send(news).is_err()) {
                        return;
                    }
                    last_id = event.id.or(last_id);
                }
                "the connection ended".to_owned()
            }
        };
        if sender.send(News::Broken(why, pause)).is_err() {
            return;
        }
        thread::park_timeout(pause);
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// What an event tells; none for those of later versions.
fn news(event: &Event) -> Option<News> {
    #[derive(Deserialize)]
    struct Removed {
        id: String,
    }
    let read = match event.name.as_deref() {
        None => serde_json::from_str(&event.data).ok().map(|told| News::Pull(Box::new(told))),
        Some("removed") => {
            let removed = serde_json::from_str::<Removed>(&event.data).ok();
            removed.and_then(|removed| removed.id.parse().ok()).map(News::Removed)
        }
        Some("sync") => Some(News::Synced),
        Some(_) => return None,
    };
    Some(read.unwrap_or(News::Unreadable))
}

/// Bytes, and when the last of them came.
struct Noted<'a, R> {
    bytes: R,
    heard: &'a AtomicU64,
    begin: Instant,
}

impl<R: Read> Read for Noted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.bytes.read(into)?;
        if length > 0 {
            let millis = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.heard.store(millis + 1, Ordering::Relaxed);
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: Option<&str>, data: &str) -> Event {
        Event { name: name.map(str::to_owned), id: None, data: data.to_owned() }
    }

    #[test]
    fn events_become_news_and_what_is_no_event_is_counted() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let pull = format!(
            r#"{{"timestamp":"2026-01-01T00:00:00Z","pull":{{"id":"{id}","nodeName":"n","phase":"queued","summary":"s","startedAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z"}}}}"#
        );
        assert!(matches!(news(&event(None, &pull)), Some(News::Pull(told)) if told.pull.id.to_string() == id));
        assert!(matches!(news(&event(Some("removed"), &format!(r#"{{"id":"{id}"}}"#))), Some(News::Removed(_))));
        assert!(matches!(news(&event(Some("sync"), "{}")), Some(News::Synced)));
        assert!(matches!(news(&event(None, "{}")), Some(News::Unreadable)));
        assert!(matches!(news(&event(Some("removed"), "{}")), Some(News::Unreadable)));
        assert!(news(&event(Some("later"), "{}")).is_none());
    }
}
