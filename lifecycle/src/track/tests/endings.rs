//! How pulls end when answers come late, in another order or not at all, and when several pulls could have done the same thing.

use super::*;
use crate::pull::{PullId, Wait};

pub(super) fn named(id: &str, created_at: Timestamp, resources: Vec<Resource>) -> Lease {
    Lease { id: id.into(), created_at, resources }
}

fn extraction() -> Resource {
    Resource::Extraction { snapshotter: "overlayfs".into(), key: key() }
}

pub(super) fn key() -> ExtractKey {
    ExtractKey::parse(&format!("extract-1-a {}", blob("d0"))).unwrap()
}

fn index() -> Vec<u8> {
    format!(r#"{{"manifests":[{{"digest":"{}"}}]}}"#, blob("manifest")).into_bytes()
}

pub(super) fn index_record(at: Timestamp) -> ImageRecord {
    ImageRecord { target: blob("index"), ..record(at) }
}

/// Answers what `answer` has an answer for, and keeps the other questions.
fn answer_some(play: &mut Play, answer: impl Fn(&Subject) -> Option<Answer>) {
    let mut kept = Vec::new();
    while let Some(question) = play.asked.pop() {
        let answered = match &question {
            Question::About(key, subject) => answer(subject).map(|answer| (key.clone(), subject.clone(), answer)),
            Question::Survey { .. } => None,
        };
        match answered {
            Some((key, subject, answer)) => play.see(Seen::Answer(key, subject, answer)),
            None => kept.push(question),
        }
    }
    play.asked = kept;
}

/// The usual answers, and an image record where there is one for that digest or name.
pub(super) fn with_record(usual: impl Fn(&Subject) -> Answer, record: ImageRecord) -> impl Fn(&Subject) -> Answer {
    move |subject| match subject {
        Subject::ImagesOf(digest) if *digest == record.target => Answer::Images(vec![record.clone()]),
        Subject::ImageNamed(_) => Answer::Images(vec![record.clone()]),
        Subject::Blob(digest) if *digest == blob("index") => Answer::Blob(Some(index())),
        Subject::Content(digest) if *digest == blob("index") => usual(&Subject::Content(blob("manifest"))),
        Subject::ImagesOf(_) | Subject::Blob(_) | Subject::Content(_) | Subject::Snapshot { .. } => usual(subject),
    }
}

pub(super) fn recorded(play: &mut Play, name: &str) {
    let at = play.now;
    play.see(Seen::Event(Event { namespace: NS.into(), at, what: Happening::ImageRecorded(name.into()) }));
}

fn is_ready(play: &Play) -> bool {
    play.outcome() == Some(&Outcome::Ready)
}

#[test]
fn an_index_that_is_read_after_its_manifest_still_leads_to_the_proof() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![lease(begin, [documents(), vec![Resource::Content(blob("index"))]].concat())], Vec::new());
    let answer = with_record(answers(begin), index_record(play.at(10)));
    let of_index = |subject: &Subject| matches!(subject, Subject::Content(d) | Subject::Blob(d) if *d == blob("index"));
    for _ in 0..4 {
        answer_some(&mut play, |subject| (!of_index(subject)).then(|| answer(subject)));
    }
    play.survey(Vec::new(), Vec::new());
    play.answer(&answer);
    play.wait(300);
    assert!(is_ready(&play), "{:?}", play.last());
    assert_eq!(play.last().digest, Some(blob("index")));
}

#[test]
fn what_could_not_be_answered_is_asked_again_with_the_next_survey() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.answer(|_| Answer::Unavailable);
    play.wait(1_000);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.answer(answers(begin));
    play.wait(1_000);
    assert_eq!(play.last().layers.len(), 2);
}

#[test]
fn what_was_on_its_way_when_the_connection_broke_is_asked_again() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.asked.clear();
    play.see(Seen::Disconnected);
    play.wait(1_000);
    play.see(Seen::Connected(runtime(1)));
    play.answer(answers(begin));
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.wait(1_000);
    assert_eq!(play.last().layers.len(), 2);
}

#[test]
fn a_pull_that_was_only_seen_resolving_and_found_everything_here_is_ready_by_its_record() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(900);
    play.survey(vec![lease(begin, Vec::new())], Vec::new());
    let id = play.last().id;
    play.wait(100);
    recorded(&mut play, "q.io/a:v1");
    let answer = with_record(answers(begin.before(Duration::from_secs(60))), record(play.now));
    play.wait(50);
    for _ in 0..8 {
        play.survey(Vec::new(), Vec::new());
        play.answer(&answer);
        play.wait(300);
    }
    assert!(is_ready(&play), "{:?}", play.last());
    assert_eq!((play.last().id, play.last().layers_cached()), (id, 2));
    assert!(play.told.iter().all(|pull| pull.id == id), "it is one pull, not two");
}

