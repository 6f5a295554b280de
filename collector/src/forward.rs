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
use otlp::{Backoff, Client, Endpoint, SendError, Sent};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::metrics::{Metrics, SinkMetrics};

/// Bytes that may wait for one sink.
pub(crate) const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;
/// What a waiting request costs beside its bytes.
const OVERHEAD: usize = 64;

/// All sinks; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forward {
    sinks: Arc<[Arc<Sink>]>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

#[derive(Debug)]
struct Sink {
    name: String,
    client: Client,
    metrics: SinkMetrics,
    queue: Mutex<Queue>,
    filled: Notify,
    waiting: watch::Sender<usize>,
}

/// What waits, oldest first. The request that is being sent is still in it.
#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<(Signal, Bytes)>,
    bytes: usize,
}

impl Forward {
    /// Starts one task for each of these sinks; they end with [`Self::finish`].
    pub(crate) fn start(endpoints: Vec<Endpoint>, metrics: &Metrics) -> Self {
        let sinks: Arc<[_]> = endpoints.into_iter().map(|endpoint| Arc::new(Sink::new(endpoint, metrics))).collect();
        let run = |sink: Arc<Sink>| tokio::spawn(async move { sink.run().await });
        let tasks = sinks.iter().cloned().map(run).collect();
        Self { sinks, tasks: Arc::new(Mutex::new(tasks)) }
    }

    /// Waits until nothing waits any more, at most until this time, and ends. What still waits then is dropped and counted.
    pub(crate) async fn finish(&self, deadline: Instant) {
        for sink in self.sinks.iter() {
            let mut waiting = sink.waiting.subscribe();
            if tokio::time::timeout_at(deadline, waiting.wait_for(|waiting| *waiting == 0)).await.is_err() {
                tracing::warn!(
                    sink = sink.name,
                    requests = *sink.waiting.borrow(),
                    "the end came before these could be forwarded"
                );
            }
        }
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            task.abort();
            // That it was aborted is no news.
            _ = task.await;
        }
        for sink in self.sinks.iter() {
            sink.cut_off();
        }
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
        Self {
            name,
            client: Client::new(endpoint),
            metrics,
            queue: Mutex::default(),
            filled: Notify::new(),
            waiting: watch::Sender::default(),
        }
    }

    fn offer(&self, signal: Signal, request: Bytes) {
        let cost = cost(&request);
        let mut queue = self.queue();
        if queue.bytes + cost > MAX_QUEUED_BYTES {
            return self.metrics.overflowed();
        }
        queue.bytes += cost;
        queue.requests.push_back((signal, request));
        self.metrics.queued(cost);
        self.waiting.send_replace(queue.requests.len());
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
            let outcome = self.deliver(signal, request).await;
            let mut queue = self.queue();
            let Some(cost) = queue.pop() else { continue };
            match outcome {
                Ok(sent) => self.metrics.sent(cost, sent.rejected),
                Err(reason) => self.metrics.dropped(cost, reason),
            }
            self.waiting.send_replace(queue.requests.len());
        }
    }

    /// Gives up what waits.
    fn cut_off(&self) {
        let mut queue = self.queue();
        while let Some(cost) = queue.pop() {
            self.metrics.cut_off(cost);
        }
        self.waiting.send_replace(0);
    }

    /// Sends one request until the sink takes it, or refuses it for good, and then with which word.
    async fn deliver(&self, signal: Signal, request: Bytes) -> Result<Sent, &'static str> {
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
                    return Ok(sent);
                }
                Err(error) if error.retryable() => {
                    let wait = backoff.next(RandomState::new().hash_one(())).max(error.retry_after().unwrap_or_default());
                    tracing::warn!(sink = self.name, %error, ?wait, "cannot forward; will try again");
                    tokio::time::sleep(wait).await;
                }
                Err(error @ SendError::Unsupported { known: true, .. }) => return Err(error.as_str()),
                Err(error) => {
                    tracing::warn!(sink = self.name, %error, "a sink refused a request");
                    return Err(error.as_str());
                }
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Takes out the oldest request; what it cost.
    fn pop(&mut self) -> Option<usize> {
        let (_, request) = self.requests.pop_front()?;
        let cost = cost(&request);
        self.bytes -= cost;
        Some(cost)
    }
}

fn cost(request: &Bytes) -> usize {
    request.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full};
    use hyper::body::Incoming;
    use otlp::Protocol;
    use tokio::net::TcpListener;

    use super::*;
    use crate::serve::{Manner, serve};

    /// A failure must be noticed within this time.
    const NOTICED: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn a_sink_whose_answers_are_lost_on_the_way_is_asked_again_in_time_and_nothing_is_counted_twice() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Bytes>>>::default();
        let log = asked.clone();
        let sink = tower::service_fn(move |request: Request<Incoming>| {
            let log = log.clone();
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let is_lost = {
                    let mut log = log.lock().unwrap();
                    log.push(body);
                    log.len() == 1
                };
                if is_lost {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            }
        });
        tokio::spawn(serve(listener, sink, Manner::default(), Arc::default(), std::future::pending()));
        let metrics = Metrics::new(&[]);
        let forward = Forward::start(vec![Endpoint::parse(&url, Protocol::HttpProtobuf).unwrap()], &metrics);
        let requests = [Bytes::from_static(b"first"), Bytes::from_static(b"second")];
        let begin = Instant::now();
        for request in &requests {
            forward.offer(Signal::Logs, request);
        }
        let mut waiting = forward.sinks[0].waiting.subscribe();
        let emptied = waiting.wait_for(|waiting| *waiting == 0);
        assert!(tokio::time::timeout(NOTICED, emptied).await.is_ok(), "not noticed within {NOTICED:?}");
        assert!(begin.elapsed() >= Duration::from_secs(10), "{:?}", begin.elapsed());
        let [first, second] = requests;
        assert_eq!(*asked.lock().unwrap(), [first.clone(), first, second], "the one that was not answered comes again");
        let scrape = crate::metrics::exposition::write(&metrics, &crate::snapshot::Snapshot::default(), "").unwrap().1;
        let sent = scrape.lines().find_map(|line| line.strip_prefix(&format!("pulltrace_forward_sent_total{{sink=\"{url}\"}} ")));
        assert_eq!(sent, Some("2"));
    }
}
