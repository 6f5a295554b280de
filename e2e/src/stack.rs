//! What stands around Pulltrace: Tempo, Loki, Prometheus and stock OpenTelemetry Collectors, each started from its very file in `otel-config/`.
//! Only addresses, folders and the pace of scraping are put in place of the file's own, so what the tests show holds for the files that people take.
//!
//! All of it listens on loopback and lies in temporary folders. What the answers should be is the caller's business.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::clock::{self, Seconds};
use crate::http::free_port;
use crate::process::Process;
use crate::prometheus::Release;
use crate::tools::Tools;

/// Each may take so long to be ready; Loki waits for 15 s of its own accord.
const START: Duration = Duration::from_secs(60);
/// A question is answered in this time, or it hangs.
const ANSWER: Duration = Duration::from_secs(20);
/// What makes a Prometheus receive OTLP.
const OTLP: &str = "--web.enable-otlp-receiver";

/// The releases of Tempo with a file of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tempo {
    /// With ingesters; `tempo-2` among the tools.
    V2,
    /// Without; `tempo-3` among the tools.
    V3,
}

impl fmt::Display for Tempo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "tempo-2",
            Self::V3 => "tempo-3",
        })
    }
}

/// One program of the stack; ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// Its HTTP port; of a collector, where it takes OTLP/HTTP.
    http: u16,
    /// Where it takes OTLP/gRPC; 0 if it does not.
    grpc: u16,
    process: Process,
    _folder: TempDir,
}

/// A file of `otel-config/` that is being made fit for a test.
struct File {
    name: &'static str,
    text: String,
    folder: TempDir,
}

impl File {
    fn read(name: &'static str) -> Self {
        let text = fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("otel-config/{name}: {error}"));
        Self {
            name,
            text,
            folder: tempfile::Builder::new().prefix("pt-stack-").tempdir().expect("the temporary folder is writable"),
        }
    }

    /// With something in the place of what the file says.
    #[track_caller]
    fn with(mut self, said: &str, instead: &str) -> Self {
        assert!(self.text.contains(said), "otel-config/{} does not say `{said}`", self.name);
        self.text = self.text.replace(said, instead);
        self
    }

    /// With a folder of this test.
    fn within(self, said: &str) -> Self {
        let folder = self.folder.path().display().to_string();
        self.with(said, &folder)
    }

    /// On loopback ports of this test.
    fn listening(self, grpc: u16, http: u16) -> Self {
        self.with("0.0.0.0:4317", &local(grpc)).with("0.0.0.0:4318", &local(http))
    }

    /// Starts the program on what the file has become, and waits until the URL answers.
    fn start(self, program: &Path, args: &[&str], env: &[(&str, &str)], [http, grpc]: [u16; 2], ready: &str) -> Running {
        let config = self.folder.path().join("config.yaml");
        fs::write(&config, &self.text).expect("the temporary folder is writable");
        let config = config.display().to_string();
        let args: Vec<String> = args.iter().map(|arg| arg.replace("FILE", &config)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let env: Vec<_> = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut process = Process::spawn("program", self.folder.path(), program, &args, &env);
        process.ready(START, || ureq::get(ready).call().is_ok());
        Running { http, grpc, process, _folder: self.folder }
    }
}

/// Starts a Tempo that writes its metrics to this Prometheus, `host:port`.
///
/// # Panics
/// When it is not ready within a minute; the message has its log.
#[must_use]
pub fn tempo(tools: &Tools, release: Tempo, prometheus: &str) -> Running {
    let (grpc, http, api, own) = (free_port(), free_port(), free_port(), free_port());
    let name = match release {
        Tempo::V2 => "tempo/tempo-2.yaml",
        Tempo::V3 => "tempo/tempo-3.yaml",
    };
    let listen = format!(
        "http_listen_port: {api}\n  http_listen_address: 127.0.0.1\n  grpc_listen_address: 127.0.0.1\n  grpc_listen_port: {own}"
    );
    let file = File::read(name).within("/var/tempo").listening(grpc, http).with("http_listen_port: 3200", &listen);
    let file = file.with("prometheus:9090", prometheus);
    let ready = format!("http://{}/ready", local(api));
    file.start(&tools.program(&release.to_string()), &["-config.file=FILE"], &[], [api, grpc], &ready)
}

/// Starts a Loki.
///
/// # Panics
/// As [`tempo`].
#[must_use]
pub fn loki(tools: &Tools) -> Running {
    let (http, grpc) = (free_port(), free_port());
    let listen = format!("http_listen_address: 127.0.0.1\n  http_listen_port: {http}\n  grpc_listen_address: 127.0.0.1");
    let file = File::read("loki/loki.yaml").with("http_listen_port: 3100", &listen);
    let file = file.with("grpc_listen_port: 9096", &format!("grpc_listen_port: {grpc}")).within("/loki");
    let ready = format!("http://{}/ready", local(http));
    file.start(&tools.program("loki"), &["-config.file=FILE"], &[], [http, 0], &ready)
}

