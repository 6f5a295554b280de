//! What is said of a pull when it has ended: how it ended, the time of each phase, bytes, speed, the slowest layer and the digest. Pure, and
//! the same on every surface.

use std::time::Duration;

use lifecycle::{
    board::phase_durations,
    explain::{self, Hearing, Scene},
    pull::{ErrorClass, Interval, Layer, NodeName, Outcome, Phase, Pull, Size},
};

/// A last word about a pull, line by line: what it is about, and the words.
pub(crate) fn lines(pull: &Pull, node: &NodeName) -> Vec<(&'static str, String)> {
    let mut lines = vec![("result", sentence(pull, node))];
    let times: Vec<String> =
        phase_durations(pull).map(|(phase, took)| format!("{} {}", verb(phase), explain::time(took))).collect();
    if !times.is_empty() {
        lines.push(("time", format!("{} in all: {}", explain::time(pull.duration()), times.join(", "))));
    }
    if !pull.layers.is_empty() {
        lines.push(("bytes", bytes(pull)));
    }
    lines.extend(slowest(pull).map(|line| ("slowest", line)));
    let ready = pull.ending.as_ref().is_some_and(|ending| ending.outcome == Outcome::Ready);
    lines.extend(pull.digest.iter().filter(|_| ready).map(|digest| ("digest", digest.to_string())));
    lines
}

/// The one sentence about a pull, as every surface of Pulltrace has it.
pub(crate) fn sentence(pull: &Pull, node: &NodeName) -> String {
    explain::pull(pull, &Scene { node, now: pull.observed_at, hearing: Hearing::Clear, holder: None, attempt: None })
}

/// What helps against a failure, on a host where an Engine pulls.
pub(crate) const fn hint(class: ErrorClass) -> &'static str {
    if matches!(class, ErrorClass::Other) { "The Engine's own log may say more." } else { class.hint() }
}

/// What a layer is called: the first digits of its digest, as Docker has them.
pub(crate) fn layer_name(layer: &Layer) -> &str {
    let encoded = layer.digest.encoded();
    encoded.get(..crate::docker::SHORT).unwrap_or(encoded)
}

/// Bytes, in front of them `>=` if they are a lower bound.
pub(crate) fn total(size: Size) -> String {
    match size {
        Size::Known(bytes) => explain::size(bytes),
        Size::AtLeast(bytes) => format!(">= {}", explain::size(bytes)),
    }
}

fn bytes(pull: &Pull) -> String {
    let fetched = pull.fetched_bytes();
    if pull.layers_cached() == pull.layers.len() {
        return format!("nothing to fetch, {}", cached(pull));
    }
    let over = span(pull.layers.iter().filter(|layer| !layer.cached).map(|layer| layer.download));
    let speed =
        over.and_then(|over| per_second(fetched, over)).map_or_else(String::new, |rate| format!(" at {}", explain::speed(rate)));
    let of = match pull.to_fetch() {
        Size::Known(total) if total == fetched => String::new(),
        size @ (Size::Known(_) | Size::AtLeast(_)) => format!(" of {}", total(size)),
    };
    format!("{}{of} fetched{speed}, {}", explain::size(fetched), cached(pull))
}

fn cached(pull: &Pull) -> String {
    match (pull.layers_cached(), pull.cached_bytes()) {
        (0, _) => "nothing cached".to_owned(),
        (1, bytes) => format!("1 layer cached{}", saved(bytes)),
        (count, bytes) => format!("{count} layers cached{}", saved(bytes)),
    }
}

fn saved(bytes: u64) -> String {
    if bytes == 0 { String::new() } else { format!(" ({} saved)", explain::size(bytes)) }
}

/// The layer that took longest to fetch and to unpack; what it waited in between is not its own time.
fn slowest(pull: &Pull) -> Option<String> {
    let took = |interval: Interval| interval.start.zip(interval.end).map(|(start, end)| end.since(start));
    let all = |layer: &Layer| Some(took(layer.download).unwrap_or_default() + took(layer.unpack).unwrap_or_default());
    let timed = pull.layers.iter().filter_map(|layer| Some((layer, all(layer).filter(|all| !all.is_zero())?)));
    let (layer, all) = timed.max_by_key(|(_, took)| *took)?;
    let part = |interval, name| took(interval).map(|took| format!("{name} {}", explain::time(took)));
    let parts = [part(layer.download, "download"), part(layer.unpack, "unpack")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(format!("{} ({}): {} ({})", layer_name(layer), explain::size(layer.size), explain::time(all), parts.join(", ")))
}

const fn verb(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued => "queue",
        Phase::Resolving => "resolve",
        Phase::Downloading => "download",
        Phase::Unpacking => "unpack",
    }
}

/// From the first begin to the last end.
fn span(stretches: impl Iterator<Item = Interval> + Clone) -> Option<Duration> {
    let start = stretches.clone().filter_map(|stretch| stretch.start).min()?;
    Some(stretches.filter_map(|stretch| stretch.end).max()?.since(start))
}

fn per_second(bytes: u64, over: Duration) -> Option<u64> {
    let rate = (u128::from(bytes) * 1_000_000_000).checked_div(over.as_nanos())?;
    u64::try_from(rate).ok().filter(|rate| *rate > 0)
}
