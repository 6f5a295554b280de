//! What a workload is to have, and which of its pods have their images, as Kubernetes says. How far a missing image is, the collector knows.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSet, Deployment, StatefulSet},
        batch::v1::Job,
        core::v1::{Container, ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams},
    core::Selector,
};
use serde_json::Value;

use super::{Cluster, ClusterError, MAX_OBJECTS};

/// Reasons of a waiting container that say that its image was not to be had.
const REFUSED: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
/// Reasons of a waiting container that come after its image.
const LATER: [&str; 4] = ["CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"];

/// What makes pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Job,
    /// The pod itself.
    Pod,
}

/// One of these, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Workload {
    pub(crate) kind: Kind,
    pub(crate) name: String,
}

/// How far a workload is with its images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needed {
    /// So many pods there shall be; `None` while its controller has not seen it as it is now.
    pub(crate) pods: Option<usize>,
    /// Those that are, of the template as it is now.
    pub(crate) seen: Vec<PodImages>,
}

/// One pod and the images that it lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodImages {
    pub(crate) name: String,
    /// Where it was placed.
    pub(crate) node: Option<String>,
    /// Images that are not there yet.
    pub(crate) missing: Vec<String>,
    /// One of them that was not to be had, and why.
    pub(crate) refused: Option<Refused>,
}

/// What the kubelet says of an image that was not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) image: String,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Kind {
    /// As it is written in `kind:`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Job => "Job",
            Self::Pod => "Pod",
        }
    }

    /// By any of the words that `kubectl` takes.
    pub(crate) fn by_word(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        Some(match word.split('.').next().unwrap_or_default() {
            "deploy" | "deployment" | "deployments" => Self::Deployment,
            "sts" | "statefulset" | "statefulsets" => Self::StatefulSet,
            "ds" | "daemonset" | "daemonsets" => Self::DaemonSet,
            "job" | "jobs" => Self::Job,
            "po" | "pod" | "pods" => Self::Pod,
            _ => return None,
        })
    }

    fn resource(self) -> (ApiResource, &'static str, &'static str) {
        match self {
            Self::Deployment => (ApiResource::erase::<Deployment>(&()), "deployments", "apps"),
            Self::StatefulSet => (ApiResource::erase::<StatefulSet>(&()), "statefulsets", "apps"),
            Self::DaemonSet => (ApiResource::erase::<DaemonSet>(&()), "daemonsets", "apps"),
            Self::Job => (ApiResource::erase::<Job>(&()), "jobs", "batch"),
            Self::Pod => (ApiResource::erase::<Pod>(&()), "pods", ""),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str().to_ascii_lowercase(), self.name)
    }
}

impl Cluster {
    /// How far a workload of this namespace is with its images now.
    pub(crate) fn needed(&self, of: &Workload, namespace: &str) -> Result<Needed, ClusterError> {
        let (resource, plural, group) = of.kind.resource();
        let place = format!("namespace {namespace}");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client()?.clone(), namespace, &resource);
        let found =
            self.0.runtime.block_on(api.get_opt(&of.name)).map_err(|error| self.error(&error, ("get", plural, group), &place))?;
        let missing = || ClusterError::Missing {
            what: of.to_string(),
            namespace: namespace.to_owned(),
            context: self.context().to_owned(),
        };
        let object = found.ok_or_else(missing)?;
        let bad = |error: &dyn fmt::Display| ClusterError::Other(format!("{of}: {error}"));
        let value = serde_json::to_value(&object).map_err(|error| bad(&error))?;
        if of.kind == Kind::Pod {
            let pod: Pod = serde_json::from_value(value).map_err(|error| bad(&error))?;
            return Ok(Needed { pods: Some(1), seen: vec![PodImages::of(&pod)] });
        }
        let selector: LabelSelector = serde_json::from_value(value["spec"]["selector"].clone()).map_err(|error| bad(&error))?;
        let selector = Selector::try_from(selector).map_err(|error| bad(&error))?;
        let pods: Api<Pod> = Api::namespaced(self.client()?.clone(), namespace);
        let listed =
            self.0.runtime.block_on(async { pods.list(&ListParams::default().labels_from(&selector).limit(MAX_OBJECTS)).await });
        let listed = listed.map_err(|error| self.error(&error, ("list", "pods", ""), &place))?;
        Ok(needed(of.kind, &value, &listed.items))
    }
}

