//! One dashboard: its variables, its rows of panels laid out from left to right, and how it leads to its sisters. Classic JSON, schema 42,
//! which Grafana 10 to 13 read.

use serde_json::{Value, json};

use super::panel::Panel;
use super::query::Query;

/// Version of the classic schema.
const SCHEMA: u8 = 42;
/// Columns of a dashboard.
const WIDTH: u64 = 24;
/// What all of ours are found by.
const TAG: &str = "pulltrace";

/// A row of panels under one heading.
pub(super) struct Row {
    /// The question that its panels answer together.
    pub(super) title: &'static str,
    pub(super) panels: Vec<Panel>,
}

/// What the viewer may choose.
#[derive(Clone, Debug)]
pub(super) enum Variable {
    /// A source of this type, by this name.
    Source { name: &'static str, label: &'static str, plugin: &'static str },
    /// The values of a label of some series, of which all are chosen at first.
    Label { name: &'static str, label: &'static str, of: Query, many: bool },
    /// A text.
    Text { name: &'static str, label: &'static str, value: &'static str },
}

/// Marks on the time axis.
pub(super) struct Annotation {
    pub(super) name: &'static str,
    pub(super) colour: &'static str,
    /// Whether it is asked for before somebody switches it on.
    pub(super) on: bool,
    pub(super) source: (&'static str, &'static str),
    pub(super) expr: String,
    pub(super) title: String,
    pub(super) text: String,
    pub(super) faults: Vec<String>,
}

/// A dashboard.
pub(super) struct Board {
    /// Its address and the name of its file: stable, because people and alerts link to it.
    pub(super) uid: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) from: &'static str,
    pub(super) variables: Vec<Variable>,
    pub(super) annotations: Vec<Annotation>,
    pub(super) rows: Vec<Row>,
}

/// Where a panel stands.
pub(super) struct Place<'a> {
    pub(super) panel: &'a Panel,
    pub(super) x: u64,
    pub(super) y: u64,
}

/// What stands at a height: a heading, or panels.
pub(super) enum Part<'a> {
    Heading { title: &'static str, y: u64 },
    Panel(Place<'a>),
}

impl Board {
    /// The file that it is written to.
    pub(super) fn file(&self) -> String {
        format!("dashboards/{}.json", self.uid)
    }

    /// What is wrong with what it asks.
    pub(super) fn faults(&self) -> Vec<String> {
        let of_variable = |variable: &Variable| match variable {
            Variable::Label { of, .. } => of.faults().to_vec(),
            Variable::Source { .. } | Variable::Text { .. } => Vec::new(),
        };
        let variables = self.variables.iter().flat_map(of_variable);
        let marks = self.annotations.iter().flat_map(|mark| mark.faults.iter().cloned());
        self.panels().flat_map(Panel::faults).chain(variables).chain(marks).collect()
    }

    /// All panels.
    pub(super) fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }

    /// Headings and panels with their places, from top to bottom.
    pub(super) fn layout(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        let mut y = 0;
        for row in &self.rows {
            if !row.title.is_empty() {
                parts.push(Part::Heading { title: row.title, y });
                y += 1;
            }
            let (mut x, mut height) = (0, 0);
            for panel in &row.panels {
                let (w, h) = (u64::from(panel.size.0), u64::from(panel.size.1));
                if x + w > WIDTH {
                    (x, y, height) = (0, y + height, 0);
                }
                parts.push(Part::Panel(Place { panel, x, y }));
                (x, height) = (x + w, height.max(h));
            }
            y += height;
        }
        parts
    }

    /// The file's content.
    pub(super) fn json(&self) -> Value {
        let panels: Vec<Value> = (1..).zip(self.layout()).map(|(id, part)| part.json(id)).collect();
        let variables: Vec<Value> = self.variables.iter().map(Variable::json).collect();
        let annotations: Vec<Value> = self.annotations.iter().map(Annotation::json).collect();
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "fiscalYearStartMonth": 0,
            "liveNow": false,
            "preload": false,
            "refresh": "10s",
            "time": {"from": self.from, "to": "now"},
            "timepicker": {},
            "timezone": "browser",
            "weekStart": "",
            "links": [{
                "title": "Pulltrace", "type": "dashboards", "tags": [TAG], "asDropdown": true, "includeVars": true, "keepTime": true,
                "targetBlank": false, "icon": "external link", "tooltip": "", "url": "",
            }],
            "annotations": {"list": annotations},
            "templating": {"list": variables},
            "panels": panels,
        })
    }
}

impl Part<'_> {
    fn json(&self, id: usize) -> Value {
        match self {
            Self::Heading { title, y } => json!({
                "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
            }),
            Self::Panel(place) => place.panel.json(id, place.x, place.y),
        }
    }
}

impl Variable {
    /// Where the metrics are.
    pub(super) const PROMETHEUS: Self = Self::Source { name: "datasource", label: "Metrics", plugin: "prometheus" };
    /// Where the traces are.
    pub(super) const TEMPO: Self = Self::Source { name: "tempo", label: "Traces", plugin: "tempo" };
    /// Where the records are; may be missing.
    pub(super) const LOKI: Self = Self::Source { name: "loki", label: "Logs", plugin: "loki" };

    /// What stands beside it.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Source { label, .. } | Self::Label { label, .. } | Self::Text { label, .. } => label,
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Source { name, label, plugin } => json!({
                "type": "datasource", "name": name, "label": label, "query": plugin, "regex": "", "refresh": 1, "hide": 0, "multi": false,
                "includeAll": false, "skipUrlSync": false, "options": [], "current": {},
            }),
            Self::Label { name, label, of, many } => {
                let query = format!("label_values({}, {name})", of.text());
                json!({
                    "type": "query", "name": name, "label": label, "hide": 0, "multi": many, "includeAll": true, "allValue": ".*",
                    "datasource": {"type": "prometheus", "uid": "${datasource}"},
                    "query": {"query": query, "refId": "Variable", "qryType": 1}, "refresh": 2, "regex": "", "sort": 1, "skipUrlSync": false,
                    "options": [], "current": {"selected": true, "text": "All", "value": "$__all"},
                })
            }
            Self::Text { name, label, value } => json!({
                "type": "textbox", "name": name, "label": label, "hide": 0, "query": value, "skipUrlSync": false,
                "options": [{"selected": true, "text": value, "value": value}],
                "current": {"selected": true, "text": value, "value": value},
            }),
        }
    }
}

impl Annotation {
    fn json(&self) -> Value {
        let (plugin, variable) = self.source;
        let mut mark = json!({
            "name": self.name, "datasource": {"type": plugin, "uid": format!("${{{variable}}}")}, "enable": self.on, "hide": false,
            "iconColor": self.colour, "expr": self.expr, "titleFormat": self.title, "textFormat": self.text,
        });
        if plugin == "prometheus" {
            mark["step"] = json!("30s");
            mark["useValueForTime"] = json!(false);
        }
        mark
    }
}
