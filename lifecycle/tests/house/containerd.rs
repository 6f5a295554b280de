//! A small containerd: what pulls do to leases, ingests, content, snapshots and image records, in steps of ten milliseconds. And the
//! truth about every pull, which only the model knows.
//!
//! One namespace, one snapshotter. What is seen of it from outside is the business of `agent`.

use std::{collections::BTreeMap, time::Duration};

use lifecycle::{
    image::Digest,
    time::Timestamp,
    track::{Event, ExtractKey, Happening, Reference, Resource},
};

use super::{
    history::{End, History, NodePlan, Parts},
    image::Image,
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
/// containerd writes in pieces.
const PIECE: u64 = 1 << 20;
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

/// What it keeps on disk, and the locks of the process.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) content: BTreeMap<Digest, Content>,
    pub(super) ingests: BTreeMap<Digest, Ingest>,
    pub(super) extractions: BTreeMap<String, Timestamp>,
    pub(super) chains: BTreeMap<Digest, Timestamp>,
    /// Target and time of the last write by name.
    pub(super) records: BTreeMap<String, (Digest, Timestamp)>,
    pub(super) leases: BTreeMap<String, Lease>,
    /// What happened since it was taken last.
    pub(super) events: Vec<Event>,
    /// How often each blob was fetched.
    pub(super) commits: BTreeMap<Digest, usize>,
    /// Transactions so far: each wakes whoever watches the database.
    pub(super) writes: u64,
    locks: BTreeMap<Digest, usize>,
    flowing: usize,
    collect_at: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) created_at: Timestamp,
    pub(super) size: u64,
    /// The image that brought it, if it is a document.
    pub(super) document_of: Option<usize>,
    /// When its labels are there.
    pub(super) labelled_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Ingest {
    pub(super) kind: &'static str,
    pub(super) total: u64,
    pub(super) offset: u64,
    pub(super) started_at: Timestamp,
    pub(super) updated_at: Timestamp,
    received: u64,
    writer: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) created_at: Timestamp,
    pub(super) resources: Vec<Resource>,
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

#[derive(Debug)]
struct Download {
    kind: &'static str,
    digest: Digest,
    size: u64,
    document_of: Option<usize>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Wanted,
    Opened,
    Flowing,
    Closing,
    Done,
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
            let document = |d: &super::image::Blob| Download::new(d.kind, &d.digest, d.bytes.len() as u64, Some(image));
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
                    *unpack = Unpack::Applying { key: std::mem::take(key), until: now + STEP + layer.size * UNPACK / PIECE };
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

impl Download {
    fn new(kind: &'static str, digest: &Digest, size: u64, document_of: Option<usize>) -> Self {
        Self { kind, digest: digest.clone(), size, document_of, state: State::Idle }
    }

    fn want(&mut self) {
        if self.state == State::Idle {
            self.state = State::Wanted;
        }
    }

    const fn holds_slot(&self) -> bool {
        matches!(self.state, State::Flowing | State::Closing)
    }

    fn reference(&self) -> Reference {
        Reference { kind: self.kind.to_owned(), digest: self.digest.clone() }
    }
}

impl Store {
    /// Puts an image there as a pull that is long over left it.
    fn bring(&mut self, image: &Image, number: usize, parts: Parts, since: Timestamp) {
        let content = |size, document_of| Content { created_at: since, size, document_of, labelled_at: since };
        for document in &image.documents {
            self.content.insert(document.digest.clone(), content(document.bytes.len() as u64, Some(number)));
        }
        for layer in &image.layers {
            if parts != Parts::Snapshots {
                self.content.insert(layer.digest.clone(), content(layer.size, None));
            }
            if parts != Parts::Content {
                self.chains.insert(layer.chain.clone(), since);
            }
        }
        for name in self.names_to_write(image) {
            self.records.insert(name, (image.target().clone(), since));
        }
    }

