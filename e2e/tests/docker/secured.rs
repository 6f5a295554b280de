//! An engine on another machine: over TCP, with certificates on both sides, found by the variables or by the contexts of Docker's own command;
//! and a collector that speaks https.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::authority::Authority;
use e2e::docker::{Docker, Store};
use e2e::pulltrace::Collector;
use e2e::site::play_once_more;
use e2e::tools::{Need, Tools};

use crate::stage::{END, Stage};

pub(crate) fn is_asked_as_docker_asks_it(test: &str) {
    let Some(tools) = Tools::find(test, &[Need::Root, Need::Docker, Need::Registry, Need::CommandLine]) else { return };
    play_once_more(test, || {
        let mut docker = Docker::start(&tools, Store::Containerd);
        let (host, certificates) = docker.listen_secured();
        let stage = Stage::on(&tools, docker);
        by_variables(&stage, &host, &certificates);
        by_contexts(&stage, &tools, &host, &certificates);
    });
}

/// Who proves nothing, or trusts another authority, is told so and gets nothing; who has it all pulls.
fn by_variables(stage: &Stage, host: &str, certificates: &Path) {
    let (image, full) = stage.image("team/secured:v1", &[2, 1]);
    let far = |folder: &Path| {
        let folder = folder.display().to_string();
        let env = [("DOCKER_HOST", host), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", &folder)];
        stage.pull_with(&["--fallback", "never", &full], &env)
    };
    let plain = stage.pull_with(&["--fallback", "never", &full], &[("DOCKER_HOST", host)]);
    assert!(plain.code != Some(0) && plain.err.contains(host.trim_start_matches("tcp://")), "without TLS: {plain:?}");
    let strange = stage.docker.home().join("strange");
    _ = Authority::new(&strange).identity(&["127.0.0.1"], "cert", "key");
    let refused = far(&strange);
    assert!(refused.code != Some(0) && refused.err.contains("certificate"), "trusting somebody else: {refused:?}");
    fs::copy(certificates.join("ca.pem"), strange.join("ca.pem")).expect("both are there");
    let refused = far(&strange);
    assert!(refused.code != Some(0), "known by nobody: {refused:?}");
    assert!(!stage.docker.has(&full));
    far(certificates).ended(0).is_true(&full, image.size(), 0);
    assert!(stage.docker.has(&full));
}

/// A context that `docker context create` made is found by its name and as the present one.
fn by_contexts(stage: &Stage, tools: &Tools, host: &str, certificates: &Path) {
    let docker = |args: &[&str]| {
        let mut command = Command::new(tools.docker("docker"));
        let out = command.args(args).envs(stage.docker.environment()).env_remove("DOCKER_HOST").output().expect("docker starts");
        assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    let file = |name: &str| certificates.join(name).display().to_string();
    let endpoint = format!("host={host},ca={},cert={},key={}", file("ca.pem"), file("cert.pem"), file("key.pem"));
    docker(&["context", "create", "far", "--docker", &endpoint]);
    let (image, full) = stage.image("team/named:v1", &[1]);
    let named = [("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "far")];
    stage.pull_with(&["--fallback", "never", &full], &named).ended(0).is_true(&full, image.size(), 0);
    docker(&["context", "use", "far"]);
    let (image, full) = stage.image("team/present:v1", &[1]);
    stage.pull_with(&["--fallback", "never", &full], &[("DOCKER_HOST", "")]).ended(0).is_true(&full, image.size(), 0);
    let missing = [("DOCKER_HOST", ""), ("DOCKER_CONTEXT", "near")];
    let missing = stage.pull_with(&["--fallback", "never", &full], &missing);
    assert!(missing.code != Some(0) && missing.err.contains("near"), "a context that is not there: {missing:?}");
}

/// Reports go to a collector that speaks https, and who trusts its authority reads there.
pub(crate) fn collector(stage: &Stage) {
    let authority = Authority::new(&stage.docker.home().join("collector"));
    let identity = authority.identity(&["localhost", "127.0.0.1"], "server", "server-key");
    let text = |path: &Path| path.display().to_string();
    let (certificate, key, trusted) = (text(&identity.certificate), text(&identity.key), text(&authority.certificate()));
    let collector =
        Collector::start(&[("PULLTRACE_TLS_CERT", &certificate), ("PULLTRACE_TLS_KEY", &key), ("PULLTRACE_HTTP_TLS", "on")]);
    let https = |url: String| url.replace("http://127.0.0.1", "https://localhost");
    let (otlp, server) = (https(collector.endpoint()), https(collector.url("")));
    let (_, full) = stage.image("team/sealed:v1", &[1]);
    let env = [("OTEL_EXPORTER_OTLP_CERTIFICATE", trusted.as_str())];
    stage.pull_with(&["--otlp", &otlp, &full], &env).ended(0);
    let list = |more: &[&str]| {
        let mut list = stage.docker.pulltrace(&[&["ls", "--server", &server], more].concat(), &[]);
        (list.exit_code(END), list.stdout(), list.stderr())
    };
    let (code, out, err) = list(&["--ca-file", &trusted]);
    assert!(code == Some(0) && out.contains(&full), "{out}{err}");
    let (code, out, err) = list(&[]);
    assert!(code != Some(0) && !out.contains(&full) && err.contains("certificate"), "trusted by nobody: {out}{err}");
}
