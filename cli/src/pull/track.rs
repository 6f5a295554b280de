//! One layer of a running pull, folded from what the Engine says of it. Pure. Which layers there are is the business of `fold`.
//!
//! What the Engine says cannot be taken by its letter: when a connection breaks, Docker's own store tells a layer as wholly fetched and then
//! as retried, and after that counts from where it went on. So bytes never fall, and a layer is whole only when that is said in so many words.

use std::{sync::Arc, time::Duration};

use lifecycle::{
    image::Digest,
    pull::{Interval, Layer, LayerState, TimingSource},
    time::Timestamp,
};

use super::{
    manifest::Blob,
    picture::{Doing, Unpacked},
};
use crate::docker::{SHORT, Short, Step};

/// Shortest encoded part of a digest of an algorithm that is not registered.
const LEAST_ENCODED: usize = 32;

/// What is known of one layer.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) short: Short,
    digest: Digest,
    media_type: Arc<str>,
    /// From the manifest.
    exact: Option<u64>,
    /// The most that the Engine said.
    said: u64,
    pub(super) fate: Fate,
    stage: Stage,
    offset: u64,
    retry: Option<Retry>,
    named_at: Timestamp,
    download: Interval,
    unpack: Interval,
    unpacked: Option<u64>,
    /// Whether it was told how long it took to unpack.
    taught: bool,
}

/// Whether a layer is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The Engine named it and may still find it here. Leads to one of the others.
    Undecided,
    /// It is fetched. Final, so that totals never fall.
    Fetch,
    /// It was here. A byte that comes leads to `Fetch`.
    Cached,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Queued,
    Downloading,
    Checking,
    Downloaded,
    Unpacking,
    Ready,
}

#[derive(Clone, Copy, Debug)]
struct Retry {
    since: Timestamp,
    at: Timestamp,
}

impl Track {
    pub(super) fn new(short: Short, blob: Option<&Blob>, now: Timestamp) -> Option<Self> {
        let mut track = Self {
            short,
            digest: pseudo(short)?,
            media_type: "".into(),
            exact: None,
            said: 0,
            fate: Fate::Undecided,
            stage: Stage::Queued,
            offset: 0,
            retry: None,
            named_at: now,
            download: Interval { source: TimingSource::Event, ..Interval::default() },
            unpack: Interval { source: TimingSource::Event, ..Interval::default() },
            unpacked: None,
            taught: false,
        };
        if let Some(blob) = blob {
            track.learn(blob);
        }
        Some(track)
    }

    /// The manifest's word of it.
    pub(super) fn learn(&mut self, blob: &Blob) {
        self.digest = blob.digest.clone();
        self.media_type = blob.media_type.as_str().into();
        self.exact = Some(blob.size);
    }

    /// The Engine's word of it; what is behind what was said before changes nothing.
    pub(super) fn hear(&mut self, step: Step, now: Timestamp) {
        match step {
            Step::Named | Step::Waiting => {}
            Step::Exists => match self.fate {
                Fate::Undecided => self.fate = Fate::Cached,
                Fate::Cached => {}
                // It was counted as one that is fetched: now another pull has brought it.
                Fate::Fetch => self.complete(now),
            },
            Step::Downloading { current, total } => self.downloading(current, total, now),
            Step::Retrying { seconds } => {
                self.fate = Fate::Fetch;
                let since = self.retry.map_or(now, |retry| retry.since);
                self.retry = Some(Retry { since, at: now + Duration::from_secs(seconds) });
            }
            Step::Checking => {
                self.fetched_at(Stage::Checking, now);
            }
            Step::Downloaded => self.complete(now),
            Step::Extracting { current, total } => {
                self.said = self.said.max(total);
                self.unpacking(now);
                self.unpacked = self.unpacked.max(Some(current));
            }
            Step::ExtractingSince => self.unpacking(now),
            Step::Complete => self.ready(now),
        }
    }

    /// containerd's image store tells of a download only when its first step is through: it was opened at this moment, as far as can be
    /// concluded.
    pub(super) fn open(&mut self, at: Timestamp) {
        if self.download.start.is_none() {
            let start = Some(at.max(self.named_at));
            self.download = Interval { start, end: self.download.end, source: TimingSource::Inferred };
        }
    }

    /// When its bytes were all here.
    pub(super) const fn fetched_when(&self) -> Option<Timestamp> {
        self.download.end
    }

    /// Makes a layer that is not decided one that is fetched.
    pub(super) fn decide(&mut self) {
        if self.fate == Fate::Undecided {
            self.fate = Fate::Fetch;
        }
    }

    /// The pull ended well, so this is there and unpacked.
    pub(super) fn finish(&mut self, now: Timestamp) {
        self.decide();
        if self.fate == Fate::Fetch {
            self.ready(now);
        }
    }

    /// Whether its size is exactly known.
    pub(super) fn is_exact(&self) -> bool {
        self.exact.map_or(self.said > 0, |exact| self.said <= exact)
    }

    /// Whether its connection was lost and no byte has come since; and since when.
    pub(super) fn retrying_since(&self) -> Option<Timestamp> {
        self.retry.map(|retry| retry.since).filter(|_| self.stage < Stage::Checking)
    }

    /// Whether bytes of it come, or should.
    pub(super) fn is_open(&self) -> bool {
        self.fate == Fate::Fetch && self.stage == Stage::Downloading
    }

    /// How long it took to unpack, if both ends were seen; once.
    pub(super) fn take_unpacking(&mut self) -> Option<Duration> {
        let (start, end) = self.unpack.start.zip(self.unpack.end)?;
        let is_news = !std::mem::replace(&mut self.taught, true);
        (is_news && self.unpack.source == TimingSource::Event).then(|| end.since(start))
    }

