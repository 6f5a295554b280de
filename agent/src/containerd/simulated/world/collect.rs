//! The garbage collector: what no lease and no image leads to is removed.
//!
//! Marks from leases and image records along the same labels as containerd does, then sweeps. Announces snapshots (from 1.7 on, top of a
//! chain first) and never content. When it runs is decided by [`super::store`].

use std::collections::BTreeSet;

use lifecycle::time::Timestamp;

use super::store::{Resource, SNAPSHOT_REFERENCE, Store};
use crate::containerd::simulated::events::Fact;

impl Store {
    /// Removes everything that nothing leads to.
    pub(super) fn collect_garbage(&mut self, now: Timestamp) {
        let reached = self.mark();
        self.ingests.retain(|reference, _| reached.contains(&Resource::Ingest(reference.clone())));
        self.content.retain(|digest, _| reached.contains(&Resource::Content(digest.clone())));
        let mut dead: Vec<_> =
            self.snapshots.keys().filter(|name| !reached.contains(&Resource::Snapshot((*name).clone()))).cloned().collect();
        dead.sort_by_key(|name| std::cmp::Reverse(self.depth(name)));
        for key in dead {
            self.snapshots.remove(&key);
            if self.personality.announces_collected_snapshots() {
                self.tell(now, Fact::SnapshotRemoved { key });
            }
        }
        self.collect_at = None;
    }

    fn mark(&self) -> BTreeSet<Resource> {
        let leased = self.leases.values().flat_map(|lease| lease.resources.iter().cloned());
        let named = self.images.values().map(|record| Resource::Content(record.target.digest.to_string()));
        let mut open: Vec<_> = leased.chain(named).collect();
        let mut reached = BTreeSet::new();
        while let Some(resource) = open.pop() {
            if reached.insert(resource.clone()) {
                open.extend(self.children(&resource));
            }
        }
        reached
    }

    fn children(&self, resource: &Resource) -> Vec<Resource> {
        match resource {
            Resource::Content(digest) => {
                let labels = self.content.get(digest).into_iter().flat_map(|content| &content.labels);
                let child = |(key, value): (&String, &String)| {
                    if key == SNAPSHOT_REFERENCE {
                        Some(Resource::Snapshot(value.clone()))
                    } else {
                        key.starts_with("containerd.io/gc.ref.content.").then(|| Resource::Content(value.clone()))
                    }
                };
                labels.filter_map(child).collect()
            }
            Resource::Ingest(_) => Vec::new(),
            Resource::Snapshot(name) => {
                let parent = self.snapshots.get(name).and_then(|snapshot| snapshot.parent.clone());
                parent.map(Resource::Snapshot).into_iter().collect()
            }
        }
    }

    /// How many snapshots lie below this one.
    fn depth(&self, name: &str) -> usize {
        let mut below = self.snapshots.get(name).and_then(|snapshot| snapshot.parent.as_ref());
        let mut depth = 0;
        while let Some(parent) = below {
            depth += 1;
            below = self.snapshots.get(parent).and_then(|snapshot| snapshot.parent.as_ref());
        }
        depth
    }
}
