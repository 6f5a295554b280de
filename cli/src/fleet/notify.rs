//! Posts the outcome of each pull to a webhook, as JSON in PullEvent form, on a thread of its own: a slow or dead hook holds up no pull and
//! changes no exit code. Of its URL, which often holds a secret, only scheme, host and port are ever printed.

use std::{
    collections::BTreeSet,
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError},
    thread,
    time::{Duration, Instant},
};

use lifecycle::pull::{Node, Pull, PullId};
use thiserror::Error;
use ureq::{
    Agent,
    http::Uri,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::log::{PullEvents, end_of};

/// A hook that has not answered within this time does not answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Pause before the second and last try.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for the hook when all pulls have ended: two tries and the pause between them.
pub(super) const FAREWELL: Duration = Duration::from_secs(11);
/// Most outcomes that wait for the hook; what is beyond is not posted, and that is said.
const MAX_WAITING: usize = 256;

/// Where to post.
#[derive(Clone)]
pub(super) struct Hook {
    /// Secret.
    url: String,
    /// What of it may be shown.
    origin: String,
}

/// Why nothing can be posted.
#[derive(Debug, Error)]
pub(crate) enum HookError {
    #[error("this is no URL of the form https://host/path")]
    Url,
    #[error("the certificate authorities in SSL_CERT_FILE cannot be read: {0}")]
    Authorities(#[source] io::Error),
    #[error("there is no certificate authority in SSL_CERT_FILE")]
    NoAuthority,
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

impl Hook {
    /// Checks that it can be one.
    pub(super) fn parse(text: &str) -> Result<Self, HookError> {
        let url: Uri = text.parse().map_err(|_| HookError::Url)?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (url.scheme_str(), url.authority()) else {
            return Err(HookError::Url);
        };
        let port = authority.port().map_or_else(String::new, |port| format!(":{port}"));
        Ok(Self { url: text.to_owned(), origin: format!("{scheme}://{}{port}", authority.host()) })
    }
}

/// Posts outcomes.
pub(super) struct Notifier {
    events: PullEvents,
    posted: BTreeSet<PullId>,
    waiting: SyncSender<String>,
    failures: Receiver<String>,
    /// What the user is to know.
    messages: Vec<String>,
    origin: String,
}

impl Notifier {
    /// Begins, with nothing to post. Trusts these authorities (PEM), else those that browsers trust.
    pub(super) fn start(hook: Hook, authorities: Option<&[u8]>, node: Node) -> Result<Self, HookError> {
        let agent = agent(authorities)?;
        let (waiting, outcomes) = mpsc::sync_channel::<String>(MAX_WAITING);
        let (tell, failures) = mpsc::channel();
        let origin = hook.origin.clone();
        let work = move || {
            for outcome in outcomes {
                let failed = post(&agent, &hook.url, &outcome).err();
                // Nobody listens any more: the command is over.
                if failed.is_some_and(|why| tell.send(format!("{} was not notified: {why}", hook.origin)).is_err()) {
                    return;
                }
            }
        };
        thread::Builder::new().name("notify".into()).spawn(work)?;
        let messages = Vec::new();
        Ok(Self { events: PullEvents::new(node), posted: BTreeSet::new(), waiting, failures, messages, origin })
    }

    /// Takes in how a pull stands; never waits.
    pub(super) fn show(&mut self, pull: &Pull) {
        let Some(kind) = end_of(pull).filter(|_| self.posted.insert(pull.id)) else { return };
        let Some(line) = self.events.line(kind, pull) else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.waiting.try_send(line) {
            self.messages.push(format!("{} was not notified: too many outcomes wait for it", self.origin));
        }
    }

    /// Waits until the last outcome was posted, but not beyond this moment; sentences about what was not.
    pub(super) fn end(self, until: Instant) -> Vec<String> {
        let Self { waiting, failures, mut messages, origin, .. } = self;
        drop(waiting);
        loop {
            match failures.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(message) => messages.push(message),
                Err(RecvTimeoutError::Disconnected) => return messages,
                Err(RecvTimeoutError::Timeout) => {
                    messages.push(format!("{origin} may not have been notified: no answer within {} s", FAREWELL.as_secs()));
                    return messages;
                }
            }
        }
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("origin", &self.origin).finish_non_exhaustive()
    }
}

fn agent(authorities: Option<&[u8]>) -> Result<Agent, HookError> {
    let mut tls = TlsConfig::builder();
    if let Some(pem) = authorities {
        let trusted: Vec<Certificate<'static>> = parse_pem(pem)
            .filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                Ok(_) | Err(_) => None,
            })
            .collect();
        if trusted.is_empty() {
            return Err(HookError::NoAuthority);
        }
        tls = tls.root_certs(RootCerts::from(trusted.into_iter()));
    }
    // A hook that sends its caller elsewhere would get a GET there, without the outcome: that is no success.
    let config = Agent::config_builder().tls_config(tls.build()).timeout_global(Some(TIMEOUT)).max_redirects(0);
    Ok(Agent::new_with_config(config.http_status_as_error(false).build()))
}

/// Posts one outcome; tries once more if that may help.
fn post(agent: &Agent, url: &str, outcome: &str) -> Result<(), String> {
    match post_once(agent, url, outcome) {
        Err((_, true)) => {
            pause();
            post_once(agent, url, outcome).map_err(|(why, _)| why)
        }
        done => done.map_err(|(why, _)| why),
    }
}

#[expect(clippy::disallowed_methods, reason = "a hook that failed tells nobody when it is well again")]
fn pause() {
    thread::sleep(PAUSE);
}

