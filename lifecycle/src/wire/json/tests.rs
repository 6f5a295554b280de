//! What JSON must survive: every field there is, every liberty that the specification takes, and everything that is none.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point, summary_data_point::ValueAtQuantile,
    },
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link},
    },
};
use prost::Message as _;

use super::*;

fn attribute(value: Value) -> KeyValue {
    KeyValue { key: "k".into(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

/// One attribute of every type.
fn attributes() -> Vec<KeyValue> {
    let inner = vec![AnyValue { value: Some(Value::BoolValue(true)) }, AnyValue { value: Some(Value::IntValue(-1)) }];
    vec![
        attribute(Value::StringValue("é\"\n".into())),
        attribute(Value::IntValue(i64::MIN)),
        attribute(Value::DoubleValue(0.1)),
        attribute(Value::BytesValue(vec![0, 255, 62, 63, 7])),
        attribute(Value::ArrayValue(ArrayValue { values: inner })),
        attribute(Value::KvlistValue(KeyValueList { values: vec![attribute(Value::BoolValue(false))] })),
    ]
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: attributes(), dropped_attributes_count: 3, entity_refs: vec![] })
}

fn scope() -> Option<InstrumentationScope> {
    let (name, version) = ("n".into(), "v".into());
    Some(InstrumentationScope { name, version, attributes: attributes(), dropped_attributes_count: 4 })
}

fn logs() -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: u64::MAX,
        observed_time_unix_nano: 2,
        severity_number: 9,
        severity_text: "INFO".into(),
        body: Some(AnyValue { value: Some(Value::StringValue("b".into())) }),
        attributes: attributes(),
        dropped_attributes_count: u32::MAX,
        flags: 1,
        trace_id: vec![0xab; 16],
        span_id: vec![0xcd; 8],
        event_name: "e".into(),
    };
    let scope_logs = vec![ScopeLogs { scope: scope(), log_records: vec![record.clone(), record], schema_url: "s".into() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { resource: resource(), scope_logs, schema_url: "r".into() }] }
}

fn traces() -> ExportTraceServiceRequest {
    let event = Event { time_unix_nano: 5, name: "e".into(), attributes: attributes(), dropped_attributes_count: 6 };
    let link = Link {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        trace_state: "t".into(),
        attributes: attributes(),
        dropped_attributes_count: 7,
        flags: 8,
    };
    let span = Span {
        trace_id: vec![3; 16],
        span_id: vec![4; 8],
        trace_state: "s".into(),
        parent_span_id: vec![5; 8],
        flags: 9,
        name: "n".into(),
        kind: 3,
        start_time_unix_nano: 10,
        end_time_unix_nano: 11,
        attributes: attributes(),
        dropped_attributes_count: 12,
        events: vec![event],
        dropped_events_count: 13,
        links: vec![link],
        dropped_links_count: 14,
        status: Some(Status { message: "m".into(), code: 2 }),
    };
    let scope_spans = vec![ScopeSpans { scope: scope(), spans: vec![span], schema_url: String::new() }];
    let resource_spans = vec![ResourceSpans { resource: resource(), scope_spans, schema_url: String::new() }];
    ExportTraceServiceRequest { resource_spans }
}

fn exemplar(value: exemplar::Value) -> Exemplar {
    let filtered_attributes = attributes();
    Exemplar { filtered_attributes, time_unix_nano: 1, span_id: vec![1; 8], trace_id: vec![2; 16], value: Some(value) }
}

fn number(value: number_data_point::Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        exemplars: vec![exemplar(exemplar::Value::AsInt(-3)), exemplar(exemplar::Value::AsDouble(0.5))],
        flags: 1,
        value: Some(value),
    }
}

fn histogram() -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(4.5),
        bucket_counts: vec![1, u64::MAX],
        explicit_bounds: vec![0.25, 1e9],
        exemplars: vec![exemplar(exemplar::Value::AsInt(1))],
        flags: 1,
        min: Some(-1.0),
        max: Some(2.0),
    }
}

