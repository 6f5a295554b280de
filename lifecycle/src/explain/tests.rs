//! Sentence by sentence: every situation, its words and its numbers.

use super::*;
use crate::{
    image::Digest,
    pull::{Ending, ErrorClass, Host, Percent, Pressure, TimingSource},
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
    Layer { digest, media_type: "".into(), size, fetched, cached, lazy: false, state, download: none, unpack: none }
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
        waits: Vec::new(),
        ending: None,
        started_at: at(0),
        resolved_at: None,
        observed_at: at(10),
        total_known: true,
        bytes_per_sec: None,
        eta: None,
        host: Host::default(),
        layers,
    }
}

fn ended(mut pull: Pull, outcome: Outcome, after: u64) -> Pull {
    pull.ending = Some(Ending { outcome, at: at(after), source: TimingSource::Event });
    pull
}

fn say(pull: &Pull, now: u64, hearing: Hearing, holder: Option<&Holder>) -> String {
    let node = "node-7".parse().unwrap();
    super::pull(pull, &Scene { node: &node, now: at(now), hearing, holder, attempt: None })
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
    let layers =
        vec![layer(28 * GIB / 10, 12 * GIB / 10 + 1, LayerState::Downloading), layer(GIB * 11 / 10 + 1, 0, LayerState::Cached)];
    let mut pull = pull_of("ghcr.io/team/app:1", Phase::Downloading, layers);
    pull.bytes_per_sec = Some(88_000_000);
    pull.eta = Some(Eta::About(Duration::from_millis(19_400)));
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
    let other = pull_of("team/base:7", Phase::Unpacking, vec![layer(MIB, MIB, LayerState::Unpacking)]);
    let digest = other.layers[0].digest.clone();
    let holder = Holder { id: other.id, image: other.image, is_unpacking: true };
    let mut pull = pull_of("team/app:1", Phase::Downloading, vec![layer(MIB, 0, LayerState::Queued)]);
    pull.wait = Some(Wait::LayerLock { since: at(2), holder: holder.id, layer: digest.clone() });
    let short = digest.short();
    assert_eq!(
        say(&pull, 9, Hearing::Clear, Some(&holder)),
        format!("Waiting for layer {short}, which the pull of team/base:7 is unpacking on this node.")
    );
    assert_eq!(
        say(&pull, 9, Hearing::Clear, Some(&Holder { is_unpacking: false, ..holder })),
        format!("Waiting for layer {short}, which the pull of team/base:7 is downloading on this node.")
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
    pull.namespace = "moby".to_owned();
    assert_eq!(plain(&pull, 22), "The connection to ghcr.io was lost 12 s ago; Docker is retrying layer 2 of 2.");
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
    assert_eq!(failed_with(ErrorClass::Other, ""), "Failed. See the node's containerd log and the pod's events for the reason.");
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
    let other = pull_of(&long, Phase::Unpacking, vec![layer(GIB, 1, LayerState::Unpacking)]);
    let lock = Wait::LayerLock { since: at(0), holder: other.id, layer: other.layers[0].digest.clone() };
    let holder = Holder { id: other.id, image: other.image, is_unpacking: true };
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
            (pull.wait, pull.bytes_per_sec, pull.eta) =
                (wait.clone(), Some(987_654_321), Some(Eta::About(Duration::from_secs(86_399))));
            let text = super::pull(&pull, &Scene { node: &node, now: at(86_399), hearing, holder: Some(&holder), attempt: None });
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

#[test]
fn an_estimate_says_as_much_as_is_known() {
    let s = Duration::from_secs;
    assert_eq!(expected(Eta::About(s(19))), "about 19 s");
    assert_eq!(expected(Eta::within(s(18), s(19), s(21)).expect("in order")), "about 19 s");
    assert_eq!(expected(Eta::within(s(20), s(40), s(65)).expect("in order")), "20 s to 1 m 05 s");
    assert_eq!(expected(Eta::AtLeast(s(40))), "at least 40 s");
}

fn percent(percent: u64) -> Percent {
    Percent::new(percent).unwrap()
}

#[test]
fn a_node_that_holds_the_pull_up_is_named_behind_the_state() {
    let mut slow = pull_of("ghcr.io/acme/app:1", Phase::Downloading, vec![layer(GIB, 100 * MIB, LayerState::Downloading)]);
    let state = plain(&slow, 11);
    slow.host.disk_busy = Some(percent(97));
    assert_eq!(plain(&slow, 11), format!("{state} The node's disk is busy 97 % of the time."));
    slow.host.memory = Some(Pressure { some: percent(40), full: percent(10) });
    assert_eq!(plain(&slow, 11), format!("{state} The node is short of memory."));
    (slow.host.network_rate, slow.host.network_limit) = (Some(115_000_000), Some(125_000_000));
    assert_eq!(plain(&slow, 11), format!("{state} The node's network is full (115 MB/s)."));
    slow.phase = Phase::Unpacking;
    assert!(plain(&slow, 11).ends_with("The node is short of memory."), "unpacking needs no network");
}

#[test]
fn a_busy_node_that_holds_nothing_up_is_not_blamed() {
    let mut fine = pull_of("ghcr.io/acme/app:1", Phase::Downloading, vec![layer(GIB, 100 * MIB, LayerState::Downloading)]);
    let state = plain(&fine, 11);
    fine.host = Host {
        network_rate: Some(112_000_000),
        network_limit: Some(125_000_000),
        disk_busy: Some(Percent::ALL),
        io: Some(Pressure { some: percent(9), full: percent(9) }),
        memory: Some(Pressure { some: percent(90), full: percent(9) }),
        cpu: Some(Percent::ALL),
    };
    assert_eq!(plain(&fine, 11), state, "a disk without waiters may be a fast one");
}
