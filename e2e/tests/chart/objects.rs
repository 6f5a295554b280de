//! What holds of the objects in every situation: they fit together, nothing is named twice, and what containers are told exists in the
//! programs.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use e2e::helm::{Asked, Helm, documents, situations};
use e2e::tools::{Need, Tools, built};
use serde_json::Value;

use crate::{helm, rendered};

/// Kinds that make pods.
const WORKLOADS: [&str; 2] = ["DaemonSet", "Deployment"];

/// A list, or nothing.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Every situation and its objects.
fn everything(helm: &Helm) -> impl Iterator<Item = (String, Vec<Value>)> {
    situations().into_iter().map(|(name, file)| (name, documents(&rendered(helm, &Asked::of(&file)))))
}

/// The pods' templates among the objects, and pods themselves.
fn pods(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter_map(|object| match text(&object["kind"]) {
        "Pod" => Some(object),
        kind if WORKLOADS.contains(&kind) => Some(&object["spec"]["template"]),
        _ => None,
    })
}

/// The names of some things, each of which is there once.
fn once<'a>(what: &str, names: impl Iterator<Item = &'a Value>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for name in names {
        assert!(seen.insert(text(name)), "{what}: {name} is there twice");
    }
    seen
}

#[test]
fn what_is_mounted_is_there_and_nothing_is_named_twice() {
    let Some(helm) = helm("what_is_mounted_is_there_and_nothing_is_named_twice") else { return };
    for (situation, objects) in everything(&helm) {
        let names: Vec<Value> = objects
            .iter()
            .map(|object| format!("{} {}/{}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"]).into())
            .collect();
        once(&situation, names.iter());
        for spec in pods(&objects).map(|pod| &pod["spec"]) {
            let volumes = once(&situation, list(&spec["volumes"]).iter().map(|volume| &volume["name"]));
            let mut mounted = BTreeSet::new();
            for container in list(&spec["containers"]) {
                once(&situation, list(&container["env"]).iter().map(|variable| &variable["name"]));
                once(&situation, list(&container["volumeMounts"]).iter().map(|mount| &mount["mountPath"]));
                mounted.extend(list(&container["volumeMounts"]).iter().map(|mount| text(&mount["name"])));
            }
            assert_eq!(volumes, mounted, "{situation}");
        }
    }
}

#[test]
fn whatever_selects_pods_selects_some_and_never_by_what_changes() {
    let Some(helm) = helm("whatever_selects_pods_selects_some_and_never_by_what_changes") else { return };
    for (situation, objects) in everything(&helm) {
        let labels: Vec<&Value> = pods(&objects).map(|pod| &pod["metadata"]["labels"]).collect();
        let services: Vec<&Value> =
            objects.iter().filter(|object| object["kind"] == "Service").map(|service| &service["metadata"]["labels"]).collect();
        for object in &objects {
            let spec = &object["spec"];
            let (selector, selected) = match text(&object["kind"]) {
                "Service" => (&spec["selector"], &labels),
                "NetworkPolicy" => (&spec["podSelector"]["matchLabels"], &labels),
                "DaemonSet" | "Deployment" | "PodDisruptionBudget" | "PodMonitor" => (&spec["selector"]["matchLabels"], &labels),
                "ServiceMonitor" => (&spec["selector"]["matchLabels"], &services),
                _ => continue,
            };
            let wanted = selector.as_object().unwrap_or_else(|| panic!("{situation}: {object:#} selects nothing"));
            let keys: Vec<&str> = wanted.keys().map(String::as_str).collect();
            assert_eq!(
                keys,
                ["app.kubernetes.io/component", "app.kubernetes.io/instance", "app.kubernetes.io/name"],
                "{situation}"
            );
            let fits = |labels: &&&Value| wanted.iter().all(|(key, value)| &labels[key] == value);
            assert_eq!(selected.iter().filter(fits).count(), 1, "{situation}: {selector} of {}", object["kind"]);
        }
    }
}

#[test]
fn every_pod_of_ours_has_taken_away_what_it_does_not_need() {
    let Some(helm) = helm("every_pod_of_ours_has_taken_away_what_it_does_not_need") else { return };
    for (situation, objects) in everything(&helm) {
        for pod in pods(&objects) {
            let spec = &pod["spec"];
            let container = &spec["containers"][0];
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true, "{situation}");
            assert_eq!(context["allowPrivilegeEscalation"], false, "{situation}");
            assert_eq!(context["capabilities"], serde_json::json!({ "drop": ["ALL"] }), "{situation}");
            assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{situation}");
            let is_agent = container["name"] == "agent";
            assert_eq!(spec["securityContext"]["runAsNonRoot"], if is_agent { Value::Null } else { true.into() }, "{situation}");
            let host_paths = list(&spec["volumes"]).iter().filter(|volume| !volume["hostPath"].is_null()).count();
            assert_eq!(host_paths > 0, is_agent, "{situation}");
            let is_read_only = |mount: &Value| mount["readOnly"] == true || mount["name"] == "more";
            assert!(list(&container["volumeMounts"]).iter().all(is_read_only), "{situation}");
        }
    }
}