/// Which of these pods count for a workload as it is now.
fn needed(kind: Kind, workload: &Value, pods: &[Pod]) -> Needed {
    let number = |path: &str| workload.pointer(path).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
    let is_seen = number("/status/observedGeneration") >= number("/metadata/generation") || kind == Kind::Job;
    let (wanted, updated) = match kind {
        Kind::Deployment | Kind::StatefulSet => (number("/spec/replicas").or(Some(1)), number("/status/updatedReplicas")),
        Kind::DaemonSet => (number("/status/desiredNumberScheduled"), number("/status/updatedNumberScheduled")),
        Kind::Job => {
            let parallel = number("/spec/parallelism").unwrap_or(1);
            (Some(parallel.min(number("/spec/completions").unwrap_or(parallel))), None)
        }
        Kind::Pod => (Some(1), None),
    };
    let is_going = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        pod.metadata.deletion_timestamp.is_some() || phase == Some("Failed") && kind != Kind::Job
    };
    let alive: Vec<&Pod> = pods.iter().filter(|pod| !is_going(pod)).collect();
    // Images that the cluster rewrites do not match; then it matters that no pod is left of an older template.
    let all_are_new = kind == Kind::Job || updated.is_some_and(|updated| updated >= alive.len());
    let template = images(workload.pointer("/spec/template/spec").unwrap_or(&Value::Null));
    let is_new = |pod: &&&Pod| all_are_new || is_of(&template, pod);
    let seen = alive.iter().filter(is_new).map(|pod| PodImages::of(pod)).collect();
    Needed { pods: wanted.filter(|_| is_seen), seen }
}

/// The images of a pod's specification by their containers.
fn images(spec: &Value) -> BTreeMap<String, String> {
    let lists = ["containers", "initContainers"].iter().filter_map(|key| spec[key].as_array()).flatten();
    lists.filter_map(|one| Some((one["name"].as_str()?.to_owned(), one["image"].as_str()?.to_owned()))).collect()
}

fn is_of(template: &BTreeMap<String, String>, pod: &Pod) -> bool {
    let own: BTreeMap<_, _> = containers(pod).map(|one| (&*one.name, one.image.as_deref().unwrap_or_default())).collect();
    template.iter().all(|(name, image)| own.get(name.as_str()).is_none_or(|own| own == image))
}

fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

impl PodImages {
    fn of(pod: &Pod) -> Self {
        let status = pod.status.as_ref();
        let lists = status.map(|status| [&status.init_container_statuses, &status.container_statuses]).into_iter().flatten();
        let statuses: Vec<&ContainerStatus> = lists.flatten().flatten().collect();
        let of = |name: &str| statuses.iter().find(|status| status.name == name).copied();
        let is_over = status.and_then(|status| status.phase.as_deref()) == Some("Succeeded");
        let image = |one: &Container| one.image.clone().unwrap_or_default();
        let mut missing: Vec<_> =
            containers(pod).filter(|one| !is_over && !of(&one.name).is_some_and(has_image)).map(image).collect();
        missing.dedup();
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            missing,
            refused: containers(pod).find_map(|one| refused(of(&one.name)?, image(one))),
        }
    }
}

fn has_image(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    let has_begun = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    let is_later = waiting(status).is_some_and(|(reason, _)| LATER.contains(&reason));
    !status.image_id.is_empty() || has_begun || is_later
}

fn waiting(status: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.as_deref().unwrap_or_default(), waiting.message.as_deref().unwrap_or_default()))
}

