//! Plays of one act for the tracker: what is shown, asked and told, step by step. Random histories are in `tests/house.rs`.

mod endings;
mod expecting;
mod handing_over;
mod naming;
mod platforms;
mod short;

use std::time::Duration;

use super::*;
use crate::{
    image::{Digest, ImageRef},
    pull::{ErrorClass, Outcome, Phase},
};

const NS: &str = "k8s.io";

struct Play {
    tracker: Tracker,
    now: Timestamp,
    begin: Timestamp,
    asked: Vec<Question>,
    told: Vec<Pull>,
}

impl Play {
    fn new() -> Self {
        let begin = Timestamp::from_millis(1_000_000);
        let node = Node {
            name: "n1".parse().unwrap(),
            uid: "uid".into(),
            cluster: String::new(),
            runtime_name: "containerd".into(),
            runtime_version: String::new(),
        };
        let pace = Pace { idle: Duration::from_secs(5), active: Duration::from_millis(500) };
        let mut play = Self { tracker: Tracker::new(node, "0", pace), now: begin, begin, asked: Vec::new(), told: Vec::new() };
        play.see(Seen::Connected(runtime(1)));
        play
    }

    fn at(&self, millis: u64) -> Timestamp {
        self.begin + Duration::from_millis(millis)
    }

    fn see(&mut self, seen: Seen) {
        self.tracker.observe(seen, self.now);
        self.listen();
    }

    fn wait(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.tracker.tick(self.now);
        self.listen();
    }

    fn listen(&mut self) {
        while let Some(output) = self.tracker.poll() {
            match output {
                Output::Ask(question) => self.asked.push(question),
                Output::Pull { pull, .. } => self.told.push(*pull),
                Output::Node(_) => {}
            }
        }
    }

    fn survey(&mut self, leases: Vec<Lease>, ingests: Vec<Ingest>) {
        let namespaces = [(NS.to_owned(), Inventory { leases, ingests })].into();
        self.see(Seen::Survey(Survey { taken_at: self.now, namespaces }));
    }

    /// Answers everything that was asked, as `answer` says.
    fn answer(&mut self, answer: impl Fn(&Subject) -> Answer) {
        while let Some(question) = self.asked.pop() {
            if let Question::About(key, subject) = question {
                let answer = answer(&subject);
                self.see(Seen::Answer(key, subject, answer));
            }
        }
    }

    fn last(&self) -> &Pull {
        self.told.last().expect("something was told")
    }

    fn outcome(&self) -> Option<&Outcome> {
        self.last().ending.as_ref().map(|e| &e.outcome)
    }
}

fn runtime(pid: u64) -> Runtime {
    Runtime { version: "2.1".into(), uuid: String::new(), pid, started_at: None }
}

