//! Reports to send: a few fixed ones that people can follow, and any that can be.

use std::time::Duration;

use lifecycle::{
    image::{Digest, ImageRef},
    measure::{Example, Measured, Metric, Series, Spread},
    names::{self, Entry},
    pull::{
        Ending, ErrorClass, Eta, Failure, Host, Interval, Layer, LayerState, Node, NodeReport, Outcome, Percent, Phase, Pressure,
        Pull, PullId, TimingSource, Wait, Waited,
    },
    time::Timestamp,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

pub(crate) const VERSION: &str = "0.1.0";

/// 2025-01-15T10:30:00Z and so many milliseconds.
pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_736_937_000_000 + millis)
}

pub(crate) fn node() -> Node {
    Node {
        name: "worker-1".parse().unwrap(),
        uid: "0a6b2c1e-7d6f-4a53-9f0c-3f1f6f5f2f11".into(),
        cluster: "prod".into(),
        runtime_name: "containerd".into(),
        runtime_version: "2.1.4".into(),
    }
}

/// An image of three layers, of which one is here, one is complete and one is on its way.
pub(crate) fn downloading() -> Pull {
    let id = PullId::derive("0a6b2c1e-7d6f-4a53-9f0c-3f1f6f5f2f11", "k8s.io", "lease-1", at(0));
    let times =
        |start: Option<u64>, end: Option<u64>| Interval { start: start.map(at), end: end.map(at), source: TimingSource::Record };
    let layer = |name: &str, size, fetched, state| Layer {
        digest: Digest::of(name.as_bytes()),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
        size,
        fetched,
        cached: state == LayerState::Cached,
        lazy: false,
        state,
        download: Interval::default(),
        unpack: Interval::default(),
    };
    let base = layer("base", 30_000_000, 0, LayerState::Cached);
    let mut middle = layer("middle", 2_000_000, 2_000_000, LayerState::Downloaded);
    middle.download = times(Some(400), Some(900));
    let mut top = layer("top", 8_000_000, 3_000_000, LayerState::Downloading);
    top.download = times(Some(410), None);
    Pull {
        id,
        sequence: 7,
        namespace: "k8s.io".into(),
        image: Some("nginx:1.27".parse().unwrap()),
        digest: Some(Digest::of(b"index")),
        snapshotter: "overlayfs".into(),
        phase: Phase::Downloading,
        wait: None,
        waits: Vec::new(),
        ending: None,
        started_at: at(0),
        resolved_at: Some(at(350)),
        observed_at: at(1_400),
        total_known: true,
        bytes_per_sec: Some(5_000_000),
        eta: Eta::within(Duration::from_millis(900), Duration::from_millis(1_200), Duration::from_millis(2_000)),
        host: host(),
        layers: vec![base, middle, top],
    }
}

/// A node whose disk is what everybody waits for.
fn host() -> Host {
    let percent = |percent| Percent::new(percent).unwrap();
    Host {
        network_rate: Some(6_200_000),
        network_limit: Some(125_000_000),
        disk_busy: Some(percent(97)),
        io: Some(Pressure { some: percent(31), full: percent(22) }),
        memory: Some(Pressure { some: percent(1), full: percent(0) }),
        cpu: Some(percent(3)),
    }
}

/// The same, a moment after it was first seen.
pub(crate) fn started() -> Pull {
    Pull {
        sequence: 1,
        image: Some(ImageRef::repository_only("docker.io", "library/nginx").unwrap()),
        digest: None,
        snapshotter: String::new(),
        phase: Phase::Resolving,
        resolved_at: None,
        observed_at: at(20),
        total_known: false,
        bytes_per_sec: None,
        eta: None,
        host: Host::default(),
        layers: vec![],
        ..downloading()
    }
}

/// The same, stalled behind another pull.
pub(crate) fn waiting() -> Pull {
    let holder = PullId::derive("0a6b2c1e-7d6f-4a53-9f0c-3f1f6f5f2f11", "k8s.io", "lease-2", at(0));
    let wait = Some(Wait::LayerLock { since: at(1_000), holder, layer: Digest::of(b"top") });
    Pull { sequence: 8, wait, bytes_per_sec: None, eta: None, ..downloading() }
}

