//! One panel: a question, the queries that answer it, and how the answer is drawn. Every panel has a title, a description, a unit and a text
//! for when there is nothing; [`super::lint`] makes sure of it. How each kind of picture is told to Grafana is the business of [`super::view`].

use serde_json::{Value, json};

use super::query::Query;
use super::table::Column;
use super::traceql::Search;

/// How the answer is drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// One number, with its course behind it.
    Stat,
    /// Lines over time.
    Lines,
    /// Areas over time that add up.
    Stacked,
    /// Bars over time that add up.
    Bars,
    /// One bar for each series.
    Ranking,
    /// A distribution over time.
    Heatmap,
    /// Rows and columns.
    Table,
    /// One trace as a waterfall.
    Trace,
    /// Words.
    Text(String),
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// Prometheus.
    Metric {
        /// What.
        query: Query,
        /// The name of its series, `{{label}}` for the value of a label.
        legend: String,
        /// Whether the traces behind the numbers are shown.
        exemplars: bool,
    },
    /// Tempo.
    Trace(Search),
}

/// A colour from a value on.
pub(super) type Step = (f64, &'static str);

/// One panel.
#[derive(Clone, Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) view: View,
    pub(super) unit: &'static str,
    pub(super) targets: Vec<Target>,
    pub(super) empty: String,
    /// Columns of 24, and rows of about 30 pixels.
    pub(super) size: (u8, u8),
    pub(super) steps: Vec<Step>,
    pub(super) max: Option<f64>,
    pub(super) columns: Vec<Column>,
    /// Column by which a table is sorted, largest first.
    pub(super) sorted: Option<&'static str>,
    /// Title and address of what a value leads to.
    pub(super) link: Option<(&'static str, String)>,
}

impl Panel {
    fn new(view: View, title: &str, description: &str, unit: &'static str, size: (u8, u8)) -> Self {
        Self {
            title: title.to_owned(),
            description: description.to_owned(),
            view,
            unit,
            targets: Vec::new(),
            empty: String::new(),
            size,
            steps: Vec::new(),
            max: None,
            columns: Vec::new(),
            sorted: None,
            link: None,
        }
    }

    /// One number.
    pub(super) fn stat(title: &str, description: &str, unit: &'static str, query: Query) -> Self {
        Self::new(View::Stat, title, description, unit, (4, 4)).and(query, "")
    }

    /// Lines over time.
    pub(super) fn lines(title: &str, description: &str, unit: &'static str) -> Self {
        Self::new(View::Lines, title, description, unit, (12, 8))
    }

    /// Areas over time that add up.
    pub(super) fn stacked(title: &str, description: &str, unit: &'static str) -> Self {
        Self::new(View::Stacked, title, description, unit, (12, 8))
    }

    /// Bars over time that add up.
    pub(super) fn bars(title: &str, description: &str, unit: &'static str) -> Self {
        Self::new(View::Bars, title, description, unit, (12, 8))
    }

    /// One bar for each series.
    pub(super) fn ranking(title: &str, description: &str, unit: &'static str) -> Self {
        Self::new(View::Ranking, title, description, unit, (8, 8))
    }

    /// A distribution over time.
    pub(super) fn heatmap(title: &str, description: &str, unit: &'static str, buckets: Query) -> Self {
        Self::new(View::Heatmap, title, description, unit, (12, 8)).and(buckets, "{{le}}")
    }

    /// Rows and columns, filled by one query for each value.
    pub(super) fn table(title: &str, description: &str, columns: Vec<Column>) -> Self {
        let unit = columns.iter().map(|column| column.unit).find(|unit| !unit.is_empty()).unwrap_or("string");
        Self { columns, ..Self::new(View::Table, title, description, unit, (24, 8)) }
    }

    /// One trace as a waterfall.
    pub(super) fn trace(title: &str, description: &str, search: Search) -> Self {
        Self { targets: vec![Target::Trace(search)], ..Self::new(View::Trace, title, description, "ns", (24, 14)) }
    }

    /// Words.
    pub(super) fn text(title: &str, description: &str, markdown: &str) -> Self {
        Self::new(View::Text(markdown.to_owned()), title, description, "none", (24, 3))
    }

    /// Asks this too.
    pub(super) fn and(mut self, query: Query, legend: &str) -> Self {
        self.targets.push(Target::Metric { query, legend: legend.to_owned(), exemplars: false });
        self
    }

    /// Asks this too, with the traces behind it.
    pub(super) fn and_traces(mut self, query: Query, legend: &str) -> Self {
        self.targets.push(Target::Metric { query, legend: legend.to_owned(), exemplars: true });
        self
    }

    /// Asks Tempo.
    pub(super) fn found(mut self, search: Search) -> Self {
        self.targets.push(Target::Trace(search));
        self
    }

    /// What stands there when there is nothing.
    pub(super) fn empty(self, text: &str) -> Self {
        Self { empty: text.to_owned(), ..self }
    }

    /// Columns of 24 and rows.
    pub(super) fn size(self, width: u8, height: u8) -> Self {
        Self { size: (width, height), ..self }
    }

    /// Green, and from each value on its colour.
    pub(super) fn steps(self, steps: &[Step]) -> Self {
        Self { steps: steps.to_vec(), ..self }
    }

    /// The largest value that there can be.
    pub(super) fn limit(self, max: f64) -> Self {
        Self { max: Some(max), ..self }
    }

    /// Largest first by this column.
    pub(super) fn sorted(self, column: &'static str) -> Self {
        Self { sorted: Some(column), ..self }
    }

    /// A value leads there.
    pub(super) fn leads(self, title: &'static str, url: String) -> Self {
        Self { link: Some((title, url)), ..self }
    }

    /// What is wrong with its queries and with what it says of them.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for target in &self.targets {
            match target {
                Target::Metric { query, legend, .. } => {
                    faults.extend(query.faults().iter().cloned());
                    let unknown = placeholders(legend).into_iter().filter(|label| !query.has(label));
                    faults.extend(
                        unknown.map(|label| format!("the legend speaks of `{label}`, which `{}` does not have", query.text())),
                    );
                }
                Target::Trace(search) => faults.extend(search.faults().iter().cloned()),
            }
        }
        faults.into_iter().map(|fault| format!("panel `{}`: {fault}", self.title)).collect()
    }

    /// The panel as Grafana reads it, at this place.
    pub(super) fn json(&self, id: usize, x: u64, y: u64) -> Value {
        let (width, height) = self.size;
        let mut panel = json!({
            "id": id,
            "title": self.title,
            "description": self.description,
            "type": self.view.plugin(),
            "gridPos": {"x": x, "y": y, "w": width, "h": height},
            "transparent": false,
        });
        if let View::Text(_) = self.view {
            panel["options"] = self.view.options(self);
            return panel;
        }
        panel["datasource"] = self.datasource();
        panel["targets"] = (0..).zip(&self.targets).map(|(at, target)| self.target(at, target)).collect();
        panel["fieldConfig"] = self.view.fields(self);
        panel["options"] = self.view.options(self);
        if !self.columns.is_empty() {
            panel["transformations"] = super::table::transformations(&self.columns, self.targets.len());
        }
        panel
    }

    /// Whether it is one number for the whole time shown, which has no course.
    pub(super) fn is_of_the_whole_time(&self) -> bool {
        let whole = |target: &Target| matches!(target, Target::Metric { query, .. } if query.text().contains("[$__range]"));
        self.view == View::Stat && self.targets.iter().any(whole)
    }

    fn datasource(&self) -> Value {
        match self.targets.first() {
            Some(Target::Trace(_)) => json!({"type": "tempo", "uid": "${tempo}"}),
            Some(Target::Metric { .. }) | None => json!({"type": "prometheus", "uid": "${datasource}"}),
        }
    }

    fn target(&self, at: u8, target: &Target) -> Value {
        let ref_id = char::from(b'A' + at).to_string();
        match target {
            Target::Trace(search) => search.json(&ref_id),
            Target::Metric { query, legend, exemplars } => {
                let now = matches!(self.view, View::Table | View::Ranking) || self.is_of_the_whole_time();
                let format = match self.view {
                    View::Table => "table",
                    View::Heatmap => "heatmap",
                    View::Stat | View::Lines | View::Stacked | View::Bars | View::Ranking | View::Trace | View::Text(_) => {
                        "time_series"
                    }
                };
                let legend = if legend.is_empty() { &self.title } else { legend };
                json!({
                    "datasource": self.datasource(), "refId": ref_id, "expr": query.text(), "legendFormat": legend, "format": format,
                    "editorMode": "code", "instant": now, "range": !now, "exemplar": exemplars,
                })
            }
        }
    }
}

