//! The only door to a Kubernetes API: the kubeconfig with every way to sign in that `kubectl` has, the collector's pod, a forwarded port to it, and
//! what workloads and rights are. It changes nothing; forwarding a port is all that it creates. What is asked of the collector through it
//! is the business of [`crate::client`].

mod access;
mod error;
mod forward;
mod workload;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config, Error,
    api::ListParams,
    client::UpgradeConnectionError,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::{
    access::NEEDED,
    error::ClusterError,
    forward::{Forward, Nowhere},
    workload::{Kind, Needed, PodImages, Refused, Workload},
};

/// How the chart labels the collector's pod.
const LABELS: &str = "app.kubernetes.io/part-of=pulltrace,app.kubernetes.io/component=collector";
/// How it labels all of its pods.
const ALL_LABELS: &str = "app.kubernetes.io/part-of=pulltrace";
/// Where the README installs it: looked into by those who may not look everywhere.
const USUAL: &str = "pulltrace";
/// Most objects that are looked at in one namespace.
const MAX_OBJECTS: u32 = 5000;

/// Which cluster, as the command line says it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Way {
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) context: Option<String>,
    pub(crate) pulltrace_namespace: Option<String>,
}

/// A cluster that can be asked. All clones share one.
#[derive(Clone)]
pub(crate) struct Cluster(Arc<Inside>);

struct Inside {
    /// Runs what is asked, and the forwarded connections beside it.
    runtime: Runtime,
    config: Config,
    client: OnceLock<Client>,
    context: String,
    pulltrace_namespace: Option<String>,
}

/// One pod of the chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// `agent` or `collector`.
    pub(crate) component: String,
    pub(crate) node: Option<String>,
    /// The version in its labels.
    pub(crate) version: Option<String>,
    pub(crate) phase: String,
    pub(crate) ready: bool,
    /// Its page and API.
    pub(crate) port: u16,
    /// Whether these speak TLS.
    pub(crate) tls: bool,
    /// Name of the Service in front of it, as the chart calls it.
    pub(crate) service: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cluster").field(&self.0.context).finish()
    }
}

impl Cluster {
    /// Reads the kubeconfig, or what Kubernetes gives every pod; asks nothing yet.
    pub(crate) fn open(way: &Way) -> Result<Self, ClusterError> {
        let other = |error: std::io::Error| ClusterError::Other(error.to_string());
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(other)?;
        let (config, context) = runtime.block_on(config(way))?;
        let pulltrace_namespace = way.pulltrace_namespace.clone();
        Ok(Self(Arc::new(Inside { runtime, config, client: OnceLock::new(), context, pulltrace_namespace })))
    }

    /// The namespace of its context.
    pub(crate) fn namespace(&self) -> &str {
        &self.0.config.default_namespace
    }

    /// How errors and reports call it: `context NAME`.
    pub(crate) fn context(&self) -> &str {
        &self.0.context
    }

    /// The running collector, the newest if there are several.
    pub(crate) fn collector(&self) -> Result<OwnPod, ClusterError> {
        let (pods, place) = self.pods_of_the_chart(LABELS)?;
        let context = self.0.context.clone();
        let Some(any) = pods.first() else { return Err(ClusterError::NoCollector { place, context, labels: LABELS }) };
        let running = pods.iter().rev().find(|pod| pod.ready).or_else(|| pods.iter().rev().find(|pod| pod.phase == "Running"));
        running.cloned().ok_or_else(|| {
            let words: Vec<_> = pods.iter().map(|pod| format!("{}/{} is {}", pod.namespace, pod.name, pod.phase)).collect();
            ClusterError::NotRunning { pods: words.join(", "), namespace: any.namespace.clone() }
        })
    }

    /// All pods of the chart.
    pub(crate) fn own_pods(&self) -> Result<Vec<OwnPod>, ClusterError> {
        self.pods_of_the_chart(ALL_LABELS).map(|(pods, _)| pods)
    }

    /// The pods with these labels, oldest first, and where they were looked for. Who may not look everywhere may be allowed the usual place.
    fn pods_of_the_chart(&self, labels: &str) -> Result<(Vec<OwnPod>, String), ClusterError> {
        let client = self.client()?;
        let list = |namespace: Option<&str>| {
            let api: Api<Pod> = namespace.map_or_else(|| Api::all(client.clone()), |name| Api::namespaced(client.clone(), name));
            self.0.runtime.block_on(async { api.list(&ListParams::default().labels(labels).limit(MAX_OBJECTS)).await })
        };
        let (place, found) = match &self.0.pulltrace_namespace {
            Some(namespace) => (format!("namespace {namespace}"), list(Some(namespace))),
            None => match list(None) {
                Err(error) if status(&error) == Some(403) => (format!("namespace {USUAL}"), list(Some(USUAL))),
                found => ("any namespace".to_owned(), found),
            },
        };
        let mut pods = found.map_err(|error| self.error(&error, ("list", "pods", ""), &place))?.items;
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        Ok((pods.iter().map(OwnPod::of).collect(), place))
    }

