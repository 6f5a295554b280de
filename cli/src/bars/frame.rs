//! What a terminal shows of running pulls at one moment: a pure function of them, the terminal's size and the time. Each image has a head
//! (name, bytes, total bar, speed, time left), words where something is to be said, and a line for each layer as far as there is room.
//! What is drawn of pulls that have ended, when all have, is [`super::last`]'s.

use lifecycle::{
    explain,
    pull::{Eta, LayerState, NodeName, Outcome, Phase, Pull, Size},
};

use super::{
    bar::Share,
    columns::{Columns, clock, layers_of, unpacked_bytes},
    line::{Ink, Line, end_of, wrapped},
    look::{Letters, Look},
    room::{self, Wish},
};
use crate::pull::{picture::Picture, summary};

/// Cells of the total bar where there is room.
const TOTAL_BAR: usize = 50;
/// More cells than this are not used: timers at the right belong to what is at the left.
pub(super) const WIDEST: usize = 100;

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// The lines, none wider than the terminal and at least one less than it has rows.
pub(crate) fn frame(pictures: &[Picture], extent: Extent, look: Look, node: &NodeName) -> Vec<Line> {
    let cells = extent.columns.min(WIDEST);
    let blocks: Vec<Block> = pictures.iter().map(|picture| Block::of(picture, cells, look, node)).collect();
    let wishes: Vec<Wish> = blocks.iter().map(Block::wish).collect();
    let rows = extent.rows.saturating_sub(1);
    let granted = room::share(&wishes, rows);
    let shown = blocks.iter().zip(granted.rows).filter_map(|(block, rows)| Some(block.lines(rows?, cells, look)));
    let mut shown: Vec<Vec<Line>> = shown.collect();
    if granted.left_out > 0 {
        shown.push(vec![more(granted.left_out, "image", cells, look)]);
    }
    let needed: usize = shown.iter().map(Vec::len).sum();
    let mut lines = if needed + shown.len() <= rows { shown.join(&Line::default()) } else { shown.concat() };
    lines.truncate(rows);
    lines
}

/// What is shown of one image.
struct Block {
    head: Vec<Line>,
    /// Base first; how much each wants to be seen.
    layers: Vec<(Line, Urgency)>,
    folded: Option<Line>,
    urgency: u8,
}

/// What is shown first where there is no room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Moving,
    Waiting,
    Done,
}

impl Block {
    fn of(picture: &Picture, cells: usize, look: Look, node: &NodeName) -> Self {
        let pull = &picture.pull;
        let (folded, layers) = match &pull.ending {
            Some(_) => (None, Vec::new()),
            None => (folded(pull, cells, look), layers(picture, cells, look)),
        };
        let urgency = match pull.ending.as_ref().map(|ending| &ending.outcome) {
            None if pull.phase == Phase::Queued => 2,
            None => 0,
            Some(Outcome::Failed(_) | Outcome::Canceled | Outcome::Lost) => 1,
            Some(Outcome::Ready) => 3,
        };
        Self { head: head(picture, cells, look, node), layers, folded, urgency }
    }

    fn wish(&self) -> Wish {
        Wish { head: self.head.len(), more: self.layers.len() + usize::from(self.folded.is_some()), urgency: self.urgency }
    }

    /// Its head, and its layers in so many rows.
    fn lines(&self, rows: usize, cells: usize, look: Look) -> Vec<Line> {
        self.head.iter().cloned().chain(self.layers(rows, cells, look)).collect()
    }

    /// Its layers: those where something happens before others, but always in the same order.
    fn layers(&self, rows: usize, cells: usize, look: Look) -> Vec<Line> {
        let folded = self.folded.iter().cloned();
        let room = rows.saturating_sub(folded.len());
        if rows == 0 {
            return Vec::new();
        }
        if room >= self.layers.len() {
            return folded.chain(self.layers.iter().map(|(line, _)| line.clone())).collect();
        }
        let mut order: Vec<usize> = (0..self.layers.len()).collect();
        order.sort_by_key(|at| (self.layers[*at].1, *at));
        order.truncate(room.saturating_sub(1));
        order.sort_unstable();
        let left = self.layers.len() - order.len();
        let shown = order.into_iter().map(|at| self.layers[at].0.clone());
        folded.chain(shown).chain([more(left, "layer", cells, look)]).take(rows).collect()
    }
}

