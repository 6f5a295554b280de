//! What an agent says, as bytes of an export request: the state of pulls and its heartbeat as logs, the trace of a pull that ended, and
//! what it measured. The mirror of the logs is the private module `report`.

use opentelemetry_proto::tonic::{
    collector::logs::v1::ExportLogsServiceRequest,
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
};
use prost::Message;

use super::{
    Event, MAX_BYTES, MAX_LAYERS, MAX_MESSAGE, SCHEMA_URL,
    attribute::{Attributes, cut, resource, scope},
    root_span,
};
pub use super::{metric::metrics, span::spans, wait::image_waits};
use crate::{
    names,
    pull::{Ending, Eta, Host, Interval, Layer, MAX_QUEUED_IMAGES, MAX_WAITS, Node, NodeReport, Outcome, Pull, Wait, Waited},
    time::Timestamp,
};

/// The flags of W3C Trace Context: this trace is recorded.
pub(super) const SAMPLED: u32 = 1;

/// The whole present state of pulls of one node: one log record each, in one request.
///
/// Texts beyond [`MAX_TEXT`](super::MAX_TEXT) and layers beyond [`MAX_LAYERS`] are cut, sizes beyond [`MAX_BYTES`] capped; what lies within
/// comes out of [`decode`](super::decode()) as it went in, times to the nanosecond (until 2262).
pub fn pulls<'a>(node: &Node, agent_version: &str, pulls: impl IntoIterator<Item = (Event, &'a Pull)>) -> Vec<u8> {
    request(node, agent_version, pulls.into_iter().map(|(event, pull)| pull_record(event, pull)).collect())
}

/// The agent's heartbeat, in one request.
pub fn node(report: &NodeReport) -> Vec<u8> {
    let mut attributes = Attributes::default();
    attributes.text(names::AGENT_VERSION, &report.agent_version);
    attributes.boolean(names::AGENT_REACHABLE, report.runtime_reachable);
    attributes.int(names::AGENT_ACTIVE, report.active_pulls);
    if !report.queued_images.is_empty() {
        let queued: Vec<_> = report.queued_images.iter().take(MAX_QUEUED_IMAGES).map(ToString::to_string).collect();
        attributes.texts(names::AGENT_QUEUED, queued.iter().map(String::as_str));
    }
    attributes.int(names::AGENT_DROPPED_PROGRESS, report.dropped_progress);
    attributes.int(names::AGENT_DROPPED_OUTCOMES, report.dropped_outcomes);
    let body = if report.runtime_reachable { "runtime reachable" } else { "runtime unreachable" };
    let record = record(names::EVENT_NODE, report.observed_at, !report.runtime_reachable, body.to_owned(), attributes);
    request(&report.node, &report.agent_version, vec![record])
}

