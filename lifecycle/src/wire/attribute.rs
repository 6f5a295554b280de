//! How attributes, resources and scopes are written: the building blocks of [`super::encode`] and [`super::span`]. What is empty is left
//! out, what is too long is cut, what is too large is capped: nothing that is sent may be refused by [`super::report`].

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
};

use super::{MAX_BYTES, MAX_TEXT, SCOPE};
use crate::{image::ImageRef, names, pull::Node, time::Timestamp};

/// `service.name` of everything that is said about pulls.
const SERVICE: &str = "pulltrace";

/// A list of attributes in the making.
#[derive(Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    pub(super) fn into_vec(self) -> Vec<KeyValue> {
        self.0
    }

    /// A text of at most [`MAX_TEXT`] bytes; nothing if it is empty.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.whole(name, cut(text, MAX_TEXT));
        }
    }

    /// A text whose length its type already bounds, empty or not.
    pub(super) fn whole(&mut self, name: &str, text: &str) {
        self.push(name, Value::StringValue(text.to_owned()));
    }

    pub(super) fn int(&mut self, name: &str, number: u64) {
        self.push(name, Value::IntValue(signed(number)));
    }

    pub(super) fn bytes(&mut self, name: &str, number: u64) {
        self.int(name, number.min(MAX_BYTES));
    }

    pub(super) fn time(&mut self, name: &str, time: Timestamp) {
        self.int(name, time.as_nanos());
    }

    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        self.push(name, Value::BoolValue(value));
    }

    pub(super) fn texts<'t>(&mut self, name: &str, texts: impl Iterator<Item = &'t str>) {
        self.array(name, texts.map(|text| Value::StringValue(cut(text, MAX_TEXT).to_owned())));
    }

    pub(super) fn ints(&mut self, name: &str, numbers: impl Iterator<Item = u64>) {
        self.array(name, numbers.map(|number| Value::IntValue(signed(number))));
    }

    pub(super) fn booleans(&mut self, name: &str, values: impl Iterator<Item = bool>) {
        self.array(name, values.map(Value::BoolValue));
    }

    /// Name, tag and registry of an image, as far as known.
    pub(super) fn image(&mut self, image: &ImageRef) {
        self.whole(names::IMAGE_NAME, &image.to_string());
        self.texts(names::IMAGE_TAGS, image.tag().into_iter());
        self.registry(image);
    }

    /// Where an image comes from.
    pub(super) fn registry(&mut self, image: &ImageRef) {
        self.text(names::SERVER_ADDRESS, host(image.registry()));
        self.text(names::SERVICE_PEER_NAME, image.registry());
    }

    fn array(&mut self, name: &str, values: impl Iterator<Item = Value>) {
        let values: Vec<_> = values.map(|value| AnyValue { value: Some(value) }).collect();
        if !values.is_empty() {
            self.push(name, Value::ArrayValue(ArrayValue { values }));
        }
    }

    fn push(&mut self, name: &str, value: Value) {
        self.0.push(KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 });
    }
}

/// Who speaks: one agent for one node.
pub(super) fn resource(node: &Node, agent_version: &str) -> Resource {
    let mut attributes = Attributes::default();
    attributes.text(names::SERVICE_NAME, SERVICE);
    attributes.text(names::SERVICE_VERSION, agent_version);
    attributes.text(names::SERVICE_INSTANCE_ID, &node.uid);
    attributes.whole(names::NODE_NAME, node.name.as_str());
    attributes.text(names::NODE_UID, &node.uid);
    attributes.text(names::CLUSTER_NAME, &node.cluster);
    attributes.text(names::RUNTIME_NAME, &node.runtime_name);
    attributes.text(names::RUNTIME_VERSION, &node.runtime_version);
    Resource { attributes: attributes.into_vec(), ..Resource::default() }
}

/// The scope by which a receiver knows the dialect.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope { name: SCOPE.to_owned(), ..InstrumentationScope::default() }
}

/// The beginning of a text, of at most `max` bytes and whole characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// OTLP's integers are signed; times until 2262 and every plausible size fit.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The host of `host`, `host:port` or `[address]:port`.
fn host(registry: &str) -> &str {
    match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => registry.split_once(':').map_or(registry, |(host, _)| host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("größe", 3), "gr");
        assert_eq!(cut("größe", 4), "grö");
        assert_eq!(cut("a", 10), "a");
    }

    #[test]
    fn the_host_of_a_registry_is_without_port_and_brackets() {
        assert_eq!(["q.io", "q.io:5000", "[::1]:5000", "[::1]"].map(host), ["q.io", "q.io", "::1", "::1"]);
    }
}
