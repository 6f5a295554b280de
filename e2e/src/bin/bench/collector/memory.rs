//! B15: what a collector with 100,000 pulls in memory holds, and what it costs to scrape it and to ask it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use super::body::Node;
use super::load::{self, Wire};
use super::{Line, cpu_each, fill, median, of_collector, quiet};
use crate::mb;
use crate::usage::Memory;

/// Nodes, pulls of each, and layers of each pull.
const FILLING: (u64, u64, u64) = (1000, 100, 8);

/// Questions that are asked one after the other.
const QUESTIONS: u64 = 50;

pub(super) fn measure(seconds: u64) -> Vec<Line> {
    let collector = quiet();
    let target = of_collector(&collector, Wire::Http);
    let empty = Memory::read(collector.pid());
    let (nodes, pulls, layers) = FILLING;
    let mut lines = Vec::new();
    let cost = cpu_each(collector.pid(), nodes * pulls, || fill(&target, nodes, pulls, layers));
    lines.push(Line::plain(format!("taking {} ended pulls of {layers} layers: each", nodes * pulls), "us", cost));
    let full = Memory::read(collector.pid());
    let each = full.rss.saturating_sub(empty.rss) as f64 / (nodes * pulls) as f64;
    lines.push(Line::plain("RSS with them", "MB", mb(full.rss)));
    lines.push(Line::plain("each pull with its layers", "B", each));
    let metrics = collector.metrics_address();
    let api = format!("127.0.0.1:{}", collector.http_port());
    let scrape = "/metrics";
    let text = ask(&metrics, scrape);
    let series = text.lines().filter(|line| !line.starts_with('#')).count() as f64;
    lines.push(Line::most("series of a scrape", "", series, 300.0, 200.0));
    let newest = ask(&api, "/api/v1/pulls?limit=1&layers=false");
    let id = newest.split("\"id\":\"").nth(1).and_then(|rest| rest.get(..32)).expect("a pull has an id");
    let one = format!("/api/v1/pulls/{id}");
    for (name, address, path, gate, aim) in [
        ("a scrape", &metrics, scrape, 10.0, 2.0),
        ("GET /api/v1/pulls (100 of them)", &api, "/api/v1/pulls?limit=100", 10.0, 2.0),
        ("GET /api/v1/pulls/{id}", &api, &one, 10.0, 2.0),
        ("GET /api/v1/summary", &api, "/api/v1/summary", 10.0, 2.0),
    ] {
        let cost = median(|| cpu_each(collector.pid(), QUESTIONS, || questions(address, path)));
        lines.push(Line::most(name, "ms CPU", cost / 1e3, gate, aim));
    }
    lines.extend(beside(&target, &api, seconds));
    lines
}

/// How long reports wait for their answers while lists are asked for, beside how long they wait otherwise.
fn beside(target: &load::Target, api: &str, seconds: u64) -> Vec<Line> {
    let nodes: Vec<_> = (0..100).map(|number| Node { number: 5_000 + number, pulls: 2, layers: 8 }).collect();
    let waits = |asking: bool| {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (stopped, api) = (stop.clone(), api.to_owned());
        let asker = std::thread::spawn(move || {
            while asking && !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                ask(&api, "/api/v1/pulls?limit=100");
                e2e::clock::pause(std::time::Duration::from_millis(20));
            }
        });
        let mut sent = load::cluster(target, &nodes, seconds.min(10), &std::sync::Arc::default());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        asker.join().expect("asking does not panic");
        sent.percentile(50).as_secs_f64() * 1e6
    };
    let (alone, asked) = (waits(false), waits(true));
    vec![
        Line::plain("T1 beside them: median wait of a report", "us", alone),
        Line::plain("the same while lists are asked for 50 times a second", "us", asked),
    ]
}

fn questions(address: &str, path: &str) -> load::Sent {
    (0..QUESTIONS).for_each(|_| drop(ask(address, path)));
    load::Sent::default()
}

/// The body of an answer, read to the end of the connection.
fn ask(address: &str, path: &str) -> String {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(address).expect("the collector listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: collector\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 200"),
        "{path} after {:?}: {}",
        begin.elapsed(),
        answer.lines().next().unwrap_or_default()
    );
    answer
}
