//! What people and panels ask of Tempo and Loki: the recipes of the documents, the searches of the dashboards, what leads from a span to its record
//! and to the numbers around it. Read from the very files that people have; whether there is an answer is for the caller to see.
//!
//! It reads files and knows no server. The PromQL of dashboards is asked elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One question and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// File, and line or panel.
    pub by: String,
    /// As it is written, variables and all.
    pub text: String,
}

impl Question {
    /// With these in the place of Grafana's variables: `$name`, `${name}`, `${name:format}`, `$${name}`.
    #[must_use]
    pub fn filled(&self, variables: &[(&str, &str)]) -> String {
        variables.iter().fold(self.text.replace("$$", "$"), |mut text, (name, value)| {
            while let Some(at) = text.find(&format!("${{{name}:")) {
                let end = text[at..].find('}').map_or(text.len(), |length| at + length + 1);
                text.replace_range(at..end, value);
            }
            text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        })
    }
}

/// What stands between fences of this language in a document.
///
/// # Panics
/// When there is no such document.
#[must_use]
pub fn of_document(document: &str, language: &str) -> Vec<Question> {
    let text = fs::read_to_string(repository(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
    let (mut found, mut open) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            None if line.strip_prefix("```") == Some(language) => {
                open = Some(Question { by: format!("{document}:{}", number + 2), text: String::new() });
            }
            None => {}
            Some(_) if line == "```" => found.extend(open.take()),
            Some(question) => question.text += &format!("{line}\n"),
        }
    }
    found
}

/// What the panels and annotations of all dashboards ask of this kind of data source, `tempo` or `loki`.
///
/// # Panics
/// When a dashboard is not JSON.
#[must_use]
pub fn of_dashboards(kind: &str) -> Vec<Question> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(repository("dashboards")).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "json"));
    files.sort();
    let mut found = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        of_json(&path.file_name().unwrap_or_default().to_string_lossy(), &json, kind, &mut found);
    }
    found
}

/// What Grafana's data sources ask about a span: LogQL, which begins with a brace, and PromQL.
///
/// # Panics
/// When there is no such file.
#[must_use]
pub fn of_data_sources() -> Vec<Question> {
    let name = "otel-config/grafana/datasources/pulltrace.yaml";
    let text = fs::read_to_string(repository(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let queries = text.lines().filter_map(|line| line.trim().strip_prefix("query: '")?.strip_suffix('\''));
    queries.map(|query| Question { by: name.to_owned(), text: query.to_owned() }).collect()
}

fn of_json(by: &str, json: &Value, kind: &str, found: &mut Vec<Question>) {
    let by = json["title"].as_str().map_or_else(|| by.to_owned(), |title| format!("{by}: {title}"));
    if json["datasource"]["type"] == kind {
        let asked = json["query"].as_str().or(json["expr"].as_str());
        found.extend(asked.map(|text| Question { by: by.clone(), text: text.to_owned() }));
    }
    match json {
        Value::Array(list) => list.iter().for_each(|value| of_json(&by, value, kind, found)),
        Value::Object(map) => map.values().for_each(|value| of_json(&by, value, kind, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn panels_and_annotations_ask_their_own_kind_of_data_source() {
        let target = |kind: &str, key: &str| json!({"datasource": {"type": kind, "uid": "u"}, key: format!("{kind}?")});
        let board = json!({"title": "D", "annotations": {"list": [target("loki", "expr")]},
            "panels": [{"title": "p", "targets": [target("tempo", "query"), target("prometheus", "expr")]}]});
        let asked = |kind: &str| {
            let mut found = Vec::new();
            of_json("d.json", &board, kind, &mut found);
            found
        };
        assert_eq!(asked("tempo"), [Question { by: "d.json: D: p".to_owned(), text: "tempo?".to_owned() }]);
        assert_eq!(asked("loki"), [Question { by: "d.json: D".to_owned(), text: "loki?".to_owned() }]);
    }

    #[test]
    fn variables_are_filled_in_however_they_are_written() {
        let question = Question { by: String::new(), text: "$a ${a} ${a:regex} $${b.c} $d".to_owned() };
        assert_eq!(question.filled(&[("a", "1"), ("b.c", "2")]), "1 1 1 2 $d");
    }
}
