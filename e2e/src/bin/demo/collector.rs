//! The demo's collector: on the documented ports where they are free, and read as anybody can read it, over REST.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use e2e::process::Process;
use e2e::pulltrace::free_address;
use e2e::tools::built;
use serde_json::Value;
use tempfile::TempDir;

use crate::say;

/// The collector under test, on the ports of the documentation where these are free.
pub(crate) struct Collector {
    http: String,
    metrics: String,
    grpc: String,
    /// Pulls whose end was said.
    seen: BTreeSet<String>,
    _process: Process,
    _folder: TempDir,
}

/// What the collector tells of a pull that has ended.
pub(crate) struct Ended {
    pub(crate) image: String,
    pub(crate) outcome: String,
    /// The one sentence.
    pub(crate) summary: String,
}

/// A running agent.
pub(crate) struct Agent {
    _process: Process,
    _folder: TempDir,
}

impl Collector {
    /// Starts it and waits until it is ready.
    pub(crate) fn start() -> Self {
        let addresses = [8080, 9090, 4317, 4318].map(|port| {
            let usual = format!("127.0.0.1:{port}");
            if TcpListener::bind(&usual).is_ok() {
                return usual;
            }
            let free = free_address();
            say(format!("Port {port} is in use here, taking {free} instead."));
            free
        });
        let names = ["PULLTRACE_HTTP_ADDR", "PULLTRACE_METRICS_ADDR", "PULLTRACE_OTLP_GRPC_ADDR", "PULLTRACE_OTLP_HTTP_ADDR"];
        let env: Vec<_> = names.map(str::to_owned).into_iter().zip(addresses.clone()).collect();
        let [http, metrics, grpc, _] = addresses;
        let folder = tempfile::Builder::new().prefix("pt-demo-").tempdir().expect("the temporary folder is writable");
        let mut process = Process::spawn("pulltrace-collector", folder.path(), &built("pulltrace-collector"), &[], &env);
        let ready = format!("http://{http}/readyz");
        process.ready(Duration::from_secs(15), || ureq::get(&ready).call().is_ok());
        Self { http, metrics, grpc, seen: BTreeSet::new(), _process: process, _folder: folder }
    }

    /// Starts an agent on a containerd's socket and waits until it has reported here.
    pub(crate) fn watch(&self, socket: &Path) -> Agent {
        let folder = tempfile::Builder::new().prefix("pt-demo-").tempdir().expect("the temporary folder is writable");
        let env = [
            ("PULLTRACE_NODE_NAME", "demo-node".to_owned()),
            ("PULLTRACE_CONTAINERD_SOCKET", socket.display().to_string()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.grpc)),
            ("PULLTRACE_METRICS_ADDR", free_address()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value));
        let mut process = Process::spawn("pulltrace-agent", folder.path(), &built("pulltrace-agent"), &[], &env);
        process.ready(Duration::from_secs(15), || self.has_an_agent());
        Agent { _process: process, _folder: folder }
    }

    fn has_an_agent(&self) -> bool {
        let metrics =
            ureq::get(format!("http://{}/metrics", self.metrics)).call().and_then(|mut all| all.body_mut().read_to_string());
        metrics.is_ok_and(|all| all.lines().any(|line| line.starts_with("pulltrace_agents_connected ") && !line.ends_with(" 0")))
    }

    /// Where to look.
    pub(crate) fn print_urls(&self) {
        let Self { http, metrics, grpc, .. } = self;
        say(format!(
            "\n  page     http://{http}/\n  REST     http://{http}/api/v1/pulls\n  events   curl -N http://{http}/api/v1/events\n  \
             metrics  http://{metrics}/metrics\n  OTLP     http://{grpc} (gRPC)\n\nCtrl-C ends everything."
        ));
    }

    /// All pulls, newest first; none while the collector is stopping.
    fn pulls(&self) -> Vec<Value> {
        let url = format!("http://{}/api/v1/pulls?layers=false", self.http);
        let Ok(text) = ureq::get(&url).call().and_then(|mut answer| answer.body_mut().read_to_string()) else {
            return Vec::new();
        };
        let mut body: Value = serde_json::from_str(&text).unwrap_or_default();
        serde_json::from_value(body["pulls"].take()).unwrap_or_default()
    }

    /// Whether a pull runs.
    pub(crate) fn is_busy(&self) -> bool {
        self.pulls().iter().any(|pull| text(pull, "outcome").is_empty())
    }

    /// One line for each pull that runs.
    pub(crate) fn say_running(&self) {
        for pull in self.pulls().iter().filter(|pull| text(pull, "outcome").is_empty()) {
            let name = text(pull, "imageRef");
            let name = if name.is_empty() { "an image without a name yet" } else { &name };
            say(format!("    {name}: {}", text(pull, "summary")));
        }
    }

    /// A pull of the repository that has ended and was not returned before.
    pub(crate) fn newly_ended(&mut self, repository: &str) -> Option<Ended> {
        let ended = |pull: &Value| !text(pull, "outcome").is_empty() && text(pull, "imageRef").contains(repository);
        let pull = self.pulls().into_iter().find(|pull| ended(pull) && !self.seen.contains(&text(pull, "id")))?;
        self.seen.insert(text(&pull, "id"));
        Some(Ended { image: text(&pull, "imageRef"), outcome: text(&pull, "outcome"), summary: text(&pull, "summary") })
    }
}

/// A field that is text; empty if it is absent.
fn text(pull: &Value, field: &str) -> String {
    pull[field].as_str().unwrap_or_default().to_owned()
}
