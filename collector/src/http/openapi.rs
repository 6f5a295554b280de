//! The OpenAPI document, version 3.1, made once from the table of routes and the types that are written.

use std::sync::LazyLock;

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use lifecycle::pull::{Outcome, Phase};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::{
    Problem, Site,
    query::{self, Asked, Key, MAX_LIMIT},
    report,
    routes::{Answer, Route, routes},
};

/// Where schemas stand in the document.
const SCHEMAS: &str = "/components/schemas";

static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| write().to_string().into_bytes());

/// `GET /api/v1/openapi.json`.
pub(super) async fn document(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    Asked::read(&uri, &[])?;
    site.answer(headers, |_| Ok(DOCUMENT.clone())).await
}

fn write() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for route in routes() {
        paths.insert(route.path.to_owned(), json!({ "get": operation(&route, &mut schemas) }));
    }
    paths.insert(report::PATH.to_owned(), json!({ "post": reporting(&mut schemas) }));
    let mut definitions: Map<_, _> = schemas.take_definitions(true).into_iter().collect();
    definitions.insert("Error".to_owned(), error());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Pulltrace",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a cluster's nodes pull. What is unknown is absent; fields may be added.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": definitions,
        },
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let in_path = route.path.split(['{', '}']).skip(1).step_by(2).map(|name| {
        let schema =
            if name == "id" { json!({ "type": "string", "pattern": "^[0-9a-fA-F]{32}$" }) } else { json!({ "type": "string" }) };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let parameters: Vec<_> = in_path.chain(route.keys.iter().map(parameter)).collect();
    let (media_type, schema) = match route.answer {
        Answer::Json(schema) => ("application/json", schema(schemas).to_value()),
        Answer::Events(schema) => ("text/event-stream", schema(schemas).to_value()),
        Answer::Frames => ("text/event-stream", json!({})),
        Answer::Document => ("application/json", json!({ "type": "object" })),
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": route.summary, "content": { media_type: { "schema": schema } } }));
    if !matches!(route.answer, Answer::Events(_) | Answer::Frames) {
        responses.insert("304".to_owned(), json!({ "description": "Nothing has changed since the answer with this ETag." }));
    }
    responses.insert("400".to_owned(), failure("Something in the address is not understood."));
    responses.insert("401".to_owned(), failure("No valid token."));
    if route.may_miss {
        responses.insert("404".to_owned(), failure("It is not known, or no longer."));
    }
    json!({ "operationId": route.id, "summary": route.summary, "parameters": parameters, "responses": responses })
}

fn parameter(key: &Key) -> Value {
    let schema = match key.value {
        query::Value::Text => json!({ "type": "string" }),
        query::Value::Flag => json!({ "type": "boolean" }),
        query::Value::Limit => json!({ "type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": MAX_LIMIT }),
        query::Value::Phase => json!({ "type": "string", "enum": Phase::ALL.map(Phase::as_str) }),
        query::Value::Outcome => json!({ "type": "string", "enum": Outcome::WORDS }),
    };
    json!({ "name": key.name, "in": "query", "description": key.help, "schema": schema })
}

fn reporting(schemas: &mut SchemaGenerator) -> Value {
    let inline = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let body = inline.into_generator().into_root_schema_for::<report::AgentReport>().to_value();
    let taken = schemas.subschema_for::<report::Taken>().to_value();
    let answers = [
        ("400", "Not a report; the message names the field."),
        ("401", "No valid token of an agent."),
        ("403", "Not from here, or not about this node."),
        ("408", "It did not arrive in time."),
        ("413", "It is too long."),
        ("415", "It is not JSON."),
        ("503", "The collector is busy; Retry-After says when to come back."),
    ];
    let mut responses: Map<_, _> = answers.into_iter().map(|(status, what)| (status.to_owned(), failure(what))).collect();
    responses
        .insert("200".to_owned(), json!({ "description": "Taken.", "content": { "application/json": { "schema": taken } } }));
    json!({
        "operationId": "report",
        "summary": "What an agent of the Go Pulltrace sees on its node.",
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": responses,
    })
}

fn failure(description: &str) -> Value {
    let schema = json!({ "$ref": format!("#{SCHEMAS}/Error") });
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn error() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message"],
                "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
            },
        },
    })
}
