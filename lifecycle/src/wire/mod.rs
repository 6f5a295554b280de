//! The OTLP dialect, version 1: pulls as log records and spans, and what is owed to whoever sends OTLP. Pure: bytes in, values out.
//!
//! The only module that knows OTLP's protobuf; its callers see our own types and bytes. A log record carries the whole state of one pull,
//! so [`decode`](fn@decode) gives back exactly the [`Report`](crate::pull::Report) that [`encode::pulls`] was given. Telemetry of others is
//! counted and left alone; a record of ours that cannot be right is refused by itself, never together with its neighbours. Two
//! protobuf requests written one after the other are one request, so an exporter batches by appending.
//!
//! What travels is the business of the `otlp` crate; what to do with a report that of `track` and `board`.

mod answer;
mod attribute;
mod column;
mod compact;
mod decode;
pub mod encode;
mod json;
mod metric;
mod reject;
mod report;
mod schema;
mod span;
mod trim;
mod values;
mod view;
mod wait;
mod whose;

pub use answer::{PartialSuccess, Status, parse_response, response, response_json};
pub use compact::{restore, shrink};
pub use decode::{Decoded, Said, decode, decode_json};
pub use json::{to_json, transcode_json};
pub use reject::{DecodeError, Reason, Rejected};
pub use trim::without_progress;
pub use wait::ImageWait;
pub use whose::{Own, only_of};

use crate::{names, pull::PullId, pull::SpanId};

/// Name of the instrumentation scope of everything that is said about pulls; how a receiver knows it.
pub const SCOPE: &str = "pulltrace";
/// The semantic conventions that the names follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";
/// Most layers of one report. Docker builds at most 127; a longer list is refused, and when sent cut, with its total said to be open.
pub const MAX_LAYERS: usize = 512;
/// Longest text such as a namespace, a version or a media type, in bytes. A longer one is refused, and cut when sent.
pub const MAX_TEXT: usize = 256;
/// Longest error message, in bytes. A longer one is refused, and cut when sent.
pub const MAX_MESSAGE: usize = 4096;
/// Largest plausible number of bytes of one layer: an exbibyte.
pub const MAX_BYTES: u64 = 1 << 60;
/// Most attributes that are looked at in one of our records: what OpenTelemetry's SDKs keep by default.
pub const MAX_ATTRIBUTES: usize = 128;
/// Most reports that are taken from one request.
pub const MAX_REPORTS: usize = 8192;

/// The three kinds of telemetry that OTLP carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Spans.
    Traces,
    /// Data points of metrics.
    Metrics,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Logs, Self::Traces, Self::Metrics];

    /// The word for labels and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    /// Path of the export method, OTLP/gRPC.
    pub const fn grpc_path(self) -> &'static str {
        match self {
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// Default path, OTLP/HTTP.
    pub const fn http_path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// Why a pull is reported now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// It was seen for the first time.
    Started,
    /// Its state changed.
    Progress,
    /// It ended.
    Finished,
}

impl Event {
    /// All of them, in the order of a pull's life.
    pub const ALL: [Self; 3] = [Self::Started, Self::Progress, Self::Finished];

    /// `event_name` of the log record.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => names::EVENT_STARTED,
            Self::Progress => names::EVENT_PROGRESS,
            Self::Finished => names::EVENT_FINISHED,
        }
    }
}

/// The id of the root span of a pull's trace: the parent of whatever else is said about the pull.
pub fn root_span(pull: PullId) -> SpanId {
    pull.span(span::ROOT, None)
}
