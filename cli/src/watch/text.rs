//! Words as the table has room for them: what came from elsewhere made harmless, cut to a width, and times shorter than in sentences. Sizes and
//! speeds are worded by [`lifecycle::explain`].

use std::time::Duration;

use ratatui::text::Span;
use serde::{Deserialize, Deserializer};

/// A text from elsewhere that cannot drive a terminal: what controls it or turns the direction of writing is a space.
pub(super) fn plain(text: &str) -> String {
    text.replace(is_unspeakable, " ")
}

/// The same for a field of JSON.
pub(super) fn plainly<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(T::from(if text.contains(is_unspeakable) { plain(&text) } else { text }))
}

/// The same for a field that may be absent.
pub(super) fn perhaps_plainly<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| T::from(if text.contains(is_unspeakable) { plain(&text) } else { text })))
}

/// The beginning of a text that takes at most so many cells, before an ellipsis if something was cut.
pub(super) fn head(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut taken = 1;
    for character in text.chars() {
        taken += width_of(character);
        if taken > cells {
            break;
        }
        kept.push(character);
    }
    if cells > 0 {
        kept.push('…');
    }
    kept
}

/// The end of a text that takes at most so many cells, behind an ellipsis if something was cut: what tells names apart is their end.
pub(super) fn tail(text: &str, cells: usize) -> String {
    if width(text) <= cells {
        return text.to_owned();
    }
    let mut taken = 1;
    let kept = text.char_indices().rev().take_while(|(_, character)| {
        taken += width_of(*character);
        taken <= cells
    });
    let from = kept.last().map_or(text.len(), |(at, _)| at);
    if cells == 0 { String::new() } else { format!("…{}", &text[from..]) }
}

/// A text on lines of at most so many cells, broken at spaces where there are any.
pub(super) fn wrapped(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut word = word.to_owned();
        loop {
            let line = lines.last_mut().expect("there is always a last line");
            let room = cells.saturating_sub(width(line) + usize::from(!line.is_empty()));
            if width(&word) <= room {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(&word);
                break;
            }
            if !line.is_empty() {
                lines.push(String::new());
                continue;
            }
            let fits = word.chars().scan(0, |taken, c| {
                *taken += width_of(c);
                (*taken <= cells).then_some(c)
            });
            let part: String = fits.collect();
            let part = if part.is_empty() { word.chars().take(1).collect() } else { part };
            word = word[part.len()..].to_owned();
            line.push_str(&part);
            lines.push(String::new());
            if word.is_empty() {
                break;
            }
        }
    }
    lines
}

/// `14s`, `2m10s`, `1h05m`, `3d04h`; rounded down.
pub(super) fn short_time(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s:02}s"),
        (0, h, m, _) => format!("{h}h{m:02}m"),
        (d, h, ..) => format!("{d}d{h:02}h"),
    }
}

/// Cells that a text takes.
pub(super) fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { Span::raw(text).width() }
}

fn width_of(character: char) -> usize {
    if character.is_ascii() { 1 } else { width(character.encode_utf8(&mut [0; 4])) }
}

fn is_unspeakable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_or_turns_its_direction_becomes_a_space() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}c\u{9b}d\ne"), "a [2Jb c d e");
    }

    #[test]
    fn texts_are_cut_to_cells_and_say_so() {
        assert_eq!(
            (head("registry", 8).as_str(), head("registry", 5).as_str(), head("registry", 0).as_str()),
            ("registry", "regi…", "")
        );
        assert_eq!(
            (tail("registry", 8).as_str(), tail("registry", 5).as_str(), tail("registry", 0).as_str()),
            ("registry", "…stry", "")
        );
        assert_eq!((head("日本語", 4).as_str(), tail("日本語", 4).as_str()), ("日…", "…語"), "wide letters take two cells");
    }

    #[test]
    fn long_texts_go_on_in_the_next_line() {
        assert_eq!(wrapped("no such host in the zone", 12), ["no such host", "in the zone"]);
        assert_eq!(wrapped("sha256:0123456789", 8), ["sha256:0", "12345678", "9"]);
        assert_eq!(wrapped("", 8), [""]);
        assert_eq!(wrapped("日", 1), ["日", ""], "a letter that fits nowhere is not lost");
    }

    #[test]
    fn times_in_the_table_are_short() {
        let said = [0, 14, 130, 3900, 273_600].map(|s| short_time(Duration::from_secs(s)));
        assert_eq!(said, ["0s", "14s", "2m10s", "1h05m", "3d04h"]);
    }
}
