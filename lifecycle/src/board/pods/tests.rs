//! Pods, kubelet events and agents' reports told to one board.

use std::time::Duration;

use proptest::prelude::*;

use crate::{
    board::{
        Board, ChangeKind, ContainerKind, ContainerSeen, EventKind, Input, KubeletEvent, Limits, MAX_PODS_PER_NODE, PodKey,
        PodSeen, PodStatus, Sighting, Waiting, Workload,
    },
    pull::{Ending, ErrorClass, Failure, Host, Node, NodeReport, Outcome, Phase, Pull, PullId, Report, TimingSource},
    time::Timestamp,
};

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + second * 1000)
}

fn key(name: &str) -> PodKey {
    PodKey { namespace: "shop".into(), name: name.into() }
}

fn container(name: &str, image: &str, has_image: bool) -> ContainerSeen {
    let waiting = Waiting { reason: "ContainerCreating".into(), message: "".into() };
    ContainerSeen {
        name: name.into(),
        kind: ContainerKind::Main,
        image: image.into(),
        has_image,
        waiting: (!has_image).then_some(waiting),
    }
}

fn pod(name: &str, containers: Vec<ContainerSeen>) -> Sighting {
    let workload = Workload { kind: "Deployment".into(), name: "web".into() };
    let node = "node-1".parse().ok();
    Sighting::Pod(Box::new(PodSeen { key: key(name), uid: "u".into(), node, workload: Some(workload), containers }))
}

fn event(pod: &str, kind: EventKind, second: u64, message: &str) -> Sighting {
    Sighting::Event(Box::new(KubeletEvent {
        pod: key(pod),
        uid: "u".into(),
        container: "app".into(),
        kind,
        message: message.into(),
        count: 1,
        first: at(second),
        last: at(second),
    }))
}

fn node() -> Node {
    Node {
        name: "node-1".parse().unwrap(),
        uid: "machine".into(),
        cluster: String::new(),
        runtime_name: "containerd".into(),
        runtime_version: "2.1.4".into(),
    }
}

fn pull(image: &str, second: u64, ending: Option<(u64, Outcome)>) -> Input {
    let ending = ending.map(|(second, outcome)| Ending { outcome, at: at(second), source: TimingSource::Poll });
    let pull = Pull {
        id: PullId::derive("machine", "k8s.io", image, at(second)),
        sequence: if ending.is_some() { 2 } else { 1 },
        namespace: "k8s.io".into(),
        image: image.parse().ok(),
        digest: None,
        snapshotter: String::new(),
        phase: Phase::Downloading,
        wait: None,
        waits: Vec::new(),
        started_at: at(second),
        resolved_at: None,
        observed_at: ending.as_ref().map_or(at(second), |e| e.at),
        ending,
        total_known: false,
        bytes_per_sec: None,
        eta: None,
        host: Host::default(),
        layers: Vec::new(),
    };
    Input::Pull(Box::new(Report { node: node().into(), pull }))
}

fn heartbeat(second: u64) -> Input {
    Input::Node(Box::new(NodeReport {
        node: node(),
        observed_at: at(second),
        agent_version: "1".into(),
        runtime_reachable: true,
        active_pulls: 9,
        queued_images: Vec::new(),
        dropped_progress: 0,
        dropped_outcomes: 0,
    }))
}

fn see(board: &mut Board, second: u64, sighting: Sighting) {
    board.observe(Input::Sighting(sighting), at(second));
}

fn shown(board: &Board, name: &str) -> PodStatus {
    board.pod(&key(name)).unwrap_or_else(|| panic!("{name} is not kept"))
}

/// Image, outcome and attempt of every pull in memory, oldest first.
fn pulls(board: &Board) -> Vec<(String, Option<&'static str>, Option<u32>)> {
    let mut all: Vec<_> = board.ids().filter_map(|id| board.status(id)).collect();
    all.sort_by_key(|pull| pull.started_at);
    all.into_iter().map(|pull| (pull.image_ref.map(|i| i.familiar()).unwrap_or_default(), pull.outcome, pull.attempt)).collect()
}

fn drain(board: &mut Board) -> Vec<ChangeKind> {
    std::iter::from_fn(|| board.poll()).map(|change| change.kind).collect()
}

const RESET: &str =
    r#"Failed to pull image "web:1": failed to copy: read tcp 10.0.0.2:1->10.0.0.1:443: read: connection reset by peer"#;
const ABSENT: &str =
    r#"Failed to pull image "web:1": rpc error: code = NotFound desc = failed to resolve reference: web:1: not found"#;

