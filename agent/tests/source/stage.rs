//! Sets up a simulated containerd, the agent and a receiver, lets a scenario happen, and brings back what was told and what was true.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use agent::{
    config::{Address, Config, Route},
    containerd::{
        Selection,
        simulated::{
            Asked, Diary, Play, Simulated, Simulation,
            personality::Personality,
            scenario::{End, Scenario},
        },
    },
};
use futures_util::future::join_all;
use lifecycle::{
    pull::{Node, Outcome, Pull, PullId},
    time::Timestamp,
    wire::Signal,
};
use otlp::{Endpoint, Protocol};
use tokio::{sync::oneshot, time::sleep};

use super::sink::{Heard, Sink};

/// How much faster than written everything happens.
const HASTE: u32 = 4;
/// How long before that the agent is there.
const BEFORE: Duration = Duration::from_secs(1);
/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(60);
const UID: &str = "uid-of-worker-1";

/// What a scenario came to.
pub(super) struct Played {
    pub(super) personality: Personality,
    pub(super) heard: Heard,
    pub(super) diaries: Vec<Diary>,
    pub(super) asked: BTreeMap<Asked, u64>,
}

/// How it is watched.
pub(super) struct Watch {
    pub(super) selection: Selection,
    /// Whether the agent is there before containerd.
    pub(super) early: bool,
    /// When the connection is cut: as soon as so many bytes of the first pull were told.
    pub(super) cut_after: Option<u64>,
    /// How many pulls must have been told to their end before the agent is stopped.
    pub(super) pulls: usize,
}

impl Watch {
    /// Everything, from the beginning, until so many pulls have ended.
    pub(super) const fn until(pulls: usize) -> Self {
        Self { selection: Selection::All, early: false, cut_after: None, pulls }
    }
}

impl Played {
    /// What was told about the pull that this is the truth of.
    pub(super) fn told(&self, diary: &Diary) -> Vec<&Pull> {
        self.heard.of(id(diary).unwrap())
    }

    /// The last word about it.
    pub(super) fn last(&self, diary: &Diary) -> &Pull {
        self.told(diary).last().unwrap_or_else(|| panic!("{}: nothing was told about {}", self.personality, diary.image))
    }

    /// How it was told to have ended.
    pub(super) fn outcome(&self, diary: &Diary) -> &Outcome {
        &self.last(diary).ending.as_ref().unwrap().outcome
    }

    /// The truth about the pull of the image of this name.
    pub(super) fn diary(&self, name: &str) -> &Diary {
        self.diaries.iter().find(|diary| diary.image.repository() == format!("team/{name}")).unwrap()
    }
}

/// The id that a pull must have.
pub(super) fn id(diary: &Diary) -> Option<PullId> {
    diary.began.map(|began| PullId::derive(UID, &diary.namespace, &diary.lease, began))
}

/// One of the scenarios that come along, hastened.
pub(super) fn scenario(name: &str) -> Scenario {
    hasten(Scenario::named(name).unwrap())
}

/// The scenario with all times divided and all rates multiplied, and time for the agent to be there.
pub(super) fn hasten(mut scenario: Scenario) -> Scenario {
    for pull in &mut scenario.pulls {
        pull.at.0 = BEFORE + pull.at.0 / HASTE;
        pull.resolve.0 /= HASTE;
        pull.bytes_per_sec.0 *= u64::from(HASTE);
        pull.stalls.iter_mut().for_each(|stall| stall.lasts.0 /= HASTE);
        if let End::CanceledAfter(after) = &mut pull.end {
            after.0 /= HASTE;
        }
    }
    for crash in &mut scenario.crashes {
        crash.at.0 = BEFORE + crash.at.0 / HASTE;
        crash.down_for.0 /= HASTE;
    }
    scenario
}

/// Plays a scenario in every version of containerd at once.
pub(super) async fn play(scenario: &Scenario, watch: impl Fn() -> Watch) -> Vec<Played> {
    join_all(Personality::ALL.map(|personality| play_in(scenario.clone(), personality, watch()))).await
}

/// Plays a scenario in one version.
pub(super) async fn play_in(scenario: Scenario, personality: Personality, watch: Watch) -> Played {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("containerd.sock");
    let sink = Sink::open().await;
    let config = Config { selection: watch.selection.clone(), ..config(vec![socket.clone()], &sink) };
    let (stop, stopped) = oneshot::channel::<()>();
    let agent = agent::run(config, None, async { drop(stopped.await) });
    let direct = async {
        if watch.early {
            until("the agent says that nobody answers", || sink.look(|heard| !heard.nodes.is_empty())).await;
        }
        let play = Play { personality, speed: 1, repeat: false };
        let simulated = Simulated::start(&socket, scenario, play).await.unwrap();
        if let Some(bytes) = watch.cut_after {
            until("bytes to come", || sink.look(|heard| heard.pulls.iter().any(|p| p.fetched_bytes() >= bytes))).await;
            simulated.cut();
        }
        until("the scenario to be over", || simulated.look(Simulation::is_over)).await;
        let ended = |heard: &Heard| heard.last_words().iter().filter(|pull| pull.ending.is_some()).count();
        let open = |heard: &Heard| heard.last_words().iter().filter(|pull| pull.ending.is_none()).count();
        until("the end of all pulls", || sink.look(|heard| ended(heard) >= watch.pulls && open(heard) == 0)).await;
        stop.send(()).unwrap();
        (simulated.look(|simulation| simulation.diaries().cloned().collect()), simulated.asked())
    };
    let ((), (diaries, asked)) = tokio::join!(agent, direct);
    Played { personality, heard: sink.heard(), diaries, asked }
}

/// What the agent runs with: these sockets, and this receiver.
pub(super) fn config(sockets: Vec<PathBuf>, sink: &Sink) -> Config {
    Config {
        host_facts: true,
        kubelet: None,
        node: Node {
            name: "worker-1".parse().unwrap(),
            uid: UID.to_owned(),
            cluster: String::new(),
            runtime_name: "containerd".to_owned(),
            runtime_version: String::new(),
        },
        sockets,
        host_root: "/".into(),
        selection: Selection::All,
        interval: Duration::from_millis(100),
        routes: vec![Route {
            endpoint: Endpoint::parse(&format!("http://{}", sink.address), Protocol::Grpc).unwrap(),
            signals: Signal::ALL.into(),
        }],
        probes: Address::Off,
    }
}

pub(super) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < DEADLINE, "waited in vain for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Whether two times are the same, but for what a microsecond of rounding takes.
pub(super) fn same(told: Option<Timestamp>, truth: Option<Timestamp>) -> bool {
    told.zip(truth).is_some_and(|(told, truth)| told.distance(truth) < Duration::from_millis(1))
}
