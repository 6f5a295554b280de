//! Lists, one after the other, told to one board with and without the kubelet's word beside them.

use proptest::prelude::*;

use super::*;
use crate::{
    board::{
        ChangeKind, ContainerKind, ContainerSeen, EventKind, Input, KubeletEvent, Limits, PodKey, PodSeen, Sighting,
        status::PullStatus,
    },
    pull::NodeReport,
};

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + second * 1000)
}

fn layer(name: &str, size: u64, fetched: u64) -> ListedLayer {
    ListedLayer { digest: Digest::of(name.as_bytes()), media_type: String::new(), size: Some(size), fetched }
}

fn named(image: &str, layers: Vec<ListedLayer>) -> Listed {
    Listed { image: image.parse().ok(), started_at: at(0), total_known: true, layers }
}

fn nameless(began: u64, layers: Vec<ListedLayer>) -> Listed {
    Listed { image: None, started_at: at(began), total_known: true, layers }
}

fn list(board: &mut Board, second: u64, pulls: Vec<Listed>) -> Vec<ChangeKind> {
    let node = "node-1".parse().unwrap();
    board.observe(Input::Listing(Box::new(Listing { node, cluster: String::new(), at: at(second), pulls })), at(second));
    std::iter::from_fn(|| board.poll()).map(|change| change.kind).collect()
}

fn event(board: &mut Board, kind: EventKind, second: u64, message: &str) {
    let pod = PodKey { namespace: "shop".into(), name: "web".into() };
    let (container, message) = ("app".into(), message.into());
    let (first, last) = (at(second), at(second));
    let event = KubeletEvent { pod, uid: "u".into(), container, kind, message, count: 1, first, last };
    board.observe(Input::Sighting(Sighting::Event(Box::new(event))), at(second));
}

/// A pod on the node that wants this image, for which its kubelet asks at second 0.
fn wanted(board: &mut Board, image: &str) {
    let (name, image) = ("app".into(), image.into());
    let container = ContainerSeen { name, kind: ContainerKind::Main, image, has_image: false, waiting: None };
    let key = PodKey { namespace: "shop".into(), name: "web".into() };
    let node = "node-1".parse().ok();
    let seen = PodSeen { key, uid: "u".into(), node, workload: None, containers: vec![container] };
    board.observe(Input::Sighting(Sighting::Pod(Box::new(seen))), at(0));
    event(board, EventKind::Pulling, 0, "Pulling image");
}

fn all(board: &Board) -> Vec<PullStatus> {
    let mut all: Vec<_> = board.ids().filter_map(|id| board.status(id)).collect();
    all.sort_by_key(|pull| pull.started_at);
    all
}

fn only(board: &Board) -> PullStatus {
    let mut all = all(board);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

fn outcome(board: &Board) -> Option<&'static str> {
    only(board).outcome
}

#[test]
fn a_listed_pull_keeps_its_id_and_shows_how_far_it_is() {
    let mut board = Board::new(Limits::default());
    assert_eq!(list(&mut board, 1, vec![named("nginx:1", vec![layer("a", 100, 10)])]), [ChangeKind::Started]);
    let first = only(&board);
    assert_eq!(list(&mut board, 3, vec![named("nginx:1", vec![layer("a", 100, 60)])]), [ChangeKind::Progress]);
    let second = only(&board);
    assert_eq!((second.id, second.started_at, second.percent), (first.id, at(0), Some(60.0)));
    assert_eq!((second.bytes_per_sec, second.downloaded_bytes, second.node_name.as_str()), (Some(25), 60, "node-1"));
    list(&mut board, 5, vec![named("nginx:1", vec![layer("a", 100, 30)])]);
    assert_eq!(only(&board).downloaded_bytes, 60, "bytes never fall");
}

#[test]
fn what_vanishes_without_all_its_bytes_is_lost_and_comes_back_when_it_is_listed_again() {
    let mut board = Board::new(Limits::default());
    list(&mut board, 1, vec![named("nginx:1", vec![layer("a", 100, 99)])]);
    assert_eq!(list(&mut board, 3, vec![]), [ChangeKind::Failed]);
    let lost = only(&board);
    assert_eq!((lost.outcome, lost.percent), (Some("lost"), Some(99.0)));
    assert!(lost.summary.contains("no longer sees this pull"), "{}", lost.summary);
    assert_eq!(list(&mut board, 5, vec![]), [], "once");
    list(&mut board, 7, vec![named("nginx:1", vec![layer("a", 100, 100)])]);
    assert_eq!((outcome(&board), only(&board).id), (None, lost.id));
}

#[test]
fn what_vanishes_with_all_its_bytes_is_ready_since_the_last_of_them_came() {
    let mut board = Board::new(Limits::default());
    list(&mut board, 1, vec![named("nginx:1", vec![layer("a", 100, 50)])]);
    list(&mut board, 3, vec![named("nginx:1", vec![layer("a", 100, 100)])]);
    list(&mut board, 30, vec![named("nginx:1", vec![layer("a", 100, 100)])]);
    assert_eq!(outcome(&board), None, "nothing says that it is over");
    list(&mut board, 32, vec![]);
    assert_eq!((outcome(&board), only(&board).completed_at), (Some("ready"), Some(at(3))));
}

