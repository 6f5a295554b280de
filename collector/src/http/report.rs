//! `POST /api/v1/report`: what agents of the Go Pulltrace send, for fleets that are moving. Read here to the last field, or refused with the name
//! of the field; what becomes of a list is the business of `lifecycle::board`.
//!
//! Such an agent names a download by containerd's key for it (`layer-sha256:...`), and with it the pull, because it does not know the image.

use std::{fmt, marker::PhantomData, str::FromStr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, header},
    routing::post,
};
use http_body_util::BodyExt as _;
use lifecycle::{
    board::{Input, Listed, ListedLayer, Listing},
    image::{Digest, ImageRef},
    pull::NodeName,
    time::Timestamp,
    wire::{MAX_BYTES, MAX_TEXT, Rejected},
};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Error as _, Visitor},
};
use tokio::sync::Semaphore;

use super::Problem;
use crate::{
    auth::{Agents, Speaker},
    keeper::Keeper,
    metrics::Metrics,
    serve::Peer,
};

/// Where reports are taken.
pub(super) const PATH: &str = "/api/v1/report";
/// Longest report, in bytes. One with a hundred layers has 20 kB.
pub(crate) const MAX_REPORT: usize = 4 * 1024 * 1024;
/// Bytes behind that which are still taken off the wire, so that the sender gets to hear why it is refused.
const MAX_WASTE: usize = 16 * 1024 * 1024;
/// Reports that are being read at a time.
const MAX_READING: usize = 16;
/// A report must have arrived within this time.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A report waits so long to be read while others are.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most pulls of one report.
const MAX_PULLS: usize = 4096;
/// What containerd's keys begin with that stand for documents and not for layers.
const DOCUMENTS: [&str; 3] = ["manifest", "index", "config"];
/// The algorithms of digests that containerd writes.
const ALGORITHMS: [&str; 3] = ["sha256", "sha384", "sha512"];

/// From where reports are taken that show no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// From everywhere: agents show a token, or need none.
    Everywhere,
    /// From this machine only, because agents are not authenticated and nobody said that they need not be.
    Here,
    /// From nowhere: agents show certificates, which are asked for on other ports.
    Nowhere,
}

/// What the handler needs.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    keeper: Keeper,
    metrics: Metrics,
    agents: Agents,
    reach: Reach,
    cluster: Arc<str>,
    reading: Arc<Semaphore>,
}

/// What an agent of the Go Pulltrace sees on its node. Further fields mean nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AgentReport {
    /// Name of the node.
    #[serde(deserialize_with = "word")]
    #[schemars(with = "String", length(min = 1, max = 253))]
    node_name: NodeName,
    /// When this was so.
    timestamp: Timestamp,
    /// Its downloads, grouped as the agent does; null for none.
    #[serde(default)]
    #[schemars(with = "Option<Vec<RawPull>>")]
    pulls: Option<Vec<ReportedPull>>,
}

/// One group of downloads.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawPull")]
struct ReportedPull {
    image: Option<ImageRef>,
    started_at: Timestamp,
    total_known: bool,
    layers: Vec<ReportedLayer>,
}

/// One group of downloads.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RawPull {
    /// The image, or containerd's key of a download.
    image_ref: String,
    /// When the first of them began.
    started_at: Timestamp,
    /// Whether these are all, with their sizes.
    #[serde(default)]
    total_known: bool,
    /// The downloads; null for none.
    #[serde(default)]
    #[schemars(with = "Option<Vec<RawLayer>>")]
    layers: Option<Vec<ReportedLayer>>,
}

/// One download.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawLayer")]
struct ReportedLayer {
    key: Key,
    media_type: String,
    total_bytes: u64,
    downloaded_bytes: u64,
    total_known: bool,
}

