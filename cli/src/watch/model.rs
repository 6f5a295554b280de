//! What `watch` knows and what it shows of that: changed by messages, read by [`super::view`], and ignorant of terminals, threads and clocks. Time
//! is the time since the program began, and comes with every message.
//!
//! ```text
//!  keys ──▶ Message ──▶ Model::update ──▶ Effect, for the shell
//!  feed ──▶    "             │
//!                            └──▶ view::frame, when it is time for one
//! ```

use std::{collections::BTreeMap, time::Duration};

use lifecycle::{pull::PullId, time::Timestamp};

use super::{
    clock::Clock,
    detail::Detail,
    filter::Filter,
    keys::{Key, Prompt},
    pull::Told,
    table::{Order, Sums, Table},
    trail::Trail,
};

/// Rows are put in order at most so often, so that they can be read.
const ARRANGE: Duration = Duration::from_secs(1);
/// The pull that is looked at is asked for at most so often.
const ASK: Duration = Duration::from_secs(1);
/// As long as there is no pull agents are counted so often.
const COUNT: Duration = Duration::from_secs(5);
/// A collector that was not heard for so long is said to be silent; it says something every 15 s.
pub(super) const SILENT: Duration = Duration::from_secs(20);
/// A stream that was silent for so long is given up: three comments are missing.
const GONE: Duration = Duration::from_secs(50);
/// How long a short word stays on the screen.
const NOTICE: Duration = Duration::from_secs(4);
/// Lines of the screen that are no rows: what all come to, heads of columns, the selected pull, keys.
const AROUND: u16 = 6;

/// Something happened.
#[derive(Debug)]
pub(super) enum Message {
    Key(Key),
    /// Columns and lines of the terminal.
    Resize(u16, u16),
    News(News),
    /// What the collector answered about a pull; an error is one sentence.
    Answer(PullId, Result<Box<Detail>, String>),
    /// How many agents the collector hears.
    Agents(u64),
    /// Time passed; bytes of the stream came last at this time.
    Tick(Option<Duration>),
}

/// What the event stream told.
#[derive(Debug)]
pub(super) enum News {
    /// It is open; the collector's clock, if it said so.
    Open(Option<Timestamp>),
    Pull(Box<Told>),
    Removed(PullId),
    /// Everything there is was told.
    Synced,
    /// An event that could not be read.
    Unreadable,
    /// It ended, or could not be opened; one sentence, and when it is tried again.
    Broken(String, Duration),
}

/// What the shell is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Ask the collector for this pull.
    Ask(PullId),
    /// Ask the collector how many agents it hears.
    Count,
    /// Give the stream up and open it anew.
    Reconnect,
    Quit,
    /// End as Ctrl-C ends programs.
    Interrupt,
    /// Draw everything anew.
    Redraw,
}

/// Whether what is shown is true now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Link {
    /// The first connection is being made. Opening leads to [`Link::Live`].
    #[default]
    Connecting,
    /// Told as it happens.
    Live,
    /// Connected, and not a sign for too long. Any byte leads back to [`Link::Live`].
    Silent,
    /// Lost, and tried again at this time. Opening leads back to [`Link::Live`].
    Broken { why: String, again: Duration },
}

/// What is on the screen.
#[derive(Debug, Default)]
pub(super) enum Screen {
    /// All pulls. Esc leads back to it from everywhere.
    #[default]
    Table,
    /// One pull, scrolled by so many lines.
    Pull(Opened),
    /// The same as JSON.
    Json(Opened),
    /// The keys, scrolled by so many lines.
    Help(usize),
}

/// One pull that is looked at.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: PullId,
    pub(super) scroll: usize,
    /// As it was answered last.
    pub(super) detail: Option<Box<Detail>>,
    /// Why the last question has no answer.
    pub(super) trouble: Option<String>,
    /// Whether something is told that is not in the answer yet.
    is_old: bool,
    asked: Option<Duration>,
    /// Whether Esc leads to the pull and not to the table.
    pub(super) is_above: bool,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// The collector's URL.
    pub(super) server: String,
    pub(super) now: Duration,
    pub(super) size: (u16, u16),
    pub(super) clock: Clock,
    pub(super) link: Link,
    /// When bytes came last.
    pub(super) heard: Duration,
    pub(super) table: Table,
    pub(super) order: Order,
    pub(super) screen: Screen,
    pub(super) prompt: Option<Prompt>,
    /// What `:` looked for last.
    pub(super) sought: String,
    /// The selected pull; none: the first, whichever it is.
    pub(super) selected: Option<PullId>,
    /// Its place among the rows, for when it is gone.
    pub(super) cursor: usize,
    /// The first row on the screen.
    pub(super) top: usize,
    /// Which columns that do not fit are shown instead of others.
    pub(super) aside: usize,
    pub(super) paused: Option<Pause>,
    pub(super) total: Option<Trail>,
    pub(super) notice: Option<(String, Duration)>,
    /// Whether everything there is was told once.
    pub(super) synced: bool,
    /// Events that could not be read.
    pub(super) unreadable: u64,
    /// Agents that the collector hears, if it was asked.
    pub(super) agents: Option<u64>,
    counted: Option<Duration>,
    connection: u32,
    arranged: Option<Duration>,
}

