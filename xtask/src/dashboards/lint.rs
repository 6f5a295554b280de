//! What every dashboard keeps to: the rules of Grafana's dashboard-linter that make sense here, and some of our own. Said of the finished
//! JSON, so that it does not matter how it came about. An exception has a reason.

use serde_json::Value;

use super::board::Board;
use crate::tree::Finding;

/// Rules of dashboard-linter that are not kept, and why.
///
/// - `template-job-rule`, `template-instance-rule`, `target-job-rule`, `target-instance-rule`: the names begin with `pulltrace` and are
///   nobody else's, so no job has to be chosen; what is one process's own is joined with a series that only agents have.
/// - `panel-datasource-rule` for `$datasource` alone: traces are in Tempo, each kind of source has a variable of its own.
const NAMES: [&str; 3] = ["datasource", "tempo", "loki"];

/// All rules on one dashboard.
pub(super) fn findings(board: &Board) -> Vec<Finding> {
    let json = board.json();
    let mut wrong = board.faults();
    whole(&json, &mut wrong);
    for panel in json["panels"].as_array().into_iter().flatten() {
        let mut of_panel = Vec::new();
        if panel["type"] != "row" {
            one(panel, &mut of_panel);
        }
        let title = text(panel, "title");
        wrong.extend(of_panel.into_iter().map(|what| format!("panel `{title}` {what}")));
    }
    wrong.extend(unknown_variables(&json));
    wrong.into_iter().map(|what| Finding::new(board.file(), what)).collect()
}

fn whole(json: &Value, wrong: &mut Vec<String>) {
    if json["schemaVersion"] != 42 || json["editable"] != false {
        wrong.push("is not of schema 42, or can be edited".to_owned());
    }
    for key in ["uid", "title", "description"] {
        if text(json, key).is_empty() {
            wrong.push(format!("has no {key}"));
        }
    }
    let link = &json["links"][0];
    if link["includeVars"] != true || link["keepTime"] != true {
        wrong.push("leads to its sisters without its time and variables".to_owned());
    }
    let ids: Vec<_> = json["panels"].as_array().into_iter().flatten().map(|panel| panel["title"].to_string()).collect();
    for (at, title) in ids.iter().enumerate() {
        if ids[..at].contains(title) {
            wrong.push(format!("has two panels {title}"));
        }
    }
}

fn one(panel: &Value, wrong: &mut Vec<String>) {
    for key in ["title", "description"] {
        if text(panel, key).is_empty() {
            wrong.push(format!("has no {key}"));
        }
    }
    if panel["type"] == "text" {
        return;
    }
    let defaults = &panel["fieldConfig"]["defaults"];
    if text(defaults, "unit").is_empty() {
        wrong.push("has no unit".to_owned());
    }
    if text(defaults, "noValue").is_empty() && panel["type"] != "traces" {
        wrong.push("says nothing when there is nothing".to_owned());
    }
    let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
    if targets.is_empty() {
        wrong.push("asks nothing".to_owned());
    }
    let kind = text(&panel["datasource"], "type");
    for target in targets {
        if text(&target["datasource"], "type") != kind {
            wrong.push("asks two kinds of sources".to_owned());
        }
        if kind == "prometheus" {
            expression(text(target, "expr"), wrong);
        }
    }
}

fn expression(expr: &str, wrong: &mut Vec<String>) {
    if !expr.contains("cluster=~\"$cluster\"") {
        wrong.push(format!("does not look at the chosen cluster: {expr}"));
    }
    for window in expr.split('[').skip(1).filter_map(|rest| rest.split(']').next()) {
        if !["$__rate_interval", "$__range"].contains(&window) {
            wrong.push(format!("looks back over a fixed window [{window}]"));
        }
    }
    if expr.contains("rate(")
        && expr.contains("[$__range]")
        && !expr.contains("increase(")
        && !expr.contains("histogram_quantile(")
    {
        wrong.push(format!("has a rate over the whole time shown: {expr}"));
    }
}

