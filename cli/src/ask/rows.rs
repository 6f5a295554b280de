//! Pulls, pods, workloads, nodes and images as rows of tables. Words about sizes and times are those of [`lifecycle::explain`].

use std::time::Duration;

use lifecycle::{explain, time::Timestamp};

use super::{
    answers::{At, Image, Node, Pod, PodItem, Pull, Workload},
    table::{Table, column, wide},
};

/// Pulls, each on a row.
pub(super) fn pulls(pulls: &[Pull]) -> Table {
    let mut table = Table::new(&[
        column("IMAGE"),
        column("NODE"),
        column("STATE"),
        column("PROGRESS"),
        column("SPEED"),
        column("ETA"),
        column("TIME"),
        wide("CACHED"),
        wide("LAYERS"),
        wide("POD"),
        wide("SUMMARY"),
        wide("ID"),
    ]);
    for pull in pulls {
        let pod = pull.pods.first().map(|pod| format!("{}/{}", pod.namespace, pod.pod_name)).unwrap_or_default();
        let more = pull.pods.len().saturating_sub(1);
        table.add(vec![
            pull.name().map(short).unwrap_or_default(),
            pull.node_name.clone(),
            pull.state().to_owned(),
            progress(pull),
            pull.bytes_per_sec.map(explain::speed).unwrap_or_default(),
            seconds(pull.eta_seconds),
            seconds(Some(pull.seconds())),
            explain::size(pull.cached_bytes),
            format!("{}/{}", pull.layers_done, pull.layer_count),
            if more > 0 { format!("{pod} (+{more})") } else { pod },
            pull.summary.clone(),
            pull.id.clone(),
        ]);
    }
    table
}