/// The same, done.
pub(crate) fn ready() -> Pull {
    let mut pull = Pull { sequence: 12, phase: Phase::Unpacking, bytes_per_sec: None, eta: None, ..downloading() };
    for (layer, unpacked) in pull.layers.iter_mut().skip(1).zip([(910, 1_800), (2_610, 3_900)]) {
        layer.fetched = layer.size;
        layer.state = LayerState::Ready;
        layer.unpack = Interval { start: Some(at(unpacked.0)), end: Some(at(unpacked.1)), source: TimingSource::Event };
    }
    pull.layers[2].download.end = Some(at(2_600));
    let holder = PullId::derive("0a6b2c1e-7d6f-4a53-9f0c-3f1f6f5f2f11", "k8s.io", "lease-0", at(0));
    let lock = Wait::LayerLock { since: at(400), holder, layer: Digest::of(b"base") };
    pull.waits =
        vec![Waited { wait: lock, until: at(600) }, Waited { wait: Wait::Stalled { since: at(2_000) }, until: at(2_500) }];
    pull.ending = Some(Ending { outcome: Outcome::Ready, at: at(4_000), source: TimingSource::Event });
    pull.observed_at = at(4_010);
    pull
}

/// The same, broken off.
pub(crate) fn failed() -> Pull {
    let mut pull = Pull { sequence: 9, bytes_per_sec: None, eta: None, ..downloading() };
    let message = "failed to copy: httpReadSeeker: failed open: unexpected status code 503".to_owned();
    let outcome = Outcome::Failed(Failure { class: ErrorClass::RegistryUnavailable, message });
    pull.layers[2].state = LayerState::Failed;
    pull.ending = Some(Ending { outcome, at: at(2_000), source: TimingSource::Poll });
    pull.observed_at = at(2_010);
    pull
}

pub(crate) fn heartbeat() -> NodeReport {
    NodeReport {
        node: node(),
        observed_at: at(30_000),
        agent_version: VERSION.into(),
        runtime_reachable: true,
        active_pulls: 2,
        queued_images: vec!["q.io/team/next:v1".parse().unwrap()],
        dropped_progress: 17,
        dropped_outcomes: 0,
    }
}

/// Any node within the bounds.
pub(crate) fn any_node() -> impl Strategy<Value = Node> {
    ("[!-~]{1,253}", "\\PC{1,40}", "\\PC{0,40}", "\\PC{0,40}", "\\PC{0,40}").prop_map(
        |(name, uid, cluster, runtime_name, runtime_version)| Node {
            name: name.parse().unwrap(),
            uid,
            cluster,
            runtime_name,
            runtime_version,
        },
    )
}

pub(crate) fn any_heartbeat() -> impl Strategy<Value = NodeReport> {
    let counts = [0..=i64::MAX as u64, 0..=i64::MAX as u64, 0..=i64::MAX as u64];
    (any_node(), time(), "\\PC{0,40}", any::<bool>(), counts).prop_map(
        |(node, observed_at, agent_version, runtime_reachable, [active_pulls, dropped_progress, dropped_outcomes])| NodeReport {
            node,
            observed_at,
            agent_version,
            runtime_reachable,
            active_pulls,
            queued_images: Vec::new(),
            dropped_progress,
            dropped_outcomes,
        },
    )
}

/// What a node that has pulled two images may have measured.
pub(crate) fn measured() -> Vec<Metric> {
    let metric = |name, series| Metric { entry: Entry::of(name).unwrap(), series };
    let mut spread = Spread::new(&[1.0, 10.0]);
    [4.0, 11.5].into_iter().for_each(|seconds| spread.add(seconds));
    spread.example = Some(Example { trace: downloading().id, value: 4.0, at: at(4_000) });
    let labels = vec![(names::PULL_OUTCOME, "ready".to_owned()), (names::SERVER_ADDRESS, "docker.io".to_owned())];
    let overflow = vec![(names::METRIC_OVERFLOW, "true".to_owned())];
    vec![
        metric(names::AGENT_METRIC_PULLS, vec![Series { labels, value: Measured::Spread(spread) }]),
        metric(names::AGENT_METRIC_IO, vec![Series { labels: overflow, value: Measured::Count(9_000_000) }]),
        metric(names::AGENT_METRIC_ACTIVE, vec![Series { labels: vec![], value: Measured::Level(2) }]),
    ]
}

