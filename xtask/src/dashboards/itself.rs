//! Pulltrace itself: whether every node is watched, whether anything that was seen gets lost on its way, and what it costs.

use lifecycle::names;

use super::board::{Board, Row, Variable};
use super::panel::Panel;
use super::query::{NODE, counter, gauge, histogram};
use super::shared;
use super::table::Column;

const WINDOW: &str = "$__rate_interval";

/// The dashboard.
pub(super) fn board() -> Board {
    Board {
        uid: shared::ITSELF,
        title: "Pulltrace / Itself",
        description: "The agents and the collector: is every node watched, does anything get lost, what does it cost?",
        from: "now-3h",
        variables: vec![Variable::PROMETHEUS, shared::cluster()],
        annotations: vec![shared::restarts()],
        rows: vec![watched(), agents_seen(), intake(), memory(), forward(), readers(), agents(), cost()],
    }
}

fn watched() -> Row {
    let agents = Panel::stat(
        "Agents that speak",
        "Agents heard of within the last 90 seconds.",
        "short",
        gauge(names::METRIC_AGENTS).now().sum(),
    );
    let blind = Panel::stat(
        "Agents without their runtime",
        "Agents that are scraped and do not reach a containerd of their node: they see no pulls.",
        "short",
        gauge(names::AGENT_METRIC_REACHABLE).now().is(0.0).count().or_zero(),
    );
    let reports = Panel::stat(
        "Reports",
        "Reports about pulls and nodes that the collector understood, a second.",
        "cps",
        counter(names::METRIC_REPORTS).rate().sum(),
    );
    let lost = Panel::stat(
        "Outcomes lost by agents",
        "Ends of pulls that agents gave up because the collector was away for longer than their memory lasts.",
        "short",
        counter(names::AGENT_METRIC_DROPPED).with("pulltrace_report_kind", "outcome").increase("$__range").sum().or_zero(),
    );
    let pulls = Panel::stat(
        "Pulls in memory",
        "Pulls that run, and those that ended within the history that is kept.",
        "short",
        gauge(names::METRIC_BOARD_PULLS).now().sum(),
    );
    let dropped = Panel::stat(
        "Requests not forwarded",
        "Requests of agents that did not reach Tempo or another sink in the time shown, for whatever reason.",
        "short",
        counter(names::METRIC_FORWARD_DROPPED).increase("$__range").sum().or_zero(),
    );
    Row {
        title: "Now",
        panels: vec![
            agents.empty(shared::NO_COLLECTOR),
            blind.empty(shared::NO_AGENT).steps(&[(1.0, "red")]),
            reports.empty(shared::NO_COLLECTOR),
            pulls.empty(shared::NO_COLLECTOR),
            lost.empty(shared::NO_AGENT).steps(&[(1.0, "red")]),
            dropped.empty(shared::NO_COLLECTOR).steps(&[(1.0, "orange")]),
        ],
    }
}

fn agents_seen() -> Row {
    let states = Panel::stacked(
        "Do all agents see their nodes?",
        "Agents that watch, that are blind because their containerd does not answer, and that were not heard of for 90 seconds.",
        "short",
    )
    .and(gauge(names::METRIC_AGENTS_IN_STATE).now().sum_by(&["state"]), "{{state}}")
    .empty(shared::NO_COLLECTOR);
    let columns = vec![Column::label("node", "Node"), Column::value("A", "Silent for", "s").width(140)];
    let silent = Panel::table(
        "Which agents are silent?",
        "Agents that were not heard of for 90 seconds and whose nodes are still there.",
        columns,
    )
    .and(gauge(names::METRIC_AGENT_SILENT).ago().max_by(&["node"]), "")
    .sorted("Silent for")
    .size(12, 8)
    .empty("Every agent speaks.");
    Row { title: "Is every node watched?", panels: vec![states, silent] }
}

