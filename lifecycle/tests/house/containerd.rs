//! A small containerd: what pulls do to leases, ingests, content, snapshots and image records, in steps of ten milliseconds. And the
//! truth about every pull, which only the model knows.
//!
//! One namespace, one snapshotter. What is seen of it from outside is the business of `agent`.

use std::time::Duration;

use lifecycle::{time::Timestamp, track::Resource};

use super::{
    history::{End, History, NodePlan},
    image::{Blob, Image},
    store::{Download, State, Store},
};

/// The grain of time, milliseconds.
pub(super) const STEP: u64 = 10;
pub(super) const NAMESPACE: &str = "k8s.io";
pub(super) const SNAPSHOTTER: &str = "overlayfs";
/// The lease of something that is no pull.
pub(super) const STRANGER: &str = "stranger";
/// When the history begins.
const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);
/// How long before that the node's containerd was started and fetched what is present.
const BEFORE: Duration = Duration::from_secs(3_600);
/// Downloads at once: of one pull, or in all from 2.1 on.
const SLOTS: usize = 3;
/// How long after a lease is gone what it kept is collected, milliseconds.
const COLLECT_AFTER: u64 = 100;
/// How long unpacking takes, milliseconds a MiB.
const UNPACK: u64 = 40;

/// A time of the history.
pub(super) fn at(millis: u64) -> Timestamp {
    BEGIN + Duration::from_millis(millis)
}

/// containerd and its node.
#[derive(Debug)]
pub(super) struct Containerd {
    pub(super) images: Vec<Image>,
    pub(super) plan: NodePlan,
    pub(super) store: Store,
    pub(super) pulls: Vec<Pull>,
    pub(super) now: u64,
    pub(super) up: bool,
    pub(super) pid: u64,
    pub(super) born: Timestamp,
}

/// One pull and the truth about it.
#[derive(Debug)]
pub(super) struct Pull {
    pub(super) image: usize,
    pub(super) lease: String,
    /// When its lease was made, if it has begun.
    pub(super) began: Option<Timestamp>,
    pub(super) fate: Fate,
    /// When it wrote the image's record under its own name, if it did.
    pub(super) recorded_at: Option<Timestamp>,
    /// When its lease was gone, or the process that ran it.
    pub(super) over_at: Option<Timestamp>,
    begins: u64,
    rate: u64,
    resolve: u64,
    end: End,
    stage: Stage,
    downloads: Vec<Download>,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    /// Its image record was written.
    Ready,
    /// It failed, was canceled, or died with containerd.
    Unready,
}

#[derive(Debug)]
enum Stage {
    Ahead,
    Resolving { until: u64 },
    Documents,
    Layers { next: usize, unpack: Unpack },
    Recording { left: Vec<String> },
    Leaving { until: u64 },
    Over,
}

#[derive(Debug)]
enum Unpack {
    Locking,
    Fetching { key: String },
    Applying { key: String, until: u64 },
}

impl Containerd {
    pub(super) fn new(history: &History) -> Self {
        let images = history.build_images();
        let mut store = Store::default();
        let since = BEGIN.before(BEFORE);
        for (index, parts) in &history.present {
            let number = index.index(images.len());
            store.bring(&images[number], number, *parts, since);
        }
        let pulls = history.pulls.iter().enumerate().map(|(n, plan)| {
            let image = plan.image.index(images.len());
            let document = |d: &Blob| Download::new(d.kind, &d.digest, d.bytes.len() as u64, Some(image));
            let documents = images[image].documents.iter().map(document);
            let layers = images[image].distinct().into_iter().map(|l| Download::new("layer", &l.digest, l.size, None));
            Pull {
                image,
                lease: format!("{n}-lease"),
                began: None,
                fate: Fate::Open,
                recorded_at: None,
                over_at: None,
                begins: plan.at,
                rate: plan.rate,
                resolve: plan.resolve,
                end: plan.end.clone(),
                stage: Stage::Ahead,
                downloads: documents.chain(layers).collect(),
            }
        });
        let pulls = pulls.collect();
        Self { images, plan: history.node.clone(), store, pulls, now: 0, up: true, pid: 100, born: since }
    }

