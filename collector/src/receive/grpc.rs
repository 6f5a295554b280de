//! OTLP over gRPC: one unary method per signal, its request taken as the bytes it is.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use lifecycle::wire::{self, Signal};
use tonic::{
    Code, Status,
    body::Body,
    codec::CompressionEncoding,
    server::{Grpc, UnaryService},
};
use tower::Service;

use super::{COME_BACK, Encoding, Intake, MAX_REQUEST, REQUEST_TIMEOUT, Refusal};

type Answer<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;

/// The export method of one signal.
#[derive(Clone, Debug)]
pub(super) struct Export {
    intake: Intake,
    signal: Signal,
}

impl Export {
    pub(super) const fn new(intake: Intake, signal: Signal) -> Self {
        Self { intake, signal }
    }

    async fn answer(self, request: Request<axum::body::Body>) -> Response<Body> {
        let place = match self.intake.place().await {
            Ok(place) => place,
            Err(refusal) => return self.refuse(&refusal).into_http(),
        };
        let mut grpc = Grpc::new(otlp::BytesCodec)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .max_decoding_message_size(MAX_REQUEST);
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, grpc.unary(self.clone(), request)).await;
        drop(place);
        self.corrected(answer.unwrap_or_else(|_| self.refuse(&Refusal::TooSlow).into_http()))
    }

    fn refuse(&self, refusal: &Refusal) -> Status {
        self.intake.metrics.refused(refusal.as_str());
        let code = match refusal {
            Refusal::Busy => Code::Unavailable,
            Refusal::Malformed(_) | Refusal::Unreadable(_) => Code::InvalidArgument,
            Refusal::TooLarge => Code::ResourceExhausted,
            Refusal::TooSlow => Code::DeadlineExceeded,
        };
        let retry_after = matches!(refusal, Refusal::Busy).then_some(COME_BACK);
        let details = wire::Status { code: code.into(), message: refusal.to_string(), retry_after };
        Status::with_details(code, refusal.to_string(), details.encode().into())
    }

    /// tonic calls a message over the limit `OUT_OF_RANGE`, which OTLP's senders would send again and again.
    fn corrected(&self, mut answer: Response<Body>) -> Response<Body> {
        let code = |code: Code| HeaderValue::from(code as i32);
        let status = answer.headers().get(Status::GRPC_STATUS).cloned();
        if status.as_ref() == Some(&code(Code::OutOfRange)) {
            answer.headers_mut().insert(Status::GRPC_STATUS, code(Code::ResourceExhausted));
        }
        if [Code::OutOfRange, Code::ResourceExhausted].iter().any(|c| status.as_ref() == Some(&code(*c))) {
            self.intake.metrics.refused(Refusal::TooLarge.as_str());
        }
        answer
    }
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = std::future::Ready<Result<tonic::Response<Bytes>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let taken = self.intake.take(self.signal, Encoding::Protobuf, request.into_inner());
        std::future::ready(match taken {
            Ok(taken) => Ok(tonic::Response::new(wire::response(taken.rejected, &taken.message).into())),
            Err(refusal) => Err(self.refuse(&refusal)),
        })
    }
}

impl Service<Request<axum::body::Body>> for Export {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<axum::body::Body>) -> Self::Future {
        let export = self.clone();
        Box::pin(async move { Ok(export.answer(request).await) })
    }
}
