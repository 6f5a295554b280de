//! What is asked of the collector for each subject, and the answer as JSON and as a table. How rows look is next door, in [`super::rows`].

use lifecycle::{explain, time::Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    AskError,
    answers::{Image, Node, Pod, PodItem, Pull, Summary, Workload},
    rows,
    table::Table,
};
use crate::{
    client::{Client, ClientError},
    cluster::Kind,
};

/// Most pages of a list that are read; a page has up to a thousand things.
const MAX_PAGES: usize = 200;

/// What can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Pods, or what makes them.
    Pods(Kind),
    /// Nodes.
    Nodes,
    /// Images.
    Images,
}

/// What there is to say.
#[derive(Debug)]
pub(crate) struct Answer {
    /// As the collector said it.
    pub(crate) json: Value,
    pub(crate) table: Table,
    /// What an empty table means.
    pub(crate) nothing: String,
}

impl Subject {
    pub(crate) const fn has_namespace(self) -> bool {
        matches!(self, Self::Pods(_))
    }

    /// What people call it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Pods(Kind::Pod) => "pod",
            Self::Pods(kind) => kind.as_str(),
            Self::Nodes => "node",
            Self::Images => "image",
        }
    }
}

/// Asks for one of them, or for all.
pub(crate) fn look(
    client: &Client,
    subject: Subject,
    name: Option<&str>,
    namespace: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<Answer> {
    match (subject, name) {
        (Subject::Pods(Kind::Pod), Some(name)) => pod(client, namespace.unwrap_or_default(), name, now),
        (Subject::Pods(Kind::Pod), None) => pods(client, namespace, now),
        (Subject::Pods(kind), name) => workloads(client, kind, name, namespace, now),
        (Subject::Nodes, Some(name)) => node(client, name),
        (Subject::Nodes, None) => nodes(client, now),
        (Subject::Images, Some(name)) => image(client, name),
        (Subject::Images, None) => images(client, now),
    }
}

/// The pulls that run, for pods of this namespace or for all.
pub(crate) fn running(client: &Client, namespace: Option<&str>) -> anyhow::Result<Answer> {
    let keys: Vec<_> =
        [("active", "true"), ("layers", "false")].into_iter().chain(namespace.map(|name| ("namespace", name))).collect();
    let pulls = list(client, "/api/v1/pulls", "pulls", &keys)?;
    let table = rows::pulls(&read::<Vec<Pull>>(&pulls)?);
    Ok(Answer { json: json!({ "pulls": pulls }), table, nothing: "No pull runs.".to_owned() })
}

/// The cluster in a line.
pub(crate) fn summary(client: &Client) -> Result<String, ClientError> {
    let sum: Summary = client.get("/api/v1/summary")?;
    let Summary { active, stalled, failed, bytes_per_sec, nodes, nodes_connected, pods_waiting } = sum;
    let speed = if bytes_per_sec > 0 { format!(" at {}", explain::speed(bytes_per_sec)) } else { String::new() };
    Ok(format!(
        "{active} pulls run{speed}, {stalled} stalled; {pods_waiting} pods wait; {failed} failed lately; {nodes_connected} of {nodes} nodes are heard."
    ))
}

/// What the collector knows of a pod.
pub(crate) fn one_pod(client: &Client, namespace: &str, name: &str) -> Result<(Value, Pod), ClientError> {
    let json: Value = client.get(&format!("/api/v1/pods/{namespace}/{name}"))?;
    let pod = read(&json)?;
    Ok((json, pod))
}

/// All things of a list, page after page.
pub(crate) fn list(client: &Client, path: &str, of: &str, keys: &[(&str, &str)]) -> Result<Value, ClientError> {
    let mut all = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let keys: Vec<_> = keys.iter().copied().chain(cursor.as_deref().map(|cursor| ("cursor", cursor))).collect();
        let mut page: Value = client.ask(path, &keys)?;
        if let Value::Array(things) = page[of].take() {
            all.extend(things);
        }
        cursor = page["nextCursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    Ok(Value::Array(all))
}

/// Pods in short, of one workload (`Kind/name`) or all.
pub(crate) fn items(client: &Client, namespace: Option<&str>, workload: Option<&str>) -> Result<Value, ClientError> {
    let keys = namespace.map(|name| ("namespace", name)).into_iter().chain(workload.map(|name| ("workload", name)));
    list(client, "/api/v1/pods", "pods", &keys.collect::<Vec<_>>())
}

/// JSON of the collector as what it says.
pub(crate) fn read<T: DeserializeOwned>(json: &Value) -> Result<T, ClientError> {
    T::deserialize(json).map_err(ClientError::Answer)
}

fn pod(client: &Client, namespace: &str, name: &str, now: Timestamp) -> anyhow::Result<Answer> {
    let (json, pod) = one_pod(client, namespace, name)?;
    Ok(Answer { table: rows::containers(&pod, now), nothing: pod.summary, json })
}

fn pods(client: &Client, namespace: Option<&str>, now: Timestamp) -> anyhow::Result<Answer> {
    let pods = items(client, namespace, None)?;
    let table = rows::pods(&read::<Vec<PodItem>>(&pods)?, namespace.is_none(), now);
    let nothing = format!("No pod{} waits for an image, or did lately.", within(namespace));
    Ok(Answer { json: json!({ "pods": pods }), table, nothing })
}

fn workloads(client: &Client, kind: Kind, name: Option<&str>, namespace: Option<&str>, now: Timestamp) -> anyhow::Result<Answer> {
    let keys: Vec<_> = namespace.map(|name| ("namespace", name)).into_iter().collect();
    let all: Value = client.ask("/api/v1/workloads", &keys)?;
    let of_kind = |one: &&Value| one["kind"] == kind.as_str() && name.is_none_or(|name| one["name"] == name);
    let found: Vec<Value> = all["workloads"].as_array().into_iter().flatten().filter(of_kind).cloned().collect();
    let Some(name) = name else {
        let json = Value::Array(found);
        let table = rows::workloads(&read::<Vec<Workload>>(&json)?, namespace.is_none());
        let nothing = format!("No {}{} waits for images, or did lately.", kind.as_str(), within(namespace));
        return Ok(Answer { json: json!({ "workloads": json }), table, nothing });
    };
    let Some(workload) = found.into_iter().next() else {
        let why = format!(
            "no pod of {} {name}{} waits for an image, or did lately, as far as is known",
            kind.as_str(),
            within(namespace)
        );
        return Err(AskError::Unknown(why).into());
    };
    let pods = items(client, namespace, Some(&format!("{}/{name}", kind.as_str())))?;
    let table = rows::pods(&read::<Vec<PodItem>>(&pods)?, false, now);
    let nothing = read::<Workload>(&workload)?.summary;
    Ok(Answer { json: json!({ "workload": workload, "pods": pods }), table, nothing })
}

fn nodes(client: &Client, now: Timestamp) -> anyhow::Result<Answer> {
    let json: Value = client.get("/api/v1/nodes")?;
    let table = rows::nodes(&read::<Vec<Node>>(&json["nodes"])?, now);
    Ok(Answer { json, table, nothing: "No agent is known; see `pulltrace doctor`.".to_owned() })
}

fn node(client: &Client, name: &str) -> anyhow::Result<Answer> {
    let all: Value = client.get("/api/v1/nodes")?;
    let node = all["nodes"].as_array().into_iter().flatten().find(|node| node["name"] == name).cloned();
    let pulls = list(client, "/api/v1/pulls", "pulls", &[("node", name), ("layers", "false")])?;
    if node.is_none() && pulls.as_array().is_none_or(Vec::is_empty) {
        return Err(
            AskError::Unknown(format!("no agent of a node {name} is known; `pulltrace node` lists those that are")).into()
        );
    }
    let table = rows::pulls(&read::<Vec<Pull>>(&pulls)?);
    Ok(Answer { json: json!({ "node": node, "pulls": pulls }), table, nothing: format!("Nothing was pulled on {name} lately.") })
}

fn images(client: &Client, now: Timestamp) -> anyhow::Result<Answer> {
    let images = list(client, "/api/v1/images", "images", &[])?;
    let table = rows::images(&read::<Vec<Image>>(&images)?, now);
    Ok(Answer { json: json!({ "images": images }), table, nothing: "No image was pulled lately.".to_owned() })
}

/// All images whose full name contains this, with their pulls on all nodes.
fn image(client: &Client, name: &str) -> anyhow::Result<Answer> {
    let images = list(client, "/api/v1/images", "images", &[("image", name)])?;
    if images.as_array().is_none_or(Vec::is_empty) {
        return Err(AskError::Unknown(format!("no image with {name:?} in its name was pulled lately, as far as is known")).into());
    }
    let pulls = list(client, "/api/v1/pulls", "pulls", &[("image", name), ("layers", "false")])?;
    let table = rows::pulls(&read::<Vec<Pull>>(&pulls)?);
    Ok(Answer { json: json!({ "images": images, "pulls": pulls }), table, nothing: "Its pulls are forgotten.".to_owned() })
}

fn within(namespace: Option<&str>) -> String {
    namespace.map_or_else(String::new, |name| format!(" in namespace {name}"))
}
