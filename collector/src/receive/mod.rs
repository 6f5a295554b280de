//! OTLP in: over gRPC and over HTTP, both on either port. What arrives is read, told to the keeper and passed on, or refused with a reason.
//!
//! The duties are those of the OTLP specification: limits hold after decompression, what is refused for good is never worth a retry, what
//! is refused for now says when to come back. [`grpc`] and [`web`] know their protocol; this file knows what both do with a request.

mod body;
mod grpc;
mod web;

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderMap, header},
    routing::post,
};
use bytes::Bytes;
use lifecycle::{
    board::Input,
    pull::Node,
    wire::{self, DecodeError, Said, Signal},
};
use tonic::Code;

use self::body::{Budget, MAX_REQUEST, REQUEST_TIMEOUT};
use crate::{
    auth::{Agents, Denied, Grade, Speaker},
    forward::Forward,
    metrics::Metrics,
    readiness::Readiness,
};

/// When to come back while the collector is busy.
const COME_BACK: Duration = Duration::from_secs(1);
/// Longest word of a sender that is repeated to it, in characters.
const MAX_WORD: usize = 64;

/// What both protocols do with a request.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    readiness: Readiness,
    pass_on: PassOn,
    agents: Agents,
    metrics: Metrics,
    cluster: Arc<str>,
    budget: Budget,
}

/// Where requests go from here.
#[derive(Clone, Debug, Default)]
pub(crate) struct PassOn {
    /// The sinks.
    pub(crate) forward: Forward,
    /// Whether they get the progress of pulls too.
    pub(crate) progress: bool,
}

/// How the body of a request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

/// What was refused of a request that was taken.
#[derive(Debug, Default)]
struct Taken {
    rejected: u64,
    message: String,
}

/// Why a request was refused as a whole.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    /// Not one of those who may report.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// All that it says is about nodes for which its sender may not speak.
    #[error("refused as a whole: {0}")]
    ForeignNode(String),
    /// To be sent again later.
    #[error("the collector is busy; send the request again")]
    Busy,
    /// Never worth a retry.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// Never worth a retry.
    #[error("the request is longer than {MAX_REQUEST} bytes")]
    TooLarge,
    /// Never worth a retry.
    #[error("the encoding {0:?} is not gzip, zstd or identity")]
    Encoding(String),
    /// The sender was too slow.
    #[error("the request did not arrive within {} s", REQUEST_TIMEOUT.as_secs())]
    TooSlow,
    /// The sender went away, or its compression is broken.
    #[error("the request cannot be read: {0}")]
    Unreadable(String),
}

impl Refusal {
    /// For a word that names no compression that is understood.
    fn encoding(word: &[u8]) -> Self {
        Self::Encoding(String::from_utf8_lossy(word).chars().take(MAX_WORD).collect())
    }

    const fn code(&self) -> Code {
        match self {
            Self::Denied(denied) => match denied.grade() {
                Grade::Unknown => Code::Unauthenticated,
                Grade::Forbidden => Code::PermissionDenied,
                Grade::Later => Code::Unavailable,
            },
            Self::ForeignNode(_) => Code::PermissionDenied,
            Self::Busy => Code::Unavailable,
            Self::Malformed(_) | Self::Unreadable(_) => Code::InvalidArgument,
            Self::TooLarge => Code::ResourceExhausted,
            Self::Encoding(_) => Code::Unimplemented,
            Self::TooSlow => Code::DeadlineExceeded,
        }
    }

