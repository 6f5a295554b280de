//! Who asks a registry: what `docker login` left in `config.json`, or the credential helper that it names. A secret is a type of its own that
//! cannot be printed; it goes to the Engine and to the registry it belongs to, and nowhere else.

use std::{collections::BTreeMap, fmt, io, path::Path, process::Stdio, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use thiserror::Error;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use super::place::read;

/// Under this name Docker keeps the credentials of its own registry.
const DOCKER_IO: &str = "https://index.docker.io/v1/";
/// A helper that has not answered within this time does not.
const HELPER: Duration = Duration::from_secs(30);
/// By this name a helper says that the secret is an identity token (docker-credential-helpers).
const TOKEN: &str = "<token>";
/// What a helper says when it knows nothing.
const UNKNOWN: &str = "credentials not found";

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text itself; for the one who is to get it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// What opens a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// A name and a password.
    Password {
        /// Who.
        user: String,
        /// With what.
        secret: Secret,
    },
    /// What a registry's sign-in gave.
    IdentityToken(Secret),
}

/// Why credentials that are promised are not to be had.
#[derive(Debug, Error)]
pub(crate) enum CredentialError {
    #[error("cannot read Docker's config.json: {0}")]
    Read(io::Error),
    #[error("Docker's config.json is not valid")]
    Json,
    #[error("cannot run {helper}, which Docker's config.json names: {source}")]
    Helper { helper: String, source: io::Error },
    #[error("{0}, which Docker's config.json names, gives no credentials")]
    Answer(String),
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    auths: BTreeMap<String, Entry>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The credentials for a registry by its host, from the folder of Docker's configuration; `None` if there are none.
///
/// # Errors
/// When the configuration promises some that cannot be had.
pub(crate) async fn find(config: Option<&Path>, registry: &str) -> Result<Option<Credentials>, CredentialError> {
    let Some(config) = config else { return Ok(None) };
    let text = match read(&config.join("config.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CredentialError::Read(error)),
    };
    // Which error it is would show what stands there.
    let file: File = serde_json::from_str(&text).map_err(|_| CredentialError::Json)?;
    let server = if registry == "docker.io" { DOCKER_IO } else { registry };
    let helper = file.cred_helpers.get(server).or_else(|| file.cred_helpers.get(registry)).unwrap_or(&file.creds_store);
    if !helper.is_empty() {
        return ask(helper, server).await;
    }
    let entry = file.auths.get(server).or_else(|| file.auths.iter().find(|(name, _)| host(name) == registry).map(|(_, e)| e));
    Ok(entry.and_then(Entry::credentials))
}

impl Entry {
    fn credentials(&self) -> Option<Credentials> {
        if !self.identitytoken.is_empty() {
            return Some(Credentials::IdentityToken(Secret(self.identitytoken.clone())));
        }
        let decoded = STANDARD.decode(&self.auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let (user, secret) = match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((user, secret)) => (user, secret.trim_end_matches('\0')),
            None => (self.username.as_str(), self.password.as_str()),
        };
        let found = !user.is_empty() && !secret.is_empty();
        found.then(|| Credentials::Password { user: user.to_owned(), secret: Secret(secret.to_owned()) })
    }
}

/// Asks the helper of this name.
async fn ask(helper: &str, server: &str) -> Result<Option<Credentials>, CredentialError> {
    let is_name = helper.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    match is_name {
        true => answer(Path::new(&format!("docker-credential-{helper}")), server).await,
        false => Err(CredentialError::Json),
    }
}

/// Asks a program as Docker does: the registry on its standard input, JSON on its standard output.
async fn answer(program: &Path, server: &str) -> Result<Option<Credentials>, CredentialError> {
    let helper = || program.display().to_string();
    let error = |source| CredentialError::Helper { helper: helper(), source };
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(error)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read will say so in its own way.
        _ = stdin.write_all(server.as_bytes()).await;
    }
    let output =
        timeout(HELPER, child.wait_with_output()).await.map_err(|_| error(io::ErrorKind::TimedOut.into()))?.map_err(error)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        return if said.contains(UNKNOWN) { Ok(None) } else { Err(CredentialError::Answer(helper())) };
    }
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|_| CredentialError::Answer(helper()))?;
    let secret = Secret(answer.secret);
    Ok(Some(match answer.username.as_str() {
        TOKEN => Credentials::IdentityToken(secret),
        _ => Credentials::Password { user: answer.username, secret },
    }))
}

/// The host in what `docker login` was given: without scheme and path.
fn host(name: &str) -> &str {
    let name = name.strip_prefix("https://").or_else(|| name.strip_prefix("http://")).unwrap_or(name);
    name.split('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn password(user: &str, secret: &str) -> Option<Credentials> {
        Some(Credentials::Password { user: user.into(), secret: Secret(secret.into()) })
    }

    #[tokio::test]
    async fn logins_of_config_json_are_found_by_their_host() {
        let folder = tempfile::tempdir().unwrap();
        let json = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6YTpi"},"https://r.io/v2/":{"auth":"eW91OnA="},
            "t.io":{"auth":"","identitytoken":"tok"},"empty.io":{}}}"#;
        fs::write(folder.path().join("config.json"), json).unwrap();
        let find = async |registry: &str| find(Some(folder.path()), registry).await.unwrap();
        assert_eq!(find("docker.io").await, password("me", "a:b"));
        assert_eq!(find("r.io").await, password("you", "p"));
        assert_eq!(find("t.io").await, Some(Credentials::IdentityToken(Secret("tok".into()))));
        assert_eq!((find("empty.io").await, find("other.io").await), (None, None));
    }

    #[test]
    fn a_secret_cannot_be_printed() {
        let credentials = password("me", "hunter2");
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_helper_is_asked_and_what_it_does_not_know_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread server\n[ $server = known.io ] && echo '{\"Username\":\"<token>\",\"Secret\":\"s\"}' && exit 0\necho credentials not found in native keychain\nexit 1\n";
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        // The helper is found by its path here; Docker finds it by PATH, which a test cannot change.
        let helper = program.display().to_string();
        assert!(matches!(ask(&helper, "known.io").await, Err(CredentialError::Json)), "a helper's name is no path");
        let missing = ask("surely-not-there", "known.io").await.unwrap_err().to_string();
        assert!(missing.contains("docker-credential-surely-not-there"), "{missing}");
        assert_eq!(answer(&program, "known.io").await.unwrap(), Some(Credentials::IdentityToken(Secret("s".into()))));
        assert_eq!(answer(&program, "other.io").await.unwrap(), None);
    }
}