    pub(super) fn size(&self) -> u64 {
        self.exact.unwrap_or(0).max(self.said)
    }

    /// The layer as others see it.
    pub(super) fn view(&self, ended_badly: bool) -> Layer {
        let cached = self.fate == Fate::Cached;
        let state = match (self.stage, cached) {
            (Stage::Unpacking, _) => LayerState::Unpacking,
            (Stage::Queued | Stage::Downloading | Stage::Checking | Stage::Downloaded | Stage::Ready, true) => LayerState::Cached,
            (Stage::Queued | Stage::Downloading | Stage::Checking, false) if ended_badly => LayerState::Failed,
            (Stage::Queued, false) => LayerState::Queued,
            (Stage::Downloading | Stage::Checking, false) => LayerState::Downloading,
            (Stage::Downloaded, false) => LayerState::Downloaded,
            (Stage::Ready, false) => LayerState::Ready,
        };
        let size = self.size();
        let fetched = match self.stage {
            _ if cached => 0,
            Stage::Queued | Stage::Downloading => self.offset.min(size.saturating_sub(1)),
            Stage::Checking => size.saturating_sub(1),
            Stage::Downloaded | Stage::Unpacking | Stage::Ready => size,
        };
        Layer {
            digest: self.digest.clone(),
            media_type: self.media_type.clone(),
            size,
            fetched,
            cached,
            lazy: false,
            state,
            download: self.download,
            unpack: self.unpack,
        }
    }

    /// How far it is unpacked.
    pub(super) fn unpacked(&self, now: Timestamp) -> Unpacked {
        match (self.unpacked, self.unpack.start, self.stage) {
            (_, _, Stage::Queued | Stage::Downloading | Stage::Checking | Stage::Downloaded) => Unpacked::Unsaid,
            (Some(_), _, Stage::Ready) => Unpacked::Bytes(self.size()),
            (Some(bytes), ..) => Unpacked::Bytes(bytes.min(self.size())),
            (None, Some(start), _) => Unpacked::For(self.unpack.end.unwrap_or(now).since(start)),
            (None, None, _) => Unpacked::Unsaid,
        }
    }

    /// What is being done with it.
    pub(super) fn doing(&self) -> Doing {
        match (self.stage, self.retry) {
            (Stage::Checking, _) => Doing::Checking,
            (Stage::Queued | Stage::Downloading, Some(retry)) => Doing::Retrying { since: retry.since, at: retry.at },
            (Stage::Queued | Stage::Downloading | Stage::Downloaded | Stage::Unpacking | Stage::Ready, _) => Doing::Usual,
        }
    }

    fn downloading(&mut self, current: u64, total: Option<u64>, now: Timestamp) {
        self.fate = Fate::Fetch;
        self.said = self.said.max(total.unwrap_or(0));
        if self.stage > Stage::Downloading {
            return;
        }
        self.stage = Stage::Downloading;
        self.download.start.get_or_insert(now);
        // What came before a connection was lost is not counted again by the Engine.
        let before = total.map_or(0, |total| self.size().saturating_sub(total));
        // All of it is said also when a connection breaks; that it is whole is said in other words.
        let whole = total.is_some_and(|total| current >= total);
        let offset = before.saturating_add(current);
        if !whole && offset > self.offset {
            self.offset = offset;
            self.retry = None;
        }
    }

    fn fetched_at(&mut self, stage: Stage, now: Timestamp) {
        self.fate = Fate::Fetch;
        self.retry = None;
        if self.stage < stage {
            self.stage = stage;
            self.download.end = Some(now);
        }
    }

    fn complete(&mut self, now: Timestamp) {
        self.fetched_at(Stage::Downloaded, now);
    }

    fn unpacking(&mut self, now: Timestamp) {
        if self.fate != Fate::Cached && self.stage < Stage::Downloaded {
            self.complete(now);
        }
        if self.stage < Stage::Unpacking {
            self.stage = Stage::Unpacking;
            self.unpack.start = Some(now);
        }
    }

    fn ready(&mut self, now: Timestamp) {
        if self.fate != Fate::Cached && self.stage < Stage::Downloaded {
            self.complete(now);
        }
        if self.stage < Stage::Ready {
            self.stage = Stage::Ready;
            self.unpack.end = Some(now);
        }
    }
}

/// A layer that was here before the pull, by the manifest's word.
pub(super) fn cached(blob: &Blob) -> Layer {
    Layer {
        digest: blob.digest.clone(),
        media_type: blob.media_type.as_str().into(),
        size: blob.size,
        fetched: 0,
        cached: true,
        lazy: false,
        state: LayerState::Cached,
        download: Interval::default(),
        unpack: Interval::default(),
    }
}

/// Stands for a digest of which only the first digits are known: `prefix:745b5871eef5====...`.
fn pseudo(short: Short) -> Option<Digest> {
    format!("prefix:{}{}", short.as_str(), "=".repeat(LEAST_ENCODED - SHORT)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_layer_took_to_unpack_is_told_once_and_only_when_it_is_known() {
        let at = Timestamp::from_millis;
        let mut track = Track::new(Short::new("745b5871eef5").unwrap(), None, at(1)).unwrap();
        track.hear(Step::Extracting { current: 1, total: 9 }, at(1_000));
        assert_eq!(track.take_unpacking(), None);
        track.hear(Step::Complete, at(3_000));
        assert_eq!(track.take_unpacking(), Some(Duration::from_secs(2)));
        assert_eq!(track.take_unpacking(), None);
    }
}
