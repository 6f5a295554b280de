//! The collector's own numbers for Prometheus: one registry, filled by whoever knows the number, named by `lifecycle::names`.
//!
//! Labels are of bounded cardinality: registries beyond an allow-list are `other`, and images, pods, nodes and pulls are never labels.
//! How the registry is written out is the business of [`exposition`].

mod active;
mod agents;
mod ends;
pub(crate) mod exposition;
mod pressing;
mod rollouts;
#[cfg(test)]
mod sample;
mod sinks;
mod streams;
mod waits;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use lifecycle::{
    board::{Board, Counts, Tally, WaitOver, phase_durations},
    names::{self, TABLE},
    pull::{CacheUse, ErrorClass, Outcome, Phase, Pull, PullId},
    time::Timestamp,
    wire::Rejected,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, exemplar::HistogramWithExemplars, family::Family, gauge::Gauge},
    registry::{Metric, Registry},
};

pub(crate) use self::{
    active::{ACTIVE_PULLS, LONG},
    ends::Ends,
    rollouts::WORKLOADS,
    sinks::SinkMetrics,
    streams::{SseClient, Streams},
};
use self::{sinks::Sinks, waits::Waits};

/// Registries that get a label of their own when none are configured: the first so many that are seen.
pub(crate) const MAX_REGISTRIES: usize = 50;
/// The label of all other registries.
const OTHER: &str = "other";
/// Where bytes came from.
const SOURCES: [&str; 2] = ["fetched", "cached"];
/// The label of what nobody knows.
const UNKNOWN: &str = "unknown";

/// Buckets of durations, in seconds: from a cached image to a model of many gigabytes.
const BUCKETS: [f64; 14] = [0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];

/// Buckets of speeds, in bytes per second: from a trickle to a link of ten gigabits.
const SPEEDS: [f64; 12] = [1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7, 2.5e7, 5e7, 1e8, 2.5e8, 1e9];

type TracedHistogram = HistogramWithExemplars<TraceLabel>;

/// How many things get series of their own that end with them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Followed {
    /// Pulls that run, the longest running ones.
    pub(crate) pulls: usize,
    /// Workloads, those that lack most images.
    pub(crate) workloads: usize,
}

impl Default for Followed {
    fn default() -> Self {
        Self { pulls: ACTIVE_PULLS, workloads: WORKLOADS }
    }
}

