//! From one log record of ours to a report: every attribute is read by its name and type and held to its bounds, and the first that does
//! not fit refuses the record. The mirror of [`super::encode`].
//!
//! Order does not matter; of an attribute that stands twice the last counts; attributes without a name here are ignored.

use std::{sync::Arc, time::Duration};

use super::{
    MAX_MESSAGE, MAX_TEXT, Reason, Said,
    column::{Column, Intervals, Words},
    reject::Refusal,
    values::{Attributes, malformed, plausible, short, time, utf8},
    view::{Value, fields, repeated},
};
use crate::{
    image::{Digest, ImageRef},
    names,
    pull::{
        Ending, Eta, Failure, Host, Layer, MAX_QUEUED_IMAGES, MAX_WAITS, Node, NodeReport, Outcome, Pressure, Pull, PullId,
        Report, Wait, Waited,
    },
    time::Timestamp,
};

/// The fields of a `LogRecord` that carry something of ours.
pub(super) struct Record<'a, 'r> {
    event: &'a [u8],
    trace_id: &'a [u8],
    nanos: u64,
    attributes: &'r mut Attributes<'a>,
}

impl<'a, 'r> Record<'a, 'r> {
    /// `LogRecord`: time_unix_nano = 1, attributes = 6, trace_id = 9, event_name = 12. `attributes` is room that may have been used before.
    pub(super) fn read(record: &'a [u8], attributes: &'r mut Attributes<'a>) -> Result<Self, Refusal> {
        attributes.clear();
        let mut read = Self { event: &[], trace_id: &[], nanos: 0, attributes };
        for field in fields(record) {
            match field.map_err(|_| malformed("a log record"))? {
                (1, Value::Fixed64(nanos)) => read.nanos = nanos,
                (6, Value::Bytes(attribute)) => read.attributes.add(attribute)?,
                (9, Value::Bytes(id)) => read.trace_id = id,
                (12, Value::Bytes(name)) => read.event = name,
                (1 | 6 | 9 | 12, _) => return Err(malformed("a log record")),
                _ => {}
            }
        }
        Ok(read)
    }

    /// Whether it is about a pull or a node.
    pub(super) fn is_report(&self) -> bool {
        self.is_pull() || self.is_node()
    }

    fn is_pull(&self) -> bool {
        [names::EVENT_STARTED, names::EVENT_PROGRESS, names::EVENT_FINISHED].iter().any(|name| name.as_bytes() == self.event)
    }

    fn is_node(&self) -> bool {
        self.event == names::EVENT_NODE.as_bytes()
    }
}

/// Reads a record that [is a report](Record::is_report).
pub(super) fn said(record: &Record<'_, '_>, node: &Arc<Node>) -> Result<Said, Refusal> {
    let attributes = &*record.attributes;
    if record.is_node() {
        return Ok(Said::Node(Box::new(NodeReport {
            node: Node::clone(node),
            observed_at: time("the time of a log record", record.nanos)?,
            agent_version: attributes.text(names::AGENT_VERSION, MAX_TEXT)?.unwrap_or_default().to_owned(),
            runtime_reachable: required(names::AGENT_REACHABLE, attributes.boolean(names::AGENT_REACHABLE)?)?,
            active_pulls: required(names::AGENT_ACTIVE, attributes.int(names::AGENT_ACTIVE)?)?,
            queued_images: queued(attributes)?,
            dropped_progress: attributes.int(names::AGENT_DROPPED_PROGRESS)?.unwrap_or(0),
            dropped_outcomes: attributes.int(names::AGENT_DROPPED_OUTCOMES)?.unwrap_or(0),
        })));
    }
    Ok(Said::Pull(Box::new(Report { node: node.clone(), pull: pull(record)? })))
}

/// Reads the pull of a record that tells of one.
pub(super) fn pull(record: &Record<'_, '_>) -> Result<Pull, Refusal> {
    let observed_at = time("the time of a log record", record.nanos)?;
    let id = PullId::from_bytes(record.trace_id).ok_or(Refusal::new(Reason::BadId, "the trace id of a log record"))?;
    state(id, observed_at, record.attributes)
}

