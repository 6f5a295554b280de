//! Files that change while we run: certificates, keys and the token. Looked at before every request, read when they are other files than
//! before, so that what rotates (a projected token is swapped by a symbolic link) is used at once and no timer is needed. What they hold
//! is never printed.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{
    headers::{Headers, HeadersError},
    tls::{self, Pem, TlsError},
};

/// Largest file that is read, bytes: a bundle of all public authorities is a quarter of it.
const MAX_FILE: u64 = 1 << 20;

/// Which files to use; none unless named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Certificate authorities to trust instead of the public ones, PEM.
    pub authority: Option<PathBuf>,
    /// Our certificate chain and its private key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The token to send as `authorization: Bearer`, if no other authorization is sent.
    pub token: Option<PathBuf>,
}

/// A file that cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// Not there, too large, or not ours to read.
    #[error("{path:?} cannot be read: {problem}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: io::Error,
    },
    /// Certificates and keys that are none.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A token that cannot be sent.
    #[error("{path:?} holds no token: {problem}")]
    Token {
        /// Which file.
        path: PathBuf,
        /// Why.
        problem: HeadersError,
    },
}

/// What the files held when they were last read.
pub(crate) struct Held {
    pub(crate) tls: Option<tls::Config>,
    pub(crate) token: Option<Headers>,
    /// What `tls` was made of.
    pem: Pem,
    stamps: Vec<Option<Stamp>>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Held(..)")
    }
}

/// What tells a file from the one that was there before: device, inode, time of change in seconds and nanoseconds, size.
pub type Stamp = (u64, u64, i64, i64, u64);

/// What tells this file from the one that was there before; `None` if there is none.
pub fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino(), m.ctime(), m.ctime_nsec(), m.size()))
}

impl Files {
    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths().next().is_none()
    }

    /// What they hold now.
    pub(crate) fn read(&self) -> Result<Held, FileError> {
        // Before reading: what changes while it is read is read again.
        let stamps = self.stamps();
        let identity = match &self.identity {
            Some((certificate, key)) => Some((read_file(certificate)?, read_file(key)?)),
            None => None,
        };
        let pem = Pem { authority: self.authority.as_deref().map(read_file).transpose()?, identity };
        let tls = (pem.authority.is_some() || pem.identity.is_some()).then(|| tls::private(&pem)).transpose()?;
        let token = self.token.as_ref().map(|path| token(path)).transpose()?;
        Ok(Held { tls, token, pem, stamps })
    }

    /// Whether they are still the files that were read.
    pub(crate) fn are(&self, held: &Held) -> bool {
        self.stamps() == held.stamps
    }

    fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(certificate, key)| [certificate, key]);
        self.authority.iter().chain(identity).chain(&self.token)
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.paths().map(|path| stamp(path)).collect()
    }
}

impl Held {
    /// Whether connections made with either are the same.
    pub(crate) fn same_tls(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| self.pem == other.pem)
    }

    /// Makes the next look read them again, whatever they seem to be.
    pub(crate) fn distrust(&mut self) {
        self.stamps.clear();
    }
}

/// The contents of a file of at most a mebibyte.
///
/// # Errors
/// When it is not there, larger, or not ours to read.
pub fn read_file(path: &Path) -> Result<Vec<u8>, FileError> {
    let read = || {
        if fs::metadata(path)?.len() > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than a mebibyte"));
        }
        fs::read(path)
    };
    read().map_err(|problem| FileError::Read { path: path.to_owned(), problem })
}

fn token(path: &Path) -> Result<Headers, FileError> {
    let told = |problem| FileError::Token { path: path.to_owned(), problem };
    let bytes = read_file(path)?;
    let text = str::from_utf8(&bytes).map_err(|_| told(HeadersError::Value(1)))?.trim();
    if text.is_empty() {
        return Err(told(HeadersError::Value(1)));
    }
    Headers::default().with_bearer(text).map_err(told)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn bearer(held: &Held) -> &str {
        held.token.as_ref().unwrap().as_map()["authorization"].to_str().unwrap()
    }

    #[test]
    fn a_token_that_is_swapped_by_a_symbolic_link_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["1", "2"] {
            fs::create_dir(folder.path().join(version)).unwrap();
            fs::write(folder.path().join(version).join("token"), format!("secret-{version}\n")).unwrap();
        }
        symlink("1", folder.path().join("data")).unwrap();
        symlink("data/token", folder.path().join("token")).unwrap();
        let files = Files { token: Some(folder.path().join("token")), ..Files::default() };
        let held = files.read().unwrap();
        assert_eq!((bearer(&held), files.are(&held)), ("Bearer secret-1", true));
        symlink("2", folder.path().join("next")).unwrap();
        fs::rename(folder.path().join("next"), folder.path().join("data")).unwrap();
        assert!(!files.are(&held));
        assert_eq!(bearer(&files.read().unwrap()), "Bearer secret-2");
        fs::remove_file(folder.path().join("data")).unwrap();
        assert!(!files.are(&held) && files.read().is_err());
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let told = |contents: &[u8]| {
            fs::write(&path, contents).unwrap();
            Files { token: Some(path.clone()), ..Files::default() }.read().unwrap_err().to_string()
        };
        for contents in [&b""[..], b" \n", b"secret\nsecret", b"secret\xff", &[b's'; 1 + (1 << 20)]] {
            let told = told(contents);
            assert!(told.contains("token\"") && !told.contains("secret"), "{told}");
        }
        assert!(!format!("{:?}", Files::default().read().unwrap()).contains("token"));
    }
}
