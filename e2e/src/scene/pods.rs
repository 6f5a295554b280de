//! What a scheduler and the kubelets would write into the API: a pod that waits, the kubelet's words about its image, and what came of it.

use serde_json::{Value, json};

use super::api::{Api, Resource};
use super::script::{End, PodOf, Script};
use crate::clock::{self, Seconds};

/// A pod that is in the API.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    namespace: &'static str,
    deployment: &'static str,
    name: String,
    node: String,
    image: String,
}

impl Placed {
    /// Puts the pod of this round there, with the kubelet's asking for its image.
    pub(super) fn new(api: &Api, script: &Script, of: &PodOf, image: &str, round: u64, began: Seconds) -> Self {
        let (namespace, deployment) = of.workload;
        let name = format!("{deployment}-7d4f8b6c9-{}-{round}", of.name);
        let placed = Self { namespace, deployment, name, node: script.node.clone(), image: image.to_owned() };
        api.put(Resource::Pods, placed.pod(&json!({"waiting": {"reason": "ContainerCreating"}}), ""));
        let message = format!("Pulling image \"{image}\"");
        api.put(Resource::Events, placed.event("Pulling", &message, began));
        placed
    }

    /// Says what came of it.
    pub(super) fn end(&self, api: &Api, end: &End, at: Seconds) {
        let image = &self.image;
        match end {
            End::Ready => {
                let message = format!("Successfully pulled image \"{image}\"");
                api.put(Resource::Events, self.event("Pulled", &message, at));
                let started = clock::text(at);
                api.put(Resource::Pods, self.pod(&json!({"running": {"startedAt": started}}), "registry@sha256:0"));
            }
            End::Failed { message, .. } => {
                let told = format!("Failed to pull image \"{image}\": {message}");
                api.put(Resource::Events, self.event("Failed", &told, at));
                api.put(Resource::Pods, self.pod(&json!({"waiting": {"reason": "ErrImagePull", "message": message}}), ""));
            }
        }
    }

    /// Takes it away again, and what was said about it.
    pub(super) fn remove(&self, api: &Api) {
        api.remove(Resource::Pods, self.namespace, &self.name);
        for reason in ["Pulling", "Pulled", "Failed"] {
            api.remove(Resource::Events, self.namespace, &self.event_name(reason));
        }
    }

    fn pod(&self, state: &Value, image_id: &str) -> Value {
        let Self { namespace, deployment, name, node, image } = self;
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": namespace, "name": name, "uid": name, "labels": {"pod-template-hash": "7d4f8b6c9"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{deployment}-7d4f8b6c9"),
                    "uid": deployment, "controller": true}],
            },
            "spec": {"nodeName": node, "containers": [{"name": "app", "image": image}]},
            "status": {"containerStatuses": [{"name": "app", "image": image, "imageID": image_id, "ready": !image_id.is_empty(),
                "restartCount": 0, "state": state}]},
        })
    }

    fn event_name(&self, reason: &str) -> String {
        format!("{}.{}", self.name, reason.to_lowercase())
    }

    fn event(&self, reason: &str, message: &str, at: Seconds) -> Value {
        let Self { namespace, name, .. } = self;
        let at = clock::text(at);
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"namespace": namespace, "name": self.event_name(reason)},
            "involvedObject": {"kind": "Pod", "namespace": namespace, "name": name, "uid": name,
                "fieldPath": "spec.containers{app}"},
            "reason": reason, "message": message, "count": 1, "source": {"component": "kubelet"},
            "firstTimestamp": at, "lastTimestamp": at,
        })
    }
}

/// A node.
pub(super) fn node(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"nodeInfo": {"containerRuntimeVersion": "containerd://2.1.4"}}})
}
