//! The fold against what real Engines said (`cli/tests/recorded`, Docker Engine 28 with both image stores) and against what none would say.

use std::{fs, path::Path};

use lifecycle::pull::{LayerState, Size};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::pull::{
    manifest::Answer,
    picture::{Doing, Unpacked},
    platform::Platform,
};

const RECORDED: [(&str, Store); 2] = [("classic", Store::Classic), ("containerd", Store::Containerd)];
const MIB: u64 = 1 << 20;

#[derive(Deserialize)]
struct Recorded {
    ms: u64,
    line: serde_json::Value,
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + ms)
}

fn text(name: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(name)).ok()
}

fn recording(store: &str, name: &str) -> Vec<(u64, Message)> {
    let text = text(&format!("{store}/{name}.jsonl")).unwrap_or_else(|| panic!("no recording {store}/{name}"));
    let lines = text.lines().map(|line| serde_json::from_str::<Recorded>(line).expect("a recorded line"));
    lines.map(|recorded| (recorded.ms, Message::of_json(&recorded.line.to_string()))).collect()
}

fn manifest(name: &str, top: Digest) -> Manifest {
    let text = text(&format!("{name}.manifest.json")).expect("a recorded manifest");
    match Answer::parse(text.as_bytes(), &Platform::of("linux", "amd64", "x86_64")).expect("a manifest") {
        Answer::Image { config, layers } => Manifest { top, config, layers },
        Answer::Elsewhere(_) => panic!("an index"),
    }
}

fn begin(store: Store) -> Fold {
    let image: ImageRef = "127.0.0.1:5055/team/app:v1".parse().expect("a name");
    let id = PullId::derive("node", "docker", "1", at(0));
    let mut fold = Fold::new(Beginning { asked: image.to_string(), image, id, namespace: "moby", at: at(0) });
    fold.begin();
    fold.set_store(store, "overlay2");
    fold
}

/// Pictures after every message, with the registry's answer after 20 ms and time passing between; the end is drawn from the last word.
fn replay(store: Store, messages: &[(u64, Message)], manifest: Option<Manifest>) -> Vec<Picture> {
    let mut fold = begin(store);
    let (mut pictures, mut manifest, mut now) = (Vec::new(), manifest, 0);
    for (ms, message) in messages {
        while now + 100 <= *ms {
            now += 100;
            pictures.push(fold.picture(at(now)));
        }
        now = now.max(*ms);
        fold.hear(message, at(now));
        if now >= 20 {
            manifest.take().into_iter().for_each(|manifest| fold.learn(manifest));
        }
        pictures.push(fold.picture(at(now)));
    }
    manifest.take().into_iter().for_each(|manifest| fold.learn(manifest));
    match fold.done().cloned() {
        Some(Done::Ready) => fold.end(Outcome::Ready, at(now)),
        Some(Done::Failed(text)) => fold.fail(lifecycle::board::classify(&text), text, at(now)),
        None => {}
    }
    pictures.push(fold.picture(at(now)));
    pictures
}

fn digest_of(messages: &[(u64, Message)]) -> Digest {
    let digest = |(_, message): &(u64, Message)| match message {
        Message::Digest(digest) => Some(digest.clone()),
        Message::Layer(..) | Message::Done { .. } | Message::Failed(_) | Message::Other => None,
    };
    messages.iter().find_map(digest).expect("a digest")
}

/// What must be true of any pictures of one pull.
#[track_caller]
fn are_sound(pictures: &[Picture]) -> Result<(), TestCaseError> {
    let mut least = 0;
    for Picture { pull, unpacked, doing, .. } in pictures {
        let total = pull.to_fetch().bytes();
        prop_assert!(total >= least, "the total fell from {} to {}", least, total);
        least = total;
        prop_assert!(pull.fetched_bytes() <= total, "{} of {}", pull.fetched_bytes(), total);
        prop_assert!(pull.percent().is_none_or(|percent| (0.0..=100.0).contains(&percent)));
        prop_assert_eq!((unpacked.len(), doing.len()), (pull.layers.len(), pull.layers.len()));
        for (layer, unpacked) in pull.layers.iter().zip(unpacked) {
            prop_assert!(layer.fetched < layer.size.max(1) || layer.is_complete(), "{:?}", layer);
            prop_assert!(!matches!(unpacked, Unpacked::Bytes(bytes) if *bytes > layer.size), "{:?} of {:?}", unpacked, layer);
        }
    }
    Ok(())
}

