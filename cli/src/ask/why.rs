//! `why`: what the start of a pod, or a pull, waits for, with the numbers that show it, what helps and when it is tried again. The verdict is the
//! collector's one sentence; here are put together the facts behind it.

use std::io::{self, Write as _};

use clap::Args;
use lifecycle::{explain, time::Timestamp};
use serde::Serialize;

use super::{
    AskError,
    answers::{At, Container, Image, Pod, PodItem, Pull, Wait},
    checked, look, namespace, rows,
    say::{Format, line, yaml},
    wait::Target,
};
use crate::{
    client::{Client, ClientError},
    clock::Clock,
    cluster::{Kind, Workload},
    server::{Called, Scope, Server},
};

/// Length of a pull's id, in hex digits.
const ID: usize = 32;
/// What helps an image that waits for its turn in the kubelet.
const TURN: &str = "The kubelet pulls more at a time with serializeImagePulls: false and maxParallelImagePulls.";

/// Whose wait is explained.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A pod, KIND/NAME (pod, deployment, statefulset, daemonset, job), or the id of a pull
    #[arg(value_name = "POD|KIND/NAME|PULL")]
    what: String,
    #[command(flatten)]
    scope: Scope,
    /// How to show it; else as text
    #[arg(short, long, value_enum, value_name = "HOW")]
    output: Option<Format>,
    #[command(flatten)]
    server: Server,
}

/// What is explained, and why it is so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Why {
    /// Who waits.
    subject: String,
    /// The one sentence.
    verdict: String,
    /// One for each image that says something.
    reasons: Vec<Reason>,
}

/// One image, and what its pull shows.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reason {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    state: String,
    /// Numbers, in sentences.
    evidence: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_in_seconds: Option<f64>,
    /// How long pulls of this image took that ended with it, the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    usual_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_id: Option<String>,
}

/// Explains it.
pub(crate) fn run(options: &Options, called: Called) -> anyhow::Result<()> {
    let client = options.server.client(called)?;
    let now = Clock::start().now();
    let id = options.what.strip_prefix("pull/").unwrap_or(&options.what);
    let why = if id.len() == ID && id.chars().all(|c| c.is_ascii_hexdigit()) {
        of_pull(&client, id, now)?
    } else {
        let target: Target = options.what.parse()?;
        let namespace = namespace(&options.server, &options.scope, called)?.ok_or(AskError::Everywhere("pod"))?;
        let Target(Workload { kind, name }) = target;
        let pod = if kind == Kind::Pod { name } else { worst_pod(&client, &namespace, &format!("{}/{name}", kind.as_str()))? };
        let (_, pod) = look::one_pod(&client, &namespace, checked(&pod)?)?;
        of_pod(&client, &pod, now)?
    };
    let mut output = io::stdout().lock();
    match options.output.unwrap_or_default() {
        Format::Json => {
            let text = serde_json::to_string_pretty(&why).map_err(ClientError::Answer)?;
            writeln!(output, "{text}").map_err(ClientError::Output)?;
        }
        Format::Yaml => write!(output, "{}", yaml(&why)?).map_err(ClientError::Output)?,
        Format::Table | Format::Wide => why.lines().iter().try_for_each(|text| line(&mut output, text))?,
    }
    Ok(())
}

/// The pod of a workload that is worst off.
fn worst_pod(client: &Client, namespace: &str, workload: &str) -> anyhow::Result<String> {
    let items: Vec<PodItem> = look::read(&look::items(client, Some(namespace), Some(workload))?)?;
    let rank = |pod: &PodItem| ["failed", "queued", "pulling"].iter().position(|state| pod.state == *state);
    let worst = items.into_iter().min_by_key(|pod| rank(pod).unwrap_or(usize::MAX));
    let unknown = || {
        AskError::Unknown(format!("no pod of {workload} in {namespace} waits for an image, or did lately, as far as is known"))
    };
    Ok(worst.ok_or_else(unknown)?.pod_name)
}

fn of_pod(client: &Client, pod: &Pod, now: Timestamp) -> Result<Why, ClientError> {
    let place = pod.node_name.as_ref().map_or(" has no node yet".to_owned(), |node| format!(" on {node}"));
    let mut reasons = Vec::new();
    // Images that are there explain nothing, unless all are.
    let all_there = pod.containers.iter().all(|container| container.state == "ready");
    for container in pod.containers.iter().filter(|container| all_there || container.state != "ready") {
        let pull = container.pull_id.as_ref().and_then(|id| pod.pulls.iter().find(|pull| pull.id == *id));
        reasons.push(Reason::of_container(container, pull, usual(client, &container.image)?, now));
    }
    let stale = if pod.stale { " (as it was when the collector lost the Kubernetes API)" } else { "" };
    Ok(Why { subject: format!("pod {}/{}{place}{stale}", pod.namespace, pod.pod_name), verdict: pod.summary.clone(), reasons })
}