    /// The way to the API server, made when it is first needed: a plugin that signs in may take its time.
    fn client(&self) -> Result<&Client, ClusterError> {
        if let Some(client) = self.0.client.get() {
            return Ok(client);
        }
        // Clients begin a task of their own.
        let _inside = self.0.runtime.enter();
        let client = Client::try_from(self.0.config.clone()).map_err(|error| self.error(&error, ("get", "", ""), ""))?;
        Ok(self.0.client.get_or_init(|| client))
    }

    /// What an answer of the API server means to people who wanted to do this there.
    fn error(&self, error: &Error, (verb, resource, group): Wish, place: &str) -> ClusterError {
        match (error, status(error)) {
            (_, Some(401)) => ClusterError::Unauthorized(self.0.context.clone()),
            (_, Some(403)) => {
                let kind = if place.starts_with("any") { "ClusterRole" } else { "Role" };
                let (place, context) = (place.to_owned(), self.0.context.clone());
                ClusterError::Denied { verb, resource, group, place, kind, context }
            }
            (Error::Service(_) | Error::HyperError(_), _) => ClusterError::Unreachable {
                at: format!(" {} ({})", self.0.config.cluster_url, self.0.context),
                why: innermost(error),
            },
            (Error::Auth(_), _) => ClusterError::Unauthorized(innermost(error)),
            (Error::Api(status), _) => ClusterError::Other(status.message.clone()),
            (_, Some(code)) => ClusterError::Other(format!("status {code} for {verb} {resource}")),
            (other, None) => ClusterError::Other(innermost(other)),
        }
    }
}

/// A verb, a resource and its group, as roles write them.
type Wish = (&'static str, &'static str, &'static str);

async fn config(way: &Way) -> Result<(Config, String), ClusterError> {
    let read = match &way.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let kubeconfig = match read {
        Ok(kubeconfig) => kubeconfig,
        // A pod has no kubeconfig, and its account's token instead.
        Err(error) => {
            let inside = (way.kubeconfig.is_none() && way.context.is_none()).then(Config::incluster).and_then(Result::ok);
            return inside
                .map(|config| (config, "this cluster".to_owned()))
                .ok_or_else(|| ClusterError::Kubeconfig(said(&error)));
        }
    };
    let known: Vec<_> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let context = way.context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
    if !known.contains(&context) {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(ClusterError::Context { asked: context, known });
    }
    let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map(|config| (config, format!("context {context}"))).map_err(|error| ClusterError::Kubeconfig(said(&error)))
}

fn said(error: &KubeconfigError) -> String {
    one_line(&error.to_string())
}

/// The status of an answer that is no success.
fn status(error: &Error) -> Option<u16> {
    if let Error::Api(status) = error {
        Some(status.code)
    } else if let Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) = error {
        Some(code.as_u16())
    } else {
        None
    }
}

/// The reason behind all reasons, which is what helps.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    one_line(&inner.to_string())
}

fn one_line(text: &str) -> String {
    text.split(char::is_control).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

impl OwnPod {
    fn of(pod: &Pod) -> Self {
        let label = |key: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
        let status = pod.status.as_ref();
        let is_ready = |kind: &str, value: &str| kind == "Ready" && value == "True";
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        let container = pod.spec.iter().flat_map(|spec| &spec.containers).find(|container| container.name == "collector");
        let ports = container.and_then(|container| container.ports.as_deref()).unwrap_or_default();
        let port = ports.iter().find(|port| port.name.as_deref() == Some("http")).map_or(8080, |port| port.container_port);
        let probe = container.and_then(|container| container.readiness_probe.as_ref()?.http_get.as_ref()?.scheme.as_deref());
        // The pod is named after its ReplicaSet, and that after its Deployment, which is called as its Service.
        let generated = pod.metadata.generate_name.as_deref().unwrap_or_default().trim_end_matches('-');
        let hash = label("pod-template-hash").map(|hash| format!("-{hash}")).unwrap_or_default();
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            component: label("app.kubernetes.io/component").unwrap_or_default(),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            version: label("app.kubernetes.io/version"),
            phase: status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "Unknown".to_owned()),
            ready: conditions.iter().any(|condition| is_ready(&condition.type_, &condition.status)),
            port: u16::try_from(port).unwrap_or(8080),
            tls: probe == Some("HTTPS"),
            service: generated.strip_suffix(&hash).unwrap_or(generated).to_owned(),
        }
    }

    /// The address of its Service, under which a certificate knows it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}.{}.svc:{}", self.service, self.namespace, self.port)
    }
}
