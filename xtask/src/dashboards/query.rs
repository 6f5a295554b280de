//! PromQL made of the vocabulary: a metric that is not in the table, of another kind, or without the label that is asked for is a fault of
//! the query, and a dashboard with a fault is not written. What can only be counted up can only be asked for through `rate` or `increase`.
//!
//! It knows no panels ([`super::panel`]) and asks nobody: whether a query returns something is shown by running it.

use std::collections::BTreeSet;
use std::marker::PhantomData;

use lifecycle::names::{Entry, Kind};

/// The window of a rate, which Grafana fits to the resolution of the panel and the scrapes.
const RATE: &str = "$__rate_interval";

/// Labels that a scrape adds to every series: of the job, of the place, of the cluster where somebody says which.
const OF_THE_TARGET: [&str; 3] = ["cluster", "instance", "job"];

/// The label with the node's name, which a scrape adds to the series of an agent.
pub(super) const NODE: &str = "node";

/// A value that goes up and down.
pub(super) struct Gauge;
/// A value that only grows.
pub(super) struct Counter;
/// A distribution.
pub(super) struct Histogram;

/// The series of one metric, all those of the chosen cluster unless narrowed.
pub(super) struct Series<K> {
    name: String,
    labels: BTreeSet<String>,
    matchers: Vec<String>,
    faults: Vec<String>,
    kind: PhantomData<K>,
}

/// An expression, the labels that its series have, and what is wrong with it.
#[derive(Clone, Debug)]
pub(super) struct Query {
    text: String,
    labels: BTreeSet<String>,
    faults: Vec<String>,
    /// Whether it must be put in parentheses before something else is done with it.
    open: bool,
}

/// A gauge of this name.
pub(super) fn gauge(name: &str) -> Series<Gauge> {
    series(name, |kind, name| {
        matches!(kind, Kind::Gauge | Kind::AgentGauge) || (kind == Kind::Process && !name.ends_with("_total"))
    })
}

/// A gauge of this name, of whichever cluster.
pub(super) fn everywhere(name: &str) -> Series<Gauge> {
    Series { matchers: Vec::new(), ..gauge(name) }
}

/// A counter of this name.
pub(super) fn counter(name: &str) -> Series<Counter> {
    series(name, |kind, name| {
        matches!(kind, Kind::Counter | Kind::AgentCounter) || (kind == Kind::Process && name.ends_with("_total"))
    })
}

/// A histogram of this name.
pub(super) fn histogram(name: &str) -> Series<Histogram> {
    series(name, |kind, _| matches!(kind, Kind::Histogram | Kind::AgentHistogram))
}

fn series<K>(name: &str, fits: fn(Kind, &str) -> bool) -> Series<K> {
    let mut series = Series {
        name: name.to_owned(),
        labels: OF_THE_TARGET.map(str::to_owned).into(),
        matchers: vec!["cluster=~\"$cluster\"".to_owned()],
        faults: Vec::new(),
        kind: PhantomData,
    };
    match Entry::of(name) {
        None => series.faults.push(format!("`{name}` is not in lifecycle::names")),
        Some(entry) if !fits(entry.kind, name) => series.faults.push(format!("`{name}` is a {}", entry.kind.as_str())),
        Some(entry) => {
            series.name = entry.prometheus();
            series.labels.extend(entry.labels.iter().map(|label| label.replace('.', "_")));
            if is_of_an_agent(entry.kind) {
                series.labels.insert(NODE.to_owned());
            }
        }
    }
    series
}

fn is_of_an_agent(kind: Kind) -> bool {
    matches!(kind, Kind::AgentGauge | Kind::AgentCounter | Kind::AgentHistogram | Kind::Process)
}

impl<K> Series<K> {
    /// Those whose label has this value.
    pub(super) fn with(self, label: &str, value: &str) -> Self {
        self.narrowed(label, "=", value)
    }

    /// Those whose label matches this expression, such as that of a variable.
    pub(super) fn matching(self, label: &str, expression: &str) -> Self {
        self.narrowed(label, "=~", expression)
    }

    /// Those of another metric too.
    pub(super) fn and_named(mut self, name: &str) -> Self {
        if Entry::of(name).is_none() {
            self.faults.push(format!("`{name}` is not in lifecycle::names"));
        }
        let names = format!("__name__=~\"{}|{name}\"", std::mem::take(&mut self.name));
        self.matchers.insert(0, names);
        self
    }

    /// The series themselves, for who wants to know their labels.
    pub(super) fn labelled(self, label: &str) -> Query {
        let mut query = self.query(self.selector(""));
        if !query.has(label) {
            query.faults.push(format!("`{}` has no label `{label}`", self.name));
        }
        query
    }

    fn narrowed(mut self, label: &str, how: &str, value: &str) -> Self {
        if !self.labels.contains(label) {
            self.faults.push(format!("`{}` has no label `{label}`", self.name));
        }
        self.matchers.push(format!("{label}{how}\"{value}\""));
        self
    }

