//! What can be set, by flag or by variable, read once at the start. A wrong value is one sentence that names variable, value and what is
//! allowed; a variable that nobody reads is warned about, because it is mostly a typing error.

mod access;

use std::{ffi::OsString, time::Duration};

use clap::{
    CommandFactory as _, Parser, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};
use otlp::{Endpoint, Protocol};
use thiserror::Error;
use tracing_subscriber::EnvFilter;

use self::access::AccessArguments;
pub(crate) use self::access::{Access, Known};
use crate::{
    http::Caps,
    listen::Address,
    metrics::{ACTIVE_PULLS, Followed, WORKLOADS},
    serve::MAX_CONNECTIONS,
};

/// Variables of the agent and of the tools, which may stand in the same environment.
const OF_OTHERS: [&str; 10] = [
    "PULLTRACE_NODE_NAME",
    "PULLTRACE_CONTAINERD_SOCKET",
    "PULLTRACE_CONTAINERD_NAMESPACES",
    "PULLTRACE_REPORT_INTERVAL",
    "PULLTRACE_SERVER_URL",
    "PULLTRACE_NODE_UID",
    "PULLTRACE_SERVER",
    "PULLTRACE_TOOLS",
    "PULLTRACE_SKIPS",
    "PULLTRACE_NOTIFY_URL",
];
/// Most pulls that may be asked to have series of their own.
const MAX_FOLLOWED: usize = 1000;
/// Begins the names of all our variables.
const PREFIX: &str = "PULLTRACE_";

/// The collector of Pulltrace: takes reports of image pulls by OTLP and tells them to people, Prometheus and other OTLP receivers.
#[derive(Debug, Parser)]
#[command(name = "pulltrace-collector", version)]
struct Arguments {
    /// Address of API, event stream and page
    #[arg(long, env = "PULLTRACE_HTTP_ADDR", default_value = "0.0.0.0:8080")]
    http_addr: Address,

    /// Address of /metrics
    #[arg(long, env = "PULLTRACE_METRICS_ADDR", default_value = "0.0.0.0:9090")]
    metrics_addr: Address,

    #[command(flatten)]
    access: AccessArguments,

    /// Age at which connections to the ports of OTLP are asked to end, give or take a tenth, so that agents spread over all collectors
    #[arg(long, env = "PULLTRACE_OTLP_CONNECTION_AGE", default_value = "10m", value_parser = duration)]
    otlp_connection_age: Duration,

    /// Most readers of streams at a time
    #[arg(long, env = "PULLTRACE_SSE_MAX_CLIENTS", default_value = "5000", value_parser = count)]
    sse_max_clients: usize,

    /// Most readers of streams from one address at a time; a proxy is one address
    #[arg(long, env = "PULLTRACE_SSE_MAX_CLIENTS_PER_ADDRESS", default_value = "1000", value_parser = count)]
    sse_max_clients_per_address: usize,

    /// How long ended pulls are kept
    #[arg(long, env = "PULLTRACE_HISTORY_TTL", default_value = "30m", value_parser = duration)]
    history_ttl: Duration,

    /// OTLP receivers that get everything too, separated by commas: URLs, or PROTOCOL=URL for another protocol than usual
    #[arg(long, env = "PULLTRACE_FORWARD_OTLP_ENDPOINT", value_delimiter = ',', value_name = "[PROTOCOL=]URL")]
    forward_otlp_endpoint: Vec<String>,

