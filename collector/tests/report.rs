//! Reports of agents of the Go Pulltrace, over real sockets: what becomes of good ones, and what bad ones hear.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use house::{Answer, DEADLINE, House, eventually, heartbeat, post, request};
use lifecycle::wire::{self, Signal};
use serde_json::{Value, json};

const JSON: (&str, &str) = ("content-type", "application/json");
const HEX: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn send(house: &House, report: &Value) -> Answer {
    post(house.http, "/api/v1/report", &[JSON], report.to_string().as_bytes())
}

fn report(second: u64, pulls: &Value) -> Value {
    json!({ "nodeName": "node-1", "timestamp": format!("2026-01-15T10:30:{second:02}.123456789+02:00"), "pulls": pulls })
}

fn pull(image: &str, downloaded: u64) -> Value {
    json!([{
        "imageRef": image,
        "startedAt": "2026-01-15T08:29:59Z",
        "totalKnown": true,
        "layers": [
            { "digest": format!("sha256:{HEX}"), "totalBytes": 1000, "downloadedBytes": downloaded, "totalKnown": true },
        ],
    }])
}

fn pulls(house: &House) -> Vec<Value> {
    house.json("/api/v1/pulls")["pulls"].as_array().unwrap().clone()
}

#[track_caller]
fn eventually_one(house: &House, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || match &pulls(house)[..] {
        [one] if fits(one) => Some(one.clone()),
        _ => None,
    })
}

#[test]
fn a_pull_of_a_go_agent_is_shown_under_one_id_until_it_vanishes_with_all_its_bytes() {
    let house = House::start(&["--cluster-name", "north"]);
    let answer = send(&house, &report(1, &pull("nginx:1", 250)));
    assert_eq!((answer.status, answer.json()), (200, json!({ "pulls": 1 })));
    let first = eventually_one(&house, "it is shown", |_| true);
    assert_eq!(
        (&first["imageRef"], &first["percent"], &first["cluster"]),
        (&json!("docker.io/library/nginx:1"), &json!(25.0), &json!("north"))
    );
    assert_eq!(first["startedAt"], "2026-01-15T08:29:59Z");
    send(&house, &report(3, &pull("nginx:1", 1000)));
    let second = eventually_one(&house, "all bytes are there", |one| one["percent"] == 100.0);
    assert_eq!((&second["id"], second.get("outcome"), &second["bytesPerSec"]), (&first["id"], None, &Value::Null));
    assert_eq!(send(&house, &report(5, &Value::Null)).status, 200);
    let ended = eventually_one(&house, "it is ready", |one| one["outcome"] == "ready");
    assert_eq!((&ended["id"], &ended["completedAt"]), (&first["id"], &json!("2026-01-15T08:30:03.123456789Z")));
    assert_eq!(house.json("/api/v1/nodes")["nodes"][0]["name"], "node-1");
}

#[test]
fn what_vanishes_without_all_its_bytes_is_never_ready() {
    let house = House::start(&[]);
    send(&house, &report(1, &pull("nginx:1", 999)));
    eventually_one(&house, "it is shown", |_| true);
    send(&house, &report(3, &json!([])));
    let lost = eventually_one(&house, "it is lost", |one| one["outcome"] == "lost");
    assert_eq!(lost["percent"], 99.9);
}

#[test]
fn downloads_that_go_agents_name_by_containerds_keys_are_one_pull_of_layers() {
    let house = House::start(&[]);
    let download = |key: &str, total: u64| {
        let layers = [json!({ "digest": key, "totalBytes": total, "downloadedBytes": total / 2, "totalKnown": total > 0 })];
        json!({ "imageRef": key, "startedAt": "2026-01-15T08:29:59Z", "totalKnown": true, "layers": layers })
    };
    let other = HEX.replace('4', "5");
    let keys = [format!("layer-sha256:{HEX}"), format!("layer-sha256:{other}"), format!("manifest-sha256:{HEX}")];
    let all: Vec<_> = keys.iter().map(|key| download(key, 100)).collect();
    assert_eq!(send(&house, &report(1, &Value::from(all))).status, 200);
    let one = eventually_one(&house, "it is one", |_| true);
    assert_eq!((one.get("imageRef"), &one["layerCount"], &one["downloadedBytes"]), (None, &json!(2), &json!(100)));
    assert_eq!((&one["totalKnown"], one.get("percent")), (&json!(false), None), "what it does not know it does not say");
}

#[test]
fn what_no_pull_downloads_is_passed_over_and_harms_nothing_beside_it() {
    let house = House::start(&[]);
    let foreign = json!({
        "imageRef": "tar-blobs/sha256/x",
        "startedAt": "2026-01-15T08:29:59Z",
        "totalKnown": true,
        "layers": [{ "digest": "tar-blobs/sha256/x", "totalBytes": 9, "downloadedBytes": 1, "totalKnown": true }],
    });
    let good = pull("nginx:1", 250)[0].clone();
    assert_eq!(send(&house, &report(1, &json!([foreign]))).json(), json!({ "pulls": 0 }));
    assert_eq!(send(&house, &report(3, &json!([foreign, good]))).json(), json!({ "pulls": 1 }));
    eventually_one(&house, "the good one is there", |one| one["imageRef"] == "docker.io/library/nginx:1");
}

#[test]
fn an_agent_of_ours_on_the_same_node_wins() {
    let house = House::start(&[]);
    send(&house, &report(1, &pull("nginx:1", 250)));
    eventually_one(&house, "it is shown", |_| true);
    house.accept(Signal::Logs, wire::encode::node(&heartbeat(0)));
    eventually("it is gone", || pulls(&house).is_empty().then_some(()));
    assert_eq!(send(&house, &report(3, &pull("nginx:1", 500))).status, 200, "the sender need not know");
    let refused = "pulltrace_board_refused_total{reason=\"other_agent\"}";
    eventually("it is counted", || (house.metric(refused) >= 1.0).then_some(()));
    assert_eq!(pulls(&house).len(), 0);
}

