//! OTLP over gRPC: one unary method per signal, its request taken as the bytes it is. And the health of the service, by gRPC's own protocol.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use lifecycle::wire::{self, Signal};
use tonic::{Code, Status};

use super::{
    COME_BACK, Encoding, Intake, Refusal,
    body::{Compression, MAX_REQUEST},
    content_type,
};

/// What the media type of every gRPC request begins with.
const GRPC: &str = "application/grpc";
/// Bytes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;
/// Path of the method that asks for health.
pub(super) const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// The compressions that are understood.
const ACCEPTED: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// Longest question for health, in bytes.
const MAX_QUESTION: usize = 1024;

/// Takes one export request.
pub(super) async fn export(intake: Arc<Intake>, signal: Signal, request: Request<Body>) -> Response {
    if !is_grpc(request.headers()) {
        intake.metrics.refused("content_type");
        return not_grpc();
    }
    match take(&intake, signal, request).await {
        Ok(message) => answer(&message),
        Err(refusal) => {
            intake.metrics.refused(refusal.as_str());
            refuse(&refusal)
        }
    }
}

/// `grpc.health.v1.Health/Check`, for the whole and for each signal's service: serving as long as reports can be taken.
pub(super) async fn health(intake: Arc<Intake>, request: Request<Body>) -> Response {
    if !is_grpc(request.headers()) {
        return not_grpc();
    }
    let asked = async {
        let held = intake.budget.read(request.into_body(), MAX_QUESTION).await?;
        unframe(&held.bytes).map(|(_, message)| message)
    };
    match asked.await {
        Ok(question) if is_known(&question) => answer(&[8, if intake.is_ready() { SERVING } else { NOT_SERVING }]),
        Ok(_) => Status::not_found("no such service").into_http(),
        Err(refusal) => refuse(&refusal),
    }
}

/// `ServingStatus` of `grpc.health.v1.HealthCheckResponse`.
const SERVING: u8 = 1;
const NOT_SERVING: u8 = 2;

/// Whether a `HealthCheckRequest` names the whole, by no name, or one of our services.
fn is_known(question: &[u8]) -> bool {
    let name = match question {
        [] | [0x0a, 0] => return true,
        [0x0a, length, name @ ..] if usize::from(*length) == name.len() => name,
        _ => return false,
    };
    Signal::ALL.iter().any(|signal| signal.grpc_path().trim_start_matches('/').trim_end_matches("/Export").as_bytes() == name)
}

/// Whether a request is gRPC at all.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    content_type(headers).get(..GRPC.len()).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
}

async fn take(intake: &Intake, signal: Signal, request: Request<Body>) -> Result<Vec<u8>, Refusal> {
    let (head, body) = request.into_parts();
    let speaker = intake.agents.admit(&head.headers).await?;
    let word = head.headers.get("grpc-encoding").map_or(&b""[..], HeaderValue::as_bytes);
    let compression = Compression::read(word).ok_or_else(|| Refusal::encoding(word))?;
    let mut held = intake.budget.read(body, HEAD + MAX_REQUEST).await?;
    let (compressed, message) = unframe(&held.bytes)?;
    if compressed && compression == Compression::None {
        return Err(Refusal::Unreadable("its message is compressed, and grpc-encoding does not say how".to_owned()));
    }
    held.bytes = message;
    let plain = if compressed { intake.budget.inflate(held, compression)? } else { held };
    let taken = intake.take(&speaker, signal, Encoding::Protobuf, plain.bytes.clone()).await?;
    Ok(wire::response(taken.rejected, &taken.message))
}

/// The only message of a unary request, and whether it is compressed.
fn unframe(body: &Bytes) -> Result<(bool, Bytes), Refusal> {
    let told = |problem: &str| Refusal::Unreadable(problem.to_owned());
    let ([flag, length @ ..], _) = body.split_first_chunk::<HEAD>().ok_or_else(|| told("it holds no message"))?;
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_REQUEST {
        return Err(Refusal::TooLarge);
    }
    if *flag > 1 || body.len() != HEAD + length {
        return Err(told("it is not exactly one message"));
    }
    Ok((*flag == 1, body.slice(HEAD..)))
}

fn answer(message: &[u8]) -> Response {
    let mut frame = BytesMut::with_capacity(HEAD + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(Status::GRPC_STATUS, HeaderValue::from(0));
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    ([(header::CONTENT_TYPE, HeaderValue::from_static(GRPC)), (ACCEPT_ENCODING, ACCEPTED)], Body::new(body)).into_response()
}

fn refuse(refusal: &Refusal) -> Response {
    let code = refusal.code();
    let retry_after = (code == Code::Unavailable).then_some(COME_BACK);
    let details = wire::Status { code: code.into(), message: refusal.to_string(), retry_after };
    let mut response = Status::with_details(code, refusal.to_string(), details.encode().into()).into_http();
    if code == Code::Unimplemented {
        response.headers_mut().insert(ACCEPT_ENCODING, ACCEPTED);
    }
    response
}

fn not_grpc() -> Response {
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "only gRPC is answered here\n").into_response()
}
