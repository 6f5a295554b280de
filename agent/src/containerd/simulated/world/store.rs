//! What one containerd namespace holds: leases, ingests, content, snapshots and image records, and the events that tell of changes.
//!
//! Every method is one transaction of containerd and says what it announces. Which transactions a pull makes, and when, is decided by
//! [`super::pull`]; what is removed when nothing refers to it any more by [`super::collect`].

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    time::Duration,
};

use lifecycle::time::Timestamp;

use crate::containerd::simulated::{
    events::{Event, Fact},
    image::Blob,
    personality::Personality,
};

/// The label of a lease, or of what a lease once kept, that says when it may be collected.
pub(in super::super) const EXPIRE_LABEL: &str = "containerd.io/gc.expire";
/// The label of a config that keeps the snapshots of its image.
pub(super) const SNAPSHOT_REFERENCE: &str = "containerd.io/gc.ref.snapshot.overlayfs";
/// How long a client's lease lives if nobody deletes it.
const LEASE_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long after the deletion of a lease the garbage collector has run.
const COLLECT_AFTER: Duration = Duration::from_millis(90);

/// Labels of anything.
pub(in super::super) type Labels = BTreeMap<String, String>;

/// One containerd namespace.
#[derive(Debug)]
pub(in super::super) struct Store {
    pub(in super::super) name: String,
    pub(in super::super) leases: BTreeMap<String, Lease>,
    pub(in super::super) ingests: BTreeMap<String, Ingest>,
    pub(in super::super) content: BTreeMap<String, Content>,
    pub(in super::super) snapshots: BTreeMap<String, Snapshot>,
    pub(in super::super) images: BTreeMap<String, Record>,
    /// Which pull works on which chain.
    pub(super) chain_locks: BTreeMap<String, Owner>,
    pub(super) collect_at: Option<Timestamp>,
    pub(super) personality: Personality,
    events: Vec<Event>,
}

/// Names a pull within the simulation.
pub(super) type Owner = usize;

/// A lease and what it keeps.
#[derive(Debug)]
pub(in super::super) struct Lease {
    pub(in super::super) created_at: Timestamp,
    pub(in super::super) labels: Labels,
    pub(in super::super) resources: BTreeSet<Resource>,
}

/// Something that a lease keeps, in the order in which leases list it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Resource {
    Content(String),
    Ingest(String),
    Snapshot(String),
}

/// A download that is under way.
#[derive(Debug)]
pub(in super::super) struct Ingest {
    pub(in super::super) started_at: Timestamp,
    pub(in super::super) updated_at: Timestamp,
    pub(in super::super) total: u64,
    /// What was written, bytes.
    pub(in super::super) offset: u64,
    /// Thousandths of bytes that came over the link.
    pub(super) received_milli: u64,
    pub(super) writer: Option<Owner>,
}

/// A committed blob.
#[derive(Debug)]
pub(in super::super) struct Content {
    pub(in super::super) blob: Blob,
    /// The bytes; layers have none.
    pub(in super::super) bytes: Option<Vec<u8>>,
    pub(in super::super) labels: Labels,
    pub(in super::super) created_at: Timestamp,
    pub(in super::super) updated_at: Timestamp,
}

/// A snapshot.
#[derive(Debug)]
pub(in super::super) struct Snapshot {
    pub(in super::super) committed: bool,
    pub(in super::super) parent: Option<String>,
    pub(in super::super) labels: Labels,
    pub(in super::super) created_at: Timestamp,
    /// What its layer takes on disk, bytes.
    pub(in super::super) size: u64,
}

/// An image record.
#[derive(Debug)]
pub(in super::super) struct Record {
    pub(in super::super) target: Blob,
    pub(in super::super) created_at: Timestamp,
    pub(in super::super) updated_at: Timestamp,
}

impl Store {
    pub(super) const fn new(name: String, personality: Personality) -> Self {
        Self {
            name,
            leases: BTreeMap::new(),
            ingests: BTreeMap::new(),
            content: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            images: BTreeMap::new(),
            chain_locks: BTreeMap::new(),
            collect_at: None,
            personality,
            events: Vec::new(),
        }
    }

    /// Takes what happened since the last time.
    pub(super) fn take_events(&mut self) -> Vec<Event> {
        mem::take(&mut self.events)
    }

    /// Creates a lease as clients do: it expires by itself. There are no events of leases.
    pub(super) fn create_lease(&mut self, id: &str, now: Timestamp) {
        let seconds = (now + LEASE_LIFE).as_nanos() / 1_000_000_000;
        let expires = Timestamp::from_nanos(seconds * 1_000_000_000).to_string();
        let labels = Labels::from([(EXPIRE_LABEL.to_owned(), expires)]);
        self.leases.insert(id.to_owned(), Lease { created_at: now, labels, resources: BTreeSet::new() });
    }

    /// Creates the lease of a pod sandbox: no labels, no resources.
    pub(super) fn create_sandbox_lease(&mut self, id: String, now: Timestamp) {
        self.leases.insert(id, Lease { created_at: now, labels: Labels::new(), resources: BTreeSet::new() });
    }

    /// Adds something to a lease.
    pub(super) fn keep(&mut self, lease: &str, resource: Resource) {
        if let Some(lease) = self.leases.get_mut(lease) {
            lease.resources.insert(resource);
        }
    }

    /// Deletes a lease; what only it kept is collected a little later.
    pub(super) fn delete_lease(&mut self, id: &str, now: Timestamp) {
        self.leases.remove(id);
        self.collect_at = Some(now + COLLECT_AFTER);
    }

