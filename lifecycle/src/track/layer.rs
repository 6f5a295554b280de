//! One layer of a pull under observation: whose bytes they are, how far they have come, and when what happened.

use std::time::Duration;

use super::plan::PlannedLayer;
use crate::{
    image::Digest,
    pull::{Interval, Layer, LayerState, TimingSource},
    time::Timestamp,
};

/// A moment and how it became known.
pub(super) type Moment = (Timestamp, TimingSource);

/// Who brought the layer to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing seen yet: it counts as to be fetched.
    Unknown,
    /// It was here before the pull began.
    Here,
    /// This pull fetches it, or did.
    Ours,
    /// Another pull fetches it while this one waits.
    Theirs,
    /// Nobody fetches it: the snapshotter mounted it from afar.
    Remote,
}

/// What is known about one layer.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) planned: PlannedLayer,
    /// Chain id of the snapshot that it becomes; `None` until the configuration was read.
    pub(super) chain: Option<Digest>,
    pub(super) origin: Origin,
    /// Bytes written so far, at most the size.
    pub(super) offset: u64,
    /// Bytes that were there when the download was seen first: left by an earlier pull if there were any before this one began.
    found: Option<u64>,
    /// Whether the blob is committed.
    pub(super) complete: bool,
    /// When its download was opened.
    pub(super) opened_at: Option<Timestamp>,
    pub(super) committed_at: Option<Moment>,
    pub(super) prepared_at: Option<Moment>,
    pub(super) unpacked_at: Option<Moment>,
    /// Whether a snapshot is open to receive it.
    pub(super) extracting: bool,
    /// Whether its snapshot is committed.
    pub(super) unpacked: bool,
    /// Whether the pull failed while it was under way.
    pub(super) failed: bool,
}

impl Track {
    pub(super) fn new(planned: PlannedLayer, chain: Option<Digest>) -> Self {
        Self {
            planned,
            chain,
            origin: Origin::Unknown,
            offset: 0,
            found: None,
            complete: false,
            opened_at: None,
            committed_at: None,
            prepared_at: None,
            unpacked_at: None,
            extracting: false,
            unpacked: false,
            failed: false,
        }
    }

    /// Whether it needs no fetching by this pull.
    pub(super) const fn is_cached(&self) -> bool {
        matches!(self.origin, Origin::Here | Origin::Theirs)
    }

    /// Whether it is used without its bytes being on the node.
    pub(super) const fn is_lazy(&self) -> bool {
        matches!(self.origin, Origin::Remote)
    }

    /// Whether this pull has nothing to fetch for it.
    pub(super) const fn needs_no_fetching(&self) -> bool {
        self.is_cached() || self.is_lazy()
    }

    /// Bytes that this pull fetched. A blob that is not committed never counts as whole: its digest is not verified yet.
    pub(super) fn fetched(&self) -> u64 {
        match (self.needs_no_fetching(), self.complete) {
            (true, _) => 0,
            (false, true) => self.planned.size,
            (false, false) => self.offset.min(self.planned.size.saturating_sub(1)),
        }
    }

