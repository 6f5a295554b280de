//! Those who tell too much: whatever a node tells, memory stays within its bounds, others keep their place, and what is dropped is counted.

use super::*;

const SMALL: Limits =
    Limits { history: HISTORY_TTL, pulls: 100, pulls_per_node: 20, layers: 600, layers_per_node: 100, nodes: 10 };

/// Honest nodes, each with a pull that runs and two that have ended.
fn honest(board: &mut Board) -> Vec<PullId> {
    let mut ids = Vec::new();
    for node in 0..5 {
        for lease in ["one", "two", "three"] {
            let told = report_on(&format!("honest-{node}"), lease, 1, 10);
            ids.push(told.pull.id);
            tell(board, if lease == "one" { told } else { ended(told, Outcome::Ready) }, 0);
        }
    }
    ids
}

#[test]
fn a_node_that_tells_of_any_number_of_images_takes_no_others_place() {
    let mut board = Board::new(SMALL);
    let ids = honest(&mut board);
    for number in 0..50_000 {
        let mut flood = report_on("greedy", &format!("lease {number}"), 1, 10);
        flood.pull.image = format!("registry-{number}.example/image-{number}:v1").parse().ok();
        flood.pull.layers[0].digest = Digest::of(&u64::to_be_bytes(number));
        if number.is_multiple_of(3) {
            flood = ended(flood, Outcome::Ready);
        }
        tell(&mut board, flood, 1 + number / 1000);
        assert!(board.len() <= ids.len() + SMALL.pulls_per_node);
    }
    assert!(ids.iter().all(|id| board.status(*id).is_some()), "honest pulls are still there");
    let counts = board.counts();
    assert_eq!(counts.accepted + counts.refused_capacity, 15 + 50_000, "everything is accounted for");
    assert_eq!(board.len() as u64 + counts.evicted_capacity, counts.accepted, "what was accepted is there or was forgotten");
    assert_eq!(board.crowded().map(NodeName::as_str).collect::<Vec<_>>(), ["greedy"]);
}

#[test]
fn a_node_is_crowded_only_as_long_as_its_running_pulls_fill_its_room() {
    let mut board = Board::new(Limits { pulls_per_node: 2, ..SMALL });
    for lease in ["a", "b", "c"] {
        tell(&mut board, report_on("node-1", lease, 1, 10), 1);
    }
    assert_eq!((board.len(), board.crowded().count()), (2, 1));
    tell(&mut board, ended(report_on("node-1", "a", 2, 10), Outcome::Canceled), 2);
    assert_eq!(board.crowded().count(), 0);
    assert_eq!(tell(&mut board, report_on("node-1", "c", 2, 10), 3), [ChangeKind::Removed, ChangeKind::Started]);
}

#[test]
fn layers_have_bounds_too_also_those_that_a_pull_gets_later() {
    let mut board = Board::new(SMALL);
    let with_layers = |lease: &str, sequence, count: u64| {
        let mut report = report_on("node-1", lease, sequence, 10);
        let layer = report.pull.layers[0].clone();
        report.pull.layers = (0..count).map(|n| Layer { digest: Digest::of(&n.to_be_bytes()), ..layer.clone() }).collect();
        report
    };
    tell(&mut board, ended(with_layers("old", 1, 50), Outcome::Ready), 1);
    tell(&mut board, with_layers("small", 1, 1), 1);
    assert_eq!(tell(&mut board, with_layers("small", 2, 90), 2), [ChangeKind::Removed, ChangeKind::Progress]);
    assert_eq!(tell(&mut board, with_layers("small", 3, 101), 3), [], "beyond the bound nothing helps");
    assert_eq!((board.len(), board.counts().refused_capacity), (1, 1));
}

#[test]
fn when_all_memory_is_taken_room_is_made_where_most_is() {
    let mut board = Board::new(SMALL);
    let ids = honest(&mut board);
    for node in ["greedy-1", "greedy-2", "greedy-3", "greedy-4", "greedy-5"] {
        for number in 0..20 {
            tell(&mut board, ended(report_on(node, &number.to_string(), 1, 10), Outcome::Ready), 1);
        }
    }
    assert_eq!(board.len(), SMALL.pulls);
    assert!(ids.iter().all(|id| board.status(*id).is_some()), "who has little loses nothing");
}
