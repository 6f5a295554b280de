//! What tmux says a terminal shows, as cells: letters, and how they look. Of the sequences only "select graphic rendition" (ECMA-48) occurs.

/// A colour as it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Colour {
    /// That of the theme.
    #[default]
    Usual,
    /// One of the 256.
    Number(u8),
    /// Itself.
    Rgb(u8, u8, u8),
}

/// How letters look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) ink: Colour,
    pub(super) ground: Colour,
    pub(super) bold: bool,
    pub(super) faint: bool,
    pub(super) underlined: bool,
    pub(super) reversed: bool,
}

/// One letter in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) letter: char,
    pub(super) style: Style,
}

/// The rows of a screen, each at most so many cells wide; what is beyond is an error of whoever drew it, and left out.
pub(super) fn cells(seen: &str, columns: usize) -> Vec<Vec<Cell>> {
    let mut style = Style::default();
    seen.lines().map(|line| row(line, columns, &mut style)).collect()
}

fn row(line: &str, columns: usize, style: &mut Style) -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match rest.strip_prefix('[').filter(|_| letter == '\x1b').and_then(|rest| rest.split_once('m')) {
            Some((numbers, behind)) => {
                *style = restyled(*style, numbers);
                rest = behind;
            }
            None if letter.is_control() => {}
            None => cells.push(Cell { letter, style: *style }),
        }
    }
    cells.truncate(columns);
    cells
}

fn restyled(mut style: Style, numbers: &str) -> Style {
    let mut numbers = numbers.split(';').map(|number| number.parse::<u8>().unwrap_or(0));
    while let Some(number) = numbers.next() {
        match number {
            0 => style = Style::default(),
            1 => style.bold = true,
            2 => style.faint = true,
            4 => style.underlined = true,
            7 => style.reversed = true,
            22 => (style.bold, style.faint) = (false, false),
            24 => style.underlined = false,
            27 => style.reversed = false,
            30..=37 => style.ink = Colour::Number(number - 30),
            38 => style.ink = colour(&mut numbers),
            39 => style.ink = Colour::Usual,
            40..=47 => style.ground = Colour::Number(number - 40),
            48 => style.ground = colour(&mut numbers),
            49 => style.ground = Colour::Usual,
            90..=97 => style.ink = Colour::Number(number - 82),
            100..=107 => style.ground = Colour::Number(number - 92),
            _ => {}
        }
    }
    style
}

/// `5;N` or `2;R;G;B`.
fn colour(numbers: &mut impl Iterator<Item = u8>) -> Colour {
    match (numbers.next(), numbers.next()) {
        (Some(5), Some(number)) => Colour::Number(number),
        (Some(2), Some(red)) => Colour::Rgb(red, numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
        (_, _) => Colour::Usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_last_until_others_are_chosen() {
        let rows = cells("a\x1b[1;38;5;28mb\x1b[0;31mc\n\x1b[48;2;1;2;3md\x1b[me", 80);
        let styles: Vec<Style> = rows.iter().flatten().map(|cell| cell.style).collect();
        let red = Style { ink: Colour::Number(1), ..Style::default() };
        let green = Style { ink: Colour::Number(28), bold: true, ..Style::default() };
        let on_dark = Style { ground: Colour::Rgb(1, 2, 3), ..red };
        assert_eq!(styles, [Style::default(), green, red, on_dark, Style::default()]);
    }

    #[test]
    fn a_row_is_not_wider_than_the_screen() {
        assert_eq!(cells("abc", 2)[0].len(), 2);
    }
}
