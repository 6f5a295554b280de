//! What must hold: at every word of the agent, at every change of the board, and at the end. Each complaint says what was broken.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lifecycle::{
    board::{Board, Change, ChangeKind},
    image::Digest,
    pull::{Ending, Eta, Interval, Outcome, Pull, PullId, Wait},
};

use super::{
    agent::Said,
    containerd::{self, Containerd, Fate, NAMESPACE, at},
};

/// Longest time between two looks while something happens: pace and delay. And the shortest, in which much may happen too.
const BLINK: [Duration; 2] = [Duration::from_millis(2_500), Duration::from_millis(50)];

/// After a longer silence an estimate may start anew.
const SAME_BREATH: Duration = Duration::from_secs(5);

/// What was seen so far, to compare with.
pub(super) struct Truth {
    /// Whether the agent looks through a haze: see [`History::is_hazy`](super::history::History::is_hazy).
    hazy: bool,
    uid: &'static str,
    sequences: BTreeMap<PullId, u64>,
    /// The last word about each pull, and in which life of the agent.
    words: BTreeMap<PullId, (usize, Pull)>,
    fetched: BTreeMap<(PullId, Digest), u64>,
    totals: BTreeMap<PullId, u64>,
    endings: BTreeMap<PullId, Ending>,
    /// In which life the agent saw a lease last, with something in it.
    seen: BTreeMap<PullId, usize>,
}

macro_rules! must {
    ($holds:expr, $($complaint:tt)+) => {
        if !$holds {
            return Err(format!($($complaint)+));
        }
    };
}