    /// Whether nothing more will happen by itself.
    pub(super) fn is_quiet(&self) -> bool {
        let crashing = self.plan.crash.is_some_and(|(begin, lasts)| self.now <= begin + lasts);
        let over = self.pulls.iter().all(|pull| matches!(pull.stage, Stage::Over));
        over && !crashing && self.store.collect_at.is_none() && !self.store.leases.contains_key(STRANGER) && self.now > 4_000
    }

    /// One step.
    pub(super) fn step(&mut self) {
        self.now += STEP;
        self.live_or_die();
        if !self.up {
            return;
        }
        self.be_strange();
        for (owner, pull) in self.pulls.iter_mut().enumerate() {
            pull.step(owner, &self.images[pull.image], &mut self.store, &self.plan, self.now);
        }
        if self.store.collect_at.is_some_and(|due| self.now >= due) {
            self.store.collect(&self.images);
        }
    }

    /// It dies and comes back as another process: pulls are gone, what is on disk stays.
    fn live_or_die(&mut self) {
        let Some((begin, lasts)) = self.plan.crash else { return };
        let up = !(begin..begin + lasts).contains(&self.now);
        if self.up && !up {
            self.pulls.iter_mut().for_each(|pull| pull.die(at(self.now)));
            self.store.locks.clear();
            self.store.flowing = 0;
            self.store.collect_at = None;
            self.store.ingests.values_mut().for_each(|ingest| ingest.writer = None);
        } else if !self.up && up {
            self.pid += 1;
            self.born = at(self.now);
        }
        self.up = up;
    }

    /// Something else uses a lease of the same shape.
    fn be_strange(&mut self) {
        if self.now == 2_000 {
            self.store.begin_lease(STRANGER, vec![Resource::Other], at(self.now));
        } else if self.now >= 3_000 {
            self.store.end_lease(STRANGER);
        }
    }
}

impl Pull {
    fn die(&mut self, now: Timestamp) {
        if !matches!(self.stage, Stage::Ahead | Stage::Over) {
            if self.fate == Fate::Open {
                self.fate = Fate::Unready;
            }
            self.over_at = Some(now);
            self.stage = Stage::Over;
        }
    }

    fn step(&mut self, owner: usize, image: &Image, store: &mut Store, plan: &NodePlan, now: u64) {
        let running = matches!(self.stage, Stage::Resolving { .. } | Stage::Documents | Stage::Layers { .. });
        if running && matches!(self.end, End::CanceledAfter(after) if now >= self.begins + after) {
            self.give_up(owner, image, store, now);
        }
        if running && self.transfer(owner, store, plan, now) {
            self.give_up(owner, image, store, now);
        }
        match &mut self.stage {
            Stage::Ahead if now >= self.begins => {
                self.began = Some(at(now));
                store.begin_lease(&self.lease, Vec::new(), at(now));
                self.stage = Stage::Resolving { until: now + self.resolve };
            }
            Stage::Resolving { until } if now >= *until => {
                if matches!(self.end, End::Refused) {
                    self.give_up(owner, image, store, now);
                } else {
                    self.stage = Stage::Documents;
                }
            }
            Stage::Documents => {
                let next = self.downloads.iter_mut().find(|d| d.document_of.is_some() && d.state != State::Done);
                match next {
                    Some(document) => document.want(),
                    None => self.stage = Stage::Layers { next: 0, unpack: Unpack::Locking },
                }
            }
            Stage::Layers { .. } => self.unpack(owner, image, store, now),
            Stage::Recording { left } => match left.pop() {
                Some(name) => {
                    store.record(&name, image, at(now));
                    self.fate = Fate::Ready;
                    self.recorded_at.get_or_insert(at(now));
                }
                None => self.stage = Stage::Leaving { until: now },
            },
            Stage::Leaving { until } if now >= *until => {
                store.end_lease(&self.lease);
                self.over_at = Some(at(now));
                store.collect_at = Some(now + COLLECT_AFTER);
                self.stage = Stage::Over;
            }
            Stage::Ahead | Stage::Resolving { .. } | Stage::Leaving { .. } | Stage::Over => {}
        }
    }