/// What a program says of itself.
fn help(program: &str, words: &[&str]) -> String {
    let output =
        Command::new(built(program)).args(words).arg("--help").output().unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_variable_and_flag_exists_in_the_program_that_gets_it() {
    let test = "every_variable_and_flag_exists_in_the_program_that_gets_it";
    let Some(helm) = helm(test) else { return };
    if Tools::find(test, &[Need::Pulltrace, Need::CommandLine]).is_none() {
        return;
    }
    let helps = BTreeMap::from([
        ("agent", help("pulltrace-agent", &[])),
        ("collector", help("pulltrace-collector", &[])),
        ("test", help("pulltrace", &["check"])),
    ]);
    let mut seen = BTreeSet::new();
    for (situation, objects) in everything(&helm) {
        for container in pods(&objects).map(|pod| &pod["spec"]["containers"][0]) {
            let name = text(&container["name"]);
            let help = &helps[name];
            let knows =
                |word: &str| help.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').any(|known| known == word);
            for variable in list(&container["env"]).iter().map(|variable| text(&variable["name"])) {
                // The SDK of OpenTelemetry knows this one, not we.
                assert!(
                    knows(variable) || variable == "OTEL_RESOURCE_ATTRIBUTES",
                    "{situation}: {name} does not know {variable}"
                );
                seen.insert((name.to_owned(), variable.to_owned()));
            }
            let words = list(&container["command"]).iter().chain(list(&container["args"])).map(text);
            for flag in words.filter(|word| word.starts_with("--")).filter_map(|word| word.split('=').next()) {
                assert!(knows(flag), "{situation}: {name} does not know {flag}");
            }
        }
    }
    let of = |program: &str| seen.iter().filter(|(name, _)| name == program).count();
    assert!(of("agent") > 12 && of("collector") > 20 && of("test") == 2, "{seen:?}");
}

#[test]
fn notes_name_what_is_there() {
    let Some(helm) = helm("notes_name_what_is_there") else { return };
    for (situation, file) in situations() {
        // Without a cluster Helm knows no operators, and says no before it comes to the notes.
        let Ok(notes) = helm.notes(&Asked::of(&file)) else { continue };
        let objects = documents(&rendered(&helm, &Asked::of(&file)));
        let is_there = |kind: &str, name: &str| {
            objects.iter().any(|object| text(&object["kind"]).eq_ignore_ascii_case(kind) && object["metadata"]["name"] == name)
        };
        let words: Vec<&str> = notes.split_whitespace().collect();
        for (at, word) in words.iter().enumerate() {
            if let Some((kind @ ("service" | "daemonset"), name)) = word.split_once('/') {
                assert!(is_there(kind, name), "{situation}: {word}");
            }
            if *word == "secret" && words[at - 1] == "get" {
                assert!(is_there("Secret", words[at + 1]), "{situation}: {}", words[at + 1]);
            }
        }
        let has = |component: &str, kind: &str| is_there(kind, &format!("r-pulltrace-{component}")) || situation == "names";
        assert_eq!(notes.contains("rollout status"), has("agent", "DaemonSet"), "{situation}: {notes}");
        assert_eq!(notes.contains("port-forward"), has("collector", "Deployment"), "{situation}: {notes}");
        assert_eq!(
            notes.contains("helm -n pt test r"),
            is_there("Pod", "r-pulltrace-test") || situation == "names",
            "{situation}: {notes}"
        );
        assert!(!notes.contains("<no value>") && !notes.contains("\n\n\n"), "{situation}: {notes}");
    }
    let warned = |values| helm.notes(&Asked::with(values)).unwrap().matches("WARNING").count();
    assert_eq!(warned(serde_json::json!({})), 0);
    assert_eq!(warned(serde_json::json!({ "auth": { "mode": "none" } })), 1);
    let open = serde_json::json!({ "collector": { "service": { "type": "NodePort" }, "replicas": 2, "acceptSplit": true } });
    assert_eq!(warned(open), 2);
}
