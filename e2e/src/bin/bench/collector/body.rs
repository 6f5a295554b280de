//! What a cluster's agents send, as bytes of OTLP: pulls whose state advances with every report, and spans of anybody. Written by hand from
//! the telemetry reference and OTLP's protobuf, so that the collector is fed by somebody who does not share its code.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Nanoseconds at which all simulated pulls began.
const BEGIN: u64 = 1_790_000_000_000_000_000;

const MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const MIB: u64 = 1 << 20;

/// What one simulated node pulls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Its number, which is all that tells it from others.
    pub(crate) number: u64,
    /// Pulls at once.
    pub(crate) pulls: u64,
    /// Layers of each.
    pub(crate) layers: u64,
}

/// A log record's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The pull goes on.
    Progress,
    /// It is ready.
    Finished,
}

impl Node {
    /// The node's report number `round`, counted from 1: the present state of each of its pulls. Every layer moves with every report.
    pub(crate) fn report(&self, round: u64) -> Vec<u8> {
        self.request(round, 0..self.pulls, Told::Progress)
    }

    /// One request with the pulls of these numbers.
    pub(crate) fn request(&self, round: u64, pulls: std::ops::Range<u64>, told: Told) -> Vec<u8> {
        let mut resource = Vec::with_capacity(512);
        let name = format!("node-{}.example.internal", self.number);
        for (key, value) in [
            ("service.name", "pulltrace"),
            ("service.version", "0.1.0"),
            ("service.instance.id", &self.uid()),
            ("k8s.node.name", &name),
            ("k8s.node.uid", &self.uid()),
            ("k8s.cluster.name", "bench"),
            ("container.runtime.name", "containerd"),
            ("container.runtime.version", "2.1.4"),
        ] {
            attribute(&mut resource, 1, key, |value_of| text(value_of, 1, value));
        }
        let mut scope_logs = Vec::with_capacity(4096);
        message(&mut scope_logs, 1, |scope| text(scope, 1, "pulltrace"));
        for pull in pulls {
            message(&mut scope_logs, 2, |record| self.record(record, pull, round, told));
        }
        text(&mut scope_logs, 3, SCHEMA);
        let mut request = Vec::with_capacity(scope_logs.len() + resource.len() + 128);
        message(&mut request, 1, |logs| {
            bytes(logs, 1, &resource);
            bytes(logs, 2, &scope_logs);
            text(logs, 3, SCHEMA);
        });
        request
    }

    fn uid(&self) -> String {
        format!("8f6b2c1e-7d6f-4a53-9f0c-{:012x}", self.number)
    }

    /// The image of one of its pulls: a rollout, so the nodes pull the same ones.
    fn image(&self, pull: u64) -> String {
        format!("registry.example.com/team/app-{}", pull % 16)
    }

    fn record(&self, record: &mut Vec<u8>, pull: u64, round: u64, told: Told) {
        let now = BEGIN + round * 1_000_000_000;
        let id = &Sha256::digest(format!("{}/{pull}", self.number))[..16];
        let image = self.image(pull);
        let (word, name) = match told {
            Told::Progress => ("downloading", "pulltrace.pull.progress"),
            Told::Finished => ("unpacking", "pulltrace.pull.finished"),
        };
        fixed64(record, 1, now);
        varint_field(record, 2, 9);
        text(record, 3, "INFO");
        message(record, 5, |body| text(body, 1, &format!("{image}:v1 {word}")));
        let mut put = |key: &str, write: &dyn Fn(&mut Vec<u8>)| attribute(record, 6, key, write);
        put("pulltrace.pull.sequence", &|v| varint_field(v, 3, round));
        put("pulltrace.pull.phase", &|v| text(v, 1, word));
        put("pulltrace.pull.started_at", &|v| varint_field(v, 3, BEGIN));
        put("pulltrace.pull.resolved_at", &|v| varint_field(v, 3, BEGIN + 200_000_000));
        if told == Told::Finished {
            put("pulltrace.pull.outcome", &|v| text(v, 1, "ready"));
            put("pulltrace.pull.ended_at", &|v| varint_field(v, 3, now));
            put("pulltrace.timing.source", &|v| text(v, 1, "event"));
        }
        put("pulltrace.pull.rate", &|v| varint_field(v, 3, 5 * MIB + round));
        put("pulltrace.pull.eta", &|v| varint_field(v, 3, 30_000_000_000 - round));
        put("pulltrace.pull.eta_low", &|v| varint_field(v, 3, 20_000_000_000 - round));
        put("pulltrace.pull.eta_high", &|v| varint_field(v, 3, 40_000_000_000 - round));
        put("container.image.name", &|v| text(v, 1, &format!("{image}:v1")));
        put("oci.manifest.digest", &|v| text(v, 1, &digest(pull % 16, 999)));
        put("pulltrace.containerd.namespace", &|v| text(v, 1, "k8s.io"));
        put("pulltrace.snapshotter.name", &|v| text(v, 1, "overlayfs"));
        put("pulltrace.pull.total_known", &|v| varint_field(v, 2, 1));
        self.layers(&mut put, pull, round, told);
        bytes(record, 9, id);
        bytes(record, 10, &id[..8]);
        fixed64(record, 11, now);
        text(record, 12, name);
    }

