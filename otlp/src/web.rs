//! OTLP/HTTP with protobuf bodies: one POST per request, and the verdict is the status. Redirects are not followed: what is sent may hold
//! credentials, and a receiver that moved is for people to know.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use lifecycle::wire::{self, Signal};

use crate::{
    client::{Sent, read},
    endpoint::Endpoint,
    error::SendError,
};

/// The media type of OTLP's protobuf bodies.
const PROTOBUF: &str = "application/x-protobuf";

pub(crate) fn request(endpoint: &Endpoint, signal: Signal, message: Bytes) -> Request<Full<Bytes>> {
    let compressed = endpoint.compression.apply(&message);
    let encoding = compressed.is_some().then(|| HeaderValue::from_static("gzip"));
    let mut request = Request::new(Full::new(compressed.unwrap_or(message)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.uri(signal);
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    headers.insert(header::ACCEPT, HeaderValue::from_static(PROTOBUF));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, encoding);
    }
    request
}

pub(crate) async fn answer(response: Response<Incoming>) -> Result<Sent, SendError> {
    let status = response.status();
    let headers = response.headers().clone();
    let body = read(response).await;
    if !status.is_success() {
        // A reason that cannot be read does not change the verdict.
        let body = body.map(|(body, _)| body).unwrap_or_default();
        return Err(SendError::http(status.as_u16(), &reason(&headers, &body, status), retry_after(&headers)));
    }
    let (body, _) = body?;
    if has_type(&headers, "text/html") {
        return Err(SendError::Answer("it answers with a web page"));
    }
    if !has_type(&headers, PROTOBUF) {
        return Ok(Sent::default());
    }
    wire::parse_response(&body).map(Sent::from).map_err(|_| SendError::Answer("its answer is not an export response"))
}

/// What the receiver says about its error: a `google.rpc.Status`, as the specification demands, or whatever else it says in text.
fn reason(headers: &HeaderMap, body: &Bytes, status: StatusCode) -> String {
    let text = if has_type(headers, PROTOBUF) {
        wire::Status::decode(body).map(|status| status.message).unwrap_or_default()
    } else if has_type(headers, "text/html") {
        String::new()
    } else {
        String::from_utf8_lossy(body).into_owned()
    };
    if text.trim().is_empty() { status.canonical_reason().unwrap_or_default().to_owned() } else { text }
}

/// Seconds; a date, which is allowed too, would need a clock and is taken as no wish.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn has_type(headers: &HeaderMap, media_type: &str) -> bool {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    found.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}
