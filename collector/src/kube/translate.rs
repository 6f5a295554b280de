//! From Kubernetes' objects to what the board needs of them, and nothing more: the rest is dropped here, and texts are cut.

use k8s_openapi::{
    api::core::v1::{ContainerStatus, Event, Node, Pod, PodStatus},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use lifecycle::{
    board::{ContainerKind, ContainerSeen, EventKind, KubeletEvent, PodKey, PodSeen, Sighting, Waiting, Workload},
    time::Timestamp,
};

/// Longest message that is kept, in bytes.
const MAX_MESSAGE: usize = 4096;
/// Longest name, image or reason that is kept, in bytes.
const MAX_NAME: usize = 512;
/// Digits that a CronJob puts behind the names of its jobs: minutes since the Unix epoch.
const CRON_DIGITS: usize = 8;

/// The name of a pod; `None` for an object without one.
pub(super) fn key(meta: &ObjectMeta) -> Option<PodKey> {
    Some(PodKey { namespace: name(meta.namespace.as_deref()?), name: name(meta.name.as_deref()?) })
}

/// What a pod says about its images.
pub(super) fn pod(pod: &Pod) -> Option<PodSeen> {
    let spec = pod.spec.as_ref()?;
    let node = spec.node_name.as_deref().and_then(|node| node.parse().ok());
    Some(PodSeen {
        key: key(&pod.metadata)?,
        uid: name(pod.metadata.uid.as_deref().unwrap_or_default()),
        node,
        workload: workload(&pod.metadata),
        containers: containers(pod),
    })
}

/// A word of a kubelet about an image; `None` for all other events.
pub(super) fn event(event: &Event) -> Option<Sighting> {
    let kind = match event.reason.as_deref()? {
        "Pulling" => EventKind::Pulling,
        "Pulled" => EventKind::Pulled,
        "Failed" | "InspectFailed" | "ErrImageNeverPull" => EventKind::Failed,
        "BackOff" => EventKind::BackOff,
        _ => return None,
    };
    let pod = &event.involved_object;
    let path = pod.field_path.as_deref().unwrap_or_default();
    let container = path.split_once('{').and_then(|(_, rest)| rest.strip_suffix('}')).unwrap_or_default();
    let count = event.series.as_ref().and_then(|series| series.count).or(event.count).unwrap_or(1);
    let made = event.event_time.as_ref().map(|time| time.0).or(event.metadata.creation_timestamp.as_ref().map(|time| time.0));
    let first = event.first_timestamp.as_ref().map(|time| time.0).or(made)?;
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = series.or(event.last_timestamp.as_ref().map(|time| time.0)).unwrap_or(first);
    Some(Sighting::Event(Box::new(KubeletEvent {
        pod: PodKey { namespace: name(pod.namespace.as_deref()?), name: name(pod.name.as_deref()?) },
        uid: name(pod.uid.as_deref().unwrap_or_default()),
        container: name(container),
        kind,
        message: cut(event.message.as_deref().unwrap_or_default(), MAX_MESSAGE).into(),
        count: u32::try_from(count).unwrap_or(1).max(1),
        first: timestamp(first)?,
        last: timestamp(last)?,
    })))
}

/// A node and its runtime.
pub(super) fn node(node: &Node) -> Option<Sighting> {
    let info = node.status.as_ref().and_then(|status| status.node_info.as_ref());
    let runtime = info.map_or("", |info| cut(&info.container_runtime_version, MAX_NAME)).to_owned();
    Some(Sighting::Node { name: node.metadata.name.as_deref()?.parse().ok()?, runtime })
}

/// Who made a pod, as far up as the names tell without asking: a ReplicaSet is named after its Deployment and the pods' template, a Job
/// after its CronJob and the minute.
fn workload(meta: &ObjectMeta) -> Option<Workload> {
    let owner = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    let label = |key: &str| meta.labels.as_ref().and_then(|labels| labels.get(key));
    let behind = |hash: &String| Some(owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?.to_owned());
    let (kind, owner_name) = match owner.kind.as_str() {
        "Node" => return None,
        "ReplicaSet" => match (label("pod-template-hash").and_then(behind), label("rollouts-pod-template-hash").and_then(behind))
        {
            (_, Some(rollout)) => ("Rollout", rollout),
            (Some(deployment), None) => ("Deployment", deployment),
            (None, None) => ("ReplicaSet", owner.name.clone()),
        },
        "Job" => cron_job(owner).map_or_else(|| ("Job", owner.name.clone()), |cron_job| ("CronJob", cron_job)),
        kind => (kind, owner.name.clone()),
    };
    Some(Workload { kind: name(kind), name: name(&owner_name) })
}

fn cron_job(owner: &OwnerReference) -> Option<String> {
    let (cron_job, minute) = owner.name.rsplit_once('-')?;
    (minute.len() == CRON_DIGITS && minute.bytes().all(|b| b.is_ascii_digit())).then(|| cron_job.to_owned())
}

/// Containers of all kinds in the order in which they start, and volumes that are images.
fn containers(pod: &Pod) -> Vec<ContainerSeen> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let status = pod.status.as_ref();
    let of = |list: fn(&PodStatus) -> Option<&Vec<ContainerStatus>>| status.and_then(list).map(Vec::as_slice).unwrap_or_default();
    let (main, init) = (of(|s| s.container_statuses.as_ref()), of(|s| s.init_container_statuses.as_ref()));
    let ephemeral = of(|s| s.ephemeral_container_statuses.as_ref());
    // Volumes are there before any container is.
    let has_begun = main.iter().chain(init).any(has_image);
    let mut seen: Vec<_> = (spec.volumes.iter().flatten())
        .filter_map(|volume| Some((volume, volume.image.as_ref()?.reference.as_deref()?)))
        .map(|(volume, image)| ContainerSeen {
            name: name(&volume.name),
            kind: ContainerKind::ImageVolume,
            image: name(image),
            has_image: has_begun,
            waiting: None,
        })
        .collect();
    let mut add = |kind, container: &str, image: Option<&String>, statuses: &[ContainerStatus]| {
        let status = statuses.iter().find(|status| status.name == container);
        seen.push(ContainerSeen {
            name: name(container),
            kind,
            image: name(image.map_or("", String::as_str)),
            has_image: status.is_some_and(has_image),
            waiting: status.and_then(waiting),
        });
    };
    spec.init_containers.iter().flatten().for_each(|c| add(ContainerKind::Init, &c.name, c.image.as_ref(), init));
    spec.containers.iter().for_each(|c| add(ContainerKind::Main, &c.name, c.image.as_ref(), main));
    spec.ephemeral_containers.iter().flatten().for_each(|c| add(ContainerKind::Ephemeral, &c.name, c.image.as_ref(), ephemeral));
    seen
}

