//! A containerd that only exists on paper: it speaks containerd's gRPC over a unix socket and plays a written scenario.
//!
//! For tests and demonstrations where no containerd can run. Behind the `simulated` feature, so that nothing of it is shipped. Refuses
//! everything that writes. `scenario` says what is to happen, `world` (pure) makes it happen, `services` tells it, and this file
//! owns the socket.
//!
//! Simplified against the real thing: containerd namespaces share no content, bandwidth that one download cannot use is not given to
//! the others, and layers unpack one after the other in every version.

mod events;
mod filter;
mod ids;
pub mod image;
mod measures;
pub mod personality;
pub mod scenario;
mod services;
mod shared;
mod world;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lifecycle::time::Timestamp;
use thiserror::Error;
use tokio::{
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

use self::{personality::Personality, scenario::Scenario, services::Call, shared::Shared};
pub use self::{
    shared::Asked,
    world::{Diary, LayerDiary, Simulation},
};

/// How often things happen even if nobody asks: events are late by at most this.
const TICK: Duration = Duration::from_millis(5);
/// Most connections at once; more are closed as they come.
const MAX_CONNECTIONS: usize = 64;

/// A simulated containerd that runs until it is dropped.
#[derive(Debug)]
pub struct Simulated {
    shared: Arc<Shared>,
    socket: PathBuf,
    server: JoinHandle<io::Result<Infallible>>,
}

/// How a scenario is played.
#[derive(Clone, Copy, Debug)]
pub struct Play {
    /// Which containerd.
    pub personality: Personality,
    /// Simulated seconds per second; 1 keeps the timestamps those of the wall.
    pub speed: u32,
    /// Whether it begins anew when it is over.
    pub repeat: bool,
}

/// Why it cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// Somebody answers on the socket.
    #[error("the socket {0} is in use")]
    InUse(PathBuf),
    /// Something that is no socket has that name.
    #[error("{0} exists and is not a socket")]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("cannot listen on {path}: {cause}")]
    Listen {
        /// Where.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

impl Simulated {
    /// Starts to play a scenario at a socket. Must be called within a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When the socket is in use or cannot be made.
    pub async fn start(socket: &Path, scenario: Scenario, play: Play) -> Result<Self, StartError> {
        clear_the_way(socket).await?;
        let listener = UnixListener::bind(socket).map_err(|cause| StartError::Listen { path: socket.to_owned(), cause })?;
        let shared = Arc::new(Shared::start(scenario, play.personality, play.repeat, play.speed, socket));
        let server = tokio::spawn(serve(Arc::clone(&shared), socket.to_owned(), listener));
        Ok(Self { shared, socket: socket.to_owned(), server })
    }

    /// Looks at the truth, for tests that compare with it.
    pub fn look<T>(&self, read: impl FnOnce(&Simulation) -> T) -> T {
        self.shared.look(read)
    }

    /// What was asked so far, and how often.
    pub fn asked(&self) -> BTreeMap<Asked, u64> {
        self.shared.asked()
    }

    /// Cuts every connection, as a broken stream does, though containerd lives.
    pub fn cut(&self) {
        self.shared.cut.notify_one();
    }

    /// Lets all calls whose path begins like this hang without an answer, until this is called again; none if it is empty.
    pub fn hold(&self, path: &str) {
        self.shared.held.send_replace(path.to_owned());
    }

    /// The uuid that it answers with.
    pub fn uuid(&self) -> &str {
        &self.shared.uuid
    }

    /// The simulated time.
    pub fn now(&self) -> Timestamp {
        self.look(Simulation::now)
    }

    /// Waits for the server to break, which it does only if it cannot listen again after a simulated crash.
    ///
    /// # Errors
    /// What the system said.
    pub async fn broken(&mut self) -> io::Error {
        match (&mut self.server).await {
            Ok(Ok(never)) => match never {},
            Ok(Err(error)) => error,
            Err(error) => io::Error::other(error),
        }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.server.abort();
        // It may be gone already.
        fs::remove_file(&self.socket).ok();
    }
}

/// Removes the socket that a process left behind which is no more.
async fn clear_the_way(socket: &Path) -> Result<(), StartError> {
    let Ok(found) = fs::symlink_metadata(socket) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(StartError::NotASocket(socket.to_owned()));
    }
    if UnixStream::connect(socket).await.is_ok() {
        return Err(StartError::InUse(socket.to_owned()));
    }
    fs::remove_file(socket).map_err(|cause| StartError::Listen { path: socket.to_owned(), cause })
}

/// Serves for ever. A simulated crash cuts every connection and leaves a socket on which nobody listens, as the real one does.
async fn serve(shared: Arc<Shared>, socket: PathBuf, listener: UnixListener) -> io::Result<Infallible> {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = tick.tick() => match (shared.look(Simulation::is_up), &listener) {
                (true, None) => {
                    fs::remove_file(&socket)?;
                    listener = Some(UnixListener::bind(&socket)?);
                }
                (false, Some(_)) => {
                    listener = None;
                    connections.shutdown().await;
                }
                (true, Some(_)) | (false, None) => {}
            },
            stream = accept(listener.as_ref()) => if connections.len() < MAX_CONNECTIONS {
                connections.spawn(connection(Arc::clone(&shared), stream?));
            },
            () = shared.cut.notified() => connections.shutdown().await,
            Some(_ended) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&UnixListener>) -> io::Result<UnixStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

/// One connection, to its end; how it ends is the client's business.
async fn connection(shared: Arc<Shared>, stream: UnixStream) {
    let service = service_fn(move |request| {
        let answer = Call::answer(Arc::clone(&shared), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
}
