//! The collector's port, forwarded through the API server: every connection that the HTTP client opens is a stream of its own to the
//! collector's pod. No socket is listened on, so nobody else on this machine can use it.

use std::{
    fmt,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex},
};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::copy_bidirectional;
use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport},
    },
};

use super::{Cluster, ClusterError, OwnPod};

/// Opens streams to the collector of a cluster, wherever its pod is by then.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    cluster: Cluster,
    /// The pod that was found first; taken by the first connection.
    first: Arc<Mutex<Option<OwnPod>>>,
}

/// Names of Services are not known here, and need not be: the stream leads to the pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nowhere;

/// One stream.
pub(crate) struct Stream {
    socket: UnixStream,
    buffers: LazyBuffers,
}

impl Forward {
    /// To the collector of this cluster, which is this pod now.
    pub(crate) fn new(cluster: Cluster, pod: OwnPod) -> Self {
        Self { cluster, first: Arc::new(Mutex::new(Some(pod))) }
    }

    /// A stream to the collector; looks for its pod anew, because it may have been replaced since.
    fn open(&self) -> Result<UnixStream, ClusterError> {
        let first = self.first.lock().ok().and_then(|mut first| first.take());
        let pod = first.map_or_else(|| self.cluster.collector(), Ok)?;
        self.cluster.stream(&pod)
    }
}

impl Cluster {
    /// A stream to the port of this pod, in both directions, until either side ends it.
    fn stream(&self, pod: &OwnPod) -> Result<UnixStream, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client()?.clone(), &pod.namespace);
        let wish = ("create", "pods/portforward", "");
        let place = format!("namespace {}", pod.namespace);
        let opened = self.0.runtime.block_on(api.portforward(&pod.name, &[pod.port]));
        let mut forwarder = opened.map_err(|error| self.error(&error, wish, &place))?;
        let mut far = forwarder.take_stream(pod.port).ok_or_else(|| ClusterError::Other("no stream for the port".to_owned()))?;
        let other = |error: std::io::Error| ClusterError::Other(error.to_string());
        let (ours, theirs) = UnixStream::pair().map_err(other)?;
        theirs.set_nonblocking(true).map_err(other)?;
        let _inside = self.0.runtime.enter();
        let mut near = tokio::net::UnixStream::from_std(theirs).map_err(other)?;
        self.0.runtime.spawn(async move {
            // However it ends, the reader sees the end of the stream.
            drop(copy_bidirectional(&mut near, &mut far).await);
            drop((near, far));
            forwarder.abort();
        });
        Ok(ours)
    }
}

impl Connector for Forward {
    type Out = Stream;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Stream>, Error> {
        let socket = self.open().map_err(|error| Error::Other(Box::new(error)))?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Stream { socket, buffers }))
    }
}

impl Resolver for Nowhere {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut addresses = self.empty();
        addresses.push(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        Ok(addresses)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Transport for Stream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.socket.set_write_timeout(timeout.not_zero().map(|within| *within))?;
        self.socket.write_all(&self.buffers.output()[..amount]).map_err(|error| timed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.socket.set_read_timeout(timeout.not_zero().map(|within| *within))?;
        let room = self.buffers.input_append_buf();
        let read = loop {
            match self.socket.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|error| timed(error, timeout))?,
            }
        };
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    fn is_open(&mut self) -> bool {
        // One that waits has nothing to say; what there is to read is its end.
        let peeked = self.socket.set_nonblocking(true).map(|()| self.socket.read(&mut [0]));
        let is_open = matches!(peeked, Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).is_ok() && is_open
    }
}

/// A socket says that it would block when its time is over.
fn timed(error: std::io::Error, timeout: NextTimeout) -> Error {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        Error::Timeout(timeout.reason)
    } else {
        Error::Io(error)
    }
}
