//! Passes on what was received to other OTLP receivers: bytes in, the same bytes out, one bounded queue and one task per sink.
//!
//! A slow or dead sink costs its own queue and nothing else. What a queue cannot hold, and what a sink refuses for good, is dropped and
//! counted. How bytes travel, and which refusals are worth another try, is the business of the `otlp` crate.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use lifecycle::wire::Signal;
use otlp::{Backoff, Client, Endpoint, SendError};
use tokio::sync::Notify;

use crate::metrics::{Metrics, SinkMetrics};

/// Bytes that may wait for one sink.
pub(crate) const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;
/// What a waiting request costs beside its bytes.
const OVERHEAD: usize = 64;

/// All sinks; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forward {
    sinks: Arc<[Arc<Sink>]>,
}

#[derive(Debug)]
struct Sink {
    name: String,
    client: Client,
    metrics: SinkMetrics,
    queue: Mutex<Queue>,
    filled: Notify,
}

/// What waits, oldest first. The request that is being sent is still in it.
#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<(Signal, Bytes)>,
    bytes: usize,
}

impl Forward {
    /// Starts one task for each of these sinks; they end with `stop`.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        endpoints: Vec<Endpoint>,
        metrics: &Metrics,
        stop: impl Fn() -> F,
    ) -> Self {
        let sinks: Arc<[_]> = endpoints.into_iter().map(|endpoint| Arc::new(Sink::new(endpoint, metrics))).collect();
        for sink in sinks.iter() {
            let (sink, stop) = (sink.clone(), stop());
            tokio::spawn(async move {
                tokio::select! {
                    () = sink.run() => {}
                    () = stop => {}
                }
            });
        }
        Self { sinks }
    }

    /// Queues a protobuf request for every sink; never waits.
    pub(crate) fn offer(&self, signal: Signal, request: &Bytes) {
        for sink in self.sinks.iter().filter(|_| !request.is_empty()) {
            sink.offer(signal, request.clone());
        }
    }

    /// Whether there is anyone to forward to.
    pub(crate) fn is_empty(&self) -> bool {
        self.sinks.is_empty()
    }
}

impl Sink {
    fn new(endpoint: Endpoint, metrics: &Metrics) -> Self {
        let name = endpoint.origin();
        let metrics = metrics.sink(&name);
        Self { name, client: Client::new(endpoint), metrics, queue: Mutex::default(), filled: Notify::new() }
    }

    fn offer(&self, signal: Signal, request: Bytes) {
        let cost = cost(&request);
        let mut queue = self.queue();
        if queue.bytes + cost > MAX_QUEUED_BYTES {
            self.metrics.dropped("queue_full");
            return;
        }
        queue.bytes += cost;
        queue.requests.push_back((signal, request));
        self.metrics.queued(queue.bytes);
        drop(queue);
        self.filled.notify_one();
    }

    async fn run(&self) {
        loop {
            let next = self.queue().requests.front().cloned();
            let Some((signal, request)) = next else {
                self.filled.notified().await;
                continue;
            };
            self.deliver(signal, request).await;
            let mut queue = self.queue();
            if let Some((_, done)) = queue.requests.pop_front() {
                queue.bytes -= cost(&done);
            }
            self.metrics.queued(queue.bytes);
        }
    }

    /// Sends one request until the sink takes it or refuses it for good.
    async fn deliver(&self, signal: Signal, request: Bytes) {
        let mut backoff = Backoff::default();
        loop {
            match self.client.send(signal, request.clone()).await {
                Ok(sent) => {
                    if sent.rejected > 0 {
                        tracing::warn!(
                            sink = self.name,
                            rejected = sent.rejected,
                            message = sent.message,
                            "a sink took only a part"
                        );
                    }
                    return self.metrics.sent();
                }
                Err(error) if error.retryable() => {
                    let wait = backoff.next(RandomState::new().hash_one(())).max(error.retry_after().unwrap_or_default());
                    tracing::warn!(sink = self.name, %error, ?wait, "cannot forward; will try again");
                    tokio::time::sleep(wait).await;
                }
                Err(error @ SendError::Unsupported { known: true, .. }) => return self.metrics.dropped(error.as_str()),
                Err(error) => {
                    tracing::warn!(sink = self.name, %error, "a sink refused a request");
                    return self.metrics.dropped(error.as_str());
                }
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cost(request: &Bytes) -> usize {
    request.len() + OVERHEAD
}
