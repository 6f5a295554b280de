//! What is to happen: images, pulls, their links and their ends, written as JSON and parsed here once.
//!
//! Refuses unknown keys, images and layers that are not defined, and numbers out of bounds, with a sentence that names them. What the
//! parts mean in time is decided by `super::world`; what an image consists of by `super::image`; how numbers are written by
//! `super::measures`.

use std::{collections::BTreeSet, fs, io, path::Path, str::FromStr, time::Duration};

use lifecycle::image::ImageRef;
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

pub use super::measures::{Seconds, Size};

/// Most images and most pulls of one scenario: more is a mistake in the file.
const MAX_ITEMS: usize = 1_000;
/// Most layers of one image: what the overlay file system can stack.
const MAX_LAYERS: usize = 127;

/// The scenarios that come along, by name.
const SHIPPED: [(&str, &str); 10] = [
    ("cached", include_str!("../../../scenarios/cached.json")),
    ("canceled", include_str!("../../../scenarios/canceled.json")),
    ("crash", include_str!("../../../scenarios/crash.json")),
    ("demo", include_str!("../../../scenarios/demo.json")),
    ("failed", include_str!("../../../scenarios/failed.json")),
    ("four-layers", include_str!("../../../scenarios/four-layers.json")),
    ("lazy", include_str!("../../../scenarios/lazy.json")),
    ("partial-cache", include_str!("../../../scenarios/partial-cache.json")),
    ("shared-base", include_str!("../../../scenarios/shared-base.json")),
    ("stalled", include_str!("../../../scenarios/stalled.json")),
];

/// A whole written scenario. Only parsing makes one, so all its parts fit together.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Scenario {
    /// For the reader: what this scenario shows.
    pub about: String,
    /// The images that exist in the simulated registry.
    pub images: Vec<ImageSpec>,
    /// What the node has before the first second.
    #[serde(default)]
    pub present: Vec<Present>,
    /// What all downloads share, bytes per second.
    #[serde(default)]
    pub total_bytes_per_sec: Option<Size>,
    /// The pulls.
    pub pulls: Vec<PullSpec>,
    /// When containerd dies, in order of time.
    #[serde(default)]
    pub crashes: Vec<Crash>,
    /// How many pod sandboxes run, each with a lease of its own where the version has that.
    #[serde(default)]
    pub sandboxes: u16,
    /// How long nothing happens between two rounds, if the scenario is repeated.
    #[serde(default)]
    pub pause: Seconds,
}

/// One image of the registry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ImageSpec {
    /// Registry, repository and tag.
    #[serde(deserialize_with = "tagged")]
    pub name: ImageRef,
    /// Its layers, lowest first.
    pub layers: Vec<LayerSpec>,
    /// Which media types its documents and layers have.
    #[serde(default)]
    pub media_types: MediaTypes,
    /// Whether the tag names a plain manifest instead of an index.
    #[serde(default)]
    pub single_manifest: bool,
}

/// One layer: `SIZE` or `SIZE@SEED`, such as `12.5MiB@base`. Layers of equal size and seed are the same layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// Compressed size.
    pub size: Size,
    /// What makes it the same layer in several images; none: this image's own.
    pub seed: Option<String>,
}

/// The two families of media types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaTypes {
    /// Those of the OCI image specification.
    #[default]
    Oci,
    /// Docker's, version 2 schema 2.
    Docker,
}

/// An image that the node has from the start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Present {
    /// Which image.
    #[serde(deserialize_with = "tagged")]
    pub image: ImageRef,
    /// Which parts of it.
    #[serde(rename = "as", default)]
    pub parts: Parts,
}

/// Which parts of an image a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Parts {
    /// Content and snapshots: a pull that is over.
    #[default]
    Unpacked,
    /// Content only: fetched, never unpacked.
    Content,
    /// Snapshots only: the layers' content was discarded after unpacking.
    Snapshots,
}

/// One pull.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PullSpec {
    /// What is pulled.
    #[serde(deserialize_with = "tagged")]
    pub image: ImageRef,
    /// When it begins, counted from the begin of the round.
    #[serde(default)]
    pub at: Seconds,
    /// The containerd namespace that it happens in.
    #[serde(default = "PullSpec::default_namespace")]
    pub namespace: String,
    /// How long the registry takes to say what the tag means.
    #[serde(default = "PullSpec::default_resolve")]
    pub resolve: Seconds,
    /// The link: what one layer gets, bytes per second.
    #[serde(default = "PullSpec::default_link")]
    pub bytes_per_sec: Size,
    /// How fast layers unpack, compressed bytes per second.
    #[serde(default = "PullSpec::default_unpack")]
    pub unpack_bytes_per_sec: Size,
    /// Whether a lazy snapshotter mounts the layers from afar instead of unpacking blobs.
    #[serde(default)]
    pub lazy: bool,
    /// Where the link stands still.
    #[serde(default)]
    pub stalls: Vec<Stall>,
    /// How it ends.
    #[serde(default)]
    pub end: End,
}

/// A layer's download stands still for a while.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Stall {
    /// Which layer, counted from 0.
    pub layer: usize,
    /// After how many bytes of it.
    pub after_bytes: Size,
    /// For how long.
    pub lasts: Seconds,
}

/// How a pull ends. An end at a layer happens only if that layer is fetched; otherwise the pull becomes ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum End {
    /// Everything is there.
    #[default]
    Ready,
    /// Whoever asked for it goes away, this long after its start.
    CanceledAfter(Seconds),
    /// The registry does not know the image.
    NotFound,
    /// The registry wants credentials.
    Unauthorized,
    /// The connection is reset in the middle of a layer.
    Reset(Place),
    /// The disk is full in the middle of a layer.
    NoSpace(Place),
    /// A layer's bytes are not those of its digest.
    DigestMismatch(AtLayer),
    /// A layer cannot be unpacked.
    UnpackFailure(AtLayer),
}

