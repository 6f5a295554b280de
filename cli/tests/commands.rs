//! The commands as people run them: `up` without a containerd, and `ls` and `watch` against it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use lifecycle::{
    pull::{Ending, Host, Node, Outcome, Phase, Pull, PullId, TimingSource},
    time::Timestamp,
    wire::{
        self,
        Event::{Finished, Progress, Started},
    },
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(20);

fn pulltrace(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulltrace"));
    command.env_clear().args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["PULLTRACE_METRICS_ADDR", "PULLTRACE_OTLP_GRPC_ADDR", "PULLTRACE_OTLP_HTTP_ADDR"] {
        command.env(variable, "127.0.0.1:0");
    }
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = pulltrace(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// `pulltrace up` on ports of its own, without a containerd.
struct Up {
    child: Child,
    api: String,
    otlp: String,
}

impl Up {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(variables: &[(&str, &str)]) -> Self {
        let socket = "/nonexistent/containerd.sock";
        let mut up = pulltrace(&["up", "--http-addr", "127.0.0.1:0", "--containerd-socket", socket]);
        let mut child = up.envs(variables.iter().copied()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.as_mut().unwrap()).lines().map_while(Result::ok);
        let told =
            lines.map(|line| serde_json::from_str::<Value>(&line).unwrap()).find(|line| line["message"] == "listening").unwrap();
        let url = |key: &str| format!("http://{}", told[key].as_str().unwrap());
        let (api, otlp) = (url("http"), url("otlp_http"));
        Self { child, api, otlp }
    }

    fn report(&self, event: wire::Event, pull: &Pull) {
        let node = Node {
            name: "node-1".parse().unwrap(),
            uid: "uid".into(),
            cluster: String::new(),
            runtime_name: "containerd".into(),
            runtime_version: "2.1.4".into(),
        };
        let body = wire::encode::pulls(&node, "0.1.0", [(event, pull)]);
        let request = ureq::post(format!("{}/v1/logs", self.otlp)).content_type("application/x-protobuf");
        assert_eq!(request.send(body).unwrap().status(), 200);
    }

    fn ls(&self, arguments: &[&str]) -> String {
        let (code, out, err) = run(&[&["ls", "--server", &self.api], arguments].concat());
        assert_eq!((code, err.as_str()), (Some(0), ""));
        out
    }

    /// What `ls` says once it says this.
    fn ls_until(&self, text: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let out = self.ls(&[]);
            if out.contains(text) {
                return out;
            }
            assert!(Instant::now() < end, "{out}");
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn pull(sequence: u64, phase: Phase) -> Pull {
    let at = |seconds: u64| Timestamp::from_millis(1_760_000_000_000 + seconds * 1000);
    Pull {
        id: PullId::derive("uid", "k8s.io", "lease", at(0)),
        sequence,
        namespace: "k8s.io".into(),
        image: "ghcr.io/team/app:1".parse().ok(),
        digest: None,
        snapshotter: String::new(),
        phase,
        wait: None,
        waits: Vec::new(),
        ending: None,
        started_at: at(0),
        resolved_at: None,
        observed_at: at(sequence),
        total_known: true,
        bytes_per_sec: None,
        eta: None,
        host: Host::default(),
        layers: vec![],
    }
}

fn canceled(sequence: u64) -> Pull {
    let pull = pull(sequence, Phase::Unpacking);
    Pull { ending: Some(Ending { outcome: Outcome::Canceled, at: pull.observed_at, source: TimingSource::Event }), ..pull }
}

fn next_line(lines: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line
}

#[test]
fn up_runs_without_containerd_and_says_so_and_ends_when_asked() {
    let mut up = Up::start();
    let end = Instant::now() + DEADLINE;
    let node = loop {
        let nodes: Value = serde_json::from_str(
            &ureq::get(format!("{}/api/v1/nodes", up.api)).call().unwrap().body_mut().read_to_string().unwrap(),
        )
        .unwrap();
        if let Some(node) = nodes["nodes"].get(0) {
            break node.clone();
        }
        assert!(Instant::now() < end, "the agent says nothing");
    };
    assert_eq!((&node["reachable"], &node["connected"]), (&false.into(), &true.into()));
    kill_process(Pid::from_child(&up.child), Signal::INT).unwrap();
    assert_eq!(up.child.wait().unwrap().code(), Some(0));
}

#[test]
fn ls_writes_one_line_for_every_pull() {
    let up = Up::start();
    assert_eq!(up.ls(&[]), "");
    up.report(Started, &pull(6, Phase::Resolving));
    let line = up.ls_until("ghcr.io");
    assert!(line.starts_with("resolving     ghcr.io/team/app:1  node-1  Asking ghcr.io for the manifest"), "{line}");
    assert_eq!(line.lines().count(), 1);
    up.report(Finished, &canceled(7));
    assert_eq!(up.ls_until("Canceled"), "canceled      ghcr.io/team/app:1  node-1  Canceled after 7 s.\n");
    assert_eq!(up.ls(&["--active"]), "");
}

#[test]
fn ls_that_follows_writes_a_line_whenever_a_pull_changes_its_state() {
    let up = Up::start();
    up.report(Started, &pull(1, Phase::Resolving));
    let mut follow = pulltrace(&["ls", "--follow", "--server", &up.api]).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap());
    assert!(next_line(&mut lines).starts_with("resolving "));
    up.report(Progress, &pull(2, Phase::Resolving));
    up.report(Progress, &pull(3, Phase::Unpacking));
    assert!(next_line(&mut lines).starts_with("unpacking "));
    up.report(Finished, &canceled(4));
    assert!(next_line(&mut lines).starts_with("canceled "));
    drop(up);
    assert_eq!(follow.wait().unwrap().code(), Some(6));
}

#[test]
fn watch_refuses_to_start_off_a_terminal_and_names_what_does() {
    for command in ["watch", "top"] {
        let (code, out, err) = run(&[command, "--server", "http://127.0.0.1:9"]);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert_eq!(
            err,
            "pulltrace: watch needs a terminal, and its output is none; `pulltrace ls --follow` writes lines instead\n"
        );
    }
}

#[test]
fn check_waits_until_agents_are_heard_and_says_what_is_missing() {
    let up = Up::start();
    up.report(Started, &pull(1, Phase::Resolving));
    let (code, out, err) = run(&["check", "--server", &up.api]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "The collector is ready; agents heard: 1.\n", ""));
    let (code, out, err) = run(&["check", "--server", &up.api, "--agents", "3", "--within", "1"]);
    assert_eq!((code, out.as_str()), (Some(124), ""));
    assert!(err.starts_with("pulltrace: after 1 s: the collector is ready, but 1 of 3 agents are heard"), "{err}");
}

#[test]
fn a_token_for_readers_comes_from_a_file() {
    let tokens = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&tokens, "first\nsecond\n").unwrap();
    let path = tokens.path().to_str().unwrap();
    let up = Up::start_with(&[("PULLTRACE_READ_TOKEN_FILE", path)]);
    assert_eq!(run(&["check", "--server", &up.api, "--agents", "0"]).0, Some(4), "without one there is nothing to wait for");
    assert_eq!(run(&["check", "--server", &up.api, "--agents", "0", "--token-file", path]).0, Some(0));
    let (code, _, err) = run(&["ls", "--server", &up.api, "--token-file", "/nonexistent"]);
    assert!(code == Some(2) && err.starts_with("pulltrace: cannot read the token in /nonexistent: "), "{err}");
}

#[test]
fn what_goes_wrong_has_its_exit_code_and_one_sentence() {
    let (code, out, err) = run(&["ls", "--server", "http://127.0.0.1:9"]);
    assert_eq!((code, out.as_str()), (Some(6), ""));
    assert!(
        err.starts_with("pulltrace: cannot reach the collector at http://127.0.0.1:9: ") && err.lines().count() == 1,
        "{err}"
    );
    assert_eq!(run(&["ls", "--server", "collector"]).0, Some(2));
    assert_eq!(run(&["nonsense"]).0, Some(2));
    assert_eq!(run(&["up", "--http-addr", "nowhere"]).0, Some(2));
}