fn exponential() -> ExponentialHistogramDataPoint {
    ExponentialHistogramDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: Some(4.5),
        scale: -5,
        zero_count: 6,
        positive: Some(Buckets { offset: i32::MIN, bucket_counts: vec![7, 8] }),
        negative: Some(Buckets { offset: 9, bucket_counts: vec![u64::MAX] }),
        flags: 1,
        exemplars: vec![exemplar(exemplar::Value::AsDouble(1.5))],
        min: Some(-1.0),
        max: Some(2.0),
        zero_threshold: 0.125,
    }
}

fn metrics() -> ExportMetricsServiceRequest {
    let quantile_values = vec![ValueAtQuantile { quantile: 0.5, value: 10.0 }];
    let summary = SummaryDataPoint {
        attributes: attributes(),
        start_time_unix_nano: 1,
        time_unix_nano: 2,
        count: 3,
        sum: 4.5,
        quantile_values,
        flags: 1,
    };
    let numbers = vec![number(number_data_point::Value::AsInt(i64::MIN)), number(number_data_point::Value::AsDouble(0.5))];
    let data = [
        Data::Gauge(Gauge { data_points: numbers.clone() }),
        Data::Sum(Sum { data_points: numbers, aggregation_temporality: 2, is_monotonic: true }),
        Data::Histogram(Histogram { data_points: vec![histogram()], aggregation_temporality: 1 }),
        Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![exponential()], aggregation_temporality: 2 }),
        Data::Summary(Summary { data_points: vec![summary] }),
    ];
    let metric =
        |data| Metric { name: "n".into(), description: "d".into(), unit: "By".into(), metadata: attributes(), data: Some(data) };
    let metrics = data.map(metric).to_vec();
    let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, schema_url: "s".into() }];
    let resource_metrics = vec![ResourceMetrics { resource: resource(), scope_metrics, schema_url: "r".into() }];
    ExportMetricsServiceRequest { resource_metrics }
}

/// Written by the implementation of others, read by ours.
#[track_caller]
fn survives<M: prost::Message + Default + PartialEq + Serialize + fmt::Debug>(signal: Signal, message: &M) {
    let json = serde_json::to_vec(message).unwrap();
    let protobuf = transcode_json(signal, &json).unwrap();
    assert_eq!(M::decode(protobuf.as_slice()).as_ref(), Ok(message));
}

#[test]
fn every_field_of_every_signal_survives_the_way_from_json_to_protobuf() {
    survives(Signal::Logs, &logs());
    survives(Signal::Traces, &traces());
    survives(Signal::Metrics, &metrics());
}

#[track_caller]
fn body(json: &str) -> Result<Option<Value>, String> {
    let json = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{json}}}]}}]}}]}}"#);
    let protobuf = transcode_json(Signal::Logs, json.as_bytes()).map_err(|error| error.to_string())?;
    let mut request = ExportLogsServiceRequest::decode(protobuf.as_slice()).unwrap();
    Ok(request.resource_logs.remove(0).scope_logs.remove(0).log_records.remove(0).body.and_then(|body| body.value))
}

