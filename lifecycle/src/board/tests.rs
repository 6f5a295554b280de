//! The rules of the board, one sentence each, and the invariants under shuffled, doubled and lost reports.

mod clocks;
mod flood;
mod oracle;

use proptest::prelude::*;

use super::*;
use crate::{
    image::Digest,
    pull::{Ending, ErrorClass, Eta, Failure, Host, Interval, Layer, LayerState, Node, Percent, Phase, TimingSource},
};

const MINUTE: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + seconds * 1000)
}

fn node(name: &str) -> Node {
    Node {
        name: name.parse().unwrap(),
        uid: format!("uid-of-{name}"),
        cluster: String::new(),
        runtime_name: "containerd".into(),
        runtime_version: "2.1.4".into(),
    }
}

fn layer(size: u64, fetched: u64) -> Layer {
    let state = if fetched == size { LayerState::Downloaded } else { LayerState::Downloading };
    let digest = Digest::of(&size.to_be_bytes());
    let none = Interval::default();
    Layer { digest, media_type: "".into(), size, fetched, cached: false, lazy: false, state, download: none, unpack: none }
}

fn report_on(name: &str, lease: &str, sequence: u64, fetched: u64) -> Report {
    let node = node(name);
    let pull = Pull {
        id: PullId::derive(&node.uid, "k8s.io", lease, at(0)),
        sequence,
        namespace: "k8s.io".into(),
        image: "docker.io/library/nginx:1.27".parse().ok(),
        digest: None,
        snapshotter: "overlayfs".into(),
        phase: Phase::Downloading,
        wait: None,
        waits: Vec::new(),
        ending: None,
        started_at: at(0),
        resolved_at: Some(at(1)),
        observed_at: at(sequence),
        total_known: true,
        bytes_per_sec: Some(10),
        eta: Eta::within(Duration::from_millis(4_210), Duration::from_millis(6_449), Duration::from_secs(9)),
        host: Host::default(),
        layers: vec![layer(1000, fetched)],
    };
    Report { node: node.into(), pull }
}

fn report(sequence: u64, fetched: u64) -> Report {
    report_on("node-1", "lease", sequence, fetched)
}

fn ended(mut report: Report, outcome: Outcome) -> Report {
    report.pull.ending = Some(Ending { outcome, at: report.pull.observed_at, source: TimingSource::Event });
    report
}

fn heartbeat(active_pulls: u64) -> NodeReport {
    NodeReport {
        node: node("node-1"),
        observed_at: at(0),
        agent_version: "0.1.0".into(),
        runtime_reachable: true,
        active_pulls,
        queued_images: Vec::new(),
        dropped_progress: 0,
        dropped_outcomes: 0,
    }
}

fn drain(board: &mut Board) -> Vec<ChangeKind> {
    std::iter::from_fn(|| board.poll()).map(|c| c.kind).collect()
}

/// Observes and returns what changed.
fn tell(board: &mut Board, report: Report, now: u64) -> Vec<ChangeKind> {
    board.observe(Input::Pull(Box::new(report)), at(now));
    drain(board)
}

fn tell_node(board: &mut Board, report: NodeReport, now: u64) -> Vec<ChangeKind> {
    board.observe(Input::Node(Box::new(report)), at(now));
    drain(board)
}

/// Lets time pass as a keeper does, and returns what changed except sentences that aged.
fn pass(board: &mut Board, until: u64) -> Vec<ChangeKind> {
    let mut changes = Vec::new();
    while let Some(deadline) = board.next_deadline().filter(|d| *d <= at(until)) {
        board.tick(deadline.max(at(0)));
        changes.extend(std::iter::from_fn(|| board.poll()));
    }
    changes.into_iter().map(|c| c.kind).filter(|k| *k != ChangeKind::Progress).collect()
}

fn the_only(board: &Board) -> PullStatus {
    let id = board.ids().next().unwrap();
    board.status(id).unwrap()
}