/// Variables that are spoken of and do not exist.
fn unknown_variables(json: &Value) -> Vec<String> {
    let known: Vec<&str> = json["templating"]["list"].as_array().into_iter().flatten().map(|v| text(v, "name")).collect();
    let said = json["panels"].to_string() + &json["annotations"].to_string();
    let mut unknown: Vec<String> =
        spoken(&said).filter(|name| !name.starts_with("__") && !known.contains(name)).map(str::to_owned).collect();
    unknown.sort();
    unknown.dedup();
    let sources = json["templating"]["list"].as_array().into_iter().flatten().filter(|v| v["type"] == "datasource");
    let strange =
        sources.map(|v| text(v, "name")).filter(|name| !NAMES.contains(name)).map(|name| format!("has a source `{name}`"));
    unknown.into_iter().map(|name| format!("speaks of ${name}, which is no variable of it")).chain(strange).collect()
}

/// The names in `$name`, `${name}` and `${name:format}`.
fn spoken(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).filter_map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
        (!name.is_empty()).then_some(name)
    })
}

fn text<'a>(json: &'a Value, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use lifecycle::names;

    use super::*;
    use crate::dashboards::board::{Row, Variable};
    use crate::dashboards::panel::Panel;
    use crate::dashboards::query::{counter, gauge};
    use crate::dashboards::shared;

    fn board(panels: Vec<Panel>) -> Board {
        Board {
            uid: "a",
            title: "A",
            description: "Of a test.",
            from: "now-1h",
            variables: vec![Variable::PROMETHEUS, shared::cluster()],
            annotations: Vec::new(),
            rows: vec![Row { title: "Row", panels }],
        }
    }

    fn good(title: &str) -> Panel {
        Panel::stat(title, "Pulls.", "short", gauge(names::METRIC_ACTIVE).now().sum()).empty("None")
    }

    fn wrong(panel: Panel) -> Vec<String> {
        findings(&board(vec![panel])).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn a_panel_that_says_and_asks_enough_passes() {
        assert_eq!(wrong(good("How many?")), [""; 0]);
    }

    #[test]
    fn a_panel_without_words_unit_or_question_is_found() {
        let bare =
            |title, description, unit| Panel::lines(title, description, unit).and(gauge(names::METRIC_ACTIVE).now().sum(), "all");
        for (panel, what) in [
            (bare("", "Pulls.", "short").empty("None"), "has no title"),
            (bare("A", "", "short").empty("None"), "has no description"),
            (bare("A", "Pulls.", "").empty("None"), "has no unit"),
            (bare("A", "Pulls.", "short"), "says nothing when there is nothing"),
            (Panel::lines("A", "Pulls.", "short").empty("None"), "asks nothing"),
        ] {
            let found = wrong(panel);
            assert!(found.len() == 1 && found[0].ends_with(what), "{what}: {found:?}");
        }
    }

    #[test]
    fn a_fixed_window_an_unknown_variable_and_a_doubled_title_are_found() {
        let fixed = counter(names::METRIC_PULLS).increase("5m").sum();
        assert_eq!(wrong(Panel::stat("A", "Pulls.", "short", fixed).empty("None")).len(), 1);
        let strange = gauge(names::METRIC_IN_PHASE).matching("phase", "$phase").now().sum();
        assert_eq!(
            wrong(Panel::stat("A", "Pulls.", "short", strange).empty("None")),
            ["speaks of $phase, which is no variable of it"]
        );
        assert_eq!(findings(&board(vec![good("A"), good("A")])).len(), 1);
    }

    #[test]
    fn a_fault_of_a_query_is_a_finding() {
        let unknown = gauge("pulltrace_pulls_gone").now().sum();
        assert_eq!(wrong(Panel::stat("A", "Pulls.", "short", unknown).empty("None")).len(), 1);
    }
}
