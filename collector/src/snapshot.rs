//! What readers see: an immutable picture of all pulls at one revision, shared by everyone and blocked by no one.
//!
//! Every change of the board gets the next revision; a reader remembers the revision it has seen and asks for what came after it, so no
//! reader needs a queue. The maps are persistent: making the next picture costs the changes, not the whole. Made by [`crate::keeper`].

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    ops::Bound,
    str::FromStr,
    sync::{Arc, OnceLock},
};

use imbl::{OrdMap, OrdSet};
use lifecycle::{
    board::{
        LayerChange, PodKey, PodStatus, PullView,
        status::{EventType, LayerStatus, NodeStatus, PullEvent, PullStatus},
    },
    pull::{LayerState, NodeName, PullId},
    time::Timestamp,
};
use serde_json::value::RawValue;

use crate::census::Census;

/// Removals that are remembered for readers who come back. Older ones make a cursor too old to resume from.
pub(crate) const MAX_TOMBSTONES: usize = 65_536;

/// Order of lists: newest first.
pub(crate) type Newest = (Reverse<Timestamp>, PullId);

/// All pulls and nodes at one revision.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Random for every start of the collector: revisions of another epoch mean nothing.
    pub(crate) epoch: u64,
    /// The revision of the last change.
    pub(crate) revision: u64,
    /// The revision of the last change that readers wait for: a pull appeared, ended or left.
    pub(crate) urgent: u64,
    /// The nodes, by name.
    pub(crate) nodes: Arc<Vec<NodeStatus>>,
    /// Of the pulls that have been running for long, the first.
    pub(crate) long_running: Arc<[PullId]>,
    /// Nodes of which no new pull is taken for now.
    pub(crate) crowded: Arc<BTreeSet<NodeName>>,
    /// All pulls, counted.
    pub(crate) census: Census,
    /// Pods that wait for images, or did lately.
    pods: OrdMap<PodKey, Arc<PodStatus>>,
    rows: OrdMap<PullId, Arc<Row>>,
    newest: OrdSet<Newest>,
    /// The same for each [kin](Row::kin), behind a mark that comes before them.
    akin: OrdSet<(u64, Option<Newest>)>,
    changed: OrdMap<u64, Step>,
    removals: OrdSet<u64>,
    /// Removals up to this revision are forgotten.
    pub(crate) forgotten: u64,
    /// How many are remembered.
    pub(crate) remembered: usize,
    /// Pulls that have appeared so far.
    appeared: u64,
}

/// One pull at the revision of its last change, with its JSON written once.
#[derive(Debug)]
pub(crate) struct Row {
    /// The revision of its last change.
    pub(crate) revision: u64,
    /// Its number, of this epoch only: the first pull that appeared is 0.
    pub(crate) number: u64,
    /// The state.
    pub(crate) view: PullView,
    /// What pulls of one repository on one node have in common; `None` while the image has no name.
    kin: Option<u64>,
    /// When the collector learned it.
    pub(crate) at: Timestamp,
    /// Revision at which the pull appeared.
    pub(crate) started: u64,
    /// Revision at which it ended; `None` while it runs.
    ended: Option<u64>,
    /// Revision at which more than its [numbers](lifecycle::board::PullView::is_same_shape) changed last.
    pub(crate) shaped: u64,
    /// The same of its layers, in their order.
    pub(crate) layers: Box<[LayerMarks]>,
    sentence: OnceLock<Box<str>>,
    status: OnceLock<Box<PullStatus>>,
    plain: OnceLock<Box<RawValue>>,
    full: OnceLock<Box<RawValue>>,
}

/// The revisions at which a layer changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LayerMarks {
    started: u64,
    completed: u64,
    /// Anything.
    pub(crate) changed: u64,
    /// More than bytes.
    pub(crate) shaped: u64,
}

/// One thing that changed.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A pull appeared here and has changed since.
    Started(PullId),
    /// A pull is now like this.
    Row(Arc<Row>),
    /// A pull left memory.
    Removed(PullId),
}

