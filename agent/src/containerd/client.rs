//! The calls: connecting, surveying, answering the tracker's questions, and the stream of events.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::ready,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use containerd_client::services::v1::{
    GetImageRequest, InfoRequest, ListImagesRequest, ListNamespacesRequest, ListRequest, ListResourcesRequest,
    ListStatusesRequest, PluginsRequest, ReadContentRequest, SubscribeRequest,
    content_client::ContentClient,
    events_client::EventsClient,
    images_client::ImagesClient,
    introspection_client::IntrospectionClient,
    leases_client::LeasesClient,
    namespaces_client::NamespacesClient,
    snapshots::{StatSnapshotRequest, snapshots_client::SnapshotsClient},
    version_client::VersionClient,
};
use containerd_client::types::Envelope;
use futures_util::{Stream, StreamExt as _, future::try_join, stream};
use hyper_util::rt::TokioIo;
use lifecycle::{
    image::Digest,
    time::Timestamp,
    track::{Answer, Inventory, Lease, LeaseKey, Runtime, Seen, Subject, Survey},
};
use tokio::net::UnixStream;
use tonic::{
    Code, Request, Status,
    metadata::{MetadataMap, MetadataValue},
    transport::Endpoint,
};

use super::{Absence, counted::Counted, translate};
use crate::telemetry::Telemetry;

/// No call to containerd may take longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest message that is read; containerd's own limit.
const MAX_MESSAGE: usize = 16 << 20;
/// Largest document that is read from the content store.
const MAX_DOCUMENT: usize = 4 << 20;
/// Leases whose resources are asked for at the same time.
const SURVEY_WIDTH: usize = 4;
/// What a pull's lease has and a sandbox's has not (`containerd` client/lease.go).
const LEASE_FILTER: &str = r#"labels."containerd.io/gc.expire""#;
/// Events that tell of pulls, and of namespaces.
const EVENT_FILTERS: [&str; 6] = [
    r#"topic=="/snapshot/prepare""#,
    r#"topic=="/snapshot/commit""#,
    r#"topic=="/content/create""#,
    r#"topic=="/images/create""#,
    r#"topic=="/images/update""#,
    r#"topic~="^/(namespaces/|snapshot/remove)""#,
];
/// An unsampled trace context (W3C Trace Context, flags 00): a traced containerd makes no spans for what carries it.
const TRACEPARENT: &str = "00-70756c6c74726163650000000000001a-70756c6c74726163-00";

/// Which namespaces to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All that exist.
    All,
    /// These, as soon as they exist.
    Only(BTreeSet<String>),
}

impl Selection {
    /// Whether this namespace is to be looked at.
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(namespace),
        }
    }
}

/// containerd's events, already translated. Must always be drained: containerd keeps what is not read in its own memory. Ends when the
/// connection does.
pub type Events = stream::BoxStream<'static, Heard>;

/// What an event means to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something for the tracker.
    Seen(Seen),
    /// Namespaces came or went: the list is to be read again.
    Namespaces,
}

/// A connection to one containerd.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Counted,
}