#[test]
fn a_bad_report_is_refused_as_a_whole_and_hears_which_field_is_wrong() {
    let house = House::start(&[]);
    let good = report(1, &pull("nginx:1", 250));
    let with = |pointer: &str, value: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        bad.to_string()
    };
    let layer = "/pulls/0/layers/0";
    for (body, says) in [
        (String::new(), "the report: EOF"),
        ("nonsense".into(), "the report: expected"),
        ("[]".into(), "the report: "),
        ("{}".into(), "missing field `nodeName`"),
        (format!("{good}{good}"), "behind the report: trailing"),
        (good.to_string().replace("\"nodeName\"", "\"nodeName\":\"x\",\"nodeName\""), "duplicate field `nodeName`"),
        (with("/nodeName", json!("")), "nodeName: a node name has"),
        (with("/nodeName", json!("two words")), "nodeName: "),
        (with("/nodeName", json!("n".repeat(254))), "nodeName: "),
        (with("/nodeName", json!("node\u{202e}")), "nodeName: "),
        (with("/nodeName", json!(7)), "nodeName: invalid type"),
        (with("/timestamp", json!("now")), "timestamp: \"now\" is not an RFC 3339 time"),
        (with("/timestamp", json!("0001-01-01T00:00:00Z")), "timestamp: "),
        (with("/pulls", json!({})), "pulls: invalid type"),
        (with("/pulls/0", json!(1)), "pulls[0]: invalid type"),
        (with("/pulls/0/imageRef", json!("docker.io/UPPER")), "pulls[0]: imageRef: "),
        (with("/pulls/0/imageRef", json!("a\u{0}b")), "pulls[0]: imageRef: "),
        (with("/pulls/0/imageRef", json!("../../etc/passwd")), "pulls[0]: imageRef: "),
        (with("/pulls/0/startedAt", json!(5)), "pulls[0].startedAt: "),
        (with("/pulls/0/totalKnown", json!("yes")), "pulls[0].totalKnown: "),
        (with(&format!("{layer}/digest"), json!("sha256:zz")), "pulls[0].layers[0].digest: not a digest"),
        (with(&format!("{layer}/digest"), json!("")), "pulls[0].layers[0].digest: must be a digest or a key"),
        (
            with(&format!("{layer}/totalBytes"), json!(-1)),
            "pulls[0].layers[0].totalBytes: must be 0 to 1152921504606846976, not -1",
        ),
        (with(&format!("{layer}/totalBytes"), json!(i64::MAX)), "must be 0 to"),
        (with(&format!("{layer}/totalBytes"), json!(1.5)), "floating point"),
        (
            with(&format!("{layer}/downloadedBytes"), json!(1001)),
            "pulls[0].layers[0]: downloadedBytes must be at most totalBytes, 1000, not 1001",
        ),
        (format!("{{\"unknown\":{}", "[".repeat(500)), "unknown: EOF"),
    ] {
        let answer = post(house.http, "/api/v1/report", &[JSON], body.as_bytes());
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"]), (400, &json!("bad_request")), "{body}");
        assert!(error["message"].as_str().unwrap().contains(says), "{says}: {error}");
    }
    let raw = post(house.http, "/api/v1/report", &[JSON], b"{\"nodeName\":\"\xff\"}");
    assert_eq!(raw.status, 400);
    assert!(house.metric("pulltrace_receiver_rejected_total{reason=\"malformed\"}") >= 28.0);
    assert_eq!(pulls(&house).len(), 0);
    assert_eq!(send(&house, &good).status, 200);
}

#[test]
fn what_is_too_long_not_json_or_no_post_is_refused_with_its_status() {
    let house = House::start(&[]);
    let ask = |method: &str, headers: &[(&str, &str)], body: &[u8]| {
        let answer = request(method, house.http, "/api/v1/report", headers, body);
        (answer.status, answer.json()["error"]["code"].as_str().unwrap().to_owned(), answer.header("allow").to_owned())
    };
    let long = vec![b' '; 5 * 1024 * 1024];
    assert_eq!(ask("POST", &[JSON], &long), (413, "too_large".into(), String::new()));
    assert_eq!(ask("POST", &[("content-type", "text/plain")], b"{}").0, 415);
    assert_eq!(ask("POST", &[JSON, ("content-encoding", "gzip")], b"{}").0, 415);
    assert_eq!(ask("GET", &[], b""), (405, "method_not_allowed".into(), "POST".into()));
    assert_eq!(ask("PUT", &[JSON], b"{}").0, 405);
    assert_eq!(ask("POST", &[("content-type", "application/json; charset=utf-8")], b"{}").0, 400, "that is JSON");
}

#[test]
fn reports_need_the_token_of_agents_on_every_port_before_their_body_is_read() {
    let house = House::start(&["--agent-token", "secret", "--read-token", "other"]);
    let body = report(1, &pull("nginx:1", 1)).to_string();
    for port in [house.http, house.web] {
        for (authorization, status) in [("Bearer secret", 200), ("Bearer other", 401), ("Basic secret", 401)] {
            let answer = post(port, "/api/v1/report", &[JSON, ("authorization", authorization)], body.as_bytes());
            assert_eq!(answer.status, status, "{authorization}: {}", answer.text());
        }
        let mut stream = TcpStream::connect(port).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        // Nothing of the body is ever sent.
        write!(stream, "POST /api/v1/report HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n")
            .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401");
    }
}