fn of_pull(client: &Client, id: &str, now: Timestamp) -> Result<Why, ClientError> {
    let pull: Pull = client.get(&format!("/api/v1/pulls/{}", id.to_ascii_lowercase()))?;
    let name = pull.name().unwrap_or("an image whose name is not known yet");
    let usual = pull.image_ref.as_deref().map_or(Ok(None), |image| usual(client, image))?;
    let mut reason = Reason { image: name.to_owned(), state: pull.state().to_owned(), usual_seconds: usual, ..Reason::default() };
    reason.take(&pull, now);
    Ok(Why { subject: format!("pull of {name} on {}", pull.node_name), verdict: pull.summary.clone(), reasons: vec![reason] })
}

/// How long pulls of this image usually take, as far as they are in memory.
fn usual(client: &Client, image: &str) -> Result<Option<f64>, ClientError> {
    let full = image.parse::<lifecycle::image::ImageRef>().map_or_else(|_| image.to_owned(), |image| image.to_string());
    let images: Vec<Image> = look::read(&look::list(client, "/api/v1/images", "images", &[("image", &full)])?)?;
    let of_this = images.into_iter().find(|one| one.image_ref == full);
    Ok(of_this.and_then(|one| one.durations).map(|durations| durations.median_seconds))
}

impl Reason {
    fn of_container(container: &Container, pull: Option<&Pull>, usual: Option<f64>, now: Timestamp) -> Self {
        let mut reason = Self {
            image: container.image.clone(),
            container: Some(container.container.clone()),
            state: container.state.clone(),
            usual_seconds: usual,
            ..Self::default()
        };
        if let Some(since) = container.waiting_since {
            let until = container.ready_at.map_or(now, |at| at.0);
            let times = container.attempt.filter(|tries| *tries > 1).map(|tries| format!(", asked for {tries} times"));
            reason.evidence.push(format!(
                "{} since the kubelet first asked for it{}",
                explain::time(until.since(since.0)),
                times.unwrap_or_default()
            ));
        }
        // What the kubelet tries now is not what failed before.
        if let Some(pull) = pull.filter(|pull| pull.outcome.is_none() || container.state != "queued") {
            reason.take(pull, now);
        }
        if let Some(queue) = &container.queue {
            reason.waits_for =
                Some(format!("its turn: {} of {} on this node, behind {}", queue.position, queue.of, rows::short(&queue.behind)));
            reason.hint = Some(TURN.to_owned());
        }
        reason.error = container.error.clone().or(reason.error);
        reason.error_class = container.error_class.clone().or(reason.error_class);
        reason.hint = container.error_hint.clone().or(reason.hint);
        reason.next_try_in_seconds = until(container.next_retry_at, now).or(reason.next_try_in_seconds);
        reason
    }

