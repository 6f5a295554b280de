//! One bar: which part of a number is unpacked and which is fetched, to the eighth of a cell. It is full only when everything is there.

use super::{
    line::{Ink, Line},
    look::{Colours, Letters, Look},
};

/// What a bar shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Unpacked of `whole`; what is unpacked was fetched.
    pub(crate) unpacked: u64,
    /// Fetched of `whole`.
    pub(crate) fetched: u64,
    /// All of it.
    pub(crate) whole: u64,
    /// Whether the bar may be full.
    pub(crate) may_be_full: bool,
}

/// Parts of a cell.
const PARTS: u64 = 8;
/// Beginnings of a cell, by eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

impl Share {
    /// The bar, exactly so many cells wide.
    pub(crate) fn bar(&self, cells: usize, look: Look) -> Line {
        let fetched = self.parts(self.fetched.max(self.unpacked), cells);
        let unpacked = self.parts(self.unpacked, cells).min(fetched);
        match (look.letters, look.colours) {
            (Letters::Unicode, Colours::Sixteen | Colours::Many) => coloured(unpacked, fetched, cells),
            (Letters::Unicode, Colours::None) => shaded(unpacked, fetched, cells),
            (Letters::Ascii, _) => plain(unpacked, fetched, cells),
        }
    }

    /// The same in squares, one for each of a few things or for as many as there are cells; visibly not a bar of bytes.
    pub(crate) fn squares(&self, cells: usize, look: Look) -> Line {
        let squares = usize::try_from(self.whole).unwrap_or(usize::MAX).min(cells);
        let fetched = self.parts(self.fetched.max(self.unpacked), squares).full;
        let unpacked = self.parts(self.unpacked, squares).full.min(fetched);
        let [done, here, track] = match look.letters {
            Letters::Unicode if look.colours != Colours::None => ["■", "■", "□"],
            Letters::Unicode => ["■", "▣", "□"],
            Letters::Ascii => ["#", "=", "."],
        };
        Line::of(Ink::Unpacked, &done.repeat(unpacked))
            .with(Ink::Fetched, &here.repeat(fetched - unpacked))
            .with(Ink::Track, &track.repeat(squares - fetched))
            .gap(cells - squares)
    }

    /// Eighths of cells, rounded down.
    fn parts(&self, part: u64, cells: usize) -> Cells {
        let all = cells as u64 * PARTS;
        let most = if self.may_be_full && part >= self.whole { all } else { all.saturating_sub(1) };
        let parts = u128::from(part) * u128::from(all) / u128::from(self.whole.max(1));
        let parts = u64::try_from(parts).unwrap_or(all).min(most);
        let eighths = usize::try_from(parts % PARTS).unwrap_or(0);
        Cells { full: usize::try_from(parts / PARTS).unwrap_or(cells), eighths }
    }
}

/// Full cells and eighths of the next one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cells {
    full: usize,
    eighths: usize,
}

impl Cells {
    /// Cells that are at least touched.
    const fn touched(self) -> usize {
        self.full + (self.eighths > 0) as usize
    }
}

/// What is unpacked and what is fetched in two colours that touch each other.
fn coloured(unpacked: Cells, fetched: Cells, cells: usize) -> Line {
    let line = Line::of(Ink::Unpacked, &"█".repeat(unpacked.full));
    let line = match (unpacked == fetched, fetched.full > unpacked.full) {
        (true, _) => line.with(Ink::Unpacked, EIGHTHS[fetched.eighths]),
        (false, true) => line
            .with(Ink::Seam, EIGHTHS[unpacked.eighths])
            .with(Ink::Fetched, &"█".repeat(fetched.full - unpacked.touched()))
            .with(Ink::Fetched, EIGHTHS[fetched.eighths]),
        (false, false) => line.with(Ink::Fetched, EIGHTHS[fetched.eighths]),
    };
    let drawn = line.width();
    line.with(Ink::Track, &"·".repeat(cells - drawn))
}

/// The same without colours: full cells are unpacked, shaded ones fetched.
fn shaded(unpacked: Cells, fetched: Cells, cells: usize) -> Line {
    let line = Line::of(Ink::Unpacked, &"█".repeat(unpacked.full));
    let line = match fetched.full > unpacked.full {
        true => line.with(Ink::Fetched, &"▒".repeat(fetched.full - unpacked.full)),
        false => line.with(Ink::Unpacked, EIGHTHS[fetched.eighths]),
    };
    let drawn = line.width();
    line.with(Ink::Track, &"·".repeat(cells - drawn))
}

