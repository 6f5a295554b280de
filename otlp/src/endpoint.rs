//! Where to send and how, as the `OTEL_EXPORTER_OTLP_*` variables say it; checked when it is read, so that a client cannot fail to be made.

use std::{io::Write as _, str::FromStr, time::Duration};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use lifecycle::wire::Signal;
use thiserror::Error;

use crate::{
    files::{FileError, Files},
    headers::Headers,
    tls::{self, Pem, TlsError},
};

/// How long a request may take, unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    HttpProtobuf,
}

impl Protocol {
    /// The word in `OTEL_EXPORTER_OTLP_PROTOCOL`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

impl FromStr for Protocol {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Grpc, Self::HttpProtobuf]
            .into_iter()
            .find(|protocol| protocol.as_str() == text)
            .ok_or_else(|| EndpointError::Protocol(text.to_owned()))
    }
}

/// What is done to a request's body before it travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Nothing.
    #[default]
    None,
    /// gzip, which every receiver must understand.
    Gzip,
}

impl Compression {
    /// The compressed bytes; `None` if nothing is to be done.
    pub(crate) fn apply(self, plain: &Bytes) -> Option<Bytes> {
        match self {
            Self::None => None,
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).ok()?;
                encoder.finish().ok().map(Bytes::from)
            }
        }
    }
}

impl FromStr for Compression {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            _ => Err(EndpointError::Compression(text.to_owned())),
        }
    }
}

/// One receiver of OTLP and everything that is needed to speak to it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
    path: String,
    exact: bool,
    pub(crate) protocol: Protocol,
    pub(crate) headers: Headers,
    pub(crate) timeout: Duration,
    pub(crate) compression: Compression,
    pub(crate) tls: tls::Config,
    pub(crate) files: Files,
}

