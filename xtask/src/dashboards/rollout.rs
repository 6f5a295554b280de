//! Rollouts: on how many nodes the images of a workload are, and when the last one will have them. The workloads that lack most have series
//! of their own, so what is not shown here is further than what is.

use lifecycle::names;

use super::board::{Board, Row, Variable};
use super::panel::Panel;
use super::query::{Gauge, Query, Series, gauge, histogram};
use super::table::Column;
use super::{shared, traceql};

const OF: [&str; 3] = ["namespace", "kind", "workload"];
const NO_POD: &str = "No pod waits for an image, or did lately";

/// The dashboard.
pub(super) fn board() -> Board {
    let label = |name: &'static str, label: &'static str| Variable::Label {
        name,
        label,
        of: gauge(names::METRIC_WORKLOAD_NODES).labelled(name),
        many: true,
    };
    Board {
        uid: shared::ROLLOUT,
        title: "Pulltrace / Rollouts",
        description: "Which workloads wait for images, on how many nodes they are there, and when the last node will have them.",
        from: "now-1h",
        variables: vec![
            Variable::PROMETHEUS,
            Variable::TEMPO,
            Variable::LOKI,
            shared::cluster(),
            label("namespace", "Namespace"),
            label("workload", "Workload"),
            shared::UI,
        ],
        annotations: vec![shared::outcomes()],
        rows: vec![now(), workloads(), course(), waits()],
    }
}

fn of(name: &str) -> Series<Gauge> {
    gauge(name).matching("namespace", "$namespace").matching("workload", "$workload")
}

fn nodes(state: &str) -> Query {
    of(names::METRIC_WORKLOAD_NODES).with("state", state).now()
}

fn now() -> Row {
    let stat = |title, description, state| Panel::stat(title, description, "short", nodes(state).sum()).empty(NO_POD).size(4, 4);
    let last = Panel::stat(
        "When is the last node ready?",
        "Estimated time until the last image of these workloads is there.",
        "s",
        of(names::METRIC_WORKLOAD_ETA).now().max(),
    )
    .empty("Nothing is pulled for them, or there is no estimate")
    .size(4, 4);
    let longest = Panel::stat(
        "How long has the first waited?",
        "Since the kubelet first asked for an image of a pod that still lacks it.",
        "s",
        of(names::METRIC_WORKLOAD_SINCE).ago().max(),
    )
    .empty("No pod waits for an image")
    .steps(&[(120.0, "yellow"), (600.0, "red")])
    .size(4, 4);
    Row {
        title: "Now",
        panels: vec![
            stat("How many nodes are done?", "Nodes on which all pods of these workloads have their images.", "done"),
            stat("How many pull?", "Nodes on which an image of these workloads is pulled.", "pulling"),
            stat(
                "How many wait for their turn?",
                "Nodes on which an image waits behind others, or was not asked for yet.",
                "queued",
            )
            .steps(&[(10.0, "yellow")]),
            stat("How many fail?", "Nodes on which an image was not to be had; the kubelet tries again.", "failed")
                .steps(&[(1.0, "red")]),
            last,
            longest,
        ],
    }
}

fn workloads() -> Row {
    let by = |query: Query| query.sum_by(&OF);
    let progress = by(nodes("done")).per(by(of(names::METRIC_WORKLOAD_NODES).now()));
    let columns = vec![
        Column::label("namespace", "Namespace").width(140),
        Column::label("kind", "Kind").width(120),
        Column::label("workload", "Workload").leads("See it live", shared::search_in_ui()),
        Column::value("A", "Nodes done", "percentunit").bar().width(260),
        Column::value("B", "Pulling", "short").width(90),
        Column::value("C", "Waiting", "short").width(90),
        Column::value("D", "Failing", "short").width(90),
        Column::value("E", "Last ready in", "s").width(120),
        Column::value("F", "Waits for", "s").width(120),
    ];
    let table = Panel::table(
        "How far is each workload?",
        "The workloads that lack most, as many as the collector gives series of their own; the others are one row, `other`.",
        columns,
    )
    .and(progress, "")
    .and(by(nodes("pulling")), "")
    .and(by(nodes("queued")), "")
    .and(by(nodes("failed")), "")
    .and(of(names::METRIC_WORKLOAD_ETA).now().max_by(&OF), "")
    .and(of(names::METRIC_WORKLOAD_SINCE).ago().max_by(&OF), "")
    .sorted("Waits for")
    .size(24, 9)
    .empty(NO_POD);
    Row { title: "Workloads", panels: vec![table] }
}

fn course() -> Row {
    let states = Panel::stacked("How does the rollout go?", "Nodes by how far the images of these workloads are there.", "short")
        .and(of(names::METRIC_WORKLOAD_NODES).now().sum_by(&["state"]), "{{state}}")
        .empty(NO_POD);
    let eta = Panel::lines(
        "Does the end come closer?",
        "Estimated time until the last node of each workload is ready. A line that does not fall is a rollout that will miss its deadline.",
        "s",
    )
    .and(of(names::METRIC_WORKLOAD_ETA).now().max_by(&OF), "{{namespace}}/{{workload}}")
    .empty("There is no estimate");
    Row { title: "Its course", panels: vec![states, eta] }
}

fn waits() -> Row {
    let wait = || histogram(names::METRIC_POD_WAIT);
    let queue = || histogram(names::METRIC_QUEUE);
    let both = Panel::lines(
        "Do pods wait for the pull, or for their turn?",
        "The whole wait of a container for its image, and the part of it in which its kubelet had not begun. Of all workloads.",
        "s",
    )
    .and_traces(wait().quantile(0.95, &[]), "p95 whole wait")
    .and_traces(queue().quantile(0.95, &[]), "p95 for its turn")
    .empty("No container got an image in this time, or the collector may not read pods.")
    .size(10, 9);
    let columns = vec![
        Column::label(names::NAMESPACE_NAME, "Namespace").width(130),
        Column::label(names::WORKLOAD_NAME, "Workload").width(150),
        Column::label(names::POD_NAME, "Pod"),
        Column::label("duration", "Waited").unit("ns").width(90),
        Column::trace().width(150).leads("This pull", shared::link_to(shared::PULL, "traceID")),
    ];
    let pods =
        Panel::table("Which pods waited longest?", "Waits of containers for images that are over, as Tempo has them.", columns)
            .found(
                traceql::spans(names::SPAN_WAIT_IMAGE)
                    .only(names::NAMESPACE_NAME, "=~ \"${namespace:pipe}\"")
                    .only(names::WORKLOAD_NAME, "=~ \"${workload:pipe}\"")
                    .showing(&[names::NAMESPACE_NAME, names::WORKLOAD_NAME, names::POD_NAME]),
            )
            .sorted("Waited")
            .size(14, 9)
            .empty("No pod waited for an image in this time");
    Row { title: "Who waited?", panels: vec![both, pods] }
}
