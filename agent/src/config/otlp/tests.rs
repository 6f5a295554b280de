//! What comes of settings, one by one; the environment is not touched. What is told of them stands in `docs/configuration.md`.

use std::fs;

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    otlp: OtlpArgs,
}

fn args(extra: &[&str]) -> OtlpArgs {
    Program::parse_from(["agent"].into_iter().chain(extra.iter().copied())).otlp
}

/// Origin and signals of each route.
fn routes(extra: &[&str]) -> Vec<(String, Vec<Signal>)> {
    let routes = args(extra).routes().expect("valid");
    routes.into_iter().map(|route| (route.endpoint.origin(), route.signals.into_iter().collect())).collect()
}

fn refused(extra: &[&str]) -> String {
    args(extra).routes().expect_err("invalid").to_string()
}

#[test]
fn everything_goes_to_one_receiver_whose_usual_port_depends_on_the_protocol() {
    let all = Signal::ALL.to_vec();
    assert_eq!(routes(&[]), [("http://127.0.0.1:4317".into(), all.clone())]);
    assert_eq!(routes(&["--otlp-protocol", "http/protobuf"]), [("http://127.0.0.1:4318".into(), all.clone())]);
    assert_eq!(routes(&["--server-url", "http://old:1"]), [("http://old:1".into(), all.clone())]);
    assert_eq!(routes(&["--server-url", "http://old:1", "--otlp-endpoint", "http://new:2"]), [("http://new:2".into(), all)]);
}

#[test]
fn a_signal_with_settings_of_its_own_has_a_route_of_its_own() {
    use Signal::{Logs, Metrics, Traces};
    let given = ["--otlp-endpoint", "http://c:1", "--otlp-traces-endpoint", "http://tempo:2", "--otlp-metrics-timeout", "5000"];
    assert_eq!(
        routes(&given),
        [("http://c:1".into(), vec![Logs]), ("http://tempo:2".into(), vec![Traces]), ("http://c:1".into(), vec![Metrics])]
    );
    let web =
        |given: &[&str]| format!("{:?}", args(&[&["--otlp-protocol", "http/protobuf"], given].concat()).routes().expect("valid"));
    assert!(web(&["--otlp-logs-endpoint", "http://c/in"]).contains("exact: true"));
    assert!(!web(&["--otlp-endpoint", "http://c/in"]).contains("exact: true"));
}

#[test]
fn further_receivers_get_everything_and_no_secret() {
    let given = ["--otlp-endpoints", "http://a:1, http/protobuf=http://b:2/otlp,", "--otlp-endpoint", "http://c:3"];
    let origins: Vec<_> = routes(&given).into_iter().map(|(origin, signals)| (origin, signals.len())).collect();
    assert_eq!(origins, [("http://c:3".into(), 3), ("http://a:1".into(), 3), ("http://b:2".into(), 3)]);
    assert!(refused(&["--otlp-endpoints", "pigeon=http://b:2"]).starts_with("PULLTRACE_OTLP_ENDPOINTS=\"pigeon\""));
    assert!(refused(&["--otlp-endpoints", &["http://a:1"; 9].join(",")]).contains("at most 8"));
}

#[test]
fn a_url_without_a_scheme_needs_a_word_about_tls_and_is_for_grpc() {
    assert!(refused(&["--otlp-endpoint", "c:1"]).contains("has no scheme"));
    assert_eq!(routes(&["--otlp-endpoint", "c:1", "--otlp-insecure", "true"])[0].0, "http://c:1");
    assert_eq!(routes(&["--otlp-endpoint", "c:1", "--otlp-insecure", "FALSE"])[0].0, "https://c:1");
    let web = ["--otlp-endpoint", "c:1", "--otlp-insecure", "true", "--otlp-protocol", "http/protobuf"];
    assert!(refused(&web).contains("has no scheme"));
    assert!(refused(&["--otlp-insecure", "perhaps"]).starts_with("OTEL_EXPORTER_OTLP_INSECURE=\"perhaps\""));
}

#[test]
fn what_is_wrong_is_named_by_its_own_variable() {
    assert!(refused(&["--otlp-traces-protocol", "pigeon"]).starts_with("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=\"pigeon\""));
    assert!(refused(&["--server-url", "nonsense"]).starts_with("PULLTRACE_SERVER_URL=\"nonsense\""));
    assert!(refused(&["--otlp-timeout", "0"]).starts_with("OTEL_EXPORTER_OTLP_TIMEOUT=\"0\""));
    assert!(refused(&["--otlp-compression", "zstd"]).starts_with("OTEL_EXPORTER_OTLP_COMPRESSION=\"zstd\""));
    assert!(refused(&["--otlp-logs-certificate", "/none"]).starts_with("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE=\"/none\""));
    assert!(refused(&["--otlp-client-key", "/none"]).contains("belong together"));
    assert!(refused(&["--agent-token-file", "/none"]).contains("/none"));
}

#[test]
fn empty_means_not_given() {
    let given = ["--otlp-endpoint=", "--otlp-protocol=", "--otlp-traces-endpoint=", "--otlp-certificate=", "--otlp-endpoints="];
    assert_eq!(routes(&given), [("http://127.0.0.1:4317".into(), Signal::ALL.to_vec())]);
}

#[test]
fn secrets_are_not_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "hidden3").expect("written");
    let arguments = [
        &["--otlp-headers", "x=hidden1"][..],
        &["--agent-token", "hidden2"],
        &["--agent-token-file", file.to_str().expect("a path")],
    ];
    for given in arguments {
        let args = args(given);
        assert!(!format!("{args:?} {:?}", args.routes().expect("valid")).contains("hidden"), "{given:?}");
    }
    for given in [["--otlp-headers", "hidden"], ["--agent-token", "hid\nden"], ["--otlp-endpoint", "http://u:hidden@c:1"]] {
        assert!(!refused(&given).contains("hid"), "{given:?}");
    }
}
