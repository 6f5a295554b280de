//! The trace of a pull that ended: the root and its children in one request, told once. A span that is open is never told, because stores
//! keep the first of two spans with one id; a pull whose end nobody knows has no trace.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode},
};
use prost::Message;

use super::{
    MAX_LAYERS, MAX_MESSAGE, MAX_TEXT, SCHEMA_URL,
    attribute::{Attributes, cut, resource, scope},
    encode::{SAMPLED, ending_attributes, subject_attributes},
    root_span,
};
use crate::{
    image::Digest,
    names,
    pull::{Ending, Failure, Interval, Layer, LayerState, MAX_WAITS, Node, Outcome, Phase, Pull, TimingSource, Wait, Waited},
    time::Timestamp,
};

/// Roles from which span ids are made. They never change.
pub(super) const ROOT: &str = "root";
const RESOLVE: &str = "resolve";
const DOWNLOAD: &str = "download";
const UNPACK: &str = "unpack";
const WAIT: &str = "wait";

/// The trace of a pull that ended, as the bytes of one `ExportTraceServiceRequest`; `None` while it runs and when it was lost.
///
/// Spans: `pull image`; `resolve image`; one for each stretch of waiting; `download layer` for each layer that this pull fetched; `unpack layer` for each that was unpacked.
/// Every span starts before it ends and lies within the root. A time that had to be guessed makes its span's timing `inferred`; a layer
/// about whose times nothing is known has no span.
pub fn spans(node: &Node, agent_version: &str, pull: &Pull) -> Option<Vec<u8>> {
    let ending = pull.ending.as_ref().filter(|ending| ending.outcome != Outcome::Lost)?;
    let trace = Trace { pull, ending, end: ending.at.max(pull.started_at) };
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans: trace.spans(), schema_url: SCHEMA_URL.to_owned() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource(node, agent_version)), scope_spans, schema_url: SCHEMA_URL.to_owned() }];
    Some(ExportTraceServiceRequest { resource_spans }.encode_to_vec())
}

/// One pull that ended, on its way to become spans.
struct Trace<'a> {
    pull: &'a Pull,
    ending: &'a Ending,
    /// The end of the root, never before its start.
    end: Timestamp,
}

/// What makes one child of the root.
struct Child<'a> {
    name: &'static str,
    role: &'a str,
    kind: SpanKind,
    layer: Option<&'a Digest>,
    times: Interval,
    failed: bool,
    attributes: Attributes,
}

