//! The connection to an Engine: what it is, and pulls it is asked for. Dropping the stream of a pull closes its connection, and the Engine
//! then stops that pull; nothing else here changes anything.

use std::{io, path::PathBuf, time::Duration};

use bollard::{
    API_DEFAULT_VERSION, BollardRequest, Docker,
    auth::DockerCredentials,
    query_parameters::{CreateImageOptionsBuilder, ListImagesOptions},
};
use futures_util::{Stream, StreamExt as _};
use lifecycle::image::{Digest, ImageRef};
use thiserror::Error;

use super::{
    credentials::Credentials,
    message::{Message, clean},
    place::Place,
};

/// A question about the Engine itself is answered within this time, seconds.
const ANSWER: u64 = 10;
/// The first word about a pull may take as long as the registry takes to be found; whoever wants it shorter gives `--timeout`.
const PULL: Duration = Duration::from_secs(24 * 3600);

/// Carries the credentials for a registry to the Engine.
const AUTH_HEADER: &str = "x-registry-auth";

/// A connection to an Engine that has answered.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    docker: Docker,
    host: Host,
}

/// Who the Engine is, by its own word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Host {
    /// `docker` or `podman`.
    pub(crate) runtime: &'static str,
    /// Its version.
    pub(crate) version: String,
    /// `linux`.
    pub(crate) os: String,
    /// `amd64`, `arm64`, `arm`, ...
    pub(crate) arch: String,
}

/// What the Engine says of its storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Name of its machine.
    pub(crate) name: String,
    /// What tells it from other Engines.
    pub(crate) id: String,
    /// What its machine calls its processor: `x86_64`, `aarch64`, `armv7l`.
    pub(crate) machine: String,
    /// Its snapshotter or storage driver.
    pub(crate) driver: String,
    /// Whether images lie in containerd's image store.
    pub(crate) containerd_store: bool,
    /// Where its files are, on its machine.
    pub(crate) root: PathBuf,
    /// Registries by name or network that may be spoken to without verified TLS.
    pub(crate) insecure: Vec<String>,
}

/// What is to be pulled.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// The image, tag or digest included.
    pub(crate) image: ImageRef,
    /// `os/arch[/variant]`; the Engine's own unless given.
    pub(crate) platform: Option<String>,
    /// What opens its registry.
    pub(crate) credentials: Option<Credentials>,
}

/// Why the Engine does not do what it is asked.
#[derive(Debug, Error)]
pub(crate) enum EngineError {
    /// Nobody listens there.
    #[error("cannot reach Docker at {place}: {reason}; is it running, and is DOCKER_HOST right?")]
    Unreachable { place: String, reason: String },
    /// The socket may not be opened.
    #[error(
        "no permission to open Docker's socket {place}; add yourself to its group (`sudo usermod -aG docker $USER`, then log in again) or use sudo"
    )]
    Denied { place: String },
    /// It said no.
    #[error("{message}")]
    Refused { status: u16, message: String },
    /// The connection broke while it spoke.
    #[error("the connection to Docker broke: {0}")]
    Broke(String),
}

impl Engine {
    /// Connects, and learns who answers.
    ///
    /// # Errors
    /// When nobody answers there, or this user may not ask.
    pub(crate) async fn connect(place: &Place) -> Result<Self, EngineError> {
        let unreachable = |reason: String| EngineError::Unreachable { place: place.describe(), reason };
        if let Place::Unix(path) = place {
            // Says more exactly what is wrong than the client does.
            tokio::net::UnixStream::connect(path).await.map_err(|error| {
                match error.kind() == io::ErrorKind::PermissionDenied {
                    true => EngineError::Denied { place: place.describe() },
                    false => unreachable(error.to_string()),
                }
            })?;
        }
        let docker = open(place).map_err(|error| unreachable(words(&error)))?.with_request_modifier(url_safe);
        let docker = docker.negotiate_version().await.map_err(|error| unreachable(words(&error)))?;
        let version = docker.version().await.map_err(refusal)?;
        let components = version.components.unwrap_or_default();
        let is_podman = components.iter().any(|component| component.name.contains("Podman"));
        let host = Host {
            runtime: if is_podman { "podman" } else { "docker" },
            version: clean(&version.version.unwrap_or_default()),
            os: version.os.unwrap_or_default(),
            arch: version.arch.unwrap_or_default(),
        };
        Ok(Self { docker: docker.with_timeout(PULL), host })
    }

    /// Who answers.
    pub(crate) const fn host(&self) -> &Host {
        &self.host
    }