    fn layers(&self, put: &mut impl FnMut(&str, &dyn Fn(&mut Vec<u8>)), pull: u64, round: u64, told: Told) {
        let size = |layer: u64| (40 + layer) * MIB;
        let fetched = |layer: u64| match told {
            Told::Progress => (round * (50_000 + layer * 1000)).min(size(layer) - 1),
            Told::Finished => size(layer),
        };
        let (state, over) = match told {
            Told::Progress => ("downloading", 0),
            Told::Finished => ("ready", BEGIN + round * 1_000_000_000),
        };
        put("pulltrace.layers.digest", &|v| self.array(v, |v, layer| text(v, 1, &digest(pull % 16, layer))));
        put("pulltrace.layers.media_type", &|v| self.array(v, |v, _| text(v, 1, MEDIA_TYPE)));
        put("pulltrace.layers.size", &|v| self.array(v, |v, layer| varint_field(v, 3, size(layer))));
        put("pulltrace.layers.offset", &|v| self.array(v, |v, layer| varint_field(v, 3, fetched(layer))));
        put("pulltrace.layers.state", &|v| self.array(v, |v, _| text(v, 1, state)));
        put("pulltrace.layers.cached", &|v| self.array(v, |v, _| varint_field(v, 2, 0)));
        for (what, start) in [("download", BEGIN + 300_000_000), ("unpack", over)] {
            put(&format!("pulltrace.layers.{what}.start"), &|v| {
                self.array(v, |v, layer| varint_field(v, 3, start + layer * u64::from(start > 0)))
            });
            put(&format!("pulltrace.layers.{what}.end"), &|v| self.array(v, |v, _| varint_field(v, 3, over)));
            put(&format!("pulltrace.layers.{what}.source"), &|v| self.array(v, |v, _| text(v, 1, "event")));
        }
    }

    fn array(&self, value: &mut Vec<u8>, one: impl Fn(&mut Vec<u8>, u64)) {
        message(value, 5, |array| (0..self.layers).for_each(|layer| message(array, 1, |value| one(value, layer))));
    }

    /// The same state as the plain baseline takes it: one JSON object for the whole node.
    pub(crate) fn json(&self, round: u64) -> String {
        let mut out = format!("{{\"nodeName\":\"node-{}\",\"timestamp\":\"2026-09-21T15:30:00Z\",\"pulls\":[", self.number);
        for pull in 0..self.pulls {
            let comma = if pull > 0 { "," } else { "" };
            let image = self.image(pull);
            put(
                &mut out,
                format_args!(
                    "{comma}{{\"imageRef\":\"{image}:v1\",\"startedAt\":\"2026-09-21T15:29:50Z\",\"totalKnown\":true,\"layers\":["
                ),
            );
            for layer in 0..self.layers {
                let comma = if layer > 0 { "," } else { "" };
                let (size, fetched) = ((40 + layer) * MIB, round * (50_000 + layer * 1000));
                let digest = digest(pull % 16, layer);
                put(
                    &mut out,
                    format_args!(
                        "{comma}{{\"digest\":\"{digest}\",\"mediaType\":\"{MEDIA_TYPE}\",\"totalBytes\":{size},\"downloadedBytes\":{fetched},\"totalKnown\":true}}"
                    ),
                );
            }
            out.push_str("]}");
        }
        out.push_str("]}");
        out
    }
}

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.42.0";

/// So many spans of some service, about 575 bytes each with ten attributes, in one request.
pub(crate) fn spans(count: u64) -> Vec<u8> {
    let mut scope_spans = Vec::new();
    message(&mut scope_spans, 1, |scope| text(scope, 1, "io.example.client"));
    for number in 0..count {
        let id = Sha256::digest(number.to_be_bytes());
        message(&mut scope_spans, 2, |span| {
            bytes(span, 1, &id[..16]);
            bytes(span, 2, &id[16..24]);
            bytes(span, 4, &id[24..]);
            text(span, 5, "GET /v2/library/nginx/manifests");
            varint_field(span, 6, 3);
            fixed64(span, 7, BEGIN);
            fixed64(span, 8, BEGIN + 5_000_000);
            for key in 0..10 {
                attribute(span, 9, &format!("http.request.header.x{key}"), |v| text(v, 1, "application/json"));
            }
        });
    }
    let mut request = Vec::new();
    message(&mut request, 1, |resource_spans| {
        message(resource_spans, 1, |resource| attribute(resource, 1, "service.name", |v| text(v, 1, "checkout")));
        bytes(resource_spans, 2, &scope_spans);
    });
    request
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(text).ok();
}

/// The digest of a layer of an image, whichever node pulls it.
fn digest(image: u64, layer: u64) -> String {
    format!("sha256:{:016x}{:016x}{:016x}{:016x}", image.wrapping_mul(0x9e37_79b9_7f4a_7c15), layer, image ^ layer, !layer)
}

/// `KeyValue` (key = 1, value = 2) as an element of a repeated field.
fn attribute(out: &mut Vec<u8>, number: u32, key: &str, value: impl Fn(&mut Vec<u8>)) {
    message(out, number, |pair| {
        text(pair, 1, key);
        message(pair, 2, value);
    });
}

fn message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::with_capacity(128);
    write(&mut inner);
    bytes(out, number, &inner);
}

fn text(out: &mut Vec<u8>, number: u32, text: &str) {
    bytes(out, number, text.as_bytes());
}

fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    prost::encoding::encode_varint(u64::from(number << 3 | 2), out);
    prost::encoding::encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    prost::encoding::encode_varint(u64::from(number << 3), out);
    prost::encoding::encode_varint(value, out);
}

fn fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    prost::encoding::encode_varint(u64::from(number << 3 | 1), out);
    out.extend_from_slice(&value.to_le_bytes());
}
