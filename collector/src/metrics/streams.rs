//! The numbers of the streams' readers.

use lifecycle::names;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{ReasonLabel, StartLabel, register};

/// The words for how a stream begins.
const STARTS: [&str; 3] = ["new", "resumed", "unknown_id"];
/// The words for why a reader is not let in.
const REFUSED: [&str; 3] = ["address", "header", "total"];
/// The words for why we end a stream.
const ENDED: [&str; 2] = ["behind", UNREAD];
const UNREAD: &str = "unread";

/// What is counted about readers of streams; cheap to clone, all clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    clients: Gauge,
    opened: Family<StartLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    ended: Family<ReasonLabel, Counter>,
    built: Counter,
    sent: Counter,
    bytes: Counter,
}

impl Streams {
    /// Counts a reader until the guard is dropped.
    pub(crate) fn client(&self) -> SseClient {
        self.clients.inc();
        SseClient(self.clients.clone())
    }

    /// Counts a stream that begins like this.
    pub(crate) fn opened(&self, start: &'static str) {
        self.opened.get_or_create(&StartLabel { start }).inc();
    }

    /// Counts a reader who is not let in.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts a stream that we end.
    pub(crate) fn ended(&self, reason: &'static str) {
        self.ended.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// The counter of connections whose peer reads nothing.
    pub(crate) fn unread(&self) -> Counter {
        self.ended.get_or_create_owned(&ReasonLabel { reason: UNREAD })
    }

    /// Counts a chunk that was written, for however many readers.
    pub(crate) fn built(&self) {
        self.built.inc();
    }

    /// Counts a chunk of so many bytes that one reader takes.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.inc();
        self.bytes.inc_by(bytes as u64);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for start in STARTS {
            drop(self.opened.get_or_create(&StartLabel { start }));
        }
        for (family, reasons) in [(&self.refused, &REFUSED[..]), (&self.ended, &ENDED)] {
            for reason in reasons {
                drop(family.get_or_create(&ReasonLabel { reason }));
            }
        }
        register(registry, names::METRIC_SSE_CLIENTS, self.clients.clone());
        register(registry, names::METRIC_SSE_OPENED, self.opened.clone());
        register(registry, names::METRIC_SSE_REFUSED, self.refused.clone());
        register(registry, names::METRIC_SSE_ENDED, self.ended.clone());
        register(registry, names::METRIC_SSE_BUILT, self.built.clone());
        register(registry, names::METRIC_SSE_SENT, self.sent.clone());
        register(registry, names::METRIC_SSE_BYTES, self.bytes.clone());
    }
}

/// A reader of a stream that is counted as long as this lives.
#[derive(Debug)]
pub(crate) struct SseClient(Gauge);

impl Drop for SseClient {
    fn drop(&mut self) {
        self.0.dec();
    }
}
