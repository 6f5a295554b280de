//! Random reports, doubled, shuffled and lost, and readers who are slow, are cut off and come back: in the end each has what the board has,
//! and none has missed that a pull ended. No sockets, no waiting: a beat is a step of the test.
//!
//! `world` is what is told, `client` is who reads and knows nothing but bytes. The events are the same on every run; more of them:
//! `STREAM_EVENTS`, others: `STREAM_SEED`.

mod client;
mod world;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use client::{Client, Told};
use tokio::{sync::watch, time::Instant};
use world::{Luck, World};

use super::{
    Caps,
    beat::Beat,
    places::Places,
    reader::Reader,
    shared::Shared,
    walk::{Class, Dialect, Position},
};
use crate::{
    http::query::{Question, Wanted},
    metrics::{Metrics, Streams},
    snapshot::{Cursor, Snapshot},
};

/// Reports, unless said otherwise: enough for every kind of luck.
const EVENTS: u64 = 2_500;
/// A question, its form, and which of the pulls that it has a reader would ask for again.
type Asks = (&'static str, Dialect, fn(&str) -> bool);
/// Who reads.
const READERS: [Asks; 10] = [
    ("", Dialect::Events { layers: false }, |_| true),
    ("", Dialect::Events { layers: false }, |_| true),
    ("layers=true", Dialect::Events { layers: true }, |_| true),
    ("active=true", Dialect::Events { layers: false }, |pull| !pull.contains("\"outcome\":")),
    ("phase=downloading&node=node-1", Dialect::Events { layers: false }, |pull| pull.contains("\"phase\":\"downloading\"")),
    ("q=stalled", Dialect::Events { layers: false }, |pull| pull.to_lowercase().contains("stalled")),
    ("", Dialect::Frames { layers: false, summary: false }, |_| true),
    ("", Dialect::Frames { layers: true, summary: true }, |_| true),
    ("active=true&image=team", Dialect::Frames { layers: true, summary: false }, |pull| !pull.contains("\"outcome\":")),
    ("q=stalled", Dialect::Frames { layers: false, summary: true }, |pull| pull.to_lowercase().contains("stalled")),
];
/// Readers of each kind.
const EACH: usize = 5;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

fn class(query: &str, dialect: Dialect) -> Class {
    let question = if matches!(dialect, Dialect::Frames { .. }) { Question::Frames } else { Question::Stream };
    let wanted = Wanted::read(&format!("/?{query}").parse().unwrap(), question).unwrap();
    Class { filter: wanted.filter, dialect, gzip: false }
}

/// What was read of chunks of one beat, so that it is read once for all.
type Read = HashMap<(usize, Position), (Arc<Vec<Told>>, usize, Position)>;

/// A stage with readers.
struct Stage {
    luck: Luck,
    shared: Shared,
    classes: Vec<Arc<Class>>,
    /// Clients, each of a class.
    clients: Vec<(usize, Client)>,
    resumed: [u64; 3],
}

impl Stage {
    fn new(seed: u64) -> Self {
        let classes: Vec<_> = READERS.iter().map(|(query, dialect, _)| Arc::new(class(query, *dialect))).collect();
        let clients = (0..READERS.len() * EACH).map(|n| (n % READERS.len(), Client::default())).collect();
        Self { luck: Luck(seed), shared: Shared::new(Metrics::new(&[]).streams()), classes, clients, resumed: [0; 3] }
    }

    /// What the readers do in one beat: most read to the end, some a little or nothing, some are cut off in the middle of a word.
    fn beat(&mut self, beat: &Beat, calm: bool) {
        let mut read = Read::new();
        for (class, client) in &mut self.clients {
            let lucky = |luck: &mut Luck, percent| !calm && luck.below(100) < percent;
            if client.at.is_none() && !lucky(&mut self.luck, 60) {
                let cursor = client.last_id.as_deref().map(|id| id.parse::<Cursor>().unwrap());
                let resumed = cursor.and_then(|cursor| Position::resumed(cursor, &beat.now));
                self.resumed[usize::from(cursor.is_some()) + usize::from(resumed.is_some())] += 1;
                client.connect(resumed.unwrap_or_else(|| Position::newcomer(&beat.now)), resumed.is_some());
            }
            let mut left = if lucky(&mut self.luck, 20) { self.luck.below(4) } else { u64::MAX };
            let cut = lucky(&mut self.luck, 5);
            while let Some(at) = client.at {
                if at.is_behind(&beat.now) {
                    client.at = None;
                    break;
                }
                if at.is_at_end(&beat.now) || left == 0 {
                    break;
                }
                left -= 1;
                let (told, length, then) = read.entry((*class, at)).or_insert_with(|| {
                    let chunk = self.shared.chunk(&self.classes[*class], at, beat).unwrap();
                    (Arc::new(client::read(&chunk.bytes)), chunk.bytes.len(), chunk.then)
                });
                let bytes = if cut { self.luck.below(*length as u64 + 1) } else { u64::MAX };
                client.hear(told.iter().take_while(|told| told.end as u64 <= bytes));
                client.at = (!cut).then_some(*then);
            }
        }
    }
}

#[test]
fn whoever_is_slow_or_cut_off_ends_with_what_the_board_has_and_misses_no_end() {
    let (events, seed) = (setting("STREAM_EVENTS", EVENTS), setting("STREAM_SEED", 1));
    let (mut world, mut stage) = (World::new(seed), Stage::new(seed ^ 0x5eed));
    let mut told = 0;
    while told < events {
        let some = 1 + stage.luck.below(60);
        told += some;
        let beat = world.play(some);
        stage.beat(&beat, false);
    }
    let beat = world.settle();
    stage.beat(&beat, true);
    stage.beat(&beat, true);
    for (class, client) in &stage.clients {
        let (query, _, wanted) = READERS[*class];
        client.agrees(&beat.now, &stage.classes[*class], query, wanted);
        assert_eq!(client.missed, Vec::<String>::new(), "{query}: ends that were missed");
    }
    let [new, unknown, resumed] = stage.resumed;
    assert!(new >= stage.clients.len() as u64 && unknown > 0 && resumed > 50, "{:?}", stage.resumed);
    assert!(world.removed > 100, "{} pulls left memory", world.removed);
    eprintln!("{told} reports, {} pulls left memory; streams: {new} new, {unknown} too old, {resumed} resumed", world.removed);
}

#[test]
fn a_chunk_is_written_once_for_all_readers_at_one_place() {
    let mut world = World::new(7);
    let beat = world.play(3_000);
    let metrics = Metrics::new(&[]);
    let shared = Shared::new(metrics.streams());
    let class = || Arc::new(class("", Dialect::Events { layers: true }));
    let walk = |class: &Arc<Class>| {
        let (mut at, mut chunks) = (Position::newcomer(&beat.now), Vec::new());
        while !at.is_at_end(&beat.now) {
            let chunk = shared.chunk(class, at, &beat).unwrap();
            at = chunk.then;
            chunks.push(chunk.bytes);
        }
        chunks
    };
    let first = walk(&class());
    assert!(first.len() > 10, "{} chunks", first.len());
    for _ in 0..100 {
        let again = walk(&class());
        assert!(again.iter().zip(&first).all(|(one, other)| one.as_ptr() == other.as_ptr()), "the same memory");
    }
    let longest = first.iter().map(|chunk| chunk.len()).max().unwrap();
    assert!(longest < 32 * 1024, "a slow reader keeps at most a chunk: {longest} bytes");
}

#[test]
fn an_id_is_good_for_as_long_as_nothing_that_left_since_is_forgotten() {
    let mut world = World::new(3);
    let early = world.play(200).now;
    let late = world.play(100).now;
    let at = |cursor: Cursor, snapshot: &Snapshot| Position::resumed(cursor, snapshot);
    let known = Position { complete: early.revision, seen: early.revision, sync_at: None };
    assert_eq!(at(early.cursor(), &late), Some(known));
    assert_eq!(at(Cursor { epoch: !early.epoch, ..early.cursor() }, &late), None, "of another start");
    assert_eq!(at(Cursor { revision: late.revision + 1, ..late.cursor() }, &late), None, "of the future");
    assert_eq!(at(Cursor { revision: 0, ..late.cursor() }, &late), None, "of one who was told nothing whole");
    let now = world.play(3_000).now;
    assert!(now.forgotten > early.revision);
    assert_eq!(at(early.cursor(), &now), None, "too old");
    assert!(known.is_behind(&now), "who is connected and so slow is no better off");
    assert!(!Position::newcomer(&now).is_behind(&now));
}

fn reader(beat: Beat, class: Class) -> (Reader, watch::Sender<Beat>, Streams) {
    let numbers = Metrics::new(&[]).streams();
    let place = Places::new(Caps { total: 1, per_address: 1 }).take(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
    let at = Position::newcomer(&beat.now);
    let (beats, receiver) = watch::channel(beat);
    let shared = Arc::new(Shared::new(numbers.clone()));
    (Reader::new((shared, receiver), class, at, (numbers.clone(), place, 0)), beats, numbers)
}

async fn next(reader: Reader) -> (String, Reader) {
    let (Ok(bytes), reader) = reader.next().await.expect("the stream goes on");
    (String::from_utf8(bytes.to_vec()).unwrap(), reader)
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_gives_a_sign_of_life_every_fifteen_seconds() {
    let mut world = World::new(5);
    let (reader, beats, _) = reader(world.settle(), class("node=nowhere", Dialect::Events { layers: false }));
    let (greeting, reader) = next(reader).await;
    assert_eq!(greeting, "retry: 1500\n\n");
    let (sync, reader) = next(reader).await;
    assert!(sync.starts_with("event: sync\ndata: {}\nid: "), "{sync}");
    let begin = Instant::now();
    let (comment, reader) = next(reader).await;
    assert_eq!((comment.as_str(), begin.elapsed().as_secs()), (":\n\n", 15));
    // What happens elsewhere is nothing to tell, but an id to come back with.
    let beat = world.play(200);
    let id = beat.now.cursor();
    beats.send_replace(beat);
    let (comment, reader) = next(reader).await;
    assert_eq!((comment, begin.elapsed().as_secs()), (format!(":\nid: {id}\n\n"), 30));
    drop(beats);
    assert!(reader.next().await.is_none(), "it ends with the keeper");
}

#[tokio::test]
async fn a_reader_so_far_behind_that_removals_are_forgotten_is_sent_back_to_begin_again() {
    let mut world = World::new(6);
    let (mut reader, beats, _) = reader(world.play(500), class("", Dialect::Events { layers: false }));
    let mut text = String::new();
    while !text.contains("event: sync") {
        (text, reader) = next(reader).await;
    }
    beats.send_replace(world.play(10));
    (_, reader) = next(reader).await;
    beats.send_replace(world.play(4_000));
    assert!(reader.next().await.is_none());
}