#[test]
fn several_pods_wait_for_one_pull_and_say_so_on_both_sides() {
    let mut board = Board::default();
    board.observe(pull("docker.io/library/web:1", 2, None), at(2));
    for name in ["a", "b"] {
        see(&mut board, 2, pod(name, vec![container("app", "web:1", false), container("side", "other:1", false)]));
        see(&mut board, 2, event(name, EventKind::Pulling, 1, "Pulling image \"web:1\""));
    }
    let id = board.ids().next().unwrap();
    let status = board.status(id).unwrap();
    let waiting: Vec<_> = status.pods.iter().map(|pod| (&*pod.pod_name, &*pod.container)).collect();
    assert_eq!((waiting, status.attempt), (vec![("a", "app"), ("b", "app")], Some(1)));
    let pod = shown(&board, "a");
    assert_eq!((pod.containers[0].state, pod.containers[0].pull_id), ("pulling", Some(id)));
    assert_eq!((pod.containers[1].state, pod.containers[1].pull_id), ("waiting", None));
    assert_eq!(board.pods_waiting(), 2);
}

#[test]
fn a_pull_of_another_image_or_time_or_client_has_no_pods() {
    let mut board = Board::default();
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    see(&mut board, 1, event("a", EventKind::Pulling, 100, "Pulling image \"web:1\""));
    board.observe(pull("web:2", 100, None), at(100));
    board.observe(pull("web:1", 10, Some((20, Outcome::Ready))), at(100));
    let Input::Pull(mut docker) = pull("web:1", 101, None) else { panic!() };
    docker.pull.namespace = "moby".into();
    board.observe(Input::Pull(docker), at(101));
    assert!(board.ids().filter_map(|id| board.status(id)).all(|pull| pull.pods.is_empty()));
}

#[test]
fn the_kubelet_corrects_an_agent_that_cannot_know_why() {
    for verdict in [Outcome::Canceled, Outcome::Failed(Failure { class: ErrorClass::Other, message: "gone".into() })] {
        let mut board = Board::default();
        see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
        see(&mut board, 1, event("a", EventKind::Pulling, 1, "Pulling image \"web:1\""));
        board.observe(pull("web:1", 1, None), at(1));
        board.observe(pull("web:1", 1, Some((5, verdict))), at(5));
        drain(&mut board);
        see(&mut board, 6, event("a", EventKind::Failed, 5, RESET));
        let status = board.status(board.ids().next().unwrap()).unwrap();
        assert_eq!((status.outcome, status.error_class), (Some("failed"), Some("connection")));
        assert!(status.error.unwrap().ends_with("connection reset by peer"));
        assert_eq!(status.next_retry_at, Some(at(15)));
        assert_eq!(drain(&mut board), [ChangeKind::Progress]);
        assert_eq!(shown(&board, "a").containers[0].pull_id, Some(status.id));
    }
}

#[test]
fn what_the_agent_knows_well_is_not_corrected() {
    let mut board = Board::default();
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    see(&mut board, 1, event("a", EventKind::Pulling, 1, "Pulling image \"web:1\""));
    board.observe(pull("web:1", 1, Some((5, Outcome::Ready))), at(5));
    see(&mut board, 6, event("a", EventKind::Failed, 5, RESET));
    assert_eq!(board.status(board.ids().next().unwrap()).unwrap().outcome, Some("ready"));
}

#[test]
fn a_node_without_agent_has_coarse_pulls_from_events_alone() {
    let mut board = Board::default();
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    see(&mut board, 2, event("a", EventKind::Pulling, 2, "Pulling image \"web:1\""));
    assert_eq!(pulls(&board), [("web:1".into(), None, Some(1))]);
    let status = board.status(board.ids().next().unwrap()).unwrap();
    assert_eq!((status.phase, status.percent, status.pods.len()), (Phase::Queued, None, 1));
    assert_eq!(status.summary, "node-1's kubelet pulls or queues it; no agent there says how far it is.");
    see(&mut board, 9, event("a", EventKind::Pulled, 9, "Successfully pulled image \"web:1\" in 7s"));
    see(&mut board, 9, pod("a", vec![container("app", "web:1", true)]));
    assert_eq!(pulls(&board), [("web:1".into(), Some("ready"), Some(1))]);
    assert_eq!(drain(&mut board).last(), Some(&ChangeKind::Completed));
    let (over, id) = board.poll_wait().unwrap();
    assert_eq!((over.until.since(over.from), id), (Duration::from_secs(7), board.ids().next()));
    assert_eq!((board.poll_wait(), board.pods_waiting()), (None, 0));
    assert!(shown(&board, "a").images_ready);
}

