//! Where telemetry goes: the `OTEL_EXPORTER_OTLP_*` variables, for all signals and for one, further receivers, and the token. What comes
//! out is a list of routes whose endpoints can be used. What is no secret is named when it is wrong; what is one is never printed.

use std::{collections::BTreeSet, convert::Infallible, fmt, path::PathBuf, str::FromStr, time::Duration};

use lifecycle::wire::Signal;
use otlp::{Compression, Endpoint, EndpointError, FileError, Files, Headers, Protocol, TlsError};

use super::{InvalidError, invalid};

/// Most receivers beside the first.
const MAX_FURTHER: usize = 8;

/// One receiver, and which signals go there.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where to send.
    pub endpoint: Endpoint,
    /// What to send there.
    pub signals: BTreeSet<Signal>,
}

/// A text that is never printed.
#[derive(Clone)]
pub struct Secret(String);

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Everything about OTLP that can be given.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Where to send")]
pub struct OtlpArgs {
    #[command(flatten)]
    common: Common,
    /// Further receivers that get everything too, with commas between: URLs, or PROTOCOL=URL. They get no headers, no token and no certificate of ours
    #[arg(long, env = "PULLTRACE_OTLP_ENDPOINTS", value_delimiter = ',')]
    otlp_endpoints: Vec<String>,
    /// Old name of OTEL_EXPORTER_OTLP_ENDPOINT, taken if that is not given
    #[arg(long, env = "PULLTRACE_SERVER_URL")]
    server_url: Option<String>,
    /// Token to send to the receiver of logs as `authorization: Bearer`, unless the headers say something else
    #[arg(long, env = "PULLTRACE_AGENT_TOKEN", hide_env_values = true, conflicts_with = "agent_token_file")]
    agent_token: Option<Secret>,
    /// File that holds the token; read again when it changes
    #[arg(long, env = "PULLTRACE_AGENT_TOKEN_FILE")]
    agent_token_file: Option<String>,
    #[command(flatten)]
    logs: Logs,
    #[command(flatten)]
    traces: Traces,
    #[command(flatten)]
    metrics: Metrics,
}

