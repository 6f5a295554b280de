//! As much HTTP/1.1 as the kit's own ends need: the head of a message, and a server of one thread per connection.
//!
//! Not a general server: it exists because a link must be able to break HTTP in ways no library allows, and the sink is small.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A head longer than this is refused.
const MAX_HEAD: u64 = 64 * 1024;

/// First line and headers of a request or a response.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// Reads one; `None` when the peer closed before a whole head.
    pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        let mut from = from.take(MAX_HEAD);
        loop {
            let mut line = String::new();
            if from.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                text => lines.push(text.to_owned()),
            }
        }
        let mut lines = lines.into_iter();
        let Some(line) = lines.next() else { return Ok(None) };
        let headers = lines.filter_map(|l| l.split_once(':').map(|(k, v)| (k.to_owned(), v.trim().to_owned()))).collect();
        Ok(Some(Self { line, headers }))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn content_length(&self) -> Option<u64> {
        self.get("content-length")?.parse().ok()
    }

    /// Sets a header, replacing what was there.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.headers.retain(|(k, _)| !k.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    /// The n-th word of the first line: method, path, protocol; or protocol, status, reason.
    pub(crate) fn word(&self, n: usize) -> &str {
        self.line.split(' ').nth(n).unwrap_or_default()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(k, v)| format!("{k}: {v}\r\n")).collect();
        format!("{}\r\n{headers}\r\n", self.line).into_bytes()
    }
}

/// Says that the server is going away; whoever waits in a handler looks at it.
pub(crate) type Stop = Arc<AtomicBool>;

/// Connections being served, so that they can be shut down. An entry leaves with its handler: a socket closes with its last handle.
type Open = Arc<Mutex<BTreeMap<u64, TcpStream>>>;

/// Accepts on a free loopback port until dropped; then every connection is shut down.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    stop: Stop,
    open: Open,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(handle: impl Fn(TcpStream, &Stop) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port was free just now");
        let (stop, open): (Stop, Open) = Default::default();
        let (stopped, opened, handle) = (stop.clone(), open.clone(), Arc::new(handle));
        let accepting = std::thread::spawn(move || {
            for (id, stream) in (0..).zip(listener.incoming().map_while(Result::ok)) {
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                let (handle, stop, open) = (handle.clone(), stopped.clone(), opened.clone());
                lock(&open).extend(stream.try_clone().map(|s| (id, s)));
                std::thread::spawn(move || {
                    // A peer that goes away is what this is for: an error ends its connection and nothing else.
                    handle(stream, &stop).ok();
                    lock(&open).remove(&id);
                });
            }
        });
        Self { port, stop, open, accepting: Some(accepting) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        for stream in lock(&self.open).values() {
            stream.shutdown(Shutdown::Both).ok();
        }
        self.accepting.take().map(JoinHandle::join);
    }
}

/// The lock of something that stays whole when a holder panics.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A loopback port nobody listens on. Taken from below the range of outgoing connections, so that none of those can take it before
/// its server does, and from a place that differs between processes.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 120).expect("below 120") * 100;
    loop {
        let port = 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
