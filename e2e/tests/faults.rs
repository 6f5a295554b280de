//! The truth about every pull, whatever happens to it: one containerd of each release, one fault after the other.
//!
//! Each scenario brings something about and says what may be told of it. What always holds is held at every look (`e2e::follow`); what
//! holds of every end is held here. A scenario that fails is named, and the next ones are still played.

#[path = "faults/refused.rs"]
mod refused;
#[path = "faults/stage.rs"]
mod stage;

use e2e::on_containerd;
use e2e::tools::Version;

use crate::stage::{Scenario, Stage};

fn what_the_registry_refuses_is_told(test: &str, version: Version) {
    let scenarios: [Scenario; 1] = [("429 for every layer, again and again", refused::too_many_requests)];
    Stage::play(test, version, &scenarios);
}

on_containerd!(what_the_registry_refuses_is_told: V1_6, V1_7, V2_1, V2_4);