/// A value and the variable that it is known by.
type Told<T> = Option<(&'static str, T)>;

/// What was given for all signals or for one.
#[derive(Clone, Debug, Default)]
struct Given {
    endpoint: Told<String>,
    protocol: Told<String>,
    headers: Told<Secret>,
    timeout: Told<String>,
    compression: Told<String>,
    insecure: Told<String>,
    certificate: Told<PathBuf>,
    client_certificate: Told<PathBuf>,
    client_key: Told<PathBuf>,
}

/// The same settings for all signals and for each: names of flags, variables, and whom they are for.
macro_rules! settings {
    ($name:ident, $flag:literal, $whom:literal, env = $endpoint:literal, env = $protocol:literal, env = $headers:literal,
     env = $timeout:literal, env = $compression:literal, env = $insecure:literal, env = $certificate:literal,
     env = $client_certificate:literal, env = $client_key:literal) => {
        #[derive(Clone, Debug, clap::Args)]
        #[group(skip)]
        struct $name {
            #[arg(id = $endpoint, long = concat!($flag, "-endpoint"), env = $endpoint, help = concat!("Receiver of ", $whom))]
            endpoint: Option<String>,
            #[arg(id = $protocol, long = concat!($flag, "-protocol"), env = $protocol,
                  help = concat!("How to send ", $whom, ": grpc or http/protobuf"))]
            protocol: Option<String>,
            #[arg(id = $headers, long = concat!($flag, "-headers"), env = $headers, hide_env_values = true,
                  help = concat!("Headers to send with ", $whom, " (`name=value,name=value`)"))]
            headers: Option<Secret>,
            #[arg(id = $timeout, long = concat!($flag, "-timeout"), env = $timeout,
                  help = concat!("Time after which a request of ", $whom, " counts as failed, milliseconds"))]
            timeout: Option<String>,
            #[arg(id = $compression, long = concat!($flag, "-compression"), env = $compression,
                  help = concat!("Compression of ", $whom, ": none or gzip"))]
            compression: Option<String>,
            #[arg(id = $insecure, long = concat!($flag, "-insecure"), env = $insecure,
                  help = concat!("Whether the receiver of ", $whom, " is spoken to without TLS if its URL has no scheme: true or false"))]
            insecure: Option<String>,
            #[arg(id = $certificate, long = concat!($flag, "-certificate"), env = $certificate,
                  help = concat!("File with the certificate authorities to trust with ", $whom, " (PEM); read again when it changes"))]
            certificate: Option<String>,
            #[arg(id = $client_certificate, long = concat!($flag, "-client-certificate"), env = $client_certificate,
                  help = concat!("File with the certificate to show with ", $whom, " (PEM); read again when it changes"))]
            client_certificate: Option<String>,
            #[arg(id = $client_key, long = concat!($flag, "-client-key"), env = $client_key,
                  help = "File with the key of that certificate (PEM); read again when it changes")]
            client_key: Option<String>,
        }

        impl $name {
            /// What is empty counts as not given, as the specification has it.
            fn given(&self) -> Given {
                let text = |name, text: &Option<String>| text.clone().filter(|text| !text.is_empty()).map(|text| (name, text));
                let file = |name, path| text(name, path).map(|(name, path)| (name, PathBuf::from(path)));
                Given {
                    endpoint: text($endpoint, &self.endpoint),
                    protocol: text($protocol, &self.protocol),
                    headers: self.headers.clone().filter(|secret| !secret.0.is_empty()).map(|headers| ($headers, headers)),
                    timeout: text($timeout, &self.timeout),
                    compression: text($compression, &self.compression),
                    insecure: text($insecure, &self.insecure),
                    certificate: file($certificate, &self.certificate),
                    client_certificate: file($client_certificate, &self.client_certificate),
                    client_key: file($client_key, &self.client_key),
                }
            }
        }
    };
}

settings!(
    Common,
    "otlp",
    "everything",
    env = "OTEL_EXPORTER_OTLP_ENDPOINT",
    env = "OTEL_EXPORTER_OTLP_PROTOCOL",
    env = "OTEL_EXPORTER_OTLP_HEADERS",
    env = "OTEL_EXPORTER_OTLP_TIMEOUT",
    env = "OTEL_EXPORTER_OTLP_COMPRESSION",
    env = "OTEL_EXPORTER_OTLP_INSECURE",
    env = "OTEL_EXPORTER_OTLP_CERTIFICATE",
    env = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    env = "OTEL_EXPORTER_OTLP_CLIENT_KEY"
);
settings!(
    Logs,
    "otlp-logs",
    "logs",
    env = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
    env = "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
    env = "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
    env = "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT",
    env = "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
    env = "OTEL_EXPORTER_OTLP_LOGS_INSECURE",
    env = "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
    env = "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
    env = "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY"
);
settings!(
    Traces,
    "otlp-traces",
    "traces",
    env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    env = "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    env = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    env = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    env = "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
    env = "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    env = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    env = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY"
);
settings!(
    Metrics,
    "otlp-metrics",
    "metrics",
    env = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    env = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    env = "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    env = "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    env = "OTEL_EXPORTER_OTLP_METRICS_COMPRESSION",
    env = "OTEL_EXPORTER_OTLP_METRICS_INSECURE",
    env = "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
    env = "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
    env = "OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY"
);

