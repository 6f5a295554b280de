//! OTLP over HTTP: protobuf and JSON bodies, answers in the encoding of the request, errors as `google.rpc.Status`.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use lifecycle::wire::{self, Signal};
use tonic::Code;

use super::{COME_BACK, Encoding, Intake, MAX_REQUEST, REQUEST_TIMEOUT, Refusal};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Takes one export request.
pub(super) async fn export(intake: Intake, signal: Signal, request: Request<Body>) -> Response {
    let Some(encoding) = encoding(request.headers()) else {
        intake.metrics.refused("content_type");
        return unsupported("the content type must be application/x-protobuf or application/json", None);
    };
    if let Some(unknown) = request.headers().get(header::CONTENT_ENCODING).filter(|e| e.as_bytes() != b"identity") {
        intake.metrics.refused("content_encoding");
        let message = format!("the content encoding {unknown:?} is not gzip, zstd or identity");
        return unsupported(&message, Some(encoding));
    }
    match take(&intake, signal, encoding, request.into_body()).await {
        Ok(body) => answer(StatusCode::OK, encoding, body),
        Err(refusal) => {
            intake.metrics.refused(refusal.as_str());
            refuse(&refusal, encoding)
        }
    }
}

/// Answers another method than POST.
pub(super) async fn wrong_method() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")], "only POST is answered here\n").into_response()
}

/// Answers a path that is none of OTLP's: `UNIMPLEMENTED` over gRPC, else 404.
pub(super) async fn unknown(request: Request<Body>) -> Response {
    if content_type(request.headers()).starts_with("application/grpc") {
        return tonic::Status::unimplemented("not a method of OTLP").into_http::<Body>();
    }
    (StatusCode::NOT_FOUND, "OTLP is taken at /v1/logs, /v1/traces and /v1/metrics\n").into_response()
}

async fn take(intake: &Intake, signal: Signal, encoding: Encoding, body: Body) -> Result<Bytes, Refusal> {
    let place = intake.place().await?;
    let body = read(body).await?;
    let taken = intake.take(signal, encoding, body)?;
    drop(place);
    Ok(match encoding {
        Encoding::Protobuf => wire::response(taken.rejected, &taken.message).into(),
        Encoding::Json => wire::response_json(signal, taken.rejected, &taken.message).into(),
    })
}

/// The body, which was decompressed on its way here.
async fn read(body: Body) -> Result<Bytes, Refusal> {
    let body = Limited::new(body, MAX_REQUEST).collect();
    let read = tokio::time::timeout(REQUEST_TIMEOUT, body).await.map_err(|_| Refusal::TooSlow)?;
    read.map(|body| body.to_bytes())
        .map_err(|error| if error.is::<LengthLimitError>() { Refusal::TooLarge } else { Refusal::Unreadable(error.to_string()) })
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    match content_type(headers).split(';').next().unwrap_or_default().trim() {
        PROTOBUF => Some(Encoding::Protobuf),
        JSON => Some(Encoding::Json),
        _ => None,
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn refuse(refusal: &Refusal, encoding: Encoding) -> Response {
    let (status, code) = match refusal {
        Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        Refusal::Malformed(_) | Refusal::Unreadable(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
        Refusal::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
        Refusal::TooSlow => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
    };
    let mut response = error(status, code, refusal.to_string(), encoding);
    if matches!(refusal, Refusal::Busy) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(COME_BACK.as_secs()));
    }
    response
}

/// 415; in JSON where the request's encoding is none that is known.
fn unsupported(message: &str, encoding: Option<Encoding>) -> Response {
    let encoding = encoding.unwrap_or(Encoding::Json);
    let mut response = error(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message.to_owned(), encoding);
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
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
