//! The Helm chart, rendered by real Helm 3 and Helm 4: it passes their checks and those of Kubernetes' schemas in every situation of
//! `charts/pulltrace/ci`, says no in sentences, and every value of it does something. What it does in a cluster is for the cluster's tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "chart/installed.rs"]
mod installed;
#[path = "chart/objects.rs"]
mod objects;
#[path = "chart/refusals.rs"]
mod refusals;
#[path = "chart/schemas.rs"]
mod schemas;
#[path = "chart/snapshots.rs"]
mod snapshots;
#[path = "chart/told.rs"]
mod told;
#[path = "chart/values.rs"]
mod values;

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::helm::{Asked, Helm, Release, chart, documents, situations};
use e2e::tools::{Need, Tools};
use serde_json::{Value, json};

/// Versions of Kubernetes: the oldest, those around what changes how agents are known, and a new one.
const KUBERNETES: [&str; 4] = ["1.25.0", "1.29.0", "1.30.0", "1.36.0"];
/// Situations that need an operator's API.
const NEED_OPERATORS: [&str; 3] = ["dashboards-operator", "httproute", "prometheus"];

/// A ServiceMonitor that misspells a field.
const ENDPOINT: &str = "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: a}\nspec: {selector: {}, endpoints: [{honourLabels: true}]}\n";

fn helms(test: &str) -> Option<[Helm; 2]> {
    let tools = Tools::find(test, &[Need::Helm(Release::V3), Need::Helm(Release::V4)])?;
    Some([Release::V3, Release::V4].map(|release| Helm::new(&tools, release)))
}

fn helm(test: &str) -> Option<Helm> {
    Tools::find(test, &[Need::Helm(Release::V4)]).map(|tools| Helm::new(&tools, Release::V4))
}

/// What is rendered.
fn rendered(helm: &Helm, asked: &Asked) -> String {
    helm.template(asked).unwrap_or_else(|error| panic!("{asked:?}: {error}"))
}

/// Without what differs between Helms: empty lines.
fn lines(text: &str) -> String {
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("{line}\n")).collect()
}