impl Endpoint {
    /// Reads a URL as `OTEL_EXPORTER_OTLP_ENDPOINT` has it: `http://` without and `https://` with TLS; for HTTP a path before which the
    /// signals' paths are put, for gRPC none.
    ///
    /// # Errors
    /// When it is no such URL. The error names the value, unless it holds credentials.
    pub fn parse(url: &str, protocol: Protocol) -> Result<Self, EndpointError> {
        if url.contains('@') {
            return Err(EndpointError::Credentials);
        }
        let invalid = || EndpointError::Url(url.to_owned());
        if !url.contains("://") {
            return Err(EndpointError::NoScheme(url.to_owned()));
        }
        let parts = url.parse::<Uri>().map_err(|_| invalid())?.into_parts();
        let scheme = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS).ok_or_else(invalid)?;
        let authority = parts.authority.filter(|authority| !authority.host().is_empty()).ok_or_else(invalid)?;
        let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
        if path.contains('?') || (protocol == Protocol::Grpc && path != "/") {
            return Err(EndpointError::Path(url.to_owned(), protocol));
        }
        Ok(Self {
            tls: if scheme == Scheme::HTTPS { tls::public()? } else { tls::none()? },
            scheme,
            authority,
            path: path.to_owned(),
            exact: false,
            protocol,
            headers: Headers::default(),
            timeout: DEFAULT_TIMEOUT,
            compression: Compression::None,
            files: Files::default(),
        })
    }

    /// Takes the path of the URL as it stands, for every signal, as the specification demands of the variables that are for one signal only
    /// (`OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`). Means nothing for gRPC.
    pub const fn with_exact_path(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Sends these headers with every request.
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.headers = headers;
        self
    }

    /// Gives up on a request after this time; 10 s unless told otherwise.
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Compresses what is sent; not unless told so.
    pub const fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Trusts only this certificate authority, and shows this certificate; means nothing for `http://`.
    ///
    /// # Errors
    /// When something in there is not what it should be.
    pub fn with_tls(mut self, pem: &Pem) -> Result<Self, EndpointError> {
        if self.is_tls() {
            self.tls = tls::private(pem)?;
        }
        Ok(self)
    }

    /// Uses these files, and reads them again when they change. Those for TLS mean nothing for `http://`.
    ///
    /// # Errors
    /// When one of them cannot be used now.
    pub fn with_files(mut self, files: Files) -> Result<Self, EndpointError> {
        files.read()?;
        self.files = files;
        Ok(self)
    }

    /// Whether connections are private.
    pub(crate) fn is_tls(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Where requests go, for messages: scheme, host and port.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The URL of a signal's requests.
    pub(crate) fn uri(&self, signal: Signal) -> Uri {
        let path = match (self.protocol, self.exact) {
            (Protocol::Grpc, _) => signal.grpc_path().to_owned(),
            (Protocol::HttpProtobuf, true) => self.path.clone(),
            (Protocol::HttpProtobuf, false) => format!("{}{}", self.path.trim_end_matches('/'), signal.http_path()),
        };
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = PathAndQuery::try_from(path).ok();
        Uri::from_parts(parts).unwrap_or_default()
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// No `http://` or `https://` in front.
    #[error("{0:?} has no scheme: write http://{0} or, with TLS, https://{0}")]
    NoScheme(String),
    /// Not a URL, or of another scheme.
    #[error("{0:?} is not a URL of the form http://host:port or https://host:port")]
    Url(String),
    /// A path or query where none can be.
    #[error("{0:?} has a path or query that {protocol} has no place for", protocol = .1.as_str())]
    Path(String, Protocol),
    /// `user:password@`; the value is not repeated.
    #[error("the URL contains credentials: send them as headers")]
    Credentials,
    /// Another protocol.
    #[error("{0:?} is not a protocol that is spoken here: grpc or http/protobuf")]
    Protocol(String),
    /// Another compression.
    #[error("{0:?} is not a compression that is used here: none or gzip")]
    Compression(String),
    /// Certificates or keys.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file of certificates, of a key or of a token.
    #[error(transparent)]
    File(#[from] FileError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str, protocol: Protocol) -> String {
        Endpoint::parse(url, protocol).unwrap().uri(Signal::Logs).to_string()
    }

    #[test]
    fn the_paths_of_signals_are_put_behind_the_url() {
        assert_eq!(uri("http://c:4318", Protocol::HttpProtobuf), "http://c:4318/v1/logs");
        assert_eq!(uri("https://c/otlp/", Protocol::HttpProtobuf), "https://c/otlp/v1/logs");
        assert_eq!(
            uri("http://[::1]:4317/", Protocol::Grpc),
            "http://[::1]:4317/opentelemetry.proto.collector.logs.v1.LogsService/Export"
        );
        let exact = Endpoint::parse("http://c/in", Protocol::HttpProtobuf).unwrap().with_exact_path();
        assert_eq!(exact.uri(Signal::Traces), "http://c/in");
    }

    #[test]
    fn urls_that_cannot_be_used_are_refused_by_name() {
        let refused = |url: &str| Endpoint::parse(url, Protocol::Grpc).unwrap_err().to_string();
        assert_eq!(
            refused("collector:4317"),
            r#""collector:4317" has no scheme: write http://collector:4317 or, with TLS, https://collector:4317"#
        );
        assert!(refused("unix:///run/otlp.sock").starts_with(r#""unix:///run/otlp.sock" is not a URL of the form"#));
        assert!(refused("http://").contains("is not a URL"));
        assert!(refused("http://c:4317/path").contains("grpc has no place for"));
        assert!(refused("http://c:4317?a=b").contains("grpc has no place for"));
        assert!(!refused("http://user:secret@c:4317").contains("secret"));
    }

    #[test]
    fn words_of_the_environment_are_read_or_refused_by_name() {
        assert_eq!("http/protobuf".parse::<Protocol>().unwrap(), Protocol::HttpProtobuf);
        assert!("http/json".parse::<Protocol>().unwrap_err().to_string().contains("http/json"));
        assert_eq!("gzip".parse::<Compression>().unwrap(), Compression::Gzip);
        assert!("zstd".parse::<Compression>().unwrap_err().to_string().contains("zstd"));
    }
}
