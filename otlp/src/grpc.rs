//! OTLP/gRPC: one unary call per request. A message is framed by five bytes, and the verdict stands in the trailers.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use lifecycle::wire::{self, Signal};
use tonic::{Code, Status};

use crate::{
    client::{Sent, read},
    endpoint::Endpoint,
    error::SendError,
    web::retry_after,
};

/// Length of a frame's head: whether the message is compressed, and its length.
const HEAD: usize = 5;

pub(crate) fn request(endpoint: &Endpoint, signal: Signal, message: Bytes) -> Request<Full<Bytes>> {
    let compressed = endpoint.compression.apply(&message);
    let mut frame = BytesMut::with_capacity(HEAD + message.len());
    frame.put_u8(u8::from(compressed.is_some()));
    let message = compressed.as_ref().unwrap_or(&message);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(message);

    let mut request = Request::new(Full::new(frame.freeze()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.uri(signal);
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    if compressed.is_some() {
        headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
    if let Ok(timeout) = HeaderValue::try_from(format!("{}m", endpoint.timeout.as_millis().min(99_999_999))) {
        headers.insert("grpc-timeout", timeout);
    }
    request
}

pub(crate) async fn answer(response: Response<Incoming>) -> Result<Sent, SendError> {
    if response.status() != StatusCode::OK {
        // Not gRPC: most likely a proxy in between speaks for a receiver that it cannot reach.
        let reason = response.status().canonical_reason().unwrap_or_default();
        return Err(SendError::http(response.status().as_u16(), reason, retry_after(response.headers())));
    }
    // An answer without a message has its verdict in the headers.
    verdict(response.headers()).transpose()?;
    let (body, trailers) = read(response).await?;
    verdict(&trailers).ok_or(SendError::Answer("its answer has no gRPC status"))??;
    let message = match body.split_first_chunk::<HEAD>() {
        Some(([0, length @ ..], message)) if u32::from_be_bytes(*length) as usize == message.len() => message,
        Some(_) => return Err(SendError::Answer("its answer is not one plain message")),
        None if body.is_empty() => &[],
        None => return Err(SendError::Answer("its answer is cut off")),
    };
    wire::parse_response(message).map(Sent::from).map_err(|_| SendError::Answer("its answer is not an export response"))
}

/// What the status in these headers says; `None` if there is none.
fn verdict(headers: &HeaderMap) -> Option<Result<(), SendError>> {
    let status = Status::from_header_map(headers)?;
    if status.code() == Code::Ok {
        return Some(Ok(()));
    }
    let retry_after = wire::Status::decode(status.details()).ok().and_then(|details| details.retry_after);
    Some(Err(SendError::grpc(status.code(), status.message(), retry_after)))
}
