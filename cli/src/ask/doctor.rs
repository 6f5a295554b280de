//! `doctor`: looks at everything that has to work before pulls can be seen, from the sockets of this machine to the agents of the cluster, and says of
//! what does not what to do. It changes nothing. One finding is one line; any that fails makes the command fail.

use std::{
    io::{self, ErrorKind, Write as _},
    os::unix::net::UnixStream,
    path::Path,
};

use agent::sockets::USUAL;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

use super::{
    answers::Node,
    look::read,
    say::{Format, line, yaml},
};
use crate::{
    client::{Client, ClientError},
    cluster::{Cluster, NEEDED, OwnPod},
    server::{Called, Scope, Server},
};

/// Where Docker's socket is, and Podman's that speaks like it.
const DOCKER: [&str; 2] = ["/run/docker.sock", "/run/podman/podman.sock"];
/// This program's version.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// What is looked at.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    scope: Scope,
    /// How to show it; else as lines
    #[arg(short, long, value_enum, value_name = "HOW")]
    output: Option<Format>,
    #[command(flatten)]
    server: Server,
}

/// Something does not work; what it is was said.
#[derive(Debug, Error)]
#[error("{0} of these need somebody")]
pub(crate) struct Ill(usize);

/// How well it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    what: &'static str,
    level: Level,
    said: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Surroundings {
    version: String,
}

/// Looks at everything and says how it is.
pub(crate) fn run(options: &Options, called: Called) -> anyhow::Result<()> {
    let mut findings: Vec<Finding> = USUAL.iter().filter_map(|path| socket("containerd", path)).collect();
    findings.extend(DOCKER.iter().filter_map(|path| socket("docker", path)));
    if findings.is_empty() {
        findings.push(Finding::ok("sockets", "no containerd, Docker or Podman on this machine".to_owned()));
    }
    if options.server.means_cluster(called) {
        let namespace = options.scope.namespace.as_deref();
        match options.server.cluster() {
            Ok(cluster) => in_cluster(&cluster, namespace, &mut findings),
            Err(error) => findings.push(Finding::of_error("kubeconfig", &error.to_string())),
        }
    }
    match options.server.client(called) {
        Ok(client) => collector(&client, &mut findings),
        Err(error) => findings.push(Finding::of_error("collector", &error.to_string())),
    }
    say(&findings, options.output.unwrap_or_default())?;
    let failed = findings.iter().filter(|finding| finding.level == Level::Fail).count();
    if failed > 0 { Err(Ill(failed).into()) } else { Ok(()) }
}

fn say(findings: &[Finding], format: Format) -> Result<(), ClientError> {
    let mut output = io::stdout().lock();
    let json = json!({ "version": OWN, "findings": findings });
    match format {
        Format::Json => Ok(writeln!(output, "{json:#}")?),
        Format::Yaml => Ok(write!(output, "{}", yaml(&json)?)?),
        Format::Table | Format::Wide => findings.iter().try_for_each(|finding| {
            let level = match finding.level {
                Level::Ok => "ok",
                Level::Warn => "warn",
                Level::Fail => "FAIL",
            };
            line(&mut output, &format!("{level:<5} {:<11} {}", finding.what, finding.said))?;
            finding.next.iter().try_for_each(|next| line(&mut output, &format!("{:<17} -> {next}", "")))
        }),
    }
}

impl Finding {
    fn new(what: &'static str, level: Level, said: String, next: &str) -> Self {
        Self { what, level, said, next: Some(next.to_owned()).filter(|next| !next.is_empty()) }
    }

    fn ok(what: &'static str, said: String) -> Self {
        Self::new(what, Level::Ok, said, "")
    }

    /// What an error says to do stands behind a semicolon.
    fn of_error(what: &'static str, error: &str) -> Self {
        let (said, next) = error.split_once("; ").unwrap_or((error, ""));
        Self::new(what, Level::Fail, said.to_owned(), next)
    }
}

/// A socket of this machine, if it is there. Who asks a cluster needs none.
fn socket(what: &'static str, path: &str) -> Option<Finding> {
    if !Path::new(path).exists() {
        return None;
    }
    Some(match UnixStream::connect(path) {
        Ok(_) => Finding::ok(what, format!("{path} can be opened")),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let next = match what {
                "docker" => "join the group docker, or use sudo, to see and make pulls of this machine",
                _ => "only root opens it; `sudo pulltrace up` shows the pulls of this machine",
            };
            Finding::new(what, Level::Warn, format!("{path}: permission denied"), next)
        }
        Err(error) => Finding::new(what, Level::Warn, format!("{path}: {error}"), "see whether its service runs"),
    })
}

