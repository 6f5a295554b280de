//! The built agent and collector as processes, spoken to only through what the contract promises: environment variables, ports,
//! REST and `/metrics`. Both can crash and come back on the same ports.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::clock;
use crate::http::free_port;
use crate::process::Process;
use crate::tools::built;

/// How long a binary may take to be ready.
const START: Duration = Duration::from_secs(15);

/// Environment variables of a process.
pub type Env = BTreeMap<String, String>;

/// A collector that lives as long as this.
#[derive(Debug)]
pub struct Collector {
    http: u16,
    metrics: u16,
    grpc: u16,
    otlp_http: u16,
    env: Env,
    process: Option<Process>,
    folder: TempDir,
}

impl Collector {
    /// Starts it on free ports with more environment variables and waits until it says it is ready.
    ///
    /// # Panics
    /// When it does not within 15 s.
    #[must_use]
    pub fn start(more: &[(&str, &str)]) -> Self {
        Self::start_on([free_port(), free_port(), free_port(), free_port()], more)
    }

    /// Starts it on the ports of the documentation, or on free ones where these are in use.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_documented(more: &[(&str, &str)]) -> Self {
        let free = |port| if TcpListener::bind(("127.0.0.1", port)).is_ok() { port } else { free_port() };
        Self::start_on([8080, 9090, 4317, 4318].map(free), more)
    }

    fn start_on([http, metrics, grpc, otlp_http]: [u16; 4], more: &[(&str, &str)]) -> Self {
        let own = [
            ("PULLTRACE_HTTP_ADDR", local(http)),
            ("PULLTRACE_METRICS_ADDR", local(metrics)),
            ("PULLTRACE_OTLP_GRPC_ADDR", local(grpc)),
            ("PULLTRACE_OTLP_HTTP_ADDR", local(otlp_http)),
        ];
        let mut env: Env = own.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        env.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let mut collector = Self { http, metrics, grpc, otlp_http, env, process: None, folder: folder("collector") };
        collector.restart();
        collector
    }

    /// Ends it if it runs, starts it again on the same ports and waits until it says it is ready.
    ///
    /// # Panics
    /// When it does not within 15 s.
    pub fn restart(&mut self) {
        drop(self.process.take());
        let mut process = spawn("pulltrace-collector", self.folder.path(), &self.env);
        if self.env.get("PULLTRACE_HTTP_TLS").is_some_and(|word| word == "on") {
            // Whoever asks it knows whom to trust; here it is enough that it listens.
            process.ready(START, || TcpStream::connect(("127.0.0.1", self.http)).is_ok());
        } else {
            let url = self.url("/readyz");
            process.ready(START, || ureq::get(&url).call().is_ok());
        }
        self.process = Some(process);
    }

    /// A crash: KILL.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Ends it politely; says whether TERM was enough.
    pub fn stop(&mut self) -> bool {
        self.process.take().is_none_or(|mut p| p.stop())
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::runs)
    }

    /// Where OTLP/gRPC goes.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", local(self.grpc))
    }

    /// A URL of the OTLP/HTTP port.
    #[must_use]
    pub fn otlp_url(&self, path: &str) -> String {
        format!("http://{}{path}", local(self.otlp_http))
    }

    /// A URL of the REST port.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", local(self.http))
    }

    /// The REST port.
    #[must_use]
    pub const fn http_port(&self) -> u16 {
        self.http
    }

    /// Host and port of `/metrics`.
    #[must_use]
    pub fn metrics_address(&self) -> String {
        local(self.metrics)
    }

    /// Its process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the collector runs").pid()
    }

    /// Status and body of a REST answer; JSON null if it is none.
    #[must_use]
    pub fn get(&self, path: &str) -> (u16, Value) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(5))).build().into();
        let Ok(mut answer) = agent.get(self.url(path)).call() else { return (0, Value::Null) };
        let body = answer.body_mut().read_to_string().unwrap_or_default();
        (answer.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::Null))
    }

    /// All pulls, newest first.
    ///
    /// # Panics
    /// When the answer is not 200 with a list.
    #[track_caller]
    #[must_use]
    pub fn pulls(&self) -> Vec<Value> {
        let (status, body) = self.get("/api/v1/pulls");
        assert_eq!(status, 200, "GET /api/v1/pulls: {body}");
        body["pulls"].as_array().cloned().unwrap_or_else(|| panic!("no list of pulls in {body}"))
    }

    /// One pull, if it is known.
    #[must_use]
    pub fn pull(&self, id: &str) -> Option<Value> {
        let (status, body) = self.get(&format!("/api/v1/pulls/{id}"));
        (status == 200).then_some(body)
    }

    /// Waits for a pull that `is` holds for, and returns it.
    ///
    /// # Panics
    /// When none comes before the deadline; the message has the pulls there are.
    #[track_caller]
    pub fn until_pull(&self, what: &str, limit: Duration, is: impl Fn(&Value) -> bool) -> Value {
        let begin = std::time::Instant::now();
        loop {
            let pulls = self.pulls();
            if let Some(pull) = pulls.iter().find(|p| is(p)) {
                return pull.clone();
            }
            assert!(begin.elapsed() < limit, "{what}: did not come within {limit:?}; the pulls are {pulls:#?}");
            clock::pause(Duration::from_millis(50));
        }
    }

    /// The value of a series on `/metrics`, summed over the label sets that contain all of `labels` (as `key="value"`).
    ///
    /// # Panics
    /// When `/metrics` does not answer.
    #[track_caller]
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let url = format!("http://{}/metrics", local(self.metrics));
        let text = ureq::get(&url).call().and_then(|mut a| a.body_mut().read_to_string()).expect("/metrics answers");
        sum(&text, name, labels)
    }

    /// What it wrote to its standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.process.as_ref().map(Process::stdout).unwrap_or_default()
    }

    /// What it wrote to its standard error.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.as_ref().map(Process::stderr).unwrap_or_default()
    }

    /// Fails if a line of its log speaks of a panic.
    ///
    /// # Panics
    /// When one does.
    #[track_caller]
    pub fn has_not_panicked(&self) {
        let log = self.process.as_ref().map(|p| p.stdout() + &p.stderr()).unwrap_or_default();
        assert!(!log.contains("panicked at"), "the collector panicked:\n{log}");
    }
}

