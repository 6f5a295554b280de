//! What a rollout of an image would come to, node by node: who has it, how many bytes each other node would fetch, and how long that would take. All of
//! it from the pulls that the collector remembers, so it is an upper bound: what a node had before anyone looked is not known. Nor is the
//! room on its disk, of which nothing is said. What a pull on this machine would come to is asked of its Engine, not here.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
};

use lifecycle::{explain, image::ImageRef};
use serde::Serialize;
use serde_json::json;

use super::{
    AskError,
    answers::{Image, Layer, Node, Pull},
    look::{list, read},
    rows,
    say::{Format, Speaker},
    table::{Table, column, wide},
};
use crate::{
    client::{Client, ClientError},
    server::{Called, Server},
};

/// A pull that fetched less tells nothing of how fast a node is.
const TELLING: u64 = 1 << 20;

/// One node, and what it would do.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodePlan {
    node: String,
    state: State,
    /// Bytes of layers that other pulls left there.
    cached_bytes: u64,
    /// At most so many.
    to_fetch_bytes: u64,
    /// At the rate of its last pulls, unpacking counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_seconds: Option<f64>,
}

/// How a node stands to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// A pull there ended with it.
    HasIt,
    /// One runs.
    Pulling,
    /// Neither, as far as is known.
    NeedsIt,
    /// Its agent is silent, so nobody knows.
    Unknown,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::HasIt => "has it",
            Self::Pulling => "pulling",
            Self::NeedsIt => "needs it",
            Self::Unknown => "unknown",
        }
    }
}

/// Says what a rollout of this image would come to.
pub(crate) fn run(image: &str, format: Format, server: &Server, called: Called) -> anyhow::Result<()> {
    let client = server.client(called)?;
    let full =
        image.parse::<ImageRef>().map_err(|error| AskError::Unknown(format!("{image:?} names no image: {error}")))?.to_string();
    let images: Vec<Image> = read(&list(&client, "/api/v1/images", "images", &[("image", &full)])?)?;
    let known = images.into_iter().find(|one| one.image_ref == full);
    let Some((known, size)) = known.and_then(|one| one.size_bytes.map(|size| (one, size))) else {
        let why = format!("how large {full} is cannot be told: no pull of it that read its manifest is remembered");
        return Err(AskError::Unknown(why).into());
    };
    let nodes: Vec<Node> = read(&client.get::<serde_json::Value>("/api/v1/nodes")?["nodes"])?;
    let pulls = remembered(&client)?;
    let plans = plan(&known, size, &nodes, &pulls);
    let json = json!({ "imageRef": full, "imageDigest": known.image_digest, "sizeBytes": size, "nodes": plans });
    Speaker::new(io::stdout().lock(), format, false).say(&json, table(&plans))?;
    let to_fetch: u64 = plans.iter().map(|plan| plan.to_fetch_bytes).sum();
    let needing = plans.iter().filter(|plan| plan.state == State::NeedsIt).count();
    let line = format!(
        "{}: {}; {needing} of {} nodes would fetch at most {} together. Room on disks is not known here.",
        rows::short(&full),
        explain::size(size),
        plans.len(),
        explain::size(to_fetch)
    );
    writeln!(io::stderr(), "{line}").map_err(ClientError::Output)?;
    Ok(())
}

/// All pulls with their layers.
fn remembered(client: &Client) -> Result<Vec<Pull>, ClientError> {
    read(&list(client, "/api/v1/pulls", "pulls", &[("layers", "true"), ("limit", "200")])?)
}

fn plan(image: &Image, size: u64, nodes: &[Node], pulls: &[Pull]) -> Vec<NodePlan> {
    let of_image = |pull: &&Pull| pull.image_ref.as_deref() == Some(&image.image_ref);
    let layers = pulls.iter().filter(of_image).find(|pull| pull.total_known && !pull.layers.is_empty()).map(|pull| &pull.layers);
    let layers = layers.map_or(&[][..], Vec::as_slice);
    let running: BTreeSet<&str> =
        pulls.iter().filter(of_image).filter(|pull| pull.outcome.is_none()).map(|pull| &*pull.node_name).collect();
    let mut lying: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for pull in pulls.iter().filter(|pull| pull.outcome.as_deref() == Some("ready")) {
        lying.entry(&pull.node_name).or_default().extend(pull.layers.iter().map(|layer| &*layer.digest));
        rates.entry(&pull.node_name).or_default().extend(rate(pull));
    }
    let all: Vec<f64> = rates.values().flatten().copied().collect();
    let here = |node: &Node| lying.get(&*node.name).map_or(0, |there| bytes(layers, there)).min(size);
    let plan_of = |node: &Node| {
        let state = match () {
            () if image.nodes.contains(&node.name) => State::HasIt,
            () if running.contains(&*node.name) => State::Pulling,
            () if node.connected => State::NeedsIt,
            () => State::Unknown,
        };
        let cached_bytes = if state == State::HasIt { size } else { here(node) };
        let to_fetch_bytes = if state == State::HasIt { 0 } else { size - cached_bytes };
        let rate = rates.get(&*node.name).and_then(|rates| median(rates)).or_else(|| median(&all));
        let estimated_seconds = rate.filter(|_| to_fetch_bytes > 0).map(|rate| float(to_fetch_bytes) / rate);
        NodePlan { node: node.name.clone(), state, cached_bytes, to_fetch_bytes, estimated_seconds }
    };
    nodes.iter().map(plan_of).collect()
}