#[test]
fn a_lease_that_only_gave_an_image_a_second_name_is_no_pull() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(5);
    play.survey(vec![lease(begin, Vec::new())], Vec::new());
    play.wait(10);
    recorded(&mut play, "example.com/second:name");
    let second = ImageRecord { name: "example.com/second:name".parse().ok(), ..record(play.now) };
    let answer = with_record(answers(begin.before(Duration::from_secs(60))), second);
    for _ in 0..8 {
        play.wait(300);
        play.survey(Vec::new(), Vec::new());
        play.answer(&answer);
    }
    assert_eq!(play.told, []);
}

#[test]
fn a_pull_that_was_only_seen_resolving_and_left_no_record_has_failed() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(900);
    play.survey(vec![lease(begin, Vec::new())], Vec::new());
    play.survey(Vec::new(), Vec::new());
    play.wait(1_000);
    assert_eq!(play.outcome(), None, "a record may still be on its way");
    play.wait(1_500);
    assert_eq!(play.outcome().map(Outcome::as_str), Some("failed"));
}

#[test]
fn a_pull_of_which_only_the_manifest_was_seen_coming_is_ready_by_its_record() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    let reference = Reference { kind: "manifest".into(), digest: blob("manifest") };
    play.survey(vec![lease(begin, vec![Resource::Ingest(reference)])], Vec::new());
    let answer = with_record(answers(begin), record(play.at(300)));
    play.wait(500);
    play.survey(Vec::new(), Vec::new());
    play.answer(answer);
    play.wait(300);
    assert!(is_ready(&play), "{:?}", play.last());
}

#[test]
fn a_pull_that_was_recorded_just_before_containerd_died_is_ready_however_long_its_lease_stays() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    let left = || vec![lease(begin, documents())];
    play.survey(left(), Vec::new());
    play.answer(answers(begin));
    let answer = with_record(answers(begin), record(play.at(20)));
    play.wait(20);
    play.see(Seen::Disconnected);
    play.wait(4_000);
    play.see(Seen::Connected(runtime(2)));
    for _ in 0..4 {
        play.survey(left(), Vec::new());
        play.wait(500);
    }
    play.answer(answer);
    play.wait(300);
    assert!(is_ready(&play), "{:?}", play.last());
}

#[test]
fn a_layer_that_another_pull_completed_is_not_counted_for_the_one_that_failed() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![named("one", begin, vec![downloading("top")])], vec![ingest("top", 3 << 20, begin)]);
    let second = named("two", play.at(5), vec![downloading("top")]);
    play.survey(vec![second], vec![ingest("top", 3 << 20, begin)]);
    let committed = ContentFacts {
        created_at: play.at(10),
        labelled_at: play.at(10),
        size: 4 << 20,
        has_children: false,
        sources: Vec::new(),
    };
    play.answer(|subject| match subject {
        Subject::Content(_) => Answer::Content(Some(committed.clone())),
        Subject::Blob(_) | Subject::Snapshot { .. } | Subject::ImagesOf(_) | Subject::ImageNamed(_) => answers(begin)(subject),
    });
    play.wait(300);
    let failed = play.told.iter().rfind(|pull| pull.ending.is_some()).expect("the first one has ended");
    assert_eq!(failed.layers[0].fetched, 3 << 20);
}

#[test]
fn the_second_name_of_an_image_does_not_stand_for_the_first_one_whichever_is_looked_up_first() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.answer(answers(begin));
    let by_digest = format!("q.io/a@{}", blob("manifest"));
    recorded(&mut play, "q.io/a:v1");
    recorded(&mut play, &by_digest);
    let at = play.now;
    let name = |name: &str| ImageRecord { name: name.parse().ok(), ..record(at) };
    let second_name = |subject: &Subject| matches!(subject, Subject::ImageNamed(n) if *n == by_digest);
    answer_some(&mut play, |subject| second_name(subject).then(|| Answer::Images(vec![name(&by_digest)])));
    play.wait(20);
    let answer = with_record(answers(begin), name("q.io/a:v1"));
    for _ in 0..3 {
        play.survey(Vec::new(), Vec::new());
        answer_some(&mut play, |subject| (!matches!(subject, Subject::ImageNamed(_))).then(|| answer(subject)));
        play.wait(500);
    }
    for _ in 0..3 {
        play.answer(&answer);
        play.survey(Vec::new(), Vec::new());
        play.wait(500);
    }
    assert!(is_ready(&play), "{:?}", play.last());
    assert!(play.told.iter().all(|pull| pull.id == play.last().id), "it is one pull, not two");
}

