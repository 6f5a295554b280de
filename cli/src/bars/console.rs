//! `--console`: the bars on a screen that is attached to the machine, beside whatever the command writes. Whose screen it is does not matter:
//! it may be missing, full, stopped or taken away at any time, and the pull goes on. It is looked for again from time to time.

use std::{
    fs::File,
    io::{self, ErrorKind, Write as _},
    os::fd::AsFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use lifecycle::pull::NodeName;
use rustix::fs::{Mode, OFlags};

use super::{
    frame::frame,
    last,
    look::Look,
    paint::{Painter, Place, RESTORE},
    terminal::extent,
};
use crate::pull::picture::{Picture, Surface};

/// How long a screen that went away is left alone, and how often everything is drawn anew, because the kernel may have written on it.
const AGAIN: Duration = Duration::from_secs(5);

/// An attached screen.
pub(crate) struct Console {
    path: PathBuf,
    screen: Option<File>,
    painter: Painter,
    /// When it was last opened, or drawn as a whole.
    fresh: Instant,
    node: NodeName,
}

impl Console {
    /// The screen at this path, and why it cannot be drawn on now, if so.
    pub(crate) fn open(path: &Path, node: NodeName) -> (Self, Option<io::Error>) {
        let (screen, problem) = match open(path) {
            Ok(screen) => (Some(screen), None),
            Err(error) => (None, Some(error)),
        };
        let painter = Painter::new(Place::Screen, Look::CONSOLE);
        (Self { path: path.to_owned(), screen, painter, fresh: Instant::now(), node }, problem)
    }

    /// Opens it again, or draws it as a whole again, when it is time.
    fn refresh(&mut self) {
        if self.fresh.elapsed() < AGAIN {
            return;
        }
        self.fresh = Instant::now();
        self.painter.forget();
        if self.screen.is_none() {
            self.screen = open(&self.path).ok();
        }
    }

    /// Writes as much as the screen takes; what it does not take is drawn with the next frame.
    fn write(&mut self, bytes: &str) {
        let Some(screen) = &mut self.screen else { return };
        match screen.write_all(bytes.as_bytes()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.painter.forget(),
            Err(_) => {
                self.painter.forget();
                self.screen = None;
            }
        }
    }
}

impl Surface for Console {
    fn show(&mut self, pictures: &[Picture]) -> io::Result<()> {
        self.refresh();
        let Some(screen) = &self.screen else { return Ok(()) };
        let extent = extent(screen);
        let lines = frame(pictures, extent, self.painter.look(), &self.node);
        if let Some(bytes) = self.painter.paint(lines, extent) {
            self.write(&bytes);
        }
        Ok(())
    }

    fn end(&mut self, pictures: &[Picture]) -> io::Result<()> {
        let Some(screen) = &self.screen else { return Ok(()) };
        let extent = extent(screen);
        let mut lines = last::lines(pictures, extent.columns, self.painter.look(), &self.node);
        lines.truncate(extent.rows.saturating_sub(1));
        let bytes = self.painter.end(&lines, extent);
        self.write(&bytes);
        self.screen = None;
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if let Some(screen) = &mut self.screen {
            // A screen that is gone needs no cursor.
            _ = screen.write_all(RESTORE.as_bytes());
        }
    }
}

/// Never waits for the screen, and never makes it the terminal of this process.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let screen = rustix::fs::open(path, flags, Mode::empty())?;
    if !rustix::termios::isatty(screen.as_fd()) {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a terminal"));
    }
    Ok(File::from(screen))
}
