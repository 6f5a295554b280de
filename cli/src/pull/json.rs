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
