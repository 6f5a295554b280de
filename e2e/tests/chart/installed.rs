//! The chart beside a real API server, without nodes: it takes every situation as it stands, and what Helm installs, upgrades and removes is
//! what there is. What pods do is for the cluster's tests.

use std::fs;

use e2e::helm::{Asked, Helm, NAMESPACE, RELEASE, Release, situations};
use e2e::kubernetes::Kubernetes;
use e2e::tools::{Need, Tools};
use serde_json::json;

use crate::rendered;

/// Namespaces that situations speak of.
const NAMESPACES: [&str; 4] = [NAMESPACE, "observability", "team-a", "team-b"];
/// Has the server look at a file's objects as if they were there, strictly.
const APPLY: [&str; 5] = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename"];
/// Everything the chart makes in a cluster that has no operators.
const KINDS: &str = "daemonsets,deployments,services,secrets,serviceaccounts,configmaps,resourcequotas,networkpolicies,ingresses,\
                     poddisruptionbudgets,roles,rolebindings,clusterroles,clusterrolebindings";

#[test]
fn an_api_server_takes_every_situation() {
    let test = "an_api_server_takes_every_situation";
    let Some(tools) = Tools::find(test, &[Need::Helm(Release::V4), Need::Kubernetes, Need::Kubeconform]) else { return };
    let (helm, kubernetes) = (Helm::new(&tools, Release::V4), Kubernetes::start(&tools));
    NAMESPACES.iter().for_each(|name| drop(kubernetes.kubectl(&["create", "namespace", name], None)));
    for path in fs::read_dir(tools.schemas()).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "yaml") {
            kubernetes.kubectl(&["apply", "--server-side", "--filename", path.to_str().unwrap()], None);
        }
    }
    kubernetes.kubectl(&["wait", "--for=condition=Established", "--all", "customresourcedefinitions", "--timeout=60s"], None);
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in situations() {
        let path = folder.path().join(format!("{name}.yaml"));
        fs::write(&path, rendered(&helm, &Asked::of(&file))).unwrap();
        kubernetes.kubectl(&[&APPLY[..], &[path.to_str().unwrap()]].concat(), None);
    }
    kubernetes.kubectl(&["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/warn=restricted"], None);
    let warned = |situation: &str| {
        let path = folder.path().join(format!("{situation}.yaml"));
        kubernetes.try_kubectl(&[&APPLY[..], &[path.to_str().unwrap(), "--warnings-as-errors"]].concat(), None).err()
    };
    assert_eq!(warned("collector-only"), None, "the collector keeps to the strictest level");
    let agents = warned("default").unwrap();
    let why = ["restricted volume types (volumes", "runAsNonRoot != true"];
    assert!(why.iter().all(|why| agents.contains(why)) && !agents.contains("Deployment"), "{agents}");
}

#[test]
fn both_helms_install_upgrade_and_remove_everything_and_keep_the_token() {
    let test = "both_helms_install_upgrade_and_remove_everything_and_keep_the_token";
    let needs = [Need::Helm(Release::V3), Need::Helm(Release::V4), Need::Kubernetes];
    let Some(tools) = Tools::find(test, &needs) else { return };
    let kubernetes = Kubernetes::start(&tools);
    let admin = kubernetes.admin();
    let there =
        || kubernetes.kubectl(&["get", KINDS, "-A", "-l", &format!("app.kubernetes.io/instance={RELEASE}"), "-o", "name"], None);
    let secret = format!("secret/{RELEASE}-pulltrace-agent-token");
    let token = || kubernetes.kubectl(&["get", &secret, "-n", NAMESPACE, "-o", "jsonpath={.data.token}"], None);
    for release in [Release::V3, Release::V4] {
        let helm = Helm::new(&tools, release);
        let values = |level: &str| json!({ "auth": { "mode": "token" }, "config": { "logLevel": level } });
        let run = |words: &[&str], values| {
            let words = [words, &["--namespace", NAMESPACE, "--kubeconfig", &admin]].concat();
            helm.with_values(&words, &Asked::with(values)).unwrap_or_else(|error| panic!("{release} {words:?}: {error}"))
        };
        run(&["install", RELEASE, ".", "--create-namespace"], values("info"));
        assert_eq!(there().lines().count(), 8, "{release}: {}", there());
        let first = token();
        assert!(first.len() >= 48, "{release}");
        let said = run(&["upgrade", RELEASE, "."], values("debug"));
        assert!(said.contains(&format!("get secret {RELEASE}-pulltrace-agent-token")), "{release}: {said}");
        assert_eq!(token(), first, "{release}: agents that run know this token");
        let level = kubernetes.kubectl(&["get", "daemonset", "-n", NAMESPACE, "-o", "yaml"], None);
        assert!(level.contains("value: debug"), "{release}: {level}");
        helm.run(&["uninstall", RELEASE, "--namespace", NAMESPACE, "--kubeconfig", &admin])
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(there(), "", "{release}");
        assert_eq!(kubernetes.kubectl(&["get", "secrets", "-n", NAMESPACE, "-o", "name"], None), "", "{release}");
    }
}