fn has_image(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    !status.image_id.is_empty() || state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

fn waiting(status: &ContainerStatus) -> Option<Waiting> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let message = cut(waiting.message.as_deref().unwrap_or_default(), MAX_MESSAGE).into();
    Some(Waiting { reason: name(waiting.reason.as_deref().unwrap_or_default()), message })
}

fn timestamp(time: k8s_openapi::jiff::Timestamp) -> Option<Timestamp> {
    Timestamp::from_parts(time.as_second(), time.subsec_nanosecond())
}

fn name(text: &str) -> Box<str> {
    cut(text, MAX_NAME).into()
}

fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(pod_json: serde_json::Value) -> PodSeen {
        pod(&serde_json::from_value(pod_json).unwrap()).unwrap()
    }

    fn made_by(kind: &str, owner: &str, label: &str) -> Option<String> {
        let pod = read(json!({
            "metadata": { "namespace": "n", "name": "p", "labels": { label: "7d4f8b6c9" },
                "ownerReferences": [{ "apiVersion": "v1", "kind": kind, "name": owner, "uid": "u", "controller": true }] },
            "spec": { "containers": [] },
        }));
        pod.workload.map(|workload| format!("{}/{}", workload.kind, workload.name))
    }

    #[test]
    fn the_workload_is_read_off_names_without_asking() {
        for (kind, owner, label, expected) in [
            ("ReplicaSet", "web-7d4f8b6c9", "pod-template-hash", Some("Deployment/web")),
            ("ReplicaSet", "web-7d4f8b6c9", "rollouts-pod-template-hash", Some("Rollout/web")),
            ("ReplicaSet", "by-hand", "pod-template-hash", Some("ReplicaSet/by-hand")),
            ("Job", "backup-28934012", "x", Some("CronJob/backup")),
            ("Job", "migrate-2", "x", Some("Job/migrate-2")),
            ("StatefulSet", "db", "x", Some("StatefulSet/db")),
            ("Node", "node-1", "x", None),
        ] {
            assert_eq!(made_by(kind, owner, label).as_deref(), expected, "{kind} {owner}");
        }
    }

    #[test]
    fn containers_of_all_kinds_and_image_volumes_are_seen() {
        let pod = read(json!({
            "metadata": { "namespace": "n", "name": "p", "uid": "u" },
            "spec": {
                "nodeName": "node-1",
                "initContainers": [{ "name": "init", "image": "i:1" }],
                "containers": [{ "name": "main", "image": "m:1" }],
                "ephemeralContainers": [{ "name": "debug", "image": "d:1" }],
                "volumes": [{ "name": "model", "image": { "reference": "v:1" } }, { "name": "empty", "emptyDir": {} }],
            },
            "status": {
                "initContainerStatuses": [{ "name": "init", "image": "i:1", "imageID": "r@sha256:0", "ready": true, "restartCount": 0 }],
                "containerStatuses": [{ "name": "main", "image": "m:1", "imageID": "", "ready": false, "restartCount": 0,
                    "state": { "waiting": { "reason": "ErrImagePull", "message": "gone" } } }],
            },
        }));
        let seen: Vec<_> = pod.containers.iter().map(|c| (&*c.name, c.kind, &*c.image, c.has_image)).collect();
        assert_eq!(
            seen,
            [
                ("model", ContainerKind::ImageVolume, "v:1", true),
                ("init", ContainerKind::Init, "i:1", true),
                ("main", ContainerKind::Main, "m:1", false),
                ("debug", ContainerKind::Ephemeral, "d:1", false),
            ]
        );
        assert_eq!(pod.containers[2].waiting, Some(Waiting { reason: "ErrImagePull".into(), message: "gone".into() }));
    }

    #[test]
    fn an_event_says_whose_container_and_how_often() {
        let read = |reason: &str| {
            event(
                &serde_json::from_value(json!({
                    "metadata": { "namespace": "n", "name": "p.1" },
                    "involvedObject": { "kind": "Pod", "namespace": "n", "name": "p", "uid": "u", "fieldPath": "spec.initContainers{init}" },
                    "reason": reason, "message": "Pulling image \"i:1\"", "count": 3,
                    "firstTimestamp": "2025-01-15T10:30:00Z", "lastTimestamp": "2025-01-15T10:31:00Z",
                }))
                .unwrap(),
            )
        };
        let Some(Sighting::Event(pulling)) = read("Pulling") else { panic!("not an event about an image") };
        assert_eq!((&*pulling.container, pulling.count, pulling.kind), ("init", 3, EventKind::Pulling));
        assert_eq!(pulling.last.since(pulling.first).as_secs(), 60);
        assert_eq!(read("Scheduled"), None);
    }
}
