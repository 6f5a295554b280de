//! The bounds of a board: how long it waits, how long it remembers, and how much.

use std::time::Duration;

/// How often an agent says that it is there.
pub const HEARTBEAT: Duration = Duration::from_secs(30);
/// An agent that was silent for so long (three heartbeats) no longer speaks for its pulls: they are stale.
pub const SILENT_AFTER: Duration = HEARTBEAT.saturating_mul(3);
/// A running pull is told every 2 s. One that was not told for so long, while its agent says that it watches fewer pulls than are open
/// here, is none of those that it watches.
pub const UNTOLD_AFTER: Duration = Duration::from_secs(15);
/// Running pulls of an agent that was silent for so long are lost.
pub const LOST_AFTER: Duration = Duration::from_secs(300);
/// How long ended pulls are kept, unless configured otherwise.
pub const HISTORY_TTL: Duration = Duration::from_secs(30 * 60);
/// Most pulls in memory, running and ended.
pub const MAX_PULLS: usize = 100_000;
/// Most pulls of one node in memory, so that one node cannot push out the others.
pub const MAX_PULLS_PER_NODE: usize = 2_000;
/// Most layers of all pulls in memory. A layer takes 64 bytes, and some 200 more if no other pull has it.
pub const MAX_LAYERS: usize = 2_000_000;
/// Most layers of one node's pulls in memory.
pub const MAX_LAYERS_PER_NODE: usize = 40_000;
/// Most nodes that are known at a time.
pub const MAX_NODES: usize = 20_000;

/// The bounds of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long ended pulls are kept, from the moment their end became known.
    pub history: Duration,
    /// Most pulls in memory.
    pub pulls: usize,
    /// Most pulls of one node in memory.
    pub pulls_per_node: usize,
    /// Most layers of all pulls in memory.
    pub layers: usize,
    /// Most layers of one node's pulls in memory.
    pub layers_per_node: usize,
    /// Most nodes that are known at a time.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            history: HISTORY_TTL,
            pulls: MAX_PULLS,
            pulls_per_node: MAX_PULLS_PER_NODE,
            layers: MAX_LAYERS,
            layers_per_node: MAX_LAYERS_PER_NODE,
            nodes: MAX_NODES,
        }
    }
}
