//! The messages of OTLP as a table: what each field is called in JSON, its number and its type. From opentelemetry-proto 1.10; a field that is
//! not listed is one that this receiver does not know, and is skipped as the specification demands. Read by [`super::json`].

use super::Signal;

/// One message.
pub(super) struct Message {
    pub(super) fields: &'static [Field],
}

/// One field of a message.
pub(super) struct Field {
    /// Its name in JSON.
    pub(super) name: &'static str,
    /// Its number in protobuf.
    pub(super) number: u32,
    /// What it holds, or each of its elements.
    pub(super) holds: Holds,
    /// Whether it is a list.
    pub(super) repeated: bool,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Holds {
    Text,
    Bool,
    /// An id: hexadecimal in JSON.
    Hex,
    /// Other bytes: base64 in JSON.
    Base64,
    Int32,
    Sint32,
    Uint32,
    Fixed32,
    Int64,
    Uint64,
    Fixed64,
    Sfixed64,
    Double,
    Message(&'static Message),
}

/// The request that exports a signal.
pub(super) const fn request(signal: Signal) -> &'static Message {
    match signal {
        Signal::Logs => &LOGS,
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
    }
}

macro_rules! messages {
    ($($message:ident { $($number:literal $name:literal $holds:ident $(($inner:ident))? $([$repeated:ident])?,)* })*) => {
        $(static $message: Message = Message { fields: &[$(Field {
            name: $name,
            number: $number,
            holds: Holds::$holds $((&$inner))?,
            repeated: messages!(@ $($repeated)?),
        },)*] };)*
    };
    (@) => { false };
    (@ list) => { true };
}

messages! {
    LOGS { 1 "resourceLogs" Message(RESOURCE_LOGS) [list], }
    RESOURCE_LOGS { 1 "resource" Message(RESOURCE), 2 "scopeLogs" Message(SCOPE_LOGS) [list], 3 "schemaUrl" Text, }
    SCOPE_LOGS { 1 "scope" Message(SCOPE), 2 "logRecords" Message(LOG_RECORD) [list], 3 "schemaUrl" Text, }
    LOG_RECORD {
        1 "timeUnixNano" Fixed64,
        2 "severityNumber" Int32,
        3 "severityText" Text,
        5 "body" Message(ANY_VALUE),
        6 "attributes" Message(KEY_VALUE) [list],
        7 "droppedAttributesCount" Uint32,
        8 "flags" Fixed32,
        9 "traceId" Hex,
        10 "spanId" Hex,
        11 "observedTimeUnixNano" Fixed64,
        12 "eventName" Text,
    }

    TRACES { 1 "resourceSpans" Message(RESOURCE_SPANS) [list], }
    RESOURCE_SPANS { 1 "resource" Message(RESOURCE), 2 "scopeSpans" Message(SCOPE_SPANS) [list], 3 "schemaUrl" Text, }
    SCOPE_SPANS { 1 "scope" Message(SCOPE), 2 "spans" Message(SPAN) [list], 3 "schemaUrl" Text, }
    SPAN {
        1 "traceId" Hex,
        2 "spanId" Hex,
        3 "traceState" Text,
        4 "parentSpanId" Hex,
        5 "name" Text,
        6 "kind" Int32,
        7 "startTimeUnixNano" Fixed64,
        8 "endTimeUnixNano" Fixed64,
        9 "attributes" Message(KEY_VALUE) [list],
        10 "droppedAttributesCount" Uint32,
        11 "events" Message(SPAN_EVENT) [list],
        12 "droppedEventsCount" Uint32,
        13 "links" Message(SPAN_LINK) [list],
        14 "droppedLinksCount" Uint32,
        15 "status" Message(SPAN_STATUS),
        16 "flags" Fixed32,
    }
    SPAN_EVENT {
        1 "timeUnixNano" Fixed64,
        2 "name" Text,
        3 "attributes" Message(KEY_VALUE) [list],
        4 "droppedAttributesCount" Uint32,
    }
    SPAN_LINK {
        1 "traceId" Hex,
        2 "spanId" Hex,
        3 "traceState" Text,
        4 "attributes" Message(KEY_VALUE) [list],
        5 "droppedAttributesCount" Uint32,
        6 "flags" Fixed32,
    }
    SPAN_STATUS { 2 "message" Text, 3 "code" Int32, }

    METRICS { 1 "resourceMetrics" Message(RESOURCE_METRICS) [list], }
    RESOURCE_METRICS { 1 "resource" Message(RESOURCE), 2 "scopeMetrics" Message(SCOPE_METRICS) [list], 3 "schemaUrl" Text, }
    SCOPE_METRICS { 1 "scope" Message(SCOPE), 2 "metrics" Message(METRIC) [list], 3 "schemaUrl" Text, }
    METRIC {
        1 "name" Text,
        2 "description" Text,
        3 "unit" Text,
        5 "gauge" Message(GAUGE),
        7 "sum" Message(SUM),
        9 "histogram" Message(HISTOGRAM),
        10 "exponentialHistogram" Message(EXPONENTIAL_HISTOGRAM),
        11 "summary" Message(SUMMARY),
        12 "metadata" Message(KEY_VALUE) [list],
    }
    GAUGE { 1 "dataPoints" Message(NUMBER_POINT) [list], }
    SUM { 1 "dataPoints" Message(NUMBER_POINT) [list], 2 "aggregationTemporality" Int32, 3 "isMonotonic" Bool, }
    HISTOGRAM { 1 "dataPoints" Message(HISTOGRAM_POINT) [list], 2 "aggregationTemporality" Int32, }
    EXPONENTIAL_HISTOGRAM { 1 "dataPoints" Message(EXPONENTIAL_POINT) [list], 2 "aggregationTemporality" Int32, }
    SUMMARY { 1 "dataPoints" Message(SUMMARY_POINT) [list], }
    NUMBER_POINT {
        2 "startTimeUnixNano" Fixed64,
        3 "timeUnixNano" Fixed64,
        4 "asDouble" Double,
        5 "exemplars" Message(EXEMPLAR) [list],
        6 "asInt" Sfixed64,
        7 "attributes" Message(KEY_VALUE) [list],
        8 "flags" Uint32,
    }
    HISTOGRAM_POINT {
        2 "startTimeUnixNano" Fixed64,
        3 "timeUnixNano" Fixed64,
        4 "count" Fixed64,
        5 "sum" Double,
        6 "bucketCounts" Fixed64 [list],
        7 "explicitBounds" Double [list],
        8 "exemplars" Message(EXEMPLAR) [list],
        9 "attributes" Message(KEY_VALUE) [list],
        10 "flags" Uint32,
        11 "min" Double,
        12 "max" Double,
    }
    EXPONENTIAL_POINT {
        1 "attributes" Message(KEY_VALUE) [list],
        2 "startTimeUnixNano" Fixed64,
        3 "timeUnixNano" Fixed64,
        4 "count" Fixed64,
        5 "sum" Double,
        6 "scale" Sint32,
        7 "zeroCount" Fixed64,
        8 "positive" Message(BUCKETS),
        9 "negative" Message(BUCKETS),
        10 "flags" Uint32,
        11 "exemplars" Message(EXEMPLAR) [list],
        12 "min" Double,
        13 "max" Double,
        14 "zeroThreshold" Double,
    }
    BUCKETS { 1 "offset" Sint32, 2 "bucketCounts" Uint64 [list], }
    SUMMARY_POINT {
        2 "startTimeUnixNano" Fixed64,
        3 "timeUnixNano" Fixed64,
        4 "count" Fixed64,
        5 "sum" Double,
        6 "quantileValues" Message(QUANTILE) [list],
        7 "attributes" Message(KEY_VALUE) [list],
        8 "flags" Uint32,
    }
    QUANTILE { 1 "quantile" Double, 2 "value" Double, }
    EXEMPLAR {
        2 "timeUnixNano" Fixed64,
        3 "asDouble" Double,
        4 "spanId" Hex,
        5 "traceId" Hex,
        6 "asInt" Sfixed64,
        7 "filteredAttributes" Message(KEY_VALUE) [list],
    }

    RESOURCE {
        1 "attributes" Message(KEY_VALUE) [list],
        2 "droppedAttributesCount" Uint32,
        3 "entityRefs" Message(ENTITY_REF) [list],
    }
    ENTITY_REF { 1 "schemaUrl" Text, 2 "type" Text, 3 "idKeys" Text [list], 4 "descriptionKeys" Text [list], }
    SCOPE {
        1 "name" Text,
        2 "version" Text,
        3 "attributes" Message(KEY_VALUE) [list],
        4 "droppedAttributesCount" Uint32,
    }
    KEY_VALUE { 1 "key" Text, 2 "value" Message(ANY_VALUE), }
    ANY_VALUE {
        1 "stringValue" Text,
        2 "boolValue" Bool,
        3 "intValue" Int64,
        4 "doubleValue" Double,
        5 "arrayValue" Message(ARRAY_VALUE),
        6 "kvlistValue" Message(KEY_VALUE_LIST),
        7 "bytesValue" Base64,
    }
    ARRAY_VALUE { 1 "values" Message(ANY_VALUE) [list], }
    KEY_VALUE_LIST { 1 "values" Message(KEY_VALUE) [list], }
}
