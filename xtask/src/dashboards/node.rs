//! One node, or all of them side by side: what it pulls, what waits behind that, and whether its network, disk or memory is what is slow. The
//! numbers are its agent's own; the scrape must say in a label `node` whose they are. Where agents are not scraped, some of it is known from
//! the collector, of the nodes that have it worst.

use lifecycle::names::{self, Entry};

use super::board::{Board, Row, Variable};
use super::panel::Panel;
use super::query::{Counter, Gauge, Histogram, NODE, Query, Series, counter, gauge, histogram};
use super::{shared, traceql};

const WINDOW: &str = "$__rate_interval";
const NO_NODE: &str = "No agent with a label `node` is scraped";
const IDLE: &str = "Known only while pulls run on the node";

/// The dashboard.
pub(super) fn board() -> Board {
    let node = Variable::Label {
        name: "node",
        label: "Node",
        of: gauge(names::AGENT_METRIC_ACTIVE).and_named(names::METRIC_NODE_ACTIVE).labelled(NODE),
        many: true,
    };
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

/// What an agent says of its node, else what the collector says of it; the latter may be a share.
fn either(of_agent: &str, of_collector: &str) -> Query {
    let percent = Entry::of(of_collector).is_some_and(|entry| entry.unit == "1");
    let worst = level(of_collector).now().max_by(&[NODE]);
    level(of_agent).now().max_by(&[NODE]).or(if percent { worst.times(100) } else { worst })
}

fn now() -> Row {
    let running = Panel::stat(
        "How many pulls run here?",
        "Pulls that containerd works on.",
        "short",
        either(names::AGENT_METRIC_ACTIVE, names::METRIC_NODE_ACTIVE).sum(),
    );
    let queued = Panel::stat(
        "How many images wait for their turn?",
        "Images that the kubelet is about to pull. By default it pulls one at a time: a small image waits behind a large one.",
        "short",
        either(names::AGENT_METRIC_QUEUED, names::METRIC_NODE_QUEUED).sum(),
    );
    let disk = Panel::stat(
        "How busy is the disk?",
        "Share of time in which the disk below containerd's folder had something to do.",
        "percent",
        either(names::AGENT_METRIC_DISK, names::METRIC_NODE_DISK).max(),
    );
    let network = Panel::stat(
        "How fast does the network receive?",
        "All that the node's network cards received, for whomever.",
        "Bps",
        level(names::AGENT_METRIC_NETWORK).now().max(),
    );
    let panels = [
        running.empty(NO_NODE),
        queued.empty(NO_NODE).steps(&[(3.0, "yellow"), (10.0, "orange")]),
        disk.empty(IDLE).limit(100.0).steps(&[(80.0, "yellow"), (95.0, "red")]),
        network.empty(IDLE),
    ];
    Row { title: "Now", panels: panels.map(|panel| panel.size(6, 4)).into() }
}

fn live() -> Row {
    Row { title: "Pulling now", panels: vec![shared::pulling_now(&[("node", "$node")])] }
}

fn load() -> Row {
    let worst = |name| level(name).now().max_by(&[NODE]);
    let pressure = Panel::lines(
        "What does the node wait for?",
        "Share of time in which tasks waited for disks, memory or a processor, and in which containerd's disk was busy. A disk that is busy \
         all the time while tasks wait for it is what makes unpacking slow.",
        "percent",
    )
    .and(either(names::AGENT_METRIC_DISK, names::METRIC_NODE_DISK), "{{node}} disk busy")
    .and(either(names::AGENT_METRIC_IO_PRESSURE, names::METRIC_NODE_IO), "{{node}} waiting for disks")
    .and(worst(names::AGENT_METRIC_MEMORY_PRESSURE), "{{node}} waiting for memory")
    .and(worst(names::AGENT_METRIC_CPU_PRESSURE), "{{node}} waiting for processors")
    .empty(IDLE)
    .limit(100.0);
    let network =
        Panel::lines("How much does the network receive?", "What the node's network cards received, for whomever.", "Bps")
            .and(worst(names::AGENT_METRIC_NETWORK), "{{node}}")
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
