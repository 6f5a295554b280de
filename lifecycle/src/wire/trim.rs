//! Takes our own progress out of a request before it is passed on: progress is for the live view, not for stores.

use std::borrow::Cow;

use opentelemetry_proto::tonic::{collector::logs::v1::ExportLogsServiceRequest, logs::v1::ScopeLogs};
use prost::Message;

use super::{DecodeError, SCOPE, Signal};
use crate::names::EVENT_PROGRESS;

/// The request of log records without progress reports of pulls; the same bytes where there are none, and nothing where there is nothing else.
///
/// # Errors
/// When the bytes are no such request.
pub fn without_progress(request: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    let error = |_| DecodeError::Protobuf { signal: Signal::Logs, problem: "a record cannot be read" };
    let mut message = ExportLogsServiceRequest::decode(request).map_err(error)?;
    let mut removed = false;
    for resource in &mut message.resource_logs {
        for scope in resource.scope_logs.iter_mut().filter(|scope| is_ours(scope)) {
            let before = scope.log_records.len();
            scope.log_records.retain(|record| record.event_name != EVENT_PROGRESS);
            removed |= scope.log_records.len() < before;
        }
        resource.scope_logs.retain(|scope| !scope.log_records.is_empty());
    }
    if !removed {
        return Ok(Cow::Borrowed(request));
    }
    message.resource_logs.retain(|resource| !resource.scope_logs.is_empty());
    Ok(Cow::Owned(message.encode_to_vec()))
}

fn is_ours(scope: &ScopeLogs) -> bool {
    scope.scope.as_ref().is_some_and(|s| s.name == SCOPE)
}
