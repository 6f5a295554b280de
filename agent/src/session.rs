//! One connection to containerd: its events, its stirring, and the questions that are on their way there.
//!
//! Events are read all the time, whatever a question comes to: containerd keeps what is not read in its own memory. Who opens a session
//! again when it breaks is [`crate::place`]; whose questions it carries is [`crate::runtimes`].

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt, fs,
    future::pending,
    mem,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use lifecycle::{
    time::Timestamp,
    track::{Answer, Lease, LeaseKey, Question, Runtime, Seen, Survey, Tracker},
};

use tracing::Instrument as _;

use crate::{
    containerd::{Absence, Client, Events, Heard, Selection, Stir},
    sockets,
    telemetry::Telemetry,
};

/// Questions that are on their way to containerd at the same time.
const MAX_INQUIRIES: usize = 8;
/// Pause between two looks while nothing stirs, where writes of containerd's metadata wake the agent.
const IDLE_WATCHED: Duration = Duration::from_secs(60);
/// The same where nothing wakes it but events: the phase before the first event is seen late by at most this.
pub(crate) const IDLE_UNWATCHED: Duration = Duration::from_secs(5);
/// A socket that does not lead to a containerd that answers within this time is given up for now.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// A look at one thing may take so long, whatever parts it comes in.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// The list of namespaces is read again with every look while nothing runs, and this often while something does.
const LIST_NAMESPACES: Duration = Duration::from_secs(5);
/// While nothing is written, everything is looked at this often all the same.
const TRUST_SILENCE: Duration = Duration::from_secs(30);

/// What it takes to open a session.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) socket: PathBuf,
    pub(crate) selection: Selection,
    /// Where the files of the host are seen.
    pub(crate) host_root: PathBuf,
    pub(crate) telemetry: Arc<Telemetry>,
}

/// A connection to containerd and everything that hangs on it.
pub(crate) struct Session {
    client: Client,
    telemetry: Arc<Telemetry>,
    /// Where containerd keeps its data, until somebody has taken note of it.
    root: Option<PathBuf>,
    /// Device and number of the socket when it was opened.
    inode: Option<(u64, u64)>,
    /// Who answers, for people.
    about: String,
    events: Events,
    stir: Option<Stir>,
    /// What wakes the agent while nothing runs, for people.
    woken_by: String,
    /// Namespaces to look at, and when the list is to be read again: containerd makes namespaces without telling.
    namespaces: Vec<String>,
    list_at: Timestamp,
    /// What the last look at everything found, while nothing can have changed since.
    leases: Leases,
    /// Whether the agent was woken while it asked, and nobody was told.
    woken: bool,
    selection: Selection,
    inquiries: FuturesUnordered<BoxFuture<'static, Reply>>,
}

/// The leases, between two looks at everything. Known only where writes of containerd's metadata are heard of.
#[derive(Debug)]
enum Leases {
    /// They may be others by now. Back to here: a write, an event.
    Changed,
    /// A look at everything is under way, and nothing was written since it was sent.
    Asked,
    /// They are these, by namespace, as of the time of that look.
    Known(Timestamp, BTreeMap<String, Vec<Lease>>),
}

/// What an inquiry brings back.
enum Reply {
    /// An answer for the tracker.
    Seen(Seen),
    /// A look at everything and the namespaces that it looked at.
    Surveyed(Survey, Vec<String>),
    /// containerd does not answer any more.
    Broken(String),
}

impl Session {
    /// Opens the socket, asks who is there, and looks once: who does not answer that is not worth a session.
    pub(crate) async fn open(door: Door) -> Result<(Self, Runtime), Absence> {
        tokio::time::timeout(OPEN_TIMEOUT, Self::enter(door)).await.unwrap_or_else(|_| Err(Absence::late(OPEN_TIMEOUT)))
    }

    async fn enter(door: Door) -> Result<(Self, Runtime), Absence> {
        let inode = inode(&door.socket);
        let (client, runtime) = Client::connect(&door.socket, Arc::clone(&door.telemetry)).await?;
        let told = |status: tonic::Status| Absence::Silent(status.message().to_owned());
        let namespaces = client.namespaces(&door.selection).await.map_err(told)?;
        let root = client.root().await.map_err(told)?.map(|root| sockets::below(&door.host_root, &root));
        let stir = match &root {
            Some(root) => Stir::watch(root).map_err(|error| format!("{}: {error}", root.display())),
            None => Err("containerd does not say where it keeps its data".to_owned()),
        };
        client.survey(&namespaces, &BTreeSet::new(), false, Timestamp::EPOCH).await.map_err(told)?;
        let woken_by = match &stir {
            Ok((_, file)) => format!("writes to {}", file.display()),
            Err(problem) => format!("events, and a look every {IDLE_UNWATCHED:?} ({problem})"),
        };
        let session = Self {
            events: client.events(door.selection.clone()),
            client,
            telemetry: door.telemetry,
            root,
            inode,
            about: format!("containerd {}, uuid {}", runtime.version, runtime.uuid),
            stir: stir.ok().map(|(stir, _)| stir),
            woken_by,
            namespaces,
            list_at: Timestamp::EPOCH,
            leases: Leases::Changed,
            woken: false,
            selection: door.selection,
            inquiries: FuturesUnordered::new(),
        };
        Ok((session, runtime))
    }