    fn begin_lease(&mut self, id: &str, resources: Vec<Resource>, now: Timestamp) {
        self.writes += 1;
        self.leases.insert(id.to_owned(), Lease { created_at: now, resources });
    }

    fn end_lease(&mut self, id: &str) {
        self.writes += u64::from(self.leases.remove(id).is_some());
    }

    fn keep(&mut self, lease: &str, resource: Resource) {
        self.writes += 1;
        if let Some(lease) = self.leases.get_mut(lease).filter(|lease| !lease.resources.contains(&resource)) {
            lease.resources.push(resource);
        }
    }

    fn drop_from(&mut self, lease: &str, resource: &Resource) {
        self.leases.get_mut(lease).into_iter().for_each(|lease| lease.resources.retain(|kept| kept != resource));
    }

    fn tell(&mut self, at: Timestamp, what: Happening) {
        self.writes += 1;
        self.events.push(Event { namespace: NAMESPACE.to_owned(), at, what });
    }

    fn is_written(&self, blob: &Digest) -> bool {
        self.ingests.get(blob).is_some_and(|ingest| ingest.writer.is_some())
    }

    /// Opens an ingest, or the one that a dead pull left behind.
    fn open(&mut self, lease: &str, owner: usize, download: &Download, now: Timestamp) {
        let new = Ingest {
            kind: download.kind,
            total: download.size,
            offset: 0,
            started_at: now,
            updated_at: now,
            received: 0,
            writer: None,
        };
        let ingest = self.ingests.entry(download.digest.clone()).or_insert(new);
        ingest.writer = Some(owner);
        ingest.received = ingest.offset;
        self.keep(lease, Resource::Ingest(download.reference()));
    }

    /// Writes; true when everything is there.
    fn write(&mut self, download: &Download, bytes: u64, now: Timestamp) -> bool {
        let Some(ingest) = self.ingests.get_mut(&download.digest) else { return false };
        ingest.received = (ingest.received + bytes).min(ingest.total);
        let whole = ingest.received == ingest.total;
        let visible = if whole { ingest.total } else { ingest.received - ingest.received % PIECE };
        if visible > ingest.offset {
            (ingest.offset, ingest.updated_at) = (visible, now);
        }
        whole
    }

    fn received(&self, download: &Download) -> u64 {
        self.ingests.get(&download.digest).map_or(0, |ingest| ingest.received)
    }

    fn commit(&mut self, lease: &str, download: &Download, announce: bool, now: Timestamp) {
        self.ingests.remove(&download.digest);
        self.drop_from(lease, &Resource::Ingest(download.reference()));
        let labelled_at = now + Duration::from_millis(STEP);
        let content = Content { created_at: now, size: download.size, document_of: download.document_of, labelled_at };
        self.content.insert(download.digest.clone(), content);
        *self.commits.entry(download.digest.clone()).or_default() += 1;
        self.keep(lease, Resource::Content(download.digest.clone()));
        if announce {
            self.tell(now, Happening::ContentCreated(download.digest.clone()));
        }
    }

    fn abandon(&mut self, download: &Download, owner: usize, now: Timestamp) {
        let ours = |ingest: &&mut Ingest| ingest.writer == Some(owner);
        if let Some(ingest) = self.ingests.get_mut(&download.digest).filter(ours) {
            ingest.writer = None;
            if ingest.received > ingest.offset {
                (ingest.offset, ingest.updated_at) = (ingest.received, now);
            }
        }
    }

    fn prepare(&mut self, lease: &str, key: &str, now: Timestamp) {
        let parsed = ExtractKey::parse(key).expect("a key of the unpacker");
        self.extractions.insert(key.to_owned(), now);
        self.keep(lease, Resource::Extraction { snapshotter: SNAPSHOTTER.to_owned(), key: parsed.clone() });
        self.tell(now, Happening::ExtractionPrepared(parsed));
    }

