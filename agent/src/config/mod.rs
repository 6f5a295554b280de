//! What the operator can set, by flag or environment variable, parsed into what the agent needs. A wrong value is one sentence.

mod otlp;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ::otlp::Endpoint;
use clap::{CommandFactory as _, Parser};
use lifecycle::{
    pull::{Node, NodeName},
    wire::Signal,
};
use thiserror::Error;

pub use self::otlp::{OtlpArgs, Route, Secret};
use crate::{containerd::Selection, sockets};

/// Where probes are answered unless told otherwise.
pub const PROBES: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9091);

/// Variables of the collector and of the tools, which may stand in the same environment.
const OTHERS: [&str; 16] = [
    "PULLTRACE_HTTP_ADDR",
    "PULLTRACE_OTLP_GRPC_ADDR",
    "PULLTRACE_OTLP_HTTP_ADDR",
    "PULLTRACE_WATCH_NAMESPACES",
    "PULLTRACE_HISTORY_TTL",
    "PULLTRACE_AUTH",
    "PULLTRACE_FORWARD_OTLP_ENDPOINT",
    "PULLTRACE_REGISTRY_LABELS",
    "PULLTRACE_EVENT_LOG",
    "PULLTRACE_GRAFANA_URL",
    "PULLTRACE_METRICS_ACTIVE_PULLS",
    "PULLTRACE_METRICS_WORKLOADS",
    "PULLTRACE_SERVER",
    "PULLTRACE_TOOLS",
    "PULLTRACE_SKIPS",
    "PULLTRACE_NOTIFY_URL",
];

/// Watches containerd and tells the life of every image pull as OTLP.
#[derive(Clone, Debug, Parser)]
#[command(name = "pulltrace-agent", version)]
pub struct Args {
    /// Name of this node; the host's name unless given.
    #[arg(long, env = "PULLTRACE_NODE_NAME")]
    pub node_name: Option<String>,
    /// Uid of this node; containerd's own uuid unless given.
    #[arg(long, env = "PULLTRACE_NODE_UID", default_value = "")]
    pub node_uid: String,
    /// Name of the cluster, told with every pull.
    #[arg(long, env = "PULLTRACE_CLUSTER_NAME", default_value = "")]
    pub cluster_name: String,
    /// Sockets of containerd, with commas between; the usual places are tried unless given.
    #[arg(long, env = "PULLTRACE_CONTAINERD_SOCKET", value_delimiter = ',')]
    pub containerd_socket: Vec<String>,
    /// Folder below which the files of the host are seen, for the usual places of sockets and for what containerd says about files.
    #[arg(long, env = "PULLTRACE_HOST_ROOT", default_value = "/")]
    pub host_root: PathBuf,
    /// Namespaces of containerd to watch, with commas between; all unless given.
    #[arg(long, env = "PULLTRACE_CONTAINERD_NAMESPACES", value_delimiter = ',')]
    pub containerd_namespaces: Vec<String>,
    /// Folder of the kubelet, whose pull intents name pulls early; `off` for none.
    #[arg(long, env = "PULLTRACE_KUBELET_DIR", default_value = crate::kubelet::USUAL)]
    pub kubelet_dir: PathBuf,
    /// How often a running pull is looked at (`500ms`, `1s`, `2s`).
    #[arg(long, env = "PULLTRACE_REPORT_INTERVAL", default_value = "1s")]
    pub report_interval: String,
    /// Where to send it.
    #[command(flatten)]
    pub otlp: OtlpArgs,
    /// Where the agent's metrics go: otlp (where everything goes), or none. They stand on /metrics too.
    #[arg(long, env = "OTEL_METRICS_EXPORTER", default_value = "otlp")]
    pub metrics_exporter: String,
    /// Where to send spans about the agent itself: a URL, or `PROTOCOL=URL`; nowhere unless given.
    #[arg(long, env = "PULLTRACE_SELF_OTLP_ENDPOINT")]
    pub self_otlp_endpoint: Option<String>,
    /// Whether to tell with every pull how busy the node's network and disk are and how short it is of memory: auto (what can be read), off.
    #[arg(long, env = "PULLTRACE_HOST_FACTS", default_value = "auto")]
    pub host_facts: String,
    /// Address that answers /healthz, /readyz and /metrics, or `off`; :9091, if it is free, unless given.
    #[arg(long, env = "PULLTRACE_METRICS_ADDR")]
    pub metrics_addr: Option<String>,
    /// What to log: error, warn, info, debug, trace, or a filter like `agent=debug`.
    #[arg(long, env = "PULLTRACE_LOG_LEVEL", default_value = "info")]
    pub log_level: String,
    /// How to log: json or text.
    #[arg(long, env = "PULLTRACE_LOG_FORMAT", default_value = "json")]
    pub log_format: String,
}

