//! The containerds of this node: each has a tracker of its own, whichever socket leads to it.
//!
//! ```text
//!  Place ── Step ──▶ Runtimes ── Seen ──▶ Tracker of that containerd ── Output ──▶ Voice (one for the node)
//!    ▲                                       │
//!    └───────────── questions ───────────────┘
//! ```
//!
//! Most nodes have one; some have the kubelet's and another that Docker brought along. A containerd is known by its uuid, so its pulls stay
//! its own when it is found again through another socket. Towards the collector the node speaks with one voice.

use std::{collections::VecDeque, mem};

use futures_util::future::{FutureExt as _, select_all};
use lifecycle::{
    pull::{Node, NodeReport},
    time::Timestamp,
    track::{Output, Pace, Question, Runtime, Seen, Tracker},
};

use crate::{
    config::Config,
    place::{Link, Place, Step},
    session::IDLE_UNWATCHED,
    voice::Voice,
};

/// All that is watched, and all that is tried.
pub(crate) struct Runtimes {
    node: Node,
    version: &'static str,
    pace: Pace,
    places: Vec<Place>,
    /// Never empty: the first speaks for the node before any runtime has answered.
    known: Vec<Known>,
    /// The last word about the node.
    said: Option<NodeReport>,
}

/// A containerd that answered once, or is still expected to.
struct Known {
    tracker: Tracker,
    questions: VecDeque<Question>,
    report: Option<NodeReport>,
    /// Whether that report is new.
    beat: bool,
    /// Who it is; nobody yet if empty.
    uuid: String,
    /// The place where it was last.
    place: usize,
    up: bool,
}

impl Runtimes {
    /// Nothing is known yet; every socket is tried at once.
    pub(crate) fn new(config: &Config, version: &'static str) -> Self {
        let pace = Pace { idle: IDLE_UNWATCHED, active: config.interval / 2 };
        let places: Vec<_> = config.sockets.iter().map(|socket| Place::new(socket.clone(), config.selection.clone())).collect();
        let known = vec![Known::new(&config.node, version, pace)];
        Self { node: config.node.clone(), version, pace, places, known, said: None }
    }

    /// Whether a pull runs, or ends.
    pub(crate) fn is_active(&self) -> bool {
        self.known.iter().any(|known| known.tracker.is_active())
    }

    /// When to tick next at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.known.iter().filter_map(|known| known.tracker.next_deadline()).min()
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.known.iter_mut().for_each(|known| known.tracker.tick(now));
    }

    /// Tells every running pull again.
    pub(crate) fn repeat(&mut self, now: Timestamp) {
        self.known.iter_mut().for_each(|known| known.tracker.repeat());
        self.tick(now);
    }

    /// Hands out everything that the trackers have to say and to ask.
    pub(crate) fn hand_out(&mut self, voice: &Voice, now: Timestamp) {
        let mut beat = false;
        for known in &mut self.known {
            beat |= known.hand_out(voice);
            let session = self.places.get_mut(known.place).and_then(|place| match &mut place.link {
                Link::Up { session, .. } if known.up => Some(session),
                Link::Up { .. } | Link::Away { .. } | Link::Opening(_) => None,
            });
            match session {
                Some(session) => {
                    session.carry(&mut known.questions, &known.tracker, now);
                    known.tracker.set_idle_pace(session.idle_pace());
                }
                // The tracker asks again when there is a connection.
                None => known.questions.clear(),
            }
        }
        if beat {
            self.beat(voice);
        }
    }

    /// What happens next, and at which place.
    pub(crate) async fn next(&mut self) -> (usize, Step) {
        let places = self.places.iter_mut().map(|place| place.next().boxed());
        let (step, place, _) = select_all(places).await;
        (place, step)
    }

    /// Takes in what happened at a place.
    pub(crate) fn take(&mut self, index: usize, step: Step, now: Timestamp) {
        let Some(place) = self.places.get_mut(index) else { return };
        match step {
            Step::Due => place.open(),
            Step::Refused(problem) => place.refused(problem),
            Step::Opened(session, runtime) => {
                session.announce(&place.socket, &runtime);
                let which = self.recognise(&runtime, index);
                if let (Some(place), Some(known)) = (self.places.get_mut(index), self.known.get_mut(which)) {
                    place.opened(session, which);
                    known.connected(runtime, index, now);
                }
            }
            Step::Seen(seen) => {
                let Link::Up { runtime, .. } = place.link else { return };
                if let (Some(seen), Some(known)) = (seen, self.known.get_mut(runtime)) {
                    known.tracker.observe(seen, now);
                }
            }
            Step::Lost(problem) => {
                let Link::Up { runtime, .. } = place.link else { return };
                place.lost(&problem);
                if let Some(known) = self.known.get_mut(runtime) {
                    known.up = false;
                    known.tracker.observe(Seen::Disconnected, now);
                }
            }
        }
    }
}

