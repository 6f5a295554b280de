//! Bars: what `pulltrace pull` shows on a terminal while images come. What is drawn is pure ([`frame`], [`last`]); around it is the shell that
//! writes it: only what changed, in whatever size the terminal has now, and gives the terminal back as it was.
//! It is drawn on standard output, as Docker does, and only if that is a terminal; `--console` is one more screen ([`console`]).

mod bar;
mod columns;
mod console;
mod frame;
mod last;
mod line;
mod look;
mod paint;
mod room;
mod terminal;
#[cfg(test)]
mod tests;

use std::{
    io::{self, IsTerminal as _},
    os::fd::{AsFd, OwnedFd},
};

use lifecycle::pull::NodeName;

pub(crate) use self::{console::Console, look::Look};
use self::{
    paint::{Painter, Place},
    terminal::Terminal,
};
use crate::pull::picture::{Picture, Surface};

/// How bars can be drawn on standard output; `None` if it is no terminal, or one that cannot be drawn on.
pub(crate) fn look(var: impl Fn(&str) -> Option<String>) -> Option<Look> {
    Look::from_env(var).filter(|_| io::stdout().is_terminal())
}

/// Bars on a terminal.
pub(crate) struct Bars {
    terminal: Terminal,
    painter: Painter,
    node: NodeName,
}

impl Bars {
    /// On standard output, of pulls on this node.
    ///
    /// # Errors
    /// When its handle cannot be doubled.
    pub(crate) fn on_stdout(look: Look, node: NodeName) -> io::Result<Self> {
        Self::on(io::stdout().as_fd().try_clone_to_owned()?, look, node)
    }

    fn on(terminal: OwnedFd, look: Look, node: NodeName) -> io::Result<Self> {
        let painter = Painter::new(Place::Below, look);
        Ok(Self { terminal: Terminal::new(terminal)?, painter, node })
    }
}

impl Surface for Bars {
    fn show(&mut self, pictures: &[Picture]) -> io::Result<()> {
        let extent = self.terminal.extent();
        let lines = frame::frame(pictures, extent, self.painter.look(), &self.node);
        match self.painter.paint(lines, extent) {
            Some(bytes) => self.terminal.draw(&bytes),
            None => Ok(()),
        }
    }

    fn end(&mut self, pictures: &[Picture]) -> io::Result<()> {
        let extent = self.terminal.extent();
        let lines = last::lines(pictures, extent.columns, self.painter.look(), &self.node);
        let bytes = self.painter.end(&lines, extent);
        self.terminal.give_back(&bytes)
    }
}
