//! One node, or all of them side by side: what it pulls, what waits behind that, and whether its network, disk or memory is what is slow. The
//! numbers are its agent's own; the scrape must say in a label `node` whose they are.

use lifecycle::names;

use super::board::{Board, Row, Variable};
use super::panel::Panel;
use super::query::{Counter, Gauge, Histogram, NODE, Series, counter, gauge, histogram};
use super::{shared, traceql};

const WINDOW: &str = "$__rate_interval";
const NO_NODE: &str = "No agent with a label `node` is scraped";
const IDLE: &str = "Known only while pulls run on the node";

/// The dashboard.
pub(super) fn board() -> Board {
    let node = Variable::Label { name: "node", label: "Node", of: gauge(names::AGENT_METRIC_ACTIVE).labelled(NODE), many: true };
    Board {
        uid: shared::NODE,
        title: "Pulltrace / Node",
        description: "What a node pulls, what waits behind it, and whether network, disk, memory or the registry is what is slow.",
        from: "now-1h",
        variables: vec![Variable::PROMETHEUS, Variable::TEMPO, Variable::LOKI, shared::cluster(), node, shared::UI],
        annotations: vec![shared::restarts(), shared::outcomes()],
        rows: vec![now(), live(), load(), pulls(), bytes(), found()],
    }
}

fn level(name: &str) -> Series<Gauge> {
    gauge(name).matching(NODE, "$node")
}

fn count(name: &str) -> Series<Counter> {
    counter(name).matching(NODE, "$node")
}

fn spread(name: &str) -> Series<Histogram> {
    histogram(name).matching(NODE, "$node")
}

fn now() -> Row {
    let stat = |title, description, unit, name| Panel::stat(title, description, unit, level(name).now().max()).size(6, 4);
    let running = Panel::stat(
        "How many pulls run here?",
        "Pulls that containerd works on.",
        "short",
        level(names::AGENT_METRIC_ACTIVE).now().sum(),
    );
    let queued = Panel::stat(
        "How many images wait for their turn?",
        "Images that the kubelet is about to pull. By default it pulls one at a time: a small image waits behind a large one.",
        "short",
        level(names::AGENT_METRIC_QUEUED).now().sum(),
    );
    Row {
        title: "Now",
        panels: vec![
            running.empty(NO_NODE).size(6, 4),
            queued.empty(NO_NODE).size(6, 4).steps(&[(3.0, "yellow"), (10.0, "orange")]),
            stat(
                "How busy is the disk?",
                "Share of time in which the disk below containerd's folder had something to do.",
                "percent",
                names::AGENT_METRIC_DISK,
            )
            .empty(IDLE)
            .max(100.0)
            .steps(&[(80.0, "yellow"), (95.0, "red")]),
            stat(
                "How fast does the network receive?",
                "All that the node's network cards received, for whomever.",
                "Bps",
                names::AGENT_METRIC_NETWORK,
            )
            .empty(IDLE),
        ],
    }
}

fn live() -> Row {
    Row { title: "Pulling now", panels: vec![shared::pulling_now(&[("node", "$node")])] }
}

fn load() -> Row {
    let worst = |name| level(name).now().max_by(&[NODE]);
    let pressure = Panel::lines(
        "What does the node wait for?",
        "Share of time in which tasks waited for disks, memory or a processor, and in which containerd's disk was busy. A disk that is busy \
         all the time while tasks wait for it is what unpacking is slow of.",
        "percent",
    )
    .and(worst(names::AGENT_METRIC_DISK), "{{node}} disk busy")
    .and(worst(names::AGENT_METRIC_IO_PRESSURE), "{{node}} waiting for disks")
    .and(worst(names::AGENT_METRIC_MEMORY_PRESSURE), "{{node}} waiting for memory")
    .and(worst(names::AGENT_METRIC_CPU_PRESSURE), "{{node}} waiting for processors")
    .empty(IDLE)
    .max(100.0);
    let network = Panel::lines(
        "Is the network full?",
        "What the node's network cards received, beside what their links carry where they say it.",
        "Bps",
    )
    .and(worst(names::AGENT_METRIC_NETWORK), "{{node}} received")
    .and(worst(names::AGENT_METRIC_NETWORK_LIMIT), "{{node}} link")
    .empty(IDLE);
    Row { title: "Is the node itself slow?", panels: vec![pressure, network] }
}

fn pulls() -> Row {
    let running =
        Panel::stacked("How many run, how many wait?", "Pulls that run, and images that wait in the kubelet's queue.", "short")
            .and(level(names::AGENT_METRIC_ACTIVE).now().sum(), "running")
            .and(level(names::AGENT_METRIC_QUEUED).now().sum(), "waiting")
            .empty(NO_NODE)
            .size(8, 8);
    let took = || spread(names::AGENT_METRIC_PULLS);
    let duration =
        Panel::lines("How long do pulls take here?", "Pulls that ended on this node; the dots lead to their traces.", "s")
            .and_traces(took().quantile(0.5, &[]), "p50")
            .and_traces(took().quantile(0.95, &[]), "p95")
            .empty(shared::NO_PULL_ENDED)
            .size(8, 8);
    let outcomes = Panel::bars("How do they end?", "Pulls that ended on this node, by outcome.", "short")
        .and(took().count_increase(WINDOW).sum_by(&["pulltrace_pull_outcome"]), "{{pulltrace_pull_outcome}}")
        .empty(shared::NO_PULL_ENDED)
        .size(8, 8);
    let download =
        Panel::lines("How long does a layer take to download?", "From opening its download to its commit, by registry.", "s")
            .and(spread(names::AGENT_METRIC_DOWNLOAD).quantile(0.95, &["server_address"]), "p95 {{server_address}}")
            .empty("No layer was downloaded in this time");
    let unpack = Panel::lines(
        "How long does a layer take to unpack?",
        "From the start of unpacking to the snapshot's commit, by snapshotter. Slow unpacking is the node's own doing.",
        "s",
    )
    .and(spread(names::AGENT_METRIC_UNPACK).quantile(0.95, &["pulltrace_snapshotter_name"]), "p95 {{pulltrace_snapshotter_name}}")
    .empty("No layer was unpacked in this time");
    Row { title: "How do its pulls go?", panels: vec![running, duration, outcomes, download, unpack] }
}

fn bytes() -> Row {
    let io = || count(names::AGENT_METRIC_IO);
    let fetched =
        Panel::stacked("What did it fetch, and from where?", "Compressed bytes of pulls that ended here, by registry.", "Bps")
            .and(io().with("pulltrace_layer_source", "registry").rate().sum_by(&["server_address"]), "{{server_address}}")
            .empty(shared::NO_PULL_ENDED);
    let nodes = Panel::ranking(
        "Which nodes fetch most?",
        "Compressed bytes that each node fetched in the time shown: the ten with the most.",
        "bytes",
    )
    .and(io().with("pulltrace_layer_source", "registry").increase("$__range").sum_by(&[NODE]).top(10), "{{node}}")
    .empty(NO_NODE)
    .size(12, 8)
    .leads("The node", shared::link_to(shared::NODE, "node").replace("${__value.raw:percentencode}", "${__field.labels.node}"));
    Row { title: "How much does it move?", panels: vec![fetched, nodes] }
}

fn found() -> Row {
    let search = traceql::spans(names::SPAN_PULL).only(names::NODE_NAME, "=~ \"$node\"");
    let slow = shared::pulls_found(
        "Which of its pulls took longest?",
        "Pulls on this node as Tempo has them. A click on a trace shows its layers.",
        search,
    );
    Row { title: "Which pulls were slow?", panels: vec![slow] }
}