#[test]
fn an_agent_that_learns_its_uid_is_still_one_agent() {
    let mut board = Board::new(Limits::default());
    let provisional = |name: &str| Node { uid: name.into(), ..node(name) };
    let before = NodeReport { node: provisional("node-1"), runtime_reachable: false, ..heartbeat(0) };
    tell_node(&mut board, before.clone(), 1);
    assert_eq!((board.connected(), board.nodes().len()), (1, 1));
    tell_node(&mut board, heartbeat(0), 2);
    assert_eq!((board.connected(), board.nodes().len()), (1, 1), "the one by name is the same");
    tell_node(&mut board, NodeReport { node: Node { uid: "anew".into(), ..node("node-1") }, ..heartbeat(0) }, 3);
    tell_node(&mut board, NodeReport { node: provisional("node-2"), ..before }, 3);
    assert_eq!(board.connected(), 3, "a node made anew under an old name is another, and so is another node");
}

#[test]
fn layers_stay_known_when_an_agent_that_was_restarted_has_not_read_the_manifest_again() {
    let mut board = Board::default();
    tell(&mut board, report(1, 400), 1);
    let mut restarted = report(2, 0);
    restarted.pull.total_known = false;
    restarted.pull.resolved_at = None;
    restarted.pull.phase = Phase::Resolving;
    restarted.pull.layers.clear();
    tell(&mut board, restarted, 2);
    let status = the_only(&board);
    assert_eq!((status.total_known, status.size_bytes, status.downloaded_bytes), (true, Some(1000), 400));
    assert_eq!(status.phase, Phase::Downloading);
}

#[test]
fn a_pull_starts_moves_and_ends_once() {
    let mut board = Board::default();
    assert_eq!(tell(&mut board, report(1, 0), 1), [ChangeKind::Started]);
    assert_eq!(board.tally().running, 1);
    assert_eq!(tell(&mut board, report(2, 500), 2), [ChangeKind::Progress]);
    assert_eq!(tell(&mut board, ended(report(3, 1000), Outcome::Ready), 3), [ChangeKind::Completed]);
    assert_eq!((board.tally(), board.len()), (Tally::default(), 1));
    assert_eq!(the_only(&board).completed_at, Some(at(3)));
}

#[test]
fn a_pull_that_is_first_heard_of_when_it_has_ended_starts_and_ends() {
    let mut board = Board::default();
    assert_eq!(tell(&mut board, ended(report(9, 10), Outcome::Canceled), 9), [ChangeKind::Started, ChangeKind::Failed]);
}

#[test]
fn the_highest_sequence_wins_and_the_rest_is_counted() {
    let mut board = Board::default();
    tell(&mut board, report(5, 700), 5);
    assert_eq!(tell(&mut board, report(5, 700), 6), []);
    assert_eq!(tell(&mut board, report(4, 600), 6), []);
    assert_eq!((the_only(&board).downloaded_bytes, board.counts().refused_stale), (700, 2));
}

#[test]
fn a_pull_of_one_node_is_not_changed_by_another() {
    let mut board = Board::default();
    tell(&mut board, report(5, 700), 5);
    let Report { pull, .. } = report(6, 900);
    assert_eq!(tell(&mut board, Report { node: node("another").into(), pull }, 6), []);
    assert_eq!((the_only(&board).downloaded_bytes, board.counts().refused_foreign), (700, 1));
}

#[test]
fn two_agents_on_one_node_tell_of_one_pull_once() {
    let mut board = Board::default();
    let mut kinds = Vec::new();
    for sequence in 1..5 {
        for _agent in ["old", "new"] {
            kinds.extend(tell(&mut board, report(sequence, sequence * 100), sequence));
        }
    }
    for _agent in ["new", "old"] {
        kinds.extend(tell(&mut board, ended(report(9, 1000), Outcome::Ready), 9));
    }
    let of = |kind| kinds.iter().filter(|k| **k == kind).count();
    assert_eq!((of(ChangeKind::Started), of(ChangeKind::Progress), of(ChangeKind::Completed), board.len()), (1, 3, 1, 1));
}