/// Rights and the pods of the chart.
fn in_cluster(cluster: &Cluster, namespace: Option<&str>, findings: &mut Vec<Finding>) {
    match cluster.version() {
        Ok(version) => findings.push(Finding::ok("kubernetes", format!("{version}, {}", cluster.context()))),
        Err(error) => return findings.push(Finding::of_error("kubernetes", &error.to_string())),
    }
    let pods = match cluster.own_pods() {
        Ok(pods) => pods,
        Err(error) => return findings.push(Finding::of_error("pods", &error.to_string())),
    };
    let home = pods.first().map(|pod| pod.namespace.clone());
    rights(cluster, home.as_deref(), namespace.unwrap_or_else(|| cluster.namespace()), findings);
    let Some(home) = home else {
        let next = "install its Helm chart, or name its namespace with --pulltrace-namespace";
        return findings.push(Finding::new("pods", Level::Fail, "Pulltrace is not installed here".to_owned(), next));
    };
    findings.extend(["collector", "agent"].map(|component| component_of(&pods, component, &home)));
}

/// What the user may do.
fn rights(cluster: &Cluster, home: Option<&str>, namespace: &str, findings: &mut Vec<Finding>) {
    for right in NEEDED {
        let Some(place) = (if right.at_home { home } else { Some(namespace) }) else { continue };
        let words = format!("{} {} in {place}, {}", right.verb, right.resource, right.purpose);
        let group = right.group;
        findings.push(match cluster.may(right, place) {
            Ok(true) => Finding::ok("rights", format!("you may {words}")),
            Ok(false) => {
                // Those for `wait` are only missed by who waits.
                let level = if right.at_home { Level::Fail } else { Level::Warn };
                let rule = format!("{{apiGroups: [{group:?}], resources: [{}], verbs: [{}]}}", right.resource, right.verb);
                Finding::new("rights", level, format!("you may not {words}"), &format!("ask for a Role in {place} with {rule}"))
            }
            Err(error) => Finding::new("rights", Level::Warn, error.to_string(), ""),
        });
    }
}

/// The pods of a component: that there are some, and that they are ready.
fn component_of(pods: &[OwnPod], component: &str, home: &str) -> Finding {
    let own: Vec<&OwnPod> = pods.iter().filter(|pod| pod.component == component).collect();
    let ill: Vec<String> = own.iter().filter(|pod| !pod.ready).map(|pod| format!("{} is {}", pod.name, pod.phase)).collect();
    let label = format!("kubectl -n {home} describe pods -l app.kubernetes.io/component={component}");
    match (own.len(), ill.is_empty()) {
        (0, _) => {
            Finding::new("pods", Level::Fail, format!("no pod of the {component}"), &format!("see `helm -n {home} get values`"))
        }
        (all, true) => Finding::ok("pods", format!("{component}: {all} of {all} ready")),
        (all, false) => {
            let said = format!("{component}: {} of {all} ready; {}", all - ill.len(), ill.join(", "));
            Finding::new("pods", Level::Fail, said, &format!("see `{label}`"))
        }
    }
}

/// The collector, its version and its agents.
fn collector(client: &Client, findings: &mut Vec<Finding>) {
    if let Err(error) = client.text("/readyz") {
        return findings.push(Finding::of_error("collector", &error.to_string()));
    }
    let asked = client.get::<Surroundings>("/api/v1/ui");
    let version = match &asked {
        Ok(Surroundings { version }) => version,
        // Older ones do not tell it.
        Err(ClientError::Status { status: 404, .. }) => "of an older version",
        Err(ClientError::Status { status: 401 | 403, message }) => {
            let next = "give the token that it wants with --token-file, or ask who installed it for one";
            return findings.push(Finding::new(
                "collector",
                Level::Fail,
                format!("{} wants to know you: {message}", client.url()),
                next,
            ));
        }
        Err(error) => return findings.push(Finding::of_error("collector", &error.to_string())),
    };
    findings.push(Finding::ok("collector", format!("{} is ready", client.url())));
    let nodes = client.get::<serde_json::Value>("/api/v1/nodes").and_then(|list| read::<Vec<Node>>(&list["nodes"]));
    match nodes {
        Ok(nodes) => {
            findings.push(versions(version, &nodes));
            findings.extend(agents(&nodes));
        }
        Err(error) => findings.push(Finding::of_error("agents", &error.to_string())),
    }
}

