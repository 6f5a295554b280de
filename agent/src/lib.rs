//! The agent: one per node, containerd in, OTLP out. This file is the wiring; what a pull is stands in `lifecycle::track`.
//!
//! ```text
//!  containerd ──▶ Link::Up{events, stir, answers} ──Seen──▶ Tracker ──Output──▶ Outbox ──▶ export::deliver ══OTLP══▶
//!                      ▲                                       │
//!                      └───────────────── questions ───────────┘
//! ```
//!
//! One task drives it all on one thread; the clock is read here and nowhere else. Without containerd the agent lives on, says so in its
//! heartbeat and keeps trying.

pub mod config;
pub mod containerd;
mod export;
pub mod health;
pub mod logging;

use std::{
    collections::VecDeque,
    future::pending,
    path::PathBuf,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lifecycle::{
    pull::Node,
    time::{Anchor, Timestamp},
    track::{Output, Pace, Question, Runtime, Seen, Tracker},
};
use tokio::net::TcpListener;

use self::{
    config::Config,
    containerd::{Client, Events, Heard, Stir},
    export::Outbox,
    health::Health,
};

/// Questions that are on their way to containerd at the same time.
const MAX_INQUIRIES: usize = 8;
/// Pause between two looks while nothing stirs, where writes of containerd's metadata wake the agent.
const IDLE_WATCHED: Duration = Duration::from_secs(60);
/// The same where nothing wakes it but events: the phase before the first event is seen late by at most this.
const IDLE_UNWATCHED: Duration = Duration::from_secs(5);
/// The list of namespaces is read again with every look while nothing runs, and this often while something does.
const LIST_NAMESPACES: Duration = Duration::from_secs(5);
/// First and longest pause between two attempts to connect.
const RECONNECT: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// How long the last words may take when the agent is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// A wall clock that differs by more was stepped.
const STEPPED: Duration = Duration::from_millis(500);

/// Runs until `shutdown` resolves, then delivers what is left for at most five seconds. Probes are answered on `probes`, if there is such.
pub async fn run(config: Config, probes: Option<TcpListener>, shutdown: impl Future<Output = ()>) {
    let mut clock = Clock::start();
    let version = env!("CARGO_PKG_VERSION");
    let pace = Pace { idle: IDLE_UNWATCHED, active: config.interval / 2 };
    let mut tracker = Tracker::new(config.node.clone(), version, pace);
    let voice = Voice::new(tracker.node());
    let (outbox, node) = (Arc::clone(&voice.outbox), Arc::clone(&voice.node));
    let node = move || node.lock().unwrap_or_else(PoisonError::into_inner).clone();
    tracing::info!(endpoint = config.endpoint.origin(), node = %config.node.name, version, "sending");
    let client = otlp::Client::new(config.endpoint.clone());
    if let Some(listener) = probes {
        tokio::spawn(health::serve(listener, Arc::clone(&voice.health)));
    }
    let delivery = tokio::spawn(export::deliver(Arc::clone(&outbox), client, node, version));
    let mut shutdown = pin!(shutdown);
    let mut link = Link::Down { attempts: 0, said: String::new() };
    let mut questions = VecDeque::new();
    loop {
        let now = clock.now(tracker.is_active());
        voice.hand_out(&mut tracker, &mut questions);
        link.ask(&mut questions, &tracker, now);
        tracker.set_idle_pace(link.idle_pace());
        let pause = tracker.next_deadline().map(|at| at.since(now));
        tokio::select! {
            () = &mut shutdown => break,
            () = outbox.recovered() => {
                tracker.repeat();
                tracker.tick(clock.now(true));
            }
            seen = link.next(&config) => {
                let now = clock.now(tracker.is_active());
                seen.into_iter().for_each(|seen| tracker.observe(seen, now));
            }
            () = sleep(pause) => tracker.tick(clock.now(tracker.is_active())),
        }
    }
    tracing::info!("stopping");
    tokio::select! {
        () = outbox.emptied() => {}
        () = tokio::time::sleep(LAST_WORDS) => tracing::warn!("stopping with reports that could not be delivered"),
    }
    delivery.abort();
}

/// Where the tracker's words go.
struct Voice {
    outbox: Arc<Outbox>,
    health: Arc<Health>,
    /// Who speaks; changes when the runtime says its version.
    node: Arc<Mutex<Node>>,
}

impl Voice {
    fn new(node: &Node) -> Self {
        Self { outbox: Arc::default(), health: Arc::default(), node: Arc::new(Mutex::new(node.clone())) }
    }

    /// Takes everything that the tracker has to say and to ask.
    fn hand_out(&self, tracker: &mut Tracker, questions: &mut VecDeque<Question>) {
        while let Some(output) = tracker.poll() {
            match output {
                Output::Ask(question) => questions.push_back(question),
                Output::Pull { first, pull } => self.outbox.pull(first, *pull),
                Output::Node(report) => {
                    self.health.runtime(report.runtime_reachable);
                    report.node.clone_into(&mut self.node.lock().unwrap_or_else(PoisonError::into_inner));
                    self.outbox.node(report);
                }
            }
        }
    }
}

/// How the agent stands to containerd.
enum Link {
    /// Nobody answers. Back to here: no socket could be opened, the event stream ended, or a survey failed.
    Down {
        /// Attempts that failed in a row.
        attempts: u32,
        /// What was said about it last; said again only when it changes.
        said: String,
    },
    /// containerd answers. Back to here: every successful attempt, always with a new survey before anything else.
    Up(Box<Session>),
}

/// A connection to containerd and everything that hangs on it.
struct Session {
    client: Client,
    events: Events,
    stir: Option<Stir>,
    /// Namespaces to look at, and when the list is to be read again: containerd makes namespaces without telling.
    namespaces: Vec<String>,
    list_at: Timestamp,
    selection: containerd::Selection,
    inquiries: FuturesUnordered<BoxFuture<'static, Reply>>,
}

/// What an inquiry brings back.
enum Reply {
    /// An answer for the tracker.
    Seen(Seen),
    /// A survey and the namespaces that it looked at.
    Surveyed(Seen, Vec<String>),
    /// containerd does not answer any more.
    Broken(String),
}

impl Link {
    const fn idle_pace(&self) -> Duration {
        match self {
            Self::Up(session) if session.stir.is_some() => IDLE_WATCHED,
            Self::Up(_) | Self::Down { .. } => IDLE_UNWATCHED,
        }
    }

    /// Tries all sockets, after a pause if it failed before. The runtime, if one answers.
    async fn connect(&mut self, config: &Config) -> Option<Runtime> {
        let Self::Down { attempts, said } = self else { return None };
        if let Some(doublings) = attempts.checked_sub(1) {
            let [first, longest] = RECONNECT;
            tokio::time::sleep(first.saturating_mul(2_u32.saturating_pow(doublings)).min(longest)).await;
        }
        let mut problems = Vec::new();
        for socket in &config.sockets {
            match Session::open(socket.clone(), config).await {
                Ok((session, runtime)) => {
                    *self = Self::Up(Box::new(session));
                    return Some(runtime);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let problem = problems.join("; ");
        if *said != problem {
            tracing::warn!(problem, "containerd cannot be watched, trying again");
            *said = problem;
        }
        *attempts = attempts.saturating_add(1);
        None
    }

    /// Sends as many questions as may be on their way. Without a connection questions are dropped: the tracker asks again when there is one.
    fn ask(&mut self, questions: &mut VecDeque<Question>, tracker: &Tracker, now: Timestamp) {
        match self {
            Self::Down { .. } => questions.clear(),
            Self::Up(session) => {
                while session.inquiries.len() < MAX_INQUIRIES
                    && let Some(question) = questions.pop_front()
                {
                    session.ask(question, tracker, now);
                }
            }
        }
    }

    /// The next thing that is seen; connects first if there is no connection.
    async fn next(&mut self, config: &Config) -> Option<Seen> {
        let Self::Up(session) = self else { return self.connect(config).await.map(Seen::Connected) };
        let problem = match session.next().await {
            Ok(seen) => return seen,
            Err(problem) => problem,
        };
        tracing::warn!(problem, "lost containerd");
        *self = Self::Down { attempts: 0, said: String::new() };
        Some(Seen::Disconnected)
    }
}

impl Session {
    async fn open(socket: PathBuf, config: &Config) -> Result<(Self, Runtime), String> {
        let (client, runtime) = Client::connect(&socket).await.map_err(|e| e.to_string())?;
        let told = |status: tonic::Status| format!("{}: {}", socket.display(), status.message());
        let events = client.events(config.selection.clone());
        let namespaces = client.namespaces(&config.selection).await.map_err(told)?;
        let stir = match client.root().await.map_err(told)? {
            Some(root) => Stir::watch(&root).map_err(|error| format!("{}: {error}", root.display())),
            None => Err("containerd does not say where it keeps its data".to_owned()),
        };
        let woken_by = match &stir {
            Ok((_, file)) => format!("writes to {}", file.display()),
            Err(problem) => format!("events, and a look every {IDLE_UNWATCHED:?} ({problem})"),
        };
        tracing::info!(socket = %socket.display(), version = runtime.version, ?namespaces, woken_by, "watching containerd");
        if let containerd::Selection::Only(wanted) = &config.selection {
            let missing: Vec<_> = wanted.iter().filter(|name| !namespaces.contains(name)).collect();
            if !missing.is_empty() {
                tracing::warn!(?missing, "namespaces that are selected do not exist; they are watched once they do");
            }
        }
        let session = Self {
            client,
            events,
            stir: stir.ok().map(|(stir, _)| stir),
            namespaces,
            list_at: Timestamp::EPOCH,
            selection: config.selection.clone(),
            inquiries: FuturesUnordered::new(),
        };
        Ok((session, runtime))
    }

    fn ask(&mut self, question: Question, tracker: &Tracker, now: Timestamp) {
        let client = self.client.clone();
        let inquiry = match question {
            Question::Survey { ingests } => {
                let (known, selection, dull) = (self.namespaces.clone(), self.selection.clone(), tracker.dull());
                let list = !tracker.is_active() || now >= self.list_at;
                if list {
                    self.list_at = now + LIST_NAMESPACES;
                }
                async move {
                    let namespaces = if list { client.namespaces(&selection).await } else { Ok(known) };
                    let survey = match namespaces {
                        Ok(namespaces) => {
                            client.survey(&namespaces, &dull, ingests, now).await.map(|survey| (survey, namespaces))
                        }
                        Err(status) => Err(status),
                    };
                    match survey {
                        Ok((survey, namespaces)) => Reply::Surveyed(Seen::Survey(survey), namespaces),
                        Err(status) => Reply::Broken(status.message().to_owned()),
                    }
                }
                .boxed()
            }
            Question::About(key, subject) => async move {
                let answer = client.look(&key, &subject).await;
                Reply::Seen(Seen::Answer(key, subject, answer))
            }
            .boxed(),
        };
        self.inquiries.push(inquiry);
    }

    /// The next thing that is seen, or why nothing will be seen any more.
    async fn next(&mut self) -> Result<Option<Seen>, String> {
        let stirs = async {
            match &mut self.stir {
                Some(stir) => stir.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            heard = self.events.next() => match heard {
                Some(Heard::Seen(seen)) => Ok(Some(seen)),
                Some(Heard::Namespaces) => {
                    self.list_at = Timestamp::EPOCH;
                    Ok(Some(Seen::Stirred))
                }
                None => Err("its event stream ended".to_owned()),
            },
            Some(reply) = self.inquiries.next() => match reply {
                Reply::Seen(seen) => Ok(Some(seen)),
                Reply::Surveyed(seen, namespaces) => {
                    self.namespaces = namespaces;
                    Ok(Some(seen))
                }
                Reply::Broken(problem) => Err(problem),
            },
            useful = stirs => {
                if useful {
                    Ok(Some(Seen::Stirred))
                } else {
                    self.stir = None;
                    Ok(None)
                }
            }
        }
    }
}

/// The agent's clock: monotonic, told as wall time.
struct Clock {
    begin: Instant,
    anchor: Anchor,
}

impl Clock {
    fn start() -> Self {
        let begin = Instant::now();
        Self { begin, anchor: Anchor::new(wall(), Duration::ZERO) }
    }

    /// Now. While nothing runs, a wall clock that was stepped is followed; while something runs, its durations come first.
    fn now(&mut self, active: bool) -> Timestamp {
        let elapsed = self.begin.elapsed();
        let now = self.anchor.at(elapsed);
        let wall = wall();
        if active || now.distance(wall) < STEPPED {
            return now;
        }
        self.anchor = Anchor::new(wall, elapsed);
        wall
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock: the one place of the agent that reads it")]
fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

async fn sleep(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => pending().await,
    }
}
