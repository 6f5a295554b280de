//! Certificates of an authority that exists for one test, as the files that programs want.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// An authority that nobody trusts unless told to.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

/// The files of one who can prove who it is.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one; its files come into `folder`, which is made if it is not there.
    ///
    /// # Panics
    /// When the folder cannot be written to.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("no name is a good list of names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("keys can be made")).expect("it signs");
        fs::create_dir_all(folder).expect("the folder can be made");
        let authority = Self { issuer, folder: folder.to_owned() };
        fs::write(authority.certificate(), authority.issuer.pem()).expect("the folder is writable");
        authority
    }

    /// Its own certificate, by which it is trusted: `ca.pem`, as Docker calls it.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// An identity for names or addresses, in `<file>.pem` and `<key>.pem` of the folder.
    ///
    /// # Panics
    /// When one of them is no name, or the folder cannot be written to.
    #[must_use]
    pub fn identity(&self, names: &[&str], file: &str, key: &str) -> Identity {
        let path = |name: &str| self.folder.join(format!("{name}.pem"));
        let identity = Identity { certificate: path(file), key: path(key) };
        let pair = KeyPair::generate().expect("keys can be made");
        let params =
            CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).expect("they are names");
        let certificate = params.signed_by(&pair, &self.issuer).expect("it signs");
        fs::write(&identity.certificate, certificate.pem()).expect("the folder is writable");
        fs::write(&identity.key, pair.serialize_pem()).expect("the folder is writable");
        identity
    }
}
