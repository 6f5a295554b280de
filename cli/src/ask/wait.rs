//! `wait`: ends well when a workload's images are on all nodes that need them, at once when one is not to be had, and late when time is over.
//! Kubernetes says which pods there shall be and which have their images; the collector says why not, and how long it will take.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use lifecycle::{board::classify, pull::ErrorClass};
use thiserror::Error;

use super::{
    AskError,
    answers::PodItem,
    checked,
    look::{items, one_pod, read},
    namespace,
    table::clean,
};
use crate::{
    client::{Client, ClientError},
    cluster::{Cluster, Kind, Needed, PodImages, Refused, Workload},
    pull::exit,
    server::{Called, Scope, Server},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// What stays the same is said again after this time.
const SAY_AGAIN: Duration = Duration::from_secs(30);
/// So many looks the collector may take to say why an image is not to be had.
const PATIENCE: u32 = 5;

/// What is waited for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What needs the images: deploy/NAME, statefulset/NAME, daemonset/NAME, job/NAME or pod/NAME
    #[arg(value_name = "KIND/NAME")]
    what: Target,
    /// Give up after this long (30s, 5m, 1h) and end with 124
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = crate::pull::duration)]
    timeout: Duration,
    /// Go on after errors that may pass by themselves: network, registry, rate limit
    #[arg(long)]
    keep_trying: bool,
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    server: Server,
}

/// A workload as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(pub(crate) Workload);

/// Why the images are not there.
#[derive(Debug, Error)]
pub(crate) enum WaitError {
    #[error("after {}: {why}", lifecycle::explain::time(*.within))]
    Late { within: Duration, why: String },
    #[error("{pod} on {node}: no image {image} ({}): {message}{}", class.as_str(), hint(*class))]
    Refused { pod: String, node: String, image: String, class: ErrorClass, message: String },
}

/// How far it is.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// All images are on all nodes; so many pods and nodes.
    There { pods: usize, nodes: usize },
    /// Some are missing; what and where, in words.
    Open(String),
}

impl WaitError {
    /// The exit code, as the contract lists them.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Late { .. } => 124,
            Self::Refused { class, .. } => exit::code(*class),
        }
    }
}

impl FromStr for Target {
    type Err = AskError;

    /// `KIND/NAME`; a name alone is a pod's.
    fn from_str(text: &str) -> Result<Self, AskError> {
        let (kind, name) = match text.split_once('/') {
            Some((word, name)) => (Kind::by_word(word).ok_or_else(|| AskError::Target(text.to_owned()))?, name),
            None => (Kind::Pod, text),
        };
        Ok(Self(Workload { kind, name: checked(name)?.to_owned() }))
    }
}

/// Waits.
pub(crate) fn run(options: &Options, called: Called) -> anyhow::Result<()> {
    let (what, began) = (&options.what.0, Instant::now());
    let namespace = namespace(&options.server, &options.scope, called)?.ok_or(AskError::Everywhere("workload"))?;
    let cluster = options.server.cluster().map_err(ClientError::from)?;
    let client = options.server.client(called)?;
    let (mut said, mut said_at) = (String::new(), began);
    let mut puzzled = 0;
    loop {
        let needed = needed(&cluster, what, &namespace)?;
        if let Some((pod, refused)) = needed.seen.iter().find_map(|pod| Some((pod, pod.refused.as_ref()?))) {
            let told = why(&client, &namespace, &pod.name, refused);
            let error = refusal(pod, refused, told.clone());
            puzzled += 1;
            let is_known = told.is_some() || puzzled >= PATIENCE;
            if is_known && !(options.keep_trying && may_pass(&error)) {
                return Err(error.into());
            }
        }
        let why = match standing(&needed, &summaries(&client, &namespace, what)) {
            Standing::There { pods, nodes } => {
                writeln!(io::stdout(), "The images of {what} are there: {}, {}.", count(pods, "pod"), count(nodes, "node"))
                    .map_err(ClientError::Output)?;
                return Ok(());
            }
            Standing::Open(why) => why,
        };
        if began.elapsed() >= options.timeout {
            return Err(WaitError::Late { within: options.timeout, why }.into());
        }
        if why != said || said_at.elapsed() >= SAY_AGAIN {
            writeln!(io::stderr(), "{}", clean(&why)).map_err(ClientError::Output)?;
            (said, said_at) = (why, Instant::now());
        }
        pause(PAUSE.min(options.timeout.saturating_sub(began.elapsed())));
    }
}

