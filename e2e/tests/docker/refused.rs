//! Pulls that the registry or the engine refuses. Each ends with the exit code of its class, and never with 100 %.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use e2e::docker::leads_to;
use e2e::image::{self, Form};
use e2e::link::{CREDENTIALS, Fault};
use e2e::process::Process;
use e2e::tools::built;
use serde_json::json;

use crate::stage::{END, Stage};

/// What [`CREDENTIALS`] hold.
const USER: &str = "reader";
const PASSWORD: &str = "let me in";

/// A user with no rights.
const NOBODY: &str = "65534";

/// A tag that no registry has, and a registry that says so of everything.
pub(crate) fn not_found(stage: &Stage) {
    let full = stage.full("team/nowhere:v1");
    stage.pull(&[&full]).ended(3).failed(&full, "failed", &["not_found"]);
    let (_, full) = stage.image("team/gone:v1", &[1]);
    stage.link.set_fault(Fault::BlobsNotFound);
    stage.pull(&[&full]).ended(3).failed(&full, "failed", &["not_found"]);
}

/// No credentials, wrong ones, and right ones from the configuration and from a helper. None of it is ever shown.
pub(crate) fn login(stage: &Stage) {
    stage.link.set_fault(Fault::Login);
    let without = stage.image("team/login:v1", &[1]).1;
    stage.pull(&[&without]).ended(4).failed(&without, "failed", &["unauthorized"]);
    let wrong = configuration(stage, "wrong", &json!({"auth": "cmVhZGVyOmFuZG91dA=="}), None);
    stage.pull_with(&[&without], &[("DOCKER_CONFIG", &wrong)]).ended(4).failed(&without, "failed", &["unauthorized"]);

    let held = configuration(stage, "held", &json!({"auth": CREDENTIALS}), None);
    let path = helper(stage);
    let helped = configuration(stage, "helped", &json!({}), Some("e2e"));
    for (config, name) in [(&held, "team/held:v1"), (&helped, "team/helped:v1")] {
        let (image, full) = stage.image(name, &[2, 1]);
        let before = stage.answers();
        let told = stage.pull_with(&[&full], &[("DOCKER_CONFIG", config), ("PATH", &path)]).ended(0);
        told.is_true(&full, image.size(), 0);
        assert_eq!(stage.sent(before, &image), image.size(), "the link knows");
        let log = fs::read_to_string(stage.log()).unwrap_or_default();
        let said = [told.out, told.err, log].concat();
        assert!(!said.contains(PASSWORD) && !said.contains(CREDENTIALS), "a secret was told: {said}");
    }
}

/// Layers are answered 429.
pub(crate) fn too_many(stage: &Stage) {
    let (_, full) = stage.image("team/often:v1", &[2, 1]);
    stage.link.set_fault(Fault::TooManyRequests);
    stage.pull(&[&full]).ended(5).failed(&full, "failed", &["rate_limited"]);
}

/// Everything is answered 503, and nobody answers at all.
pub(crate) fn unavailable(stage: &Stage) {
    let (_, full) = stage.image("team/down:v1", &[1]);
    stage.link.set_fault(Fault::Unavailable);
    stage.pull(&[&full]).ended(6).failed(&full, "failed", &["registry_unavailable"]);
    // Port 1 (tcpmux) is nobody's.
    let full = "127.0.0.1:1/team/nobody:v1";
    stage.pull(&[full]).ended(6).failed(full, "failed", &["connection", "registry_unavailable"]);
}

/// An image for other machines only, by its index and by its manifest.
pub(crate) fn platform(stage: &Stage) {
    let foreign = if image::architecture() == "arm64" { "amd64" } else { "arm64" };
    let image = image::push_for(&stage.registry, "team/foreign:v1", &stage.fresh(&[1]), Form::OciIndex, foreign);
    let full = stage.full(&image.name);
    stage.pull(&[&full]).ended(8).failed(&full, "failed", &["platform_mismatch"]);
    let (_, own) = stage.image("team/native:v1", &[1]);
    let asked = format!("linux/{foreign}");
    stage.pull(&["--platform", &asked, &own]).ended(8).failed(&own, "failed", &["platform_mismatch"]);
}

/// A name that cannot be one.
pub(crate) fn no_name(stage: &Stage) {
    let mut process = stage.begin(&["NOT/a:valid:name"], &[]);
    assert_eq!(process.exit_code(END), Some(2), "{}{}", process.stdout(), process.stderr());
}

