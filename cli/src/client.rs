//! Asks a collector over HTTP: its lists and its event stream. Knows the outward contract and nothing of the collector's inside. Which
//! collector is the business of [`crate::server`], how a cluster's is reached that of [`crate::cluster`].

use std::{
    fmt, fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use lifecycle::time::Timestamp;
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;
use ureq::{
    Agent, Body,
    config::Config,
    http::Response,
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
    unversioned::transport::{Connector as _, RustlsConnector},
};

use crate::cluster::{Cluster, ClusterError, Forward, Nowhere};

/// A collector that does not begin to answer within this time does not answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest line of an event stream, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Speaks to one collector. All clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    url: String,
    authorization: Option<Bearer>,
    agent: Agent,
    /// What to say besides when it cannot be reached.
    hint: &'static str,
}

/// As whom the collector is asked, and whom it is believed to be.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    authorization: Option<Bearer>,
    roots: Option<RootCerts>,
}

/// What shows a token. It cannot be printed.
#[derive(Clone)]
struct Bearer(String);

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    #[error("{0:?} is not a URL of the form http://host:port or https://host:port")]
    Url(String),
    #[error("cannot read the token in {path}: {source}")]
    Token { path: String, source: std::io::Error },
    #[error("cannot read certificates in {path}: {why}")]
    Certificates { path: String, why: String },
    #[error("cannot reach the collector at {url}: {source}{hint}")]
    Network { url: String, source: Box<ureq::Error>, hint: &'static str },
    #[error("the collector says {status}: {message}")]
    Status { status: u16, message: String },
    #[error("this is not a collector of Pulltrace: {0}")]
    Answer(serde_json::Error),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// The event stream, open.
pub(crate) struct Stream {
    /// What time it was for the collector when it began to answer, to the second.
    pub(crate) date: Option<Timestamp>,
    /// The bytes as they come, comments too; [`events_of`] reads them.
    pub(crate) bytes: Box<dyn Read + Send>,
}

/// One event of the stream.
#[derive(Debug, Default)]
pub(crate) struct Event {
    /// Of named events.
    pub(crate) name: Option<String>,
    /// Where it stands in the stream.
    pub(crate) id: Option<String>,
    /// JSON.
    pub(crate) data: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorMessage,
}

#[derive(Deserialize)]
struct ErrorMessage {
    message: String,
}

impl Client {
    /// For the collector at this URL.
    pub(crate) fn new(url: &str, reader: Reader) -> Result<Self, ClientError> {
        let (scheme, host) = url.split_once("://").unwrap_or_default();
        let host = host.trim_end_matches('/');
        if !matches!(scheme, "http" | "https") || host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
            return Err(ClientError::Url(url.to_owned()));
        }
        let Reader { authorization, roots } = reader;
        Ok(Self { url: format!("{scheme}://{host}"), authorization, agent: Agent::new_with_config(config(roots)), hint: "" })
    }

    /// For the collector of a cluster, through its API server.
    pub(crate) fn of_cluster(cluster: Cluster, reader: Reader) -> Result<Self, ClientError> {
        let pod = cluster.collector()?;
        let url = pod.url();
        let Reader { authorization, roots } = reader;
        let connector = Forward::new(cluster, pod).chain(RustlsConnector::default());
        Ok(Self { url, authorization, agent: Agent::with_parts(config(roots), connector, Nowhere), hint: "" })
    }

    /// Says this besides when the collector cannot be reached.
    pub(crate) fn hinting(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// Where the collector is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The answer to a question.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        serde_json::from_str(&self.text(path)?).map_err(ClientError::Answer)
    }

    /// The answer to a question with these keys behind the question mark.
    pub(crate) fn ask<T: DeserializeOwned>(&self, path: &str, keys: &[(&str, &str)]) -> Result<T, ClientError> {
        let text = self.open(path, keys, None)?.body_mut().read_to_string().map_err(|source| self.network(source))?;
        serde_json::from_str(&text).map_err(ClientError::Answer)
    }

    /// The answer to a question, as it is.
    pub(crate) fn text(&self, path: &str) -> Result<String, ClientError> {
        self.open(path, &[], None)?.body_mut().read_to_string().map_err(|source| self.network(source))
    }

    /// The events from now on, or from behind an event on; ends when the connection does.
    pub(crate) fn events(&self, last_id: Option<&str>) -> Result<impl Iterator<Item = Event> + use<>, ClientError> {
        Ok(events_of(self.stream(last_id)?.bytes))
    }

    /// The same, as bytes.
    pub(crate) fn stream(&self, last_id: Option<&str>) -> Result<Stream, ClientError> {
        let response = self.open("/api/v1/events", &[], last_id)?;
        let date = response.headers().get("date").and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok()).map(|since| Timestamp::EPOCH + since);
        Ok(Stream { date, bytes: Box::new(response.into_body().into_reader()) })
    }

    fn open(&self, path: &str, keys: &[(&str, &str)], last_id: Option<&str>) -> Result<Response<Body>, ClientError> {
        let mut request = self.agent.get(format!("{}{path}", self.url)).query_pairs(keys.iter().copied());
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", &authorization.0);
        }
        let mut response = request.call().map_err(|source| self.network(source))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let plain = || if text.trim().is_empty() { status.to_string() } else { text.trim().to_owned() };
        let message = serde_json::from_str::<ErrorBody>(&text).map_or_else(|_| plain(), |body| body.error.message);
        Err(ClientError::Status { status: status.as_u16(), message })
    }

    fn network(&self, source: ureq::Error) -> ClientError {
        let network = |source| ClientError::Network { url: self.url.clone(), source: Box::new(source), hint: self.hint };
        let ureq::Error::Other(other) = source else { return network(source) };
        other.downcast().map_or_else(|other| network(ureq::Error::Other(other)), |error| ClientError::Cluster(*error))
    }
}

