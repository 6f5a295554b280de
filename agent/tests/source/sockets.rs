//! Several sockets on one node: each containerd is watched for itself, and the node speaks with one voice. What the agent says when it
//! starts: where it looked, and what was there.

use std::{
    fs,
    process::{Command, Stdio},
};

use agent::containerd::simulated::{Play, Simulated, Simulation, personality::Personality};
use lifecycle::pull::Outcome;
use tokio::sync::oneshot;

use super::{
    sink::Sink,
    stage::{config, id, scenario, until},
};

#[tokio::test]
async fn two_containerds_are_watched_at_once_and_the_node_speaks_with_one_voice() {
    let folder = tempfile::tempdir().unwrap();
    let sink = Sink::open().await;
    let sockets = ["one", "two"].map(|name| folder.path().join(name));
    let (stop, stopped) = oneshot::channel::<()>();
    let agent = agent::run(config(sockets.to_vec(), &sink), None, async { drop(stopped.await) });
    let direct = async {
        let play = |personality| Play { personality, speed: 1, repeat: false };
        let one = Simulated::start(&sockets[0], scenario("four-layers"), play(Personality::V1_7)).await.unwrap();
        let two = Simulated::start(&sockets[1], scenario("shared-base"), play(Personality::V2_4)).await.unwrap();
        until("both to be over", || [&one, &two].iter().all(|one| one.look(Simulation::is_over))).await;
        let ended = |n: usize| sink.look(|heard| heard.last_words().iter().filter(|pull| pull.ending.is_some()).count() == n);
        until("three endings", || ended(3)).await;
        stop.send(()).unwrap();
        [one, two].map(|one| one.look(|simulation| simulation.diaries().cloned().collect::<Vec<_>>())).concat()
    };
    let ((), diaries) = tokio::join!(agent, direct);
    let heard = sink.heard();
    for diary in &diaries {
        let told = heard.of(id(diary).unwrap());
        let ending = told.last().and_then(|pull| pull.ending.as_ref()).unwrap();
        assert_eq!(ending.outcome, Outcome::Ready, "{}", diary.image);
    }
    assert!(heard.nodes.iter().all(|report| report.node.name.as_str() == "worker-1"));
    let last = heard.nodes.last().unwrap();
    assert!(last.runtime_reachable && last.node.runtime_version.contains(", "), "{last:?}");
}

#[tokio::test]
async fn at_the_start_it_says_where_it_looked_and_what_was_there() {
    let host = tempfile::tempdir().unwrap();
    let sink = Sink::open().await;
    fs::create_dir_all(host.path().join("run/k3s/containerd")).unwrap();
    fs::create_dir_all(host.path().join("run/k0s")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(host.path().join("run/k0s/containerd.sock")).unwrap());
    let play = Play { personality: Personality::V2_1, speed: 1, repeat: false };
    let socket = host.path().join("run/k3s/containerd/containerd.sock");
    let one = Simulated::start(&socket, scenario("four-layers"), play).await.unwrap();
    let log = host.path().join("log");
    let mut agent = Command::new(env!("CARGO_BIN_EXE_pulltrace-agent"))
        .env_clear()
        .env("PULLTRACE_HOST_ROOT", host.path())
        .env("PULLTRACE_METRICS_ADDR", "off")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", sink.address))
        .stdin(Stdio::null())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let line = || {
        let log = fs::read_to_string(&log).unwrap();
        log.lines().find(|line| line.contains("looked for containerd")).map(str::to_owned)
    };
    until("the line", || line().is_some()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    let line: serde_json::Value = serde_json::from_str(&line().unwrap()).unwrap();
    let (watched, not_watched) = (line["watched"].as_str().unwrap(), line["not_watched"].as_str().unwrap());
    let about = format!("{}: containerd 2.1", socket.display());
    assert!(watched.starts_with(&about) && watched.contains(one.uuid()) && watched.contains("woken by"), "{watched}");
    assert!(not_watched.contains("run/containerd/containerd.sock: no such socket"), "{not_watched}");
    assert!(not_watched.contains("run/k0s/containerd.sock: nobody listens there"), "{not_watched}");
    assert_eq!(not_watched.split("; ").count(), agent::sockets::USUAL.len() - 1, "{not_watched}");
}