    /// Namespaces that are wanted and do not exist yet.
    pub(crate) fn missing(&self) -> Vec<&str> {
        match &self.selection {
            Selection::All => Vec::new(),
            Selection::Only(wanted) => wanted.iter().filter(|name| !self.namespaces.contains(name)).map(String::as_str).collect(),
        }
    }

    /// Whether the socket is another one by now than that which was opened: somebody else listens there.
    pub(crate) fn is_replaced(&self, socket: &Path) -> bool {
        let now = inode(socket);
        now.is_some() && now != self.inode
    }

    /// How often to look while nothing runs.
    pub(crate) const fn idle_pace(&self) -> Duration {
        if self.stir.is_some() { IDLE_WATCHED } else { IDLE_UNWATCHED }
    }

    /// Where containerd keeps its data; said once.
    pub(crate) const fn take_root(&mut self) -> Option<PathBuf> {
        self.root.take()
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
        let (client, telemetry) = (self.client.clone(), Arc::clone(&self.telemetry));
        let inquiry = match question {
            Question::Survey { ingests } => {
                let (known, selection, dull) = (self.namespaces.clone(), self.selection.clone(), tracker.dull());
                let leases = self.unchanged_leases(now).filter(|_| tracker.is_active());
                let list = leases.is_none() && (!tracker.is_active() || now >= self.list_at);
                if list {
                    self.list_at = now + LIST_NAMESPACES;
                }
                if leases.is_none() {
                    self.leases = if self.stir.is_some() { Leases::Asked } else { Leases::Changed };
                }
                async move {
                    let begin = Instant::now();
                    let survey = match leases {
                        Some(leases) => client.progress(leases, &dull, now).await.map(|survey| Reply::Seen(Seen::Survey(survey))),
                        None => everything(&client, known, list.then_some(&selection), &dull, ingests, now).await,
                    };
                    telemetry.surveyed(begin.elapsed());
                    survey.unwrap_or_else(|status| Reply::Broken(status.message().to_owned()))
                }
                .instrument(tracing::debug_span!("survey"))
                .boxed()
            }
            Question::About(key, subject) => async move {
                let answer = tokio::time::timeout(LOOK_TIMEOUT, client.look(&key, &subject)).await.unwrap_or(Answer::Unavailable);
                Reply::Seen(Seen::Answer(key, subject, answer))
            }
            .boxed(),
        };
        self.inquiries.push(inquiry);
    }

    /// The leases of the last look at everything, if nothing was written since.
    fn unchanged_leases(&mut self, now: Timestamp) -> Option<BTreeMap<String, Vec<Lease>>> {
        if self.stir.as_mut().is_none_or(Stir::take_any) {
            self.leases = Leases::Changed;
            self.woken = self.stir.is_some();
        }
        match &self.leases {
            Leases::Known(at, leases) if now.since(*at) < TRUST_SILENCE => Some(leases.clone()),
            Leases::Known(..) | Leases::Changed | Leases::Asked => None,
        }
    }

    /// The next thing that is seen, or why nothing will be seen any more.
    pub(crate) async fn next(&mut self) -> Result<Option<Seen>, String> {
        if mem::take(&mut self.woken) {
            return Ok(Some(Seen::Stirred));
        }
        let stirs = async {
            match &mut self.stir {
                Some(stir) => stir.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            heard = self.events.next() => match heard {
                Some(Heard::Seen(seen)) => {
                    self.leases = Leases::Changed;
                    self.telemetry.heard();
                    Ok(Some(seen))
                }
                Some(Heard::Namespaces) => {
                    self.list_at = Timestamp::EPOCH;
                    Ok(Some(Seen::Stirred))
                }
                None => Err("its event stream ended".to_owned()),
            },
            Some(reply) = self.inquiries.next() => match reply {
                Reply::Seen(seen) => Ok(Some(seen)),
                Reply::Surveyed(survey, namespaces) => {
                    self.namespaces = namespaces;
                    if matches!(self.leases, Leases::Asked) {
                        let leases = survey.namespaces.iter().map(|(name, inventory)| (name.clone(), inventory.leases.clone()));
                        self.leases = Leases::Known(survey.taken_at, leases.collect());
                    }
                    Ok(Some(Seen::Survey(survey)))
                }
                Reply::Broken(problem) => Err(problem),
            },
            useful = stirs => {
                self.leases = Leases::Changed;
                if useful {
                    Ok(Some(Seen::Stirred))
                } else {
                    self.stir = None;
                    self.woken_by = format!("events, and a look every {IDLE_UNWATCHED:?} (its database cannot be watched any more)");
                    Ok(None)
                }
            }
        }
    }
}

/// Who answers, what is watched, and what wakes the agent, for people.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespaces = if self.namespaces.is_empty() { "none yet".to_owned() } else { self.namespaces.join(" ") };
        write!(f, "{}, namespaces {namespaces}, woken by {}", self.about, self.woken_by)
    }
}

/// Looks at everything in these namespaces, or in those that are selected.
async fn everything(
    client: &Client,
    known: Vec<String>,
    selection: Option<&Selection>,
    dull: &BTreeSet<LeaseKey>,
    ingests: bool,
    now: Timestamp,
) -> Result<Reply, tonic::Status> {
    let namespaces = match selection {
        Some(selection) => client.namespaces(selection).await?,
        None => known,
    };
    let survey = client.survey(&namespaces, dull, ingests, now).await?;
    Ok(Reply::Surveyed(survey, namespaces))
}

fn inode(socket: &Path) -> Option<(u64, u64)> {
    fs::metadata(socket).ok().map(|found| (found.dev(), found.ino()))
}
