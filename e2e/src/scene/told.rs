//! What the agents of a scene say, as OTLP/JSON: written from the telemetry reference by somebody who does not share the agent's code.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::script::{End, Script, State, whole};
use crate::clock::Seconds;

const MEDIA_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A node as its agent speaks for it.
#[derive(Clone, Debug)]
pub(super) struct Speaker<'a> {
    pub(super) node: &'a str,
    pub(super) cluster: &'a str,
}

/// One pull that goes on.
#[derive(Clone, Debug)]
pub(super) struct Telling<'a> {
    pub(super) script: &'a Script,
    /// When it began.
    pub(super) began: Seconds,
    pub(super) state: &'a State,
    pub(super) sequence: u64,
    /// When this is said.
    pub(super) now: Seconds,
}

impl Speaker<'_> {
    /// A request's part with these log records.
    pub(super) fn says(&self, records: &[Value]) -> Value {
        let uid = hex(&Sha256::digest(self.node)[..16]);
        let attributes = [
            ("service.name", "pulltrace"),
            ("k8s.node.name", self.node),
            ("k8s.node.uid", &uid),
            ("k8s.cluster.name", self.cluster),
            ("container.runtime.name", "containerd"),
            ("container.runtime.version", "2.1.4"),
        ];
        let attributes: Vec<_> = attributes.map(|(key, value)| pair(key, text(value))).into_iter().collect();
        let logs = json!([{"scope": {"name": "pulltrace"}, "logRecords": records}]);
        json!({"resource": {"attributes": attributes}, "scopeLogs": logs})
    }
}

/// The heartbeat of a node.
pub(super) fn heartbeat(now: Seconds, active: usize, queued: &[String]) -> Value {
    let mut attributes = vec![
        pair("pulltrace.agent.version", text(env!("CARGO_PKG_VERSION"))),
        pair("pulltrace.agent.runtime_reachable", json!({"boolValue": true})),
        pair("pulltrace.agent.active_pulls", int(active as u64)),
    ];
    if !queued.is_empty() {
        attributes.push(pair("pulltrace.node.queued_images", list(queued.iter().map(|image| text(image)))));
    }
    json!({"timeUnixNano": nanos(now).to_string(), "eventName": "pulltrace.node", "attributes": attributes})
}

