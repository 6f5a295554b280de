//! Tables as `kubectl` prints them: headings in capitals, columns as wide as their longest cell, no lines. Whatever comes from registries and
//! nodes is made harmless to terminals here.

use std::io::{self, Write};

/// What stands for something that is not known.
pub(crate) const NONE: &str = "-";

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    name: &'static str,
    /// Only with `-o wide`.
    wide: bool,
}

/// Rows under headings; a row has a cell for every column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// A column of every table.
pub(crate) const fn column(name: &'static str) -> Column {
    Column { name, wide: false }
}

/// A column of wide tables.
pub(crate) const fn wide(name: &'static str) -> Column {
    Column { name, wide: true }
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; cells that are empty are unknown.
    pub(crate) fn add(&mut self, cells: Vec<String>) {
        let clean = |cell: String| if cell.is_empty() { NONE.to_owned() } else { clean(&cell) };
        self.rows.push(cells.into_iter().map(clean).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Leaves the rows that are not in another table, under the same headings.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let rows = self.rows.iter().filter(|row| !other.rows.contains(row)).cloned().collect();
        Self { columns: self.columns.clone(), rows }
    }

    /// Writes it, with headings or as more of a table whose headings were written.
    pub(crate) fn write(&self, output: &mut impl Write, is_wide: bool, headings: bool) -> io::Result<()> {
        let shown: Vec<usize> = (0..self.columns.len()).filter(|at| is_wide || !self.columns[*at].wide).collect();
        let heading: Vec<String> = self.columns.iter().map(|column| column.name.to_owned()).collect();
        let lines: Vec<&Vec<String>> = headings.then_some(&heading).into_iter().chain(&self.rows).collect();
        let width = |at: usize| {
            let all = self.rows.iter().chain([&heading]).filter_map(|row| row.get(at));
            all.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        for line in lines {
            let cell = |at: &usize| format!("{:<width$}", line.get(*at).map_or(NONE, String::as_str), width = width(*at));
            let cells: Vec<String> = shown.iter().map(cell).collect();
            writeln!(output, "{}", cells.join("   ").trim_end())?;
        }
        Ok(())
    }
}

/// Text of others without anything that drives a terminal or turns its lines round.
pub(crate) fn clean(text: &str) -> String {
    let is_bad =
        |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.replace(is_bad, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(table: &Table, is_wide: bool) -> String {
        let mut output = Vec::new();
        table.write(&mut output, is_wide, true).unwrap();
        String::from_utf8(output).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_longest_cell_and_wide_ones_only_shown_when_asked_for() {
        let mut table = Table::new(&[column("NODE"), wide("ID"), column("STATE")]);
        table.add(vec!["node-with-a-name".into(), "1".into(), "ready".into()]);
        table.add(vec!["n".into(), String::new(), String::new()]);
        assert_eq!(written(&table, false), "NODE               STATE\nnode-with-a-name   ready\nn                  -\n");
        assert_eq!(written(&table, true).lines().next(), Some("NODE               ID   STATE"));
    }

    #[test]
    fn text_of_others_cannot_drive_a_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\n"), "a [2Jb c ");
    }

    #[test]
    fn what_was_shown_is_not_shown_again() {
        let mut before = Table::new(&[column("A")]);
        before.add(vec!["1".into()]);
        let mut after = before.clone();
        after.add(vec!["2".into()]);
        let new = after.without(&before);
        assert!(written(&new, false).ends_with("A\n2\n") && before.without(&after).is_empty());
    }
}
