//! A node that tells too much, from outside: it hears what was not taken, others notice nothing, and metrics get no series from it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use house::{House, eventually, node, post, pull};
use lifecycle::{
    board::MAX_PULLS_PER_NODE,
    pull::Pull,
    wire::{self, Event::Started, Signal},
};

fn told(name: &str, pulls: &[Pull]) -> Vec<u8> {
    wire::encode::pulls(&node(name), "0.1.0", pulls.iter().map(|pull| (Started, pull)))
}

/// Sends pulls that run, and returns how many of them the answer says were not taken, and why.
fn refused(house: &House, name: &str, pulls: &[Pull]) -> (u64, String) {
    let answer = post(house.web, "/v1/logs", &[("content-type", "application/x-protobuf")], &told(name, pulls));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let partial = wire::parse_response(&answer.body).unwrap();
    (partial.rejected, partial.message)
}

#[test]
fn a_node_that_floods_hears_what_is_not_taken_and_harms_nobody() {
    let house = House::start(&[]);
    house.accept(Signal::Logs, told("honest", &[pull("honest", 1, 10)]));
    let flood: Vec<_> = (0..MAX_PULLS_PER_NODE + 1000).map(|n| pull(&format!("r{n}.example/image-{n}"), 1, 10)).collect();
    flood.chunks(500).for_each(|some| drop(refused(&house, "greedy", some)));
    let (rest, why) = eventually("the node hears of it", || {
        Some(refused(&house, "greedy", &flood[MAX_PULLS_PER_NODE..])).filter(|(rejected, _)| *rejected > 0)
    });
    assert_eq!((rest, why.contains("one node may")), (1000, true), "{why}");
    assert_eq!(refused(&house, "honest", &[pull("another", 1, 10)]), (0, String::new()));
    eventually("honest pulls are there", || {
        (house.metric("pulltrace_board_pulls") == MAX_PULLS_PER_NODE as f64 + 2.0).then_some(())
    });
    assert!(house.metric("pulltrace_receiver_rejected_total{reason=\"crowded\"}") >= 1000.0);
    assert!(house.metric("pulltrace_board_refused_total{reason=\"capacity\"}") > 0.0);
    let scrape = house.scrape();
    let series = scrape.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series < 200 && !scrape.contains("r7.example"), "{series} series");
    assert_eq!(refused(&house, "greedy", &[pull("r5.example/image-5", 2, 20)]), (0, String::new()), "known pulls go on");
}
