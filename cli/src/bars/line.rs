//! A line of a terminal before it is written: pieces of text, each with what it means. What is meant becomes colours in [`mod@super::look`].
//! It is the only way from foreign text to a terminal, so nothing in a line can drive one: see [`clean`].

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What a piece of text means, which decides how it looks. Nothing is told by this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Text.
    Plain,
    /// The names of things.
    Strong,
    /// What is there to be looked up.
    Faint,
    /// Bytes that were fetched.
    Fetched,
    /// Bytes that were unpacked.
    Unpacked,
    /// A cell whose left part is unpacked, and whose right part is fetched.
    Seam,
    /// What is to come.
    Track,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// It may go wrong.
    Warning,
}

/// One line without its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    pieces: Vec<(Ink, String)>,
}

impl Line {
    /// With this text, cleaned.
    pub(crate) fn of(ink: Ink, text: &str) -> Self {
        Self::default().with(ink, text)
    }

    /// And behind it this text, cleaned.
    pub(crate) fn with(mut self, ink: Ink, text: &str) -> Self {
        let text = clean(text);
        if !text.is_empty() {
            self.pieces.push((ink, text));
        }
        self
    }

    /// And behind it so many spaces.
    pub(crate) fn gap(self, cells: usize) -> Self {
        self.with(Ink::Plain, &" ".repeat(cells))
    }

    /// And behind it another line.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.pieces.extend(other.pieces);
        self
    }

    /// This one at the left and another at the right edge of so many cells; the left one gives way.
    pub(crate) fn and_right(self, other: Self, cells: usize) -> Self {
        let room = cells.saturating_sub(other.width());
        let left = self.cut(room.saturating_sub(1));
        let gap = room - left.width().min(room);
        left.gap(gap).and(other).cut(cells)
    }

    /// At most so many cells of it.
    pub(crate) fn cut(self, cells: usize) -> Self {
        let mut room = cells;
        let mut pieces = Vec::new();
        for (ink, text) in self.pieces {
            let kept = head(&text, room);
            let whole = kept.len() == text.len();
            room -= kept.width();
            if !kept.is_empty() {
                pieces.push((ink, kept.to_owned()));
            }
            if !whole {
                break;
            }
        }
        Self { pieces }
    }

    /// Cells that it takes.
    pub(crate) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| text.width()).sum()
    }

    /// Its pieces, from left to right.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (Ink, &str)> {
        self.pieces.iter().map(|(ink, text)| (*ink, text.as_str()))
    }

    /// Its letters alone.
    #[cfg(test)]
    pub(crate) fn text(&self) -> String {
        self.pieces.iter().map(|(_, text)| text.as_str()).collect()
    }
}

/// Text that cannot drive a terminal: what would move its cursor is a space, and what would turn the direction of writing or take no cell is
/// left out.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .filter(|c| c.width().is_some_and(|cells| cells > 0))
        .collect()
}

/// The end of a name, behind dots if it has to be cut: the end is what tells names apart.
pub(crate) fn end_of(name: &str, cells: usize, dots: &str) -> String {
    let name = clean(name);
    if name.width() <= cells {
        return name;
    }
    let mut room = cells.saturating_sub(dots.width());
    let fits = |c: &char| {
        let cells = c.width().unwrap_or(0);
        let fits = cells <= room;
        room = if fits { room - cells } else { 0 };
        fits
    };
    let end: Vec<char> = name.chars().rev().take_while(fits).collect();
    head(dots, cells).chars().chain(end.into_iter().rev()).collect()
}

/// Words in lines of at most so many cells; a word that is longer is broken.
pub(crate) fn wrapped(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(1);
    let mut lines: Vec<String> = Vec::new();
    let text = clean(text);
    for word in text.split_whitespace() {
        let mut rest = word;
        if let Some(line) = lines.last_mut().filter(|line| line.width() + 1 + word.width() <= cells) {
            line.push(' ');
            line.push_str(word);
            continue;
        }
        while !rest.is_empty() {
            let (part, left) = rest.split_at(head(rest, cells).len().max(rest.chars().next().map_or(0, char::len_utf8)));
            lines.push(part.to_owned());
            rest = left;
        }
    }
    lines
}

/// The longest beginning of at most so many cells.
fn head(text: &str, cells: usize) -> &str {
    let mut taken = 0;
    let end = text.char_indices().find_map(|(at, c)| {
        taken += c.width().unwrap_or(0);
        (taken > cells).then_some(at)
    });
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_would_drive_a_terminal_is_spaces() {
        assert_eq!(Line::of(Ink::Plain, "a\x1b[2Jb\r\nc\u{202e}d\u{9b}1m\u{200b}e").text(), "a [2Jb  cd 1me");
    }

    #[test]
    fn wide_letters_count_twice_and_are_never_cut_in_half() {
        let line = Line::of(Ink::Plain, "映像a");
        assert_eq!(line.width(), 5);
        assert_eq!((line.clone().cut(3).text(), line.clone().cut(3).width()), ("映".to_owned(), 2));
        assert_eq!(line.and_right(Line::of(Ink::Plain, "9"), 5).text(), "映 9".replace(' ', "  "));
    }

    #[test]
    fn of_a_long_name_the_end_is_kept() {
        assert_eq!(end_of("registry.example.com/team/app:v1", 12, "…"), "…team/app:v1");
        assert_eq!(end_of("app:v1", 12, "…"), "app:v1");
        assert_eq!(end_of("app:映像", 6, ".."), "..映像");
    }

    #[test]
    fn words_go_to_the_next_line_and_long_ones_are_broken() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("映像", 1), ["映", "像"], "what cannot fit is still told");
    }
}