/// A point within the download of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Place {
    /// Which layer, counted from 0.
    pub layer: usize,
    /// After how many bytes of it.
    pub after_bytes: Size,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AtLayer {
    /// Which layer, counted from 0.
    pub layer: usize,
}

/// containerd is killed and comes back; its leases and ingests stay.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Crash {
    /// When, counted from the begin of the round.
    pub at: Seconds,
    /// How long it is away.
    pub down_for: Seconds,
}

/// Why there is no such scenario.
#[derive(Debug, Error)]
pub enum Unplayable {
    /// None of that name comes along.
    #[error("there is no scenario {name:?}; there are {}", Scenario::names().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read the scenario {path}: {cause}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The text is not a scenario.
    #[error("not a scenario: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The parts do not fit together.
    #[error("not a scenario: {0}")]
    Inconsistent(String),
}

impl Scenario {
    /// The names of the scenarios that come along.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHIPPED.into_iter().map(|(name, _)| name)
    }

    /// One of those that come along.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn named(name: &str) -> Result<Self, Unplayable> {
        let (_, text) =
            SHIPPED.into_iter().find(|(known, _)| *known == name).ok_or_else(|| Unplayable::Unknown { name: name.to_owned() })?;
        text.parse()
    }

    /// From a file.
    ///
    /// # Errors
    /// When the file cannot be read or is not a scenario.
    pub fn read(path: &Path) -> Result<Self, Unplayable> {
        let text =
            fs::read_to_string(path).map_err(|cause| Unplayable::Unreadable { path: path.display().to_string(), cause })?;
        text.parse()
    }

    /// The image of that name.
    pub fn image(&self, name: &ImageRef) -> Option<&ImageSpec> {
        self.images.iter().find(|image| image.name == *name)
    }

    fn check(&self) -> Result<(), String> {
        if self.images.len() > MAX_ITEMS || self.pulls.len() > MAX_ITEMS || self.crashes.len() > MAX_ITEMS {
            return Err(format!("more than {MAX_ITEMS} images, pulls or crashes"));
        }
        let mut names = BTreeSet::new();
        for image in &self.images {
            if !names.insert(&image.name) {
                return Err(format!("image {} is defined twice", image.name));
            }
            if image.layers.is_empty() || image.layers.len() > MAX_LAYERS {
                return Err(format!("image {} must have 1 to {MAX_LAYERS} layers", image.name));
            }
        }
        if let Some(unknown) = self.present.iter().map(|present| &present.image).find(|image| !names.contains(image)) {
            return Err(format!("image {unknown} is present but not defined"));
        }
        self.pulls.iter().try_for_each(|pull| self.check_pull(pull))?;
        let times: Vec<_> = self.crashes.iter().flat_map(|crash| [crash.at.0, crash.at.0 + crash.down_for.0]).collect();
        if times.is_sorted() { Ok(()) } else { Err("crashes must be in order of time and not overlap".to_owned()) }
    }

    fn check_pull(&self, pull: &PullSpec) -> Result<(), String> {
        let image = self.image(&pull.image).ok_or_else(|| format!("image {} is pulled but not defined", pull.image))?;
        let named = pull.stalls.iter().map(|stall| stall.layer).chain(pull.end.layer());
        if let Some(layer) = named.into_iter().find(|layer| *layer >= image.layers.len()) {
            return Err(format!("image {} has no layer {layer}", pull.image));
        }
        if pull.bytes_per_sec.0 == 0 || pull.unpack_bytes_per_sec.0 == 0 || self.total_bytes_per_sec == Some(Size(0)) {
            return Err(format!("the pull of {} never moves: a rate is 0", pull.image));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if pull.namespace.is_empty() || !pull.namespace.chars().all(allowed) {
            return Err(format!("{:?} is not a containerd namespace", pull.namespace));
        }
        Ok(())
    }
}

impl FromStr for Scenario {
    type Err = Unplayable;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scenario: Self = serde_json::from_str(text)?;
        scenario.check().map_err(Unplayable::Inconsistent)?;
        Ok(scenario)
    }
}

impl PullSpec {
    fn default_namespace() -> String {
        "k8s.io".to_owned()
    }

    const fn default_resolve() -> Seconds {
        Seconds(Duration::from_millis(30))
    }

    const fn default_link() -> Size {
        Size(10_000_000)
    }

    const fn default_unpack() -> Size {
        Size(200_000_000)
    }
}

impl End {
    /// The layer at which it happens, if it is one that happens at a layer.
    fn layer(&self) -> Option<usize> {
        match self {
            Self::Ready | Self::CanceledAfter(_) | Self::NotFound | Self::Unauthorized => None,
            Self::Reset(place) | Self::NoSpace(place) => Some(place.layer),
            Self::DigestMismatch(at) | Self::UnpackFailure(at) => Some(at.layer),
        }
    }
}

impl FromStr for LayerSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (size, seed) = match text.split_once('@') {
            Some((size, seed)) => (size, Some(seed.to_owned())),
            None => (text, None),
        };
        let size: Size = size.parse()?;
        if size.0 == 0 { Err(format!("{text:?} is a layer without a byte")) } else { Ok(Self { size, seed }) }
    }
}

impl<'de> Deserialize<'de> for LayerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An image reference with a tag and without a digest.
fn tagged<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ImageRef, D::Error> {
    let text = String::deserialize(deserializer)?;
    let image: ImageRef = text.parse().map_err(de::Error::custom)?;
    if image.digest().is_some() {
        return Err(de::Error::custom(format!("{text:?} must be named by a tag, its digest follows from its layers")));
    }
    Ok(image)
}
