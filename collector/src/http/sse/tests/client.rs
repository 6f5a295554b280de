//! Who reads a stream: splits bytes into events, keeps what they say, and comes back with the last id.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    http::sse::walk::{Class, Dialect, Position},
    snapshot::Snapshot,
};

/// What one event says.
#[derive(Debug)]
pub(super) struct Told {
    id: String,
    says: Says,
    /// Where it ends in its chunk.
    pub(super) end: usize,
}

#[derive(Debug)]
enum Says {
    /// An id alone.
    Nothing,
    Sync,
    Removed(String),
    /// One pull: the kind, its id, its JSON.
    Pull(String, String, String),
    Frame(Value),
}

/// Takes a chunk apart.
pub(super) fn read(chunk: &[u8]) -> Vec<Told> {
    let mut end = 0;
    let text = str::from_utf8(chunk).unwrap();
    assert!(text.is_empty() || text.ends_with("\n\n"), "a chunk holds whole events");
    let mut events = Vec::new();
    for event in text.split_terminator("\n\n") {
        end += event.len() + 2;
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        let says = match (field("event: "), field("data: ")) {
            (None, None) => Says::Nothing,
            (Some("sync"), Some("{}")) => Says::Sync,
            (Some("removed"), Some(data)) => Says::Removed(data[7..39].to_owned()),
            (None, Some(data)) if data.starts_with("{\"schemaVersion\"") => {
                let after = |mark: &str| &data[data.find(mark).unwrap() + mark.len()..];
                // Of a layer's event, the layer stands behind the pull.
                let pull = after("\"pull\":").strip_suffix('}').unwrap();
                let pull = pull.split(",\"layer\":").next().unwrap();
                let kind = after("\"type\":\"").split('"').next().unwrap();
                Says::Pull(kind.to_owned(), pull[7..39].to_owned(), pull.to_owned())
            }
            (None, Some(data)) => Says::Frame(serde_json::from_str(data).unwrap()),
            other => panic!("{other:?}"),
        };
        events.push(Told { id: field("id: ").unwrap().to_owned(), says, end });
    }
    events
}

/// One reader and what it has.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Where it is, while it is connected.
    pub(super) at: Option<Position>,
    pub(super) last_id: Option<String>,
    /// Pulls of which it learned that they ended without being told of the end.
    pub(super) missed: Vec<String>,
    pulls: BTreeMap<String, String>,
    ended: BTreeSet<String>,
    frames: BTreeMap<u64, Value>,
    /// What a new snapshot has told so far.
    fresh: Option<BTreeSet<String>>,
}

impl Client {
    pub(super) fn connect(&mut self, at: Position, resumed: bool) {
        self.at = Some(at);
        self.fresh = (!resumed).then(BTreeSet::new);
    }