impl Runtimes {
    /// Which of the known ones this is: the one with its uuid, else the one that was at this place, else one that nobody has been yet.
    fn recognise(&mut self, runtime: &Runtime, place: usize) -> usize {
        let free = |wanted: &dyn Fn(&Known) -> bool| self.known.iter().position(|known| !known.up && wanted(known));
        free(&|known| !runtime.uuid.is_empty() && known.uuid == runtime.uuid)
            .or_else(|| free(&|known| !known.uuid.is_empty() && known.place == place))
            .or_else(|| free(&|known| known.uuid.is_empty()))
            .unwrap_or_else(|| {
                self.known.push(Known::new(&self.node, self.version, self.pace));
                self.known.len() - 1
            })
    }

    /// Speaks for the node: says what changed at once, and repeats itself when its first runtime does.
    fn beat(&mut self, voice: &Voice) {
        let first = self.known.first_mut().is_some_and(|known| mem::take(&mut known.beat));
        let Some(report) = self.merged() else { return };
        let changed =
            self.said.as_ref().is_none_or(|said| NodeReport { observed_at: said.observed_at, ..report.clone() } != *said);
        if changed || first {
            self.said = Some(report.clone());
            voice.node(report);
        }
    }

    /// What all runtimes together say about the node: it is reachable if all of them are; its uid is that of the first one found.
    fn merged(&self) -> Option<NodeReport> {
        let mut reports = self.known.iter().filter_map(|known| known.report.as_ref());
        let mut merged = reports.next()?.clone();
        for report in reports {
            merged.observed_at = merged.observed_at.max(report.observed_at);
            merged.runtime_reachable &= report.runtime_reachable;
            merged.active_pulls += report.active_pulls;
            let (version, other) = (&mut merged.node.runtime_version, &report.node.runtime_version);
            if !other.is_empty() && !version.split(", ").any(|known| known == other) {
                version.push_str(", ");
                version.push_str(other);
            }
        }
        Some(merged)
    }
}

impl Known {
    fn new(node: &Node, version: &str, pace: Pace) -> Self {
        let tracker = Tracker::new(node.clone(), version, pace);
        Self { tracker, questions: VecDeque::new(), report: None, beat: false, uuid: String::new(), place: 0, up: false }
    }

    fn connected(&mut self, runtime: Runtime, place: usize, now: Timestamp) {
        (self.place, self.up) = (place, true);
        self.uuid.clone_from(&runtime.uuid);
        self.tracker.observe(Seen::Connected(runtime), now);
    }

    /// Whether it said something about the node.
    fn hand_out(&mut self, voice: &Voice) -> bool {
        while let Some(output) = self.tracker.poll() {
            match output {
                Output::Ask(question) => self.questions.push_back(question),
                Output::Pull { first, pull } => voice.pull(first, *pull),
                Output::Node(report) => {
                    self.report = Some(report);
                    self.beat = true;
                }
            }
        }
        self.beat
    }
}
