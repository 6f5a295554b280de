//! What the connections share: the simulation behind a lock, the clock that drives it, and the queue of events.
//!
//! Whoever looks first lets everything happen that is due, so that an answer is true for the moment in which it is given. Nothing waits
//! while the lock is held.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use lifecycle::time::Timestamp;
use tokio::sync::{Notify, broadcast, watch};

use super::{events::Event, ids::Ids, personality::Personality, scenario::Scenario, world::Simulation};

/// Most events that wait for one subscriber.
const MAX_EVENTS: usize = 8 * 1024;
/// Most kinds of calls that are counted.
const MAX_ASKED: usize = 1_024;
/// Above the largest process id of Linux: an id that counts up from here belongs to no other process.
const MAX_PID: u64 = 1 << 22;

/// The simulation and its clock.
#[derive(Debug)]
pub(super) struct Shared {
    simulation: Mutex<Simulation>,
    clock: Clock,
    events: broadcast::Sender<Arc<Event>>,
    asked: Mutex<BTreeMap<Asked, u64>>,
    /// The service whose calls are not answered for now; empty if all are.
    pub(super) held: watch::Sender<String>,
    /// Told when all connections are to be cut.
    pub(super) cut: Notify,
    /// The folder that the plugins say they keep things in; it does not exist.
    pub(super) root: String,
    pub(super) uuid: String,
}

/// One kind of call: which method, and in which trace context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// `service/Method`.
    pub path: String,
    /// The `traceparent` that came along; empty if none did.
    pub traceparent: String,
}

/// Simulated time: starts at the wall's and runs `speed` times as fast.
#[derive(Clone, Copy, Debug)]
struct Clock {
    origin: Timestamp,
    started: Instant,
    speed: u32,
}

impl Shared {
    pub(super) fn start(scenario: Scenario, personality: Personality, repeat: bool, speed: u32, socket: &Path) -> Self {
        let clock = Clock::start(speed);
        let seed = clock.origin.as_nanos();
        Self {
            simulation: Mutex::new(Simulation::new(scenario, personality, repeat, clock.origin, seed)),
            clock,
            events: broadcast::channel(MAX_EVENTS).0,
            asked: Mutex::default(),
            held: watch::Sender::default(),
            cut: Notify::new(),
            root: format!("{}.root", socket.display()),
            uuid: Ids::uuid(seed),
        }
    }

    /// Lets everything happen that is due, then looks.
    pub(super) fn look<T>(&self, read: impl FnOnce(&Simulation) -> T) -> T {
        let mut simulation = self.simulation.lock().unwrap_or_else(PoisonError::into_inner);
        simulation.advance(self.clock.now());
        for event in simulation.take_events() {
            // It fails if nobody listens, which is nobody's loss.
            self.events.send(Arc::new(event)).ok();
        }
        read(&simulation)
    }

    /// Notes a call. Beyond [`MAX_ASKED`] kinds only known ones are counted.
    pub(super) fn note(&self, path: &str, traceparent: &str) {
        let asked = Asked { path: path.to_owned(), traceparent: traceparent.to_owned() };
        let mut known = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MAX_ASKED || known.contains_key(&asked) {
            *known.entry(asked).or_default() += 1;
        }
    }

    pub(super) fn asked(&self) -> BTreeMap<Asked, u64> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// This process at first; after each simulated crash an id that nobody has.
    pub(super) fn pid(&self) -> u64 {
        match self.look(Simulation::incarnation) {
            0 => u64::from(std::process::id()),
            times => MAX_PID + times,
        }
    }
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place in which the simulator reads the wall clock")]
    fn start(speed: u32) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let origin = Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        Self { origin, started: Instant::now(), speed }
    }

    fn now(&self) -> Timestamp {
        self.origin + self.started.elapsed().saturating_mul(self.speed)
    }
}
