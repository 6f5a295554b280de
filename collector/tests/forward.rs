//! What is passed on: to whom, as what, and that the numbers about it add up whenever someone looks.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::mpsc,
    thread,
};

use house::{DEADLINE, House, eventually, node, post, pull, ready};
use lifecycle::wire::{
    self,
    Event::{Finished, Progress, Started},
    Signal,
};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const MIB: usize = 1 << 20;

fn logs(image: &str) -> Vec<u8> {
    wire::encode::pulls(&node("node-1"), "0.1.0", [(Started, &pull(image, 1, 10))])
}

fn arrives(house: &House, image: &str) {
    let full = format!("docker.io/library/{image}:latest");
    let told = |list: &Value| list["pulls"].as_array().unwrap().iter().any(|p| p["imageRef"] == full.as_str());
    eventually(image, || told(&house.json("/api/v1/pulls")).then_some(()));
}

/// What a sink does with a connection or a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Answer(u16),
    /// Success, but three records were not taken.
    Partial,
    /// Sends whoever asks to another address.
    Redirect(SocketAddr),
    /// Closes the connection without an answer.
    Close,
}

/// An HTTP receiver that does this, request by request, then answers with 200, and hands over what it got.
fn sink(answers: Vec<Does>) -> (SocketAddr, mpsc::Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            while let Some((path, body)) = read_request(&mut stream) {
                let (status, headers, said) = match answers.next().unwrap_or(Does::Answer(200)) {
                    Does::Answer(503) => (503, "Retry-After: 0\r\n".to_owned(), Vec::new()),
                    Does::Answer(status) => (status, String::new(), Vec::new()),
                    Does::Partial => (200, "Content-Type: application/x-protobuf\r\n".to_owned(), wire::response(3, "no")),
                    Does::Redirect(to) => (307, format!("Location: http://{to}{path}\r\n"), Vec::new()),
                    Does::Close => break,
                };
                let head = format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n", said.len());
                stream.get_mut().write_all(&[head.as_bytes(), &said].concat()).unwrap();
                if tell.send((path, body)).is_err() {
                    return;
                }
            }
        }
    });
    (address, told)
}

fn read_request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        lines.push(line.trim().to_ascii_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((lines[0].split(' ').nth(1)?.to_owned(), body))
}

#[test]
fn what_is_received_is_passed_on_as_it_came_but_without_progress() {
    let (address, told) = sink(vec![]);
    let second = House::start(&[]);
    let sinks = format!("http/protobuf=http://{address},http://{}", second.grpc);
    let house = House::start(&["--forward-otlp-endpoint", &sinks]);
    let spans = wire::encode::spans(&node("node-1"), "0.1.0", &ready(pull("a", 3, 1500))).unwrap();
    house.accept(Signal::Traces, spans.clone());
    assert_eq!(told.recv_timeout(DEADLINE).unwrap(), ("/v1/traces".to_owned(), spans));

    let progress = pull("a", 2, 700);
    house.accept(Signal::Logs, wire::encode::pulls(&node("node-1"), "0.1.0", [(Progress, &progress)]));
    let end = ready(pull("a", 3, 1500));
    let both = wire::encode::pulls(&node("node-1"), "0.1.0", [(Progress, &progress), (Finished, &end)]);
    let json = wire::to_json(Signal::Logs, &both).unwrap().to_string();
    assert_eq!(post(house.web, "/v1/logs", &[JSON], json.as_bytes()).status, 200);
    let (path, body) = told.recv_timeout(DEADLINE).unwrap();
    let only_the_end = wire::encode::pulls(&node("node-1"), "0.1.0", [(Finished, &end)]);
    assert_eq!(
        (path.as_str(), wire::decode(Signal::Logs, &body).unwrap()),
        ("/v1/logs", wire::decode(Signal::Logs, &only_the_end).unwrap())
    );
    arrives(&second, "a");
    let series = format!("pulltrace_forward_sent_total{{sink=\"http://{address}\"}}");
    eventually("both are counted", || (house.metric(&series) == 2.0).then_some(()));
}

