//! Pulls as JSON Lines: one `PullEvent` of the contract a line (`docs/schemas/pull-event-v1.json`), the same words as the collector's event
//! stream, made by the same board. Every change of a state is told at once, bytes at most once in [`EVERY`].

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use lifecycle::{
    board::{
        Board, ChangeKind, Input, Limits,
        status::{EventType, PullEvent, PullStatus},
    },
    image::Digest,
    pull::{LayerState, Node, Phase, Pull, PullId, Report, Wait},
    time::Timestamp,
};

use super::picture::{Picture, Surface};

/// Bytes alone are told this often.
const EVERY: Duration = Duration::from_secs(1);

/// Writes events.
pub(crate) struct Json<W> {
    out: W,
    node: Arc<Node>,
    board: Board,
    told: BTreeMap<PullId, Told>,
}

/// What was told of a pull, as far as a change of it is told at once.
struct Told {
    at: Timestamp,
    shape: Shape,
    ended: bool,
}

#[derive(Clone, PartialEq, Eq)]
struct Shape {
    phase: Phase,
    wait: Option<Wait>,
    total_known: bool,
    layers: Vec<(Digest, LayerState)>,
}

impl<W: Write> Json<W> {
    /// Events into `out`, of pulls on a node.
    pub(crate) fn new(out: W, node: Arc<Node>) -> Self {
        Self { out, node, board: Board::new(Limits::default()), told: BTreeMap::new() }
    }

    fn take(&mut self, pull: &Pull) -> io::Result<()> {
        let now = pull.observed_at;
        let (shape, ended) = (Shape::of(pull), pull.ending.is_some());
        let before = self.told.get(&pull.id);
        let is_news = before.is_none_or(|told| told.shape != shape || now.since(told.at) >= EVERY || ended);
        if !is_news || before.is_some_and(|told| told.ended) {
            return Ok(());
        }
        let had = before.map_or_else(Vec::new, |told| told.shape.layers.clone());
        self.told.insert(pull.id, Told { at: now, shape, ended });
        self.board.observe(Input::Pull(Box::new(Report { node: self.node.clone(), pull: pull.clone() })), now);
        while let Some(change) = self.board.poll() {
            let Some(status) = self.board.status(change.id) else { continue };
            let kind = match change.kind {
                ChangeKind::Started => EventType::PullStarted,
                ChangeKind::Progress => EventType::PullProgress,
                ChangeKind::Completed => EventType::PullCompleted,
                ChangeKind::Failed => EventType::PullFailed,
                // It was told when it ended.
                ChangeKind::Removed => continue,
            };
            if kind != EventType::PullStarted {
                self.layers(&status, &had, now)?;
            }
            self.write(&PullEvent::of_pull(kind, now, &status.node_name, &status))?;
        }
        Ok(())
    }

    /// Of layers it is told when they begin and when they are whole; the pull's own events have them all.
    fn layers(&mut self, status: &PullStatus, had: &[(Digest, LayerState)], now: Timestamp) -> io::Result<()> {
        let without = PullStatus { layers: None, ..status.clone() };
        for layer in status.layers.iter().flatten() {
            let was = had.iter().find(|(digest, _)| *digest == layer.digest).map_or((false, false), |(_, state)| begun(*state));
            let is = begun(layer.state);
            let started = (is.0 && !was.0).then_some(EventType::LayerStarted);
            let completed = (is.1 && !was.1).then_some(EventType::LayerCompleted);
            for kind in started.into_iter().chain(completed) {
                self.write(&PullEvent::of_layer(kind, now, layer, &status.node_name, &without))?;
            }
        }
        Ok(())
    }

    fn write(&mut self, event: &PullEvent<'_, &PullStatus>) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, event)?;
        self.out.write_all(b"\n")
    }
}

impl<W: Write> Surface for Json<W> {
    fn show(&mut self, pictures: &[Picture]) -> io::Result<()> {
        for picture in pictures {
            self.take(&picture.pull)?;
        }
        self.out.flush()
    }

    fn end(&mut self, pictures: &[Picture]) -> io::Result<()> {
        self.show(pictures)
    }
}

