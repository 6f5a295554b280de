//! The fleet: what is pulled now, how long pods wait for it, what is slow and what fails.

use lifecycle::names;

use super::board::{Board, Row, Variable};
use super::panel::Panel;
use super::query::{counter, gauge, histogram};
use super::table::Column;
use super::{shared, traceql};

const NO_WAIT: &str = "No container got an image in this time, or the collector may not read pods";

/// The dashboard.
pub(super) fn board() -> Board {
    Board {
        uid: shared::FLEET,
        title: "Pulltrace / Fleet",
        description: "Image pulls of all nodes: what runs now, how long pods wait, what is slow, what fails, and what it costs.",
        from: "now-1h",
        variables: vec![Variable::PROMETHEUS, Variable::TEMPO, Variable::LOKI, shared::cluster(), shared::UI],
        annotations: vec![shared::restarts(), shared::outcomes()],
        rows: vec![now(), live(), held_up(), waiting(), duration(), failing(), bytes(), found()],
    }
}

fn now() -> Row {
    let active = Panel::stat(
        "How many pulls run now?",
        "Pulls that some node's runtime works on at this moment, or that wait in a kubelet's queue.",
        "short",
        gauge(names::METRIC_ACTIVE).now().sum(),
    );
    let queued = Panel::stat(
        "How many wait in a kubelet's queue?",
        "Pulls that a kubelet has asked for and that its runtime has not begun. By default a kubelet pulls one image at a time.",
        "short",
        gauge(names::METRIC_IN_PHASE).with("phase", "queued").now().sum(),
    );
    let stalled = Panel::stat(
        "How many are stalled?",
        "Pulls of which no byte has arrived for too long although nothing on the node holds them up.",
        "short",
        gauge(names::METRIC_STALLED).now().sum(),
    );
    let pods = Panel::stat(
        "How many pods wait for an image?",
        "Pods that lack an image for which their kubelet has asked. Needs a collector that may read pods.",
        "short",
        gauge(names::METRIC_PODS_WAITING).now().sum(),
    );
    let failed = Panel::stat(
        "How many pulls failed?",
        "Pulls that failed in the time shown. What they failed of is told below.",
        "short",
        counter(names::METRIC_ERRORS).increase("$__range").sum().or_zero(),
    );
    let agents = Panel::stat(
        "How many nodes are watched?",
        "Agents heard of within the last 90 seconds.",
        "short",
        gauge(names::METRIC_AGENTS).now().sum(),
    );
    Row {
        title: "Now",
        panels: vec![
            active.empty(shared::NO_COLLECTOR).steps(&[]),
            queued.empty(shared::NO_COLLECTOR).steps(&[(5.0, "yellow"), (50.0, "orange")]),
            stalled.empty(shared::NO_COLLECTOR).steps(&[(1.0, "red")]),
            pods.empty(shared::NO_COLLECTOR).steps(&[(10.0, "yellow"), (100.0, "orange")]),
            failed.empty(shared::NO_COLLECTOR).steps(&[(1.0, "orange"), (20.0, "red")]),
            agents.empty(shared::NO_COLLECTOR),
        ],
    }
}

fn live() -> Row {
    Row { title: "Pulling now", panels: vec![shared::pulling_now(&[])] }
}

fn held_up() -> Row {
    let by = Panel::stacked(
        "What holds pulls up?",
        "Pulls that are clearly held up: in the kubelet's queue, for a download slot or a layer of another pull in containerd, by bytes that \
         do not come, or by a node that is short of network, disk or memory.",
        "short",
    )
    .and(gauge(names::METRIC_HELD_UP).now().sum_by(&["by"]), "{{by}}")
    .empty(shared::NO_COLLECTOR)
    .size(8, 8);
    let phases = Panel::stacked("In which phase are they?", "Pulls that run, by phase.", "short")
        .and(gauge(names::METRIC_IN_PHASE).now().sum_by(&["phase"]), "{{phase}}")
        .empty(shared::NO_COLLECTOR)
        .size(8, 8);
    let worst = |name| gauge(name).now().max_by(&["node"]);
    let columns = vec![
        Column::label("node", "Node").leads("The node", shared::link_to(shared::NODE, "node")),
        Column::value("A", "Pulls", "short").width(70),
        Column::value("B", "Queued", "short").width(80),
        Column::value("C", "Disk busy", "percentunit").width(100),
    ];
    let nodes = Panel::table(
        "Which nodes have it worst?",
        "The nodes with the most pulls, the longest queues, or the busiest disks.",
        columns,
    )
    .and(worst(names::METRIC_NODE_ACTIVE), "")
    .and(worst(names::METRIC_NODE_QUEUED), "")
    .and(worst(names::METRIC_NODE_DISK), "")
    .sorted("Pulls")
    .size(8, 8)
    .empty("No node pulls anything.");
    Row { title: "What are they waiting for?", panels: vec![by, phases, nodes, stuck()] }
}

fn stuck() -> Panel {
    let columns = vec![
        Column::label("image", "Image").leads("See it live", shared::search_in_ui()),
        Column::label("node", "Node").width(220).leads("The node", shared::link_to(shared::NODE, "node")),
        Column::label("phase", "Phase").width(140),
        Column::value("A", "No byte for", "s").width(140),
    ];
    let silence = gauge(names::METRIC_ACTIVE_STALLED).ago().max_by(&["node", "image", "phase"]);
    Panel::table("Which pulls are stuck?", "Long running pulls of which no byte comes, by the node's clock.", columns)
        .and(silence, "")
        .sorted("No byte for")
        .size(24, 6)
        .empty("Of no long running pull bytes stay away.")
}

