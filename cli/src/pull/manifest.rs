//! What the registry says an image is made of: the layers of one platform and their sizes. Pure: bytes in, values out. Who asks the
//! registry is `registry`; who believes it, and for how long, is `fold`.

use lifecycle::image::Digest;

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
