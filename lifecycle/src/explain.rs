//! The one sentence for people about a pull: shall I wait, and if not, whose fault is it?
//!
//! State, evidence, expectation; at most [`MAX_SENTENCE`] characters; the only place that words states, so that page, API, log and command
//! line say the same. It refuses to know more than the pull does: what is unknown is left out. The state itself comes from [`crate::board`].

mod host;
mod pods;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::{
    host::Strain,
    pods::{Image, Rollout, pod, rollout},
};

use crate::{
    image::ImageRef,
    pull::{CacheUse, Eta, Failure, Interval, Layer, LayerState, NodeName, Outcome, Phase, Pull, PullId, Size, Wait},
    time::Timestamp,
};

/// Longest sentence, in characters.
pub const MAX_SENTENCE: usize = 140;

/// Longest name of an image, registry or node inside a sentence, in characters; the end is what tells names apart, so the front is cut.
const MAX_NAME: usize = 36;

/// A pull that found everything within this time was ready "at once".
const AT_ONCE: Duration = Duration::from_secs(3);

/// What the sentence needs to know beside the pull.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The node on which it runs.
    pub node: &'a NodeName,
    /// Now, by the clock of that node.
    pub now: Timestamp,
    /// What is heard of the node's agent.
    pub hearing: Hearing,
    /// The pull that holds the layer this one waits for, if it is known.
    pub holder: Option<&'a Holder>,
    /// How often the kubelet asked for the image, if it is known.
    pub attempt: Option<u32>,
}

/// The pull that holds a layer for which another one waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which.
    pub id: PullId,
    /// Its image, if it is known.
    pub image: Option<ImageRef>,
    /// Whether it unpacks the layer; else it fetches it.
    pub is_unpacking: bool,
}

/// What is heard of the agent that watches a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It reports; its last word holds.
    Clear,
    /// Nothing was ever heard of an agent about this pull, only of the kubelet. A report about the pull leads to [`Hearing::Clear`].
    Secondhand {
        /// Whether the node has an agent, which then sees nothing of the pull.
        watched: bool,
    },
    /// It has said nothing for so long. Any word leads back to [`Hearing::Clear`].
    Silent(Duration),
    /// It reports, but no longer counts this pull. A report about the pull leads back to [`Hearing::Clear`].
    Forgotten,
}

/// The sentence about one pull.
pub fn pull(pull: &Pull, scene: &Scene<'_>) -> String {
    let sentence = match (&pull.ending, scene.hearing) {
        (Some(ending), Hearing::Clear | Hearing::Secondhand { .. }) => match &ending.outcome {
            Outcome::Ready => ready(pull),
            Outcome::Failed(failure) => failed(failure, scene.attempt),
            Outcome::Canceled => format!("Canceled after {}{}.", time(pull.duration()), at_percent(pull)),
            Outcome::Lost => format!("The runtime on {} fell silent; {}.", name(scene.node.as_str()), last_state(pull)),
        },
        (_, Hearing::Silent(silence)) => {
            format!("No word from {}'s agent for {}; {}.", name(scene.node.as_str()), time(silence), last_state(pull))
        }
        (_, Hearing::Forgotten) => {
            format!("{}'s agent no longer sees this pull; {}.", name(scene.node.as_str()), last_state(pull))
        }
        (None, Hearing::Secondhand { watched: true }) => {
            format!(
                "Queued in {}'s kubelet{}; containerd has not begun with it.",
                name(scene.node.as_str()),
                for_now(scene.now.since(pull.started_at))
            )
        }
        (None, Hearing::Secondhand { watched: false }) => format!(
            "{}'s kubelet pulls or queues it{}; no agent there says how far it is.",
            name(scene.node.as_str()),
            for_now(scene.now.since(pull.started_at))
        ),
        (None, Hearing::Clear) => match &pull.wait {
            Some(wait @ Wait::Stalled { .. }) => with_verdict(waiting(pull, wait, scene), pull),
            Some(wait) => waiting(pull, wait, scene),
            None => with_verdict(running(pull, scene.now), pull),
        },
    };
    cut_end(&sentence, MAX_SENTENCE)
}

/// The sentence, and behind it what the node has to do with it, if that is clear and there is room.
fn with_verdict(sentence: String, pull: &Pull) -> String {
    let whole = host::verdict(pull).map(|verdict| format!("{sentence} {verdict}"));
    whole.filter(|whole| whole.chars().count() <= MAX_SENTENCE).unwrap_or(sentence)
}