    fn unpacked(&mut self, lease: &str, key: &str, chain: &Digest, now: Timestamp) {
        self.end_extraction(lease, key);
        self.chains.insert(chain.clone(), now);
        self.keep(lease, Resource::Chain { snapshotter: SNAPSHOTTER.to_owned(), chain: chain.clone() });
        self.tell(now, Happening::ChainCommitted(chain.clone()));
    }

    fn remove_extraction(&mut self, lease: &str, key: &str, now: Timestamp) {
        let parsed = self.end_extraction(lease, key);
        self.tell(now, Happening::ExtractionRemoved(parsed));
    }

    fn end_extraction(&mut self, lease: &str, key: &str) -> ExtractKey {
        let parsed = ExtractKey::parse(key).expect("a key of the unpacker");
        self.extractions.remove(key);
        self.drop_from(lease, &Resource::Extraction { snapshotter: SNAPSHOTTER.to_owned(), key: parsed.clone() });
        parsed
    }

    /// The names under which a pull records an image, the last first: the tag's always, the others if they are not there.
    fn names_to_write(&self, image: &Image) -> Vec<String> {
        let id = image.documents[image.documents.len() - 1].digest.to_string();
        let known = |name: &String| self.records.get(name).is_some_and(|(target, _)| target == image.target());
        let mut names: Vec<_> = [image.by_digest(), id].into_iter().filter(|name| !known(name)).collect();
        names.push(image.name.to_string());
        names
    }

    fn record(&mut self, name: &str, image: &Image, now: Timestamp) {
        self.records.insert(name.to_owned(), (image.target().clone(), now));
        let by_id = name.parse::<Digest>().is_ok();
        self.tell(now, if by_id { Happening::ImageRecordedById } else { Happening::ImageRecorded(name.to_owned()) });
    }

    /// Removes what neither lease nor record leads to.
    fn collect(&mut self, images: &[Image]) {
        self.collect_at = None;
        let leased = |resource: &Resource| self.leases.values().any(|lease| lease.resources.contains(resource));
        let rooted = |image: &&Image| {
            let recorded = self.records.values().any(|(target, _)| target == image.target());
            recorded || image.documents.iter().any(|d| leased(&Resource::Content(d.digest.clone())))
        };
        let kept: Vec<&Image> = images.iter().filter(rooted).collect();
        let content = |blob: &Digest| {
            let of = |image: &&Image| {
                image.documents.iter().any(|d| d.digest == *blob) || image.layers.iter().any(|l| l.digest == *blob)
            };
            kept.iter().any(of) || leased(&Resource::Content(blob.clone()))
        };
        let chain = |chain: &Digest| {
            let resource = |chain: &Digest| Resource::Chain { snapshotter: SNAPSHOTTER.to_owned(), chain: chain.clone() };
            let above = |image: &Image| {
                let from = image.layers.iter().position(|l| l.chain == *chain);
                from.is_some_and(|from| image.layers[from..].iter().any(|l| leased(&resource(&l.chain))))
            };
            kept.iter().any(|image| image.layers.iter().any(|l| l.chain == *chain)) || images.iter().any(above)
        };
        let dead_content: Vec<_> = self.content.keys().filter(|blob| !content(blob)).cloned().collect();
        let dead_chains: Vec<_> = self.chains.keys().filter(|name| !chain(name)).cloned().collect();
        let dead_ingests = self.ingests.iter().filter(|(blob, ingest)| {
            let reference = Reference { kind: ingest.kind.to_owned(), digest: (*blob).clone() };
            ingest.writer.is_none() && !leased(&Resource::Ingest(reference))
        });
        let dead_ingests: Vec<_> = dead_ingests.map(|(blob, _)| blob.clone()).collect();
        dead_content.iter().for_each(|blob| drop(self.content.remove(blob)));
        self.chains.retain(|name, _| !dead_chains.contains(name));
        dead_ingests.iter().for_each(|blob| drop(self.ingests.remove(blob)));
    }
}
