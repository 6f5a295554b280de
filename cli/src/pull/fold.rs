//! Folds what the Engine says, message by message, into the present state of one pull. Pure: no clock, no I/O. It believes the Engine about
//! what happens and the registry (`manifest`) about sizes, and gives the registry up as soon as the two speak of different images.
//!
//! Totals are right at every moment, because a layer counts only once it is decided that it is fetched, and never ceases to. Docker's own
//! image store decides when it names a layer; containerd's may find a named one here a moment later, and does not name what it need not
//! touch. So the plan is settled when nothing new was named for [`SETTLE`]; until then, and without a manifest, the total is a lower bound.

use std::time::Duration;

use lifecycle::{
    image::{Digest, ImageRef},
    pull::{Ending, ErrorClass, Failure, Host, Layer, MAX_WAITS, Outcome, Phase, Pull, PullId, TimingSource, Wait, Waited},
    time::Timestamp,
    track::{MAX_LAYERS, Outlook},
};

use super::{
    manifest::{Blob, Manifest},
    picture::Picture,
    track::{Fate, Track, cached},
};
use crate::docker::{Message, Short, Step};

/// Nothing new was named for so long: everything has been. containerd's image store looks every 100 ms.
const SETTLE: Duration = Duration::from_millis(400);
/// Layers that Docker fetches at a time unless it was told otherwise.
const SLOTS: usize = 3;
/// Shorter waits are not worth remembering.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);

/// What a pull begins with.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    /// The image as it was asked for.
    pub(crate) asked: String,
    /// The same, parsed.
    pub(crate) image: ImageRef,
    /// Identity.
    pub(crate) id: PullId,
    /// Whose images these are: `moby`, `podman`.
    pub(crate) namespace: &'static str,
    /// When it was asked for.
    pub(crate) at: Timestamp,
}

/// Where the Engine keeps images, as far as its messages differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Store {
    /// Not known yet.
    #[default]
    Unknown,
    /// Docker's own.
    Classic,
    /// containerd's.
    Containerd,
    /// Podman's, which says no bytes.
    Podman,
}

/// One pull while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    beginning: Beginning,
    /// Whether the Engine was asked.
    begun: bool,
    store: Store,
    driver: String,
    /// The registry's word, until it is found to speak of another image.
    manifest: Option<Manifest>,
    tracks: Vec<Track>,
    /// Layers beyond those that are followed.
    unfollowed: bool,
    named_at: Option<Timestamp>,
    resolved_at: Option<Timestamp>,
    digest: Option<Digest>,
    /// The last word of the Engine.
    done: Option<Done>,
    ending: Option<Ending>,
    outlook: Outlook,
    wait: Option<Wait>,
    waits: Vec<Waited>,
    sequence: u64,
}

/// What the Engine said at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// The image is there.
    Ready,
    /// Why it is not.
    Failed(String),
}

impl Fold {
    /// A pull of which nothing was heard yet.
    pub(crate) fn new(beginning: Beginning) -> Self {
        Self {
            digest: beginning.image.digest().cloned(),
            beginning,
            begun: false,
            store: Store::Unknown,
            driver: String::new(),
            manifest: None,
            tracks: Vec::new(),
            unfollowed: false,
            named_at: None,
            resolved_at: None,
            done: None,
            ending: None,
            outlook: Outlook::default(),
            wait: None,
            waits: Vec::new(),
            sequence: 0,
        }
    }

    /// Its turn has come: the Engine is asked.
    pub(crate) const fn begin(&mut self) {
        self.begun = true;
    }

    /// Which image store it is, and what unpacks its layers. What was counted as fetched stays so.
    pub(crate) fn set_store(&mut self, store: Store, driver: &str) {
        self.store = store;
        driver.clone_into(&mut self.driver);
        if store == Store::Classic {
            self.tracks.iter_mut().for_each(Track::decide);
        }
    }

    /// The registry's word about the image.
    pub(crate) fn learn(&mut self, manifest: Manifest) {
        let pinned = self.digest.as_ref().is_some_and(|digest| *digest != manifest.top);
        // Podman names the configuration as if it were a layer.
        let no_layer = |track: &Track| is_config(&manifest, track.short) && track.size() == 0;
        let foreign = |track: &Track| find(&manifest, track.short).is_none() && !no_layer(track);
        if self.manifest.is_some() || pinned || manifest.layers.len() > MAX_LAYERS || self.tracks.iter().any(foreign) {
            return;
        }
        self.tracks.retain(|track| !is_config(&manifest, track.short));
        for track in &mut self.tracks {
            if let Some(blob) = find(&manifest, track.short) {
                track.learn(blob);
            }
        }
        self.manifest = Some(manifest);
    }

    /// The Engine's next word.
    pub(crate) fn hear(&mut self, message: &Message, now: Timestamp) {
        if self.ending.is_some() {
            return;
        }
        match message {
            Message::Layer(short, step) => self.hear_of(*short, *step, now),
            Message::Digest(digest) => {
                if self.manifest.as_ref().is_some_and(|manifest| manifest.top != *digest) {
                    self.manifest = None;
                }
                self.digest = Some(digest.clone());
            }
            Message::Done { .. } => self.done = Some(Done::Ready),
            Message::Failed(text) => self.done = Some(Done::Failed(text.clone())),
            Message::Other => {}
        }
    }