fn blob(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn manifest() -> Vec<u8> {
    let layer = |name: &str| format!(r#"{{"mediaType":"l","digest":"{}","size":4194304}}"#, blob(name));
    format!(r#"{{"config":{{"digest":"{}"}},"layers":[{},{}]}}"#, blob("config"), layer("base"), layer("top")).into_bytes()
}

fn config() -> Vec<u8> {
    format!(r#"{{"rootfs":{{"diff_ids":["{}","{}"]}}}}"#, blob("d0"), blob("d1")).into_bytes()
}

fn lease(created_at: Timestamp, resources: Vec<Resource>) -> Lease {
    Lease { id: "lease".into(), created_at, resources }
}

fn downloading(layer: &str) -> Resource {
    Resource::Ingest(Reference { kind: "layer".into(), digest: blob(layer) })
}

fn ingest(layer: &str, offset: u64, at: Timestamp) -> Ingest {
    Ingest {
        reference: Reference { kind: "layer".into(), digest: blob(layer) },
        offset,
        total: 4 << 20,
        started_at: at,
        updated_at: at,
    }
}

/// containerd's answers while nothing of the image but its documents is there.
fn answers(begin: Timestamp) -> impl Fn(&Subject) -> Answer {
    let facts = move |size| ContentFacts {
        created_at: begin + Duration::from_millis(5),
        labelled_at: begin + Duration::from_millis(6),
        size,
        has_children: false,
        sources: vec![ImageRef::repository_only("q.io", "a").unwrap()],
    };
    move |subject| match subject {
        Subject::Blob(digest) if *digest == blob("manifest") => Answer::Blob(Some(manifest())),
        Subject::Blob(digest) if *digest == blob("config") => Answer::Blob(Some(config())),
        Subject::Blob(_) => Answer::Blob(None),
        Subject::Content(digest) if *digest == blob("manifest") => {
            Answer::Content(Some(ContentFacts { has_children: true, ..facts(300) }))
        }
        Subject::Content(digest) if *digest == blob("config") => Answer::Content(Some(facts(300))),
        Subject::Content(_) => Answer::Content(None),
        Subject::Snapshot { .. } => Answer::Snapshot(None),
        Subject::ImagesOf(_) | Subject::ImageNamed(_) => Answer::Images(Vec::new()),
    }
}

fn record(at: Timestamp) -> ImageRecord {
    ImageRecord { name: "q.io/a:v1".parse().ok(), target: blob("manifest"), created_at: at, updated_at: at }
}

fn documents() -> Vec<Resource> {
    vec![Resource::Content(blob("manifest")), Resource::Content(blob("config"))]
}

#[test]
fn layers_stand_in_the_manifests_order_whichever_was_seen_first() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![lease(begin, vec![downloading("top")])], vec![ingest("top", 1 << 20, begin)]);
    play.answer(answers(begin));
    play.wait(500);
    let held = [documents(), vec![downloading("top")]].concat();
    play.survey(vec![lease(begin, held)], vec![ingest("top", 2 << 20, begin)]);
    play.answer(answers(begin));
    play.wait(1_000);
    let pull = play.last();
    let layers: Vec<_> = pull.layers.iter().map(|l| (l.digest.clone(), l.fetched)).collect();
    assert_eq!(layers, [(blob("base"), 0), (blob("top"), 2 << 20)]);
    assert_eq!((pull.phase, pull.total_known, pull.size().bytes()), (Phase::Downloading, true, 8 << 20));
}

#[test]
fn an_empty_lease_is_a_pull_only_once_it_has_lasted() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(100);
    play.survey(vec![lease(begin, Vec::new())], Vec::new());
    assert_eq!(play.told, []);
    play.wait(700);
    play.survey(vec![lease(begin, Vec::new())], Vec::new());
    assert_eq!(play.last().phase, Phase::Resolving);
}

#[test]
fn a_lease_of_something_else_is_never_shown() {
    let mut play = Play::new();
    let begin = play.now;
    for _ in 0..5 {
        play.wait(500);
        play.survey(vec![lease(begin, vec![Resource::Other])], Vec::new());
    }
    assert_eq!(play.told, []);
    assert_eq!(play.tracker.dull().len(), 1, "and is not looked into any more");
}

#[test]
fn proof_from_before_the_end_is_asked_for_again() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.answer(answers(begin));
    // The question about candidates for the name is under way when the lease vanishes; its answer says nothing about the end.
    play.survey(Vec::new(), Vec::new());
    let written = play.at(200);
    play.answer(answers(begin));
    play.wait(300);
    assert_eq!(play.outcome().map(Outcome::as_str), Some("failed"), "without proof it is not ready: {:?}", play.last());
    assert!(play.told.iter().all(|p| p.ending.as_ref().is_none_or(|e| e.outcome != Outcome::Ready)), "{written}");
}

#[test]
fn a_record_written_at_the_end_proves_success_and_names_the_image() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    play.survey(vec![lease(begin, documents())], Vec::new());
    play.answer(answers(begin));
    play.survey(Vec::new(), Vec::new());
    let (usual, written) = (answers(begin), play.at(12));
    play.answer(|subject| match subject {
        Subject::ImagesOf(_) => Answer::Images(vec![record(written)]),
        Subject::Blob(_) | Subject::Content(_) | Subject::Snapshot { .. } | Subject::ImageNamed(_) => usual(subject),
    });
    play.wait(300);
    assert_eq!(play.outcome(), Some(&Outcome::Ready));
    assert_eq!(play.last().image.as_ref().map(ToString::to_string).as_deref(), Some("q.io/a:v1"));
}

