//! `pulltrace pull` against real Docker Engines with either image store: what is told of a pull is true at every moment, and its exit code
//! says how it ended.
//!
//! Each scenario brings something about and holds the JSON against the manifest and against what the link to the registry really sent. A
//! scenario that fails is named, and the next ones are still played.

#[path = "docker/beside.rs"]
mod beside;
#[path = "docker/broken.rs"]
mod broken;
#[path = "docker/good.rs"]
mod good;
#[path = "docker/podman.rs"]
mod podman;
#[path = "docker/refused.rs"]
mod refused;
#[path = "docker/secured.rs"]
mod secured;
#[path = "docker/stage.rs"]
mod stage;

use e2e::docker::Store;
use e2e::site::play_once_more;
use e2e::tools::{Need, Tools};

use crate::stage::{Scenario, Stage};

/// Room for an engine's own files, and not for 24 MiB.
const ROOM: u64 = 10 << 20;

/// Makes a test for each store from one function of the test's name and the store.
macro_rules! on_each_store {
    ($scenario:ident) => {
        mod $scenario {
            #[test]
            fn classic() {
                let test = concat!(stringify!($scenario), "::classic");
                e2e::site::play_once_more(test, || super::$scenario(test, e2e::docker::Store::Classic));
            }

            #[test]
            fn containerd() {
                let test = concat!(stringify!($scenario), "::containerd");
                e2e::site::play_once_more(test, || super::$scenario(test, e2e::docker::Store::Containerd));
            }
        }
    };
}

fn what_is_told_of_a_pull_is_true_at_every_moment(test: &str, store: Store) {
    let scenarios: [Scenario; 6] = [
        ("nothing is there, then all of it", good::fresh_then_cached),
        ("the base is there", good::partly_cached),
        ("by digest", good::by_digest),
        ("two at once", good::two_at_once),
        ("for another platform", good::another_platform),
        ("plain and quiet", good::plain_and_quiet),
    ];
    Stage::play(test, store, &scenarios);
}

on_each_store!(what_is_told_of_a_pull_is_true_at_every_moment);

fn a_refusal_has_its_exit_code(test: &str, store: Store) {
    let scenarios: [Scenario; 8] = [
        ("404", refused::not_found),
        ("401 without and with credentials", refused::login),
        ("429 for every layer", refused::too_many),
        ("503 for everything, and nobody", refused::unavailable),
        ("another platform", refused::platform),
        ("no name", refused::no_name),
        ("no permission", refused::denied),
        ("plain words", refused::in_plain_words),
    ];
    Stage::play(test, store, &scenarios);
}

on_each_store!(a_refusal_has_its_exit_code);

fn what_breaks_on_the_way_is_never_told_as_done(test: &str, store: Store) {
    let scenarios: [Scenario; 5] = [
        ("a reset in the middle of a layer", broken::reset),
        ("a wrong byte", broken::corrupt),
        ("a silence, and a time limit", broken::stalled),
        ("Ctrl-C", broken::interrupted),
        ("one of two", broken::one_of_two),
    ];
    Stage::play(test, store, &scenarios);
}

on_each_store!(what_breaks_on_the_way_is_never_told_as_done);

fn a_full_disk_has_its_exit_code(test: &str, store: Store) {
    let scenarios: [Scenario; 1] = [("no room", broken::no_room)];
    Stage::play_in(test, store, Some(ROOM), &scenarios);
}

on_each_store!(a_full_disk_has_its_exit_code);

#[test]
fn without_an_engine_docker_itself_is_asked_and_has_the_last_word() {
    let test = "without_an_engine_docker_itself_is_asked_and_has_the_last_word";
    if Tools::find(test, &[Need::CommandLine]).is_none() {
        return;
    }
    play_once_more(test, || {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let missing = format!("unix://{}", folder.path().join("no.sock").display());
        refused::falls_back(folder.path(), &missing);
    });
}

#[test]
fn a_log_a_collector_and_a_webhook_are_told_too() {
    let test = "a_log_a_collector_and_a_webhook_are_told_too";
    let scenarios: [Scenario; 4] = [
        ("logs -f", beside::followed),
        ("--otlp", beside::reported),
        ("--notify", beside::notified),
        ("a collector that speaks https", secured::collector),
    ];
    if Tools::find(test, &[Need::Pulltrace]).is_some() {
        play_once_more(test, || Stage::play(test, Store::Containerd, &scenarios));
    }
}

#[test]
fn an_engine_behind_tls_is_asked_as_docker_asks_it() {
    secured::is_asked_as_docker_asks_it("an_engine_behind_tls_is_asked_as_docker_asks_it");
}

#[test]
fn podman_is_told_of_in_layers() {
    let test = "podman_is_told_of_in_layers";
    play_once_more(test, || podman::speaks_of_layers(test));
}
