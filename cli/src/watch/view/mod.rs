//! Draws what [`super::model`] knows: a pure function of it, of the size of the screen and of what the terminal can show. Only what is on the screen is
//! put into words.

mod bar;
mod columns;
mod detail;
mod foot;
mod head;
mod help;
mod look;
mod phases;
mod table;
#[cfg(test)]
mod tests;

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use self::look::Role;
pub(super) use self::look::{Colours, Look};
use super::model::{Model, Screen};

/// Smaller screens show nothing but that they are too small.
const LEAST: (u16, u16) = (40, 9);
/// Lines above what fills the screen.
const HEAD: u16 = 2;

/// Draws everything; says how many lines what is shown can be scrolled by.
pub(super) fn frame(model: &Model, look: Look, frame: &mut Frame<'_>) -> usize {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let words = format!("Too small: {} x {} at least", LEAST.0, LEAST.1);
        frame.render_widget(Paragraph::new(words), area);
        return 0;
    }
    let width = usize::from(area.width);
    put(frame, 0, &head::server(model, width, look));
    put(frame, 1, &head::sums(model, width, look));
    put(frame, area.height - 1, &foot::keys(model, width, look));
    let most = middle(model, look, frame);
    if !look.shapes {
        only_ascii(frame.buffer_mut());
    }
    most
}

fn middle(model: &Model, look: Look, frame: &mut Frame<'_>) -> usize {
    let area = frame.area();
    let width = usize::from(area.width);
    let middle = Rect { y: HEAD, height: area.height - HEAD - 1, ..area };
    match &model.screen {
        Screen::Table => {
            table::draw(model, middle, look, frame.buffer_mut());
            0
        }
        Screen::Pull(opened) => scrolled(frame, middle, detail::lines(model, opened, width, look), opened.scroll),
        Screen::Json(opened) => scrolled(frame, middle, detail::json(opened, width, look), opened.scroll),
        Screen::Help(lines) => scrolled(frame, middle, help::lines(width, look), *lines),
    }
}

/// What came from elsewhere, or was cut, on a terminal that would show it as rubbish.
fn only_ascii(buffer: &mut Buffer) {
    for cell in buffer.content.iter_mut().filter(|cell| !cell.symbol().is_ascii()) {
        cell.set_symbol(if cell.symbol() == "…" { "." } else { "?" });
    }
}

fn scrolled(frame: &mut Frame<'_>, area: Rect, lines: Vec<Line<'static>>, scroll: usize) -> usize {
    let most = lines.len().saturating_sub(usize::from(area.height));
    let buffer = frame.buffer_mut();
    for (y, line) in (area.y..area.bottom()).zip(lines.iter().skip(scroll.min(most))) {
        buffer.set_line(area.x, y, line, area.width);
    }
    most
}

fn put(frame: &mut Frame<'_>, y: u16, line: &Line<'_>) {
    let width = frame.area().width;
    frame.buffer_mut().set_line(0, y, line, width);
}

/// A line with one part at its left end and one at its right; where both have no room the left one is cut.
fn ends(left: Vec<Span<'static>>, right: Vec<Span<'static>>, width: usize) -> Line<'static> {
    let (taken, end) = (cells(&left), cells(&right).min(width));
    let mut line = Line::from(left);
    if taken + end + 1 > width {
        line = cut(line, width.saturating_sub(end + 1));
    }
    let gap = width.saturating_sub(line.width() + end);
    line.spans.push(Span::raw(" ".repeat(gap)));
    line.spans.extend(right);
    line
}

fn cut(line: Line<'static>, width: usize) -> Line<'static> {
    let mut left = width;
    let mut spans = Vec::new();
    for span in line.spans {
        let kept = super::text::head(&span.content, left);
        left -= super::text::width(&kept).min(left);
        spans.push(Span::styled(kept, span.style));
    }
    Line::from(spans)
}

fn cells(spans: &[Span<'_>]) -> usize {
    spans.iter().map(Span::width).sum()
}

fn words(text: impl Into<String>, role: Role, look: Look) -> Span<'static> {
    Span::styled(text.into(), look.style(role))
}
