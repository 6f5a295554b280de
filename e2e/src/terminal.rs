//! A terminal of its own for a program: it is typed at, looked at, resized, and asked afterwards whether it was given back as it was.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::clock;

/// A program on a terminal. Dropping it ends the program.
#[derive(Debug)]
pub struct Terminal {
    ours: File,
    /// Held open, so that what was written last is not lost with the program.
    theirs: OwnedFd,
    before: Termios,
    child: Child,
    written: Arc<Written>,
}

/// What the program wrote, as a screen shows it, and when the last of it came.
struct Written {
    screen: Mutex<(vt100::Parser, Instant)>,
    more: Condvar,
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lock().0.screen().contents())
    }
}

impl Terminal {
    /// Starts a program on a new terminal of so many columns and lines.
    ///
    /// # Panics
    /// When there is no terminal to be had or the program does not start.
    #[must_use]
    pub fn start(program: &Path, args: &[&str], env: &[(&str, &str)], (columns, lines): (u16, u16)) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("terminals are left");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a new terminal can be used");
        let name = ptsname(&ours, Vec::new()).expect("a terminal has a name");
        let open = || File::options().read(true).write(true).open(name.to_str().expect("the name is a path"));
        let theirs = open().expect("the terminal can be opened");
        tcsetwinsize(&ours, size(columns, lines)).expect("a terminal has a size");
        let before = tcgetattr(&theirs).expect("a terminal has settings");
        let side = || Stdio::from(theirs.try_clone().expect("descriptors are left"));
        let child = Command::new("setsid")
            .args(["--ctty", "setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .env_remove("NO_COLOR")
            .envs([("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("LC_ALL", "C.UTF-8")])
            .envs(env.iter().copied())
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .expect("setsid starts");
        let ours = File::from(ours);
        let screen = Mutex::new((vt100::Parser::new(cells(lines), cells(columns), 0), Instant::now()));
        let written = Arc::new(Written { screen, more: Condvar::new() });
        let (mut reading, kept) = (ours.try_clone().expect("descriptors are left"), written.clone());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = reading.read(&mut buffer) {
                kept.add(&buffer[..length]);
            }
        });
        Self { ours, theirs: theirs.into(), before, child, written }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn keys(&mut self, keys: &str) {
        self.ours.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Makes it another size; the program is told.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, columns: u16, lines: u16) {
        self.written.lock().0.screen_mut().set_size(cells(lines), cells(columns));
        tcsetwinsize(&self.ours, size(columns, lines)).expect("a terminal has a size");
    }

    /// What is on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        self.written.lock().0.screen().contents()
    }

    /// Whether a full-screen program has the screen to itself.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.written.lock().0.screen().alternate_screen()
    }

    /// Waits until this is on the screen, and says when the bytes came that put it there.
    ///
    /// # Panics
    /// When it does not come within the limit; the message has what is there.
    #[track_caller]
    pub fn until(&self, wanted: &str, limit: Duration) -> Instant {
        self.until_is(wanted, limit, |screen| screen.contains(wanted))
    }

    /// Likewise, until this is not on the screen any more.
    ///
    /// # Panics
    /// When it stays.
    #[track_caller]
    pub fn until_gone(&self, unwanted: &str, limit: Duration) -> Instant {
        self.until_is(unwanted, limit, |screen| !screen.contains(unwanted))
    }

    #[track_caller]
    fn until_is(&self, what: &str, limit: Duration, is: impl Fn(&str) -> bool) -> Instant {
        let end = Instant::now() + limit;
        let mut written = self.written.lock();
        loop {
            let screen = written.0.screen().contents();
            if is(&screen) {
                return written.1;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what:?} did not come or go within {limit:?}; on the screen is\n{screen}");
            written = self.written.more.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A signal for the program.
    pub fn signal(&mut self, signal: Signal) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_process(Pid::from_child(&self.child), signal).ok();
        }
    }

    /// Waits for the program's end, and returns its exit code.
    ///
    /// # Panics
    /// When it goes on.
    #[track_caller]
    pub fn exit_code(&mut self, limit: Duration) -> Option<i32> {
        clock::until("the end of the program", limit, || self.child.try_wait().ok().flatten()).code()
    }

    /// Whether the first screen and the cursor are seen, and lines are edited and keys are echoed as they were before the program began.
    ///
    /// # Panics
    /// When the terminal is gone.
    #[must_use]
    pub fn is_as_before(&self) -> bool {
        let now = tcgetattr(&self.theirs).expect("a terminal has settings");
        let modes = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        now.local_modes & modes == self.before.local_modes & modes
            && now.input_modes == self.before.input_modes
            && now.output_modes == self.before.output_modes
            && !self.is_taken()
            && !self.written.lock().0.screen().hide_cursor()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().ok();
    }
}

impl Written {
    fn lock(&self) -> MutexGuard<'_, (vt100::Parser, Instant)> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bytes: &[u8]) {
        let mut written = self.lock();
        written.0.process(bytes);
        written.1 = Instant::now();
        self.more.notify_all();
    }
}

fn cells(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a screen has cells")
}

const fn size(columns: u16, lines: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: lines, ws_xpixel: 0, ws_ypixel: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Terminal {
        Terminal::start(Path::new("sh"), &["-c", script], &[], (80, 24))
    }

    #[test]
    fn a_program_gets_a_terminal_of_the_size_keys_and_an_exit_code() {
        let mut terminal = shell("stty size; read line; echo got $line; exit 7");
        terminal.until("24 80", SOON);
        terminal.keys("word\n");
        terminal.until("got word", SOON);
        assert_eq!(terminal.exit_code(SOON), Some(7));
        assert!(terminal.is_as_before());
    }

    #[test]
    fn a_terminal_that_was_not_given_back_is_noticed() {
        let mut terminal = shell("stty -echo -icanon");
        assert_eq!(terminal.exit_code(SOON), Some(0));
        assert!(!terminal.is_as_before());
    }
}