#[test]
fn an_outcome_is_final_unless_it_is_lost() {
    let failure = Failure { class: ErrorClass::Dns, message: "no such host".into() };
    for outcome in [Outcome::Ready, Outcome::Canceled, Outcome::Failed(failure)] {
        let mut board = Board::default();
        tell(&mut board, ended(report(5, 1000), outcome.clone()), 5);
        assert_eq!(tell(&mut board, report(6, 10), 6), []);
        assert_eq!((the_only(&board).outcome, board.counts().refused_final), (Some(outcome.as_str()), 1));
    }
    let mut board = Board::default();
    tell(&mut board, ended(report(5, 100), Outcome::Lost), 5);
    assert_eq!(tell(&mut board, report(6, 200), 6), [ChangeKind::Progress]);
    assert_eq!(board.tally().running, 1);
    assert_eq!(tell(&mut board, ended(report(7, 1000), Outcome::Ready), 7), [ChangeKind::Completed]);
}

#[test]
fn bytes_never_fall_and_a_fetched_layer_stays_fetched() {
    let mut board = Board::default();
    tell(&mut board, report(1, 600), 1);
    tell(&mut board, report(2, 10), 2);
    assert_eq!(the_only(&board).downloaded_bytes, 600);
    let mut cached = report(3, 0);
    (cached.pull.layers[0].cached, cached.pull.layers[0].state) = (true, LayerState::Cached);
    tell(&mut board, cached, 3);
    let status = the_only(&board);
    assert_eq!((status.downloaded_bytes, status.cached_bytes, status.percent), (1000, 0, Some(100.0)));
}

#[test]
fn a_silent_agent_makes_its_pulls_stale_then_lost_whatever_its_clock_says() {
    let mut board = Board::default();
    let mut skewed = report(1, 610);
    skewed.pull.observed_at = at(1_000_000);
    tell(&mut board, skewed, 0);
    assert_eq!(pass(&mut board, 89), []);
    assert!(!the_only(&board).stale && board.connected() == 1);
    pass(&mut board, 90);
    let stale = the_only(&board);
    assert!(stale.stale && stale.outcome.is_none() && stale.bytes_per_sec.is_none() && board.connected() == 0);
    assert_eq!(stale.summary, "No word from node-1's agent for 1 m 30 s; the last state was downloading, 61 %.");
    assert_eq!(pass(&mut board, 300), [ChangeKind::Failed]);
    let lost = the_only(&board);
    assert_eq!((lost.outcome, lost.percent, lost.completed_at), (Some("lost"), Some(61.0), Some(at(1_000_300))));
    assert_eq!(board.tally().running, 0);
}

#[test]
fn any_word_of_the_agent_makes_its_stale_pulls_current_again() {
    let mut board = Board::default();
    tell(&mut board, report(1, 10), 0);
    pass(&mut board, 120);
    assert_eq!(tell_node(&mut board, heartbeat(1), 121), [ChangeKind::Progress]);
    assert!(!the_only(&board).stale && board.connected() == 1);
    pass(&mut board, 250);
    assert!(the_only(&board).stale);
    let kinds = tell(&mut board, report_on("node-1", "another lease", 1, 0), 251);
    assert_eq!(kinds, [ChangeKind::Progress, ChangeKind::Started]);
    assert_eq!(board.tally().running, 2);
}

#[test]
fn a_lost_pull_that_is_heard_of_again_runs_on() {
    let mut board = Board::default();
    tell(&mut board, report(1, 10), 0);
    assert_eq!(pass(&mut board, 400), [ChangeKind::Failed]);
    assert_eq!(tell_node(&mut board, heartbeat(1), 401), [ChangeKind::Progress]);
    assert_eq!((the_only(&board).outcome, board.tally().running), (None, 1));
    pass(&mut board, 900);
    assert_eq!(tell(&mut board, ended(report(2, 1000), Outcome::Ready), 901), [ChangeKind::Completed]);
}

#[test]
fn a_pull_that_its_agent_no_longer_counts_is_lost() {
    let mut board = Board::default();
    tell(&mut board, report_on("node-1", "old", 1, 10), 0);
    tell(&mut board, report_on("node-1", "new", 1, 10), 10);
    assert_eq!(tell_node(&mut board, heartbeat(1), 14), [], "its outcome may still be on its way");
    let unreachable = NodeReport { runtime_reachable: false, ..heartbeat(0) };
    assert_eq!(tell_node(&mut board, unreachable, 15), [], "nobody knows what runs");
    assert_eq!(tell_node(&mut board, heartbeat(1), 16), [ChangeKind::Failed]);
    assert_eq!(tell_node(&mut board, heartbeat(1), 17), [], "said once");
    let old = board.status(PullId::derive("uid-of-node-1", "k8s.io", "old", at(0))).unwrap();
    assert_eq!((old.outcome, board.tally().running), (Some("lost"), 1));
    assert_eq!(old.summary, "node-1's agent no longer sees this pull; the last state was downloading, 1 %.");
}

