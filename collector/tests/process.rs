//! The binary as it is started, stopped and configured: exit codes, messages, the event log, and memory under attack.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use house::{DEADLINE, Stream, get, node, post, pull, ready};
use lifecycle::wire::{
    self,
    Event::{Finished, Started},
};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use serde_json::Value;

const ANY_PORT: [(&str, &str); 4] = [
    ("PULLTRACE_HTTP_ADDR", "127.0.0.1:0"),
    ("PULLTRACE_METRICS_ADDR", "127.0.0.1:0"),
    ("PULLTRACE_OTLP_GRPC_ADDR", "127.0.0.1:0"),
    ("PULLTRACE_OTLP_HTTP_ADDR", "127.0.0.1:0"),
];

/// Readers at a time.
const CROWD: usize = 5_000;

struct Collector {
    child: Child,
    addresses: BTreeMap<String, SocketAddr>,
    messages: mpsc::Receiver<String>,
}

fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulltrace-collector"));
    command.env_clear().envs(ANY_PORT).envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end: exit code, standard output and error.
fn run(variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(variables).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

impl Collector {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut child = command(variables).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, messages) = mpsc::channel();
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut this = Self { child, addresses: BTreeMap::new(), messages };
        let listening: Value = serde_json::from_str(&this.message("listening")).unwrap();
        for (name, address) in listening.as_object().unwrap() {
            if let Some(address) = address.as_str().and_then(|text| text.parse().ok()) {
                this.addresses.insert(name.clone(), address);
            }
        }
        this
    }

    /// The next message with this text.
    fn message(&self, text: &str) -> String {
        loop {
            let line = self.messages.recv_timeout(DEADLINE).unwrap();
            if line.contains(text) {
                return line;
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Asks it to end, and how long that took.
    fn terminate(&mut self) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        kill_process(self.pid(), Signal::TERM).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, asked.elapsed())
    }

    fn peak_memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn a_wrong_value_is_one_sentence_and_exit_code_64() {
    let (code, out, err) = run(&[("PULLTRACE_HISTORY_TTL", "soon")], &[]);
    assert_eq!((code, out.as_str()), (Some(64), ""));
    assert!(
        err.starts_with("PULLTRACE_HISTORY_TTL (--history-ttl): \"soon\" is not allowed;") && err.lines().count() == 1,
        "{err}"
    );
}

#[test]
fn help_names_every_variable() {
    let (code, out, _) = run(&[], &["--help"]);
    assert_eq!(code, Some(0));
    for name in [
        "HTTP_ADDR",
        "METRICS_ADDR",
        "OTLP_GRPC_ADDR",
        "OTLP_HTTP_ADDR",
        "HISTORY_TTL",
        "FORWARD_OTLP_ENDPOINT",
        "REGISTRY_LABELS",
        "EVENT_LOG",
        "CLUSTER_NAME",
        "LOG_LEVEL",
        "LOG_FORMAT",
    ] {
        assert!(out.contains(&format!("[env: PULLTRACE_{name}=")), "{name}");
    }
}

#[test]
fn a_port_in_use_is_one_sentence_that_names_address_and_variable() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, err) = run(&[("PULLTRACE_OTLP_HTTP_ADDR", &address)], &[]);
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with(&format!("cannot listen on {address} (PULLTRACE_OTLP_HTTP_ADDR): ")) && err.lines().count() == 1,
        "{err}"
    );
}

#[test]
fn the_event_log_has_a_line_for_every_start_and_end_and_sigterm_ends_everything_in_time() {
    let mut collector = Collector::start(&[]);
    let body =
        wire::encode::pulls(&node("node-1"), "0.1.0", [(Started, &pull("a", 1, 10)), (Finished, &ready(pull("a", 2, 1500)))]);
    assert_eq!(
        post(collector.addresses["otlp_http"], "/v1/logs", &[("content-type", "application/x-protobuf")], &body).status,
        200
    );
    let mut lines = BufReader::new(collector.child.stdout.take().unwrap()).lines();
    for kind in ["pull.started", "pull.completed"] {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&event["type"], &event["pull"]["imageRef"]), (&kind.into(), &"docker.io/library/a:latest".into()));
    }
    let mut stream = Stream::open(collector.addresses["http"], "/api/v1/events", &[]);
    stream.until_sync();
    let (code, took) = collector.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(lines.next().is_none());
}

/// A sink over HTTP that takes requests and answers the first only when it is told to.
fn slow_sink() -> (SocketAddr, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ((tell, asked), (go, may)) = (mpsc::channel(), mpsc::channel());
    thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).unwrap();
        }
        tell.send(()).unwrap();
        if may.recv().is_ok() {
            // Only a collector that has been cut off does not hear this.
            _ = stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (address, asked, go)
}

