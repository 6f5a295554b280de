//! What people look with, as far as this machine has it: a Prometheus with the rules, and Tempo. What is missing is said, and nothing is
//! shown in its place; Grafana is nowhere to be had as a program of ours, so its dashboards are only pointed to.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::prometheus::{Job, Prometheus, Release};
use e2e::stack::Running;
use e2e::tools::{Need, Tools};

use crate::say;

/// Where Prometheus usually listens is the collector's port for metrics.
const ADDRESS: &str = "127.0.0.1:9095";

/// Prometheus and Tempo; they end when this is dropped.
pub(crate) struct Stack {
    prometheus: Result<(Prometheus, Release), String>,
    rules: Vec<PathBuf>,
    dashboards: PathBuf,
    tempo: Option<Tempo>,
}

impl Stack {
    /// Starts Prometheus with the rules of the repository, scraping the collector and these agents, each a node's.
    pub(crate) fn start(root: &Path, collector: &str, agents: &[(&str, String)], tempo: Option<Tempo>) -> Self {
        let rules = ending(&root.join("rules"), "pulltrace-rules.yaml");
        let found = [Release::V3, Release::V2].into_iter().find_map(|release| {
            let tools = Tools::look(&[Need::Prometheus(release)]).ok()?;
            Some((tools, release))
        });
        let prometheus = found.ok_or("not installed; e2e/tools.sh brings it".to_owned()).map(|(tools, release)| {
            let targets = agents.iter().map(|(node, target)| (target.clone(), vec![("node", (*node).to_owned())])).collect();
            let jobs = [
                Job { name: "pulltrace-collector", targets: vec![(collector.to_owned(), Vec::new())] },
                Job { name: "pulltrace-agent", targets },
            ];
            let free = std::net::TcpListener::bind(ADDRESS).is_ok();
            (Prometheus::start(&tools, release, free.then_some(ADDRESS), &jobs, &rules), release)
        });
        Self { prometheus, rules, dashboards: root.join("dashboards"), tempo }
    }

    /// One line for each thing to look at.
    pub(crate) fn places(&self) -> Vec<String> {
        let prometheus = match &self.prometheus {
            Ok((prometheus, release)) => {
                let alerts = format!("{} files of rules: {}", self.rules.len(), prometheus.url("/alerts"));
                format!("  Prometheus  {} (release {release}, {alerts})", prometheus.url("/"))
            }
            Err(why) => format!("  Prometheus  {why}"),
        };
        let tempo = self.tempo.as_ref().map_or_else(
            || "  Tempo       not installed: traces of the real agents' pulls are not kept".to_owned(),
            |tempo| format!("  Tempo       {} ({}, traces of the real agents' pulls)", tempo.url(), tempo.release),
        );
        let dashboards = match ending(&self.dashboards, ".json").len() {
            0 => "  Grafana     there are no dashboards in dashboards/ yet".to_owned(),
            count => format!("  Grafana     not part of this: {count} dashboards to import are in dashboards/"),
        };
        vec![prometheus, tempo, dashboards]
    }
}

/// The files of a folder whose names end so, in order.
fn ending(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(end)).collect();
    found.sort();
    found.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect()
}

/// A Tempo that keeps what it takes in a temporary folder.
pub(crate) struct Tempo {
    running: Running,
    release: e2e::stack::Tempo,
    endpoint: String,
}

impl Tempo {
    /// Starts the newest that is among the tools. Its own metrics go to this Prometheus.
    pub(crate) fn start() -> Option<Self> {
        let found = [e2e::stack::Tempo::V3, e2e::stack::Tempo::V2].into_iter().find_map(|release| {
            let tools = Tools::look(&[Need::Tempo(release)]).ok()?;
            Some((tools, release))
        });
        let (tools, release) = found?;
        say("Starting Tempo; it is ready after about a quarter of a minute.");
        let running = e2e::stack::tempo(&tools, release, ADDRESS);
        let endpoint = format!("http://{}", running.grpc());
        Some(Self { running, release, endpoint })
    }

    fn url(&self) -> String {
        format!("http://{}", self.running.address())
    }

    /// Where it takes OTLP/gRPC.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}