/// Whether all speak of the same.
fn versions(collector: &str, nodes: &[Node]) -> Finding {
    let mut agents: Vec<&str> = nodes.iter().filter_map(|node| node.agent_version.as_deref()).collect();
    agents.sort_unstable();
    agents.dedup();
    let said = format!(
        "this command {OWN}, collector {collector}, agents {}",
        if agents.is_empty() { "-".to_owned() } else { agents.join(", ") }
    );
    if collector == OWN && agents.iter().all(|agent| *agent == OWN) {
        Finding::ok("versions", said)
    } else {
        Finding::new("versions", Level::Warn, said, "use one version of all three; newer ones understand older agents")
    }
}

/// Who is heard, and whose containerd answers.
fn agents(nodes: &[Node]) -> Vec<Finding> {
    if nodes.is_empty() {
        let next = "see the agents' logs: they name the endpoint that they report to";
        return vec![Finding::new("agents", Level::Fail, "no agent was heard".to_owned(), next)];
    }
    let heard = nodes.iter().filter(|node| node.connected && node.reachable != Some(false)).count();
    let mut runtimes: Vec<&str> = nodes.iter().filter_map(|node| node.version.as_deref()).collect();
    runtimes.sort_unstable();
    runtimes.dedup();
    let runtimes = if runtimes.is_empty() { String::new() } else { format!(" ({})", runtimes.join(", ")) };
    let mut findings = vec![Finding::ok("agents", format!("{heard} of {} heard, with their containerd{runtimes}", nodes.len()))];
    for node in nodes {
        let of = |said: &str, next: &str| Finding::new("agents", Level::Fail, format!("{}: {said}", node.name), next);
        findings.extend(match (node.connected, node.reachable) {
            (false, _) => Some(of("its agent is silent", "see whether the node and its agent's pod run")),
            (true, Some(false)) => {
                Some(of("its agent does not reach containerd", "see the agent's log: it names the sockets that it tried"))
            }
            (true, Some(true) | None) => None,
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(json: serde_json::Value) -> Vec<Node> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn silent_agents_and_those_without_containerd_fail_by_name() {
        let all = nodes(json!([
            { "name": "n1", "connected": true, "reachable": true, "lastSeen": "2025-01-15T10:30:00Z", "agentVersion": OWN },
            { "name": "n2", "connected": false, "lastSeen": "2025-01-15T10:30:00Z" },
            { "name": "n3", "connected": true, "reachable": false, "lastSeen": "2025-01-15T10:30:00Z" },
        ]));
        let found = agents(&all);
        let levels: Vec<_> = found.iter().map(|finding| finding.level).collect();
        assert_eq!(levels, [Level::Ok, Level::Fail, Level::Fail]);
        assert!(found[0].said.starts_with("1 of 3") && found[1].said.starts_with("n2: ") && found[2].said.starts_with("n3: "));
        assert!(found[1..].iter().all(|finding| finding.next.is_some()));
        assert_eq!(agents(&[])[0].level, Level::Fail);
    }

    #[test]
    fn versions_that_differ_are_warned_of() {
        assert_eq!(versions(OWN, &[]).level, Level::Ok);
        assert_eq!(versions("0.0.1", &[]).level, Level::Warn);
        let old = nodes(json!([{ "name": "n", "connected": true, "lastSeen": "2025-01-15T10:30:00Z", "agentVersion": "0.0.1" }]));
        assert_eq!(versions(OWN, &old).level, Level::Warn);
    }

    #[test]
    fn a_socket_that_nobody_serves_is_warned_of_and_one_that_is_not_there_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let text = path.to_str().unwrap();
        assert_eq!(socket("docker", text), None);
        let server = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(socket("docker", text).unwrap().level, Level::Ok);
        drop(server);
        assert_eq!(socket("docker", text).unwrap().level, Level::Warn);
    }

    #[test]
    fn pods_that_are_not_ready_fail_with_where_to_look() {
        let pod = |ready| OwnPod {
            namespace: "pulltrace".into(),
            name: "a".into(),
            component: "agent".into(),
            node: None,
            version: None,
            phase: "Pending".into(),
            ready,
            port: 8080,
            tls: false,
            service: String::new(),
        };
        assert_eq!(component_of(&[pod(true)], "agent", "pulltrace").level, Level::Ok);
        let ill = component_of(&[pod(true), pod(false)], "agent", "pulltrace");
        assert!(ill.level == Level::Fail && ill.said == "agent: 1 of 2 ready; a is Pending", "{ill:?}");
        assert_eq!(component_of(&[], "collector", "pulltrace").level, Level::Fail);
    }
}