#[test]
fn after_an_outage_outcomes_may_come_before_pulls_are_given_up() {
    let mut board = Board::default();
    tell(&mut board, report(1, 10), 0);
    pass(&mut board, 99);
    assert_eq!(tell_node(&mut board, heartbeat(0), 100), [ChangeKind::Progress], "only not silent any more");
    assert_eq!(tell_node(&mut board, heartbeat(0), 130), [ChangeKind::Failed]);
}

#[test]
fn ended_pulls_leave_memory_when_their_history_is_over() {
    let mut board = Board::new(Limits { history: 10 * MINUTE, ..Limits::default() });
    tell(&mut board, ended(report(1, 1000), Outcome::Ready), 7);
    assert_eq!(pass(&mut board, 606), []);
    assert_eq!(pass(&mut board, 607), [ChangeKind::Removed]);
    assert_eq!((board.len(), board.counts().evicted_ttl), (0, 1));
}

#[test]
fn a_full_board_forgets_the_oldest_ended_pull_and_never_a_running_one() {
    let mut board = Board::new(Limits { pulls: 2, ..Limits::default() });
    tell(&mut board, ended(report_on("a", "1", 1, 1000), Outcome::Ready), 1);
    tell(&mut board, report_on("b", "2", 1, 0), 2);
    assert_eq!(tell(&mut board, report_on("c", "3", 1, 0), 3), [ChangeKind::Removed, ChangeKind::Started]);
    assert_eq!(tell(&mut board, report_on("d", "4", 1, 0), 4), []);
    let counts = board.counts();
    assert_eq!((board.len(), counts.evicted_capacity, counts.refused_capacity), (2, 1, 1));
}

#[test]
fn one_node_cannot_take_the_room_of_others() {
    let mut board = Board::new(Limits { pulls_per_node: 2, nodes: 2, ..Limits::default() });
    tell(&mut board, ended(report_on("other", "0", 1, 1000), Outcome::Ready), 0);
    tell(&mut board, ended(report_on("greedy", "1", 1, 1000), Outcome::Ready), 1);
    tell(&mut board, report_on("greedy", "2", 1, 0), 2);
    assert_eq!(tell(&mut board, report_on("greedy", "3", 1, 0), 3), [ChangeKind::Removed, ChangeKind::Started]);
    assert_eq!(tell(&mut board, report_on("greedy", "4", 1, 0), 4), []);
    assert_eq!(tell(&mut board, report_on("one-too-many", "5", 1, 0), 5).len(), 0);
    assert!(board.status(report_on("other", "0", 1, 0).pull.id).is_some());
}

#[test]
fn a_node_is_known_until_nothing_of_it_is_left() {
    let mut board = Board::new(Limits { history: MINUTE, ..Limits::default() });
    tell_node(&mut board, heartbeat(0), 0);
    let nodes = board.nodes();
    assert_eq!((nodes[0].name.as_str(), nodes[0].connected, nodes[0].reachable), ("node-1", true, Some(true)));
    pass(&mut board, 100);
    assert_eq!((board.nodes()[0].connected, board.nodes()[0].last_seen), (false, at(0)));
    pass(&mut board, 3600);
    assert_eq!((board.nodes().len(), board.next_deadline()), (0, None));
}

#[test]
fn a_wait_for_a_layer_names_the_image_that_holds_it() {
    let mut board = Board::default();
    let holder = report_on("node-1", "holder", 1, 10);
    let (id, digest) = (holder.pull.id, holder.pull.layers[0].digest.clone());
    tell(&mut board, holder, 1);
    let mut waiting = report_on("node-1", "waiter", 1, 10);
    waiting.pull.wait = Some(Wait::LayerLock { since: at(1), holder: id, layer: digest.clone() });
    let waiter = waiting.pull.id;
    tell(&mut board, waiting, 2);
    let json = serde_json::to_value(board.status(waiter).unwrap()).unwrap();
    assert_eq!(
        json["wait"],
        serde_json::json!({"kind": "layer_lock", "since": at(1), "pullId": id, "layer": digest, "image": "docker.io/library/nginx:1.27"})
    );
    assert!(json["summary"].as_str().unwrap().contains("the pull of nginx:1.27"), "{}", json["summary"]);
}

