//! What the collector is compared with in the same run: the plain way to do it. Nodes send their whole state as JSON; one map of all pulls
//! behind one lock; with every report the pulls of the node are looked for among all; every change is written as whole JSON into a queue
//! of 64 for each client. Nobody should run this.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Events that wait for one client; more are lost.
const QUEUE: usize = 64;

#[derive(Default)]
struct State {
    pulls: BTreeMap<String, Value>,
    clients: Vec<mpsc::Sender<String>>,
}

type Shared = Arc<Mutex<State>>;

/// Serves `POST /report`, `GET /events` and `GET /pulls` on a port of this machine until it is killed.
pub(crate) fn serve(port: u16) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs only memory");
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        let shared = Shared::default();
        loop {
            let (stream, _) = listener.accept().await.expect("connections can be accepted");
            stream.set_nodelay(true).expect("a socket takes options");
            let shared = shared.clone();
            // A client that goes away ends its task and nothing else.
            tokio::spawn(async move { attend(stream, &shared).await.ok() });
        }
    });
}

async fn attend(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            match header.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap_or(0),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let path = line.split(' ').nth(1).unwrap_or_default();
        if path == "/events" {
            return follow(stream.into_inner(), shared).await;
        }
        let answer = if path == "/report" { take(&body, shared) } else { all(shared) };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all(&[head.as_bytes(), answer.as_bytes()].concat()).await?;
    }
}

/// Takes a report: everything happens under the lock.
fn take(body: &[u8], shared: &Shared) -> String {
    let Ok(report) = serde_json::from_slice::<Value>(body) else { return String::new() };
    let mut state = shared.lock().expect("nobody panics with the lock");
    let node = report["nodeName"].as_str().unwrap_or_default();
    let of_node = format!("{node}/");
    let gone: Vec<String> = state.pulls.keys().filter(|key| key.starts_with(&of_node)).cloned().collect();
    for key in gone {
        state.pulls.remove(&key);
    }
    for pull in report["pulls"].as_array().into_iter().flatten() {
        let layers = pull["layers"].as_array();
        let sum = |key: &str| layers.into_iter().flatten().filter_map(|layer| layer[key].as_u64()).sum::<u64>();
        let (total, fetched) = (sum("totalBytes"), sum("downloadedBytes"));
        let mut status = pull.clone();
        status["nodeName"] = json!(node);
        status["totalBytes"] = json!(total);
        status["downloadedBytes"] = json!(fetched);
        status["percent"] = json!(fetched * 100 / total.max(1));
        let event = json!({"schemaVersion": "v1", "type": "pull.progress", "nodeName": node, "pull": status});
        for client in &state.clients {
            // A full queue loses the event.
            client.try_send(format!("data: {event}\n\n")).ok();
        }
        let key = format!("{of_node}{}", pull["imageRef"].as_str().unwrap_or_default());
        state.pulls.insert(key, status);
    }
    "{}".to_owned()
}

fn all(shared: &Shared) -> String {
    let state = shared.lock().expect("nobody panics with the lock");
    json!({"pulls": state.pulls.values().collect::<Vec<_>>()}).to_string()
}

async fn follow(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let (queue, mut events) = mpsc::channel(QUEUE);
    shared.lock().expect("nobody panics with the lock").clients.push(queue);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await?;
    while let Some(event) = events.recv().await {
        stream.write_all(event.as_bytes()).await?;
    }
    Ok(())
}