#[test]
fn both_helms_find_nothing_against_the_chart() {
    let Some(helms) = helms("both_helms_find_nothing_against_the_chart") else { return };
    for (name, file) in situations() {
        for helm in &helms {
            helm.lint(&Asked::of(&file)).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn both_helms_render_the_same_everywhere_and_it_fits_the_schemas() {
    let test = "both_helms_render_the_same_everywhere_and_it_fits_the_schemas";
    let Some(helms) = helms(test) else { return };
    let Some(tools) = Tools::find(test, &[Need::Kubeconform]) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, file) in situations() {
        for kubernetes in KUBERNETES {
            let asked = Asked { kubernetes, ..Asked::of(&file) };
            let [three, four] = helms.each_ref().map(|helm| rendered(helm, &asked));
            assert_eq!(snapshots::stable(&three), snapshots::stable(&four), "{name}");
            fs::write(folder.path().join(format!("{name}-{kubernetes}.yaml")), four).unwrap();
        }
    }
    let schemas = tempfile::tempdir().unwrap();
    let location = schemas::write(&tools, schemas.path());
    let conforms = |path: &Path| {
        let mut kubeconform = Command::new(tools.program("kubeconform"));
        kubeconform.args(["-strict", "-summary", "-output", "json", "-schema-location", &location]);
        let said = kubeconform.arg(path).output().unwrap();
        serde_json::from_slice::<Value>(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
    };
    let said = conforms(folder.path());
    let (bad, good) = (&said["resources"], said["summary"]["valid"].as_u64().unwrap());
    assert!(bad.as_array().is_none_or(Vec::is_empty), "{bad:#}");
    assert_eq!(said["summary"], json!({ "valid": good, "invalid": 0, "errors": 0, "skipped": 0 }));
    assert!(good > 1000, "{good}");
    let wrong = schemas.path().join("wrong.yaml");
    for (object, field) in
        [("apiVersion: v1\nkind: Pod\nspec: {containers: [], unheardOf: 1}\n", "unheardOf"), (ENDPOINT, "honourLabels")]
    {
        fs::write(&wrong, object).unwrap();
        let said = conforms(&wrong);
        assert!(said["resources"][0]["msg"].as_str().is_some_and(|why| why.contains(field)), "{said:#}");
    }
}

#[test]
fn without_the_operators_everything_else_renders() {
    let Some(helms) = helms("without_the_operators_everything_else_renders") else { return };
    for (name, file) in situations() {
        let asked = Asked { apis: &[], ..Asked::of(&file) };
        for helm in &helms {
            let result = helm.template(&asked);
            assert_eq!(result.is_err(), NEED_OPERATORS.contains(&name.as_str()), "{name}: {result:?}");
        }
    }
}

#[test]
fn what_is_rendered_is_what_was_looked_at() {
    let Some(helm) = helm("what_is_rendered_is_what_was_looked_at") else { return };
    let texts = situations().into_iter().map(|(name, file)| (name, rendered(&helm, &Asked::of(&file))));
    snapshots::compare(texts);
}

#[test]
fn the_role_is_the_documented_one() {
    let Some(helm) = helm("the_role_is_the_documented_one") else { return };
    let documented = documents(&fs::read_to_string(chart().join("../../docs/rbac.yaml")).unwrap());
    let sorted = |kinds: &[&str], text: &str| {
        let roles = documents(text).into_iter().filter(|object| kinds.contains(&object["kind"].as_str().unwrap_or_default()));
        let mut rules: Vec<String> =
            roles.flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default()).map(|rule| rule.to_string()).collect();
        rules.sort();
        rules.dedup();
        rules
    };
    let wanted: Vec<String> = documented[0]["rules"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(sorted(&["ClusterRole"], &rendered(&helm, &Asked::default())), wanted);
    let in_two = rendered(&helm, &Asked::with(json!({ "config": { "watchNamespaces": ["a", "b"] } })));
    assert_eq!(sorted(&["ClusterRole", "Role"], &in_two), wanted, "a part of it in each namespace");
    let cluster_wide = sorted(&["ClusterRole"], &in_two);
    assert!(!cluster_wide.iter().any(|rule| rule.contains("pods") || rule.contains("events")), "{cluster_wide:?}");
}

#[test]
fn the_examples_of_the_readme_render() {
    let Some(helm) = helm("the_examples_of_the_readme_render") else { return };
    let text = fs::read_to_string(chart().join("README.md")).unwrap();
    let examples: Vec<&str> = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= 4, "{examples:?}");
    for example in examples {
        rendered(&helm, &Asked::with(documents(example).remove(0)));
    }
}

#[test]
fn dashboards_and_rules_arrive_whole() {
    let Some(helm) = helm("dashboards_and_rules_arrive_whole") else { return };
    let repository = chart().join("../..");
    let read = |path: &str| fs::read_to_string(repository.join(path)).unwrap();
    let of = |situation: &str| documents(&rendered(&helm, &Asked::of(&situations()[situation])));
    let rules = of("prometheus").into_iter().find(|object| object["kind"] == "PrometheusRule").unwrap();
    let mut wanted = documents(&read("rules/pulltrace-rules.yaml")).remove(0);
    let groups = wanted["groups"].as_array_mut().unwrap();
    for alert in
        groups.iter_mut().flat_map(|group| group["rules"].as_array_mut().unwrap()).filter(|rule| !rule["alert"].is_null())
    {
        alert["labels"]["team"] = json!("platform");
        alert["annotations"]["wiki"] = json!("https://wiki.example.com");
        alert["annotations"]["runbook_url"] =
            json!(format!("https://wiki.example.com/runbooks/{}.md", alert["alert"].as_str().unwrap()));
    }
    assert_eq!(rules["spec"], wanted);
    let mut seen = 0;
    for (name, text) in of("dashboards-sidecar").iter().filter_map(|object| object["data"].as_object()).flatten() {
        let was = read(&format!("dashboards/{name}")).replace("http://localhost:8080", "https://pulltrace.example.com");
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(parsed(text.as_str().unwrap()), parsed(&was), "{name}");
        seen += 1;
    }
    assert_eq!(seen, fs::read_dir(repository.join("dashboards")).unwrap().count() - 1, "one is left out");
}

#[test]
fn what_follows_from_the_version_of_kubernetes_does() {
    let Some(helm) = helm("what_follows_from_the_version_of_kubernetes_does") else { return };
    let of = |kubernetes| rendered(&helm, &Asked { kubernetes, ..Asked::default() });
    let (old, new, gke) = (of("1.29.9"), of("1.30.0"), of("1.33.5-gke.1201000"));
    let by_token =
        |text: &str| (text.contains("kind: Secret\n"), text.contains("tokenreviews"), text.contains("serviceAccountToken:"));
    assert_eq!((by_token(&old), by_token(&new)), ((true, false, false), (false, true, true)));
    let has_quota = |text: &str| text.contains("kind: ResourceQuota\n");
    assert_eq!(
        (has_quota(&new), has_quota(&gke)),
        (false, true),
        "GKE refuses pods of a system class where no quota allows them"
    );
}

#[test]
fn a_package_holds_what_is_installed_and_nothing_else() {
    let Some(helm) = helm("a_package_holds_what_is_installed_and_nothing_else") else { return };
    let folder = tempfile::tempdir().unwrap();
    helm.run(&["package", ".", "--destination", folder.path().to_str().unwrap()]).unwrap_or_else(|error| panic!("{error}"));
    let archive = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap();
    // A release's Secret holds a megabyte, the chart and what it renders, packed.
    assert!(archive.metadata().unwrap().len() < 150_000, "{archive:?}");
    let names = Command::new("tar").arg("-tzf").arg(archive.path()).output().unwrap();
    let names = String::from_utf8(names.stdout).unwrap();
    assert!(
        names.contains("pulltrace/files/dashboards/pulltrace-fleet.json") && names.contains("pulltrace/README.md"),
        "{names}"
    );
    assert!(!names.contains("/ci/"), "{names}");
}
