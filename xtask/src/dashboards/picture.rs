//! A picture of each dashboard for the documentation: which panel stands where, what it asks and how it is drawn. It is a drawing and says so:
//! the shapes in the panels are the same for all and mean nothing.

use std::fmt::Write as _;

use super::board::{Board, Part, Place};
use super::panel::{Panel, View};

/// Pixels of a column, of a row, and of the frame.
const COLUMN: u64 = 46;
const ROW: u64 = 22;
const EDGE: u64 = 14;
/// Pixels of the head, with title and variables.
const HEAD: u64 = 74;
/// Pixels of a line of text.
const LINE: u64 = 15;

const COLOURS: [&str; 5] = ["#3b6fb6", "#e08a2c", "#3f9d6b", "#b6487b", "#8a6fc2"];
const BACK: &str = "#f4f5f7";
const PAPER: &str = "#ffffff";
const FRAME: &str = "#d5d8dd";
const INK: &str = "#24292f";
const FAINT: &str = "#6a737d";
const SHADE: &str = "#e4e7eb";

/// Heights of a line in percent of its panel, from left to right; the next line is the same, lower and shifted.
const COURSE: [u64; 13] = [30, 42, 38, 55, 48, 70, 62, 58, 74, 50, 44, 60, 52];

/// The drawing as SVG.
pub(super) fn svg(board: &Board) -> String {
    let parts = board.layout();
    let bottom = parts.iter().map(Part::bottom).max().unwrap_or(0) * ROW + HEAD + EDGE;
    let width = 24 * COLUMN + 2 * EDGE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {bottom}\" font-family=\"Helvetica, Arial, sans-serif\">\n\
         <title>{} (layout, not a screenshot)</title>\n<rect width=\"{width}\" height=\"{bottom}\" fill=\"{BACK}\"/>\n",
        escaped(board.title)
    );
    text(&mut svg, EDGE, 26, 17, INK, board.title);
    let note = "Layout drawn by cargo xtask dashboards: not a screenshot, the shapes are no data";
    end_text(&mut svg, width - EDGE, 24, 12, FAINT, note);
    let mut x = EDGE;
    for variable in &board.variables {
        let label = variable.label();
        let wide = pixels(label) + 42;
        rect(&mut svg, (x, 40, wide, 22), PAPER, FRAME);
        text(&mut svg, x + 9, 55, 12, INK, label);
        text(&mut svg, x + wide - 18, 55, 11, FAINT, "▾");
        x += wide + 8;
    }
    for part in &parts {
        match part {
            Part::Heading { title, y } => text(&mut svg, EDGE, HEAD + y * ROW + 15, 13, INK, &format!("▾  {title}")),
            Part::Panel(place) => panel(&mut svg, place),
        }
    }
    svg + "</svg>\n"
}

impl Part<'_> {
    fn bottom(&self) -> u64 {
        match self {
            Self::Heading { y, .. } => y + 1,
            Self::Panel(Place { panel, y, .. }) => y + u64::from(panel.size.1),
        }
    }
}

fn panel(svg: &mut String, place: &Place<'_>) {
    let panel = place.panel;
    let (x, y) = (EDGE + place.x * COLUMN, HEAD + place.y * ROW);
    let (wide, high) = (u64::from(panel.size.0) * COLUMN - 6, u64::from(panel.size.1) * ROW - 6);
    rect(svg, (x, y, wide, high), PAPER, FRAME);
    let lines = wrapped(&panel.title, wide - 16);
    for (at, line) in (0..).zip(&lines) {
        text(svg, x + 9, y + 16 + at * LINE, 12, INK, line);
    }
    let top = y + 10 + LINE * lines.len() as u64;
    let inside = (x + 9, top, wide - 18, (y + high).saturating_sub(top + 9));
    match &panel.view {
        View::Stat => stat(svg, inside, !panel.is_of_the_whole_time()),
        View::Lines => lines_of(svg, inside, panel.targets.len().min(3)),
        View::Stacked => areas(svg, inside),
        View::Bars => bars(svg, inside),
        View::Ranking => ranking(svg, inside),
        View::Heatmap => heatmap(svg, inside),
        View::Table => table(svg, inside, panel),
        View::Trace => waterfall(svg, inside),
        View::Text(_) => bar(svg, (inside.0, inside.1 + 2, inside.2 / 2, 7), SHADE),
    }
}