/// The same in ASCII.
fn plain(unpacked: Cells, fetched: Cells, cells: usize) -> Line {
    let inside = cells.saturating_sub(2);
    let eighths = EIGHTHS.len();
    let scaled = |part: Cells| if cells == 0 { 0 } else { (part.full * eighths + part.eighths) * inside / (cells * eighths) };
    let (unpacked, fetched) = (scaled(unpacked), scaled(fetched));
    let track = inside - fetched;
    Line::of(Ink::Faint, "[")
        .with(Ink::Unpacked, &"#".repeat(unpacked))
        .with(Ink::Fetched, &"=".repeat(fetched - unpacked))
        .with(Ink::Track, &".".repeat(track))
        .with(Ink::Faint, "]")
        .cut(cells)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOOKS: [Look; 4] = [
        Look { letters: Letters::Unicode, colours: Colours::Many },
        Look { letters: Letters::Unicode, colours: Colours::Sixteen },
        Look { letters: Letters::Unicode, colours: Colours::None },
        Look { letters: Letters::Ascii, colours: Colours::None },
    ];

    fn bar(unpacked: u64, fetched: u64, may_be_full: bool, look: usize) -> String {
        Share { unpacked, fetched, whole: 80, may_be_full }.bar(10, LOOKS[look]).text()
    }

    #[test]
    fn a_bar_is_drawn_to_the_eighth_of_a_cell() {
        assert_eq!(bar(0, 0, true, 0), "··········");
        assert_eq!(bar(0, 1, true, 0), "▏·········");
        assert_eq!(bar(0, 44, true, 0), "█████▌····");
        assert_eq!(bar(20, 44, true, 0), "██▌██▌····", "the seam between both is a cell of two colours");
        assert_eq!(bar(42, 44, true, 0), "█████▌····", "within one cell only the longer one is shown");
        assert_eq!(bar(80, 80, true, 0), "██████████");
        assert_eq!(bar(20, 44, true, 2), "██▒▒▒·····");
        assert_eq!(bar(20, 44, true, 3), "[##==....]");
    }

    #[test]
    fn only_what_may_be_full_is_full() {
        assert_eq!(bar(80, 80, false, 0), "█████████▉");
        assert_eq!(bar(0, 80, false, 3), "[=======.]");
    }

    #[test]
    fn what_is_counted_is_shown_in_squares() {
        let share = Share { unpacked: 1, fetched: 3, whole: 5, may_be_full: true };
        assert_eq!(LOOKS.map(|look| share.squares(7, look).text()), ["■■■□□  ", "■■■□□  ", "■▣▣□□  ", "#==..  "]);
        assert_eq!(share.squares(3, LOOKS[3]).text(), "=..");
    }

    /// How far a bar reaches, in eighths; behind a seam it goes on.
    fn reach(bar: &Line) -> usize {
        let cell = |ink: Ink, c: char| match c {
            '█' | '▒' | '#' | '=' => 8,
            _ if ink == Ink::Seam => 8,
            c => EIGHTHS.iter().position(|part| *part == c.to_string()).unwrap_or(0),
        };
        bar.pieces().flat_map(|(ink, text)| text.chars().map(move |c| cell(ink, c))).sum()
    }

    proptest! {
        #[test]
        fn a_bar_is_as_wide_as_asked_and_never_falls_while_bytes_grow(
            whole in 0u64..=u64::MAX, steps in prop::collection::vec((any::<u64>(), any::<u64>()), 1..20), cells in 0usize..60
        ) {
            for look in LOOKS {
                let (mut unpacked, mut fetched, mut last) = (0u64, 0u64, 0);
                for (u, f) in &steps {
                    fetched = fetched.saturating_add(*f / 8);
                    unpacked = unpacked.saturating_add(*u / 16).min(fetched);
                    let line = Share { unpacked, fetched, whole, may_be_full: true }.bar(cells, look);
                    prop_assert_eq!(line.width(), cells);
                    prop_assert!(reach(&line) >= last, "{}", line.text());
                    last = reach(&line);
                }
            }
        }
    }
}
