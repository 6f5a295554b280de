//! The waits of containers as spans of the pull's trace.

use lifecycle::{
    names,
    pull::{ErrorClass, Failure},
    wire::{self, ImageWait, Signal, encode, root_span},
};
use serde_json::Value;

use super::sample::{VERSION, at, node, ready};

fn wait(container: &str) -> ImageWait<'_> {
    let (namespace, pod, uid, workload) = ("shop", "web-1", "u", Some(("Deployment", "web")));
    let (from, until) = (at(100), at(2_000));
    ImageWait {
        pull: ready().id,
        has_root: true,
        namespace,
        pod,
        uid,
        container,
        workload,
        image: None,
        from,
        until,
        failure: None,
    }
}

fn spans<'a>(waits: impl IntoIterator<Item = ImageWait<'a>>) -> Vec<Value> {
    let bytes = encode::image_waits(&node(), VERSION, waits);
    assert_eq!(wire::decode(Signal::Traces, &bytes).unwrap().rejected.total(), 0);
    let mut json = wire::to_json(Signal::Traces, &bytes).unwrap();
    serde_json::from_value(json["resourceSpans"][0]["scopeSpans"][0]["spans"].take()).unwrap()
}

fn text<'s>(span: &'s Value, name: &str) -> Option<&'s str> {
    span["attributes"].as_array()?.iter().find(|attribute| attribute["key"] == name)?["value"]["stringValue"].as_str()
}

#[test]
fn a_wait_is_a_child_of_the_pull_and_says_who_waited() {
    let spans = spans([wait("app"), wait("side")]);
    assert_eq!((spans.len(), spans[0]["name"].as_str()), (2, Some(names::SPAN_WAIT_IMAGE)));
    assert_eq!(spans[0]["traceId"], ready().id.to_string());
    let root: String = root_span(ready().id).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(spans[0]["parentSpanId"], root);
    assert_ne!(spans[0]["spanId"], spans[1]["spanId"]);
    let said = [
        names::NAMESPACE_NAME,
        names::POD_NAME,
        names::POD_UID,
        names::CONTAINER_NAME,
        names::WORKLOAD_KIND,
        names::WORKLOAD_NAME,
    ];
    assert_eq!(said.map(|name| text(&spans[0], name)), ["shop", "web-1", "u", "app", "Deployment", "web"].map(Some));
    assert!(spans[0]["status"].is_null());
}

#[test]
fn a_wait_in_vain_says_why_and_one_that_nobody_but_the_kubelet_knows_is_a_root() {
    let failure = Failure { class: ErrorClass::NotFound, message: "not found".into() };
    let failed = ImageWait { failure: Some(&failure), has_root: false, until: at(50), ..wait("app") };
    let spans = spans([failed]);
    assert_eq!((text(&spans[0], names::ERROR_TYPE), spans[0]["status"]["code"].as_u64()), (Some("not_found"), Some(2)));
    assert_eq!(spans[0]["parentSpanId"].as_str().unwrap_or_default(), "");
    assert_eq!(spans[0]["endTimeUnixNano"], spans[0]["startTimeUnixNano"], "no span ends before it starts");
}

#[test]
fn the_same_wait_has_the_same_id_whoever_tells_it() {
    let id = |wait: ImageWait<'_>| spans([wait])[0]["spanId"].clone();
    assert_eq!(id(wait("app")), id(ImageWait { until: at(9_000), ..wait("app") }));
    assert_eq!(id(wait("app")), "6970495db76b449a");
}