/// Any pull within the bounds, plausible or not.
pub(crate) fn any_pull() -> impl Strategy<Value = Pull> {
    let identity = (id(), 0..=i64::MAX as u64, "\\PC{0,40}", option::of(image()), option::of(digest()), "\\PC{0,40}");
    let waited = (wait(), time()).prop_map(|(wait, until)| Waited { wait, until });
    let state = (select(Phase::ALL.to_vec()), option::of(wait()), vec(waited, 0..4), option::of(ending()));
    let times = (time(), option::of(time()), time());
    let progress = (any::<bool>(), option::of(0..=1_u64 << 60), option::of(eta()), any_host());
    (identity, state, times, progress, vec(layer(), 0..6)).prop_map(|(identity, state, times, progress, layers)| {
        let (id, sequence, namespace, image, digest, snapshotter) = identity;
        let (phase, wait, waits, ending) = state;
        let (started_at, resolved_at, observed_at) = times;
        let (total_known, bytes_per_sec, eta, host) = progress;
        Pull {
            id,
            sequence,
            namespace,
            image,
            digest,
            snapshotter,
            phase,
            wait,
            waits,
            ending,
            started_at,
            resolved_at,
            observed_at,
            total_known,
            bytes_per_sec,
            eta,
            host,
            layers,
        }
    })
}

fn any_host() -> impl Strategy<Value = Host> {
    let percent = || (0..=100_u64).prop_map(|percent| Percent::new(percent).unwrap());
    let pressure = || (percent(), percent()).prop_map(|(some, full)| Pressure { some, full });
    let network = (option::of(0..=1_u64 << 60), option::of(0..=1_u64 << 60));
    (network, option::of(percent()), option::of(pressure()), option::of(pressure()), option::of(percent())).prop_map(
        |((network_rate, network_limit), disk_busy, io, memory, cpu)| Host {
            network_rate,
            network_limit,
            disk_busy,
            io,
            memory,
            cpu,
        },
    )
}

fn id() -> impl Strategy<Value = PullId> {
    any::<[u8; 16]>().prop_filter_map("all zero", |bytes| PullId::from_bytes(&bytes))
}

fn eta() -> impl Strategy<Value = Eta> {
    let time = || (0..=i64::MAX as u64).prop_map(Duration::from_nanos);
    let within = vec(time(), 3).prop_map(|mut times| {
        times.sort_unstable();
        Eta::within(times[0], times[1], times[2]).expect("sorted times are in order")
    });
    prop_oneof![time().prop_map(Eta::About), time().prop_map(Eta::AtLeast), within]
}

fn time() -> impl Strategy<Value = Timestamp> {
    (1..=i64::MAX as u64).prop_map(Timestamp::from_nanos)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 8]>().prop_map(|bytes| Digest::of(&bytes))
}

fn image() -> impl Strategy<Value = ImageRef> {
    let registry = "([a-z0-9]{1,8}\\.){1,2}[a-z]{2,4}(:[0-9]{1,5})?";
    let path = "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,5}){0,3}";
    (registry, path, option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"), option::of(digest())).prop_map(
        |(registry, path, tag, digest)| match (tag, digest) {
            (None, None) => ImageRef::repository_only(&registry, &path).unwrap(),
            (tag, digest) => {
                let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
                let digest = digest.map(|digest| format!("@{digest}")).unwrap_or_default();
                format!("{registry}/{path}{tag}{digest}").parse().unwrap()
            }
        },
    )
}

fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![
        time().prop_map(|since| Wait::DownloadSlot { since }),
        time().prop_map(|since| Wait::Stalled { since }),
        time().prop_map(|since| Wait::Retrying { since }),
        (time(), id(), digest()).prop_map(|(since, holder, layer)| Wait::LayerLock { since, holder, layer }),
    ]
}

fn ending() -> impl Strategy<Value = Ending> {
    let failure = (select(ErrorClass::ALL.to_vec()), "\\PC{0,100}").prop_map(|(class, message)| Failure { class, message });
    let outcome =
        prop_oneof![Just(Outcome::Ready), Just(Outcome::Canceled), Just(Outcome::Lost), failure.prop_map(Outcome::Failed)];
    (outcome, time(), source()).prop_map(|(outcome, at, source)| Ending { outcome, at, source })
}

fn source() -> impl Strategy<Value = TimingSource> {
    select(TimingSource::ALL.to_vec())
}

fn interval() -> impl Strategy<Value = Interval> {
    (option::of(time()), option::of(time()), source()).prop_map(|(start, end, source)| Interval { start, end, source })
}

fn layer() -> impl Strategy<Value = Layer> {
    let bytes = (0..=1_u64 << 60).prop_flat_map(|size| (Just(size), 0..=size));
    (digest(), "\\PC{0,60}", bytes, any::<[bool; 2]>(), select(LayerState::ALL.to_vec()), interval(), interval()).prop_map(
        |(digest, media_type, (size, fetched), [cached, lazy], state, download, unpack)| Layer {
            digest,
            media_type: media_type.into(),
            size,
            fetched,
            cached,
            lazy,
            state,
            download,
            unpack,
        },
    )
}