/// The picture stands still, and what comes is kept for later: of each pull the last.
#[derive(Debug)]
pub(super) struct Pause {
    pub(super) since: Duration,
    /// Bounded like the table.
    pub(super) later: BTreeMap<PullId, Option<(Box<Told>, u32)>>,
    /// The connection that told everything meanwhile.
    complete: Option<u32>,
}

impl Model {
    /// For a collector and a terminal of this size.
    pub(super) fn new(server: String, size: (u16, u16)) -> Self {
        Self { server, size, ..Self::default() }
    }

    /// Takes what happened.
    pub(super) fn update(&mut self, message: Message, now: Duration) -> Option<Effect> {
        self.now = self.now.max(now);
        match message {
            Message::Key(key) => self.key(key),
            Message::Resize(width, height) => {
                self.size = (width, height);
                self.follow();
                None
            }
            Message::News(news) => {
                self.news(news);
                None
            }
            Message::Answer(id, answer) => {
                self.answered(id, answer);
                None
            }
            Message::Agents(agents) => {
                self.agents = Some(agents);
                None
            }
            Message::Tick(heard) => self.tick(heard),
        }
    }

    fn news(&mut self, news: News) {
        match news {
            News::Open(said) => {
                self.connection += 1;
                (self.link, self.heard) = (Link::Live, self.now);
                said.into_iter().for_each(|said| self.clock.heard(said, self.now));
            }
            News::Pull(told) => {
                self.clock.heard(told.timestamp, self.now);
                self.look_again(told.pull.id);
                match &mut self.paused {
                    Some(pause) => pause.keep(told.pull.id, Some((told, self.connection))),
                    None => self.table.put(told.pull, told.timestamp, self.connection, self.now.as_secs()),
                }
            }
            News::Removed(id) => match &mut self.paused {
                Some(pause) => pause.keep(id, None),
                None => self.table.remove(id),
            },
            News::Synced => {
                let is_first = !std::mem::replace(&mut self.synced, true);
                match &mut self.paused {
                    Some(pause) => pause.complete = Some(self.connection),
                    None => self.table.keep_only(self.connection),
                }
                // What is said to be all there is has to be shown.
                if is_first && self.paused.is_none() {
                    self.arrange();
                }
            }
            News::Unreadable => self.unreadable += 1,
            News::Broken(why, pause) => self.link = Link::Broken { why, again: self.now + pause },
        }
    }

    fn answered(&mut self, id: PullId, answer: Result<Box<Detail>, String>) {
        let (Screen::Pull(opened) | Screen::Json(opened)) = &mut self.screen else { return };
        if opened.id != id {
            return;
        }
        match answer {
            Ok(detail) => (opened.detail, opened.trouble) = (Some(detail), None),
            Err(why) => opened.trouble = Some(why),
        }
    }

    fn tick(&mut self, heard: Option<Duration>) -> Option<Effect> {
        self.heard = heard.map_or(self.heard, |heard| heard.max(self.heard));
        match (&self.link, self.now.saturating_sub(self.heard) > SILENT) {
            (Link::Live, true) => self.link = Link::Silent,
            (Link::Silent, false) => self.link = Link::Live,
            (Link::Connecting | Link::Live | Link::Silent | Link::Broken { .. }, _) => {}
        }
        if self.silence() > GONE && !matches!(self.link, Link::Broken { .. }) {
            self.link = Link::Broken { why: "no word".to_owned(), again: self.now };
            return Some(Effect::Reconnect);
        }
        if self.notice.as_ref().is_some_and(|(_, at)| self.now.saturating_sub(*at) > NOTICE) {
            self.notice = None;
        }
        if self.paused.is_none() && self.arranged.is_none_or(|at| self.now.saturating_sub(at) >= ARRANGE || !self.synced) {
            self.arrange();
        }
        self.ask()
    }