#[test]
fn totals_are_the_manifests_without_what_was_here_at_every_moment() {
    let base = 3_146_946;
    for (folder, store) in RECORDED {
        // Docker's own store knows a layer only on top of the same ones; containerd's knows its blob.
        let found = if store == Store::Containerd { base } else { 0 };
        for (name, cached) in [("fresh", 0), ("partly", base), ("exists", found)] {
            let messages = recording(folder, name);
            let manifest = manifest(name, digest_of(&messages));
            let size: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
            let pictures = replay(store, &messages, Some(manifest));
            are_sound(&pictures).unwrap();
            let known = pictures.iter().filter(|picture| picture.pull.total_known);
            let told: Vec<(u64, u64)> = known.map(|p| (p.pull.to_fetch().bytes(), p.pull.cached_bytes())).collect();
            assert!(told.len() > 2 && told.iter().all(|told| *told == (size - cached, cached)), "{folder}/{name}: {told:?}");
            let last = &pictures.last().expect("pictures").pull;
            assert_eq!(last.percent(), Some(100.0), "{folder}/{name}");
            assert_eq!(last.layers_done(), last.layers.len(), "{folder}/{name}");
        }
    }
}

#[test]
fn without_a_manifest_the_total_is_a_lower_bound_that_only_rises() {
    for (folder, store) in RECORDED {
        let pictures = replay(store, &recording(folder, "partly"), None);
        are_sound(&pictures).unwrap();
        assert!(pictures.iter().all(|picture| !picture.pull.total_known && picture.pull.percent().is_none()), "{folder}");
        assert_eq!(pictures.last().map(|p| p.pull.to_fetch()), Some(Size::AtLeast(2_097_991)), "{folder}");
    }
    // Where nothing was here and every size was said, nothing is missing.
    let pictures = replay(Store::Classic, &recording("classic", "fresh"), None);
    assert_eq!(pictures.last().map(|p| p.pull.to_fetch()), Some(Size::Known(9_965_513)));
}

#[test]
fn an_image_that_was_here_is_cached_whole() {
    for (folder, store) in RECORDED {
        let messages = recording(folder, "cached");
        let pictures = replay(store, &messages, Some(manifest("partly", digest_of(&messages))));
        let last = &pictures.last().expect("pictures").pull;
        assert_eq!((last.layers_cached(), last.cached_bytes()), (2, 5_244_937), "{folder}");
        assert_eq!((last.to_fetch(), last.percent()), (Size::Known(0), Some(100.0)), "{folder}");
    }
}

#[test]
fn every_failure_has_its_class_and_no_failed_pull_is_whole() {
    let said = [
        ("classic", "corrupt", ErrorClass::DigestMismatch),
        ("classic", "r429", ErrorClass::RateLimited),
        ("classic", "reset", ErrorClass::Connection),
        ("containerd", "corrupt", ErrorClass::DigestMismatch),
        ("containerd", "reset", ErrorClass::Connection),
    ];
    for (folder, name, class) in said {
        let store = if folder == "classic" { Store::Classic } else { Store::Containerd };
        let pictures = replay(store, &recording(folder, name), None);
        are_sound(&pictures).unwrap();
        let last = &pictures.last().expect("pictures").pull;
        let ending = last.ending.as_ref().map(|ending| &ending.outcome);
        assert!(matches!(ending, Some(Outcome::Failed(failure)) if failure.class == class), "{folder}/{name}: {ending:?}");
        assert!(last.percent().is_none_or(|percent| percent < 100.0), "{folder}/{name}");
        assert!(last.layers.iter().all(|layer| layer.state != LayerState::Ready), "{folder}/{name}");
    }
}

#[test]
fn a_lost_connection_is_said_until_bytes_come_again() {
    let pictures = replay(Store::Classic, &recording("classic", "reset"), None);
    let retrying = |picture: &&Picture| matches!(picture.pull.wait, Some(Wait::Retrying { .. }));
    let first = pictures.iter().find(retrying).expect("a wait");
    assert!(first.doing.iter().all(|doing| matches!(doing, Doing::Retrying { .. })), "{:?}", first.doing);
    let last = &pictures.last().expect("pictures").pull;
    assert!(!last.waits.is_empty() && last.wait.is_none());
    assert!(last.fetched_bytes() < last.to_fetch().bytes(), "what is said when a connection breaks are no bytes");
}

#[test]
fn silence_is_a_stall_by_the_rule_of_all_pulltrace() {
    for (folder, store) in RECORDED {
        let mut fold = begin(store);
        let messages = recording(folder, "stall");
        messages.iter().filter(|(ms, _)| *ms < 1_000).for_each(|(ms, message)| {
            fold.hear(message, at(*ms));
            fold.picture(at(*ms));
        });
        assert_eq!(fold.picture(at(5_000)).pull.wait, None, "{folder}");
        let late = fold.picture(at(61_500)).pull;
        assert!(matches!(late.wait, Some(Wait::Stalled { .. })), "{folder}: {:?}", late.wait);
        assert_eq!(late.bytes_per_sec.filter(|rate| *rate > 0), None, "{folder}");
    }
}