    /// What it says of its storage.
    ///
    /// # Errors
    /// When it does not answer in time.
    pub(crate) async fn facts(&self) -> Result<Facts, EngineError> {
        let info = self.docker.clone().with_timeout(Duration::from_secs(ANSWER)).info().await.map_err(refusal)?;
        let status = info.driver_status.unwrap_or_default();
        let registries = info.registry_config.unwrap_or_default();
        let named = registries.index_configs.unwrap_or_default().into_iter();
        let named = named.filter(|(_, index)| index.secure == Some(false)).map(|(name, _)| name);
        Ok(Facts {
            name: info.name.unwrap_or_default(),
            id: info.id.unwrap_or_default(),
            machine: info.architecture.unwrap_or_default(),
            driver: info.driver.unwrap_or_default(),
            containerd_store: status.iter().flatten().any(|text| text == "io.containerd.snapshotter.v1"),
            root: info.docker_root_dir.unwrap_or_default().into(),
            insecure: registries.insecure_registry_cidrs.unwrap_or_default().into_iter().chain(named).collect(),
        })
    }

    /// Has an image pulled; what the Engine says of it, word by word. The pull goes on as long as the stream is held.
    pub(crate) fn pull(&self, order: &Order) -> impl Stream<Item = Result<Message, EngineError>> + Send + Unpin + use<> {
        let name = format!("{}/{}", order.image.registry(), order.image.repository());
        // A tag beside a digest means nothing to a pull; the Engine takes either here.
        let which = order.image.digest().map(ToString::to_string).or_else(|| order.image.tag().map(str::to_owned));
        let options = CreateImageOptionsBuilder::default()
            .from_image(&name)
            .tag(which.as_deref().unwrap_or("latest"))
            .platform(order.platform.as_deref().unwrap_or_default())
            .build();
        let stream = self.docker.create_image(Some(options), None, order.credentials.as_ref().map(login));
        Box::pin(stream.map(|line| match line {
            Ok(line) => Ok(Message::read(&line)),
            Err(bollard::errors::Error::DockerStreamError { error }) => Ok(Message::Failed(clean(&error))),
            Err(error) => Err(refusal(error)),
        }))
    }

    /// Whether the Engine has an image of this name.
    ///
    /// # Errors
    /// When it cannot say.
    pub(crate) async fn has(&self, image: &ImageRef) -> Result<bool, EngineError> {
        match self.docker.inspect_image(&image.to_string()).await.map_err(refusal) {
            Ok(_) => Ok(true),
            Err(EngineError::Refused { status: 404, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The unpacked layers of every image that the Engine has, base first, of so many images at most; and whether that was all.
    ///
    /// # Errors
    /// When it cannot say which images there are.
    pub(crate) async fn images(&self, most: usize) -> Result<(Vec<Vec<Digest>>, bool), EngineError> {
        let all = self.docker.list_images(None::<ListImagesOptions>).await.map_err(refusal)?;
        let mut images = Vec::new();
        for image in all.iter().take(most) {
            // One that is removed meanwhile has no layers to offer.
            let Ok(inspected) = self.docker.inspect_image(&image.id).await else { continue };
            let layers = inspected.root_fs.and_then(|root| root.layers).unwrap_or_default();
            images.push(layers.iter().map_while(|layer| layer.parse().ok()).collect());
        }
        Ok((images, all.len() <= most))
    }
}

fn open(place: &Place) -> Result<Docker, bollard::errors::Error> {
    match place {
        Place::Unix(path) => Docker::connect_with_unix(&path.to_string_lossy(), ANSWER, API_DEFAULT_VERSION),
        Place::Tcp(address) => Docker::connect_with_http(address, ANSWER, API_DEFAULT_VERSION),
        Place::Tls(address, certs) => {
            let [key, cert, ca] = ["key.pem", "cert.pem", "ca.pem"].map(|name| certs.join(name));
            // Another provider may have been chosen before; then that one serves.
            _ = rustls::crypto::ring::default_provider().install_default();
            Docker::connect_with_ssl(address, &key, &cert, &ca, ANSWER, API_DEFAULT_VERSION)
        }
    }
}

fn login(credentials: &Credentials) -> DockerCredentials {
    match credentials {
        Credentials::Password { user, secret } => DockerCredentials {
            username: Some(user.clone()),
            password: Some(secret.expose().to_owned()),
            ..DockerCredentials::default()
        },
        Credentials::IdentityToken(secret) => {
            DockerCredentials { identitytoken: Some(secret.expose().to_owned()), ..DockerCredentials::default() }
        }
    }
}

/// The Engine reads credentials in the alphabet for URLs, the client writes them in the usual one; they differ in two signs.
fn url_safe(mut request: BollardRequest) -> BollardRequest {
    if let Some(header) = request.headers_mut().get_mut(AUTH_HEADER) {
        if let Some(safe) = header.to_str().ok().and_then(|text| text.replace('+', "-").replace('/', "_").parse().ok()) {
            *header = safe;
        }
        header.set_sensitive(true);
    }
    request
}

fn refusal(error: bollard::errors::Error) -> EngineError {
    if let bollard::errors::Error::DockerResponseServerError { status_code, message } = error {
        return EngineError::Refused { status: status_code, message: clean(&message) };
    }
    EngineError::Broke(words(&error))
}

/// The whole chain of an error's reasons.
fn words(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut words: Vec<String> = chain.map(ToString::to_string).collect();
    words.dedup();
    clean(&words.join(": "))
}
