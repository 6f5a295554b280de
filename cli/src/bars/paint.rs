//! Lines onto a terminal: only what is another than before, between the marks that let a terminal show it all at once, and never wider than the
//! terminal is now. It makes the bytes; who writes them is next door. Sequences are those of ECMA-48 and xterm, all known to the Linux console
//! or passed over by it.

use std::fmt::Write as _;

use super::{frame::Extent, line::Line, look::Look};

/// Held back until the end mark, no cursor, and no line goes on in the next row whatever happens to the size meanwhile.
const BEGIN: &str = "\x1b[?2026h\x1b[?25l\x1b[?7l";
/// The end mark, and lines wrap again.
const END: &str = "\x1b[?7h\x1b[?2026l";
/// Everything as it was: shown, wrapping, with a cursor and without colours.
pub(super) const RESTORE: &str = "\x1b[?2026l\x1b[?7h\x1b[?25h\x1b[0m";

/// Where on a terminal is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Below what is there already, which scrolls away above.
    Below,
    /// The whole screen, which belongs to nobody else.
    Screen,
}

/// What a terminal shows of ours.
#[derive(Debug)]
pub(super) struct Painter {
    place: Place,
    look: Look,
    shown: Vec<Line>,
    /// The size at that time; `None` before the first frame, and when nobody knows what the screen shows.
    extent: Option<Extent>,
}

impl Painter {
    pub(super) const fn new(place: Place, look: Look) -> Self {
        Self { place, look, shown: Vec::new(), extent: None }
    }

    pub(super) const fn look(&self) -> Look {
        self.look
    }

    /// Someone else may have written: everything is drawn anew.
    pub(super) const fn forget(&mut self) {
        self.extent = None;
    }

    /// What is to be written so that these lines are shown; `None` if they are.
    pub(super) fn paint(&mut self, lines: Vec<Line>, extent: Extent) -> Option<String> {
        if self.extent == Some(extent) && self.shown == lines {
            return None;
        }
        let mut out = String::from(BEGIN);
        self.begin(extent, &mut out);
        for (at, line) in lines.iter().enumerate() {
            self.line(at, line, extent, &mut out);
        }
        self.rest(lines.len(), &mut out);
        out.push_str(END);
        self.shown = lines;
        Some(out)
    }

    /// What is to be written so that these lines stay, however many they are, and the cursor stands below them.
    pub(super) fn end(&mut self, lines: &[Line], extent: Extent) -> String {
        let mut out = String::from(BEGIN);
        self.extent = match self.place {
            Place::Below => self.extent,
            Place::Screen => None,
        };
        self.begin(extent, &mut out);
        out.push_str("\x1b[J");
        for line in lines {
            self.look.write(line, &mut out);
            out.push_str("\r\n");
        }
        out.push_str(RESTORE);
        (self.shown, self.extent) = (Vec::new(), None);
        out
    }

    /// To the first row of what is shown; forgets that if the size is another one, because a terminal then breaks its lines anew.
    fn begin(&mut self, extent: Extent, out: &mut String) {
        let same = self.extent.replace(extent) == Some(extent);
        match self.place {
            Place::Below => {
                let rows = |line: &Line| line.width().div_ceil(extent.columns.max(1)).max(1);
                let up: usize = self.shown.iter().map(rows).sum();
                match up.min(extent.rows.saturating_sub(1)) {
                    0 => out.push('\r'),
                    up => push(out, format_args!("\r\x1b[{up}A")),
                }
                if !same {
                    out.push_str("\x1b[J");
                    self.shown.clear();
                }
            }
            Place::Screen if same => {}
            Place::Screen => {
                // Line by line and not at once, so that a console that shows everything as it comes does not flicker.
                out.push_str("\x1b[H");
                self.shown.clear();
            }
        }
    }

    fn line(&self, at: usize, line: &Line, extent: Extent, out: &mut String) {
        let is_new = self.shown.get(at) != Some(line);
        if is_new {
            if self.place == Place::Screen {
                push(out, format_args!("\x1b[{};1H", at + 1));
            }
            self.look.write(line, out);
            if line.width() < extent.columns {
                out.push_str("\x1b[K");
            }
        }
        if self.place == Place::Below {
            out.push_str("\r\n");
        }
    }

    /// Rows that were shown and are no more.
    fn rest(&self, lines: usize, out: &mut String) {
        match self.place {
            Place::Below if lines < self.shown.len() => out.push_str("\x1b[J"),
            Place::Below => {}
            Place::Screen => push(out, format_args!("\x1b[{};1H\x1b[J", lines + 1)),
        }
    }
}