/// The containers of a pod.
pub(super) fn containers(pod: &Pod, now: Timestamp) -> Table {
    let mut table = Table::new(&[
        column("CONTAINER"),
        column("IMAGE"),
        column("STATE"),
        column("PROGRESS"),
        column("SPEED"),
        column("ETA"),
        column("WAITING"),
        wide("NODE"),
        wide("CACHED"),
        wide("LAYERS"),
        wide("SUMMARY"),
        wide("PULL"),
    ]);
    for container in &pod.containers {
        let pull = container.pull_id.as_ref().and_then(|id| pod.pulls.iter().find(|pull| pull.id == *id));
        let of = |say: &dyn Fn(&Pull) -> String| pull.map(say).unwrap_or_default();
        let until = container.ready_at.map_or(now, |at| at.0);
        let waiting = container.waiting_since.map(|since| explain::time(until.since(since.0)));
        table.add(vec![
            container.container.clone(),
            short(&container.image),
            container.state.clone(),
            of(&progress),
            of(&|pull| pull.bytes_per_sec.map(explain::speed).unwrap_or_default()),
            of(&|pull| seconds(pull.eta_seconds)),
            waiting.unwrap_or_default(),
            pod.node_name.clone().unwrap_or_default(),
            of(&|pull| explain::size(pull.cached_bytes)),
            of(&|pull| format!("{}/{}", pull.layers_done, pull.layer_count)),
            container.error.clone().unwrap_or_else(|| of(&|pull| pull.summary.clone())),
            container.pull_id.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// Pods in short.
pub(super) fn pods(pods: &[PodItem], with_namespace: bool, now: Timestamp) -> Table {
    let namespace = if with_namespace { column("NAMESPACE") } else { wide("NAMESPACE") };
    let columns = [namespace, column("POD"), column("NODE"), column("STATE"), column("ETA"), wide("SINCE"), column("SUMMARY")];
    let mut table = Table::new(&columns);
    for pod in pods {
        table.add(vec![
            pod.namespace.clone(),
            pod.pod_name.clone(),
            pod.node_name.clone().unwrap_or_default(),
            pod.state.clone(),
            seconds(pod.eta_seconds),
            ago(pod.waiting_since, now),
            pod.summary.clone(),
        ]);
    }
    table
}

/// Workloads and how many of their nodes have the images.
pub(super) fn workloads(workloads: &[Workload], with_namespace: bool) -> Table {
    let namespace = if with_namespace { column("NAMESPACE") } else { wide("NAMESPACE") };
    let counts = [column("DONE"), column("PULLING"), column("QUEUED"), column("FAILED"), column("ETA"), wide("SUMMARY")];
    let mut table = Table::new(&[&[namespace, column("NAME")][..], &counts].concat());
    for workload in workloads {
        table.add(vec![
            workload.namespace.clone(),
            format!("{}/{}", workload.kind.to_ascii_lowercase(), workload.name),
            workload.nodes_done.to_string(),
            workload.nodes_pulling.to_string(),
            workload.nodes_queued.to_string(),
            workload.nodes_failed.to_string(),
            seconds(workload.eta_seconds),
            workload.summary.clone(),
        ]);
    }
    table
}

/// Nodes and their agents.
pub(super) fn nodes(nodes: &[Node], now: Timestamp) -> Table {
    let columns =
        [column("NODE"), column("AGENT"), column("RUNTIME"), column("PULLS"), column("QUEUED"), column("HEARD"), wide("VERSION")];
    let mut table = Table::new(&columns);
    for node in nodes {
        let agent = match (node.connected, node.reachable) {
            (false, _) => "silent",
            (true, Some(false)) => "no containerd",
            (true, Some(true) | None) => "ok",
        };
        let runtime: Vec<_> = [&node.runtime, &node.version].into_iter().flatten().cloned().collect();
        table.add(vec![
            node.name.clone(),
            agent.to_owned(),
            runtime.join(" "),
            node.active_pulls.map(|count| count.to_string()).unwrap_or_default(),
            node.queued_images.len().to_string(),
            ago(Some(node.last_seen), now),
            node.agent_version.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// Images and what their pulls came to.
pub(super) fn images(images: &[Image], now: Timestamp) -> Table {
    let columns = [
        column("IMAGE"),
        column("SIZE"),
        column("NODES"),
        column("RUNNING"),
        column("READY"),
        column("FAILED"),
        column("USUALLY"),
        wide("FETCHED"),
        wide("LAST"),
        wide("DIGEST"),
    ];
    let mut table = Table::new(&columns);
    for image in images {
        table.add(vec![
            short(&image.image_ref),
            image.size_bytes.map(explain::size).unwrap_or_default(),
            image.node_count.to_string(),
            image.active.to_string(),
            image.ready.to_string(),
            image.failed.to_string(),
            seconds(image.durations.as_ref().map(|durations| durations.median_seconds)),
            explain::size(image.downloaded_bytes),
            ago(Some(image.last_started_at), now),
            image.image_digest.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// `62 % of 38 MiB`; what is only known to be at least so much says so.
pub(super) fn progress(pull: &Pull) -> String {
    let total =
        pull.total_bytes.map(|total| format!("{}{}", if pull.total_known { "" } else { "at least " }, explain::size(total)));
    match (pull.percent, total) {
        (Some(percent), Some(total)) => format!("{} % of {total}", percent.floor()),
        (None, Some(total)) => format!("{} of {total}", explain::size(pull.downloaded_bytes)),
        (_, None) => String::new(),
    }
}

/// A time in words; empty if it is not known.
pub(super) fn seconds(seconds: Option<f64>) -> String {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map(explain::time).unwrap_or_default()
}

fn ago(at: Option<At>, now: Timestamp) -> String {
    at.map(|at| explain::time(now.since(at.0))).unwrap_or_default()
}

/// A name without what people leave out. One whose tag is not known yet gets none.
pub(super) fn short(image: &str) -> String {
    let name = image.strip_prefix("docker.io/").unwrap_or(image);
    name.strip_prefix("library/").filter(|_| name.len() < image.len()).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_people_leave_out_and_gain_nothing() {
        for (full, told) in [
            ("docker.io/library/nginx:1", "nginx:1"),
            ("docker.io/team/app:1", "team/app:1"),
            ("ghcr.io/team/app", "ghcr.io/team/app"),
            ("library/nginx", "library/nginx"),
        ] {
            assert_eq!(short(full), told);
        }
    }
}
