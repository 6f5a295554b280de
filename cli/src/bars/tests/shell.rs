//! The shell on a real terminal, the far end of which is read here: only what changed is written, and everything is put back however it ends.

use std::{
    fs::File,
    io::Read as _,
    mem::ManuallyDrop,
    os::fd::OwnedFd,
    panic::AssertUnwindSafe,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{OFlags, fcntl_setfl},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};

use super::{
    COLOURS,
    sample::{MIB, ready, running},
};
use crate::{
    bars::{Bars, Console},
    pull::picture::Surface as _,
};

/// A panic puts back every terminal that its process has drawn on: one test at a time.
static ONE: Mutex<()> = Mutex::new(());

/// A terminal: where its near end is, and what appears on it.
struct Screen {
    _alone: MutexGuard<'static, ()>,
    path: std::path::PathBuf,
    far: File,
}

impl Screen {
    fn new(columns: u16, rows: u16) -> Self {
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        fcntl_setfl(&far, OFlags::NONBLOCK).unwrap();
        grantpt(&far).unwrap();
        unlockpt(&far).unwrap();
        let path = ptsname(&far, Vec::new()).unwrap().into_string().unwrap().into();
        let screen = Self { _alone: alone, path, far: File::from(far) };
        screen.resize(columns, rows);
        screen
    }

    fn near(&self) -> OwnedFd {
        let near = File::options().read(true).write(true).open(&self.path).unwrap();
        let mut modes = tcgetattr(&near).unwrap();
        modes.make_raw();
        tcsetattr(&near, OptionalActions::Now, &modes).unwrap();
        near.into()
    }

    fn resize(&self, ws_col: u16, ws_row: u16) {
        tcsetwinsize(&self.far, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    /// What was written since it was asked last.
    fn seen(&mut self) -> String {
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        while let Ok(read @ 1..) = self.far.read(&mut part) {
            bytes.extend_from_slice(&part[..read]);
        }
        String::from_utf8(bytes).unwrap()
    }
}

fn bars(screen: &Screen) -> Bars {
    Bars::on(screen.near(), COLOURS, "node-7".parse().unwrap()).unwrap()
}

/// Whether the last word about each of these modes is the usual one.
fn is_put_back(seen: &str) -> bool {
    let last = |on: &str, off: &str| seen.rfind(on) > seen.rfind(off);
    let colours = seen.rfind("\x1b[0m") > seen.rfind("\x1b[0;");
    last("\x1b[?25h", "\x1b[?25l") && last("\x1b[?7h", "\x1b[?7l") && last("\x1b[?2026l", "\x1b[?2026h") && colours
}

#[test]
fn only_lines_that_changed_are_written_again() {
    let mut screen = Screen::new(80, 24);
    let mut bars = bars(&screen);
    let mut picture = running();
    bars.show(&[picture.clone()]).unwrap();
    let first = screen.seen();
    assert!(first.contains("team/app:v1.4") && first.contains("waiting"), "{first:?}");
    bars.show(&[picture.clone()]).unwrap();
    assert_eq!(screen.seen(), "", "nothing changed");
    picture.pull.layers[5].fetched += MIB;
    bars.show(&[picture]).unwrap();
    let second = screen.seen();
    assert!(second.contains("124/410 MiB") && !second.contains("waiting"), "{second:?}");
    assert!(second.starts_with("\x1b[?2026h") && second.ends_with("\x1b[?2026l"), "shown at once: {second:?}");
}

#[test]
fn another_size_is_drawn_anew_in_that_size() {
    let mut screen = Screen::new(80, 24);
    let mut bars = bars(&screen);
    bars.show(&[running()]).unwrap();
    screen.seen();
    screen.resize(40, 24);
    bars.show(&[running()]).unwrap();
    let seen = screen.seen();
    assert!(seen.contains("\x1b[J") && seen.contains("…"), "{seen:?}");
}

#[test]
fn at_the_end_the_summary_stays_and_the_terminal_is_as_it_was() {
    let mut screen = Screen::new(80, 24);
    let mut bars = bars(&screen);
    bars.show(&[running()]).unwrap();
    assert!(!is_put_back(&screen.seen()));
    bars.end(&[ready()]).unwrap();
    let seen = screen.seen();
    assert!(is_put_back(&seen) && seen.contains("digest"), "{seen:?}");
    drop(bars);
    assert_eq!(screen.seen(), "");
}

#[test]
fn a_terminal_that_is_dropped_in_the_middle_is_put_back() {
    let mut screen = Screen::new(80, 24);
    let mut bars = bars(&screen);
    bars.show(&[running()]).unwrap();
    drop(bars);
    assert!(is_put_back(&screen.seen()));
}

#[test]
fn a_panic_puts_the_terminal_back_before_its_words_though_nothing_is_dropped() {
    let mut screen = Screen::new(80, 24);
    let mut bars = ManuallyDrop::new(bars(&screen));
    bars.show(&[running()]).unwrap();
    assert!(!is_put_back(&screen.seen()));
    std::panic::catch_unwind(AssertUnwindSafe(|| panic!("on purpose"))).unwrap_err();
    assert!(is_put_back(&screen.seen()));
}

#[test]
fn a_console_shows_the_bars_in_its_own_size_and_its_going_away_is_no_error() {
    let mut screen = Screen::new(60, 20);
    let near = screen.near();
    let (mut console, problem) = Console::open(&screen.path, "node-7".parse().unwrap());
    assert!(problem.is_none(), "{problem:?}");
    console.show(&[running()]).unwrap();
    let seen = screen.seen();
    assert!(seen.contains("####") && !seen.contains('█') && seen.contains("\x1b[1;1H"), "{seen:?}");
    drop((screen, near));
    console.show(&[ready()]).unwrap();
    console.end(&[ready()]).unwrap();
}

#[test]
fn a_console_that_takes_nothing_holds_nothing_up() {
    let screen = Screen::new(80, 24);
    let _near = screen.near();
    let (mut console, _) = Console::open(&screen.path, "node-7".parse().unwrap());
    let mut picture = running();
    for _ in 0..200 {
        picture.pull.layers[5].fetched += MIB;
        console.show(&[picture.clone()]).unwrap();
    }
}

#[test]
fn a_console_that_is_missing_or_no_terminal_is_told() {
    let (mut console, problem) = Console::open("/nonexistent/tty".as_ref(), "node-7".parse().unwrap());
    assert_eq!(problem.unwrap().kind(), std::io::ErrorKind::NotFound);
    console.show(&[running()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let (_, problem) = Console::open(file.path(), "node-7".parse().unwrap());
    assert_eq!(problem.unwrap().to_string(), "not a terminal");
    assert_eq!(file.as_file().metadata().unwrap().len(), 0, "a file is left alone");
}
