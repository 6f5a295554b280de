//! The simulated world, played without a socket and without waiting.

use std::collections::BTreeSet;

use super::*;
use crate::containerd::simulated::{
    events::Fact,
    world::store::{Resource, Store},
};

const ORIGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const GLANCE: Duration = Duration::from_millis(5);

/// Plays a scenario to its end and looks at the namespace of CRI every few milliseconds.
fn play(name: &str, personality: Personality, mut glance: impl FnMut(&Store, Duration)) -> (Simulation, Vec<Event>) {
    let mut simulation = Simulation::new(Scenario::named(name).unwrap(), personality, false, ORIGIN, 7);
    let mut events = Vec::new();
    while !simulation.is_over() {
        let since = simulation.now().since(ORIGIN);
        assert!(since < Duration::from_secs(600), "{name} does not end");
        simulation.advance(simulation.now() + GLANCE);
        events.extend(simulation.take_events());
        glance(simulation.store("k8s.io"), since);
    }
    (simulation, events)
}

fn facts(events: &[Event], wanted: impl Fn(&Fact) -> bool) -> usize {
    events.iter().filter(|event| wanted(&event.fact)).count()
}

fn layer_refs(lease: &store::Lease) -> BTreeSet<String> {
    let refs = lease.resources.iter().filter_map(|resource| match resource {
        Resource::Ingest(reference) if reference.starts_with("layer-") => Some(reference.clone()),
        Resource::Ingest(_) | Resource::Content(_) | Resource::Snapshot(_) => None,
    });
    refs.collect()
}

#[test]
fn every_shipped_scenario_ends_in_every_version_and_leaves_nothing_under_way() {
    for name in Scenario::names().filter(|name| *name != "crash") {
        for personality in Personality::ALL {
            let (simulation, _) = play(name, personality, |_, _| {});
            let store = simulation.store("k8s.io");
            assert!(store.ingests.is_empty(), "{name} {personality}");
            assert!(store.leases.values().all(|lease| lease.labels.is_empty()), "{name} {personality}");
            assert!(store.snapshots.values().all(|snapshot| snapshot.committed), "{name} {personality}");
        }
    }
}

#[test]
fn offsets_are_whole_pieces_until_the_tail_and_never_fall() {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    play("demo", Personality::V1_7, |store, _| {
        last.retain(|reference, _| store.ingests.contains_key(reference));
        for (reference, ingest) in &store.ingests {
            let flushed = ingest.writer.is_none();
            assert!(ingest.offset.is_multiple_of(download::PIECE) || ingest.offset == ingest.total || flushed);
            assert!(last.insert(reference.clone(), ingest.offset).is_none_or(|before| before <= ingest.offset));
        }
    });
}

#[test]
fn before_2_1_three_layers_are_ingests_at_once_and_from_2_1_all_of_them() {
    for (personality, expected) in
        [(Personality::V1_6, 3), (Personality::V1_7, 3), (Personality::V2_1, 4), (Personality::V2_4, 4)]
    {
        let mut most = 0;
        play("four-layers", personality, |store, _| most = most.max(store.ingests.len()));
        assert_eq!(most, expected, "{personality}");
    }
}

#[test]
fn the_link_decides_how_long_a_pull_takes() {
    let (simulation, _) = play("four-layers", Personality::V2_1, |_, _| {});
    // 20 MiB at 2 MB/s are 10.5 s; it begins at 0.5 s, and the rest downloads beside it.
    let took = simulation.now().since(ORIGIN).as_secs_f64();
    assert!((11.0..12.0).contains(&took), "{took}");
}

#[test]
fn versions_announce_what_they_announce() {
    let counts = Personality::ALL.map(|personality| {
        let (_, events) = play("four-layers", personality, |_, _| {});
        let contents = facts(&events, |fact| matches!(fact, Fact::ContentCreated { .. }));
        let prepared = facts(&events, |fact| matches!(fact, Fact::SnapshotPrepared { .. }));
        let created = facts(&events, |fact| matches!(fact, Fact::ImageCreated { .. }));
        let updated = facts(&events, |fact| matches!(fact, Fact::ImageUpdated { .. }));
        (contents, prepared, created, updated)
    });
    assert_eq!(counts, [(0, 4, 3, 1), (0, 4, 3, 0), (7, 4, 3, 0), (7, 4, 3, 0)]);
}

#[test]
fn layers_unpack_in_order_each_after_its_content() {
    let (_, events) = play("four-layers", Personality::V2_1, |_, _| {});
    let spec = Scenario::named("four-layers").unwrap();
    let image = Image::build(&spec.images[0]);
    let position = |wanted: &dyn Fn(&Fact) -> bool| events.iter().position(|event| wanted(&event.fact)).unwrap();
    let mut before = 0;
    for layer in &image.layers {
        let fetched = position(&|fact| matches!(fact, Fact::ContentCreated { blob } if *blob == layer.blob));
        let committed = position(&|fact| matches!(fact, Fact::SnapshotCommitted { name, .. } if name == layer.chain_id.as_str()));
        assert!(committed > fetched && committed > before);
        before = committed;
    }
}