impl OtlpArgs {
    /// Checks everything that was given. One route for the signals that share a receiver, one for each that has settings of its own, and
    /// one for each further receiver.
    ///
    /// # Errors
    /// For the first value that cannot be used.
    pub fn routes(&self) -> Result<Vec<Route>, InvalidError> {
        let mut common = self.common.given();
        let old_name = self.server_url.clone().filter(|url| !url.is_empty()).map(|url| ("PULLTRACE_SERVER_URL", url));
        common.endpoint = common.endpoint.or(old_name);
        let signals =
            [(Signal::Logs, self.logs.given()), (Signal::Traces, self.traces.given()), (Signal::Metrics, self.metrics.given())];
        let collector = signals[0].1.clone().or(&common).parse()?.origin();
        let mut routes = Vec::new();
        let shared: BTreeSet<_> = signals.iter().filter(|(_, given)| given.is_empty()).map(|(signal, _)| *signal).collect();
        if !shared.is_empty() {
            routes.push(Route { endpoint: self.endpoint(&common, &collector)?, signals: shared });
        }
        for (signal, given) in signals.into_iter().filter(|(_, given)| !given.is_empty()) {
            let exact = given.endpoint.is_some();
            let endpoint = self.endpoint(&given.or(&common), &collector)?;
            let endpoint = if exact { endpoint.with_exact_path() } else { endpoint };
            routes.push(Route { endpoint, signals: BTreeSet::from([signal]) });
        }
        routes.extend(self.further(&common)?);
        Ok(routes)
    }

    /// With everything that belongs to it. The token is for the receiver of logs, `collector`, and whatever else goes to the same place.
    fn endpoint(&self, given: &Given, collector: &str) -> Result<Endpoint, InvalidError> {
        let endpoint = given.parse()?;
        let (name, headers) = given.headers.as_ref().map_or(("", ""), |(name, headers)| (*name, headers.0.as_str()));
        let mut headers = Headers::parse(headers).map_err(|e| invalid(name, "(secret)", e))?;
        let identity = match (&given.client_certificate, &given.client_key) {
            (Some((_, certificate)), Some((_, key))) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            (Some((name, path)), None) | (None, Some((name, path))) => {
                return Err(invalid(name, &path.display().to_string(), "a certificate and its key belong together"));
            }
        };
        let wants_token = endpoint.origin() == collector && !headers.have_authorization();
        if let Some(token) = self.agent_token.as_ref().filter(|token| wants_token && !token.0.trim().is_empty()) {
            headers = headers.with_bearer(token.0.trim()).map_err(|e| invalid("PULLTRACE_AGENT_TOKEN", "(secret)", e))?;
        }
        let token = self.agent_token_file.as_ref().filter(|path| wants_token && !path.is_empty()).map(PathBuf::from);
        let files = Files { authority: given.certificate.as_ref().map(|(_, path)| path.clone()), identity, token };
        endpoint.with_headers(headers).with_files(files).map_err(|error| given.bad_file(&error))
    }

    fn further(&self, common: &Given) -> Result<Vec<Route>, InvalidError> {
        const NAME: &str = "PULLTRACE_OTLP_ENDPOINTS";
        let given: Vec<_> = self.otlp_endpoints.iter().map(|url| url.trim()).filter(|url| !url.is_empty()).collect();
        if given.len() > MAX_FURTHER {
            return Err(invalid(NAME, &given.join(","), format!("at most {MAX_FURTHER} are allowed")));
        }
        let route = |text: &str| {
            let (protocol, url) = text
                .split_once('=')
                .map_or((common.protocol.clone(), text), |(protocol, url)| (Some((NAME, protocol.to_owned())), url));
            let common = Given { headers: None, client_certificate: None, client_key: None, ..common.clone() };
            let given = Given { endpoint: Some((NAME, url.to_owned())), protocol, ..common };
            let files = Files { authority: given.certificate.as_ref().map(|(_, path)| path.clone()), ..Files::default() };
            let endpoint = given.parse()?.with_files(files).map_err(|error| given.bad_file(&error))?;
            Ok(Route { endpoint, signals: Signal::ALL.into() })
        };
        given.into_iter().map(route).collect()
    }
}

impl Given {
    fn is_empty(&self) -> bool {
        let Self { endpoint, protocol, headers, timeout, compression, insecure, certificate, client_certificate, client_key } =
            self;
        endpoint.is_none()
            && headers.is_none()
            && [protocol, timeout, compression, insecure].into_iter().all(Option::is_none)
            && [certificate, client_certificate, client_key].into_iter().all(Option::is_none)
    }