impl Trace<'_> {
    fn spans(&self) -> Vec<Span> {
        let mut spans = vec![self.root()];
        spans.extend(self.resolve());
        spans.extend(self.pull.waits.iter().take(MAX_WAITS).map(|waited| self.wait(waited)));
        let mut seen = BTreeSet::new();
        for (index, layer) in self.pull.layers.iter().enumerate().take(MAX_LAYERS) {
            // An image may list a blob twice; it is fetched and named once.
            if seen.insert(&layer.digest) {
                spans.extend(self.download(index, layer));
                spans.extend(self.unpack(index, layer));
            }
        }
        spans
    }

    fn root(&self) -> Span {
        let mut attributes = Attributes::default();
        ending_attributes(&mut attributes, self.ending);
        subject_attributes(&mut attributes, self.pull);
        Span {
            trace_id: self.pull.id.as_bytes().to_vec(),
            span_id: root_span(self.pull.id).as_bytes().to_vec(),
            flags: SAMPLED,
            name: names::SPAN_PULL.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.pull.started_at.as_nanos(),
            end_time_unix_nano: self.end.as_nanos(),
            attributes: attributes.into_vec(),
            status: self.failure().map(|failure| error_status(failure, MAX_MESSAGE)),
            ..Span::default()
        }
    }

    /// From the lease to manifest and config; a pull that failed before had nothing but this.
    fn resolve(&self) -> Option<Span> {
        let failed = self.pull.resolved_at.is_none() && self.pull.phase == Phase::Resolving;
        let end = self.pull.resolved_at.or_else(|| failed.then_some(self.end))?;
        let source = if failed { self.ending.source } else { TimingSource::Poll };
        let mut attributes = Attributes::default();
        if let Some(image) = &self.pull.image {
            attributes.registry(image);
        }
        Some(self.child(Child {
            name: names::SPAN_RESOLVE,
            role: RESOLVE,
            kind: SpanKind::Client,
            layer: None,
            times: Interval { start: Some(self.pull.started_at), end: Some(end), source },
            failed,
            attributes,
        }))
    }

    /// A stretch in which no byte moved, and why.
    fn wait(&self, waited: &Waited) -> Span {
        let since = waited.wait.since();
        let mut attributes = Attributes::default();
        attributes.whole(names::PULL_WAIT, waited.wait.as_str());
        let name = match &waited.wait {
            Wait::LayerLock { holder, layer, .. } => {
                attributes.whole(names::PULL_WAIT_HOLDER, &holder.to_string());
                attributes.whole(names::PULL_WAIT_LAYER, layer.as_str());
                names::SPAN_WAIT_LAYER
            }
            Wait::DownloadSlot { .. } => names::SPAN_WAIT_SLOT,
            Wait::Stalled { .. } | Wait::Retrying { .. } => names::SPAN_STALL,
        };
        self.child(Child {
            name,
            role: &format!("{WAIT} {} {}", waited.wait.as_str(), since.as_nanos()),
            kind: SpanKind::Internal,
            layer: None,
            times: Interval { start: Some(since), end: Some(waited.until), source: TimingSource::Poll },
            failed: false,
            attributes,
        })
    }

    fn download(&self, index: usize, layer: &Layer) -> Option<Span> {
        if layer.cached || (layer.download.start.is_none() && layer.download.end.is_none()) {
            return None;
        }
        let mut attributes = layer_attributes(index, layer);
        attributes.text(names::LAYER_MEDIA_TYPE, &layer.media_type);
        attributes.bytes(names::LAYER_BYTES, layer.fetched);
        if let Some(image) = &self.pull.image {
            attributes.registry(image);
        }
        Some(self.child(Child {
            name: names::SPAN_DOWNLOAD,
            role: DOWNLOAD,
            kind: SpanKind::Client,
            layer: Some(&layer.digest),
            times: layer.download,
            failed: !layer.is_complete(),
            attributes,
        }))
    }

    fn unpack(&self, index: usize, layer: &Layer) -> Option<Span> {
        if layer.unpack.start.is_none() && layer.unpack.end.is_none() {
            return None;
        }
        let mut attributes = layer_attributes(index, layer);
        attributes.text(names::SNAPSHOTTER, &self.pull.snapshotter);
        Some(self.child(Child {
            name: names::SPAN_UNPACK,
            role: UNPACK,
            kind: SpanKind::Internal,
            layer: Some(&layer.digest),
            times: layer.unpack,
            failed: !matches!(layer.state, LayerState::Ready | LayerState::Cached),
            attributes,
        }))
    }

    fn child(&self, child: Child<'_>) -> Span {
        let Child { name, role, kind, layer, times, failed, mut attributes } = child;
        let within = |time: Timestamp| time.clamp(self.pull.started_at, self.end);
        let start = within(times.start.unwrap_or_else(|| self.pull.resolved_at.unwrap_or(self.pull.started_at)));
        let end = within(times.end.unwrap_or(self.end)).max(start);
        let exact = times.start.is_some_and(|time| time == start) && times.end.is_some_and(|time| time == end);
        let source = if exact { times.source } else { TimingSource::Inferred };
        attributes.whole(names::TIMING_SOURCE, source.as_str());
        let failure = self.failure().filter(|_| failed);
        if let Some(failure) = failure {
            attributes.whole(names::ERROR_TYPE, failure.class.as_str());
        }
        Span {
            trace_id: self.pull.id.as_bytes().to_vec(),
            span_id: self.pull.id.span(role, layer).as_bytes().to_vec(),
            parent_span_id: root_span(self.pull.id).as_bytes().to_vec(),
            flags: SAMPLED,
            name: name.to_owned(),
            kind: kind.into(),
            start_time_unix_nano: start.as_nanos(),
            end_time_unix_nano: end.as_nanos(),
            attributes: attributes.into_vec(),
            status: failure.map(|failure| error_status(failure, MAX_TEXT)),
            ..Span::default()
        }
    }

    fn failure(&self) -> Option<&Failure> {
        match &self.ending.outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Ready | Outcome::Canceled | Outcome::Lost => None,
        }
    }
}

/// What both spans of a layer say about it.
fn layer_attributes(index: usize, layer: &Layer) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.whole(names::LAYER_DIGEST, layer.digest.as_str());
    attributes.int(names::LAYER_INDEX, index as u64);
    attributes.bytes(names::LAYER_SIZE, layer.size);
    attributes
}

/// The root has the whole message; on children it is shorter, so that no trace outgrows what receivers take.
pub(super) fn error_status(failure: &Failure, longest: usize) -> Status {
    Status { code: StatusCode::Error.into(), message: cut(&failure.message, longest).to_owned() }
}