/// The collector's metrics; cheap to clone, all clones count together.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    registries: Mutex<Registries>,
    followed: Followed,
    last: Mutex<Counts>,
    active: Gauge,
    in_phase: Family<PhaseLabel, Gauge>,
    stalled: Gauge,
    held_up: Family<ByLabel, Gauge>,
    pods_waiting: Gauge,
    waits: Waits,
    pods_refused: Counter,
    pulls: Family<PullLabels, Counter>,
    duration: Family<PullLabels, TracedHistogram, fn() -> TracedHistogram>,
    phase_duration: Family<PhaseLabels, TracedHistogram, fn() -> TracedHistogram>,
    ends: Ends,
    bytes: Family<BytesLabels, Counter>,
    errors: Family<ErrorLabels, Counter>,
    throughput: Family<RegistryLabel, TracedHistogram, fn() -> TracedHistogram>,
    agents: Gauge,
    reports: Counter,
    streams: Streams,
    received: Counter,
    rejected: Family<ReasonLabel, Counter>,
    board_pulls: Gauge,
    evicted: Family<ReasonLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    sinks: Sinks,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// As they are unless configured otherwise, but for the registries.
    #[cfg(test)]
    pub(crate) fn new(registries: &[String]) -> Self {
        Self::following(registries, Followed::default())
    }

    /// All metrics at zero. Only these registries get a label of their own; if none are named, the first [`MAX_REGISTRIES`] that are seen.
    pub(crate) fn following(registries: &[String], followed: Followed) -> Self {
        let mut inner = Inner {
            registry: Registry::default(),
            registries: Mutex::new(Registries::new(registries)),
            followed,
            last: Mutex::default(),
            active: Gauge::default(),
            in_phase: Family::default(),
            stalled: Gauge::default(),
            held_up: Family::default(),
            pods_waiting: Gauge::default(),
            waits: Waits::default(),
            pods_refused: Counter::default(),
            pulls: Family::default(),
            duration: Family::new_with_constructor(histogram),
            phase_duration: Family::new_with_constructor(histogram),
            ends: Ends::default(),
            bytes: Family::default(),
            errors: Family::default(),
            throughput: Family::new_with_constructor(|| TracedHistogram::new(SPEEDS.into_iter())),
            agents: Gauge::default(),
            reports: Counter::default(),
            streams: Streams::default(),
            received: Counter::default(),
            rejected: Family::default(),
            board_pulls: Gauge::default(),
            evicted: Family::default(),
            refused: Family::default(),
            sinks: Sinks::default(),
        };
        inner.register();
        Self(Arc::new(inner))
    }

    /// Counts a pull that ended; `again` says that its node had the image before. One that was taken for lost and ends after all counts under
    /// both outcomes.
    pub(crate) fn pull_ended(&self, pull: &Pull, again: bool) {
        let Some(ending) = &pull.ending else { return };
        let inner = &self.0;
        let registry = self.registry_label(pull);
        self.begin(&registry);
        let cache = pull.cache_use().map_or(UNKNOWN, |cache| cache.as_str());
        let labels = PullLabels { outcome: ending.outcome.as_str(), registry: registry.clone(), cache };
        inner.pulls.get_or_create(&labels).inc();
        let trace = || Some(TraceLabel { trace_id: pull.id.to_string() });
        inner.duration.get_or_create(&labels).observe(pull.duration().as_secs_f64(), trace(), None);
        for (phase, took) in phase_durations(pull) {
            let labels = PhaseLabels { phase: phase.as_str(), registry: registry.clone() };
            inner.phase_duration.get_or_create(&labels).observe(took.as_secs_f64(), trace(), None);
            let (bytes, seconds) = (pull.fetched_bytes(), took.as_secs_f64());
            if phase == Phase::Downloading && bytes > 0 && seconds > 0.0 {
                let label = RegistryLabel { registry: registry.clone() };
                inner.throughput.get_or_create(&label).observe(bytes as f64 / seconds, trace(), None);
            }
        }
        inner.ends.count(pull, &registry, again);
        for (source, bytes) in SOURCES.into_iter().zip([pull.fetched_bytes(), pull.cached_bytes()]) {
            inner.bytes.get_or_create(&BytesLabels { registry: registry.clone(), source }).inc_by(bytes);
        }
        inner.waits.within(pull);
        if let Outcome::Failed(failure) = &ending.outcome {
            inner.errors.get_or_create(&ErrorLabels { class: failure.class.as_str(), registry }).inc();
        }
    }

    /// What is told of more than one pull at its end, and of reports as they come.
    pub(crate) fn ends(&self) -> &Ends {
        &self.0.ends
    }

    /// Counts the wait of a container that is over, for the pull that began then in its runtime, as far as that is known.
    pub(crate) fn pod_waited(&self, wait: &WaitOver, pull: Option<(PullId, Option<Timestamp>)>) {
        self.0.waits.over(wait, pull);
    }

    /// What gets series of its own.
    pub(crate) fn followed(&self) -> Followed {
        self.0.followed
    }

    /// Takes over what the board counts.
    pub(crate) fn board(&self, board: &Board) {
        let inner = &self.0;
        let tally = board.tally();
        inner.active.set(number(tally.running));
        inner.stalled.set(number(tally.stalled));
        for (phase, pulls) in Phase::ALL.iter().zip(tally.in_phase) {
            inner.in_phase.get_or_create(&PhaseLabel { phase: phase.as_str() }).set(number(pulls));
        }
        for (by, pulls) in Tally::HELD_UP.into_iter().zip(tally.held_up) {
            inner.held_up.get_or_create(&ByLabel { by }).set(number(pulls));
        }
        inner.agents.set(number(board.connected()));
        inner.board_pulls.set(number(board.len()));
        inner.pods_waiting.set(number(board.pods_waiting()));
        inner.pods_refused.inc_by(board.pods_refused().saturating_sub(inner.pods_refused.get()));
        let now = board.counts();
        let before = std::mem::replace(&mut *inner.last.lock().unwrap_or_else(PoisonError::into_inner), now);
        let grow = |family: &Family<ReasonLabel, Counter>, reason, now: u64, before: u64| {
            family.get_or_create(&ReasonLabel { reason }).inc_by(now.saturating_sub(before));
        };
        grow(&inner.evicted, "ttl", now.evicted_ttl, before.evicted_ttl);
        grow(&inner.evicted, "capacity", now.evicted_capacity, before.evicted_capacity);
        grow(&inner.refused, "stale", now.refused_stale, before.refused_stale);
        grow(&inner.refused, "final", now.refused_final, before.refused_final);
        grow(&inner.refused, "foreign", now.refused_foreign, before.refused_foreign);
        grow(&inner.refused, "capacity", now.refused_capacity, before.refused_capacity);
        grow(&inner.refused, "other_agent", now.refused_other_agent, before.refused_other_agent);
    }

    /// Counts what came of one request that was taken.
    pub(crate) fn received(&self, accepted: u64, reports: usize, rejected: &Rejected) {
        self.0.received.inc_by(accepted);
        self.0.reports.inc_by(u64::try_from(reports).unwrap_or(u64::MAX));
        for (reason, count) in rejected.by_reason() {
            self.0.rejected.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc_by(count);
        }
    }

    /// Counts a whole request that was refused.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.0.rejected.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Counts reports that were refused because their node has as many pulls as it may.
    pub(crate) fn crowded_out(&self, reports: u64) {
        self.0.rejected.get_or_create(&ReasonLabel { reason: "crowded" }).inc_by(reports);
    }

    /// The numbers of the streams' readers.
    pub(crate) fn streams(&self) -> Streams {
        self.0.streams.clone()
    }

    /// The numbers of one sink.
    pub(crate) fn sink(&self, sink: &str) -> SinkMetrics {
        self.0.sinks.sink(sink)
    }

    /// Begins the counters of a registry with the first pull of it that ends, so that the next one that fails in another way is seen to be
    /// counted: of a counter that is there only from its first count on, nobody sees the growth.
    fn begin(&self, registry: &str) {
        let first = self.0.registries.lock().unwrap_or_else(PoisonError::into_inner).begun.insert(registry.to_owned());
        if !first {
            return;
        }
        let registry = || registry.to_owned();
        for class in ErrorClass::ALL {
            drop(self.0.errors.get_or_create(&ErrorLabels { class: class.as_str(), registry: registry() }));
        }
        for outcome in Outcome::WORDS {
            for cache in CacheUse::ALL.map(CacheUse::as_str).into_iter().chain([UNKNOWN]) {
                drop(self.0.pulls.get_or_create(&PullLabels { outcome, registry: registry(), cache }));
            }
        }
    }

    fn registry_label(&self, pull: &Pull) -> String {
        let Some(image) = &pull.image else { return UNKNOWN.to_owned() };
        self.0.registries.lock().unwrap_or_else(PoisonError::into_inner).label(image.registry()).to_owned()
    }
}

