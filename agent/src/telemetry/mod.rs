//! What the agent measures: pulls on its node, and its own health. One store, two mouths: [`text`] answers `/metrics`, and every now and
//! then the same numbers go out by OTLP behind a heartbeat ([`deliver`]).
//!
//! Counting is all that happens while nobody asks: no timer, no thread, nothing sent while nothing changed. Labels are bounded; what the
//! names mean stands in `lifecycle::names`. Spans about the agent itself are the business of [`trace`].

pub(crate) mod deliver;
mod numbers;
mod process;
pub(crate) mod text;
pub mod trace;

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lifecycle::{
    measure::{Example, Metric},
    names,
    pull::{CacheUse, Host, Interval, Node, NodeReport, Outcome, Pull},
    time::Timestamp,
    wire::{self, Signal},
};

use otlp::{SendError, Sent};
use tokio::sync::watch;

use self::numbers::Numbers;

/// Registries that get a label of their own: the first so many that are seen on this node.
const MAX_REGISTRIES: usize = 20;
/// The label of all other registries, by OpenTelemetry's convention.
const OTHER: &str = "_OTHER";
/// The label of what nobody knows.
const UNKNOWN: &str = "unknown";
/// Numbers go out by OTLP at most this often.
const PERIOD: Duration = Duration::from_secs(60);

/// The agent's numbers. Shared; counting holds a lock for a moment and does nothing else.
#[derive(Debug)]
pub(crate) struct Telemetry {
    started: Timestamp,
    begin: Instant,
    state: Mutex<State>,
    /// Counts the agent's heartbeats, for who sends numbers.
    beats: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    numbers: Numbers,
    registries: BTreeSet<String>,
    reachable: bool,
    /// How often something worth sending has happened.
    news: u64,
}

/// What one receiver has been told.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// News until then.
    told: u64,
    at: Option<Instant>,
}

impl Due {
    /// What it was told last did not arrive.
    pub(crate) const fn not_sent(&mut self) {
        self.told = 0;
    }
}

impl Telemetry {
    /// Everything at zero, counted from now on: by the wall clock `started`, by the other one `begin`.
    pub(crate) fn new(started: Timestamp, begin: Instant) -> Self {
        let state = State { numbers: Numbers::default(), registries: BTreeSet::new(), reachable: false, news: 0 };
        Self { started, begin, state: Mutex::new(state), beats: watch::Sender::new(0) }
    }

    /// Counts a pull that has ended; others are not counted.
    pub(crate) fn pull(&self, pull: &Pull) {
        let Some(ending) = &pull.ending else { return };
        let mut state = self.state();
        let registry = state.registry(pull).to_owned();
        let cache = pull.cache_use().map_or(UNKNOWN, CacheUse::as_str);
        let mut labels =
            vec![(names::PULL_OUTCOME, ending.outcome.as_str()), (names::SERVER_ADDRESS, &*registry), (names::PULL_CACHE, cache)];
        if let Outcome::Failed(failure) = &ending.outcome {
            labels.push((names::ERROR_TYPE, failure.class.as_str()));
        }
        let took = pull.duration().as_secs_f64();
        let example = Example { trace: pull.id, value: took, at: ending.at };
        state.numbers.spread(names::AGENT_METRIC_PULLS, &labels, took, Some(example));
        for (source, bytes) in [("registry", pull.fetched_bytes()), ("cache", pull.cached_bytes())] {
            let labels = [(names::SERVER_ADDRESS, &*registry), (names::LAYER_SOURCE, source)];
            state.numbers.count(names::AGENT_METRIC_IO, &labels, bytes);
        }
        let snapshotter = if pull.snapshotter.is_empty() { UNKNOWN } else { &pull.snapshotter };
        for layer in pull.layers.iter().filter(|layer| !layer.cached) {
            if let Some(took) = seconds(&layer.download) {
                state.numbers.spread(names::AGENT_METRIC_DOWNLOAD, &[(names::SERVER_ADDRESS, &*registry)], took, None);
            }
            if let Some(took) = seconds(&layer.unpack) {
                state.numbers.spread(names::AGENT_METRIC_UNPACK, &[(names::SNAPSHOTTER, snapshotter)], took, None);
            }
        }
        state.news += 1;
    }