type Area = (u64, u64, u64, u64);

fn stat(svg: &mut String, (x, y, wide, high): Area, with_course: bool) {
    if with_course {
        course(svg, (x, y + high / 2, wide, high / 2), 0, true);
    }
    bar(svg, (x + wide / 2 - 24, y + high / 4, 48, 16), "#c3c9d1");
}

fn lines_of(svg: &mut String, area: Area, count: usize) {
    grid(svg, area);
    (0..count).for_each(|at| course(svg, area, at, false));
}

fn areas(svg: &mut String, area: Area) {
    grid(svg, area);
    (0..3).for_each(|at| course(svg, area, at, true));
}

/// One line, or the area below it; later ones are lower and shifted.
fn course(svg: &mut String, (x, y, wide, high): Area, at: usize, filled: bool) {
    let points = COURSE.iter().cycle().skip(at * 4).take(COURSE.len()).enumerate().map(|(step, percent)| {
        let height = percent * high / 100 * (4 - at.min(3) as u64) / 4;
        format!("{},{}", x + wide * step as u64 / 12, y + high - height)
    });
    let points = points.collect::<Vec<_>>().join(" ");
    let colour = COLOURS[at % COLOURS.len()];
    if filled {
        let (right, bottom) = (x + wide, y + high);
        line(
            svg,
            format_args!("<polygon points=\"{points} {right},{bottom} {x},{bottom}\" fill=\"{colour}\" fill-opacity=\"0.25\"/>"),
        );
    }
    line(svg, format_args!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"));
}

fn grid(svg: &mut String, (x, y, wide, high): Area) {
    for at in 0..=3 {
        let height = y + high * at / 3;
        line(svg, format_args!("<path d=\"M{x} {height}h{wide}\" stroke=\"{SHADE}\"/>"));
    }
}

fn bars(svg: &mut String, (x, y, wide, high): Area) {
    grid(svg, (x, y, wide, high));
    for (at, percent) in (0..).zip(COURSE) {
        let (lower, upper) = (percent * high / 160, percent * high / 400);
        let left = x + 4 + (wide - 8) * at / 13;
        bar(svg, (left, y + high - lower, wide / 20, lower), COLOURS[0]);
        bar(svg, (left, y + high - lower - upper, wide / 20, upper), COLOURS[1]);
    }
}

fn ranking(svg: &mut String, (x, y, wide, high): Area) {
    for at in 0..(high / 22).min(6) {
        bar(svg, (x, y + 4 + at * 22, wide, 13), SHADE);
        bar(svg, (x, y + 4 + at * 22, wide * (6 - at) / 7, 13), COLOURS[0]);
    }
}

fn heatmap(svg: &mut String, (x, y, wide, high): Area) {
    let (columns, rows) = (26, 7);
    for column in 0..columns {
        for row in 0..rows {
            let middle = COURSE[usize::try_from(column).unwrap_or(0) % COURSE.len()] * rows / 100;
            let (cell, tall) = (wide / columns, high / rows);
            let strength = 9_u64.saturating_sub(middle.abs_diff(row) * 3);
            line(
                svg,
                format_args!(
                    "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"#d9641e\" fill-opacity=\"0.{strength}\"/>",
                    x + column * cell,
                    y + (rows - 1 - row) * tall,
                    cell.saturating_sub(1),
                    tall.saturating_sub(1),
                ),
            );
        }
    }
}

fn table(svg: &mut String, (x, y, wide, high): Area, panel: &Panel) {
    let fixed: u64 = panel.columns.iter().filter_map(|column| column.width.map(u64::from)).sum();
    let open = panel.columns.iter().filter(|column| column.width.is_none()).count() as u64;
    let scale = |pixels: u64| if fixed + open * 160 > wide { pixels * wide / (fixed + open * 160).max(1) } else { pixels };
    let rest = wide.saturating_sub(scale(fixed)).checked_div(open).unwrap_or(0);
    let mut left = x;
    for column in &panel.columns {
        let span = column.width.map_or(rest, |width| scale(u64::from(width)));
        text(svg, left, y + 12, 11, FAINT, &cut(column.title, span));
        for at in 0..(high.saturating_sub(26) / 20).min(7) {
            let (top, long) = (y + 26 + at * 20, span.saturating_sub(14));
            if column.is_bar() {
                bar(svg, (left, top - 2, long, 11), SHADE);
                bar(svg, (left, top - 2, long * (8 - at) / 10, 11), COLOURS[0]);
            } else {
                bar(svg, (left, top, (long * (4 + (at * 3) % 4) / 8).max(8), 7), SHADE);
            }
        }
        left += span;
    }
    line(svg, format_args!("<path d=\"M{x} {}h{wide}\" stroke=\"{FRAME}\"/>", y + 18));
}

fn waterfall(svg: &mut String, (x, y, wide, high): Area) {
    let spans = [
        (0, 100, 3),
        (0, 12, 0),
        (12, 40, 0),
        (12, 66, 0),
        (14, 30, 0),
        (52, 10, 2),
        (58, 8, 1),
        (78, 9, 1),
        (66, 26, 1),
        (0, 92, 4),
    ];
    let names = ["pull image", "resolve image", "download layer", "download layer", "download layer", "stalled download"];
    let more = ["unpack layer", "unpack layer", "unpack layer", "wait for image"];
    let (left, span) = (x + 130, wide - 130);
    for ((at, (from, long, colour)), name) in (0..).zip(spans).zip(names.into_iter().chain(more)) {
        let top = y + 6 + at * (high / 11).min(26);
        text(svg, x, top + 9, 11, FAINT, name);
        bar(svg, (left + span * from / 100, top, span * long / 100, 10), COLOURS[colour]);
    }
}

fn bar(svg: &mut String, (x, y, wide, high): Area, colour: &str) {
    line(svg, format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" rx=\"2\" fill=\"{colour}\"/>"));
}