#[test]
fn absence_and_emptiness_are_written_in_many_ways() {
    let nothing = ExportLogsServiceRequest::default().encode_to_vec();
    for json in ["{}", r#"{"resourceLogs":null}"#, r#"{"resourceLogs":[]}"#, r#" {"resource_logs":[{}],"x":{"y":[1]}} "#] {
        assert_eq!(transcode_json(Signal::Logs, json.as_bytes()).unwrap(), nothing, "{json}");
    }
    assert_eq!(body("null"), Ok(None));
    assert_eq!(body("{}"), Ok(None));
    assert_eq!(body(r#"{"arrayValue":{}}"#), Ok(Some(Value::ArrayValue(ArrayValue::default()))));
}

#[test]
fn numbers_may_stand_in_quotes_and_need_not() {
    for json in ["-7", r#""-7""#, "-7.0", "-7e0"] {
        assert_eq!(body(&format!(r#"{{"intValue":{json}}}"#)), Ok(Some(Value::IntValue(-7))), "{json}");
    }
    assert_eq!(body(r#"{"doubleValue":3}"#), Ok(Some(Value::DoubleValue(3.0))));
    assert_eq!(body(r#"{"doubleValue":"-Infinity"}"#), Ok(Some(Value::DoubleValue(f64::NEG_INFINITY))));
    assert!(matches!(body(r#"{"doubleValue":"NaN"}"#), Ok(Some(Value::DoubleValue(n))) if n.is_nan()));
}

#[test]
fn bytes_are_read_from_both_alphabets_with_and_without_padding() {
    for json in ["+/8=", "-_8=", "+/8", "-_8"] {
        assert_eq!(body(&format!(r#"{{"bytesValue":"{json}"}}"#)), Ok(Some(Value::BytesValue(vec![0xfb, 0xff]))), "{json}");
    }
    assert_eq!(body(r#"{"bytesValue":""}"#), Ok(Some(Value::BytesValue(vec![]))));
}

#[test]
fn what_is_wrong_is_refused_with_its_place() {
    for json in [
        r#"{"intValue":9223372036854775808}"#,
        r#"{"intValue":"7x"}"#,
        r#"{"intValue":0.5}"#,
        r#"{"intValue":true}"#,
        r#"{"boolValue":"true"}"#,
        r#"{"boolValue":1}"#,
        r#"{"stringValue":1}"#,
        r#"{"doubleValue":"1e999"}"#,
        r#"{"doubleValue":NaN}"#,
        r#"{"bytesValue":"a"}"#,
        r#"{"bytesValue":"=?"}"#,
        r#"{"arrayValue":[]}"#,
        r#"{"arrayValue":{"values":{}}}"#,
        r#"{"intValue":1,"intValue":2}"#,
        "[]",
        "7",
    ] {
        let refused = body(json).unwrap_err();
        assert!(refused.contains("line 1 column"), "{json}: {refused}");
    }
    let named = body(r#"{"intValue":"7x"}"#).unwrap_err();
    assert!(named.contains("an integer of 64 bits as `intValue`"), "{named}");
}

#[test]
fn ids_and_enumerations_are_as_otlp_deviates_from_protobuf() {
    let span = |fields: &str| {
        let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
        let protobuf = transcode_json(Signal::Traces, json.as_bytes()).ok()?;
        let mut request = ExportTraceServiceRequest::decode(protobuf.as_slice()).unwrap();
        Some(request.resource_spans.remove(0).scope_spans.remove(0).spans.remove(0))
    };
    assert_eq!(span(r#""traceId":"AbcD","kind":3"#).map(|s| (s.trace_id, s.kind)), Some((vec![0xab, 0xcd], 3)));
    assert_eq!(span(r#""traceId":"abc""#), None);
    assert_eq!(span(r#""traceId":"zz""#), None);
    assert_eq!(span(r#""kind":"SPAN_KIND_CLIENT""#), None);
    assert_eq!(span(r#""kind":2147483648"#), None);
}

#[test]
fn a_text_behind_the_request_and_a_nest_without_end_are_refused() {
    assert!(transcode_json(Signal::Logs, b"{} {}").is_err());
    assert!(transcode_json(Signal::Logs, b"").is_err());
    let nest =
        format!(r#"{{"resourceLogs":[{{"resource":{}"#, r#"{"attributes":[{"value":{"kvlistValue":{"values":["#.repeat(10_000));
    assert!(transcode_json(Signal::Logs, nest.as_bytes()).is_err());
    assert!(transcode_json(Signal::Logs, "[".repeat(100_000).as_bytes()).is_err());
    assert!(transcode_json(Signal::Logs, format!(r#"{{"x":{}"#, "[".repeat(100_000)).as_bytes()).is_err());
}
