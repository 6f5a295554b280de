//! Sends what was measured to one receiver. Woken by the agent's heartbeat and by nothing else; what was not taken goes out with a later one,
//! and costs no queue: numbers are cumulative.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use lifecycle::{pull::Node, wire::Signal};
use otlp::{Client, SendError};

use super::{Due, Telemetry};

/// Sends, for ever, what is due.
pub(crate) async fn deliver(telemetry: Arc<Telemetry>, client: Arc<Client>, node: impl Fn() -> Node, agent_version: &str) {
    let (mut beat, mut due) = (telemetry.beats(), Due::default());
    while beat.changed().await.is_ok() {
        let Some(request) = telemetry.due(&mut due, Instant::now(), &node(), agent_version) else { continue };
        let answer = client.send(Signal::Metrics, Bytes::from(request)).await;
        telemetry.answered(Signal::Metrics, &answer);
        let receiver = client.endpoint().origin();
        match answer {
            Ok(sent) if sent.rejected > 0 => {
                tracing::warn!(receiver, rejected = sent.rejected, message = sent.message, "the receiver rejected numbers");
            }
            Ok(_) | Err(SendError::Unsupported { known: true, .. }) => {}
            Err(error @ SendError::Unsupported { .. }) => {
                tracing::info!(%error, "asking again from time to time");
            }
            Err(error) => {
                tracing::debug!(receiver, %error, "the numbers were not taken; trying again later");
                due.not_sent();
            }
        }
    }
}
