//! What a receiver hears: the reports in a request, how much of it was accepted, and what was refused.
//!
//! Walks the request where it lies and builds only what is ours, which is told by scope and event name: a record of others costs a few
//! comparisons. Spans of anyone are checked for what every store demands of them: ids of the right length, an end not before the start.
//! What is inside a record of ours is the business of [`super::report`].

use std::sync::Arc;

use super::{
    DecodeError, MAX_REPORTS, Reason, Rejected, Signal,
    json::transcode_json,
    reject::Refusal,
    report::{Record, node_of, said},
    trim::is_ours,
    values::Attributes,
    view::{Malformed, Value, fields, optional, repeated},
};
use crate::pull::{Node, NodeReport, Report};

/// One thing that an agent said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The whole present state of a pull.
    Pull(Box<Report>),
    /// A heartbeat.
    Node(Box<NodeReport>),
}

/// What was in one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// What agents said, in the order of the request; at most [`MAX_REPORTS`].
    pub reports: Vec<Said>,
    /// Log records, spans or data points that were accepted, ours and others'.
    pub accepted: u64,
    /// Those that were not.
    pub rejected: Rejected,
}

/// Reads a protobuf request.
///
/// # Errors
/// When the bytes are not the signal's request. Contents of records that are not ours are not looked at.
pub fn decode(signal: Signal, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let mut decoded = Decoded::default();
    let walk = match signal {
        Signal::Logs => logs(bytes, &mut decoded),
        Signal::Traces => traces(bytes, &mut decoded),
        Signal::Metrics => metrics(bytes, &mut decoded),
    };
    walk.map(|()| decoded).map_err(|Malformed(problem)| DecodeError::Protobuf { signal, problem })
}

/// Reads a JSON request.
///
/// # Errors
/// When it is not the signal's request; the error says line and column.
pub fn decode_json(signal: Signal, bytes: &[u8]) -> Result<Decoded, DecodeError> {
    decode(signal, &transcode_json(signal, bytes)?)
}

impl Decoded {
    fn count(&mut self, outcome: Result<(), Refusal>) {
        match outcome {
            Ok(()) => self.accepted += 1,
            Err(refusal) => self.rejected.add(refusal),
        }
    }
}

/// `ExportLogsServiceRequest`: resource_logs = 1; `ResourceLogs`: resource = 1, scope_logs = 2; `ScopeLogs`: log_records = 2.
fn logs(request: &[u8], decoded: &mut Decoded) -> Result<(), Malformed> {
    for resource_logs in repeated(request, 1) {
        let resource_logs = resource_logs?;
        let mut resource = Resource { logs: resource_logs, node: None, attributes: Attributes::usual() };
        for scope_logs in repeated(resource_logs, 2) {
            let scope_logs = scope_logs?;
            let ours = is_ours(scope_logs)?;
            for record in repeated(scope_logs, 2) {
                let record = record?;
                let outcome = if ours { resource.take(record, decoded) } else { check_record(record) };
                decoded.count(outcome);
            }
        }
    }
    Ok(())
}

/// What our records of one `ResourceLogs` have in common.
struct Resource<'a> {
    logs: &'a [u8],
    /// Who speaks, once that was asked.
    node: Option<Result<Arc<Node>, Refusal>>,
    /// Room for the attributes of a record.
    attributes: Attributes<'a>,
}

impl<'a> Resource<'a> {
    /// Takes a record of our scope. An event of a name that is not known yet is left alone: it is from a newer agent.
    fn take(&mut self, record: &'a [u8], decoded: &mut Decoded) -> Result<(), Refusal> {
        let record = Record::read(record, &mut self.attributes)?;
        if !record.is_report() {
            return Ok(());
        }
        if decoded.reports.len() >= MAX_REPORTS {
            return Err(Refusal::new(Reason::TooMany, "the reports of one request"));
        }
        let node = self.node.get_or_insert_with(|| {
            let resource = optional(self.logs, 1).map_err(|_| Refusal::new(Reason::Malformed, "the resource"))?;
            node_of(resource.unwrap_or_default()).map(Arc::new)
        });
        let node = node.as_ref().map_err(|refusal| *refusal)?;
        decoded.reports.push(said(&record, node)?);
        Ok(())
    }
}