fn intake() -> Row {
    let accepted = Panel::lines(
        "What comes in?",
        "Records, spans and data points that the collector accepted, and the reports among them that it understood.",
        "cps",
    )
    .and(counter(names::METRIC_RECEIVED).rate().sum(), "accepted")
    .and(counter(names::METRIC_REPORTS).rate().sum(), "understood")
    .empty(shared::NO_COLLECTOR);
    let rejected = Panel::bars(
        "What is refused at the door?",
        "Records or whole requests that the collector did not take, by reason.",
        "short",
    )
    .and(counter(names::METRIC_REJECTED).increase(WINDOW).sum_by(&["reason"]), "{{reason}}")
    .empty("Nothing was refused.");
    let delay = || histogram(names::METRIC_REPORT_DELAY);
    let late = Panel::lines(
        "How old is news?",
        "Time from an observation on a node until its report was here, by the clocks of both.",
        "s",
    )
    .and(delay().quantile(0.5, &[]), "p50")
    .and(delay().quantile(0.99, &[]), "p99")
    .empty(shared::NO_COLLECTOR);
    let told = Panel::bars(
        "Do pods find their pulls?",
        "Waits of containers for images that are over, by who told of the pull. Where nobody does, a node has no agent or a name does not match.",
        "short",
    )
    .and(counter(names::METRIC_POD_WAITS).increase(WINDOW).sum_by(&["told_by"]), "{{told_by}}")
    .empty(shared::NO_COLLECTOR);
    Row { title: "Does the collector take what agents send?", panels: vec![accepted, rejected, late, told] }
}

fn memory() -> Row {
    let pulls = Panel::lines("How much is remembered?", "Pulls in memory, and those of them that run.", "short")
        .and(gauge(names::METRIC_BOARD_PULLS).now().sum(), "in memory")
        .and(gauge(names::METRIC_ACTIVE).now().sum(), "running")
        .empty(shared::NO_COLLECTOR)
        .size(8, 8);
    let evicted = Panel::bars(
        "What is forgotten?",
        "Pulls that left memory: because their history was over (ttl), or to make room (capacity), which should not happen.",
        "short",
    )
    .and(counter(names::METRIC_BOARD_EVICTED).increase(WINDOW).sum_by(&["reason"]), "{{reason}}")
    .empty(shared::NO_COLLECTOR)
    .size(8, 8);
    let refused = Panel::bars(
        "Which reports change nothing?",
        "Late and doubled ones are normal after a retry. Foreign ones come from two nodes with one identity, capacity from too many pulls.",
        "short",
    )
    .and(counter(names::METRIC_BOARD_REFUSED).increase(WINDOW).sum_by(&["reason"]), "{{reason}}")
    .and(counter(names::METRIC_BOARD_PODS_REFUSED).increase(WINDOW).sum(), "pods")
    .empty(shared::NO_COLLECTOR)
    .size(8, 8);
    Row { title: "Does it remember what it should?", panels: vec![pulls, evicted, refused] }
}

fn forward() -> Row {
    let sent = Panel::lines("What is forwarded?", "Requests that a sink accepted, a second.", "reqps")
        .and(counter(names::METRIC_FORWARD_SENT).rate().sum_by(&["sink"]), "{{sink}}")
        .empty(shared::NO_SINK)
        .size(8, 8);
    let queued = Panel::lines("What waits to be forwarded?", "Bytes that wait for a sink.", "bytes")
        .and(gauge(names::METRIC_FORWARD_QUEUED).now().sum_by(&["sink"]), "{{sink}}")
        .empty(shared::NO_SINK)
        .size(8, 8);
    let lost = Panel::bars(
        "What does not arrive?",
        "Requests that were given up, by reason, and records that a sink refused of requests that it accepted.",
        "short",
    )
    .and(counter(names::METRIC_FORWARD_DROPPED).increase(WINDOW).sum_by(&["sink", "reason"]), "{{sink}}: {{reason}}")
    .and(counter(names::METRIC_FORWARD_PARTIAL).increase(WINDOW).sum_by(&["sink"]), "{{sink}}: refused records")
    .empty(shared::NO_SINK)
    .size(8, 8);
    Row { title: "Do traces reach Tempo?", panels: vec![sent, queued, lost] }
}

