//! `otel-config/compose.yaml` fits the files around it: what it mounts is there, what those call by name is a service, what it sets is known. It is
//! read as text, so this needs no Docker; the programs themselves are started from the same files by `stack.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Files whose addresses are names of services.
const CALLING: [&str; 5] = [
    "otelcol/gateway-behind.yaml",
    "tempo/tempo-3.yaml",
    "prometheus/prometheus.yaml",
    "grafana/datasources/pulltrace.yaml",
    "compose.yaml",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../otel-config")
}

/// A file without its comments.
fn read(name: &str) -> String {
    let text = fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect()
}

/// What the lines say after this, each to the end of its line.
fn after<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.split_once(key)).map(|(_, rest)| rest.trim()).collect()
}

/// Words like `"127.0.0.1:9090:9090"` and `./a:/b:ro`, wherever they stand.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '[' | ']' | '{' | '}'))
        .filter(|word| !word.is_empty())
}

#[test]
fn everything_that_is_mounted_is_there() {
    let text = read("compose.yaml");
    let is_ours = |word: &&str| word.starts_with("./") || word.starts_with("../");
    let sources: Vec<&str> = words(&text).filter(is_ours).filter_map(|word| word.split(':').next()).collect();
    assert!(sources.len() >= 8, "{sources:?}");
    for source in sources {
        assert!(folder().join(source).exists(), "compose.yaml mounts {source}, which is not there");
    }
}

#[test]
fn every_image_is_pinned() {
    let text = read("compose.yaml");
    let images = after(&text, " image: ");
    assert!(images.len() >= 5, "{images:?}");
    for image in images {
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        assert!(tag.split('.').count() == 3 && tag.contains(|c: char| c.is_ascii_digit()), "{image} has no whole version");
    }
}

#[test]
fn ports_are_this_machines_own_and_each_is_published_once() {
    let text = read("compose.yaml");
    let published: Vec<&str> = after(&text, " ports: ").into_iter().flat_map(words).collect();
    assert!(published.len() >= 5, "{published:?}");
    let ports: BTreeSet<&str> = published.iter().filter_map(|port| port.strip_prefix("127.0.0.1:")?.split(':').next()).collect();
    assert_eq!(ports.len(), published.len(), "{published:?}");
}

#[test]
fn what_is_called_by_name_is_a_service() {
    let text = read("compose.yaml");
    let services = text.split_once("\nservices:\n").and_then(|(_, rest)| rest.split_once("\nvolumes:")).expect("it has both").0;
    let named =
        services.lines().filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':')).filter(|name| !name.starts_with(' '));
    let aliases = after(services, "aliases: ").into_iter().flat_map(words);
    let names: BTreeSet<&str> = named.chain(aliases).chain(["127.0.0.1", "0.0.0.0"]).collect();
    let mut called = 0;
    for file in CALLING {
        let text = read(file);
        // `${env:TEMPO:-tempo:4317}`, `http://loki:3100/otlp`, `tempo:3200`: a name, a colon and a port of four or five digits.
        let pairs = words(&text).map(|word| word.rsplit_once("//").map_or(word, |(_, rest)| rest));
        let pairs =
            pairs.map(|word| word.rsplit_once(":-").map_or(word, |(_, rest)| rest)).filter_map(|word| word.split_once(':'));
        let is_port = |text: &str| text.len() >= 4 && text.chars().take(4).all(|c| c.is_ascii_digit());
        for (name, _) in pairs.filter(|(name, port)| !name.is_empty() && is_port(port)) {
            assert!(names.contains(name), "{file} calls {name}, which is no service of compose.yaml: {names:?}");
            called += 1;
        }
    }
    assert!(called >= 12, "only {called} names were found");
}

#[test]
fn every_setting_of_pulltrace_is_documented() {
    let text = read("compose.yaml");
    let known = fs::read_to_string(folder().join("../docs/configuration.md")).expect("docs/configuration.md is there");
    let settings: BTreeSet<&str> =
        words(&text).filter(|word| word.starts_with("PULLTRACE_")).map(|word| word.trim_end_matches(':')).collect();
    assert!(settings.len() >= 6, "{settings:?}");
    for setting in settings {
        assert!(known.contains(&format!("`{setting}`")), "{setting} is not in docs/configuration.md");
    }
}

#[test]
fn prometheus_is_started_with_every_flag_that_its_file_asks_for() {
    let file = fs::read_to_string(folder().join("prometheus/prometheus.yaml")).expect("it is there");
    let asked: Vec<&str> = file.lines().filter_map(|line| line.strip_prefix("#     --")?.split_whitespace().next()).collect();
    assert!(asked.len() >= 4, "{asked:?}");
    let compose = read("compose.yaml");
    for flag in asked {
        // Several features are one flag there.
        let (name, feature) = flag.split_once('=').unwrap_or((flag, ""));
        let given = compose.lines().any(|line| line.contains(&format!("--{name}")) && line.contains(feature));
        assert!(given, "compose.yaml starts Prometheus without --{flag}");
    }
}
