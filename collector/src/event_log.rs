//! The event log: one JSON line for every pull that started, completed or failed, to standard output.
//!
//! Reads snapshots like any other reader, so a blocked output stops nothing: what happened meanwhile is written when it can be.
//! Messages about the collector itself are tracing's business and go to standard error.

use lifecycle::board::status::EventType;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::{
    keeper::View,
    snapshot::{Row, Step},
};

/// Writes until the keeper ends or the output fails.
///
/// # Errors
/// When the output cannot be written to.
pub(crate) async fn write(mut view: View, mut output: impl AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut seen = 0;
    while let Some(snapshot) = view.after(seen).await {
        let mut lines = Vec::new();
        for (_, step) in snapshot.after(seen) {
            if let Step::Row(row) = step {
                add_lines(row, seen, &mut lines)?;
            }
        }
        seen = snapshot.revision;
        output.write_all(&lines).await?;
        output.flush().await?;
    }
    Ok(())
}

fn add_lines(row: &Row, seen: u64, lines: &mut Vec<u8>) -> std::io::Result<()> {
    for (kind, layer) in row.events(seen, false) {
        match kind {
            EventType::PullStarted | EventType::PullCompleted | EventType::PullFailed => {
                lines.extend(row.event_json(kind, layer, false)?);
                lines.push(b'\n');
            }
            EventType::PullProgress | EventType::LayerStarted | EventType::LayerProgress | EventType::LayerCompleted => {}
        }
    }
    Ok(())
}
