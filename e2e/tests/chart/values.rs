//! The values of the chart, one by one: each of them, given otherwise, changes what is installed.

use std::collections::BTreeMap;
use std::fs;

use e2e::helm::{Asked, chart, situations};
use serde_json::{Map, Value, json};

use crate::{helm, rendered};

/// The situation in which a value matters, by the beginning of its path; others matter by themselves.
const WHERE: [(&str, &str); 20] = [
    ("agent.auth.existingSecretKey", "token-existing"),
    ("agent.auth.", "token-given"),
    ("agent.containerd.root", "socket"),
    ("agent.serviceAccount.create", "names"),
    ("agent.tls.", "tls"),
    ("collector.enabled", "agents-only"),
    ("collector.podDisruptionBudget.", "spread"),
    ("collector.read.existingSecretKey", "readers"),
    ("collector.replicas", "spread"),
    ("collector.serviceAccount.create", "names"),
    ("collector.tls.", "tls"),
    ("dashboards.instanceSelector", "dashboards-operator"),
    ("dashboards.", "dashboards-sidecar"),
    ("httpRoute.", "httproute"),
    ("ingress.", "ingress"),
    ("links.", "dashboards-sidecar"),
    ("networkPolicy.", "network-policy"),
    ("podMonitor.", "prometheus"),
    ("prometheusRule.", "prometheus"),
    ("serviceMonitor.", "prometheus"),
];
/// Values that only say yes to a refusal.
const SAYS_YES: [&str; 1] = ["collector.acceptSplit"];
/// Objects whose keys are not the chart's.
const FREE: [&str; 18] = [
    "agent.affinity",
    "agent.nodeSelector",
    "agent.podAnnotations",
    "agent.podSecurityContext",
    "agent.resources",
    "agent.securityContext",
    "agent.updateStrategy",
    "collector.affinity",
    "collector.nodeSelector",
    "collector.podSecurityContext",
    "collector.resources",
    "collector.securityContext",
    "collector.strategy",
    "commonAnnotations",
    "commonLabels",
    "dashboards.instanceSelector",
    "dashboards.labels",
    "global",
];

/// The values as they are.
pub(crate) fn own() -> Value {
    serde_saphyr::from_str(&fs::read_to_string(chart().join("values.yaml")).unwrap()).unwrap()
}

/// Whether the keys of this object are anybody's.
pub(crate) fn is_free(path: &[String]) -> bool {
    let path = path.join(".");
    FREE.iter().any(|free| *free != "global" && (path == *free || path.starts_with(&format!("{free}."))))
}

/// Every value that is no object with keys, by its path.
pub(crate) fn leaves(value: &Value) -> Vec<(Vec<String>, Value)> {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let of = |(key, field): (&String, &Value)| {
                let inner = leaves(field).into_iter();
                let key = key.clone();
                inner.map(move |(path, leaf)| (std::iter::once(key.clone()).chain(path).collect(), leaf)).collect::<Vec<_>>()
            };
            fields.iter().flat_map(of).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            vec![(Vec::new(), value.clone())]
        }
    }
}

/// An object with one value, at this path.
pub(crate) fn nested(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |inner, key| Value::Object(Map::from_iter([(key.clone(), inner)])))
}

/// What a value could be instead; the schema lets at least one through.
fn others(value: &Value) -> Vec<Value> {
    let texts = [
        "changed",
        "/changed",
        "7m",
        "https://changed.example.com",
        "none",
        "token",
        "http/protobuf",
        "text",
        "k3s",
        "Always",
        "always",
    ];
    let rest = [
        "LoadBalancer",
        "Default",
        "operator",
        "[::1]",
        "sha256:00000000000000000000000000000000000000000000000000000000000000ff",
    ];
    match value {
        Value::Bool(_) => vec![json!(true), json!(false)],
        Value::Number(number) => vec![json!(number.as_i64().unwrap_or_default() + 1)],
        Value::String(_) => texts.iter().chain(&rest).map(|text| json!(text)).collect(),
        Value::Array(_) => vec![
            json!(["changed"]),
            json!(["https://changed.example.com"]),
            json!([7]),
            json!([{ "host": "changed", "paths": [{ "path": "/", "pathType": "Exact" }] }]),
            json!([{ "name": "changed" }]),
        ],
        Value::Null | Value::Object(_) => vec![json!({ "changed": "changed" })],
    }
}

#[test]
fn every_value_reaches_an_object() {
    let Some(helm) = helm("every_value_reaches_an_object") else { return };
    let before: BTreeMap<String, (Asked, String)> = situations()
        .into_iter()
        .map(|(name, file)| {
            let asked = Asked::of(&file);
            let text = rendered(&helm, &asked);
            (name, (asked, text))
        })
        .collect();
    let leaves = leaves(&own());
    assert!(leaves.len() > 150, "{}", leaves.len());
    let mut dead = Vec::new();
    for (path, value) in leaves {
        let name = path.join(".");
        let situation = WHERE.iter().find(|(begin, _)| name.starts_with(begin)).map_or("default", |(_, situation)| situation);
        let (asked, was) = &before[situation];
        let mut otherwise = others(&value).into_iter().map(|other| Asked { values: nested(&path, other), ..asked.clone() });
        if !otherwise.any(|asked| helm.template(&asked).is_ok_and(|now| now != *was)) {
            dead.push(name);
        }
    }
    assert_eq!(dead, SAYS_YES, "these change nothing");
}