#[test]
fn a_pull_that_gave_a_layer_up_is_not_proven_by_a_record_that_another_one_may_have_written() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    let one = |resources| named("one", begin, [documents(), resources].concat());
    let two = || named("two", begin, documents());
    play.survey(vec![one(vec![extraction()]), two()], Vec::new());
    play.answer(answers(begin));
    play.wait(20);
    let at = play.now;
    play.see(Seen::Event(Event { namespace: NS.into(), at, what: Happening::ExtractionRemoved(key()) }));
    let answer = with_record(answers(begin), record(play.now));
    play.survey(vec![two()], Vec::new());
    play.answer(&answer);
    play.wait(300);
    assert_eq!(play.outcome().map(Outcome::as_str), Some("failed"), "{:?}", play.last());
    play.survey(Vec::new(), Vec::new());
    play.answer(&answer);
    play.wait(300);
    assert!(is_ready(&play), "and the other one is ready: {:?}", play.last());
}

#[test]
fn a_record_from_before_the_lease_was_complete_is_another_pulls() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(900);
    play.survey(vec![lease(begin, Vec::new())], Vec::new());
    let written = play.at(1_000);
    play.wait(1_000);
    play.survey(vec![lease(begin, Vec::new())], Vec::new());
    play.wait(200);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.survey(Vec::new(), Vec::new());
    play.answer(with_record(answers(begin), record(written)));
    play.wait(300);
    assert_eq!(play.outcome().map(Outcome::as_str), Some("failed"), "{:?}", play.last());
}

#[test]
fn an_image_record_that_is_gone_when_it_is_looked_up_does_not_keep_the_agent_awake() {
    let mut play = Play::new();
    play.survey(Vec::new(), Vec::new());
    recorded(&mut play, "q.io/a:v1");
    play.answer(answers(play.now));
    play.wait(100);
    play.survey(Vec::new(), Vec::new());
    for _ in 0..20 {
        play.wait(100);
        assert!(play.tracker.next_deadline().is_some_and(|deadline| deadline > play.now));
    }
    assert_eq!(play.told, []);
}

#[test]
fn a_lease_whose_client_is_gone_ends_as_canceled_whatever_was_recorded_since() {
    let mut play = Play::new();
    let begin = play.now;
    let answer = with_record(answers(begin), record(play.at(20)));
    for _ in 0..700 {
        play.wait(1_000);
        play.survey(vec![lease(begin, documents())], Vec::new());
        play.answer(&answer);
    }
    assert_eq!(play.outcome(), Some(&Outcome::Canceled), "{:?}", play.last());
}

#[test]
fn a_record_from_about_the_time_at_which_the_lease_changed_is_another_pulls_if_there_is_one() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![named("one", begin, documents()), named("two", begin, Vec::new())], Vec::new());
    play.answer(answers(begin));
    let answer = with_record(answers(begin), record(play.at(15)));
    play.survey(vec![named("two", begin, Vec::new())], Vec::new());
    play.answer(&answer);
    play.wait(300);
    assert!(is_ready(&play), "the first one: {:?}", play.last());
    play.survey(vec![named("two", begin, Vec::new())], Vec::new());
    play.wait(20);
    play.survey(vec![named("two", begin, documents())], Vec::new());
    play.survey(Vec::new(), Vec::new());
    play.answer(&answer);
    play.wait(300);
    assert_eq!(play.outcome().map(Outcome::as_str), Some("failed"), "the second one: {:?}", play.last());
}

#[test]
fn the_same_image_pulled_again_a_moment_later_is_proven_by_its_own_record() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![named("one", begin, documents())], Vec::new());
    let first = with_record(answers(begin), record(play.at(15)));
    play.answer(&first);
    play.survey(Vec::new(), Vec::new());
    play.answer(&first);
    play.wait(230);
    assert!(is_ready(&play), "the first one: {:?}", play.last());
    let again = play.now;
    play.survey(vec![named("two", again, Vec::new())], Vec::new());
    // The record is written before a look after which the lease still changes.
    let second = with_record(answers(begin), record(again + Duration::from_millis(5)));
    play.wait(30);
    play.survey(vec![named("two", again, vec![Resource::Content(blob("manifest"))])], Vec::new());
    play.wait(30);
    play.survey(vec![named("two", again, documents())], Vec::new());
    play.survey(Vec::new(), Vec::new());
    play.answer(&second);
    play.wait(300);
    assert!(is_ready(&play), "the second one: {:?}", play.last());
}

