//! REST about images: what the pulls in memory say of each, from every node. No list of what is on the nodes: an image that was there before
//! anyone looked, and one whose pulls are forgotten, is not told of.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use lifecycle::{
    board::PullView,
    image::Digest,
    pull::{ErrorClass, Size},
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Problem, Site,
    answer::written,
    query::{Asked, IMAGE_KEYS},
};

/// Most nodes that one image names.
const MAX_NODES: usize = 1000;

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageList {
    /// The images, by name.
    images: Vec<ImageStatus>,
    /// Where the list goes on; absent at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One image and its pulls on all nodes, as far as they are in memory.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageStatus {
    /// Its full name.
    image_ref: String,
    /// Host of its registry.
    registry: String,
    /// What the name stands for, by the newest pull that knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    image_digest: Option<Digest>,
    /// Compressed size of its layers, by the newest pull that read the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// Its pulls.
    pulls: usize,
    /// Those that run.
    active: usize,
    /// Those that ended with the image.
    ready: usize,
    /// Those that ended by an error.
    failed: usize,
    /// Those that were taken back.
    canceled: usize,
    /// Those of which nobody knows how they ended.
    lost: usize,
    /// Bytes that all of them fetched.
    downloaded_bytes: u64,
    /// Bytes that they did not need to fetch.
    cached_bytes: u64,
    /// Nodes that have it: a pull there ended with the image.
    node_count: usize,
    /// Their names, at most 1000.
    nodes: Vec<String>,
    /// How long the pulls took that ended with the image; absent if none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    durations: Option<Durations>,
    /// Why pulls failed, the newest reason first.
    failures: Vec<Failures>,
    /// When the newest pull began.
    last_started_at: Timestamp,
}

/// Seconds from the beginning of pulls to their end.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Durations {
    min_seconds: f64,
    median_seconds: f64,
    max_seconds: f64,
    /// Of the pull that ended last.
    last_seconds: f64,
}

/// Pulls that failed for one reason.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failures {
    /// The class of the reason.
    #[schemars(extend("enum" = ErrorClass::ALL.map(ErrorClass::as_str)))]
    error_class: &'static str,
    /// So many.
    count: usize,
    /// When the last of them ended.
    last_at: Timestamp,
    /// Original text of that one.
    error: String,
    /// What usually helps.
    error_hint: &'static str,
}

/// `GET /api/v1/images`.
pub(super) async fn images(State(site): State<Site>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let mut asked = Asked::read(&uri, &IMAGE_KEYS)?;
    let limit = asked.limit()?;
    let [image, registry, node, cursor] = ["image", "registry", "node", "cursor"].map(|key| asked.text(key));
    site.answer(headers, move |snapshot| {
        let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
        let mut grouped: BTreeMap<String, Vec<&PullView>> = BTreeMap::new();
        for pull in snapshot.newest(None).map(|row| &row.view) {
            let Some(name) = pull.image() else { continue };
            if is(&registry, name.registry()) && is(&node, pull.node().as_str()) {
                grouped.entry(name.to_string()).or_default().push(pull);
            }
        }
        if let Some(wanted) = &image {
            grouped.retain(|name, _| name.contains(wanted.as_str()));
        }
        let from = cursor.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut behind = grouped.range::<String, _>((from, Bound::Unbounded));
        let images: Vec<_> = behind.by_ref().take(limit).map(|(name, pulls)| ImageStatus::of(name, pulls)).collect();
        let next_cursor = behind.next().and(images.last()).map(|image| image.image_ref.clone());
        written(&ImageList { images, next_cursor })
    })
    .await
}

impl ImageStatus {
    /// What an image's pulls say of it, newest first.
    fn of(name: &str, pulls: &[&PullView]) -> Self {
        let ended = |outcome| pulls.iter().filter(|pull| pull.outcome() == Some(outcome)).count();
        let ready = || pulls.iter().filter(|pull| pull.outcome() == Some("ready"));
        let nodes: BTreeSet<_> = ready().map(|pull| pull.node().as_str()).collect();
        let bytes = pulls.iter().map(|pull| pull.fetched_and_cached());
        let (fetched, cached) = bytes.fold((0_u64, 0_u64), |sum, of| (sum.0.saturating_add(of.0), sum.1.saturating_add(of.1)));
        Self {
            image_ref: name.to_owned(),
            registry: pulls.iter().find_map(|pull| pull.image()).map(|image| image.registry().to_owned()).unwrap_or_default(),
            image_digest: pulls.iter().find_map(|pull| pull.digest().cloned()),
            size_bytes: pulls.iter().map(|pull| pull.size()).find(|size| size.is_known()).map(Size::bytes),
            pulls: pulls.len(),
            active: pulls.iter().filter(|pull| pull.is_running()).count(),
            ready: ended("ready"),
            failed: ended("failed"),
            canceled: ended("canceled"),
            lost: ended("lost"),
            downloaded_bytes: fetched,
            cached_bytes: cached,
            node_count: nodes.len(),
            nodes: nodes.into_iter().take(MAX_NODES).map(ToOwned::to_owned).collect(),
            durations: Durations::of(ready().filter_map(|pull| Some((pull.completed_at()?, pull.started_at()))).collect()),
            failures: Failures::of(pulls),
            last_started_at: pulls.first().map(|pull| pull.started_at()).unwrap_or_default(),
        }
    }
}

impl Durations {
    /// Of pulls that ended and began at these times.
    fn of(mut times: Vec<(Timestamp, Timestamp)>) -> Option<Self> {
        times.sort_unstable();
        let took = |(end, start): &(Timestamp, Timestamp)| end.since(*start).as_secs_f64();
        let last_seconds = times.last().map(took)?;
        let mut seconds: Vec<_> = times.iter().map(took).collect();
        seconds.sort_unstable_by(f64::total_cmp);
        let (min_seconds, max_seconds) = (*seconds.first()?, *seconds.last()?);
        Some(Self { min_seconds, median_seconds: seconds[seconds.len() / 2], max_seconds, last_seconds })
    }
}

impl Failures {
    fn of(pulls: &[&PullView]) -> Vec<Self> {
        let mut by_class: BTreeMap<&str, Self> = BTreeMap::new();
        for pull in pulls {
            let (Some((class, error)), Some(last_at)) = (pull.failure(), pull.completed_at()) else { continue };
            let new = || Self { error_class: class.as_str(), count: 0, last_at, error: error.clone(), error_hint: class.hint() };
            let known = by_class.entry(class.as_str()).or_insert_with(new);
            known.count += 1;
            if last_at > known.last_at {
                (known.last_at, known.error) = (last_at, error);
            }
        }
        let mut failures: Vec<_> = by_class.into_values().collect();
        failures.sort_by_key(|failures| std::cmp::Reverse(failures.last_at));
        failures
    }
}