    const fn as_str(&self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.as_str(),
            Self::ForeignNode(_) => "foreign_node",
            Self::Busy => "busy",
            Self::Malformed(_) => "malformed",
            Self::TooLarge => "too_large",
            Self::Encoding(_) => "content_encoding",
            Self::TooSlow => "too_slow",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl Intake {
    /// Takes requests of those whom `agents` admits, tells reports to the keeper and passes requests on. Nodes that say no cluster are of
    /// `cluster`.
    pub(crate) fn new(pass_on: PassOn, metrics: Metrics, agents: Agents, readiness: Readiness, cluster: &str) -> Self {
        Self { readiness, pass_on, agents, metrics, cluster: cluster.into(), budget: Budget::new() }
    }

    /// Everything that answers OTLP, over gRPC and HTTP.
    pub(crate) fn router(self) -> Router {
        let intake = Arc::new(self);
        let mut router = Router::new();
        for signal in Signal::ALL {
            let (web, grpc) = (intake.clone(), intake.clone());
            let over_http = post(move |request| web::export(web, signal, request)).fallback(web::wrong_method);
            router = router.route(signal.http_path(), over_http);
            router = router.route(signal.grpc_path(), post(move |request| grpc::export(grpc, signal, request)));
        }
        router.route(grpc::HEALTH, post(move |request| grpc::health(intake, request))).fallback(web::unknown)
    }

    /// Whether reports can be taken.
    fn is_ready(&self) -> bool {
        self.readiness.problem().is_none()
    }

    /// Reads a request, tells the keeper, passes it on. Nothing is done if the keeper has no room for it. What is not the speaker's to say is
    /// left out; if that is all, the request is refused.
    async fn take(&self, speaker: &Speaker, signal: Signal, encoding: Encoding, body: Bytes) -> Result<Taken, Refusal> {
        let room = self.readiness.keeper().reserve(COME_BACK).await.ok_or(Refusal::Busy)?;
        let body = match encoding {
            Encoding::Protobuf => body,
            Encoding::Json => Bytes::from(wire::transcode_json(signal, &body)?),
        };
        let (body, foreign) = own(speaker, signal, body)?;
        let mut decoded = wire::decode(signal, &body)?;
        decoded.rejected.add_foreign(foreign);
        if foreign > 0 && decoded.accepted == 0 {
            return Err(Refusal::ForeignNode(decoded.rejected.message()));
        }
        let (mut taken, reports) = self.within_room(decoded.reports);
        self.metrics.received(decoded.accepted.saturating_sub(taken.rejected), reports.len(), &decoded.rejected);
        let inputs = self.placed(reports);
        if !inputs.is_empty() {
            room.send(inputs);
        }
        self.pass_on(signal, &body);
        taken.rejected += decoded.rejected.total();
        if taken.message.is_empty() {
            taken.message = decoded.rejected.message();
        }
        Ok(taken)
    }

    /// Leaves out new pulls of nodes that have as many as they may, so that their senders hear of it.
    fn within_room(&self, mut reports: Vec<Said>) -> (Taken, Vec<Said>) {
        let mut taken = Taken::default();
        let snapshot = self.readiness.keeper().view().now();
        if snapshot.crowded.is_empty() {
            return (taken, reports);
        }
        let fits = |said: &Said| match said {
            Said::Pull(report) => !snapshot.crowded.contains(&report.node.name) || snapshot.row(report.pull.id).is_some(),
            Said::Node(_) => true,
        };
        let all = reports.len();
        reports.retain(fits);
        taken.rejected = (all - reports.len()) as u64;
        if taken.rejected > 0 {
            taken.message =
                "the node has as many running pulls or layers in memory as one node may; new ones are not taken".to_owned();
            self.metrics.crowded_out(taken.rejected);
        }
        (taken, reports)
    }

    /// Reports as the keeper is told of them: of a cluster, if there is a name for it. Those that share their node still do.
    fn placed(&self, reports: Vec<Said>) -> Vec<Input> {
        let is_placed = |node: &Node| !node.cluster.is_empty() || self.cluster.is_empty();
        let mut last: Option<(Arc<Node>, Arc<Node>)> = None;
        let place = |said| match said {
            Said::Pull(mut report) => {
                if !is_placed(&report.node) {
                    let same = last.take().filter(|(before, _)| Arc::ptr_eq(before, &report.node));
                    let (_, placed) = last.insert(same.unwrap_or_else(|| {
                        let placed = Node { cluster: self.cluster.to_string(), ..Node::clone(&report.node) };
                        (report.node.clone(), placed.into())
                    }));
                    report.node = placed.clone();
                }
                Input::Pull(report)
            }
            Said::Node(mut report) => {
                if !is_placed(&report.node) {
                    self.cluster.as_ref().clone_into(&mut report.node.cluster);
                }
                Input::Node(report)
            }
        };
        reports.into_iter().map(place).collect()
    }

    /// Log records go without the progress of pulls. A request that cannot be looked into goes as it is: the sink shall judge it.
    fn pass_on(&self, signal: Signal, body: &Bytes) {
        let PassOn { forward, progress } = &self.pass_on;
        if forward.is_empty() {
            return;
        }
        let rest = match signal {
            Signal::Logs if !progress => wire::without_progress(body).unwrap_or(Cow::Borrowed(body)),
            Signal::Logs | Signal::Traces | Signal::Metrics => Cow::Borrowed(body.as_ref()),
        };
        match rest {
            Cow::Borrowed(_) => forward.offer(signal, body),
            Cow::Owned(rest) => forward.offer(signal, &rest.into()),
        }
    }
}

/// What of a request is its speaker's to say, and how much is not.
fn own(speaker: &Speaker, signal: Signal, body: Bytes) -> Result<(Bytes, u64), DecodeError> {
    let Speaker::Of(node) = speaker else { return Ok((body, 0)) };
    let own = wire::only_of(signal, &body, node)?;
    let (left, taken_out) = match own.request {
        Cow::Borrowed(_) => (None, own.taken_out),
        Cow::Owned(left) => (Some(Bytes::from(left)), own.taken_out),
    };
    Ok((left.unwrap_or(body), taken_out))
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request, response::Response};
    use lifecycle::board::Limits;
    use proptest::prelude::{Strategy, any, prop, proptest};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{auth::Guard, keeper::Keeper};

    /// Asks a receiver whose keeper takes nothing.
    async fn ask_busy(path: &str, content_type: &str, body: &'static [u8]) -> Response {
        let metrics = Metrics::new(&[]);
        let keeper = Keeper::start(Limits::default(), 1, metrics.clone(), async {});
        while keeper.is_alive() {
            tokio::task::yield_now().await;
        }
        let everyone = Agents::Guard(Guard::Everyone);
        let router = Intake::new(PassOn::default(), metrics, everyone, Readiness::new(keeper, Arc::default(), 0), "").router();
        let request = Request::post(path).header("content-type", content_type).body(Body::from(body)).unwrap();
        router.oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_busy_collector_says_when_to_come_back_over_http() {
        let answer = ask_busy("/v1/logs", "application/json", b"{}").await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_busy_collector_says_when_to_come_back_over_grpc() {
        let answer = ask_busy(Signal::Logs.grpc_path(), "application/grpc", &[0; 5]).await;
        let status = tonic::Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(wire::Status::decode(status.details()).unwrap().retry_after, Some(COME_BACK));
    }

    /// Bytes that begin like a request, or like nothing.
    fn any_body() -> impl Strategy<Value = Vec<u8>> {
        let start: Vec<&[u8]> =
            vec![b"", &[0, 0, 0, 0, 4], &[1, 0, 0, 0, 9], &[0x1f, 0x8b, 8, 0], &[0x28, 0xb5, 0x2f, 0xfd], b"{\"resourceLogs\":"];
        (prop::sample::select(start), prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(start, rest)| [start, &rest].concat())
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_answered_and_never_with_a_promise_to_take_it_later(
            body in any_body(),
            content_type in prop::sample::select(vec!["application/grpc", "application/x-protobuf", "application/json", "text/html", ""]),
            encoding in prop::sample::select(vec!["", "gzip", "zstd", "identity", "gzip, gzip", "\u{7f}"]),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let metrics = Metrics::new(&[]);
                let keeper = Keeper::start(Limits::default(), 1, metrics.clone(), std::future::pending());
                let readiness = Readiness::new(keeper.clone(), Arc::default(), 0);
                let router = Intake::new(PassOn::default(), metrics, Agents::Guard(Guard::Everyone), readiness, "").router();
                for signal in Signal::ALL {
                    for path in [signal.http_path(), signal.grpc_path(), grpc::HEALTH] {
                        let mut request = Request::post(path).body(Body::from(body.clone())).unwrap();
                        for (name, value) in [("content-type", content_type), ("content-encoding", encoding), ("grpc-encoding", encoding)] {
                            if let (false, Ok(value)) = (value.is_empty(), value.parse()) {
                                request.headers_mut().insert(name, value);
                            }
                        }
                        let answer = router.clone().oneshot(request).await.unwrap();
                        assert!([200, 400, 413, 415].contains(&answer.status().as_u16()), "{}", answer.status());
                        let code = tonic::Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
                        assert!(
                            !matches!(code, Code::Unavailable | Code::Aborted | Code::OutOfRange | Code::DataLoss | Code::Internal),
                            "{code}"
                        );
                    }
                }
                assert!(keeper.is_alive());
            });
        }
    }
}