fn running(pull: &Pull, now: Timestamp) -> String {
    match pull.phase {
        Phase::Queued => "Queued; the node has not begun this pull yet.".to_owned(),
        Phase::Resolving => {
            let whom = pull.image.as_ref().map_or_else(|| "the registry".to_owned(), |image| name(image.registry()));
            format!("Asking {whom} for the manifest{}.", for_now(now.since(pull.started_at)))
        }
        Phase::Downloading => downloading(pull),
        Phase::Unpacking => unpacking(pull, now),
    }
}

fn downloading(pull: &Pull) -> String {
    let speed = pull.bytes_per_sec.filter(|rate| *rate > 0).map_or_else(String::new, |rate| format!(" at {}", speed(rate)));
    let fetched = pull.fetched_bytes();
    match pull.to_fetch() {
        Size::Known(total) => {
            let left = pull.eta.map_or_else(String::new, |eta| format!(", {} left", expected(eta)));
            let lazy = if pull.layers_lazy() > 0 { format!("; {}", lazy(pull)) } else { String::new() };
            let cached = match pull.cached_bytes() {
                0 => String::new(),
                bytes => format!("; {} was already here", size(bytes)),
            };
            format!("Downloading {}{}{speed}{left}{cached}{lazy}.", share(fetched, total), from(pull.image.as_ref()))
        }
        Size::AtLeast(least) => {
            let least = if least > fetched { format!(" (at least {})", size(least)) } else { String::new() };
            format!("Downloading, {} so far{speed}; the total is not known yet{least}.", size(fetched))
        }
    }
}

fn unpacking(pull: &Pull, now: Timestamp) -> String {
    let download = taken(pull.layers.iter().map(|l| l.download));
    let download = if download.is_zero() { String::new() } else { format!("; the download took {}", time(download)) };
    let unpacked_at = |at: usize| format!("Unpacking layer {} of {}", at + 1, pull.layers.len());
    match position(&pull.layers, LayerState::Unpacking) {
        Some(at) => {
            let since = pull.layers[at].unpack.start.map_or(Duration::ZERO, |start| now.since(start));
            format!("{}{}{download}.", unpacked_at(at), lasting(since))
        }
        None => format!("Unpacking, {} of {} layers are done{download}.", pull.layers_done(), pull.layers.len()),
    }
}

fn waiting(pull: &Pull, wait: &Wait, scene: &Scene<'_>) -> String {
    let waited = scene.now.since(wait.since());
    let registry = pull.image.as_ref().map_or_else(|| "the registry".to_owned(), |image| name(image.registry()));
    match wait {
        Wait::DownloadSlot { .. } => {
            format!("Waiting for a download slot{}; {}'s are all in use.", for_now(waited), engine(pull))
        }
        Wait::LayerLock { layer, holder, .. } => match scene.holder.filter(|h| h.id == *holder) {
            Some(other) => {
                let work = if other.is_unpacking { "unpacking" } else { "downloading" };
                format!("Waiting for layer {}, which the pull of {} is {work} on this node.", layer.short(), holder_name(other))
            }
            None => format!("Waiting for layer {}, which another pull is bringing to this node.", layer.short()),
        },
        Wait::Stalled { .. } => format!("Stalled: no byte from {registry} for {}{}.", time(waited), place(pull)),
        Wait::Retrying { .. } => {
            let layer = match position(&pull.layers, LayerState::Downloading) {
                Some(at) => format!("layer {} of {}", at + 1, pull.layers.len()),
                None => "it".to_owned(),
            };
            format!("The connection to {registry} was lost {} ago; {} is retrying {layer}.", time(waited), engine(pull))
        }
    }
}

/// Who fetches the layers: the one whose images these are.
fn engine(pull: &Pull) -> &'static str {
    match pull.namespace.as_str() {
        "moby" => "Docker",
        "podman" => "Podman",
        _ => "containerd",
    }
}

