//! The queries of the API: which keys each question understands, and which pulls the query of `/api/v1/pulls` and the event stream means.
//! Refuses keys that mean nothing, keys that stand twice and words that are not allowed, by name.

use std::{cmp::Reverse, collections::BTreeMap};

use axum::{extract::Query, http::Uri};
use lifecycle::{
    board::{PodRef, PullView},
    image::ImageRef,
    pull::{Outcome, Phase, PullId},
    time::Timestamp,
};

use super::Problem;
use crate::snapshot::{Newest, Row};

/// Things of one answer, unless asked for fewer.
pub(super) const MAX_LIMIT: usize = 1000;
/// Longest query, in bytes.
const MAX_QUERY: usize = 4096;

/// One key that a question understands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) value: Value,
    /// What it is for, in a sentence.
    pub(super) help: &'static str,
}

/// What may stand behind a key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Text,
    Flag,
    /// 1 to [`MAX_LIMIT`].
    Limit,
    Phase,
    Outcome,
}

const fn key(name: &'static str, value: Value, help: &'static str) -> Key {
    Key { name, value, help }
}

pub(super) const NAMESPACE: Key = key("namespace", Value::Text, "Only of this namespace.");
pub(super) const NODE: Key = key("node", Value::Text, "Only on this node.");
pub(super) const IMAGE: Key = key("image", Value::Text, "Only images whose full name contains this.");
pub(super) const WORKLOAD: Key = key("workload", Value::Text, "Only of this workload, as Kind/name.");
pub(super) const REGISTRY: Key = key("registry", Value::Text, "Only from this registry.");
const LIMIT: Key = key("limit", Value::Limit, "So many at most; what follows is behind nextCursor.");
const CURSOR: Key = key("cursor", Value::Text, "The nextCursor of an earlier answer: go on behind it.");

/// The keys that say which pulls are meant.
const FILTER: [Key; 9] = [
    key("namespace", Value::Text, "Only pulls for pods of this namespace, or of this namespace of containerd."),
    key("pod", Value::Text, "Only pulls that a pod of this name waits for, or waited."),
    NODE,
    IMAGE,
    REGISTRY,
    key("phase", Value::Phase, "Only pulls that are in this phase, or were when they ended."),
    key("outcome", Value::Outcome, "Only pulls that ended so."),
    key(
        "q",
        Value::Text,
        "Only pulls with this text in image, digest, id, node, error, sentence, or the name of a pod or its workload, in either case.",
    ),
    key("active", Value::Flag, "true: only pulls that run; false: only pulls that ended."),
];
const LAYERS: Key = key("layers", Value::Flag, "Whether each pull has its layers.");
const LAST_EVENT_ID: Key = key("lastEventId", Value::Text, "Go on behind this event; the header Last-Event-ID says the same.");

const SUMMARY: Key = key("summary", Value::Flag, "Whether sentences are told whenever they change.");

/// The keys of a list of images.
pub(super) const IMAGE_KEYS: [Key; 5] = [IMAGE, REGISTRY, NODE, LIMIT, CURSOR];

/// The keys of a list of pods.
pub(super) const POD_KEYS: [Key; 5] = [NAMESPACE, WORKLOAD, NODE, LIMIT, CURSOR];

/// The questions about pulls; each refuses the keys of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    List,
    Stream,
    Frames,
}

impl Question {
    /// The keys that this question understands.
    pub(super) fn keys(self) -> Vec<Key> {
        let more: &[Key] = match self {
            Self::List => &[LAYERS, LIMIT, CURSOR],
            Self::Stream => &[LAYERS, LAST_EVENT_ID],
            Self::Frames => &[LAYERS, LAST_EVENT_ID, SUMMARY],
        };
        FILTER.iter().chain(more).copied().collect()
    }
}

/// The query of an address, each key once and each known.
#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<String, String>);

impl Asked {
    /// Reads a query of which these keys are understood.
    pub(super) fn read(uri: &Uri, keys: &[Key]) -> Result<Self, Problem> {
        if uri.query().is_some_and(|query| query.len() > MAX_QUERY) {
            return Err(Problem::BadRequest(format!("the query is longer than {MAX_QUERY} bytes")));
        }
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| Problem::BadRequest(error.to_string()))?;
        let is_known = |name: &str| keys.iter().any(|key| key.name == name);
        let unknown: Vec<_> = pairs.iter().filter(|(name, _)| !is_known(name)).map(|(name, _)| format!("{name:?}")).collect();
        if !unknown.is_empty() {
            let known = match keys {
                [] => "none are".to_owned(),
                keys => format!("known are {}", keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")),
            };
            return Err(Problem::BadRequest(format!("unknown in the query: {}; {known}", unknown.join(", "))));
        }
        let mut asked = BTreeMap::new();
        for (name, value) in pairs {
            if let Some((name, _)) = asked.insert(name.clone(), value).map(|old| (name, old)) {
                return Err(Problem::BadRequest(format!("{name} stands twice in the query")));
            }
        }
        Ok(Self(asked))
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        self.0.remove(name).map(|text| text.parse().map_err(|_| not_one_of(name, &text, &["true", "false"]))).transpose()
    }

