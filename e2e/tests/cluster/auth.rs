//! Who may report to a collector that asks a real API server whose a token is.

use e2e::clock;
use serde_json::json;

use super::{NAMESPACE, Release, SOON};

/// Reports as an agent of this node would, over HTTP; the answer's status.
pub(crate) fn report(release: &Release<'_>, node: &str, token: Option<&str>) -> u16 {
    let attribute = json!({ "key": "k8s.node.name", "value": { "stringValue": node } });
    let body = json!({ "resourceLogs": [{ "resource": { "attributes": [attribute] }, "scopeLogs": [{ "scope": { "name": "pulltrace" }, "logRecords": [{ "body": {} }] }] }] });
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let post = agent.post(release.url(4318, "/v1/logs")).content_type("application/json");
    let post = token.iter().fold(post, |post, token| post.header("authorization", format!("Bearer {token}")));
    post.send(body.to_string()).map_or(0, |answer| answer.status().as_u16())
}

/// The agent's own token is good for its node, and nothing else is good for anything.
pub(crate) fn only_an_agent_of_this_node_may_report(release: &Release<'_>) {
    let kubectl = &release.cluster.kubectl;
    let component = "app.kubernetes.io/component=agent";
    let pod = kubectl.run(&["-n", NAMESPACE, "get", "pods", "-l", component, "-o", "jsonpath={.items[0].metadata.name}"], "");
    let token = |account: &str, more: &[&str]| {
        let args: Vec<&str> = ["-n", NAMESPACE, "create", "token", account].iter().chain(more).copied().collect();
        kubectl.run(&args, "").trim().to_owned()
    };
    let of_pod = ["--bound-object-kind", "Pod", "--bound-object-name", &*pod];
    let own = token("pulltrace-agent", &[&["--audience", "pulltrace"], &of_pod[..]].concat());
    let says = |node: &str, token: &str| report(release, node, Some(token));
    clock::until("the agent's own token", SOON, || (says("node-1", &own) == 200).then_some(()));
    assert_eq!(says("node-2", &own), 403, "another node");
    assert_eq!(says("node-1", "not.a.token"), 401, "no token at all");
    let elsewhere = token("pulltrace-agent", &of_pod);
    assert_eq!(says("node-1", &elsewhere), 401, "meant for the API server");
    let nowhere = token("pulltrace-agent", &["--audience", "pulltrace"]);
    assert_eq!(says("node-1", &nowhere), 403, "of no node");
    let other = token("default", &["--audience", "pulltrace"]);
    assert_eq!(says("node-1", &other), 403, "another account");
}
