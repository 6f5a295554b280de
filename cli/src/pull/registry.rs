//! Reads an image's manifest from its registry, because the Engine tells sizes only when bytes come. Reads nothing else, writes nothing, and
//! every answer is bounded and held against its digest. That it may fail is no matter: then totals are lower bounds.
//!
//! As the OCI distribution specification has it: `GET /v2/<name>/manifests/<reference>` (and `/blobs/` for the configuration), answered by a challenge (Bearer or Basic) where the
//! registry wants to know who asks. Registries on loopback, and those the Engine calls insecure, are spoken to without verified TLS, and in
//! plain HTTP where TLS fails: as the Engine itself does.

use std::{
    net::{IpAddr, ToSocketAddrs as _},
    path::Path,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lifecycle::{
    image::{Digest, ImageRef},
    pull::ErrorClass,
};
use serde::Deserialize;
use thiserror::Error;
use ureq::{
    Agent,
    http::{Response, StatusCode, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

use super::{
    manifest::{Answer, Manifest, ManifestError, diff_ids},
    platform::Platform,
};
use crate::docker::Credentials;

/// Largest manifest that is read, bytes, as registries have it.
const MAX_MANIFEST: u64 = 4 << 20;
/// Largest answer with a token that is read, bytes.
const MAX_TOKEN: u64 = 64 << 10;
/// All of it within this time; later it would be of no use.
const WHOLE: Duration = Duration::from_secs(20);
/// A connection within this time.
const CONNECT: Duration = Duration::from_secs(5);
/// What can be read here.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Where images of `docker.io` are.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// Who asks for a token.
const CLIENT: &str = "pulltrace";
/// Certificates of registries, one folder for each host, as Docker has them.
const CERTIFICATES: &str = "/etc/docker/certs.d";

/// What is to be read, and who reads it.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The image.
    pub(crate) image: ImageRef,
    /// For an Engine of this platform.
    pub(crate) platform: Platform,
    /// What opens the registry.
    pub(crate) credentials: Option<Credentials>,
    /// Registries and networks that may be spoken to without verified TLS, by the Engine's word.
    pub(crate) insecure: Vec<String>,
}

/// Why there is no manifest.
#[derive(Debug, Error)]
pub(crate) enum RegistryError {
    #[error("the registry {host} cannot be reached: {source}")]
    Network { host: String, source: Box<ureq::Error> },
    #[error("the registry answers {0}")]
    Status(StatusCode),
    #[error("the registry asks for a kind of sign-in that is not known here")]
    Challenge,
    #[error("what came is not what its digest says")]
    Digest,
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Reads the manifest. Blocks.
///
/// # Errors
/// When the registry does not answer, refuses, or says something that cannot be.
pub(crate) fn read(question: &Question) -> Result<Manifest, RegistryError> {
    ask(question, |client| client.manifest())
}

/// Reads the manifest, and from the configuration the digests of the unpacked layers. Blocks.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_whole(question: &Question) -> Result<(Manifest, Vec<Digest>), RegistryError> {
    ask(question, |client| {
        let manifest = client.manifest()?;
        let (bytes, _) = client.document("blobs", manifest.config.as_str(), Some(&manifest.config))?;
        Ok((manifest, diff_ids(&bytes)?))
    })
}

/// Why the registry does not give a layer of the image, if it does not: containerd's image store tells only the words of a refusal, not
/// its kind. Blocks; reads nothing of it.
pub(crate) fn refusal(question: &Question) -> Option<ErrorClass> {
    let refused = ask(question, |client| {
        let manifest = client.manifest()?;
        let Some(blob) = manifest.layers.first() else { return Ok(None) };
        let status = client.ask("blobs", blob.digest.as_str())?.status();
        Ok((!status.is_success()).then_some(RegistryError::Status(status)))
    });
    refused.map_or_else(|error| Some(error.class()), |refused| refused.map(|error| error.class()))
}

impl RegistryError {
    /// What kind of error it is.
    pub(crate) const fn class(&self) -> ErrorClass {
        match self {
            Self::Network { .. } => ErrorClass::Connection,
            Self::Status(status) => match status.as_u16() {
                401 => ErrorClass::Unauthorized,
                403 => ErrorClass::Forbidden,
                404 => ErrorClass::NotFound,
                429 => ErrorClass::RateLimited,
                500.. => ErrorClass::RegistryUnavailable,
                0..500 => ErrorClass::Other,
            },
            Self::Challenge => ErrorClass::Unauthorized,
            Self::Digest => ErrorClass::DigestMismatch,
            Self::Manifest(ManifestError::Platform) => ErrorClass::PlatformMismatch,
            Self::Manifest(ManifestError::Json | ManifestError::Bounds) => ErrorClass::Other,
        }
    }
}

/// Asks over verified TLS, or as the registry is spoken to.
fn ask<T>(question: &Question, what: impl Fn(&mut Client<'_>) -> Result<T, RegistryError>) -> Result<T, RegistryError> {
    let host = match question.image.registry() {
        "docker.io" => DOCKER_HUB,
        other => other,
    };
    let insecure = is_insecure(question.image.registry(), &question.insecure);
    let mut client = Client { agent: agent(host, insecure), host, question, scheme: "https", authorization: None };
    match what(&mut client) {
        Err(RegistryError::Network { .. }) if insecure => {
            client.scheme = "http";
            what(&mut client)
        }
        done => done,
    }
}

struct Client<'a> {
    agent: Agent,
    host: &'a str,
    question: &'a Question,
    scheme: &'static str,
    authorization: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// What a registry wants to know.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Client<'_> {
    fn manifest(&mut self) -> Result<Manifest, RegistryError> {
        let image = &self.question.image;
        let pinned = image.digest().cloned();
        let reference = pinned.as_ref().map_or_else(|| image.tag().unwrap_or("latest"), Digest::as_str).to_owned();
        let (bytes, top) = self.document("manifests", &reference, pinned.as_ref())?;
        let answer = match Answer::parse(&bytes, &self.question.platform)? {
            Answer::Elsewhere(digest) => {
                let (bytes, _) = self.document("manifests", digest.as_str(), Some(&digest))?;
                Answer::parse(&bytes, &self.question.platform)?
            }
            image @ Answer::Image { .. } => image,
        };
        match answer {
            Answer::Image { config, layers } => Ok(Manifest { top, config, layers }),
            Answer::Elsewhere(_) => Err(ManifestError::Json.into()),
        }
    }

    /// A document and its digest, held against the one that was asked for.
    fn document(&mut self, kind: &str, reference: &str, expected: Option<&Digest>) -> Result<(Vec<u8>, Digest), RegistryError> {
        let mut response = self.ask(kind, reference)?;
        if response.status() == StatusCode::UNAUTHORIZED && self.authorization.is_none() {
            let challenges: Vec<&str> =
                response.headers().get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
            let challenge = challenges.iter().find_map(|text| Challenge::parse(text)).ok_or(RegistryError::Challenge)?;
            self.authorization = Some(self.authorize(&challenge)?);
            response = self.ask(kind, reference)?;
        }
        if !response.status().is_success() {
            return Err(RegistryError::Status(response.status()));
        }
        let bytes = response.body_mut().with_config().limit(MAX_MANIFEST).read_to_vec().map_err(|error| self.network(error))?;
        let digest = Digest::of(&bytes);
        match expected {
            // Others than SHA-256 are not reckoned here; the Engine holds them against its own.
            Some(expected) if expected.algorithm() == digest.algorithm() && *expected != digest => Err(RegistryError::Digest),
            Some(expected) => Ok((bytes, expected.clone())),
            None => Ok((bytes, digest)),
        }
    }

    fn ask(&self, kind: &str, reference: &str) -> Result<Response<ureq::Body>, RegistryError> {
        let url = format!("{}://{}/v2/{}/{kind}/{reference}", self.scheme, self.host, self.question.image.repository());
        let mut request = self.agent.get(url).header(header::ACCEPT, ACCEPT);
        if kind == "blobs" {
            request = request.header(header::RANGE, format!("bytes=0-{}", MAX_MANIFEST - 1));
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.call().map_err(|error| self.network(error))
    }

    /// What answers a challenge.
    fn authorize(&self, challenge: &Challenge) -> Result<String, RegistryError> {
        let basic = match &self.question.credentials {
            Some(Credentials::Password { user, secret }) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", secret.expose()))))
            }
            Some(Credentials::IdentityToken(_)) | None => None,
        };
        match challenge {
            Challenge::Basic => basic.ok_or(RegistryError::Status(StatusCode::UNAUTHORIZED)),
            Challenge::Bearer { realm, service, scope } => {
                // Credentials are not sent in the open to where a registry points, unless it is in the open itself.
                if !realm.starts_with("https://") && self.scheme == "https" {
                    return Err(RegistryError::Challenge);
                }
                let own = format!("repository:{}:pull", self.question.image.repository());
                let scope = scope.as_deref().unwrap_or(&own);
                let service = service.as_deref().unwrap_or_default();
                self.token(realm, service, scope, basic.as_deref())
            }
        }
    }

    fn token(&self, realm: &str, service: &str, scope: &str, basic: Option<&str>) -> Result<String, RegistryError> {
        let answer = match &self.question.credentials {
            Some(Credentials::IdentityToken(secret)) => self.agent.post(realm).send_form([
                ("grant_type", "refresh_token"),
                ("service", service),
                ("client_id", CLIENT),
                ("scope", scope),
                ("refresh_token", secret.expose()),
            ]),
            Some(Credentials::Password { .. }) | None => {
                let mut request = self.agent.get(realm).query("service", service).query("scope", scope);
                if let Some(basic) = basic {
                    request = request.header(header::AUTHORIZATION, basic);
                }
                request.call()
            }
        };
        let mut answer = answer.map_err(|error| self.network(error))?;
        if !answer.status().is_success() {
            return Err(RegistryError::Status(answer.status()));
        }
        let text = answer.body_mut().with_config().limit(MAX_TOKEN).read_to_string().map_err(|error| self.network(error))?;
        let token: Token = serde_json::from_str(&text).map_err(|_| RegistryError::Challenge)?;
        let token = token.token.or(token.access_token).ok_or(RegistryError::Challenge)?;
        Ok(format!("Bearer {token}"))
    }

    fn network(&self, error: ureq::Error) -> RegistryError {
        RegistryError::Network { host: self.host.to_owned(), source: Box::new(error) }
    }
}

impl Challenge {
    /// One `WWW-Authenticate` (RFC 9110, 11.6.1).
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            let start = rest.find(&format!("{name}=\""))? + name.len() + 2;
            let value = &rest[start..];
            Some(value[..value.find('"')?].to_owned())
        };
        Some(Self::Bearer { realm: value("realm")?, service: value("service"), scope: value("scope") })
    }
}

