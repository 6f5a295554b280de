//! Images in the OCI image layout, as `cargo xtask image` leaves them: finds them, and pushes them as they are.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::image::{Push, sha256};
use crate::registry::Registry;
use crate::tools::built;

/// The folder of one of Pulltrace's own images: in `$E2E_IMAGES` if that is set, else where `cargo xtask image` leaves it.
#[must_use]
pub fn own(name: &str) -> PathBuf {
    let beside = || built("").join("../images");
    std::env::var_os("E2E_IMAGES").map_or_else(beside, PathBuf::from).join(name)
}

/// Pushes the image as `repository:tag` and returns its digest.
///
/// # Panics
/// When the folder holds no image, or one whose digests are wrong, or the registry refuses something.
pub fn push(registry: &Registry, layout: &Path, name: &str) -> String {
    let (push, tag) = Push::to(registry, name);
    let top: Value = serde_json::from_slice(&file(&layout.join("index.json"))).expect("index.json is JSON");
    document(&push, layout, &top["manifests"][0], Some(tag));
    top["manifests"][0]["digest"].as_str().unwrap_or_default().to_owned()
}

/// Pushes what a descriptor names, first all that is named in there.
fn document(push: &Push, layout: &Path, descriptor: &Value, tag: Option<&str>) {
    let bytes = blob(layout, descriptor);
    let document: Value = serde_json::from_slice(&bytes).expect("manifests are JSON");
    for manifest in document["manifests"].as_array().into_iter().flatten() {
        self::document(push, layout, manifest, None);
    }
    let config = document.get("config").into_iter();
    for each in config.chain(document["layers"].as_array().into_iter().flatten()) {
        push.blob(&blob(layout, each), each["digest"].as_str().unwrap_or_default());
    }
    push.bytes(&bytes, &descriptor["mediaType"], tag);
}

fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().expect("a descriptor has a digest");
    let bytes = file(&layout.join("blobs").join(digest.replace(':', "/")));
    assert_eq!(sha256(&bytes), digest, "a blob is what its name says");
    bytes
}

fn file(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask image --trial`", path.display()))
}