/// One download.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RawLayer {
    /// Digest, or containerd's key that ends with it.
    #[serde(deserialize_with = "word")]
    #[schemars(with = "String")]
    digest: Key,
    /// Its media type, if that is known.
    #[serde(default)]
    media_type: String,
    /// Its size, if that is known.
    #[serde(default, deserialize_with = "bytes")]
    #[schemars(with = "u64", range(max = MAX_BYTES))]
    total_bytes: u64,
    /// Bytes that are here, at most its size.
    #[serde(default, deserialize_with = "bytes")]
    #[schemars(with = "u64", range(max = MAX_BYTES))]
    downloaded_bytes: u64,
    /// Whether its size is known.
    #[serde(default)]
    total_known: bool,
}

/// How containerd calls a download, and what that says of it.
#[derive(Debug)]
struct Key {
    text: String,
    blob: Blob,
}

/// What is downloaded.
#[derive(Debug, PartialEq)]
enum Blob {
    Layer(Digest),
    /// A manifest, an index or a configuration.
    Document,
    /// Something that no pull downloads: an import, or what a client calls as it likes.
    Foreign,
}

/// What is answered to a report.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Taken {
    /// Groups of downloads that were read.
    pulls: usize,
}

impl Desk {
    /// Takes reports of those whom `agents` admits and tells them to the keeper. Nodes are of `cluster`.
    pub(crate) fn new(keeper: Keeper, metrics: Metrics, agents: Agents, reach: Reach, cluster: &str) -> Self {
        let reading = Arc::new(Semaphore::new(MAX_READING));
        Self { keeper, metrics, agents, reach, cluster: cluster.into(), reading }
    }

    /// The same with another reach, for another port.
    pub(crate) fn reaching(&self, reach: Reach) -> Self {
        Self { reach, ..self.clone() }
    }

    /// The one path.
    pub(crate) fn router(self) -> Router {
        let wrong_method = async |request: Request| Problem::Method(request.method().clone());
        Router::new().route(PATH, post(report).fallback(wrong_method)).with_state(self)
    }

    /// For which nodes a request may speak, or that it may not; before anything of the body is read.
    async fn admit(&self, headers: &HeaderMap, peer: Option<Peer>) -> Result<Speaker, Problem> {
        let speaker = self.agents.admit(headers).await.map_err(Problem::Denied)?;
        match self.reach {
            Reach::Everywhere => Ok(speaker),
            Reach::Here if peer.is_some_and(|peer| peer.0.is_loopback()) => Ok(speaker),
            Reach::Here => Err(Problem::Forbidden(
                "agents are not authenticated, so reports are taken from this machine only: set a token for agents, or say \
                 PULLTRACE_AUTH=none",
            )),
            Reach::Nowhere => Err(Problem::Forbidden("agents show certificates: report to the port of OTLP/HTTP")),
        }
    }

    async fn take(&self, request: Request) -> Result<Taken, Problem> {
        let (head, body) = request.into_parts();
        let speaker = self.admit(&head.headers, head.extensions.get().copied()).await?;
        is_json(&head.headers)?;
        let turn = tokio::time::timeout(PATIENCE, self.reading.clone().acquire_owned()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or(Problem::Busy)?;
        let reading = tokio::time::timeout(TIMEOUT, read(body));
        let body = reading.await.unwrap_or(Err(Problem::TooSlow))?;
        let report = AgentReport::read(&body)?;
        if matches!(&speaker, Speaker::Of(node) if *node != report.node_name) {
            return Err(Problem::Forbidden("nodeName: the token is another node's"));
        }
        let room = self.keeper.reserve(PATIENCE).await.ok_or(Problem::Busy)?;
        let listing = report.listing(&self.cluster);
        let pulls = listing.pulls.len();
        self.metrics.received(0, 1, &Rejected::default());
        room.send(vec![Input::Listing(Box::new(listing))]);
        Ok(Taken { pulls })
    }
}

async fn report(State(desk): State<Desk>, request: Request) -> Result<axum::Json<Taken>, Problem> {
    desk.take(request).await.map(axum::Json).inspect_err(|problem| desk.metrics.refused(problem.reason()))
}

/// Refuses what is not JSON, and what is compressed.
fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim().to_ascii_lowercase());
    let media_type = text(header::CONTENT_TYPE).map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
    let is_plain = text(header::CONTENT_ENCODING).is_none_or(|encoding| encoding.is_empty() || encoding == "identity");
    match media_type.is_none_or(|media_type| media_type == "application/json") && is_plain {
        true => Ok(()),
        false => Err(Problem::MediaType("a report is application/json, and not compressed")),
    }
}

