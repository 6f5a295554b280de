//! The terminal that is drawn on: its size, its bytes, and the promise that it is given back as it was, also when the program panics (a shipped
//! program aborts then, so that nothing is dropped).

use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{frame::Extent, paint::RESTORE};

/// For terminals that do not know their size, as a serial line.
const USUAL: Extent = Extent { columns: 80, rows: 24 };

/// A terminal that was drawn on is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Terminal {
    file: File,
    drawn: Arc<AtomicBool>,
}

impl Terminal {
    /// Takes a terminal over.
    ///
    /// # Errors
    /// When its handle cannot be doubled.
    pub(super) fn new(terminal: OwnedFd) -> io::Result<Self> {
        let drawn = Arc::new(AtomicBool::new(false));
        restore_on_panic(File::from(terminal.try_clone()?), Arc::clone(&drawn));
        Ok(Self { file: File::from(terminal), drawn })
    }

    pub(super) fn extent(&self) -> Extent {
        extent(&self.file)
    }

    /// Writes a frame, after which the terminal has to be given back.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn draw(&mut self, bytes: &str) -> io::Result<()> {
        self.drawn.store(true, Ordering::Relaxed);
        self.file.write_all(bytes.as_bytes())
    }

    /// Writes what gives it back.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn give_back(&mut self, bytes: &str) -> io::Result<()> {
        self.drawn.store(false, Ordering::Relaxed);
        self.file.write_all(bytes.as_bytes())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.drawn.swap(false, Ordering::Relaxed) {
            // Nobody is left to tell if this fails.
            _ = self.file.write_all(RESTORE.as_bytes());
        }
    }
}

/// What a terminal says of its size now.
pub(super) fn extent(terminal: impl AsFd) -> Extent {
    match rustix::termios::tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Extent { columns: usize::from(size.ws_col), rows: usize::from(size.ws_row) }
        }
        Ok(_) | Err(_) => USUAL,
    }
}

/// Before the words of a panic are written, the terminal is as it was.
fn restore_on_panic(terminal: File, drawn: Arc<AtomicBool>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if drawn.swap(false, Ordering::Relaxed) {
            // The panic is what counts, whether or not this works.
            _ = (&terminal).write_all(RESTORE.as_bytes());
        }
        before(info);
    }));
}