#[test]
fn a_leftover_of_an_earlier_runtime_is_never_taken_for_the_writer_of_a_record() {
    let mut play = Play::new();
    let left = play.now;
    play.wait(5_000);
    play.see(Seen::Disconnected);
    play.see(Seen::Connected(Runtime { started_at: Some(play.now), ..runtime(2) }));
    play.survey(vec![named("left", left, vec![downloading("base")])], Vec::new());
    play.wait(5_000);
    // The next restart ends what there is of it; the record is of a pull that was over between two looks.
    play.see(Seen::Disconnected);
    play.see(Seen::Connected(Runtime { started_at: Some(play.now), ..runtime(3) }));
    play.see(Seen::Disconnected);
    recorded(&mut play, "docker.io/library/a:1");
    play.see(Seen::Connected(Runtime { started_at: Some(play.now), ..runtime(3) }));
    for _ in 0..8 {
        let now = play.now;
        play.survey(vec![named("left", left, vec![downloading("base")])], Vec::new());
        play.answer(with_record(answers(now), record(now)));
        play.wait(1_000);
    }
    assert!(is_ready(&play), "{:?}", play.told);
    let leftover = PullId::derive("uid", NS, "left", left);
    assert!(play.told.iter().all(|pull| pull.id != leftover), "{:?}", play.told);
}

/// A pull of which both layers came, and one of two was unpacked when it was seen last; the image was recorded before that.
fn recorded_before_it_was_unpacked(unpacked: &[&str]) -> Play {
    let mut play = Play::new();
    let begin = play.now;
    let blobs = || [documents(), vec![Resource::Content(blob("base")), Resource::Content(blob("top"))]].concat();
    let whole = |chains: &[&str]| -> Vec<Resource> {
        let chain = |name: &&str| Resource::Chain {
            snapshotter: "overlayfs".into(),
            chain: match *name {
                "d1" => Digest::of(format!("{} {}", blob("d0"), blob("d1")).as_bytes()),
                base => blob(base),
            },
        };
        blobs().into_iter().chain(chains.iter().map(chain)).collect()
    };
    let usual = with_record(answers(begin), record(play.at(100)));
    let answer = |subject: &Subject| match subject {
        Subject::Content(digest) if [blob("base"), blob("top")].contains(digest) => Answer::Content(Some(ContentFacts {
            created_at: begin + Duration::from_millis(20),
            labelled_at: begin + Duration::from_millis(21),
            size: 4 << 20,
            has_children: false,
            sources: Vec::new(),
        })),
        Subject::Content(_) | Subject::Blob(_) | Subject::Snapshot { .. } | Subject::ImagesOf(_) | Subject::ImageNamed(_) => {
            usual(subject)
        }
    };
    for held in [blobs(), whole(&["d0"]), whole(unpacked)] {
        play.wait(1_000);
        play.survey(vec![lease(begin, held)], Vec::new());
        play.answer(answer);
    }
    play.wait(1_000);
    play.survey(Vec::new(), Vec::new());
    play.answer(answer);
    play.wait(300);
    play
}

#[test]
fn a_client_that_records_the_image_before_it_unpacks_it_is_ready_when_all_is_unpacked() {
    assert!(is_ready(&recorded_before_it_was_unpacked(&["d0", "d1"])));
    let half = recorded_before_it_was_unpacked(&["d0"]);
    assert_eq!(half.outcome().map(Outcome::as_str), Some("failed"), "{:?}", half.last());
}

/// How a pull ends of which no byte came for so long, while another one moves.
fn ended_without_a_byte(seconds: u64) -> Outcome {
    let mut play = Play::new();
    let begin = play.now;
    let moving = |play: &Play| ingest("other", play.now.since(begin).as_secs() << 10, play.now);
    let leases = || vec![named("other", begin, vec![downloading("other")]), named("one", begin, vec![downloading("base")])];
    for _ in 0..seconds * 2 {
        play.wait(500);
        play.survey(leases(), vec![moving(&play), ingest("base", 0, begin)]);
    }
    let id = play.told.iter().find(|pull| pull.layers.iter().any(|layer| layer.digest == blob("base"))).unwrap().id;
    assert!(play.told.iter().any(|pull| pull.id == id && matches!(pull.wait, Some(Wait::DownloadSlot { .. }))));
    for _ in 0..8 {
        play.wait(500);
        play.survey(vec![named("other", begin, vec![downloading("other")])], vec![moving(&play)]);
        play.answer(answers(begin));
    }
    let ended = play.told.iter().rev().find(|pull| pull.id == id).and_then(|pull| pull.ending.clone());
    ended.expect("it is over").outcome
}

#[test]
fn a_refusal_that_takes_its_time_while_others_move_is_no_wait_for_a_slot() {
    assert!(matches!(ended_without_a_byte(3), Outcome::Failed(_)), "{:?}", ended_without_a_byte(3));
    assert_eq!(ended_without_a_byte(15), Outcome::Canceled);
}
