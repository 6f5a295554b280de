//! Builds images of layers with given sizes and pushes them to a registry, by the OCI distribution specification v1.1.
//!
//! A layer is a gzipped tar of bytes that do not compress, made from a seed: the same size and seed is the same layer, so images
//! can share one. gzip stores the bytes as they are (which costs 0.02 %): compressing noise would only cost time.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::registry::Registry;

/// 2^20 bytes.
pub const MIB: usize = 1 << 20;

/// A layer to make.
#[derive(Debug, Clone, Copy)]
pub struct LayerPlan {
    /// Bytes in its files, together.
    pub bytes: usize,
    /// What the bytes are made from.
    pub seed: u64,
    /// How many files share the bytes; thousands make unpacking slow.
    pub files: usize,
}

/// What the tag names, and in whose media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An OCI index with one manifest.
    OciIndex,
    /// A plain OCI manifest.
    OciManifest,
    /// A manifest list with one manifest, in Docker's media types.
    DockerList,
    /// A plain manifest, in Docker's media types.
    DockerManifest,
}

/// An image that is in the registry.
#[derive(Debug, Clone)]
pub struct Image {
    /// `repository:tag`, without the registry.
    pub name: String,
    /// Digest of what the tag names.
    pub digest: String,
    /// Digest of the manifest.
    pub manifest: String,
    /// Its layers, base first.
    pub layers: Vec<Layer>,
}

/// A layer that is in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the gzipped tar.
    pub digest: String,
    /// Bytes of the gzipped tar, as in the manifest.
    pub size: u64,
    /// The name of its snapshot: digest over the uncompressed layers up to this one.
    pub chain_id: String,
}

impl Image {
    /// Sum of the manifest's layer sizes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.layers.iter().map(|l| l.size).sum()
    }
}

/// Layers of the given sizes in MiB, one file each; their seeds follow from `seed` and the place.
#[must_use]
pub fn layers(seed: u64, mebibytes: &[usize]) -> Vec<LayerPlan> {
    (0..).zip(mebibytes).map(|(i, m)| LayerPlan { bytes: m * MIB, seed: seed * 1000 + i, files: 1 }).collect()
}

/// A static program that comes along, in a layer above the planned ones; what containers of the image run.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Its path, without the first slash.
    pub path: &'a str,
    /// The file.
    pub bytes: &'a [u8],
    /// Its arguments, from its own name on.
    pub command: &'a [&'a str],
}

/// Builds and pushes `repository:tag`.
///
/// # Panics
/// When the registry refuses something.
#[must_use]
pub fn push(registry: &Registry, name: &str, plans: &[LayerPlan], form: Form) -> Image {
    push_for(registry, name, plans, form, architecture())
}

/// Builds and pushes `repository:tag`, as an index, with something to run.
///
/// # Panics
/// When the registry refuses something.
pub fn push_program(registry: &Registry, name: &str, plans: &[LayerPlan], program: Program<'_>) -> Image {
    push_all(registry, name, plans, Form::OciIndex, architecture(), Some(program))
}

/// Builds and pushes `repository:tag` for machines of this architecture, in Go's words (`amd64`, `arm64`).
///
/// # Panics
/// When the registry refuses something.
#[must_use]
pub fn push_for(registry: &Registry, name: &str, plans: &[LayerPlan], form: Form, architecture: &str) -> Image {
    push_all(registry, name, plans, form, architecture, None)
}

/// Builds and pushes one `repository:tag` for machines of several architectures, as an OCI index; the images are in the same order.
///
/// # Panics
/// When the registry refuses something.
#[must_use]
pub fn push_index(registry: &Registry, name: &str, machines: &[(&str, &[LayerPlan])]) -> Vec<Image> {
    let (push, tag) = Push::to(registry, name);
    let kinds = Kinds::of(Form::OciIndex);
    let parts = machines.iter().map(|(architecture, plans)| {
        let (manifest, layers) = manifest(&push, &kinds, plans, architecture, None);
        (push.of_machine(&manifest, architecture), layers)
    });
    let (descriptors, layers): (Vec<Value>, Vec<Vec<Layer>>) = parts.unzip();
    let top = push.index(&kinds, &descriptors, tag);
    let of = |(descriptor, layers): (&Value, _)| Image {
        name: name.to_owned(),
        digest: digest_of(&top),
        manifest: digest_of(descriptor),
        layers,
    };
    descriptors.iter().zip(layers).map(of).collect()
}