#[test]
fn unpacking_is_told_in_bytes_by_one_store_and_in_time_by_the_other() {
    let files = |(folder, store)| replay(store, &recording(folder, "files"), None);
    let [classic, containerd] = RECORDED.map(files);
    let any = |pictures: &[Picture], is: fn(&Unpacked) -> bool| pictures.iter().flat_map(|p| &p.unpacked).any(is);
    assert!(any(&classic, |u| matches!(u, Unpacked::Bytes(_))) && !any(&classic, |u| matches!(u, Unpacked::For(_))));
    assert!(
        any(&containerd, |u| matches!(u, Unpacked::For(t) if !t.is_zero()))
            && !any(&containerd, |u| matches!(u, Unpacked::Bytes(_)))
    );
}

#[test]
fn a_manifest_of_another_image_is_given_up() {
    let messages = recording("classic", "fresh");
    let other = manifest("partly", digest_of(&messages));
    let pictures = replay(Store::Classic, &messages[..4], Some(other.clone()));
    assert!(pictures.iter().all(|picture| !picture.pull.total_known));
    let moved = Manifest { top: Digest::of(b"moved"), ..manifest("fresh", digest_of(&messages)) };
    let last = replay(Store::Containerd, &messages, Some(moved)).pop().expect("pictures");
    assert!(!last.pull.total_known, "the tag moved between the two questions");
    assert_eq!(last.pull.digest, Some(digest_of(&messages)));
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = 0..(12 * MIB);
    prop_oneof![
        Just(Step::Named),
        Just(Step::Waiting),
        Just(Step::Exists),
        (bytes.clone(), prop::option::of(1..(12 * MIB))).prop_map(|(current, total)| Step::Downloading { current, total }),
        (0..20_u64).prop_map(|seconds| Step::Retrying { seconds }),
        Just(Step::Checking),
        Just(Step::Downloaded),
        (bytes, 1..(12 * MIB)).prop_map(|(current, total)| Step::Extracting { current, total }),
        Just(Step::ExtractingSince),
        Just(Step::Complete),
    ]
}

#[derive(Clone, Debug)]
enum Happening {
    Heard(usize, Step),
    Last(Message),
    Learned,
    Store(Store),
    Passed(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (0..7_usize, step()).prop_map(|(layer, step)| Happening::Heard(layer, step)),
        1 => Just(Happening::Learned),
        1 => prop::sample::select(vec![Store::Unknown, Store::Classic, Store::Containerd, Store::Podman]).prop_map(Happening::Store),
        3 => (0..2_000_u64).prop_map(Happening::Passed),
        1 => prop::sample::select(vec![
            Message::Done { fresh: true },
            Message::Failed("no".into()),
            Message::Digest(Digest::of(b"top")),
            Message::Digest(Digest::of(b"other")),
        ]).prop_map(Happening::Last),
    ]
}

proptest! {
    #[test]
    fn whatever_is_said_in_whatever_order_totals_never_fall_and_nothing_is_over_100_percent(
        happenings in prop::collection::vec(happening(), 0..120), outcome in 0..3_u8,
    ) {
        // Five layers of the manifest, its configuration, and one that it does not know.
        let digests: Vec<Digest> = (0..7_u8).map(|n| Digest::of(&[n])).collect();
        let blob = |n: usize| Blob { digest: digests[n].clone(), media_type: String::new(), size: n as u64 * MIB };
        let manifest = Manifest { top: Digest::of(b"top"), config: digests[5].clone(), layers: (0..5).map(blob).collect() };
        let (mut fold, mut now, mut pictures) = (begin(Store::Unknown), 0, Vec::new());
        for happening in happenings {
            match happening {
                Happening::Heard(layer, step) => {
                    let short = Short::of(&digests[layer]).expect("a long digest");
                    fold.hear(&Message::Layer(short, step), at(now));
                }
                Happening::Last(message) => fold.hear(&message, at(now)),
                Happening::Learned => fold.learn(manifest.clone()),
                Happening::Store(store) => fold.set_store(store, ""),
                Happening::Passed(ms) => now += ms,
            }
            pictures.push(fold.picture(at(now)));
        }
        match outcome {
            0 => fold.end(Outcome::Ready, at(now)),
            1 => fold.end(Outcome::Canceled, at(now)),
            _ => {}
        }
        pictures.push(fold.picture(at(now)));
        are_sound(&pictures)?;
    }
}

#[test]
fn what_podman_calls_complete_is_proven_by_the_end_alone() {
    let said =
        |id: &str, status: &str| Message::of_json(&format!(r#"{{"status":"{status}","progressDetail":{{}},"id":"{id}"}}"#));
    let mut fold = begin(Store::Podman);
    for (id, status) in [("0b1af8b156a9", "Pulling fs layer"), ("0b1af8b156a9", "Download complete")] {
        fold.hear(&said(id, status), at(1));
    }
    assert!(fold.picture(at(2)).pull.layers.iter().all(|layer| layer.state == LayerState::Downloading));
    fold.end(Outcome::Ready, at(4));
    assert!(fold.picture(at(5)).pull.layers.iter().all(Layer::is_done));
}
