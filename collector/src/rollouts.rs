//! How far workloads are with their images, node by node: what `/api/v1/workloads` answers ([`crate::http`]) and what has series of its own
//! ([`crate::metrics`]). Of pods that wait for images, or did lately; who makes pods is not asked how many there shall be.

use std::collections::BTreeMap;

use lifecycle::{
    board::{ContainerStatus, PodStatus, Workload, status::PullStatus},
    explain::Rollout,
};

use crate::snapshot::{Row, Snapshot};

/// Every workload of this namespace, or of all, by namespace, kind and name.
pub(crate) fn all<'a>(snapshot: &'a Snapshot, namespace: Option<&str>) -> Vec<((&'a str, &'a Workload), Rollout)> {
    let mut grouped: BTreeMap<(&str, &Workload), Vec<&PodStatus>> = BTreeMap::new();
    for pod in snapshot.pods().filter(|pod| namespace.is_none_or(|wanted| *pod.namespace == *wanted)) {
        if let Some(workload) = &pod.workload {
            grouped.entry((&pod.namespace, workload)).or_default().push(pod);
        }
    }
    grouped.into_iter().map(|(key, pods)| (key, rollout(&pods, snapshot))).collect()
}

/// The pull that a container names.
pub(crate) fn pull_of<'a>(container: &ContainerStatus, snapshot: &'a Snapshot) -> Option<&'a PullStatus> {
    row_of(container, snapshot).map(|row| row.status())
}

fn row_of<'a>(container: &ContainerStatus, snapshot: &'a Snapshot) -> Option<&'a Row> {
    container.pull_id.and_then(|id| snapshot.row(id)).map(AsRef::as_ref)
}

/// How far each node is: as its slowest pod.
fn rollout(pods: &[&PodStatus], snapshot: &Snapshot) -> Rollout {
    let mut nodes: BTreeMap<&str, (u8, Option<f64>)> = BTreeMap::new();
    for pod in pods {
        let node = pod.node_name.as_deref().unwrap_or_default();
        for container in &pod.containers {
            let eta = row_of(container, snapshot).and_then(|row| row.view.eta()).map(|eta| eta.as_secs_f64());
            let rank = match container.state {
                "ready" => 0,
                "pulling" => 1,
                "failed" => 3,
                _ => 2,
            };
            let slowest = nodes.entry(node).or_insert((0, None));
            *slowest = if rank > slowest.0 || rank == slowest.0 && eta > slowest.1 { (rank, eta) } else { *slowest };
        }
    }
    let count = |wanted: u8| nodes.values().filter(|(rank, _)| *rank == wanted).count();
    let open: Vec<_> = nodes.values().filter(|(rank, _)| *rank > 0).map(|(_, eta)| *eta).collect();
    let eta_seconds = open.iter().copied().collect::<Option<Vec<_>>>().and_then(|etas| etas.into_iter().max_by(f64::total_cmp));
    Rollout { done: count(0), pulling: count(1), queued: count(2), failed: count(3), eta_seconds }
}
