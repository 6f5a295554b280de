//! The fleet: what is pulled now, how long pods wait for it, what is slow and what fails.

use lifecycle::names;

use super::board::{Board, Row, Variable};
use super::panel::Panel;
use super::query::{counter, gauge, histogram};
use super::shared;

/// The dashboard.
pub(super) fn board() -> Board {
    Board {
        uid: shared::FLEET,
        title: "Pulltrace / Fleet",
        description: "Image pulls of all nodes: what runs now, how long pods wait, what is slow, what fails, and what it costs.",
        from: "now-1h",
        variables: vec![Variable::PROMETHEUS, Variable::TEMPO, Variable::LOKI, shared::cluster(), shared::UI],
        annotations: Vec::new(),
        rows: vec![now(), live(), waiting(), failing(), bytes()],
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

fn waiting() -> Row {
    let waits = || histogram(names::METRIC_POD_WAIT);
    let wait = Panel::lines(
        "How long do pods wait for images?",
        "From a kubelet's first asking for a container's image until it was there: half of them less than p50, one in twenty more than p95. \
         The dots are single waits and lead to their traces.",
        "s",
    );
    let lost = Panel::stat(
        "Time that pods have waited",
        "All waits for images in the time shown, added up.",
        "s",
        waits().sum_increase("$__range").sum(),
    );
    let duration = || histogram(names::METRIC_DURATION).with("outcome", "ready");
    let pulls = Panel::lines(
        "How long do pulls take?",
        "Pulls that ended ready: half of them took less than p50. The dots are single pulls and lead to their traces.",
        "s",
    );
    let phases = Panel::stacked(
        "Which phase takes the time?",
        "Seconds that ended pulls spent in each phase, for each second that passed: 3 means that three pulls were in that phase on average.",
        "none",
    );
    let spread = Panel::heatmap(
        "How do pull times spread?",
        "How many pulls ended in each range of durations. A second band above the first one is a group of slow nodes or large images.",
        "s",
        histogram(names::METRIC_DURATION).buckets(),
    );
    Row {
        title: "How long does it take?",
        panels: vec![
            wait.and_traces(waits().quantile(0.5, &[]), "p50")
                .and_traces(waits().quantile(0.95, &[]), "p95")
                .and_traces(waits().quantile(0.99, &[]), "p99")
                .empty("No container got an image in this time, or the collector may not read pods."),
            pulls
                .and_traces(duration().quantile(0.5, &[]), "p50")
                .and_traces(duration().quantile(0.95, &[]), "p95")
                .and_traces(duration().quantile(0.99, &[]), "p99")
                .empty(shared::NO_PULL_ENDED),
            phases
                .and(histogram(names::METRIC_PHASE_DURATION).sum_rate().sum_by(&["phase"]), "{{phase}}")
                .empty(shared::NO_PULL_ENDED)
                .size(10, 8),
            spread.empty(shared::NO_PULL_ENDED).size(10, 8),
            lost.empty("No container waited.").size(4, 8),
        ],
    }
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
            hit.empty(shared::NO_PULL_ENDED).max(1.0).size(4, 8),
        ],
    }
}
