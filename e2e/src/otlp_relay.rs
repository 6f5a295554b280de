//! A stock OpenTelemetry Collector on the way to ours: what it is sent it sends on, once by every protocol, encoding and compression that it
//! has. The mirror of [`crate::otlp_sink`].

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use crate::http::free_port;
use crate::process::Process;
use crate::tools::Tools;

/// The ways that it takes, each for every signal.
pub const WAYS: [(&str, &str, &str); 9] = [
    ("otlp_grpc", "proto", "none"),
    ("otlp_grpc", "proto", "gzip"),
    ("otlp_grpc", "proto", "zstd"),
    ("otlp_http", "proto", "none"),
    ("otlp_http", "proto", "gzip"),
    ("otlp_http", "proto", "zstd"),
    ("otlp_http", "json", "none"),
    ("otlp_http", "json", "gzip"),
    ("otlp_http", "json", "zstd"),
];

/// `otelcol`; ends when this is dropped.
#[derive(Debug)]
pub struct Relay {
    http: u16,
    otelcol: Process,
    _folder: TempDir,
}

impl Relay {
    /// Starts it on the way to these two addresses and waits until it listens.
    ///
    /// # Panics
    /// When it does not within 20 s.
    #[must_use]
    pub fn start(tools: &Tools, grpc: &str, http: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-relay-").tempdir().expect("the temporary folder is writable");
        let (port, config) = (free_port(), folder.path().join("otelcol.yaml"));
        fs::write(&config, configuration(port, grpc, http)).expect("the temporary folder is writable");
        let args = ["--config", &config.display().to_string()];
        let mut otelcol = Process::spawn("otelcol", folder.path(), &tools.program("otelcol"), &args, &[]);
        let url = format!("http://127.0.0.1:{port}/v1/traces");
        otelcol.ready(Duration::from_secs(20), || ureq::post(&url).content_type("application/json").send("{}").is_ok());
        Self { http: port, otelcol, _folder: folder }
    }

    /// Where it takes OTLP/HTTP.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.otelcol.stderr()
    }
}

fn configuration(port: u16, grpc: &str, http: &str) -> String {
    let mut exporters = String::new();
    for (exporter, encoding, compression) in WAYS {
        let is_grpc = exporter == "otlp_grpc";
        let (endpoint, tail) =
            if is_grpc { (grpc, "tls: {insecure: true}".to_owned()) } else { (http, format!("encoding: {encoding}")) };
        // Without a queue, whoever sends to the relay hears what our collector said.
        let alone = "sending_queue: {enabled: false}, retry_on_failure: {enabled: false}";
        writeln!(
            exporters,
            "  {exporter}/{encoding}_{compression}: {{endpoint: \"{endpoint}\", compression: {compression}, {tail}, {alone}}}"
        )
        .expect("a string takes everything");
    }
    let names = WAYS.map(|(exporter, encoding, compression)| format!("{exporter}/{encoding}_{compression}")).join(", ");
    let pipelines: String =
        ["traces", "logs", "metrics"].iter().map(|s| format!("    {s}: {{receivers: [otlp], exporters: [{names}]}}\n")).collect();
    format!(
        "receivers:\n  otlp:\n    protocols:\n      http: {{endpoint: \"127.0.0.1:{port}\"}}\nexporters:\n{exporters}\
         service:\n  telemetry: {{metrics: {{level: none}}}}\n  pipelines:\n{pipelines}"
    )
}