fn readers() -> Row {
    let clients =
        Panel::lines("Who reads the live stream?", "Readers of the event stream: browsers, scripts, `pulltrace watch`.", "short")
            .and(gauge(names::METRIC_SSE_CLIENTS).now().sum(), "readers")
            .empty(shared::NO_COLLECTOR)
            .size(8, 8);
    let bytes = Panel::lines("What do they take?", "Bytes of streams that readers took, compressed where they are.", "Bps")
        .and(counter(names::METRIC_SSE_BYTES).rate().sum(), "sent")
        .empty(shared::NO_COLLECTOR)
        .size(8, 8);
    let ended = Panel::bars(
        "Who is turned away or cut off?",
        "Readers that were not let in, and connections that were ended because their reader did not keep up.",
        "short",
    )
    .and(counter(names::METRIC_SSE_REFUSED).increase(WINDOW).sum_by(&["reason"]), "refused: {{reason}}")
    .and(counter(names::METRIC_SSE_ENDED).increase(WINDOW).sum_by(&["reason"]), "ended: {{reason}}")
    .empty(shared::NO_COLLECTOR)
    .size(8, 8);
    Row { title: "Do people get it live?", panels: vec![clients, bytes, ended] }
}

fn agents() -> Row {
    let exports = Panel::bars(
        "What becomes of what agents send?",
        "Requests of agents by what the receiver said: retried ones are sent again until they are taken.",
        "short",
    )
    .and(
        counter(names::AGENT_METRIC_EXPORTS).increase(WINDOW).sum_by(&["pulltrace_signal", "pulltrace_export_result"]),
        "{{pulltrace_signal}} {{pulltrace_export_result}}",
    )
    .empty(shared::NO_AGENT);
    let queue =
        Panel::lines("Which agents have a backlog?", "Memory of reports that wait to be delivered: the ten largest.", "bytes")
            .and(gauge(names::AGENT_METRIC_QUEUE).now().max_by(&[NODE, "instance"]).top(10), "{{node}} {{instance}}")
            .empty(shared::NO_AGENT);
    let survey = Panel::lines(
        "How fast does containerd answer?",
        "Time that a complete look at the runtime took. Slow answers come from an overloaded disk more often than from the agent.",
        "s",
    )
    .and(histogram(names::AGENT_METRIC_SURVEYS).quantile(0.5, &[]), "p50")
    .and(histogram(names::AGENT_METRIC_SURVEYS).quantile(0.99, &[]), "p99")
    .empty("No agent looked at its runtime: nothing was pulled.");
    let errors = Panel::bars(
        "What does containerd not answer?",
        "Calls without an answer or with an error, and connections lost.",
        "short",
    )
    .and(
        counter(names::AGENT_METRIC_CALL_ERRORS).increase(WINDOW).sum_by(&["rpc_method", "error_type"]),
        "{{rpc_method}} {{error_type}}",
    )
    .and(counter(names::AGENT_METRIC_RECONNECTS).increase(WINDOW).sum(), "connections lost")
    .empty("Every call was answered.");
    Row { title: "Do agents see and deliver?", panels: vec![exports, queue, survey, errors] }
}

fn cost() -> Row {
    let of_agents = || gauge(names::AGENT_METRIC_REACHABLE).now();
    let cpu = || counter(names::PROCESS_CPU).rate().where_scraped_with(of_agents());
    let memory = || gauge(names::PROCESS_MEMORY).now().where_scraped_with(of_agents());
    let time = Panel::lines(
        "How much processor time do agents use?",
        "Of one core: the mean of all agents, and the busiest one.",
        "percentunit",
    )
    .and(cpu().avg(), "mean")
    .and(cpu().max(), "busiest")
    .empty(shared::NO_AGENT);
    let size =
        Panel::lines("How much memory do agents use?", "Resident memory: the mean of all agents, and the largest one.", "bytes")
            .and(memory().avg(), "mean")
            .and(memory().max(), "largest")
            .empty(shared::NO_AGENT);
    Row { title: "What does it cost?", panels: vec![time, size] }
}