/// Writing to a string never fails.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{
        line::Ink,
        look::{Colours, Letters},
    };
    use super::*;

    const LOOK: Look = Look { letters: Letters::Unicode, colours: Colours::Many };

    /// A terminal that understands what is written here, and nothing else. It keeps what has scrolled away.
    struct Model {
        rows: Vec<String>,
        row: usize,
        column: usize,
        /// Which of the rows is the first on the screen.
        top: usize,
        extent: Extent,
    }

    impl Model {
        fn new(extent: Extent, before: usize) -> Self {
            let mut model = Self { rows: vec![String::new()], row: 0, column: 0, top: 0, extent };
            (0..before).for_each(|at| model.take(&format!("before {at}\r\n")));
            model
        }

        fn take(&mut self, bytes: &str) {
            let mut rest = bytes;
            while let Some(c) = rest.chars().next() {
                rest = &rest[c.len_utf8()..];
                match c {
                    '\r' => self.column = 0,
                    '\n' => {
                        self.row += 1;
                        self.rows.resize(self.rows.len().max(self.row + 1), String::new());
                        self.top = self.top.max((self.row + 1).saturating_sub(self.extent.rows));
                    }
                    '\x1b' => {
                        let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                        self.obey(&rest[1..end], &rest[end..=end]);
                        rest = &rest[end + 1..];
                    }
                    c => {
                        let kept: String = self.rows[self.row].chars().take(self.column).collect();
                        let behind: String = self.rows[self.row].chars().skip(self.column + 1).collect();
                        self.rows[self.row] = format!("{kept}{c}{behind}");
                        self.column += 1;
                        assert!(self.column <= self.extent.columns, "nothing is written beyond the edge");
                    }
                }
            }
        }

        fn obey(&mut self, numbers: &str, what: &str) {
            match what {
                "A" => self.row = self.row.saturating_sub(numbers.parse().unwrap()).max(self.top),
                "K" => self.rows[self.row] = self.rows[self.row].chars().take(self.column).collect(),
                "J" => {
                    self.obey("", "K");
                    self.rows.truncate(self.row + 1);
                }
                "H" => {
                    self.row = self.top + numbers.split(';').next().and_then(|row| row.parse().ok()).unwrap_or(1) - 1;
                    self.column = 0;
                    self.rows.resize(self.rows.len().max(self.row + 1), String::new());
                }
                "m" | "h" | "l" => {}
                what => panic!("no terminal was asked for {what}"),
            }
        }

        /// What stands on it, without empty rows at the end.
        fn text(&self) -> Vec<&str> {
            let all: Vec<&str> = self.rows.iter().map(|row| row.trim_end()).collect();
            let filled = all.iter().rposition(|row| !row.is_empty()).map_or(0, |at| at + 1);
            all[..filled].to_vec()
        }
    }

    fn frames() -> impl Strategy<Value = Vec<Vec<Line>>> {
        let line = "[a-c]{1,12}".prop_map(|text| Line::of(Ink::Good, &text));
        prop::collection::vec(prop::collection::vec(line, 0..7), 1..8)
    }

    proptest! {
        #[test]
        fn below_what_was_there_stands_the_last_frame_and_nothing_else(
            frames in frames(), last in prop::collection::vec("[d-f]{1,12}", 0..20), before in 0usize..12
        ) {
            let extent = Extent { columns: 12, rows: 8 };
            let mut screen = Model::new(extent, before);
            let mut painter = Painter::new(Place::Below, LOOK);
            let was: Vec<String> = (0..before).map(|at| format!("before {at}")).collect();
            for frame in frames {
                let shown: Vec<String> = was.iter().cloned().chain(frame.iter().map(Line::text)).collect();
                if let Some(bytes) = painter.paint(frame, extent) {
                    screen.take(&bytes);
                }
                prop_assert_eq!(screen.text(), shown);
            }
            let lines: Vec<Line> = last.iter().map(|text| Line::of(Ink::Plain, text)).collect();
            screen.take(&painter.end(&lines, extent));
            let shown: Vec<String> = was.into_iter().chain(last).collect();
            prop_assert_eq!(screen.text(), shown);
        }

        #[test]
        fn a_screen_of_ones_own_shows_the_last_frame_whatever_was_on_it(frames in frames(), rubbish in "[x-z]{0,12}") {
            let extent = Extent { columns: 12, rows: 8 };
            let mut screen = Model::new(extent, 0);
            let mut painter = Painter::new(Place::Screen, LOOK);
            for frame in frames {
                screen.take(&format!("\x1b[3;1H{rubbish}"));
                painter.forget();
                let shown: Vec<String> = frame.iter().map(Line::text).collect();
                screen.take(&painter.paint(frame, extent).unwrap());
                prop_assert_eq!(screen.text(), shown);
            }
        }
    }
}
