//! The keys and what they do.

use ratatui::{
    style::Modifier,
    text::{Line, Span},
};

use super::{
    look::{Look, Role},
    words,
};

/// Keys and what they do; a line without keys is a heading.
const KEYS: [(&str, &str); 40] = [
    ("", "Move"),
    ("up, down, Page, Home, End", "through the rows; Home goes to whichever row is first"),
    ("left, right", "columns that have no room"),
    (":", "go to a row: its number, or text that it has"),
    ("n", "the next row that has it"),
    ("Enter", "open the pull: layers, waits, error, what happened when"),
    ("j", "the pull as JSON"),
    ("Esc", "back; in the table: forget the filter"),
    ("", ""),
    ("", "Choose"),
    ("/", "show only what fits; holds while you type"),
    ("  text", "in image, node, pod, workload, error, sentence"),
    ("  state:stalled", "or failed, downloading, waiting, active, ended, ..."),
    ("  node:gpu* ns:prod", "the whole name; * stands for anything"),
    ("  registry: class:", "likewise: a registry, a class of error"),
    ("  image: pod: workload:", "a part of the name"),
    ("  -ns:test", "turned round: what does not fit"),
    ("f", "show or hide pulls that have finished"),
    ("p", "let everything stand still, and go on"),
    ("", ""),
    ("", "Sort: Shift and the first letter of a column; again turns it round"),
    ("S  I  W  N", "state, image, workload, node"),
    ("P  R  E  T", "progress, rate, eta, time"),
    ("0", "what needs somebody first: failing, stalled, running, ended"),
    ("", ""),
    ("", "Signs"),
    ("o", "queued; with a point: asks for the manifest"),
    (">", "downloading"),
    ("u", "unpacking; the bar counts layers"),
    ("w", "waits: no byte, a lost connection, a layer, a slot"),
    ("+ x -", "ready, failed, canceled"),
    ("?", "nobody knows: the agent is silent, or the end was not seen"),
    ("=#.", "was here, fetched, to fetch"),
    ("~ >", "about; at least"),
    ("", ""),
    ("", "Times are the collector's, whatever this machine's clock says."),
    ("", ""),
    ("Ctrl-L", "draw the screen anew"),
    ("q", "end"),
    ("Ctrl-C", "end, as an interrupted program"),
];
/// How signs are drawn where there are shapes.
const SHAPES: [(&str, &str); 6] = [("o", "○ ◎"), (">", "●"), ("u", "◐"), ("w", "◷"), ("+ x -", "✓ ✗ –"), ("=#.", "▒█─")];
/// Cells of the keys.
const WIDTH: usize = 27;

/// The whole help.
pub(super) fn lines(width: usize, look: Look) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (key, what) in KEYS {
        let shape = SHAPES.into_iter().find(|(letter, _)| look.shapes && *letter == key).map_or(key, |(_, shape)| shape);
        let (shape, gap) = (format!(" {shape}"), if key.is_empty() { 0 } else { WIDTH.min(width / 2) });
        let bold = look.style(Role::Neutral).add_modifier(Modifier::BOLD);
        if key.is_empty() {
            lines.push(Line::from(Span::styled(format!(" {what}"), bold)));
            continue;
        }
        for (at, part) in super::super::text::wrapped(what, width.saturating_sub(gap + 1)).into_iter().enumerate() {
            let begin = if at == 0 { shape.as_str() } else { "" };
            let begin = format!("{begin}{}", " ".repeat(gap.saturating_sub(super::super::text::width(begin))));
            lines.push(Line::from(vec![Span::raw(begin), words(part, Role::Neutral, look)]));
        }
    }
    lines
}