impl Shape {
    fn of(pull: &Pull) -> Self {
        Self {
            phase: pull.phase,
            wait: pull.wait.clone(),
            total_known: pull.total_known,
            layers: pull.layers.iter().map(|layer| (layer.digest.clone(), layer.state)).collect(),
        }
    }
}

/// Whether this pull began to fetch a layer, and whether it has fetched it whole.
const fn begun(state: LayerState) -> (bool, bool) {
    match state {
        LayerState::Queued | LayerState::Cached | LayerState::Failed => (false, false),
        LayerState::Downloading => (true, false),
        LayerState::Downloaded | LayerState::Unpacking | LayerState::Ready => (true, true),
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::{
        image::ImageRef,
        pull::{ErrorClass, Outcome},
    };
    use serde_json::Value;

    use super::*;
    use crate::{
        docker::{Message, Short, Step},
        pull::fold::{Beginning, Fold, Store},
    };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    fn node() -> Arc<Node> {
        Arc::new(Node {
            name: "edge-1".parse().unwrap(),
            uid: "uid".into(),
            cluster: String::new(),
            runtime_name: "docker".into(),
            runtime_version: "28.5.2".into(),
        })
    }

    /// The events of one pull of two layers that ends so.
    fn events(end: impl FnOnce(&mut Fold)) -> Vec<Value> {
        let image: ImageRef = "127.0.0.1:5055/team/app:v1".parse().unwrap();
        let id = PullId::derive("uid", "docker", "1", at(0));
        let mut fold = Fold::new(Beginning { asked: image.to_string(), image, id, namespace: "moby", at: at(0) });
        let mut out = Vec::new();
        let mut json = Json::new(&mut out, node());
        fold.begin();
        fold.set_store(Store::Classic, "overlay2");
        json.show(&[fold.picture(at(0))]).unwrap();
        let layers = ["745b5871eef5", "680fc12ec1b1"].map(|digits| Short::new(digits).unwrap());
        layers.iter().for_each(|layer| fold.hear(&Message::Layer(*layer, Step::Named), at(10)));
        for ms in (100..3_000).step_by(100) {
            let step = Step::Downloading { current: ms, total: Some(3_000) };
            layers.iter().for_each(|layer| fold.hear(&Message::Layer(*layer, step), at(ms)));
            json.show(&[fold.picture(at(ms))]).unwrap();
        }
        fold.hear(&Message::Layer(layers[0], Step::Downloaded), at(3_000));
        json.show(&[fold.picture(at(3_000))]).unwrap();
        end(&mut fold);
        json.end(&[fold.picture(at(3_100))]).unwrap();
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn kinds(events: &[Value]) -> Vec<&str> {
        events.iter().filter_map(|event| event["type"].as_str()).collect()
    }

    #[test]
    fn every_line_is_an_event_of_the_contract() {
        let schema = include_str!("../../../docs/schemas/pull-event-v1.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let ready = events(|fold| fold.end(Outcome::Ready, at(3_100)));
        let failed = events(|fold| fold.fail(ErrorClass::NoSpace, "no space left on device".into(), at(3_100)));
        let canceled = events(|fold| fold.end(Outcome::Canceled, at(3_100)));
        for event in ready.iter().chain(&failed).chain(&canceled) {
            let errors: Vec<String> = validator.iter_errors(event).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{errors:?}: {event}");
        }
        assert_eq!((kinds(&ready).first(), kinds(&ready).last()), (Some(&"pull.started"), Some(&"pull.completed")));
        assert_eq!((kinds(&failed).last(), kinds(&canceled).last()), (Some(&"pull.failed"), Some(&"pull.failed")));
        assert_eq!(failed.last().unwrap()["pull"]["errorClass"], "no_space");
    }

    #[test]
    fn bytes_alone_are_told_once_a_second_and_layers_when_they_begin_and_are_whole() {
        let events = events(|fold| fold.end(Outcome::Ready, at(3_100)));
        let count = |kind: &str| kinds(&events).iter().filter(|one| **one == kind).count();
        assert_eq!((count("layer.started"), count("layer.completed")), (2, 2), "{:?}", kinds(&events));
        assert!((3..=7).contains(&count("pull.progress")), "{:?}", kinds(&events));
    }
}
