//! The row of outcomes and its lanes, sentence by sentence, without a socket; with sockets it is played in `export::tests`.

use lifecycle::{
    image::Digest,
    pull::{Ending, Host, Interval, Layer, LayerState, Node, Outcome as End, Phase, TimingSource},
    time::Timestamp,
};

use super::*;

pub(crate) fn node() -> Node {
    Node {
        name: "n1".parse().expect("a name"),
        uid: "uid".into(),
        cluster: String::new(),
        runtime_name: "containerd".into(),
        runtime_version: String::new(),
    }
}

pub(crate) fn pull(n: u64, sequence: u64, end: Option<End>) -> Pull {
    let at = Timestamp::from_millis(n);
    Pull {
        id: PullId::derive("n", "k8s.io", "l", at),
        sequence,
        namespace: "k8s.io".into(),
        image: None,
        digest: None,
        snapshotter: String::new(),
        phase: Phase::Resolving,
        wait: None,
        waits: Vec::new(),
        ending: end.map(|outcome| Ending { outcome, at, source: TimingSource::Poll }),
        started_at: at,
        resolved_at: None,
        observed_at: at,
        total_known: false,
        bytes_per_sec: None,
        eta: None,
        host: Host::default(),
        layers: Vec::new(),
    }
}

fn ended(n: u64) -> Pull {
    pull(n, 1, Some(End::Ready))
}

fn heartbeat() -> NodeReport {
    NodeReport {
        node: node(),
        observed_at: Timestamp::EPOCH,
        agent_version: String::new(),
        runtime_reachable: true,
        active_pulls: 0,
        queued_images: Vec::new(),
        dropped_progress: 0,
        dropped_outcomes: 0,
    }
}

fn logs() -> Waiting {
    Waiting::new(vec![Signal::Logs])
}

fn take(waiting: &mut Waiting, lane: usize) -> Batch {
    waiting.take(lane).expect("a batch")
}

fn sequences(batch: &Batch) -> Vec<(Event, u64)> {
    batch.items.iter().map(|item| (item.event, item.pull.sequence)).collect()
}

fn all(batch: &Batch) -> Settled {
    Settled { node: true, items: batch.items.len(), ..Settled::default() }
}

/// Takes and settles everything; how many items each batch had.
fn drain(waiting: &mut Waiting, lane: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    while let Some(batch) = waiting.take(lane) {
        sizes.push(batch.items.len());
        let settled = all(&batch);
        waiting.settle(lane, batch, &settled);
    }
    sizes
}

#[test]
fn progress_collapses_to_the_newest_and_stays_a_start_until_it_was_delivered() {
    let mut waiting = logs();
    waiting.pull(true, pull(1, 1, None));
    waiting.pull(false, pull(1, 2, None));
    let batch = take(&mut waiting, 0);
    assert_eq!(sequences(&batch), [(Event::Started, 2)]);
    waiting.settle(0, batch, &Settled { items: 1, ..Settled::default() });
    waiting.pull(false, pull(1, 3, None));
    assert_eq!(sequences(&take(&mut waiting, 0)), [(Event::Progress, 3)]);
}

#[test]
fn what_comes_back_does_not_replace_what_is_newer() {
    let mut waiting = logs();
    waiting.pull(true, pull(1, 1, None));
    let failed = take(&mut waiting, 0);
    waiting.pull(false, pull(1, 2, None));
    waiting.settle(0, failed, &Settled::default());
    assert_eq!(sequences(&take(&mut waiting, 0)), [(Event::Started, 2)]);
}

#[test]
fn progress_of_a_pull_that_has_ended_is_not_sent_after_its_outcome() {
    let mut waiting = logs();
    waiting.pull(true, pull(1, 1, None));
    let failed = take(&mut waiting, 0);
    waiting.pull(false, pull(1, 2, Some(End::Ready)));
    waiting.settle(0, failed, &Settled::default());
    assert_eq!(sequences(&take(&mut waiting, 0)), [(Event::Finished, 2)]);
}

#[test]
fn an_outcome_stays_until_every_lane_has_had_it_and_none_waits_for_another() {
    let mut waiting = Waiting::new(vec![Signal::Logs, Signal::Traces]);
    waiting.pull(true, pull(9, 1, None));
    (1..=3).for_each(|n| waiting.pull(false, ended(n)));
    assert_eq!(drain(&mut waiting, 0), [4], "the dead lane holds up nothing");
    assert_eq!((waiting.outcomes.len(), waiting.is_empty()), (3, false));
    let batch = take(&mut waiting, 1);
    assert_eq!(batch.items.len(), 3, "and gets outcomes only");
    waiting.settle(1, batch, &Settled { items: 2, ..Settled::default() });
    assert_eq!(waiting.outcomes.len(), 1);
    assert_eq!(drain(&mut waiting, 1), [1]);
    assert!(waiting.is_empty());
    assert_eq!((waiting.bytes, waiting.outcomes.capacity()), (0, 0), "memory is given back");
}

#[test]
fn a_part_that_was_delivered_is_not_sent_again() {
    let mut waiting = logs();
    waiting.node(&heartbeat());
    (1..=3).for_each(|n| waiting.pull(false, ended(n)));
    waiting.pull(true, pull(9, 1, None));
    let batch = take(&mut waiting, 0);
    assert_eq!((batch.node.is_some(), batch.items.len()), (true, 4));
    waiting.settle(0, batch, &Settled { node: true, items: 1, ..Settled::default() });
    let batch = take(&mut waiting, 0);
    let started: Vec<_> = batch.items.iter().map(|item| item.pull.started_at).collect();
    assert_eq!((batch.node.is_some(), started), (false, [2, 3, 9].map(Timestamp::from_millis).to_vec()));
}

