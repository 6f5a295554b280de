//! The OTLP transport: carries the bytes of export requests over gRPC or HTTP and says how it went. Never looks inside a request.
//!
//! [`Client`] sends one request to one [`Endpoint`] and classifies what came of it: delivered, perhaps with some records refused, or a
//! [`SendError`] that knows whether and when to try again. It has no queue and does not retry: what is kept, dropped or sent again is the
//! business of the agent's export and the collector's forward, for which [`Backoff`] says how long to wait. [`BytesCodec`] lets a
//! server take requests as raw bytes too. What the bytes mean is known to `lifecycle::wire` alone.

mod backoff;
mod client;
mod codec;
mod endpoint;
mod error;
mod files;
mod grpc;
mod headers;
mod tls;
mod web;

pub use backoff::Backoff;
pub use client::{ASK_AGAIN_AFTER, Client, MAX_ANSWER, Sent};
pub use codec::BytesCodec;
pub use endpoint::{Compression, Endpoint, EndpointError, Protocol};
pub use error::{MAX_RETRY_AFTER, SendError};
pub use files::{FileError, Files, Stamp, read_file, stamp};
pub use headers::{Headers, HeadersError};
pub use tls::{Pem, TlsError};
