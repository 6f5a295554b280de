//! The one sentence for people about a pull: shall I wait, and if not, whose fault is it?
//!
//! State, evidence, expectation; at most [`MAX_SENTENCE`] characters; the only place that words states, so that page, API, log and command
//! line say the same. It refuses to know more than the pull does: what is unknown is left out. The state itself comes from [`crate::board`].

use std::time::Duration;

use crate::{
    image::ImageRef,
    pull::{CacheUse, Failure, Interval, Layer, LayerState, NodeName, Outcome, Phase, Pull, PullId, Size, Wait},
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
    pub holder: Option<&'a Pull>,
}

/// What is heard of the agent that watches a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It reports; its last word holds.
    Clear,
    /// It has said nothing for so long. Any word leads back to [`Hearing::Clear`].
    Silent(Duration),
    /// It reports, but no longer counts this pull. A report about the pull leads back to [`Hearing::Clear`].
    Forgotten,
}

/// The sentence about one pull.
pub fn pull(pull: &Pull, scene: &Scene<'_>) -> String {
    let sentence = match (&pull.ending, scene.hearing) {
        (Some(ending), Hearing::Clear) => match &ending.outcome {
            Outcome::Ready => ready(pull),
            Outcome::Failed(failure) => failed(failure),
            Outcome::Canceled => format!("Canceled after {}{}.", time(pull.duration()), at_percent(pull)),
            Outcome::Lost => format!("The runtime on {} fell silent; {}.", name(scene.node.as_str()), last_state(pull)),
        },
        (_, Hearing::Silent(silence)) => {
            format!("No word from {}'s agent for {}; {}.", name(scene.node.as_str()), time(silence), last_state(pull))
        }
        (_, Hearing::Forgotten) => {
            format!("{}'s agent no longer sees this pull; {}.", name(scene.node.as_str()), last_state(pull))
        }
        (None, Hearing::Clear) => match &pull.wait {
            Some(wait) => waiting(pull, wait, scene),
            None => running(pull, scene.now),
        },
    };
    cut_end(&sentence, MAX_SENTENCE)
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
            let left = pull.eta.map_or_else(String::new, |eta| format!(", about {} left", time(eta)));
            let cached = match pull.cached_bytes() {
                0 => String::new(),
                bytes => format!("; {} was already here", size(bytes)),
            };
            format!("Downloading {}{}{speed}{left}{cached}.", share(fetched, total), from(pull.image.as_ref()))
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
            format!("Waiting for a download slot{}; containerd's are all in use.", for_now(waited))
        }
        Wait::LayerLock { layer, holder, .. } => match scene.holder.filter(|h| h.id == *holder) {
            Some(other) => {
                let unpacks = other.layers.iter().any(|l| l.digest == *layer && l.state == LayerState::Unpacking);
                let work = if unpacks { "unpacking" } else { "downloading" };
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
            format!("The connection to {registry} was lost {} ago; containerd is retrying {layer}.", time(waited))
        }
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

/// The hint is kept whole; what was said is cut to what remains.
fn failed(failure: &Failure) -> String {
    let hint = failure.class.hint();
    let room = MAX_SENTENCE.saturating_sub("Failed: . ".len() + hint.chars().count());
    let words: Vec<&str> = failure.message.split(is_unspeakable).filter(|word| !word.is_empty()).collect();
    let message = words.join(" ");
    let message = message.trim_end_matches('.');
    if message.is_empty() { format!("Failed. {hint}") } else { format!("Failed: {}. {hint}", cut_end(message, room)) }
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

fn holder_name(holder: &Pull) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        image::Digest,
        pull::{Ending, ErrorClass, TimingSource},
    };

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    const START: u64 = 1_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis((START + seconds) * 1000)
    }

    fn interval(start: u64, end: Option<u64>) -> Interval {
        Interval { start: Some(at(start)), end: end.map(at), source: TimingSource::Event }
    }

    fn layer(size: u64, fetched: u64, state: LayerState) -> Layer {
        let cached = state == LayerState::Cached;
        let digest = Digest::of(format!("{size}/{fetched}").as_bytes());
        let none = Interval::default();
        Layer { digest, media_type: String::new(), size, fetched, cached, state, download: none, unpack: none }
    }

    fn pull_of(image: &str, phase: Phase, layers: Vec<Layer>) -> Pull {
        Pull {
            id: PullId::derive("uid", "k8s.io", image, at(0)),
            sequence: 1,
            namespace: "k8s.io".into(),
            image: image.parse().ok(),
            digest: None,
            snapshotter: String::new(),
            phase,
            wait: None,
            ending: None,
            started_at: at(0),
            resolved_at: None,
            observed_at: at(10),
            total_known: true,
            bytes_per_sec: None,
            eta: None,
            layers,
        }
    }

    fn ended(mut pull: Pull, outcome: Outcome, after: u64) -> Pull {
        pull.ending = Some(Ending { outcome, at: at(after), source: TimingSource::Event });
        pull
    }

    fn say(pull: &Pull, now: u64, hearing: Hearing, holder: Option<&Pull>) -> String {
        let node = "node-7".parse().unwrap();
        super::pull(pull, &Scene { node: &node, now: at(now), hearing, holder })
    }

    fn plain(pull: &Pull, now: u64) -> String {
        say(pull, now, Hearing::Clear, None)
    }

    fn failed_with(class: ErrorClass, message: &str) -> String {
        let failure = Failure { class, message: message.into() };
        plain(&ended(pull_of("a", Phase::Resolving, vec![]), Outcome::Failed(failure), 3), 3)
    }

    #[test]
    fn a_pull_that_resolves_says_whom_it_asks_and_for_how_long() {
        let mut pull = pull_of("ghcr.io/team/app:1", Phase::Resolving, vec![]);
        assert_eq!(plain(&pull, 6), "Asking ghcr.io for the manifest, for 6 s now.");
        pull.image = None;
        assert_eq!(plain(&pull, 0), "Asking the registry for the manifest.");
    }

    #[test]
    fn a_download_says_how_much_how_fast_and_how_long() {
        let layers = vec![
            layer(28 * GIB / 10, 12 * GIB / 10 + 1, LayerState::Downloading),
            layer(GIB * 11 / 10 + 1, 0, LayerState::Cached),
        ];
        let mut pull = pull_of("ghcr.io/team/app:1", Phase::Downloading, layers);
        pull.bytes_per_sec = Some(88_000_000);
        pull.eta = Some(Duration::from_millis(19_400));
        assert_eq!(
            plain(&pull, 10),
            "Downloading 1.2 of 2.7 GiB from ghcr.io at 88 MB/s, about 19 s left; 1.1 GiB was already here."
        );
        pull.image = None;
        (pull.bytes_per_sec, pull.eta) = (None, None);
        pull.layers.pop();
        pull.layers[0].fetched = 3 * MIB;
        assert_eq!(plain(&pull, 10), "Downloading 3.0 MiB of 2.7 GiB.");
    }

    #[test]
    fn a_download_of_unknown_size_says_so() {
        let mut pull = pull_of("a", Phase::Downloading, vec![layer(2 * GIB, 410 * MIB, LayerState::Downloading)]);
        pull.total_known = false;
        pull.bytes_per_sec = Some(52_000_000);
        assert_eq!(plain(&pull, 10), "Downloading, 410 MiB so far at 52 MB/s; the total is not known yet (at least 2.0 GiB).");
    }

    #[test]
    fn a_wait_for_a_layer_names_the_pull_that_holds_it() {
        let holder = pull_of("team/base:7", Phase::Unpacking, vec![layer(MIB, MIB, LayerState::Unpacking)]);
        let digest = holder.layers[0].digest.clone();
        let mut pull = pull_of("team/app:1", Phase::Downloading, vec![layer(MIB, 0, LayerState::Queued)]);
        pull.wait = Some(Wait::LayerLock { since: at(2), holder: holder.id, layer: digest.clone() });
        let short = digest.short();
        assert_eq!(
            say(&pull, 9, Hearing::Clear, Some(&holder)),
            format!("Waiting for layer {short}, which the pull of team/base:7 is unpacking on this node.")
        );
        assert_eq!(plain(&pull, 9), format!("Waiting for layer {short}, which another pull is bringing to this node."));
    }

    #[test]
    fn a_wait_for_a_slot_a_stall_and_a_retry_say_what_is_known() {
        let layers = vec![layer(35, 35, LayerState::Ready), layer(65, 0, LayerState::Downloading)];
        let mut pull = pull_of("ghcr.io/team/app:1", Phase::Downloading, layers);
        pull.wait = Some(Wait::DownloadSlot { since: at(2) });
        assert_eq!(plain(&pull, 10), "Waiting for a download slot, for 8 s now; containerd's are all in use.");
        pull.wait = Some(Wait::Stalled { since: at(10) });
        assert_eq!(plain(&pull, 140), "Stalled: no byte from ghcr.io for 2 m 10 s (layer 2 of 2, 35 %).");
        pull.wait = Some(Wait::Retrying { since: at(10) });
        assert_eq!(plain(&pull, 22), "The connection to ghcr.io was lost 12 s ago; containerd is retrying layer 2 of 2.");
    }

    #[test]
    fn unpacking_says_which_layer_for_how_long_and_what_the_download_took() {
        let mut layers = vec![layer(1, 1, LayerState::Ready), layer(2, 2, LayerState::Unpacking)];
        layers[0].download = interval(0, Some(20));
        layers[1].download = interval(10, Some(31));
        layers[1].unpack = interval(40, None);
        let mut pull = pull_of("a", Phase::Unpacking, layers);
        assert_eq!(plain(&pull, 88), "Unpacking layer 2 of 2 for 48 s; the download took 31 s.");
        pull.layers[1].state = LayerState::Downloaded;
        assert_eq!(plain(&pull, 88), "Unpacking, 1 of 2 layers are done; the download took 31 s.");
    }

    #[test]
    fn a_ready_pull_says_where_its_time_went() {
        let mut layers = vec![layer(412 * MIB, 412 * MIB, LayerState::Ready), layer(11 * GIB / 10 + 1, 0, LayerState::Cached)];
        layers[0].download = interval(1, Some(45));
        layers[0].unpack = interval(30, Some(70));
        let pull = ended(pull_of("a", Phase::Unpacking, layers), Outcome::Ready, 72);
        assert_eq!(
            plain(&pull, 500),
            "Ready in 1 m 12 s: 412 MiB fetched at 9.8 MB/s, 1.1 GiB from cache, unpacking took 40 s of it."
        );
    }

    #[test]
    fn a_pull_that_found_everything_was_ready_at_once() {
        let layers: Vec<_> = (1..=9).map(|n| layer(n, 0, LayerState::Cached)).collect();
        let pull = ended(pull_of("a", Phase::Unpacking, layers), Outcome::Ready, 1);
        assert_eq!(plain(&pull, 1), "Ready at once: all 9 layers were already here.");
        assert_eq!(
            plain(&ended(pull, Outcome::Ready, 20), 20),
            "Ready in 20 s: nothing had to be fetched, all 9 layers were already here or came with another pull."
        );
        let mut unread = ended(pull_of("a", Phase::Resolving, vec![]), Outcome::Ready, 4);
        unread.total_known = false;
        assert_eq!(plain(&unread, 4), "Ready in 4 s.");
    }

    #[test]
    fn a_failure_says_why_and_what_helps() {
        assert_eq!(
            failed_with(ErrorClass::RateLimited, "ghcr.io\u{202e} says\u{1b}429\n Too Many Requests."),
            "Failed: ghcr.io says 429 Too Many Requests. Slow down pulls or sign in to raise the limit."
        );
        assert_eq!(
            failed_with(ErrorClass::Other, ""),
            "Failed. See the node's containerd log and the pod's events for the reason."
        );
    }

    #[test]
    fn a_canceled_pull_says_how_far_it_came() {
        let layers = vec![layer(100, 35, LayerState::Failed)];
        assert_eq!(
            plain(&ended(pull_of("a", Phase::Downloading, layers), Outcome::Canceled, 14), 14),
            "Canceled after 14 s at 35 %."
        );
    }

    #[test]
    fn a_pull_without_word_says_who_is_silent_and_what_was_last_known() {
        let pull = pull_of("a", Phase::Downloading, vec![layer(100, 61, LayerState::Downloading)]);
        assert_eq!(
            say(&pull, 55, Hearing::Silent(Duration::from_secs(45)), None),
            "No word from node-7's agent for 45 s; the last state was downloading, 61 %."
        );
        assert_eq!(
            say(&pull, 55, Hearing::Forgotten, None),
            "node-7's agent no longer sees this pull; the last state was downloading, 61 %."
        );
        assert_eq!(
            plain(&ended(pull, Outcome::Lost, 55), 55),
            "The runtime on node-7 fell silent; the last state was downloading, 61 %."
        );
    }

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for (seconds, text) in
            [(14, "14 s"), (59, "59 s"), (60, "1 m 00 s"), (130, "2 m 10 s"), (3900, "1 h 05 m"), (90_000, "25 h 00 m")]
        {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
        assert_eq!((time(Duration::from_millis(420)), time(Duration::ZERO)), ("0.4 s".into(), "0.1 s".into()));
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10 * MIB - 1, "9.9 MiB"),
            (10 * MIB, "10 MiB"),
            (u64::MAX, "17179869183 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (rate, text) in
            [(999, "999 B/s"), (40_000, "40 kB/s"), (9_800_000, "9.8 MB/s"), (60_000_000, "60 MB/s"), (1_250_000_000, "1.2 GB/s")]
        {
            assert_eq!(speed(rate), text);
        }
    }

    #[test]
    fn no_sentence_is_longer_than_promised_however_long_the_names_are() {
        let long = format!("{}.example.com:5000/{}/x:{}", "r".repeat(60), "p".repeat(200), "t".repeat(128));
        let node = "n".repeat(253).parse().unwrap();
        let holder = pull_of(&long, Phase::Unpacking, vec![layer(GIB, 1, LayerState::Unpacking)]);
        let lock = Wait::LayerLock { since: at(0), holder: holder.id, layer: holder.layers[0].digest.clone() };
        let waits = [
            None,
            Some(Wait::DownloadSlot { since: at(0) }),
            Some(lock),
            Some(Wait::Stalled { since: at(0) }),
            Some(Wait::Retrying { since: at(0) }),
        ];
        for (wait, phase) in waits.iter().flat_map(|w| Phase::ALL.map(|p| (w, p))) {
            for hearing in [Hearing::Clear, Hearing::Forgotten, Hearing::Silent(Duration::from_secs(86_399))] {
                let layers = vec![layer(u64::MAX / 4, 10 * GIB, LayerState::Downloading), layer(GIB, 0, LayerState::Cached)];
                let mut pull = pull_of(&long, phase, layers);
                (pull.wait, pull.bytes_per_sec, pull.eta) = (wait.clone(), Some(987_654_321), Some(Duration::from_secs(86_399)));
                let text = super::pull(&pull, &Scene { node: &node, now: at(86_399), hearing, holder: Some(&holder) });
                assert!(text.chars().count() <= MAX_SENTENCE && text.ends_with('.'), "{text}");
            }
        }
        for class in ErrorClass::ALL {
            let text = failed_with(class, &"word ".repeat(1000));
            assert!(text.chars().count() <= MAX_SENTENCE && text.ends_with(class.hint()), "{text}");
        }
    }

    #[test]
    fn a_hundred_percent_is_never_said_before_ready() {
        let full = pull_of("a", Phase::Downloading, vec![layer(7, 7, LayerState::Downloaded)]);
        let silent = Hearing::Silent(Duration::from_secs(100));
        for text in [plain(&ended(full.clone(), Outcome::Canceled, 3), 3), say(&full, 3, silent, None)] {
            assert!(text.contains("99 %"), "{text}");
        }
    }
}
