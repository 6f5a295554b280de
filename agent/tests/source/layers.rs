//! Layers, sizes, phases and times.

use std::time::Duration;

use lifecycle::pull::{Outcome, Phase, Pull, TimingSource};

use super::stage::{Played, Watch, id, play, same, scenario};

const MIB: u64 = 1 << 20;

fn shows_every_layer_by_its_digest_and_the_total_from_the_beginning(played: &Played) {
    let diary = &played.diaries[0];
    let expected: Vec<_> = diary.layers.iter().map(|layer| (layer.digest.clone(), layer.size)).collect();
    let told = played.told(diary);
    let planned = told.iter().find(|pull| pull.total_known).expect("the plan was told");
    assert!(planned.observed_at.since(diary.began.unwrap()) < Duration::from_secs(1), "{}", played.personality);
    for pull in told.iter().filter(|pull| pull.total_known) {
        let layers: Vec<_> = pull.layers.iter().map(|layer| (layer.digest.clone(), layer.size)).collect();
        assert_eq!(layers, expected, "{}", played.personality);
    }
    let first_layers = told.iter().find(|pull| !pull.layers.is_empty()).unwrap();
    assert_eq!(first_layers.size().bytes(), 34 * MIB, "{}: no total that grows", played.personality);
}

fn goes_through_the_phases_in_order_and_bytes_never_fall(played: &Played) {
    let told = played.told(&played.diaries[0]);
    let phases: Vec<_> = told.iter().map(|pull| pull.phase).collect();
    assert!(phases.is_sorted(), "{}: {phases:?}", played.personality);
    assert!(phases.contains(&Phase::Downloading) && phases.contains(&Phase::Unpacking), "{}: {phases:?}", played.personality);
    assert!(told.is_sorted_by_key(|pull| pull.fetched_bytes()), "{}", played.personality);
    assert!(told.is_sorted_by(|a, b| a.sequence < b.sequence), "{}", played.personality);
    let moving = told.iter().filter(|pull| pull.bytes_per_sec.is_some() && pull.eta.is_some()).count();
    assert!(moving > 0, "{}: a rate and an estimate are told", played.personality);
}

/// The times of containerd's own events and records come through as they are; an inferred one is within what really happened.
fn tells_when_what_happened(played: &Played) {
    let (diary, last) = (&played.diaries[0], played.last(&played.diaries[0]));
    for (told, truth) in last.layers.iter().zip(&diary.layers) {
        let context = || format!("{}: {told:?} {truth:?}", played.personality);
        assert!(same(told.download.end, truth.committed), "{}", context());
        assert!(same(told.unpack.start, truth.unpacking()), "{}", context());
        assert!(same(told.unpack.end, truth.unpacked), "{}", context());
        if told.download.source == TimingSource::Inferred {
            assert!(told.download.start >= truth.opened && told.download.start <= truth.committed, "{}", context());
        } else {
            assert!(same(told.download.start, truth.opened), "{}", context());
        }
    }
    assert!(same(Some(last.started_at), diary.began), "{}", played.personality);
    let ended = last.ending.as_ref().map(|ending| ending.at);
    // CRI writes the name twice, up to this far apart; an agent that hears of the first alone tells that.
    let between = Duration::from_millis(5);
    let near = ended.zip(diary.recorded).is_some_and(|(told, truth)| told.distance(truth) <= between);
    assert!(near, "{}: {ended:?} {:?}", played.personality, diary.recorded);
}

fn is_ready_with_its_name(played: &Played) {
    let diary = &played.diaries[0];
    assert_eq!(played.outcome(diary), &Outcome::Ready, "{}", played.personality);
    let last = played.last(diary);
    assert_eq!(last.image.as_ref(), Some(&diary.image), "{}", played.personality);
    assert_eq!((last.percent(), last.fetched_bytes(), last.cached_bytes()), (Some(100.0), 34 * MIB, 0), "{}", played.personality);
    assert!(last.layers.iter().all(lifecycle::pull::Layer::is_done), "{}", played.personality);
}