    /// This, and of `common` what this does not say.
    fn or(self, common: &Self) -> Self {
        let common = common.clone();
        Self {
            endpoint: self.endpoint.or(common.endpoint),
            protocol: self.protocol.or(common.protocol),
            headers: self.headers.or(common.headers),
            timeout: self.timeout.or(common.timeout),
            compression: self.compression.or(common.compression),
            insecure: self.insecure.or(common.insecure),
            certificate: self.certificate.or(common.certificate),
            client_certificate: self.client_certificate.or(common.client_certificate),
            client_key: self.client_key.or(common.client_key),
        }
    }

    /// The endpoint without headers and files.
    fn parse(&self) -> Result<Endpoint, InvalidError> {
        let protocol = parsed(self.protocol.as_ref())?.unwrap_or(Protocol::Grpc);
        let compression: Compression = parsed(self.compression.as_ref())?.unwrap_or_default();
        let insecure = match &self.insecure {
            None => None,
            Some((name, text)) => {
                let is = text.to_ascii_lowercase().parse::<bool>();
                Some(is.map_err(|_| invalid(name, text, "true and false are allowed"))?)
            }
        };
        let usual = match protocol {
            Protocol::Grpc => "http://127.0.0.1:4317",
            Protocol::HttpProtobuf => "http://127.0.0.1:4318",
        };
        let (name, url) =
            self.endpoint.as_ref().map_or(("OTEL_EXPORTER_OTLP_ENDPOINT", usual), |(name, url)| (*name, url.as_str()));
        let full = match insecure {
            Some(insecure) if protocol == Protocol::Grpc && !url.contains("://") => {
                format!("{}://{url}", if insecure { "http" } else { "https" })
            }
            Some(_) | None => url.to_owned(),
        };
        let shown = if url.contains('@') { "(secret)" } else { url };
        let mut endpoint = Endpoint::parse(&full, protocol).map_err(|e| invalid(name, shown, e))?.with_compression(compression);
        if let Some((name, text)) = &self.timeout {
            let millis = text.parse().ok().filter(|millis| (1..=600_000).contains(millis));
            let millis = millis.ok_or_else(|| invalid(name, text, "milliseconds between 1 and 600000 are allowed"))?;
            endpoint = endpoint.with_timeout(Duration::from_millis(millis));
        }
        Ok(endpoint)
    }

    /// Names the variable of a file that cannot be used.
    fn bad_file(&self, error: &EndpointError) -> InvalidError {
        let files = [&self.certificate, &self.client_certificate, &self.client_key];
        let file = match error {
            EndpointError::File(FileError::Read { path, .. }) => files.into_iter().flatten().find(|(_, known)| known == path),
            EndpointError::File(FileError::Tls(TlsError::Authority)) => self.certificate.as_ref(),
            EndpointError::File(FileError::Tls(TlsError::Certificate | TlsError::Rejected(_))) => {
                self.client_certificate.as_ref().or(self.certificate.as_ref())
            }
            EndpointError::File(FileError::Tls(TlsError::Key)) => self.client_key.as_ref(),
            EndpointError::File(FileError::Token { .. })
            | EndpointError::NoScheme(_)
            | EndpointError::Url(_)
            | EndpointError::Path(..)
            | EndpointError::Credentials
            | EndpointError::Protocol(_)
            | EndpointError::Compression(_)
            | EndpointError::Tls(_) => None,
        };
        match file {
            Some((name, path)) => invalid(name, &path.display().to_string(), error),
            None => invalid("PULLTRACE_AGENT_TOKEN_FILE", "(file)", error),
        }
    }
}

fn parsed<T: FromStr<Err = EndpointError>>(told: Option<&(&'static str, String)>) -> Result<Option<T>, InvalidError> {
    told.map(|(name, text)| text.parse().map_err(|e| invalid(name, text, e))).transpose()
}

#[cfg(test)]
#[path = "otlp/tests.rs"]
mod tests;