    pub(super) fn hear<'a>(&mut self, told: impl Iterator<Item = &'a Told>) {
        for event in told {
            self.last_id = Some(event.id.clone());
            match &event.says {
                Says::Nothing => {}
                Says::Sync => {
                    let fresh = self.fresh.take().expect("sync comes once, with a new snapshot");
                    self.pulls.retain(|id, _| fresh.contains(id));
                    self.ended.retain(|id| fresh.contains(id));
                    self.frames.retain(|_, pull| fresh.contains(id_of(pull)));
                }
                Says::Removed(id) => self.forget(id),
                Says::Pull(kind, id, pull) => self.hear_pull(kind, id, pull),
                Says::Frame(frame) => self.hear_frame(frame),
            }
        }
    }

    fn forget(&mut self, id: &str) {
        self.pulls.remove(id);
        self.ended.remove(id);
        self.frames.retain(|_, pull| id_of(pull) != id);
    }

    fn hear_pull(&mut self, kind: &str, id: &str, pull: &str) {
        if kind.starts_with("layer.") {
            return;
        }
        if let Some(fresh) = &mut self.fresh {
            assert_eq!(kind, "pull.progress", "a snapshot has no news");
            fresh.insert(id.to_owned());
        }
        let has_ended = pull.contains("\"outcome\":");
        match kind {
            "pull.completed" | "pull.failed" => {
                assert!(has_ended);
                self.ended.insert(id.to_owned());
            }
            "pull.progress" if has_ended && self.fresh.is_some() => _ = self.ended.insert(id.to_owned()),
            "pull.progress" if has_ended && !self.ended.contains(id) => self.missed.push(id.to_owned()),
            _ => {}
        }
        if !has_ended {
            self.ended.remove(id);
        }
        self.pulls.insert(id.to_owned(), pull.to_owned());
    }

    fn hear_frame(&mut self, frame: &Value) {
        let list = |name: &str| frame[name].as_array().cloned().unwrap_or_default();
        for id in list("gone") {
            self.forget(id.as_str().unwrap());
        }
        for whole in list("whole") {
            if let Some(fresh) = &mut self.fresh {
                fresh.insert(id_of(&whole[1]).to_owned());
            }
            let number = whole[0].as_u64().unwrap();
            // A pull that left memory and came again has another number.
            self.frames.retain(|other, pull| *other == number || id_of(pull) != id_of(&whole[1]));
            self.frames.insert(number, whole[1].clone());
        }
        for numbers in list("numbers") {
            let pull = self.frames.get_mut(&numbers[0].as_u64().unwrap()).expect("numbers are of a pull that was told whole");
            let pull = pull.as_object_mut().unwrap();
            let names =
                ["downloadedBytes", "bytesPerSec", "etaSeconds", "etaLowSeconds", "etaHighSeconds", "layersDone", "totalBytes"];
            for (name, value) in names.iter().zip(&numbers.as_array().unwrap()[1..]) {
                match (value.is_null(), *name) {
                    (true, "totalBytes") => {}
                    (true, name) => _ = pull.remove(name),
                    (false, name) => _ = pull.insert(name.to_owned(), value.clone()),
                }
            }
            if let Some(summary) = numbers.get(8) {
                pull.insert("summary".into(), summary.clone());
            }
        }
        for of_pull in list("layers") {
            let pull = self.frames.get_mut(&of_pull[0].as_u64().unwrap()).expect("layers are of a pull that was told whole");
            for layer in &of_pull.as_array().unwrap()[1..] {
                let known = &mut pull["layers"][usize::try_from(layer[0].as_u64().unwrap()).unwrap()];
                match layer[1].is_object() {
                    true => *known = layer[1].clone(),
                    false => known["downloadedBytes"] = layer[1].clone(),
                }
            }
        }
    }

    /// Compares what it has with what there is. `wanted` says of a pull as the client has it whether it was asked for.
    pub(super) fn agrees(&self, now: &Snapshot, class: &Class, query: &str, wanted: fn(&str) -> bool) {
        let there: Vec<_> = now.newest(None).filter(|row| class.filter.matches(row)).collect();
        let (layers, frames, summary) = match class.dialect {
            Dialect::Events { layers } => (layers, false, true),
            Dialect::Frames { layers, summary } => (layers, true, summary || class.filter.looks_at_words()),
        };
        let of_frames: BTreeMap<_, _> = self.frames.values().map(|pull| (id_of(pull).to_owned(), pull)).collect();
        for row in &there {
            let (id, json) = (row.view.id().to_string(), row.json(layers).unwrap().get());
            match frames {
                false => assert_eq!(self.pulls.get(&id).map(String::as_str), Some(json), "{query}: {id}"),
                true => {
                    let has = of_frames.get(&id).unwrap_or_else(|| panic!("{query}: {id} is missing"));
                    assert_eq!(comparable(has, summary), comparable(&serde_json::from_str(json).unwrap(), summary), "{query}");
                }
            }
        }
        let ids: BTreeSet<_> = there.iter().map(|row| row.view.id().to_string()).collect();
        let of_frames = of_frames.iter().map(|(id, pull)| (id.clone(), pull.to_string()));
        for (id, pull) in self.pulls.clone().into_iter().chain(of_frames).filter(|(_, pull)| wanted(pull)) {
            assert!(ids.contains(&id), "{query}: has a pull that should be gone: {pull}");
        }
    }
}

fn id_of(pull: &Value) -> &str {
    pull["id"].as_str().unwrap()
}

/// Without what frames do not tell with every number.
fn comparable(pull: &Value, summary: bool) -> Value {
    let mut pull = pull.clone();
    let fields = pull.as_object_mut().unwrap();
    let untold = ["updatedAt", "percent", "host", "sizeBytes"];
    fields.retain(|name, _| !untold.contains(&name.as_str()) && (summary || name != "summary"));
    for layer in pull["layers"].as_array_mut().into_iter().flatten() {
        layer.as_object_mut().unwrap().remove("percent");
    }
    pull
}
