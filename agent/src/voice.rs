//! Where the node's words go: what is said of pulls and of the node itself, for delivery and for probes.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use lifecycle::pull::{Node, NodeReport, Pull};

use crate::{config::Config, export::Outbox, health::Health, host::Sampler, telemetry::Telemetry};

/// The node's voice, whatever runtimes it has.
pub(crate) struct Voice {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) health: Arc<Health>,
    /// Who speaks; changes when the runtime says its version.
    node: Arc<Mutex<Node>>,
    telemetry: Arc<Telemetry>,
    /// What else the node does, told with every pull that runs; not if it is switched off.
    host: Option<Mutex<Sampler>>,
}

impl Voice {
    pub(crate) fn new(config: &Config, telemetry: Arc<Telemetry>) -> Self {
        Self {
            outbox: Arc::new(Outbox::new(&config.routes)),
            health: Arc::new(Health::new(Arc::clone(&telemetry))),
            node: Arc::new(Mutex::new(config.node.clone())),
            telemetry,
            host: config.host_facts.then(|| Mutex::new(Sampler::of_host(&config.host_root))),
        }
    }

    /// From now on the disk on which this folder lies is one that pulls may wait for.
    pub(crate) fn look_at_disk_of(&self, folder: &Path) {
        if let Some(host) = &self.host {
            host.lock().unwrap_or_else(PoisonError::into_inner).look_at_disk_of(folder);
        }
    }

    /// Says who speaks, at any time.
    pub(crate) fn speaker(&self) -> impl Fn() -> Node + Clone + Send + Sync + 'static {
        let node = Arc::clone(&self.node);
        move || node.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says something about a pull.
    pub(crate) fn pull(&self, first: bool, mut pull: Pull) {
        self.telemetry.pull(&pull);
        if let Some(host) = &self.host {
            pull.host = host.lock().unwrap_or_else(PoisonError::into_inner).beside(&pull);
            self.telemetry.host(&pull.host);
        }
        self.outbox.pull(first, pull);
    }

    /// Says something about the node.
    pub(crate) fn node(&self, report: NodeReport) {
        self.telemetry.node(&report);
        report.node.clone_into(&mut self.node.lock().unwrap_or_else(PoisonError::into_inner));
        self.outbox.node(&report);
    }
}