impl Inner {
    fn register(&mut self) {
        let registry = &mut self.registry;
        register(registry, names::METRIC_ACTIVE, self.active.clone());
        register(registry, names::METRIC_IN_PHASE, self.in_phase.clone());
        register(registry, names::METRIC_STALLED, self.stalled.clone());
        register(registry, names::METRIC_PODS_WAITING, self.pods_waiting.clone());
        register(registry, names::METRIC_HELD_UP, self.held_up.clone());
        self.waits.register(registry);
        register(registry, names::METRIC_BOARD_PODS_REFUSED, self.pods_refused.clone());
        register(registry, names::METRIC_PULLS, self.pulls.clone());
        register(registry, names::METRIC_DURATION, self.duration.clone());
        register(registry, names::METRIC_PHASE_DURATION, self.phase_duration.clone());
        self.ends.register(registry);
        register(registry, names::METRIC_BYTES, self.bytes.clone());
        register(registry, names::METRIC_ERRORS, self.errors.clone());
        register(registry, names::METRIC_THROUGHPUT, self.throughput.clone());
        register(registry, names::METRIC_AGENTS, self.agents.clone());
        register(registry, names::METRIC_REPORTS, self.reports.clone());
        self.streams.register(registry);
        register(registry, names::METRIC_RECEIVED, self.received.clone());
        register(registry, names::METRIC_REJECTED, self.rejected.clone());
        register(registry, names::METRIC_BOARD_PULLS, self.board_pulls.clone());
        register(registry, names::METRIC_BOARD_EVICTED, self.evicted.clone());
        register(registry, names::METRIC_BOARD_REFUSED, self.refused.clone());
        registry.register_collector(Box::new(self.sinks.clone()));
    }
}

/// Registers a metric under its name in the vocabulary; the library adds `_total` and the help's full stop itself.
fn register(registry: &mut Registry, name: &'static str, metric: impl Metric) {
    let help = TABLE.iter().find(|entry| entry.name == name).map_or("", |entry| entry.help);
    registry.register(name.trim_end_matches("_total"), help.trim_end_matches('.'), metric);
}

/// A distribution of durations.
fn histogram() -> TracedHistogram {
    TracedHistogram::new(BUCKETS.into_iter())
}

/// Which registries have a label of their own.
struct Registries {
    named: BTreeSet<String>,
    open: bool,
    /// Labels whose counters have begun.
    begun: BTreeSet<String>,
}

impl Registries {
    fn new(named: &[String]) -> Self {
        Self { named: named.iter().cloned().collect(), open: named.is_empty(), begun: BTreeSet::new() }
    }

    fn label<'a>(&mut self, host: &'a str) -> &'a str {
        if self.open && self.named.len() < MAX_REGISTRIES && !self.named.contains(host) {
            self.named.insert(host.to_owned());
        }
        if self.named.contains(host) { host } else { OTHER }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PullLabels {
    outcome: &'static str,
    registry: String,
    cache: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
    registry: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BytesLabels {
    registry: String,
    source: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    class: &'static str,
    registry: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryLabel {
    registry: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLabel {
    by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StartLabel {
    start: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TraceLabel {
    trace_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_registries_get_a_label_of_their_own() {
        let mut registries = Registries::new(&[]);
        for n in 0..MAX_REGISTRIES {
            let host = format!("r{n}.example");
            assert_eq!(registries.label(&host), host);
        }
        assert_eq!(registries.label("late.example"), OTHER);
        assert_eq!(registries.label("r0.example"), "r0.example");
    }

    #[test]
    fn configured_registries_are_the_only_ones_with_a_label() {
        let mut registries = Registries::new(&["ghcr.io".to_owned()]);
        assert_eq!((registries.label("ghcr.io"), registries.label("docker.io")), ("ghcr.io", OTHER));
    }
}