/// A place in the stream of changes, `<epoch>.<revision>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Which start of the collector the revision belongs to.
    pub(crate) epoch: u64,
    /// The last revision that was seen.
    pub(crate) revision: u64,
}

impl Snapshot {
    /// An empty picture. Revision 0 is before it: who has seen that has seen nothing.
    pub(crate) fn new(epoch: u64) -> Self {
        Self { epoch, revision: 1, remembered: MAX_TOMBSTONES, ..Self::default() }
    }

    /// One pull.
    pub(crate) fn row(&self, id: PullId) -> Option<&Arc<Row>> {
        self.rows.get(&id)
    }

    /// All pulls, newest first, from behind `after` on.
    pub(crate) fn newest(&self, after: Option<Newest>) -> impl Iterator<Item = &Arc<Row>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.newest.range((from, Bound::Unbounded)).filter_map(|(_, id)| self.rows.get(id))
    }

    /// The pulls of the same repository on the same node as this one, which is among them, newest first; hardly ever others too.
    pub(crate) fn akin(&self, row: &Row) -> impl Iterator<Item = &Arc<Row>> {
        let of_kin = row.kin.into_iter().flat_map(|kin| self.akin.range((kin, None)..).take_while(move |(of, _)| *of == kin));
        of_kin.filter_map(|(_, place)| self.rows.get(&place.as_ref()?.1))
    }

    /// The pods that wait for images, or did lately, by namespace and name.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &Arc<PodStatus>> {
        self.pods.values()
    }

    /// One of these pods.
    pub(crate) fn pod(&self, key: &PodKey) -> Option<&Arc<PodStatus>> {
        self.pods.get(key)
    }

    /// Puts in how a pod looks now; `None` takes it out.
    pub(crate) fn put_pod(&mut self, key: PodKey, status: Option<PodStatus>) {
        match status {
            Some(status) => _ = self.pods.insert(key, Arc::new(status)),
            None => _ = self.pods.remove(&key),
        }
    }

    /// What changed after a revision, in the order of revisions: of every pull its beginning and its last change.
    pub(crate) fn after(&self, revision: u64) -> impl Iterator<Item = (u64, &Step)> {
        self.changed.range((Bound::Excluded(revision), Bound::Unbounded)).map(|(revision, step)| (*revision, step))
    }

    /// Whether [`Snapshot::after`] this cursor is everything that was missed.
    pub(crate) const fn can_resume(&self, cursor: Cursor) -> bool {
        cursor.epoch == self.epoch && cursor.revision >= self.forgotten && cursor.revision <= self.revision
    }

    /// The place of this picture in the stream.
    #[cfg(test)]
    pub(crate) const fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, revision: self.revision }
    }

    /// Puts in the state of a pull that changed at `at`.
    pub(crate) fn put(&mut self, view: PullView, at: Timestamp) {
        self.revision += 1;
        let before = self.rows.get(&view.id()).cloned();
        let started = before.as_ref().map_or(self.revision, |b| b.started);
        let number = before.as_ref().map_or(self.appeared, |b| b.number);
        self.appeared += u64::from(before.is_none());
        if before.is_none() && !view.is_running() {
            // Its beginning and its end are two events, so they have two places.
            self.changed.insert(started, Step::Started(view.id()));
            self.revision += 1;
        }
        let row = Arc::new(Row::new(view, at, (number, started), self.revision, before.as_deref()));
        if let Some(before) = &before {
            self.changed.remove(&before.revision);
            if before.revision == started {
                self.changed.insert(started, Step::Started(row.view.id()));
            }
        }
        if before.as_ref().is_none_or(|before| (before.place(), before.kin) != (row.place(), row.kin)) {
            before.iter().for_each(|before| self.unlist(before));
            self.newest.insert(row.place());
            row.kin.into_iter().for_each(|kin| _ = self.akin.insert((kin, Some(row.place()))));
        }
        if row.is_urgent() {
            self.urgent = self.revision;
        }
        before.iter().for_each(|before| self.census.remove(&before.view));
        self.census.add(&row.view);
        self.changed.insert(row.revision, Step::Row(row.clone()));
        self.rows.insert(row.view.id(), row);
    }

    /// Takes a pull out and remembers that it was there.
    pub(crate) fn remove(&mut self, id: PullId) {
        let Some(row) = self.rows.remove(&id) else { return };
        self.revision += 1;
        self.urgent = self.revision;
        self.census.remove(&row.view);
        self.changed.remove(&row.revision);
        self.changed.remove(&row.started);
        self.unlist(&row);
        self.changed.insert(self.revision, Step::Removed(id));
        self.removals.insert(self.revision);
        if self.removals.len() > self.remembered
            && let Some(oldest) = self.removals.remove_min()
        {
            self.changed.remove(&oldest);
            self.forgotten = oldest;
        }
    }

    fn unlist(&mut self, row: &Row) {
        self.newest.remove(&row.place());
        row.kin.into_iter().for_each(|kin| _ = self.akin.remove(&(kin, Some(row.place()))));
    }
}

