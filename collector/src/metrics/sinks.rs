//! The numbers of the sinks that requests are forwarded to. They add up whenever they are looked at: accepted = sent + queued + dropped. That
//! is why they are not counters of the library, which are read one after the other while others go on.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lifecycle::names::{self, TABLE};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, NoLabelSet},
    metrics::{MetricType, exemplar::Exemplar},
};

/// Why a request is given up although no sink said anything; what a sink says is named by `otlp::SendError`.
const REASONS: [&str; 3] = [QUEUE_FULL, "refused", SHUTDOWN];
const QUEUE_FULL: &str = "queue_full";
const SHUTDOWN: &str = "shutdown";

/// All sinks by name; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Sinks(Arc<Mutex<BTreeMap<String, SinkMetrics>>>);

/// The numbers of one sink; cheap to clone, all clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct SinkMetrics(Arc<Mutex<Numbers>>);

#[derive(Clone, Debug, Default)]
struct Numbers {
    accepted: u64,
    queued: u64,
    queued_bytes: usize,
    sent: u64,
    /// Records that the sink refused of requests that it accepted.
    partial: u64,
    dropped: BTreeMap<&'static str, u64>,
}

impl Sinks {
    /// The numbers of the sink of this name.
    pub(super) fn sink(&self, name: &str) -> SinkMetrics {
        let sink = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().clone();
        sink.numbers().dropped.extend(REASONS.map(|reason| (reason, 0)));
        sink
    }
}

impl SinkMetrics {
    /// Counts a request of so many bytes that waits from now on.
    pub(crate) fn queued(&self, bytes: usize) {
        let mut numbers = self.numbers();
        numbers.accepted += 1;
        numbers.queued += 1;
        numbers.queued_bytes += bytes;
    }

    /// Counts a request for which there was no room.
    pub(crate) fn overflowed(&self) {
        let mut numbers = self.numbers();
        numbers.accepted += 1;
        numbers.drop_for(QUEUE_FULL);
    }

    /// Counts a request of so many bytes that the sink took, and the records in it that it refused.
    pub(crate) fn sent(&self, bytes: usize, refused: u64) {
        let mut numbers = self.numbers();
        numbers.leave(bytes);
        numbers.sent += 1;
        numbers.partial += refused;
    }

    /// Counts a request of so many bytes that was given up.
    pub(crate) fn dropped(&self, bytes: usize, reason: &'static str) {
        let mut numbers = self.numbers();
        numbers.leave(bytes);
        numbers.drop_for(reason);
    }

    /// Counts a request of so many bytes that still waited at the end.
    pub(crate) fn cut_off(&self, bytes: usize) {
        self.dropped(bytes, SHUTDOWN);
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    fn leave(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_sub(1);
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
    }

    fn drop_for(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }
}

impl Collector for Sinks {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let sinks = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sinks: Vec<_> = sinks.into_iter().map(|(sink, metrics)| (SinkLabel { sink }, metrics.numbers().clone())).collect();
        let mut write = |name, kind, value: &dyn Fn(&Numbers) -> u64| {
            let mut metric = describe(&mut encoder, name, kind)?;
            for (label, numbers) in &sinks {
                let mut series = metric.encode_family(label)?;
                match kind {
                    MetricType::Gauge => series.encode_gauge(&value(numbers))?,
                    MetricType::Counter | MetricType::Histogram | MetricType::Info | MetricType::Unknown => {
                        series.encode_counter(&value(numbers), NO_EXEMPLAR)?
                    }
                }
            }
            fmt::Result::Ok(())
        };
        write(names::METRIC_FORWARD_ACCEPTED, MetricType::Counter, &|numbers| numbers.accepted)?;
        write(names::METRIC_FORWARD_SENT, MetricType::Counter, &|numbers| numbers.sent)?;
        write(names::METRIC_FORWARD_WAITING, MetricType::Gauge, &|numbers| numbers.queued)?;
        write(names::METRIC_FORWARD_QUEUED, MetricType::Gauge, &|numbers| numbers.queued_bytes as u64)?;
        write(names::METRIC_FORWARD_PARTIAL, MetricType::Counter, &|numbers| numbers.partial)?;
        let mut metric = describe(&mut encoder, names::METRIC_FORWARD_DROPPED, MetricType::Counter)?;
        for (SinkLabel { sink }, numbers) in &sinks {
            for (reason, count) in &numbers.dropped {
                let label = DropLabels { sink: sink.clone(), reason };
                metric.encode_family(&label)?.encode_counter(count, NO_EXEMPLAR)?;
            }
        }
        Ok(())
    }
}

const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;

fn describe<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'static str,
    kind: MetricType,
) -> Result<prometheus_client::encoding::MetricEncoder<'a>, fmt::Error> {
    let help = TABLE.iter().find(|entry| entry.name == name).map_or("", |entry| entry.help);
    encoder.encode_descriptor(name.trim_end_matches("_total"), help, None, kind)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabel {
    sink: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabels {
    sink: String,
    reason: &'static str,
}
