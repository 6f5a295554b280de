//! What is asked about pods, nodes and images, against a small collector that answers what it was given; a real one in a real cluster is e2e's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Answers paths, without what stands behind their question marks, with what it was given.
struct Fake {
    url: String,
    answers: Arc<Mutex<BTreeMap<String, Value>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn start(answers: &[(&str, Value)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = answers.iter().map(|(path, answer)| ((*path).to_owned(), answer.clone())).collect();
        let fake = Self { url, answers: Arc::new(Mutex::new(answers)), asked: Arc::default() };
        let (answers, asked) = (fake.answers.clone(), fake.asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answers, asked) = (answers.clone(), asked.clone());
                thread::spawn(move || serve(stream, &answers, &asked));
            }
        });
        fake
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let (command, more) = arguments.split_first().unwrap();
        run("pulltrace", &[&[command, "--server", &self.url], more].concat())
    }
}

/// Answers what is asked on a connection, until it ends.
fn serve(mut stream: TcpStream, answers: &Mutex<BTreeMap<String, Value>>, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    while let Some(first) = lines.next() {
        lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let known = answers.lock().unwrap().get(path.split('?').next().unwrap_or_default()).cloned();
        asked.lock().unwrap().push(path);
        let (status, body) = match known {
            Some(answer) => ("200 OK", answer.to_string()),
            None => ("404 Not Found", json!({ "error": { "code": "not_found", "message": "it is not here" } }).to_string()),
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
        // Whoever asked may be gone.
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// Runs it under this name.
fn run(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulltrace"));
    let output = command.arg0(name).env_clear().args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn pull() -> Value {
    json!({
        "id": ID, "nodeName": "n1", "imageRef": "docker.io/library/nginx:1", "phase": "downloading", "summary": "Downloading.",
        "totalBytes": 41_943_040, "totalKnown": true, "downloadedBytes": 10_485_760, "cachedBytes": 1_048_576, "percent": 25.9,
        "bytesPerSec": 5_000_000, "etaSeconds": 6.4, "layerCount": 3, "layersDone": 1, "layersCached": 1,
        "startedAt": "2025-01-15T10:30:00Z", "updatedAt": "2025-01-15T10:30:02Z", "stale": false,
    })
}

fn pod() -> Value {
    let container = json!({
        "container": "web", "kind": "main", "image": "nginx:1", "state": "pulling", "pullId": ID, "waitingSince": "2025-01-15T10:30:00Z",
    });
    let gone = json!({
        "container": "side", "kind": "main", "image": "side\u{1b}[2J:1", "state": "failed", "error": "side:1: not found",
        "errorClass": "not_found", "errorHint": "Check the name.", "attempt": 2,
    });
    json!({
        "namespace": "default", "podName": "web", "uid": "u", "nodeName": "n1", "imagesReady": false, "stale": false,
        "containers": [container, gone], "summary": "No image side:1.", "pulls": [pull()],
    })
}

#[test]
fn a_pod_is_a_table_of_its_containers_or_what_the_collector_says() {
    let fake = Fake::start(&[("/api/v1/pods/default/web", pod())]);
    let (code, out, err) = fake.run(&["pod", "web"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<_> =
        out.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["CONTAINER", "IMAGE", "STATE", "PROGRESS", "SPEED", "ETA", "WAITING"]);
    assert_eq!(lines[1][..6], ["web", "nginx:1", "pulling", "25 % of 40 MiB", "5.0 MB/s", "6 s"]);
    assert_eq!(lines[2][..3], ["side", "side [2J:1", "failed"], "nothing drives the terminal");
    let (_, wide, _) = fake.run(&["pod", "web", "-o", "wide"]);
    assert!(wide.contains(ID) && wide.contains("side:1: not found"), "{wide}");
    let (_, out, _) = fake.run(&["pod", "web", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), pod());
    let (_, out, _) = fake.run(&["pod", "web", "-o", "yaml"]);
    assert!(out.contains("podName: web\n") && out.contains("errorClass: not_found\n"), "{out}");
}

#[test]
fn why_gives_verdict_evidence_and_what_helps() {
    let durations = json!({ "minSeconds": 1.0, "medianSeconds": 20.0, "maxSeconds": 30.0, "lastSeconds": 20.0 });
    let image = json!({
        "imageRef": "docker.io/library/nginx:1", "registry": "docker.io", "active": 1, "ready": 1, "failed": 0, "downloadedBytes": 1,
        "nodeCount": 1, "nodes": ["n2"], "durations": durations, "failures": [], "lastStartedAt": "2025-01-15T10:30:00Z",
    });
    let answers = [
        ("/api/v1/pods/default/web", pod()),
        ("/api/v1/images", json!({ "images": [image] })),
        (&*format!("/api/v1/pulls/{ID}"), pull()),
    ];
    let fake = Fake::start(&answers);
    let (code, out, err) = fake.run(&["why", "web"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("pod default/web on n1\nNo image side:1.\n\nweb: nginx:1 is pulling\n"), "{out}");
    for line in [
        "  evidence   10 MiB of 40 MiB fetched at 5.0 MB/s; 1.0 MiB were on the node",
        "  evidence   1 of 3 layers done, 1 of them cached",
        "  usually    takes 20 s",
        "  error      not_found: side:1: not found",
        "  hint       Check the name.",
    ] {
        assert!(out.lines().any(|other| other == line), "{line}\n{out}");
    }
    let (_, out, _) = fake.run(&["why", ID, "-o", "json"]);
    let why: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&why["verdict"], &why["reasons"][0]["usualSeconds"]), (&"Downloading.".into(), &20.0.into()));
}

#[test]
fn why_says_what_helps_against_every_wait() {
    let why = |wait: Value| {
        let mut pull = pull();
        pull["wait"] = wait;
        let fake = Fake::start(&[(&format!("/api/v1/pulls/{ID}"), pull), ("/api/v1/images", json!({ "images": [] }))]);
        let (_, out, _) = fake.run(&["why", ID]);
        out.lines().find_map(|line| line.strip_prefix("  hint       ").map(str::to_owned))
    };
    let since = "2025-01-15T10:30:01Z";
    assert!(why(json!({ "kind": "stalled", "since": since })).is_some_and(|hint| hint.contains("by hand on the node")));
    assert!(
        why(json!({ "kind": "download_slot", "since": since })).is_some_and(|hint| hint.contains("max_concurrent_downloads"))
    );
    assert!(why(json!({ "kind": "retrying", "since": since })).is_some());
    let lock = json!({ "kind": "layer_lock", "since": since, "pullId": "0123" });
    assert!(why(lock).is_some_and(|hint| hint.ends_with("pulltrace why 0123")));
    assert_eq!(why(json!({ "kind": "of another time", "since": since })), None);
    assert_eq!(why(Value::Null), None);
}

#[test]
fn lists_are_read_to_their_end_and_names_are_encoded() {
    let fake = Fake::start(&[("/api/v1/images", json!({ "images": [] })), ("/api/v1/pods", json!({ "pods": [] }))]);
    let (code, _, err) = fake.run(&["image", "a b&c=d"]);
    assert_eq!((code, err.contains("no image with \"a b&c=d\"")), (Some(3), true), "{err}");
    assert_eq!(fake.asked.lock().unwrap()[0], "/api/v1/images?image=a%20b%26c%3Dd");
    let (code, out, err) = fake.run(&["pods", "-n", "shop"]);
    assert_eq!((code, out.as_str()), (Some(0), ""));
    assert_eq!(err, "No pod in namespace shop waits for an image, or did lately.\n");
}

#[test]
fn what_is_not_there_is_3_and_what_makes_no_sense_is_2() {
    let fake = Fake::start(&[]);
    assert_eq!(fake.run(&["pod", "web"]).0, Some(3));
    assert_eq!(fake.run(&["pod", "../x"]).0, Some(2));
    assert_eq!(fake.run(&["pod", "web", "-A"]).0, Some(2));
    assert_eq!(fake.run(&["why", "service/web"]).0, Some(2));
    assert_eq!(fake.run(&["wait", "service/web"]).0, Some(2));
    let (code, _, err) = fake.run(&["doctor"]);
    assert!(code == Some(1) && err.contains("need somebody"), "{err}");
}

#[test]
fn as_a_plugin_it_wants_a_kubeconfig_and_says_kubectl() {
    let (code, _, err) = run("kubectl-pulltrace", &["pod", "web", "--kubeconfig", "/nonexistent"]);
    assert!(code == Some(2) && err.contains("/nonexistent") && err.contains("--server"), "{err}");
    let (_, out, _) = run("kubectl-pulltrace", &["why", "--help"]);
    assert!(out.contains("Usage: kubectl pulltrace why"), "{out}");
    let (code, out, _) = run("kubectl_complete-pulltrace", &["doc"]);
    assert_eq!((code, out.as_str()), (Some(0), "doctor\n:4\n"));
    let (code, _, err) = run("pulltrace", &[]);
    assert!(code == Some(2) && err.contains("Usage: pulltrace"), "{err}");
}