#[test]
fn a_failure_that_the_runtime_never_shows_is_one_pull_for_each_attempt() {
    let mut board = Board::default();
    board.observe(heartbeat(0), at(0));
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    for (attempt, second) in [(1, 2), (2, 20)] {
        let mut asked = event("a", EventKind::Pulling, second, "Pulling image \"web:1\"");
        if let Sighting::Event(event) = &mut asked {
            event.count = attempt;
        }
        see(&mut board, second, asked);
        see(&mut board, second, event("a", EventKind::Failed, second, ABSENT));
        board.tick(at(second + 4));
    }
    assert_eq!(pulls(&board), [("web:1".into(), Some("failed"), Some(1)), ("web:1".into(), Some("failed"), Some(2))]);
    let container = shown(&board, "a").containers.remove(0);
    assert_eq!((container.state, container.error_class, container.attempt), ("failed", Some("not_found"), Some(2)));
    assert_eq!(container.next_retry_at, Some(at(40)), "10 s, then 20 s");
    let last = board.ids().filter_map(|id| board.status(id)).max_by_key(|pull| pull.started_at).unwrap();
    assert!(last.summary.contains("(2nd attempt)"), "{}", last.summary);
}

/// What is told of waits now: container, how long, why in vain, and of which pull.
fn waits(board: &mut Board) -> Vec<(String, u64, Option<&'static str>, Option<PullId>)> {
    std::iter::from_fn(|| board.poll_wait())
        .map(|(over, id)| {
            let why = over.failure.map(|failure| failure.class.as_str());
            (over.container.to_string(), over.until.since(over.asked).as_secs(), why, id)
        })
        .collect()
}

#[test]
fn the_wait_for_each_attempt_is_told_once_with_its_pull_also_in_vain() {
    let mut board = Board::default();
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    see(&mut board, 1, event("a", EventKind::Pulling, 1, "Pulling image \"web:1\""));
    let failed = Outcome::Failed(Failure { class: ErrorClass::Connection, message: "reset".into() });
    board.observe(pull("web:1", 1, Some((5, failed))), at(5));
    let first = board.ids().next();
    for _ in 0..2 {
        see(&mut board, 5, event("a", EventKind::Failed, 5, RESET));
    }
    assert_eq!(waits(&mut board), [("app".into(), 4, Some("connection"), first)]);
    see(&mut board, 15, event("a", EventKind::Pulling, 15, "Pulling image \"web:1\""));
    board.observe(pull("web:1", 15, None), at(15));
    let second = board.ids().find(|id| Some(*id) != first);
    for _ in 0..2 {
        see(&mut board, 25, event("a", EventKind::Pulled, 25, "Successfully pulled image \"web:1\" in 10s"));
        see(&mut board, 25, pod("a", vec![container("app", "web:1", true)]));
        board.tick(at(40));
    }
    assert_eq!(waits(&mut board), [("app".into(), 10, None, second)]);
}

#[test]
fn a_wait_is_held_until_its_pull_is_known_but_not_for_long() {
    let mut board = Board::default();
    board.observe(heartbeat(0), at(0));
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    for second in [2, 20] {
        see(&mut board, second, event("a", EventKind::Pulling, second, "Pulling image \"web:1\""));
        see(&mut board, second, event("a", EventKind::Failed, second, RESET));
        assert_eq!(waits(&mut board), []);
        board.observe(pull("web:1", second, Some((second, Outcome::Canceled))), at(second + 1));
        assert!(matches!(&waits(&mut board)[..], [(_, 0, Some("connection"), Some(_))]));
    }
    see(&mut board, 60, pod("b", vec![container("app", "!", false)]));
    see(&mut board, 60, event("b", EventKind::Pulling, 60, "Pulling image \"!\""));
    see(&mut board, 60, event("b", EventKind::Failed, 61, RESET));
    board.tick(at(69));
    assert_eq!((waits(&mut board), board.next_deadline()), (vec![], Some(at(70))));
    board.tick(at(70));
    assert_eq!(waits(&mut board), [("app".into(), 1, Some("connection"), None)]);
}

