//! A collector on ports of its own, in this process, and what the tests say to it and read from it. Nothing here knows its inside.

#![expect(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use collector::{config::Config, listen::Listeners};
use lifecycle::{
    image::Digest,
    pull::{
        Ending, ErrorClass, Eta, Failure, Host, Interval, Layer, LayerState, Node, NodeReport, Outcome, Phase, Pull, PullId,
        TimingSource,
    },
    time::Timestamp,
    wire::{self, Event, Signal},
};
use otlp::{Client, Endpoint, Protocol, SendError, Sent};
use serde_json::Value;
use tokio::sync::oneshot;

/// Whatever is waited for must happen within this time.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct House {
    pub(crate) http: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) web: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl House {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let free = ["--http-addr", "--metrics-addr", "--otlp-grpc-addr", "--otlp-http-addr"].map(|flag| [flag, "127.0.0.1:0"]);
        let fixed = ["collector", "--event-log", "off", "--kubernetes", "off"].into_iter().chain(free.into_iter().flatten());
        let config = Config::read(fixed.chain(arguments.iter().copied()).map(Into::into)).unwrap();
        let (tell, addresses) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listeners = Listeners::bind(&config).await.unwrap();
                let all = [&listeners.http, &listeners.metrics, &listeners.otlp_grpc, &listeners.otlp_http];
                tell.send(all.map(|listener| listener.local_addr().unwrap())).unwrap();
                collector::run(config, listeners, async { _ = stopped.await }).await;
            });
        });
        let [http, metrics, grpc, web] = addresses.recv_timeout(DEADLINE).unwrap();
        Self { http, metrics, grpc, web, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        get(self.http, path, &[])
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    pub(crate) fn scrape(&self) -> String {
        get(self.metrics, "/metrics", &[]).text()
    }

    /// The value of one series of the classic exposition; 0 if there is none.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let scrape = self.scrape();
        let line = scrape.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Sends reports over OTLP/HTTP.
    pub(crate) fn report(&self, reports: &[(Event, &Pull)]) {
        let body = wire::encode::pulls(&node("node-1"), "0.1.0", reports.iter().copied());
        self.accept(Signal::Logs, body);
    }

    pub(crate) fn accept(&self, signal: Signal, body: Vec<u8>) {
        let answer = post(self.web, signal.http_path(), &[("content-type", "application/x-protobuf")], &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.body.is_empty(), "{}", answer.text());
    }

    pub(crate) fn events(&self, path: &str, headers: &[(&str, &str)]) -> Stream {
        Stream::open(self.http, path, headers)
    }

    pub(crate) fn grpc(
        &self,
        to: SocketAddr,
        compression: otlp::Compression,
        signal: Signal,
        body: Vec<u8>,
    ) -> Result<Sent, SendError> {
        let endpoint = Endpoint::parse(&format!("http://{to}"), Protocol::Grpc).unwrap();
        let client = endpoint.with_compression(compression).with_timeout(DEADLINE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Client::new(client).send(signal, Bytes::from(body)).await })
    }

    /// Stops it and waits for the end.
    pub(crate) fn stop(mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

pub(crate) fn get(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    request("GET", to, path, headers, &[])
}

pub(crate) fn post(to: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    request("POST", to, path, headers, body)
}

pub(crate) fn request(method: &str, to: SocketAddr, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(DEADLINE)).build();
    let mut builder = http::Request::builder().method(method).uri(format!("http://{to}{path}"));
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let agent = ureq::Agent::new_with_config(config);
    let mut response = match body.is_empty() && method == "GET" {
        true => agent.run(builder.body(()).unwrap()).unwrap(),
        false => agent.run(builder.body(body).unwrap()).unwrap(),
    };
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut body = Vec::new();
    response.body_mut().as_reader().read_to_end(&mut body).unwrap();
    Answer { status: response.status().as_u16(), headers, body }
}

