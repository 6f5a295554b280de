//! The streams under readers that misbehave, and what bounds them: places, headers, buffers; gzip; and the page's dense form.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use flate2::{Decompress, FlushDecompress};
use house::{House, Stream, eventually, get, pull, ready};
use lifecycle::wire::Event::{Finished, Progress, Started};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
use serde_json::{Value, json};

const EVENTS: &str = "/api/v1/events";

/// A connection from one of loopback's addresses, with a receive buffer of about so many bytes if that matters.
fn dial(from: [u8; 4], to: SocketAddr, buffer: Option<usize>) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    if let Some(bytes) = buffer {
        sockopt::set_socket_recv_buffer_size(&socket, bytes).unwrap();
    }
    bind(&socket, &SocketAddr::new(IpAddr::from(from), 0)).unwrap();
    connect(&socket, &to).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(house::DEADLINE)).unwrap();
    stream
}

/// Asks for a path, and reads the head of the answer.
fn ask(mut stream: TcpStream, path: &str, headers: &str) -> (String, BufReader<TcpStream>) {
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n{headers}\r\n").unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    (head, reader)
}

#[test]
fn readers_beyond_the_caps_are_told_to_come_back_and_counted() {
    let house = House::start(&["--sse-max-clients", "3", "--sse-max-clients-per-address", "2"]);
    let (one, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
    let open = |from| ask(dial(from, house.http, None), EVENTS, "");
    let taken = [open(one), open(one)];
    assert!(taken.iter().all(|(head, _)| head.starts_with("HTTP/1.0 200")), "{}", taken[0].0);
    let (refused, mut body) = open(one);
    assert!(refused.starts_with("HTTP/1.0 503") && refused.contains("retry-after: 5"), "{refused}");
    let mut text = String::new();
    body.read_to_string(&mut text).unwrap();
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(problem["error"]["code"], "too_many_readers");
    assert!(problem["error"]["message"].as_str().unwrap().starts_with("2 readers from this address"), "{problem}");
    let third = open(other);
    assert!(third.0.starts_with("HTTP/1.0 200"), "{}", third.0);
    assert!(open(other).0.starts_with("HTTP/1.0 503"));
    assert_eq!(house.metric("pulltrace_sse_refused_total{reason=\"address\"}"), 1.0);
    assert_eq!(house.metric("pulltrace_sse_refused_total{reason=\"total\"}"), 1.0);
    assert_eq!(house.metric("pulltrace_sse_clients_active"), 3.0);
    drop((taken, third));
    eventually("there is room again", || open(one).0.starts_with("HTTP/1.0 200").then_some(()));
}

#[test]
fn an_id_of_ten_kilobytes_is_refused_and_so_is_any_head_that_long() {
    let house = House::start(&[]);
    let long = "9".repeat(10_000);
    let answer = get(house.http, EVENTS, &[("Last-Event-ID", &long)]);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (431, &json!("header_too_large")));
    assert_eq!(house.metric("pulltrace_sse_refused_total{reason=\"header\"}"), 1.0);
    // A head so long that nobody reads it to its end: the answer may be overtaken by the end of the connection, but is no stream.
    let mut stream = dial([127, 0, 0, 1], house.http, None);
    let sent = write!(stream, "GET {EVENTS} HTTP/1.1\r\nhost: test\r\nx-anything: {}\r\n\r\n", "9".repeat(30_000));
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty() && (sent.is_err() || read.is_err()), "{answer}");
    assert_eq!(house.metric("pulltrace_sse_clients_active"), 0.0);
}

#[test]
fn how_streams_begin_is_counted() {
    let house = House::start(&[]);
    house.report(&[(Started, &pull("a", 1, 10))]);
    let mut stream = house.events(EVENTS, &[]);
    let id =
        stream.until(|m| m.is("pull.progress", &pull("a", 1, 10)) || m.is("pull.started", &pull("a", 1, 10))).pop().unwrap().id;
    let id = if id.ends_with(".0") { stream.until_sync().pop().unwrap().id } else { id };
    let _resumed = house.events(EVENTS, &[("Last-Event-ID", &id)]);
    let _unknown = house.events(EVENTS, &[("Last-Event-ID", "0000000000000001.5")]);
    for (start, count) in [("new", 1.0), ("resumed", 1.0), ("unknown_id", 1.0)] {
        assert_eq!(house.metric(&format!("pulltrace_sse_opened_total{{start=\"{start}\"}}")), count, "{start}");
    }
}

