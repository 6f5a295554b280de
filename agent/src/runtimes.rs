//! The containerds of this node: each has a tracker of its own, whichever socket leads to it.
//!
//! ```text
//!  Place ── Step ──▶ Runtimes ── Seen ──▶ Tracker of that containerd ── Output ──▶ Voice (one for the node)
//!    ▲                                       │
//!    └───────────── questions ───────────────┘
//! ```
//!
//! Most nodes have one; some have the kubelet's and another that Docker brought along. A containerd is known by its uuid, so its pulls stay
//! its own when it is found again through another socket. How a place stands is [`crate::place`]'s business; what the node says of itself
//! for all of them is made in [`crate::chorus`].

use std::{collections::VecDeque, future::pending, path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::{FutureExt as _, select_all};
use lifecycle::{
    pull::{Node, NodeReport},
    time::Timestamp,
    track::{Intent, Output, Pace, Question, Runtime, Seen, Tracker},
};

use crate::{
    chorus::{self, Chorus},
    config::Config,
    containerd::{Absence, Change, Folders},
    place::{Link, Place, Step},
    session::{Door, IDLE_UNWATCHED, Session},
    telemetry::Telemetry,
    voice::Voice,
};

/// Nothing is said before every socket was tried once, or this has passed: who speaks for the node must not depend on who was quicker.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// All that is watched, and all that is tried.
pub(crate) struct Runtimes {
    node: Node,
    version: &'static str,
    pace: Pace,
    places: Vec<Place>,
    folders: Option<Folders>,
    /// Never empty: the first speaks for the node before any runtime has answered.
    known: Vec<Known>,
    chorus: Chorus,
    /// When nothing was known yet, until the first look is over.
    begun: Option<Timestamp>,
    /// What was said last about all places, and whether that may have changed.
    said: Vec<String>,
    changed: bool,
}

/// A containerd that has answered, or that is still expected to.
struct Known {
    tracker: Tracker,
    questions: VecDeque<Question>,
    report: Option<NodeReport>,
    /// Its uuid and process id; nobody yet if there is none.
    identity: Option<(String, u64)>,
    /// The place where it was last.
    place: usize,
    /// Since when it does not answer; `None` if it does, or never did.
    lost_at: Option<Timestamp>,
}

/// What happens next.
pub(crate) enum Turn {
    /// Something happened at this place.
    At(usize, Step),
    /// Something changed in the folders of sockets.
    Folders(Option<Change>),
}

impl Runtimes {
    /// Nothing is known yet; every socket is tried at once.
    pub(crate) fn new(config: &Config, version: &'static str, telemetry: &Arc<Telemetry>, now: Timestamp) -> Self {
        let pace = Pace { idle: IDLE_UNWATCHED, active: config.interval };
        let mut folders = Folders::new().inspect_err(|error| tracing::warn!(%error, "folders of sockets cannot be watched")).ok();
        let place = |socket: &PathBuf| {
            let awaited = folders.as_mut().is_some_and(|folders| folders.await_socket(socket));
            let (selection, host_root) = (config.selection.clone(), config.host_root.clone());
            let telemetry = Arc::clone(telemetry);
            Place::new(Door { socket: socket.clone(), selection, host_root, telemetry }, awaited)
        };
        let places = config.sockets.iter().map(place).collect();
        let known = vec![Known::new(&config.node, version, pace)];
        let chorus = Chorus::default();
        Self {
            node: config.node.clone(),
            version,
            pace,
            places,
            folders,
            known,
            chorus,
            begun: Some(now),
            said: Vec::new(),
            changed: true,
        }
    }

    /// Whether a pull runs, or ends.
    pub(crate) fn is_active(&self) -> bool {
        self.known.iter().any(|known| known.tracker.is_active())
    }

    /// When to tick next at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        match self.begun {
            Some(begun) => Some(begun + FIRST_LOOK),
            None => self.known.iter().filter_map(|known| known.tracker.next_deadline()).min(),
        }
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.known.iter_mut().for_each(|known| known.tracker.tick(now));
        self.places.iter_mut().for_each(Place::rouse);
    }

    /// Tells every tracker what the kubelet is about to pull; which containerd it pulls with is not known here.
    pub(crate) fn intend(&mut self, intents: &[Intent], now: Timestamp) {
        self.known.iter_mut().for_each(|known| known.tracker.observe(Seen::Intents(intents.to_vec()), now));
    }

    /// Tells every running pull again.
    pub(crate) fn repeat(&mut self, now: Timestamp) {
        self.known.iter_mut().for_each(|known| known.tracker.repeat());
        self.tick(now);
    }

    /// Hands out everything that the trackers have to say and to ask.
    pub(crate) fn hand_out(&mut self, voice: &Voice, now: Timestamp) {
        if self.changed {
            self.review(voice, now);
        }
        if self.begun.is_some_and(|begun| self.is_trying() && now < begun + FIRST_LOOK) {
            return;
        }
        if self.begun.take().is_some() {
            let first =
                self.known.iter().enumerate().filter(|(_, known)| known.identity.is_some()).min_by_key(|(_, known)| known.place);
            self.chorus.lead(first.map_or(0, |(which, _)| which));
        }
        let mut spoke = Vec::new();
        for (which, known) in self.known.iter_mut().enumerate() {
            if known.hand_out(voice) {
                spoke.push(which);
            }
            let session = self.places.get_mut(known.place).and_then(|place| match &mut place.link {
                Link::Up { session, .. } if known.is_up() => Some(session),
                Link::Up { .. } | Link::Away { .. } | Link::Opening(_) | Link::Twin { .. } => None,
            });
            match session {
                Some(session) => {
                    session.take_root().iter().for_each(|root| voice.look_at_disk_of(root));
                    session.carry(&mut known.questions, &known.tracker, now);
                    known.tracker.set_idle_pace(session.idle_pace());
                }
                // The tracker asks again when there is a connection.
                None => known.questions.clear(),
            }
        }
        if !spoke.is_empty() {
            self.changed |= self.known.len() > 1;
            let reports: Vec<_> =
                self.known.iter().map(|known| known.report.as_ref().filter(|_| self.is_missed(known, now))).collect();
            self.chorus.speak(&reports, &spoke).into_iter().for_each(|report| voice.node(report));
        }
    }

    /// What happens next. Nothing is lost when this is dropped before.
    pub(crate) async fn next(&mut self) -> Turn {
        let changes = async {
            match &mut self.folders {
                Some(folders) => folders.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            (step, place, _) = select_all(self.places.iter_mut().map(|place| place.next().boxed())) => Turn::At(place, step),
            change = changes => Turn::Folders(change),
        }
    }

    /// Takes in what happened.
    pub(crate) fn take(&mut self, turn: Turn, now: Timestamp) {
        self.changed |= !matches!(turn, Turn::At(_, Step::Seen(_)));
        match turn {
            Turn::At(index, Step::Opened(session, runtime)) => self.opened(index, session, runtime, now),
            Turn::At(index, Step::Lost(problem)) => self.lost(index, problem, now),
            Turn::At(index, Step::Seen(seen)) => self.seen(index, seen, now),
            Turn::At(index, Step::Due) => self.places.get_mut(index).into_iter().for_each(Place::open),
            Turn::At(index, Step::Absent(why)) => {
                self.places.get_mut(index).into_iter().for_each(|place| place.found_away(why.clone()))
            }
            Turn::Folders(Some(change)) => self.folder_changed(&change, now),
            Turn::Folders(None) => {
                self.folders = None;
                self.places.iter_mut().for_each(|place| place.awaited = false);
                self.places.iter_mut().filter(|place| matches!(place.link, Link::Away { .. })).for_each(Place::open);
            }
        }
    }
}

