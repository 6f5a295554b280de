//! The agent's mind beside a pull of [`super::world`]: shows it containerd as it would look, and keeps what it tells.

use std::collections::BTreeMap;
use std::time::Duration;

use lifecycle::image::{Digest, ImageRef};
use lifecycle::pull::{Node, Pull};
use lifecycle::time::Timestamp;
use lifecycle::track::{
    Answer, ContentFacts, Event, ExtractKey, Happening, ImageRecord, Ingest, Inventory, Lease, Output, Pace, Question, Reference,
    Resource, Runtime, Seen, SnapshotFacts, Subject, Survey, Tracker,
};

use super::world::World;

const NAMESPACE: &str = "k8s.io";
const SNAPSHOTTER: &str = "overlayfs";
/// How often the agent looks while a pull runs.
const LOOK: f64 = 0.5;

/// What the agent said at one moment, and what the oracle would have said.
#[derive(Clone, Debug)]
pub(super) struct Word {
    /// Seconds since the begin of the pull.
    pub(super) at: f64,
    pub(super) pull: Pull,
    pub(super) oracle: f64,
}

/// A node that pulls one image after the other.
pub(super) struct Watch {
    tracker: Tracker,
    begin: Timestamp,
    pulls: u64,
}

impl Watch {
    pub(super) fn new() -> Self {
        let node = Node {
            name: "n1".parse().expect("a name of a node"),
            uid: "uid".into(),
            cluster: String::new(),
            runtime_name: "containerd".into(),
            runtime_version: String::new(),
        };
        let pace = Pace { idle: Duration::from_secs(5), active: Duration::from_secs_f64(LOOK) };
        let begin = Timestamp::from_millis(1_700_000_000_000);
        let mut tracker = Tracker::new(node, "0", pace);
        let runtime = Runtime { version: "2.1".into(), uuid: String::new(), pid: 1, started_at: None };
        tracker.observe(Seen::Connected(runtime), begin);
        Self { tracker, begin, pulls: 0 }
    }

    /// Lets one pull go from begin to end. What was told while it ran, and how many seconds it took.
    pub(super) fn follow(&mut self, world: &mut World) -> (Vec<Word>, f64) {
        self.pulls += 1;
        let mut scene = Scene::new(self.pulls, self.begin, world);
        let mut words = Vec::new();
        while !world.is_over() {
            world.pass(LOOK / 10.0);
            self.turn(&mut scene, world, &mut words);
        }
        let took = world.over_at();
        for _ in 0..200 {
            world.now += LOOK;
            self.turn(&mut scene, world, &mut words);
        }
        self.begin = scene.at(world.now);
        words.retain(|word: &Word| word.pull.ending.is_none() && word.at < took);
        (words, took)
    }

    fn turn(&mut self, scene: &mut Scene, world: &World, words: &mut Vec<Word>) {
        let now = scene.at(world.now);
        for seen in scene.events(world) {
            self.tracker.observe(seen, now);
        }
        self.tracker.tick(now);
        while let Some(output) = self.tracker.poll() {
            let seen = match output {
                Output::Ask(Question::Survey { .. }) => Some(Seen::Survey(scene.survey(world, now))),
                Output::Ask(Question::About(key, subject)) => {
                    let answer = scene.answer(&subject, world);
                    Some(Seen::Answer(key, subject, answer))
                }
                Output::Pull { pull, .. } => {
                    let oracle = if world.is_over() { 0.0 } else { world.oracle() };
                    words.push(Word { at: world.now, pull: *pull, oracle });
                    None
                }
                Output::Node(_) => None,
            };
            if let Some(seen) = seen {
                self.tracker.observe(seen, now);
            }
        }
    }
}

/// containerd during one pull.
struct Scene {
    number: u64,
    begin: Timestamp,
    blobs: Vec<Digest>,
    chains: Vec<Digest>,
    documents: BTreeMap<Digest, Vec<u8>>,
    manifest: Digest,
    config: Digest,
    /// Layers whose preparation and whose unpacking were told.
    told: (usize, usize),
    recorded: bool,
}

impl Scene {
    fn new(number: u64, begin: Timestamp, world: &World) -> Self {
        let named = |what: &str, i: usize| Digest::of(format!("{what} {number} {i}").as_bytes());
        let count = world.layers.len();
        let blobs: Vec<_> = (0..count).map(|i| named("blob", i)).collect();
        let diffs: Vec<_> = (0..count).map(|i| named("diff", i)).collect();
        let mut chains: Vec<Digest> = Vec::new();
        for diff in &diffs {
            let chain = chains.last().map_or_else(|| diff.clone(), |last| Digest::of(format!("{last} {diff}").as_bytes()));
            chains.push(chain);
        }
        let config = serde_json::json!({"rootfs": {"diff_ids": diffs.iter().map(Digest::as_str).collect::<Vec<_>>()}});
        let config = config.to_string().into_bytes();
        let config_digest = Digest::of(&config);
        let layers: Vec<_> = blobs
            .iter()
            .zip(&world.layers)
            .map(|(blob, layer)| serde_json::json!({"mediaType": "layer", "digest": blob.as_str(), "size": whole(layer.size)}))
            .collect();
        let manifest = serde_json::json!({"config": {"digest": config_digest.as_str(), "size": config.len()}, "layers": layers});
        let manifest = manifest.to_string().into_bytes();
        let manifest_digest = Digest::of(&manifest);
        let documents = [(config_digest.clone(), config), (manifest_digest.clone(), manifest)].into();
        Self {
            number,
            begin,
            blobs,
            chains,
            documents,
            manifest: manifest_digest,
            config: config_digest,
            told: (0, 0),
            recorded: false,
        }
    }