#[test]
fn an_agent_that_tells_of_the_pull_takes_the_place_of_the_coarse_one() {
    let mut board = Board::default();
    board.observe(heartbeat(0), at(0));
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    see(&mut board, 2, event("a", EventKind::Pulling, 2, "Pulling image \"web:1\""));
    assert!(board.is_empty(), "the agent gets time to speak");
    assert_eq!(board.next_deadline(), Some(at(5)));
    board.tick(at(5));
    assert_eq!(pulls(&board).len(), 1);
    board.observe(pull("web:1", 6, None), at(6));
    let ids: Vec<_> = board.ids().collect();
    assert_eq!(ids, [PullId::derive("machine", "k8s.io", "web:1", at(6))]);
    assert_eq!(board.status(ids[0]).unwrap().pods.len(), 1);
}

#[test]
fn an_agent_that_tells_late_of_a_pull_takes_its_place_although_it_has_ended() {
    let mut board = Board::default();
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    see(&mut board, 2, event("a", EventKind::Pulling, 2, "Pulling image \"web:1\""));
    see(&mut board, 9, event("a", EventKind::Pulled, 9, "Successfully pulled image \"web:1\" in 7s"));
    assert_eq!(pulls(&board), [("web:1".into(), Some("ready"), Some(1))]);
    board.observe(pull("web:1", 2, Some((9, Outcome::Ready))), at(12));
    let ids: Vec<_> = board.ids().collect();
    assert_eq!(ids, [PullId::derive("machine", "k8s.io", "web:1", at(2))]);
}

#[test]
fn who_waits_behind_another_image_is_told_its_place() {
    let mut board = Board::default();
    board.observe(pull("big:1", 1, None), at(1));
    for (name, image, second) in [("a", "big:1", 1), ("b", "web:1", 2), ("c", "web:2", 3)] {
        see(&mut board, second, pod(name, vec![container("app", image, false)]));
        see(&mut board, second, event(name, EventKind::Pulling, second, &format!("Pulling image \"{image}\"")));
    }
    let place = |name: &str| {
        let container = shown(&board, name).containers.remove(0);
        container.queue.map(|queue| (container.state, queue.position, queue.of, queue.behind.familiar()))
    };
    assert_eq!(place("a"), None);
    assert_eq!(place("b"), Some(("queued", 2, 3, "big:1".into())));
    assert_eq!(place("c"), Some(("queued", 3, 3, "big:1".into())));
}

#[test]
fn a_coarse_pull_that_nobody_wants_any_more_was_canceled() {
    let mut board = Board::default();
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    see(&mut board, 2, event("a", EventKind::Pulling, 2, "Pulling image \"web:1\""));
    see(&mut board, 8, Sighting::PodGone(key("a")));
    assert_eq!(pulls(&board), [("web:1".into(), Some("canceled"), Some(1))]);
    assert_eq!((board.pod(&key("a")), board.pods_waiting()), (None, 0));
}

#[test]
fn a_status_without_events_says_why_too() {
    let mut board = Board::default();
    let mut refused = container("app", "UPPER", false);
    refused.waiting = Some(Waiting { reason: "InvalidImageName".into(), message: "Failed to apply default image tag".into() });
    see(&mut board, 1, pod("a", vec![refused]));
    let container = shown(&board, "a").containers.remove(0);
    assert_eq!((container.state, container.error_class), ("failed", Some("invalid_image_name")));
    see(&mut board, 2, event("a", EventKind::Failed, 2, "Failed to apply default image tag \"UPPER\""));
    assert_eq!(shown(&board, "a").containers[0].next_retry_at, None, "nothing was asked for");
}

#[test]
fn while_the_kubelet_asks_again_the_old_reason_in_the_status_means_nothing() {
    let mut board = Board::default();
    let refused = |reason: &str, message: &str| {
        let mut refused = container("app", "web:1", false);
        refused.waiting = Some(Waiting { reason: reason.into(), message: message.into() });
        pod("a", vec![refused])
    };
    see(&mut board, 1, refused("ContainerCreating", ""));
    see(&mut board, 2, event("a", EventKind::Pulling, 2, "Pulling image \"web:1\""));
    see(&mut board, 3, event("a", EventKind::Failed, 3, ABSENT));
    see(&mut board, 4, refused("ImagePullBackOff", "Back-off"));
    see(&mut board, 13, event("a", EventKind::Pulling, 13, "Pulling image \"web:1\""));
    see(&mut board, 14, refused("ImagePullBackOff", "Back-off"));
    assert_eq!(shown(&board, "a").containers[0].state, "pulling");
    // The event may not come: kubelets send only so many.
    see(&mut board, 20, refused("ErrImagePull", "read tcp: connection reset by peer"));
    let container = shown(&board, "a").containers.remove(0);
    assert_eq!((container.state, container.error_class), ("failed", Some("connection")));
    for pull in board.ids().filter_map(|id| board.status(id)) {
        assert!(pull.completed_at >= Some(pull.started_at), "{pull:?}");
    }
    assert_eq!(pulls(&board).len(), 2);
}