/// Bytes of these layers that lie there.
fn bytes(layers: &[Layer], there: &BTreeSet<&str>) -> u64 {
    layers.iter().filter(|layer| there.contains(&*layer.digest)).map(|layer| layer.total_bytes).sum()
}

/// Bytes per second of a pull from its beginning to its end.
fn rate(pull: &Pull) -> Option<f64> {
    let seconds = pull.seconds();
    (pull.downloaded_bytes >= TELLING && seconds > 0.0).then(|| float(pull.downloaded_bytes) / seconds)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
const fn float(bytes: u64) -> f64 {
    bytes as f64
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn table(plans: &[NodePlan]) -> Table {
    let mut table = Table::new(&[column("NODE"), column("STATE"), column("TO FETCH"), wide("CACHED"), column("TAKES")]);
    for plan in plans {
        table.add(vec![
            plan.node.clone(),
            plan.state.as_str().to_owned(),
            if plan.to_fetch_bytes == 0 { "0 B".to_owned() } else { explain::size(plan.to_fetch_bytes) },
            explain::size(plan.cached_bytes),
            plan.estimated_seconds.map(|seconds| format!("about {}", rows::seconds(Some(seconds)))).unwrap_or_default(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(node: &str, image: &str, outcome: Option<&str>, layers: &[(&str, u64)]) -> Pull {
        let layers: Vec<_> = layers.iter().map(|(digest, size)| json!({ "digest": digest, "totalBytes": size })).collect();
        serde_json::from_value(json!({
            "id": "1", "nodeName": node, "imageRef": image, "phase": "unpacking", "outcome": outcome, "summary": "", "totalKnown": true,
            "downloadedBytes": 20_000_000, "startedAt": "2025-01-15T10:30:00Z", "updatedAt": "2025-01-15T10:30:10Z", "layers": layers,
        }))
        .unwrap()
    }

    fn image(nodes: &[&str]) -> Image {
        serde_json::from_value(json!({
            "imageRef": "r/a:1", "active": 0, "ready": 1, "failed": 0, "downloadedBytes": 0, "nodeCount": 1, "nodes": nodes,
            "lastStartedAt": "2025-01-15T10:30:00Z",
        }))
        .unwrap()
    }

    fn node(name: &str, connected: bool) -> Node {
        serde_json::from_value(json!({ "name": name, "connected": connected, "lastSeen": "2025-01-15T10:30:00Z" })).unwrap()
    }

    #[test]
    fn each_node_fetches_what_no_pull_has_left_there() {
        let layers = [("base", 6_000_000), ("app", 4_000_000)];
        let pulls = [
            pull("n1", "r/a:1", Some("ready"), &layers),
            pull("n2", "r/b:1", Some("ready"), &layers[..1]),
            pull("n3", "r/a:1", None, &layers),
        ];
        let nodes = [node("n1", true), node("n2", true), node("n3", true), node("n4", true), node("n5", false)];
        let plans = plan(&image(&["n1"]), 10_000_000, &nodes, &pulls);
        let told: Vec<_> = plans.iter().map(|plan| (&*plan.node, plan.state, plan.to_fetch_bytes)).collect();
        assert_eq!(
            told,
            [
                ("n1", State::HasIt, 0),
                ("n2", State::NeedsIt, 4_000_000),
                ("n3", State::Pulling, 10_000_000),
                ("n4", State::NeedsIt, 10_000_000),
                ("n5", State::Unknown, 10_000_000),
            ]
        );
        // Twenty megabytes took ten seconds wherever it was measured.
        assert_eq!((plans[0].estimated_seconds, plans[3].estimated_seconds), (None, Some(5.0)));
    }

    #[test]
    fn without_any_pull_no_time_is_told() {
        let plans = plan(&image(&[]), 10_000_000, &[node("n1", true)], &[]);
        assert_eq!((plans[0].to_fetch_bytes, plans[0].estimated_seconds), (10_000_000, None));
    }
}