    /// Usual protocol of those receivers
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = "grpc", value_parser = protocol)]
    forward_protocol: Protocol,

    /// Whether the progress of pulls is forwarded too
    #[arg(long, env = "PULLTRACE_FORWARD_PROGRESS", default_value = "off")]
    forward_progress: Switch,

    /// Registries that get a label of their own in metrics, separated by commas; else the first 50 that are seen
    #[arg(long, env = "PULLTRACE_REGISTRY_LABELS", value_delimiter = ',')]
    registry_labels: Vec<String>,

    /// Pulls that get series of their own in metrics while they run: the longest running, at most so many; 0 for none
    #[arg(long, env = "PULLTRACE_METRICS_ACTIVE_PULLS", default_value_t = ACTIVE_PULLS, value_parser = followed)]
    metrics_active_pulls: usize,

    /// Workloads that get series of their own in metrics: those that lack most images, at most so many; 0 for none
    #[arg(long, env = "PULLTRACE_METRICS_WORKLOADS", default_value_t = WORKLOADS, value_parser = followed)]
    metrics_workloads: usize,

    /// Whether started, completed and failed pulls are written to standard output as JSON lines
    #[arg(long, env = "PULLTRACE_EVENT_LOG", default_value = "on")]
    event_log: Switch,

    /// Name of the cluster, for pulls whose agents say none
    #[arg(long, env = "PULLTRACE_CLUSTER_NAME", default_value = "")]
    cluster_name: String,

    /// Where Grafana is, with the dashboards, for links on the page: a URL
    #[arg(long, env = "PULLTRACE_GRAFANA_URL", value_name = "URL", value_parser = web_url)]
    grafana_url: Option<String>,

    /// Whether pods are watched through the Kubernetes API: on, off, or where there is a kubeconfig or a service account
    #[arg(long, env = "PULLTRACE_KUBERNETES", default_value = "auto")]
    kubernetes: Kubernetes,

    /// Namespaces whose pods are watched, separated by commas; else all
    #[arg(long, env = "PULLTRACE_WATCH_NAMESPACES", value_delimiter = ',')]
    watch_namespaces: Vec<String>,

    /// Which messages are written to standard error: a level, or a filter like collector=debug
    #[arg(long, env = "PULLTRACE_LOG_LEVEL", default_value = "info", value_parser = filter)]
    log_level: String,

    /// How they are written
    #[arg(long, env = "PULLTRACE_LOG_FORMAT", default_value = "json")]
    log_format: LogFormat,
}

/// What was set.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of API, event stream and page.
    pub http_addr: Address,
    /// Address of `/metrics`.
    pub metrics_addr: Address,
    /// Who may report and read, and where.
    pub(crate) access: Access,
    /// Age at which connections to the ports of OTLP are asked to end.
    pub otlp_connection_age: Duration,
    /// Most readers of streams at a time.
    pub(crate) readers: Caps,
    /// How long ended pulls are kept.
    pub history_ttl: Duration,
    /// OTLP receivers that get everything too.
    pub forward_endpoints: Vec<Endpoint>,
    /// Whether those receivers get the progress of pulls too.
    pub forward_progress: bool,
    /// Registries that get a label of their own in metrics; the first that are seen if empty.
    pub registry_labels: Vec<String>,
    /// What gets series of its own in metrics.
    pub(crate) followed: Followed,
    /// Whether the event log is written to standard output.
    pub event_log: bool,
    /// Name of the cluster, for pulls whose agents say none; may be empty.
    pub cluster_name: String,
    /// Where Grafana is, without a slash at its end.
    pub grafana_url: Option<String>,
    /// Whether pods are watched.
    pub kubernetes: Kubernetes,
    /// Namespaces whose pods are watched; all if empty.
    pub watch_namespaces: Vec<String>,
    /// Which messages are written: error, warn, info, debug, trace, or a filter.
    pub log_level: String,
    /// How messages are written.
    pub log_format: LogFormat,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Whether pods are watched through the Kubernetes API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kubernetes {
    /// Where there is a kubeconfig or a service account.
    Auto,
    /// It is an error if they cannot be.
    On,
    /// They are not.
    Off,
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
#[expect(clippy::module_name_repetitions, reason = "an error alone would say nothing where it is used")]
pub enum ConfigError {
    /// Help or the version was asked for; this is its text.
    #[error("{0}")]
    Asked(String),
    /// Something was set wrong; one sentence.
    #[error("{0}")]
    Wrong(String),
}

impl Config {
    /// Reads arguments, and the environment through them.
    ///
    /// # Errors
    /// When something is wrong, or help was asked for.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, ConfigError> {
        let arguments = Arguments::try_parse_from(arguments).map_err(|error| told(&error))?;
        let endpoint = |text: &String| {
            let (protocol, url) = match text.split_once('=') {
                Some((word, url)) if !word.contains(':') => (word.parse(), url),
                Some(_) | None => (Ok(arguments.forward_protocol), text.as_str()),
            };
            let parsed = protocol.and_then(|protocol| Endpoint::parse(url.trim(), protocol));
            parsed.map_err(|error| ConfigError::Wrong(format!("PULLTRACE_FORWARD_OTLP_ENDPOINT: {error}")))
        };
        let named = |list: &[String]| list.iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
        let endpoints: Vec<_> = named(&arguments.forward_otlp_endpoint);
        let access = arguments.access.resolve()?;
        if matches!(access.agents, Known::Accounts(_)) && arguments.kubernetes == Kubernetes::Off {
            let problem = "PULLTRACE_AUTH: serviceaccount needs PULLTRACE_KUBERNETES to be auto or on";
            return Err(ConfigError::Wrong(problem.to_owned()));
        }
        Ok(Self {
            http_addr: arguments.http_addr,
            metrics_addr: arguments.metrics_addr,
            otlp_connection_age: arguments.otlp_connection_age,
            readers: Caps { total: arguments.sse_max_clients, per_address: arguments.sse_max_clients_per_address },
            history_ttl: arguments.history_ttl,
            forward_endpoints: endpoints.iter().map(endpoint).collect::<Result<_, _>>()?,
            forward_progress: arguments.forward_progress == Switch::On,
            registry_labels: named(&arguments.registry_labels),
            followed: Followed { pulls: arguments.metrics_active_pulls, workloads: arguments.metrics_workloads },
            event_log: arguments.event_log == Switch::On,
            cluster_name: arguments.cluster_name,
            grafana_url: arguments.grafana_url,
            kubernetes: arguments.kubernetes,
            watch_namespaces: named(&arguments.watch_namespaces),
            log_level: arguments.log_level,
            log_format: arguments.log_format,
            access,
        })
    }
}

