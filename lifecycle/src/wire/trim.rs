//! Takes our own progress out of a request before it is passed on: progress is for the live view, not for stores. Everything else, known
//! here or not, is passed on byte for byte.

use std::borrow::Cow;

use super::{
    DecodeError, SCOPE, Signal,
    view::{Malformed, optional, repeated, rewritten},
};
use crate::names::EVENT_PROGRESS;

/// The request of log records without progress reports of pulls; the same bytes where there are none, and nothing where there is nothing
/// else.
///
/// # Errors
/// When the bytes are no such request.
pub fn without_progress(request: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    // ExportLogsServiceRequest: resource_logs = 1; ResourceLogs: scope_logs = 2; ScopeLogs: log_records = 2.
    let trimmed = rewritten(request, 1, |resource_logs| {
        let trimmed = rewritten(resource_logs, 2, |scope_logs| {
            if !is_ours(scope_logs)? {
                return Ok(Some(Cow::Borrowed(scope_logs)));
            }
            let trimmed = rewritten(scope_logs, 2, |record| Ok((!is_progress(record)?).then_some(Cow::Borrowed(record))))?;
            unless_emptied(trimmed, 2)
        })?;
        unless_emptied(trimmed, 2)
    });
    trimmed.map_err(|Malformed(problem)| DecodeError::Protobuf { signal: Signal::Logs, problem })
}

/// Whether this is of the scope by which our dialect is known. `ScopeLogs`: scope = 1; `InstrumentationScope`: name = 1.
pub(super) fn is_ours(scope_logs: &[u8]) -> Result<bool, Malformed> {
    let scope = optional(scope_logs, 1)?.unwrap_or_default();
    Ok(optional(scope, 1)? == Some(SCOPE.as_bytes()))
}

/// `LogRecord`: event_name = 12.
fn is_progress(record: &[u8]) -> Result<bool, Malformed> {
    Ok(optional(record, 12)? == Some(EVENT_PROGRESS.as_bytes()))
}

/// Nothing, if something was taken out and no element of the list is left.
pub(super) fn unless_emptied(message: Cow<'_, [u8]>, list: u32) -> Result<Option<Cow<'_, [u8]>>, Malformed> {
    let emptied = matches!(message, Cow::Owned(_)) && repeated(&message, list).next().is_none();
    Ok((!emptied).then_some(message))
}
