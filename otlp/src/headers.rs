//! Headers that go with every request, such as credentials. A secret: nothing here prints a value.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use thiserror::Error;

/// Names that belong to the transport.
const RESERVED: [&str; 9] =
    ["connection", "content-encoding", "content-length", "content-type", "host", "te", "trailer", "transfer-encoding", "upgrade"];

/// Headers to send with every request. Printing it, also for debugging, says nothing about them.
#[derive(Clone, Default)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Reads the form of `OTEL_EXPORTER_OTLP_HEADERS`: `name=value` pairs with commas between them, values percent-encoded.
    ///
    /// # Errors
    /// When a pair has no `=`, a name is no header's name or belongs to the transport, or a value cannot stand in a header.
    pub fn parse(text: &str) -> Result<Self, HeadersError> {
        let mut headers = Self::default();
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        for (position, pair) in (1..).zip(pairs) {
            let (name, value) = pair.split_once('=').ok_or(HeadersError::Pair(position))?;
            let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| HeadersError::Value(position))?;
            headers.insert(position, name.trim(), &value)?;
        }
        Ok(headers)
    }

    /// These headers and `authorization: Bearer <token>`.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn with_bearer(mut self, token: &str) -> Result<Self, HeadersError> {
        self.insert(1, "authorization", &format!("Bearer {token}"))?;
        Ok(self)
    }

    /// Whether they say who is asking, so that no token is needed.
    pub fn have_authorization(&self) -> bool {
        self.0.contains_key(http::header::AUTHORIZATION)
    }

    fn insert(&mut self, position: usize, name: &str, value: &str) -> Result<(), HeadersError> {
        let name: HeaderName = name.parse().map_err(|_| HeadersError::Name(position))?;
        if RESERVED.contains(&name.as_str()) || name.as_str().starts_with("grpc-") {
            return Err(HeadersError::Reserved(name.to_string()));
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| HeadersError::Value(position))?;
        value.set_sensitive(true);
        self.0.insert(name, value);
        Ok(())
    }

    pub(crate) const fn as_map(&self) -> &HeaderMap {
        &self.0
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Headers(..)")
    }
}

/// A list of headers that cannot be sent. Says which, and never a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeadersError {
    /// No `=` in it.
    #[error("header {0} is not of the form name=value")]
    Pair(usize),
    /// Not the name of a header.
    #[error("header {0} has a name that no header can have")]
    Name(usize),
    /// Not the value of a header.
    #[error("header {0} has a value that no header can have")]
    Value(usize),
    /// Set by the transport itself.
    #[error("header {0} is set by the exporter itself")]
    Reserved(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_percent_decoded() {
        let headers = Headers::parse("Authorization=Basic%20YTpi, x-scope-orgid = tenant,,").unwrap();
        assert_eq!(headers.as_map()["authorization"], "Basic YTpi");
        assert_eq!(headers.as_map()["x-scope-orgid"], "tenant");
        assert!(Headers::parse("").unwrap().as_map().is_empty());
    }

    #[test]
    fn a_bad_list_is_refused_without_telling_its_values() {
        let refused = |text: &str| Headers::parse(text).unwrap_err();
        assert_eq!(refused("a=b,secret"), HeadersError::Pair(2));
        assert_eq!(refused("a b=secret"), HeadersError::Name(1));
        assert_eq!(refused("a=secret%0a"), HeadersError::Value(1));
        assert_eq!(refused("Content-Type=secret"), HeadersError::Reserved("content-type".into()));
        assert_eq!(refused("grpc-timeout=1S"), HeadersError::Reserved("grpc-timeout".into()));
    }

    #[test]
    fn printing_headers_shows_no_secret() {
        let headers = Headers::default().with_bearer("secret").unwrap();
        assert_eq!(format!("{headers:?}"), "Headers(..)");
        assert!(!format!("{:?}", headers.as_map()).contains("secret"));
    }
}
