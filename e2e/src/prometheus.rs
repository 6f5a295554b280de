//! A real Prometheus of either major version: scrapes what it is told to, with rules if there are any, keeps exemplars, and answers queries.
//!
//! It lies in a temporary folder and listens on loopback. What is scraped, and what the answers should be, is the caller's business.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::free_port;
use crate::process::Process;
use crate::tools::Tools;

/// It may take so long to be ready.
const START: Duration = Duration::from_secs(30);

/// The releases that the tests run against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// Debian 12's.
    V2,
    /// That of Debian's next release: another parser of labels and text formats, native histograms, UTF-8 names.
    V3,
}

impl Release {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V2, Self::V3];

    /// Where it lies below the tools' folder.
    #[must_use]
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::V2 => "bin/prometheus",
            Self::V3 => "prometheus-3/bin/prometheus",
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "2",
            Self::V3 => "3",
        })
    }
}

/// What is scraped.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name, the label `job`.
    pub name: &'static str,
    /// Host and port of each target, with its further labels.
    pub targets: Vec<(String, Vec<(&'static str, String)>)>,
}

/// A Prometheus; ends when this is dropped.
#[derive(Debug)]
pub struct Prometheus {
    url: String,
    process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts it at an address, or a free one, and waits until it is ready. It scrapes and evaluates every second.
    ///
    /// # Panics
    /// When it is not ready within half a minute; the message has its log.
    #[must_use]
    pub fn start(tools: &Tools, release: Release, address: Option<&str>, jobs: &[Job], rules: &[PathBuf]) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-prometheus-").tempdir().expect("the temporary folder is writable");
        let address = address.map_or_else(|| format!("127.0.0.1:{}", free_port()), str::to_owned);
        let config = folder.path().join("prometheus.yaml");
        std::fs::write(&config, configuration(jobs, rules).to_string()).expect("the temporary folder is writable");
        let args = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address={address}"),
            // What a Tempo counts comes by remote write.
            "--web.enable-remote-write-receiver".to_owned(),
            "--enable-feature=exemplar-storage".to_owned(),
        ];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let program = tools.prometheus(release);
        let mut process = Process::spawn("prometheus", folder.path(), &program, &args, &[]);
        let url = format!("http://{address}");
        process.ready(START, || ureq::get(&format!("{url}/-/ready")).call().is_ok());
        Self { url, process, _folder: folder }
    }

    /// A URL of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The `data` of an answer of its API.
    ///
    /// # Errors
    /// What it says is wrong, or that there is no answer.
    pub fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = query.iter().fold(agent.get(self.url(path)), |request, (key, value)| request.query(key, value));
        let text = request.call().and_then(|mut answer| answer.body_mut().read_to_string()).map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(text) }
    }

    /// The series of an instant query; a scalar is one.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let mut data = self.get("/api/v1/query", &[("query", expression)])?;
        Ok(match data["resultType"].as_str() {
            Some("scalar" | "string") => vec![json!({"metric": {}, "value": data["result"]})],
            _ => data["result"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        })
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr()
    }
}

/// JSON is YAML.
fn configuration(jobs: &[Job], rules: &[PathBuf]) -> Value {
    let job = |job: &Job| {
        let targets = job.targets.iter().map(|(target, labels)| {
            let labels: serde_json::Map<_, _> = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
            json!({"targets": [target], "labels": labels})
        });
        json!({"job_name": job.name, "static_configs": targets.collect::<Vec<_>>()})
    };
    let rules: Vec<_> = rules.iter().map(|path| Path::display(path).to_string()).collect();
    json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": rules,
        "scrape_configs": jobs.iter().map(job).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_is_scraped_with_its_labels() {
        let targets = vec![("127.0.0.1:1".to_owned(), vec![("node", "a".to_owned())])];
        let written = configuration(&[Job { name: "agents", targets }], &[PathBuf::from("a.yaml")]);
        let config = &written["scrape_configs"][0];
        assert_eq!((&config["job_name"], &written["rule_files"][0]), (&json!("agents"), &json!("a.yaml")));
        assert_eq!(config["static_configs"][0], json!({"targets": ["127.0.0.1:1"], "labels": {"node": "a"}}));
    }
}
