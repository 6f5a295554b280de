//! `check`: whether the collector is ready and agents are heard, which an installation is tried by. It waits for that as long as it may; how to
//! ask is the business of [`crate::client`].

use std::{
    io::{self, Write as _},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use thiserror::Error;

use crate::client::{Client, ClientError};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct NodeList {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    connected: bool,
    reachable: Option<bool>,
}

/// It was not so in time.
#[derive(Debug, Error)]
#[error("after {} s: {why}", within.as_secs())]
pub(crate) struct Late {
    within: Duration,
    why: String,
}

/// Writes one line when the collector is ready and so many agents are heard whose containerd answers.
pub(crate) fn run(client: &Client, agents: usize, within: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let why = match look(client, agents) {
            Ok(line) => {
                writeln!(io::stdout(), "{line}").map_err(ClientError::Output)?;
                return Ok(());
            }
            Err(Unready::Refused(error)) => return Err(error.into()),
            Err(Unready::NotYet(why)) => why,
        };
        if began.elapsed() >= within {
            return Err(Late { within, why }.into());
        }
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "another process becomes ready, and tells nobody when")]
fn pause() {
    thread::sleep(PAUSE);
}

/// Why it is not so.
enum Unready {
    /// It may be so later.
    NotYet(String),
    /// It will not, for as long as we ask like this.
    Refused(ClientError),
}

impl From<ClientError> for Unready {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Network { .. } | ClientError::Status { status: 500.., .. } => Self::NotYet(error.to_string()),
            ClientError::Url(_)
            | ClientError::Status { .. }
            | ClientError::Answer(_)
            | ClientError::Token { .. }
            | ClientError::Certificates { .. }
            | ClientError::Cluster(_)
            | ClientError::Output(_) => Self::Refused(error),
        }
    }
}

fn look(client: &Client, agents: usize) -> Result<String, Unready> {
    client.text("/readyz")?;
    let NodeList { nodes } = client.get("/api/v1/nodes")?;
    let (heard, others): (Vec<_>, Vec<_>) = nodes.into_iter().partition(|node| node.connected && node.reachable != Some(false));
    if heard.len() >= agents {
        return Ok(format!("The collector is ready; agents heard: {}.", heard.len()));
    }
    let others: String = others.iter().map(|node| format!("; {}: {}", node.name, trouble(node))).collect();
    Err(Unready::NotYet(format!("the collector is ready, but {} of {agents} agents are heard{others}", heard.len())))
}

fn trouble(node: &Node) -> &'static str {
    if node.connected { "its containerd does not answer" } else { "its agent is silent" }
}