    /// How many are wanted.
    pub(super) fn limit(&mut self) -> Result<usize, Problem> {
        let Some(text) = self.0.remove(LIMIT.name) else { return Ok(MAX_LIMIT) };
        let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
        limit.ok_or_else(|| Problem::BadRequest(format!("limit must be 1 to {MAX_LIMIT}, not {text:?}")))
    }
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

impl Wanted {
    /// Reads the query of an address.
    pub(super) fn read(uri: &Uri, question: Question) -> Result<Self, Problem> {
        let mut asked = Asked::read(uri, &question.keys())?;
        let phase =
            asked.text("phase").map(|word| word.parse().map_err(|_| not_one_of("phase", &word, &Phase::ALL.map(Phase::as_str))));
        let outcome = asked.text("outcome").map(|word| match Outcome::WORDS.contains(&word.as_str()) {
            true => Ok(word),
            false => Err(not_one_of("outcome", &word, &Outcome::WORDS)),
        });
        let filter = Filter {
            namespace: asked.text("namespace"),
            pod: asked.text("pod"),
            node: asked.text("node"),
            image: asked.text("image"),
            registry: asked.text("registry"),
            phase: phase.transpose()?,
            outcome: outcome.transpose()?,
            active: asked.flag("active")?,
            text: asked.text("q").map(|text| text.to_lowercase()),
        };
        Ok(Self {
            filter,
            layers: asked.flag(LAYERS.name)?,
            limit: asked.limit()?,
            after: asked.text(CURSOR.name).map(|text| read_cursor(&text)).transpose()?,
            last_event_id: asked.text(LAST_EVENT_ID.name),
            summary: asked.flag(SUMMARY.name)?,
        })
    }
}

impl Filter {
    /// Whether this pull is meant now.
    pub(super) fn matches(&self, row: &Row) -> bool {
        let pull = &row.view;
        self.phase.is_none_or(|phase| phase == pull.phase())
            && self.outcome.as_deref().is_none_or(|outcome| pull.outcome() == Some(outcome))
            && self.active.is_none_or(|active| active == pull.is_running())
            && self.is_about(row)
    }

    /// Whether this pull, which changed, may have been meant before: it is on the node that is meant, if one is.
    pub(super) fn is_of_node(&self, row: &Row) -> bool {
        self.node.as_ref().is_none_or(|wanted| wanted == row.view.node().as_str())
    }

    /// Whether it is free text that says which pulls are meant: that is looked for in sentences too, which change with every number.
    pub(super) const fn looks_at_words(&self) -> bool {
        self.text.is_some()
    }

    /// Whether this pull is meant at some time of its life: everything but phase and outcome fits.
    pub(super) fn is_about(&self, row: &Row) -> bool {
        let pull = &row.view;
        let is = |wanted: &Option<String>, text: Option<&str>| wanted.as_deref().is_none_or(|wanted| text == Some(wanted));
        let in_pods = |wanted: &Option<String>, of: fn(&PodRef) -> &str| {
            wanted.as_deref().is_none_or(|wanted| pull.pods().iter().any(|pod| of(pod) == wanted))
        };
        (is(&self.namespace, Some(pull.namespace())) || in_pods(&self.namespace, |pod| &pod.namespace))
            && in_pods(&self.pod, |pod| &pod.pod_name)
            && is(&self.node, Some(pull.node().as_str()))
            && is(&self.registry, pull.image().map(ImageRef::registry))
            && self.image.as_ref().is_none_or(|wanted| name(pull).contains(wanted.as_str()))
            && self.text.as_ref().is_none_or(|text| says(row, text))
    }
}

/// Whether a pull's names, ids, error or sentence have this text, which is in lowercase.
fn says(row: &Row, text: &str) -> bool {
    let pull = &row.view;
    let has = |told: &str| told.to_lowercase().contains(text);
    let of_pod = |pod: &PodRef| has(&pod.pod_name) || pod.workload.as_ref().is_some_and(|workload| has(&workload.name));
    has(&name(pull))
        || has(pull.node().as_str())
        || pull.pods().iter().any(of_pod)
        || pull.digest().is_some_and(|digest| has(digest.as_str()))
        || has(&pull.id().to_string())
        || pull.failure().is_some_and(|(_, message)| has(&message))
        || has(row.sentence())
}

/// The full name of a pull's image; empty while unknown.
fn name(pull: &PullView) -> String {
    pull.image().map(ToString::to_string).unwrap_or_default()
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