/// Those of these variables that begin like ours and that nobody reads.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let command = Arguments::command();
    let ours: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    let known = |name: &str| ours.contains(&name) || OF_OTHERS.contains(&name);
    names.into_iter().filter(|name| name.starts_with(PREFIX) && !known(name)).collect()
}

/// clap's error in one sentence that names the variable.
fn told(error: &clap::Error) -> ConfigError {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        Some(_) | None => None,
    };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return ConfigError::Asked(error.to_string());
    }
    let (Some(argument), Some(value)) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue)) else {
        let first = error.to_string();
        let first = first.lines().next().unwrap_or_default().trim_start_matches("error: ");
        return ConfigError::Wrong(format!("{first}; --help says what is understood"));
    };
    let flag = argument.split(' ').next().unwrap_or_default().trim_start_matches("--").to_owned();
    let command = Arguments::command();
    let variable = command.get_arguments().find(|a| a.get_long() == Some(&flag)).and_then(|a| a.get_env()?.to_str());
    let allowed = std::error::Error::source(error).map(ToString::to_string).or_else(|| text(ContextKind::ValidValue));
    ConfigError::Wrong(format!(
        "{} (--{flag}): {value:?} is not allowed; it must be {}",
        variable.unwrap_or("the flag"),
        allowed.unwrap_or_else(|| "given".to_owned())
    ))
}

fn filter(text: &str) -> Result<String, &'static str> {
    const FORM: &str = "error, warn, info, debug, trace, or a filter like collector=debug";
    EnvFilter::builder().parse(text).map(|_| text.to_owned()).map_err(|_| FORM)
}

fn followed(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= MAX_FOLLOWED);
    number.ok_or_else(|| format!("a number from 0 to {MAX_FOLLOWED}"))
}

fn protocol(text: &str) -> Result<Protocol, &'static str> {
    text.parse().map_err(|_| "grpc or http/protobuf")
}

/// Reads a number of connections.
fn count(text: &str) -> Result<usize, String> {
    let form = || format!("a number from 1 to {MAX_CONNECTIONS}");
    text.parse().ok().filter(|count| (1..=MAX_CONNECTIONS).contains(count)).ok_or_else(form)
}

