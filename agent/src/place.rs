//! A place where a containerd may be, and how the agent stands to it. What is done with what comes from there is [`crate::runtimes`].

use std::{path::PathBuf, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use lifecycle::track::{Runtime, Seen};
use tokio::time::Instant;

use crate::{containerd::Selection, session::Session};

/// First and longest pause between two attempts to connect.
const RECONNECT: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

/// A socket, and what has become of it.
pub(crate) struct Place {
    pub(crate) socket: PathBuf,
    pub(crate) link: Link,
    selection: Selection,
    /// Attempts that failed in a row.
    attempts: u32,
    /// What was said about it last; said again only when it changes.
    said: String,
}

/// How the agent stands to one socket.
pub(crate) enum Link {
    /// It is being opened. Back to here: the pause is over.
    Opening(BoxFuture<'static, Result<(Session, Runtime), String>>),
    /// Nobody answers. Back to here: it could not be opened, the event stream ended, or a survey failed.
    Away {
        /// When it is tried again.
        again: Instant,
    },
    /// containerd answers. Back to here: every successful attempt, always with a new survey before anything else.
    Up {
        /// The connection.
        session: Box<Session>,
        /// Which of the known runtimes it leads to.
        runtime: usize,
    },
}

/// What happened at a place.
pub(crate) enum Step {
    /// The pause is over.
    Due,
    /// containerd answers.
    Opened(Box<Session>, Runtime),
    /// It does not; why.
    Refused(String),
    /// Something was seen, or nothing of interest.
    Seen(Option<Seen>),
    /// The connection broke; why.
    Lost(String),
}

impl Place {
    /// A place that is tried at once.
    pub(crate) fn new(socket: PathBuf, selection: Selection) -> Self {
        let again = Instant::now();
        Self { socket, link: Link::Away { again }, selection, attempts: 0, said: String::new() }
    }

    /// Waits for the next thing to happen here. Nothing is lost when this is dropped before.
    pub(crate) async fn next(&mut self) -> Step {
        match &mut self.link {
            Link::Opening(attempt) => match attempt.await {
                Ok((session, runtime)) => Step::Opened(Box::new(session), runtime),
                Err(problem) => Step::Refused(problem),
            },
            Link::Away { again } => {
                tokio::time::sleep_until(*again).await;
                Step::Due
            }
            Link::Up { session, .. } => session.next().await.map_or_else(Step::Lost, Step::Seen),
        }
    }

    /// Begins an attempt.
    pub(crate) fn open(&mut self) {
        self.link = Link::Opening(Session::open(self.socket.clone(), self.selection.clone()).boxed());
    }

    /// The attempt succeeded.
    pub(crate) fn opened(&mut self, session: Box<Session>, runtime: usize) {
        self.attempts = 0;
        self.said.clear();
        self.link = Link::Up { session, runtime };
    }

    /// The attempt failed: the next comes after a pause, which is twice as long each time.
    pub(crate) fn refused(&mut self, problem: String) {
        let [first, longest] = RECONNECT;
        let pause = first.saturating_mul(2_u32.saturating_pow(self.attempts)).min(longest);
        self.attempts = self.attempts.saturating_add(1);
        self.link = Link::Away { again: Instant::now() + pause };
        if self.said != problem {
            tracing::warn!(problem, "containerd cannot be watched, trying again");
            self.said = problem;
        }
    }

    /// The connection broke: it is tried again at once.
    pub(crate) fn lost(&mut self, problem: &str) {
        tracing::warn!(socket = %self.socket.display(), problem, "lost containerd");
        self.link = Link::Away { again: Instant::now() };
    }
}
