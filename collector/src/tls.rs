//! Who we are to clients, and whom we let in: rustls with ring, from files that may rotate. Without a client authority everyone may connect.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use thiserror::Error;

use crate::files::Watched;

/// The files of one TLS server, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Our certificate chain.
    pub(crate) certificate: PathBuf,
    /// Its private key.
    pub(crate) key: PathBuf,
    /// Authorities one of which must have signed a client's certificate; if there are none, clients need no certificate.
    pub(crate) client_authority: Option<PathBuf>,
}

/// What a TLS server shows and demands, as the files say now; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    files: TlsFiles,
    held: Arc<Watched<Arc<ServerConfig>>>,
}

/// Files that make no TLS server.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    /// Not there, too large, or not ours to read.
    #[error(transparent)]
    Read(#[from] otlp::FileError),
    /// Not what should be in it.
    #[error("{path:?} holds no {what} in PEM form")]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// They are what they should be, but do not fit together or are not supported.
    #[error("the certificate {path:?} cannot be used: {source}")]
    Rejected {
        /// Which certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The client's authorities cannot be used.
    #[error("the client's authorities cannot be used: {0}")]
    Authority(#[from] VerifierBuilderError),
}

impl Identity {
    /// Reads these files.
    ///
    /// # Errors
    /// When they make no server.
    pub(crate) fn new(files: TlsFiles) -> Result<Self, TlsError> {
        let paths = [Some(&files.certificate), Some(&files.key), files.client_authority.as_ref()];
        let held = Watched::new(paths.into_iter().flatten().cloned().collect(), || files.read())?;
        Ok(Self { files, held: Arc::new(held) })
    }

    /// For the next connection.
    pub(crate) fn now(&self) -> Arc<ServerConfig> {
        self.held.now(|| self.files.read())
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let chain = certificates(&self.certificate)?;
        let no_key = |_| TlsError::Pem { path: self.key.clone(), what: "private key" };
        let key = PrivateKeyDer::from_pem_slice(&otlp::read_file(&self.key)?).map_err(no_key)?;
        let rejected = |source| TlsError::Rejected { path: self.certificate.clone(), source };
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(rejected)?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|source| TlsError::Rejected { path: path.clone(), source })?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(rejected)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// At least one certificate, and nothing that is broken.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = otlp::read_file(path)?;
    let read: Option<Vec<_>> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().ok();
    let none = || TlsError::Pem { path: path.to_owned(), what: "certificate" };
    read.filter(|read| !read.is_empty()).ok_or_else(none)
}
