//! Who may report and read: everyone, whoever shows one of the tokens, or a service account. Decided from a request's head, before any of its
//! body is read.
//!
//! [`Guard`] knows what is given to us; [`accounts`] asks Kubernetes. What a listener demands of connections is the business of
//! [`crate::tls`].

pub(crate) mod accounts;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use http::{HeaderMap, header};
use lifecycle::pull::NodeName;
use subtle::{Choice, ConstantTimeEq as _};
use thiserror::Error;

use self::accounts::Accounts;
use crate::files::Watched;

/// Most tokens that are valid at a time.
pub(crate) const MAX_TOKENS: usize = 16;

/// Who is let in.
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    /// Everyone who can connect.
    Everyone,
    /// Whoever shows a token.
    Token(Arc<Tokens>),
}

/// How agents are known.
#[derive(Clone, Debug)]
pub(crate) enum Agents {
    /// As readers are.
    Guard(Guard),
    /// By service accounts, each of one node.
    Accounts(Arc<Accounts>),
}

/// For whom someone who was let in may speak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// For every node.
    All,
    /// For this node alone.
    Of(NodeName),
}

/// Tokens to compare with: some that are given, some in a file that may rotate.
pub(crate) struct Tokens {
    given: Vec<String>,
    file: Option<(PathBuf, Watched<Arc<[String]>>)>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(..)")
    }
}

/// Why someone is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Denied {
    /// No `authorization` at all.
    #[error("no token: send the header authorization: Bearer TOKEN")]
    NoToken,
    /// An `authorization` of another form.
    #[error("the authorization is not of the form Bearer TOKEN")]
    NotBearer,
    /// Not one of the tokens.
    #[error("the token is not one of those that are valid here")]
    WrongToken,
    /// The token of a service account that may not report.
    #[error("the token's service account is none of those that may report")]
    ForeignAccount,
    /// The token of no node.
    #[error("the token is bound to no node; it must be a projected one of a pod, of Kubernetes 1.30 or later")]
    Unbound,
    /// Nobody can say whose the token is.
    #[error("the token cannot be checked now, because the Kubernetes API does not answer; send the request again")]
    Unchecked,
}

/// What someone who is not let in can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    /// Show another token.
    Unknown,
    /// Nothing.
    Forbidden,
    /// Come back.
    Later,
}

/// Tokens that cannot be used. Says no token.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] otlp::FileError),
    /// It holds none, or what is none.
    #[error("{path:?} must hold 1 to {MAX_TOKENS} tokens, one a line, of printable ASCII without blanks")]
    File {
        /// Which file.
        path: PathBuf,
    },
    /// The variable holds none, or what is none.
    #[error("1 to {MAX_TOKENS} tokens with commas between, of printable ASCII without blanks")]
    Given,
}

impl Denied {
    /// The word for labels.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::NotBearer => "not_bearer",
            Self::WrongToken => "wrong_token",
            Self::ForeignAccount => "foreign_account",
            Self::Unbound => "unbound_token",
            Self::Unchecked => "unchecked_token",
        }
    }

    /// What can be done about it.
    pub(crate) const fn grade(self) -> Grade {
        match self {
            Self::NoToken | Self::NotBearer | Self::WrongToken => Grade::Unknown,
            Self::ForeignAccount | Self::Unbound => Grade::Forbidden,
            Self::Unchecked => Grade::Later,
        }
    }
}

impl Agents {
    /// Lets a request in and says for whom it may speak, or says why not.
    ///
    /// # Errors
    /// When its head does not show what is demanded, or nobody can say so.
    pub(crate) async fn admit(&self, headers: &HeaderMap) -> Result<Speaker, Denied> {
        match self {
            Self::Guard(guard) => guard.admit(headers).map(|()| Speaker::All),
            Self::Accounts(accounts) => accounts.admit(bearer(headers)?).await.map(Speaker::Of),
        }
    }
}

impl Guard {
    /// Demands one of these tokens, with commas between, or of those in this file, one a line; nothing of anyone if there are neither.
    ///
    /// # Errors
    /// When the file or the text holds no tokens.
    pub(crate) fn new(given: Option<&str>, file: Option<&Path>) -> Result<Self, TokenError> {
        if given.is_none() && file.is_none() {
            return Ok(Self::Everyone);
        }
        let given = given.map(|text| tokens(text.split(',')).ok_or(TokenError::Given)).transpose()?.unwrap_or_default();
        let watched = |path: &Path| Watched::new(vec![path.to_owned()], || read(path)).map(|held| (path.to_owned(), held));
        Ok(Self::Token(Arc::new(Tokens { given, file: file.map(watched).transpose()? })))
    }

