//! Serves one listener: accepts, bounds, times out, ages and closes connections. Knows TLS, HTTP/1.1 and HTTP/2 and nothing of what is said
//! over them.

use std::{
    convert::Infallible,
    hash::{BuildHasher as _, RandomState},
    io,
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    time::{Instant, Sleep},
};
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt as _};

use crate::tls::Identity;

/// Connections of one listener at a time; more wait to be accepted.
pub(crate) const MAX_CONNECTIONS: usize = 10_000;
/// Requests of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 128;
/// Longest list of headers of one request, in bytes, HTTP/2.
const MAX_HEADERS: u32 = 16 * 1024;
/// Buffer for reading heads and writing bodies of one connection, in bytes, where many bytes come or go at once.
pub(crate) const LARGE_BUFFER: usize = 64 * 1024;
/// The same where thousands of readers may be slow: each keeps so much. A head that is longer is refused.
pub(crate) const SMALL_BUFFER: usize = 16 * 1024;
/// The same where thousands of agents hold a connection each for one request a second, whose head is short: the least that hyper takes.
pub(crate) const SMALLEST_BUFFER: usize = 8 * 1024;
/// A head must be complete within this time, and so must be TLS's handshake before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A peer that takes nothing of what is sent to it for so long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Streams of one HTTP/2 connection that its peer may open and take back before they are looked at; more end the connection.
const MAX_RESETS: usize = 20;
/// HTTP/2 connections are asked this often whether they are still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long to wait after a failure to accept, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The address at the other end of a connection; stands among the extensions of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// How connections are taken and how long they live.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Who we are, for TLS; without it connections are plain.
    pub(crate) identity: Option<Identity>,
    /// Connections are asked to end after about this time, so that clients come back and spread over all collectors. `None` is never.
    pub(crate) age: Option<Duration>,
    /// Buffer for reading heads and writing bodies of one connection, in bytes.
    pub(crate) buffer: usize,
    /// Counts connections that are given up because the peer takes nothing of what is sent.
    pub(crate) unread: Counter,
}

impl Default for Manner {
    fn default() -> Self {
        Self { identity: None, age: None, buffer: LARGE_BUFFER, unread: Counter::default() }
    }
}

/// Accepts connections until `stop` ends, then lets those that are open finish their requests. Counts itself in `serving` meanwhile.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    manner: Manner,
    serving: Arc<AtomicUsize>,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let server = server(manner.buffer);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (close, closing) = watch::channel(false);
    let (open, mut all_closed) = mpsc::channel::<Infallible>(1);
    let mut stop = pin!(stop);
    serving.fetch_add(1, Ordering::Relaxed);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let guest = Guest { server: server.clone(), service: service.clone(), manner: manner.clone(), closing: closing.clone() };
        let open = open.clone();
        tokio::spawn(async move {
            if let Err(error) = guest.welcome(stream).await {
                tracing::debug!(error, "a connection broke");
            }
            drop((place, open));
        });
    }
    serving.fetch_sub(1, Ordering::Relaxed);
    drop((listener, open));
    close.send_replace(true);
    all_closed.recv().await;
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// One connection and what serves it.
struct Guest<S> {
    server: auto::Builder<TokioExecutor>,
    service: S,
    manner: Manner,
    closing: watch::Receiver<bool>,
}

impl<S, B> Guest<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Broken>,
{
    async fn welcome(self, stream: TcpStream) -> Result<(), Broken> {
        let peer = Peer(stream.peer_addr()?.ip().to_canonical());
        let stream = Impatient::new(stream, self.manner.unread.clone());
        let Some(identity) = &self.manner.identity else { return self.attend(stream, peer).await };
        let handshake = TlsAcceptor::from(identity.now()).accept(stream);
        let stream = tokio::time::timeout(HEAD_TIMEOUT, Box::pin(handshake)).await??;
        // On the heap, so that the thousands without TLS do not have room for it too.
        Box::pin(self.attend(stream, peer)).await
    }

    /// Serves the connection. It is asked to end when the listener does, when it is old, and when nothing was asked within the time for a
    /// head; requests that are open are finished.
    async fn attend(mut self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) -> Result<(), Broken> {
        let asked = Arc::new(AtomicBool::new(false));
        let service = {
            let asked = asked.clone();
            self.service.map_request(move |mut request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(peer);
                request
            })
        };
        let io = TokioIo::new(stream);
        let mut connection = pin!(self.server.serve_connection(io, TowerToHyperService::new(service)));
        let old = self.manner.age.map(|age| Instant::now() + spread(age, RandomState::new().hash_one(())));
        let mut first = pin!(tokio::time::sleep(HEAD_TIMEOUT));
        let mut waits_for_first = true;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                () = &mut first, if waits_for_first => {
                    waits_for_first = false;
                    if asked.load(Ordering::Relaxed) {
                        continue;
                    }
                }
                () = until(old) => {}
                _ = self.closing.wait_for(|closing| *closing) => {}
            }
            connection.as_mut().graceful_shutdown();
            return connection.await;
        }
    }
}