    /// Takes in what a pull shows.
    fn take(&mut self, pull: &Pull, now: Timestamp) {
        self.pull_id = Some(pull.id.clone());
        let of = |total: u64| format!("{}{}", if pull.total_known { "" } else { "at least " }, explain::size(total));
        if let Some(total) = pull.total_bytes {
            let speed = pull.bytes_per_sec.map(|speed| format!(" at {}", explain::speed(speed))).unwrap_or_default();
            let cached = if pull.cached_bytes > 0 {
                format!("; {} were on the node", explain::size(pull.cached_bytes))
            } else {
                String::new()
            };
            self.evidence.push(format!("{} of {} fetched{speed}{cached}", explain::size(pull.downloaded_bytes), of(total)));
        }
        if pull.layer_count > 0 {
            self.evidence
                .push(format!("{} of {} layers done, {} of them cached", pull.layers_done, pull.layer_count, pull.layers_cached));
        }
        self.evidence.push(format!("{} so far, in phase {}", rows::seconds(Some(pull.seconds())), pull.phase));
        if let Some(size) = pull.size_bytes.filter(|_| pull.total_bytes.is_none()) {
            self.evidence.push(format!("the image has {}", of(size)));
        }
        if let Some(since) = pull.stalled_since {
            self.evidence.push(format!("no byte for {}", explain::time(now.since(since.0))));
        }
        self.evidence.extend(pull.host.as_ref().map(load).into_iter().flatten());
        if pull.attempts.len() > 1 {
            let failed = pull.attempts.iter().filter(|attempt| attempt.outcome.as_deref() == Some("failed")).count();
            self.evidence.push(format!("{} tries, {failed} failed", pull.attempts.len()));
        }
        if let Some(eta) = pull.eta_seconds.filter(|_| pull.outcome.is_none()) {
            self.evidence.push(format!("ready in about {}", rows::seconds(Some(eta))));
        }
        self.waits_for = pull.wait.as_ref().map(|wait| {
            let since = explain::time(now.since(wait.since.0));
            let image = wait.image.as_deref().map(rows::short);
            format!("{} for {since}", wait_words(&wait.kind, image.as_deref()))
        });
        self.error = pull.error.clone();
        self.error_class = pull.error_class.clone();
        self.hint = pull.error_hint.clone().or_else(|| pull.wait.as_ref().and_then(wait_hint));
        self.next_try_in_seconds = until(pull.next_retry_at, now);
    }

    fn lines(&self) -> Vec<String> {
        let whose = self.container.as_ref().map_or(String::new(), |container| format!("{container}: "));
        let mut lines = vec![String::new(), format!("{whose}{} is {}", rows::short(&self.image), self.state)];
        let mut add = |word: &str, text: Option<String>| lines.extend(text.map(|text| format!("  {word:<10} {text}")));
        for evidence in &self.evidence {
            add("evidence", Some(evidence.clone()));
        }
        add("waits for", self.waits_for.clone());
        let class = self.error_class.as_ref().map(|class| format!("{class}: ")).unwrap_or_default();
        add("error", self.error.as_ref().map(|error| format!("{class}{error}")));
        add("hint", self.hint.clone());
        add("next try", self.next_try_in_seconds.map(|seconds| format!("in about {}", rows::seconds(Some(seconds)))));
        add("usually", self.usual_seconds.map(|seconds| format!("takes {}", rows::seconds(Some(seconds)))));
        add("pull", self.pull_id.clone());
        lines
    }
}

impl Why {
    fn lines(&self) -> Vec<String> {
        let head = [self.subject.clone(), self.verdict.clone()];
        head.into_iter().chain(self.reasons.iter().flat_map(Reason::lines)).collect()
    }
}

/// What else the node did meanwhile.
fn load(host: &super::answers::Host) -> Vec<String> {
    let limit = host.network_limit_bytes_per_sec.map(|limit| format!(" of {}", explain::speed(limit))).unwrap_or_default();
    let network = host.network_bytes_per_sec.map(|rate| format!("the node receives {}{limit}", explain::speed(rate)));
    let disk = host.disk_busy.map(|busy| format!("its disk is busy {busy} % of the time"));
    network.into_iter().chain(disk).collect()
}

fn wait_words(kind: &str, image: Option<&str>) -> String {
    match (kind, image) {
        ("download_slot", _) => "a free connection, all of the node's are in use,".to_owned(),
        ("layer_lock", Some(image)) => format!("a layer that the pull of {image} fetches,"),
        ("layer_lock", None) => "a layer that another pull fetches,".to_owned(),
        ("stalled", _) => "bytes from the registry, of which none came".to_owned(),
        ("retrying", _) => "the registry, which is asked again,".to_owned(),
        (other, _) => other.to_owned(),
    }
}

/// What helps whoever waits.
fn wait_hint(wait: &Wait) -> Option<String> {
    Some(match (wait.kind.as_str(), &wait.pull_id) {
        ("download_slot", _) => "The runtime fetches as many layers at a time as its max_concurrent_downloads says.".to_owned(),
        ("layer_lock", Some(holder)) => format!("What that pull waits for: pulltrace why {holder}"),
        ("stalled", _) => {
            "Fetch it by hand on the node: if that stands still too, look at network, proxy and registry; if not, delete \
                           the pod and it begins anew."
                .to_owned()
        }
        ("retrying", _) => "Nothing is needed: what was fetched is kept.".to_owned(),
        _ => return None,
    })
}

/// Seconds until a time that is to come.
fn until(at: Option<At>, now: Timestamp) -> Option<f64> {
    at.map(|at| at.0.since(now).as_secs_f64())
}