impl Client {
    /// Connects and asks who is there. Calls are counted there.
    ///
    /// # Errors
    /// When nothing usable is at the socket.
    pub(crate) async fn connect(socket: &Path, telemetry: Arc<Telemetry>) -> Result<(Self, Runtime), Absence> {
        let path = socket.to_owned();
        // Looked at first, because the transport would only say "transport error".
        drop(UnixStream::connect(&path).await.map_err(|error| Absence::of_socket(&error))?);
        // The URI names nothing: the connector always opens the socket.
        let channel = Endpoint::from_static("http://containerd")
            .connect_with_connector(tower::service_fn(move |_| {
                let path = path.clone();
                async move { Ok::<_, io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
            }))
            .await
            .map_err(|error| Absence::of_channel(&error))?;
        let client = Self { channel: Counted::new(channel, telemetry) };
        let runtime = client.runtime(socket).await.map_err(|status| Absence::of_call(&status))?;
        Ok((client, runtime))
    }

    /// Subscribes to everything that tells of pulls. The subscription begins when the stream is read first: containerd answers it only with
    /// the first event, so there is nothing to wait for before.
    pub fn events(&self, selection: Selection) -> Events {
        let filters = EVENT_FILTERS.map(str::to_owned).to_vec();
        let mut client = EventsClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let subscription = async move { client.subscribe(untimed(SubscribeRequest { filters })).await };
        let events = stream::once(subscription).flat_map(|answer| match answer {
            Ok(answer) => answer.into_inner().left_stream(),
            Err(status) => stream::once(async { Err(status) }).right_stream(),
        });
        translated(events, selection).boxed()
    }

    /// The namespaces that exist and are selected.
    ///
    /// # Errors
    /// When containerd refuses or is gone.
    pub async fn namespaces(&self, selection: &Selection) -> Result<Vec<String>, Status> {
        let answer = NamespacesClient::new(self.channel.clone()).list(bare(ListNamespacesRequest::default())).await?;
        Ok(answer.into_inner().namespaces.into_iter().map(|n| n.name).filter(|name| selection.contains(name)).collect())
    }

    /// The folder that holds everything containerd keeps, as it says itself (the `root` export of its content store); `None` if it does not.
    ///
    /// # Errors
    /// When containerd refuses or is gone.
    pub async fn root(&self) -> Result<Option<PathBuf>, Status> {
        let request = bare(PluginsRequest { filters: vec!["type==io.containerd.content.v1".into()] });
        let answer = IntrospectionClient::new(self.channel.clone()).plugins(request).await?;
        let store = answer.into_inner().plugins.into_iter().find_map(|mut p| p.exports.remove("root"));
        Ok(store.and_then(|folder| Path::new(&folder).parent().map(Path::to_owned)))
    }

    /// A complete look at these namespaces.
    ///
    /// Leases that are `dull` are listed without what they hold. Ingests are asked for where there are leases that are not, or
    /// everywhere if `ingests`.
    ///
    /// # Errors
    /// When containerd refuses or is gone.
    pub async fn survey(
        &self,
        namespaces: &[String],
        dull: &BTreeSet<LeaseKey>,
        ingests: bool,
        taken_at: Timestamp,
    ) -> Result<Survey, Status> {
        let mut survey = Survey { taken_at, ..Survey::default() };
        for namespace in namespaces {
            let inventory = self.inventory(namespace, dull, ingests).await?;
            survey.namespaces.insert(namespace.clone(), inventory);
        }
        Ok(survey)
    }

    /// As [`survey`](Self::survey) where nothing but the ingests can have changed: these are the leases of the last one.
    ///
    /// # Errors
    /// When containerd refuses or is gone.
    pub async fn progress(
        &self,
        mut last: BTreeMap<String, Vec<Lease>>,
        dull: &BTreeSet<LeaseKey>,
        taken_at: Timestamp,
    ) -> Result<Survey, Status> {
        let mut survey = Survey { taken_at, ..Survey::default() };
        while let Some((namespace, leases)) = last.pop_first() {
            let is_dull = |lease: &Lease| dull.contains(&LeaseKey { namespace: namespace.clone(), lease: lease.id.clone() });
            let ingests = if leases.iter().all(is_dull) { Vec::new() } else { self.statuses(&namespace).await? };
            survey.namespaces.insert(namespace, Inventory { leases, ingests });
        }
        Ok(survey)
    }

    /// Looks at one thing.
    pub async fn look(&self, key: &LeaseKey, subject: &Subject) -> Answer {
        let namespace = key.namespace.as_str();
        let answer = match subject {
            Subject::Blob(digest) => self.blob(namespace, digest).await.map(Answer::Blob),
            Subject::Content(digest) => self.content(namespace, digest).await,
            Subject::Snapshot { snapshotter, key } => self.snapshot(namespace, snapshotter, key).await,
            Subject::ImagesOf(digest) => self.images_of(namespace, digest).await,
            Subject::ImageNamed(name) => self.image_named(namespace, name).await,
        };
        answer.unwrap_or_else(|status| {
            tracing::debug!(code = ?status.code(), message = status.message(), ?subject, "containerd did not answer a question");
            Answer::Unavailable
        })
    }
}

impl Client {
    async fn runtime(&self, socket: &Path) -> Result<Runtime, Status> {
        let version = VersionClient::new(self.channel.clone()).version(bare(())).await?.into_inner().version;
        let server = IntrospectionClient::new(self.channel.clone()).server(bare(())).await?.into_inner();
        Ok(translate::runtime(version, &server, bound_at(socket)))
    }

    async fn inventory(&self, namespace: &str, dull: &BTreeSet<LeaseKey>, ingests: bool) -> Result<Inventory, Status> {
        let request = within(namespace, ListRequest { filters: vec![LEASE_FILTER.into()] });
        let mut client = LeasesClient::new(self.channel.clone());
        // Ingests of a pull that was given up are gone in a moment: where they matter they are read first.
        let early = async { if ingests { self.statuses(namespace).await.map(Some) } else { Ok(None) } };
        let (early, leases) = try_join(early, client.list(request)).await?;
        let leases: Vec<_> = leases
            .into_inner()
            .leases
            .into_iter()
            .filter_map(|lease| {
                let created_at = translate::time(lease.created_at)?;
                let dull = dull.contains(&LeaseKey { namespace: namespace.to_owned(), lease: lease.id.clone() });
                Some((Lease { id: lease.id, created_at, resources: Vec::new() }, dull))
            })
            .collect();
        let of_interest = leases.iter().any(|(_, dull)| !dull);
        let filled: Vec<Result<Lease, Status>> = stream::iter(leases)
            .map(|(lease, dull)| async move { if dull { Ok(lease) } else { self.fill(namespace, lease).await } })
            .buffered(SURVEY_WIDTH)
            .collect()
            .await;
        let leases = filled.into_iter().collect::<Result<_, _>>()?;
        let ingests = match early {
            Some(ingests) => ingests,
            None if of_interest => self.statuses(namespace).await?,
            None => Vec::new(),
        };
        Ok(Inventory { leases, ingests })
    }

