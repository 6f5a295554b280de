//! What the chart refuses: by its schema what a value cannot be, by sentences what does not go together. Each refusal is provoked.

use std::collections::BTreeSet;
use std::fs;

use e2e::helm::{Asked, Helm, chart};
use serde_json::{Value, json};

use crate::values::{is_free, leaves, nested, own};
use crate::{helm, helms};

fn refusal(helm: &Helm, asked: &Asked) -> String {
    match helm.template(asked) {
        Ok(_) => panic!("{} is not refused", asked.values),
        Err(error) => error,
    }
}

/// Values that no value may have, and a part of what is said.
fn wrong() -> Vec<(Value, &'static str)> {
    vec![
        (json!({ "auth": { "mode": "kerberos" } }), "/auth/mode"),
        (json!({ "auth": { "audience": "" } }), "/auth/audience"),
        (json!({ "config": { "logFormat": "xml" } }), "/config/logFormat"),
        (json!({ "config": { "historyTTL": "30" } }), "/config/historyTTL"),
        (json!({ "config": { "reportInterval": "1 s" } }), "/config/reportInterval"),
        (json!({ "config": { "listenAddress": "localhost" } }), "/config/listenAddress"),
        (json!({ "agent": { "runtime": "crio" } }), "/agent/runtime"),
        (json!({ "agent": { "containerd": { "socketPath": "run/containerd.sock" } } }), "/agent/containerd/socketPath"),
        (json!({ "agent": { "kubeletDir": "kubelet" } }), "/agent/kubeletDir"),
        (json!({ "agent": { "metricsPort": 0 } }), "/agent/metricsPort"),
        (json!({ "agent": { "metricsPort": "9091" } }), "/agent/metricsPort"),
        (json!({ "agent": { "image": { "digest": "sha256:abc" } } }), "/agent/image/digest"),
        (json!({ "agent": { "image": { "pullPolicy": "Sometimes" } } }), "/agent/image/pullPolicy"),
        (json!({ "agent": { "otlp": { "protocol": "http/json" } } }), "/agent/otlp/protocol"),
        (json!({ "agent": { "otlp": { "endpoint": "tempo:4317" } } }), "/agent/otlp/endpoint"),
        (json!({ "agent": { "otlp": { "additionalEndpoints": vec!["http://a"; 9] } } }), "maxItems"),
        (json!({ "agent": { "dnsPolicy": "Host" } }), "/agent/dnsPolicy"),
        (json!({ "agent": { "extraEnv": [{ "value": "a" }] } }), "/agent/extraEnv/0"),
        (json!({ "agent": { "runtimeSocket": { "path": "/a" } } }), "/agent/runtimeSocket"),
        (json!({ "collector": { "replicas": 0 } }), "/collector/replicas"),
        (json!({ "collector": { "metrics": { "activePulls": 1001 } } }), "/collector/metrics/activePulls"),
        (json!({ "collector": { "forward": { "endpoints": ["udp=http://a"] } } }), "/collector/forward/endpoints/0"),
        (json!({ "collector": { "read": { "userHeader": "a b" } } }), "/collector/read/userHeader"),
        (json!({ "collector": { "service": { "type": "ExternalName" } } }), "/collector/service/type"),
        (
            json!({ "collector": { "podDisruptionBudget": { "maxUnavailable": "half" } } }),
            "/collector/podDisruptionBudget/maxUnavailable",
        ),
        (json!({ "commonLabels": { "a": 1 } }), "/commonLabels/a"),
        (json!({ "ingress": { "hosts": [{ "host": "a" }] } }), "/ingress/hosts/0"),
        (json!({ "ingress": { "hosts": [{ "host": "a", "paths": [{ "path": "/", "pathType": "Any" }] }] } }), "pathType"),
        (json!({ "httpRoute": { "parentRefs": [{}] } }), "/httpRoute/parentRefs/0"),
        (json!({ "networkPolicy": { "apiServerPorts": [] } }), "/networkPolicy/apiServerPorts"),
        (json!({ "serviceMonitor": { "sampleLimit": -1 } }), "/serviceMonitor/sampleLimit"),
        (json!({ "prometheusRule": { "runbookUrl": "wiki" } }), "/prometheusRule/runbookUrl"),
        (json!({ "dashboards": { "mode": "files" } }), "/dashboards/mode"),
        (json!({ "links": { "externalUrl": "pulltrace.example.com" } }), "/links/externalUrl"),
        (json!({ "links": { "grafanaUrl": "grafana.example.com" } }), "/links/grafanaUrl"),
        (json!({ "extraObjects": [1] }), "/extraObjects/0"),
    ]
}