fn push_all(
    registry: &Registry,
    name: &str,
    plans: &[LayerPlan],
    form: Form,
    architecture: &str,
    program: Option<Program<'_>>,
) -> Image {
    let (push, tag) = Push::to(registry, name);
    let kinds = Kinds::of(form);
    let (manifest, layers) = manifest(&push, &kinds, plans, architecture, program);
    if matches!(form, Form::OciManifest | Form::DockerManifest) {
        let top = push.document(&manifest, Some(tag));
        return Image { name: name.to_owned(), digest: digest_of(&top), manifest: digest_of(&top), layers };
    }
    let inner = push.of_machine(&manifest, architecture);
    let top = push.index(&kinds, std::slice::from_ref(&inner), tag);
    Image { name: name.to_owned(), digest: digest_of(&top), manifest: digest_of(&inner), layers }
}

/// Pushes layers and configuration; the manifest that names them is not pushed yet.
fn manifest(
    push: &Push,
    kinds: &Kinds,
    plans: &[LayerPlan],
    architecture: &str,
    program: Option<Program<'_>>,
) -> (Value, Vec<Layer>) {
    let (mut layers, mut diff_ids, mut descriptors) = (Vec::<Layer>::new(), Vec::new(), Vec::new());
    let tars = plans.iter().map(|plan| tar(*plan)).chain(program.map(|program| tar_of(&[(program.path, program.bytes)])));
    for tar in tars {
        let diff_id = sha256(&tar);
        let packed = gzip(&tar);
        let (digest, size) = (sha256(&packed), packed.len() as u64);
        push.blob(&packed, &digest);
        descriptors.push(json!({"mediaType": kinds.layer, "digest": digest, "size": size}));
        let chain_id =
            layers.last().map_or_else(|| diff_id.clone(), |below| sha256(format!("{} {diff_id}", below.chain_id).as_bytes()));
        layers.push(Layer { digest, size, chain_id });
        diff_ids.push(diff_id);
    }
    let mut config = platform(architecture);
    config["config"] = program.map_or_else(|| json!({}), |program| json!({ "Entrypoint": program.command }));
    config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    let config = config.to_string().into_bytes();
    push.blob(&config, &sha256(&config));
    let config = json!({"mediaType": kinds.config, "digest": sha256(&config), "size": config.len()});
    (json!({"schemaVersion": 2, "mediaType": kinds.manifest, "config": config, "layers": descriptors}), layers)
}

fn platform(architecture: &str) -> Value {
    json!({"architecture": architecture, "os": "linux"})
}

