//! A place where a containerd may be, and how the agent stands to it: the machine that connects and comes back. What is done with what
//! comes from there is [`crate::runtimes`].

use std::{fmt, path::PathBuf, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use lifecycle::track::{Runtime, Seen};
use tokio::time::Instant;

use crate::{
    containerd::Absence,
    session::{Door, Session},
};

/// First and longest pause between two attempts to connect. Beyond the longest, where a change in the socket's folder will tell, there is
/// no next attempt before it does, but for [`REST`].
const RECONNECT: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];
/// A place that waits for its folder to tell is tried again after so long when the agent is awake anyway.
const REST: Duration = Duration::from_secs(60);
/// A connection that broke sooner was none: the next attempt comes after a pause, not at once.
const WORTH: Duration = Duration::from_secs(5);

/// A socket, and what has become of it.
pub(crate) struct Place {
    pub(crate) door: Door,
    pub(crate) link: Link,
    /// Whether a change in the socket's folder is told.
    pub(crate) awaited: bool,
    /// Attempts in a row that brought no connection worth the name.
    attempts: u32,
    /// When the last attempt began.
    tried: Instant,
}

/// How the agent stands to one socket.
///
/// ```text
///             ┌──────── a pause is over, the folder changed, the twin was lost ────────┐
///             ▼                                                                        │
///  start ─▶ Opening ──▶ Up ──(events ended, a survey failed, the socket is another's)──┤
///             ├───────▶ Away ──────────────────────────────────────────────────────────┤
///             └───────▶ Twin ──────────────────────────────────────────────────────────┘
/// ```
pub(crate) enum Link {
    /// It is being opened. Back to here: from everywhere, as drawn above.
    Opening(BoxFuture<'static, Result<(Session, Runtime), Absence>>),
    /// There is no containerd to watch. Back to here: every attempt that fails, whatever the reason.
    Away {
        /// What the attempt found: no socket, no permission, nobody, silence, or something that is not containerd.
        why: Absence,
        /// When it is tried again, unless the folder tells before; `None` if it will tell.
        again: Option<Instant>,
    },
    /// The containerd that answers is watched through another socket. Back to here: when that turns out after an attempt.
    Twin {
        /// The other socket.
        of: PathBuf,
    },
    /// containerd answers. Back to here: every successful attempt, always with a new survey before anything else.
    Up {
        /// The connection.
        session: Box<Session>,
        /// Which of the known runtimes it leads to.
        runtime: usize,
        /// Since when.
        since: Instant,
    },
}

/// What happened at a place.
pub(crate) enum Step {
    /// A pause is over.
    Due,
    /// containerd answers.
    Opened(Box<Session>, Runtime),
    /// It does not.
    Absent(Absence),
    /// Something was seen, or nothing of interest.
    Seen(Option<Seen>),
    /// The connection broke; why.
    Lost(String),
}

impl Place {
    /// A place that is tried at once.
    pub(crate) fn new(door: Door, awaited: bool) -> Self {
        let link = Link::Opening(Session::open(door.clone()).boxed());
        Self { door, link, awaited, attempts: 0, tried: Instant::now() }
    }

    /// Waits for the next thing to happen here. Nothing is lost when this is dropped before.
    pub(crate) async fn next(&mut self) -> Step {
        match &mut self.link {
            Link::Opening(attempt) => match attempt.await {
                Ok((session, runtime)) => Step::Opened(Box::new(session), runtime),
                Err(why) => Step::Absent(why),
            },
            Link::Away { again: Some(again), .. } => {
                tokio::time::sleep_until(*again).await;
                Step::Due
            }
            Link::Away { again: None, .. } | Link::Twin { .. } => std::future::pending().await,
            Link::Up { session, .. } => session.next().await.map_or_else(Step::Lost, Step::Seen),
        }
    }

    /// Begins an attempt.
    pub(crate) fn open(&mut self) {
        self.tried = Instant::now();
        self.link = Link::Opening(Session::open(self.door.clone()).boxed());
    }

    /// The attempt succeeded.
    pub(crate) fn opened(&mut self, session: Box<Session>, runtime: usize) {
        self.link = Link::Up { session, runtime, since: Instant::now() };
    }

    /// The attempt succeeded, and led to a containerd that is watched already.
    pub(crate) fn found_twin(&mut self, of: PathBuf) {
        self.attempts = 0;
        self.link = Link::Twin { of };
    }

    /// The attempt failed: the next comes after a pause, which is twice as long each time.
    pub(crate) fn found_away(&mut self, why: Absence) {
        let told = self.awaited && why.ends_in_folder();
        let pause = self.pause();
        // A socket that is not there cannot come without a change in its folder.
        let rests = told && (why == Absence::Missing || pause >= RECONNECT[1]);
        self.link = Link::Away { why, again: (!rests).then(|| Instant::now() + pause) };
    }

    /// The connection broke: tried again at once, if it was any good.
    pub(crate) fn lost(&mut self, problem: String) {
        let Link::Up { since, .. } = self.link else { return };
        tracing::warn!(socket = %self.door.socket.display(), problem, "lost containerd");
        self.door.telemetry.lost_runtime();
        if since.elapsed() >= WORTH {
            self.attempts = 0;
            self.open();
        } else {
            let again = Some(Instant::now() + self.pause());
            self.link = Link::Away { why: Absence::Silent(problem), again };
        }
    }

    /// The socket's folder changed: whatever was waited for may be there, or be another one. `true` if the connection is given up for it.
    pub(crate) fn stirred(&mut self) -> bool {
        self.attempts = 0;
        match &self.link {
            Link::Opening(_) => false,
            Link::Away { .. } | Link::Twin { .. } => {
                self.open();
                false
            }
            Link::Up { session, .. } => session.is_replaced(&self.door.socket),
        }
    }

    /// Tries again what waits for its folder to tell and has done so for long: a folder may change unseen.
    pub(crate) fn rouse(&mut self) {
        if matches!(self.link, Link::Away { again: None, .. }) && self.tried.elapsed() >= REST {
            self.open();
        }
    }

    fn pause(&mut self) -> Duration {
        let [first, longest] = RECONNECT;
        let pause = first.saturating_mul(2_u32.saturating_pow(self.attempts)).min(longest);
        self.attempts = self.attempts.saturating_add(1);
        pause
    }
}

/// What was found here, for people.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let socket = self.door.socket.display();
        match &self.link {
            Link::Opening(_) => write!(f, "{socket}: no answer yet"),
            Link::Away { why, .. } => write!(f, "{socket}: {why}"),
            Link::Twin { of } => write!(f, "{socket}: the same containerd as {}", of.display()),
            Link::Up { session, .. } => write!(f, "{socket}: {session}"),
        }
    }
}