fn request(node: &Node, agent_version: &str, log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, schema_url: SCHEMA_URL.to_owned() }];
    let resource_logs =
        vec![ResourceLogs { resource: Some(resource(node, agent_version)), scope_logs, schema_url: SCHEMA_URL.to_owned() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec()
}

fn record(event: &str, at: Timestamp, warn: bool, body: String, attributes: Attributes) -> LogRecord {
    let (number, text) = if warn { (SeverityNumber::Warn, "WARN") } else { (SeverityNumber::Info, "INFO") };
    LogRecord {
        time_unix_nano: at.as_nanos(),
        observed_time_unix_nano: at.as_nanos(),
        severity_number: number.into(),
        severity_text: text.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
        attributes: attributes.into_vec(),
        event_name: event.to_owned(),
        ..LogRecord::default()
    }
}

pub(super) fn pull_record(event: Event, pull: &Pull) -> LogRecord {
    let mut attributes = Attributes::default();
    attributes.int(names::PULL_SEQUENCE, pull.sequence);
    attributes.whole(names::PULL_PHASE, pull.phase.as_str());
    attributes.time(names::PULL_STARTED_AT, pull.started_at);
    if let Some(at) = pull.resolved_at {
        attributes.time(names::PULL_RESOLVED_AT, at);
    }
    if let Some(ending) = &pull.ending {
        ending_attributes(&mut attributes, ending);
    }
    if let Some(wait) = &pull.wait {
        wait_attributes(&mut attributes, wait);
    }
    waited_attributes(&mut attributes, &pull.waits[..pull.waits.len().min(MAX_WAITS)]);
    if let Some(rate) = pull.bytes_per_sec {
        attributes.bytes(names::PULL_BYTES_PER_SEC, rate);
    }
    for (name, time) in [
        (names::PULL_ETA, pull.eta.and_then(Eta::likely)),
        (names::PULL_ETA_LOW, pull.eta.and_then(Eta::low)),
        (names::PULL_ETA_HIGH, pull.eta.and_then(Eta::high)),
    ] {
        if let Some(time) = time {
            attributes.int(name, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        }
    }
    host_attributes(&mut attributes, &pull.host);
    subject_attributes(&mut attributes, pull);
    layer_attributes(&mut attributes, &pull.layers[..pull.layers.len().min(MAX_LAYERS)]);

    let warn = matches!(pull.ending, Some(Ending { outcome: Outcome::Failed(_) | Outcome::Lost, .. }))
        || matches!(pull.wait, Some(Wait::Stalled { .. }));
    LogRecord {
        trace_id: pull.id.as_bytes().to_vec(),
        span_id: root_span(pull.id).as_bytes().to_vec(),
        flags: SAMPLED,
        ..record(event.as_str(), pull.observed_at, warn, summary(pull), attributes)
    }
}

/// What is pulled, and how much of it: the same words on the record and on the root span.
pub(super) fn subject_attributes(attributes: &mut Attributes, pull: &Pull) {
    if let Some(image) = &pull.image {
        attributes.image(image);
    }
    if let Some(digest) = &pull.digest {
        attributes.whole(names::IMAGE_DIGEST, digest.as_str());
    }
    attributes.whole(names::CONTAINERD_NAMESPACE, cut(&pull.namespace, super::MAX_TEXT));
    attributes.text(names::SNAPSHOTTER, &pull.snapshotter);
    attributes.boolean(names::PULL_TOTAL_KNOWN, pull.total_known && pull.layers.len() <= MAX_LAYERS);
    if let Some(cache) = pull.cache_use() {
        attributes.whole(names::PULL_CACHE, cache.as_str());
    }
    attributes.bytes(names::IMAGE_SIZE, pull.size().bytes());
    attributes.bytes(names::PULL_BYTES_FETCHED, pull.fetched_bytes());
    attributes.bytes(names::PULL_BYTES_CACHED, pull.cached_bytes());
    attributes.int(names::LAYER_COUNT, pull.layers.len() as u64);
    attributes.int(names::LAYER_CACHED_COUNT, pull.layers_cached() as u64);
    if pull.layers_lazy() > 0 {
        attributes.int(names::LAYER_LAZY_COUNT, pull.layers_lazy() as u64);
    }
}

/// How it ended.
pub(super) fn ending_attributes(attributes: &mut Attributes, ending: &Ending) {
    attributes.whole(names::PULL_OUTCOME, ending.outcome.as_str());
    attributes.time(names::PULL_ENDED_AT, ending.at);
    attributes.whole(names::TIMING_SOURCE, ending.source.as_str());
    if let Outcome::Failed(failure) = &ending.outcome {
        attributes.whole(names::ERROR_TYPE, failure.class.as_str());
        attributes.whole(names::ERROR_MESSAGE, cut(&failure.message, MAX_MESSAGE));
    }
}

fn host_attributes(attributes: &mut Attributes, host: &Host) {
    let bytes = [(names::HOST_NETWORK_RATE, host.network_rate), (names::HOST_NETWORK_LIMIT, host.network_limit)];
    bytes.into_iter().filter_map(|(name, bytes)| Some((name, bytes?))).for_each(|(name, bytes)| attributes.bytes(name, bytes));
    let shares = [
        (names::HOST_DISK_BUSY, host.disk_busy),
        (names::HOST_IO_SOME, host.io.map(|io| io.some)),
        (names::HOST_IO_FULL, host.io.map(|io| io.full)),
        (names::HOST_MEMORY_SOME, host.memory.map(|memory| memory.some)),
        (names::HOST_MEMORY_FULL, host.memory.map(|memory| memory.full)),
        (names::HOST_CPU_SOME, host.cpu),
    ];
    for (name, share) in shares {
        if let Some(share) = share {
            attributes.int(name, share.get().into());
        }
    }
}

fn wait_attributes(attributes: &mut Attributes, wait: &Wait) {
    attributes.whole(names::PULL_WAIT, wait.as_str());
    attributes.time(names::PULL_WAIT_SINCE, wait.since());
    if let Wait::LayerLock { holder, layer, .. } = wait {
        attributes.whole(names::PULL_WAIT_HOLDER, &holder.to_string());
        attributes.whole(names::PULL_WAIT_LAYER, layer.as_str());
    }
}

/// Waits that are over; nothing is said where there were none.
fn waited_attributes(attributes: &mut Attributes, waits: &[Waited]) {
    if waits.is_empty() {
        return;
    }
    let lock = |waited: &Waited| match &waited.wait {
        Wait::LayerLock { holder, layer, .. } => (holder.to_string(), layer.to_string()),
        Wait::DownloadSlot { .. } | Wait::Stalled { .. } | Wait::Retrying { .. } => (String::new(), String::new()),
    };
    let (holders, layers): (Vec<_>, Vec<_>) = waits.iter().map(lock).unzip();
    attributes.texts(names::WAITS_KIND, waits.iter().map(|waited| waited.wait.as_str()));
    attributes.ints(names::WAITS_SINCE, waits.iter().map(|waited| waited.wait.since().as_nanos()));
    attributes.ints(names::WAITS_UNTIL, waits.iter().map(|waited| waited.until.as_nanos()));
    attributes.texts(names::WAITS_HOLDER, holders.iter().map(String::as_str));
    attributes.texts(names::WAITS_LAYER, layers.iter().map(String::as_str));
}

fn layer_attributes(attributes: &mut Attributes, layers: &[Layer]) {
    let size = |layer: &Layer| layer.size.min(MAX_BYTES);
    let nanos = |time: Option<Timestamp>| time.unwrap_or(Timestamp::EPOCH).as_nanos();
    attributes.texts(names::LAYERS_DIGEST, layers.iter().map(|layer| layer.digest.as_str()));
    attributes.texts(names::LAYERS_MEDIA_TYPE, layers.iter().map(|layer| &*layer.media_type));
    attributes.ints(names::LAYERS_SIZE, layers.iter().map(size));
    attributes.ints(names::LAYERS_OFFSET, layers.iter().map(|layer| layer.fetched.min(size(layer))));
    attributes.texts(names::LAYERS_STATE, layers.iter().map(|layer| layer.state.as_str()));
    attributes.booleans(names::LAYERS_CACHED, layers.iter().map(|layer| layer.cached));
    if layers.iter().any(|layer| layer.lazy) {
        attributes.booleans(names::LAYERS_LAZY, layers.iter().map(|layer| layer.lazy));
    }
    let mut interval = |[start, end, source]: [&str; 3], of: fn(&Layer) -> &Interval| {
        attributes.ints(start, layers.iter().map(|layer| nanos(of(layer).start)));
        attributes.ints(end, layers.iter().map(|layer| nanos(of(layer).end)));
        attributes.texts(source, layers.iter().map(|layer| of(layer).source.as_str()));
    };
    interval([names::LAYERS_DOWNLOAD_START, names::LAYERS_DOWNLOAD_END, names::LAYERS_DOWNLOAD_SOURCE], |l| &l.download);
    interval([names::LAYERS_UNPACK_START, names::LAYERS_UNPACK_END, names::LAYERS_UNPACK_SOURCE], |l| &l.unpack);
}

/// Image and state, so that a log viewer shows a line. Sentences are made by `explain`.
fn summary(pull: &Pull) -> String {
    let state = pull.ending.as_ref().map_or(pull.phase.as_str(), |ending| ending.outcome.as_str());
    pull.image.as_ref().map_or_else(|| state.to_owned(), |image| format!("{image} {state}"))
}
