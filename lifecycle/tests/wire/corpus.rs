//! The corpus of the fuzz targets, replayed: seeds of every kind, and what once was found. `UPDATE_GOLDEN=1` writes the seeds anew.

use std::path::{Path, PathBuf};

use lifecycle::wire::{self, Event, Signal, encode};

use super::sample::{VERSION, at, downloading, failed, heartbeat, measured, node, ready, started, waiting};

#[path = "../../../fuzz/decoders.rs"]
mod decoders;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// The seeds: target, name, bytes.
fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let logs = |event, pull| encode::pulls(&node(), VERSION, [(event, pull)]);
    let requests = [
        ("started", Signal::Logs, logs(Event::Started, &started())),
        ("waiting", Signal::Logs, logs(Event::Progress, &waiting())),
        ("failed", Signal::Logs, logs(Event::Finished, &failed())),
        ("heartbeat", Signal::Logs, encode::node(&heartbeat())),
        ("trace", Signal::Traces, encode::spans(&node(), VERSION, &ready()).unwrap()),
        ("metrics", Signal::Metrics, encode::metrics(&node(), VERSION, at(0), at(9), &measured())),
    ];
    let mut seeds = Vec::new();
    for (name, signal, bytes) in requests {
        seeds.push(("json", name, wire::to_json(signal, &bytes).unwrap().to_string().into_bytes()));
        seeds.push(("protobuf", name, bytes));
    }
    let huge = [&[0x0a][..], &[0xff; 8], &[0x7f]].concat();
    seeds.push(("protobuf", "length-of-2-63", huge.clone()));
    seeds.push(("protobuf", "wrong-wire-type", vec![0x08, 0x01, 0x0d, 0, 0, 0, 0]));
    seeds.push(("protobuf", "nested", std::iter::repeat_n([0x0a, 0x7f], 200).flatten().collect()));
    let odd =
        br#"{"resourceLogs":[{"scopeLogs":[{"scope":{"name":"pulltrace"},"logRecords":[{"timeUnixNano":"18446744073709551616",
        "timeUnixNano":1e400,"eventName":"pulltrace.node","attributes":[{"key":"a","value":{"doubleValue":"NaN"}}]}]}]}]}"#;
    seeds.push(("json", "huge-numbers-and-a-key-twice", odd.to_vec()));
    seeds.push(("json", "nested", "{\"resourceLogs\":[".repeat(200).into_bytes()));
    seeds.push(("answer", "partial", wire::response(7, "k8s.node.name is missing")));
    let status = wire::Status { code: 14, message: "busy".into(), retry_after: Some(std::time::Duration::from_secs(1)) };
    seeds.push(("answer", "status", status.encode()));
    seeds.push(("answer", "length-of-2-63", huge));
    seeds.push(("compact", "downloading", wire::shrink(&downloading()).into()));
    seeds.push(("compact", "ready", wire::shrink(&ready()).into()));
    let names = [
        (
            "image",
            "registry.example.com:5000/team/app:v1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        ("digest", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("upper-case-digest", "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"),
        ("no-digest", "sha256:zz"),
        ("way-out", "../../etc/passwd:v1"),
        ("markup", "<script>alert(1)</script>"),
        ("right-to-left", "nginx:\u{202e}gpj.exe"),
        ("nul", "nginx\0:v1"),
        ("four-bytes", "\u{1f980}/app"),
        ("pull", "4bf92f3577b34da6a3ce929d0e0e4736"),
    ];
    seeds.extend(names.map(|(name, text)| ("names", name, text.as_bytes().to_vec())));
    seeds
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the corpus is files")]
fn every_file_of_the_corpus_is_read_or_refused() {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        for (target, name, bytes) in seeds() {
            std::fs::create_dir_all(folder(target)).unwrap();
            std::fs::write(folder(target).join(name), bytes).unwrap();
        }
    }
    for (target, run) in decoders::TARGETS {
        let files: Vec<_> = std::fs::read_dir(folder(target)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty(), "{target} has no corpus");
        for file in files {
            run(&std::fs::read(&file).unwrap());
        }
    }
}

#[test]
fn the_seeds_are_what_they_say() {
    for (target, run) in decoders::TARGETS {
        let mut of_target = seeds().into_iter().filter(|(of, ..)| *of == target).peekable();
        assert!(of_target.peek().is_some(), "{target}");
        of_target.for_each(|(_, _, bytes)| run(&bytes));
    }
    for (target, name, bytes) in seeds() {
        let signal = match name {
            "started" | "waiting" | "failed" | "heartbeat" => Signal::Logs,
            "trace" => Signal::Traces,
            "metrics" => Signal::Metrics,
            _ => continue,
        };
        let decoded = if target == "json" { wire::decode_json(signal, &bytes) } else { wire::decode(signal, &bytes) };
        assert!(decoded.unwrap().accepted > 0, "{target}/{name}");
    }
}
