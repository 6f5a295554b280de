//! OTLP over HTTP: protobuf and JSON bodies, answers in the encoding of the request, errors as `google.rpc.Status`.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use lifecycle::wire::{self, Signal};
use tonic::Code;

use super::{
    COME_BACK, Encoding, Intake, Refusal,
    body::{Compression, MAX_REQUEST},
    content_type, grpc,
};
use crate::auth::Grade;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Takes one export request.
pub(super) async fn export(intake: Arc<Intake>, signal: Signal, request: Request<Body>) -> Response {
    let Some(encoding) = encoding(request.headers()) else {
        intake.metrics.refused("content_type");
        let message = "the content type must be application/x-protobuf or application/json";
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message.to_owned(), Encoding::Json);
    };
    match take(&intake, signal, encoding, request).await {
        Ok(body) => answer(StatusCode::OK, encoding, body),
        Err(refusal) => {
            intake.metrics.refused(refusal.as_str());
            refuse(&refusal, encoding)
        }
    }
}

/// Answers another method than POST.
pub(super) async fn wrong_method(request: Request<Body>) -> Response {
    let message = "only POST is answered here".to_owned();
    let encoding = encoding(request.headers()).unwrap_or(Encoding::Json);
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, message, encoding);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

/// Answers a path that is none of OTLP's: `UNIMPLEMENTED` over gRPC, else 404.
pub(super) async fn unknown(request: Request<Body>) -> Response {
    if grpc::is_grpc(request.headers()) {
        return tonic::Status::unimplemented("not a method of OTLP").into_http();
    }
    let message = "OTLP is taken at /v1/logs, /v1/traces and /v1/metrics".to_owned();
    error(StatusCode::NOT_FOUND, Code::NotFound, message, encoding(request.headers()).unwrap_or(Encoding::Json))
}

async fn take(intake: &Intake, signal: Signal, encoding: Encoding, request: Request<Body>) -> Result<Bytes, Refusal> {
    let (head, body) = request.into_parts();
    let speaker = intake.agents.admit(&head.headers).await?;
    let compression = compression(&head.headers)?;
    let held = intake.budget.read(body, MAX_REQUEST).await?;
    let plain = intake.budget.inflate(held, compression)?;
    let taken = intake.take(&speaker, signal, encoding, plain.bytes.clone()).await?;
    Ok(match encoding {
        Encoding::Protobuf => wire::response(taken.rejected, &taken.message).into(),
        Encoding::Json => wire::response_json(signal, taken.rejected, &taken.message).into(),
    })
}

/// How the body is compressed, once at most: a compression within another has no use but to hide what it becomes.
fn compression(headers: &HeaderMap) -> Result<Compression, Refusal> {
    let mut words = headers.get_all(header::CONTENT_ENCODING).iter().map(HeaderValue::as_bytes);
    let word = words.next().unwrap_or_default();
    Compression::read(word).filter(|_| words.next().is_none()).ok_or_else(|| Refusal::encoding(word))
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let media_type = content_type(headers).split(';').next().unwrap_or_default().trim();
    [(PROTOBUF, Encoding::Protobuf), (JSON, Encoding::Json)]
        .into_iter()
        .find_map(|(name, encoding)| media_type.eq_ignore_ascii_case(name).then_some(encoding))
}

fn refuse(refusal: &Refusal, encoding: Encoding) -> Response {
    let status = match refusal {
        Refusal::Denied(denied) => match denied.grade() {
            Grade::Unknown => StatusCode::UNAUTHORIZED,
            Grade::Forbidden => StatusCode::FORBIDDEN,
            Grade::Later => StatusCode::SERVICE_UNAVAILABLE,
        },
        Refusal::ForeignNode(_) => StatusCode::FORBIDDEN,
        Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Encoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::Malformed(_) | Refusal::Unreadable(_) => StatusCode::BAD_REQUEST,
        Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
    };
    let mut response = error(status, refusal.code(), refusal.to_string(), encoding);
    let come_back = || (header::RETRY_AFTER, HeaderValue::from(COME_BACK.as_secs()));
    let header = match refusal {
        Refusal::Denied(denied) => match denied.grade() {
            Grade::Unknown => Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Grade::Forbidden => None,
            Grade::Later => Some(come_back()),
        },
        Refusal::Busy => Some(come_back()),
        Refusal::Encoding(_) => Some((header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"))),
        // The rest of the body is not worth waiting for.
        Refusal::TooSlow => Some((header::CONNECTION, HeaderValue::from_static("close"))),
        Refusal::ForeignNode(_) | Refusal::Malformed(_) | Refusal::Unreadable(_) | Refusal::TooLarge => None,
    };
    response.headers_mut().extend(header);
    response
}

fn error(status: StatusCode, code: Code, message: String, encoding: Encoding) -> Response {
    let body = wire::Status { code: code.into(), message, retry_after: None };
    answer(
        status,
        encoding,
        match encoding {
            Encoding::Protobuf => body.encode().into(),
            Encoding::Json => body.to_json().into(),
        },
    )
}

fn answer(status: StatusCode, encoding: Encoding, body: Bytes) -> Response {
    let media_type = match encoding {
        Encoding::Protobuf => PROTOBUF,
        Encoding::Json => JSON,
    };
    (status, [(header::CONTENT_TYPE, media_type)], body).into_response()
}