impl Telling<'_> {
    /// The present state of the pull.
    pub(super) fn record(&self) -> Value {
        let Self { script, state, .. } = self;
        let id = Sha256::digest(format!("{} {} {}", script.node, script.image, nanos(self.began)));
        let event = if state.ended.is_some() { "pulltrace.pull.finished" } else { "pulltrace.pull.progress" };
        let mut attributes = vec![
            pair("pulltrace.pull.sequence", int(self.sequence)),
            pair("pulltrace.pull.phase", text(state.phase)),
            pair("pulltrace.pull.started_at", self.time(0.0)),
            pair("pulltrace.pull.total_known", json!({"boolValue": state.phase != "resolving"})),
            pair("pulltrace.containerd.namespace", text("k8s.io")),
            pair("pulltrace.snapshotter.name", text("overlayfs")),
            pair("container.image.name", text(&script.image)),
            pair("oci.manifest.digest", text(&digest(&script.image))),
            pair("pulltrace.host.disk.busy", int(script.disk.busy)),
            pair("pulltrace.host.io.some", int(script.disk.some)),
            pair("pulltrace.host.io.full", int(script.disk.full)),
        ];
        if state.phase != "resolving" {
            attributes.push(pair("pulltrace.pull.resolved_at", self.time(script.resolve)));
            attributes.extend(self.layers());
        }
        match state.ended {
            Some(at) => attributes.extend(self.ending(at)),
            None => attributes.extend(self.going()),
        }
        json!({
            "timeUnixNano": nanos(self.now).to_string(), "eventName": event,
            "traceId": hex(&id[..16]), "spanId": hex(&id[16..24]), "attributes": attributes,
        })
    }

    fn ending(&self, at: f64) -> Vec<Value> {
        let mut said = vec![pair("pulltrace.pull.ended_at", self.time(at)), pair("pulltrace.timing.source", text("event"))];
        match &self.script.end {
            End::Ready => said.push(pair("pulltrace.pull.outcome", text("ready"))),
            End::Failed { class, message, .. } => said.extend([
                pair("pulltrace.pull.outcome", text("failed")),
                pair("error.type", text(class)),
                pair("error.message", text(message)),
            ]),
        }
        said
    }

    /// Speed, estimate and wait of a pull that runs.
    fn going(&self) -> Vec<Value> {
        let Self { script, state, .. } = self;
        if let Some(since) = state.stalled_since {
            let rate = pair("pulltrace.pull.rate", int(0));
            return vec![
                rate,
                pair("pulltrace.pull.wait.kind", text("stalled")),
                pair("pulltrace.pull.wait.since", self.time(since)),
            ];
        }
        if state.phase == "resolving" {
            return Vec::new();
        }
        let left = (script.to_fetch() - state.fetched) as f64 / script.rate + script.unpack;
        let rate = if state.phase == "downloading" { whole(script.rate) } else { 0 };
        let time = |share: f64| int(whole(left * share * 1e9));
        vec![
            pair("pulltrace.pull.rate", int(rate)),
            pair("pulltrace.pull.eta", time(1.0)),
            pair("pulltrace.pull.eta_low", time(0.8)),
            pair("pulltrace.pull.eta_high", time(1.3)),
        ]
    }

    fn layers(&self) -> Vec<Value> {
        let Self { script, state, .. } = self;
        let mut rows = Vec::new();
        let mut before = 0;
        for (index, size) in script.layers.iter().copied().enumerate() {
            let cached = index < script.cached;
            let offset = if cached { 0 } else { state.fetched.saturating_sub(before).min(size) };
            rows.push(Row { cached, size, offset, before });
            before += if cached { 0 } else { size };
        }
        let ready = state.ended.is_some() && script.end == End::Ready;
        let column = |name: &str, one: &dyn Fn(usize, &Row) -> Value| {
            pair(&format!("pulltrace.layers.{name}"), list(rows.iter().enumerate().map(|(index, row)| one(index, row))))
        };
        let fetched_by = |bytes: u64| self.time(script.when(bytes as f64));
        let (unpack_from, unpack_to) =
            (script.when(script.to_fetch() as f64), script.when(script.to_fetch() as f64) + script.unpack);
        let known = |is: bool, time: Value| if is { time } else { int(0) };
        vec![
            column("digest", &|index, _| text(&digest(&format!("{}/{index}", script.image)))),
            column("media_type", &|_, _| text(MEDIA_TYPE)),
            column("size", &|_, row| int(row.size)),
            column("offset", &|_, row| int(row.offset)),
            column("state", &|_, row| text(row.word(state, ready))),
            column("cached", &|_, row| json!({"boolValue": row.cached})),
            column("download.start", &|_, row| known(row.offset > 0, fetched_by(row.before))),
            column("download.end", &|_, row| known(row.is_whole(), fetched_by(row.before + row.size))),
            column("download.source", &|_, _| text("poll")),
            column("unpack.start", &|_, row| known(row.is_whole() && state.phase == "unpacking", self.time(unpack_from))),
            column("unpack.end", &|_, row| known(row.is_whole() && ready, self.time(unpack_to))),
            column("unpack.source", &|_, _| text("poll")),
        ]
    }

    fn time(&self, after: f64) -> Value {
        int(nanos(self.began + after))
    }
}

/// One layer as it is told.
struct Row {
    cached: bool,
    size: u64,
    offset: u64,
    /// Bytes of the pull that come before it.
    before: u64,
}

impl Row {
    fn is_whole(&self) -> bool {
        !self.cached && self.offset == self.size
    }

    fn word(&self, state: &State, ready: bool) -> &'static str {
        match (self.cached, self.is_whole(), self.offset, state.phase) {
            (true, ..) => "cached",
            (_, true, ..) if ready => "ready",
            (_, true, _, "unpacking") => "unpacking",
            (_, true, ..) => "downloaded",
            (_, _, 0, _) => "queued",
            (..) if state.ended.is_some() => "failed",
            (..) => "downloading",
        }
    }
}

/// A digest that belongs to a name.
fn digest(name: &str) -> String {
    format!("sha256:{}", hex(&Sha256::digest(name)))
}

fn pair(key: &str, value: Value) -> Value {
    json!({"key": key, "value": value})
}

fn text(text: &str) -> Value {
    json!({"stringValue": text})
}

fn int(number: u64) -> Value {
    json!({"intValue": number.to_string()})
}

fn list(values: impl Iterator<Item = Value>) -> Value {
    json!({"arrayValue": {"values": values.collect::<Vec<_>>()}})
}

fn nanos(time: Seconds) -> u64 {
    // Whole microseconds, of which a double holds every one.
    whole(time * 1e6) * 1000
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
