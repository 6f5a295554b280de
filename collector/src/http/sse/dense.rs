//! The page's form: one message tells many pulls, of most of them only the numbers. See `docs/frames.md`; it may change from one version
//! to the next, as the page comes with the collector.

use std::io::Write as _;

use lifecycle::{board::status::PullStatus, pull::PullId};
use serde::Serialize;

use super::walk::{End, Tell};
use crate::snapshot::{Cursor, Row};

/// The lists of one message; each is empty or ends with a comma.
#[derive(Debug)]
pub(super) struct Dense {
    from: Cursor,
    layers: bool,
    summary: bool,
    /// Whether numbers decide who is told of a pull, so that a reader may not have one whose shape is old.
    by_words: bool,
    whole: Vec<u8>,
    numbers: Vec<u8>,
    of_layers: Vec<u8>,
    gone: Vec<u8>,
}

impl Dense {
    /// For a reader that is complete up to there.
    pub(super) fn new(from: Cursor, layers: bool, summary: bool, by_words: bool) -> Self {
        let (whole, numbers, of_layers, gone) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { from, layers, summary, by_words, whole, numbers, of_layers, gone }
    }

    fn tell_numbers(&mut self, row: &Row) -> Result<(), serde_json::Error> {
        let PullStatus {
            downloaded_bytes,
            bytes_per_sec,
            eta_seconds,
            eta_low_seconds,
            eta_high_seconds,
            layers_done,
            total_bytes,
            ..
        } = row.status();
        let eta = (eta_seconds, eta_low_seconds, eta_high_seconds);
        let head = (row.number, downloaded_bytes, bytes_per_sec, eta.0, eta.1, eta.2, layers_done);
        let text = &mut self.numbers;
        serde_json::to_writer(&mut *text, &head)?;
        let total = total_bytes.filter(|_| !row.status().total_known);
        if total.is_some() || self.summary {
            extend(text, &total)?;
        }
        if self.summary {
            extend(text, &row.status().summary)?;
        }
        text.push(b',');
        Ok(())
    }

    fn tell_layers(&mut self, row: &Row) -> Result<(), serde_json::Error> {
        let from = self.from.revision;
        let layers = row.status().layers.iter().flatten().zip(&row.layers).enumerate();
        let mut changed = layers.filter(|(_, (_, marks))| marks.changed > from).peekable();
        if changed.peek().is_none() {
            return Ok(());
        }
        let text = &mut self.of_layers;
        serde_json::to_writer(&mut *text, &[row.number])?;
        for (index, (layer, marks)) in changed {
            match marks.shaped > from {
                true => extend(text, &(index, layer))?,
                false => extend(text, &(index, layer.downloaded_bytes))?,
            }
        }
        text.push(b',');
        Ok(())
    }
}

impl Tell for Dense {
    fn present(&mut self, row: &Row) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut self.whole, &(row.number, row.json(self.layers)?))?;
        self.whole.push(b',');
        Ok(())
    }

    fn started(&mut self, _: &Row) -> Result<(), serde_json::Error> {
        Ok(())
    }

    fn changed(&mut self, row: &Row) -> Result<(), serde_json::Error> {
        if row.shaped > self.from.revision || self.by_words {
            return self.present(row);
        }
        self.tell_numbers(row)?;
        if self.layers { self.tell_layers(row) } else { Ok(()) }
    }

    fn gone(&mut self, id: PullId) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut self.gone, &id)?;
        self.gone.push(b',');
        Ok(())
    }

    fn len(&self) -> usize {
        self.whole.len() + self.numbers.len() + self.of_layers.len() + self.gone.len()
    }

    fn finish(self: Box<Self>, end: Option<End>) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = Vec::with_capacity(self.len() + 128);
        let lists = [("gone", &self.gone), ("whole", &self.whole), ("numbers", &self.numbers), ("layers", &self.of_layers)];
        let told = lists.iter().filter(|(_, list)| !list.is_empty());
        for (index, (name, list)) in told.enumerate() {
            let opens = if index == 0 { "data: {" } else { "," };
            // Writing to memory cannot fail.
            _ = write!(text, "{opens}\"{name}\":[");
            text.extend_from_slice(&list[..list.len() - 1]);
            text.push(b']');
        }
        let told = !text.is_empty();
        if told {
            text.extend(b"}\n");
        }
        let id = |revision| Cursor { revision, ..self.from };
        // Writing to memory cannot fail.
        _ = match end {
            Some(End { complete: revision, sync: true, .. }) if told => {
                write!(text, "id: {}\n\nevent: sync\ndata: {{}}\nid: {}\n\n", self.from, id(revision))
            }
            Some(End { complete: revision, sync: true, .. }) => write!(text, "event: sync\ndata: {{}}\nid: {}\n\n", id(revision)),
            Some(End { complete: revision, resumed, .. }) if told || resumed => write!(text, "id: {}\n\n", id(revision)),
            None if told => write!(text, "id: {}\n\n", self.from),
            Some(_) | None => Ok(()),
        };
        Ok(text)
    }
}

/// Adds an element to an array that is closed already.
fn extend(array: &mut Vec<u8>, element: &impl Serialize) -> Result<(), serde_json::Error> {
    array.pop();
    array.push(b',');
    serde_json::to_writer(&mut *array, element)?;
    array.push(b']');
    Ok(())
}