impl Runtimes {
    fn is_trying(&self) -> bool {
        self.places.iter().any(|place| matches!(place.link, Link::Opening(_)))
    }

    fn seen(&mut self, index: usize, seen: Option<Seen>, now: Timestamp) {
        let Some(Link::Up { runtime, .. }) = self.places.get(index).map(|place| &place.link) else { return };
        if let (Some(seen), Some(known)) = (seen, self.known.get_mut(*runtime)) {
            known.tracker.observe(seen, now);
        }
    }

    fn opened(&mut self, index: usize, session: Box<Session>, runtime: Runtime, now: Timestamp) {
        let identity = (runtime.uuid.clone(), runtime.pid);
        let twin = self
            .known
            .iter()
            .find(|known| known.is_up() && !runtime.uuid.is_empty() && known.identity.as_ref() == Some(&identity));
        let twin = twin.and_then(|twin| self.places.get(twin.place)).map(|other| other.door.socket.clone());
        let which = if twin.is_none() { self.recognise(&runtime, index) } else { 0 };
        let (Some(place), Some(known)) = (self.places.get_mut(index), self.known.get_mut(which)) else { return };
        if let Some(of) = twin {
            return place.found_twin(of);
        }
        let missing = session.missing();
        if !missing.is_empty() {
            tracing::warn!(?missing, "namespaces that are selected do not exist; they are watched once they do");
        }
        place.opened(session, which);
        (known.place, known.identity, known.lost_at) = (index, Some(identity), None);
        known.tracker.observe(Seen::Connected(runtime), now);
    }

