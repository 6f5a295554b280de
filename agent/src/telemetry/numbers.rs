//! The store: for each metric of the vocabulary its series, kept by labels. Knows nothing of pulls or calls, and refuses labels without
//! bound: what would be one series too many is added to one that stands for all of those.

use std::collections::BTreeMap;

use lifecycle::{
    measure::{Example, Labels, Measured, Metric, Series, Spread},
    names::{self, Entry},
    pull::{Host, Percent},
};

/// Series of one metric, the one for those beyond it not among them.
pub(super) const MAX_SERIES: usize = 200;

/// Bounds for durations of pulls and layers, seconds: from a cached image to a model of many gigabytes.
const PULLS: &[f64] = &[0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 3600.0];
/// Bounds for durations of looks at the runtime, seconds.
const SURVEYS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A label that is asked for.
type Label<'a> = (&'static str, &'a str);

/// All numbers, by metric and labels.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeMap<&'static str, BTreeMap<Labels, Measured>>);

impl Numbers {
    /// Adds to a sum.
    pub(super) fn count(&mut self, metric: &'static str, labels: &[Label<'_>], more: u64) {
        if let Measured::Count(count) = self.series(metric, labels, || Measured::Count(0)) {
            *count = count.saturating_add(more);
        }
    }

    /// Takes over a sum that is counted elsewhere. Whether it has grown.
    pub(super) fn total(&mut self, metric: &'static str, labels: &[Label<'_>], total: u64) -> bool {
        match self.series(metric, labels, || Measured::Count(0)) {
            Measured::Count(count) => std::mem::replace(count, total.max(*count)) < total,
            Measured::Level(_) | Measured::Spread(_) => false,
        }
    }

    /// Sets a value that goes up and down; returns what it was, if there was one.
    pub(super) fn level(&mut self, metric: &'static str, now: u64) -> Option<u64> {
        let before = self.0.get(metric).and_then(|series| series.get(&Labels::new())).cloned();
        *self.series(metric, &[], || Measured::Level(now)) = Measured::Level(now);
        match before {
            Some(Measured::Level(before)) => Some(before),
            Some(Measured::Count(_) | Measured::Spread(_)) | None => None,
        }
    }

    /// Sets the levels of the host's load; what is not known has none.
    pub(super) fn host(&mut self, host: &Host) {
        let percent = |share: Option<Percent>| share.map(|share| u64::from(share.get()));
        let levels = [
            (names::AGENT_METRIC_NETWORK, host.network_rate),
            (names::AGENT_METRIC_NETWORK_LIMIT, host.network_limit),
            (names::AGENT_METRIC_DISK, percent(host.disk_busy)),
            (names::AGENT_METRIC_IO_PRESSURE, percent(host.io.map(|io| io.some))),
            (names::AGENT_METRIC_MEMORY_PRESSURE, percent(host.memory.map(|memory| memory.full))),
            (names::AGENT_METRIC_CPU_PRESSURE, percent(host.cpu)),
        ];
        for (metric, level) in levels {
            match level {
                Some(level) => _ = self.level(metric, level),
                None => _ = self.0.remove(metric),
            }
        }
    }

    /// Takes a value into a distribution.
    pub(super) fn spread(&mut self, metric: &'static str, labels: &[Label<'_>], value: f64, example: Option<Example>) {
        let bounds = if metric == names::AGENT_METRIC_SURVEYS { SURVEYS } else { PULLS };
        if let Measured::Spread(spread) = self.series(metric, labels, || Measured::Spread(Spread::new(bounds))) {
            spread.add(value);
            spread.example = example.or(spread.example);
        }
    }

    /// All of them, as they stand.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let metric = |(name, series): (&&str, &BTreeMap<Labels, Measured>)| {
            let series = series.iter().map(|(labels, value)| Series { labels: labels.clone(), value: value.clone() });
            Some(Metric { entry: Entry::of(name)?, series: series.collect() })
        };
        self.0.iter().filter_map(metric).collect()
    }

    fn series(&mut self, metric: &'static str, labels: &[Label<'_>], new: impl FnOnce() -> Measured) -> &mut Measured {
        let all = self.0.entry(metric).or_default();
        let mut labels: Labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        if all.len() >= MAX_SERIES && !all.contains_key(&labels) {
            labels = vec![(names::METRIC_OVERFLOW, "true".to_owned())];
        }
        all.entry(labels).or_insert_with(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_without_bound_end_in_one_series() {
        let mut numbers = Numbers::default();
        for n in 0..MAX_SERIES + 50 {
            numbers.count(names::AGENT_METRIC_CALLS, &[(names::RPC_METHOD, &format!("Method/{n}"))], 2);
        }
        numbers.count(names::AGENT_METRIC_CALLS, &[(names::RPC_METHOD, "Method/0")], 1);
        let metric = numbers.metrics().remove(0);
        assert_eq!(metric.series.len(), MAX_SERIES + 1);
        let of = |name, value: &str| metric.series.iter().find(|s| s.labels == [(name, value.to_owned())]).map(|s| &s.value);
        assert_eq!(of(names::METRIC_OVERFLOW, "true"), Some(&Measured::Count(100)));
        assert_eq!(of(names::RPC_METHOD, "Method/0"), Some(&Measured::Count(3)));
    }

    #[test]
    fn a_total_that_is_counted_elsewhere_never_falls() {
        let mut numbers = Numbers::default();
        assert!(!numbers.total(names::AGENT_METRIC_DROPPED, &[], 0));
        assert!(numbers.total(names::AGENT_METRIC_DROPPED, &[], 5));
        assert!(!numbers.total(names::AGENT_METRIC_DROPPED, &[], 4));
        assert_eq!(numbers.metrics()[0].series[0].value, Measured::Count(5));
    }

    #[test]
    fn a_level_says_what_it_was() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.level(names::AGENT_METRIC_ACTIVE, 3), None);
        assert_eq!(numbers.level(names::AGENT_METRIC_ACTIVE, 1), Some(3));
    }
}
