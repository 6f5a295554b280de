//! The line of one layer, in columns that are the same for all layers of an image: digest, bar, bytes, a word, and a timer at the right.
//! On a narrow terminal the bar gives way first, down to [`LEAST_BAR`] cells, then whole columns do, the last ones first.

use std::time::Duration;

use lifecycle::{
    explain,
    pull::{Layer, LayerState},
    time::Timestamp,
};

use super::{
    bar::Share,
    line::{Ink, Line},
    look::Look,
};
use crate::{
    docker::SHORT,
    pull::{
        picture::{Doing, Picture, Unpacked},
        summary,
    },
};

/// Cells of a layer's bar where there is room.
pub(super) const LAYER_BAR: usize = 40;
/// Cells below which a bar says too little: a column gives way instead.
const LEAST_BAR: usize = 10;
/// Letters of a digest, as Docker shows them.
const DIGEST: usize = SHORT;
/// The longest word of [`word`].
const WORD: usize = 8;
/// Cells of a timer below an hour, `12:34`.
const TIMER: usize = 5;

/// One layer and all that is known of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub(super) layer: &'a Layer,
    unpacked: Unpacked,
    doing: Doing,
    /// When this was so.
    now: Timestamp,
}

/// The layers of an image, base first.
pub(super) fn layers_of(picture: &Picture) -> impl Iterator<Item = At<'_>> {
    let unpacked = picture.unpacked.iter().copied().chain(std::iter::repeat(Unpacked::Unsaid));
    let doing = picture.doing.iter().copied().chain(std::iter::repeat(Doing::Usual));
    let layers = picture.pull.layers.iter().zip(unpacked.zip(doing));
    layers.map(|(layer, (unpacked, doing))| At { layer, unpacked, doing, now: picture.pull.observed_at })
}

/// The columns for the layers of one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    bar: usize,
    bytes: usize,
    word: bool,
    timer: usize,
    cells: usize,
}

impl Columns {
    /// That fit the layers of an image into so many cells.
    pub(super) fn fit(picture: &Picture, cells: usize) -> Self {
        let bytes = picture.pull.layers.iter().map(bytes_width).max().unwrap_or(0);
        let ages = layers_of(picture).filter_map(|at| age(&at));
        let timer = ages.map(|age| clock(age).len()).fold(TIMER, usize::max);
        let with = |word: bool, timer: usize| {
            let rest = [DIGEST, bytes, if word { WORD } else { 0 }, timer].into_iter().filter(|column| *column > 0);
            let taken: usize = rest.map(|column| column + 1).sum();
            Self { bar: cells.saturating_sub(taken).min(LAYER_BAR), bytes, word, timer, cells }
        };
        let choices = [with(true, timer), with(true, 0), with(false, 0)];
        choices.into_iter().find(|columns| columns.bar >= LEAST_BAR).unwrap_or(choices[2])
    }

    /// One layer.
    pub(super) fn line(self, at: &At<'_>, look: Look) -> Line {
        let layer = at.layer;
        let share = Share {
            unpacked: unpacked_bytes(at),
            fetched: fetched_bytes(layer),
            whole: layer.size,
            may_be_full: layer.is_complete(),
        };
        let mut line = Line::of(Ink::Faint, summary::layer_name(layer)).gap(1).and(share.bar(self.bar, look));
        if self.bytes > 0 {
            line = line.gap(1).with(Ink::Plain, &format!("{:>width$}", bytes(at), width = self.bytes));
        }
        if self.word {
            let (ink, word) = word(at);
            line = line.gap(1).with(ink, word);
        }
        match age(at).filter(|_| self.timer > 0) {
            Some(age) => line.and_right(Line::of(Ink::Faint, &clock(age)), self.cells.min(self.width())),
            None => line.cut(self.cells),
        }
    }

