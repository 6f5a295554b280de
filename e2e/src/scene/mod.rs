//! Situations of a whole cluster, played as long as somebody watches: slow, stalled, refused and rolled-out pulls of as many nodes as are asked
//! for. For `cargo xtask scenario`, the demo with Prometheus, and the tests of what is drawn and alerted from the numbers.
//!
//! ```text
//! catalog: the scenes by name -> script: one pull as arithmetic -> player: what is so now -> told -OTLP/JSON-> pulltrace-collector
//!                                                                       `-> pods -> api <-list, watch- pulltrace-collector
//! ```
//!
//! The agents of these nodes are played, because two cores hold no hundred real ones; a scene has real ones too, each on a simulated
//! containerd, where that can show it ([`Scene::real`]). It does not judge what the collector makes of it.

pub mod api;
pub mod catalog;
pub mod player;
mod pods;
pub mod script;
mod told;

use self::script::Script;

/// One situation.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// Its name on the command line, and the beginning of the names of its nodes.
    pub name: &'static str,
    /// What there is to see, in one sentence.
    pub about: &'static str,
    /// The scenario that a real agent's simulated containerd plays to it, by its name.
    pub real: Option<&'static str>,
    /// Who plays, for so many nodes.
    pub cast: fn(&'static str, usize) -> Cast,
}

/// The nodes of a scene and what they pull.
#[derive(Clone, Debug, Default)]
pub struct Cast {
    /// The nodes.
    pub nodes: Vec<NodeRole>,
    /// Their pulls.
    pub scripts: Vec<Script>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeRole {
    /// Its name.
    pub name: String,
    /// Images that wait in its kubelet's queue.
    pub queued: Vec<String>,
    /// It falls silent so many seconds after the curtain rose.
    pub silent_after: Option<f64>,
    /// So many seconds pass before what it says arrives.
    pub late: f64,
    /// Its agent tells of no pull, though it says that it is well.
    pub mute: bool,
}