#[test]
fn a_pull_that_nobody_saw_is_told_by_its_record_and_a_second_record_is_a_second_pull() {
    let mut play = Play::new();
    let here = move |subject: &Subject, begin: Timestamp| match subject {
        Subject::ImageNamed(_) | Subject::ImagesOf(_) => Answer::Images(vec![record(begin)]),
        Subject::Content(_) => Answer::Content(Some(ContentFacts {
            created_at: Timestamp::from_millis(5),
            labelled_at: begin,
            size: 300,
            has_children: true,
            sources: vec![ImageRef::repository_only("q.io", "a").unwrap()],
        })),
        Subject::Blob(_) | Subject::Snapshot { .. } => answers(begin)(subject),
    };
    for nth in 1..=2 {
        let at = play.now;
        play.see(Seen::Event(Event { namespace: NS.into(), at, what: Happening::ImageRecorded("q.io/a:v1".into()) }));
        for _ in 0..6 {
            play.answer(|subject| here(subject, at));
            play.wait(400);
            play.survey(Vec::new(), Vec::new());
        }
        assert_eq!(play.told.len(), nth, "{:?}", play.told);
        assert_eq!(play.outcome(), Some(&Outcome::Ready));
        assert_eq!((play.last().layers_cached(), play.last().fetched_bytes()), (2, 0));
    }
    assert_ne!(play.told[0].id, play.told[1].id);
}

#[test]
fn what_came_before_an_image_was_recorded_first_was_not_brought_by_who_records_it_again() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(4_000);
    let at = play.now;
    let again = ImageRecord { created_at: begin.before(Duration::from_secs(2)), ..record(at) };
    let here = move |subject: &Subject| match subject {
        Subject::ImageNamed(_) | Subject::ImagesOf(_) => Answer::Images(vec![again.clone()]),
        Subject::Content(_) => Answer::Content(Some(ContentFacts {
            created_at: begin.before(Duration::from_secs(3)),
            labelled_at: at,
            size: 300,
            has_children: true,
            sources: vec![ImageRef::repository_only("q.io", "a").unwrap()],
        })),
        Subject::Blob(_) | Subject::Snapshot { .. } => answers(begin)(subject),
    };
    play.see(Seen::Event(Event { namespace: NS.into(), at, what: Happening::ImageRecorded("q.io/a:v1".into()) }));
    for _ in 0..6 {
        play.answer(&here);
        play.wait(400);
        play.survey(Vec::new(), Vec::new());
    }
    assert_eq!((play.last().started_at, play.last().layers_cached()), (at, 2), "{:?}", play.last());
}

#[test]
fn a_restart_of_the_runtime_ends_its_pulls_as_failed_and_leftovers_stay_hidden() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    let running = || lease(begin, [documents(), vec![downloading("base")]].concat());
    play.survey(vec![running()], vec![ingest("base", 1 << 20, begin)]);
    play.answer(answers(begin));
    play.wait(600);
    play.see(Seen::Disconnected);
    play.wait(1_000);
    assert_eq!(play.outcome(), None, "an absent runtime is no outcome");
    play.see(Seen::Connected(runtime(2)));
    play.answer(answers(begin));
    play.wait(300);
    play.answer(answers(begin));
    play.wait(300);
    assert!(matches!(play.outcome(), Some(Outcome::Failed(f)) if f.class == ErrorClass::RuntimeUnavailable), "{:?}", play.last());
    let told = play.told.len();
    play.survey(vec![running()], vec![ingest("base", 1 << 20, begin)]);
    play.wait(3_000);
    assert_eq!(play.told.len(), told, "the lease that it left is no pull");
}

#[test]
fn a_runtime_that_tells_no_process_id_has_restarted_when_its_socket_is_newer() {
    let mut play = Play::new();
    let (begin, served) = (play.now, |since| Runtime { started_at: Some(since), ..runtime(0) });
    play.see(Seen::Disconnected);
    play.see(Seen::Connected(served(begin)));
    play.wait(10);
    let running = || lease(begin + Duration::from_millis(5), [documents(), vec![downloading("base")]].concat());
    for _ in 0..2 {
        play.survey(vec![running()], vec![ingest("base", 1 << 20, begin)]);
        play.answer(answers(begin));
        play.wait(600);
        play.see(Seen::Disconnected);
        play.see(Seen::Connected(served(begin)));
    }
    assert_eq!(play.outcome(), None, "it is the same");
    play.see(Seen::Disconnected);
    play.wait(1_000);
    play.see(Seen::Connected(served(play.now)));
    play.answer(answers(begin));
    play.wait(300);
    play.answer(answers(begin));
    play.wait(300);
    assert!(matches!(play.outcome(), Some(Outcome::Failed(f)) if f.class == ErrorClass::RuntimeUnavailable), "{:?}", play.last());
}