impl Row {
    fn new(view: PullView, at: Timestamp, (number, started): (u64, u64), revision: u64, before: Option<&Self>) -> Self {
        let running = view.is_running();
        let same_turn = before.filter(|b| b.view.phase() == view.phase() && b.view.outcome() == view.outcome());
        let same_shape = same_turn.filter(|b| b.view.is_same_shape(&view));
        let ended_before = same_turn.and_then(|b| b.ended);
        Self {
            revision,
            number,
            at,
            started,
            ended: (!running).then(|| ended_before.unwrap_or(revision)),
            shaped: same_shape.map_or(revision, |b| b.shaped),
            layers: mark_layers(&view, revision, before),
            kin: same_shape.map_or_else(|| kin_of(&view), |before| before.kin),
            view,
            sentence: OnceLock::new(),
            status: OnceLock::new(),
            plain: OnceLock::new(),
            full: OnceLock::new(),
        }
    }

    /// Whether the pull ended after a revision.
    pub(crate) fn ended_after(&self, revision: u64) -> bool {
        self.ended.is_some_and(|ended| ended > revision)
    }

    /// Whether something that readers wait for happened with its last change: it appeared or ended.
    fn is_urgent(&self) -> bool {
        self.started == self.revision || self.ended == Some(self.revision)
    }

    /// Everything that is told of the pull, with layers; worded once, at the first call.
    pub(crate) fn status(&self) -> &PullStatus {
        self.status.get_or_init(|| Box::new(self.view.status()))
    }

    /// The one sentence; worded once, at the first call.
    pub(crate) fn sentence(&self) -> &str {
        self.sentence.get_or_init(|| self.view.sentence().into())
    }

    /// The pull as JSON, with or without its layers; written once, at the first call.
    ///
    /// # Errors
    /// Never for the types of the contract; the error is `serde_json`'s.
    pub(crate) fn json(&self, layers: bool) -> Result<&RawValue, serde_json::Error> {
        let cell = if layers { &self.full } else { &self.plain };
        if let Some(json) = cell.get() {
            return Ok(json);
        }
        let json = match layers {
            true => serde_json::value::to_raw_value(self.status())?,
            false => serde_json::value::to_raw_value(&PullStatus { layers: None, ..self.status().clone() })?,
        };
        Ok(cell.get_or_init(|| json))
    }

    /// What a reader that has seen everything up to `revision` must be told of its last change, in order; the last one says how things are
    /// now. That it appeared has a place of its own once it has changed, [`Step::Started`].
    pub(crate) fn events(&self, revision: u64, layers: bool) -> Vec<(EventType, Option<&LayerStatus>)> {
        let started = self.started == self.revision;
        let mut events = Vec::new();
        if started {
            events.push((EventType::PullStarted, None));
        }
        if layers {
            events.extend(self.layer_events(revision));
        }
        match self.view.outcome() {
            Some("ready") if self.ended_after(revision) => events.push((EventType::PullCompleted, None)),
            Some(_) if self.ended_after(revision) => events.push((EventType::PullFailed, None)),
            Some(_) | None if !started => events.push((EventType::PullProgress, None)),
            Some(_) | None => {}
        }
        events
    }

