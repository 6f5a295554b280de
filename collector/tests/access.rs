//! Who may report and who may read: tokens, certificates, and what changes while it runs. And the age of connections.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod house;

use std::{fs, io::Read as _, io::Write as _, net::TcpStream, path::Path};

use bytes::Bytes;
use house::{DEADLINE, House, get, node, post, pull};
use lifecycle::wire::{self, Event::Started, Signal};
use otlp::{Client, Endpoint, Headers, Pem, Protocol, SendError, Sent};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tonic::Code;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn body(image: &str) -> Vec<u8> {
    wire::encode::pulls(&node("node-1"), "0.1.0", [(Started, &pull(image, 1, 10))])
}

fn endpoint(url: &str, protocol: Protocol, token: Option<&str>) -> Endpoint {
    let headers = token.map_or_else(Headers::default, |token| Headers::default().with_bearer(token).unwrap());
    Endpoint::parse(url, protocol).unwrap().with_headers(headers).with_timeout(DEADLINE)
}

fn send(endpoint: Endpoint) -> Result<Sent, SendError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Client::new(endpoint).send(Signal::Logs, Bytes::from(body("a"))).await })
}

#[test]
fn without_a_token_nothing_is_taken_and_the_sender_hears_why() {
    let house = House::start(&["--agent-token", "first,second"]);
    let (grpc, web) = (format!("http://{}", house.grpc), format!("http://{}", house.web));
    for token in ["first", "second"] {
        send(endpoint(&grpc, Protocol::Grpc, Some(token))).unwrap();
        send(endpoint(&web, Protocol::HttpProtobuf, Some(token))).unwrap();
    }
    for (token, says) in [(None, "no token"), (Some("third"), "not one of those")] {
        let refused = send(endpoint(&grpc, Protocol::Grpc, token)).unwrap_err();
        assert!(
            matches!(&refused, SendError::Grpc { code: Code::Unauthenticated, message, .. } if message.contains(says)),
            "{refused}"
        );
        let refused = send(endpoint(&web, Protocol::HttpProtobuf, token)).unwrap_err();
        assert!(matches!(&refused, SendError::Http { status: 401, message, .. } if message.contains(says)), "{refused}");
        assert!(!refused.retryable());
    }
    let json = post(house.web, "/v1/logs", &[("content-type", "application/json")], b"{}");
    assert_eq!((json.status, &json.json()["code"], json.header("www-authenticate")), (401, &json!(16), "Bearer"));
    assert_eq!(house.metric("pulltrace_receiver_rejected_total{reason=\"no_token\"}"), 3.0);
    assert_eq!(house.metric("pulltrace_receiver_rejected_total{reason=\"wrong_token\"}"), 2.0);
    assert_eq!(house.metric("pulltrace_agent_reports_total"), 4.0);
}

#[test]
fn whoever_has_no_token_is_refused_before_the_body_is_read() {
    let house = House::start(&["--agent-token", "secret"]);
    let mut stream = TcpStream::connect(house.web).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // Nothing of the body is ever sent.
    write!(stream, "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

#[test]
fn a_token_that_rotates_is_valid_at_once_beside_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    fs::write(&file, "old\n").unwrap();
    let house = House::start(&["--agent-token-file", file.to_str().unwrap()]);
    let status =
        |token: &str| post(house.web, "/v1/logs", &[PROTOBUF, ("authorization", &format!("Bearer {token}"))], &[]).status;
    assert_eq!((status("old"), status("new")), (200, 401));
    fs::write(&file, "old\nnew\n").unwrap();
    assert_eq!((status("old"), status("new")), (200, 200));
    fs::write(&file, "new\n").unwrap();
    assert_eq!((status("old"), status("new")), (401, 200));
}

#[test]
fn readers_show_a_token_where_one_is_demanded_and_probes_never_do() {
    let house = House::start(&["--read-token", "secret"]);
    for path in ["/api/v1/pulls", "/api/v1/events", "/api/v1/summary"] {
        let refused = house.get(path);
        let code = &refused.json()["error"]["code"];
        assert_eq!((refused.status, code, refused.header("www-authenticate")), (401, &json!("unauthorized"), "Bearer"), "{path}");
    }
    assert_eq!(get(house.http, "/api/v1/pulls", &[("authorization", "Bearer secret")]).status, 200);
    for path in ["/", "/healthz"] {
        assert_eq!(house.get(path).status, 200, "{path}");
    }
}

/// Status of every kind of question for a reader with these headers, all alike.
#[track_caller]
fn reads(house: &House, headers: &[(&str, &str)]) -> u16 {
    let paths = ["pulls", "nodes", "images", "workloads", "summary", "openapi.json", "pulls/00000000000000000000000000000001"];
    let statuses = paths.map(|path| get(house.http, &format!("/api/v1/{path}"), headers).status);
    let stream = house.events("/api/v1/events", headers).head;
    assert!(stream.contains(&format!(" {} ", statuses[0])), "{stream} {statuses:?}");
    for (path, status) in paths.iter().zip(statuses) {
        assert!(status == statuses[0] || (status, statuses[0]) == (404, 200), "{path} {statuses:?}");
    }
    statuses[0]
}

#[test]
fn a_trusted_proxy_names_people_and_nobody_else_does() {
    let ada = ("x-forwarded-user", "ada");
    let house = House::start(&["--read-proxies", "10.0.0.0/8, 127.0.0.1"]);
    assert_eq!((reads(&house, &[ada]), reads(&house, &[])), (200, 403));
    assert_eq!(reads(&house, &[ada, ("x-forwarded-user", "eve")]), 403, "two names are none");
    let answer = house.get("/api/v1/pulls");
    assert_eq!(answer.json()["error"]["code"], "forbidden");
    let house =
        House::start(&["--read-proxies", "127.0.0.1", "--read-token", "secret", "--read-user-header", "X-Auth-Request-User"]);
    assert_eq!((reads(&house, &[("x-auth-request-user", "ada")]), reads(&house, &[ada])), (200, 401));
    assert_eq!((reads(&house, &[("authorization", "Bearer secret")]), reads(&house, &[])), (200, 401));
    let house = House::start(&["--read-proxies", "10.0.0.0/8", "--read-token", "secret"]);
    assert_eq!(reads(&house, &[ada]), 401, "this one is not trusted");
    for path in ["/", "/healthz", "/readyz"] {
        assert_ne!(house.get(path).status, 401, "{path}");
    }
}

#[test]
fn reports_of_agents_that_are_known_by_certificates_are_not_taken_on_the_port_of_the_api() {
    let (folder, ours) = (tempfile::tempdir().unwrap(), Authority::new());
    ours.install(folder.path());
    fs::write(folder.path().join("ca"), ours.pem()).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let house = House::start(&["--tls-cert", &path("cert"), "--tls-key", &path("key"), "--tls-client-ca", &path("ca")]);
    let report = br#"{"nodeName":"node-1","timestamp":"2026-01-15T08:30:00Z","pulls":null}"#;
    let refused = post(house.http, "/api/v1/report", &[("content-type", "application/json")], report);
    assert!(refused.status == 403 && refused.text().contains("OTLP/HTTP"), "{}", refused.text());
    assert_eq!(house.metric("pulltrace_receiver_rejected_total{reason=\"forbidden\"}"), 1.0);
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A certificate for this machine and its key.
    fn issue(&self) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }

    /// Writes a new certificate, in one step as far as anyone can see.
    fn install(&self, folder: &Path) {
        let (certificate, key) = self.issue();
        fs::write(folder.join("key"), key).unwrap();
        fs::write(folder.join("cert"), certificate).unwrap();
    }
}

