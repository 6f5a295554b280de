//! The contract's form: one event for everything that happened, with the whole state of its pull.

use std::io::Write as _;

use lifecycle::{
    board::status::{EventType, LayerStatus},
    pull::PullId,
};

use super::walk::{End, Tell};
use crate::snapshot::{Cursor, Row};

/// Events, written one behind the other. The last stays open until it is known which id it has.
#[derive(Debug)]
pub(super) struct Plain {
    text: Vec<u8>,
    from: Cursor,
    layers: bool,
    open: bool,
}

impl Plain {
    /// For a reader that is complete up to there.
    pub(super) const fn new(from: Cursor, layers: bool) -> Self {
        Self { text: Vec::new(), from, layers, open: false }
    }

    fn event(&mut self, row: &Row, kind: EventType, layer: Option<&LayerStatus>) -> Result<(), serde_json::Error> {
        self.begin();
        self.text.extend(b"data: ");
        row.write_event(&mut self.text, kind, layer, self.layers)?;
        self.text.push(b'\n');
        Ok(())
    }

    fn named(&mut self, name: &str, data: &str) {
        self.begin();
        // Writing to memory cannot fail.
        _ = writeln!(self.text, "event: {name}\ndata: {data}");
    }

    fn begin(&mut self) {
        self.close(self.from);
        self.open = true;
    }

    fn close(&mut self, id: Cursor) {
        if std::mem::take(&mut self.open) {
            self.id(id);
        }
    }

    fn id(&mut self, id: Cursor) {
        // Writing to memory cannot fail.
        _ = write!(self.text, "id: {id}\n\n");
    }
}

impl Tell for Plain {
    fn present(&mut self, row: &Row) -> Result<(), serde_json::Error> {
        self.event(row, EventType::PullProgress, None)
    }

    fn started(&mut self, row: &Row) -> Result<(), serde_json::Error> {
        self.event(row, EventType::PullStarted, None)
    }

    fn changed(&mut self, row: &Row) -> Result<(), serde_json::Error> {
        for (kind, layer) in row.events(self.from.revision, self.layers) {
            self.event(row, kind, layer)?;
        }
        Ok(())
    }

    fn gone(&mut self, id: PullId) -> Result<(), serde_json::Error> {
        self.named("removed", &format!("{{\"id\":\"{id}\"}}"));
        Ok(())
    }

    fn len(&self) -> usize {
        self.text.len()
    }

    fn finish(mut self: Box<Self>, end: Option<End>) -> Result<Vec<u8>, serde_json::Error> {
        let Some(end) = end else {
            self.close(self.from);
            return Ok(self.text);
        };
        let id = Cursor { revision: end.complete, ..self.from };
        if end.sync {
            self.named("sync", "{}");
        }
        // An id alone is no event, but readers come back with it.
        match self.open {
            true => self.close(id),
            false if end.resumed => self.id(id),
            false => {}
        }
        Ok(self.text)
    }
}
