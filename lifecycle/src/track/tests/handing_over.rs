//! Downloads that one pull leaves and the next goes on with: whose they are, and whose success it is.

use super::{
    endings::{key, named, recorded, with_record},
    *,
};

#[test]
fn a_download_that_a_canceled_pull_began_is_the_next_ones_though_its_lease_was_listed_before_its_bytes() {
    let mut play = Play::new();
    let begin = play.now;
    let held = || [documents(), vec![downloading("base")]].concat();
    play.wait(10);
    play.survey(vec![named("first", begin, held())], vec![ingest("base", 1 << 20, begin)]);
    play.answer(answers(begin));
    play.survey(Vec::new(), Vec::new());
    play.answer(answers(begin));
    play.wait(1_000);
    play.answer(answers(begin));
    assert!(play.outcome().is_some_and(|outcome| *outcome != Outcome::Ready), "{:?}", play.last());
    // Ingests are read before the leases: the new lease lists what was not there a moment ago.
    let again = play.now;
    play.wait(10);
    play.survey(vec![named("second", again, held())], Vec::new());
    for step in 1..=3 {
        play.answer(answers(begin));
        play.wait(2_000);
        play.survey(vec![named("second", again, held())], vec![ingest("base", step << 20, again)]);
    }
    play.wait(2_000);
    assert_eq!((play.last().ending.as_ref(), play.last().fetched_bytes()), (None, 3 << 20), "{:?}", play.last());
}

/// As the usual answers, with the layer `top` here since long, and the layer `base` since then.
fn with_layers(begin: Timestamp, base: Option<Timestamp>) -> impl Fn(&Subject) -> Answer {
    let top = Some(begin.before(Duration::from_secs(5)));
    move |subject| {
        let created_at = [("top", top), ("base", base)].into_iter().find(|(name, _)| *subject == Subject::Content(blob(name)));
        let facts =
            |at| ContentFacts { created_at: at, labelled_at: at, size: 4 << 20, has_children: false, sources: Vec::new() };
        match created_at.and_then(|(_, at)| at) {
            Some(at) => Answer::Content(Some(facts(at))),
            None => answers(begin)(subject),
        }
    }
}

#[test]
fn a_killed_client_that_keeps_its_lease_is_not_ready_by_what_another_made_of_its_download() {
    let mut play = Play::new();
    let begin = play.now;
    let with = |id: &str, at, more: Vec<Resource>| named(id, at, [documents(), more].concat());
    let first = || with("first", begin, vec![downloading("base")]);
    for _ in 0..12 {
        play.wait(1_000);
        play.survey(vec![first()], vec![ingest("base", 2 << 20, begin)]);
        play.answer(with_layers(begin, None));
    }
    let again = play.now;
    for (wait, more) in [(3, vec![]), (40, vec![downloading("base")]), (1_000, vec![downloading("base")])] {
        play.wait(wait);
        play.survey(vec![first(), with("second", again, more)], vec![ingest("base", 3 << 20, begin)]);
        play.answer(with_layers(begin, None));
    }
    play.wait(120);
    let done = play.now;
    recorded(&mut play, "q.io/a:v1");
    play.see(Seen::Event(Event { namespace: NS.into(), at: done, what: Happening::ExtractionPrepared(key()) }));
    let after = with_record(with_layers(begin, Some(done)), record(done));
    for leases in [vec![first(), with("second", again, vec![Resource::Content(blob("base"))])], vec![first()], vec![], vec![]] {
        play.survey(leases, vec![]);
        play.answer(&after);
        play.wait(300);
    }
    let ends: Vec<_> = play.told.iter().filter_map(|p| p.ending.as_ref().map(|e| (p.started_at, e.outcome.as_str()))).collect();
    assert_eq!(ends, [(again, "ready"), (begin, "canceled")]);
}