impl Truth {
    /// For a node of this uid.
    pub(super) const fn new(uid: &'static str, hazy: bool) -> Self {
        Self {
            hazy,
            uid,
            sequences: BTreeMap::new(),
            words: BTreeMap::new(),
            fetched: BTreeMap::new(),
            totals: BTreeMap::new(),
            endings: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    /// The id that a pull of the model must have, if it has begun.
    fn id(&self, pull: &containerd::Pull) -> Option<PullId> {
        pull.began.map(|began| PullId::derive(self.uid, NAMESPACE, &pull.lease, began))
    }

    /// Sequences grow, also from one life of the agent to the next.
    pub(super) fn told(&mut self, said: Said, world: &Containerd, life: usize) -> Result<(), String> {
        must!(!said.restless, "the agent would spin");
        for pull in said.pulls {
            let last = self.sequences.insert(pull.id, pull.sequence);
            must!(last.is_none_or(|last| last < pull.sequence), "{}: sequence {} after {last:?}", pull.id, pull.sequence);
            if let Some((of, before)) = self.words.insert(pull.id, (life, pull.clone())) {
                must!(of != life || is_calm(&before, &pull), "{}: {:?} jumped to {:?}", pull.id, before.eta, pull.eta);
            }
        }
        for (lease, created_at) in said.listed {
            // Leases of a process that is no more are leftovers.
            if created_at >= world.born {
                self.seen.insert(PullId::derive(self.uid, NAMESPACE, &lease, created_at), life);
            }
        }
        Ok(())
    }

    pub(super) fn at_a_change(&mut self, world: &Containerd, board: &Board, change: Change) -> Result<(), String> {
        must!(change.kind != ChangeKind::Removed, "{} was forgotten", change.id);
        let (Some(pull), Some(status)) = (board.pull(change.id), board.status(change.id)) else {
            return Err(format!("{} changed and is not there", change.id));
        };
        let id = pull.id;
        for layer in &pull.layers {
            let before = self.fetched.insert((id, layer.digest.clone()), layer.fetched).unwrap_or(0);
            must!(layer.fetched >= before, "{id}: bytes of a layer fell from {before} to {}: {layer:?}", layer.fetched);
            must!(layer.fetched <= layer.size, "{id}: more bytes than there are: {layer:?}");
            must!(in_order(layer.download) && in_order(layer.unpack), "{id}: ends before its begin: {layer:?}");
        }
        let total = status.downloaded_bytes;
        let before = self.totals.insert(id, total).unwrap_or(0);
        must!(total >= before, "{id}: bytes fell from {before} to {total}: {pull:?}");
        if status.total_known {
            let sum = status.total_bytes.map(|to_fetch| to_fetch + status.cached_bytes);
            must!(status.size_bytes == sum, "{id}: cached and to fetch do not make the size: {status:?}");
        }
        must!(pull.resolved_at.is_none_or(|at| at >= pull.started_at), "{id}: resolved before it began: {pull:?}");
        self.outcome(world, &pull, status.percent)
    }

    fn outcome(&mut self, world: &Containerd, pull: &Pull, percent: Option<f64>) -> Result<(), String> {
        let id = pull.id;
        if let Some(known) = self.endings.get(&id) {
            must!(pull.ending.as_ref() == Some(known), "{id}: {known:?} became {:?}", pull.ending);
        }
        let ready = pull.ending.as_ref().is_some_and(|e| e.outcome == Outcome::Ready);
        let of_model = world.pulls.iter().find(|p| self.id(p) == Some(id));
        if ready {
            let truly = match of_model {
                // Of a lease that never showed anything only the record is known.
                Some(model) if self.seen.contains_key(&id) => model.fate == Fate::Ready,
                Some(_) | None => pull.image.as_ref().is_some_and(|name| {
                    world.store.records.values().any(|written| {
                        world.images.iter().any(|i| *i.target() == written.target && i.name.repository() == name.repository())
                    })
                }),
            };
            must!(truly || self.is_excused(world, of_model), "{id}: ready, and it is not: {pull:?}");
        }
        if percent == Some(100.0) {
            must!(ready || pull.ending.is_none(), "{id}: all of it, and it ended badly: {pull:?}");
            let here = |digest: &Digest| world.store.commits.contains_key(digest) || world.store.content.contains_key(digest);
            let complete = pull.layers.iter().filter(|l| !l.cached).all(|l| here(&l.digest));
            must!(complete, "{id}: all of it, and bytes are missing: {pull:?}");
        }
        if let Some(ending) = pull.ending.clone() {
            must!(ending.at >= pull.started_at, "{id}: ended before it began: {pull:?}");
            if ending.outcome != Outcome::Lost {
                self.endings.insert(id, ending);
            }
        }
        Ok(())
    }

    /// Nobody can tell which of two pulls of one image wrote its record, if one was over and the other wrote between two looks. Through a
    /// haze looks are far apart.
    fn is_excused(&self, world: &Containerd, model: Option<&containerd::Pull>) -> bool {
        let Some((model, began)) = model.and_then(|model| Some((model, model.began?))) else { return false };
        let [longest, shortest] = BLINK;
        let over = model.over_at.unwrap_or(at(world.now));
        let doubtful = if self.hazy { began..=over + longest } else { over.before(shortest)..=over + shortest };
        world.pulls.iter().any(|other| {
            let recorded = other.recorded_at.is_some_and(|recorded| doubtful.contains(&recorded));
            other.lease != model.lease && other.image == model.image && recorded
        })
    }

    /// After a long quiet the board shows what happened.
    pub(super) fn at_the_end(&self, world: &Containerd, board: &Board, lives: usize) -> Result<(), String> {
        let mut of_leases = BTreeSet::new();
        for model in &world.pulls {
            let Some(id) = self.id(model) else { continue };
            of_leases.insert(id);
            let shown = board.pull(id);
            let outcome = shown.as_ref().map(|pull| pull.ending.as_ref().map(|e| &e.outcome));
            let watched = self.seen.get(&id) == Some(&lives);
            let blind = !self.seen.contains_key(&id);
            let what = format!("{id} ({}, {:?}, began {:?})", model.lease, model.fate, model.began);
            match (outcome, model.fate) {
                (None, _) => must!(!watched, "{what}: was seen and is not there"),
                (Some(None), _) => return Err(format!("{what}: still runs: {shown:?}")),
                (Some(Some(_)), _) if blind => {}
                (Some(Some(Outcome::Ready)), Fate::Unready) if self.is_excused(world, Some(model)) => {}
                (Some(Some(Outcome::Ready)), Fate::Ready) => {
                    self.complete(world, model, shown.as_ref()).map_err(|e| format!("{what}: {e}"))?
                }
                (Some(Some(Outcome::Failed(_) | Outcome::Canceled)), Fate::Unready) => {}
                // The lease of a process that died outlives it; an agent that cannot see that takes it for one whose client is gone.
                (Some(Some(Outcome::Canceled)), Fate::Ready) if world.store.leases.contains_key(&model.lease) => {}
                (Some(Some(Outcome::Lost)), _) => must!(!watched, "{what}: was watched and is lost"),
                (Some(Some(other)), _) => return Err(format!("{what}: is shown as {other:?}: {shown:?}")),
            }
        }
        self.without_lease(world, board, &of_leases, lives)?;
        self.counts(world, board, lives)?;
        self.fetched_once(world, board, lives)?;
        must!(board.tally().running == 0, "something is counted as running");
        let active = board.nodes().first().and_then(|node| node.active_pulls);
        must!(active == Some(0), "the agent still counts {active:?} pulls");
        Ok(())
    }

    /// A pull that is ready shows the image as it is: name, layers, and every byte either cached or fetched. Where
    /// containerd did not answer it says that it does not know.
    fn complete(&self, world: &Containerd, model: &containerd::Pull, shown: Option<&Pull>) -> Result<(), String> {
        let Some(shown) = shown else { return Ok(()) };
        let image = &world.images[model.image];
        let expected: BTreeSet<_> = image.distinct().into_iter().map(|l| (l.digest.clone(), l.size)).collect();
        let layers: BTreeSet<_> = shown.layers.iter().map(|l| (l.digest.clone(), l.size)).collect();
        if self.hazy && !shown.total_known {
            return Ok(());
        }
        must!(shown.total_known && layers == expected, "other layers than the image's: {shown:?}");
        must!(shown.cached_bytes() + shown.fetched_bytes() == shown.size().bytes(), "bytes are missing: {shown:?}");
        must!(shown.layers.iter().all(lifecycle::pull::Layer::is_done), "layers are not done: {shown:?}");
        must!(shown.image.as_ref() == Some(&image.name), "is called {:?}: {shown:?}", shown.image);
        must!(shown.ending.as_ref().is_some_and(|e| e.at <= at(world.now)), "ends in the future: {shown:?}");
        Ok(())
    }

    /// Pulls that were seen only by the image record that they wrote: each is one that was not seen otherwise.
    fn without_lease(&self, world: &Containerd, board: &Board, of_leases: &BTreeSet<PullId>, lives: usize) -> Result<(), String> {
        for image in &world.images {
            let others = board.ids().filter(|id| !of_leases.contains(id)).filter_map(|id| board.pull(id));
            let of_image = others.filter(|pull| pull.image.as_ref().is_some_and(|n| n.repository() == image.name.repository()));
            let unseen =
                world.pulls.iter().filter(|p| world.images[p.image].name == image.name && p.fate == Fate::Ready).filter(|p| {
                    let seen = self.id(p).and_then(|id| self.seen.get(&id));
                    seen != Some(&lives)
                });
            let (shown, unseen) = (of_image.count(), unseen.count());
            must!(shown <= unseen, "{}: {shown} pulls by record, {unseen} that were not seen by lease", image.name);
        }
        let strange = board.ids().filter(|id| !of_leases.contains(id)).filter_map(|id| board.pull(id));
        let nameless: Vec<_> = strange.filter(|pull| pull.image.is_none()).collect();
        must!(nameless.is_empty(), "there are pulls that nobody made: {nameless:?}");
        Ok(())
    }

    /// Of each image as many pulls are shown as ready as there were, whichever they are taken for. What a restarted agent cannot know is
    /// excused, and so is what it cannot see through a haze.
    fn counts(&self, world: &Containerd, board: &Board, lives: usize) -> Result<(), String> {
        for (n, image) in world.images.iter().enumerate().filter(|_| lives == 1) {
            let of_image = |pull: &Pull| pull.image.as_ref().is_some_and(|name| name.repository() == image.name.repository());
            let is_ready = |pull: &Pull| pull.ending.as_ref().is_some_and(|e| e.outcome == Outcome::Ready);
            let shown = board.ids().filter_map(|id| board.pull(id)).filter(|pull| of_image(pull) && is_ready(pull)).count();
            let pulls = || world.pulls.iter().filter(|pull| pull.image == n);
            let truly = pulls().filter(|pull| pull.fate == Fate::Ready).count();
            let excused = pulls().filter(|pull| pull.fate == Fate::Unready && self.is_excused(world, Some(pull))).count();
            must!(shown <= truly + excused, "{}: ready {truly} times, shown {shown} times", image.name);
            must!(self.hazy || shown == truly, "{}: ready {truly} times, shown only {shown} times", image.name);
        }
        Ok(())
    }

    /// A blob that was fetched once is not shown as fetched by two pulls. What a restarted agent cannot know is excused.
    fn fetched_once(&self, world: &Containerd, board: &Board, lives: usize) -> Result<(), String> {
        if lives > 1 {
            return Ok(());
        }
        let mut shown: BTreeMap<Digest, usize> = BTreeMap::new();
        let excused = |id: &PullId| {
            let model = world.pulls.iter().find(|p| self.id(p) == Some(*id) && p.fate == Fate::Unready);
            model.is_some_and(|model| self.is_excused(world, Some(model)))
        };
        for pull in board.ids().filter(|id| !excused(id)).filter_map(|id| board.pull(id)) {
            for layer in pull.layers.iter().filter(|l| !l.cached && l.size > 0 && l.fetched == l.size) {
                *shown.entry(layer.digest.clone()).or_default() += 1;
            }
        }
        for (digest, times) in shown {
            let truly = world.store.commits.get(&digest).copied().unwrap_or(0);
            must!(times <= truly, "{digest}: fetched {truly} times, shown as fetched by {times} pulls");
        }
        Ok(())
    }
}

/// An estimate stays within half and double of the one before, unless phase or wait changed or the agent was silent in between.
fn is_calm(before: &Pull, pull: &Pull) -> bool {
    let kind = |pull: &Pull| (pull.phase, pull.wait.as_ref().map(Wait::as_str));
    let likely = |pull: &Pull| pull.eta.and_then(Eta::likely);
    match (likely(before), likely(pull)) {
        (Some(was), Some(is)) if kind(before) == kind(pull) && pull.observed_at.since(before.observed_at) <= SAME_BREATH => {
            (was / 2..=was * 2).contains(&is)
        }
        (Some(_), Some(_)) | (None, _) | (_, None) => true,
    }
}

fn in_order(interval: Interval) -> bool {
    interval.start.zip(interval.end).is_none_or(|(start, end)| start <= end)
}
