//! What the registry says an image is made of: the layers of one platform and their sizes. Pure: bytes in, values out. Who asks the
//! registry is `registry`; who believes it, and for how long, is `fold`. Formats: OCI image specification and Docker's schema 2.

use lifecycle::image::Digest;
use serde::Deserialize;
use thiserror::Error;

use super::platform::Platform;

/// Largest layer that is believed, bytes: 1 PiB.
const MAX_LAYER: u64 = 1 << 50;
/// Longest media type that is kept, bytes (RFC 6838).
const MAX_MEDIA_TYPE: usize = 255;

/// The image for one platform, as the registry tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Digest that the name stands for: of the index, or of the manifest where there is no index.
    pub(crate) top: Digest,
    /// Digest of the configuration.
    pub(crate) config: Digest,
    /// The layers, base first.
    pub(crate) layers: Vec<Blob>,
}

/// A layer as the manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// Digest of the blob.
    pub(crate) digest: Digest,
    /// Media type; empty if none is said.
    pub(crate) media_type: String,
    /// Compressed size, bytes.
    pub(crate) size: u64,
}

/// What a registry answers when it is asked for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// One image.
    Image {
        /// Digest of its configuration.
        config: Digest,
        /// Its layers.
        layers: Vec<Blob>,
    },
    /// One of several: this is the manifest for the platform.
    Elsewhere(Digest),
}

/// Why an answer says nothing.
#[derive(Debug, Error)]
pub(crate) enum ManifestError {
    #[error("the registry's answer is no manifest")]
    Json,
    #[error("the manifest's sizes cannot be")]
    Bounds,
    #[error("the image has no variant for this platform")]
    Platform,
}

#[derive(Deserialize)]
struct Raw {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    digest: Digest,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    size: u64,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Configuration {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

impl Answer {
    /// From what the registry sent.
    pub(super) fn parse(bytes: &[u8], platform: &Platform) -> Result<Self, ManifestError> {
        match serde_json::from_slice(bytes).map_err(|_| ManifestError::Json)? {
            Raw { manifests: Some(manifests), .. } => {
                let chosen = platform.choose(manifests.iter().map(|one| one.platform.as_ref()));
                chosen.map(|at| Self::Elsewhere(manifests[at].digest.clone())).ok_or(ManifestError::Platform)
            }
            Raw { config: Some(config), layers: Some(layers), .. } => {
                if layers.iter().any(|layer| layer.size > MAX_LAYER) {
                    return Err(ManifestError::Bounds);
                }
                Ok(Self::Image { config: config.digest, layers: layers.into_iter().map(Blob::from).collect() })
            }
            Raw { .. } => Err(ManifestError::Json),
        }
    }
}

/// Digests of the unpacked layers, base first, from an image's configuration.
pub(super) fn diff_ids(bytes: &[u8]) -> Result<Vec<Digest>, ManifestError> {
    let configuration: Configuration = serde_json::from_slice(bytes).map_err(|_| ManifestError::Json)?;
    Ok(configuration.rootfs.diff_ids)
}

impl From<Descriptor> for Blob {
    fn from(descriptor: Descriptor) -> Self {
        let media_type = Some(descriptor.media_type).filter(|text| text.len() <= MAX_MEDIA_TYPE).unwrap_or_default();
        Self { digest: descriptor.digest, media_type, size: descriptor.size }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn amd64() -> Platform {
        Platform::of("linux", "amd64", "x86_64")
    }

    fn digest(n: u8) -> Digest {
        Digest::of(&[n])
    }

    #[test]
    fn of_an_index_the_manifest_for_the_platform_is_meant() {
        let entry = |n: u8, arch: &str| {
            format!(r#"{{"digest":"{}","size":9,"platform":{{"os":"linux","architecture":"{arch}"}}}}"#, digest(n))
        };
        let json = format!(r#"{{"schemaVersion":2,"manifests":[{},{}]}}"#, entry(1, "arm64"), entry(2, "amd64"));
        assert_eq!(Answer::parse(json.as_bytes(), &amd64()).unwrap(), Answer::Elsewhere(digest(2)));
        let json = format!(r#"{{"manifests":[{}]}}"#, entry(1, "arm64"));
        assert!(matches!(Answer::parse(json.as_bytes(), &amd64()), Err(ManifestError::Platform)));
    }

    #[test]
    fn a_manifest_says_its_layers_and_their_sizes() {
        let json = format!(
            r#"{{"config":{{"digest":"{}","size":1}},"layers":[{{"mediaType":"m","digest":"{}","size":5}}]}}"#,
            digest(0),
            digest(1)
        );
        let layers = vec![Blob { digest: digest(1), media_type: "m".into(), size: 5 }];
        assert_eq!(Answer::parse(json.as_bytes(), &amd64()).unwrap(), Answer::Image { config: digest(0), layers });
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(text in "\\{\"(config|layers|manifests)\":.{0,60}", bytes: Vec<u8>) {
            drop(Answer::parse(text.as_bytes(), &amd64()));
            drop(Answer::parse(&bytes, &amd64()));
        }
    }
}
