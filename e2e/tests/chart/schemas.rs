//! JSON Schemas for kubeconform, made from what Kubernetes and the operators publish: the API server's OpenAPI document and
//! CustomResourceDefinitions. Strict, as the server is when it is asked to be: an object has the fields that are known and no others.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use e2e::helm::documents;
use e2e::tools::Tools;
use serde_json::{Map, Value, json};

/// Where the definitions of Kubernetes are written.
const DEFINITIONS: &str = "definitions.json";
/// Metadata of every object.
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Writes them below a folder and returns where kubeconform finds them.
pub(crate) fn write(tools: &Tools, folder: &Path) -> String {
    fs::create_dir_all(folder).unwrap();
    let text = fs::read_to_string(tools.schemas().join("kubernetes.json")).unwrap();
    let published: Value = serde_json::from_str(&text).unwrap();
    let mut definitions = published["definitions"].as_object().unwrap().clone();
    let mut schemas = BTreeMap::new();
    for (name, definition) in &mut definitions {
        for object in definition["x-kubernetes-group-version-kind"].as_array().unwrap_or(&Vec::new()) {
            let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
            let reference = json!({ "$ref": format!("{DEFINITIONS}#/definitions/{name}") });
            schemas.insert(file(&text("kind"), &text("group"), &text("version")), reference);
        }
        strict(definition);
    }
    for path in fs::read_dir(tools.schemas()).unwrap().map(|entry| entry.unwrap().path()) {
        if path.extension().is_some_and(|extension| extension == "yaml") {
            documents(&fs::read_to_string(&path).unwrap()).iter().for_each(|custom| of_custom(custom, &mut schemas));
        }
    }
    fs::write(folder.join(DEFINITIONS), json!({ "definitions": definitions }).to_string()).unwrap();
    for (name, schema) in schemas {
        fs::write(folder.join(name), schema.to_string()).unwrap();
    }
    let name = "{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json";
    folder.join(name).display().to_string()
}

/// The name by which kubeconform asks; what has no group has its version there too.
fn file(kind: &str, group: &str, version: &str) -> String {
    let group = if group.is_empty() { version } else { group };
    format!("{}-{group}-{version}.json", kind.to_lowercase())
}

/// The schemas of a CustomResourceDefinition.
fn of_custom(custom: &Value, schemas: &mut BTreeMap<String, Value>) {
    let (spec, text) = (&custom["spec"], |value: &Value| value.as_str().unwrap_or_default().to_owned());
    for version in spec["versions"].as_array().unwrap() {
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        strict(&mut schema);
        schema["properties"]["metadata"] = json!({ "$ref": format!("{DEFINITIONS}#/definitions/{METADATA}") });
        schemas.insert(file(&text(&spec["names"]["kind"]), &text(&spec["group"]), &text(&version["name"])), schema);
    }
}

/// No other fields than those that are known; and what OpenAPI says by formats, said as JSON Schema does.
fn strict(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) && !fields.contains_key("additionalProperties") {
                let open = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
                fields.insert("additionalProperties".to_owned(), Value::Bool(open));
            }
            let takes_numbers = fields.get("format").is_some_and(|format| format == "int-or-string")
                || fields.get("description").and_then(Value::as_str).is_some_and(|words| words.starts_with("Quantity is"));
            if takes_numbers {
                *fields = Map::from_iter([("type".to_owned(), json!(["string", "number"]))]);
            }
            if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                *reference = reference.replace("#/definitions/", &format!("{DEFINITIONS}#/definitions/"));
            }
            fields.values_mut().for_each(strict);
        }
        Value::Array(items) => items.iter_mut().for_each(strict),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_strict_schema_knows_no_other_fields_and_takes_numbers_where_kubernetes_does() {
    let mut schema = json!({ "properties": { "port": { "type": "string", "format": "int-or-string" }, "more": { "$ref": "#/definitions/a" } } });
    strict(&mut schema);
    let (port, more) = (json!({ "type": ["string", "number"] }), json!({ "$ref": "definitions.json#/definitions/a" }));
    assert_eq!(schema, json!({ "properties": { "port": port, "more": more }, "additionalProperties": false }));
}