    /// The Engine's last word, if it has spoken it.
    pub(crate) const fn done(&self) -> Option<&Done> {
        self.done.as_ref()
    }

    /// How it ended, if it has.
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.ending.as_ref().map(|ending| &ending.outcome)
    }

    /// The end. Whoever calls has the proof; the first end counts.
    pub(crate) fn end(&mut self, outcome: Outcome, now: Timestamp) {
        if self.ending.is_some() {
            return;
        }
        if outcome == Outcome::Ready {
            self.tracks.iter_mut().for_each(|track| track.finish(now));
        }
        self.ending = Some(Ending { outcome, at: now, source: TimingSource::Event });
        self.remember(None, now);
    }

    /// The end as a failure.
    pub(crate) fn fail(&mut self, class: ErrorClass, message: String, now: Timestamp) {
        self.end(Outcome::Failed(Failure { class, message }), now);
    }

    /// The whole present state.
    pub(crate) fn picture(&mut self, now: Timestamp) -> Picture {
        let now = self.ending.as_ref().map_or(now, |ending| ending.at);
        let settled = self.is_settled(now);
        if settled {
            self.tracks.iter_mut().for_each(Track::decide);
        }
        let shown = self.shown(settled);
        let layers: Vec<Layer> = shown.iter().map(|(layer, _)| layer.clone()).collect();
        let phase = self.phase(&layers);
        let running = self.ending.is_none();
        if running {
            self.outlook.note(&layers, now);
            self.learn_unpacking();
            let wait = self.waits_for(phase, now);
            self.remember(wait, now);
        }
        let total_known = self.total_known(settled);
        let eta = if running && self.wait.is_none() { self.outlook.expect(&layers, phase, total_known, now) } else { None };
        self.sequence += 1;
        let track = |of: &Option<usize>| of.and_then(|at| self.tracks.get(at));
        let unpacked = |(_, at): &(Layer, Option<usize>)| track(at).map_or(super::picture::Unpacked::Unsaid, |t| t.unpacked(now));
        let doing = |(_, at): &(Layer, Option<usize>)| track(at).map_or(super::picture::Doing::Usual, Track::doing);
        Picture {
            asked: self.beginning.asked.clone(),
            unpacked: shown.iter().map(unpacked).collect(),
            doing: shown.iter().map(doing).collect(),
            pull: Pull {
                id: self.beginning.id,
                sequence: self.sequence,
                namespace: self.beginning.namespace.to_owned(),
                image: Some(self.beginning.image.clone()),
                digest: self.digest.clone().or_else(|| self.manifest.as_ref().map(|manifest| manifest.top.clone())),
                snapshotter: self.driver.clone(),
                phase,
                wait: self.wait.clone(),
                waits: self.waits.clone(),
                ending: self.ending.clone(),
                started_at: self.beginning.at,
                resolved_at: self.resolved_at,
                observed_at: now,
                total_known,
                bytes_per_sec: self.outlook.bytes_per_sec().filter(|_| running && phase == Phase::Downloading),
                eta,
                host: Host::default(),
                layers,
            },
        }
    }

    fn hear_of(&mut self, short: Short, step: Step, now: Timestamp) {
        self.resolved_at.get_or_insert(now);
        let known = self.tracks.iter().any(|track| track.short == short);
        if !known && !self.follow(short, step, now) {
            return;
        }
        // Podman names the image's configuration as if it were a layer, and once more when the image is there.
        if self.store == Store::Podman && step == Step::Downloaded {
            self.tracks.retain(|track| track.short != short || track.size() > 0 || track.fetched_when().is_none());
        }
        // Podman says so of a layer that broke as well; only the end of all of them is proof.
        let step = if self.store == Store::Podman && step == Step::Downloaded { Step::Checking } else { step };
        let opened = self.opened(now);
        let Some(track) = self.tracks.iter_mut().find(|track| track.short == short) else { return };
        if self.store != Store::Classic && matches!(step, Step::Downloading { .. } | Step::Checking | Step::Downloaded) {
            track.open(opened);
        }
        track.hear(step, now);
        if self.store == Store::Classic {
            track.decide();
        }
    }

    /// When a download was opened that is told of only now: at once, or when one before it was done.
    fn opened(&self, now: Timestamp) -> Timestamp {
        let freed = self.tracks.iter().filter_map(Track::fetched_when).filter(|at| *at < now).max();
        freed.filter(|_| self.tracks.len() > SLOTS).unwrap_or(self.beginning.at)
    }

    /// Begins to follow a layer that was not named before; `false` if it is none, or one too many.
    fn follow(&mut self, short: Short, step: Step, now: Timestamp) -> bool {
        // Podman's last word names the image's configuration as if it were a layer.
        let is_image = self.store == Store::Podman && step == Step::Downloaded;
        if is_image || self.manifest.as_ref().is_some_and(|manifest| is_config(manifest, short)) {
            return false;
        }
        if self.tracks.len() >= MAX_LAYERS {
            self.unfollowed = true;
            return false;
        }
        self.manifest.take_if(|manifest| find(manifest, short).is_none());
        let blob = self.manifest.as_ref().and_then(|manifest| find(manifest, short));
        let track = Track::new(short, blob, now);
        let begun = track.is_some();
        self.tracks.extend(track);
        self.named_at = Some(now);
        begun
    }

    /// Whether every layer that is fetched has been named.
    fn is_settled(&self, now: Timestamp) -> bool {
        let all = |manifest: &Manifest| manifest.layers.iter().all(|blob| self.position(blob).is_some());
        let all_decided = self.tracks.iter().all(|track| track.fate != Fate::Undecided);
        self.done == Some(Done::Ready)
            || self.named_at.is_some_and(|at| now.since(at) >= SETTLE)
            || (all_decided && self.manifest.as_ref().is_some_and(all))
    }

    fn position(&self, blob: &Blob) -> Option<usize> {
        let short = Short::of(&blob.digest)?;
        self.tracks.iter().position(|track| track.short == short)
    }

    /// The layers that are decided, base first where that is known, each with the place of its track.
    fn shown(&self, settled: bool) -> Vec<(Layer, Option<usize>)> {
        let ended_badly = self.ending.as_ref().is_some_and(|ending| ending.outcome != Outcome::Ready);
        let view = |at: usize| {
            let track = self.tracks.get(at).filter(|track| track.fate != Fate::Undecided)?;
            Some((track.view(ended_badly), Some(at)))
        };
        let Some(manifest) = &self.manifest else { return (0..self.tracks.len()).filter_map(view).collect() };
        let blobs = manifest.layers.iter().enumerate();
        // A layer may be listed twice, and is fetched once.
        let once = blobs.filter(|(at, blob)| !manifest.layers[..*at].iter().any(|before| before.digest == blob.digest));
        let shown = once.filter_map(|(_, blob)| match self.position(blob) {
            Some(at) => view(at),
            None => settled.then(|| (cached(blob), None)),
        });
        shown.collect()
    }

    fn total_known(&self, settled: bool) -> bool {
        let exact = self.tracks.iter().all(Track::is_exact);
        let nothing_cached = !self.tracks.is_empty() && self.tracks.iter().all(|track| track.fate == Fate::Fetch);
        // Without a manifest nobody says how big a layer is that was here.
        settled && exact && !self.unfollowed && (self.manifest.is_some() || (nothing_cached && self.store == Store::Classic))
    }

    fn phase(&self, layers: &[Layer]) -> Phase {
        let fetched_any = layers.iter().any(|layer| !layer.cached);
        let missing = layers.iter().any(|layer| !layer.is_complete());
        let packed = layers.iter().any(|layer| !layer.is_done());
        match (missing, packed || fetched_any) {
            _ if !self.begun => Phase::Queued,
            _ if layers.is_empty() => Phase::Resolving,
            (true, _) => Phase::Downloading,
            (false, true) => Phase::Unpacking,
            (false, false) => Phase::Resolving,
        }
    }

    fn learn_unpacking(&mut self) {
        for track in &mut self.tracks {
            if let Some(took) = track.take_unpacking() {
                self.outlook.learn_unpacking(track.size(), took);
            }
        }
    }

    /// Why no byte moves, if none does.
    fn waits_for(&self, phase: Phase, now: Timestamp) -> Option<Wait> {
        if phase != Phase::Downloading {
            return None;
        }
        let mut open = self.tracks.iter().filter(|track| track.is_open() || track.retrying_since().is_some()).peekable();
        let anything_open = open.peek().is_some();
        let since: Option<Vec<Timestamp>> = open.map(Track::retrying_since).collect();
        if let Some(since) = since.and_then(|all| all.into_iter().min()) {
            return Some(Wait::Retrying { since });
        }
        let from = self.resolved_at.unwrap_or(self.beginning.at);
        // Where no bytes are told nothing can be said about their absence.
        let told = anything_open || self.store != Store::Podman;
        self.outlook.stalled_since(from, now).filter(|_| told).map(|since| Wait::Stalled { since })
    }

    /// Remembers a wait that is over.
    fn remember(&mut self, wait: Option<Wait>, now: Timestamp) {
        if self.wait.is_some() {
            self.outlook.skip(now);
        }
        let was = std::mem::replace(&mut self.wait, wait);
        let Some(was) = was.filter(|was| self.wait.as_ref() != Some(was)) else { return };
        if now.since(was.since()) >= SHORTEST_WAIT && self.waits.len() < MAX_WAITS {
            self.waits.push(Waited { wait: was, until: now });
        }
    }
}

fn find(manifest: &Manifest, short: Short) -> Option<&Blob> {
    manifest.layers.iter().find(|blob| Short::of(&blob.digest) == Some(short))
}

fn is_config(manifest: &Manifest, short: Short) -> bool {
    Short::of(&manifest.config) == Some(short) && find(manifest, short).is_none()
}

#[cfg(test)]
mod tests;
