//! Bars and sparklines. A bar has three parts on one scale: what was here already (hatched), what was fetched (solid), what is to be fetched (thin).

use ratatui::text::Span;

use super::look::{Look, Role};

/// Eighths of a cell, from none to all.
const EIGHTHS: [&str; 9] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];
/// Heights of a sparkline, from nothing on.
const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same in ASCII.
const PLAIN_HEIGHTS: [char; 9] = [' ', '.', '.', '-', '-', '=', '=', '#', '#'];

/// What a bar shows, in bytes or anything else that adds up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    /// Here already.
    pub(super) cached: u64,
    /// Fetched.
    pub(super) done: u64,
    /// All there is.
    pub(super) all: u64,
    /// Whether there may be more.
    pub(super) is_open: bool,
}

/// A bar of so many cells.
pub(super) fn bar(parts: Parts, cells: usize, role: Role, look: Look) -> Vec<Span<'static>> {
    let Parts { cached, done, all, is_open } = parts;
    let eighths = |part: u64| {
        let share = u128::from(part.min(all)) * (cells as u128 * 8) / u128::from(all.max(1));
        usize::try_from(share).unwrap_or_default()
    };
    let hatched = eighths(cached).div_ceil(8).min(cells) * usize::from(cached > 0 && all > 0);
    let solid = eighths(cached.saturating_add(done)).saturating_sub(hatched * 8);
    let (full, rest) = (solid / 8, solid % 8);
    let part = if look.shapes && full + hatched < cells { EIGHTHS[rest] } else { "" };
    let empty = cells - hatched - full - usize::from(!part.is_empty());
    let end = if is_open && empty > 0 { look.pick("╌", ".").repeat(empty) } else { look.pick("─", ".").repeat(empty) };
    vec![
        Span::styled(look.pick("▒", "=").repeat(hatched), look.style(Role::Neutral)),
        Span::styled(look.pick("█", "#").repeat(full) + part, look.style(role)),
        Span::styled(end, look.style(Role::Faint)),
    ]
}

/// Numbers as heights; the tallest fills the line.
pub(super) fn spark(numbers: impl Iterator<Item = u64> + Clone, look: Look) -> String {
    let tallest = numbers.clone().max().unwrap_or_default().max(1);
    let heights = look.pick(HEIGHTS, PLAIN_HEIGHTS);
    // Something is never drawn as nothing.
    numbers.map(|number| heights[usize::try_from((number * 8).div_ceil(tallest)).map_or(8, |height| height.min(8))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::view::look::Colours;

    fn drawn(parts: Parts, cells: usize, shapes: bool) -> String {
        let look = Look { colours: Colours::None, shapes };
        bar(parts, cells, Role::Fetching, look).iter().map(|span| span.content.as_ref()).collect()
    }

    #[test]
    fn a_bar_has_three_parts_and_always_its_width() {
        let parts = |cached, done, all| Parts { cached, done, all, is_open: false };
        assert_eq!(drawn(parts(25, 25, 100), 8, true), "▒▒██────");
        assert_eq!(drawn(parts(0, 31, 100), 8, true), "██▍─────");
        assert_eq!(drawn(parts(25, 25, 100), 8, false), "==##....");
        assert_eq!(drawn(parts(0, 100, 100), 8, true), "████████");
        assert_eq!(drawn(parts(0, 0, 0), 4, true), "────");
        assert_eq!(drawn(Parts { done: 1, all: 2, is_open: true, cached: 0 }, 4, true), "██╌╌");
        for done in 0..=300 {
            assert_eq!(drawn(parts(33, done, 300), 10, true).chars().count(), 10, "{done}");
        }
    }

    #[test]
    fn a_bar_is_full_only_when_all_is_there() {
        assert_ne!(drawn(Parts { done: 999_999, all: 1_000_000, cached: 0, is_open: false }, 8, true), "████████");
    }

    #[test]
    fn sparklines_show_that_something_came() {
        let look = Look { colours: Colours::None, shapes: true };
        assert_eq!(spark([0, 1, 50, 100].into_iter(), look), " ▁▄█");
        assert_eq!(spark([0, 0].into_iter(), look), "  ");
    }
}