/// `sha256:` and the digest in hex.
#[must_use]
pub fn sha256(data: &[u8]) -> String {
    let hex: String = Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

/// The media types of one form.
struct Kinds {
    index: &'static str,
    manifest: &'static str,
    config: &'static str,
    layer: &'static str,
}

impl Kinds {
    const fn of(form: Form) -> Self {
        match form {
            Form::OciIndex | Form::OciManifest => Self {
                index: "application/vnd.oci.image.index.v1+json",
                manifest: "application/vnd.oci.image.manifest.v1+json",
                config: "application/vnd.oci.image.config.v1+json",
                layer: "application/vnd.oci.image.layer.v1.tar+gzip",
            },
            Form::DockerList | Form::DockerManifest => Self {
                index: "application/vnd.docker.distribution.manifest.list.v2+json",
                manifest: "application/vnd.docker.distribution.manifest.v2+json",
                config: "application/vnd.docker.container.image.v1+json",
                layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
            },
        }
    }
}

/// One repository to push to.
pub(crate) struct Push {
    base: String,
    agent: ureq::Agent,
}

impl Push {
    /// The repository of this name, and the name's tag.
    pub(crate) fn to<'a>(registry: &Registry, name: &'a str) -> (Self, &'a str) {
        let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        (Self { base: format!("http://127.0.0.1:{}/v2/{repository}", registry.port()), agent }, tag)
    }

    pub(crate) fn blob(&self, data: &[u8], digest: &str) {
        if self.agent.head(format!("{}/blobs/{digest}", self.base)).call().is_ok_and(|a| a.status() == 200) {
            return;
        }
        let begun = self.agent.post(format!("{}/blobs/uploads/", self.base)).send_empty().expect("the registry begins an upload");
        let place = begun.headers().get("location").and_then(|l| l.to_str().ok()).expect("an upload has a location");
        let url = format!("{place}{}digest={digest}", if place.contains('?') { '&' } else { '?' });
        let put = self.agent.put(url).content_type("application/octet-stream").send(data).expect("the registry takes a blob");
        assert_eq!(put.status(), 201, "pushing a blob");
    }

    /// Pushes a manifest or an index under its tag or digest and returns its descriptor.
    fn document(&self, document: &Value, tag: Option<&str>) -> Value {
        self.bytes(document.to_string().as_bytes(), &document["mediaType"], tag)
    }

    /// Pushes a manifest for an index: its descriptor with its machine.
    fn of_machine(&self, manifest: &Value, architecture: &str) -> Value {
        let mut descriptor = self.document(manifest, None);
        descriptor["platform"] = platform(architecture);
        descriptor
    }

    fn index(&self, kinds: &Kinds, manifests: &[Value], tag: &str) -> Value {
        self.document(&json!({"schemaVersion": 2, "mediaType": kinds.index, "manifests": manifests}), Some(tag))
    }

    /// As [`Self::document`], byte for byte.
    pub(crate) fn bytes(&self, data: &[u8], kind: &Value, tag: Option<&str>) -> Value {
        let digest = sha256(data);
        let url = format!("{}/manifests/{}", self.base, tag.unwrap_or(&digest));
        let put = self
            .agent
            .put(url)
            .content_type(kind.as_str().unwrap_or_default())
            .send(data)
            .expect("the registry takes a manifest");
        assert_eq!(put.status(), 201, "pushing a manifest");
        json!({"mediaType": kind, "digest": digest, "size": data.len()})
    }
}

fn digest_of(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap_or_default().to_owned()
}

/// This machine's architecture in Go's words; a pull takes only its own.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A POSIX ustar archive (IEEE 1003.1) of the planned files.
fn tar(plan: LayerPlan) -> Vec<u8> {
    let mut noise = Noise(plan.seed ^ (plan.bytes as u64) << 24);
    let folder = noise.next();
    let mut out = Vec::with_capacity(plan.bytes + plan.files * 1024 + 1024);
    for i in 0..plan.files {
        let size = plan.bytes * (i + 1) / plan.files - plan.bytes * i / plan.files;
        out.extend(tar_header(&format!("data/{folder:016x}/{i}"), "0000644", size));
        let end = out.len() + size;
        while out.len() < end {
            out.extend(noise.next().to_le_bytes());
        }
        out.truncate(end);
        out.resize(end.next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// The same, of files that everyone may run.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, bytes) in files {
        out.extend(tar_header(name, "0000755", bytes.len()));
        out.extend(*bytes);
        out.resize(out.len().next_multiple_of(512), 0);
    }
    out.resize(out.len() + 1024, 0);
    out
}

fn tar_header(name: &str, mode: &str, size: usize) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, mode);
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut packed =
        GzBuilder::new().mtime(0).write(Vec::with_capacity(data.len() + data.len() / 1000 + 64), Compression::none());
    packed.write_all(data).and_then(|()| packed.finish()).expect("writing to memory does not fail")
}

/// Sebastiano Vigna's SplitMix64: bytes that no compressor shortens, the same for the same seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_and_size_is_the_same_layer() {
        let plan = |seed, bytes| LayerPlan { bytes, seed, files: 3 };
        assert_eq!(gzip(&tar(plan(1, 5000))), gzip(&tar(plan(1, 5000))));
        assert_ne!(tar(plan(1, 5000)), tar(plan(2, 5000)));
        assert_ne!(tar(plan(1, 5000))[..512], tar(plan(1, 6000))[..512]);
    }

    #[test]
    fn a_layer_is_a_tar_that_tar_reads() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("layer.tar.gz");
        std::fs::write(&file, gzip(&tar(LayerPlan { bytes: 10_001, seed: 7, files: 3 }))).unwrap();
        let listed = std::process::Command::new("tar").arg("tzvf").arg(&file).output().unwrap();
        let text = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let sizes: u32 = text.lines().map(|l| l.split_whitespace().nth(2).unwrap().parse::<u32>().unwrap()).sum();
        assert_eq!((text.lines().count(), sizes), (3, 10_001));
    }
}
