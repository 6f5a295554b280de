//! A webhook: keeps what is posted to it. It answers everything with 204 and nothing else, at a path that only its user knows.

use std::io::{BufReader, Read as _, Write as _};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::http::{Head, Server, lock};

/// A body larger than this is refused.
const MAX_BODY: u64 = 1 << 20;

/// A webhook that lives as long as this.
#[derive(Debug)]
pub struct Hook {
    server: Server,
    posted: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    /// Listens on a free port.
    #[must_use]
    pub fn start() -> Self {
        let posted = Arc::<Mutex<Vec<Value>>>::default();
        let kept = posted.clone();
        let server = Server::start(move |mut client, _| {
            let mut from = BufReader::new(client.try_clone()?);
            let Some(head) = Head::read(&mut from)? else { return Ok(()) };
            let mut body = Vec::new();
            from.take(head.content_length().unwrap_or_default().min(MAX_BODY)).read_to_end(&mut body)?;
            lock(&kept).push(serde_json::from_slice(&body).unwrap_or_default());
            client.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        });
        Self { server, posted }
    }

    /// Where to post to.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.server.port)
    }

    /// What was posted so far; null for what is no JSON.
    #[must_use]
    pub fn posted(&self) -> Vec<Value> {
        lock(&self.posted).clone()
    }
}
