//! What the chart tells the programs, told to the programs themselves: they start with it in every situation, and have nothing to say against it.
//! Ports are free ones, tokens lie elsewhere, and the cluster does not answer; certificates are the business of the programs' own tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use e2e::helm::{Asked, documents, situations};
use e2e::pulltrace::{Agent, Collector};
use e2e::tools::{Need, Tools};
use serde_json::Value;

use crate::{helm, rendered};

/// Where tokens and certificates are mounted.
const MOUNTED: [&str; 2] = ["/var/run/secrets/pulltrace/", "/etc/pulltrace/"];

/// The variables of a container that are values, without those that say where to listen or name a certificate; tokens are in this file.
fn told(container: &Value, token: &str) -> BTreeMap<String, String> {
    let variables = container["env"].as_array().map_or(&[][..], Vec::as_slice);
    let pairs = variables.iter().filter_map(|variable| Some((variable["name"].as_str()?, variable["value"].as_str()?)));
    let kept =
        pairs.filter(|(name, value)| !name.ends_with("_ADDR") && *name != "PULLTRACE_HTTP_TLS" && !value.starts_with(MOUNTED[1]));
    kept.map(|(name, value)| (name.to_owned(), if value.starts_with(MOUNTED[0]) { token.to_owned() } else { value.to_owned() }))
        .collect()
}

/// A cluster that does not answer.
const CLUSTER: &str = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
                       clusters: [{name: c, cluster: {server: \"https://127.0.0.1:9\"}}]\nusers: [{name: u, user: {token: t}}]\n";

#[test]
fn the_programs_start_with_what_they_are_told() {
    let test = "the_programs_start_with_what_they_are_told";
    let Some(helm) = helm(test) else { return };
    if Tools::find(test, &[Need::Pulltrace]).is_none() {
        return;
    }
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&token, "0123456789abcdef").unwrap();
    let cluster = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&cluster, CLUSTER).unwrap();
    let mut different = BTreeSet::new();
    for file in situations().values() {
        let objects = documents(&rendered(&helm, &Asked::of(file)));
        let containers = objects.iter().map(|object| &object["spec"]["template"]["spec"]["containers"][0]);
        different.extend(containers.filter_map(|container| {
            let name = container["name"].as_str()?;
            Some((name.to_owned(), told(container, token.path().to_str()?)))
        }));
    }
    assert!(different.len() > 15, "{different:?}");
    for (program, variables) in different {
        let mut told: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let log = if program == "collector" {
            told.push(("KUBECONFIG", cluster.path().to_str().unwrap()));
            let mut collector = Collector::start(&told);
            let log = collector.stderr();
            collector.kill9();
            log
        } else {
            let mut agent = Agent::start("node", Path::new("/nonexistent/containerd.sock"), "http://127.0.0.1:9", &told);
            let log = agent.log();
            agent.kill9();
            log
        };
        assert!(!log.contains("nobody reads this variable") && !log.contains("unknown variable"), "{program} {told:?}: {log}");
    }
}