    fn selector(&self, suffix: &str) -> String {
        let matchers = self.matchers.join(",");
        if matchers.is_empty() { format!("{}{suffix}", self.name) } else { format!("{}{suffix}{{{matchers}}}", self.name) }
    }

    fn query(&self, text: String) -> Query {
        Query { text, labels: self.labels.clone(), faults: self.faults.clone(), open: false }
    }
}

impl Series<Gauge> {
    /// Its value now.
    pub(super) fn now(self) -> Query {
        self.query(self.selector(""))
    }

    /// How long ago the time is that it tells.
    pub(super) fn ago(self) -> Query {
        let query = self.query(format!("time() - {}", self.selector("")));
        Query { open: true, ..query }
    }

    /// How often it changed in this window.
    pub(super) fn changes(self, window: &str) -> Query {
        self.query(format!("changes({}[{window}])", self.selector("")))
    }
}

impl Series<Counter> {
    /// Its growth a second.
    pub(super) fn rate(self) -> Query {
        self.query(format!("rate({}[{RATE}])", self.selector("")))
    }

    /// Its growth in this window.
    pub(super) fn increase(self, window: &str) -> Query {
        self.query(format!("increase({}[{window}])", self.selector("")))
    }
}

impl Series<Histogram> {
    /// This quantile of what was observed lately, for each of these labels.
    pub(super) fn quantile(self, quantile: f64, by: &[&str]) -> Query {
        self.quantile_over(quantile, by, RATE)
    }

    /// This quantile of what was observed in this window.
    pub(super) fn quantile_over(self, quantile: f64, by: &[&str], window: &str) -> Query {
        let buckets = self.query(format!("rate({}[{window}])", self.selector("_bucket"))).with_le();
        let by: Vec<&str> = by.iter().copied().chain(["le"]).collect();
        let mut query = buckets.sum_by(&by);
        query.labels.remove("le");
        Query { text: format!("histogram_quantile({quantile}, {})", query.text), ..query }
    }

    /// How many were observed in each bucket, for a heatmap.
    pub(super) fn buckets(self) -> Query {
        self.query(format!("increase({}[{RATE}])", self.selector("_bucket"))).with_le().sum_by(&["le"])
    }

    /// The sum of what was observed, a second.
    pub(super) fn sum_rate(self) -> Query {
        self.query(format!("rate({}[{RATE}])", self.selector("_sum")))
    }

    /// The sum of what was observed in this window.
    pub(super) fn sum_increase(self, window: &str) -> Query {
        self.query(format!("increase({}[{window}])", self.selector("_sum")))
    }

    /// How many were observed in this window.
    pub(super) fn count_increase(self, window: &str) -> Query {
        self.query(format!("increase({}[{window}])", self.selector("_count")))
    }
}

impl Query {
    /// The expression.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// What is wrong with it.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Whether its series have this label.
    pub(super) fn has(&self, label: &str) -> bool {
        self.labels.contains(label)
    }

    /// All series together.
    pub(super) fn sum(self) -> Self {
        self.aggregated("sum", &[])
    }

    /// Together for each of these labels.
    pub(super) fn sum_by(self, by: &[&str]) -> Self {
        self.aggregated("sum", by)
    }

    /// The largest for each of these labels.
    pub(super) fn max_by(self, by: &[&str]) -> Self {
        self.aggregated("max", by)
    }

    /// The largest.
    pub(super) fn max(self) -> Self {
        self.aggregated("max", &[])
    }

    /// The mean.
    pub(super) fn avg(self) -> Self {
        self.aggregated("avg", &[])
    }

    /// How many there are.
    pub(super) fn count(self) -> Self {
        self.aggregated("count", &[])
    }

    /// The largest so many.
    pub(super) fn top(self, most: u8) -> Self {
        Self { text: format!("topk({most}, {})", self.text), open: false, ..self }
    }

    /// Only where the value is this.
    pub(super) fn is(self, value: f64) -> Self {
        self.compared("==", value)
    }

    /// Multiplied by what a variable says, of so many.
    pub(super) fn priced(self, variable: &str, of: f64) -> Self {
        let text = format!("{} / {of} * ${variable}", self.closed());
        Self { text, open: true, ..self }
    }

    /// 0 where there is no series at all.
    pub(super) fn or_zero(self) -> Self {
        let text = format!("{} or vector(0)", self.closed());
        Self { text, open: true, ..self }
    }

    /// The other where this one has no series of the same labels.
    pub(super) fn or(self, other: Self) -> Self {
        self.joined("or", other)
    }

    /// So many times as much.
    pub(super) fn times(self, factor: u16) -> Self {
        let text = format!("{} * {factor}", self.closed());
        Self { text, open: true, ..self }
    }

