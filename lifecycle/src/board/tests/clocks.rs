//! Nodes whose clocks are wrong, jump, or leap back: what is told of their pulls is what it is with a right clock, and that they are wrong.

use super::*;

/// One pull of six reports, told two seconds apart, by a clock that is off by so many seconds at each of them.
fn told(off: [i64; 6]) -> (Vec<PullStatus>, Vec<Duration>) {
    let mut board = Board::default();
    let mut statuses = Vec::new();
    let clock = |seconds: u64, off: i64| at((10_000 + seconds).saturating_add_signed(off));
    let begun = clock(0, off[0]);
    for (sequence, off) in (1..).zip(off) {
        let mut report = report(sequence, sequence * 150);
        (report.pull.started_at, report.pull.resolved_at) = (begun, Some(begun + Duration::from_secs(1)));
        report.pull.observed_at = clock(sequence * 2, off);
        report.pull.layers[0].download = Interval { start: Some(begun), end: None, source: TimingSource::Event };
        if sequence == 6 {
            report.pull.layers[0].fetched = 1000;
            report.pull.layers[0].download.end = Some(report.pull.observed_at);
            report = ended(report, Outcome::Ready);
        }
        assert_eq!(tell(&mut board, report, 10_000 + sequence * 2).len(), 1, "nothing is refused");
        assert_eq!(pass(&mut board, 10_000 + sequence * 2 + 1), [], "nothing is lost");
        statuses.push(the_only(&board));
    }
    let id = board.ids().next().unwrap();
    let phases = phase_durations(&board.pull(id).unwrap()).map(|(_, time)| time).collect();
    (statuses, phases)
}

#[test]
fn a_clock_that_is_off_or_jumps_during_a_pull_changes_neither_its_eta_nor_its_end() {
    let (right, phases) = told([0; 6]);
    assert_eq!(phases, [Duration::from_secs(1), Duration::from_secs(11)]);
    let essence = |status: &PullStatus| {
        let etas = (status.eta_low_seconds, status.eta_seconds, status.eta_high_seconds);
        (etas, status.downloaded_bytes, status.percent, status.bytes_per_sec, status.outcome, status.stale)
    };
    for off in [[600; 6], [-600; 6], [0, 0, 600, 600, 600, 600], [0, 0, -600, -600, -600, -600], [0, 600, -600, 600, -600, 0]] {
        let (wrong, wrong_phases) = told(off);
        assert!(wrong.iter().map(essence).eq(right.iter().map(essence)), "{off:?}");
        if off[0] == off[5] {
            assert_eq!(wrong_phases, phases, "{off:?}");
            assert!(wrong.iter().zip(&right).filter(|_| off[1] == off[0]).all(|(wrong, right)| wrong.summary == right.summary));
        }
        let sentences = wrong.iter().map(|status| &status.summary);
        assert!(sentences.clone().all(|sentence| !sentence.contains('-')), "{:?}", sentences.collect::<Vec<_>>());
    }
}

fn beat(observed_at: u64, active_pulls: u64) -> NodeReport {
    NodeReport { observed_at: at(observed_at), ..heartbeat(active_pulls) }
}

fn offset(board: &Board) -> Option<f64> {
    board.nodes()[0].clock_offset_seconds
}

#[test]
fn a_clock_that_is_off_is_told_once_three_heartbeats_say_so() {
    for (off, expected) in
        [(600, Some(600.0)), (-600, Some(-600.0)), (3, Some(3.0)), (-3, Some(-3.0)), (1, None), (-1, None), (0, None)]
    {
        let mut board = Board::default();
        for n in 0..3 {
            let now = 10_000 + n * 30;
            assert_eq!(offset_after(&mut board, now, now.saturating_add_signed(off)), expected.filter(|_| n == 2), "{off} {n}");
        }
    }
}

/// What is told after a heartbeat that left and came at these times.
fn offset_after(board: &mut Board, came: u64, left: u64) -> Option<f64> {
    tell_node(board, beat(left, 0), came);
    offset(board)
}

#[test]
fn delay_is_not_taken_for_a_slow_clock() {
    let mut board = Board::default();
    assert_eq!(offset_after(&mut board, 1_000, 970), None, "one that waited for the collector");
    for (came, delay) in [(1_030, 9), (1_060, 0), (1_090, 25), (1_120, 4), (1_150, 12), (1_180, 1)] {
        assert_eq!(offset_after(&mut board, came, came - delay), None, "{came}");
    }
}

#[test]
fn a_clock_that_is_set_right_is_no_longer_told() {
    let mut board = Board::default();
    let mut told =
        |range: std::ops::Range<u64>, off: u64| range.map(|n| offset_after(&mut board, n * 30, n * 30 + off)).last().unwrap();
    assert_eq!(told(100..104, 600), Some(600.0));
    assert_eq!(told(104..108, 0), None);
}

#[test]
fn a_clock_that_leaps_back_does_not_make_an_agent_unheard() {
    let mut board = Board::default();
    tell_node(&mut board, beat(10_000, 1), 10_000);
    tell_node(&mut board, beat(9_999, 2), 10_001);
    assert_eq!(board.nodes()[0].active_pulls, Some(1), "a late one changes nothing");
    tell_node(&mut board, beat(9_430, 3), 10_030);
    assert_eq!(board.nodes()[0].active_pulls, Some(3));
    assert_eq!(pass(&mut board, 10_060), []);
    assert!(board.nodes()[0].connected);
}
