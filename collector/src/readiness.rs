//! Whether reports should be sent here: for the probe over HTTP and for gRPC's health, which must never say different things.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::keeper::Keeper;

/// Whether the collector can take reports; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    keeper: Keeper,
    serving: Arc<AtomicUsize>,
    listeners: usize,
    leaving: Arc<AtomicBool>,
}

impl Readiness {
    /// Ready as long as the keeper lives and so many listeners are `serving`.
    pub(crate) fn new(keeper: Keeper, serving: Arc<AtomicUsize>, listeners: usize) -> Self {
        Self { keeper, serving, listeners, leaving: Arc::default() }
    }

    /// From now on not ready: the end is near.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Why nothing should be sent here; `None` if it should.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        if self.leaving.load(Ordering::Relaxed) {
            Some("about to end")
        } else if !self.keeper.is_alive() {
            Some("the keeper has ended")
        } else if self.serving.load(Ordering::Relaxed) < self.listeners {
            Some("not all listeners accept")
        } else {
            None
        }
    }

    /// Who takes the reports.
    pub(crate) const fn keeper(&self) -> &Keeper {
        &self.keeper
    }
}