fn forwarding_to(sink: SocketAddr) -> Collector {
    let to = format!("http/protobuf=http://{sink}");
    let collector = Collector::start(&[("PULLTRACE_FORWARD_OTLP_ENDPOINT", &to), ("PULLTRACE_EVENT_LOG", "off")]);
    let body = wire::encode::pulls(&node("node-1"), "0.1.0", [(Started, &pull("a", 1, 10))]);
    let headers = [("content-type", "application/x-protobuf")];
    assert_eq!(post(collector.addresses["otlp_http"], "/v1/logs", &headers, &body).status, 200);
    collector
}

#[test]
fn at_its_end_it_says_so_first_and_forwards_what_it_has_taken() {
    let (sink, asked, go) = slow_sink();
    let mut collector = forwarding_to(sink);
    asked.recv_timeout(DEADLINE).unwrap();
    let ready = collector.addresses["http"];
    house::eventually("all its ports accept", || (get(ready, "/readyz", &[]).status == 200).then_some(()));
    kill_process(collector.pid(), Signal::TERM).unwrap();
    house::eventually("it is not ready", || (get(ready, "/readyz", &[]).text() == "about to end\n").then_some(()));
    let late = post(collector.addresses["otlp_http"], "/v1/logs", &[("content-type", "application/json")], b"{}");
    assert_eq!(late.status, 200, "until others have heard of it, what comes is taken");
    go.send(()).unwrap();
    assert_eq!(collector.child.wait().unwrap().code(), Some(0));
    let messages: Vec<_> = collector.messages.iter().collect();
    assert!(!messages.iter().any(|message| message.contains("could be forwarded")), "{messages:?}");
}

#[test]
fn asked_twice_to_end_it_ends_at_once() {
    let (sink, asked, _go) = slow_sink();
    let mut collector = forwarding_to(sink);
    asked.recv_timeout(DEADLINE).unwrap();
    kill_process(collector.pid(), Signal::TERM).unwrap();
    collector.message("asked to end");
    let (code, took) = collector.terminate();
    assert_eq!(code, Some(130));
    assert!(took < collector::LEAVING, "{took:?}");
}

#[test]
fn variables_that_nobody_reads_are_warned_about_and_those_of_the_agent_are_not() {
    let mut child = command(&[("PULLTRACE_HTPP_ADDR", "x"), ("PULLTRACE_NODE_NAME", "y")]).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let before: Vec<_> = lines.by_ref().take_while(|line| !line.contains("listening")).collect();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(before.len() == 1 && before[0].contains("PULLTRACE_HTPP_ADDR"), "{before:?}");
}

#[test]
fn a_crowd_of_readers_is_told_everything_and_leaves_no_file_behind_when_it_goes() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let most = CROWD.to_string();
    let collector = Collector::start(&[
        ("PULLTRACE_EVENT_LOG", "off"),
        ("PULLTRACE_SSE_MAX_CLIENTS", &most),
        ("PULLTRACE_SSE_MAX_CLIENTS_PER_ADDRESS", &most),
    ]);
    let http = collector.addresses["http"];
    let files = collector.open_files();
    let mut readers: Vec<_> = (0..CROWD).map(|_| Stream::open(http, "/api/v1/events", &[])).collect();
    assert!(collector.open_files() >= CROWD);
    assert!(readers.iter().all(|reader| reader.head.contains(" 200 ")));
    assert_eq!(get(http, "/api/v1/events", &[]).status, 503, "one more is too many");
    let body = wire::encode::pulls(&node("node-1"), "0.1.0", [(Started, &pull("a", 1, 10))]);
    let headers = [("content-type", "application/x-protobuf")];
    assert_eq!(post(collector.addresses["otlp_http"], "/v1/logs", &headers, &body).status, 200);
    for reader in &mut readers {
        reader.until(|message| message.kind() == "pull.started");
    }
    drop(readers);
    house::eventually("their connections are closed", || (collector.open_files() <= files + files / 20).then_some(()));
    assert_eq!(get(http, "/readyz", &[]).status, 200);
}

#[test]
fn a_bomb_of_many_times_the_limit_is_refused_without_taking_the_memory_for_it() {
    let collector = Collector::start(&[("PULLTRACE_EVENT_LOG", "off")]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..256 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
    let before = collector.peak_memory_mib();
    for _ in 0..3 {
        assert_eq!(post(collector.addresses["otlp_http"], "/v1/logs", &headers, &bomb).status, 413);
    }
    let grown = collector.peak_memory_mib() - before;
    assert!(grown <= 160, "{grown} MiB");
    assert_eq!(get(collector.addresses["http"], "/readyz", &[]).status, 200);
}