/// A socket that this user may not use: that is said, with the next step. Docker itself has the last word, if it is not told to keep out.
pub(crate) fn denied(stage: &Stage) {
    let (_, full) = stage.image("team/denied:v1", &[1]);
    let program = reachable(stage, "pulltrace");
    let bin = stage.docker.home().join("denied");
    script(&bin, "docker", "echo 'docker may not either' >&2; exit 41");
    let mut env = stage.docker.environment();
    env.push(("PATH".to_owned(), path(&bin)));
    for (fallback, code) in [("never", 1), ("docker", 41)] {
        let own = ["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"];
        let more = [&program, "pull", "--progress", "json", "--log-file", "none", "--fallback", fallback, &full];
        let args = [&own[..], &more[..]].concat();
        let mut process = Process::spawn(&format!("denied-{fallback}"), &bin, Path::new("setpriv"), &args, &env);
        let ended = process.exit_code(END);
        let said = process.stderr();
        assert_eq!(ended, Some(code), "{fallback}: {}{said}", process.stdout());
        assert!(
            said.contains("permission") && said.contains("docker.sock") && said.contains("usermod"),
            "what, where, what next: {said}"
        );
        assert_eq!(said.contains("docker may not either"), fallback == "docker", "{said}");
    }
    assert!(!stage.docker.has(&full));
}

/// A Docker configuration in a folder of its own.
fn configuration(stage: &Stage, name: &str, auth: &serde_json::Value, helper: Option<&str>) -> String {
    let registry = format!("127.0.0.1:{}", stage.link.port());
    let mut config = json!({"auths": {&registry: auth}});
    if let Some(helper) = helper {
        config["credHelpers"] = json!({&registry: helper});
    }
    let folder = stage.docker.home().join(name);
    fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join("config.json"), config.to_string())).expect("ours");
    folder.display().to_string()
}

/// A credential helper, and the `PATH` that leads to it.
fn helper(stage: &Stage) -> String {
    let folder = stage.docker.home().join("bin");
    let answer = json!({"ServerURL": stage.full(""), "Username": USER, "Secret": PASSWORD});
    script(&folder, "docker-credential-e2e", &format!("[ \"$1\" = get ] && cat >/dev/null && echo '{answer}'"));
    path(&folder)
}

/// The `PATH` that leads to this folder first.
fn path(folder: &Path) -> String {
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default())
}

/// Puts a shell script into a folder.
pub(crate) fn script(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(folder).and_then(|()| fs::write(&file, format!("#!/bin/sh\n{text}\n"))).expect("the folder is ours");
    fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("the file is ours");
}

/// A program of ours where anybody may run it.
fn reachable(stage: &Stage, name: &str) -> String {
    let place: PathBuf = stage.docker.home().join(name);
    fs::hard_link(built(name), &place).or_else(|_| fs::copy(built(name), &place).map(drop)).expect("the folder is ours");
    place.display().to_string()
}

/// No engine behind the socket: the fallback has the last word.
pub(crate) fn falls_back(folder: &Path, host: &str) {
    script(folder, "docker", "echo \"docker was asked: $*\"; echo 'docker complains' >&2; exit 42");
    let mut env = leads_to(host, folder);
    env.push(("PATH".to_owned(), path(folder)));
    let args = ["pull", "--platform", "linux/amd64", "team/fallback:v1"];
    let mut process = Process::spawn("pulltrace", folder, &built("pulltrace"), &args, &env);
    assert_eq!(process.exit_code(END), Some(42), "{}{}", process.stdout(), process.stderr());
    assert_eq!(process.stdout(), "docker was asked: pull --platform linux/amd64 -- team/fallback:v1\n");
    let said = process.stderr();
    assert!(said.contains("docker complains\n"), "docker's own words: {said}");
    assert!(said.contains("docker pull") && said.contains(host.trim_start_matches("unix://")), "what is done, and why: {said}");
}

/// The same in words for people: on stderr, with the name.
pub(crate) fn in_plain_words(stage: &Stage) {
    let full = stage.full("team/absent:v1");
    let mut process = stage.docker.pulltrace(&["pull", "--progress", "plain", "--log-file", &stage.log(), &full], &[]);
    assert_eq!(process.exit_code(END), Some(3));
    let (out, err) = (process.stdout(), process.stderr());
    assert!(err.lines().any(|l| l.starts_with("pulltrace: ") && l.contains(&full)), "messages go to stderr: {out}\n{err}");
}
