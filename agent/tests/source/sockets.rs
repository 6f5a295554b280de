//! Several sockets on one node: each containerd is watched for itself, and the node speaks with one voice.

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