fn waiting() -> Row {
    let waits = || histogram(names::METRIC_POD_WAIT);
    let wait = Panel::lines(
        "How long do pods wait for images?",
        "From a kubelet's first asking for a container's image until it was there: half of them less than p50, one in twenty more than p95. \
         The dots are single waits and lead to their traces.",
        "s",
    )
    .and_traces(waits().quantile(0.5, &[]), "p50")
    .and_traces(waits().quantile(0.95, &[]), "p95")
    .and_traces(waits().quantile(0.99, &[]), "p99")
    .empty(NO_WAIT);
    let turn = || histogram(names::METRIC_QUEUE);
    let queue = Panel::lines(
        "How long do images wait for their turn?",
        "From a kubelet's asking for an image until its runtime began with it. By default a kubelet pulls one image at a time.",
        "s",
    )
    .and_traces(turn().quantile(0.5, &[]), "p50")
    .and_traces(turn().quantile(0.95, &[]), "p95")
    .empty(NO_WAIT);
    let lost = Panel::stat(
        "Time that pods have waited",
        "All waits for images in the time shown, added up.",
        "s",
        waits().sum_increase("$__range").sum(),
    )
    .empty(NO_WAIT);
    Row { title: "How long do pods wait?", panels: vec![wait.size(10, 8), queue.size(10, 8), lost.size(4, 8)] }
}

fn duration() -> Row {
    let took = || histogram(names::METRIC_DURATION).with("outcome", "ready");
    let pulls = Panel::lines(
        "How long do pulls take?",
        "Pulls that ended ready: half of them took less than p50. The dots are single pulls and lead to their traces.",
        "s",
    )
    .and_traces(took().quantile(0.5, &[]), "p50")
    .and_traces(took().quantile(0.95, &[]), "p95")
    .and_traces(took().quantile(0.99, &[]), "p99");
    let spread = Panel::heatmap(
        "How do pull times spread?",
        "How many pulls ended in each range of durations. A second band above the first one is a group of slow nodes or large images.",
        "s",
        histogram(names::METRIC_DURATION).buckets(),
    );
    let phases = Panel::stacked(
        "Which phase takes the time?",
        "Seconds that ended pulls spent in each phase, for each second that passed: 3 means that three pulls were in that phase on average.",
        "none",
    )
    .and(histogram(names::METRIC_PHASE_DURATION).sum_rate().sum_by(&["phase"]), "{{phase}}");
    let within = Panel::stacked(
        "Do pulls get in each other's way?",
        "Seconds that ended pulls waited within containerd, for each second that passed: for a download slot, for a layer that another pull \
         brings, or for bytes that did not come.",
        "none",
    )
    .and(counter(names::METRIC_PULL_WAIT).rate().sum_by(&["kind"]), "{{kind}}");
    let panels = [pulls, spread, phases, within].map(|panel| panel.empty(shared::NO_PULL_ENDED));
    Row { title: "Where does the time go?", panels: panels.into() }
}

fn failing() -> Row {
    let outcomes = Panel::bars("How do pulls end?", "Pulls that ended, by outcome.", "short")
        .and(counter(names::METRIC_PULLS).increase("$__rate_interval").sum_by(&["outcome"]), "{{outcome}}")
        .empty(shared::NO_PULL_ENDED);
    let classes = Panel::bars(
        "Why do pulls fail?",
        "Failed pulls by error class. Each class has a hint in the web UI, and the original text stays beside it.",
        "short",
    )
    .and(counter(names::METRIC_ERRORS).increase("$__rate_interval").sum_by(&["class"]), "{{class}}")
    .empty("No pull failed.");
    Row { title: "What fails?", panels: vec![outcomes, classes] }
}

fn bytes() -> Row {
    let fetched = || counter(names::METRIC_BYTES).with("source", "fetched");
    let rate = Panel::stacked(
        "How much do we fetch, and from where?",
        "Compressed bytes that pulls fetched, by registry. They are counted when a pull ends.",
        "Bps",
    )
    .and(fetched().rate().sum_by(&["registry"]), "{{registry}}")
    .empty(shared::NO_PULL_ENDED);
    let all = || counter(names::METRIC_BYTES).increase("$__range").sum();
    let cached = || counter(names::METRIC_BYTES).with("source", "cached").increase("$__range").sum();
    let total = Panel::stat(
        "Fetched",
        "Compressed bytes that came over the network in the time shown.",
        "bytes",
        fetched().increase("$__range").sum(),
    );
    let hit = Panel::stat(
        "Not fetched, because it was there",
        "Share of the bytes of all images pulled that were on their nodes already.",
        "percentunit",
        cached().per(all()),
    );
    Row {
        title: "What does it cost?",
        panels: vec![
            rate.size(16, 8),
            total.empty(shared::NO_PULL_ENDED).size(4, 8),
            hit.empty(shared::NO_PULL_ENDED).limit(1.0).size(4, 8),
        ],
    }
}

fn found() -> Row {
    let slow = shared::pulls_found(
        "Which pulls took longest?",
        "Pulls that took longer than ten seconds, as Tempo has them. A click on a trace shows its layers.",
        traceql::spans(names::SPAN_PULL).longer_than("10s"),
    );
    let failed = shared::pulls_found(
        "Which pulls failed last?",
        "Pulls that failed, as Tempo has them.",
        traceql::spans(names::SPAN_PULL).failed(),
    );
    Row { title: "Which pulls?", panels: vec![slow, failed] }
}
