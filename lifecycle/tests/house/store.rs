//! What containerd keeps: every method is one of its transactions, and says what it announces. Which of them a pull makes, and when, is the
//! business of `containerd`.

use std::{collections::BTreeMap, time::Duration};

use lifecycle::{
    image::Digest,
    time::Timestamp,
    track::{Event, ExtractKey, Happening, Reference, Resource},
};

use super::{
    containerd::{NAMESPACE, SNAPSHOTTER, STEP},
    history::Parts,
    image::Image,
};

/// containerd writes in pieces.
const PIECE: u64 = 1 << 20;

/// An image record.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) target: Digest,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// What it keeps on disk, and the locks of the process.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) content: BTreeMap<Digest, Content>,
    pub(super) ingests: BTreeMap<Digest, Ingest>,
    pub(super) extractions: BTreeMap<String, Timestamp>,
    pub(super) chains: BTreeMap<Digest, Timestamp>,
    /// By name.
    pub(super) records: BTreeMap<String, Written>,
    pub(super) leases: BTreeMap<String, Lease>,
    /// What happened since it was taken last.
    pub(super) events: Vec<Event>,
    /// How often each blob was fetched.
    pub(super) commits: BTreeMap<Digest, usize>,
    /// Transactions so far: each wakes whoever watches the database.
    pub(super) writes: u64,
    pub(super) locks: BTreeMap<Digest, usize>,
    pub(super) flowing: usize,
    pub(super) collect_at: Option<u64>,
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
    pub(super) received: u64,
    pub(super) writer: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub(super) created_at: Timestamp,
    pub(super) resources: Vec<Resource>,
}

/// One blob that a pull needs.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) kind: &'static str,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) document_of: Option<usize>,
    pub(super) state: State,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Wanted,
    Opened,
    Flowing,
    Closing,
    Done,
}

impl Download {
    pub(super) fn new(kind: &'static str, digest: &Digest, size: u64, document_of: Option<usize>) -> Self {
        Self { kind, digest: digest.clone(), size, document_of, state: State::Idle }
    }

    pub(super) fn want(&mut self) {
        if self.state == State::Idle {
            self.state = State::Wanted;
        }
    }

    pub(super) const fn holds_slot(&self) -> bool {
        matches!(self.state, State::Flowing | State::Closing)
    }