#[test]
fn beyond_the_bound_the_oldest_outcome_is_dropped_counted_and_told() {
    let mut waiting = Waiting::new(vec![Signal::Logs, Signal::Logs]);
    let cost = OUTCOME + wire::shrink(&ended(1_000)).len();
    let more = (MAX_OUTCOMES / cost + 100) as u64;
    (0..50).for_each(|n| waiting.pull(false, ended(1_000 + n)));
    drain(&mut waiting, 0);
    (50..more).for_each(|n| waiting.pull(false, ended(1_000 + n)));
    assert!(waiting.bytes <= MAX_OUTCOMES);
    let kept = waiting.outcomes.len() as u64;
    waiting.node(&heartbeat());
    let dropped: Vec<_> = (0..2).map(|lane| take(&mut waiting, lane).node.map(|node| node.dropped_outcomes)).collect();
    assert_eq!(dropped, [Some(more - kept - 50), Some(more - kept)], "the first had 50 of those that were dropped");
    assert_eq!(waiting.outcomes.back().map(|outcome| outcome.id), Some(ended(1_000 + more - 1).id));
}

#[test]
fn beyond_the_bound_progress_is_dropped_and_outcomes_are_not() {
    let mut waiting = logs();
    let most = (MAX_PROGRESS / weight(&pull(1, 1, None))) as u64;
    (0..most + 10).for_each(|n| waiting.pull(true, pull(n + 1, 1, None)));
    waiting.pull(false, ended(1));
    waiting.node(&heartbeat());
    let batch = take(&mut waiting, 0);
    assert_eq!(batch.node.as_ref().map(|node| (node.dropped_progress, node.dropped_outcomes)), Some((10, 0)));
    assert_eq!(batch.items[0].event, Event::Finished);
}

#[test]
fn requests_are_bounded_and_outcomes_go_first() {
    let mut waiting = logs();
    (1..=200).for_each(|n| waiting.pull(true, pull(n, 1, None)));
    (201..=400).for_each(|n| waiting.pull(false, ended(n)));
    let batch = take(&mut waiting, 0);
    let outcomes = batch.items.iter().take_while(|item| item.event == Event::Finished).count();
    assert!((40..200).contains(&outcomes) && batch.items.len() - outcomes == MAX_BATCH_PROGRESS / PULL, "{outcomes}");
    let settled = all(&batch);
    waiting.settle(0, batch, &settled);
    assert_eq!(drain(&mut waiting, 0).iter().sum::<usize>() + settled.items, 400);
}

#[test]
fn nothing_is_kept_for_nobody() {
    let mut waiting = Waiting::new(Vec::new());
    waiting.pull(true, pull(1, 1, None));
    waiting.pull(false, ended(2));
    waiting.node(&heartbeat());
    assert!(waiting.is_empty());
}

#[test]
fn a_thousand_outcomes_of_ten_layers_wait_in_less_than_a_megabyte() {
    let mut waiting = Waiting::new(vec![Signal::Logs, Signal::Traces]);
    (0..1_000).for_each(|n| waiting.pull(false, of_ten_layers(n)));
    let held: usize = waiting.outcomes.iter().map(|outcome| outcome.small.len() + 16).sum();
    let rows = waiting.outcomes.capacity() * size_of::<Outcome>();
    assert!((600_000..1_000_000).contains(&(held + rows)), "{held} and {rows} bytes");
    let mut heard = Vec::new();
    while let Some(batch) = waiting.take(0) {
        heard.extend(batch.items.iter().map(|item| Pull::clone(&item.pull)));
        let settled = all(&batch);
        waiting.settle(0, batch, &settled);
    }
    assert_eq!(heard, (0..1_000).map(of_ten_layers).collect::<Vec<_>>());
}

/// All of a pull's digests, and its times to the nanosecond, are like no other's.
fn of_ten_layers(n: u64) -> Pull {
    let at = |from: u64, layer: u64| {
        let jitter = (n * 10 + layer + from).wrapping_mul(0x9e37_79b9_7f4a_7c15) % 5_000_000_000;
        Some(Timestamp::from_nanos(1_736_937_000_000_000_000 + n * 600_000_000 + from * 1_000_000_000 + jitter))
    };
    let layer = |layer: u64| Layer {
        digest: Digest::of(&(n * 10 + layer).to_be_bytes()),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
        size: (n + layer) * 104_729 % 80_000_000,
        fetched: (n + layer) * 104_729 % 80_000_000,
        cached: false,
        lazy: false,
        state: LayerState::Ready,
        download: Interval { start: at(0, layer), end: at(5, layer), source: TimingSource::Poll },
        unpack: Interval { start: at(10, layer), end: at(15, layer), source: TimingSource::Event },
    };
    let image = format!("registry.example.com/team-{}/service-{}:v1.{n}", n % 10, n % 50);
    Pull {
        image: Some(image.parse().expect("an image")),
        digest: Some(Digest::of(&n.to_be_bytes())),
        snapshotter: "overlayfs".into(),
        phase: Phase::Unpacking,
        resolved_at: at(0, 11),
        total_known: true,
        layers: (0..10).map(layer).collect(),
        ..pull(1_736_937_000_000 + n, n, Some(End::Ready))
    }
}
