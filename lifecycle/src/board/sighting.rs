//! What is told about pods, their events and their nodes: only what says which image is waited for. Plain values, cut to their bounds by
//! whoever reads the Kubernetes API; what they mean is the business of [`super::pods`].

use serde::Serialize;

use crate::{pull::NodeName, time::Timestamp};

/// Something that was seen of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// A pod as it is now.
    Pod(Box<PodSeen>),
    /// A pod is gone.
    PodGone(PodKey),
    /// A word of a kubelet about one container's image. May come twice, late, and before its pod.
    Event(Box<KubeletEvent>),
    /// A node and its runtime, `containerd://2.1.4`.
    Node {
        /// Which.
        name: NodeName,
        /// Runtime and version; empty while unknown.
        runtime: String,
    },
    /// A node is gone.
    NodeGone(NodeName),
    /// All pods, or those of this namespace, are about to be told anew, because what happened in between is not known.
    Relisting(Option<Box<str>>),
    /// All of these were told; who was not is gone.
    Listed(Option<Box<str>>),
    /// Nobody tells about pods for now: the Kubernetes API is away. Any [`Sighting::Listed`] or pod leads back.
    Away,
}

/// Namespace and name of a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
}

/// One pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// Its name.
    pub key: PodKey,
    /// What stays different when the name is used again.
    pub uid: Box<str>,
    /// Where it was placed; `None` before that.
    pub node: Option<NodeName>,
    /// Who made it, as far up as is known.
    pub workload: Option<Workload>,
    /// Its containers of all kinds, in the order of the specification.
    pub containers: Vec<ContainerSeen>,
}

/// What people call the owner of pods: `Deployment web`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Workload {
    /// Kind.
    pub kind: Box<str>,
    /// Name.
    pub name: Box<str>,
}

/// One container, or a volume that is an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSeen {
    /// Its name.
    pub name: Box<str>,
    /// What it is to the pod.
    pub kind: ContainerKind,
    /// The image as the pod names it.
    pub image: Box<str>,
    /// Whether its image is there: it has an image id, or it has run.
    pub has_image: bool,
    /// Why the kubelet has not started it.
    pub waiting: Option<Waiting>,
}

/// Reason and message of a container that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// `ContainerCreating`, `ErrImagePull`, ...
    pub reason: Box<str>,
    /// In full; empty if none.
    pub message: Box<str>,
}

/// What a container is to its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ContainerKind {
    /// One of the containers proper.
    Main,
    /// Runs before them.
    Init,
    /// Was added for debugging.
    Ephemeral,
    /// A volume of type image.
    ImageVolume,
}

/// A word of a kubelet about the image of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletEvent {
    /// Whose container.
    pub pod: PodKey,
    /// The pod's uid.
    pub uid: Box<str>,
    /// The container's name; empty where the event names none.
    pub container: Box<str>,
    /// What happened.
    pub kind: EventKind,
    /// The message in full.
    pub message: Box<str>,
    /// How often so far.
    pub count: u32,
    /// When first, by the node's clock, to the second.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
}

/// The words of a kubelet about images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It asks the runtime for the image, or puts it into its own queue.
    Pulling,
    /// The image is there.
    Pulled,
    /// It did not get the image.
    Failed,
    /// It waits before it asks again.
    BackOff,
}
