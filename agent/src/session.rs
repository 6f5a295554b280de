//! One connection to containerd: its events, its stirring, and the questions that are on their way there.
//!
//! Events are read all the time, whatever a question comes to: containerd keeps what is not read in its own memory. Who opens a session
//! again when it breaks is [`crate::place`]; whose questions it carries is [`crate::runtimes`].

use std::{
    collections::VecDeque,
    future::pending,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lifecycle::{
    time::Timestamp,
    track::{Question, Runtime, Seen, Tracker},
};

use crate::containerd::{Client, Events, Heard, Selection, Stir};

/// Questions that are on their way to containerd at the same time.
const MAX_INQUIRIES: usize = 8;
/// Pause between two looks while nothing stirs, where writes of containerd's metadata wake the agent.
const IDLE_WATCHED: Duration = Duration::from_secs(60);
/// The same where nothing wakes it but events: the phase before the first event is seen late by at most this.
pub(crate) const IDLE_UNWATCHED: Duration = Duration::from_secs(5);
/// The list of namespaces is read again with every look while nothing runs, and this often while something does.
const LIST_NAMESPACES: Duration = Duration::from_secs(5);

/// A connection to containerd and everything that hangs on it.
pub(crate) struct Session {
    client: Client,
    events: Events,
    stir: Option<Stir>,
    /// What wakes the agent while nothing runs, for people.
    woken_by: String,
    /// Namespaces to look at, and when the list is to be read again: containerd makes namespaces without telling.
    namespaces: Vec<String>,
    list_at: Timestamp,
    selection: Selection,
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

impl Session {
    /// Opens the socket and asks who is there.
    pub(crate) async fn open(socket: PathBuf, selection: Selection) -> Result<(Self, Runtime), String> {
        let (client, runtime) = Client::connect(&socket).await.map_err(|e| e.to_string())?;
        let told = |status: tonic::Status| format!("{}: {}", socket.display(), status.message());
        let namespaces = client.namespaces(&selection).await.map_err(told)?;
        let stir = match client.root().await.map_err(told)? {
            Some(root) => Stir::watch(&root).map_err(|error| format!("{}: {error}", root.display())),
            None => Err("containerd does not say where it keeps its data".to_owned()),
        };
        let woken_by = match &stir {
            Ok((_, file)) => format!("writes to {}", file.display()),
            Err(problem) => format!("events, and a look every {IDLE_UNWATCHED:?} ({problem})"),
        };
        let session = Self {
            events: client.events(selection.clone()),
            client,
            stir: stir.ok().map(|(stir, _)| stir),
            woken_by,
            namespaces,
            list_at: Timestamp::EPOCH,
            selection,
            inquiries: FuturesUnordered::new(),
        };
        Ok((session, runtime))
    }

    /// Says in the log that this containerd is watched from now on, and how.
    pub(crate) fn announce(&self, socket: &Path, runtime: &Runtime) {
        let Self { namespaces, woken_by, .. } = self;
        let (version, uuid) = (&runtime.version, &runtime.uuid);
        tracing::info!(socket = %socket.display(), version, uuid, ?namespaces, woken_by, "watching containerd");
        if let Selection::Only(wanted) = &self.selection {
            let missing: Vec<_> = wanted.iter().filter(|name| !namespaces.contains(name)).collect();
            if !missing.is_empty() {
                tracing::warn!(?missing, "namespaces that are selected do not exist; they are watched once they do");
            }
        }
    }

    /// How often to look while nothing runs.
    pub(crate) const fn idle_pace(&self) -> Duration {
        if self.stir.is_some() { IDLE_WATCHED } else { IDLE_UNWATCHED }
    }

    /// Sends as many questions as may be on their way.
    pub(crate) fn carry(&mut self, questions: &mut VecDeque<Question>, tracker: &Tracker, now: Timestamp) {
        while self.inquiries.len() < MAX_INQUIRIES
            && let Some(question) = questions.pop_front()
        {
            self.ask(question, tracker, now);
        }
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
    pub(crate) async fn next(&mut self) -> Result<Option<Seen>, String> {
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