/// Reads a body within its bound; behind that it is taken off the wire for no use but that its sender listens.
async fn read(mut body: Body) -> Result<Vec<u8>, Problem> {
    let (mut read, mut wasted) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::BadRequest(format!("the report cannot be read: {error}")))?;
        let data = frame.data_ref().map_or(&[][..], Bytes::as_ref);
        if wasted > 0 || read.len() + data.len() > MAX_REPORT {
            read = Vec::new();
            wasted += data.len();
            if wasted > MAX_WASTE {
                break;
            }
        } else {
            read.extend_from_slice(data);
        }
    }
    if wasted == 0 { Ok(read) } else { Err(Problem::TooLarge) }
}

impl AgentReport {
    fn read(body: &[u8]) -> Result<Self, Problem> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let report = Self::deserialize(&mut json).map_err(|error| Self::problem(body, &error))?;
        json.end().map_err(|error| Problem::BadRequest(format!("behind the report: {error}")))?;
        if report.pulls.as_ref().is_some_and(|pulls| pulls.len() > MAX_PULLS) {
            return Err(Problem::BadRequest(format!("pulls: more than {MAX_PULLS}")));
        }
        Ok(report)
    }

    /// What is wrong and where. To know where costs a text for every field, so a report is read in this way only when it is refused.
    fn problem(body: &[u8], error: &serde_json::Error) -> Problem {
        let mut json = serde_json::Deserializer::from_slice(body);
        let located = serde_path_to_error::deserialize::<_, Self>(&mut json).err();
        let place = located.map(|located| located.path().to_string()).filter(|path| path != ".");
        Problem::BadRequest(format!("{}: {error}", place.as_deref().unwrap_or("the report")))
    }

    fn listing(self, cluster: &str) -> Listing {
        let pulls = self.pulls.into_iter().flatten().filter_map(ReportedPull::listed).collect();
        Listing { node: self.node_name, cluster: cluster.to_owned(), at: self.timestamp, pulls }
    }
}

impl ReportedPull {
    /// As a pull, if it is of an image or of what pulls download.
    fn listed(self) -> Option<Listed> {
        let is_pull = self.image.is_some() || self.layers.iter().any(|layer| layer.key.blob != Blob::Foreign);
        let layers = self.layers.into_iter().filter_map(|layer| match layer.key.blob {
            Blob::Layer(digest) => Some(ListedLayer {
                digest,
                media_type: layer.media_type,
                size: layer.total_known.then_some(layer.total_bytes),
                fetched: layer.downloaded_bytes,
            }),
            Blob::Document | Blob::Foreign => None,
        });
        let layers = layers.collect();
        is_pull.then_some(Listed { image: self.image, started_at: self.started_at, total_known: self.total_known, layers })
    }
}

impl TryFrom<RawPull> for ReportedPull {
    type Error = String;

    fn try_from(raw: RawPull) -> Result<Self, String> {
        let RawPull { image_ref, started_at, total_known, layers } = raw;
        let layers = layers.unwrap_or_default();
        // An agent that knows no name says the key of the download in its place.
        let is_key = image_ref.is_empty() || layers.iter().any(|layer| layer.key.text == image_ref);
        let image = (!is_key).then(|| image_ref.parse()).transpose().map_err(|error| format!("imageRef: {error}"))?;
        Ok(Self { image, started_at, total_known, layers })
    }
}