    /// Takes over what a heartbeat says.
    pub(crate) fn node(&self, report: &NodeReport) {
        let mut state = self.state();
        let before = state.numbers.level(names::AGENT_METRIC_ACTIVE, report.active_pulls);
        state.news += u64::from(before != Some(report.active_pulls) || state.reachable != report.runtime_reachable);
        state.reachable = report.runtime_reachable;
        state.numbers.level(names::AGENT_METRIC_REACHABLE, u64::from(report.runtime_reachable));
        state.numbers.level(names::AGENT_METRIC_QUEUED, report.queued_images.len() as u64);
        if report.active_pulls == 0 {
            state.numbers.host(&Host::default());
        }
        drop(state);
        self.beats.send_modify(|beats| *beats += 1);
    }

    /// Takes over what else the node does while a pull runs. That is no news of its own: it goes out with the next numbers that do.
    pub(crate) fn host(&self, host: &Host) {
        self.state().numbers.host(host);
    }

    /// The agent's heartbeats from now on, and one if there was one already.
    pub(crate) fn beats(&self) -> watch::Receiver<u64> {
        let mut beats = self.beats.subscribe();
        if *beats.borrow() > 0 {
            beats.mark_changed();
        }
        beats
    }

    /// Counts a complete look at the runtime.
    pub(crate) fn surveyed(&self, took: Duration) {
        self.state().numbers.spread(names::AGENT_METRIC_SURVEYS, &[], took.as_secs_f64(), None);
    }

    /// Counts a call to the runtime, and its error if it had one.
    pub(crate) fn called(&self, method: &str, error: Option<&str>) {
        let mut state = self.state();
        state.numbers.count(names::AGENT_METRIC_CALLS, &[(names::RPC_METHOD, method)], 1);
        if let Some(error) = error {
            state.numbers.count(names::AGENT_METRIC_CALL_ERRORS, &[(names::RPC_METHOD, method), (names::ERROR_TYPE, error)], 1);
        }
    }

    /// Counts an event that says something.
    pub(crate) fn heard(&self) {
        self.state().numbers.count(names::AGENT_METRIC_EVENTS, &[], 1);
    }

    /// Counts a connection to the runtime that was lost.
    pub(crate) fn lost_runtime(&self) {
        let mut state = self.state();
        state.numbers.count(names::AGENT_METRIC_RECONNECTS, &[], 1);
        state.news += 1;
    }

    /// Counts a request to a receiver by its answer. A signal that the receiver is known not to take is not sent and not counted.
    pub(crate) fn answered(&self, signal: Signal, answer: &Result<Sent, SendError>) {
        let result = match answer {
            Ok(sent) if sent.rejected > 0 => "rejected",
            Ok(_) => "accepted",
            Err(SendError::Unsupported { known: true, .. }) => return,
            Err(SendError::Unsupported { .. }) => "unsupported",
            Err(error) if error.retryable() || error.unauthorized() => "retried",
            Err(_) => "rejected",
        };
        let labels = [(names::SIGNAL, signal.as_str()), (names::EXPORT_RESULT, result)];
        self.state().numbers.count(names::AGENT_METRIC_EXPORTS, &labels, 1);
    }

