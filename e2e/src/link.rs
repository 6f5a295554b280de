//! The way to the registry: an HTTP proxy that is as slow as told and breaks as told, both changeable while bytes flow.
//!
//! It speaks HTTP/1.1 with one request per connection, GET and HEAD only, which is all a pull needs; pushes go straight to the
//! registry. The rate holds for each response, so a pull of three layers at once gets three times as much. Whoever tries TLS is told
//! in plain HTTP that there is none, which is what makes Docker go on without.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::clock;
use crate::http::{Head, Server, Stop, lock};

/// Bodies below this pass whole: manifests and configs arrive, and a fault of the middle hits a layer.
const SMALL: u64 = 64 * 1024;

/// Bytes are paced in slices of this length.
const SLICE: Duration = Duration::from_millis(20);

/// What [`Fault::Login`] asks for, as a Docker configuration holds it: base64 of `reader:let me in`.
pub const CREDENTIALS: &str = "cmVhZGVyOmxldCBtZSBpbg==";

/// The first byte of a TLS connection (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// What goes wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Everything is answered 401 Unauthorized.
    Unauthorized,
    /// Everything without [`CREDENTIALS`] is answered 401 Unauthorized.
    Login,
    /// Everything is answered 404 Not Found.
    NotFound,
    /// Blobs are answered 404 Not Found, manifests are there.
    BlobsNotFound,
    /// Blobs are answered 429 Too Many Requests.
    TooManyRequests,
    /// Everything is answered 503 Service Unavailable.
    Unavailable,
    /// A TCP reset half way through a layer; containerd gives up.
    Reset,
    /// The connection closes half way through a layer, and half way through the rest; containerd resumes and succeeds.
    Close,
    /// Half a layer, then silence, until the fault changes.
    Stall,
    /// One byte in the middle of a layer is wrong.
    Corrupt,
    /// Answers for manifests come this much later.
    SlowManifest(Duration),
}

/// A request that was answered, as a test may want to count them.
#[derive(Debug, Clone)]
pub struct Answered {
    /// `GET` or `HEAD`.
    pub method: String,
    /// The path.
    pub path: String,
    /// The status, 0 when there was no answer.
    pub status: u16,
    /// Bytes of the body that were sent on.
    pub bytes: u64,
}

/// A running link. Dropping it closes every connection.
#[derive(Debug)]
pub struct Link {
    server: Server,
    way: Arc<Way>,
}

impl Link {
    /// Listens on a free port in front of the registry at `upstream`.
    #[must_use]
    pub fn start(upstream: u16) -> Self {
        let state = State::default();
        let way = Arc::new(Way { upstream, state: Mutex::new(state) });
        let taken = way.clone();
        Self { server: Server::start(move |client, stop| taken.carry(client, stop)), way }
    }

    /// Where it listens on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.server.port
    }

    /// Bytes per second of each response from now on; `None` is without limit.
    pub fn set_rate(&self, rate: Option<u64>) {
        lock(&self.way.state).rate = rate;
    }

    /// What goes wrong from now on. Answers under way notice [`Fault::Stall`] and [`Fault::SlowManifest`] being lifted.
    pub fn set_fault(&self, fault: Fault) {
        lock(&self.way.state).fault = fault;
    }

    /// What goes wrong in one repository from now on, instead of what goes wrong everywhere.
    pub fn set_fault_at(&self, repository: &str, fault: Fault) {
        lock(&self.way.state).at.insert(format!("/v2/{repository}/"), fault);
    }

    /// Every answer of one repository begins this much later from now on.
    pub fn set_delay_at(&self, repository: &str, delay: Duration) {
        lock(&self.way.state).delays.insert(format!("/v2/{repository}/"), delay);
    }

    /// How many answers of one repository [`Fault::Stall`] holds now, each with half a layer sent.
    #[must_use]
    pub fn stalled(&self, repository: &str) -> usize {
        let of = format!("/v2/{repository}/");
        lock(&self.way.state).stalled.iter().filter(|path| path.starts_with(&of)).count()
    }

    /// How many requests are being answered now.
    #[must_use]
    pub fn under_way(&self) -> usize {
        lock(&self.way.state).under_way
    }

    /// Bytes of bodies that were sent so far, also in answers under way.
    #[must_use]
    pub fn sent(&self) -> u64 {
        lock(&self.way.state).sent
    }

    /// What was answered so far, in the order of the answers' ends.
    #[must_use]
    pub fn answered(&self) -> Vec<Answered> {
        lock(&self.way.state).answered.clone()
    }
}