fn rect(svg: &mut String, (x, y, wide, high): Area, fill: &str, edge: &str) {
    line(
        svg,
        format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" rx=\"4\" fill=\"{fill}\" stroke=\"{edge}\"/>"),
    );
}

fn text(svg: &mut String, x: u64, y: u64, size: u8, colour: &str, words: &str) {
    line(svg, format_args!("<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{colour}\">{}</text>", escaped(words)));
}

fn end_text(svg: &mut String, x: u64, y: u64, size: u8, colour: &str, words: &str) {
    let words = escaped(words);
    line(
        svg,
        format_args!("<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{colour}\" text-anchor=\"end\">{words}</text>"),
    );
}

fn line(svg: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes everything.
    writeln!(svg, "{line}").unwrap_or_default();
}

/// About how many pixels words take.
fn pixels(words: &str) -> u64 {
    words.chars().count() as u64 * 63 / 10
}

/// The words in lines of at most so many pixels.
fn wrapped(words: &str, wide: u64) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split(' ') {
        let last = lines.last_mut().filter(|line| line.is_empty() || pixels(line) + pixels(word) + 6 <= wide);
        match last {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => line.extend([" ", word]),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// As much of the words as fits.
fn cut(words: &str, wide: u64) -> String {
    let most = usize::try_from(wide * 10 / 63).unwrap_or(0);
    words.chars().take(most).collect()
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_titles_stand_in_several_lines() {
        assert_eq!(wrapped("How many wait in a queue?", 90), ["How many wait", "in a queue?"]);
        assert_eq!(wrapped("One", 1), ["One"]);
    }

    #[test]
    fn every_picture_says_that_it_is_none_of_a_real_dashboard() {
        for board in crate::dashboards::boards() {
            let svg = svg(&board);
            assert!(svg.contains("not a screenshot") && svg.ends_with("</svg>\n"), "{}", board.uid);
        }
    }
}
