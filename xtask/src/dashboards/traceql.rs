//! TraceQL made of the vocabulary, as [`super::query`] is for PromQL: spans and attributes that are not in the table are faults.

use lifecycle::names::{Entry, Kind};
use serde_json::{Value, json};

/// What Tempo is asked for.
#[derive(Clone, Debug)]
pub(super) struct Search {
    conditions: Vec<String>,
    shown: Vec<String>,
    faults: Vec<String>,
    most: u16,
    per_trace: u16,
}

/// One whole trace, by its id.
pub(super) fn trace(id: &str) -> Search {
    Search { conditions: vec![id.to_owned()], shown: Vec::new(), faults: Vec::new(), most: 0, per_trace: 0 }
}

/// Spans of this name.
pub(super) fn spans(name: &str) -> Search {
    let known = Entry::of(name).is_some_and(|entry| entry.kind == Kind::Span);
    Search {
        conditions: vec![format!("name = \"{name}\"")],
        shown: Vec::new(),
        faults: if known { Vec::new() } else { vec![format!("`{name}` is not a span of lifecycle::names")] },
        most: 20,
        per_trace: 1,
    }
}

impl Search {
    /// Only in the trace of this id.
    pub(super) fn of_trace(mut self, id: &str) -> Self {
        self.conditions.push(format!("trace:id = \"{id}\""));
        self
    }

    /// Only where the attribute compares like this, `=~ "$registry"`.
    pub(super) fn only(mut self, attribute: &str, comparison: &str) -> Self {
        let attribute = self.scoped(attribute);
        self.conditions.push(format!("{attribute} {comparison}"));
        self
    }

    /// Only what lasted longer.
    pub(super) fn longer_than(mut self, duration: &str) -> Self {
        self.conditions.push(format!("duration > {duration}"));
        self
    }

    /// Only what failed.
    pub(super) fn failed(mut self) -> Self {
        self.conditions.push("status = error".to_owned());
        self
    }

    /// With these attributes beside each span.
    pub(super) fn showing(mut self, attributes: &[&str]) -> Self {
        self.shown = attributes.iter().map(|attribute| self.scoped(attribute)).collect();
        self
    }

    /// At most so many traces, and of each so many spans.
    pub(super) fn at_most(self, traces: u16, spans: u16) -> Self {
        Self { most: traces, per_trace: spans, ..self }
    }

    /// What is wrong with it.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The query: an id alone asks for that trace.
    pub(super) fn text(&self) -> String {
        if self.most == 0 {
            return self.conditions.concat();
        }
        let shown = if self.shown.is_empty() { String::new() } else { format!(" | select({})", self.shown.join(", ")) };
        format!("{{ {} }}{shown}", self.conditions.join(" && "))
    }

    /// The query as Grafana reads it.
    pub(super) fn json(&self, ref_id: &str) -> Value {
        let datasource = json!({"type": "tempo", "uid": "${tempo}"});
        let mut target =
            json!({"datasource": datasource, "refId": ref_id, "queryType": "traceql", "query": self.text(), "filters": []});
        if self.most > 0 {
            target["limit"] = json!(self.most);
            target["spss"] = json!(self.per_trace);
            target["tableType"] = json!("spans");
        }
        target
    }

    fn scoped(&mut self, attribute: &str) -> String {
        let scope = match Entry::of(attribute).map(|entry| entry.kind) {
            Some(Kind::Attribute) => "span",
            Some(Kind::Resource) => "resource",
            Some(_) | None => {
                self.faults.push(format!("`{attribute}` is not an attribute of lifecycle::names"));
                "span"
            }
        };
        format!("{scope}.{attribute}")
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::names;

    use super::*;

    #[test]
    fn spans_and_attributes_are_those_of_the_vocabulary() {
        let search = spans(names::SPAN_DOWNLOAD).only(names::NODE_NAME, "= \"a\"").showing(&[names::LAYER_SIZE]);
        assert_eq!(
            search.text(),
            "{ name = \"download layer\" && resource.k8s.node.name = \"a\" } | select(span.pulltrace.layer.size)"
        );
        assert!(search.faults().is_empty());
        assert_eq!(spans("download layers").faults().len(), 1);
        assert_eq!(spans(names::SPAN_PULL).showing(&[names::METRIC_PULLS]).faults().len(), 1);
    }

    #[test]
    fn a_trace_is_asked_for_by_its_id_alone() {
        assert_eq!(trace("$traceID").json("A")["query"], "$traceID");
        assert!(trace("$traceID").json("A").get("limit").is_none());
    }
}
