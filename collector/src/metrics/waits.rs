//! How long is waited, and where: containers for their images, images in the kubelet's queue, pulls within their runtime.

use std::sync::atomic::AtomicU64;

use lifecycle::{
    board::WaitOver,
    names,
    pull::{Pull, PullId, Wait, Waited},
    time::Timestamp,
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{TraceLabel, TracedHistogram, histogram, register};

/// Seconds, of which there are parts.
type Seconds = Counter<f64, AtomicU64>;

/// What is counted about waits; cheap to clone, all clones count together.
#[derive(Clone)]
pub(super) struct Waits {
    image: TracedHistogram,
    queue: TracedHistogram,
    within: Family<KindLabel, Seconds>,
}

impl Default for Waits {
    fn default() -> Self {
        Self { image: histogram(), queue: histogram(), within: Family::default() }
    }
}

impl Waits {
    /// Counts the wait of a container that is over, and the pull that it was for with the time at which its runtime began, as far as known.
    pub(super) fn over(&self, wait: &WaitOver, pull: Option<(PullId, Option<Timestamp>)>) {
        let exemplar = pull.map(|(id, _)| TraceLabel { trace_id: id.to_string() });
        if wait.failure.is_none() {
            let waited = wait.until.since(wait.from);
            self.image.observe(waited.as_secs_f64(), exemplar.clone(), None);
        }
        if let Some((_, Some(began))) = pull {
            self.queue.observe(began.since(wait.asked).as_secs_f64(), exemplar, None);
        }
    }

    /// Counts how long a pull that ended waited within its runtime.
    pub(super) fn within(&self, pull: &Pull) {
        pull.waits.iter().for_each(|waited| self.add(waited));
    }

    fn add(&self, waited: &Waited) {
        let seconds = waited.until.since(waited.wait.since()).as_secs_f64();
        self.within.get_or_create(&KindLabel { kind: waited.wait.as_str() }).inc_by(seconds);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for kind in Wait::WORDS {
            drop(self.within.get_or_create(&KindLabel { kind }));
        }
        register(registry, names::METRIC_POD_WAIT, self.image.clone());
        register(registry, names::METRIC_QUEUE, self.queue.clone());
        register(registry, names::METRIC_PULL_WAIT, self.within.clone());
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[cfg(test)]
mod tests {
    use lifecycle::board::PodKey;
    use prometheus_client::encoding::text::encode_registry;

    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_millis(1_760_000_000_000 + second * 1000)
    }

    fn told(waits: &Waits) -> String {
        let (mut text, mut registry) = (String::new(), Registry::default());
        waits.register(&mut registry);
        encode_registry(&mut text, &registry).expect("text takes everything");
        text
    }

    #[test]
    fn a_wait_is_that_of_the_container_and_the_queue_that_of_the_last_asking() {
        let waits = Waits::default();
        let wait = WaitOver {
            pod: PodKey { namespace: "shop".into(), name: "web".into() },
            uid: "u".into(),
            container: "app".into(),
            workload: None,
            node: "node-1".parse().expect("a name"),
            image: None,
            from: at(0),
            asked: at(30),
            until: at(50),
            failure: None,
        };
        let pull = PullId::derive("n", "k8s.io", "lease", at(34));
        waits.over(&wait, Some((pull, Some(at(34)))));
        waits.over(&wait, None);
        let text = told(&waits);
        for series in [
            format!("{}_sum 100.0\n", names::METRIC_POD_WAIT),
            format!("{}_sum 4.0\n", names::METRIC_QUEUE),
            format!("{}_count 1\n", names::METRIC_QUEUE),
            format!("trace_id=\"{pull}\""),
        ] {
            assert!(text.contains(&series), "{series}\n{text}");
        }
    }

    #[test]
    fn waits_within_the_runtime_add_up_by_kind() {
        let waits = Waits::default();
        for (since, until) in [(0, 2), (5, 6)] {
            waits.add(&Waited { wait: Wait::DownloadSlot { since: at(since) }, until: at(until) });
        }
        assert!(told(&waits).contains(&format!("{}{{kind=\"download_slot\"}} 3.0\n", names::METRIC_PULL_WAIT)));
    }
}