#[test]
fn who_takes_gzip_gets_it_at_once() {
    let house = House::start(&[]);
    let pulls: Vec<_> = (0..100).map(|n| pull(&format!("image-{n}"), 1, n)).collect();
    house.report(&pulls.iter().map(|p| (Started, p)).collect::<Vec<_>>());
    eventually("all are known", || (house.json("/api/v1/summary")["pulls"] == 100).then_some(()));
    let path = format!("{EVENTS}?active=true");
    let (head, packed) = ask(dial([127, 0, 0, 1], house.http, None), &path, "Accept-Encoding: br, gzip;q=0.8\r\n");
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"), "{head}");
    let mut packed = Packed::new(packed);
    packed.until(|text| pulls.iter().all(|p| text.contains(&format!("\"id\":\"{}\"", p.id))));
    assert!(packed.text.starts_with("retry: "), "{}", packed.text);
    // What happens now comes at once, though it fills no block of the compression.
    packed.text.clear();
    let begun = Instant::now();
    house.report(&[(Finished, &ready(pull("image-3", 2, 1500)))]);
    packed.until(|text| text.contains("\"pull.completed\"") && text.contains(&pulls[3].id.to_string()));
    assert!(begun.elapsed() < COMMENT_AFTER, "it came with the next sign of life");
    let (head, _) = ask(dial([127, 0, 0, 1], house.http, None), &path, "Accept-Encoding: gzip;q=0\r\n");
    assert!(!head.contains("content-encoding"), "{head}");
}

/// Signs of life are so far apart.
const COMMENT_AFTER: Duration = Duration::from_secs(15);

/// A stream that is unpacked as it comes. `flate2`'s own readers wait for more bytes before they hand out all they have.
struct Packed<R> {
    source: R,
    unpacker: Decompress,
    text: String,
}

impl<R: Read> Packed<R> {
    fn new(mut source: R) -> Self {
        let mut header = [0; 10];
        source.read_exact(&mut header).unwrap();
        assert_eq!(header[..3], [0x1f, 0x8b, 8], "gzip, by deflate");
        Self { source, unpacker: Decompress::new(false), text: String::new() }
    }

    fn until(&mut self, mut enough: impl FnMut(&str) -> bool) {
        let mut bytes = [0; 8 << 10];
        while !enough(&self.text) {
            let length = self.source.read(&mut bytes).unwrap();
            assert!(length > 0, "it ended: {}", self.text);
            let (begin, mut out) = (self.unpacker.total_in(), Vec::with_capacity(1 << 20));
            loop {
                let done = usize::try_from(self.unpacker.total_in() - begin).unwrap();
                self.unpacker.decompress_vec(&bytes[done..length], &mut out, FlushDecompress::Sync).unwrap();
                if out.len() < out.capacity() && self.unpacker.total_in() - begin == length as u64 {
                    break;
                }
                out.reserve(1 << 20);
            }
            self.text += str::from_utf8(&out).unwrap();
        }
    }
}

/// Pulls in the flood.
const FLOOD: u64 = 300;
/// More than a reader that reads nothing may hold up, in bytes: what the system sends and receives ahead, and two chunks.
const SLOW_BOUND: f64 = 512.0 * 1024.0;

fn flood(house: &House, sequence: u64) {
    let pulls: Vec<_> =
        (0..FLOOD).map(|n| pull(&format!("registry.example/team/image-{n}:v1"), sequence, sequence % 1500)).collect();
    house.report(&pulls.iter().map(|p| (Progress, p)).collect::<Vec<_>>());
}

