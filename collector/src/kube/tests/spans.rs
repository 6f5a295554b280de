//! The waits of containers, from the API's events to what a sink is sent.

use lifecycle::{
    names,
    wire::{self, Signal},
};
use otlp::{Endpoint, Protocol};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::forward::Forward;

/// The body of the next request to this listener, which is answered with success.
async fn receive(listener: &TcpListener) -> Vec<u8> {
    let mut stream = listener.accept().await.unwrap().0;
    let mut request = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap();
        if request.len() >= head.len() + 4 + length {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
            return request.split_off(head.len() + 4);
        }
    }
}

fn event_of(pod: &str, reason: &str, message: &str, second: u8) -> Value {
    let mut event = pulling(pod);
    let time = format!("2025-01-15T10:30:{second:02}Z");
    (event["reason"], event["message"]) = (json!(reason), json!(message));
    (event["firstTimestamp"], event["lastTimestamp"]) = (json!(time), json!(time));
    event
}

#[tokio::test]
async fn every_container_that_waited_adds_one_span_to_the_trace_and_it_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = format!("http://{}", listener.local_addr().unwrap());
    let metrics = Metrics::new(&[]);
    let endpoint = Endpoint::parse(&sink, Protocol::HttpProtobuf).unwrap();
    let forward = Forward::start(vec![endpoint], &metrics);
    let keeper = Keeper::start_telling(forward, Limits::default(), 1, metrics.clone(), std::future::pending());
    let api = Api::new();
    api.with(|cluster| cluster.objects.insert("pods", vec![pod("a", false)]));
    let (client, told) = (api.client(), keeper.clone());
    tokio::spawn(async move { watch(client, &[], &told).await });
    eventually("all are watched", || api.asked("watch=true") == 3).await;
    eventually("it is known", || known(&keeper).len() == 1).await;
    api.say("events", "ADDED", &pulling("a"));
    eventually("a coarse pull is shown", || keeper.view().now().newest(None).count() == 1).await;
    let why = "Failed to pull image \"web:1\": rpc error: code = NotFound desc = web:1: not found";
    for _ in 0..2 {
        api.say("events", "ADDED", &event_of("a", "Failed", why, 7));
    }
    let body = receive(&listener).await;
    let mut json = wire::to_json(Signal::Traces, &body).unwrap();
    let spans = json["resourceSpans"][0]["scopeSpans"][0]["spans"].take();
    let id = keeper.view().now().newest(None).next().unwrap().view.id().to_string();
    assert_eq!(
        (spans.as_array().unwrap().len(), &spans[0]["traceId"], &spans[0]["name"]),
        (1, &json!(id), &json!(names::SPAN_WAIT_IMAGE))
    );
    let length = |field: &str| spans[0][field].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(length("endTimeUnixNano") - length("startTimeUnixNano"), 7_000_000_000);
    api.say("pods", "MODIFIED", &pod("a", false));
    api.say("events", "ADDED", &event_of("a", "Pulling", "Pulling image \"web:1\"", 17));
    api.say("events", "ADDED", &event_of("a", "Pulled", "Successfully pulled image \"web:1\" in 1s", 18));
    let next = wire::to_json(Signal::Traces, &receive(&listener).await).unwrap();
    assert!(next["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["status"].is_null(), "what was told is not told again: {next}");
    let sent = || {
        let (_, text) = crate::metrics::exposition::write(&metrics, &crate::snapshot::Snapshot::default(), "").unwrap();
        text.lines().any(|line| line == format!("pulltrace_forward_sent_total{{sink=\"{sink}\"}} 2"))
    };
    eventually("both are counted", sent).await;
}
