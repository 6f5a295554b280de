//! A client of the collector's event stream, by the HTML standard's server-sent events: it reads on a thread of its own, can leave,
//! can resume from an id, and there is one that never reads.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::clock;
use crate::http::{Head, lock};

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The `id:` field, empty if there was none.
    pub id: String,
    /// The `event:` field; `message` if there was none.
    pub name: String,
    /// The `data:` field as JSON; a string if it is none.
    pub data: Value,
}

impl Event {
    /// The pull's id of a pull event.
    #[must_use]
    pub fn pull_id(&self) -> &str {
        self.data["pull"]["id"].as_str().unwrap_or_default()
    }

    /// The type of a pull event, such as `pull.progress`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or_default()
    }
}

/// A connected client. Dropping it disconnects.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    events: Arc<Mutex<Vec<Event>>>,
    reading: Option<JoinHandle<()>>,
}

impl Client {
    /// Connects to `/api/v1/events` of a port, with `Last-Event-ID` if given.
    ///
    /// # Panics
    /// When the answer is not 200.
    #[must_use]
    pub fn connect(port: u16, last_event_id: Option<&str>) -> Self {
        let stream = request(port, last_event_id);
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
        let head = Head::read(&mut reader).ok().flatten().expect("the event stream answers");
        assert_eq!(head.word(1), "200", "GET /api/v1/events: {}", head.line);
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let into = events.clone();
        let chunked = head.get("transfer-encoding").is_some_and(|t| t.contains("chunked"));
        let reading = std::thread::spawn(move || {
            let body: Box<dyn Read> = if chunked { Box::new(Chunks { from: reader, left: 0 }) } else { Box::new(reader) };
            // The stream ends when either side leaves; what came until then is kept.
            read(BufReader::new(body), &into).ok();
        });
        Self { stream, events, reading: Some(reading) }
    }

    /// The events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        lock(&self.events).clone()
    }

    /// Waits until an event is there that `is` holds for, and returns all events up to it.
    ///
    /// # Panics
    /// When none comes before the deadline.
    #[track_caller]
    pub fn until(&self, what: &str, limit: Duration, is: impl Fn(&Event) -> bool) -> Vec<Event> {
        clock::until(what, limit, || {
            let events = self.events();
            let at = events.iter().position(&is)?;
            Some(events[..=at].to_vec())
        })
    }

    /// Disconnects and returns what had come.
    #[must_use]
    pub fn leave(mut self) -> Vec<Event> {
        self.end();
        self.events()
    }

    fn end(&mut self) {
        self.stream.shutdown(Shutdown::Both).ok();
        self.reading.take().map(JoinHandle::join);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.end();
    }
}

/// A client that asks for the stream and never reads a byte. It stays connected until dropped.
#[derive(Debug)]
pub struct Deaf {
    _stream: TcpStream,
}

impl Deaf {
    /// Connects to `/api/v1/events` of a port.
    #[must_use]
    pub fn connect(port: u16) -> Self {
        Self { _stream: request(port, None) }
    }
}

fn request(port: u16, last_event_id: Option<&str>) -> TcpStream {
    let resume = last_event_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the collector listens");
    let text = format!("GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n{resume}\r\n");
    stream.write_all(text.as_bytes()).expect("a fresh connection takes a request");
    stream
}

/// Lines into events: an empty line ends one, one without data is none, a line that begins with a colon is a comment.
fn read(from: impl BufRead, into: &Mutex<Vec<Event>>) -> io::Result<()> {
    let (mut id, mut name, mut data) = (String::new(), String::new(), String::new());
    for line in from.lines() {
        let line = line?;
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => value.clone_into(&mut id),
            "event" => value.clone_into(&mut name),
            "data" => data.push_str(value),
            _ => {}
        }
        if line.is_empty() {
            let name = std::mem::take(&mut name);
            let text = std::mem::take(&mut data);
            if text.is_empty() && name.is_empty() {
                continue;
            }
            let data = serde_json::from_str(&text).unwrap_or(Value::String(text));
            let name = if name.is_empty() { "message".to_owned() } else { name };
            lock(into).push(Event { id: id.clone(), name, data });
        }
    }
    Ok(())
}

/// The chunked transfer coding of HTTP/1.1.
struct Chunks<R> {
    from: R,
    left: u64,
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 {
            let mut line = String::new();
            if self.from.read_line(&mut line)? == 0 {
                return Ok(0);
            }
            let size = line.trim();
            if size.is_empty() {
                continue;
            }
            self.left = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            if self.left == 0 {
                return Ok(0);
            }
        }
        let got = (&mut self.from).take(self.left).read(into)?;
        self.left -= got as u64;
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_and_fields_become_events() {
        let text = ": hello\n\nretry: 1000\nid: e.1\ndata: {\"type\":\"pull.progress\"}\n\nevent: sync\nid: e.2\ndata: {}\n\n";
        let (one, two) = text.as_bytes().split_at(20);
        let mut chunked = format!("{:x}\r\n", one.len()).into_bytes();
        chunked.extend(one);
        chunked.extend(format!("\r\n{:x}\r\n", two.len()).as_bytes());
        chunked.extend(two);
        chunked.extend(b"\r\n0\r\n\r\n");
        let events = Mutex::default();
        read(BufReader::new(Chunks { from: &chunked[..], left: 0 }), &events).unwrap();
        let events = events.into_inner().unwrap();
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!((events[0].id.as_str(), events[0].name.as_str(), events[0].kind()), ("e.1", "message", "pull.progress"));
        assert_eq!((events[1].id.as_str(), events[1].name.as_str()), ("e.2", "sync"));
    }
}