#[test]
fn a_sink_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let (address, told) = sink(vec![Does::Answer(503), Does::Answer(200), Does::Answer(400)]);
    let house = House::start(&["--forward-otlp-endpoint", &format!("http/protobuf=http://{address}")]);
    for image in ["first", "second"] {
        house.accept(Signal::Logs, logs(image));
    }
    let bodies: Vec<_> = (0..3).map(|_| told.recv_timeout(DEADLINE).unwrap().1).collect();
    assert_eq!(bodies, [logs("first"), logs("first"), logs("second")]);
    let dropped = format!("pulltrace_forward_dropped_total{{sink=\"http://{address}\",reason=\"refused\"}}");
    eventually("the refusal is counted", || (house.metric(&dropped) == 1.0).then_some(()));
    assert_eq!(house.metric(&format!("pulltrace_forward_sent_total{{sink=\"http://{address}\"}}")), 1.0);
}

#[test]
fn a_dead_sink_holds_up_nothing_and_its_queue_is_bounded() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let house = House::start(&["--forward-otlp-endpoint", &format!("http://{closed}")]);
    let metrics: Value = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{ "name": "n".repeat(20 * MIB) }] }] }] });
    let large = wire::transcode_json(Signal::Metrics, metrics.to_string().as_bytes()).unwrap();
    for _ in 0..4 {
        house.accept(Signal::Metrics, large.clone());
    }
    house.accept(Signal::Logs, logs("good"));
    arrives(&house, "good");
    let label = format!("sink=\"http://{closed}\"");
    assert_eq!(house.metric(&format!("pulltrace_forward_dropped_total{{{label},reason=\"queue_full\"}}")), 1.0);
    let queued = house.metric(&format!("pulltrace_forward_queued_bytes{{{label}}}"));
    assert!((60e6..=67.2e6).contains(&queued), "{queued}");
}

