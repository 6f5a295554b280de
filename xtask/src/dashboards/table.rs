//! The columns of a table: which field each shows, under which name, how, and where it leads. From them follow the transformations that put
//! the answers of several queries side by side, and what is special about each field.

use serde_json::{Map, Value, json};

/// How a cell is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Plain,
    Bar,
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Label, attribute, or `Value` of a query.
    field: String,
    /// What stands above it.
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    pub(super) width: Option<u16>,
    cell: Cell,
    links: Vec<(&'static str, String)>,
    /// Whether the source hides the field unless it is told otherwise.
    hidden: bool,
}

impl Column {
    /// A label of the series, or an attribute of the spans.
    pub(super) fn label(field: &str, title: &'static str) -> Self {
        Self { field: field.to_owned(), title, unit: "", width: None, cell: Cell::Plain, links: Vec::new(), hidden: false }
    }

    /// The trace's id, which Tempo's answers have hidden in them.
    pub(super) fn trace() -> Self {
        Self { hidden: true, ..Self::label("traceIdHidden", "Trace") }
    }

    /// The value of the query with this letter.
    pub(super) fn value(query: &str, title: &'static str, unit: &'static str) -> Self {
        Self { unit, ..Self::label(&format!("Value #{query}"), title) }
    }

    /// An attribute with a unit.
    pub(super) fn unit(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// A share, as a bar.
    pub(super) fn bar(self) -> Self {
        Self { cell: Cell::Bar, ..self }
    }

    /// So many pixels wide.
    pub(super) fn width(self, pixels: u16) -> Self {
        Self { width: Some(pixels), ..self }
    }

    /// A click leads there.
    pub(super) fn leads(mut self, title: &'static str, url: String) -> Self {
        self.links.push((title, url));
        self
    }

    /// Whether its cells are bars.
    pub(super) fn is_bar(&self) -> bool {
        self.cell == Cell::Bar
    }

    fn field(&self, queries: usize) -> &str {
        // Grafana names the value of a single query just so.
        if queries == 1 && self.field == "Value #A" { "Value" } else { &self.field }
    }
}

/// One row for each set of labels, and only the columns that are named, in their order. The answers of Tempo have their columns already: they
/// are only named.
pub(super) fn transformations(columns: &[Column], queries: usize) -> Value {
    let fields = || columns.iter().map(|column| column.field(queries));
    let mut order = Map::new();
    let mut names = Map::new();
    for (at, (column, field)) in columns.iter().zip(fields()).enumerate() {
        order.insert(field.to_owned(), json!(at));
        names.insert(field.to_owned(), json!(column.title));
    }
    let merge = json!({"id": "merge", "options": {}});
    let keep = json!({"id": "filterFieldsByName", "options": {"include": {"names": fields().collect::<Vec<_>>()}}});
    let organize = json!({"id": "organize", "options": {"excludeByName": {}, "indexByName": order, "renameByName": names}});
    if queries > 1 { json!([merge, keep, organize]) } else { json!([keep, organize]) }
}

/// Units, widths, bars and links.
pub(super) fn overrides(columns: &[Column]) -> Vec<Value> {
    columns.iter().filter_map(special).collect()
}

fn special(column: &Column) -> Option<Value> {
    let mut properties = Vec::new();
    let mut set = |id: &str, value: Value| properties.push(json!({"id": id, "value": value}));
    if !column.unit.is_empty() {
        set("unit", json!(column.unit));
    }
    if let Some(width) = column.width {
        set("custom.width", json!(width));
    }
    if column.hidden {
        set("custom.hidden", json!(false));
        set("custom.hideFrom.viz", json!(false));
    }
    if column.cell == Cell::Bar {
        set("min", json!(0));
        set("max", json!(1));
        set("color", json!({"mode": "continuous-BlPu"}));
        set("custom.cellOptions", json!({"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}));
    }
    if !column.links.is_empty() {
        let links: Vec<Value> =
            column.links.iter().map(|(title, url)| json!({"title": title, "url": url, "targetBlank": false})).collect();
        set("links", json!(links));
    }
    (!properties.is_empty()).then(|| json!({"matcher": {"id": "byName", "options": column.title}, "properties": properties}))
}
