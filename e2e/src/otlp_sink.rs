//! Records OTLP as a stock OpenTelemetry Collector understood it: `otelcol` receives from Pulltrace and hands every request on as
//! OTLP/JSON to a small server of ours, which keeps it.
//!
//! What arrives here was accepted and decoded by somebody else's implementation; that is the point.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::clock::Seconds;
use crate::http::{Head, Server, free_port, lock};
use crate::process::Process;
use crate::tools::Tools;

/// A body larger than this is refused; a trace of 127 layers has about 135 kB.
const MAX_BODY: u64 = 64 << 20;

/// One span as it arrived.
#[derive(Debug, Clone)]
pub struct Span {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits, empty for a root.
    pub parent_id: String,
    /// Its name.
    pub name: String,
    /// Start.
    pub start: Seconds,
    /// End.
    pub end: Seconds,
    /// The span as OTLP/JSON.
    pub json: Value,
    /// Which request it came in, counted from 0 over all traces requests.
    pub request: usize,
}

impl Span {
    /// A string attribute.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        attribute(&self.json, key)?["stringValue"].as_str()
    }

    /// An integer attribute.
    #[must_use]
    pub fn integer(&self, key: &str) -> Option<i64> {
        let value = &attribute(&self.json, key)?["intValue"];
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }
}

/// Requests by path, as they came.
type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// `otelcol` and the server behind it; both end when this is dropped.
#[derive(Debug)]
pub struct Sink {
    grpc: u16,
    http: u16,
    requests: Requests,
    _otelcol: Process,
    _server: Server,
    _folder: TempDir,
}

impl Sink {
    /// Starts both and waits until `otelcol` listens.
    ///
    /// # Panics
    /// When it does not within 20 s.
    #[must_use]
    pub fn start(tools: &Tools) -> Self {
        let requests = Requests::default();
        let into = requests.clone();
        let server = Server::start(move |stream, _| keep(&stream, &into));
        let folder = tempfile::Builder::new().prefix("pt-otelcol-").tempdir().expect("the temporary folder is writable");
        let (grpc, http, config) = (free_port(), free_port(), folder.path().join("otelcol.yaml"));
        fs::write(&config, configuration(grpc, http, server.port)).expect("the temporary folder is writable");
        let args = ["--config", &config.display().to_string()];
        let mut otelcol = Process::spawn("otelcol", folder.path(), &tools.program("otelcol"), &args, &[]);
        let url = format!("http://127.0.0.1:{http}/v1/traces");
        // An empty request is a success by the specification; it also goes nowhere, so nothing is recorded.
        otelcol.ready(Duration::from_secs(20), || ureq::post(&url).content_type("application/json").send("{}").is_ok());
        lock(&requests).clear();
        Self { grpc, http, requests, _otelcol: otelcol, _server: server, _folder: folder }
    }

    /// Where `otelcol` takes OTLP/gRPC.
    #[must_use]
    pub fn grpc_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// Where `otelcol` takes OTLP/HTTP.
    #[must_use]
    pub fn http_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// Every span that arrived, in order.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let requests = lock(&self.requests);
        let traces = requests.iter().filter(|(path, _)| path == "/v1/traces").map(|(_, body)| body);
        let spans = traces.enumerate().flat_map(|(i, body)| {
            let found = leaves(body, "resourceSpans", "scopeSpans", "spans");
            found.into_iter().map(move |json| span(json, i)).collect::<Vec<_>>()
        });
        spans.collect()
    }

    /// Every data point that arrived, in order, as OTLP/JSON, of gauges and sums.
    #[must_use]
    pub fn points(&self) -> Vec<Value> {
        let requests = lock(&self.requests);
        let metrics = requests.iter().filter(|(path, _)| path == "/v1/metrics");
        let metrics = metrics.flat_map(|(_, body)| leaves(body, "resourceMetrics", "scopeMetrics", "metrics"));
        let list = |v: &Value| v["dataPoints"].as_array().cloned().unwrap_or_default();
        metrics.flat_map(|metric| [list(&metric["gauge"]), list(&metric["sum"])].concat()).collect()
    }

    /// Every request with log records, as OTLP/JSON.
    #[must_use]
    pub fn log_requests(&self) -> Vec<Value> {
        let requests = lock(&self.requests);
        requests.iter().filter(|(path, _)| path == "/v1/logs").map(|(_, body)| body.clone()).collect()
    }

    /// Every log record that arrived, in order, as OTLP/JSON.
    #[must_use]
    pub fn logs(&self) -> Vec<Value> {
        self.log_requests().iter().flat_map(|body| leaves(body, "resourceLogs", "scopeLogs", "logRecords")).collect()
    }
}

/// An attribute's value in a span or a log record.
#[must_use]
pub fn attribute<'a>(json: &'a Value, key: &str) -> Option<&'a Value> {
    json["attributes"].as_array()?.iter().find(|a| a["key"] == key).map(|a| &a["value"])
}

fn configuration(grpc: u16, http: u16, sink: u16) -> String {
    format!(
        "receivers:\n  otlp:\n    protocols:\n      grpc: {{endpoint: \"127.0.0.1:{grpc}\"}}\n      http: {{endpoint: \"127.0.0.1:{http}\"}}\n\
         exporters:\n  otlp_http:\n    endpoint: http://127.0.0.1:{sink}\n    encoding: json\n    compression: none\n    \
         sending_queue: {{enabled: false}}\n    retry_on_failure: {{enabled: false}}\n\
         service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n    \
         traces: {{receivers: [otlp], exporters: [otlp_http]}}\n    logs: {{receivers: [otlp], exporters: [otlp_http]}}\n    \
         metrics: {{receivers: [otlp], exporters: [otlp_http]}}\n"
    )
}

/// Serves one connection: keeps every request and answers it with success.
fn keep(stream: &std::net::TcpStream, into: &Requests) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(head) = Head::read(&mut reader)? {
        let size = head.content_length().unwrap_or(0);
        if size > MAX_BODY {
            return Err(std::io::Error::other("a body over the limit of the sink"));
        }
        let mut body = Vec::new();
        (&mut reader).take(size).read_to_end(&mut body)?;
        let json = serde_json::from_slice(&body).map_err(std::io::Error::other)?;
        lock(into).push((head.word(1).to_owned(), json));
        let mut answer = stream;
        answer.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")?;
    }
    Ok(())
}

/// The things in `body.outer[].middle[].inner[]`.
fn leaves(body: &Value, outer: &str, middle: &str, inner: &str) -> Vec<Value> {
    let list = |v: &Value, key: &str| v[key].as_array().cloned().unwrap_or_default();
    list(body, outer).iter().flat_map(|r| list(r, middle)).flat_map(|s| list(&s, inner)).collect()
}

fn span(json: Value, request: usize) -> Span {
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    let time = |key: &str| text(key).parse::<f64>().unwrap_or(0.0) / 1e9;
    Span {
        trace_id: text("traceId"),
        span_id: text("spanId"),
        parent_id: text("parentSpanId"),
        name: text("name"),
        start: time("startTimeUnixNano"),
        end: time("endTimeUnixNano"),
        request,
        json,
    }
}
