//! What can go wrong between a kubeconfig and a collector, in words that say what to do. Which of it is which exit code is said here too.

use thiserror::Error;

/// Why the cluster, or what is looked for in it, cannot be reached.
#[derive(Debug, Error)]
pub(crate) enum ClusterError {
    #[error("cannot read the kubeconfig: {0}; name one with --kubeconfig or KUBECONFIG, or a collector with --server")]
    Kubeconfig(String),
    #[error("the kubeconfig has no context {asked:?}; it has {known}")]
    Context { asked: String, known: String },
    #[error("cannot reach the API server{at}: {why}; see whether `kubectl get pods` does")]
    Unreachable { at: String, why: String },
    #[error("the API server does not know you: {0}; sign in again as you do for kubectl")]
    Unauthorized(String),
    #[error(
        "you may not {verb} {resource} in {place} ({context}); ask for a {kind} with {{apiGroups: [{group:?}], resources: [{resource}], verbs: [{verb}]}}"
    )]
    Denied { verb: &'static str, resource: &'static str, group: &'static str, place: String, kind: &'static str, context: String },
    #[error(
        "no collector of Pulltrace in {place} ({context}): no pod there has the labels {labels}. Install it with its Helm chart, or name a collector with --server"
    )]
    NoCollector { place: String, context: String, labels: &'static str },
    #[error("the collector does not run: {pods}; see `kubectl -n {namespace} describe pods`")]
    NotRunning { pods: String, namespace: String },
    #[error("{what} is not in namespace {namespace} ({context})")]
    Missing { what: String, namespace: String, context: String },
    #[error("the API server says: {0}")]
    Other(String),
}

impl ClusterError {
    /// The exit code, as the contract lists them.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Kubeconfig(_) | Self::Context { .. } => 2,
            Self::NoCollector { .. } | Self::Missing { .. } => 3,
            Self::Denied { .. } | Self::Unauthorized(_) => 4,
            Self::Unreachable { .. } => 6,
            Self::NotRunning { .. } | Self::Other(_) => 1,
        }
    }
}