    /// Opens the ingest of a blob, or the one that a dead pull left behind, which then goes on where it was.
    pub(super) fn open_ingest(&mut self, lease: &str, reference: &str, total: u64, writer: Owner, now: Timestamp) {
        let new = Ingest { started_at: now, updated_at: now, total, offset: 0, received_milli: 0, writer: None };
        let ingest = self.ingests.entry(reference.to_owned()).or_insert(new);
        ingest.writer = Some(writer);
        ingest.received_milli = ingest.offset * 1_000;
        self.keep(lease, Resource::Ingest(reference.to_owned()));
    }

    /// Turns an ingest into content, in one step. Announced from 2.1 on.
    pub(super) fn commit_ingest(&mut self, lease: &str, reference: &str, blob: &Blob, bytes: Option<Vec<u8>>, now: Timestamp) {
        self.ingests.remove(reference);
        if let Some(lease) = self.leases.get_mut(lease) {
            lease.resources.remove(&Resource::Ingest(reference.to_owned()));
        }
        self.add_content(blob, bytes, now);
        self.keep(lease, Resource::Content(blob.digest.to_string()));
        if self.personality.announces_content() {
            self.tell(now, Fact::ContentCreated { blob: blob.clone() });
        }
    }

    /// Puts content there without telling anybody.
    pub(super) fn add_content(&mut self, blob: &Blob, bytes: Option<Vec<u8>>, now: Timestamp) {
        let content = Content { blob: blob.clone(), bytes, labels: Labels::new(), created_at: now, updated_at: now };
        self.content.entry(blob.digest.to_string()).or_insert(content);
    }

    /// Labels content. A `distribution.source` that is there already gains the new repository.
    pub(super) fn label_content(&mut self, digest: &str, key: &str, value: &str, now: Timestamp) {
        let Some(content) = self.content.get_mut(digest) else { return };
        content.updated_at = now;
        let label = content.labels.entry(key.to_owned()).or_default();
        if label.is_empty() || !key.contains("distribution.source") {
            value.clone_into(label);
        } else if !label.split(',').any(|repository| repository == value) {
            *label = format!("{label},{value}");
        }
    }

    /// Prepares a snapshot to unpack a layer into. Announced.
    pub(super) fn prepare(&mut self, lease: &str, key: &str, snapshot: Snapshot, now: Timestamp) {
        let parent = snapshot.parent.clone().unwrap_or_default();
        self.snapshots.insert(key.to_owned(), snapshot);
        self.keep(lease, Resource::Snapshot(key.to_owned()));
        self.tell(now, Fact::SnapshotPrepared { key: key.to_owned(), parent });
    }

    /// Commits a prepared snapshot under its chain id. Announced.
    pub(super) fn commit_snapshot(&mut self, lease: &str, key: &str, chain: &str, size: u64, now: Timestamp) {
        let Some(active) = self.snapshots.remove(key) else { return };
        let committed = Snapshot { committed: true, created_at: now, size, ..active };
        self.snapshots.insert(chain.to_owned(), committed);
        if let Some(lease) = self.leases.get_mut(lease) {
            lease.resources.remove(&Resource::Snapshot(key.to_owned()));
            lease.resources.insert(Resource::Snapshot(chain.to_owned()));
        }
        self.tell(now, Fact::SnapshotCommitted { key: key.to_owned(), name: chain.to_owned() });
    }

    /// Puts a committed snapshot there that a lazy snapshotter mounted. Nobody is told.
    pub(super) fn mount(&mut self, lease: &str, chain: &str, snapshot: Snapshot) {
        self.snapshots.insert(chain.to_owned(), Snapshot { committed: true, ..snapshot });
        self.keep(lease, Resource::Snapshot(chain.to_owned()));
    }

    /// Removes a prepared snapshot. Announced.
    pub(super) fn remove_snapshot(&mut self, lease: &str, key: &str, now: Timestamp) {
        self.snapshots.remove(key);
        if let Some(lease) = self.leases.get_mut(lease) {
            lease.resources.remove(&Resource::Snapshot(key.to_owned()));
        }
        self.tell(now, Fact::SnapshotRemoved { key: key.to_owned() });
    }

    /// Whether there is a record of that name for that target.
    pub(super) fn has_record(&self, name: &str, target: &Blob) -> bool {
        self.images.get(name).is_some_and(|record| record.target == *target)
    }

    /// Creates or updates an image record. Announced.
    pub(super) fn write_record(&mut self, name: &str, target: &Blob, now: Timestamp) {
        let created = match self.images.get(name) {
            Some(known) => known.created_at,
            None => now,
        };
        let record = Record { target: target.clone(), created_at: created, updated_at: now };
        let name = name.to_owned();
        match self.images.insert(name.clone(), record) {
            Some(_) => self.tell(now, Fact::ImageUpdated { name }),
            None => self.tell(now, Fact::ImageCreated { name }),
        }
    }

    /// Puts an image record there without telling anybody.
    pub(super) fn add_record(&mut self, name: String, target: &Blob, now: Timestamp) {
        self.images.insert(name, Record { target: target.clone(), created_at: now, updated_at: now });
    }

    /// Deletes all image records, as a node's housekeeping does. Announced, one by one.
    pub(super) fn delete_records(&mut self, now: Timestamp) {
        for name in mem::take(&mut self.images).into_keys() {
            self.tell(now, Fact::ImageDeleted { name });
        }
    }

    pub(super) fn tell(&mut self, at: Timestamp, fact: Fact) {
        self.events.push(Event { at, namespace: self.name.clone(), fact });
    }
}