#[derive(Debug)]
struct Way {
    upstream: u16,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rate: Option<u64>,
    fault: Fault,
    /// By the beginning of the path.
    at: BTreeMap<String, Fault>,
    /// By the beginning of the path.
    delays: BTreeMap<String, Duration>,
    /// Paths of answers that [`Fault::Stall`] holds.
    stalled: Vec<String>,
    sent: u64,
    under_way: usize,
    answered: Vec<Answered>,
}

impl Way {
    /// One connection, one request.
    fn carry(&self, mut client: TcpStream, stop: &Stop) -> io::Result<()> {
        let mut first = [0];
        if client.peek(&mut first)? == 1 && first[0] == HANDSHAKE {
            return client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
        let Some(request) = Head::read(&mut BufReader::new(&client))? else { return Ok(()) };
        let mut answered = Answered { method: request.word(0).into(), path: request.word(1).into(), status: 0, bytes: 0 };
        lock(&self.state).under_way += 1;
        let carried = self.answer(&client, request, stop, &mut answered);
        let mut state = lock(&self.state);
        state.under_way -= 1;
        state.answered.push(answered);
        carried
    }

    fn answer(&self, mut client: &TcpStream, mut request: Head, stop: &Stop, done: &mut Answered) -> io::Result<()> {
        clock::pause(self.delay_of(request.word(1)));
        let is_known = request.get("authorization").and_then(|a| a.strip_prefix("Basic ")) == Some(CREDENTIALS);
        let fault = Some(self.fault_of(request.word(1))).filter(|fault| *fault != Fault::Login || !is_known).unwrap_or_default();
        let (blob, manifest) = (request.word(1).contains("/blobs/"), request.word(1).contains("/manifests/"));
        if let Some((status, extra)) = refusal(fault, blob) {
            done.status = status;
            return client.write_all(&refused(status, extra, done.method == "HEAD"));
        }
        if let Fault::SlowManifest(time) = fault
            && manifest
        {
            self.hold(&done.path, stop, fault, time, || false);
        }
        request.set("Connection", "close");
        let resumed = request.get("range").is_some();
        let mut upstream = TcpStream::connect(("127.0.0.1", self.upstream))?;
        upstream.write_all(&request.to_bytes())?;
        let mut upstream = BufReader::new(upstream);
        let Some(mut response) = Head::read(&mut upstream)? else { return Ok(()) };
        response.set("Connection", "close");
        done.status = response.word(1).parse().unwrap_or(0);
        client.write_all(&response.to_bytes())?;
        if done.method == "HEAD" {
            return Ok(());
        }
        let size = response.content_length().unwrap_or(u64::MAX);
        let layer = blob && done.status < 300 && (SMALL..u64::MAX).contains(&size);
        self.body(
            client,
            &mut upstream.take(size),
            Body { size, resumed, fault: if layer { fault } else { Fault::None } },
            stop,
            done,
        )
    }

    fn body(&self, client: &TcpStream, from: &mut impl Read, body: Body, stop: &Stop, done: &mut Answered) -> io::Result<()> {
        let half = body.size / 2;
        let Answered { path, bytes, .. } = done;
        match body.fault {
            Fault::Reset => {
                self.pass(client, from, if body.resumed { 0 } else { half }, bytes, stop)?;
                set_socket_linger(client, Some(Duration::ZERO))?;
                Ok(())
            }
            Fault::Close => self.pass(client, from, half, bytes, stop),
            Fault::Stall => {
                self.pass(client, from, half, bytes, stop)?;
                lock(&self.state).stalled.push(path.clone());
                client.set_read_timeout(Some(SLICE))?;
                // Nothing more is asked on this connection, so its only news can be its end.
                self.hold(path, stop, Fault::Stall, Duration::MAX, || has_gone(client));
                lock(&self.state).stalled.retain(|held| held != path);
                self.pass(client, from, u64::MAX, bytes, stop)
            }
            Fault::Corrupt => {
                self.pass(client, from, half, bytes, stop)?;
                let mut one = [0];
                from.read_exact(&mut one)?;
                self.pass(client, &mut &[!one[0]][..], 1, bytes, stop)?;
                self.pass(client, from, u64::MAX, bytes, stop)
            }
            Fault::None
            | Fault::Unauthorized
            | Fault::Login
            | Fault::NotFound
            | Fault::BlobsNotFound
            | Fault::TooManyRequests
            | Fault::Unavailable
            | Fault::SlowManifest(_) => self.pass(client, from, u64::MAX, bytes, stop),
        }
    }

    /// Copies up to `limit` bytes at the rate of the moment.
    fn pass(&self, mut to: &TcpStream, from: &mut impl Read, limit: u64, done: &mut u64, stop: &Stop) -> io::Result<()> {
        let mut slice = vec![0; 256 * 1024];
        let (mut left, mut due) = (limit, Instant::now());
        while left > 0 && !stop.load(std::sync::atomic::Ordering::Acquire) {
            let rate = lock(&self.state).rate;
            let want = rate.map_or(slice.len() as u64, |r| (r / 50).clamp(1, slice.len() as u64)).min(left);
            let got = from.read(&mut slice[..usize::try_from(want).expect("a slice fits")])?;
            if got == 0 {
                break;
            }
            to.write_all(&slice[..got])?;
            (left, *done) = (left - got as u64, *done + got as u64);
            lock(&self.state).sent += got as u64;
            if let Some(rate) = rate {
                due = due.max(Instant::now().checked_sub(SLICE * 5).unwrap_or(due))
                    + Duration::from_secs_f64(got as f64 / rate as f64);
                clock::pause(due.saturating_duration_since(Instant::now()));
            }
        }
        Ok(())
    }

    /// Waits while the fault lasts, at most for a time, at most until the link ends or the client has gone.
    fn hold(&self, path: &str, stop: &Stop, fault: Fault, time: Duration, is_gone: impl Fn() -> bool) {
        let begin = Instant::now();
        let ends = || begin.elapsed() >= time || stop.load(std::sync::atomic::Ordering::Acquire) || is_gone();
        while self.fault_of(path) == fault && !ends() {
            clock::pause(SLICE);
        }
    }

    fn delay_of(&self, path: &str) -> Duration {
        let state = lock(&self.state);
        state.delays.iter().find(|(begin, _)| path.starts_with(begin.as_str())).map_or(Duration::ZERO, |(_, delay)| *delay)
    }

    fn fault_of(&self, path: &str) -> Fault {
        let state = lock(&self.state);
        let own = state.at.iter().find(|(begin, _)| path.starts_with(begin.as_str()));
        own.map_or(state.fault, |(_, fault)| *fault)
    }
}

/// Whether the other end has closed or reset a connection on which it has nothing more to say; looks for a [`SLICE`].
fn has_gone(client: &TcpStream) -> bool {
    client
        .peek(&mut [0])
        .map_or_else(|e| !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), |bytes| bytes == 0)
}