    fn lost(&mut self, index: usize, problem: String, now: Timestamp) {
        let Some(place) = self.places.get_mut(index) else { return };
        let Link::Up { runtime, .. } = place.link else { return };
        place.lost(problem);
        let socket = place.door.socket.clone();
        if let Some(known) = self.known.get_mut(runtime) {
            known.lost_at = Some(now);
            known.tracker.observe(Seen::Disconnected, now);
        }
        // The same containerd may still be reached another way.
        let twins = self.places.iter_mut().filter(|place| matches!(&place.link, Link::Twin { of } if *of == socket));
        twins.for_each(Place::open);
    }

    fn folder_changed(&mut self, change: &Change, now: Timestamp) {
        let mut replaced = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate().filter(|(_, place)| change.concerns(&place.door.socket)) {
            // The folder itself may have come, or another in its stead; watched first, looked at then.
            place.awaited = self.folders.as_mut().is_some_and(|folders| folders.await_socket(&place.door.socket));
            if place.stirred() {
                replaced.push(index);
            }
        }
        replaced.into_iter().for_each(|index| self.lost(index, "another socket took its place".to_owned(), now));
    }

    /// Which of the known ones this is: the one with its uuid, else the one that was at this place, else one that nobody has been yet.
    fn recognise(&mut self, runtime: &Runtime, place: usize) -> usize {
        let free = |wanted: &dyn Fn(&Known) -> bool| self.known.iter().position(|known| !known.is_up() && wanted(known));
        free(&|known| known.identity.as_ref().is_some_and(|(uuid, _)| !uuid.is_empty() && *uuid == runtime.uuid))
            .or_else(|| free(&|known| known.identity.is_some() && known.place == place))
            .or_else(|| free(&|known| known.identity.is_none()))
            .unwrap_or_else(|| {
                self.known.push(Known::new(&self.node, self.version, self.pace));
                self.known.len() - 1
            })
    }

    /// Whether the node's health depends on this one: it was there, and it has not been gone for long together with its socket.
    fn is_missed(&self, known: &Known, now: Timestamp) -> bool {
        let gone = matches!(self.places.get(known.place).map(|p| &p.link), Some(Link::Away { why: Absence::Missing, .. }));
        let others = self.known.iter().any(Known::is_up);
        !(gone && others && chorus::is_forgotten(known.lost_at, now))
    }

    /// Says what was found at all places, once every attempt is over, and again when that has changed; and whether the agent is ready.
    fn review(&mut self, voice: &Voice, now: Timestamp) {
        voice.health.runtime(self.problem(now));
        if self.is_trying() {
            return;
        }
        self.changed = false;
        let found: Vec<_> = self.places.iter().map(ToString::to_string).collect();
        if found == self.said {
            return;
        }
        let told = |up: bool| {
            let places = self.places.iter().filter(|place| matches!(place.link, Link::Up { .. }) == up);
            places.map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let (watched, not_watched) = (told(true), told(false));
        let trouble = self.places.iter().any(|place| matches!(&place.link, Link::Away { why, .. } if why.is_trouble()));
        if watched.is_empty() {
            tracing::warn!(not_watched, "no containerd to watch, waiting for one");
        } else if trouble {
            tracing::warn!(watched, not_watched, "looked for containerd");
        } else {
            tracing::info!(watched, not_watched, "looked for containerd");
        }
        self.said = found;
    }

    /// Why the agent is not ready: nothing is watched, or what was does not answer. Nothing if it is.
    fn problem(&self, now: Timestamp) -> Option<String> {
        let missed = |place: usize| {
            let mut here = self.known.iter().filter(|known| known.place == place && known.lost_at.is_some());
            here.any(|known| self.is_missed(known, now))
        };
        let nothing = !self.known.iter().any(Known::is_up);
        let places = self.places.iter().enumerate().filter(|(index, _)| nothing || missed(*index));
        let told: Vec<_> = places.map(|(_, place)| place.to_string()).collect();
        (!told.is_empty()).then(|| told.join("\n"))
    }
}

impl Known {
    fn new(node: &Node, version: &str, pace: Pace) -> Self {
        let tracker = Tracker::new(node.clone(), version, pace);
        Self { tracker, questions: VecDeque::new(), report: None, identity: None, place: 0, lost_at: None }
    }

    const fn is_up(&self) -> bool {
        self.identity.is_some() && self.lost_at.is_none()
    }

    /// Whether it said something about the node.
    fn hand_out(&mut self, voice: &Voice) -> bool {
        let mut spoke = false;
        while let Some(output) = self.tracker.poll() {
            match output {
                Output::Ask(question) => self.questions.push_back(question),
                Output::Pull { first, pull } => voice.pull(first, *pull),
                Output::Node(report) => {
                    self.report = Some(report);
                    spoke = true;
                }
            }
        }
        spoke
    }
}
