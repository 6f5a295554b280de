//! Asks a collector over HTTP: its lists and its event stream. Knows the outward contract and nothing of the collector's inside.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;
use ureq::Agent;

/// A collector that does not begin to answer within this time does not answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest line of an event stream, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Speaks to one collector.
#[derive(Debug)]
pub(crate) struct Client {
    url: String,
    authorization: Option<String>,
    agent: Agent,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    #[error("{0:?} is not a URL of the form http://host:port")]
    Url(String),
    #[error("cannot read the token in {path}: {source}")]
    Token { path: String, source: std::io::Error },
    #[error("cannot reach the collector at {url}: {source}")]
    Network { url: String, source: Box<ureq::Error> },
    #[error("the collector says {status}: {message}")]
    Status { status: u16, message: String },
    #[error("this is not a collector of Pulltrace: {0}")]
    Answer(serde_json::Error),
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
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
    /// For the collector at this URL, which may want the token in this file.
    pub(crate) fn new(url: &str, token_file: Option<&Path>) -> Result<Self, ClientError> {
        let host = url.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '?', '#', '@', ' ']) {
            return Err(ClientError::Url(url.to_owned()));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .build();
        let authorization = token_file.map(bearer).transpose()?;
        Ok(Self { url: format!("http://{host}"), authorization, agent: Agent::new_with_config(config) })
    }

    /// The answer to a question.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        serde_json::from_str(&self.text(path)?).map_err(ClientError::Answer)
    }

    /// The answer to a question, as it is.
    pub(crate) fn text(&self, path: &str) -> Result<String, ClientError> {
        self.open(path, None)?.read_to_string().map_err(|source| self.network(source))
    }

    /// The events from now on, or from behind an event on; ends when the connection does.
    pub(crate) fn events(&self, last_id: Option<&str>) -> Result<impl Iterator<Item = Event> + use<>, ClientError> {
        let body = self.open("/api/v1/events", last_id)?;
        let mut lines = BufReader::new(body.into_reader());
        Ok(std::iter::from_fn(move || read_event(&mut lines)))
    }

    fn open(&self, path: &str, last_id: Option<&str>) -> Result<ureq::Body, ClientError> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let response = request.call().map_err(|source| self.network(source))?;
        let status = response.status();
        let mut body = response.into_body();
        if status.is_success() {
            return Ok(body);
        }
        let text = body.read_to_string().unwrap_or_default();
        let plain = || if text.trim().is_empty() { status.to_string() } else { text.trim().to_owned() };
        let message = serde_json::from_str::<ErrorBody>(&text).map_or_else(|_| plain(), |body| body.error.message);
        Err(ClientError::Status { status: status.as_u16(), message })
    }

    fn network(&self, source: ureq::Error) -> ClientError {
        ClientError::Network { url: self.url.clone(), source: Box::new(source) }
    }
}

/// What shows the first token of a file.
fn bearer(path: &Path) -> Result<String, ClientError> {
    let text = fs::read_to_string(path).map_err(|source| ClientError::Token { path: path.display().to_string(), source })?;
    Ok(format!("Bearer {}", text.split_whitespace().next().unwrap_or_default()))
}

/// Reads up to the empty line behind the next event with data.
fn read_event(lines: &mut impl BufRead) -> Option<Event> {
    let mut event = Event::default();
    loop {
        let mut line = String::new();
        let length = std::io::Read::take(&mut *lines, MAX_LINE).read_line(&mut line).ok()?;
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
    fn only_plain_urls_of_a_host_are_taken() {
        for url in ["", "host:8080", "https://host", "http://", "http://host/path", "http://user@host"] {
            assert!(matches!(Client::new(url, None), Err(ClientError::Url(_))), "{url}");
        }
        assert_eq!(Client::new("http://host:1/", None).unwrap().url, "http://host:1");
    }
}
