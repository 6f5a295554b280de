//! The nodes and workloads that it is worst for, each with series of its own, so that whoever is paged learns where: as many of each as there are
//! series of [`super::active`] pulls. Like these they end with what they speak of; all other metrics name no node and no workload.

use std::collections::BTreeMap;

use lifecycle::{board::status::NodeStatus, names, time::Timestamp};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::register;
use crate::snapshot::Snapshot;

type Number = Gauge<f64, std::sync::atomic::AtomicU64>;

/// Adds the series of the worst nodes and workloads of this picture, at most `most` of each metric.
pub(super) fn register_all(registry: &mut Registry, snapshot: &Snapshot, most: usize) {
    let connected = || snapshot.nodes.iter().filter(|node| node.connected);
    let of_nodes = |value: fn(&NodeStatus) -> Option<f64>| highest(connected(), most, value);
    register(registry, names::METRIC_NODE_ACTIVE, of_nodes(|node| node.active_pulls.map(|pulls| pulls as f64)));
    register(registry, names::METRIC_NODE_QUEUED, of_nodes(|node| Some(node.queued_images.len() as f64)));
    register(registry, names::METRIC_NODE_DISK, of_nodes(|node| ratio(node.host?.disk_busy)));
    register(registry, names::METRIC_NODE_IO, of_nodes(|node| ratio(node.host?.io_pressure.map(|pressure| pressure.some))));
    register(registry, names::METRIC_NODE_DELAY, of_nodes(|node| Some(node.delay.as_secs_f64())));
    // Who was heard of first is silent for longest.
    let mut silent: Vec<_> = snapshot.nodes.iter().filter(|node| !node.connected && !node.unmissed).collect();
    silent.sort_unstable_by_key(|node| node.last_seen);
    let silent = highest(silent.into_iter().take(most), most, |node| Some(seconds(node.last_seen)));
    register(registry, names::METRIC_AGENT_SILENT, silent);
    let (since, eta) = (Family::<Workload, Number>::default(), Family::<Workload, Number>::default());
    for (workload, waiting) in waiting(snapshot, most) {
        since.get_or_create(&workload).set(seconds(waiting.since));
        if let Some(seconds) = waiting.eta {
            eta.get_or_create(&workload).set(seconds);
        }
    }
    register(registry, names::METRIC_WORKLOAD_SINCE, since);
    register(registry, names::METRIC_WORKLOAD_ETA, eta);
}

/// The nodes where a value is highest, and not nothing.
fn highest<'a>(
    nodes: impl Iterator<Item = &'a NodeStatus>,
    most: usize,
    value: impl Fn(&NodeStatus) -> Option<f64>,
) -> Family<Node, Number> {
    let mut values: Vec<_> = nodes.filter_map(|node| Some((value(node).filter(|value| *value > 0.0)?, &node.name))).collect();
    values.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));
    let family = Family::<Node, Number>::default();
    for (value, node) in values.into_iter().take(most) {
        family.get_or_create(&Node { node: node.clone() }).set(value);
    }
    family
}

/// How the pods of a workload wait.
struct Waiting {
    since: Timestamp,
    eta: Option<f64>,
}