/// The node that a `Resource` (attributes = 1) speaks for.
pub(super) fn node_of(resource: &[u8]) -> Result<Node, Refusal> {
    let mut attributes = Attributes::with_room(16);
    for attribute in repeated(resource, 1) {
        attributes.add(attribute.map_err(|_| malformed("the resource"))?)?;
    }
    let text = |name| attributes.text(name, MAX_TEXT).map(|text| text.unwrap_or_default().to_owned());
    let uid = text(names::NODE_UID)?;
    Ok(Node {
        name: required(names::NODE_NAME, attributes.parsed(names::NODE_NAME, Reason::BadName)?)?,
        uid: required(names::NODE_UID, (!uid.is_empty()).then_some(uid))?,
        cluster: text(names::CLUSTER_NAME)?,
        runtime_name: text(names::RUNTIME_NAME)?,
        runtime_version: text(names::RUNTIME_VERSION)?,
    })
}

fn state(id: PullId, observed_at: Timestamp, attributes: &Attributes<'_>) -> Result<Pull, Refusal> {
    let text = |name| attributes.text(name, MAX_TEXT).map(|text| text.map(str::to_owned));
    Ok(Pull {
        id,
        sequence: required(names::PULL_SEQUENCE, attributes.int(names::PULL_SEQUENCE)?)?,
        namespace: required(names::CONTAINERD_NAMESPACE, text(names::CONTAINERD_NAMESPACE)?)?,
        image: image(attributes)?,
        digest: attributes.parsed(names::IMAGE_DIGEST, Reason::BadDigest)?,
        snapshotter: text(names::SNAPSHOTTER)?.unwrap_or_default(),
        phase: required(names::PULL_PHASE, attributes.parsed(names::PULL_PHASE, Reason::UnknownWord)?)?,
        wait: wait(attributes)?,
        waits: waits(attributes)?,
        ending: ending(attributes)?,
        started_at: required(names::PULL_STARTED_AT, attributes.time(names::PULL_STARTED_AT)?)?,
        resolved_at: attributes.time(names::PULL_RESOLVED_AT)?,
        observed_at,
        total_known: required(names::PULL_TOTAL_KNOWN, attributes.boolean(names::PULL_TOTAL_KNOWN)?)?,
        bytes_per_sec: attributes.bytes(names::PULL_BYTES_PER_SEC)?,
        eta: eta(attributes)?,
        host: host(attributes)?,
        layers: layers(attributes)?,
    })
}

/// The images that wait in the kubelet, at most as many as are ever sent.
fn queued(attributes: &Attributes<'_>) -> Result<Vec<ImageRef>, Refusal> {
    let queued: Vec<_> = attributes.words(names::AGENT_QUEUED, Reason::BadName)?;
    if queued.len() > MAX_QUEUED_IMAGES {
        return Err(Refusal::new(Reason::TooMany, names::AGENT_QUEUED));
    }
    Ok(queued)
}

/// Absent bounds are those of an agent that tells none.
fn eta(attributes: &Attributes<'_>) -> Result<Option<Eta>, Refusal> {
    let time = |name| Ok(attributes.int(name)?.map(Duration::from_nanos));
    let [likely, low, high] = [time(names::PULL_ETA)?, time(names::PULL_ETA_LOW)?, time(names::PULL_ETA_HIGH)?];
    Eta::from_parts(low, likely, high).map_err(|_| Refusal::new(Reason::OutOfRange, names::PULL_ETA))
}

fn host(attributes: &Attributes<'_>) -> Result<Host, Refusal> {
    let pressure =
        |some, full| Ok(attributes.percent(some)?.zip(attributes.percent(full)?).map(|(some, full)| Pressure { some, full }));
    Ok(Host {
        network_rate: attributes.bytes(names::HOST_NETWORK_RATE)?,
        network_limit: attributes.bytes(names::HOST_NETWORK_LIMIT)?,
        disk_busy: attributes.percent(names::HOST_DISK_BUSY)?,
        io: pressure(names::HOST_IO_SOME, names::HOST_IO_FULL)?,
        memory: pressure(names::HOST_MEMORY_SOME, names::HOST_MEMORY_FULL)?,
        cpu: attributes.percent(names::HOST_CPU_SOME)?,
    })
}