/// Between nine and eleven tenths of an age, so that connections made together do not end together. `random` is any number.
fn spread(age: Duration, random: u64) -> Duration {
    let tenth = age / 10;
    let share = u128::from(random) * (tenth * 2).as_nanos() / u128::from(u64::MAX);
    age - tenth + Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Option<tokio::sync::OwnedSemaphorePermit>)> {
    let place = places.clone().acquire_owned().await.ok();
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

fn server(buffer: usize) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(buffer);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buf_size(buffer)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .keep_alive_interval(PING_EVERY);
    server
}

/// A stream that fails when its peer takes nothing for [`WRITE_TIMEOUT`], so that a reader who never reads does not stay for ever.
struct Impatient {
    stream: TcpStream,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    unread: Counter,
}

impl Impatient {
    fn new(stream: TcpStream, unread: Counter) -> Self {
        Self { stream, timer: Box::pin(tokio::time::sleep(WRITE_TIMEOUT)), waiting: false, unread }
    }

    /// Passes on what a write came to, and fails one that has been pending for too long.
    fn patience<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = false;
            return written;
        }
        if !self.waiting {
            self.waiting = true;
            self.timer.as_mut().reset(Instant::now() + WRITE_TIMEOUT);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.unread.inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.patience(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.patience(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up_and_counted() {
        use tokio::io::AsyncWriteExt as _;

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let unread = Counter::default();
        let mut stream = Impatient::new(listener.accept().await.unwrap().0, unread.clone());
        let begin = Instant::now();
        let error = stream.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!((error.kind(), unread.get()), (io::ErrorKind::TimedOut, 1));
        assert!(begin.elapsed() >= WRITE_TIMEOUT);
        drop(peer);
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_that_stop_half_way_end_in_time_and_hold_up_no_other() {
        use rustls::{ClientConfig, RootCertStore, crypto::ring};
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = ["cert", "key"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, ours.cert.pem()).unwrap();
        std::fs::write(&key, ours.signing_key.serialize_pem()).unwrap();
        let identity = Identity::new(crate::tls::TlsFiles { certificate, key, client_authority: None }).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hello = tower::service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new("hello".to_owned())) });
        let manner = Manner { identity: Some(identity), ..Manner::default() };
        tokio::spawn(serve(listener, hello, manner, Arc::default(), std::future::pending()));

        // Time stands still as long as this is not over.
        let (go_on, stop) = std::sync::mpsc::channel::<Infallible>();
        let still = tokio::task::spawn_blocking(move || stop.recv());
        let begin = Instant::now();
        let mut half = Vec::new();
        for said in [&b""[..], &b"\x16\x03"[..], &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..]].repeat(20) {
            let mut peer = TcpStream::connect(address).await.unwrap();
            peer.write_all(said).await.unwrap();
            half.push(peer);
        }
        let mut slow = TcpStream::connect(address).await.unwrap();

        let mut roots = RootCertStore::empty();
        roots.add(ours.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let client = client.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let mut stream = tokio_rustls::TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("hello") && begin.elapsed() == Duration::ZERO, "{answer}");

        drop(go_on);
        still.await.unwrap().unwrap_err();
        let trickle = async {
            // One byte a second is no progress.
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(9) {
                if slow.write_all(&[byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            begin.elapsed()
        };
        let ends = async {
            for peer in &mut half {
                // The end, or a reset: what it sent was never read.
                assert!(matches!(peer.read(&mut [0; 99]).await, Ok(0) | Err(_)));
            }
            begin.elapsed()
        };
        let waited = Duration::from_secs(60);
        let (ended, gave_up) = tokio::join!(tokio::time::timeout(waited, ends), trickle);
        let ended = ended.expect("they are let go");
        assert!(ended >= HEAD_TIMEOUT && ended < HEAD_TIMEOUT * 2, "{ended:?}");
        assert!(gave_up >= HEAD_TIMEOUT && gave_up < HEAD_TIMEOUT * 2, "{gave_up:?}");
    }

    #[test]
    fn connections_made_together_do_not_end_together() {
        let age = Duration::from_secs(600);
        assert_eq!(spread(age, 0), Duration::from_secs(540));
        assert_eq!(spread(age, u64::MAX), Duration::from_secs(660));
        assert_eq!(spread(age, u64::MAX / 2).as_secs(), 599);
    }
}