#[test]
fn what_holds_pulls_up_is_counted_while_it_does() {
    let mut board = Board::default();
    let held_up =
        |board: &Board, by: &str| board.tally().held_up[Tally::HELD_UP.iter().position(|word| *word == by).expect("a word")];
    let mut full = report(1, 350);
    full.pull.host.disk_busy = Percent::new(99);
    tell(&mut board, full.clone(), 1);
    assert_eq!((held_up(&board, "disk"), held_up(&board, "stalled")), (1, 0));
    full.pull.sequence = 2;
    full.pull.wait = Some(Wait::Stalled { since: at(2) });
    tell(&mut board, full.clone(), 2);
    assert_eq!((held_up(&board, "disk"), held_up(&board, "stalled")), (0, 1), "what it waits for itself is said first");
    full.pull.sequence = 3;
    tell(&mut board, ended(full, Outcome::Canceled), 3);
    assert_eq!(board.tally(), Tally::default());
}

#[test]
fn a_sentence_that_speaks_of_time_is_said_again_while_nothing_else_changes() {
    let mut board = Board::default();
    let mut stalled = report(0, 350);
    stalled.pull.wait = Some(Wait::Stalled { since: at(0) });
    tell(&mut board, stalled, 0);
    board.tick(at(0));
    assert_eq!(board.tally().stalled, 1);
    board.tick(at(8));
    assert_eq!(drain(&mut board), [ChangeKind::Progress]);
    assert_eq!(the_only(&board).summary, "Stalled: no byte from docker.io for 8 s (layer 1 of 1, 35 %).");
    assert_eq!(board.next_deadline(), Some(at(13)));
}

#[test]
fn the_json_of_a_pull_is_the_contracts() {
    let mut board = Board::default();
    tell(&mut board, report(2, 499), 2);
    let json = serde_json::to_value(the_only(&board)).unwrap();
    assert_eq!((&json["etaSeconds"], &json["percent"]), (&serde_json::json!(6.4), &serde_json::json!(49.9)));
    assert_eq!((&json["etaLowSeconds"], &json["etaHighSeconds"]), (&serde_json::json!(4.2), &serde_json::json!(9.0)));
    assert_eq!((&json["totalBytes"], &json["totalKnown"]), (&serde_json::json!(1000), &serde_json::json!(true)));
    assert_eq!((&json["registry"], &json["runtime"]), (&serde_json::json!("docker.io"), &serde_json::json!("containerd 2.1.4")));
    assert_eq!(json["startedAt"], "2023-11-14T22:13:20Z");
    for absent in ["outcome", "error", "completedAt", "wait", "imageDigest", "stalledSince"] {
        assert!(json.get(absent).is_none(), "{absent}");
    }
    assert_eq!(json["layers"][0]["state"], "downloading");
}

/// A history of one pull: growing bytes, then an ending.
fn history() -> impl Strategy<Value = Vec<Report>> {
    (proptest::collection::vec(0_u64..1000, 1..12), any::<bool>()).prop_map(|(mut bytes, well)| {
        bytes.sort_unstable();
        let mut reports: Vec<_> = (1..).zip(&bytes).map(|(sequence, fetched)| report(sequence, *fetched)).collect();
        let last = reports.len() as u64 + 1;
        reports.push(match well {
            true => ended(report(last, 1000), Outcome::Ready),
            false => ended(report(last, *bytes.last().unwrap()), Outcome::Canceled),
        });
        reports
    })
}

