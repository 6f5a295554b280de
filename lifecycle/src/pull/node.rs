//! Who speaks in a report: the node, and what its agent says about itself.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::{image::ImageRef, time::Timestamp};

/// Longest node name, in bytes: a DNS subdomain, as Kubernetes demands of node names.
const MAX_NODE_NAME: usize = 253;

/// Most waiting images that a heartbeat names.
pub const MAX_QUEUED_IMAGES: usize = 32;

/// The name of a node: not empty, at most 253 bytes, printable ASCII without spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Box<str>);

impl NodeName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = ParseNodeNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ok = (1..=MAX_NODE_NAME).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        ok.then(|| Self(text.into())).ok_or(ParseNodeNameError)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no [`NodeName`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a node name has 1 to {MAX_NODE_NAME} printable ASCII characters and no spaces")]
pub struct ParseNodeNameError;

/// The node on which pulls run: who speaks in a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in the cluster, or its host name.
    pub name: NodeName,
    /// What stays the same when the name is used again: the node's uid, or the machine's id.
    pub uid: String,
    /// Name of the cluster; empty if none was given.
    pub cluster: String,
    /// The container runtime, `containerd`.
    pub runtime_name: String,
    /// Its version as it says itself; empty while unknown.
    pub runtime_version: String,
}

/// What an agent says about itself: its heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// Where the agent runs.
    pub node: Node,
    /// When this was so.
    pub observed_at: Timestamp,
    /// Version of the agent.
    pub agent_version: String,
    /// Whether the agent reaches its runtime now.
    pub runtime_reachable: bool,
    /// Pulls that run now.
    pub active_pulls: u64,
    /// Images that the kubelet is about to pull and that wait for their turn, oldest first; at most [`MAX_QUEUED_IMAGES`].
    pub queued_images: Vec<ImageRef>,
    /// Progress reports that the agent dropped because it could not deliver them.
    pub dropped_progress: u64,
    /// Outcomes that the agent dropped because memory was used up.
    pub dropped_outcomes: u64,
}