fn sends_one_trace_once(played: &Played) {
    let id = id(&played.diaries[0]).unwrap().to_string();
    let [spans] = played.heard.traces.as_slice() else { panic!("{}: one request of spans", played.personality) };
    assert!(spans.iter().all(|span| span["traceId"] == id.as_str()), "{}: {spans:?}", played.personality);
    let named = |name: &str| spans.iter().filter(|span| span["name"].as_str().is_some_and(|n| n.starts_with(name))).count();
    let names = (named("pull image"), named("resolve image"), named("download layer"), named("unpack layer"));
    assert_eq!(names, (1, 1, 4, 4), "{}: {spans:?}", played.personality);
    let parents = spans.iter().filter(|span| span["parentSpanId"].as_str().is_none_or(str::is_empty)).count();
    assert_eq!(parents, 1, "{}", played.personality);
}

#[tokio::test]
async fn an_image_of_four_layers_is_told_as_it_is_pulled() {
    for played in play(&scenario("four-layers"), || Watch::until(1)).await {
        assert_eq!(played.heard.last_words().len(), 1, "{}", played.personality);
        shows_every_layer_by_its_digest_and_the_total_from_the_beginning(&played);
        goes_through_the_phases_in_order_and_bytes_never_fall(&played);
        tells_when_what_happened(&played);
        is_ready_with_its_name(&played);
        sends_one_trace_once(&played);
    }
}

#[tokio::test]
async fn an_image_that_is_here_already_is_ready_with_cached_bytes_only() {
    for played in play(&scenario("cached"), || Watch::until(1)).await {
        let [last]: [&Pull; 1] = played.heard.last_words().try_into().expect("one pull");
        assert_eq!(last.ending.as_ref().map(|e| &e.outcome), Some(&Outcome::Ready), "{}", played.personality);
        assert_eq!(last.image.as_ref(), Some(&played.diaries[0].image), "{}", played.personality);
        assert_eq!((last.cached_bytes(), last.fetched_bytes()), (34 * MIB, 0), "{}", played.personality);
        assert_eq!((last.layers_cached(), last.percent()), (4, Some(100.0)), "{}", played.personality);
    }
}

#[tokio::test]
async fn cached_and_fetched_bytes_of_an_image_that_is_here_in_part_add_up() {
    for played in play(&scenario("partial-cache"), || Watch::until(1)).await {
        let last = played.last(&played.diaries[0]);
        assert_eq!(played.outcome(&played.diaries[0]), &Outcome::Ready, "{}", played.personality);
        assert_eq!((last.cached_bytes(), last.fetched_bytes()), (25 * MIB, 9 * MIB), "{}", played.personality);
        let cached: Vec<_> = last.layers.iter().map(|layer| layer.cached).collect();
        assert_eq!(cached, [true, true, false, false], "{}", played.personality);
        for pull in played.told(&played.diaries[0]).iter().filter(|pull| pull.total_known) {
            let sum = pull.cached_bytes() + pull.to_fetch().bytes();
            assert_eq!(sum, 34 * MIB, "{}", played.personality);
        }
    }
}

#[tokio::test]
async fn layers_that_are_mounted_from_afar_are_neither_fetched_nor_cached() {
    for played in play(&scenario("lazy"), || Watch::until(2)).await {
        let diary = played.diary("lazy");
        let last = played.last(diary);
        assert_eq!(played.outcome(diary), &Outcome::Ready, "{}", played.personality);
        assert_eq!(
            (last.layers_lazy(), last.lazy_bytes(), last.size().bytes()),
            (4, 34 * MIB, 34 * MIB),
            "{}",
            played.personality
        );
        assert_eq!((last.cached_bytes(), last.fetched_bytes(), last.to_fetch().bytes()), (0, 0, 0), "{}", played.personality);
        assert!(last.layers.iter().all(lifecycle::pull::Layer::is_done), "{}: {last:?}", played.personality);
    }
}
