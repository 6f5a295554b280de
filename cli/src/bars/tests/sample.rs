//! Pulls as the tests of the bars need them.

use std::time::Duration;

use lifecycle::{
    image::Digest,
    pull::{
        Ending, ErrorClass, Eta, Failure, Host, Interval, Layer, LayerState, Outcome, Phase, Pull, PullId, TimingSource, Wait,
    },
    time::Timestamp,
};

use crate::pull::picture::{Doing, Picture, Unpacked};

pub(super) const MIB: u64 = 1 << 20;

/// So many seconds after all began.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis((1_000 + seconds) * 1000)
}

fn between(start: u64, end: impl Into<Option<u64>>) -> Interval {
    Interval { start: Some(at(start)), end: end.into().map(at), source: TimingSource::Event }
}

pub(super) fn layer(size: u64, fetched: u64, state: LayerState) -> Layer {
    Layer {
        digest: Digest::of(&[size.to_be_bytes(), fetched.to_be_bytes()].concat()),
        media_type: "".into(),
        size,
        fetched,
        cached: state == LayerState::Cached,
        lazy: false,
        state,
        download: Interval::default(),
        unpack: Interval::default(),
    }
}

/// `name` as it is asked for, and layers with how far each is unpacked.
pub(super) fn picture(name: &str, phase: Phase, layers: Vec<(Layer, Unpacked)>) -> Picture {
    let (layers, unpacked): (_, Vec<_>) = layers.into_iter().unzip();
    let pull = Pull {
        id: PullId::derive("host", "moby", name, at(0)),
        sequence: 1,
        namespace: "moby".to_owned(),
        image: name.parse().ok(),
        digest: Some(Digest::of(name.as_bytes())),
        snapshotter: String::new(),
        phase,
        wait: None,
        waits: Vec::new(),
        ending: None,
        started_at: at(0),
        resolved_at: Some(at(1)),
        observed_at: at(12),
        total_known: true,
        bytes_per_sec: None,
        eta: None,
        host: Host::default(),
        layers,
    };
    let doing = vec![Doing::Usual; unpacked.len()];
    Picture { asked: name.to_owned(), pull, unpacked, doing }
}

/// In the middle of it, two layers here already, one in each state.
pub(super) fn running() -> Picture {
    let mut layers = vec![
        (layer(80 * MIB, 0, LayerState::Cached), Unpacked::Unsaid),
        (layer(40 * MIB, 0, LayerState::Cached), Unpacked::Unsaid),
        (layer(31 * MIB, 31 * MIB, LayerState::Ready), Unpacked::Bytes(31 * MIB)),
        (layer(120 * MIB, 120 * MIB, LayerState::Unpacking), Unpacked::Bytes(70 * MIB)),
        (layer(9 * MIB, 9 * MIB, LayerState::Downloaded), Unpacked::Unsaid),
        (layer(410 * MIB, 123 * MIB + 456, LayerState::Downloading), Unpacked::Unsaid),
        (layer(700, 0, LayerState::Queued), Unpacked::Unsaid),
    ];
    (layers[2].0.download, layers[2].0.unpack) = (between(1, 4), between(4, 5));
    (layers[3].0.download, layers[3].0.unpack) = (between(1, 8), between(8, None));
    layers[4].0.download = between(1, 3);
    layers[5].0.download = between(3, None);
    let mut picture = picture("registry.example.com/team/app:v1.4", Phase::Downloading, layers);
    picture.pull.bytes_per_sec = Some(24_000_000);
    picture.pull.eta = Eta::within(Duration::from_secs(11), Duration::from_secs(14), Duration::from_secs(17));
    picture
}

pub(super) fn ended(mut picture: Picture, outcome: Outcome, after: u64) -> Picture {
    picture.pull.ending = Some(Ending { outcome, at: at(after), source: TimingSource::Event });
    (picture.pull.bytes_per_sec, picture.pull.eta) = (None, None);
    picture
}

/// Everything came.
pub(super) fn ready() -> Picture {
    let mut picture = running();
    for layer in picture.pull.layers.iter_mut().filter(|layer| !layer.cached) {
        (layer.state, layer.fetched) = (LayerState::Ready, layer.size);
        layer.download.start.get_or_insert(at(12));
        layer.download.end.get_or_insert(at(25));
        layer.unpack.start.get_or_insert(at(25));
        layer.unpack.end.get_or_insert(at(27));
    }
    picture.pull.phase = Phase::Unpacking;
    ended(picture, Outcome::Ready, 27)
}

pub(super) fn failed(class: ErrorClass, message: &str) -> Picture {
    ended(running(), Outcome::Failed(Failure { class, message: message.to_owned() }), 14)
}

pub(super) fn stalled() -> Picture {
    let mut picture = running();
    picture.pull.wait = Some(Wait::Stalled { since: at(3) });
    picture
}

/// Everything came, the last layer is unpacked by containerd, which says no bytes.
pub(super) fn unpacking() -> Picture {
    let layers = [(31, LayerState::Ready, 4), (120, LayerState::Unpacking, 9)].map(|(mib, state, fetched)| {
        let mut layer = layer(mib * MIB, mib * MIB, state);
        layer.download = between(1, fetched);
        layer.unpack = between(fetched, (state == LayerState::Ready).then_some(fetched + 1));
        (layer, if state == LayerState::Ready { Unpacked::Unsaid } else { Unpacked::For(Duration::from_millis(2900)) })
    });
    picture("ghcr.io/team/tool@sha256:aaaa", Phase::Unpacking, layers.to_vec())
}

/// Without a word of the registry about sizes, one layer checked and one retried.
pub(super) fn unsure() -> Picture {
    let mut picture = running();
    picture.pull.total_known = false;
    picture.pull.eta = Some(Eta::AtLeast(Duration::from_secs(14)));
    (picture.pull.layers[4].state, picture.doing[4]) = (LayerState::Downloading, Doing::Checking);
    picture.doing[5] = Doing::Retrying { since: at(9), at: at(14) };
    picture
}

/// Everything was here.
pub(super) fn cached() -> Picture {
    let layers = [80, 40, 31].map(|mib| (layer(mib * MIB, 0, LayerState::Cached), Unpacked::Unsaid)).to_vec();
    ended(picture("nginx:1.27", Phase::Unpacking, layers), Outcome::Ready, 1)
}

/// An engine that tells no bytes.
pub(super) fn podman() -> Picture {
    let states = [LayerState::Cached, LayerState::Downloaded, LayerState::Downloading, LayerState::Queued];
    let layers = states.into_iter().zip(0..).map(|(state, at)| {
        let mut layer = layer(0, 0, state);
        layer.digest = Digest::of(&[at]);
        (layer, Unpacked::Unsaid)
    });
    picture("quay.io/podman/hello:latest", Phase::Downloading, layers.collect())
}