    /// Writes the JSON of one event about this pull. The event of a layer has the pull without layers, so that a change of many is not told
    /// by the square of their number; the event of the pull that comes with it may have them all.
    ///
    /// # Errors
    /// Never for the types of the contract; the error is `serde_json`'s.
    pub(crate) fn write_event(
        &self,
        text: &mut Vec<u8>,
        kind: EventType,
        layer: Option<&LayerStatus>,
        layers: bool,
    ) -> Result<(), serde_json::Error> {
        let pull = self.json(layers && layer.is_none())?;
        let node = self.view.node().as_str();
        let event = match layer {
            Some(layer) => PullEvent::of_layer(kind, self.at, layer, node, pull),
            None => PullEvent::of_pull(kind, self.at, node, pull),
        };
        serde_json::to_writer(text, &event)
    }

    /// Its place in lists.
    pub(crate) fn place(&self) -> Newest {
        (Reverse(self.view.started_at()), self.view.id())
    }

    fn layer_events(&self, revision: u64) -> impl Iterator<Item = (EventType, Option<&LayerStatus>)> {
        let layers = self.status().layers.iter().flatten().zip(&self.layers);
        layers.flat_map(move |(layer, marks)| {
            let started = (marks.started > revision).then_some(EventType::LayerStarted);
            let completed = (marks.completed > revision).then_some(EventType::LayerCompleted);
            let changed = marks.changed > revision && started.is_none() && completed.is_none();
            let progress = changed.then_some(EventType::LayerProgress);
            [started, progress, completed].into_iter().flatten().map(move |kind| (kind, Some(layer)))
        })
    }
}

fn kin_of(view: &PullView) -> Option<u64> {
    let image = view.image()?;
    let mut hasher = DefaultHasher::new();
    (view.node().as_str(), image.registry_host(), image.repository()).hash(&mut hasher);
    Some(hasher.finish())
}

fn mark_layers(view: &PullView, revision: u64, before: Option<&Row>) -> Box<[LayerMarks]> {
    let mark = |state: LayerState, known: Option<(LayerMarks, LayerChange)>| {
        let (marks, change) = known.unwrap_or((LayerMarks::default(), LayerChange::Shape));
        let (begun, complete) = progress(state);
        LayerMarks {
            started: if begun && marks.started == 0 { revision } else { marks.started },
            completed: if complete && marks.completed == 0 { revision } else { marks.completed },
            changed: if change == LayerChange::None { marks.changed } else { revision },
            shaped: if change == LayerChange::Shape { revision } else { marks.shaped },
        }
    };
    let states = view.layer_states();
    match before {
        None => states.map(|state| mark(state, None)).collect(),
        Some(before) => {
            let changes = view.layer_changes(&before.view);
            let known = changes.map(|change| change.map(|(place, change)| (before.layers[place], change)));
            states.zip(known).map(|(state, known)| mark(state, known)).collect()
        }
    }
}

/// Whether this pull began to fetch a layer, and whether it has fetched it whole. A cached layer is neither.
const fn progress(state: LayerState) -> (bool, bool) {
    match state {
        LayerState::Queued | LayerState::Cached | LayerState::Failed => (false, false),
        LayerState::Downloading => (true, false),
        LayerState::Downloaded | LayerState::Unpacking | LayerState::Ready => (true, true),
    }
}

impl FromStr for Cursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, revision) = text.split_once('.').ok_or(ParseCursorError)?;
        let digits =
            epoch.len() == 16 && epoch.bytes().all(|b| b.is_ascii_hexdigit()) && revision.bytes().all(|b| b.is_ascii_digit());
        let epoch = u64::from_str_radix(epoch, 16).ok().filter(|_| digits).ok_or(ParseCursorError)?;
        Ok(Self { epoch, revision: revision.parse().map_err(|_| ParseCursorError)? })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.epoch, self.revision)
    }
}

/// A text that is no [`Cursor`]; its reader gets a snapshot instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form <epoch>.<revision>")]
pub(crate) struct ParseCursorError;
