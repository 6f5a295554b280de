//! What several dashboards have: their addresses, the variables, the marks, the words for nothing, and the tables of pulls.

use lifecycle::names;

use super::board::{Annotation, Variable};
use super::panel::Panel;
use super::query::{everywhere, gauge};
use super::table::Column;
use super::traceql::Search;

/// Address of the fleet's dashboard.
pub(super) const FLEET: &str = "pulltrace-fleet";
/// Address of the node's dashboard.
pub(super) const NODE: &str = "pulltrace-node";
/// Address of the dashboard of images and registries.
pub(super) const REGISTRY: &str = "pulltrace-registry";
/// Address of the dashboard of one pull.
pub(super) const PULL: &str = "pulltrace-pull";
/// Address of the dashboard of rollouts.
pub(super) const ROLLOUT: &str = "pulltrace-rollout";
/// Address of the dashboard of Pulltrace itself.
pub(super) const ITSELF: &str = "pulltrace-itself";

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
/// Nothing in Tempo.
pub(super) const NO_TRACE: &str = "Tempo has no such pull in this time";

/// The cluster, where a label says which; without such a label "All" is the only one.
pub(super) fn cluster() -> Variable {
    // Of all clusters, not of the chosen one.
    let of = everywhere(names::METRIC_AGENTS).labelled("cluster");
    Variable::Label { name: "cluster", label: "Cluster", of, many: false }
}

/// Failed pulls as Loki has them. Off until somebody switches it on: Loki may not be there, and then nothing is asked.
pub(super) fn outcomes() -> Annotation {
    // Loki writes the names of attributes so.
    let label = |attribute: &str| attribute.replace('.', "_");
    let (outcome, image) = (label(names::PULL_OUTCOME), label(names::IMAGE_NAME));
    Annotation {
        name: "Failed pulls (Loki)",
        colour: "red",
        on: false,
        source: ("loki", "loki"),
        expr: format!("{{service_name=\"pulltrace\"}} | {outcome} =~ \"failed|lost\""),
        title: format!("{{{{{image}}}}}"),
        text: format!("{{{{{}}}}} on {{{{{}}}}}", label(names::ERROR_MESSAGE), label(names::NODE_NAME)),
        faults: Vec::new(),
    }
}

/// Agents that began anew.
pub(super) fn restarts() -> Annotation {
    let began = gauge(names::PROCESS_START).changes("$__rate_interval");
    let agents = began.where_scraped_with(gauge(names::AGENT_METRIC_REACHABLE).now());
    Annotation {
        name: "Agents restarted",
        colour: "blue",
        on: true,
        source: ("prometheus", "datasource"),
        expr: agents.text().to_owned(),
        title: "The agent began anew".to_owned(),
        text: "{{node}} {{instance}}".to_owned(),
        faults: agents.faults().to_vec(),
    }
}

/// Leads to the pulls in the web UI that what was clicked on is found by.
pub(super) fn search_in_ui() -> String {
    "${ui}/?q=${__value.raw:percentencode}".to_owned()
}

/// Leads to this pull in the web UI.
pub(super) fn pull_in_ui(id: &str) -> String {
    format!("${{ui}}/?pull={id}")
}

/// Leads to another dashboard with the time, the sources and one more variable, as what was clicked on says.
pub(super) fn link_to(dashboard: &str, variable: &str) -> String {
    format!(
        "/d/{dashboard}?${{__url_time_range}}&${{datasource:queryparam}}&${{tempo:queryparam}}&${{cluster:queryparam}}\
         &var-{variable}=${{__value.raw:percentencode}}"
    )
}

/// The pulls that run for long already, one row each; `narrow` are labels and what they must match.
pub(super) fn pulling_now(narrow: &[(&str, &str)]) -> Panel {
    let series = |name| {
        let some = narrow.iter().fold(gauge(name), |series, (label, expression)| series.matching(label, expression));
        some.now().max_by(&["node", "image", "phase"])
    };
    let columns = vec![
        Column::label("image", "Image").leads("See it live", search_in_ui()),
        Column::label("node", "Node").width(180).leads("The node", link_to(NODE, "node")),
        Column::label("phase", "Phase").width(120),
        Column::value("A", "Fetched", "percentunit").bar().width(300),
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

/// Pulls as Tempo finds them, one row each, that lead to the dashboard of one pull.
pub(super) fn pulls_found(title: &str, description: &str, search: Search) -> Panel {
    let shown = [
        names::IMAGE_NAME,
        names::NODE_NAME,
        names::SERVER_ADDRESS,
        names::PULL_BYTES_FETCHED,
        names::PULL_CACHE,
        names::ERROR_TYPE,
    ];
    let columns = vec![
        Column::label("time", "Began").unit("dateTimeAsLocal").width(160),
        Column::label(names::IMAGE_NAME, "Image"),
        Column::label(names::NODE_NAME, "Node").width(150).leads("The node", link_to(NODE, "node")),
        Column::label(names::SERVER_ADDRESS, "Registry").width(150),
        Column::label(names::PULL_BYTES_FETCHED, "Fetched").unit("bytes").width(100),
        Column::label(names::PULL_CACHE, "Cached").width(90),
        Column::label(names::ERROR_TYPE, "Error").width(130),
        Column::label("duration", "Took").unit("ns").width(100),
        Column::trace()
            .width(140)
            .leads("This pull", link_to(PULL, "traceID"))
            .leads("See it live", pull_in_ui("${__value.raw}")),
    ];
    Panel::table(title, description, columns).found(search.showing(&shown)).sorted("Took").empty(NO_TRACE)
}