    /// Notes that `bytes` were written. Numbers never fall.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.offset = self.offset.max(bytes.min(self.planned.size));
    }

    /// Notes that the download was seen open since `opened_at` with `bytes` written, by a pull that began at `begun`.
    pub(super) fn open(&mut self, opened_at: Timestamp, bytes: u64, begun: Timestamp) {
        self.opened_at = self.opened_at.or(Some(opened_at));
        self.found = self.found.or(Some(if opened_at < begun { bytes } else { 0 }));
        self.wrote(bytes);
    }

    /// Whether a byte of it came during this pull.
    pub(super) fn has_moved(&self) -> bool {
        self.offset > self.found.unwrap_or(0)
    }

    /// How many bytes were unpacked in how long, if it was seen from begin to end.
    pub(super) fn unpacking_took(&self) -> Option<Duration> {
        let ((start, _), (end, _)) = (self.committed_at.max(self.prepared_at)?, self.unpacked_at?);
        (!self.needs_no_fetching() && self.committed_at.is_some()).then(|| end.since(start))
    }

    pub(super) fn state(&self) -> LayerState {
        if self.failed {
            return LayerState::Failed;
        }
        match (self.unpacked, self.complete || self.is_cached(), self.extracting) {
            (true, ..) if self.is_cached() => LayerState::Cached,
            (true, ..) => LayerState::Ready,
            (false, true, true) if self.complete => LayerState::Unpacking,
            (false, true, _) if self.complete => LayerState::Downloaded,
            (false, true, _) => LayerState::Queued,
            (false, false, _) if self.offset > 0 => LayerState::Downloading,
            (false, false, _) => LayerState::Queued,
        }
    }

    /// Brings the layer to the end of a pull that is ready, where it is whole and unpacked whatever was seen of it.
    pub(super) const fn conclude(&mut self) {
        self.unpacked = true;
        self.extracting = false;
        if !self.is_lazy() {
            self.complete = true;
            self.offset = self.planned.size;
        }
    }

    /// As everyone else sees it. `begun` is when the pull began: nothing of it happened earlier.
    pub(super) fn view(&self, begun: Timestamp) -> Layer {
        Layer {
            digest: self.planned.digest.clone(),
            media_type: self.planned.media_type.as_str().into(),
            size: self.planned.size,
            fetched: self.fetched(),
            cached: self.is_cached(),
            lazy: self.is_lazy(),
            state: self.state(),
            download: self.download(begun),
            unpack: self.unpack(begun),
        }
    }

    fn download(&self, begun: Timestamp) -> Interval {
        if self.needs_no_fetching() {
            return Interval::default();
        }
        let end = self.committed_at.map(|(at, _)| at);
        let start = self.opened_at.map(|at| at.max(begun));
        // A layer that came and went between two looks: it cannot have begun before its snapshot was prepared for it.
        let inferred = || self.prepared_at.map(|(at, _)| at.max(begun)).filter(|at| end.is_some_and(|end| *at <= end));
        let source = match (start, self.committed_at) {
            (Some(_), Some((_, source))) => source,
            (Some(_), None) => TimingSource::Record,
            (None, _) => TimingSource::Inferred,
        };
        let start = start.or_else(|| end.and_then(|end| inferred().or(Some(end))));
        Interval { start: start.map(|s| end.map_or(s, |e| s.min(e))), end, source }
    }

    fn unpack(&self, begun: Timestamp) -> Interval {
        if matches!(self.origin, Origin::Theirs | Origin::Remote) {
            return Interval::default();
        }
        let whole = if self.is_cached() { Some((begun, TimingSource::Record)) } else { self.committed_at };
        let start = match (self.prepared_at, whole) {
            (Some(prepared), Some(whole)) => Some(if prepared.0 >= whole.0 { prepared } else { whole }),
            (Some(_), None) | (None, _) => None,
        };
        let end = self.unpacked_at.filter(|_| start.is_some());
        let source = start.into_iter().chain(end).map(|(_, source)| source).max().unwrap_or_default();
        let start = start.map(|(s, _)| end.map_or(s, |(e, _)| s.min(e)));
        Interval { start, end: end.map(|(e, _)| e), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn track(size: u64) -> Track {
        Track::new(PlannedLayer { digest: Digest::of(b"x"), media_type: String::new(), size }, None)
    }

    #[test]
    fn bytes_that_are_not_verified_are_never_all() {
        let mut layer = track(100);
        layer.wrote(100);
        assert_eq!((layer.fetched(), layer.state()), (99, LayerState::Downloading));
        layer.complete = true;
        assert_eq!((layer.fetched(), layer.state()), (100, LayerState::Downloaded));
    }

    #[test]
    fn bytes_never_fall_and_never_exceed_the_size() {
        let mut layer = track(100);
        [40, 30, 1_000].into_iter().for_each(|bytes| layer.wrote(bytes));
        assert_eq!(layer.offset, 100);
    }

    #[test]
    fn unpacking_begins_when_both_the_snapshot_and_the_bytes_are_there() {
        let mut layer = track(100);
        layer.prepared_at = Some((at(5), TimingSource::Event));
        layer.committed_at = Some((at(20), TimingSource::Record));
        layer.unpacked_at = Some((at(30), TimingSource::Event));
        assert_eq!(layer.view(at(0)).unpack, Interval { start: Some(at(20)), end: Some(at(30)), source: TimingSource::Record });
    }

    #[test]
    fn a_layer_that_came_between_two_looks_has_an_inferred_start_not_after_its_end() {
        let mut layer = track(100);
        layer.prepared_at = Some((at(5), TimingSource::Event));
        layer.committed_at = Some((at(20), TimingSource::Record));
        assert_eq!(
            layer.view(at(0)).download,
            Interval { start: Some(at(5)), end: Some(at(20)), source: TimingSource::Inferred }
        );
    }

    #[test]
    fn what_another_pull_unpacked_took_this_one_no_time() {
        let mut layer = track(100);
        layer.prepared_at = Some((at(5), TimingSource::Event));
        layer.unpacked_at = Some((at(30), TimingSource::Event));
        layer.origin = Origin::Theirs;
        assert_eq!(layer.view(at(0)).unpack, Interval::default());
    }

    #[test]
    fn a_resumed_download_did_not_begin_before_its_pull() {
        let mut layer = track(100);
        layer.opened_at = Some(at(5));
        assert_eq!(layer.view(at(50)).download.start, Some(at(50)));
    }
}