fn agent(host: &str, insecure: bool) -> Agent {
    let own = certificates(&Path::new(CERTIFICATES).join(host));
    let system = rustls_native_certs::load_native_certs().certs;
    let roots = own.into_iter().chain(system.iter().map(|der| Certificate::from_der(der).to_owned()));
    let tls = TlsConfig::builder().root_certs(RootCerts::from(roots)).disable_verification(insecure).build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(WHOLE))
        .user_agent(concat!("pulltrace/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls);
    Agent::new_with_config(config.build())
}

/// The certificates of a registry that was given its own.
fn certificates(folder: &Path) -> Vec<Certificate<'static>> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let texts =
        files.filter(|path| path.extension().is_some_and(|ending| ending == "crt")).filter_map(|path| std::fs::read(path).ok());
    let items = |text: Vec<u8>| -> Vec<_> { parse_pem(&text).filter_map(Result::ok).collect() };
    let certificate = |item| if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None };
    texts.flat_map(items).filter_map(certificate).collect()
}

/// Whether a registry may be spoken to without verified TLS: it is on this machine, or the Engine says so.
fn is_insecure(registry: &str, insecure: &[String]) -> bool {
    if insecure.iter().any(|name| name == registry) {
        return true;
    }
    let with_port = if registry.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        registry.to_owned()
    } else {
        format!("{registry}:443")
    };
    let addresses: Vec<IpAddr> = with_port.to_socket_addrs().into_iter().flatten().map(|address| address.ip()).collect();
    let trusted = |address: &IpAddr| address.is_loopback() || insecure.iter().any(|network| contains(network, *address));
    addresses.iter().any(trusted)
}

/// Whether a network in CIDR notation has an address.
fn contains(network: &str, address: IpAddr) -> bool {
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse(), bits.parse::<u32>()) else { return false };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            bits <= 32 && base.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            bits <= 128 && base.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let text =
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.docker.io/token".into(),
            service: Some("registry.docker.io".into()),
            scope: Some("repository:library/nginx:pull".into()),
        };
        assert_eq!(Challenge::parse(text), Some(expected));
        assert_eq!(Challenge::parse(r#"Basic realm="r""#), Some(Challenge::Basic));
        assert_eq!((Challenge::parse("Negotiate"), Challenge::parse("Bearer realm=\"x")), (None, None));
    }

    #[test]
    fn only_loopback_and_what_the_engine_names_is_insecure() {
        let said = ["10.0.0.0/8".to_owned(), "old.example:5000".to_owned()];
        for registry in ["127.0.0.1:5000", "[::1]:5000", "10.1.2.3:5000", "old.example:5000", "localhost"] {
            assert!(is_insecure(registry, &said), "{registry}");
        }
        for registry in ["192.0.2.1:5000", "11.0.0.1"] {
            assert!(!is_insecure(registry, &said), "{registry}");
        }
    }
}