    /// The question that is to be asked now, if any.
    pub(super) fn ask(&mut self) -> Option<Effect> {
        let (Screen::Pull(opened) | Screen::Json(opened)) = &mut self.screen else {
            let is_time = self.counted.is_none_or(|at| self.now.saturating_sub(at) >= COUNT);
            if !(is_time && self.synced && self.table.len() == 0) {
                return None;
            }
            self.counted = Some(self.now);
            return Some(Effect::Count);
        };
        let is_time = opened.asked.is_none_or(|at| self.now.saturating_sub(at) >= ASK);
        if self.paused.is_some() && opened.detail.is_some() || !(opened.is_old && is_time) {
            return None;
        }
        (opened.asked, opened.is_old) = (Some(self.now), false);
        Some(Effect::Ask(opened.id))
    }

    fn look_again(&mut self, id: PullId) {
        if let Screen::Pull(opened) | Screen::Json(opened) = &mut self.screen {
            opened.is_old |= opened.id == id;
        }
    }

    /// Puts the rows in order now.
    pub(super) fn arrange(&mut self) {
        self.arranged = Some(self.now);
        let second = self.now.as_secs();
        // Failures get old without a word, so all are looked at even if nothing came.
        self.table.arrange(self.order, &self.clock, self.now);
        self.total.get_or_insert_with(|| Trail::new(second)).push(second, self.table.sums().speed);
        self.follow();
    }

    /// Finds the selected pull again, or what stands in its place, and keeps it on the screen.
    pub(super) fn follow(&mut self) {
        let rows = self.table.rows();
        if let Some(id) = self.selected {
            match rows.iter().position(|row| *row == id) {
                Some(at) => self.cursor = at,
                None => self.selected = rows.get(self.cursor.min(rows.len().saturating_sub(1))).copied(),
            }
        } else {
            self.cursor = 0;
        }
        self.cursor = self.cursor.min(rows.len().saturating_sub(1));
        let height = self.height();
        self.top = self.top.min(self.cursor).max((self.cursor + 1).saturating_sub(height)).min(rows.len().saturating_sub(height));
    }

    /// Rows that fit on the screen; at least one.
    pub(super) fn height(&self) -> usize {
        usize::from(self.size.1.saturating_sub(AROUND).max(1))
    }

    /// The selected pull.
    pub(super) fn current(&self) -> Option<PullId> {
        self.table.rows().get(self.cursor).copied()
    }

    /// Shows only what is meant.
    pub(super) fn show(&mut self, filter: Filter) {
        self.table.filter(filter);
        self.arrange();
    }

    /// Opens the selected pull.
    pub(super) fn opened(&self, id: PullId, detail: Option<Box<Detail>>, is_above: bool) -> Opened {
        Opened { id, scroll: 0, is_old: true, detail, trouble: None, asked: None, is_above }
    }

    /// Stands still, or goes on with all that came meanwhile.
    pub(super) fn pause(&mut self) {
        let Some(pause) = self.paused.take() else {
            self.paused = Some(Pause { since: self.now, later: BTreeMap::new(), complete: None });
            return;
        };
        for (id, told) in pause.later {
            match told {
                Some((told, connection)) => self.table.put(told.pull, told.timestamp, connection, self.now.as_secs()),
                None => self.table.remove(id),
            }
        }
        if let Some(connection) = pause.complete {
            self.table.keep_only(connection);
        }
        self.arrange();
    }

    /// Holds what is scrolled to what there is: so many lines at most.
    pub(super) fn hold(&mut self, most: usize) {
        match &mut self.screen {
            Screen::Pull(opened) | Screen::Json(opened) => opened.scroll = opened.scroll.min(most),
            Screen::Help(lines) => *lines = (*lines).min(most),
            Screen::Table => {}
        }
    }

    /// Says a short word for a while.
    pub(super) fn say(&mut self, word: impl Into<String>) {
        self.notice = Some((word.into(), self.now));
    }

    /// What all pulls come to.
    pub(super) const fn sums(&self) -> Sums {
        self.table.sums()
    }

    /// How long ago the collector was heard.
    pub(super) fn silence(&self) -> Duration {
        self.now.saturating_sub(self.heard)
    }
}

impl Pause {
    fn keep(&mut self, id: PullId, told: Option<(Box<Told>, u32)>) {
        if self.later.len() < super::table::MAX_PULLS || self.later.contains_key(&id) {
            self.later.insert(id, told);
        }
    }
}