    pub(super) fn reference(&self) -> Reference {
        Reference { kind: self.kind.to_owned(), digest: self.digest.clone() }
    }
}
impl Store {
    /// Puts an image there as a pull that is long over left it.
    pub(super) fn bring(&mut self, image: &Image, number: usize, parts: Parts, since: Timestamp) {
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
            self.put_record(&name, image, since);
        }
    }

    pub(super) fn begin_lease(&mut self, id: &str, resources: Vec<Resource>, now: Timestamp) {
        self.writes += 1;
        self.leases.insert(id.to_owned(), Lease { created_at: now, resources });
    }

    pub(super) fn end_lease(&mut self, id: &str) {
        self.writes += u64::from(self.leases.remove(id).is_some());
    }

    pub(super) fn keep(&mut self, lease: &str, resource: Resource) {
        self.writes += 1;
        if let Some(lease) = self.leases.get_mut(lease).filter(|lease| !lease.resources.contains(&resource)) {
            lease.resources.push(resource);
        }
    }

    pub(super) fn drop_from(&mut self, lease: &str, resource: &Resource) {
        self.leases.get_mut(lease).into_iter().for_each(|lease| lease.resources.retain(|kept| kept != resource));
    }

    pub(super) fn tell(&mut self, at: Timestamp, what: Happening) {
        self.writes += 1;
        self.events.push(Event { namespace: NAMESPACE.to_owned(), at, what });
    }

    pub(super) fn is_written(&self, blob: &Digest) -> bool {
        self.ingests.get(blob).is_some_and(|ingest| ingest.writer.is_some())
    }

    /// Opens an ingest, or the one that a dead pull left behind.
    pub(super) fn open(&mut self, lease: &str, owner: usize, download: &Download, now: Timestamp) {
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
    pub(super) fn write(&mut self, download: &Download, bytes: u64, now: Timestamp) -> bool {
        let Some(ingest) = self.ingests.get_mut(&download.digest) else { return false };
        ingest.received = (ingest.received + bytes).min(ingest.total);
        let whole = ingest.received == ingest.total;
        let visible = if whole { ingest.total } else { ingest.received - ingest.received % PIECE };
        if visible > ingest.offset {
            (ingest.offset, ingest.updated_at) = (visible, now);
        }
        whole
    }

    pub(super) fn received(&self, download: &Download) -> u64 {
        self.ingests.get(&download.digest).map_or(0, |ingest| ingest.received)
    }

    pub(super) fn commit(&mut self, lease: &str, download: &Download, announce: bool, now: Timestamp) {
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

    pub(super) fn abandon(&mut self, download: &Download, owner: usize, now: Timestamp) {
        let ours = |ingest: &&mut Ingest| ingest.writer == Some(owner);
        if let Some(ingest) = self.ingests.get_mut(&download.digest).filter(ours) {
            ingest.writer = None;
            if ingest.received > ingest.offset {
                (ingest.offset, ingest.updated_at) = (ingest.received, now);
            }
        }
    }

    pub(super) fn prepare(&mut self, lease: &str, key: &str, now: Timestamp) {
        let parsed = ExtractKey::parse(key).expect("a key of the unpacker");
        self.extractions.insert(key.to_owned(), now);
        self.keep(lease, Resource::Extraction { snapshotter: SNAPSHOTTER.to_owned(), key: parsed.clone() });
        self.tell(now, Happening::ExtractionPrepared(parsed));
    }

    pub(super) fn unpacked(&mut self, lease: &str, key: &str, chain: &Digest, now: Timestamp) {
        self.end_extraction(lease, key);
        self.chains.insert(chain.clone(), now);
        self.keep(lease, Resource::Chain { snapshotter: SNAPSHOTTER.to_owned(), chain: chain.clone() });
        self.tell(now, Happening::ChainCommitted(chain.clone()));
    }

    pub(super) fn remove_extraction(&mut self, lease: &str, key: &str, now: Timestamp) {
        let parsed = self.end_extraction(lease, key);
        self.tell(now, Happening::ExtractionRemoved(parsed));
    }

    pub(super) fn end_extraction(&mut self, lease: &str, key: &str) -> ExtractKey {
        let parsed = ExtractKey::parse(key).expect("a key of the unpacker");
        self.extractions.remove(key);
        self.drop_from(lease, &Resource::Extraction { snapshotter: SNAPSHOTTER.to_owned(), key: parsed.clone() });
        parsed
    }

    /// The names under which a pull records an image, the last first: the tag's always, the others if they are not there.
    pub(super) fn names_to_write(&self, image: &Image) -> Vec<String> {
        let id = image.documents[image.documents.len() - 1].digest.to_string();
        let known = |name: &String| self.records.get(name).is_some_and(|written| written.target == *image.target());
        let mut names: Vec<_> = [image.by_digest(), id].into_iter().filter(|name| !known(name)).collect();
        names.push(image.name.to_string());
        names
    }

    pub(super) fn record(&mut self, name: &str, image: &Image, now: Timestamp) {
        self.put_record(name, image, now);
        let by_id = name.parse::<Digest>().is_ok();
        self.tell(now, if by_id { Happening::ImageRecordedById } else { Happening::ImageRecorded(name.to_owned()) });
    }

    fn put_record(&mut self, name: &str, image: &Image, now: Timestamp) {
        let created_at = self.records.get(name).map_or(now, |written| written.created_at);
        self.records.insert(name.to_owned(), Written { target: image.target().clone(), created_at, updated_at: now });
    }

    /// Removes what neither lease nor record leads to.
    pub(super) fn collect(&mut self, images: &[Image]) {
        self.collect_at = None;
        let leased = |resource: &Resource| self.leases.values().any(|lease| lease.resources.contains(resource));
        let rooted = |image: &&Image| {
            let recorded = self.records.values().any(|written| written.target == *image.target());
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
        self.content.retain(|blob, _| !dead_content.contains(blob));
        self.chains.retain(|name, _| !dead_chains.contains(name));
        self.ingests.retain(|blob, _| !dead_ingests.contains(blob));
    }
}
