//! Where the node's words go: what is said of pulls and of the node itself, for delivery and for probes.

use std::sync::{Arc, Mutex, PoisonError};

use lifecycle::pull::{Node, NodeReport, Pull};

use crate::{config::Route, export::Outbox, health::Health};

/// The node's voice, whatever runtimes it has.
pub(crate) struct Voice {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) health: Arc<Health>,
    /// Who speaks; changes when the runtime says its version.
    node: Arc<Mutex<Node>>,
}

impl Voice {
    pub(crate) fn new(node: &Node, routes: &[Route]) -> Self {
        Self { outbox: Arc::new(Outbox::new(routes)), health: Arc::default(), node: Arc::new(Mutex::new(node.clone())) }
    }

    /// Says who speaks, at any time.
    pub(crate) fn speaker(&self) -> impl Fn() -> Node + Clone + Send + Sync + 'static {
        let node = Arc::clone(&self.node);
        move || node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says something about a pull.
    pub(crate) fn pull(&self, first: bool, pull: Pull) {
        self.outbox.pull(first, pull);
    }

    /// Says something about the node.
    pub(crate) fn node(&self, report: NodeReport) {
        report.node.clone_into(&mut self.node.lock().unwrap_or_else(PoisonError::into_inner));
        self.outbox.node(&report);
    }
}
