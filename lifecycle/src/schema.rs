//! JSON Schema of the words that are written as text: identities, digests, names and times. Those of whole values are derived where the values
//! stand; what is made of all of them is the business of whoever describes an API.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    image::{Digest, ImageRef},
    pull::PullId,
    time::Timestamp,
};

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "pattern": "Z$", "description": "RFC 3339, UTC." })
    }
}

impl JsonSchema for PullId {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$", "description": "Identity of a pull, also of its trace." })
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z0-9+._-]+:[A-Za-z0-9=_-]+$", "description": "Digest of a content." })
    }
}

impl JsonSchema for ImageRef {
    fn schema_name() -> Cow<'static, str> {
        "ImageRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Full name of an image, docker.io/library/nginx:1.27." })
    }
}