    /// Takes over how many reports were given up since the start, and how many bytes wait.
    pub(crate) fn queue(&self, dropped_progress: u64, dropped_outcomes: u64, bytes: usize) {
        let mut state = self.state();
        for (kind, dropped) in [("progress", dropped_progress), ("outcome", dropped_outcomes)] {
            let grown = state.numbers.total(names::AGENT_METRIC_DROPPED, &[(names::REPORT_KIND, kind)], dropped);
            state.news += u64::from(grown);
        }
        state.numbers.level(names::AGENT_METRIC_QUEUE, u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// Everything as it stands now.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        self.state().numbers.metrics()
    }

    /// When counting began.
    pub(crate) const fn started(&self) -> Timestamp {
        self.started
    }

    /// The request to send to a receiver, if something has changed since the last one and that was long enough ago.
    pub(crate) fn due(&self, due: &mut Due, now: Instant, node: &Node, agent_version: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let waited = due.at.is_none_or(|at| now.duration_since(at) >= PERIOD);
        if state.news == due.told || !waited {
            return None;
        }
        *due = Due { told: state.news, at: Some(now) };
        let wall = self.started + now.duration_since(self.begin);
        Some(wire::encode::metrics(node, agent_version, self.started, wall, &state.numbers.metrics()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn registry<'a>(&mut self, pull: &'a Pull) -> &'a str {
        let Some(image) = &pull.image else { return UNKNOWN };
        let host = image.registry();
        if self.registries.contains(host) {
            return host;
        }
        if self.registries.len() >= MAX_REGISTRIES {
            return OTHER;
        }
        self.registries.insert(host.to_owned());
        host
    }
}

fn seconds(interval: &Interval) -> Option<f64> {
    Some(interval.end?.since(interval.start?).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use lifecycle::{
        measure::Measured,
        pull::{Ending, ErrorClass, Failure, Percent, Phase, PullId, TimingSource},
    };

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_736_937_000_000);

    fn pull(image: &str, outcome: Option<Outcome>) -> Pull {
        let at = START + Duration::from_secs(4);
        Pull {
            id: PullId::derive("n", "k8s.io", image, START),
            sequence: 1,
            namespace: "k8s.io".into(),
            image: image.parse().ok(),
            digest: None,
            snapshotter: String::new(),
            phase: Phase::Downloading,
            wait: None,
            waits: Vec::new(),
            ending: outcome.map(|outcome| Ending { outcome, at, source: TimingSource::Poll }),
            started_at: START,
            resolved_at: None,
            observed_at: at,
            total_known: true,
            bytes_per_sec: None,
            eta: None,
            host: Host::default(),
            layers: Vec::new(),
        }
    }

    fn new() -> Telemetry {
        Telemetry::new(START, Instant::now())
    }

    fn node() -> Node {
        let name = "n1".parse().expect("a name");
        Node { name, uid: "u".into(), cluster: String::new(), runtime_name: "containerd".into(), runtime_version: String::new() }
    }

    fn heartbeat(active_pulls: u64, runtime_reachable: bool) -> NodeReport {
        NodeReport {
            node: node(),
            observed_at: START,
            agent_version: "1".into(),
            runtime_reachable,
            active_pulls,
            queued_images: Vec::new(),
            dropped_progress: 0,
            dropped_outcomes: 0,
        }
    }

    fn series(telemetry: &Telemetry, name: &str) -> Vec<(String, Measured)> {
        let metric = telemetry.metrics().into_iter().find(|metric| metric.entry.name == name).expect("it was counted");
        let words = |labels: &[(&str, String)]| labels.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ");
        metric.series.into_iter().map(|series| (words(&series.labels), series.value)).collect()
    }

    #[test]
    fn pulls_count_by_outcome_registry_cache_and_error_once_they_end() {
        let telemetry = new();
        telemetry.pull(&pull("nginx", None));
        telemetry.pull(&pull("nginx", Some(Outcome::Ready)));
        let failure = Failure { class: ErrorClass::NotFound, message: String::new() };
        telemetry.pull(&pull("quay.io/a/b", Some(Outcome::Failed(failure))));
        let counted: Vec<_> = series(&telemetry, names::AGENT_METRIC_PULLS)
            .into_iter()
            .map(|(labels, value)| match value {
                Measured::Spread(spread) => (labels, spread.count(), spread.sum),
                Measured::Count(_) | Measured::Level(_) => (labels, 0, 0.0),
            })
            .collect();
        assert_eq!(counted, [("failed quay.io none not_found".into(), 1, 4.0), ("ready docker.io none".into(), 1, 4.0)]);
    }

    #[test]
    fn only_the_first_registries_have_a_label_of_their_own() {
        let telemetry = new();
        (0..=MAX_REGISTRIES).for_each(|n| telemetry.pull(&pull(&format!("r{n}.example/a"), Some(Outcome::Canceled))));
        let labels: Vec<_> = series(&telemetry, names::AGENT_METRIC_PULLS).into_iter().map(|(labels, _)| labels).collect();
        assert_eq!(labels.len(), MAX_REGISTRIES + 1);
        assert!(labels.contains(&format!("canceled {OTHER} none")), "{labels:?}");
    }

    #[test]
    fn nothing_goes_out_while_nothing_changed_and_nothing_twice_a_minute() {
        let (telemetry, begin, mut told) = (new(), Instant::now(), Due::default());
        let mut due = |after: u64| telemetry.due(&mut told, begin + Duration::from_secs(after), &node(), "1").is_some();
        assert!(!due(0), "nothing was counted");
        telemetry.node(&heartbeat(0, true));
        assert!(due(1), "the first word");
        telemetry.node(&heartbeat(0, true));
        telemetry.called("Leases/List", None);
        telemetry.heard();
        telemetry.surveyed(Duration::from_millis(2));
        telemetry.queue(0, 0, 10);
        assert!(!due(100), "what the agent does all day is no news");
        telemetry.pull(&pull("nginx", Some(Outcome::Ready)));
        assert!(due(101));
        telemetry.node(&heartbeat(1, true));
        assert!(!due(160), "too soon");
        assert!(due(161));
    }

    #[test]
    fn what_was_not_taken_goes_out_again_and_each_receiver_is_told_for_itself() {
        let (telemetry, begin, mut one, mut other) = (new(), Instant::now(), Due::default(), Due::default());
        let due = |to: &mut Due, after: Duration| telemetry.due(to, begin + after, &node(), "1").is_some();
        telemetry.lost_runtime();
        assert!(due(&mut one, Duration::ZERO) && due(&mut other, Duration::ZERO));
        one.not_sent();
        assert!(due(&mut one, PERIOD) && !due(&mut other, PERIOD));
        assert!(!due(&mut one, 2 * PERIOD));
    }

    #[test]
    fn the_load_of_the_host_is_told_while_pulls_run_and_only_what_is_known() {
        let telemetry = new();
        let told = || {
            let load = [names::AGENT_METRIC_DISK, names::AGENT_METRIC_NETWORK, names::AGENT_METRIC_IO_PRESSURE];
            let metrics = telemetry.metrics();
            let of = |name| metrics.iter().find(|metric| metric.entry.name == name).map(|metric| metric.series[0].value.clone());
            load.map(of)
        };
        telemetry.host(&Host { disk_busy: Percent::new(97), network_rate: Some(5), ..Host::default() });
        assert_eq!(told(), [Some(Measured::Level(97)), Some(Measured::Level(5)), None]);
        telemetry.host(&Host { network_rate: Some(7), ..Host::default() });
        assert_eq!(told(), [None, Some(Measured::Level(7)), None]);
        telemetry.node(&heartbeat(0, true));
        assert_eq!(told(), [None, None, None]);
    }

    #[test]
    fn requests_count_by_what_became_of_them() {
        let telemetry = new();
        telemetry.answered(Signal::Logs, &Ok(Sent::default()));
        telemetry.answered(Signal::Logs, &Ok(Sent { rejected: 1, message: String::new() }));
        telemetry.answered(Signal::Logs, &Err(SendError::Timeout(PERIOD)));
        telemetry.answered(Signal::Metrics, &Err(SendError::Unsupported { signal: Signal::Metrics, known: false }));
        telemetry.answered(Signal::Metrics, &Err(SendError::Unsupported { signal: Signal::Metrics, known: true }));
        let labels: Vec<_> = series(&telemetry, names::AGENT_METRIC_EXPORTS).into_iter().map(|(labels, _)| labels).collect();
        assert_eq!(labels, ["logs accepted", "logs rejected", "logs retried", "metrics unsupported"]);
    }
}