/// Why it was not taken, and whether another try may help.
fn post_once(agent: &Agent, url: &str, outcome: &str) -> Result<(), (String, bool)> {
    let request =
        agent.post(url).content_type("application/json").header("user-agent", concat!("pulltrace/", env!("CARGO_PKG_VERSION")));
    match request.send(outcome) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            let status = answer.status();
            Err((format!("it answers {status}"), status.is_server_error() || matches!(status.as_u16(), 408 | 429)))
        }
        // Says the URL.
        Err(ureq::Error::BadUri(_)) => Err(("its URL cannot be used".to_owned(), false)),
        Err(error) => Err((error.to_string().replace(char::is_control, " "), true)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read, Write},
        net::TcpListener,
        sync::Arc,
    };

    use lifecycle::pull::Outcome;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use serde_json::Value;

    use super::*;
    use crate::log::tests::{ended, node, pull};

    /// Answers each connection with the next of these statuses, and says the first line and the body of what was asked.
    fn hook(statuses: &'static [u16], tls: Option<ServerConfig>) -> (String, Receiver<(String, Value)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::channel();
        let tls = tls.map(Arc::new);
        let scheme = if tls.is_some() { "https" } else { "http" };
        thread::spawn(move || {
            for status in statuses {
                let (stream, _) = listener.accept().unwrap();
                let told = match &tls {
                    None => answer(stream, *status),
                    Some(tls) => answer(StreamOwned::new(ServerConnection::new(Arc::clone(tls)).unwrap(), stream), *status),
                };
                tell.send(told).unwrap();
            }
        });
        (format!("{scheme}://localhost:{}", address.port()), asked)
    }

    fn answer(mut stream: impl Read + Write, status: u16) -> (String, Value) {
        let mut reader = BufReader::new(&mut stream);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        write!(stream, "HTTP/1.1 {status} X\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        stream.flush().unwrap();
        (first.trim().to_owned(), serde_json::from_slice(&body).unwrap())
    }

    fn notified(url: &str, authorities: Option<&[u8]>, outcome: Outcome) -> Vec<String> {
        let mut notifier = Notifier::start(Hook::parse(url).unwrap(), authorities, node()).unwrap();
        notifier.show(&pull(10));
        notifier.show(&ended(outcome.clone()));
        notifier.show(&ended(outcome));
        notifier.end(Instant::now() + FAREWELL)
    }

    #[test]
    fn an_outcome_is_posted_once_as_a_pull_event_and_progress_is_not() {
        let (url, asked) = hook(&[204], None);
        assert_eq!(notified(&format!("{url}/hook?key=s3cret"), None, Outcome::Ready), [""; 0]);
        let (first, event) = asked.recv().unwrap();
        assert_eq!(first, "POST /hook?key=s3cret HTTP/1.1");
        assert_eq!(
            (&event["type"], &event["schemaVersion"], &event["nodeName"]),
            (&"pull.completed".into(), &"v1".into(), &"edge-1".into())
        );
        assert_eq!((&event["pull"]["outcome"], &event["pull"]["percent"]), (&"ready".into(), &100.0.into()));
    }

    #[test]
    fn a_hook_that_fails_is_tried_once_more() {
        let (url, asked) = hook(&[503, 200], None);
        assert_eq!(notified(&url, None, Outcome::Canceled), [""; 0]);
        assert_eq!(asked.iter().map(|(_, event)| event["type"].clone()).collect::<Vec<_>>(), ["pull.failed", "pull.failed"]);
        let (url, asked) = hook(&[500, 502], None);
        assert_eq!(notified(&url, None, Outcome::Ready), [format!("{url} was not notified: it answers 502 Bad Gateway")]);
        assert_eq!(asked.iter().count(), 2);
    }

    #[test]
    fn a_hook_that_refuses_or_sends_elsewhere_is_not_tried_again_and_its_secret_is_not_told() {
        for (statuses, why) in [(&[401_u16], "it answers 401 Unauthorized"), (&[302], "it answers 302 Found")] {
            let (url, _asked) = hook(statuses, None);
            assert_eq!(notified(&format!("{url}/s3cret"), None, Outcome::Ready), [format!("{url} was not notified: {why}")]);
        }
        let secret = Hook::parse("https://user:hunter2@example.com:1/s3cret").unwrap();
        assert_eq!(secret.origin, "https://example.com:1");
    }

    #[test]
    fn what_is_no_url_is_refused_without_saying_it() {
        for text in ["", "example.com/s3cret", "ftp://example.com/s3cret", "https://", "https://a b"] {
            let error = Hook::parse(text).err().expect(text);
            assert!(!error.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn over_https_only_a_hook_that_is_trusted_is_told() {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let server = || {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
            let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
            config.with_no_client_auth().with_single_cert(vec![signed.cert.der().clone()], key).unwrap()
        };
        let (url, asked) = hook(&[200], Some(server()));
        assert_eq!(notified(&url, Some(signed.cert.pem().as_bytes()), Outcome::Ready), [""; 0]);
        assert_eq!(asked.recv().unwrap().1["type"], "pull.completed");
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut notifier = Notifier::start(Hook::parse(&url).unwrap(), Some(other.cert.pem().as_bytes()), node()).unwrap();
        notifier.show(&ended(Outcome::Ready));
        assert_eq!(notifier.end(Instant::now() + FAREWELL).len(), 1, "nobody answers any more, or whoever does is not trusted");
    }

    #[test]
    fn certificate_authorities_that_are_none_are_refused() {
        assert!(matches!(agent(Some(b"nothing")), Err(HookError::NoAuthority)));
    }
}