#[test]
fn bytes_that_may_not_be_all_make_nothing_ready() {
    for pull in [
        Listed { total_known: false, ..named("nginx:1", vec![layer("a", 100, 100)]) },
        named("nginx:1", vec![ListedLayer { size: None, ..layer("a", 0, 100) }]),
        named("nginx:1", vec![layer("a", 0, 0)]),
        named("nginx:1", vec![]),
        nameless(0, vec![layer("a", 100, 100)]),
    ] {
        let mut board = Board::new(Limits::default());
        list(&mut board, 1, vec![pull.clone()]);
        assert_eq!((outcome(&board), only(&board).percent), (None, None), "{pull:?}");
        list(&mut board, 3, vec![]);
        assert_eq!(outcome(&board), Some("lost"), "{pull:?}");
    }
}

#[test]
fn downloads_without_a_name_are_one_pull_named_by_the_only_image_that_the_kubelet_pulls() {
    let mut board = Board::new(Limits::default());
    list(&mut board, 1, vec![nameless(1, vec![layer("a", 100, 10)]), nameless(0, vec![layer("b", 50, 50)])]);
    let first = only(&board);
    assert_eq!((first.image_ref.clone(), first.layer_count, first.started_at), (None, 2, at(0)));
    wanted(&mut board, "nginx:1");
    list(&mut board, 3, vec![nameless(1, vec![layer("a", 100, 20), layer("c", 7, 0)])]);
    let later = only(&board);
    assert_eq!((later.id, later.layer_count, later.downloaded_bytes), (first.id, 3, 70));
    assert_eq!(later.image_ref.map(|image| image.to_string()).as_deref(), Some("docker.io/library/nginx:1"));
    assert_eq!(&*later.pods[0].pod_name, "web");
    list(&mut board, 5, vec![nameless(5, vec![layer("z", 9, 1)])]);
    let ids: Vec<_> = all(&board).iter().map(|pull| pull.id).collect();
    assert!(ids.len() == 2 && ids[0] == first.id && ids[1] != first.id, "other downloads are another pull");
}

#[test]
fn the_kubelet_says_how_a_listed_pull_ended() {
    for (kind, message, expected) in [
        (EventKind::Pulled, "Successfully pulled image", Some("ready")),
        (EventKind::Failed, "Failed to pull image \"nginx:1\": 429 Too Many Requests", Some("failed")),
    ] {
        let mut board = Board::new(Limits::default());
        wanted(&mut board, "nginx:1");
        list(&mut board, 1, vec![named("nginx:1", vec![layer("a", 100, 10)])]);
        list(&mut board, 3, vec![]);
        assert_eq!(outcome(&board), None, "the kubelet still pulls it");
        event(&mut board, kind, 4, message);
        let ended = only(&board);
        assert_eq!((ended.outcome, ended.completed_at), (expected, Some(at(4))));
        assert_eq!(ended.error_class, (kind == EventKind::Failed).then_some("rate_limited"));
    }
}

#[test]
fn a_lost_one_and_one_that_was_taken_for_ready_are_corrected_by_the_kubelet() {
    let failed = "Failed to pull image \"nginx:1\": no space left on device";
    for (fetched, before) in [(10, "lost"), (100, "ready")] {
        let mut board = Board::new(Limits::default());
        wanted(&mut board, "nginx:1");
        event(&mut board, EventKind::Pulled, 0, "not yet");
        list(&mut board, 100, vec![Listed { started_at: at(99), ..named("nginx:1", vec![layer("a", 100, fetched)]) }]);
        list(&mut board, 102, vec![]);
        let pull = all(&board).pop().unwrap();
        assert_eq!(pull.outcome, Some(before));
        event(&mut board, EventKind::Pulling, 99, "Pulling image");
        event(&mut board, EventKind::Failed, 103, failed);
        let pull = board.status(pull.id).unwrap();
        assert_eq!((pull.outcome, pull.error_class), (Some("failed"), Some("no_space")), "{before}");
    }
}

#[test]
fn an_agent_of_ours_wins_at_once_and_as_long_as_it_is_heard() {
    let mut board = Board::new(Limits::default());
    list(&mut board, 1, vec![named("nginx:1", vec![layer("a", 100, 10)])]);
    let node = Node { uid: "machine".into(), ..lister_node(&"node-1".parse().unwrap(), "") };
    let observed_at = at(2);
    let report = NodeReport {
        node,
        observed_at,
        agent_version: String::new(),
        runtime_reachable: true,
        active_pulls: 0,
        queued_images: Vec::new(),
        dropped_progress: 0,
        dropped_outcomes: 0,
    };
    board.observe(Input::Node(Box::new(report)), at(2));
    assert_eq!(board.poll().map(|change| change.kind), Some(ChangeKind::Removed));
    assert_eq!(list(&mut board, 3, vec![named("nginx:1", vec![layer("a", 100, 20)])]), []);
    assert_eq!((board.len(), board.counts().refused_other_agent), (0, 1));
    board.tick(at(200));
    assert_eq!(list(&mut board, 201, vec![named("nginx:1", vec![layer("a", 100, 20)])]), [ChangeKind::Started]);
}