proptest! {
    #[test]
    fn however_reports_arrive_bytes_never_fall_and_the_end_is_the_truth(
        reports in history(),
        order in proptest::collection::vec((any::<prop::sample::Index>(), 0_u64..200), 0..40),
    ) {
        let mut board = Board::new(Limits { history: 1000 * MINUTE, ..Limits::default() });
        let (mut now, mut fetched, mut over) = (0, 0, false);
        let last = (reports.len() - 1, 1);
        for (pick, wait) in order.iter().map(|(i, w)| (i.index(reports.len()), *w)).chain([last]) {
            now += wait;
            pass(&mut board, now);
            tell(&mut board, reports[pick].clone(), now);
            let Some(status) = board.ids().next().and_then(|id| board.status(id)) else { continue };
            prop_assert!(status.downloaded_bytes >= fetched, "bytes fell");
            let final_now = matches!(status.outcome, Some("ready" | "canceled"));
            prop_assert!(final_now || !over, "an outcome was taken back");
            prop_assert!(status.percent != Some(100.0) || status.outcome == Some("ready"), "a false success");
            (fetched, over) = (status.downloaded_bytes, final_now);
        }
        let end = reports.last().unwrap().pull.ending.as_ref().unwrap().outcome.as_str();
        prop_assert_eq!(the_only(&board).outcome, Some(end));
        prop_assert_eq!(board.tally(), Tally::default());
    }
}

#[test]
fn an_image_that_is_fetched_again_is_told_from_one_that_is_new_and_from_one_that_another_node_had() {
    let pull = |node: &str, lease: &str, began: u64, image: &str| {
        let mut report = report_on(node, lease, 1, 1000);
        (report.pull.started_at, report.pull.observed_at) = (at(began), at(began + 5));
        report.pull.digest = Some(Digest::of(image.as_bytes()));
        report
    };
    let mut board = Board::default();
    let mut had = |report: Report| {
        let id = report.pull.id;
        tell(&mut board, report, 100);
        board.had_image(id)
    };
    assert!(!had(ended(pull("node-1", "first", 0, "web"), Outcome::Ready)));
    assert!(had(ended(pull("node-1", "again", 10, "web"), Outcome::Ready)));
    assert!(!had(ended(pull("node-1", "other", 10, "cart"), Outcome::Ready)));
    assert!(!had(ended(pull("node-2", "elsewhere", 10, "web"), Outcome::Ready)));
    assert!(!had(ended(pull("node-1", "beside", 2, "cart"), Outcome::Ready)), "at the same time as another is not again");
}

#[test]
fn a_node_says_what_it_does_while_it_pulls_and_is_not_missed_once_the_cluster_has_removed_it() {
    let mut board = Board::default();
    tell_node(&mut board, heartbeat(0), 1);
    let mut busy = report(1, 500);
    busy.pull.host = Host { cpu: Percent::new(40), ..Host::default() };
    tell(&mut board, busy, 1);
    let cpu = |board: &Board| board.nodes()[0].host.and_then(|host| host.cpu_pressure);
    assert_eq!(cpu(&board), Some(40));
    tell(&mut board, ended(report(2, 1000), Outcome::Ready), 2);
    assert_eq!(cpu(&board), None);
    let see = |board: &mut Board, sighting| board.observe(Input::Sighting(sighting), at(3));
    for name in ["node-1", "node-2"] {
        see(&mut board, Sighting::Node { name: name.parse().unwrap(), runtime: String::new() });
    }
    pass(&mut board, 200);
    assert_eq!((board.nodes()[0].connected, board.nodes()[0].unmissed), (false, false));
    see(&mut board, Sighting::NodeGone("node-1".parse().unwrap()));
    assert!(board.nodes()[0].unmissed);
}

#[test]
fn a_command_that_told_of_its_pulls_and_went_is_not_missed_and_makes_no_second_node_beside_an_agent() {
    let mut board = Board::default();
    let mut by_command = ended(report(1, 1000), Outcome::Ready);
    by_command.node = Arc::new(Node { uid: "machine".into(), ..node("node-1") });
    tell(&mut board, by_command, 1);
    pass(&mut board, 200);
    let node = &board.nodes()[0];
    assert_eq!((node.connected, node.unmissed, &node.agent_version), (false, true, &None));
    tell_node(&mut board, heartbeat(0), 201);
    let nodes = board.nodes();
    assert_eq!((nodes.len(), nodes[0].agent_version.as_deref()), (1, Some("0.1.0")));
    assert_eq!(board.len(), 1, "the pull stays");
}
