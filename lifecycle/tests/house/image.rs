//! Images as a registry has them: documents with bytes, layers with a size only. Layers of one number are the same layer in every image.

use lifecycle::image::{Digest, ImageRef};
use serde_json::json;

/// An image.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) name: ImageRef,
    /// What a pull fetches first, in order; the first is what the name stands for, the last is the configuration.
    pub(super) documents: Vec<Blob>,
    /// Lowest first. A layer may stand there twice.
    pub(super) layers: Vec<ImageLayer>,
}

/// A small blob with its bytes.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) kind: &'static str,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
    pub(super) has_children: bool,
}

/// A layer.
#[derive(Clone, Debug)]
pub(super) struct ImageLayer {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Name of the snapshot that has it on top.
    pub(super) chain: Digest,
}

impl Image {
    /// The image number `number` with these layers: number and size of each.
    pub(super) fn new(number: usize, layers: &[(u8, u64)], with_index: bool) -> Self {
        let name = format!("registry.example.com/team/image-{number}:v{number}").parse().expect("a name");
        let diff = |n: u8| Digest::of(format!("diff {n}").as_bytes());
        let mut below: Option<Digest> = None;
        let mut built = Vec::new();
        for (n, size) in layers {
            let chain = match &below {
                None => diff(*n),
                Some(below) => Digest::of(format!("{below} {}", diff(*n)).as_bytes()),
            };
            below = Some(chain.clone());
            built.push(ImageLayer { digest: Digest::of(format!("layer {n}").as_bytes()), size: *size, chain });
        }
        let diffs: Vec<_> = layers.iter().map(|(n, _)| diff(*n)).collect();
        let config = Blob::new("config", &json!({"image": number, "rootfs": {"type": "layers", "diff_ids": diffs}}), false);
        let described: Vec<_> = built.iter().map(|l| json!({"digest": l.digest, "size": l.size, "mediaType": "layer"})).collect();
        let manifest = Blob::new("manifest", &json!({"config": {"digest": config.digest, "size": 1}, "layers": described}), true);
        let index = Blob::new("index", &json!({"manifests": [{"digest": manifest.digest, "size": 1}]}), true);
        let documents = if with_index { vec![index, manifest, config] } else { vec![manifest, config] };
        Self { name, documents, layers: built }
    }

    /// What the name stands for.
    pub(super) fn target(&self) -> &Digest {
        &self.documents[0].digest
    }

    /// The name by digest, which CRI records too.
    pub(super) fn by_digest(&self) -> String {
        format!("{}/{}@{}", self.name.registry(), self.name.repository(), self.target())
    }

    /// Its layers, each once.
    pub(super) fn distinct(&self) -> Vec<&ImageLayer> {
        let mut found: Vec<&ImageLayer> = Vec::new();
        for layer in &self.layers {
            if !found.iter().any(|known| known.digest == layer.digest) {
                found.push(layer);
            }
        }
        found
    }
}

impl Blob {
    fn new(kind: &'static str, content: &serde_json::Value, has_children: bool) -> Self {
        let bytes = content.to_string().into_bytes();
        Self { kind, digest: Digest::of(&bytes), bytes, has_children }
    }
}
