//! Podman's socket speaks as Docker's, with few byte counts, the configuration among the layers, and "Download complete" also of what broke.
//! What can be told is layers; nothing of it may be wrong.

use std::path::Path;

use e2e::docker::leads_to;
use e2e::follow::number;
use e2e::image::{self, Form};
use e2e::link::{Fault, Link};
use e2e::podman::Podman;
use e2e::process::Process;
use e2e::registry::Registry;
use e2e::tools::{Need, Tools, built};

use crate::stage::Told;

/// Fresh, there already, absent, and a reset in the middle.
pub(crate) fn speaks_of_layers(test: &str) {
    let Some(tools) = Tools::find(test, &[Need::Root, Need::Podman, Need::Registry, Need::CommandLine]) else { return };
    let registry = Registry::start(&tools);
    let link = Link::start(registry.port());
    let podman = Podman::start(&tools);
    let home = tempfile::tempdir().expect("the temporary folder is writable");
    let pull = |full: &str| Told::by(begin(&podman, home.path(), full));
    let image = image::push(&registry, "team/podman:v1", &image::layers(95, &[3, 2, 1]), Form::OciIndex);
    let full = format!("127.0.0.1:{}/{}", link.port(), image.name);
    link.set_rate(Some(2_000_000));
    let fresh = pull(&full).ended(0);
    let again = pull(&full).ended(0);
    for (told, cached) in [(&fresh, 0), (&again, 3)] {
        let pulls = told.of(&full);
        let counts = |p: &serde_json::Value| [number(p, "layersDone"), number(p, "layerCount"), number(p, "layersCached")];
        assert!(pulls.windows(2).all(|pair| counts(pair[0])[0] <= counts(pair[1])[0]), "layers are taken back: {}", told.out);
        let last = pulls.last().expect("there is one");
        assert_eq!((counts(last), last["outcome"].as_str()), ([3, 3, cached], Some("ready")), "{last:#}");
    }
    let absent = format!("127.0.0.1:{}/team/absent:v1", link.port());
    pull(&absent).ended(3).failed(&absent, "failed", &["not_found"]);
    link.set_fault(Fault::Reset);
    let broken = image::push(&registry, "team/broken:v1", &image::layers(96, &[2, 1]), Form::OciIndex);
    let full = format!("127.0.0.1:{}/{}", link.port(), broken.name);
    pull(&full).ended(6).failed(&full, "failed", &["connection"]);
}

fn begin(podman: &Podman, home: &Path, full: &str) -> Process {
    let folder = tempfile::Builder::new().tempdir_in(home).expect("the temporary folder is writable").keep();
    let args = ["pull", "--progress", "json", "--log-file", "none", full];
    Process::spawn("pulltrace", &folder, &built("pulltrace"), &args, &leads_to(&podman.host(), home))
}
