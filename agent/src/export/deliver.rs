//! The task that empties one lane: one request at a time, and after a failure a pause with full jitter, so that agents that lost their
//! receiver together do not come back together.
//!
//! | answer | what is done |
//! |---|---|
//! | accepted, perhaps in part | settled; what was rejected would be rejected again |
//! | the specification allows a retry | tried again, for as long as it takes |
//! | 401, 403, UNAUTHENTICATED, PERMISSION_DENIED | the same: tokens rotate, and roles are granted late |
//! | the receiver does not take the signal | settled; asked again from time to time |
//! | any other refusal | halved until what is refused is alone, which is dropped and counted |

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use lifecycle::{
    pull::Node,
    wire::{self, Event, Signal},
};
use otlp::{Backoff, Client, SendError};

use super::{
    Outbox,
    waiting::{Batch, Item, Settled},
};
use crate::telemetry::Telemetry;

/// Longest request that is sent while it can be halved, bytes: receivers take 4 MiB unless they are told otherwise.
const MAX_REQUEST: usize = 4_000_000;

/// One lane's task.
pub(super) struct Delivery<N> {
    pub(super) outbox: Arc<Outbox>,
    pub(super) lane: usize,
    pub(super) signal: Signal,
    pub(super) client: Arc<Client>,
    /// Who speaks.
    pub(super) node: N,
    pub(super) agent_version: &'static str,
    pub(super) telemetry: Arc<Telemetry>,
}

/// What an answer means for what was sent.
enum Verdict {
    Taken,
    /// Nobody wants it there; not worth a word.
    NotWanted,
    Again(SendError),
    Refused(SendError),
}

impl<N: Fn() -> Node> Delivery<N> {
    /// Delivers, for ever.
    pub(super) async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            self.outbox.count(&self.telemetry);
            let Some(batch) = self.outbox.take(self.lane) else {
                self.outbox.filled[self.lane].notified().await;
                continue;
            };
            let mut settled = Settled::default();
            let sent = self.send(&(self.node)(), &batch, &mut settled).await;
            let useless = refused(&settled) > 0 && refused(&settled) == batch.items.len() as u64;
            self.outbox.settle(self.lane, batch, &settled);
            let (wanted, pause) = match sent {
                Ok(()) if useless => (Duration::ZERO, backoff.next(random())),
                Ok(()) => {
                    self.answered(&mut backoff);
                    continue;
                }
                Err(error) => self.failed(&mut backoff, &error),
            };
            tokio::time::sleep(wanted).await;
            self.outbox.pause(pause).await;
        }
    }

    fn answered(&self, backoff: &mut Backoff) {
        if backoff.failures() > 0 {
            tracing::info!(
                receiver = self.client.endpoint().origin(),
                signal = self.signal.as_str(),
                "the receiver answers again"
            );
            if self.signal == Signal::Logs {
                self.outbox.recovered.notify_one();
            }
            self.outbox.note(self.lane, None);
        }
        backoff.reset();
    }

    /// How long to leave the receiver alone: as long as it wants, and then not at the same moment as everyone else.
    fn failed(&self, backoff: &mut Backoff, error: &SendError) -> (Duration, Duration) {
        if backoff.failures() == 0 {
            let receiver = self.client.endpoint().origin();
            tracing::warn!(receiver, signal = self.signal.as_str(), %error, "cannot deliver, trying again until it works");
        }
        self.note(error);
        (error.retry_after().unwrap_or_default(), backoff.next(random()))
    }

    /// Sends a batch; says what was settled, also when an error ends it.
    async fn send(&self, node: &Node, batch: &Batch, settled: &mut Settled) -> Result<(), SendError> {
        if let Some(report) = &batch.node {
            match self.request(wire::encode::node(report)).await {
                Verdict::Taken | Verdict::NotWanted => {}
                Verdict::Again(error) => return Err(error),
                Verdict::Refused(error) => tracing::warn!(%error, "the receiver does not want our heartbeat"),
            }
        }
        settled.node = true;
        let mut due = Vec::from([Range { start: 0, end: batch.items.len() }]);
        while let Some(part) = due.pop() {
            let items = &batch.items[part.clone()];
            let request = self.encode(node, items);
            let verdict = match items {
                _ if request.is_empty() => Verdict::NotWanted,
                [_, _, ..] if request.len() > MAX_REQUEST => {
                    halve(&part, &mut due);
                    continue;
                }
                _ => self.request(request).await,
            };
            match verdict {
                Verdict::Taken | Verdict::NotWanted => settled.items = part.end,
                Verdict::Again(error) => return Err(error),
                Verdict::Refused(_) if items.len() > 1 => halve(&part, &mut due),
                Verdict::Refused(error) => {
                    let pull = items.first().map(|item| item.pull.id);
                    tracing::warn!(%error, signal = self.signal.as_str(), ?pull, "the receiver does not want this");
                    self.note(&error);
                    settled.items = part.end;
                    let outcome = items.iter().any(|item| item.event == Event::Finished);
                    *(if outcome { &mut settled.refused_outcomes } else { &mut settled.refused_progress }) += 1;
                }
            }
        }
        Ok(())
    }

    fn encode(&self, node: &Node, items: &[Item]) -> Vec<u8> {
        match self.signal {
            Signal::Logs if items.is_empty() => Vec::new(),
            Signal::Logs => wire::encode::pulls(node, self.agent_version, items.iter().map(|item| (item.event, &*item.pull))),
            // Requests written one after the other are one request.
            Signal::Traces => {
                items.iter().filter_map(|item| wire::encode::spans(node, self.agent_version, &item.pull)).flatten().collect()
            }
            Signal::Metrics => Vec::new(),
        }
    }

    /// Keeps what stands in the way, for who asks.
    fn note(&self, error: &SendError) {
        self.outbox.note(self.lane, Some(format!("{}: {error}", self.client.endpoint().origin())));
    }

    async fn request(&self, request: Vec<u8>) -> Verdict {
        let answer = self.client.send(self.signal, Bytes::from(request)).await;
        self.telemetry.answered(self.signal, &answer);
        match answer {
            Ok(sent) => {
                if sent.rejected > 0 {
                    tracing::warn!(rejected = sent.rejected, message = sent.message, "the receiver rejected a part");
                }
                Verdict::Taken
            }
            Err(SendError::Unsupported { known: true, .. }) => Verdict::NotWanted,
            Err(error @ SendError::Unsupported { .. }) => {
                tracing::warn!(%error, "sending it the rest; asking again from time to time");
                self.note(&error);
                Verdict::NotWanted
            }
            Err(error) if error.retryable() || error.unauthorized() => Verdict::Again(error),
            Err(error) => Verdict::Refused(error),
        }
    }
}

/// The earlier half is due first.
fn halve(part: &Range<usize>, due: &mut Vec<Range<usize>>) {
    let middle = part.start + part.len() / 2;
    due.extend([middle..part.end, part.start..middle]);
}

const fn refused(settled: &Settled) -> u64 {
    settled.refused_progress + settled.refused_outcomes
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
