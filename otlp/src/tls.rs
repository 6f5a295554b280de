//! Whom to trust and who to be, with rustls and ring: either the public certificate authorities, or the one that was given.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use thiserror::Error;

/// A client's side of TLS, ready for use.
pub(crate) type Config = ClientConfig;

/// The contents of the files that `OTEL_EXPORTER_OTLP_CERTIFICATE`, `_CLIENT_CERTIFICATE` and `_CLIENT_KEY` name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Pem {
    /// Certificate authorities to trust instead of the public ones.
    pub authority: Option<Vec<u8>>,
    /// Our certificate chain and its private key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Certificates or keys that cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// No certificate in what should hold the authorities.
    #[error("the file of certificate authorities holds no certificate in PEM form")]
    Authority,
    /// No certificate in what should hold ours.
    #[error("the file of the client's certificate holds no certificate in PEM form")]
    Certificate,
    /// No key in what should hold ours.
    #[error("the file of the client's key holds no private key in PEM form")]
    Key,
    /// They are what they should be, but do not fit together or are not supported.
    #[error("the certificates cannot be used")]
    Rejected(#[from] rustls::Error),
}

/// Trusts nobody: for connections without TLS.
pub(crate) fn none() -> Result<Config, TlsError> {
    config(RootCertStore::empty(), None)
}

/// Trusts the public authorities, which are compiled in.
pub(crate) fn public() -> Result<Config, TlsError> {
    config(public_roots(), None)
}

/// Trusts and shows what was given.
pub(crate) fn private(pem: &Pem) -> Result<Config, TlsError> {
    let roots = match &pem.authority {
        None => public_roots(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(authority).ok_or(TlsError::Authority)? {
                roots.add(certificate)?;
            }
            roots
        }
    };
    let identity = match &pem.identity {
        None => None,
        Some((chain, key)) => Some((
            certificates(chain).ok_or(TlsError::Certificate)?,
            PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?,
        )),
    };
    config(roots, identity)
}

fn config(
    roots: RootCertStore,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<Config, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
    })
}

fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// At least one certificate, and nothing that is broken.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let read: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!read.is_empty()).then_some(read)
}
