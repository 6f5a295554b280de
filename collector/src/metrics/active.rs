//! The longest running pulls, each with series of its own, so that a dashboard shows them live. The one exception to the rule that no label
//! names a pull: they are few, as many as are configured, and their series end with them.

use std::{collections::BTreeSet, time::Duration};

use lifecycle::{board::status::PullStatus, names};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{UNKNOWN, pressing, register};
use crate::snapshot::Snapshot;

/// Pulls that get series, unless configured otherwise.
pub(crate) const ACTIVE_PULLS: usize = 20;
/// A pull gets them when it has been running for so long: those that are over sooner nobody watches.
pub(crate) const LONG: Duration = Duration::from_secs(15);

/// The series of the long running pulls of this picture.
pub(super) fn registry(snapshot: &Snapshot) -> Registry {
    let ratio = Family::<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let rate = Family::<Labels, Gauge>::default();
    let eta = Family::<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let stalled = Family::<Labels, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let mut told = BTreeSet::new();
    for row in snapshot.long_running.iter().filter_map(|id| snapshot.row(*id)) {
        let pull = row.status();
        let labels = Labels::of(pull);
        // Two pulls of one image on one node are one series: the older one's.
        if !told.insert((labels.node.clone(), labels.image.clone(), labels.phase)) {
            continue;
        }
        if let Some(percent) = pull.percent {
            ratio.get_or_create(&labels).set(percent / 100.0);
        }
        if let Some(bytes) = pull.bytes_per_sec {
            rate.get_or_create(&labels).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        if let Some(seconds) = pull.eta_seconds {
            eta.get_or_create(&labels).set(seconds);
        }
        if let Some(since) = pull.stalled_since {
            stalled.get_or_create(&labels).set(pressing::seconds(since));
        }
    }
    let mut registry = Registry::default();
    register(&mut registry, names::METRIC_ACTIVE_RATIO, ratio);
    register(&mut registry, names::METRIC_ACTIVE_RATE, rate);
    register(&mut registry, names::METRIC_ACTIVE_ETA, eta);
    register(&mut registry, names::METRIC_ACTIVE_STALLED, stalled);
    registry
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    node: String,
    image: String,
    phase: &'static str,
}

impl Labels {
    fn of(pull: &PullStatus) -> Self {
        let image = pull.image_ref.as_ref().map_or_else(|| UNKNOWN.to_owned(), ToString::to_string);
        Self { node: pull.node_name.clone(), image, phase: pull.phase.as_str() }
    }
}