    fn at(&self, seconds: f64) -> Timestamp {
        self.begin + Duration::from_secs_f64(seconds)
    }

    fn key(&self, layer: usize) -> ExtractKey {
        ExtractKey::parse(&format!("extract-{}-abcd {}", 100 + layer, self.chains[layer])).expect("a key")
    }

    /// Snapshots that were prepared or committed since this was asked last.
    fn events(&mut self, world: &World) -> Vec<Seen> {
        let mut events = Vec::new();
        let mut happened = |at: Timestamp, what: Happening| {
            events.push(Seen::Event(Event { namespace: NAMESPACE.into(), at, what }));
        };
        let unpacked = world.layers.iter().filter(|l| l.unpacked_at.is_some()).count();
        while self.told.1 < unpacked {
            let at = world.layers[self.told.1].unpacked_at.unwrap_or(world.now);
            happened(self.at(at), Happening::ChainCommitted(self.chains[self.told.1].clone()));
            self.told.1 += 1;
        }
        if world.is_resolved() && self.told.0 <= unpacked && self.told.0 < self.chains.len() {
            happened(self.at(world.now), Happening::ExtractionPrepared(self.key(self.told.0)));
            self.told.0 += 1;
        }
        if world.is_over() && !std::mem::replace(&mut self.recorded, true) {
            happened(self.at(world.now), Happening::ImageRecorded(self.name()));
        }
        events
    }

    fn name(&self) -> String {
        format!("registry.test/app:v{}", self.number)
    }

    fn record(&self, world: &World) -> ImageRecord {
        let name: Option<ImageRef> = self.name().parse().ok();
        let at = self.at(world.over_at());
        ImageRecord { name, target: self.manifest.clone(), created_at: at, updated_at: at }
    }

    fn survey(&self, world: &World, now: Timestamp) -> Survey {
        let mut inventory = Inventory::default();
        if !world.is_over() {
            let mut resources = Vec::new();
            if world.is_resolved() {
                resources.push(Resource::Content(self.manifest.clone()));
                resources.push(Resource::Content(self.config.clone()));
            }
            for (i, layer) in world.layers.iter().enumerate() {
                let reference = Reference { kind: "layer".into(), digest: self.blobs[i].clone() };
                match (layer.opened_at, layer.committed_at) {
                    (Some(_), Some(_)) => resources.push(Resource::Content(self.blobs[i].clone())),
                    (Some(opened), None) => {
                        resources.push(Resource::Ingest(reference.clone()));
                        let (offset, total) = (whole(layer.written()), whole(layer.size));
                        inventory.ingests.push(Ingest { reference, offset, total, started_at: self.at(opened), updated_at: now });
                    }
                    (None, _) => {}
                }
                if layer.unpacked_at.is_some() {
                    let chain = self.chains[i].clone();
                    resources.push(Resource::Chain { snapshotter: SNAPSHOTTER.into(), chain });
                }
            }
            let next = world.layers.iter().position(|l| l.unpacked_at.is_none()).filter(|_| world.is_resolved());
            resources.extend(next.map(|i| Resource::Extraction { snapshotter: SNAPSHOTTER.into(), key: self.key(i) }));
            inventory.leases.push(Lease { id: format!("lease {}", self.number), created_at: self.begin, resources });
        }
        Survey { taken_at: now, namespaces: [(NAMESPACE.to_owned(), inventory)].into() }
    }

    fn answer(&self, subject: &Subject, world: &World) -> Answer {
        let facts = |at: f64, size: u64, has_children: bool| ContentFacts {
            created_at: self.at(at),
            labelled_at: self.at(at),
            size,
            has_children,
            sources: Vec::new(),
        };
        match subject {
            Subject::Blob(digest) => Answer::Blob(self.documents.get(digest).cloned()),
            Subject::Content(digest) => Answer::Content(match self.blobs.iter().position(|b| b == digest) {
                Some(i) => world.layers[i].committed_at.map(|at| facts(at, whole(world.layers[i].size), false)),
                None => self.documents.get(digest).map(|d| facts(0.3, d.len() as u64, *digest == self.manifest)),
            }),
            Subject::Snapshot { key, .. } => Answer::Snapshot(
                self.chains
                    .iter()
                    .position(|c| c.as_str() == key)
                    .and_then(|i| world.layers[i].unpacked_at)
                    .map(|at| SnapshotFacts { created_at: self.at(at), image: None, remote: false }),
            ),
            Subject::ImagesOf(digest) if *digest == self.manifest && world.is_over() => Answer::Images(vec![self.record(world)]),
            Subject::ImageNamed(_) if world.is_over() => Answer::Images(vec![self.record(world)]),
            Subject::ImagesOf(_) | Subject::ImageNamed(_) => Answer::Images(Vec::new()),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "sizes are far below 2^53")]
const fn whole(bytes: f64) -> u64 {
    bytes as u64
}