    /// Moves bytes; true if that failed.
    fn transfer(&mut self, owner: usize, store: &mut Store, plan: &NodePlan, now: u64) -> bool {
        let layers = self.downloads.iter().filter(|d| d.document_of.is_none()).count();
        let documents = self.downloads.len() - layers;
        let mut open = self.downloads.iter().filter(|d| d.holds_slot()).count();
        for (n, download) in self.downloads.iter_mut().enumerate() {
            let is = |index: &proptest::sample::Index| n >= documents && n - documents == index.index(layers);
            let room = if plan.modern { store.flowing < SLOTS } else { open < SLOTS };
            match download.state {
                State::Wanted if store.content.contains_key(&download.digest) => {
                    store.content.entry(download.digest.clone()).and_modify(|content| content.labelled_at = at(now));
                    store.keep(&self.lease, Resource::Content(download.digest.clone()));
                    download.state = State::Done;
                }
                State::Wanted if store.is_written(&download.digest) => {}
                State::Wanted if plan.modern || room => {
                    store.open(&self.lease, owner, download, at(now));
                    download.state = State::Opened;
                }
                State::Opened if room => {
                    (store.flowing, open) = (store.flowing + 1, open + 1);
                    download.state = State::Flowing;
                }
                State::Flowing => {
                    let whole = store.write(download, self.rate * STEP / 1_000, at(now));
                    if !whole
                        && matches!(&self.end, End::Broken(index) if is(index))
                        && store.received(download) * 2 > download.size
                    {
                        return true;
                    }
                    download.state = if whole { State::Closing } else { State::Flowing };
                }
                State::Closing if matches!(&self.end, End::Mismatch(index) if is(index)) => return true,
                State::Closing => {
                    store.flowing = store.flowing.saturating_sub(1);
                    store.commit(&self.lease, download, plan.modern, at(now));
                    download.state = State::Done;
                }
                State::Idle | State::Wanted | State::Opened | State::Done => {}
            }
        }
        false
    }

    fn unpack(&mut self, owner: usize, image: &Image, store: &mut Store, now: u64) {
        let Stage::Layers { next, unpack } = &mut self.stage else { return };
        let Some(layer) = image.layers.get(*next) else {
            if self.downloads.iter().all(|d| matches!(d.state, State::Idle | State::Done)) {
                self.stage = Stage::Recording { left: store.names_to_write(image) };
            }
            return;
        };
        match unpack {
            Unpack::Locking if store.locks.contains_key(&layer.chain) => {}
            Unpack::Locking if store.chains.contains_key(&layer.chain) => {
                store.keep(&self.lease, Resource::Chain { snapshotter: SNAPSHOTTER.to_owned(), chain: layer.chain.clone() });
                *next += 1;
            }
            Unpack::Locking => {
                let key = format!("extract-{now}-{owner} {}", layer.chain);
                store.locks.insert(layer.chain.clone(), owner);
                store.prepare(&self.lease, &key, at(now));
                for missing in &image.layers[*next..] {
                    self.downloads.iter_mut().filter(|d| d.digest == missing.digest).for_each(Download::want);
                }
                *unpack = Unpack::Fetching { key };
            }
            Unpack::Fetching { key } => {
                if self.downloads.iter().any(|d| d.digest == layer.digest && d.state == State::Done) {
                    *unpack = Unpack::Applying { key: std::mem::take(key), until: now + STEP + layer.size * UNPACK / (1 << 20) };
                }
            }
            Unpack::Applying { until, .. } if now < *until => {}
            Unpack::Applying { key, .. } => {
                if matches!(&self.end, End::Corrupt(index) if index.index(image.layers.len()) == *next) {
                    return self.give_up(owner, image, store, now);
                }
                store.unpacked(&self.lease, key, &layer.chain, at(now));
                store.locks.remove(&layer.chain);
                (*next, *unpack) = (*next + 1, Unpack::Locking);
            }
        }
    }

    /// Failed or canceled: what was prepared is removed, what was being written is nobody's, the lease goes last.
    fn give_up(&mut self, owner: usize, image: &Image, store: &mut Store, now: u64) {
        if let Stage::Layers { next, unpack: Unpack::Fetching { key } | Unpack::Applying { key, .. } } = &self.stage {
            store.locks.remove(&image.layers[*next].chain);
            store.remove_extraction(&self.lease, key, at(now));
        }
        for download in &mut self.downloads {
            if download.holds_slot() {
                store.flowing = store.flowing.saturating_sub(1);
            }
            store.abandon(download, owner, at(now));
            download.state = State::Idle;
        }
        self.fate = Fate::Unready;
        self.stage = Stage::Leaving { until: now + STEP };
    }
}