/// What the agent runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who speaks.
    pub node: Node,
    /// Sockets to try; all that answer are watched at once.
    pub sockets: Vec<PathBuf>,
    /// Where the files of the host are seen.
    pub host_root: PathBuf,
    /// Which namespaces to watch.
    pub selection: Selection,
    /// Folder of the kubelet, if its intents are to be read.
    pub kubelet: Option<PathBuf>,
    /// How often a running pull is looked at.
    pub interval: Duration,
    /// Where to send what.
    pub routes: Vec<Route>,
    /// Where to answer probes.
    pub probes: Address,
    /// Whether facts about the host are told with pulls.
    pub host_facts: bool,
}

/// An address to listen on, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// Nobody said: listen at [`PROBES`] if it is free. Probes are not worth going without an agent.
    Usual,
    /// Listen here, or do not start.
    On(SocketAddr),
    /// Do not listen.
    Off,
}

/// A value that cannot be used; names variable, value and what is allowed.
#[derive(Debug, Error)]
#[error("{variable}={value:?} {problem}")]
pub struct InvalidError {
    variable: &'static str,
    value: String,
    problem: String,
}

impl Args {
    /// Checks everything that was given.
    ///
    /// # Errors
    /// For the first value that cannot be used.
    pub fn check(self, host_name: Option<String>) -> Result<Config, InvalidError> {
        let name = self.node_name.clone().or(host_name).unwrap_or_default();
        let name: NodeName = name.trim().parse().map_err(|e| invalid("PULLTRACE_NODE_NAME", name.trim(), e))?;
        let mut routes = self.otlp.routes()?;
        if !switch("OTEL_METRICS_EXPORTER", &self.metrics_exporter, ["otlp", "none"])? {
            routes.iter_mut().for_each(|route| route.signals.retain(|signal| *signal != Signal::Metrics));
        }
        if !self.host_root.is_absolute() {
            return Err(invalid("PULLTRACE_HOST_ROOT", &self.host_root.display().to_string(), "an absolute path is allowed"));
        }
        let names: BTreeSet<_> =
            self.containerd_namespaces.iter().map(|n| n.trim().to_owned()).filter(|n| !n.is_empty()).collect();
        if let Some(bad) = names.iter().find(|n| !is_namespace(n)) {
            let problem = "is no containerd namespace: letters, digits, '-', '_' and '.', at most 76";
            return Err(invalid("PULLTRACE_CONTAINERD_NAMESPACES", bad, problem));
        }
        Ok(Config {
            node: Node {
                name,
                uid: self.node_uid,
                cluster: self.cluster_name,
                runtime_name: "containerd".into(),
                runtime_version: String::new(),
            },
            sockets: sockets::choose(&self.containerd_socket, &self.host_root)
                .map_err(|(value, problem)| invalid("PULLTRACE_CONTAINERD_SOCKET", &value, problem))?,
            kubelet: (self.kubelet_dir.as_os_str() != "off")
                .then(|| self.host_root.join(self.kubelet_dir.strip_prefix("/").unwrap_or(&self.kubelet_dir))),
            host_root: self.host_root,
            selection: if names.is_empty() { Selection::All } else { Selection::Only(names) },
            interval: interval(&self.report_interval)
                .map_err(|e| invalid("PULLTRACE_REPORT_INTERVAL", &self.report_interval, e))?,
            routes,
            host_facts: switch("PULLTRACE_HOST_FACTS", &self.host_facts, ["auto", "off"])?,
            probes: match &self.metrics_addr {
                None => Address::Usual,
                Some(given) => address(given).map_err(|e| invalid("PULLTRACE_METRICS_ADDR", given, e))?,
            },
        })
    }

    /// Where spans about the agent itself go, if anywhere. No header, token, certificate or key of the other receivers goes there.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn self_tracing(&self) -> Result<Option<Endpoint>, InvalidError> {
        const NAME: &str = "PULLTRACE_SELF_OTLP_ENDPOINT";
        let Some(given) = &self.self_otlp_endpoint else { return Ok(None) };
        let (protocol, url) = given.split_once('=').unwrap_or(("grpc", given));
        let protocol = protocol.parse().map_err(|e| invalid(NAME, given, e))?;
        Endpoint::parse(url, protocol).map(Some).map_err(|e| invalid(NAME, given, e))
    }
}

