//! The event log: one JSON line for every pull that started, completed or failed, to standard output.
//!
//! Reads snapshots like any other reader, so a blocked output stops nothing: what happened meanwhile is written when it can be.
//! Messages about the collector itself are tracing's business and go to standard error.

use lifecycle::board::status::{EventType, PullEvent, PullStatus};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::{
    keeper::View,
    snapshot::{Row, Step},
};

/// Bytes that are worded before they are written.
const CHUNK: usize = 64 * 1024;

/// Writes until the keeper ends or the output fails.
///
/// # Errors
/// When the output cannot be written to.
pub(crate) async fn write(mut view: View, mut output: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut seen = 0;
    while let Some(snapshot) = view.after(seen).await {
        let before = std::mem::replace(&mut seen, snapshot.revision);
        if snapshot.urgent <= before {
            continue;
        }
        let mut lines = Vec::new();
        for (_, step) in snapshot.after(before) {
            match step {
                Step::Started(id) => {
                    if let Some(row) = snapshot.row(*id) {
                        add_line(row, EventType::PullStarted, &mut lines)?;
                    }
                }
                Step::Row(row) => add_lines(row, before, &mut lines)?,
                Step::Removed(_) => {}
            }
            if lines.len() >= CHUNK {
                output.write_all(&lines).await?;
                lines.clear();
            }
        }
        output.write_all(&lines).await?;
        output.flush().await?;
    }
    Ok(())
}

fn add_line(row: &Row, kind: EventType, lines: &mut Vec<u8>) -> std::io::Result<()> {
    // Not by the row's own words, which it would keep as long as it is in memory.
    let status = PullStatus { layers: None, ..row.view.status() };
    serde_json::to_writer(&mut *lines, &PullEvent::of_pull(kind, row.at, &status.node_name, &status))?;
    lines.push(b'\n');
    Ok(())
}

fn add_lines(row: &Row, seen: u64, lines: &mut Vec<u8>) -> std::io::Result<()> {
    for (kind, _) in row.events(seen, false) {
        match kind {
            EventType::PullStarted | EventType::PullCompleted | EventType::PullFailed => add_line(row, kind, lines)?,
            EventType::PullProgress | EventType::LayerStarted | EventType::LayerProgress | EventType::LayerCompleted => {}
        }
    }
    Ok(())
}