/// An agent that lives as long as this.
#[derive(Debug)]
pub struct Agent {
    metrics: u16,
    env: Env,
    process: Option<Process>,
    folder: TempDir,
}

impl Agent {
    /// Starts it as `node` for a containerd's socket, reporting to an OTLP/gRPC endpoint, and waits until it answers `/healthz`.
    ///
    /// # Panics
    /// When it does not within 15 s.
    #[must_use]
    pub fn start(node: &str, socket: &Path, endpoint: &str, more: &[(&str, &str)]) -> Self {
        let metrics = free_port();
        let own = [
            ("PULLTRACE_NODE_NAME", node.to_owned()),
            ("PULLTRACE_CONTAINERD_SOCKET", socket.display().to_string()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned()),
            ("PULLTRACE_METRICS_ADDR", local(metrics)),
        ];
        let mut env: Env = own.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        env.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let mut agent = Self { metrics, env, process: None, folder: folder("agent") };
        agent.restart();
        agent
    }

    /// Ends it if it runs and starts it again in the same way.
    ///
    /// # Panics
    /// When it does not answer within 15 s.
    pub fn restart(&mut self) {
        drop(self.process.take());
        let mut process = spawn("pulltrace-agent", self.folder.path(), &self.env);
        let url = format!("http://{}/healthz", local(self.metrics));
        process.ready(START, || ureq::get(&url).call().is_ok());
        self.process = Some(process);
    }

    /// Host and port of `/metrics`.
    #[must_use]
    pub fn metrics_address(&self) -> String {
        local(self.metrics)
    }

    /// Waits until it says that it sees its runtime.
    ///
    /// # Panics
    /// When it does not within 15 s.
    #[track_caller]
    pub fn until_ready(&self) {
        let url = format!("http://{}/readyz", local(self.metrics));
        clock::until("the agent's readiness", START, || ureq::get(&url).call().ok());
    }

    /// Whether it says that it sees its runtime.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        ureq::get(&format!("http://{}/readyz", local(self.metrics))).call().is_ok()
    }

    /// A crash: KILL.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::runs)
    }

    /// What it wrote, to both outputs.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(|p| p.stdout() + &p.stderr()).unwrap_or_default()
    }
}

/// Runs a binary that is expected to end by itself; returns its exit code and everything it wrote.
///
/// # Panics
/// When it still runs after 15 s.
#[must_use]
pub fn run_to_end(program: &str, env: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = folder("run");
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let mut process = spawn(program, folder.path(), &env);
    (process.exit_code(START), process.stdout() + &process.stderr())
}

/// A free loopback address, for settings that need one of their own.
#[must_use]
pub fn free_address() -> String {
    local(free_port())
}

fn spawn(program: &str, folder: &Path, env: &Env) -> Process {
    let env: Vec<(String, String)> = env.clone().into_iter().collect();
    Process::spawn(program, folder, &built(program), &[], &env)
}

fn folder(what: &str) -> TempDir {
    tempfile::Builder::new().prefix(&format!("pt-{what}-")).tempdir().expect("the temporary folder is writable")
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Sums the samples of one series in the Prometheus text format.
fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    let sample = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let (set, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}')?,
            None => ("", rest),
        };
        let wanted = rest.starts_with(['{', ' ']) && labels.iter().all(|l| set.contains(l));
        wanted.then(|| value.split_whitespace().next()?.parse::<f64>().ok()).flatten()
    };
    text.lines().filter_map(sample).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_summed_over_matching_labels_only() {
        let text = "# HELP a_total x\na_total{o=\"ready\",r=\"x\"} 2\na_total{o=\"failed\",r=\"x\"} 3\na_total_more 7\nb 4\n";
        assert!((sum(text, "a_total", &[]) - 5.0).abs() < 1e-9);
        assert!((sum(text, "a_total", &["o=\"ready\""]) - 2.0).abs() < 1e-9);
        assert!((sum(text, "b", &[]) - 4.0).abs() < 1e-9);
    }
}
