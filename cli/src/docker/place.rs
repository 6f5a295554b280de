//! Where the Engine is: `DOCKER_HOST`, else `DOCKER_CONTEXT`, else the context that `docker context use` chose, else the usual socket; the
//! order is that of Docker's own command. The environment is read once; everything else follows from it and the files it points to.

use std::path::{Path, PathBuf};

use lifecycle::image::Digest;
use serde::Deserialize;
use thiserror::Error;

/// Where Docker's Engine listens unless something else is said.
const USUAL: &str = "unix:///var/run/docker.sock";
/// The context that stands for [`USUAL`].
const DEFAULT_CONTEXT: &str = "default";
/// Largest file of Docker's configuration that is read, bytes.
pub(super) const MAX_FILE: u64 = 1 << 20;

/// The environment as far as it says where the Engine is and who asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// `DOCKER_HOST`.
    pub(crate) host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub(crate) context: Option<String>,
    /// Whether `DOCKER_TLS_VERIFY` is set to anything.
    pub(crate) tls: bool,
    /// `DOCKER_CERT_PATH`.
    pub(crate) certs: Option<PathBuf>,
    /// Folder of Docker's configuration: `DOCKER_CONFIG`, else `.docker` at home.
    pub(crate) config: Option<PathBuf>,
}

/// Where an Engine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A socket of this machine.
    Unix(PathBuf),
    /// Plain HTTP.
    Tcp(String),
    /// HTTPS, with the folder of `ca.pem`, `cert.pem` and `key.pem`.
    Tls(String, PathBuf),
}

/// Why nobody knows where the Engine is.
#[derive(Debug, Error)]
pub(crate) enum PlaceError {
    /// A kind of address that is not spoken here.
    #[error("{0:?} is no address that is spoken here; use unix://, tcp:// or http://")]
    Scheme(String),
    /// The context is not there, or not readable.
    #[error("cannot read Docker's context {name:?} in {path}: {source}; `docker context ls` lists those there are")]
    Context { name: String, path: String, source: std::io::Error },
    /// The file of a context says something else.
    #[error("Docker's context {name:?} in {path} says no address of an Engine")]
    Meta { name: String, path: String },
    /// TLS is wanted, without the files for it.
    #[error("DOCKER_TLS_VERIFY is set, but nothing says where ca.pem, cert.pem and key.pem are; set DOCKER_CERT_PATH")]
    Certs,
}

#[derive(Deserialize)]
struct Chosen {
    #[serde(rename = "currentContext")]
    current: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Endpoint,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host")]
    host: String,
}

impl Surroundings {
    /// From the environment of this process.
    pub(crate) fn read() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = || text("HOME").map(|home| Path::new(&home).join(".docker"));
        Self {
            host: text("DOCKER_HOST"),
            context: text("DOCKER_CONTEXT"),
            tls: text("DOCKER_TLS_VERIFY").is_some(),
            certs: text("DOCKER_CERT_PATH").map(PathBuf::from),
            config: text("DOCKER_CONFIG").map(PathBuf::from).or_else(home),
        }
    }

    /// Where the Engine is.
    ///
    /// # Errors
    /// When a context cannot be read, or an address is of a kind that is not spoken here.
    pub(crate) fn place(&self) -> Result<Place, PlaceError> {
        let context = || self.context.clone().or_else(|| self.chosen()).filter(|name| name != DEFAULT_CONTEXT);
        match (&self.host, context()) {
            (Some(host), _) => self.by_host(host),
            (None, Some(name)) => self.by_context(&name),
            (None, None) => self.by_host(USUAL),
        }
    }

    fn by_host(&self, host: &str) -> Result<Place, PlaceError> {
        let certs = || self.certs.clone().or_else(|| self.config.clone()).ok_or(PlaceError::Certs);
        let tls = self.tls.then(certs).transpose()?;
        address(host, tls)
    }

    /// Contexts have their TLS files in a folder beside them.
    fn by_context(&self, name: &str) -> Result<Place, PlaceError> {
        let folder = self.config.clone().unwrap_or_default().join("contexts");
        let id = Digest::of(name.as_bytes());
        let file = folder.join("meta").join(id.encoded()).join("meta.json");
        let path = || file.display().to_string();
        let text = read(&file).map_err(|source| PlaceError::Context { name: name.to_owned(), path: path(), source })?;
        let meta: Meta = serde_json::from_str(&text).map_err(|_| PlaceError::Meta { name: name.to_owned(), path: path() })?;
        let certs = folder.join("tls").join(id.encoded()).join("docker");
        address(&meta.endpoints.docker.host, certs.is_dir().then_some(certs))
    }

    /// The context of `docker context use`.
    fn chosen(&self) -> Option<String> {
        let text = read(&self.config.as_ref()?.join("config.json")).ok()?;
        serde_json::from_str::<Chosen>(&text).ok()?.current.filter(|name| !name.is_empty())
    }
}

