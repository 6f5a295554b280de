//! What the ends of pulls, waits and reports tell beside their number: how long so much takes, what was fetched in vain, whose word it was, and
//! how old news is.

use std::time::Duration;

use lifecycle::{
    names,
    pull::{Outcome, Pull},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::{BUCKETS, register};

/// What a pull fetched, by the size below which it has this name, bytes.
const SIZES: [(&str, u64); 3] = [("small", 100_000_000), ("medium", 1_000_000_000), ("large", 10_000_000_000)];
/// All that is more.
const HUGE: &str = "huge";

/// Who told of the pull that a container waited for.
const TELLERS: [&str; 3] = ["agent", "kubelet", "nobody"];

/// The numbers; all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    by_size: Family<SizeLabels, Histogram, fn() -> Histogram>,
    repulls: Family<RegistryLabel, Counter>,
    delay: Histogram,
    waits: Family<TellerLabel, Counter>,
}

impl Default for Ends {
    fn default() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let waits = Family::<TellerLabel, Counter>::default();
        // Series that are there from the beginning can be seen to grow from their first count on.
        TELLERS.into_iter().for_each(|told_by| drop(waits.get_or_create(&TellerLabel { told_by })));
        Self { by_size: Family::new_with_constructor(histogram), repulls: Family::default(), delay: histogram(), waits }
    }
}

impl Ends {
    /// Counts a pull that ended; `again` says that its node had the image before.
    pub(super) fn count(&self, pull: &Pull, registry: &str, again: bool) {
        let fetched = pull.fetched_bytes();
        let is_ready = pull.ending.as_ref().is_some_and(|ending| ending.outcome == Outcome::Ready);
        if is_ready && fetched > 0 {
            let labels = SizeLabels { size: size(fetched), registry: registry.to_owned() };
            self.by_size.get_or_create(&labels).observe(pull.duration().as_secs_f64());
        }
        // As above: from the first pull of a registry on.
        let repulls = self.repulls.get_or_create(&RegistryLabel { registry: registry.to_owned() });
        repulls.inc_by(u64::from(is_ready && fetched > 0 && again));
    }

    /// Notes how long after its observation a report was here.
    pub(crate) fn heard_after(&self, delay: Duration) {
        self.delay.observe(delay.as_secs_f64());
    }

    /// Counts a container's wait that is over, and whether an agent told of its pull, the kubelet alone, or nobody.
    pub(crate) fn waited(&self, teller: Option<bool>) {
        let [agent, kubelet, nobody] = TELLERS;
        let told_by = match teller {
            Some(true) => agent,
            Some(false) => kubelet,
            None => nobody,
        };
        self.waits.get_or_create(&TellerLabel { told_by }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        register(registry, names::METRIC_SIZE_DURATION, self.by_size.clone());
        register(registry, names::METRIC_REPULLS, self.repulls.clone());
        register(registry, names::METRIC_REPORT_DELAY, self.delay.clone());
        register(registry, names::METRIC_POD_WAITS, self.waits.clone());
    }
}

fn size(bytes: u64) -> &'static str {
    SIZES.into_iter().find(|(_, below)| bytes < *below).map_or(HUGE, |(name, _)| name)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SizeLabels {
    size: &'static str,
    registry: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryLabel {
    registry: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TellerLabel {
    told_by: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classes_of_sizes_begin_where_the_one_below_ends() {
        let classes = [0, 99_999_999, 100_000_000, 999_999_999, 1_000_000_000, 9_999_999_999, 10_000_000_000].map(size);
        assert_eq!(classes, ["small", "small", "medium", "medium", "large", "large", "huge"]);
    }
}