/// The numbers of the only sink: accepted, sent, queued, dropped.
fn numbers(house: &House) -> [f64; 4] {
    let scrape = house.scrape();
    let sum = |name: &str| {
        let of = scrape.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
        of.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    ["accepted_total", "sent_total", "queued", "dropped_total"].map(|name| sum(&format!("pulltrace_forward_{name}")))
}

#[test]
fn the_numbers_add_up_at_every_look_whatever_a_sink_does() {
    use Does::{Answer, Close, Partial};
    let behaviour =
        [Close, Answer(200), Answer(503), Answer(400), Partial, Close, Answer(429), Answer(200), Answer(500), Answer(404)];
    let (address, told) = sink(behaviour.into_iter().cycle().take(60).collect());
    let house = House::start(&["--forward-otlp-endpoint", &format!("http/protobuf=http://{address}")]);
    let looks = thread::scope(|scope| {
        let sender = scope.spawn(|| (0..40).for_each(|n| house.accept(Signal::Logs, logs(&format!("image-{n}")))));
        let mut looks = Vec::new();
        while !sender.is_finished() || numbers(&house)[2] > 30.0 {
            looks.push(numbers(&house));
        }
        looks
    });
    assert!(looks.len() > 3, "{looks:?}");
    for [accepted, sent, queued, dropped] in looks {
        assert_eq!(accepted, sent + queued + dropped);
    }
    assert_eq!(numbers(&house)[0], 40.0);
    assert_eq!(told.recv_timeout(DEADLINE).unwrap().1, logs("image-0"));
}

#[test]
fn a_sink_that_was_away_gets_everything_in_order_and_as_it_came() {
    use Does::{Answer, Close};
    let (address, told) = sink(vec![Close, Close, Answer(503), Answer(502)]);
    let house = House::start(&["--forward-otlp-endpoint", &format!("http/protobuf=http://{address}")]);
    for n in 0..5 {
        house.accept(Signal::Logs, logs(&format!("image-{n}")));
    }
    eventually("everything is there", || (numbers(&house) == [5.0, 5.0, 0.0, 0.0]).then_some(()));
    let mut got: Vec<_> = told.try_iter().map(|(_, body)| body).collect();
    got.dedup();
    assert_eq!(got, (0..5).map(|n| logs(&format!("image-{n}"))).collect::<Vec<_>>());
}

#[test]
fn what_a_sink_takes_in_part_is_not_sent_again_and_counted() {
    let (address, told) = sink(vec![Does::Partial]);
    let house = House::start(&["--forward-otlp-endpoint", &format!("http/protobuf=http://{address}")]);
    house.accept(Signal::Logs, logs("a"));
    house.accept(Signal::Logs, logs("b"));
    let bodies: Vec<_> = (0..2).map(|_| told.recv_timeout(DEADLINE).unwrap().1).collect();
    assert_eq!(bodies, [logs("a"), logs("b")]);
    eventually("both are counted", || (numbers(&house) == [2.0, 2.0, 0.0, 0.0]).then_some(()));
    assert_eq!(house.metric(&format!("pulltrace_forward_partial_total{{sink=\"http://{address}\"}}")), 3.0);
}

#[test]
fn a_sink_cannot_send_us_elsewhere() {
    let (elsewhere, reached) = sink(vec![]);
    let (address, told) = sink(vec![Does::Redirect(elsewhere)]);
    let house = House::start(&["--forward-otlp-endpoint", &format!("http/protobuf=http://{address}")]);
    house.accept(Signal::Logs, logs("a"));
    house.accept(Signal::Logs, logs("b"));
    for _ in 0..2 {
        told.recv_timeout(DEADLINE).unwrap();
    }
    eventually("the first is given up", || (numbers(&house) == [2.0, 1.0, 0.0, 1.0]).then_some(()));
    assert!(reached.try_recv().is_err());
}

#[test]
fn telemetry_of_others_is_passed_on_byte_for_byte() {
    let (address, told) = sink(vec![]);
    let house = House::start(&["--forward-otlp-endpoint", &format!("http/protobuf=http://{address}")]);
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "checkout" } }] });
    let point = json!({ "asInt": "7", "timeUnixNano": "5" });
    let bodies = [
        (
            Signal::Traces,
            json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [{ "spans": [
            { "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "GET /", "kind": 2 }] }] }] }),
        ),
        (
            Signal::Metrics,
            json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "metrics": [
            { "name": "requests", "sum": { "dataPoints": [point], "aggregationTemporality": 2, "isMonotonic": true } }] }] }] }),
        ),
        (
            Signal::Logs,
            json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": [
            { "timeUnixNano": "5", "body": { "stringValue": "paid" }, "severityNumber": 9 }] }] }] }),
        ),
    ];
    for (signal, body) in bodies {
        let mut body = wire::transcode_json(signal, body.to_string().as_bytes()).unwrap();
        // A field that this version does not know.
        body.extend([0xfa, 0x3e, 1, b'x']);
        house.accept(signal, body.clone());
        assert_eq!(told.recv_timeout(DEADLINE).unwrap(), (signal.http_path().to_owned(), body), "{signal:?}");
    }
    assert_eq!(house.metric("pulltrace_receiver_accepted_total"), 3.0);
    assert_eq!(house.metric("pulltrace_agent_reports_total"), 0.0);
}

#[test]
fn progress_is_passed_on_where_that_is_wanted() {
    let (address, told) = sink(vec![]);
    let to = format!("http/protobuf=http://{address}");
    let house = House::start(&["--forward-progress", "on", "--forward-otlp-endpoint", &to]);
    let body = wire::encode::pulls(&node("node-1"), "0.1.0", [(Progress, &pull("a", 2, 700))]);
    house.accept(Signal::Logs, body.clone());
    assert_eq!(told.recv_timeout(DEADLINE).unwrap().1, body);
}
