//! The board beside something that is too simple to be wrong: whatever is told in whatever order, twice or late, both come to the same.

use std::collections::BTreeMap;

use super::*;

/// What is known of one pull by its reports alone: the highest sequence before or at the first end that was heard.
#[derive(Default)]
struct Known {
    sequence: u64,
    fetched: u64,
    outcome: Option<&'static str>,
}

#[derive(Default)]
struct Oracle {
    pulls: BTreeMap<PullId, Known>,
    told: u64,
}

impl Oracle {
    fn tell(&mut self, report: &Report) {
        self.told += 1;
        let known = self.pulls.entry(report.pull.id).or_default();
        if report.pull.sequence > known.sequence && known.outcome.is_none() {
            known.sequence = report.pull.sequence;
            known.fetched = known.fetched.max(report.pull.fetched_bytes());
            known.outcome = report.pull.ending.as_ref().map(|ending| ending.outcome.as_str());
        }
    }
}

/// One report of a small cluster: node, lease, sequence; the last sequence is an end.
fn told() -> impl Strategy<Value = Report> {
    (0_u64..4, 0_u64..3, 1_u64..9).prop_map(|(node, lease, sequence)| {
        let report = report_on(&format!("node-{node}"), &lease.to_string(), sequence, sequence * 100);
        match (sequence, lease) {
            (8, 0) => ended(report, Outcome::Canceled),
            (8, _) => ended(report, Outcome::Ready),
            _ => report,
        }
    })
}

proptest! {
    #[test]
    fn whatever_is_told_in_any_order_the_board_is_what_the_oracle_says(
        reports in proptest::collection::vec((told(), 0_u64..20), 0..200),
    ) {
        let mut board = Board::new(Limits { history: 1000 * MINUTE, ..Limits::default() });
        let (mut oracle, mut now) = (Oracle::default(), 0);
        let mut ends = BTreeMap::new();
        for (report, wait) in reports {
            now += wait;
            oracle.tell(&report);
            let id = report.pull.id;
            tell(&mut board, report, now);
            let status = board.status(id).unwrap();
            prop_assert!(status.downloaded_bytes <= status.total_bytes.unwrap(), "more fetched than there is");
            if let Some(outcome) = status.outcome {
                prop_assert_eq!(*ends.entry(id).or_insert(outcome), outcome, "an end was taken back");
            }
        }
        prop_assert_eq!(board.len(), oracle.pulls.len(), "one pull for each id");
        for (id, known) in &oracle.pulls {
            let status = board.status(*id).unwrap();
            prop_assert_eq!((status.downloaded_bytes, status.outcome), (known.fetched, known.outcome));
        }
        let counts = board.counts();
        let said = counts.accepted + counts.refused_stale + counts.refused_final + counts.refused_capacity;
        prop_assert_eq!(said, oracle.told, "every report is accounted for");
        let running = oracle.pulls.values().filter(|known| known.outcome.is_none()).count();
        prop_assert_eq!(board.tally().running, running);
    }
}