    /// The lease with what it holds; with nothing if it is gone by now.
    async fn fill(&self, namespace: &str, mut lease: Lease) -> Result<Lease, Status> {
        let request = within(namespace, ListResourcesRequest { id: lease.id.clone() });
        match LeasesClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE).list_resources(request).await {
            Ok(answer) => {
                lease.resources = answer.into_inner().resources.iter().map(translate::resource).collect();
                Ok(lease)
            }
            Err(status) if status.code() == Code::NotFound => Ok(lease),
            Err(status) => Err(status),
        }
    }

    async fn statuses(&self, namespace: &str) -> Result<Vec<lifecycle::track::Ingest>, Status> {
        let mut client = ContentClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let answer = client.list_statuses(within(namespace, ListStatusesRequest { filters: Vec::new() })).await?;
        Ok(answer.into_inner().statuses.into_iter().filter_map(translate::ingest).collect())
    }

    async fn blob(&self, namespace: &str, digest: &Digest) -> Result<Option<Vec<u8>>, Status> {
        let request = within(namespace, ReadContentRequest { digest: digest.to_string(), offset: 0, size: 0 });
        let mut client = ContentClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let Some(answer) = found(client.read(request).await)? else { return Ok(None) };
        let mut stream = answer.into_inner();
        let mut bytes = Vec::new();
        while let Some(part) = stream.message().await? {
            if bytes.len() + part.data.len() > MAX_DOCUMENT {
                return Ok(None);
            }
            bytes.extend_from_slice(&part.data);
        }
        Ok(Some(bytes))
    }

    async fn content(&self, namespace: &str, digest: &Digest) -> Result<Answer, Status> {
        let request = within(namespace, InfoRequest { digest: digest.to_string() });
        let info = found(ContentClient::new(self.channel.clone()).info(request).await)?.and_then(|a| a.into_inner().info);
        Ok(Answer::Content(info.and_then(translate::content)))
    }

    async fn snapshot(&self, namespace: &str, snapshotter: &str, key: &str) -> Result<Answer, Status> {
        let request = within(namespace, StatSnapshotRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() });
        let info = found(SnapshotsClient::new(self.channel.clone()).stat(request).await)?.and_then(|a| a.into_inner().info);
        Ok(Answer::Snapshot(info.and_then(translate::snapshot)))
    }

    async fn images_of(&self, namespace: &str, digest: &Digest) -> Result<Answer, Status> {
        let request = within(namespace, ListImagesRequest { filters: vec![format!("target.digest=={digest}")] });
        let mut client = ImagesClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE);
        let images = client.list(request).await?.into_inner().images;
        Ok(Answer::Images(images.into_iter().filter_map(translate::image).collect()))
    }

    async fn image_named(&self, namespace: &str, name: &str) -> Result<Answer, Status> {
        let request = within(namespace, GetImageRequest { name: name.to_owned() });
        let image = found(ImagesClient::new(self.channel.clone()).get(request).await)?.and_then(|a| a.into_inner().image);
        Ok(Answer::Images(image.and_then(translate::image).into_iter().collect()))
    }
}

/// When the socket was bound, which is when its server began to serve: it makes the file anew at each start, and what changes its owner or
/// mode does not change this time. `None` if it cannot be seen.
fn bound_at(socket: &Path) -> Option<Timestamp> {
    let since = fs::metadata(socket).ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok().map(Timestamp::from_nanos)
}

/// Every event that means something, until the stream breaks.
fn translated(
    events: impl Stream<Item = Result<Envelope, Status>> + Send + 'static,
    selection: Selection,
) -> impl Stream<Item = Heard> + Send + 'static {
    let unbroken = events.take_while(|event| {
        if let Err(status) = event {
            tracing::debug!(code = ?status.code(), message = status.message(), "the event stream broke");
        }
        ready(event.is_ok())
    });
    unbroken.filter_map(move |event| ready(event.ok().and_then(|envelope| translate::event(&envelope, &selection))))
}

fn found<T>(answer: Result<T, Status>) -> Result<Option<T>, Status> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(status),
    }
}

fn bare<T>(message: T) -> Request<T> {
    let mut request = untimed(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

fn untimed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", MetadataValue::from_static(TRACEPARENT));
    request
}

fn within<T>(namespace: &str, message: T) -> Request<T> {
    let mut request = bare(message);
    // Namespaces come from containerd, whose identifiers are ASCII.
    let insert = |metadata: &mut MetadataMap, value| drop(metadata.insert("containerd-namespace", value));
    namespace.parse().into_iter().for_each(|value| insert(request.metadata_mut(), value));
    request
}