#[test]
fn both_helms_refuse_what_a_value_cannot_be_and_name_it() {
    let Some(helms) = helms("both_helms_refuse_what_a_value_cannot_be_and_name_it") else { return };
    for (values, said) in wrong() {
        for helm in &helms {
            let error = refusal(helm, &Asked::with(values.clone()));
            // Helm 3 writes the path with points where Helm 4 writes slashes in some of its releases.
            assert!(error.contains(said) || error.contains(&said.trim_start_matches('/').replace('/', ".")), "{values}: {error}");
        }
    }
}

#[test]
fn no_value_takes_another_kind_of_thing_and_no_object_another_key() {
    let Some(helm) = helm("no_value_takes_another_kind_of_thing_and_no_object_another_key") else { return };
    let mut other = json!({});
    // An object of Kubernetes is the business of Kubernetes.
    let leaves: Vec<_> = leaves(&own()).into_iter().filter(|(path, _)| !is_free(&path[..path.len() - 1])).collect();
    for (path, value) in &leaves {
        merge(&mut other, nested(path, if value.is_object() || value.is_array() { json!(7) } else { json!({ "other": 7 }) }));
    }
    let error = refusal(&helm, &Asked::with(other));
    for (path, _) in &leaves {
        assert!(error.contains(&format!("at '/{}':", path.join("/"))), "{path:?} is not refused: {error}");
    }
    let objects: BTreeSet<&[String]> =
        leaves.iter().flat_map(|(path, _)| (0..path.len()).map(|length| &path[..length])).collect();
    let mut more = json!({});
    for object in &objects {
        merge(&mut more, nested(&[object, &["unheardOf".to_owned()][..]].concat(), json!(1)));
    }
    let error = refusal(&helm, &Asked::with(more));
    for object in objects.iter().filter(|object| object.join(".") != "global") {
        let said = format!("at '/{}': additional properties 'unheardOf' not allowed", object.join("/")).replace("'/'", "''");
        assert!(error.contains(&said), "{object:?} takes another key: {error}");
    }
}

/// Puts the values of one object into another.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

/// Values of the Go Pulltrace, and a part of the sentence that maps them.
fn moved() -> Vec<(Value, &'static str)> {
    let server = json!({ "server": { "image": {}, "replicas": 2, "resources": {}, "env": [], "anything": 1,
        "service": { "type": "a", "port": 1, "metricsPort": 2, "exposureAcknowledged": true } } });
    vec![
        (
            server,
            "server.anything is collector.anything, server.env is collector.extraEnv, server.image is collector.image (with the registry in \
             collector.image.registry), server.replicas is collector.replicas, server.resources is collector.resources, \
             server.service.exposureAcknowledged is not needed, server.service.metricsPort is collector.service.ports.metrics, \
             server.service.port is collector.service.ports.http, server.service.type is collector.service.type. Move",
        ),
        (json!({ "namespace": "pulltrace" }), "install with --namespace pulltrace"),
        (json!({ "imagePullSecrets": [{ "name": "a" }] }), "is global.imagePullSecrets here"),
        (json!({ "agent": { "runtimeSocket": { "enabled": false } } }), "set agent.enabled=false if you want none"),
        (json!({ "agent": { "image": { "repository": "ghcr.io/a/agent" } } }), "put that into agent.image.registry"),
        (json!({ "collector": { "image": { "repository": "localhost:5000/a" } } }), "put that into collector.image.registry"),
    ]
}