    /// Cells of the longest line.
    const fn width(self) -> usize {
        let word = if self.word { WORD + 1 } else { 0 };
        let bytes = if self.bytes > 0 { self.bytes + 1 } else { 0 };
        let timer = if self.timer > 0 { self.timer + 1 } else { 0 };
        DIGEST + 1 + self.bar + bytes + word + timer
    }
}

/// How far a layer that is to be fetched is unpacked, in compressed bytes.
pub(super) fn unpacked_bytes(at: &At<'_>) -> u64 {
    match (at.layer.state, at.unpacked) {
        (LayerState::Ready | LayerState::Cached, _) => at.layer.size,
        (_, Unpacked::Bytes(bytes)) => bytes.min(at.layer.size),
        (_, Unpacked::Unsaid | Unpacked::For(_)) => 0,
    }
}

/// `1:05`, `12:34`, `1:05:00`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes}:{seconds:02}"),
        (hours, minutes, seconds) => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A layer without a size (Podman tells none) is there or not.
fn fetched_bytes(layer: &Layer) -> u64 {
    if layer.is_complete() { layer.size.max(1) } else { layer.fetched }
}

/// What is done and all there is to do: bytes fetched, then bytes unpacked where the engine says them.
fn bytes(at: &At<'_>) -> String {
    let layer = at.layer;
    if layer.size == 0 {
        return String::new();
    }
    let done = match (layer.state, at.unpacked) {
        (LayerState::Unpacking, Unpacked::Bytes(bytes)) => bytes.min(layer.size),
        (LayerState::Downloaded | LayerState::Unpacking | LayerState::Ready | LayerState::Cached, _) => {
            return explain::size(layer.size);
        }
        (LayerState::Queued | LayerState::Downloading | LayerState::Failed, _) => layer.fetched,
    };
    format!("{}/{}", explain::amount(done, layer.size), explain::size(layer.size))
}

/// The most cells that [`bytes`] takes while the layer grows.
fn bytes_width(layer: &Layer) -> usize {
    match layer.size {
        0 => 0,
        size => {
            let whole = explain::size(size);
            let number = whole.split(' ').next().map_or(0, str::len);
            number.max(3) + 1 + whole.len()
        }
    }
}

/// What is being done with it; at most [`WORD`] letters.
const fn word(at: &At<'_>) -> (Ink, &'static str) {
    match (at.doing, at.layer.state) {
        (Doing::Retrying { .. }, _) => (Ink::Warning, "retrying"),
        (Doing::Checking, _) => (Ink::Plain, "checksum"),
        (Doing::Usual, LayerState::Queued) => (Ink::Faint, "waiting"),
        (Doing::Usual, LayerState::Downloading) => (Ink::Plain, "download"),
        (Doing::Usual, LayerState::Downloaded) => (Ink::Plain, "fetched"),
        (Doing::Usual, LayerState::Unpacking) => (Ink::Plain, "extract"),
        (Doing::Usual, LayerState::Ready) => (Ink::Good, "done"),
        (Doing::Usual, LayerState::Cached) => (Ink::Faint, "cached"),
        (Doing::Usual, LayerState::Failed) => (Ink::Bad, "failed"),
    }
}

/// How long the present step has taken, and at the end all of them.
fn age(at: &At<'_>) -> Option<Duration> {
    let (download, unpack, now) = (at.layer.download, at.layer.unpack, at.now);
    let began = download.start.or(unpack.start);
    match (at.layer.state, at.unpacked) {
        (LayerState::Unpacking, Unpacked::For(time)) => Some(time),
        (LayerState::Unpacking, Unpacked::Unsaid | Unpacked::Bytes(_)) => Some(now.since(unpack.start?)),
        (LayerState::Queued | LayerState::Downloading, _) => Some(now.since(began?)),
        (LayerState::Downloaded | LayerState::Failed, _) => Some(download.end?.since(began?)),
        (LayerState::Ready | LayerState::Cached, _) => Some(unpack.end.or(download.end)?.since(began?)),
    }
}