fn refused(status: &ContainerStatus, image: String) -> Option<Refused> {
    let (reason, message) = waiting(status).filter(|(reason, _)| REFUSED.contains(reason))?;
    // The kubelet repeats the reason in front of the cause.
    let message = message.split_once("ErrImagePull: ").map_or(message, |(_, cause)| cause);
    Some(Refused { image, reason: reason.to_owned(), message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, image: &str, status: &Value) -> Pod {
        let containers = [json!({ "name": "app", "image": image })];
        serde_json::from_value(json!({
            "metadata": { "name": name }, "spec": { "nodeName": "n1", "containers": containers },
            "status": { "containerStatuses": [status] },
        }))
        .unwrap()
    }

    fn there() -> Value {
        json!({ "name": "app", "image": "", "imageID": "sha256:1", "ready": true, "restartCount": 0, "state": { "running": {} } })
    }

    fn waits(reason: &str, message: &str) -> Value {
        json!({ "name": "app", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": reason, "message": message } } })
    }

    fn deployment(replicas: u64, updated: u64, generations: (u64, u64)) -> Value {
        json!({ "metadata": { "generation": generations.0 },
            "spec": { "replicas": replicas, "template": { "spec": { "containers": [{ "name": "app", "image": "app:2" }] } } },
            "status": { "observedGeneration": generations.1, "updatedReplicas": updated } })
    }

    #[test]
    fn pods_of_an_older_template_do_not_count() {
        let pods = [pod("old", "app:1", &there()), pod("new", "app:2", &waits("ContainerCreating", ""))];
        let needed = needed(Kind::Deployment, &deployment(2, 1, (3, 3)), &pods);
        assert_eq!(needed.pods, Some(2));
        assert_eq!(needed.seen.iter().map(|pod| &*pod.name).collect::<Vec<_>>(), ["new"]);
        assert_eq!(needed.seen[0].missing, ["app:2"]);
    }

    #[test]
    fn nothing_is_known_while_the_controller_has_not_seen_the_change() {
        assert_eq!(needed(Kind::Deployment, &deployment(2, 2, (4, 3)), &[]).pods, None);
    }

    #[test]
    fn images_that_the_cluster_rewrites_count_when_no_older_pod_is_left() {
        let pods = [pod("new", "mirror/app:2", &there())];
        assert_eq!(needed(Kind::Deployment, &deployment(1, 1, (1, 1)), &pods).seen.len(), 1);
        assert_eq!(needed(Kind::Deployment, &deployment(1, 0, (1, 1)), &pods).seen.len(), 0);
    }

    #[test]
    fn an_image_is_there_when_the_container_has_it_or_fails_by_something_later() {
        let missing = |status: &Value| PodImages::of(&pod("p", "app:2", status)).missing.len();
        assert_eq!(missing(&there()), 0);
        assert_eq!(missing(&waits("CreateContainerConfigError", "")), 0);
        assert_eq!(missing(&waits("ContainerCreating", "")), 1);
        assert_eq!(missing(&waits("ErrImagePull", "")), 1);
    }

    #[test]
    fn a_refused_image_says_why() {
        let back_off = waits("ImagePullBackOff", "Back-off pulling image \"app:2\": ErrImagePull: app:2: not found");
        let refused = PodImages::of(&pod("p", "app:2", &back_off)).refused.unwrap();
        assert_eq!((&*refused.image, &*refused.message), ("app:2", "app:2: not found"));
        assert_eq!(PodImages::of(&pod("p", "app:2", &waits("ContainerCreating", ""))).refused, None);
    }

    #[test]
    fn words_of_kubectl_are_kinds() {
        for (word, kind) in [
            ("deploy", Kind::Deployment),
            ("Deployment.apps", Kind::Deployment),
            ("sts", Kind::StatefulSet),
            ("ds", Kind::DaemonSet),
            ("jobs", Kind::Job),
            ("po", Kind::Pod),
        ] {
            assert_eq!(Kind::by_word(word), Some(kind), "{word}");
        }
        assert_eq!(Kind::by_word("service"), None);
    }
}