/// Starts a Prometheus 3 at this address, `host:port`, that scrapes a collector's `/metrics` and the other two every second.
///
/// # Panics
/// As [`tempo`].
#[must_use]
pub fn prometheus(tools: &Tools, address: &str, [collector, tempo, loki]: [&str; 3]) -> Running {
    let file = File::read("prometheus/prometheus.yaml").with("scrape_interval: 15s", "scrape_interval: 1s");
    let file = file.with("pulltrace-collector:9090", collector).with("tempo:3200", tempo).with("loki:3100", loki);
    let mut args = vec![
        "--config.file=FILE".to_owned(),
        format!("--storage.tsdb.path={}", file.folder.path().join("data").display()),
        format!("--web.listen-address={address}"),
        "--web.enable-remote-write-receiver".to_owned(),
        "--enable-feature=exemplar-storage,native-histograms".to_owned(),
    ];
    args.extend(takes_otlp(tools).then(|| OTLP.to_owned()));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("an address has a port");
    file.start(&tools.prometheus(Release::V3), &args, &[], [port, 0], &format!("http://{address}/-/ready"))
}

/// Whether the Prometheus 3 here can receive OTLP; Debian builds its own without.
#[must_use]
pub fn takes_otlp(tools: &Tools) -> bool {
    let help = Command::new(tools.prometheus(Release::V3)).arg("--help").output();
    help.is_ok_and(|said| String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).contains(OTLP))
}

/// Starts a stock OpenTelemetry Collector from this file of `otel-config/otelcol/`, with these environment variables.
///
/// # Panics
/// As [`tempo`].
#[must_use]
pub fn otelcol(tools: &Tools, name: &'static str, env: &[(&str, &str)]) -> Running {
    otelcol_at(tools, name, env, &[])
}

/// As [`otelcol`], with what stands on the right in the place of what the file says.
///
/// # Panics
/// As [`tempo`].
#[must_use]
pub fn otelcol_at(tools: &Tools, name: &'static str, env: &[(&str, &str)], changes: &[(&str, &str)]) -> Running {
    let (grpc, http, health) = (free_port(), free_port(), free_port());
    let file = File::read(name).listening(grpc, http).with("0.0.0.0:13133", &local(health));
    let file = changes.iter().fold(file, |file, (said, instead)| file.with(said, instead));
    // It measures itself on a fixed port unless told not to; that is no business of ours.
    let file = file.with("service:\n", "service:\n  telemetry: { metrics: { level: none } }\n");
    let ready = format!("http://{}/", local(health));
    file.start(&tools.program("otelcol"), &["--config=FILE"], env, [http, grpc], &ready)
}

/// A file of `otel-config/`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../otel-config").join(name)
}

impl Running {
    /// Host and port of its HTTP.
    #[must_use]
    pub fn address(&self) -> String {
        local(self.http)
    }

    /// Where it takes OTLP/gRPC, `host:port`.
    #[must_use]
    pub fn grpc(&self) -> String {
        local(self.grpc)
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stdout() + &self.process.stderr()
    }

    /// The JSON that it answers to a GET with these parameters.
    ///
    /// # Errors
    /// Status and text of another answer; that none came in time.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(ANSWER));
        let agent: ureq::Agent = config.build().into();
        let url = format!("http://{}{path}", local(self.http));
        let request =
            query.iter().fold(agent.get(&url).header("accept", "application/json"), |r, (key, value)| r.query(key, value));
        let mut answer = request.call().map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        let json = serde_json::from_str(&text).map_err(|error| format!("{}: {error}: {text}", answer.status()))?;
        if answer.status().is_success() { Ok(json) } else { Err(format!("{}: {text}", answer.status())) }
    }

    /// What a Tempo finds by TraceQL in the last hour: traces with their spans, or series.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn traceql(&self, query: &str) -> Result<Vec<Value>, String> {
        let (start, end) = last_hour();
        let is_metric = ["_over_time(", "rate()", "compare("].iter().any(|function| query.contains(function));
        let (path, found, more) = if is_metric {
            ("/api/metrics/query_range", "series", ("step", "60s"))
        } else {
            ("/api/search", "traces", ("spss", "20"))
        };
        let mut answer = self.get(path, &[("q", query), ("start", &start), ("end", &end), more])?;
        Ok(answer[found].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// The series that a Prometheus has now.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn promql(&self, query: &str) -> Result<Vec<Value>, String> {
        let mut answer = self.get("/api/v1/query", &[("query", query)])?;
        Ok(answer["data"]["result"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// The streams or series that a Loki finds by LogQL in the last hour.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn logql(&self, query: &str) -> Result<Vec<Value>, String> {
        let (start, end) = last_hour();
        let mut answer =
            self.get("/loki/api/v1/query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "60s")])?;
        Ok(answer["data"]["result"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }
}

fn last_hour() -> (String, String) {
    let whole = |time: Seconds| format!("{time:.0}");
    (whole(clock::now() - 3600.0), whole(clock::now() + 60.0))
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_does_not_say_cannot_be_replaced() {
        assert!(std::panic::catch_unwind(|| File::read("tempo/tempo-3.yaml").with("no such words", "")).is_err());
    }
}