fn tls(to: std::net::SocketAddr, protocol: Protocol, trusted: &Authority, shown: Option<&Authority>) -> Result<Sent, SendError> {
    let pem = Pem { authority: Some(trusted.pem()), identity: shown.map(Authority::issue) };
    send(endpoint(&format!("https://{to}"), protocol, None).with_tls(&pem).unwrap())
}

#[test]
fn with_a_certificate_both_protocols_are_private_and_a_new_one_is_shown_when_it_rotates() {
    let (folder, first, second) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    first.install(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let house = House::start(&["--tls-cert", &path("cert"), "--tls-key", &path("key")]);
    tls(house.grpc, Protocol::Grpc, &first, None).unwrap();
    tls(house.web, Protocol::HttpProtobuf, &first, None).unwrap();
    let refused = tls(house.grpc, Protocol::Grpc, &second, None).unwrap_err();
    assert!(matches!(refused, SendError::Unreachable(_)), "{refused}");
    send(endpoint(&format!("http://{}", house.web), Protocol::HttpProtobuf, None)).unwrap_err();
    second.install(folder.path());
    tls(house.grpc, Protocol::Grpc, &second, None).unwrap();
    fs::write(folder.path().join("cert"), "broken").unwrap();
    tls(house.web, Protocol::HttpProtobuf, &second, None).unwrap();
    assert_eq!(house.get("/healthz").status, 200, "readers need no TLS unless told so");
}

#[test]
fn with_a_client_authority_only_those_with_its_certificate_are_let_in() {
    let (folder, ours, clients) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    ours.install(folder.path());
    fs::write(folder.path().join("ca"), clients.pem()).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let house = House::start(&["--tls-cert", &path("cert"), "--tls-key", &path("key"), "--tls-client-ca", &path("ca")]);
    for (to, protocol) in [(house.grpc, Protocol::Grpc), (house.web, Protocol::HttpProtobuf)] {
        tls(to, protocol, &ours, Some(&clients)).unwrap();
        tls(to, protocol, &ours, Some(&ours)).unwrap_err();
        tls(to, protocol, &ours, None).unwrap_err();
    }
    assert_eq!(house.metric("pulltrace_agent_reports_total"), 2.0);
}

#[test]
fn readers_can_have_tls_too() {
    let (folder, ours) = (tempfile::tempdir().unwrap(), Authority::new());
    ours.install(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let house = House::start(&["--tls-cert", &path("cert"), "--tls-key", &path("key"), "--http-tls", "on"]);
    // Our client speaks OTLP: that it hears a 405 over TLS says that the API answers there.
    let refused = tls(house.http, Protocol::HttpProtobuf, &ours, None).unwrap_err();
    assert!(matches!(refused, SendError::Unsupported { .. }), "{refused}");
}

#[test]
fn an_old_connection_is_asked_to_end_and_loses_nothing() {
    let house = House::start(&["--otlp-connection-age", "200ms"]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let client = Client::new(endpoint(&format!("http://{}", house.grpc), Protocol::Grpc, None));
    let mut stream = TcpStream::connect(house.web).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut sent = 0.0;
    write!(stream, "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}")
        .unwrap();
    let mut answer = String::new();
    let ended = std::thread::spawn(move || stream.read_to_string(&mut answer).map(|_| answer));
    while !ended.is_finished() {
        runtime.block_on(client.send(Signal::Logs, Bytes::from(body("a")))).unwrap();
        sent += 1.0;
    }
    assert!(ended.join().unwrap().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(house.metric("pulltrace_agent_reports_total"), sent);
}