/// Everything of an image that is not one of its layers.
fn head(picture: &Picture, cells: usize, look: Look, node: &NodeName) -> Vec<Line> {
    let pull = &picture.pull;
    let mut lines = vec![title(picture, cells, look)];
    match pull.ending.as_ref().map(|ending| &ending.outcome) {
        None if pull.phase == Phase::Queued => {}
        None => lines.push(total(picture, cells, look)),
        Some(Outcome::Ready) => {}
        Some(Outcome::Failed(_) | Outcome::Canceled | Outcome::Lost) => lines.push(total(picture, cells, look)),
    }
    if let Some((ink, words)) = words(pull, node) {
        lines.extend(spoken(ink, &words, cells, look));
    }
    lines
}

/// Its name, bytes and timer.
pub(super) fn title(picture: &Picture, cells: usize, look: Look) -> Line {
    let pull = &picture.pull;
    let mark = mark(pull, look);
    let timer = Line::of(Ink::Faint, &format!("{:>5}", clock(pull.duration())));
    let bytes = match (&pull.ending, triple(picture)) {
        (None, Some(bytes)) => Line::of(Ink::Plain, &bytes).gap(1),
        _ => Line::default(),
    };
    let right = bytes.and(timer);
    let room = cells.saturating_sub(right.width() + 1 + mark.width());
    mark.with(Ink::Strong, &end_of(&picture.asked, room, look.dots())).and_right(right, cells)
}

/// How it ended, in one letter; nothing while it runs.
fn mark(pull: &Pull, look: Look) -> Line {
    let Some(ending) = &pull.ending else { return Line::default() };
    match (&ending.outcome, look.letters) {
        (Outcome::Ready, Letters::Unicode) => Line::of(Ink::Good, "✓").gap(1),
        (Outcome::Ready, Letters::Ascii) => Line::of(Ink::Good, "ok").gap(1),
        (Outcome::Failed(_), Letters::Unicode) => Line::of(Ink::Bad, "✗").gap(1),
        (Outcome::Failed(_), Letters::Ascii) => Line::of(Ink::Bad, "x").gap(1),
        (Outcome::Canceled | Outcome::Lost, _) => Line::of(Ink::Warning, "-").gap(1),
    }
}

/// `extracted/downloaded/total`; the number of layers where the engine says no bytes, `None` while nothing is known.
fn triple(picture: &Picture) -> Option<String> {
    let pull = &picture.pull;
    let (fetched, bound) = (pull.fetched_bytes(), if pull.total_known { "" } else { ">=" });
    let whole = pull.to_fetch().bytes().max(fetched);
    match (whole, pull.layers.len()) {
        (0, 0) => None,
        (0, layers) if pull.size().bytes() == 0 => Some(format!("{}/{layers} layers", layers_here(pull))),
        (0, _) => Some("nothing to fetch".to_owned()),
        (whole, _) => {
            let amount = |bytes| explain::amount(bytes, whole);
            Some(format!("{}/{}/{bound}{}", amount(unpacked(picture)), amount(fetched), explain::size(whole)))
        }
    }
}

/// Total bar, share, speed and time left.
pub(super) fn total(picture: &Picture, cells: usize, look: Look) -> Line {
    let pull = &picture.pull;
    let percent = match (pull.percent(), pull.size().bytes()) {
        (Some(percent), 1..) => format!("{:>3} %", whole(percent)),
        (None, 1..) => format!("{}/{} layers", layers_here(pull), pull.layers.len()),
        (_, 0) => String::new(),
    };
    let moves = pull.ending.is_none() && pull.wait.is_none();
    let speed = pull.bytes_per_sec.filter(|rate| moves && *rate > 0).map_or_else(String::new, explain::speed);
    let left = pull.eta.filter(|_| moves).map_or_else(String::new, left);
    let text = format!(" {percent:>5}  {speed:>8}  {left}");
    let text = if cells < TOTAL_BAR { format!(" {percent:>5} {speed:>8} {left}") } else { text };
    let widest = text.trim_end().len().max(" 100 %  999 MB/s  ETA 1 m 05 s".len());
    let room = cells.saturating_sub(widest).clamp(8.min(cells), TOTAL_BAR);
    bar(picture, room, look).with(Ink::Plain, text.trim_end()).cut(cells)
}

/// Bytes while the total is known; else layers, as squares, because a bar against a total that grows would fall.
fn bar(picture: &Picture, cells: usize, look: Look) -> Line {
    let pull = &picture.pull;
    let well = pull.ending.as_ref().is_none_or(|ending| ending.outcome == Outcome::Ready);
    match pull.to_fetch() {
        Size::Known(whole) if pull.size().bytes() > 0 => {
            let all = u64::from(whole == 0);
            let (unpacked, fetched) = (unpacked(picture) + all, pull.fetched_bytes() + all);
            Share { unpacked, fetched, whole: whole + all, may_be_full: well }.bar(cells, look)
        }
        Size::Known(_) | Size::AtLeast(_) if pull.layers.is_empty() => {
            Share { unpacked: 0, fetched: 0, whole: 1, may_be_full: false }.bar(cells, look)
        }
        Size::Known(_) | Size::AtLeast(_) => {
            let (unpacked, fetched) = (pull.layers_done() as u64, layers_here(pull) as u64);
            Share { unpacked, fetched, whole: pull.layers.len() as u64, may_be_full: true }.squares(cells, look)
        }
    }
}