/// The labels in `{{label}} at {{other}}`.
fn placeholders(legend: &str) -> Vec<&str> {
    legend.split("{{").skip(1).filter_map(|rest| rest.split_once("}}")).map(|(label, _)| label.trim()).collect()
}

#[cfg(test)]
mod tests {
    use lifecycle::names;

    use super::*;
    use crate::dashboards::query::gauge;

    #[test]
    fn a_legend_can_only_speak_of_labels_that_are_there() {
        let query = || gauge(names::METRIC_IN_PHASE).now().sum_by(&["phase"]);
        let faults = |legend: &str| Panel::lines("A", "B", "short").and(query(), legend).faults();
        assert!(faults("{{phase}}").is_empty());
        assert_eq!(faults("{{fase}}").len(), 1);
    }

    #[test]
    fn a_table_asks_for_the_present_and_a_graph_for_the_course() {
        let query = || gauge(names::METRIC_ACTIVE).now().sum();
        let table = Panel::table("A", "B", vec![Column::value("A", "n", "short")]).and(query(), "").json(1, 0, 0);
        assert_eq!((&table["targets"][0]["instant"], &table["targets"][0]["format"]), (&json!(true), &json!("table")));
        let graph = Panel::lines("A", "B", "short").and(query(), "").json(1, 0, 0);
        assert_eq!((&graph["targets"][0]["range"], &graph["targets"][0]["refId"]), (&json!(true), &json!("A")));
    }
}
