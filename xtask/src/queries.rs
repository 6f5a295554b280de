//! `cargo xtask queries`: every TraceQL and LogQL of the repository parses, by the grammars that Grafana itself uses. What is asked for here is in
//! fences of the documents, in the dashboards and in what Grafana is provisioned with. The grammars are npm packages, so this needs [Node](crate::node).
//! Whether a query finds anything is for the live tests (`e2e/tests/stack.rs`).

use anyhow::ensure;
use serde_json::{Value, json};

use crate::node;
use crate::shell::{Repo, say};
use crate::tree::Tree;

/// The npm package with the grammars, below the root.
const FOLDER: &str = "xtask/queries";

/// The languages, as fences name them.
const LANGUAGES: [&str; 2] = ["logql", "traceql"];

/// One query and where it stands.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    place: String,
    language: &'static str,
    text: String,
}

/// Parses all queries; where it cannot it says so and returns what it said.
///
/// # Errors
/// When one does not parse; each is said first. When the packages cannot be installed.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<Option<String>> {
    let queries = found(&Tree::read(repo)?);
    ensure!(!queries.is_empty(), "no query was found, so nothing would be checked");
    let list: Vec<Value> = queries.iter().map(Query::json).collect();
    let skipped = node::check(repo, "queries", FOLDER, &json!(list).to_string())?;
    if skipped.is_none() {
        say(format!("{} queries parse", queries.len()));
    }
    Ok(skipped)
}

/// All queries, in the order of the files.
fn found(tree: &Tree) -> Vec<Query> {
    let mut queries = Vec::new();
    for (path, text) in tree.files() {
        if path.ends_with(".md") {
            queries.extend(fenced(path, text));
        } else if path.starts_with("dashboards/") && path.ends_with(".json") {
            let json = serde_json::from_str(text).unwrap_or_default();
            panels(path, &json, &mut queries);
        } else if path.starts_with("otel-config/grafana/datasources/") {
            queries.extend(provisioned(path, text));
        }
    }
    for query in &mut queries {
        query.text = filled(&query.text);
    }
    queries
}

/// What stands between fences of a language.
fn fenced(path: &str, text: &str) -> Vec<Query> {
    let (mut found, mut open): (Vec<Query>, Option<Query>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                let language = LANGUAGES.into_iter().find(|known| *known == language);
                open = language.map(|language| Query { place: format!("{path}:{}", number + 2), language, text: String::new() });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(query), None) => query.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    found
}

/// The queries of a dashboard's panels, variables and annotations. An id alone is how Grafana asks for one trace, and no query.
fn panels(path: &str, json: &Value, found: &mut Vec<Query>) {
    let text = |key: &str| json[key].as_str();
    let place = || format!("{path}, refId {}", text("refId").unwrap_or("none"));
    match (text("queryType"), json["datasource"]["type"].as_str()) {
        (Some("traceql"), _) => {
            let query = text("query").filter(|query| filled(query).contains('{'));
            found.extend(query.map(|query| Query { place: place(), language: "traceql", text: query.to_owned() }));
        }
        (_, Some("loki")) => {
            found.extend(text("expr").map(|query| Query { place: place(), language: "logql", text: query.to_owned() }));
        }
        _ => {}
    }
    let inner: Vec<&Value> = match json {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    inner.into_iter().for_each(|value| panels(path, value, found));
}

/// The query from a span to its logs: the only one of the data sources that is not PromQL.
fn provisioned(path: &str, text: &str) -> Vec<Query> {
    let lines = text.lines().enumerate().filter_map(|(number, line)| {
        let query = line.trim().strip_prefix("query: '{")?.strip_suffix('\'')?;
        Some(Query {
            place: format!("{path}:{}", number + 1),
            language: "logql",
            text: format!("{{{}", query.replace("$$", "$")),
        })
    });
    lines.collect()
}

/// With a word in the place of every variable of Grafana's: `$name`, `${name}`, `${name:format}`, `$__interval`.
fn filled(query: &str) -> String {
    let (mut out, mut rest) = (String::new(), query);
    while let Some((before, after)) = rest.split_once('$') {
        let end = match after.strip_prefix('{') {
            Some(_) => after.find('}').map_or(after.len(), |at| at + 1),
            None => after.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(after.len()),
        };
        let name = &after[..end];
        // Alone in brackets it is a range; elsewhere any word will do, as variables stand in quotes.
        out += before;
        out += match (name.is_empty(), before.ends_with('[')) {
            (true, _) => "$",
            (false, true) => "5m",
            (false, false) => "x",
        };
        rest = &after[end..];
    }
    out + rest
}

impl Query {
    fn json(&self) -> Value {
        json!({"place": self.place, "language": self.language, "text": self.text})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(place: &str, language: &'static str, text: &str) -> Query {
        Query { place: place.to_owned(), language, text: text.to_owned() }
    }

    #[test]
    fn queries_are_found_where_they_are_written_and_variables_are_filled_in() {
        let dashboard = json!({"panels": [{"targets": [
            {"refId": "A", "queryType": "traceql", "query": "{ name = \"$span\" }"},
            {"refId": "B", "queryType": "traceql", "query": "${trace}"},
            {"refId": "C", "datasource": {"type": "loki", "uid": "x"}, "expr": "count_over_time({a=\"${b:regex}\"}[$__interval])"},
            {"refId": "D", "datasource": {"type": "prometheus", "uid": "x"}, "expr": "up"}]}]});
        let tree = Tree::from([
            ("docs/a.md", "```traceql\n{ a }\n```\n```sh\nls\n```\n"),
            ("dashboards/d.json", &dashboard.to_string()),
            ("otel-config/grafana/datasources/p.yaml", "  query: '{a=\"b\"} | c=\"$${d.e}\"'\n  query: 'sum(x)'\n"),
        ]);
        assert_eq!(
            found(&tree),
            [
                query("dashboards/d.json, refId A", "traceql", "{ name = \"x\" }"),
                query("dashboards/d.json, refId C", "logql", "count_over_time({a=\"x\"}[5m])"),
                query("docs/a.md:2", "traceql", "{ a }\n"),
                query("otel-config/grafana/datasources/p.yaml:1", "logql", "{a=\"b\"} | c=\"x\""),
            ]
        );
    }
}