fn ready(pull: &Pull) -> String {
    let took = pull.duration();
    if pull.cache_use() == Some(CacheUse::Full) {
        let layers = match pull.layers.len() {
            1 => "its one layer was already here".to_owned(),
            n => format!("all {n} layers were already here"),
        };
        return match took < AT_ONCE {
            true => format!("Ready at once: {layers}."),
            false => format!("Ready in {}: nothing had to be fetched, {layers} or came with another pull.", time(took)),
        };
    }
    let fetched = pull.fetched_bytes();
    let mut parts = Vec::new();
    if fetched > 0 {
        let rate = per_second(fetched, taken(pull.layers.iter().filter(|l| !l.cached).map(|l| l.download)));
        parts.push(format!("{} fetched{}", size(fetched), rate.map_or_else(String::new, |rate| format!(" at {}", speed(rate)))));
    }
    if pull.layers_lazy() > 0 {
        parts.push(lazy(pull));
    }
    if pull.cached_bytes() > 0 {
        parts.push(format!("{} from cache", size(pull.cached_bytes())));
    }
    let unpacked = taken(pull.layers.iter().map(|l| l.unpack)).min(took);
    if unpacked >= Duration::from_secs(1) {
        parts.push(format!("unpacking took {} of it", time(unpacked)));
    }
    match parts.is_empty() {
        true => format!("Ready in {}.", time(took)),
        false => format!("Ready in {}: {}.", time(took), parts.join(", ")),
    }
}

/// What a lazy snapshotter mounted: it is used without being here.
fn lazy(pull: &Pull) -> String {
    let layers = match pull.layers_lazy() {
        1 => "1 layer".to_owned(),
        n => format!("{n} layers"),
    };
    format!("lazy: {layers} ({}) mounted remotely", size(pull.lazy_bytes()))
}

/// The hint is kept whole; what was said is cut to what remains.
fn failed(failure: &Failure, attempt: Option<u32>) -> String {
    let hint = failure.class.hint();
    let times =
        attempt.filter(|attempt| *attempt > 1).map_or_else(String::new, |attempt| format!(" ({} attempt)", ordinal(attempt)));
    let room = MAX_SENTENCE.saturating_sub("Failed: . ".len() + times.len() + hint.chars().count());
    let words: Vec<&str> = failure.message.split(is_unspeakable).filter(|word| !word.is_empty()).collect();
    let message = words.join(" ");
    let message = message.trim_end_matches('.');
    match message.is_empty() {
        true => format!("Failed{times}. {hint}"),
        false => format!("Failed: {}{times}. {hint}", cut_end(message, room)),
    }
}

/// `1st`, `2nd`, `3rd`, `11th`.
fn ordinal(number: u32) -> String {
    let end = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

/// Spaces, and what would break a line, drive a terminal or turn the direction of what follows.
fn is_unspeakable(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn last_state(pull: &Pull) -> String {
    let percent = whole_percent(pull).map_or_else(String::new, |percent| format!(", {percent} %"));
    format!("the last state was {}{percent}", pull.phase.as_str())
}

/// ` (layer 4 of 9, 35 %)`, as far as it is known.
fn place(pull: &Pull) -> String {
    let layer = position(&pull.layers, LayerState::Downloading).map(|at| format!("layer {} of {}", at + 1, pull.layers.len()));
    let percent = whole_percent(pull).map(|percent| format!("{percent} %"));
    let parts: Vec<String> = layer.into_iter().chain(percent).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn at_percent(pull: &Pull) -> String {
    whole_percent(pull).map_or_else(String::new, |percent| format!(" at {percent} %"))
}

/// Whole percent of what is to be fetched, rounded down; 99 at most, because only [`ready`] speaks of the end.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage lies between 0 and 100")]
fn whole_percent(pull: &Pull) -> Option<u8> {
    pull.percent().map(|percent| (percent as u8).min(99))
}

fn from(image: Option<&ImageRef>) -> String {
    image.map_or_else(String::new, |image| format!(" from {}", name(image.registry())))
}

fn holder_name(holder: &Holder) -> String {
    let short = |id: PullId| id.to_string().chars().take(6).collect::<String>();
    holder.image.as_ref().map_or_else(|| short(holder.id), |image| name(&image.familiar()))
}

fn position(layers: &[Layer], state: LayerState) -> Option<usize> {
    layers.iter().position(|l| l.state == state)
}

/// How long at least one of these stretches lasted; those without both ends do not count.
fn taken(stretches: impl Iterator<Item = Interval>) -> Duration {
    let mut closed: Vec<_> = stretches.filter_map(|s| Some((s.start?, s.end?))).collect();
    closed.sort_unstable();
    let (mut total, mut covered) = (Duration::ZERO, Timestamp::EPOCH);
    for (start, end) in closed {
        total += end.since(start.max(covered));
        covered = covered.max(end);
    }
    total
}

fn per_second(bytes: u64, over: Duration) -> Option<u64> {
    let millis = over.as_millis();
    let rate = (u128::from(bytes) * 1000).checked_div(millis)?;
    u64::try_from(rate).ok()
}

/// ` for 6 s now`; nothing below a second.
fn for_now(waited: Duration) -> String {
    if waited < Duration::from_secs(1) { String::new() } else { format!(", for {} now", time(waited)) }
}

/// ` for 48 s`; nothing below a second.
fn lasting(waited: Duration) -> String {
    if waited < Duration::from_secs(1) { String::new() } else { format!(" for {}", time(waited)) }
}

/// `about 19 s`, `20 s to 1 m 05 s` where one number would say too much, `at least 40 s`.
fn expected(eta: Eta) -> String {
    match (eta.likely(), eta.low(), eta.high()) {
        (_, Some(low), Some(high)) if high >= 2 * low && high.as_secs() > low.as_secs() + 1 => {
            format!("{} to {}", time(low), time(high))
        }
        (Some(likely), ..) => format!("about {}", time(likely)),
        (None, low, _) => format!("at least {}", time(low.unwrap_or_default())),
    }
}

/// `0.4 s`, `14 s`, `2 m 10 s`, `1 h 05 m`; rounded down, so that a time never reads longer than it was.
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0) => format!("0.{} s", (duration.subsec_millis() / 100).max(1)),
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} m {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} m"),
    }
}