#[expect(clippy::disallowed_methods, reason = "Kubernetes is asked again, and tells nobody when")]
fn pause(time: Duration) {
    thread::sleep(time);
}

fn needed(cluster: &Cluster, what: &Workload, namespace: &str) -> Result<Needed, ClientError> {
    Ok(cluster.needed(what, namespace)?)
}

/// What the collector says of the pods of a workload. Without it the wait goes on: it is Kubernetes that decides.
fn summaries(client: &Client, namespace: &str, what: &Workload) -> BTreeMap<String, String> {
    let of = (what.kind != Kind::Pod).then(|| format!("{}/{}", what.kind.as_str(), what.name));
    let listed = items(client, Some(namespace), of.as_deref()).and_then(|list| read::<Vec<PodItem>>(&list));
    listed.unwrap_or_default().into_iter().map(|pod| (pod.pod_name, pod.summary)).collect()
}

/// What the collector, which heard the kubelet's events, knows of a refused image.
fn why(client: &Client, namespace: &str, pod: &str, refused: &Refused) -> Option<(ErrorClass, String)> {
    let (_, pod) = one_pod(client, namespace, pod).ok()?;
    let container = pod.containers.into_iter().find(|container| container.image == refused.image && container.error.is_some())?;
    Some((container.error_class?.parse().ok()?, container.error?))
}

fn refusal(pod: &PodImages, refused: &Refused, told: Option<(ErrorClass, String)>) -> WaitError {
    let (class, message) = told.unwrap_or_else(|| match refused.reason.as_str() {
        "InvalidImageName" => (ErrorClass::InvalidImageName, refused.message.clone()),
        "SignatureValidationFailed" => (ErrorClass::Signature, refused.message.clone()),
        _ => (classify(&refused.message), refused.message.clone()),
    });
    let node = pod.node.clone().unwrap_or_else(|| "no node".to_owned());
    WaitError::Refused { pod: pod.name.clone(), node, image: refused.image.clone(), class, message: clean(&message) }
}

/// Whether trying again may help without anybody doing something.
const fn may_pass(error: &WaitError) -> bool {
    match error {
        WaitError::Late { .. } => false,
        WaitError::Refused { class, .. } => matches!(
            class,
            ErrorClass::RateLimited
                | ErrorClass::RegistryUnavailable
                | ErrorClass::Dns
                | ErrorClass::Connection
                | ErrorClass::Timeout
                | ErrorClass::DigestMismatch
                | ErrorClass::Canceled
                | ErrorClass::RuntimeUnavailable
        ),
    }
}

/// How far it is, in the words of the collector as far as it has any.
fn standing(needed: &Needed, summaries: &BTreeMap<String, String>) -> Standing {
    let Some(wanted) = needed.pods else {
        return Standing::Open("Kubernetes has not taken in the newest change yet".to_owned());
    };
    let there: Vec<&PodImages> = needed.seen.iter().filter(|pod| pod.missing.is_empty()).collect();
    if there.len() >= wanted && there.len() == needed.seen.len() {
        let nodes: std::collections::BTreeSet<_> = there.iter().filter_map(|pod| pod.node.as_ref()).collect();
        return Standing::There { pods: there.len(), nodes: nodes.len() };
    }
    let head = format!("{} of {} have their images", there.len(), count(wanted.max(needed.seen.len()), "pod"));
    let open = needed.seen.iter().find(|pod| !pod.missing.is_empty());
    Standing::Open(match open {
        None => format!("{head}; the others are not made yet"),
        Some(PodImages { name, node: None, .. }) => format!("{head}; {name} has no node yet"),
        Some(pod) => {
            let summary = summaries.get(&pod.name).cloned();
            let words = summary.unwrap_or_else(|| format!("waits for {}", pod.missing.join(", ")));
            format!("{head}; {} on {}: {words}", pod.name, pod.node.as_deref().unwrap_or_default())
        }
    })
}

fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn hint(class: ErrorClass) -> String {
    format!(". {}", class.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: Option<&str>, missing: &[&str]) -> PodImages {
        let missing = missing.iter().map(ToString::to_string).collect();
        PodImages { name: name.into(), node: node.map(str::to_owned), missing, refused: None }
    }

    fn standing_of(pods: Option<usize>, seen: Vec<PodImages>) -> Standing {
        standing(&Needed { pods, seen }, &BTreeMap::from([("b".to_owned(), "Waiting for app:1 (62 %).".to_owned())]))
    }

    #[test]
    fn it_is_there_when_every_pod_that_shall_be_has_its_images() {
        let both = vec![pod("a", Some("n1"), &[]), pod("b", Some("n1"), &[])];
        assert_eq!(standing_of(Some(2), both), Standing::There { pods: 2, nodes: 1 });
        assert_eq!(standing_of(Some(0), vec![]), Standing::There { pods: 0, nodes: 0 });
    }

    #[test]
    fn what_is_open_says_who_waits_for_what() {
        let words = |pods, seen| match standing_of(pods, seen) {
            Standing::Open(words) => words,
            Standing::There { .. } => String::new(),
        };
        let seen = vec![pod("a", Some("n1"), &[]), pod("b", Some("n2"), &["app:1"])];
        assert_eq!(words(Some(2), seen), "1 of 2 pods have their images; b on n2: Waiting for app:1 (62 %).");
        assert_eq!(words(Some(1), vec![]), "0 of 1 pod have their images; the others are not made yet");
        assert_eq!(words(Some(1), vec![pod("c", None, &["x"])]), "0 of 1 pod have their images; c has no node yet");
        assert_eq!(words(Some(1), vec![pod("c", Some("n"), &["x"])]), "0 of 1 pod have their images; c on n: waits for x");
        assert!(words(None, vec![]).contains("newest change"));
    }

    #[test]
    fn an_error_ends_the_wait_with_the_code_of_its_class() {
        let refused = |reason: &str, message: &str| {
            let refused = Refused { image: "a".into(), reason: reason.into(), message: message.into() };
            refusal(&pod("p", Some("n"), &["a"]), &refused, None)
        };
        let missing = refused("ErrImagePull", "failed to resolve reference \"a\": a: not found");
        assert_eq!((missing.code(), may_pass(&missing)), (3, false), "{missing}");
        let busy = refused("ErrImagePull", "unexpected status: 429 Too Many Requests");
        assert_eq!((busy.code(), may_pass(&busy)), (5, true), "{busy}");
        assert_eq!(refused("InvalidImageName", "x").code(), 2);
        assert_eq!(WaitError::Late { within: PAUSE, why: String::new() }.code(), 124);
    }

    #[test]
    fn targets_are_kind_and_name_and_a_name_alone_is_a_pod() {
        let of = |text: &str| text.parse::<Target>();
        assert_eq!(of("deploy/web").unwrap().0, Workload { kind: Kind::Deployment, name: "web".into() });
        assert_eq!(of("web").unwrap().0.kind, Kind::Pod);
        assert!(matches!(of("service/web"), Err(AskError::Target(_))));
        assert!(matches!(of("deploy/../x"), Err(AskError::Name(_))));
    }
}
