//! Pulls that are over in a moment: looked into in time, and told by what they left in that moment.

use super::*;

fn surveys(play: &Play) -> usize {
    play.asked.iter().filter(|q| matches!(q, Question::Survey { .. })).count()
}

/// Writes that mean nothing, every 30 ms, each followed by a look if one is asked for.
fn noise(play: &mut Play, times: usize) {
    for _ in 0..times {
        play.see(Seen::Stirred);
        play.wait(30);
        if surveys(play) > 0 {
            play.asked.clear();
            play.survey(Vec::new(), Vec::new());
        }
    }
    play.asked.clear();
}

fn sources(subject: &Subject, usual: impl Fn(&Subject) -> Answer) -> Answer {
    match usual(subject) {
        Answer::Content(Some(facts)) => {
            Answer::Content(Some(ContentFacts { sources: vec![ImageRef::repository_only("q.io", "a").unwrap()], ..facts }))
        }
        other @ (Answer::Content(None) | Answer::Blob(_) | Answer::Snapshot(_) | Answer::Images(_) | Answer::Unavailable) => {
            other
        }
    }
}

#[test]
fn a_snapshot_that_is_prepared_is_looked_into_at_once_however_much_stirred_in_vain_before() {
    let mut play = Play::new();
    noise(&mut play, 100);
    play.see(Seen::Stirred);
    assert_eq!(surveys(&play), 0, "looks that found nothing have become rare");
    let key = ExtractKey::parse(&format!("extract-1-abcd {}", blob("d0"))).expect("a key");
    play.see(Seen::Event(Event { namespace: NS.into(), at: play.now, what: Happening::ExtractionPrepared(key) }));
    assert_eq!(surveys(&play), 1);
}

#[test]
fn a_blob_that_nobody_planned_is_looked_into_at_once() {
    let mut play = Play::new();
    noise(&mut play, 100);
    play.see(Seen::Event(Event { namespace: NS.into(), at: play.now, what: Happening::ContentCreated(blob("index")) }));
    assert_eq!(surveys(&play), 1);
}

#[test]
fn a_pull_that_follows_another_is_looked_into_again_when_the_first_look_came_too_early() {
    let mut play = Play::new();
    noise(&mut play, 5);
    play.survey(Vec::new(), Vec::new());
    play.wait(250);
    play.survey(Vec::new(), Vec::new());
    play.asked.clear();
    play.wait(250);
    play.see(Seen::Stirred);
    assert_eq!(surveys(&play), 1, "the first write after a pause is looked into at once");
    play.asked.clear();
    play.wait(2);
    play.survey(Vec::new(), Vec::new());
    play.see(Seen::Stirred);
    play.wait(9);
    assert_eq!(surveys(&play), 1, "and so is the next: the first write of a transaction comes before what it writes is seen");
}

#[test]
fn while_nothing_is_known_of_a_young_pull_every_stir_is_looked_into() {
    let mut play = Play::new();
    let begin = play.now;
    for _ in 0..5 {
        play.asked.clear();
        play.survey(vec![lease(begin, Vec::new())], Vec::new());
        play.see(Seen::Stirred);
        play.wait(5);
        assert_eq!(surveys(&play), 1);
    }
}

#[test]
fn documents_whose_labels_were_not_written_yet_are_asked_again_for_the_name() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(5);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.answer(answers(begin));
    play.wait(5);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.answer(|subject| sources(subject, answers(begin)));
    play.survey(Vec::new(), Vec::new());
    play.answer(|subject| match subject {
        Subject::Content(_) => Answer::Content(None),
        Subject::Blob(_) | Subject::Snapshot { .. } | Subject::ImagesOf(_) | Subject::ImageNamed(_) => answers(begin)(subject),
    });
    play.wait(300);
    assert_eq!(play.last().image.as_ref().map(ToString::to_string).as_deref(), Some("q.io/a"));
}

/// A pull that was seen to open a download, and what the download shows after its lease is gone.
fn after_the_lease(offsets: &[u64]) -> Option<Outcome> {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    let held = [documents(), vec![downloading("base")]].concat();
    play.survey(vec![lease(begin, held)], vec![ingest("base", 0, begin)]);
    play.answer(answers(begin));
    for offset in offsets {
        play.wait(5);
        play.survey(Vec::new(), vec![ingest("base", *offset, begin)]);
        play.answer(answers(begin));
        play.wait(5);
    }
    play.survey(Vec::new(), Vec::new());
    play.answer(answers(begin));
    play.wait(300);
    play.outcome().cloned()
}