    /// Divided, of the same labels. 0 / 0 is no number, which a panel shows as its text for no data.
    pub(super) fn per(self, other: Self) -> Self {
        self.joined("/", other)
    }

    /// Only of scraped processes that have the other series too.
    pub(super) fn where_scraped_with(self, other: Self) -> Self {
        let faults = [self.faults.clone(), other.faults.clone()].concat();
        let text = format!("{} and on (job, instance) {}", self.closed(), other.closed());
        Self { text, faults, open: true, ..self }
    }

    fn with_le(mut self) -> Self {
        self.labels.insert("le".to_owned());
        self
    }

    fn aggregated(mut self, how: &str, by: &[&str]) -> Self {
        for label in by.iter().filter(|label| !self.labels.contains(**label)) {
            self.faults.push(format!("nothing in `{}` has a label `{label}`", self.text));
        }
        let grouping = if by.is_empty() { String::new() } else { format!(" by ({})", by.join(", ")) };
        let labels = by.iter().map(|label| (*label).to_owned()).collect();
        Self { text: format!("{how}{grouping} ({})", self.text), labels, faults: self.faults, open: false }
    }

    fn compared(self, how: &str, value: f64) -> Self {
        let text = format!("{} {how} {value}", self.closed());
        Self { text, open: true, ..self }
    }

    fn joined(mut self, how: &str, other: Self) -> Self {
        if self.labels != other.labels {
            self.faults.push(format!("`{}` and `{}` have different labels", self.text, other.text));
        }
        self.faults.extend(other.faults.iter().cloned());
        let text = format!("{} {how} {}", self.closed(), other.closed());
        Self { text, open: true, ..self }
    }

    fn closed(&self) -> String {
        if self.open { format!("({})", self.text) } else { self.text.clone() }
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::names;

    use super::*;

    #[test]
    fn a_name_that_is_not_in_the_table_is_a_fault() {
        assert_eq!(gauge("pulltrace_pulls_actve").now().faults(), ["`pulltrace_pulls_actve` is not in lifecycle::names"]);
        assert!(gauge(names::METRIC_ACTIVE).now().faults().is_empty());
    }

    #[test]
    fn a_counter_is_no_gauge_and_no_histogram() {
        assert_eq!(gauge(names::METRIC_PULLS).now().faults(), ["`pulltrace_pulls_total` is a counter"]);
        assert_eq!(histogram(names::METRIC_PULLS).sum_rate().faults().len(), 1);
        assert_eq!(counter(names::PROCESS_MEMORY).rate().faults().len(), 1);
        assert!(counter(names::PROCESS_CPU).rate().faults().is_empty());
    }

    #[test]
    fn a_label_that_the_metric_does_not_have_is_a_fault_wherever_it_stands() {
        assert_eq!(counter(names::METRIC_PULLS).with("outcom", "ready").rate().faults().len(), 1);
        assert_eq!(counter(names::METRIC_PULLS).rate().sum_by(&["class"]).faults().len(), 1);
        assert_eq!(counter(names::METRIC_PULLS).rate().sum_by(&["registry"]).sum_by(&["outcome"]).faults().len(), 1);
        assert_eq!(histogram(names::METRIC_POD_WAIT).quantile(0.5, &["registry"]).faults().len(), 1);
        let rate = |by: &[&str]| counter(names::METRIC_PULLS).rate().sum_by(by);
        assert_eq!(rate(&["registry"]).per(rate(&["outcome"])).faults().len(), 1);
    }

    #[test]
    fn names_of_an_agent_are_those_of_its_metrics_page() {
        let query = counter(names::AGENT_METRIC_IO).with("pulltrace_layer_source", "registry").rate().sum_by(&[NODE]);
        assert_eq!(
            query.text(),
            "sum by (node) (rate(pulltrace_layer_download_io_bytes_total{cluster=~\"$cluster\",pulltrace_layer_source=\"registry\"}\
             [$__rate_interval]))"
        );
        assert!(query.faults().is_empty());
    }

    #[test]
    fn what_is_done_to_an_expression_is_done_to_all_of_it() {
        let pulls = || gauge(names::METRIC_ACTIVE).now().sum();
        assert_eq!(
            pulls().or_zero().per(pulls()).priced("price", 1e9).text(),
            "((sum (pulltrace_pulls_active{cluster=~\"$cluster\"}) or vector(0)) / sum (pulltrace_pulls_active{cluster=~\"$cluster\"})) / \
             1000000000 * $price"
        );
    }

    #[test]
    fn a_quantile_keeps_the_labels_that_it_is_asked_for() {
        let query = histogram(names::METRIC_DURATION).quantile(0.95, &["registry"]);
        assert_eq!(
            query.text(),
            "histogram_quantile(0.95, sum by (registry, le) (rate(pulltrace_pull_duration_seconds_bucket{cluster=~\"$cluster\"}\
             [$__rate_interval])))"
        );
        assert!(query.has("registry") && !query.has("le"));
    }
}
