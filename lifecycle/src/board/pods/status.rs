//! How pods look from outside: the JSON of `/api/v1/pods`, and the pods of a pull.

use serde::Serialize;

use super::{Container, Pod, Pods, SLACK, Stand, is_same_image};
use crate::{
    board::sighting::{ContainerKind, PodKey, Workload},
    image::ImageRef,
    pull::{Phase, Pull, PullId},
    time::Timestamp,
};

/// Most containers that one pull names.
pub(super) const MAX_PODS_PER_PULL: usize = 64;

/// A container that waits, or waited, for a pull.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PodRef {
    /// Namespace of the pod.
    pub namespace: Box<str>,
    /// Name of the pod.
    pub pod_name: Box<str>,
    /// The container, or the volume.
    pub container: Box<str>,
    /// The image as the pod names it.
    pub image: Box<str>,
    /// Who made the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
}

/// One pod that waits for images, or did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// Its namespace.
    pub namespace: Box<str>,
    /// Its name.
    pub pod_name: Box<str>,
    /// Its uid.
    pub uid: Box<str>,
    /// Where it was placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,
    /// Whether all its images are there.
    pub images_ready: bool,
    /// Whether the Kubernetes API is away, so that this is how it was.
    pub stale: bool,
    /// Its containers.
    pub containers: Vec<ContainerStatus>,
}

/// One container and its image.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    pub container: Box<str>,
    /// What it is to the pod.
    pub kind: ContainerKind,
    /// The image as the pod names it.
    pub image: Box<str>,
    /// `waiting` (not asked for yet), `queued`, `pulling`, `failed` or `ready`.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["waiting", "queued", "pulling", "failed", "ready"])))]
    pub state: &'static str,
    /// The reason in the container's status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// When the kubelet first asked for the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Timestamp>,
    /// When the image was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// How often the kubelet asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Original text of the last error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Its class.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = crate::pull::ErrorClass::ALL.map(crate::pull::ErrorClass::as_str))))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<&'static str>,
    /// What usually helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_hint: Option<&'static str>,
    /// When the kubelet asks again, about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<Timestamp>,
    /// The pull that brings, brought or did not bring the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_id: Option<PullId>,
    /// What the kubelet pulls before, if it has not begun with this image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
}

/// A place in a kubelet's queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueueStatus {
    /// 2 is the next one.
    pub position: usize,
    /// How many images the kubelet was asked for.
    pub of: usize,
    /// The image that is pulled now.
    pub behind: ImageRef,
}

impl PodRef {
    pub(super) fn of(key: &PodKey, pod: &Pod, container: &Container) -> Self {
        Self {
            namespace: key.namespace.clone(),
            pod_name: key.name.clone(),
            container: container.seen.name.clone(),
            image: container.seen.image.clone(),
            workload: pod.workload.clone(),
        }
    }
}

impl Pods {
    /// How a pod looks, with the pulls of its node; `None` if it is not kept.
    pub(in crate::board) fn status(&self, key: &PodKey, pulls: &[&Pull]) -> Option<PodStatus> {
        let pod = self.pods.get(key).filter(|pod| pod.seen)?;
        let containers: Vec<_> = pod.containers.iter().map(|container| self.container(pod, container, pulls)).collect();
        Some(PodStatus {
            namespace: key.namespace.clone(),
            pod_name: key.name.clone(),
            uid: pod.uid.clone(),
            node_name: pod.node.as_ref().map(ToString::to_string),
            workload: pod.workload.clone(),
            images_ready: containers.iter().all(|container| container.state == "ready"),
            stale: self.away,
            containers,
        })
    }

    /// Pods that are kept and were seen.
    pub(in crate::board) fn keys(&self) -> impl Iterator<Item = &PodKey> {
        self.pods.iter().filter(|(_, pod)| pod.seen).map(|(key, _)| key)
    }

    /// The place of an image among those that a node's kubelet was asked for, if it pulls another one now.
    pub(in crate::board) fn queue(&self, pod: &crate::pull::NodeName, image: &ImageRef, pulls: &[&Pull]) -> Option<QueueStatus> {
        let runs = |image: &ImageRef| pulls.iter().any(|pull| moves(pull) && is_same_image(image, pull));
        let asked = self.containers(pod).filter(|(_, _, other)| other.stand() == Stand::Pulling);
        let mut images: Vec<_> = asked.filter_map(|(_, _, other)| Some((other.asking.asked?, other.image.as_ref()?))).collect();
        images.sort_unstable_by_key(|(asked, image)| (!runs(image), *asked, *image));
        let mut seen = std::collections::BTreeSet::new();
        images.retain(|(_, image)| seen.insert(*image));
        let (_, behind) = images.first().filter(|(_, first)| runs(first))?;
        let place = images.iter().position(|(_, other)| *other == image)?;
        (place > 0 && !runs(image)).then(|| QueueStatus { position: place + 1, of: images.len(), behind: (*behind).clone() })
    }

    fn container(&self, pod: &Pod, container: &Container, pulls: &[&Pull]) -> ContainerStatus {
        let (seen, asking, stand) = (&container.seen, &container.asking, container.stand());
        let queue = match (stand, &pod.node, &container.image) {
            (Stand::Pulling, Some(node), Some(image)) => self.queue(node, image, pulls),
            (Stand::Unasked | Stand::Pulling | Stand::Failed | Stand::Present, ..) => None,
        };
        let failure = (stand == Stand::Failed).then(|| asking.failure(seen)).flatten().map(|(_, failure)| failure);
        let pull = pulls.iter().filter(|pull| container.waited_for(pull)).max_by_key(|pull| pull.started_at);
        // What ended before the kubelet asked again is the attempt before.
        let is_old =
            |pull: &Pull| stand == Stand::Pulling && pull.ending.as_ref().is_some_and(|e| Some(e.at + SLACK) < asking.asked);
        ContainerStatus {
            container: seen.name.clone(),
            kind: seen.kind,
            image: seen.image.clone(),
            state: match stand {
                Stand::Unasked => "waiting",
                Stand::Pulling if queue.is_some() => "queued",
                Stand::Pulling => "pulling",
                Stand::Failed => "failed",
                Stand::Present => "ready",
            },
            reason: seen.waiting.as_ref().map(|waiting| waiting.reason.clone()),
            waiting_since: asking.first,
            ready_at: (stand == Stand::Present).then_some(asking.pulled).flatten(),
            attempt: Some(asking.attempts).filter(|attempts| *attempts > 0),
            error_class: failure.as_ref().map(|failure| failure.class.as_str()),
            error_hint: failure.as_ref().map(|failure| failure.class.hint()),
            error: failure.map(|failure| failure.message),
            next_retry_at: asking.next_retry(seen),
            pull_id: pull.filter(|pull| !is_old(pull)).map(|pull| pull.id),
            queue,
        }
    }
}

/// Whether a pull is under way in the runtime, and not only in a kubelet's queue.
fn moves(pull: &Pull) -> bool {
    pull.ending.is_none() && pull.phase != Phase::Queued
}