/// `LogRecord`: trace_id = 9, span_id = 10; both may be absent.
fn check_record(record: &[u8]) -> Result<(), Refusal> {
    for field in fields(record) {
        match field.map_err(|_| Refusal::new(Reason::Malformed, "a log record"))? {
            (9, Value::Bytes(id)) if !id.is_empty() && !is_id(id, 16) => {
                return Err(Refusal::new(Reason::BadId, "the trace id of a log record"));
            }
            (10, Value::Bytes(id)) if !id.is_empty() && !is_id(id, 8) => {
                return Err(Refusal::new(Reason::BadId, "the span id of a log record"));
            }
            (9 | 10, Value::Bytes(_)) => {}
            (9 | 10, _) => return Err(Refusal::new(Reason::Malformed, "a log record")),
            _ => {}
        }
    }
    Ok(())
}

/// `ExportTraceServiceRequest`: resource_spans = 1; `ResourceSpans`: scope_spans = 2; `ScopeSpans`: spans = 2.
fn traces(request: &[u8], decoded: &mut Decoded) -> Result<(), Malformed> {
    for resource_spans in repeated(request, 1) {
        for scope_spans in repeated(resource_spans?, 2) {
            for span in repeated(scope_spans?, 2) {
                decoded.count(check_span(span?));
            }
        }
    }
    Ok(())
}

/// `Span`: trace_id = 1, span_id = 2, start = 7, end = 8.
fn check_span(span: &[u8]) -> Result<(), Refusal> {
    let (mut trace_id, mut span_id, mut start, mut end) = (&[][..], &[][..], 0, 0);
    for field in fields(span) {
        match field.map_err(|_| Refusal::new(Reason::Malformed, "a span"))? {
            (1, Value::Bytes(id)) => trace_id = id,
            (2, Value::Bytes(id)) => span_id = id,
            (7, Value::Fixed64(nanos)) => start = nanos,
            (8, Value::Fixed64(nanos)) => end = nanos,
            (1 | 2 | 7 | 8, _) => return Err(Refusal::new(Reason::Malformed, "a span")),
            _ => {}
        }
    }
    if !is_id(trace_id, 16) {
        return Err(Refusal::new(Reason::BadId, "the trace id of a span"));
    }
    if !is_id(span_id, 8) {
        return Err(Refusal::new(Reason::BadId, "the id of a span"));
    }
    if end < start {
        return Err(Refusal::new(Reason::BadTime, "the end of a span"));
    }
    Ok(())
}

/// `ExportMetricsServiceRequest`: resource_metrics = 1; `ResourceMetrics`: scope_metrics = 2; `ScopeMetrics`: metrics = 2.
fn metrics(request: &[u8], decoded: &mut Decoded) -> Result<(), Malformed> {
    for resource_metrics in repeated(request, 1) {
        for scope_metrics in repeated(resource_metrics?, 2) {
            for metric in repeated(scope_metrics?, 2) {
                decoded.accepted += points(metric?)?;
            }
        }
    }
    Ok(())
}

/// The data points of a `Metric`: gauge = 5, sum = 7, histogram = 9, exponential_histogram = 10, summary = 11; each of them: data_points = 1.
pub(super) fn points(metric: &[u8]) -> Result<u64, Malformed> {
    let mut found = 0;
    for field in fields(metric) {
        if let (5 | 7 | 9 | 10 | 11, Value::Bytes(data)) = field? {
            for point in repeated(data, 1) {
                point?;
                found += 1;
            }
        }
    }
    Ok(found)
}

fn is_id(bytes: &[u8], length: usize) -> bool {
    bytes.len() == length && bytes.iter().any(|byte| *byte != 0)
}