#[test]
fn a_late_list_changes_nothing_and_a_clock_that_was_set_back_does_no_harm() {
    let mut board = Board::new(Limits::default());
    list(&mut board, 100, vec![named("nginx:1", vec![layer("a", 100, 50)])]);
    assert_eq!(list(&mut board, 99, vec![]), []);
    assert_eq!((outcome(&board), board.counts().refused_stale), (None, 1));
    list(&mut board, 10, vec![named("nginx:1", vec![layer("a", 100, 70)])]);
    assert_eq!(only(&board).downloaded_bytes, 70);
}

#[test]
fn an_agent_that_falls_silent_makes_its_pulls_stale_and_then_lost() {
    let mut board = Board::new(Limits::default());
    list(&mut board, 0, vec![named("nginx:1", vec![layer("a", 100, 50)])]);
    board.tick(at(91));
    assert!(only(&board).stale);
    board.tick(at(400));
    assert_eq!(outcome(&board), Some("lost"));
}

#[test]
fn a_download_that_was_left_behind_is_stalled_since_its_last_byte() {
    let mut board = Board::new(Limits::default());
    list(&mut board, 1, vec![nameless(0, vec![layer("a", 100, 10)])]);
    for second in 2..=40 {
        list(&mut board, second, vec![nameless(0, vec![layer("a", 100, 20)])]);
    }
    let stalled = only(&board);
    assert_eq!((stalled.stalled_since, stalled.outcome), (Some(at(2)), None));
    assert!(stalled.summary.starts_with("Stalled: no byte"), "{}", stalled.summary);
    list(&mut board, 41, vec![nameless(0, vec![layer("a", 100, 21)])]);
    assert_eq!(only(&board).stalled_since, None);
    for second in [42, 90] {
        list(&mut board, second, vec![nameless(0, vec![layer("a", 100, 100)])]);
    }
    assert_eq!(only(&board).stalled_since, None, "there is nothing to come");
}

#[test]
fn a_list_cannot_fill_the_memory() {
    let limits = Limits { pulls_per_node: 3, ..Limits::default() };
    let mut board = Board::new(limits);
    let pulls = (0..5).map(|n| named(&format!("image-{n}:1"), vec![layer("a", 100, 1)])).collect();
    list(&mut board, 1, pulls);
    assert_eq!((board.len(), board.counts().refused_capacity), (3, 2));
    let many = (0..600).map(|n| layer(&n.to_string(), 10, 10)).collect();
    let mut board = Board::new(limits);
    list(&mut board, 1, vec![named("nginx:1", many)]);
    assert_eq!((only(&board).layer_count, only(&board).total_known), (MAX_LISTED_LAYERS, false));
}

/// What can happen between two lists: the next list says of each of three pulls that so many bytes of 100 are here, or nothing.
fn turns() -> impl Strategy<Value = Vec<(u64, [Option<u64>; 3], bool)>> {
    let fetched = || prop::option::of(prop_oneof![0..=100_u64, Just(100)]);
    prop::collection::vec((0..100_u64, [fetched(), fetched(), fetched()], prop::bool::ANY), 1..30)
}

proptest! {
    #[test]
    fn bytes_never_fall_and_nothing_is_ready_that_was_not_whole(turns in turns()) {
        let mut board = Board::new(Limits::default());
        let mut whole = BTreeSet::new();
        let mut fetched = BTreeMap::new();
        let mut now = 0;
        for (pause, listed, total_known) in turns {
            now += pause;
            let images = ["a:1", "b:1", "c:1"];
            let pulls: Vec<_> = images.iter().zip(listed).filter_map(|(image, fetched)| {
                Some(Listed { total_known, ..named(image, vec![layer(image, 100, fetched?)]) })
            }).collect();
            list(&mut board, now, pulls.clone());
            for id in board.ids() {
                let pull = board.status(id).unwrap();
                let image = pull.image_ref.clone().unwrap();
                if pull.total_known && pull.downloaded_bytes == 100 {
                    whole.insert(image.clone());
                }
                prop_assert!(pull.outcome != Some("ready") || whole.contains(&image), "{image} is not ready");
                prop_assert!(pull.percent != Some(100.0) || pull.downloaded_bytes == 100);
                let before = fetched.insert(id, pull.downloaded_bytes).unwrap_or_default();
                prop_assert!(pull.downloaded_bytes >= before, "bytes fell");
                prop_assert!(matches!(pull.outcome, None | Some("ready" | "lost")));
            }
            prop_assert!(board.len() <= 3, "ids stay");
            prop_assert_eq!(board.tally().running, board.ids().filter(|id| board.status(*id).unwrap().is_running()).count());
        }
    }
}
