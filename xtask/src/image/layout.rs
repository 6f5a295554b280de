//! The OCI image layout (image-spec v1.1) on disk: blobs by their digest, and an index that names them. Whatever it is given in the same order
//! becomes the same bytes: files have neither time nor owner of the machine they come from. It knows nothing of programs; see the module above.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A folder that becomes an image.
pub(crate) struct Layout {
    folder: PathBuf,
    /// One for each architecture.
    manifests: Vec<Value>,
}

/// How the image runs on one architecture.
pub(crate) struct Config<'a> {
    /// In Go's words.
    pub(crate) architecture: &'a str,
    /// RFC 3339.
    pub(crate) created: String,
    pub(crate) user: &'a str,
    pub(crate) entrypoint: String,
    pub(crate) ports: &'a [u16],
    /// Also the labels.
    pub(crate) annotations: &'a Value,
}

impl Layout {
    /// Begins in an empty folder; what was there before goes.
    ///
    /// # Errors
    /// When the folder cannot be written, or holds something that is no image.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        if folder.exists() {
            ensure!(folder.join("oci-layout").is_file(), "{} is there and is no image", folder.display());
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        let layout = Self { folder: folder.to_owned(), manifests: Vec::new() };
        layout.put("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string().as_bytes())?;
        Ok(layout)
    }

    /// Adds one architecture, each file in a layer of its own; returns how many bytes it has unpacked and how many are to be downloaded.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(crate) fn add(&mut self, config: &Config<'_>, files: &[(&str, Vec<u8>)]) -> anyhow::Result<(u64, u64)> {
        let (mut layers, mut diff_ids, mut sizes) = (Vec::new(), Vec::new(), (0, 0));
        for (name, bytes) in files {
            let tar = layer(name, bytes)?;
            diff_ids.push(digest(&tar));
            let packed = gzip(&tar)?;
            sizes.0 += u64::try_from(bytes.len())?;
            sizes.1 += u64::try_from(packed.len())?;
            layers.push(self.blob(LAYER, &packed)?);
        }
        let platform = json!({ "architecture": config.architecture, "os": "linux" });
        let mut document = platform.clone();
        document["created"] = config.created.as_str().into();
        document["config"] = json!({
            "User": config.user,
            "Entrypoint": [config.entrypoint],
            "ExposedPorts": config.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect::<serde_json::Map<_, _>>(),
            "WorkingDir": "/",
            "Labels": config.annotations,
        });
        document["rootfs"] = json!({ "type": "layers", "diff_ids": diff_ids });
        let history =
            files.iter().map(|(name, _)| json!({ "created": config.created, "created_by": format!("COPY {name} /{name}") }));
        document["history"] = history.collect();
        let of_config = self.blob(CONFIG, document.to_string().as_bytes())?;
        sizes.1 += of_config["size"].as_u64().unwrap_or_default();
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": of_config, "layers": layers,
            "annotations": config.annotations });
        let mut manifest = self.blob(MANIFEST, manifest.to_string().as_bytes())?;
        manifest["platform"] = platform;
        self.manifests.push(manifest);
        Ok(sizes)
    }

    /// Names what was added, for containerd and for others; returns the image's digest.
    ///
    /// # Errors
    /// When nothing was added or the folder cannot be written.
    pub(crate) fn finish(self, name: &str, tag: &str, annotations: &Value) -> anyhow::Result<String> {
        ensure!(!self.manifests.is_empty(), "there are programs for no architecture");
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.manifests, "annotations": annotations });
        let mut index = self.blob(INDEX, index.to_string().as_bytes())?;
        index["annotations"] = json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
        let top = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [index] });
        self.put("index.json", top.to_string().as_bytes())?;
        Ok(index["digest"].as_str().unwrap_or_default().to_owned())
    }

    /// Puts a blob in place and describes it.
    fn blob(&self, kind: &str, bytes: &[u8]) -> anyhow::Result<Value> {
        let digest = digest(bytes);
        self.put(&format!("blobs/{}", digest.replace(':', "/")), bytes)?;
        Ok(json!({ "mediaType": kind, "digest": digest, "size": bytes.len() }))
    }

    fn put(&self, file: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.folder.join(file);
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, bytes))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Packs a finished layout into one file, which `ctr`, `nerdctl`, `podman`, `kind` and `skopeo` read.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn archive(layout: &Path, file: &Path) -> anyhow::Result<()> {
    let mut names = vec![PathBuf::from("oci-layout"), PathBuf::from("index.json")];
    let blobs = Path::new("blobs/sha256");
    let listed = fs::read_dir(layout.join(blobs)).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    names.extend(listed.context("an image has blobs")?.iter().map(|entry| blobs.join(entry.file_name())));
    names[2..].sort();
    let mut tar = tar::Builder::new(Vec::new());
    for name in names {
        let bytes = fs::read(layout.join(&name)).with_context(|| format!("cannot read {}", name.display()))?;
        append(&mut tar, &name, &bytes, 0o644)?;
    }
    fs::write(file, tar.into_inner()?).with_context(|| format!("cannot write {}", file.display()))
}

/// `sha256:` and the digest in hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A tar of one program at the root, of nobody's time and owned by root, whom it lets read and run it like everyone else.
fn layer(name: &str, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, Path::new(name), bytes, 0o555)?;
    Ok(tar.into_inner()?)
}

fn append(tar: &mut tar::Builder<Vec<u8>>, name: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(u64::try_from(bytes.len())?);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    Ok(tar.append_data(&mut header, name, bytes)?)
}

fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut packed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    packed.write_all(bytes)?;
    Ok(packed.finish()?)
}
