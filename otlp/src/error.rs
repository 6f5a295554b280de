//! Why a request was not delivered, and whether and when to try again: the rules of the OTLP specification, in one place.

use std::{error::Error, time::Duration};

use lifecycle::wire::Signal;
use tonic::Code;

/// Longest wait that a receiver can demand.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Longest text of a receiver that is repeated, in characters.
const MAX_SAID: usize = 256;

/// Why a request was not delivered, as far as known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection came about.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// The connection ended before the answer.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No answer in time; the request may have been taken all the same.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The receiver said no over gRPC.
    #[error("refused with {code:?}: {message}")]
    Grpc {
        /// The status code.
        code: Code,
        /// What the receiver said, shortened.
        message: String,
        /// When it wants the request again, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// The receiver, or something in between, said no over HTTP.
    #[error("refused with HTTP status {status}: {message}")]
    Http {
        /// The status code.
        status: u16,
        /// What the receiver said, shortened.
        message: String,
        /// When it wants the request again, at most [`MAX_RETRY_AFTER`].
        retry_after: Option<Duration>,
    },
    /// The receiver does not take this signal at all: gRPC UNIMPLEMENTED, or HTTP 404.
    #[error("the receiver does not take {}", .signal.as_str())]
    Unsupported {
        /// Which signal.
        signal: Signal,
        /// Whether it has said so before: worth a word only the first time.
        known: bool,
    },
    /// What answered does not speak OTLP. Not tried again, because it may have taken the request.
    #[error("not an OTLP receiver: {0}")]
    Answer(&'static str),
}

impl SendError {
    /// Whether the specification allows to send the same request again.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::Timeout(_) => true,
            Self::Grpc { code: Code::OutOfRange, .. } => !self.too_large(),
            Self::Grpc { code, retry_after, .. } => match code {
                Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unavailable
                | Code::DataLoss => true,
                Code::ResourceExhausted => retry_after.is_some(),
                Code::Ok
                | Code::Unknown
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Unimplemented
                | Code::Internal
                | Code::Unauthenticated => false,
            },
            Self::Http { status, .. } => matches!(status, 429 | 502..=504),
            Self::Unsupported { .. } | Self::Answer(_) => false,
        }
    }

    /// Whether the receiver does not know us, or does not let us: HTTP 401 and 403, gRPC UNAUTHENTICATED and PERMISSION_DENIED. Not for the
    /// specification, but for whoever holds a token that rotates, the same request may pass later.
    pub const fn unauthorized(&self) -> bool {
        match self {
            Self::Grpc { code, .. } => matches!(code, Code::Unauthenticated | Code::PermissionDenied),
            Self::Http { status, .. } => matches!(status, 401 | 403),
            Self::Unreachable(_) | Self::Broken(_) | Self::Timeout(_) | Self::Unsupported { .. } | Self::Answer(_) => false,
        }
    }

    /// Whether the request may have been too large, so that parts of it may pass: HTTP 413, gRPC RESOURCE_EXHAUSTED without a delay, and
    /// OUT_OF_RANGE that speaks of a length, which is what tonic says.
    pub fn too_large(&self) -> bool {
        match self {
            Self::Grpc { code: Code::ResourceExhausted, retry_after, .. } => retry_after.is_none(),
            Self::Grpc { code: Code::OutOfRange, message, .. } => message.contains("length too large"),
            Self::Http { status, .. } => *status == 413,
            Self::Grpc { .. }
            | Self::Unreachable(_)
            | Self::Broken(_)
            | Self::Timeout(_)
            | Self::Unsupported { .. }
            | Self::Answer(_) => false,
        }
    }

    /// How long the receiver wants to be left alone, at most [`MAX_RETRY_AFTER`].
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Grpc { retry_after, .. } | Self::Http { retry_after, .. } => *retry_after,
            Self::Unreachable(_) | Self::Broken(_) | Self::Timeout(_) | Self::Unsupported { .. } | Self::Answer(_) => None,
        }
    }

    /// The kind of failure in a word, for labels.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Broken(_) => "broken",
            Self::Timeout(_) => "timeout",
            Self::Grpc { .. } | Self::Http { .. } => "refused",
            Self::Unsupported { .. } => "unsupported",
            Self::Answer(_) => "not_otlp",
        }
    }

    pub(crate) fn grpc(code: Code, message: &str, retry_after: Option<Duration>) -> Self {
        Self::Grpc { code, message: said(message), retry_after: retry_after.map(capped) }
    }

    pub(crate) fn http(status: u16, message: &str, retry_after: Option<Duration>) -> Self {
        Self::Http { status, message: said(message), retry_after: retry_after.map(capped) }
    }

    pub(crate) fn connection(error: &hyper_util::client::legacy::Error) -> Self {
        // The outermost layer says no more than what the variants below say.
        let told = causes(error.source().unwrap_or(error));
        if error.is_connect() { Self::Unreachable(told) } else { Self::Broken(told) }
    }
}

/// An error and what caused it, innermost last; the outer layers say little.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        told = format!("{told}: {cause}");
        source = cause.source();
    }
    said(&told)
}

fn capped(wait: Duration) -> Duration {
    wait.min(MAX_RETRY_AFTER)
}

/// The beginning of a foreign text, on one line and without control characters.
pub(crate) fn said(text: &str) -> String {
    let line: String = text.trim().chars().take(MAX_SAID).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.is_empty() { "no reason given".to_owned() } else { line }
}
