//! A receiver of OTLP/gRPC that accepts everything and writes it down, decoded.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lifecycle::{
    pull::{NodeReport, Pull, PullId},
    wire::{self, Said, Signal},
};
use otlp::BytesCodec;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Request, Response, Status, server::Grpc};

/// What was heard so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// States of pulls, in the order in which they came.
    pub(super) pulls: Vec<Pull>,
    pub(super) nodes: Vec<NodeReport>,
    /// Spans, those of one trace in one request together.
    pub(super) traces: Vec<Vec<Value>>,
    /// Requests with metrics.
    pub(super) metrics: Vec<Value>,
}

/// The receiver; it ends when this is dropped.
pub(super) struct Sink {
    pub(super) address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    server: JoinHandle<()>,
}

impl Heard {
    /// All that was told about one pull, oldest first.
    pub(super) fn of(&self, id: PullId) -> Vec<&Pull> {
        self.pulls.iter().filter(|pull| pull.id == id).collect()
    }

    /// The last word about every pull, in the order of the first words.
    pub(super) fn last_words(&self) -> Vec<&Pull> {
        let mut last: Vec<&Pull> = Vec::new();
        for pull in &self.pulls {
            match last.iter_mut().find(|known| known.id == pull.id) {
                Some(known) => *known = pull,
                None => last.push(pull),
            }
        }
        last
    }

    fn take_down(&mut self, signal: Signal, request: &[u8]) {
        let decoded = wire::decode(signal, request).unwrap();
        assert_eq!(decoded.rejected.total(), 0, "{}", decoded.rejected.message());
        for said in decoded.reports {
            match said {
                Said::Pull(report) => self.pulls.push(report.pull),
                Said::Node(report) => self.nodes.push(*report),
            }
        }
        if signal == Signal::Metrics {
            self.metrics.push(wire::to_json(signal, request).unwrap());
        }
        if signal == Signal::Traces {
            let request = wire::to_json(signal, request).unwrap();
            let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
            let scopes = list(&request, "resourceSpans").into_iter().flat_map(move |spans| list(&spans, "scopeSpans"));
            let mut traces = BTreeMap::<_, Vec<_>>::new();
            for span in scopes.flat_map(|spans| list(&spans, "spans")) {
                traces.entry(span["traceId"].to_string()).or_default().push(span);
            }
            self.traces.extend(traces.into_values());
        }
    }
}

impl Sink {
    pub(super) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, heard) = (listener.local_addr().unwrap(), Arc::<Mutex<Heard>>::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&heard)));
        Self { address, heard, server }
    }

    pub(super) fn heard(&self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at what was heard without taking a copy.
    pub(super) fn look<T>(&self, read: impl FnOnce(&Heard) -> T) -> T {
        read(&self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, heard: Arc<Mutex<Heard>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let heard = Arc::clone(&heard);
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let heard = Arc::clone(&heard);
            async move {
                let signal = Signal::ALL.into_iter().find(|signal| signal.grpc_path() == request.uri().path()).unwrap();
                let take = tower::service_fn(move |request: Request<Bytes>| {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).take_down(signal, request.get_ref());
                    async { Ok::<_, Status>(Response::new(Bytes::new())) }
                });
                Ok::<_, Infallible>(Grpc::new(BytesCodec).unary(take, request).await)
            }
        });
        tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
    }
}