/// What does not go together, and a part of the sentence.
fn impossible() -> Vec<(Value, &'static str)> {
    vec![
        (json!({ "agent": { "enabled": false }, "collector": { "enabled": false } }), "there is nothing to install"),
        (json!({ "collector": { "enabled": false } }), "set agent.otlp.endpoint"),
        (json!({ "collector": { "replicas": 2 } }), "set collector.acceptSplit=true"),
        (json!({ "collector": { "podDisruptionBudget": { "enabled": true } } }), "stop nodes from being drained"),
        (json!({ "auth": { "mode": "serviceaccount" }, "collector": { "kubernetes": false } }), "set it, or use auth.mode=token"),
        (json!({ "agent": { "serviceAccount": { "create": false } } }), "name an account in agent.serviceAccount.name"),
        (json!({ "collector": { "serviceAccount": { "create": false } } }), "name an account in collector.serviceAccount.name"),
        (json!({ "agent": { "runtime": "k3s", "containerd": { "socketPath": "/a/b" } } }), "leave one of them out"),
        (json!({ "agent": { "containerd": { "root": "/a" } } }), "set agent.containerd.socketPath too"),
        (json!({ "collector": { "tls": { "http": true } } }), "name its Secret in collector.tls.existingSecret"),
        (
            json!({ "collector": { "tls": { "clientAuth": true, "existingSecret": "a" } } }),
            "name its Secret in agent.tls.existingSecret",
        ),
        (json!({ "ingress": { "enabled": true } }), "ingress.hosts is empty"),
        (json!({ "httpRoute": { "enabled": true } }), "names no Gateway"),
        (
            json!({ "collector": { "enabled": false }, "agent": { "otlp": { "endpoint": "http://a" } }, "serviceMonitor": { "enabled": true } }),
            "serviceMonitor.enabled is true, but there is no collector",
        ),
        (json!({ "agent": { "enabled": false }, "podMonitor": { "enabled": true } }), "there are no agents"),
        (json!({ "podMonitor": { "enabled": true } }), "install the Prometheus operator first"),
        (json!({ "dashboards": { "enabled": true, "mode": "operator" } }), "--api-versions grafana.integreatly.org/v1beta1"),
        (json!({ "httpRoute": { "enabled": true, "parentRefs": [{ "name": "a" }] } }), "install the Gateway API first"),
    ]
}

#[test]
fn what_does_not_go_together_is_refused_in_a_sentence_and_every_sentence_is_reached() {
    let Some(helms) = helms("what_does_not_go_together_is_refused_in_a_sentence_and_every_sentence_is_reached") else { return };
    let file = "templates/impossible.yaml";
    let mut reached = BTreeSet::new();
    let without_operators = |values| Asked { apis: &[], ..Asked::with(values) };
    let mut cases: Vec<_> =
        moved().into_iter().chain(impossible()).map(|(values, said)| (without_operators(values), said)).collect();
    let old = Asked { kubernetes: "1.29.0", ..Asked::with(json!({ "auth": { "mode": "serviceaccount" } })) };
    cases.push((old, "Kubernetes v1.29.0 does not write a pod's node"));
    for (asked, said) in cases {
        for helm in &helms {
            let error = refusal(helm, &asked);
            assert!(error.contains(said), "{asked:?}: {error}");
            let line = error.split_once(&format!("{file}:")).and_then(|(_, rest)| rest.split(':').next()?.parse::<usize>().ok());
            reached.insert(line.unwrap_or_else(|| panic!("{error}")));
        }
    }
    let text = fs::read_to_string(chart().join(file)).unwrap();
    let sentences: BTreeSet<usize> =
        text.lines().enumerate().filter(|(_, line)| line.contains("{{- fail ")).map(|(number, _)| number + 1).collect();
    assert_eq!(reached, sentences);
}
