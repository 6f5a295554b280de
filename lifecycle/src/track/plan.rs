//! From manifest and configuration to the list of layers: sizes from the one, chain ids from the other.
//!
//! Formats: OCI image specification (index, manifest, config) and their Docker schema 2 twins, which have the same fields.

use serde::Deserialize;
use thiserror::Error;

use crate::image::Digest;

/// Most layers of one image that are followed; Docker allows 127.
pub const MAX_LAYERS: usize = 512;

/// Largest layer size that is believed, bytes: 1 PiB. Larger ones are a broken or hostile manifest.
const MAX_LAYER_SIZE: u64 = 1 << 50;

/// Longest media type that is kept, bytes (RFC 6838 allows 127 for each half).
const MAX_MEDIA_TYPE: usize = 255;

/// A JSON document of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Document {
    /// A list of manifests, one for each platform.
    Index {
        /// The manifests' digests.
        manifests: Vec<Digest>,
    },
    /// One image for one platform.
    Manifest {
        /// Digest of the configuration.
        config: Digest,
        /// Layers, base first.
        layers: Vec<PlannedLayer>,
    },
    /// The configuration: digests of the unpacked layers.
    Config {
        /// One for each layer, base first.
        diff_ids: Vec<Digest>,
    },
}

/// A layer as the manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedLayer {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) size: u64,
}

/// Why a blob is no document of an image.
#[derive(Debug, Error)]
pub(super) enum ParseDocumentError {
    /// No JSON, or not of a known shape.
    #[error("not a manifest, index or configuration: {0}")]
    Json(#[from] serde_json::Error),
    /// None of the three.
    #[error("neither manifest nor index nor configuration")]
    Kind,
    /// A size or a number of layers that cannot be.
    #[error("a size or number of layers is out of bounds")]
    Bounds,
}

impl Document {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ParseDocumentError> {
        let raw: Raw = serde_json::from_slice(bytes)?;
        match raw {
            Raw { manifests: Some(manifests), .. } => {
                Ok(Self::Index { manifests: manifests.into_iter().take(MAX_LAYERS).map(|d| d.digest).collect() })
            }
            Raw { config: Some(ConfigField::Descriptor(config)), layers: Some(layers), .. } => {
                let believable = layers.len() <= MAX_LAYERS && layers.iter().all(|l| l.size <= MAX_LAYER_SIZE);
                let layers = layers.into_iter().map(PlannedLayer::from).collect();
                if believable { Ok(Self::Manifest { config: config.digest, layers }) } else { Err(ParseDocumentError::Bounds) }
            }
            Raw { rootfs: Some(rootfs), .. } => Ok(Self::Config { diff_ids: rootfs.diff_ids }),
            Raw { .. } => Err(ParseDocumentError::Kind),
        }
    }
}

impl From<Descriptor> for PlannedLayer {
    fn from(descriptor: Descriptor) -> Self {
        let mut media_type = descriptor.media_type;
        if media_type.len() > MAX_MEDIA_TYPE {
            media_type.clear();
        }
        Self { digest: descriptor.digest, media_type, size: descriptor.size }
    }
}

/// Chain ids of layers with these diff ids, base first (OCI image specification, config, "Layer ChainID").
pub(super) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    diff_ids
        .iter()
        .scan(None, |parent: &mut Option<Digest>, diff| {
            let chain = match parent.as_ref() {
                None => diff.clone(),
                Some(parent) => Digest::of(format!("{parent} {diff}").as_bytes()),
            };
            *parent = Some(chain.clone());
            Some(chain)
        })
        .collect()
}

#[derive(Deserialize)]
struct Raw {
    manifests: Option<Vec<Descriptor>>,
    config: Option<ConfigField>,
    layers: Option<Vec<Descriptor>>,
    rootfs: Option<RootFs>,
}

/// In a manifest `config` is a descriptor; in a configuration it is the container's settings, which mean nothing here.
#[derive(Deserialize)]
#[serde(untagged)]
enum ConfigField {
    Descriptor(Descriptor),
    Settings(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: Digest,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    size: u64,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(n: u8) -> Digest {
        Digest::of(&[n])
    }

    #[test]
    fn a_manifest_gives_layers_with_sizes() {
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"digest":"{}","size":7}},"layers":[{{"mediaType":"m","digest":"{}","size":5}}]}}"#,
            digest(0),
            digest(1)
        );
        let expected = Document::Manifest {
            config: digest(0),
            layers: vec![PlannedLayer { digest: digest(1), media_type: "m".into(), size: 5 }],
        };
        assert_eq!(Document::parse(json.as_bytes()).ok(), Some(expected));
    }

    #[test]
    fn a_configuration_is_known_by_its_rootfs_whatever_its_settings_are() {
        let json = format!(r#"{{"config":{{"Env":["A=1"]}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#, digest(2));
        assert_eq!(Document::parse(json.as_bytes()).ok(), Some(Document::Config { diff_ids: vec![digest(2)] }));
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        for size in ["-1", "1125899906842625", "1e99", "\"5\""] {
            let json = format!(r#"{{"config":{{"digest":"{0}"}},"layers":[{{"digest":"{0}","size":{size}}}]}}"#, digest(0));
            assert!(Document::parse(json.as_bytes()).is_err(), "{size}");
        }
    }

    #[test]
    fn the_first_chain_id_is_the_diff_id_and_the_others_are_hashes_over_their_parents() {
        let chains = chain_ids(&[digest(1), digest(2)]);
        assert_eq!(chains[0], digest(1));
        assert_eq!(chains[1], Digest::of(format!("{} {}", digest(1), digest(2)).as_bytes()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_an_error(bytes: Vec<u8>, text in "\\{\"(config|layers|manifests|rootfs)\":.{0,60}") {
            drop(Document::parse(&bytes));
            drop(Document::parse(text.as_bytes()));
        }
    }
}