#[test]
fn a_running_pull_is_told_again_even_if_nothing_changes() {
    let mut play = Play::new();
    let begin = play.now;
    for _ in 0..10 {
        play.wait(500);
        play.survey(vec![lease(begin, documents())], Vec::new());
        play.answer(answers(begin));
    }
    let sequences: Vec<_> = play.told.iter().map(|p| p.sequence).collect();
    assert!(sequences.len() >= 3 && sequences.is_sorted(), "{sequences:?}");
}

#[test]
fn an_agent_that_finds_no_runtime_says_so_at_once() {
    let play = Play::new();
    let now = play.now;
    let mut tracker = Tracker::new(play.tracker.node().clone(), "0", play.tracker.pace);
    assert!(tracker.next_deadline().is_some_and(|deadline| deadline <= now));
    tracker.tick(now);
    let told = std::iter::from_fn(|| tracker.poll()).find_map(|output| match output {
        Output::Node(report) => Some(report.runtime_reachable),
        Output::Ask(_) | Output::Pull { .. } => None,
    });
    assert_eq!(told, Some(false));
    assert!(tracker.next_deadline().is_some_and(|deadline| deadline > now));
}

#[test]
fn where_no_event_told_when_a_snapshot_was_prepared_its_record_does() {
    let mut play = Play::new();
    let begin = play.now;
    play.wait(10);
    let key = ExtractKey::parse(&format!("extract-1-a {}", blob("d0"))).unwrap();
    let extraction = Resource::Extraction { snapshotter: "overlayfs".into(), key: key.clone() };
    play.survey(vec![lease(begin, [documents(), vec![extraction]].concat())], Vec::new());
    let (usual, prepared) = (answers(begin), play.at(7));
    play.answer(|subject| match subject {
        Subject::Snapshot { key: asked, .. } if asked == key.as_str() => {
            Answer::Snapshot(Some(SnapshotFacts { created_at: prepared, image: None, remote: false }))
        }
        Subject::Content(digest) if *digest == blob("base") => Answer::Content(Some(ContentFacts {
            created_at: begin,
            labelled_at: begin,
            size: 4 << 20,
            has_children: false,
            sources: Vec::new(),
        })),
        Subject::Blob(_) | Subject::Content(_) | Subject::Snapshot { .. } | Subject::ImagesOf(_) | Subject::ImageNamed(_) => {
            usual(subject)
        }
    });
    let chain = Resource::Chain { snapshotter: "overlayfs".into(), chain: blob("d0") };
    let held = vec![Resource::Content(blob("base")), chain];
    play.see(Seen::Event(Event { namespace: NS.into(), at: play.at(9), what: Happening::ChainCommitted(blob("d0")) }));
    play.survey(vec![lease(begin, [documents(), held].concat())], Vec::new());
    play.wait(1_000);
    assert_eq!(play.last().layers[0].unpack.start, Some(prepared), "{:?}", play.last());
}

#[test]
fn a_node_without_a_uid_goes_by_the_uuid_of_the_runtime_that_answers() {
    let play = Play::new();
    let node = Node { uid: String::new(), ..play.tracker.node().clone() };
    let mut tracker = Tracker::new(node, "0", play.tracker.pace);
    assert_eq!(tracker.node().uid, "n1", "its name, as long as none did");
    for uuid in ["first", "of an empty root"] {
        tracker.observe(Seen::Connected(Runtime { uuid: uuid.into(), ..runtime(1) }), play.now);
        assert_eq!(tracker.node().uid, uuid);
        tracker.observe(Seen::Disconnected, play.now);
    }
    let mut named = Play::new().tracker;
    named.observe(Seen::Connected(Runtime { uuid: "other".into(), ..runtime(1) }), play.now);
    assert_eq!(named.node().uid, "uid", "a uid that was given stays");
}