#[test]
fn what_a_download_writes_after_its_lease_is_gone_tells_a_cancellation_from_a_refusal() {
    assert_eq!(after_the_lease(&[0, 0, 5_000]), Some(Outcome::Canceled));
    let refused = after_the_lease(&[0, 0, 0]);
    assert!(matches!(&refused, Some(Outcome::Failed(f)) if f.class == ErrorClass::Other), "{refused:?}");
}

#[test]
fn the_downloads_of_a_pull_that_ends_without_a_byte_are_looked_at_again_without_waiting_for_a_stir() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    let held = [documents(), vec![downloading("base")]].concat();
    play.survey(vec![lease(begin, held)], vec![ingest("base", 0, begin)]);
    play.answer(answers(begin));
    play.survey(Vec::new(), vec![ingest("base", 0, begin)]);
    play.asked.clear();
    play.wait(5);
    assert_eq!(surveys(&play), 1);
    play.survey(Vec::new(), vec![ingest("base", 5_000, begin)]);
    play.asked.clear();
    play.wait(5);
    assert_eq!(surveys(&play), 0, "it has said what it can");
}

#[test]
fn a_pull_whose_image_is_removed_at_once_is_ready_by_the_event_of_its_record() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(5);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.answer(|subject| sources(subject, answers(begin)));
    play.wait(5);
    let what = Happening::ImageRecorded("q.io/a:v1".into());
    play.see(Seen::Event(Event { namespace: NS.into(), at: play.now, what }));
    play.wait(5);
    for _ in 0..6 {
        play.survey(Vec::new(), Vec::new());
        play.answer(answers(begin));
        play.wait(400);
    }
    assert_eq!(play.outcome(), Some(&Outcome::Ready), "{:?}", play.last());
    assert_eq!(play.last().image.as_ref().map(ToString::to_string).as_deref(), Some("q.io/a:v1"));
    assert!(play.told.iter().all(|pull| pull.id == play.last().id), "it is one pull, not two");
}

#[test]
fn of_pulls_that_showed_nothing_the_one_whose_lease_went_first_wrote_the_first_record() {
    let mut play = Play::new();
    let begin = play.now;
    let of = |id: &str, at| Lease { id: id.into(), ..lease(after(begin, at), Vec::new()) };
    let recorded = |play: &mut Play, name: &str| {
        play.see(Seen::Event(Event { namespace: NS.into(), at: play.now, what: Happening::ImageRecorded(name.into()) }));
    };
    let written = |name: &str| {
        let at = after(begin, if name.contains("quick") { 130 } else { 200 });
        ImageRecord { name: name.parse().ok(), created_at: begin.before(Duration::from_secs(2)), ..record(at) }
    };
    let answer = |subject: &Subject| match subject {
        Subject::ImageNamed(name) => Answer::Images(vec![written(name)]),
        Subject::ImagesOf(_) => Answer::Images(vec![written("q.io/a:quick"), written("q.io/a:slow")]),
        Subject::Content(_) => {
            let long_ago = begin.before(Duration::from_secs(3));
            Answer::Content(Some(ContentFacts {
                created_at: long_ago,
                labelled_at: begin,
                size: 300,
                has_children: true,
                sources: vec![ImageRef::repository_only("q.io", "a").unwrap()],
            }))
        }
        Subject::Blob(_) | Subject::Snapshot { .. } => answers(begin)(subject),
    };
    play.survey(vec![of("slow", 0)], Vec::new());
    play.wait(100);
    play.survey(vec![of("slow", 0), of("quick", 100)], Vec::new());
    play.wait(30);
    recorded(&mut play, "q.io/a:quick");
    play.wait(2);
    play.survey(vec![of("slow", 0)], Vec::new());
    play.wait(68);
    recorded(&mut play, "q.io/a:slow");
    play.wait(2);
    for _ in 0..12 {
        play.survey(Vec::new(), Vec::new());
        play.answer(answer);
        play.wait(400);
    }
    let started = |name: &str| {
        let is_it = |pull: &&Pull| pull.image.as_ref().is_some_and(|image| image.to_string().contains(name));
        play.told.iter().rfind(is_it).map(|pull| (pull.started_at, pull.ending.as_ref().map(|end| end.outcome.clone())))
    };
    assert_eq!(started("quick"), Some((after(begin, 100), Some(Outcome::Ready))), "{:?}", play.told);
    assert_eq!(started("slow"), Some((after(begin, 0), Some(Outcome::Ready))), "{:?}", play.told);
}

fn after(begin: Timestamp, millis: u64) -> Timestamp {
    begin + Duration::from_millis(millis)
}
