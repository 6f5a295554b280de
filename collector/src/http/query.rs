//! The query of `/api/v1/pulls` and `/api/v1/events`: which pulls are meant. Refuses keys and words that mean nothing, by name.

use std::cmp::Reverse;

use axum::{extract::Query, http::Uri};
use lifecycle::{
    board::{PodRef, status::PullStatus},
    pull::{Phase, PullId},
    time::Timestamp,
};
use serde::Deserialize;

use super::Problem;
use crate::snapshot::Newest;

/// Pulls of one answer, unless asked for fewer.
pub(super) const MAX_LIMIT: usize = 1000;
/// Longest text of one value, in bytes.
const MAX_VALUE: usize = 4096;
/// The words of `outcome`.
const OUTCOMES: [&str; 4] = ["ready", "failed", "canceled", "lost"];

/// The keys, as they stand in the address.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Keys {
    pod: Option<String>,
    namespace: Option<String>,
    node: Option<String>,
    image: Option<String>,
    registry: Option<String>,
    phase: Option<String>,
    outcome: Option<String>,
    q: Option<String>,
    active: Option<bool>,
    layers: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
    last_event_id: Option<String>,
    summary: Option<bool>,
}

/// Which pulls are meant, and how they are to be shown.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) filter: Filter,
    /// Whether layers are shown, if it was said.
    pub(super) layers: Option<bool>,
    pub(super) limit: usize,
    /// Where a list goes on.
    pub(super) after: Option<Newest>,
    /// Where a stream goes on, as it was said.
    pub(super) last_event_id: Option<String>,
    /// Whether sentences are told whenever they change, if it was said.
    pub(super) summary: Option<bool>,
}

/// Which pulls are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Filter {
    /// The name of a pod that waits for the pull.
    pod: Option<String>,
    namespace: Option<String>,
    node: Option<String>,
    image: Option<String>,
    registry: Option<String>,
    phase: Option<Phase>,
    outcome: Option<String>,
    active: Option<bool>,
    /// In lowercase.
    text: Option<String>,
}

/// The questions that share the keys; each refuses those of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    List,
    Stream,
    Frames,
}

impl Wanted {
    /// Reads the query of an address.
    pub(super) fn read(uri: &Uri, question: Question) -> Result<Self, Problem> {
        let Query(keys) = Query::<Keys>::try_from_uri(uri).map_err(|error| Problem::BadRequest(said(&error)))?;
        let elsewhere = match question {
            Question::List => keys.last_event_id.as_ref().map(|_| "lastEventId"),
            Question::Stream | Question::Frames => keys.limit.map(|_| "limit").or(keys.cursor.as_ref().map(|_| "cursor")),
        };
        let summary = keys.summary.filter(|_| question != Question::Frames).map(|_| "summary");
        let elsewhere = elsewhere.or(summary);
        if let Some(key) = elsewhere {
            return Err(Problem::BadRequest(format!("{key} means nothing here")));
        }
        if uri.query().is_some_and(|query| query.len() > MAX_VALUE) {
            return Err(Problem::BadRequest(format!("the query is longer than {MAX_VALUE} bytes")));
        }
        let phase = keys.phase.map(|word| word.parse().map_err(|_| not_one_of("phase", &word, &Phase::ALL.map(Phase::as_str))));
        let outcome = keys.outcome.map(|word| match OUTCOMES.contains(&word.as_str()) {
            true => Ok(word),
            false => Err(not_one_of("outcome", &word, &OUTCOMES)),
        });
        let limit = keys.limit.unwrap_or(MAX_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::BadRequest(format!("limit must be 1 to {MAX_LIMIT}, not {limit}")));
        }
        let filter = Filter {
            namespace: keys.namespace,
            pod: keys.pod,
            node: keys.node,
            image: keys.image,
            registry: keys.registry,
            phase: phase.transpose()?,
            outcome: outcome.transpose()?,
            active: keys.active,
            text: keys.q.map(|text| text.to_lowercase()),
        };
        let after = keys.cursor.map(|text| read_cursor(&text)).transpose()?;
        Ok(Self { filter, layers: keys.layers, limit, after, last_event_id: keys.last_event_id, summary: keys.summary })
    }
}

impl Filter {
    /// Whether this pull is meant now.
    pub(super) fn matches(&self, pull: &PullStatus) -> bool {
        self.is_about(pull)
            && self.phase.is_none_or(|phase| phase == pull.phase)
            && self.outcome.as_deref().is_none_or(|outcome| pull.outcome == Some(outcome))
            && self.active.is_none_or(|active| active == pull.is_running())
    }

    /// Whether this pull, which changed, may have been meant before: it is on the node that is meant, if one is.
    pub(super) fn is_of_node(&self, pull: &PullStatus) -> bool {
        self.node.as_ref().is_none_or(|wanted| *wanted == pull.node_name)
    }

    /// Whether it is free text that says which pulls are meant: that is looked for in sentences too, which change with every number.
    pub(super) const fn looks_at_words(&self) -> bool {
        self.text.is_some()
    }

    /// Whether this pull is meant at some time of its life: everything but phase and outcome fits.
    pub(super) fn is_about(&self, pull: &PullStatus) -> bool {
        let is = |wanted: &Option<String>, text: Option<&str>| wanted.as_deref().is_none_or(|wanted| text == Some(wanted));
        let image = pull.image_ref.as_ref().map(ToString::to_string).unwrap_or_default();
        let in_pods = |wanted: &Option<String>, of: fn(&PodRef) -> &str| {
            wanted.as_deref().is_none_or(|wanted| pull.pods.iter().any(|pod| of(pod) == wanted))
        };
        (is(&self.namespace, Some(&pull.containerd_namespace)) || in_pods(&self.namespace, |pod| &pod.namespace))
            && in_pods(&self.pod, |pod| &pod.pod_name)
            && is(&self.node, Some(&pull.node_name))
            && is(&self.registry, pull.registry.as_deref())
            && self.image.as_ref().is_none_or(|wanted| image.contains(wanted.as_str()))
            && self.text.as_ref().is_none_or(|text| {
                let digest = pull.image_digest.as_ref().map(ToString::to_string).unwrap_or_default();
                let (id, error) = (pull.id.to_string(), pull.error.as_deref().unwrap_or_default());
                let texts = [&image, &digest, &id, pull.node_name.as_str(), error, pull.summary.as_str()];
                texts.iter().any(|t| t.to_lowercase().contains(text.as_str()))
            })
    }
}

/// Where a list goes on behind this pull, for `cursor`.
pub(super) fn cursor_behind((Reverse(started), id): Newest) -> String {
    format!("{}-{id}", started.as_nanos())
}

fn read_cursor(text: &str) -> Result<Newest, Problem> {
    let parts = text.split_once('-').and_then(|(nanos, id)| Some((nanos.parse().ok()?, id.parse::<PullId>().ok()?)));
    let (nanos, id) =
        parts.ok_or_else(|| Problem::BadRequest("cursor must be the nextCursor of an earlier answer".to_owned()))?;
    Ok((Reverse(Timestamp::from_nanos(nanos)), id))
}

fn not_one_of(key: &str, word: &str, words: &[&str]) -> Problem {
    Problem::BadRequest(format!("{key} must be one of {}, not {word:?}", words.join(", ")))
}

/// The innermost cause, which names the key.
fn said(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), said)
}
