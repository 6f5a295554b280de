//! What is told: pulls that live and die on a few nodes, over a channel that loses, doubles and shuffles their reports.

use std::{sync::Arc, time::Duration};

use lifecycle::{
    board::{Board, Input, Limits},
    image::Digest,
    pull::{
        Ending, ErrorClass, Eta, Failure, Host, Interval, Layer, LayerState, Node, Outcome, Phase, Pull, PullId, Report,
        TimingSource, Wait,
    },
    time::Timestamp,
};

use crate::{census::Census, http::sse::beat::Beat, snapshot::Snapshot};

/// Pulls that run at a time.
const RUNNING: usize = 60;
/// Reports under way.
const UNDER_WAY: usize = 40;

/// Numbers that look random and are the same on every run.
#[derive(Clone, Debug)]
pub(super) struct Luck(pub(super) u64);

impl Luck {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// A place in a list of this length.
    fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

/// Nodes, the channel and the board.
pub(super) struct World {
    luck: Luck,
    now: Timestamp,
    born: u64,
    pulls: Vec<(Node, Pull)>,
    under_way: Vec<Report>,
    board: Board,
    snapshot: Snapshot,
    before: Arc<Snapshot>,
    pub(super) removed: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let limits = Limits { history: Duration::from_secs(20), pulls: 300, ..Limits::default() };
        let mut snapshot = Snapshot::new(seed);
        snapshot.remembered = 20;
        Self {
            luck: Luck(seed),
            now: Timestamp::from_millis(1_760_000_000_000),
            born: 0,
            pulls: Vec::new(),
            under_way: Vec::new(),
            board: Board::new(limits),
            before: Arc::new(snapshot.clone()),
            snapshot,
            removed: 0,
        }
    }

    /// So many reports are made and as many arrive; then there is a beat.
    pub(super) fn play(&mut self, reports: u64) -> Beat {
        for _ in 0..reports {
            self.now = self.now + Duration::from_millis(1 + self.luck.below(60));
            let report = self.report();
            match self.luck.below(100) {
                0..5 => {}
                5..15 => self.under_way.extend([report.clone(), report]),
                _ => self.under_way.push(report),
            }
            while self.under_way.len() > UNDER_WAY {
                let any = self.luck.place(self.under_way.len());
                let report = self.under_way.swap_remove(any);
                self.arrive(report);
            }
            if self.luck.below(2_000) == 0 {
                // Long enough that all agents were silent.
                self.now = self.now + Duration::from_secs(self.luck.below(400));
                self.pass_time();
            }
        }
        self.pass_time();
        self.beat()
    }

    /// Everything that is under way arrives.
    pub(super) fn settle(&mut self) -> Beat {
        for report in std::mem::take(&mut self.under_way) {
            self.arrive(report);
        }
        let mut counted = Census::default();
        self.snapshot.newest(None).for_each(|row| counted.add(&row.view));
        assert_eq!(self.snapshot.census, counted, "what was counted on the way is what is there");
        self.beat()
    }

    fn beat(&mut self) -> Beat {
        let now = Arc::new(self.snapshot.clone());
        Beat { before: std::mem::replace(&mut self.before, now.clone()), now }
    }

    fn arrive(&mut self, report: Report) {
        self.board.observe(Input::Pull(Box::new(report)), self.now);
        self.publish();
    }

    fn pass_time(&mut self) {
        if self.board.next_deadline().is_some_and(|at| at <= self.now) {
            self.board.tick(self.now);
            self.publish();
        }
    }

    /// As the keeper does.
    fn publish(&mut self) {
        while let Some(change) = self.board.poll() {
            match self.board.view(change.id) {
                Some(view) => self.snapshot.put(view, self.now),
                None => {
                    self.removed += 1;
                    self.snapshot.remove(change.id);
                }
            }
        }
    }

    /// Something happens to some pull, and its agent reports it.
    fn report(&mut self) -> Report {
        if self.pulls.len() < RUNNING {
            self.born += 1;
            self.pulls.push(born(self.born, self.now));
        }
        let any = self.luck.place(self.pulls.len());
        let luck = self.luck.below(100);
        let (node, pull) = &mut self.pulls[any];
        pull.sequence += 1;
        pull.observed_at = self.now;
        let layer = (luck % 4) as usize;
        match luck {
            0..70 => advance(&mut pull.layers[layer], 1 + luck * 9, self.now),
            70..76 => pull.wait = Some(Wait::Stalled { since: self.now }),
            76..82 => pull.wait = None,
            82..86 => pull.image = format!("registry.example/team/app-{}:v{luck}", self.born % 7).parse().ok(),
            86..88 => pull.phase = Phase::Unpacking,
            88..90 => pull.total_known = true,
            _ => pull.bytes_per_sec = Some(luck * 1000),
        }
        pull.eta = Eta::within(Duration::from_secs(luck), Duration::from_secs(luck + 1), Duration::from_secs(luck + 9));
        let outcome = match luck {
            94..96 => Outcome::Ready,
            96..98 => Outcome::Canceled,
            98 => Outcome::Failed(Failure { class: ErrorClass::Tls, message: "certificate has expired".into() }),
            _ => return Report { node: node.clone().into(), pull: pull.clone() },
        };
        let (node, mut pull) = self.pulls.swap_remove(any);
        pull.ending = Some(Ending { outcome, at: self.now, source: TimingSource::Event });
        Report { node: node.into(), pull }
    }
}

fn advance(layer: &mut Layer, bytes: u64, now: Timestamp) {
    layer.fetched = (layer.fetched + bytes).min(layer.size);
    layer.download.start.get_or_insert(now);
    let complete = layer.fetched == layer.size;
    layer.state = if complete { LayerState::Downloaded } else { LayerState::Downloading };
    layer.download.end = complete.then_some(now);
}

fn born(number: u64, now: Timestamp) -> (Node, Pull) {
    let name = format!("node-{}", number % 5);
    let layer = |index: u64| Layer {
        digest: Digest::of(format!("{number} {index}").as_bytes()),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
        size: 1000 * (index + 1),
        fetched: 0,
        cached: false,
        lazy: false,
        state: LayerState::Queued,
        download: Interval { start: None, end: None, source: TimingSource::Event },
        unpack: Interval::default(),
    };
    let pull = Pull {
        id: PullId::derive(&name, "k8s.io", &number.to_string(), now),
        sequence: 0,
        namespace: "k8s.io".into(),
        image: None,
        digest: None,
        snapshotter: "overlayfs".into(),
        phase: Phase::Downloading,
        wait: None,
        waits: Vec::new(),
        ending: None,
        started_at: now,
        resolved_at: None,
        observed_at: now,
        total_known: false,
        bytes_per_sec: None,
        eta: None,
        host: Host::default(),
        layers: (0..4).map(layer).collect(),
    };
    let node = Node {
        uid: format!("uid of {name}"),
        name: name.parse().unwrap(),
        cluster: String::new(),
        runtime_name: "containerd".into(),
        runtime_version: "2.1.4".into(),
    };
    (node, pull)
}
