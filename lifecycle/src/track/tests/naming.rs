//! Whose image a pull is of, what waits in the kubelet, and what is no pull.

use super::*;

fn intent(image: &str, since: Timestamp) -> Intent {
    Intent { image: image.parse().unwrap(), since }
}

fn name(play: &Play) -> Option<String> {
    play.last().image.as_ref().map(ToString::to_string)
}

/// One pull that is known by its repository, `q.io/a`, while these intents are there.
fn named_by(intents: &[&str], begun: u64) -> Option<String> {
    let mut play = Play::new();
    let at = play.at(200);
    play.see(Seen::Intents(intents.iter().map(|image| intent(image, at)).collect()));
    play.wait(begun);
    let begin = play.now;
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.answer(answers(begin));
    play.wait(1_000);
    name(&play)
}

#[test]
fn an_intent_names_the_pull_that_follows_it() {
    assert_eq!(named_by(&["q.io/a:v1", "q.io/b:v1"], 210).as_deref(), Some("q.io/a:v1"));
    assert_eq!(named_by(&["q.io:5000/a:v1"], 210).as_deref(), Some("q.io:5000/a:v1"), "labels drop the port");
}

#[test]
fn an_intent_does_not_name_what_may_be_another_pull() {
    let vague = Some("q.io/a");
    assert_eq!(named_by(&["q.io/a:v1", "q.io/a:v2"], 210).as_deref(), vague, "either may be first");
    assert_eq!(named_by(&["q.io/a:v1"], 0).as_deref(), vague, "the pull was there before the intent");
    let other = format!("q.io/a@{}", blob("other"));
    assert_eq!(named_by(&[&other], 210).as_deref(), vague, "another image is pinned");
}

#[test]
fn what_no_pull_can_be_of_waits_in_the_kubelet() {
    let mut play = Play::new();
    let begin = play.now;
    let queued = |play: &mut Play, wait| {
        play.now = play.now + Duration::from_millis(wait);
        play.tracker.tick(play.now);
        let told = std::iter::from_fn(|| play.tracker.poll()).filter_map(|output| match output {
            Output::Node(report) => Some(report.queued_images),
            Output::Ask(_) | Output::Pull { .. } => None,
        });
        told.last()
    };
    play.tracker.observe(Seen::Intents(vec![intent("q.io/a:v1", begin), intent("q.io/b:v1", begin)]), begin);
    assert_eq!(queued(&mut play, 1_000), None, "the kubelet writes them for a moment while it backs off, too");
    let both = ["q.io/a:v1", "q.io/b:v1"].map(|image| image.parse().unwrap()).to_vec();
    assert_eq!(queued(&mut play, 1_500), Some(both));
    let begun = play.now;
    play.survey(vec![lease(begun, documents())], Vec::new());
    play.answer(answers(begun));
    assert_eq!(play.tracker.intents.queued(&play.tracker.watched, play.now), ["q.io/b:v1".parse().unwrap()]);
}

#[test]
fn documents_that_come_from_no_registry_are_no_pull() {
    let mut play = Play::new();
    let begin = play.now;
    let usual = answers(begin);
    let imported = move |subject: &Subject| match (subject, usual(subject)) {
        (_, Answer::Content(Some(facts))) => Answer::Content(Some(ContentFacts { sources: Vec::new(), ..facts })),
        (Subject::ImagesOf(_) | Subject::ImageNamed(_), _) => Answer::Images(vec![record(begin + Duration::from_millis(900))]),
        (_, answer) => answer,
    };
    for leases in [vec![lease(begin, documents())], vec![lease(begin, documents())], Vec::new(), Vec::new()] {
        play.wait(400);
        play.survey(leases, Vec::new());
        play.answer(&imported);
    }
    play.wait(10_000);
    assert_eq!(play.told, []);
}

#[test]
fn a_pull_that_gave_up_is_canceled_though_its_lease_stays() {
    let mut play = Play::new();
    let begin = play.now;
    let key = ExtractKey::parse(&format!("extract-1-a {}", blob("d0"))).unwrap();
    let extraction = Resource::Extraction { snapshotter: "overlayfs".into(), key };
    let fetching = [documents(), vec![downloading("base")]].concat();
    let last = play.at(1_000);
    for (resources, bytes) in [([fetching.clone(), vec![extraction]].concat(), 1 << 20), (fetching.clone(), 2 << 20)] {
        play.wait(500);
        play.survey(vec![lease(begin, resources)], vec![ingest("base", bytes, play.now)]);
        play.answer(answers(begin));
    }
    for _ in 0..8 {
        play.wait(500);
        play.survey(vec![lease(begin, fetching.clone())], vec![ingest("base", 2 << 20, last)]);
        play.answer(answers(begin));
    }
    assert_eq!(play.outcome(), Some(&Outcome::Canceled));
    assert_eq!(play.last().fetched_bytes(), 2 << 20);
}
