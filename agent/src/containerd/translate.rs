//! From containerd's protobuf to the tracker's language. What does not parse is no pull's business and is left out.

use std::fs;

use containerd_client::{
    events::{ContentCreate, SnapshotCommit, SnapshotPrepare, SnapshotRemove},
    services::v1 as services,
    types::Envelope,
};
use lifecycle::{
    image::{Digest, ImageRef},
    time::Timestamp,
    track::{ContentFacts, Event, ExtractKey, Happening, ImageRecord, Ingest, Reference, Resource, Runtime, Seen, SnapshotFacts},
};
use prost::Message;

use super::{Heard, Selection};

/// Prefix of the labels that name where a blob came from; the host of the registry follows (`containerd` core/remotes/docker/handler.go).
const SOURCE_LABEL: &str = "containerd.io/distribution.source.";
/// Prefix of the labels that name a blob's children (`containerd` core/images/handlers.go).
const CHILD_LABEL: &str = "containerd.io/gc.ref.content";
/// Label of a snapshot that names the image it is for (`containerd` pkg/snapshotters/annotations.go).
const IMAGE_LABEL: &str = "containerd.io/snapshot/cri.image-ref";
/// Prefixes of the labels by which lazy snapshotters mark what they mounted from afar: stargz, SOCI and overlaybd say `remote`, nydus its own
/// name (`stargz-snapshotter` snapshot/snapshot.go, `nydus-snapshotter` pkg/label).
const REMOTE_LABELS: [&str; 3] =
    ["containerd.io/snapshot/remote", "containerd.io/snapshot/nydus-data-layer", "containerd.io/snapshot/nydus-meta-layer"];
/// Ticks a second of the times in `/proc/PID/stat`: the kernel's `USER_HZ`, the same on every architecture that containerd runs on.
const USER_HZ: u64 = 100;

/// A time, if it was set.
pub(super) fn time(at: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::from_parts(at.seconds, at.nanos)).filter(|at| *at > Timestamp::EPOCH)
}

/// The later of the two starts that can be seen counts: that of the process is exact to the second only, and in a pod it is hidden.
pub(super) fn runtime(version: String, server: &services::ServerResponse, bound_at: Option<Timestamp>) -> Runtime {
    let version = version.strip_prefix('v').map(str::to_owned).unwrap_or(version);
    let started_at = started_at(server.pid, server.pidns).max(bound_at);
    Runtime { version, uuid: server.uuid.clone(), pid: server.pid, started_at }
}

pub(super) fn resource(resource: &services::Resource) -> Resource {
    let parsed = match resource.r#type.split_once('/') {
        None if resource.r#type == "content" => resource.id.parse().ok().map(Resource::Content),
        None if resource.r#type == "ingests" => Reference::parse(&resource.id).map(Resource::Ingest),
        Some(("snapshots", snapshotter)) => {
            let snapshotter = snapshotter.to_owned();
            match (resource.id.parse(), ExtractKey::parse(&resource.id)) {
                (Ok(chain), _) => Some(Resource::Chain { snapshotter, chain }),
                (Err(_), Some(key)) => Some(Resource::Extraction { snapshotter, key }),
                (Err(_), None) => None,
            }
        }
        None | Some(_) => None,
    };
    parsed.unwrap_or(Resource::Other)
}