impl ClientError {
    /// The exit code, as the contract lists them.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Url(_) | Self::Token { .. } | Self::Certificates { .. } => 2,
            Self::Status { status: 404, .. } => 3,
            Self::Status { status: 401 | 403, .. } => 4,
            Self::Status { status: 429, .. } => 5,
            Self::Network { .. } => 6,
            Self::Status { .. } | Self::Answer(_) | Self::Output(_) => 1,
            Self::Cluster(error) => error.code(),
        }
    }
}

impl Reader {
    /// From the file with a token and the file with certificates.
    pub(crate) fn read(token_file: Option<&Path>, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        Ok(Self { authorization: token_file.map(bearer).transpose()?, roots: ca_file.map(roots).transpose()? })
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

fn config(roots: Option<RootCerts>) -> Config {
    let tls = roots.map_or_else(TlsConfig::default, |roots| TlsConfig::builder().root_certs(roots).build());
    let config = Agent::config_builder().http_status_as_error(false).tls_config(tls);
    config.timeout_connect(Some(TIMEOUT)).timeout_recv_response(Some(TIMEOUT)).build()
}

/// What shows the first token of a file.
fn bearer(path: &Path) -> Result<Bearer, ClientError> {
    let text = fs::read_to_string(path).map_err(|source| ClientError::Token { path: path.display().to_string(), source })?;
    Ok(Bearer(format!("Bearer {}", text.split_whitespace().next().unwrap_or_default())))
}

/// The certificates of a file.
fn roots(path: &Path) -> Result<RootCerts, ClientError> {
    let failed = |why: String| ClientError::Certificates { path: path.display().to_string(), why };
    let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let items = parse_pem(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| failed(error.to_string()))?;
    let of = |item| if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None };
    let certificates: Vec<_> = items.into_iter().filter_map(of).collect();
    if certificates.is_empty() {
        return Err(failed("there are none".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// The events of a stream; ends when it does.
pub(crate) fn events_of(bytes: impl Read) -> impl Iterator<Item = Event> {
    let mut lines = BufReader::new(bytes);
    std::iter::from_fn(move || read_event(&mut lines))
}

/// Reads up to the empty line behind the next event with data.
fn read_event(lines: &mut impl BufRead) -> Option<Event> {
    let mut event = Event::default();
    loop {
        let mut line = String::new();
        let length = Read::take(&mut *lines, MAX_LINE).read_line(&mut line).ok()?;
        if length == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some(("event", name)) => event.name = Some(name.to_owned()),
            Some(("id", id)) => event.id = Some(id.to_owned()),
            Some(("data", data)) => data.clone_into(&mut event.data),
            Some(_) => {}
            None if line.trim_end().is_empty() && !event.data.is_empty() => return Some(event),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_past_comments_and_retry() {
        let mut text =
            "retry: 1500\n\n:\n\nid: e.1\ndata: {}\n\nevent: removed\nid: e.2\ndata: {\"id\":\"x\"}\n\nid: e.3\n".as_bytes();
        let first = read_event(&mut text).unwrap();
        assert_eq!((first.name, first.id.as_deref(), first.data.as_str()), (None, Some("e.1"), "{}"));
        assert_eq!(read_event(&mut text).unwrap().name.as_deref(), Some("removed"));
        assert!(read_event(&mut text).is_none(), "cut off");
    }

    #[test]
    fn only_urls_of_a_host_are_taken() {
        let new = |url: &str| Client::new(url, Reader::default());
        for url in ["", "host:8080", "ftp://host", "http://", "http://host/path", "http://user@host"] {
            assert!(matches!(new(url), Err(ClientError::Url(_))), "{url}");
        }
        assert_eq!(new("http://host:1/").unwrap().url(), "http://host:1");
        assert_eq!(new("https://host").unwrap().url(), "https://host");
    }

    #[test]
    fn a_token_is_never_printed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "geheim\n").unwrap();
        let reader = Reader::read(Some(file.path()), None).unwrap();
        assert_eq!(reader.authorization.as_ref().unwrap().0, "Bearer geheim");
        assert!(!format!("{reader:?}").contains("geheim"), "{reader:?}");
    }

    #[test]
    fn a_file_without_certificates_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Reader::read(None, Some(file.path())).unwrap_err();
        assert!(error.to_string().ends_with("there are none") && error.code() == 2, "{error}");
    }
}
