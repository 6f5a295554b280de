//! The layers of all pulls in memory, as few bytes each: 64 of its own, and its digest and media type once for all pulls that have it. A
//! rollout pulls the same layers on every node, so what is the same is most of it.
//!
//! Nothing is lost: what was packed comes out as it went in.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    image::Digest,
    pull::{Interval, Layer, LayerState, TimingSource},
    time::Timestamp,
};

/// Blobs that nobody uses are looked for when there are twice as many as were left last time, and at least so many.
const SWEEP_AT_LEAST: usize = 1024;

/// The layers of one pull, base first.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers(Box<[Slot]>);

/// One layer of one pull; its fields mean what those of [`Layer`] do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    blob: Arc<Blob>,
    pub(super) size: u64,
    pub(super) fetched: u64,
    download: [Option<Timestamp>; 2],
    unpack: [Option<Timestamp>; 2],
    sources: [TimingSource; 2],
    pub(super) state: LayerState,
    pub(super) cached: bool,
    pub(super) lazy: bool,
}

/// What is the same of a layer wherever it is pulled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Blob {
    digest: Digest,
    media_type: Arc<str>,
}

/// What the layers in memory share. Holds at most twice as much as is used, and [`SWEEP_AT_LEAST`].
#[derive(Debug, Default)]
pub(super) struct Blobs {
    known: BTreeSet<Arc<Blob>>,
    sweep_at: usize,
}

impl Layers {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Slot> {
        self.0.iter()
    }

    /// The layer with this digest and its place, which is most likely this one.
    pub(super) fn find(&self, likely: usize, digest: &Digest) -> Option<(usize, &Slot)> {
        let there = self.0.get(likely).filter(|slot| slot.digest() == digest).map(|slot| (likely, slot));
        there.or_else(|| self.0.iter().enumerate().find(|(_, slot)| slot.digest() == digest))
    }

    /// As they were before they were packed.
    pub(super) fn unpacked(&self) -> Vec<Layer> {
        self.0.iter().map(Slot::layer).collect()
    }
}

impl Slot {
    pub(super) fn digest(&self) -> &Digest {
        &self.blob.digest
    }

    /// Whether both are the same but for how many bytes came, and how exactly their times are known.
    pub(super) fn is_same_but_bytes(&self, other: &Self) -> bool {
        // Everything is named, so that a new field must be sorted to one side or the other.
        let Self { blob, size, fetched: _, download, unpack, sources: _, state, cached, lazy } = self;
        (size, state, cached, lazy) == (&other.size, &other.state, &other.cached, &other.lazy)
            && (download, unpack) == (&other.download, &other.unpack)
            && (Arc::ptr_eq(blob, &other.blob) || *blob == other.blob)
    }

    fn layer(&self) -> Layer {
        let interval = |[start, end]: [Option<Timestamp>; 2], source| Interval { start, end, source };
        Layer {
            digest: self.blob.digest.clone(),
            media_type: self.blob.media_type.clone(),
            size: self.size,
            fetched: self.fetched,
            cached: self.cached,
            lazy: self.lazy,
            state: self.state,
            download: interval(self.download, self.sources[0]),
            unpack: interval(self.unpack, self.sources[1]),
        }
    }
}

impl Blobs {
    /// Packs layers; those that were in the same place `before` are found at once.
    pub(super) fn pack(&mut self, layers: Vec<Layer>, before: Option<&Layers>) -> Layers {
        let slot = |(place, layer): (usize, Layer)| Slot {
            blob: self.shared(
                Blob { digest: layer.digest, media_type: layer.media_type },
                before.and_then(|before| before.0.get(place)),
            ),
            size: layer.size,
            fetched: layer.fetched,
            download: [layer.download.start, layer.download.end],
            unpack: [layer.unpack.start, layer.unpack.end],
            sources: [layer.download.source, layer.unpack.source],
            state: layer.state,
            cached: layer.cached,
            lazy: layer.lazy,
        };
        Layers(layers.into_iter().enumerate().map(slot).collect())
    }

    fn shared(&mut self, blob: Blob, before: Option<&Slot>) -> Arc<Blob> {
        if let Some(same) = before.filter(|before| *before.blob == blob) {
            return same.blob.clone();
        }
        if let Some(known) = self.known.get(&blob) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at {
            self.known.retain(|known| Arc::strong_count(known) > 1);
            self.sweep_at = (self.known.len() * 2).max(SWEEP_AT_LEAST);
        }
        let blob = Arc::new(blob);
        self.known.insert(blob.clone());
        blob
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(number: u64) -> Layer {
        let time = |nanos| Some(Timestamp::from_nanos(nanos));
        Layer {
            digest: Digest::of(&number.to_be_bytes()),
            media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
            size: number,
            fetched: number / 2,
            cached: number.is_multiple_of(2),
            lazy: number.is_multiple_of(3),
            state: LayerState::ALL[usize::try_from(number % 7).unwrap()],
            download: Interval { start: time(number), end: None, source: TimingSource::Event },
            unpack: Interval { start: None, end: time(number + 1), source: TimingSource::Poll },
        }
    }

    #[test]
    fn what_was_packed_comes_out_as_it_went_in() {
        let layers: Vec<_> = (0..20).map(layer).collect();
        assert_eq!(Blobs::default().pack(layers.clone(), None).unpacked(), layers);
    }

    #[test]
    fn a_layer_takes_64_bytes_beside_what_it_shares() {
        assert_eq!(size_of::<Slot>(), 64);
        assert_eq!(size_of::<Option<Timestamp>>(), 8);
    }

    #[test]
    fn layers_of_many_pulls_share_what_is_the_same_and_what_nobody_has_is_forgotten() {
        let mut blobs = Blobs::default();
        let pulls: Vec<_> = (0..100).map(|_| blobs.pack((0..10).map(layer).collect(), None)).collect();
        assert_eq!(blobs.known.len(), 10);
        drop(pulls);
        for number in 0..100_000 {
            blobs.pack(vec![layer(number)], None);
            assert!(blobs.known.len() <= SWEEP_AT_LEAST);
        }
    }
}
