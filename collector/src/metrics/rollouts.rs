//! The workloads that lack most images, each with series of its own, so that a dashboard shows rollouts live. An exception like that of
//! [`super::active`]: they are as many as are configured, and all others are one. What a rollout is, is the business of [`crate::rollouts`].

use std::{cmp::Reverse, collections::BTreeMap};

use lifecycle::{explain::Rollout, names};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{OTHER, register};
use crate::{rollouts, snapshot::Snapshot};

/// Workloads that get series, unless configured otherwise.
pub(crate) const WORKLOADS: usize = 20;

/// The series of at most so many workloads of this picture; none at all if `most` is 0.
pub(super) fn registry(snapshot: &Snapshot, most: usize) -> Registry {
    let nodes = Family::<StateLabels, Gauge>::default();
    let mut rows: Vec<_> = if most == 0 { Vec::new() } else { rollouts::all(snapshot, None) };
    rows.sort_by_key(|(key, rollout)| (Reverse(rollout.open()), Reverse(rollout.done), *key));
    let mut told: BTreeMap<Labels, Rollout> = BTreeMap::new();
    for (at, ((namespace, workload), rollout)) in rows.into_iter().enumerate() {
        let named =
            Labels { namespace: namespace.to_owned(), kind: workload.kind.to_string(), workload: workload.name.to_string() };
        let labels = if at < most { named } else { Labels::of_others() };
        let sum = told.entry(labels).or_default();
        *sum = Rollout {
            done: sum.done + rollout.done,
            pulling: sum.pulling + rollout.pulling,
            queued: sum.queued + rollout.queued,
            failed: sum.failed + rollout.failed,
            eta_seconds: None,
        };
    }
    for (labels, rollout) in told {
        for (state, count) in
            [("done", rollout.done), ("pulling", rollout.pulling), ("queued", rollout.queued), ("failed", rollout.failed)]
        {
            let Labels { namespace, kind, workload } = labels.clone();
            nodes.get_or_create(&StateLabels { namespace, kind, workload, state }).set(super::number(count));
        }
    }
    let mut registry = Registry::default();
    register(&mut registry, names::METRIC_WORKLOAD_NODES, nodes);
    registry
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    namespace: String,
    kind: String,
    workload: String,
}

impl Labels {
    fn of_others() -> Self {
        Self { namespace: OTHER.to_owned(), kind: OTHER.to_owned(), workload: OTHER.to_owned() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    namespace: String,
    kind: String,
    workload: String,
    state: &'static str,
}

#[cfg(test)]
mod tests {
    use lifecycle::board::{PodKey, PodStatus};
    use prometheus_client::encoding::text::encode_registry;

    use super::*;
    use crate::metrics::sample;

    fn pod(workload: &str, node: &str, state: &'static str) -> (PodKey, Option<PodStatus>) {
        let status =
            PodStatus { node_name: Some(node.to_owned()), ..sample::pod(&format!("{workload}-{node}"), workload, state) };
        let key = PodKey { namespace: status.namespace.clone(), name: status.pod_name.clone() };
        (key, Some(status))
    }

    fn told(snapshot: &Snapshot, most: usize) -> Vec<String> {
        let mut text = String::new();
        encode_registry(&mut text, &registry(snapshot, most)).expect("text takes everything");
        let mut lines: Vec<_> = text.lines().filter(|line| line.starts_with(names::METRIC_WORKLOAD_NODES)).collect();
        lines.retain(|line| !line.ends_with(" 0"));
        lines.sort_unstable();
        lines.into_iter().map(|line| line.replace(names::METRIC_WORKLOAD_NODES, "")).collect()
    }

    #[test]
    fn those_that_lack_most_have_series_and_the_rest_is_one() {
        let mut snapshot = Snapshot::new(1);
        let pods = [
            pod("web", "a", "pulling"),
            pod("web", "b", "failed"),
            pod("web", "c", "ready"),
            pod("api", "a", "queued"),
            pod("old", "a", "ready"),
        ];
        for (key, status) in pods {
            snapshot.put_pod(key, status);
        }
        let web = |state: &str| format!("{{namespace=\"shop\",kind=\"Deployment\",workload=\"web\",state=\"{state}\"}} 1");
        let other = |state: &str| format!("{{namespace=\"other\",kind=\"other\",workload=\"other\",state=\"{state}\"}} 1");
        assert_eq!(told(&snapshot, 1), [other("done"), other("queued"), web("done"), web("failed"), web("pulling")]);
        assert_eq!(told(&snapshot, 20).len(), 5);
        assert_eq!(told(&snapshot, 0), [""; 0]);
    }
}
