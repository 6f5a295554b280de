//! The connection to containerd, with every call that goes over it counted by method. Changes nothing about a call and keeps no time.
//!
//! Errors are seen where containerd sends them instead of an answer; one that breaks off an answer that has begun is not counted here. That
//! something is not there is an answer.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use http::{Request, Response};
use tonic::{Code, Status, body::Body, transport::Channel};
use tower::Service;
use tracing::Instrument as _;

use crate::telemetry::Telemetry;

/// A channel that counts.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    channel: Channel,
    telemetry: Arc<Telemetry>,
}

impl Counted {
    pub(super) const fn new(channel: Channel, telemetry: Arc<Telemetry>) -> Self {
        Self { channel, telemetry }
    }
}

impl Service<Request<Body>> for Counted {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let telemetry = Arc::clone(&self.telemetry);
        let method = method(request.uri().path());
        let span = tracing::debug_span!("call", otel.name = method, otel.kind = "client", error.type = tracing::field::Empty);
        let answer = self.channel.call(request);
        async move {
            let answer = answer.await;
            let error = match &answer {
                Ok(response) => Status::from_header_map(response.headers()).and_then(|status| error(status.code())),
                Err(_) => Some("connection"),
            };
            telemetry.called(&method, error);
            if let Some(error) = error {
                tracing::Span::current().record("error.type", error);
            }
            answer
        }
        .instrument(span)
        .boxed()
    }
}

/// `Leases/List` of `/containerd.services.leases.v1.Leases/List`: services are few, and named by our own code.
fn method(path: &str) -> String {
    path.rsplit_once('.').map_or(path, |(_, method)| method).to_owned()
}

/// gRPC's code as OpenTelemetry's conventions want it.
fn error(code: Code) -> Option<&'static str> {
    match code {
        Code::Ok | Code::NotFound => None,
        Code::Cancelled => Some("CANCELLED"),
        Code::Unknown => Some("UNKNOWN"),
        Code::InvalidArgument => Some("INVALID_ARGUMENT"),
        Code::DeadlineExceeded => Some("DEADLINE_EXCEEDED"),
        Code::AlreadyExists => Some("ALREADY_EXISTS"),
        Code::PermissionDenied => Some("PERMISSION_DENIED"),
        Code::ResourceExhausted => Some("RESOURCE_EXHAUSTED"),
        Code::FailedPrecondition => Some("FAILED_PRECONDITION"),
        Code::Aborted => Some("ABORTED"),
        Code::OutOfRange => Some("OUT_OF_RANGE"),
        Code::Unimplemented => Some("UNIMPLEMENTED"),
        Code::Internal => Some("INTERNAL"),
        Code::Unavailable => Some("UNAVAILABLE"),
        Code::DataLoss => Some("DATA_LOSS"),
        Code::Unauthenticated => Some("UNAUTHENTICATED"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_named_without_its_package() {
        assert_eq!(method("/containerd.services.leases.v1.Leases/ListResources"), "Leases/ListResources");
        assert_eq!(method("/odd"), "/odd");
    }

    #[test]
    fn what_is_not_there_is_no_error() {
        assert_eq!((error(Code::NotFound), error(Code::Unavailable)), (None, Some("UNAVAILABLE")));
    }
}
