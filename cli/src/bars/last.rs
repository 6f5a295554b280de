//! What stays on a terminal when all pulls have ended: of each how it ended, and then either what it took or what went wrong, in full. What
//! there is to say stands in [`crate::pull::summary`].

use lifecycle::pull::{Failure, NodeName, Outcome};

use super::{
    frame::{WIDEST, title, total},
    line::{Ink, Line, wrapped},
    look::Look,
};
use crate::pull::{picture::Picture, summary};

/// Cells before what belongs to an image.
const INDENT: usize = 2;
/// Cells of the names of facts, with a space.
const NAME: usize = 8;

/// The lines, none wider than so many cells.
pub(super) fn lines(pictures: &[Picture], columns: usize, look: Look, node: &NodeName) -> Vec<Line> {
    let cells = columns.min(WIDEST);
    let blocks = pictures.iter().map(|picture| of(picture, cells, look, node));
    blocks.collect::<Vec<_>>().join(&Line::default())
}

fn of(picture: &Picture, cells: usize, look: Look, node: &NodeName) -> Vec<Line> {
    let pull = &picture.pull;
    let mut lines = vec![title(picture, cells, look)];
    let outcome = pull.ending.as_ref().map(|ending| &ending.outcome);
    if outcome != Some(&Outcome::Ready) && !pull.layers.is_empty() {
        lines.push(total(picture, cells, look));
    }
    let mut told = summary::lines(pull, node).into_iter();
    match outcome {
        Some(Outcome::Failed(failure)) => {
            told.next();
            lines.extend(what_went_wrong(failure).into_iter().flat_map(|(name, ink, text)| fact(name, ink, text, cells)));
        }
        Some(Outcome::Ready | Outcome::Canceled | Outcome::Lost) | None => {}
    }
    lines.extend(told.flat_map(|(name, text)| fact(name, Ink::Plain, &text, cells)));
    lines
}

/// The class, what was said and what helps: all of it, where a sentence would have to cut.
const fn what_went_wrong(failure: &Failure) -> [(&'static str, Ink, &str); 3] {
    [
        ("failed", Ink::Bad, failure.class.as_str()),
        ("said", Ink::Plain, failure.message.as_str()),
        ("hint", Ink::Strong, summary::hint(failure.class)),
    ]
}

/// A fact behind its name, on as many lines as it needs: nothing of what was said is cut. A word that just fits behind
/// its name, as a digest in 80 cells, stays whole.
fn fact(name: &str, ink: Ink, text: &str, cells: usize) -> Vec<Line> {
    let just = Line::default().gap(INDENT).with(Ink::Faint, name).gap(1).with(ink, text);
    if !text.contains(' ') && just.width() <= cells && just.width() + NAME > cells + name.len() + 1 {
        return vec![just];
    }
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    let texts = wrapped(text, cells.saturating_sub(INDENT + NAME));
    let line = |(text, name): (String, &str)| {
        let head = Line::default().gap(INDENT).with(Ink::Faint, name);
        let gap = (INDENT + NAME).saturating_sub(head.width());
        head.gap(gap).with(ink, &text).cut(cells)
    };
    texts.into_iter().zip(names).map(line).collect()
}