/// The workloads whose pods wait for longest.
fn waiting(snapshot: &Snapshot, most: usize) -> Vec<(Workload, Waiting)> {
    let mut found: BTreeMap<Workload, Waiting> = BTreeMap::new();
    for pod in snapshot.pods().filter(|pod| !pod.images_ready) {
        let Some(owner) = &pod.workload else { continue };
        for container in pod.containers.iter().filter(|container| container.state != "ready") {
            let Some(since) = container.waiting_since else { continue };
            let pull = container.pull_id.and_then(|id| snapshot.row(id));
            let eta = pull.and_then(|row| row.view.eta()).map(|eta| eta.as_secs_f64());
            let workload =
                Workload { namespace: pod.namespace.to_string(), kind: owner.kind.to_string(), workload: owner.name.to_string() };
            let waiting = found.entry(workload).or_insert(Waiting { since, eta });
            waiting.since = waiting.since.min(since);
            waiting.eta = waiting.eta.into_iter().chain(eta).reduce(f64::max);
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(_, waiting)| waiting.since);
    found.truncate(most);
    found
}

fn ratio(percent: Option<u8>) -> Option<f64> {
    percent.map(|percent| f64::from(percent) / 100.0)
}

/// Seconds since the Unix epoch, as Prometheus counts them.
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.since(Timestamp::EPOCH).as_secs_f64()
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Node {
    node: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct Workload {
    namespace: String,
    kind: String,
    workload: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lifecycle::board::{HostStatus, PodKey, PodStatus, PressureStatus};
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::metrics::sample;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn node(name: &str, connected: bool, busy: u8) -> NodeStatus {
        let pressure = Some(PressureStatus { some: busy / 2, full: 0 });
        let host = HostStatus {
            network_bytes_per_sec: None,
            network_limit_bytes_per_sec: None,
            disk_busy: Some(busy),
            io_pressure: pressure,
            memory_pressure: None,
            cpu_pressure: None,
        };
        NodeStatus {
            name: name.to_owned(),
            cluster: None,
            runtime: None,
            version: None,
            agent_version: None,
            reachable: Some(true),
            last_seen: at(u64::from(busy)),
            connected,
            active_pulls: Some(u64::from(busy)),
            queued_images: Vec::new(),
            dropped_progress: None,
            dropped_outcomes: None,
            clock_offset_seconds: None,
            host: Some(host),
            unmissed: false,
            delay: Duration::from_secs(u64::from(busy) / 3),
        }
    }

    fn pod(name: &str, workload: &str, since: u64) -> PodStatus {
        sample::waiting(sample::pod(name, workload, "pulling"), at(since))
    }

    fn told(snapshot: &Snapshot, most: usize) -> Vec<String> {
        let (mut registry, mut text) = (Registry::default(), String::new());
        register_all(&mut registry, snapshot, most);
        encode(&mut text, &registry).unwrap();
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    #[test]
    fn only_the_worst_nodes_have_series_and_the_silent_ones_that_were_not_removed() {
        let removed = NodeStatus { unmissed: true, ..node("gone", false, 1) };
        let nodes = vec![node("idle", true, 0), node("a", true, 40), node("b", true, 90), node("away", false, 7), removed];
        let mut snapshot = Snapshot::default();
        snapshot.nodes = nodes.into();
        assert_eq!(
            told(&snapshot, 1),
            [
                "pulltrace_node_pulls_active{node=\"b\"} 90.0",
                "pulltrace_node_disk_busy_ratio{node=\"b\"} 0.9",
                "pulltrace_node_io_pressure_ratio{node=\"b\"} 0.45",
                "pulltrace_node_report_delay_seconds{node=\"b\"} 30.0",
                "pulltrace_agent_last_seen_timestamp_seconds{node=\"away\"} 7.0",
            ]
        );
        assert_eq!(told(&snapshot, 9).iter().filter(|line| line.contains("idle")).count(), 0);
        assert_eq!(told(&snapshot, 0), [""; 0], "they can be switched off");
    }

    #[test]
    fn a_workload_waits_for_as_long_as_the_first_of_its_pods() {
        let mut snapshot = Snapshot::default();
        for (name, workload, since) in [("w-1", "web", 50), ("w-2", "web", 30), ("j-1", "job", 60)] {
            let key = PodKey { namespace: "shop".into(), name: name.into() };
            snapshot.put_pod(key, Some(pod(name, workload, since)));
        }
        let labels = "{namespace=\"shop\",kind=\"Deployment\",workload=\"web\"}";
        assert_eq!(told(&snapshot, 1), [format!("pulltrace_workload_image_wait_timestamp_seconds{labels} 30.0")]);
        assert_eq!(told(&snapshot, 2).len(), 2);
    }
}
