//! What several dashboards have: their addresses, the variables, the words for nothing, and the table of pulls that run.

use lifecycle::names;

use super::board::Variable;
use super::panel::Panel;
use super::query::gauge;
use super::table::Column;

/// Address of the fleet's dashboard.
pub(super) const FLEET: &str = "pulltrace-fleet";
/// Address of the dashboard of Pulltrace itself.
pub(super) const ITSELF: &str = "pulltrace-itself";
/// Address of the node's dashboard.
pub(super) const NODE: &str = "pulltrace-node";

/// Where the web UI is, for links; whoever has it elsewhere says so in the dashboard's address.
pub(super) const UI: Variable = Variable::Text { name: "ui", label: "Web UI", value: "http://localhost:8080" };

/// No number at all.
pub(super) const NO_COLLECTOR: &str = "No collector is scraped";
/// No number of agents.
pub(super) const NO_AGENT: &str = "No agent is scraped";
/// Nothing is forwarded.
pub(super) const NO_SINK: &str = "Nothing is forwarded: no sink is configured";
/// No pull in the time shown.
pub(super) const NO_PULL_ENDED: &str = "No pull ended in this time";

/// The cluster, where a label says which; without such a label "All" is the only one.
pub(super) fn cluster() -> Variable {
    Variable::Label { name: "cluster", label: "Cluster", of: names::METRIC_AGENTS.to_owned(), many: false }
}

/// The pulls that run for long already, one row each; `narrow` are labels and what they must match.
pub(super) fn pulling_now(narrow: &[(&str, &str)]) -> Panel {
    let series = |name| {
        let all = gauge(name);
        let some = narrow.iter().fold(all, |series, (label, expression)| series.matching(label, expression));
        some.now().max_by(&["node", "image", "phase"])
    };
    let node =
        format!("/d/{NODE}?${{__url_time_range}}&${{datasource:queryparam}}&${{cluster:queryparam}}&var-node=${{__value.raw}}");
    let columns = vec![
        Column::label("image", "Image").leads("See it live", "${ui}/?q=${__value.raw:percentencode}".to_owned()),
        Column::label("node", "Node").width(200).leads("The node", node),
        Column::label("phase", "Phase").width(120),
        Column::value("A", "Fetched", "percentunit").bar().width(320),
        Column::value("B", "Speed", "Bps").width(110),
        Column::value("C", "Ready in", "s").width(110),
    ];
    Panel::table(
        "What is being pulled, and when will it be there?",
        "The pulls that run for 15 seconds or longer, at most 20 of them, those that began first. Shorter ones are in the web UI.",
        columns,
    )
    .and(series(names::METRIC_ACTIVE_RATIO), "")
    .and(series(names::METRIC_ACTIVE_RATE), "")
    .and(series(names::METRIC_ACTIVE_ETA), "")
    .sorted("Ready in")
    .empty("No pull has been running for 15 seconds.")
}