/// Layers of which every byte is here.
fn layers_here(pull: &Pull) -> usize {
    pull.layers.iter().filter(|layer| layer.is_complete()).count()
}

/// Compressed bytes that were fetched and are unpacked.
pub(super) fn unpacked(picture: &Picture) -> u64 {
    let layers = layers_of(picture).filter(|at| !at.layer.cached && !at.layer.lazy);
    let bytes = layers.map(|at| unpacked_bytes(&at));
    bytes.fold(0, u64::saturating_add)
}

/// Rounded down, because a part never reads as the whole.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage lies between 0 and 100")]
fn whole(percent: f64) -> u8 {
    percent as u8
}

fn left(eta: Eta) -> String {
    match (eta.likely(), eta.low()) {
        (Some(likely), _) => format!("ETA {}", explain::time(likely)),
        (None, low) => format!("ETA >= {}", explain::time(low.unwrap_or_default())),
    }
}

/// What numbers do not say: why nothing moves, what comes before the first byte, how it ended.
fn words(pull: &Pull, node: &NodeName) -> Option<(Ink, String)> {
    let ink = match (&pull.ending, &pull.wait, pull.phase) {
        (Some(ending), ..) => match ending.outcome {
            Outcome::Ready => Ink::Plain,
            Outcome::Failed(_) => Ink::Bad,
            Outcome::Canceled | Outcome::Lost => Ink::Warning,
        },
        (None, Some(_), _) => Ink::Warning,
        (None, None, Phase::Queued | Phase::Resolving | Phase::Unpacking) => Ink::Faint,
        (None, None, Phase::Downloading) => return None,
    };
    Some((ink, summary::sentence(pull, node)))
}

/// A sentence, on two lines at most.
fn spoken(ink: Ink, text: &str, cells: usize, look: Look) -> Vec<Line> {
    let mut lines = wrapped(text, cells).into_iter();
    let Some(first) = lines.next() else { return Vec::new() };
    let rest: Vec<String> = lines.collect();
    let second = (!rest.is_empty()).then(|| fitting(ink, &rest.join(" "), cells, look));
    std::iter::once(Line::of(ink, &first).cut(cells)).chain(second).collect()
}

/// One line of words, cut at its end.
fn fitting(ink: Ink, text: &str, cells: usize, look: Look) -> Line {
    let line = Line::of(ink, text);
    if line.width() <= cells {
        return line;
    }
    let dots = look.dots();
    line.cut(cells.saturating_sub(dots.chars().count())).with(ink, dots).cut(cells)
}

/// The layers that need not be fetched, on one line.
fn folded(pull: &Pull, cells: usize, look: Look) -> Option<Line> {
    let text = match (pull.layers_cached(), pull.cached_bytes()) {
        (0, _) => return None,
        (1, 0) => "1 layer was already here".to_owned(),
        (layers, 0) => format!("{layers} layers were already here"),
        (1, bytes) => format!("1 layer was already here, {} saved", explain::size(bytes)),
        (layers, bytes) => format!("{layers} layers were already here, {} saved", explain::size(bytes)),
    };
    Some(fitting(Ink::Faint, &text, cells, look))
}

fn layers(picture: &Picture, cells: usize, look: Look) -> Vec<(Line, Urgency)> {
    let columns = Columns::fit(picture, cells);
    let urgency = |state| match state {
        LayerState::Downloading | LayerState::Unpacking | LayerState::Failed => Urgency::Moving,
        LayerState::Queued | LayerState::Downloaded => Urgency::Waiting,
        LayerState::Ready | LayerState::Cached => Urgency::Done,
    };
    let fetched = layers_of(picture).filter(|at| !at.layer.cached);
    fetched.map(|at| (columns.line(&at, look), urgency(at.layer.state))).collect()
}

/// What there is no room for.
fn more(count: usize, what: &str, cells: usize, look: Look) -> Line {
    let plural = if count == 1 { "" } else { "s" };
    fitting(Ink::Faint, &format!("{} {count} more {what}{plural}", look.dots()), cells, look)
}
