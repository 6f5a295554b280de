//! Metrics as bytes of an `ExportMetricsServiceRequest`: cumulative, with the moment at which counting began. Written for
//! [`super::encode`]; nobody here reads metrics.

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality::Cumulative, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric as Written, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, exemplar, metric::Data, number_data_point,
    },
};
use prost::Message;

use super::{
    SCHEMA_URL,
    attribute::{Attributes, resource, scope},
    root_span,
};
use crate::{
    measure::{Example, Measured, Metric, Series, Spread},
    names,
    pull::Node,
    time::Timestamp,
};

/// What a node measured since `start`, as it stands at `now`: metrics without a series are left out.
pub fn metrics(node: &Node, agent_version: &str, start: Timestamp, now: Timestamp, metrics: &[Metric]) -> Vec<u8> {
    let period = Period { start, now };
    let metrics = metrics.iter().filter_map(|metric| written(metric, period)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: SCHEMA_URL.to_owned() }];
    let resource = Some(resource(node, agent_version));
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, schema_url: SCHEMA_URL.to_owned() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

#[derive(Clone, Copy)]
struct Period {
    start: Timestamp,
    now: Timestamp,
}

fn written(metric: &Metric, period: Period) -> Option<Written> {
    let (mut sums, mut levels, mut spreads) = (Vec::new(), Vec::new(), Vec::new());
    for series in &metric.series {
        match &series.value {
            Measured::Count(count) => sums.push(number(series, *count, period)),
            Measured::Level(level) => levels.push(number(series, *level, period)),
            Measured::Spread(spread) => spreads.push(distribution(series, spread, period)),
        }
    }
    let data = if !sums.is_empty() {
        Data::Sum(Sum { data_points: sums, aggregation_temporality: Cumulative.into(), is_monotonic: true })
    } else if !levels.is_empty() {
        Data::Gauge(Gauge { data_points: levels })
    } else if !spreads.is_empty() {
        Data::Histogram(Histogram { data_points: spreads, aggregation_temporality: Cumulative.into() })
    } else {
        return None;
    };
    let entry = metric.entry;
    Some(Written {
        name: entry.name.to_owned(),
        description: entry.help.to_owned(),
        unit: entry.unit.to_owned(),
        data: Some(data),
        ..Written::default()
    })
}

fn number(series: &Series, number: u64, period: Period) -> NumberDataPoint {
    NumberDataPoint {
        attributes: labels(series).into_vec(),
        start_time_unix_nano: period.start.as_nanos(),
        time_unix_nano: period.now.as_nanos(),
        value: Some(number_data_point::Value::AsInt(i64::try_from(number).unwrap_or(i64::MAX))),
        ..NumberDataPoint::default()
    }
}

fn distribution(series: &Series, spread: &Spread, period: Period) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: labels(series).into_vec(),
        start_time_unix_nano: period.start.as_nanos(),
        time_unix_nano: period.now.as_nanos(),
        count: spread.count(),
        sum: Some(spread.sum),
        bucket_counts: spread.counts.clone(),
        explicit_bounds: spread.bounds.to_vec(),
        exemplars: spread.example.iter().map(exemplar).collect(),
        ..HistogramDataPoint::default()
    }
}

fn exemplar(example: &Example) -> Exemplar {
    Exemplar {
        time_unix_nano: example.at.as_nanos(),
        trace_id: example.trace.as_bytes().to_vec(),
        span_id: root_span(example.trace).as_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(example.value)),
        ..Exemplar::default()
    }
}

fn labels(series: &Series) -> Attributes {
    let mut attributes = Attributes::default();
    for (name, value) in &series.labels {
        if *name == names::METRIC_OVERFLOW {
            attributes.boolean(name, true);
        } else {
            attributes.text(name, value);
        }
    }
    attributes
}