#[test]
fn a_pull_that_shares_a_base_fetches_no_layer_until_the_base_is_unpacked() {
    for personality in Personality::ALL {
        let scenario = Scenario::named("shared-base").unwrap();
        let base = Image::build(&scenario.images[0]).layers[1].clone();
        let (mut waited, mut overlapped) = (0, false);
        play("shared-base", personality, |store, since| {
            let second = store.leases.values().max_by_key(|lease| lease.created_at).filter(|_| since.as_millis() > 1_000);
            let Some(second) = second.filter(|_| !store.snapshots.contains_key(base.chain_id.as_str())) else { return };
            waited += 1;
            overlapped |= !layer_refs(second).is_empty();
        });
        assert!(waited > 100 && !overlapped, "{personality}: {waited}");
    }
}

#[test]
fn a_cached_pull_is_short_fetches_nothing_and_updates_one_record() {
    let mut most = 0;
    let (simulation, events) = play("cached", Personality::V2_1, |store, _| most = most.max(store.ingests.len()));
    assert_eq!(most, 0);
    assert_eq!(events.len(), 1);
    assert_eq!(facts(&events, |fact| matches!(fact, Fact::ImageUpdated { .. })), 1);
    assert_eq!(simulation.store("k8s.io").images.len(), 3);
}

#[test]
fn a_partly_cached_pull_fetches_what_is_missing() {
    let mut fetched = BTreeSet::new();
    play("partial-cache", Personality::V1_7, |store, _| {
        fetched.extend(store.leases.values().flat_map(layer_refs));
    });
    let image = Image::build(&Scenario::named("partial-cache").unwrap().images[1]);
    let missing = image.layers[2..].iter().map(|layer| format!("layer-{}", layer.blob.digest));
    assert_eq!(fetched, missing.collect());
}

#[test]
fn a_canceled_pull_loses_its_lease_first_and_its_ingests_a_moment_later() {
    let mut orphaned = 0;
    let (simulation, events) = play("canceled", Personality::V2_1, |store, _| {
        orphaned += usize::from(store.leases.is_empty() && !store.ingests.is_empty());
    });
    assert!((10..40).contains(&orphaned), "{orphaned}");
    let store = simulation.store("k8s.io");
    assert!(store.content.is_empty() && store.snapshots.is_empty() && store.images.is_empty());
    let active = |fact: &Fact| matches!(fact, Fact::SnapshotRemoved { key } if key.starts_with("extract-"));
    let committed = |fact: &Fact| matches!(fact, Fact::SnapshotRemoved { key } if key.starts_with("sha256:"));
    assert_eq!((facts(&events, active), facts(&events, committed)), (1, 1));
}

#[test]
fn no_pull_of_the_failed_ones_leaves_an_image() {
    for personality in Personality::ALL {
        let mut leases = BTreeSet::new();
        let (simulation, events) = play("failed", personality, |store, _| leases.extend(store.leases.keys().cloned()));
        assert_eq!(leases.len(), 6, "{personality}");
        assert!(simulation.store("k8s.io").images.is_empty());
        assert_eq!(facts(&events, |fact| matches!(fact, Fact::ImageCreated { .. } | Fact::ImageUpdated { .. })), 0);
    }
}

#[test]
fn a_crash_leaves_lease_and_ingests_and_the_next_pull_goes_on_where_it_was() {
    for personality in Personality::ALL {
        let (mut begun, mut resumed) = (None, None);
        let (simulation, _) = play("crash", personality, |store, since| {
            let Some((reference, ingest)) = store.ingests.iter().find(|(reference, _)| reference.starts_with("layer-")) else {
                return;
            };
            let holders =
                store.leases.values().filter(|lease| lease.resources.contains(&Resource::Ingest(reference.clone()))).count();
            let seen = (ingest.started_at, ingest.offset, holders);
            if (4_500..5_000).contains(&since.as_millis()) {
                begun = Some(seen);
            } else if since.as_millis() > 7_000 && holders == 2 && resumed.is_none() {
                resumed = Some(seen);
            }
        });
        let (begun, resumed) = (begun.unwrap(), resumed.unwrap());
        assert_eq!((begun.0, begun.1), (resumed.0, resumed.1), "{personality}");
        assert!(begun.1 > 0 && begun.2 == 1);
        assert_eq!(simulation.incarnation(), 1);
        let store = simulation.store("k8s.io");
        assert_eq!((store.leases.len(), store.images.len()), (1, 3), "the stale lease stays, the image is there");
    }
}

#[test]
fn a_link_that_stands_still_freezes_the_offset_and_its_time() {
    let mut longest = Duration::ZERO;
    play("stalled", Personality::V2_1, |store, since| {
        let active = store.ingests.values().filter(|ingest| ingest.offset > 0);
        longest = active.map(|ingest| (ORIGIN + since).since(ingest.updated_at)).fold(longest, Duration::max);
    });
    assert!((8..10).contains(&longest.as_secs()), "{longest:?}");
}

#[test]
fn a_repeated_scenario_begins_on_a_node_without_images_and_says_so() {
    let scenario = Scenario::named("four-layers").unwrap();
    let mut simulation = Simulation::new(scenario, Personality::V2_1, true, ORIGIN, 7);
    simulation.advance(ORIGIN + Duration::from_secs(24));
    let events = simulation.take_events();
    assert_eq!(facts(&events, |fact| matches!(fact, Fact::ImageDeleted { .. })), 6);
    assert_eq!(facts(&events, |fact| matches!(fact, Fact::ImageCreated { .. })), 6);
    assert_eq!(facts(&events, |fact| matches!(fact, Fact::SnapshotCommitted { .. })), 8);
}
