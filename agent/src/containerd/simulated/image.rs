//! The images of the simulated registry: real documents, layers that are only described.
//!
//! Index, manifest and config are JSON whose digests are those of their bytes, and the chain ids follow from the diff ids as everywhere.
//! A layer has a size, a digest and a diff id but no bytes: nobody who watches pulls reads layers, and 20 GiB need no memory.

use std::fmt;

use lifecycle::image::{Digest, ImageRef};
use serde_json::{Value, json};

use super::scenario::{ImageSpec, LayerSpec, MediaTypes};

/// The architecture that all simulated images are for, and the node is of.
pub(super) const ARCHITECTURE: &str = "amd64";

/// An image with its documents and layers.
#[derive(Clone, Debug)]
pub struct Image {
    /// Registry, repository and tag.
    pub name: ImageRef,
    /// What a pull fetches before the layers, in order: index (unless the tag names a manifest), manifest, config.
    pub documents: Vec<Document>,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
}

/// A small blob that has its bytes.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it is, as ingests are named after it.
    pub kind: Kind,
    /// Digest, size and media type.
    pub blob: Blob,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The labels that keep its children from being collected.
    pub references: Vec<(String, String)>,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Digest, compressed size and media type.
    pub blob: Blob,
    /// Digest of its uncompressed bytes.
    pub diff_id: Digest,
    /// The name of the snapshot that has this layer on top.
    pub chain_id: Digest,
}

/// What a descriptor says of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size, bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: &'static str,
}

/// What a blob is, as containerd names ingests after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The list of manifests by platform.
    Index,
    /// The list of layers.
    Manifest,
    /// The image's configuration, with the diff ids.
    Config,
    /// A layer.
    Layer,
}

impl Image {
    /// Builds the documents of an image; equal specifications give equal digests.
    pub fn build(spec: &ImageSpec) -> Self {
        let types = &TYPES[usize::from(spec.media_types == MediaTypes::Docker)];
        let layers = build_layers(spec, types.layer);
        let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
        let platform = json!({"architecture": ARCHITECTURE, "os": "linux"});
        let config = Document::new(
            Kind::Config,
            types.config,
            &json!({"architecture": ARCHITECTURE, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}),
        );
        let described: Vec<_> = layers.iter().map(|layer| layer.blob.descriptor()).collect();
        let mut manifest = Document::new(
            Kind::Manifest,
            types.manifest,
            &json!({"schemaVersion": 2, "mediaType": types.manifest, "config": config.blob.descriptor(), "layers": described}),
        );
        manifest.refer("config", &config.blob.digest);
        for (i, layer) in layers.iter().enumerate() {
            manifest.refer(&format!("l.{i}"), &layer.blob.digest);
        }
        if spec.single_manifest {
            return Self { name: spec.name.clone(), documents: vec![manifest, config], layers };
        }
        let mut entry = manifest.blob.descriptor();
        entry["platform"] = platform;
        let mut index =
            Document::new(Kind::Index, types.index, &json!({"schemaVersion": 2, "mediaType": types.index, "manifests": [entry]}));
        index.refer("m.0", &manifest.blob.digest);
        Self { name: spec.name.clone(), documents: vec![index, manifest, config], layers }
    }

    /// What the tag names: the index, or the manifest if there is none.
    pub fn target(&self) -> &Blob {
        &self.documents[0].blob
    }

    /// The image's configuration.
    pub fn config(&self) -> &Blob {
        &self.documents[self.documents.len() - 1].blob
    }

    /// The names of its records: the reference, the id, and the reference by digest.
    pub fn record_names(&self) -> [String; 3] {
        let (registry, repository) = (self.name.registry(), self.name.repository());
        [self.name.to_string(), self.config().digest.to_string(), format!("{registry}/{repository}@{}", self.target().digest)]
    }

    /// The label that tells where content came from. As in containerd the registry's port is not part of it.
    pub fn source_label(&self) -> (String, String) {
        let registry = self.name.registry();
        let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
        (format!("containerd.io/distribution.source.{host}"), self.name.repository().to_owned())
    }
}

impl Layer {
    /// Chain ids of the layer below and of this one.
    fn chain(below: Option<&Digest>, diff_id: &Digest) -> Digest {
        below.map_or_else(|| diff_id.clone(), |below| Digest::of(format!("{below} {diff_id}").as_bytes()))
    }
}

impl Document {
    fn new(kind: Kind, media_type: &'static str, content: &Value) -> Self {
        let bytes = content.to_string().into_bytes();
        let blob = Blob { digest: Digest::of(&bytes), size: bytes.len() as u64, media_type };
        Self { kind, blob, bytes, references: Vec::new() }
    }

    fn refer(&mut self, role: &str, child: &Digest) {
        self.references.push((format!("containerd.io/gc.ref.content.{role}"), child.to_string()));
    }
}

impl Blob {
    /// The ref of the ingest that this blob is fetched into.
    pub fn ingest_ref(&self, kind: Kind) -> String {
        format!("{kind}-{}", self.digest)
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest, "size": self.size})
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Index => "index",
            Self::Manifest => "manifest",
            Self::Config => "config",
            Self::Layer => "layer",
        })
    }
}

/// The media types of one family.
struct Types {
    index: &'static str,
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

/// OCI's, then Docker's.
const TYPES: [Types; 2] = [
    Types {
        index: "application/vnd.oci.image.index.v1+json",
        manifest: "application/vnd.oci.image.manifest.v1+json",
        config: "application/vnd.oci.image.config.v1+json",
        layer: "application/vnd.oci.image.layer.v1.tar+gzip",
    },
    Types {
        index: "application/vnd.docker.distribution.manifest.list.v2+json",
        manifest: "application/vnd.docker.distribution.manifest.v2+json",
        config: "application/vnd.docker.container.image.v1+json",
        layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    },
];

fn build_layers(spec: &ImageSpec, media_type: &'static str) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for (i, LayerSpec { size, seed }) in spec.layers.iter().enumerate() {
        let identity = format!("{} {}", seed.clone().unwrap_or_else(|| format!("{}/{i}", spec.name)), size.0);
        let diff_id = Digest::of(format!("diff {identity}").as_bytes());
        let blob = Blob { digest: Digest::of(format!("layer {identity}").as_bytes()), size: size.0, media_type };
        let chain_id = Layer::chain(layers.last().map(|layer| &layer.chain_id), &diff_id);
        layers.push(Layer { blob, diff_id, chain_id });
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerd::simulated::scenario::Scenario;

    fn four_layers() -> Image {
        Image::build(&Scenario::named("four-layers").unwrap().images[0])
    }

    #[test]
    fn documents_have_the_digest_of_their_bytes_and_name_each_other() {
        let image = four_layers();
        for document in &image.documents {
            assert_eq!(Digest::of(&document.bytes), document.blob.digest);
            assert_eq!(document.bytes.len() as u64, document.blob.size);
        }
        let index: Value = serde_json::from_slice(&image.documents[0].bytes).unwrap();
        let manifest: Value = serde_json::from_slice(&image.documents[1].bytes).unwrap();
        assert_eq!(index["manifests"][0]["digest"], image.documents[1].blob.digest.as_str());
        assert_eq!(manifest["config"]["digest"], image.config().digest.as_str());
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn chain_ids_are_the_hash_of_the_chain_below_and_the_diff_id() {
        let image = four_layers();
        assert_eq!(image.layers[0].chain_id, image.layers[0].diff_id);
        let second = format!("{} {}", image.layers[0].diff_id, image.layers[1].diff_id);
        assert_eq!(image.layers[1].chain_id, Digest::of(second.as_bytes()));
    }
}
