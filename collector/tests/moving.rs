//! A rolling update: for a moment two collectors stand behind one address, then the old one ends. Agents and readers move over.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use house::{DEADLINE, House, eventually, node, pull, ready};
use lifecycle::wire::{
    self,
    Event::{Finished, Progress, Started},
    Signal,
};
use otlp::{Client, Endpoint, Protocol};
use serde_json::Value;

/// The agent tells something this often.
const BEAT: Duration = Duration::from_millis(10);
/// Pulls that end on each side of the move, at least.
const ENOUGH: f64 = 30.0;
/// The pull that runs all along.
const LONG: &str = "docker.io/library/long:latest";
/// The pull that ends last.
const LAST: &str = "docker.io/library/last:latest";

/// An address behind which stands now one, now another. Connections stay with whom they were made to.
struct Address {
    at: SocketAddr,
    to: Arc<Mutex<SocketAddr>>,
}

impl Address {
    fn of(first: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (at, to) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(first)));
        let now = to.clone();
        thread::spawn(move || {
            for near in listener.incoming() {
                let (near, to) = (near.unwrap(), *now.lock().unwrap());
                // Nobody there any more: whoever asked hears that the connection ends.
                let Ok(far) = TcpStream::connect(to) else { continue };
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                    thread::spawn(move || {
                        // However it ends, the other side is told that it did.
                        _ = io::copy(&mut from, &mut to);
                        _ = to.shutdown(Shutdown::Write);
                    });
                }
            }
        });
        Self { at, to }
    }

    fn move_to(&self, other: SocketAddr) {
        *self.to.lock().unwrap() = other;
    }
}

/// Tells of one pull after the other, each again until it is taken, and beside it of one that runs on; as an agent does. Returns which ended.
fn tell(to: SocketAddr, stop: &AtomicBool) -> BTreeSet<String> {
    let endpoint = Endpoint::parse(&format!("http://{to}"), Protocol::Grpc).unwrap().with_timeout(DEADLINE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = Client::new(endpoint);
    let deliver = |reports: &[(wire::Event, &lifecycle::pull::Pull)]| {
        let body = Bytes::from(wire::encode::pulls(&node("node-1"), "0.1.0", reports.iter().copied()));
        eventually("it is taken", || runtime.block_on(client.send(Signal::Logs, body.clone())).ok());
    };
    let mut ended = BTreeSet::new();
    for n in 1.. {
        let is_last = stop.load(Ordering::Relaxed);
        let name = if is_last { "last".to_owned() } else { format!("image-{n}") };
        let long = pull("long", n, n.min(1400));
        deliver(&[(if n == 1 { Started } else { Progress }, &long), (Started, &pull(&name, 1, 10))]);
        deliver(&[(Finished, &ready(pull(&name, 2, 1500)))]);
        ended.insert(format!("docker.io/library/{name}:latest"));
        if is_last {
            break;
        }
        thread::park_timeout(BEAT);
    }
    ended
}

/// Follows the stream over every end of a connection until the last pull has ended. Returns the epochs in the order in which they were told,
/// and how often the end of each pull was.
fn follow(to: SocketAddr) -> (Vec<String>, BTreeMap<String, usize>) {
    let (mut epochs, mut ends, mut place) = (Vec::<String>::new(), BTreeMap::<String, usize>::new(), String::new());
    while !ends.contains_key(LAST) {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET /api/v1/events HTTP/1.0\r\nHost: test\r\nLast-Event-ID: {place}\r\n\r\n").unwrap();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(id) = line.strip_prefix("id: ") {
                place = id.to_owned();
                let epoch = id.split('.').next().unwrap();
                if epochs.last().is_none_or(|last| last != epoch) {
                    epochs.push(epoch.to_owned());
                }
            }
            let data: Option<Value> = line.strip_prefix("data: ").and_then(|data| serde_json::from_str(data).ok());
            let Some(event) = data.filter(|event| event["pull"]["outcome"] == "ready") else { continue };
            let image = event["pull"]["imageRef"].as_str().unwrap().to_owned();
            let is_last = image == LAST;
            // Those that ended before are in the snapshot at the beginning.
            *ends.entry(image).or_default() += usize::from(event["type"] == "pull.completed");
            if is_last {
                break;
            }
        }
    }
    (epochs, ends)
}

fn ended(house: &House) -> f64 {
    house.metric("pulltrace_pulls_total{outcome=\"ready\",registry=\"docker.io\",cache=\"none\"}")
}

#[test]
fn agents_and_readers_move_to_another_collector_and_nothing_is_lost_or_counted_twice() {
    let sink = House::start(&[]);
    let to_sink = format!("http://{}", sink.grpc);
    let [old, new] = [(); 2].map(|()| House::start(&["--forward-otlp-endpoint", &to_sink]));
    let (reports, streams) = (Address::of(old.grpc), Address::of(old.http));
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, told_to, read_from) = (stop.clone(), reports.at, streams.at);
    let agent = thread::spawn(move || tell(told_to, &stopped));
    let reader = thread::spawn(move || follow(read_from));
    eventually("the old one knows enough", || (ended(&old) >= ENOUGH).then_some(()));
    reports.move_to(new.grpc);
    streams.move_to(new.http);
    assert_eq!(ended(&new), 0.0, "whoever is connected stays");
    old.stop();
    eventually("the new one knows enough", || (ended(&new) >= ENOUGH).then_some(()));
    stop.store(true, Ordering::Relaxed);
    let told = agent.join().unwrap();
    let all = told.len() as f64;

    let (epochs, ends) = reader.join().unwrap();
    assert_eq!(epochs.len(), 2, "one change of the epoch: {epochs:?}");
    assert!(ends.values().all(|times| *times <= 1), "{ends:?}");
    let running = |house: &House| {
        let list = house.json("/api/v1/pulls?limit=1000");
        list["pulls"].as_array().unwrap().iter().filter(|pull| pull["imageRef"] == LONG).count()
    };
    assert_eq!((running(&new), running(&sink)), (1, 1), "what runs on is one pull");
    eventually("every end has arrived", || (ended(&sink) >= all).then_some(()));
    assert_eq!(ended(&sink), all, "and none twice");
    let missed: Vec<_> = told.iter().filter(|image| !ends.contains_key(*image)).collect();
    assert!(missed.is_empty(), "the reader was not told of {missed:?}");
}