/// Variables of Pulltrace that the agent does not know: probably misspelt. Those of the collector are not among them.
pub fn unknown(names: impl Iterator<Item = String>) -> Vec<String> {
    let command = Args::command();
    let known: BTreeSet<_> = command.get_arguments().filter_map(|a| a.get_env()?.to_str().map(str::to_owned)).collect();
    names.filter(|name| name.starts_with("PULLTRACE_") && !known.contains(name) && !OTHERS.contains(&name.as_str())).collect()
}

fn invalid(variable: &'static str, value: &str, problem: impl ToString) -> InvalidError {
    InvalidError { variable, value: value.to_owned(), problem: format!("cannot be used: {}", problem.to_string()) }
}

/// One of two words; the first is yes.
fn switch(variable: &'static str, value: &str, [yes, no]: [&str; 2]) -> Result<bool, InvalidError> {
    match value.trim() {
        word if word == yes => Ok(true),
        word if word == no => Ok(false),
        _ => Err(invalid(variable, value, format!("{yes} or {no} are allowed"))),
    }
}

/// containerd's identifiers (`containerd` pkg/identifiers).
fn is_namespace(name: &str) -> bool {
    name.len() <= 76
        && name.split(['-', '_', '.']).all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// `host:port`, `:port` for every address of the machine, or `off`.
fn address(text: &str) -> Result<Address, String> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    match (text, full.parse()) {
        ("off", _) => Ok(Address::Off),
        (_, Ok(address)) => Ok(Address::On(address)),
        (_, Err(_)) => Err("an address is like 127.0.0.1:9091 or :9091, or off".to_owned()),
    }
}

/// A duration as people write it: a number and `ms`, `s` or `m`.
fn interval(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "a duration is like 500ms, 1s or 2m".to_owned())?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err("a duration is like 500ms, 1s or 2m".to_owned()),
    };
    let allowed = Duration::from_millis(100)..=Duration::from_secs(60);
    if allowed.contains(&duration) { Ok(duration) } else { Err("between 100ms and 1m are allowed".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(extra: &[&str]) -> Args {
        Args::parse_from(["agent", "--node-name", "n1"].into_iter().chain(extra.iter().copied()))
    }

    #[test]
    fn without_a_socket_the_usual_places_are_tried() {
        let config = args(&[]).check(None).expect("valid");
        assert_eq!(config.sockets.len(), sockets::USUAL.len());
        assert_eq!(config.selection, Selection::All);
    }

    #[test]
    fn a_wrong_value_is_named_with_its_variable() {
        let message = |extra: &[&str]| args(extra).check(None).expect_err("invalid").to_string();
        assert!(message(&["--otlp-protocol", "carrier-pigeon"]).contains("OTEL_EXPORTER_OTLP_PROTOCOL=\"carrier-pigeon\""));
        assert!(message(&["--otlp-endpoint", "localhost:4317"]).contains("OTEL_EXPORTER_OTLP_ENDPOINT=\"localhost:4317\""));
        assert!(message(&["--containerd-socket", "/a,b"]).contains("PULLTRACE_CONTAINERD_SOCKET=\"b\""));
        assert!(message(&["--host-root", "host"]).contains("PULLTRACE_HOST_ROOT=\"host\""));
        assert!(message(&["--containerd-namespaces", "a b"]).contains("PULLTRACE_CONTAINERD_NAMESPACES=\"a b\""));
        assert!(message(&["--metrics-exporter", "prometheus"]).contains("OTEL_METRICS_EXPORTER=\"prometheus\""));
        assert!(message(&["--host-facts", "on"]).contains("auto or off are allowed"));
        let named = Args { node_name: Some("a b".into()), ..args(&[]) };
        assert!(named.check(None).expect_err("invalid").to_string().contains("PULLTRACE_NODE_NAME=\"a b\""));
    }

    #[test]
    fn metrics_go_nowhere_if_nobody_wants_them() {
        let metrics = |word| {
            let config = args(&["--metrics-exporter", word]).check(None).expect("valid");
            config.routes.iter().any(|route| route.signals.contains(&Signal::Metrics))
        };
        assert_eq!(["otlp", "none"].map(metrics), [true, false]);
    }

    #[test]
    fn a_host_name_with_a_line_end_is_a_node_name() {
        let args = Args { node_name: None, ..args(&[]) };
        assert_eq!(args.check(Some("host-1\n".into())).expect("valid").node.name.as_str(), "host-1");
    }

    #[test]
    fn intervals_have_units_and_bounds() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(interval("2s"), Ok(Duration::from_secs(2)));
        for text in ["", "1", "s", "10", "1h", "5ms", "99999999999999999999s", "2m"] {
            assert!(interval(text).is_err(), "{text}");
        }
    }
}
