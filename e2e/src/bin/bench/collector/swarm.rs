//! Many readers of one event stream, who read all they are sent and look at nothing of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

/// Readers that read until this is dropped.
#[derive(Debug)]
pub(super) struct Swarm {
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    reading: Option<JoinHandle<()>>,
}

impl Swarm {
    /// Connects so many readers to a path.
    pub(super) fn connect(address: &str, path: &str, readers: usize) -> Self {
        let streams: Vec<_> = (0..readers).map(|_| connect(address, path)).collect();
        let (bytes, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (bytes.clone(), stop.clone());
        let reading = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs only memory");
            runtime.block_on(async {
                for stream in streams {
                    let mut stream = tokio::net::TcpStream::from_std(stream).expect("within a runtime");
                    let counted = counted.clone();
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 64 * 1024];
                        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                            counted.fetch_add(read as u64, Ordering::Relaxed);
                        }
                    });
                }
                while !stopped.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        Self { bytes, stop, reading: Some(reading) }
    }

    /// Bytes that all of them have read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.reading.take().map(JoinHandle::join);
    }
}

fn connect(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the measured process listens");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: collector\r\n\r\n").as_bytes()).expect("it reads");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("it answers");
    assert_eq!(&first, b"HTTP/1.1 200", "readers are let in");
    stream.set_nonblocking(true).expect("a socket takes options");
    stream
}
