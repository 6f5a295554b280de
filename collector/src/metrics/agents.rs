//! The agents that are known, by whether they see their node.

use lifecycle::{board::status::NodeStatus, names};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::register;
use crate::snapshot::Snapshot;

const STATES: [&str; 3] = ["watching", "blind", "silent"];

/// How many agents of this picture are in each state.
pub(super) fn registry(snapshot: &Snapshot) -> Registry {
    let agents = Family::<StateLabel, Gauge>::default();
    for state in STATES {
        let count = snapshot.nodes.iter().filter(|node| state_of(node) == state).count();
        agents.get_or_create(&StateLabel { state }).set(super::number(count));
    }
    let mut registry = Registry::default();
    register(&mut registry, names::METRIC_AGENTS_IN_STATE, agents);
    registry
}

const fn state_of(node: &NodeStatus) -> &'static str {
    match (node.connected, node.reachable) {
        (false, _) => "silent",
        (true, Some(false)) => "blind",
        (true, Some(true) | None) => "watching",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}