pub(super) fn ingest(status: services::Status) -> Option<Ingest> {
    Some(Ingest {
        reference: Reference::parse(&status.r#ref)?,
        offset: u64::try_from(status.offset).ok()?,
        total: u64::try_from(status.total).unwrap_or(0),
        started_at: time(status.started_at)?,
        updated_at: time(status.updated_at)?,
    })
}

pub(super) fn content(info: services::Info) -> Option<ContentFacts> {
    let has_children = info.labels.keys().any(|key| key.starts_with(CHILD_LABEL));
    let mut sources: Vec<_> = info
        .labels
        .iter()
        .filter_map(|(key, repositories)| Some((key.strip_prefix(SOURCE_LABEL)?, repositories)))
        .flat_map(|(host, repositories)| repositories.split(',').filter_map(move |r| ImageRef::repository_only(host, r).ok()))
        .collect();
    sources.dedup();
    let created_at = time(info.created_at)?;
    let labelled_at = time(info.updated_at).unwrap_or(created_at);
    Some(ContentFacts { created_at, labelled_at, size: u64::try_from(info.size).ok()?, has_children, sources })
}

pub(super) fn snapshot(info: services::snapshots::Info) -> Option<SnapshotFacts> {
    let image = info.labels.get(IMAGE_LABEL).and_then(|name| name.parse().ok());
    // An active snapshot is prepared once and never updated; a committed one says when it was committed.
    let remote = info.labels.keys().any(|key| REMOTE_LABELS.iter().any(|label| key.starts_with(label)));
    Some(SnapshotFacts { created_at: time(info.created_at)?, image, remote })
}

pub(super) fn image(image: services::Image) -> Option<ImageRecord> {
    // CRI also names an image by its id, which would parse as a repository of that name.
    let name = if image.name.parse::<Digest>().is_ok() { None } else { image.name.parse().ok() };
    let (created_at, updated_at) = (time(image.created_at), time(image.updated_at));
    Some(ImageRecord {
        name,
        target: image.target?.digest.parse().ok()?,
        created_at: created_at.or(updated_at)?,
        updated_at: updated_at.or(created_at)?,
    })
}

/// What an event means, if it means anything here.
pub(super) fn event(envelope: &Envelope, selection: &Selection) -> Option<Heard> {
    if envelope.topic.starts_with("/namespaces/") {
        return Some(Heard::Namespaces);
    }
    if !selection.contains(&envelope.namespace) {
        return None;
    }
    let payload = envelope.event.as_ref()?.value.as_slice();
    let what = match envelope.topic.as_str() {
        "/content/create" => Happening::ContentCreated(ContentCreate::decode(payload).ok()?.digest.parse().ok()?),
        "/snapshot/prepare" => Happening::ExtractionPrepared(ExtractKey::parse(&SnapshotPrepare::decode(payload).ok()?.key)?),
        "/snapshot/commit" => {
            let commit = SnapshotCommit::decode(payload).ok()?;
            ExtractKey::parse(&commit.key)?;
            Happening::ChainCommitted(commit.name.parse().ok()?)
        }
        "/snapshot/remove" => Happening::ExtractionRemoved(ExtractKey::parse(&SnapshotRemove::decode(payload).ok()?.key)?),
        "/images/create" | "/images/update" => {
            let ImageName { name } = ImageName::decode(payload).ok()?;
            if name.parse::<Digest>().is_ok() { Happening::ImageRecordedById } else { Happening::ImageRecorded(name) }
        }
        _ => return None,
    };
    Some(Heard::Seen(Seen::Event(Event { namespace: envelope.namespace.clone(), at: time(envelope.timestamp)?, what })))
}

/// The part that `ImageCreate` and `ImageUpdate` have in common.
#[derive(Clone, PartialEq, Message)]
struct ImageName {
    #[prost(string, tag = "1")]
    name: String,
}

/// When a process of our own pid namespace started, by `/proc`; `None` if it is of another one and cannot be seen.
fn started_at(pid: u64, pid_namespace: u64) -> Option<Timestamp> {
    let ours = fs::read_link("/proc/self/ns/pid").ok()?;
    if ours.to_str()? != format!("pid:[{pid_namespace}]") {
        return None;
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may hold anything; the start is the 20th field behind it (proc_pid_stat(5), field 22).
    let ticks: u64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: u64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Timestamp::from_millis(boot.checked_mul(1_000)?.checked_add(ticks.checked_mul(1_000)? / USER_HZ)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn named(kind: &str, id: &str) -> Resource {
        resource(&services::Resource { id: id.into(), r#type: kind.into() })
    }

    #[test]
    fn resources_of_a_lease_are_told_apart() {
        let chain = D.parse().expect("a digest");
        assert_eq!(named("snapshots/overlayfs", D), Resource::Chain { snapshotter: "overlayfs".into(), chain });
        assert!(matches!(named("snapshots/overlayfs", &format!("extract-1-a {D}")), Resource::Extraction { .. }));
        assert!(matches!(named("ingests", &format!("layer-{D}")), Resource::Ingest(_)));
        assert!(matches!(named("content", D), Resource::Content(_)));
        for (kind, id) in
            [("snapshots/overlayfs", "container"), ("images", "nginx"), ("content", "x"), ("ingests", "abc"), ("", "")]
        {
            assert_eq!(named(kind, id), Resource::Other, "{kind} {id}");
        }
    }

    #[test]
    fn a_status_with_impossible_numbers_is_left_out() {
        let at = Some(prost_types::Timestamp { seconds: 5, nanos: 0 });
        let status = |offset| services::Status {
            r#ref: format!("layer-{D}"),
            offset,
            started_at: at,
            updated_at: at,
            ..Default::default()
        };
        assert!(ingest(status(1)).is_some());
        assert!(ingest(status(-1)).is_none());
    }

    #[test]
    fn our_own_start_is_in_the_past_and_after_boot() {
        let namespace = fs::read_link("/proc/self/ns/pid").expect("a Linux");
        let inode = namespace.to_str().and_then(|s| s.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()).expect("an inode");
        let start = started_at(std::process::id().into(), inode).expect("our own process is visible");
        assert!(start > Timestamp::from_millis(1_600_000_000_000), "{start}");
        assert_eq!(started_at(1, 1), None, "another namespace's process ids mean nothing here");
    }
}
