//! `watch`: a live table of pulls that fills the terminal. It shows what a collector tells and changes nothing; lines for pipes and files are the
//! business of [`crate::pulls`].
//!
//! ```text
//!  collector ══SSE══▶ feed ──▶ ┌ shell ─────────────────────┐
//!      ║                       │ Model::update ─▶ view::frame│ ──▶ terminal
//!      ╚═════REST═══▶ asker ──▶└────────────────────────────┘ ◀── keys
//! ```
//!
//! [`model`], [`keys`] and [`view`] are pure; threads, clocks and the terminal are in [`shell`], [`feed`] and [`asker`].

mod asker;
mod clock;
mod detail;
mod feed;
mod filter;
mod keys;
mod model;
mod pull;
mod shell;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod trail;
mod view;

use std::{
    env,
    io::{self, IsTerminal as _},
};

use thiserror::Error;

use self::view::{Colours, Look};
use crate::client::{Client, ClientError};

/// Exit code of a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// What `watch` is told on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Show only what fits from the beginning, as `/` does: `state:stalled node:gpu*`
    #[arg(long, value_name = "WORDS", default_value = "")]
    filter: String,
}

/// Why there is no table, or none any more.
#[derive(Debug, Error)]
pub(crate) enum WatchError {
    #[error("watch needs a terminal, and {0}; `pulltrace ls --follow` writes lines instead")]
    NoTerminal(&'static str),
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("cannot use the terminal: {0}")]
    Terminal(#[source] io::Error),
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    #[error("the part that reads from the collector is gone")]
    Reader,
    #[error("interrupted")]
    Interrupted,
}

impl WatchError {
    /// The exit code that says what went wrong.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::NoTerminal(_) => 2,
            Self::Client(error) => error.code(),
            Self::Terminal(_) | Self::Start(_) | Self::Reader => 1,
            Self::Interrupted => INTERRUPTED,
        }
    }
}

/// Shows the table until a person has seen enough.
///
/// # Errors
/// When there is no terminal, when the collector does not answer at first, when the terminal breaks, and when it is interrupted. A collector that
/// is lost later is waited for.
pub(crate) fn run(client: impl FnOnce() -> Result<Client, ClientError>, options: &Options) -> Result<(), WatchError> {
    let variable = |name: &str| env::var(name).ok();
    if !io::stdout().is_terminal() {
        return Err(WatchError::NoTerminal("its output is none"));
    }
    if !io::stdin().is_terminal() {
        return Err(WatchError::NoTerminal("its input is none"));
    }
    if variable("TERM").is_none_or(|term| term.is_empty() || term == "dumb") {
        return Err(WatchError::NoTerminal("TERM says that this one cannot place a cursor"));
    }
    shell::run(client()?, &options.filter, look(variable))
}

/// What the terminal can show, as far as the environment says.
fn look(variable: impl Fn(&str) -> Option<String>) -> Look {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let term = set("TERM").unwrap_or_default();
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
    let many = term.contains("256color") || term.contains("kitty") || term.contains("direct") || set("COLORTERM").is_some();
    let colours = match (set("NO_COLOR"), many) {
        (Some(_), _) => Colours::None,
        (None, true) => Colours::Many,
        (None, false) => Colours::Sixteen,
    };
    Look { colours, shapes: term != "linux" && (locale.contains("utf-8") || locale.contains("utf8")) }
}

#[cfg(test)]
mod looks {
    use super::*;

    #[test]
    fn the_environment_says_what_the_terminal_can_show() {
        let look_of = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            look(move |name| set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
        };
        let utf8 = ("LANG", "C.UTF-8");
        assert_eq!(look_of(&[("TERM", "xterm-256color"), utf8]), Look { colours: Colours::Many, shapes: true });
        assert_eq!(look_of(&[("TERM", "xterm"), ("NO_COLOR", "1"), utf8]), Look { colours: Colours::None, shapes: true });
        assert_eq!(look_of(&[("TERM", "vt100"), ("NO_COLOR", "")]), Look { colours: Colours::Sixteen, shapes: false });
        assert_eq!(look_of(&[("TERM", "linux"), utf8]), Look { colours: Colours::Sixteen, shapes: false });
        assert!(!look_of(&[("TERM", "xterm"), utf8, ("LC_ALL", "C")]).shapes, "LC_ALL is above LANG");
    }
}
