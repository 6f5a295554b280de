//! Which columns stand side by side on a screen of some width. State and image always do; the others as far as there is room, the most wanted
//! first, and those that found none take their place when a person asks for them.

use super::super::table::Sort;

/// One column. In this order they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    State,
    Image,
    Workload,
    Node,
    Progress,
    Speed,
    Rate,
    Eta,
    Time,
    Why,
}

/// A column and its cells.
pub(super) type Placed = (Column, usize);

/// Cells of the state without its word.
const SIGN: usize = 1;
/// Screens of fewer columns show no word of the state.
const WORDS_FROM: usize = 60;
/// Most tries to give a column one more cell; enough for all to have their most.
const GROWTH: usize = 13 * 48;
/// The columns that come as far as there is room, the most wanted first.
const WANTED: [Column; 8] =
    [Column::Progress, Column::Node, Column::Rate, Column::Eta, Column::Workload, Column::Time, Column::Speed, Column::Why];

impl Column {
    /// What stands above it; its first letter, with Shift, sorts by it if there is an order of that name.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::State => "State",
            Self::Image => "Image",
            Self::Workload => "Workload",
            Self::Node => "Node",
            Self::Progress => "Progress",
            Self::Speed => "last 32 s",
            Self::Rate => "Rate",
            Self::Eta => "Eta",
            Self::Time => "Time",
            Self::Why => "why",
        }
    }

    /// The order that its letter asks for.
    pub(super) const fn sort(self) -> Option<Sort> {
        match self {
            Self::State => Some(Sort::State),
            Self::Image => Some(Sort::Image),
            Self::Workload => Some(Sort::Workload),
            Self::Node => Some(Sort::Node),
            Self::Progress => Some(Sort::Progress),
            Self::Rate => Some(Sort::Rate),
            Self::Eta => Some(Sort::Eta),
            Self::Time => Some(Sort::Time),
            Self::Speed | Self::Why => None,
        }
    }

    /// Whether its words stand at its right end.
    pub(super) const fn is_right(self) -> bool {
        matches!(self, Self::Rate | Self::Eta | Self::Time)
    }

    /// Least and most cells.
    const fn cells(self) -> (usize, usize) {
        match self {
            Self::State => (13, 13),
            Self::Image => (20, 60),
            Self::Workload => (16, 30),
            Self::Node => (12, 24),
            Self::Progress => (13, 26),
            Self::Speed => (12, 32),
            Self::Rate => (8, 8),
            Self::Eta => (7, 7),
            Self::Time => (6, 7),
            Self::Why => (24, 60),
        }
    }
}

/// The columns for so many cells, with one between every two. Some that found no room come first if they are asked for (`aside`), page by page.
/// Also how many have none.
pub(super) fn placed(width: usize, aside: usize) -> (Vec<Placed>, usize) {
    let has_words = width >= WORDS_FROM;
    let state = if has_words { Column::State.cells().0 } else { SIGN };
    let mut wanted = WANTED.to_vec();
    let pages = pages(width, state);
    let skipped: usize = pages.iter().take(aside % pages.len()).sum();
    wanted.rotate_left(skipped);
    let mut columns = vec![(Column::State, state), (Column::Image, Column::Image.cells().0)];
    let mut left = width.saturating_sub(state + 1 + Column::Image.cells().0);
    for column in wanted {
        let least = column.cells().0;
        if least < left {
            left -= least + 1;
            columns.push((column, least));
        }
    }
    let hidden = WANTED.len() + 2 - columns.len();
    // What has names or sentences grows three times as fast as the rest.
    let growing = [Column::Image, Column::Why, Column::Image, Column::Why].into_iter().chain(WANTED).chain([Column::Image]);
    for column in growing.cycle().take(GROWTH) {
        let Some((_, cells)) = columns.iter_mut().find(|(of, _)| *of == column) else { continue };
        if left > 0 && *cells < column.cells().1 {
            *cells += 1;
            left -= 1;
        }
    }
    columns.sort_unstable();
    (columns, hidden)
}

/// How many of the wanted columns, in their order, fit on each page.
fn pages(width: usize, state: usize) -> Vec<usize> {
    let room = width.saturating_sub(state + 1 + Column::Image.cells().0);
    let mut pages = vec![0];
    let mut left = room;
    for column in WANTED {
        let cells = column.cells().0 + 1;
        if cells > left && pages.last() != Some(&0) {
            pages.push(0);
            left = room;
        }
        left = left.saturating_sub(cells);
        pages.last_mut().into_iter().for_each(|page| *page += 1);
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(width: usize, aside: usize) -> Vec<Column> {
        placed(width, aside).0.into_iter().map(|(column, _)| column).collect()
    }

    #[test]
    fn every_width_is_used_and_never_exceeded() {
        for width in 40..300 {
            for aside in 0..4 {
                let (columns, _) = placed(width, aside);
                let taken: usize = columns.iter().map(|(_, cells)| cells).sum::<usize>() + columns.len() - 1;
                assert!(taken <= width, "{width}, {aside}: {columns:?}");
            }
        }
    }

    #[test]
    fn every_column_can_be_reached_on_eighty_cells() {
        use Column::{Eta, Image, Node, Progress, Rate, State};
        assert_eq!(shown(80, 0), [State, Image, Node, Progress, Rate, Eta]);
        let reached: std::collections::BTreeSet<_> = (0..4).flat_map(|aside| shown(80, aside)).collect();
        assert_eq!(reached.len(), 10);
        assert_eq!(placed(80, 0).1, 4);
    }

    #[test]
    fn wide_screens_show_all() {
        assert_eq!(shown(200, 0).len(), 10);
        assert_eq!(shown(200, 1), shown(200, 0), "there is nothing aside");
    }
}
