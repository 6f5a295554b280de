//! Estimates of a pull that waits for another: it is ready when what it waits for is over and its own rest is done.

use super::*;
use crate::pull::{Eta, Wait};

/// The begin of two pulls of one image: the first fetches its base, the second waits for it.
#[test]
fn a_pull_that_waits_for_anothers_layer_is_told_to_be_ready_no_sooner_than_that_layer() {
    let mut play = Play::new();
    let begin = play.begin;
    let extraction = |number: u8| {
        let key = ExtractKey::parse(&format!("extract-{number}-abcd {}", blob("d0"))).expect("a key");
        Resource::Extraction { snapshotter: "overlayfs".into(), key }
    };
    for look in 1..=8_u64 {
        play.now = play.at(500 * look);
        let first = [documents(), vec![downloading("base"), extraction(1)]].concat();
        let mut leases = vec![lease(begin, first)];
        if look >= 3 {
            let created_at = play.at(1_200);
            leases.push(Lease { id: "other".into(), created_at, resources: documents() });
        }
        play.survey(leases, vec![ingest("base", look * 400_000, begin)]);
        play.answer(answers(begin));
        play.wait(1);
    }
    let of = |lease: &Timestamp| play.told.iter().rfind(|p| p.started_at == *lease).expect("both were told");
    let (holder, waiter) = (of(&begin), of(&play.at(1_200)));
    assert!(matches!(waiter.wait, Some(Wait::LayerLock { .. })), "{:?}", waiter.wait);
    let low = |pull: &Pull| pull.eta.and_then(Eta::low);
    assert!(low(holder).is_some(), "{holder:?}");
    assert!(waiter.eta.is_none() || low(waiter) > Some(Duration::ZERO), "{:?}", waiter.eta);
}
