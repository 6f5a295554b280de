//! The truth about every pull, whatever happens to it: one containerd of each release, one fault after the other.
//!
//! Each scenario brings something about and says what may be told of it. What always holds is held at every look (`e2e::follow`); what
//! holds of every end is held here. A scenario that fails is named, and the next ones are still played.

#[path = "faults/broken.rs"]
mod broken;
#[path = "faults/crashed.rs"]
mod crashed;
#[path = "faults/forms.rs"]
mod forms;
#[path = "faults/refused.rs"]
mod refused;
#[path = "faults/shared.rs"]
mod shared;
#[path = "faults/stage.rs"]
mod stage;

use e2e::containerd::Extra;
use e2e::on_containerd;
use e2e::tools::Version;

use crate::stage::{Scenario, Stage};

fn what_the_registry_refuses_is_told(test: &str, version: Version) {
    let scenarios: [Scenario; 4] = [
        ("404 for everything", refused::not_found),
        ("401 for everything", refused::unauthorized),
        ("503 for everything", refused::unavailable),
        ("429 for every layer, again and again", refused::too_many_requests),
    ];
    Stage::play(test, version, &scenarios);
}

on_containerd!(what_the_registry_refuses_is_told: V1_6, V1_7, V2_1, V2_4);

fn what_breaks_on_the_way_is_told(test: &str, version: Version) {
    let scenarios: [Scenario; 6] = [
        ("a reset in the middle of a layer", broken::reset),
        ("connections that close early", broken::resumed),
        ("a wrong byte", broken::corrupt),
        ("canceled while bytes come", broken::canceled),
        ("canceled while resolving", broken::canceled_early),
        ("80 KB/s", broken::slow),
    ];
    Stage::play(test, version, &scenarios);
}

on_containerd!(what_breaks_on_the_way_is_told: V1_6, V1_7, V2_1, V2_4);

fn a_silence_that_containerd_ends_is_out_of_time(test: &str, version: Version) {
    let scenarios: [Scenario; 1] = [("half a layer, then silence", broken::stalled)];
    Stage::play_on(test, version, Extra { patience: Some(58), ..Extra::default() }, &scenarios);
}

// 1.6 waits for ever.
on_containerd!(a_silence_that_containerd_ends_is_out_of_time: V1_7, V2_4);

fn an_image_of_any_shape_is_told(test: &str, version: Version) {
    let scenarios: [Scenario; 8] = [
        ("index and manifest, OCI and Docker", forms::every_form),
        ("no layer", forms::no_layer),
        ("one layer", forms::one_layer),
        ("127 layers", forms::most_layers),
        ("the same tag again, then moved", forms::again),
        ("by digest", forms::by_digest),
        ("an index for another platform", forms::foreign_index),
        ("a manifest for another platform", forms::foreign_manifest),
    ];
    Stage::play(test, version, &scenarios);
}

on_containerd!(an_image_of_any_shape_is_told: V1_6, V1_7, V2_1, V2_4);

fn pulls_that_share_are_told_apart(test: &str, version: Version) {
    let scenarios: [Scenario; 3] = [
        ("five at once with layers in common", shared::five),
        ("an image removed while another shares its layers", shared::removed),
        ("one image twice, one of them canceled", shared::twice),
    ];
    Stage::play(test, version, &scenarios);
}

on_containerd!(pulls_that_share_are_told_apart: V1_6, V1_7, V2_1, V2_4);

fn who_dies_in_the_middle_makes_no_pull_ready(test: &str, version: Version) {
    let mut scenarios: Vec<Scenario> = vec![
        ("containerd killed while bytes come", crashed::runtime_downloading),
        ("containerd killed while it unpacks", crashed::runtime_unpacking),
        ("a client that fetches by itself killed", crashed::client),
    ];
    // 1.6 has no other clients.
    if version != Version::V1_6 {
        scenarios.push(("a client that lets containerd fetch killed", crashed::client_of_transfer));
    }
    Stage::play(test, version, &scenarios);
}

on_containerd!(who_dies_in_the_middle_makes_no_pull_ready: V1_6, V1_7, V2_1, V2_4);

fn a_full_disk_is_told(test: &str, version: Version) {
    let scenarios: [Scenario; 1] = [("no room to download, no room to unpack", crashed::no_room)];
    let room = Some((20 << 20, 8 << 20));
    Stage::play_on(test, version, Extra { room, ..Extra::default() }, &scenarios);
}

on_containerd!(a_full_disk_is_told: V1_6, V1_7, V2_1, V2_4);

fn layers_that_are_unpacked_at_once_are_told_so(test: &str, version: Version) {
    let scenarios: [Scenario; 1] = [("three layers unpacked at once", shared::unpacked_at_once)];
    Stage::play_on(test, version, Extra { unpacks: Some(3), ..Extra::default() }, &scenarios);
}

on_containerd!(layers_that_are_unpacked_at_once_are_told_so: V2_4);
