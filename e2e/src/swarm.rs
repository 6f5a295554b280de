//! Many readers of one stream on one thread: those who read all they are sent and look at nothing of it, those who crawl, those who never
//! read; and one who looks how old what it reads is. What they cost is small beside what serving them costs, but it is not nothing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::clock;
use crate::http::lock;

/// Readers from one loopback address; more come from the next, as a collector lets in only so many from each.
const PER_ADDRESS: usize = 500;
/// Receive buffer of readers that are to be slow, bytes. The system makes a little more of it.
const SLOW_BUFFER: u32 = 4096;

/// How a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// All it is sent, at once.
    Reads,
    /// So many bytes once a second.
    Crawls(usize),
    /// Nothing, ever.
    Deaf,
    /// All, and looks at the `timestamp` of every event. Only for events without gzip; choose few, such as `?node=NAME`.
    Looks,
}

/// Readers that are connected until this is dropped.
#[derive(Debug)]
pub struct Swarm {
    counts: Arc<Counts>,
    reading: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    ended: AtomicU64,
    ages: Mutex<Vec<Duration>>,
    stop: AtomicBool,
}

impl Swarm {
    /// Connects so many readers to a path of a loopback port, with gzip if they can read it.
    ///
    /// # Panics
    /// When one is not answered with 200.
    #[must_use]
    pub fn connect(port: u16, path: &str, gzip: bool, habit: Habit, readers: usize) -> Self {
        let counts = Arc::new(Counts::default());
        let (connected, all) = mpsc::channel();
        let encoding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{encoding}\r\n");
        let (counted, address) = (counts.clone(), SocketAddr::from(([127, 0, 0, 1], port)));
        let reading = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs only memory");
            runtime.block_on(async move {
                for number in 0..readers {
                    let stream = open(address, number, habit, &request).await;
                    tokio::spawn(read(stream, habit, counted.clone()));
                }
                connected.send(()).expect("the swarm waits for its readers");
                while !counted.stop.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        all.recv().expect("every reader is let in");
        Self { counts, reading: Some(reading) }
    }

    /// Bytes that all of them have read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Readers whose connection was ended by the other side.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.counts.ended.load(Ordering::Relaxed)
    }

    /// How old events were when they were read, since the last call, in order of age.
    #[must_use]
    pub fn ages(&self) -> Vec<Duration> {
        let mut ages = std::mem::take(&mut *lock(&self.counts.ages));
        ages.sort_unstable();
        ages
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        self.reading.take().map(JoinHandle::join);
    }
}

async fn open(address: SocketAddr, number: usize, habit: Habit, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("sockets are left");
    if matches!(habit, Habit::Crawls(_) | Habit::Deaf) {
        socket.set_recv_buffer_size(SLOW_BUFFER).expect("a socket takes options");
    }
    let host = u8::try_from(2 + number / PER_ADDRESS).expect("less than 250 addresses are needed");
    socket.bind(SocketAddr::from(([127, 0, 0, host], 0))).expect("loopback has many addresses");
    let stream = socket.connect(address).await.expect("the collector listens");
    let mut sent = 0;
    while sent < request.len() {
        stream.writable().await.expect("a fresh connection takes a request");
        sent += stream.try_write(&request.as_bytes()[sent..]).unwrap_or(0);
    }
    let mut first = [0; 12];
    while stream.peek(&mut first).await.expect("the collector answers") < first.len() {}
    assert_eq!(String::from_utf8_lossy(&first), "HTTP/1.1 200", "readers are let in");
    stream
}

async fn read(stream: TcpStream, habit: Habit, counts: Arc<Counts>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut rest = Vec::new();
    loop {
        let length = match habit {
            Habit::Deaf => return hold(stream, &counts).await,
            Habit::Crawls(bytes) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                bytes.min(buffer.len())
            }
            Habit::Reads | Habit::Looks => buffer.len(),
        };
        let ready = stream.readable().await;
        match ready.and_then(|()| stream.try_read(&mut buffer[..length])) {
            Ok(0) => break,
            Ok(bytes) => {
                counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
                if habit == Habit::Looks {
                    look(&buffer[..bytes], &mut rest, &counts);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    counts.ended.fetch_add(1, Ordering::Relaxed);
}

/// Keeps a connection of which nothing is read, until the other side gives it up.
async fn hold(stream: TcpStream, counts: &Counts) {
    // What was not read hides an orderly end, but a reset is seen.
    while !matches!(stream.take_error(), Ok(Some(_)) | Err(_)) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    counts.ended.fetch_add(1, Ordering::Relaxed);
}

/// Notes the age of every event that is complete.
fn look(bytes: &[u8], rest: &mut Vec<u8>, counts: &Counts) {
    const MARK: &str = "\"timestamp\":\"";
    rest.extend_from_slice(bytes);
    let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { return };
    let (now, text) = (clock::now(), String::from_utf8_lossy(&rest[..end]).into_owned());
    rest.drain(..=end);
    let times = text.split(MARK).skip(1).filter_map(|after| clock::parse(after.split('"').next()?));
    lock(&counts.ages).extend(times.map(|time| Duration::from_secs_f64((now - time).max(0.0))));
}
