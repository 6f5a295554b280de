//! How Grafana is told to draw: the `options` and `fieldConfig` of each kind of panel, as its published schema types name them.

use serde_json::{Value, json};

use super::panel::{Panel, View};
use super::table;

impl View {
    /// Grafana's name of the panel.
    pub(super) const fn plugin(&self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Lines | Self::Stacked | Self::Bars => "timeseries",
            Self::Ranking => "bargauge",
            Self::Heatmap => "heatmap",
            Self::Table => "table",
            Self::Trace => "traces",
            Self::Text(_) => "text",
        }
    }

    /// What this kind of panel is told.
    pub(super) fn options(&self, panel: &Panel) -> Value {
        let last = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
        match self {
            Self::Stat => json!({
                "colorMode": "value", "graphMode": if panel.is_of_the_whole_time() { "none" } else { "area" }, "justifyMode": "auto", "orientation": "auto", "percentChangeColorMode": "standard",
                "reduceOptions": last, "showPercentChange": false, "textMode": "auto", "wideLayout": true,
            }),
            Self::Lines | Self::Stacked | Self::Bars => json!({
                "legend": {"calcs": ["max", "lastNotNull"], "displayMode": "table", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Self::Ranking => json!({
                "displayMode": "basic", "orientation": "horizontal", "valueMode": "color", "namePlacement": "auto", "showUnfilled": true,
                "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8, "maxVizHeight": 300, "reduceOptions": last,
                "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": false},
            }),
            Self::Heatmap => json!({
                "calculate": false, "cellGap": 1,
                "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "reverse": false},
                "exemplars": {"color": "rgba(255,0,255,0.7)"}, "filterValues": {"le": 1e-9}, "legend": {"show": true},
                "rowsFrame": {"layout": "auto"}, "showValue": "never",
                "tooltip": {"mode": "single", "yHistogram": false, "showColorScale": false},
                "yAxis": {"axisPlacement": "left", "reverse": false, "unit": panel.unit},
            }),
            Self::Table => {
                let sorted: Vec<Value> = panel.sorted.iter().map(|column| json!({"displayName": column, "desc": true})).collect();
                json!({"cellHeight": "sm", "showHeader": true, "sortBy": sorted})
            }
            Self::Trace => json!({}),
            Self::Text(markdown) => json!({
                "mode": "markdown", "content": markdown, "code": {"language": "plaintext", "showLineNumbers": false, "showMiniMap": false},
            }),
        }
    }

    /// Unit, colours, text for nothing, and what is special about single fields.
    pub(super) fn fields(&self, panel: &Panel) -> Value {
        let mut defaults = json!({
            "unit": panel.unit,
            "noValue": panel.empty,
            "color": {"mode": self.colours(panel)},
            "thresholds": {"mode": "absolute", "steps": steps(panel)},
            "mappings": [],
            "links": panel.link.iter().map(|(title, url)| json!({"title": title, "url": url, "targetBlank": false})).collect::<Vec<_>>(),
        });
        if let Some(custom) = self.custom() {
            defaults["custom"] = custom;
        }
        if matches!(self, Self::Stat | Self::Lines | Self::Stacked | Self::Bars | Self::Ranking) {
            defaults["min"] = json!(0);
        }
        if let Some(max) = panel.max {
            defaults["max"] = json!(max);
        }
        json!({"defaults": defaults, "overrides": table::overrides(&panel.columns)})
    }

    const fn colours(&self, panel: &Panel) -> &'static str {
        match self {
            Self::Stat => "thresholds",
            Self::Ranking if panel.steps.is_empty() => "continuous-BlPu",
            Self::Ranking | Self::Table => "thresholds",
            Self::Lines | Self::Stacked | Self::Bars | Self::Heatmap | Self::Trace | Self::Text(_) => "palette-classic",
        }
    }

    fn custom(&self) -> Option<Value> {
        let (style, fill, stacking) = match self {
            Self::Lines => ("line", 8, "none"),
            Self::Stacked => ("line", 40, "normal"),
            Self::Bars => ("bars", 80, "normal"),
            Self::Heatmap => {
                return Some(json!({
                    "scaleDistribution": {"type": "linear"}, "hideFrom": {"legend": false, "tooltip": false, "viz": false},
                }));
            }
            Self::Table => {
                return Some(json!({"align": "auto", "cellOptions": {"type": "auto"}, "inspect": false, "filterable": true}));
            }
            Self::Stat | Self::Ranking | Self::Trace | Self::Text(_) => return None,
        };
        Some(json!({
            "drawStyle": style, "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never", "spanNulls": false,
            "pointSize": 5, "stacking": {"mode": stacking, "group": "A"}, "axisPlacement": "auto", "axisBorderShow": false,
            "gradientMode": "none", "scaleDistribution": {"type": "linear"}, "thresholdsStyle": {"mode": "off"},
            "hideFrom": {"legend": false, "tooltip": false, "viz": false},
        }))
    }
}

fn steps(panel: &Panel) -> Vec<Value> {
    let base = if panel.steps.is_empty() { "text" } else { "green" };
    let rest = panel.steps.iter().map(|(value, colour)| json!({"color": colour, "value": value}));
    [json!({"color": base, "value": null})].into_iter().chain(rest).collect()
}
