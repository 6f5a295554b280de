//! The Kubernetes API: lists and watches pods, the kubelets' events and nodes, and tells the keeper what it sees of images.
//!
//! The only door to `kube`. Nothing depends on it: while the API is away, or a permission is missing, pulls are shown as before and pods as
//! far as they are known. Every break, also an expired place in the stream (410), leads to a new list after a short jittered pause. It
//! keeps no objects: each is reduced by [`translate`] and forgotten. What pods have to do with pulls is the business of `lifecycle::board`.

mod review;
#[cfg(test)]
mod tests;
mod translate;

use std::{fmt::Debug, hash::BuildHasher as _, hash::RandomState, pin::pin, time::Duration};

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::{
    Api, Client, Resource,
    core::Status,
    runtime::watcher::{self, Error, Event as Watched, watcher},
};
use lifecycle::board::{Input, Sighting};
use serde::de::DeserializeOwned;
use tokio::{task::JoinSet, time::Instant};

pub(crate) use self::review::{Reviewed, Reviewer};
use crate::{config::Kubernetes, keeper::Keeper};

/// Objects of one page of a list.
const PAGE: u32 = 250;
/// Most sightings of one message to the keeper.
const BATCH: usize = 256;
/// The pause before a new list grows to this, so that pods are back soon after the API is.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// The first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Where a permission is missing, it grows to this. An API server that starts refuses everyone for a moment.
const LONGEST_FORBIDDEN_PAUSE: Duration = Duration::from_secs(60);
/// What has gone on for so long was no failure; a list alone is none either, if it may not be watched then.
const STEADY: Duration = Duration::from_secs(30);
/// A watch that says nothing for so long, not even that nothing happened, is broken.
const READ_TIMEOUT: Duration = Duration::from_secs(310);

/// Watches until `stop` ends, if there is a cluster to watch.
pub(crate) async fn run(client: Option<Client>, namespaces: Vec<String>, keeper: Keeper, stop: impl Future<Output = ()>) {
    let Some(client) = client else { return };
    tokio::select! {
        () = watch(client, &namespaces, &keeper) => {}
        () = stop => {}
    }
}

/// A client by the rules of `kubectl`: the kubeconfig, else the pod's service account.
pub(crate) async fn connect(mode: Kubernetes) -> Option<Client> {
    if mode == Kubernetes::Off {
        return None;
    }
    let inferred = kube::Config::infer().await.map_err(|error| error.to_string());
    let client = inferred.and_then(|config| {
        let url = config.cluster_url.to_string();
        client(config).map(|client| (client, url)).map_err(|error| error.to_string())
    });
    match (client, mode) {
        (Ok((client, url)), _) => {
            tracing::info!(url, "watching pods through the Kubernetes API");
            Some(client)
        }
        (Err(error), Kubernetes::On) => {
            tracing::error!(
                error,
                "PULLTRACE_KUBERNETES is on, but there is no way to a Kubernetes API; pulls are shown without pods"
            );
            None
        }
        (Err(error), Kubernetes::Auto | Kubernetes::Off) => {
            tracing::info!(error, "not in a Kubernetes cluster; pulls are shown without pods");
            None
        }
    }
}

fn client(mut config: kube::Config) -> kube::Result<Client> {
    config.read_timeout = Some(READ_TIMEOUT);
    Client::try_from(config)
}

/// Watches everything; ends when the keeper does.
async fn watch(client: Client, namespaces: &[String], keeper: &Keeper) {
    let mut tasks = JoinSet::new();
    let scopes: Vec<_> = if namespaces.is_empty() { vec![None] } else { namespaces.iter().cloned().map(Some).collect() };
    for scope in scopes {
        let (pods, events) = (PodWatch(scope.clone().map(Into::into)), EventWatch);
        tasks.spawn(follow(api::<Pod>(&client, scope.as_deref()), pods, keeper.clone()));
        tasks.spawn(follow(api::<Event>(&client, scope.as_deref()), events, keeper.clone()));
    }
    tasks.spawn(follow(Api::<Node>::all(client), NodeWatch, keeper.clone()));
    while tasks.join_next().await.is_some() {}
}

fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    K::DynamicType: Default,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// One kind of object: which are asked for, and what they tell.
trait Kind: Send + 'static {
    type Object: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static;
    /// As the API's permissions call it.
    const RESOURCE: &'static str;
    /// Which objects are asked for.
    const FIELDS: &'static str;
    fn sighting(&self, event: Watched<Self::Object>) -> Option<Sighting>;
    /// What it means that nobody tells of these objects.
    fn away() -> Option<Sighting> {
        None
    }
}

/// Pods that have not ended, of one namespace or all.
struct PodWatch(Option<Box<str>>);

impl Kind for PodWatch {
    type Object = Pod;
    const RESOURCE: &'static str = "pods";
    const FIELDS: &'static str = "status.phase!=Succeeded,status.phase!=Failed";

