//! The OpenAPI document says what is served, and what is served is as the document says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::collections::BTreeSet;

use house::{House, eventually, failed, get, post, pull, ready};
use jsonschema::Validator;
use lifecycle::{
    pull::{ErrorClass, Wait},
    wire::{
        self,
        Event::{Finished, Started},
        Signal,
    },
};
use serde_json::{Value, json};

/// Pulls of every outcome but lost, one that waits, and a heartbeat.
fn house() -> House {
    let house = House::start(&[]);
    let mut waiting = pull("a", 1, 750);
    waiting.wait = Some(Wait::Stalled { since: house::at(3) });
    let bad = failed(pull("ghcr.io/team/c:1", 1, 3), ErrorClass::RateLimited, "429 Too Many Requests");
    house.report(&[(Started, &waiting), (Finished, &ready(pull("b", 1, 1500))), (Finished, &bad)]);
    house.accept(Signal::Logs, wire::encode::node(&house::heartbeat(1)));
    eventually("everything is known", || {
        let sum = house.json("/api/v1/summary");
        (sum["pulls"] == 3 && house.json("/api/v1/nodes")["nodes"][0]["agentVersion"] == "0.1.0").then_some(())
    });
    house
}

/// The schema of an answer, with nothing allowed beside what it names.
fn schema(document: &Value, path: &str, method: &str, status: &str) -> Validator {
    let content = &document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"];
    assert!(content.is_object(), "{method} {path} {status} has no schema");
    let mut schema = json!({ "allOf": [content], "components": document["components"] });
    close(&mut schema);
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) && fields.get("type").is_some_and(Value::is_string) {
                fields.insert("additionalProperties".into(), Value::Bool(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[track_caller]
fn fits(validator: &Validator, answer: &Value, what: &str) {
    let errors: Vec<_> = validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what}: {errors:#?}\n{answer:#}");
}

#[test]
fn every_answer_is_as_the_document_says() {
    let house = house();
    let document = house.json("/api/v1/openapi.json");
    let pulls = house.json("/api/v1/pulls");
    for path in ["/api/v1/pulls", "/api/v1/nodes", "/api/v1/images", "/api/v1/workloads", "/api/v1/summary"] {
        fits(&schema(&document, path, "get", "200"), &house.json(path), path);
    }
    fits(&schema(&document, "/api/v1/pulls", "get", "200"), &house.json("/api/v1/pulls?limit=1&layers=false"), "a page");
    for id in pulls["pulls"].as_array().unwrap().iter().map(|pull| pull["id"].as_str().unwrap()) {
        let path = format!("/api/v1/pulls/{id}");
        fits(&schema(&document, "/api/v1/pulls/{id}", "get", "200"), &house.json(&path), &path);
    }
    for (path, of, status) in [
        ("/api/v1/pulls?a=b", "/api/v1/pulls", 400),
        ("/api/v1/pulls/00000000000000000000000000000001", "/api/v1/pulls/{id}", 404),
        ("/api/v1/pods/a/b", "/api/v1/pods/{namespace}/{pod}", 404),
    ] {
        let answer = house.get(path);
        assert_eq!(answer.status, status, "{path}");
        fits(&schema(&document, of, "get", &status.to_string()), &answer.json(), path);
    }
    let answer = post(house.http, "/api/v1/report", &[], b"{}");
    fits(&schema(&document, "/api/v1/report", "post", "400"), &answer.json(), "a bad report");
}

#[test]
fn what_is_served_is_in_the_document_and_what_is_in_the_document_is_served() {
    let house = House::start(&[]);
    let document = house.json("/api/v1/openapi.json");
    let paths: BTreeSet<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    for path in ["pulls", "pulls/{id}", "pods/{namespace}/{pod}", "nodes", "images", "workloads", "summary", "events", "report"] {
        assert!(paths.contains(format!("/api/v1/{path}").as_str()), "{path}");
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        let real = path.replace("{id}", "00000000000000000000000000000001").replace(['{', '}'], "");
        for method in operations.as_object().unwrap().keys() {
            // A key that nobody knows is refused by whoever serves the path, and the stream is not followed.
            let answer = match method.as_str() {
                "get" => house.get(&format!("{real}?nonsense=1")),
                _ => post(house.http, &real, &[("content-type", "application/json")], b"nonsense"),
            };
            assert_eq!(answer.status, 400, "{method} {path}: {}", answer.text());
        }
    }
    let ids: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|p| p.as_object().unwrap().values())
        .collect::<Vec<_>>()
        .iter()
        .map(|operation| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), paths.len(), "every operation has a name of its own");
}

#[test]
fn every_key_that_the_document_names_is_understood() {
    let house = House::start(&[]);
    let document = house.json("/api/v1/openapi.json");
    for (path, operations) in document["paths"].as_object().unwrap() {
        for parameter in operations["get"]["parameters"].as_array().into_iter().flatten().filter(|p| p["in"] == "query") {
            let name = parameter["name"].as_str().unwrap();
            let schema = &parameter["schema"];
            let value = match (schema["type"].as_str().unwrap(), schema["enum"].get(0).and_then(Value::as_str)) {
                (_, Some(word)) => word,
                ("boolean", _) => "true",
                ("integer", _) => "1",
                _ if name == "cursor" => "1-00000000000000000000000000000001",
                _ => "text",
            };
            if operations["get"]["responses"]["200"]["content"].get("text/event-stream").is_some() {
                let stream = house.events(&format!("{path}?{name}={value}"), &[]);
                assert!(
                    stream.head.starts_with("HTTP/1.0 200") || stream.head.starts_with("HTTP/1.1 200"),
                    "{name}: {}",
                    stream.head
                );
            } else {
                assert_eq!(house.get(&format!("{path}?{name}={value}")).status, 200, "{path} {name}");
            }
        }
    }
}

#[test]
fn the_schema_of_events_has_the_fields_of_what_is_said() {
    let house = House::start(&[]);
    let document = house.json("/api/v1/openapi.json");
    let file: Value = serde_json::from_str(include_str!("../../docs/schemas/pull-event-v1.json")).unwrap();
    let names = |schema: &Value| schema["properties"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let required = |schema: &Value| {
        schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    for name in ["PullStatus", "LayerStatus", "WaitStatus", "HostStatus", "PressureStatus", "PodRef"] {
        let (told, written) = (&document["components"]["schemas"][name], &file["$defs"][name]);
        assert_eq!(names(told), names(written), "{name}");
        assert_eq!(required(told), required(written), "{name}");
        for (field, schema) in written["properties"].as_object().unwrap() {
            if let Some(words) = schema.get("enum") {
                let told = &told["properties"][field];
                let reference = told["$ref"].as_str().map(|reference| document.pointer(&reference[1..]).unwrap());
                let told = reference.unwrap_or(told);
                let words_told = told["enum"].as_array().cloned().unwrap_or_else(|| {
                    told["oneOf"]
                        .as_array()
                        .unwrap_or_else(|| panic!("{name}.{field}: {told}"))
                        .iter()
                        .map(|one| one["const"].clone())
                        .collect()
                });
                assert_eq!(&Value::Array(words_told), words, "{name}.{field}");
            }
        }
    }
}

#[test]
fn the_document_changes_only_with_the_program() {
    let house = House::start(&[]);
    let tag = house.get("/api/v1/openapi.json").header("etag").to_owned();
    assert_eq!(get(house.http, "/api/v1/openapi.json", &[("if-none-match", &tag)]).status, 304);
}
