//! Pods as the tests of several metrics need them: one container that waits, of one workload.

use lifecycle::{
    board::{ContainerKind, ContainerStatus, PodStatus, Workload},
    time::Timestamp,
};

/// A pod of the Deployment `workload` in the namespace `shop`, whose one container is in this state.
pub(super) fn pod(name: &str, workload: &str, state: &'static str) -> PodStatus {
    let container = ContainerStatus {
        container: "app".into(),
        kind: ContainerKind::Main,
        image: "web:1".into(),
        state,
        reason: None,
        waiting_since: None,
        ready_at: None,
        attempt: None,
        error: None,
        error_class: None,
        error_hint: None,
        next_retry_at: None,
        pull_id: None,
        queue: None,
    };
    PodStatus {
        namespace: "shop".into(),
        pod_name: name.into(),
        uid: name.into(),
        node_name: None,
        workload: Some(Workload { kind: "Deployment".into(), name: workload.into() }),
        images_ready: state == "ready",
        stale: false,
        containers: vec![container],
    }
}

/// The same, waiting since then.
pub(super) fn waiting(pod: PodStatus, since: Timestamp) -> PodStatus {
    let containers = pod.containers.into_iter().map(|c| ContainerStatus { waiting_since: Some(since), ..c }).collect();
    PodStatus { containers, ..pod }
}