    fn sighting(&self, event: Watched<Pod>) -> Option<Sighting> {
        Some(match event {
            Watched::Init => Sighting::Relisting(self.0.clone()),
            Watched::InitDone => Sighting::Listed(self.0.clone()),
            Watched::InitApply(pod) | Watched::Apply(pod) => Sighting::Pod(Box::new(translate::pod(&pod)?)),
            Watched::Delete(pod) => Sighting::PodGone(translate::key(&pod.metadata)?),
        })
    }

    fn away() -> Option<Sighting> {
        Some(Sighting::Away)
    }
}

/// What kubelets say about pods. An event that expires takes nothing back.
struct EventWatch;

impl Kind for EventWatch {
    type Object = Event;
    const RESOURCE: &'static str = "events";
    const FIELDS: &'static str = "involvedObject.kind=Pod,source=kubelet";

    fn sighting(&self, event: Watched<Event>) -> Option<Sighting> {
        match event {
            Watched::InitApply(event) | Watched::Apply(event) => translate::event(&event),
            Watched::Init | Watched::InitDone | Watched::Delete(_) => None,
        }
    }
}

/// The nodes and their runtimes.
struct NodeWatch;

impl Kind for NodeWatch {
    type Object = Node;
    const RESOURCE: &'static str = "nodes";
    const FIELDS: &'static str = "";

    fn sighting(&self, event: Watched<Node>) -> Option<Sighting> {
        match event {
            Watched::InitApply(node) | Watched::Apply(node) => translate::node(&node),
            Watched::Delete(node) => Some(Sighting::NodeGone(node.metadata.name.as_deref()?.parse().ok()?)),
            Watched::Init | Watched::InitDone => None,
        }
    }
}

/// Lists and watches one kind of object for ever; ends when the keeper does.
async fn follow<K: Kind>(api: Api<K::Object>, kind: K, keeper: Keeper) {
    let fields = if K::FIELDS.is_empty() { watcher::Config::default() } else { watcher::Config::default().fields(K::FIELDS) };
    let mut failures = 0;
    let mut told_missing = false;
    loop {
        let begun = Instant::now();
        let error = {
            let mut stream = pin!(watcher(api.clone(), fields.clone().page_size(PAGE)).ready_chunks(BATCH));
            loop {
                let Some(chunk) = stream.next().await else { break None };
                let mut broken = None;
                let events = chunk.into_iter().filter_map(|event| event.map_err(|error| broken = Some(error)).ok());
                let inputs: Vec<_> = events.filter_map(|event| kind.sighting(event)).map(Input::Sighting).collect();
                if !inputs.is_empty() && !keeper.tell(inputs).await {
                    return;
                }
                if broken.is_some() {
                    break broken;
                }
            }
        };
        if !keeper.tell(K::away().into_iter().map(Input::Sighting).collect()).await {
            return;
        }
        if begun.elapsed() >= STEADY {
            (failures, told_missing) = (0, false);
        }
        let missing = error.as_ref().and_then(missing);
        tell(error.as_ref(), missing.filter(|_| !told_missing), K::RESOURCE, failures);
        told_missing |= missing.is_some();
        let longest = if missing.is_some() { LONGEST_FORBIDDEN_PAUSE } else { LONGEST_PAUSE };
        tokio::time::sleep(pause(failures, longest)).await;
        failures += 1;
    }
}

/// Doubled with every failure, and between half and the whole of it, so that not all come at once.
fn pause(failures: u32, longest: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(longest);
    doubled / 2 + doubled.mul_f64((RandomState::new().hash_one(failures) % 1000) as f64 / 2000.0)
}

/// Says what broke and which verb is missing, once for every series of failures.
fn tell(error: Option<&Error>, missing: Option<&'static str>, resource: &str, failures: u32) {
    let Some(error) = error else { return };
    let error = refusal(error).map_or_else(|| error.to_string(), |status| status.message.clone());
    match missing {
        Some(verb) => tracing::warn!(verb, resource, error, "a permission is missing: pods are related to pulls without these"),
        None if failures == 0 => tracing::warn!(resource, error, "the Kubernetes API broke off; will list again"),
        None => tracing::debug!(resource, error, "the Kubernetes API is still away"),
    }
}

/// What the API answered, if it did.
fn refusal(error: &Error) -> Option<&Status> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status),
        Error::InitialListFailed(_) | Error::WatchStartFailed(_) | Error::WatchFailed(_) | Error::NoResourceVersion => None,
    }
}

/// The verb that is missing, if this is about a permission.
fn missing(error: &Error) -> Option<&'static str> {
    refusal(error).filter(|status| status.code == 403)?;
    Some(if matches!(error, Error::InitialListFailed(_)) { "list" } else { "watch" })
}