    /// Lets a request in, or says why not.
    ///
    /// # Errors
    /// When its head does not show what is demanded.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), Denied> {
        match self {
            Self::Everyone => Ok(()),
            Self::Token(tokens) => tokens.include(bearer(headers)?).then_some(()).ok_or(Denied::WrongToken),
        }
    }
}

impl Tokens {
    /// Compares with every token in a time that says nothing about their contents.
    fn include(&self, shown: &str) -> bool {
        let of_file = self.file.as_ref().map(|(path, held)| held.now(|| read(path)));
        let all = self.given.iter().chain(of_file.iter().flat_map(|tokens| tokens.iter()));
        let found = all.fold(Choice::from(0), |found, token| found | token.as_bytes().ct_eq(shown.as_bytes()));
        found.into()
    }
}

/// The token that a request shows.
fn bearer(headers: &HeaderMap) -> Result<&str, Denied> {
    let shown = headers.get(header::AUTHORIZATION).ok_or(Denied::NoToken)?;
    let (scheme, token) = shown.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(Denied::NotBearer)?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).ok_or(Denied::NotBearer)
}

fn read(path: &Path) -> Result<Arc<[String]>, TokenError> {
    let bytes = otlp::read_file(path)?;
    let read = str::from_utf8(&bytes).ok().and_then(|text| tokens(text.lines()));
    read.map(Arc::from).ok_or_else(|| TokenError::File { path: path.to_owned() })
}

/// What stands in these pieces, if each is a token or nothing.
fn tokens<'a>(pieces: impl Iterator<Item = &'a str>) -> Option<Vec<String>> {
    let found: Vec<_> = pieces.map(str::trim).filter(|piece| !piece.is_empty()).map(str::to_owned).collect();
    let fits = (1..=MAX_TOKENS).contains(&found.len()) && found.iter().all(|token| token.bytes().all(|b| b.is_ascii_graphic()));
    fits.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(guard: &Guard, authorization: &str) -> Result<(), Denied> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        guard.admit(&headers)
    }

    #[test]
    fn only_whoever_shows_a_token_is_let_in_and_the_others_hear_why_not() {
        let guard = Guard::new(Some("first, second"), None).unwrap();
        assert_eq!(guard.admit(&HeaderMap::new()), Err(Denied::NoToken));
        for (authorization, told) in [
            ("Bearer first", Ok(())),
            ("bearer second", Ok(())),
            ("Bearer first, second", Err(Denied::WrongToken)),
            ("Bearer ", Err(Denied::WrongToken)),
            ("Bearer", Err(Denied::NotBearer)),
            ("Basic first", Err(Denied::NotBearer)),
            ("first", Err(Denied::NotBearer)),
        ] {
            assert_eq!(ask(&guard, authorization), told, "{authorization}");
        }
        assert_eq!(Guard::new(None, None).unwrap().admit(&HeaderMap::new()), Ok(()));
    }

    #[test]
    fn tokens_of_a_file_rotate_and_a_broken_file_leaves_the_old_ones() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        std::fs::write(&path, "old\n").unwrap();
        let guard = Guard::new(None, Some(&path)).unwrap();
        assert_eq!((ask(&guard, "Bearer old"), ask(&guard, "Bearer new")), (Ok(()), Err(Denied::WrongToken)));
        std::fs::write(&path, "old\nnew\n").unwrap();
        assert_eq!((ask(&guard, "Bearer old"), ask(&guard, "Bearer new")), (Ok(()), Ok(())));
        std::fs::write(&path, "newer token\n").unwrap();
        assert_eq!(ask(&guard, "Bearer new"), Ok(()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(ask(&guard, "Bearer new"), Ok(()));
        std::fs::write(&path, "newest").unwrap();
        assert_eq!((ask(&guard, "Bearer new"), ask(&guard, "Bearer newest")), (Err(Denied::WrongToken), Ok(())));
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_told() {
        for text in ["", " , ", "two words", "\u{e4}"] {
            assert!(Guard::new(Some(text), None).is_err(), "{text:?}");
        }
        assert!(!format!("{:?}", Guard::new(Some("secret"), None).unwrap()).contains("secret"));
    }
}
