//! What `up` says of the Docker on its host: where it keeps images decides who sees its pulls. Asks once, changes nothing, and holds nothing up.

use std::net::SocketAddr;

use crate::docker::{Engine, EngineError, Facts, Place, Surroundings};

/// Who sees the pulls of an Engine.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sight {
    /// The agent: images lie in containerd.
    Agent,
    /// Only who has them pulled, because of this store.
    Command { engine: &'static str, store: String },
}

impl Sight {
    fn of(runtime: &'static str, facts: &Facts) -> Self {
        match (runtime, facts.containerd_store) {
            ("docker", true) => Self::Agent,
            (engine, _) => Self::Command { engine, store: facts.driver.clone() },
        }
    }

    /// What the operator is told; `otlp` is where reports are taken.
    fn sentence(&self, otlp: SocketAddr) -> String {
        match self {
            Self::Agent => {
                "Docker keeps its images in containerd: its pulls are shown, also those of `pulltrace pull`, which needs no --otlp here".to_owned()
            }
            Self::Command { engine: "podman", .. } => format!(
                "Podman does not use containerd: its pulls are not seen from outside; to show one, pull with `pulltrace pull --otlp http/protobuf=http://{otlp} IMAGE`"
            ),
            Self::Command { store, .. } => format!(
                "Docker keeps its images in its own store ({store}), not in containerd: its pulls are not seen from outside; to show one, pull \
                 with `pulltrace pull --otlp http/protobuf=http://{otlp} IMAGE`, or switch Docker to the containerd image store"
            ),
        }
    }
}

/// Looks whether there is an Engine on this host, and says who sees its pulls.
pub(super) async fn look(otlp: SocketAddr) {
    let place = match Surroundings::read().place() {
        Ok(place @ Place::Unix(_)) => place,
        // Another machine's Engine is not the business of this host's agent.
        Ok(Place::Tcp(_) | Place::Tls(..)) | Err(_) => return,
    };
    let asked = async {
        let engine = Engine::connect(&place).await?;
        Ok(Sight::of(engine.host().runtime, &engine.facts().await?))
    };
    match asked.await {
        Ok(sight @ Sight::Agent) => tracing::info!(docker = place.describe(), "{}", sight.sentence(otlp)),
        Ok(sight @ Sight::Command { .. }) => tracing::warn!(docker = place.describe(), "{}", sight.sentence(otlp)),
        Err(EngineError::Unreachable { .. }) => tracing::debug!(docker = place.describe(), "there is no Docker"),
        Err(error @ (EngineError::Denied { .. } | EngineError::Refused { .. } | EngineError::Broke(_))) => {
            tracing::warn!(docker = place.describe(), %error, "it is not known where Docker keeps its images");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentence(runtime: &'static str, driver: &str, containerd_store: bool) -> String {
        let facts = Facts { driver: driver.into(), containerd_store, ..Facts::default() };
        Sight::of(runtime, &facts).sentence("127.0.0.1:4318".parse().unwrap())
    }

    #[test]
    fn whose_pulls_are_not_seen_is_told_what_to_do() {
        let classic = sentence("docker", "overlay2", false);
        assert!(
            classic.contains("(overlay2)") && classic.contains("--otlp http/protobuf=http://127.0.0.1:4318 IMAGE"),
            "{classic}"
        );
        assert!(sentence("podman", "overlay", false).contains("pulltrace pull --otlp"));
        assert!(sentence("docker", "overlayfs", true).contains("needs no --otlp"));
    }
}