/// Reads a URL that people's browsers can open; what stands there becomes a link, so nothing but http will do.
fn web_url(text: &str) -> Result<String, &'static str> {
    let url =
        text.parse::<http::Uri>().ok().filter(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.query().is_none());
    url.map(|_| text.trim_end_matches('/').to_owned()).ok_or("a URL such as https://grafana.example.com")
}

/// Reads `500ms`, `30s`, `5m`, `2h`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "a number and a unit of ms, s, m or h, such as 30s or 5m, and not zero";
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or(FORM)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| FORM)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(FORM),
    };
    number.checked_mul(millis).filter(|total| *total > 0).map(Duration::from_millis).ok_or(FORM)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Config, ConfigError> {
        Config::read(["pulltrace-collector"].iter().chain(arguments).map(OsString::from))
    }

    fn wrong(arguments: &[&str]) -> String {
        read(arguments).unwrap_err().to_string()
    }

    #[test]
    fn what_becomes_a_link_is_a_web_address() {
        let url = read(&["--grafana-url", "https://grafana.example.com/at/"]).unwrap().grafana_url;
        assert_eq!(url.as_deref(), Some("https://grafana.example.com/at"));
        for odd in ["javascript:alert(1)", "grafana", "https://g?x=1", ""] {
            assert!(wrong(&["--grafana-url", odd]).starts_with("PULLTRACE_GRAFANA_URL (--grafana-url)"), "{odd}");
        }
    }

    #[test]
    fn nothing_set_means_the_contracts_ports_and_otlp_from_this_machine_only() {
        let config = read(&[]).unwrap();
        let addresses = [config.http_addr, config.metrics_addr, config.access.otlp_grpc_addr, config.access.otlp_http_addr];
        assert_eq!(addresses.map(|a| a.to_string()), ["0.0.0.0:8080", "0.0.0.0:9090", "127.0.0.1:4317", "127.0.0.1:4318"]);
        assert_eq!((config.history_ttl, config.event_log), (Duration::from_secs(1800), true));
    }

    #[test]
    fn a_wrong_value_is_one_sentence_that_names_variable_value_and_what_is_allowed() {
        assert_eq!(
            wrong(&["--http-addr", "here"]),
            "PULLTRACE_HTTP_ADDR (--http-addr): \"here\" is not allowed; it must be an IP address and a port, such as 127.0.0.1:8080, or \
             :8080 for all addresses"
        );
        assert_eq!(
            wrong(&["--event-log", "maybe"]),
            "PULLTRACE_EVENT_LOG (--event-log): \"maybe\" is not allowed; it must be on, off"
        );
        for duration in ["30", "s", "0s", "-1s", "1w", ""] {
            let told = wrong(&[&format!("--history-ttl={duration}")]);
            assert!(told.starts_with("PULLTRACE_HISTORY_TTL") && !told.contains('\n'), "{told}");
        }
        assert_eq!(wrong(&["--nonsense"]), "unexpected argument '--nonsense' found; --help says what is understood");
    }

    #[test]
    fn several_sinks_each_have_their_protocol() {
        let config = read(&["--forward-otlp-endpoint", "http://tempo:4317, http/protobuf=http://other:4318/otlp,"]).unwrap();
        let origins: Vec<_> = config.forward_endpoints.iter().map(Endpoint::origin).collect();
        assert_eq!(origins, ["http://tempo:4317", "http://other:4318"]);
        assert!(
            wrong(&["--forward-otlp-endpoint", "tempo:4317"])
                .starts_with("PULLTRACE_FORWARD_OTLP_ENDPOINT: \"tempo:4317\" has no scheme")
        );
    }

    #[test]
    fn variables_that_nobody_reads_are_found() {
        let names = ["PULLTRACE_HTTP_ADDR", "PULLTRACE_NODE_NAME", "PULLTRACE_HTPP_ADDR", "PATH"];
        assert_eq!(unknown_variables(names.map(str::to_owned)), ["PULLTRACE_HTPP_ADDR"]);
    }
}