/// A name that does not read back as it was written is one of which only registry and repository are known.
fn image(attributes: &Attributes<'_>) -> Result<Option<ImageRef>, Refusal> {
    let Some(text) = attributes.any_text(names::IMAGE_NAME)? else { return Ok(None) };
    let bad = |_| Refusal::new(Reason::BadName, names::IMAGE_NAME);
    let image: ImageRef = text.parse().map_err(bad)?;
    if image.is_written(text) {
        return Ok(Some(image));
    }
    ImageRef::repository_only(image.registry(), image.repository()).map(Some).map_err(bad)
}

fn ending(attributes: &Attributes<'_>) -> Result<Option<Ending>, Refusal> {
    let outcome = match attributes.any_text(names::PULL_OUTCOME)? {
        None => return Ok(None),
        Some("ready") => Outcome::Ready,
        Some("canceled") => Outcome::Canceled,
        Some("lost") => Outcome::Lost,
        Some("failed") => Outcome::Failed(Failure {
            class: required(names::ERROR_TYPE, attributes.parsed(names::ERROR_TYPE, Reason::UnknownWord)?)?,
            message: attributes.text(names::ERROR_MESSAGE, MAX_MESSAGE)?.unwrap_or_default().to_owned(),
        }),
        Some(_) => return Err(Refusal::new(Reason::UnknownWord, names::PULL_OUTCOME)),
    };
    let at = required(names::PULL_ENDED_AT, attributes.time(names::PULL_ENDED_AT)?)?;
    let source = attributes.parsed(names::TIMING_SOURCE, Reason::UnknownWord)?.unwrap_or_default();
    Ok(Some(Ending { outcome, at, source }))
}

fn wait(attributes: &Attributes<'_>) -> Result<Option<Wait>, Refusal> {
    let Some(kind) = attributes.any_text(names::PULL_WAIT)? else { return Ok(None) };
    let since = required(names::PULL_WAIT_SINCE, attributes.time(names::PULL_WAIT_SINCE)?)?;
    let lock = || {
        let holder = required(names::PULL_WAIT_HOLDER, attributes.parsed(names::PULL_WAIT_HOLDER, Reason::BadId)?)?;
        let layer = required(names::PULL_WAIT_LAYER, attributes.parsed(names::PULL_WAIT_LAYER, Reason::BadDigest)?)?;
        Ok((holder, layer))
    };
    wait_of(kind, since, lock, names::PULL_WAIT).map(Some)
}

fn waits(attributes: &Attributes<'_>) -> Result<Vec<Waited>, Refusal> {
    if attributes.get(names::WAITS_KIND).is_none() {
        return Ok(Vec::new());
    }
    let kinds = attributes.texts(names::WAITS_KIND)?;
    let count = kinds.len();
    if count > MAX_WAITS {
        return Err(Refusal::new(Reason::TooMany, names::WAITS_KIND));
    }
    let since = of_length(count, names::WAITS_SINCE, attributes.ints(names::WAITS_SINCE)?)?;
    let until = of_length(count, names::WAITS_UNTIL, attributes.ints(names::WAITS_UNTIL)?)?;
    let holders = of_length(count, names::WAITS_HOLDER, attributes.texts(names::WAITS_HOLDER)?)?;
    let layers = of_length(count, names::WAITS_LAYER, attributes.texts(names::WAITS_LAYER)?)?;
    let one = |i: usize| {
        let lock = || {
            let holder = holders[i].parse().map_err(|_| Refusal::new(Reason::BadId, names::WAITS_HOLDER))?;
            let layer = layers[i].parse().map_err(|_| Refusal::new(Reason::BadDigest, names::WAITS_LAYER))?;
            Ok((holder, layer))
        };
        let wait = wait_of(kinds[i], time(names::WAITS_SINCE, since[i])?, lock, names::WAITS_KIND)?;
        Ok(Waited { wait, until: time(names::WAITS_UNTIL, until[i])? })
    };
    (0..count).map(one).collect()
}

