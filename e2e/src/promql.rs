//! The PromQL of Grafana dashboards, as Grafana would ask it: every target and every variable of their JSON, with the variables put in.
//!
//! It reads files and knows no server. What is asked of another data source than Prometheus is passed over; an unknown variable stays as it
//! is, so that Prometheus refuses the query.

use serde_json::Value;

/// One thing that a dashboard asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Dashboard, panel and target, for people.
    pub by: String,
    /// The expression, without variables.
    pub expression: String,
}

/// What Grafana puts in, for a Prometheus that scrapes every second and has done so for a minute.
const BUILT_IN: [(&str, &str); 7] = [
    ("__rate_interval_ms", "15000"),
    ("__rate_interval", "15s"),
    ("__interval_ms", "5000"),
    ("__interval", "5s"),
    ("__range_s", "60"),
    ("__range_ms", "60000"),
    ("__range", "60s"),
];

/// Everything that a dashboard asks of Prometheus.
#[must_use]
pub fn of_dashboard(dashboard: &Value) -> Vec<Asked> {
    let title = dashboard["title"].as_str().unwrap_or("a dashboard");
    let variables: Vec<(String, String)> = list(&dashboard["templating"]["list"]).iter().filter_map(variable).collect();
    let mut asked = Vec::new();
    for variable in list(&dashboard["templating"]["list"]) {
        let query = variable["query"]["query"].as_str().or(variable["query"].as_str()).unwrap_or_default();
        if variable["type"] == "query" && is_prometheus(&variable["datasource"]) {
            let by = format!("{title}: variable {}", variable["name"]);
            asked.extend(of_variable(query).map(|expression| Asked { by, expression: put_in(&expression, &variables) }));
        }
    }
    of_panels(title, &dashboard["panels"], &variables, &mut asked);
    let annotations = list(&dashboard["annotations"]["list"]).iter().filter(|from| is_prometheus(&from["datasource"]));
    let annotations = annotations.filter_map(|from| Some((&from["name"], from["expr"].as_str()?)));
    asked.extend(annotations.map(|(name, expression)| Asked {
        by: format!("{title}: annotation {name}"),
        expression: put_in(expression, &variables),
    }));
    asked
}

fn of_panels(title: &str, panels: &Value, variables: &[(String, String)], asked: &mut Vec<Asked>) {
    for panel in list(panels) {
        for target in list(&panel["targets"]) {
            let source = if target["datasource"].is_null() { &panel["datasource"] } else { &target["datasource"] };
            if let Some(expression) = target["expr"].as_str().filter(|_| is_prometheus(source)) {
                let by = format!("{title}: {} ({})", panel["title"], target["refId"]);
                asked.push(Asked { by, expression: put_in(expression, variables) });
            }
        }
        of_panels(title, &panel["panels"], variables, asked);
    }
}

/// A query whose data is what a variable lists: Grafana's own functions are not PromQL.
fn of_variable(query: &str) -> Option<String> {
    let inner = |name: &str| query.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(arguments) = inner("label_values") {
        // Without a metric all series are meant; commas inside the braces of a selector are no separators.
        let (metric, label) = arguments.rsplit_once(',').unwrap_or(("{__name__=~\"pulltrace.+\"}", arguments));
        return Some(format!("count by ({}) ({})", label.trim(), metric.trim()));
    }
    inner("query_result")
        .map(str::to_owned)
        .or_else(|| (!query.contains('(')).then(|| query.to_owned()))
        .filter(|q| !q.is_empty())
}

/// A variable's name and what is put in for it: all there is, where that can be chosen.
fn variable(variable: &Value) -> Option<(String, String)> {
    let chosen = &variable["current"]["value"];
    let chosen = chosen.as_str().or_else(|| chosen[0].as_str()).filter(|value| *value != "$__all");
    let value = match variable["type"].as_str()? {
        "query" => variable["allValue"].as_str().unwrap_or(".*"),
        _ => chosen.or(variable["query"].as_str()).unwrap_or(".*"),
    };
    Some((variable["name"].as_str()?.to_owned(), value.to_owned()))
}

/// Puts in `$name`, `${name}` and `${name:format}`.
fn put_in(expression: &str, variables: &[(String, String)]) -> String {
    let built_in = BUILT_IN.iter().map(|(name, value)| (*name, *value));
    let mut all: Vec<_> = built_in.chain(variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))).collect();
    // A name may begin with another one.
    all.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut text = expression.to_owned();
    for (name, value) in all {
        while let Some(at) = text.find(&format!("${{{name}:")) {
            let end = text[at..].find('}').map_or(text.len(), |length| at + length + 1);
            text.replace_range(at..end, value);
        }
        text = text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    text
}

fn is_prometheus(source: &Value) -> bool {
    source["type"].as_str().is_none_or(|kind| kind == "prometheus")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn targets_in_rows_variables_and_annotations_are_asked_and_other_sources_are_not() {
        let prometheus = json!({"type": "prometheus", "uid": "${datasource}"});
        let panel = |title: &str, expr: &str| json!({"title": title, "targets": [{"refId": "A", "expr": expr}], "datasource": prometheus});
        let tempo = json!({"title": "t", "targets": [{"expr": "{}", "datasource": {"type": "tempo"}}]});
        let dashboard = json!({
            "title": "D",
            "templating": {"list": [
                {"type": "query", "name": "node", "datasource": prometheus, "query": {"query": "label_values(up{job=~\"$job\",a=\"b\"}, node)"}},
                {"type": "custom", "name": "job", "query": "x", "current": {"value": "agents"}},
            ]},
            "annotations": {"list": [{"name": "a", "datasource": prometheus, "expr": "changes(up[$__interval])"}]},
            "panels": [panel("p", "rate(x{node=~\"$node\"}[$__rate_interval])"), {"type": "row", "panels": [panel("q", "y{n=\"${node:regex}\"}")]}, tempo],
        });
        let asked: Vec<String> = of_dashboard(&dashboard).into_iter().map(|asked| asked.expression).collect();
        assert_eq!(
            asked,
            ["count by (node) (up{job=~\"agents\",a=\"b\"})", "rate(x{node=~\".*\"}[15s])", "y{n=\".*\"}", "changes(up[5s])"]
        );
    }
}
