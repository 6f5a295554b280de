//! How a terminal wants to be written to: which letters it has and which colours. Colours are chosen to be read on light and on dark grounds
//! alike, and tell nothing that the letters do not tell. Whether a terminal can be drawn on at all is decided here too.

use super::line::{Ink, Line};

/// The letters that bars are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letters {
    /// Eighths of a cell.
    Unicode,
    /// For locales that are not UTF-8, and for consoles whose font is not known.
    Ascii,
}

/// The colours of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colours {
    /// None are wanted, or none are there.
    None,
    /// The sixteen whose looks the terminal decides.
    Sixteen,
    /// The 256 whose looks are the same everywhere.
    Many,
}

/// Letters and colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) letters: Letters,
    pub(crate) colours: Colours,
}

impl Look {
    /// An attached screen, of which nothing is known but that it understands what the Linux console understands.
    pub(crate) const CONSOLE: Self = Self { letters: Letters::Ascii, colours: Colours::Sixteen };

    /// What the environment says of the terminal, `None` if it cannot be drawn on: it is `dumb`, or nobody said what it is.
    pub(crate) fn from_env(var: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let term = var("TERM").filter(|term| !term.is_empty() && term != "dumb")?;
        let said = |name: &str| var(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(said).unwrap_or_default().to_ascii_lowercase();
        let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        // The Linux console's font has no eighths of a cell.
        let letters = if is_utf8 && term != "linux" { Letters::Unicode } else { Letters::Ascii };
        let many = term.contains("256color") || term.contains("direct") || said("COLORTERM").is_some();
        let colours = match (said("NO_COLOR"), many) {
            (Some(_), _) => Colours::None,
            (None, true) => Colours::Many,
            (None, false) => Colours::Sixteen,
        };
        Some(Self { letters, colours })
    }

    /// What stands for something left out.
    pub(crate) const fn dots(self) -> &'static str {
        match self.letters {
            Letters::Unicode => "…",
            Letters::Ascii => "...",
        }
    }

    /// A line as the terminal takes it; colours are put back at its end.
    pub(crate) fn write(self, line: &Line, out: &mut String) {
        let mut last = "";
        for (ink, text) in line.pieces() {
            let code = self.code(ink);
            if code != last {
                out.push_str("\x1b[0");
                if !code.is_empty() {
                    out.push(';');
                    out.push_str(code);
                }
                out.push('m');
                last = code;
            }
            out.push_str(text);
        }
        if !last.is_empty() {
            out.push_str("\x1b[0m");
        }
    }

    /// The numbers of "select graphic rendition" (ECMA-48).
    const fn code(self, ink: Ink) -> &'static str {
        match (self.colours, ink) {
            (_, Ink::Plain) => "",
            (_, Ink::Strong) => "1",
            (Colours::None, Ink::Bad | Ink::Warning) => "1",
            (Colours::None, Ink::Faint | Ink::Fetched | Ink::Unpacked | Ink::Seam | Ink::Track | Ink::Good) => "",
            (Colours::Sixteen, Ink::Faint | Ink::Track) => "2",
            (Colours::Sixteen, Ink::Fetched) => "36",
            (Colours::Sixteen, Ink::Unpacked) => "32",
            (Colours::Sixteen, Ink::Seam) => "32;46",
            (Colours::Sixteen, Ink::Good) => "1;32",
            (Colours::Sixteen, Ink::Bad) => "1;31",
            (Colours::Sixteen, Ink::Warning) => "1;35",
            (Colours::Many, Ink::Faint | Ink::Track) => "38;5;243",
            (Colours::Many, Ink::Fetched) => "38;5;32",
            (Colours::Many, Ink::Unpacked) => "38;5;28",
            (Colours::Many, Ink::Seam) => "38;5;28;48;5;32",
            (Colours::Many, Ink::Good) => "1;38;5;28",
            (Colours::Many, Ink::Bad) => "1;38;5;160",
            (Colours::Many, Ink::Warning) => "1;38;5;130",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(vars: &[(&str, &str)]) -> Option<Look> {
        Look::from_env(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_terminal_that_is_dumb_or_unknown_is_not_drawn_on() {
        assert_eq!((look(&[]), look(&[("TERM", "dumb")]), look(&[("TERM", "")])), (None, None, None));
    }

    #[test]
    fn letters_follow_the_locale_and_the_first_variable_that_is_set_counts() {
        let letters = |vars: &[(&str, &str)]| look(&[vars, &[("TERM", "xterm")]].concat()).unwrap().letters;
        assert_eq!(letters(&[("LANG", "de_DE.UTF-8")]), Letters::Unicode);
        assert_eq!(letters(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]), Letters::Ascii);
        assert_eq!(letters(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]), Letters::Unicode);
        assert_eq!(letters(&[]), Letters::Ascii);
    }

    #[test]
    fn no_color_takes_the_colours_away_and_nothing_else() {
        let colours = |vars: &[(&str, &str)]| look(vars).unwrap().colours;
        assert_eq!(colours(&[("TERM", "xterm-256color"), ("NO_COLOR", "1")]), Colours::None);
        assert_eq!(colours(&[("TERM", "xterm-256color"), ("NO_COLOR", "")]), Colours::Many, "an empty one does not count");
        assert_eq!(colours(&[("TERM", "vt220")]), Colours::Sixteen);
        assert_eq!(colours(&[("TERM", "xterm"), ("COLORTERM", "truecolor")]), Colours::Many);
    }

    #[test]
    fn colours_end_with_the_line() {
        let line = Line::of(Ink::Strong, "a").with(Ink::Strong, "b").with(Ink::Plain, "c").with(Ink::Bad, "d");
        let mut out = String::new();
        Look { letters: Letters::Ascii, colours: Colours::Sixteen }.write(&line, &mut out);
        assert_eq!(out, "\x1b[0;1mab\x1b[0mc\x1b[0;1;31md\x1b[0m");
        let mut plain = String::new();
        Look { letters: Letters::Ascii, colours: Colours::None }.write(&Line::of(Ink::Fetched, "#"), &mut plain);
        assert_eq!(plain, "#");
    }

    /// Contrast as WCAG 2 defines it: at least 3 for graphics and strong text, 4.5 for text in grey.
    #[test]
    fn the_colours_of_the_256_are_read_on_white_and_on_black() {
        for (ink, least) in [(Ink::Faint, 4.5), (Ink::Good, 4.4), (Ink::Warning, 4.4), (Ink::Bad, 3.8), (Ink::Fetched, 3.0)] {
            let look = Look { letters: Letters::Unicode, colours: Colours::Many };
            let code = look.code(ink).rsplit(';').next().unwrap().parse().unwrap();
            let light = luminance(code);
            let (white, black) = (1.05 / (light + 0.05), (light + 0.05) / 0.05);
            assert!(white >= least && black >= least, "{ink:?}: {white:.1} on white, {black:.1} on black");
        }
    }

    /// Of a colour of the cube or of the greys of the 256.
    fn luminance(code: u16) -> f64 {
        let step = |n: u16| if n == 0 { 0 } else { 55 + 40 * n };
        let [r, g, b] = match code {
            232.. => [8 + 10 * (code - 232); 3],
            _ => [(code - 16) / 36, (code - 16) / 6 % 6, (code - 16) % 6].map(step),
        };
        let linear = |part: u16| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }
}