#[test]
fn a_complete_list_drops_whoever_is_not_on_it_and_an_absent_api_makes_stale() {
    let mut board = Board::default();
    for name in ["a", "b"] {
        see(&mut board, 1, pod(name, vec![container("app", "web:1", false)]));
    }
    see(&mut board, 2, Sighting::Away);
    assert!(shown(&board, "a").stale);
    see(&mut board, 3, Sighting::Relisting(None));
    see(&mut board, 3, pod("a", vec![container("app", "web:1", false)]));
    see(&mut board, 3, Sighting::Listed(None));
    assert!(!shown(&board, "a").stale);
    assert_eq!(board.pod(&key("b")), None);
}

#[test]
fn pods_that_have_their_images_are_not_kept_and_of_one_node_only_so_many() {
    let mut board = Board::default();
    see(&mut board, 1, pod("ready", vec![container("app", "web:1", true)]));
    assert_eq!(board.pods().count(), 0);
    for n in 0..=MAX_PODS_PER_NODE {
        see(&mut board, 1, pod(&format!("p{n}"), vec![container("app", "web:1", false)]));
    }
    assert_eq!((board.pods().count(), board.pods_refused()), (MAX_PODS_PER_NODE, 1));
}

#[test]
fn a_pod_that_has_waited_is_kept_as_long_as_history() {
    let mut board = Board::new(Limits { history: Duration::from_secs(60), ..Limits::default() });
    see(&mut board, 1, pod("a", vec![container("app", "web:1", false)]));
    see(&mut board, 5, pod("a", vec![container("app", "web:1", true)]));
    assert_eq!(board.next_deadline(), Some(at(65)));
    board.tick(at(64));
    assert_eq!(board.pods().count(), 1);
    board.tick(at(65));
    assert_eq!(board.pods().count(), 0);
}

proptest! {
    #[test]
    fn events_in_any_order_and_twice_end_in_the_same_state(order in Just((0..6usize).collect::<Vec<_>>()).prop_shuffle(), again in 0..6usize) {
        let seen = || pod("a", vec![container("app", "web:1", false)]);
        let told = [
            event("a", EventKind::Pulling, 1, "Pulling image \"web:1\""),
            event("a", EventKind::Failed, 3, RESET),
            event("a", EventKind::BackOff, 4, "Back-off pulling image \"web:1\""),
            event("a", EventKind::Pulling, 14, "Pulling image \"web:1\""),
            event("a", EventKind::Failed, 15, ABSENT),
            seen(),
        ];
        let (mut plain, mut mixed) = (Board::default(), Board::default());
        told.iter().for_each(|sighting| see(&mut plain, 20, sighting.clone()));
        order.iter().chain([&again]).for_each(|index| see(&mut mixed, 20, told[*index].clone()));
        prop_assert_eq!(plain.pod(&key("a")), mixed.pod(&key("a")));
        prop_assert_eq!(plain.pods_waiting(), mixed.pods_waiting());
    }
}

#[test]
fn a_kubelet_that_asks_again_is_believed_before_a_status_that_lags() {
    let failed = "Failed to pull image \"a:1\": a:1: not found";
    for (reason, state) in [("ImagePullBackOff", "pulling"), ("ErrImagePull", "pulling")] {
        let mut board = Board::new(Limits::default());
        let waiting = Some(Waiting { reason: reason.into(), message: "".into() });
        see(&mut board, 0, pod("web", vec![ContainerSeen { waiting, ..container("app", "a:1", false) }]));
        see(&mut board, 0, event("web", EventKind::Pulling, 0, "Pulling image"));
        see(&mut board, 1, event("web", EventKind::Failed, 1, failed));
        assert_eq!(shown(&board, "web").containers[0].state, "failed");
        see(&mut board, 15, event("web", EventKind::Pulling, 15, "Pulling image"));
        assert_eq!(shown(&board, "web").containers[0].state, state, "{reason}");
        see(&mut board, 16, event("web", EventKind::Failed, 16, failed));
        for pull in board.ids().filter_map(|id| board.status(id)) {
            assert!(pull.completed_at.is_some_and(|end| end >= pull.started_at), "{reason}: {pull:?}");
        }
    }
}