impl Place {
    /// The folder or host, for messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Unix(path) => path.display().to_string(),
            Self::Tcp(host) | Self::Tls(host, _) => host.replace(char::is_control, " "),
        }
    }

    /// Whether the Engine runs on this machine, so that its disks are ours.
    pub(crate) const fn is_local(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

fn address(host: &str, certs: Option<PathBuf>) -> Result<Place, PlaceError> {
    match (host.split_once("://"), certs) {
        (Some(("unix", path)), _) => Ok(Place::Unix(path.into())),
        (Some(("tcp" | "https", address)), Some(certs)) => Ok(Place::Tls(address.to_owned(), certs)),
        (Some(("tcp" | "http", address)), None) => Ok(Place::Tcp(address.to_owned())),
        (Some(_) | None, _) => Err(PlaceError::Scheme(host.to_owned())),
    }
}

/// The text of a file of bounded size.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_FILE).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_usual_socket_is_asked_unless_something_else_is_said() {
        assert_eq!(Surroundings::default().place().unwrap(), Place::Unix("/var/run/docker.sock".into()));
        let tcp = Surroundings { host: Some("tcp://10.0.0.1:2375".into()), ..Surroundings::default() };
        assert_eq!(tcp.place().unwrap(), Place::Tcp("10.0.0.1:2375".into()));
        let tls = Surroundings { tls: true, certs: Some("/certs".into()), ..tcp };
        assert_eq!(tls.place().unwrap(), Place::Tls("10.0.0.1:2375".into(), "/certs".into()));
        let ssh = Surroundings { host: Some("ssh://root@box".into()), ..Surroundings::default() };
        assert!(ssh.place().unwrap_err().to_string().contains("unix://"));
    }

    #[test]
    fn a_context_says_where_its_engine_is_and_a_host_goes_before_the_chosen_one() {
        let folder = tempfile::tempdir().unwrap();
        let id = Digest::of(b"edge");
        let meta = folder.path().join("contexts/meta").join(id.encoded());
        fs::create_dir_all(&meta).unwrap();
        fs::write(meta.join("meta.json"), r#"{"Name":"edge","Endpoints":{"docker":{"Host":"unix:///run/edge.sock"}}}"#).unwrap();
        fs::write(folder.path().join("config.json"), r#"{"auths":{},"currentContext":"edge"}"#).unwrap();
        let chosen = Surroundings { config: Some(folder.path().into()), ..Surroundings::default() };
        assert_eq!(chosen.place().unwrap(), Place::Unix("/run/edge.sock".into()));
        let host = Surroundings { host: Some("unix:///run/other.sock".into()), ..chosen.clone() };
        assert_eq!(host.place().unwrap(), Place::Unix("/run/other.sock".into()));
        let both = Surroundings { context: Some("nope".into()), ..host };
        assert_eq!(both.place().unwrap(), Place::Unix("/run/other.sock".into()), "as the docker command has it");
        let usual = Surroundings { context: Some("default".into()), ..chosen.clone() };
        assert_eq!(usual.place().unwrap(), Place::Unix("/var/run/docker.sock".into()));
        let missing = Surroundings { context: Some("nope".into()), ..chosen };
        assert!(missing.place().unwrap_err().to_string().contains("nope"));
    }
}