/// How a body is to be sent.
struct Body {
    size: u64,
    resumed: bool,
    fault: Fault,
}

/// Status and extra header of a fault that refuses.
const fn refusal(fault: Fault, blob: bool) -> Option<(u16, &'static str)> {
    match fault {
        Fault::Unauthorized | Fault::Login => Some((401, "WWW-Authenticate: Basic realm=\"link\"\r\n")),
        Fault::NotFound => Some((404, "")),
        Fault::BlobsNotFound if blob => Some((404, "")),
        Fault::TooManyRequests if blob => Some((429, "Retry-After: 30\r\n")),
        Fault::Unavailable => Some((503, "")),
        Fault::None
        | Fault::BlobsNotFound
        | Fault::TooManyRequests
        | Fault::Reset
        | Fault::Close
        | Fault::Stall
        | Fault::Corrupt
        | Fault::SlowManifest(_) => None,
    }
}

/// A refusal in the form of the distribution specification, in a registry's usual words.
fn refused(status: u16, extra: &str, head: bool) -> Vec<u8> {
    let (reason, code, message) = match status {
        401 => ("Unauthorized", "UNAUTHORIZED", "authentication required"),
        404 => ("Not Found", "MANIFEST_UNKNOWN", "manifest unknown"),
        429 => ("Too Many Requests", "TOOMANYREQUESTS", "too many requests"),
        _ => ("Service Unavailable", "UNAVAILABLE", "service unavailable"),
    };
    let body = format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"{message}\"}}]}}");
    let head_text = format!(
        "HTTP/1.1 {status} {reason}\r\n{extra}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    (head_text + if head { "" } else { &body }).into_bytes()
}
