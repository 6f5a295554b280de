//! Peers that mean harm: frames of HTTP/2 that never end or are taken back, texts that deceive the eye. Whoever does it is cut off or refused, and
//! nobody else notices.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use house::{DEADLINE, House, failed, get, node, post, pull};
use lifecycle::{
    pull::ErrorClass,
    wire::{self, Event::Finished, Event::Started, Signal},
};
use serde_json::{Value, json};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// `:method POST`, `:scheme http`, `:path /`, all from HPACK's static table, and an authority.
const HEAD: &[u8] = &[0x83, 0x86, 0x84, 0x41, 1, b'x'];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Sends frames until the peer has had enough; fails if it never has.
fn until_cut_off(to: SocketAddr, frames: impl IntoIterator<Item = Vec<u8>>) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
    let mut reader = stream.try_clone().unwrap();
    let ended = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    let cut_off = frames.into_iter().any(|frame| ended.is_finished() || stream.write_all(&frame).is_err());
    assert!(cut_off, "it took everything");
    // A reset instead of an orderly end is as good; silence is not.
    let silent = ended.join().unwrap().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!silent, "it never ended");
}

fn is_well(house: &House, image: &str) {
    house.report(&[(Started, &pull(image, 1, 10))]);
    assert_eq!(house.get("/healthz").status, 200);
}

#[test]
fn streams_that_are_opened_and_taken_back_end_the_connection_and_no_other() {
    let house = House::start(&[]);
    let pairs = (0..1_000_000u32).map(|n| {
        let stream = n * 2 + 1;
        [frame(HEADERS, END_HEADERS, stream, HEAD), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    });
    until_cut_off(house.grpc, pairs);
    is_well(&house, "a");
}

#[test]
fn a_head_that_never_ends_ends_the_connection_and_no_other() {
    let house = House::start(&[]);
    let field = [&[0x40, 1, b'a', 0x7f, 0x81, 0x7e][..], &[b'x'; 16_256]].concat();
    let rest = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &field[..16_000]), 100_000);
    until_cut_off(house.grpc, [frame(HEADERS, 0, 1, HEAD)].into_iter().chain(rest));
    is_well(&house, "a");
}

#[test]
fn a_small_head_that_unfolds_into_a_large_one_is_refused() {
    let house = House::start(&[]);
    // One entry of 4,000 bytes in HPACK's dynamic table, named a hundred thousand times.
    let value = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4_000]].concat();
    let bomb = [HEAD, &value, &[0xbe; 8_000]].concat();
    let heads = (0..100_000u32).map(|n| frame(HEADERS, END_HEADERS | 1, n * 2 + 1, &bomb));
    until_cut_off(house.grpc, heads);
    is_well(&house, "a");
}

#[test]
fn names_that_are_none_are_refused_and_texts_that_deceive_are_told_as_data() {
    let house = House::start(&[]);
    let good = wire::encode::pulls(&node("node-1"), "0.1.0", [(Started, &pull("good", 1, 10))]);
    let good = wire::to_json(Signal::Logs, &good).unwrap();
    let names = ["<script>alert(1)</script>", "nginx:\u{202e}gpj.exe", "nginx\0:v1", "../../etc/passwd", "\u{1f980}/app:v1"];
    let digests = ["sha256:zz", "sha256:../../etc", &format!("sha256:{}", "A".repeat(64))];
    let cases = names.map(|name| ("container.image.name", name)).into_iter().chain(digests.map(|d| ("oci.manifest.digest", d)));
    let mut refused = 0;
    for (key, value) in cases {
        let mut bad = good.clone();
        let attributes = bad["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"].as_array_mut().unwrap();
        attributes.retain(|attribute| attribute["key"] != key);
        attributes.push(json!({ "key": key, "value": { "stringValue": value } }));
        let answer = post(house.web, "/v1/logs", &[("content-type", "application/json")], bad.to_string().as_bytes());
        assert_eq!((answer.status, &answer.json()["partialSuccess"]["rejectedLogRecords"]), (200, &json!("1")), "{value:?}");
        refused += 1;
    }
    assert_eq!(refused, names.len() + digests.len());
    let text = "<img src=x onerror=alert(1)> \u{202e}\0 \u{1f980}";
    let end = failed(pull("web", 2, 10), ErrorClass::Other, text);
    house.report(&[(Finished, &end)]);
    let path = format!("/api/v1/pulls/{}", end.id);
    let answer = house::eventually("it is known", || Some(get(house.http, &path, &[])).filter(|answer| answer.status == 200));
    assert_eq!((answer.header("content-type"), answer.header("x-content-type-options")), ("application/json", "nosniff"));
    assert_eq!(answer.json()["error"], Value::from(text));
    assert!(!answer.body.contains(&0), "control characters are escaped");
    assert_eq!(house.json("/api/v1/pulls")["pulls"].as_array().unwrap().len(), 1);
}
