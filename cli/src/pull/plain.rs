//! Pulls in plain lines, for logs and pipes: a line for each change of a state, at most one in [`LAYER_EVERY`] for a layer, and the sentence
//! about the whole as a heartbeat. Never more than is read, never silence that could be taken for an end.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use lifecycle::{
    explain,
    pull::{Layer, LayerState, NodeName, Pull, PullId},
    time::Timestamp,
};

use super::{
    picture::{Doing, Picture, Surface},
    summary,
};

/// A layer has at most one line in this time.
const LAYER_EVERY: Duration = Duration::from_secs(2);
/// The sentence about the whole is said this often.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Width of the times at the front: ten hours fit.
const TIME_WIDTH: usize = 8;

/// Writes lines.
pub(crate) struct Plain<W> {
    out: W,
    node: NodeName,
    /// Whether GitHub Actions reads it, which folds groups of lines.
    groups: bool,
    opened: bool,
    pulls: BTreeMap<PullId, Said>,
}

/// What was said of a pull.
#[derive(Default)]
struct Said {
    started: bool,
    settled: bool,
    waiting: Option<&'static str>,
    sentence_at: Option<Timestamp>,
    ended: bool,
    /// By the first digits of the digest, which are known before the others are.
    layers: BTreeMap<String, (Word, Timestamp)>,
}

/// What is said of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Retrying,
    Checking,
    State(LayerState),
}

impl<W: Write> Plain<W> {
    /// Lines into `out`.
    pub(crate) const fn new(out: W, node: NodeName, groups: bool) -> Self {
        Self { out, node, groups, opened: false, pulls: BTreeMap::new() }
    }

    fn open(&mut self, pictures: &[Picture]) -> io::Result<()> {
        if self.opened || pictures.is_empty() {
            return Ok(());
        }
        self.opened = true;
        if self.groups {
            let names: Vec<String> = pictures.iter().map(|picture| speakable(&picture.asked)).collect();
            writeln!(self.out, "::group::pulltrace pull {}", names.join(" "))?;
        }
        Ok(())
    }

    fn pull(&mut self, picture: &Picture, several: bool) -> io::Result<()> {
        let pull = &picture.pull;
        let said = self.pulls.entry(pull.id).or_default();
        let mut lines = said.news(picture, &self.node);
        // Of a single pull the summary says it right away.
        if pull.ending.is_some() && !std::mem::replace(&mut said.ended, true) && several {
            lines.push(summary::sentence(pull, &self.node));
        }
        let image = if several { format!("{}  ", speakable(&picture.asked)) } else { String::new() };
        for line in lines {
            writeln!(self.out, "{:>TIME_WIDTH$}  {image}{}", explain::time(pull.duration()), speakable(&line))?;
        }
        Ok(())
    }
}

impl<W: Write> Surface for Plain<W> {
    fn show(&mut self, pictures: &[Picture]) -> io::Result<()> {
        self.open(pictures)?;
        for picture in pictures {
            self.pull(picture, pictures.len() > 1)?;
        }
        self.out.flush()
    }

    fn end(&mut self, pictures: &[Picture]) -> io::Result<()> {
        self.show(pictures)?;
        if self.groups && self.opened {
            writeln!(self.out, "::endgroup::")?;
        }
        for picture in pictures {
            writeln!(self.out, "{}", speakable(&picture.asked))?;
            for (about, line) in summary::lines(&picture.pull, &self.node) {
                writeln!(self.out, "  {about:<8} {}", speakable(&line))?;
            }
        }
        self.out.flush()
    }
}

impl Said {
    /// The lines that are due.
    fn news(&mut self, picture: &Picture, node: &NodeName) -> Vec<String> {
        let (pull, now) = (&picture.pull, picture.pull.observed_at);
        let mut lines = Vec::new();
        if !std::mem::replace(&mut self.started, true) {
            let image = pull.image.as_ref().map_or_else(|| picture.asked.clone(), ToString::to_string);
            lines.push(format!("pulling {image}"));
            self.sentence_at = Some(now);
        }
        if pull.total_known && !self.settled {
            self.settled = true;
            lines.push(plan(pull));
        }
        for (layer, doing) in pull.layers.iter().zip(&picture.doing) {
            lines.extend(self.layer(layer, *doing, now));
        }
        let waiting = pull.wait.as_ref().map(lifecycle::pull::Wait::as_str);
        let waits_anew = waiting.is_some() && waiting != self.waiting;
        self.waiting = waiting;
        let silent = self.sentence_at.is_none_or(|at| now.since(at) >= HEARTBEAT);
        if pull.ending.is_none() && (waits_anew || silent) {
            self.sentence_at = Some(now);
            lines.push(summary::sentence(pull, node));
        }
        lines
    }

    fn layer(&mut self, layer: &Layer, doing: Doing, now: Timestamp) -> Option<String> {
        let word = match doing {
            Doing::Retrying { .. } => Word::Retrying,
            Doing::Checking => Word::Checking,
            Doing::Usual => Word::State(layer.state),
        };
        // The plan has said it; and what is queued is no news.
        if matches!(word, Word::State(LayerState::Cached | LayerState::Queued)) {
            return None;
        }
        match self.layers.get(summary::layer_name(layer)) {
            Some((was, _)) if *was == word => return None,
            Some((_, at)) if now.since(*at) < LAYER_EVERY && !layer.is_done() => return None,
            Some(_) | None => {}
        }
        self.layers.insert(summary::layer_name(layer).to_owned(), (word, now));
        let size = if layer.size == 0 { String::new() } else { format!(" ({})", explain::size(layer.size)) };
        let what = match (word, doing) {
            (Word::Retrying, Doing::Retrying { at, .. }) => {
                format!("lost its connection, retrying in {}", explain::time(at.since(now)))
            }
            (Word::Retrying, Doing::Usual | Doing::Checking) => "lost its connection, retrying".to_owned(),
            (Word::Checking, _) => "is being checked".to_owned(),
            (Word::State(state), _) => state.as_str().to_owned(),
        };
        Some(format!("{} {what}{size}", summary::layer_name(layer)))
    }
}

/// What is to be done, once that is known.
fn plan(pull: &Pull) -> String {
    let fetch = pull.layers.len() - pull.layers_cached();
    let cached = match (pull.layers_cached(), pull.cached_bytes()) {
        (0, _) => String::new(),
        (count, bytes) => format!(", {count} cached ({} saved)", explain::size(bytes)),
    };
    format!("{} layers: {fetch} to fetch ({}){cached}", pull.layers.len(), summary::total(pull.to_fetch()))
}

/// Without what would drive a terminal, or be a command to GitHub Actions.
fn speakable(text: &str) -> String {
    text.replace(char::is_control, " ")
}