/// One reader of an event stream.
pub(crate) struct Stream {
    reader: BufReader<TcpStream>,
    pub(crate) head: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) name: Option<String>,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl Stream {
    pub(crate) fn open(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        // Without HTTP/1.1's chunks the body is the stream itself.
        write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n{headers}\r\n").unwrap();
        Self::adopt(stream)
    }

    /// One that has asked already.
    pub(crate) fn adopt(stream: TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        Self { reader, head }
    }

    /// The next event; comments and `retry:` are passed over.
    pub(crate) fn next(&mut self) -> Message {
        let (mut name, mut id, mut data) = (None, None, None);
        loop {
            let mut line = String::new();
            assert_ne!(self.reader.read_line(&mut line).unwrap(), 0, "the stream ended");
            match line.trim_end().split_once(": ") {
                Some(("event", value)) => name = Some(value.to_owned()),
                Some(("id", value)) => id = Some(value.to_owned()),
                Some(("data", value)) => data = Some(serde_json::from_str(value).unwrap()),
                _ if line == "\n" && data.is_some() => return Message { name, id: id.unwrap(), data: data.unwrap() },
                _ => {}
            }
        }
    }

    /// Everything up to and with the first event that fits.
    pub(crate) fn until(&mut self, fits: impl Fn(&Message) -> bool) -> Vec<Message> {
        let mut messages = vec![self.next()];
        while !messages.last().is_some_and(&fits) {
            messages.push(self.next());
        }
        messages
    }

    pub(crate) fn until_sync(&mut self) -> Vec<Message> {
        self.until(|m| m.name.as_deref() == Some("sync"))
    }
}

impl Message {
    pub(crate) fn kind(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.data["type"].as_str().unwrap())
    }

    pub(crate) fn is(&self, kind: &str, pull: &Pull) -> bool {
        self.kind() == kind && self.data["pull"]["id"] == pull.id.to_string()
    }
}

/// Asks again until it is so.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, ask: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

pub(crate) fn node(name: &str) -> Node {
    Node {
        name: name.parse().unwrap(),
        uid: format!("uid-of-{name}"),
        cluster: String::new(),
        runtime_name: "containerd".into(),
        runtime_version: "2.1.4".into(),
    }
}

pub(crate) fn heartbeat(active_pulls: u64) -> NodeReport {
    NodeReport {
        node: node("node-1"),
        observed_at: at(0),
        agent_version: "0.1.0".into(),
        runtime_reachable: true,
        active_pulls,
        queued_images: Vec::new(),
        dropped_progress: 0,
        dropped_outcomes: 0,
    }
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_760_000_000_000 + seconds * 1000)
}

/// A pull of two layers, 1000 and 500 bytes, of which so many bytes are here.
pub(crate) fn pull(image: &str, sequence: u64, fetched: u64) -> Pull {
    let layer = |size: u64, fetched: u64| Layer {
        digest: Digest::of(format!("{image} {size}").as_bytes()),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
        size,
        fetched,
        cached: false,
        lazy: false,
        state: match fetched {
            0 => LayerState::Queued,
            n if n == size => LayerState::Downloaded,
            _ => LayerState::Downloading,
        },
        download: Interval { start: Some(at(1)), end: (fetched == size).then(|| at(4)), source: TimingSource::Event },
        unpack: Interval::default(),
    };
    Pull {
        id: PullId::derive("uid-of-node-1", "k8s.io", image, at(0)),
        sequence,
        namespace: "k8s.io".into(),
        image: image.parse().ok(),
        digest: None,
        snapshotter: "overlayfs".into(),
        phase: Phase::Downloading,
        wait: None,
        waits: Vec::new(),
        ending: None,
        started_at: at(0),
        resolved_at: Some(at(1)),
        observed_at: at(sequence),
        total_known: true,
        bytes_per_sec: Some(100),
        eta: Eta::within(Duration::from_secs(4), Duration::from_secs(5), Duration::from_secs(8)),
        host: Host::default(),
        layers: vec![layer(1000, fetched.min(1000)), layer(500, fetched.saturating_sub(1000))],
    }
}

pub(crate) fn ready(mut pull: Pull) -> Pull {
    for layer in &mut pull.layers {
        layer.state = LayerState::Ready;
        layer.unpack = Interval { start: Some(at(4)), end: Some(at(6)), source: TimingSource::Event };
    }
    (pull.bytes_per_sec, pull.eta) = (None, None);
    ended(pull, Outcome::Ready)
}

pub(crate) fn failed(pull: Pull, class: ErrorClass, message: &str) -> Pull {
    ended(pull, Outcome::Failed(Failure { class, message: message.into() }))
}

fn ended(mut pull: Pull, outcome: Outcome) -> Pull {
    pull.ending = Some(Ending { outcome, at: at(7), source: TimingSource::Event });
    pull
}