impl TryFrom<RawLayer> for ReportedLayer {
    type Error = String;

    fn try_from(raw: RawLayer) -> Result<Self, String> {
        let RawLayer { digest, media_type, total_bytes, downloaded_bytes, total_known } = raw;
        if total_known && downloaded_bytes > total_bytes {
            return Err(format!("downloadedBytes must be at most totalBytes, {total_bytes}, not {downloaded_bytes}"));
        }
        if media_type.len() > MAX_TEXT {
            return Err(format!("mediaType is longer than {MAX_TEXT} bytes"));
        }
        Ok(Self { key: digest, media_type, total_bytes, downloaded_bytes, total_known })
    }
}

impl FromStr for Key {
    type Err = &'static str;

    /// Reads a digest, or one of containerd's keys, of which those of pulls end with a digest behind a `-` or `@`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err("must be a digest or a key of containerd, and not longer than 256 bytes");
        }
        let (kind, digest) = text.rsplit_once(['-', '@']).unwrap_or(("", text));
        let is_digest = digest.split_once(':').is_some_and(|(algorithm, _)| ALGORITHMS.contains(&algorithm));
        let blob = match (is_digest, DOCUMENTS.contains(&kind)) {
            (false, _) => Blob::Foreign,
            (true, true) => Blob::Document,
            (true, false) => Blob::Layer(digest.parse().map_err(|_| "not a digest, nor a key of containerd that ends with one")?),
        };
        Ok(Self { text: text.to_owned(), blob })
    }
}

/// A word that is read where it lies.
fn word<'de, T: FromStr<Err: fmt::Display>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Word<T>(PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Word<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: de::Error>(self, word: &str) -> Result<T, E> {
            word.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Word(PhantomData))
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = i64::deserialize(deserializer)?;
    let plausible = u64::try_from(number).ok().filter(|bytes| *bytes <= MAX_BYTES);
    plausible.ok_or_else(|| D::Error::custom(format!("must be 0 to {MAX_BYTES}, not {number}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_of_containerd_say_what_is_downloaded() {
        let hex = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        let layer = || Blob::Layer(format!("sha256:{hex}").parse().unwrap());
        for (key, blob) in [
            (format!("sha256:{hex}"), layer()),
            (format!("layer-sha256:{hex}"), layer()),
            (format!("docker.io/library/nginx:1@sha256:{hex}"), layer()),
            (format!("manifest-sha256:{hex}"), Blob::Document),
            (format!("config-sha256:{hex}"), Blob::Document),
            (format!("index-sha256:{hex}"), Blob::Document),
            (format!("tar-blobs/sha256/{hex}"), Blob::Foreign),
            ("my own".to_owned(), Blob::Foreign),
            (hex.to_owned(), Blob::Foreign),
        ] {
            assert_eq!(key.parse::<Key>().unwrap().blob, blob, "{key}");
        }
        for key in ["", "sha256:", "layer-sha256:zz", &format!("sha256:{}", hex.to_uppercase()), &"x".repeat(257)] {
            assert!(key.parse::<Key>().is_err(), "{key}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let word = prop_oneof!["nodeName", "timestamp", "pulls", "layers", "digest", "totalBytes", "[a-z:/@-]{0,9}", ".{0,9}"];
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            word.prop_map(Into::into),
            Just("2026-01-15T08:30:00Z".into()),
        ];
        leaf.prop_recursive(5, 50, 6, move |inner| {
            let key = prop_oneof!["nodeName", "timestamp", "pulls", "imageRef", "startedAt", "layers", "digest", "totalBytes"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(key, inner, 0..8).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn reading_anything_as_a_report_never_panics_and_says_why(bytes: Vec<u8>, value in json()) {
            for body in [bytes, value.to_string().into_bytes()] {
                if let Err(problem) = AgentReport::read(&body) {
                    prop_assert!(matches!(problem, Problem::BadRequest(message) if !message.is_empty()));
                }
            }
        }
    }
}