/// A wait of this kind; `lock` says what a `layer_lock` is about.
fn wait_of(
    kind: &str,
    since: Timestamp,
    lock: impl FnOnce() -> Result<(PullId, Digest), Refusal>,
    name: &'static str,
) -> Result<Wait, Refusal> {
    Ok(match kind {
        "download_slot" => Wait::DownloadSlot { since },
        "stalled" => Wait::Stalled { since },
        "retrying" => Wait::Retrying { since },
        "layer_lock" => {
            let (holder, layer) = lock()?;
            Wait::LayerLock { since, holder, layer }
        }
        _ => return Err(Refusal::new(Reason::UnknownWord, name)),
    })
}

/// The parallel arrays are walked side by side, where they lie.
fn layers(attributes: &Attributes<'_>) -> Result<Vec<Layer>, Refusal> {
    let column = |name| attributes.column(name);
    let mut digests = column(names::LAYERS_DIGEST)?;
    let count = digests.length()?;
    let mut media_types = column(names::LAYERS_MEDIA_TYPE)?;
    let (mut sizes, mut offsets) = (column(names::LAYERS_SIZE)?, column(names::LAYERS_OFFSET)?);
    let mut states = Words::new(column(names::LAYERS_STATE)?, Reason::UnknownWord);
    let mut cached = column(names::LAYERS_CACHED)?;
    let mut lazy = attributes.get(names::LAYERS_LAZY).map(|_| column(names::LAYERS_LAZY)).transpose()?;
    let intervals = |[start, end, source]: [&'static str; 3]| {
        Ok(Intervals { start: column(start)?, end: column(end)?, source: Words::new(column(source)?, Reason::UnknownWord) })
    };
    let mut downloads = intervals([names::LAYERS_DOWNLOAD_START, names::LAYERS_DOWNLOAD_END, names::LAYERS_DOWNLOAD_SOURCE])?;
    let mut unpacks = intervals([names::LAYERS_UNPACK_START, names::LAYERS_UNPACK_END, names::LAYERS_UNPACK_SOURCE])?;
    let mut layers: Vec<Layer> = Vec::with_capacity(count);
    for _ in 0..count {
        let digest = utf8(digests.name, digests.text()?)?.parse().map_err(|_| Refusal::new(Reason::BadDigest, digests.name))?;
        let said = media_types.text()?;
        // The layers of an image nearly always have the same.
        let media_type = match layers.last() {
            Some(last) if last.media_type.as_bytes() == said => Arc::clone(&last.media_type),
            Some(_) | None => Arc::from(short(media_types.name, utf8(media_types.name, said)?, MAX_TEXT)?),
        };
        let size = plausible(names::LAYERS_SIZE, sizes.int()?)?;
        let fetched = offsets.int()?;
        if fetched > size {
            return Err(Refusal::new(Reason::OutOfRange, names::LAYERS_OFFSET));
        }
        let state = states.next()?;
        let was_cached = cached.boolean()?;
        let is_lazy = lazy.as_mut().map_or(Ok(false), Column::boolean)?;
        let (download, unpack) = (downloads.next()?, unpacks.next()?);
        layers.push(Layer { digest, media_type, size, fetched, cached: was_cached, lazy: is_lazy, state, download, unpack });
    }
    [media_types, sizes, offsets, cached].into_iter().chain(lazy).try_for_each(Column::end)?;
    states.end()?;
    [downloads, unpacks].into_iter().try_for_each(Intervals::end)?;
    Ok(layers)
}

fn of_length<T>(count: usize, name: &'static str, list: Vec<T>) -> Result<Vec<T>, Refusal> {
    (list.len() == count).then_some(list).ok_or(Refusal::new(Reason::UnequalLengths, name))
}

fn required<T>(name: &'static str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or(Refusal::new(Reason::Missing, name))
}