#[test]
fn who_does_not_read_holds_up_a_bounded_number_of_bytes_and_nobody_else() {
    const ROUNDS: u64 = 24;
    let house = House::start(&[]);
    let request = |stream: &mut TcpStream| write!(stream, "GET {EVENTS} HTTP/1.0\r\nHost: test\r\n\r\n").unwrap();
    let mut slow: Vec<_> = (0..70).map(|_| dial([127, 0, 0, 2], house.http, Some(4096))).collect();
    slow.iter_mut().for_each(request);
    eventually("all are connected", || (house.metric("pulltrace_sse_clients_active") >= 70.0).then_some(()));
    let (mut deaf, mut crawling) = (slow.split_off(20), slow);
    let mut healthy = house.events(EVENTS, &[]);
    healthy.until_sync();
    let told = |stream: &mut Stream, sequence: u64| {
        let bytes = sequence % 1500;
        let mut missing: BTreeSet<_> =
            (0..FLOOD).map(|n| pull(&format!("registry.example/team/image-{n}:v1"), 1, 0).id.to_string()).collect();
        let mut size = 0;
        while !missing.is_empty() {
            let message = stream.next();
            size += message.data.to_string().len();
            if message.data["pull"]["downloadedBytes"] == bytes {
                missing.remove(message.data["pull"]["id"].as_str().unwrap());
            }
        }
        size
    };
    let mut volume = 0;
    for sequence in 1..=ROUNDS {
        flood(&house, sequence);
        for reader in &mut crawling {
            _ = reader.read(&mut [0; 1000]).unwrap();
        }
        // The healthy reader has heard everything before the next round begins: nobody holds it up.
        volume += told(&mut healthy, sequence);
    }
    assert!(volume as f64 > 10.0 * SLOW_BOUND, "the flood is larger than all buffers: {volume} bytes");
    let to_all = house.metric("pulltrace_sse_sent_bytes_total");
    let to_slow = to_all - volume as f64;
    assert!(to_slow < 70.0 * SLOW_BOUND, "{to_slow} bytes were taken by 70 slow readers");
    assert_eq!(house.metric("pulltrace_agent_reports_total"), (ROUNDS * FLOOD) as f64);
    // Who reads again after all has what is now, after little more than what was on its way to it.
    let mut woken = Stream::adopt(deaf.swap_remove(0));
    let size = told(&mut woken, ROUNDS);
    assert!(size < volume / 4, "{size} of {volume} bytes to the newest state");
}

#[test]
fn frames_tell_a_pull_whole_and_then_its_numbers() {
    let house = House::start(&[]);
    let mut stream = house.events("/api/v1/frames?layers=true&summary=true", &[]);
    assert_eq!(stream.until_sync().len(), 1);
    let a = pull("a", 1, 10);
    house.report(&[(Started, &a)]);
    let whole = stream.next();
    let number = whole.data["whole"][0][0].clone();
    let status = house.json("/api/v1/pulls")["pulls"][0].clone();
    assert_eq!(whole.data, json!({ "whole": [[number, status]] }));
    house.report(&[(Progress, &pull("a", 2, 700))]);
    let numbers = stream.next();
    let summary = house.json(&format!("/api/v1/pulls/{}", a.id))["summary"].clone();
    let expected = json!({
        "numbers": [[number, 700, 100, 5.0, 4.0, 8.0, 0, null, summary]],
        "layers": [[number, [0, 700]]],
    });
    assert_eq!(numbers.data, expected);
    house.report(&[(Finished, &ready(pull("a", 3, 1500)))]);
    let end = stream.next();
    assert_eq!((&end.data["whole"][0][0], &end.data["whole"][0][1]["outcome"]), (&number, &json!("ready")));
    // Who comes back with the id of the first frame hears of the end only.
    let mut resumed = house.events("/api/v1/frames", &[("Last-Event-ID", &whole.id)]);
    assert_eq!(resumed.next().data["whole"][0][1]["outcome"], "ready");
    assert_eq!(get(house.http, "/api/v1/events?summary=true", &[]).status, 400);
}