/// Bytes in binary units: `410 MiB`, `2.8 GiB`.
pub fn size(bytes: u64) -> String {
    let (unit, name) = binary_unit(bytes);
    format!("{} {name}", in_units(bytes, unit))
}

/// Bytes as a bare number in the unit in which [`size`] tells `whole`: `1.2` of what is `2.8 GiB`.
pub fn amount(bytes: u64, whole: u64) -> String {
    in_units(bytes, binary_unit(whole).0)
}

/// Bytes per second in decimal units: `88 MB/s`, `9.8 MB/s`, `40 kB/s`.
pub fn speed(bytes_per_second: u64) -> String {
    let (unit, name) = match bytes_per_second {
        1_000_000_000.. => (1_000_000_000, "GB/s"),
        1_000_000.. => (1_000_000, "MB/s"),
        1_000.. => (1_000, "kB/s"),
        0..1_000 => (1, "B/s"),
    };
    format!("{} {name}", in_units(bytes_per_second, unit))
}

/// `1.2 of 2.8 GiB`; each with its own unit where one unit would make the part look like nothing.
fn share(part: u64, whole: u64) -> String {
    let (unit, name) = binary_unit(whole);
    if part == 0 || part >= unit / 10 {
        format!("{} of {} {name}", in_units(part, unit), in_units(whole, unit))
    } else {
        format!("{} of {}", size(part), size(whole))
    }
}

const fn binary_unit(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0x4000_0000.. => (0x4000_0000, "GiB"),
        0x10_0000.. => (0x10_0000, "MiB"),
        0x400.. => (0x400, "KiB"),
        0..0x400 => (1, "B"),
    }
}

/// With one decimal below ten units, else whole; rounded down, so that a part never reads as the whole.
fn in_units(bytes: u64, unit: u64) -> String {
    if bytes == 0 || unit == 1 || bytes / unit >= 10 {
        return (bytes / unit).to_string();
    }
    let tenths = u128::from(bytes) * 10 / u128::from(unit);
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// A name that fits into a sentence: its end, behind an ellipsis, if it is longer than [`MAX_NAME`].
fn name(text: &str) -> String {
    let length = text.chars().count();
    match length > MAX_NAME {
        true => format!("…{}", text.chars().skip(length - MAX_NAME + 1).collect::<String>()),
        false => text.to_owned(),
    }
}

/// The beginning of a text, before an ellipsis if it is longer than `max` characters.
fn cut_end(text: &str, max: usize) -> String {
    match text.chars().count() > max {
        true => format!("{}…", text.chars().take(max.saturating_sub(1)).collect::<String>().trim_end()),
        false => text.to_owned(),
    }
}
