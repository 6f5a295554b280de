//! `pulltrace pull` on a terminal, against an Engine that begins a pull and then falls silent: Ctrl-C ends it, and the terminal is as it was.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcgetattr, tcsetwinsize},
};

const DEADLINE: Duration = Duration::from_secs(30);

/// What the Engine says of a pull before it falls silent.
const STREAM: &str = concat!(
    r#"{"status":"Pulling from team/app","id":"v1"}"#,
    "\r\n",
    r#"{"status":"Pulling fs layer","progressDetail":{},"id":"745b5871eef5"}"#,
    "\r\n",
    r#"{"status":"Downloading","progressDetail":{"current":5000000,"total":9000000},"id":"745b5871eef5"}"#,
    "\r\n"
);

/// Answers every request until the test has ended.
fn engine(socket: &Path) {
    let engine = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for peer in engine.incoming().flatten() {
            // A peer that goes away has seen enough.
            thread::spawn(move || answer(&peer).unwrap_or_default());
        }
    });
}

fn answer(mut peer: &UnixStream) -> io::Result<()> {
    let mut request = BufReader::new(peer).lines();
    let head = request.next().unwrap_or_else(|| Ok(String::new()))?;
    while request.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    if head.contains("/images/create") {
        let length = STREAM.len();
        write!(
            peer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{STREAM}\r\n"
        )?;
        return peer.read(&mut [0]).map(drop);
    }
    let body = match head {
        head if head.contains("/version") => {
            r#"{"Version":"28.5.2","ApiVersion":"1.47","MinAPIVersion":"1.24","Os":"linux","Arch":"amd64"}"#
        }
        _ => r#"{"Name":"here","ID":"here","Driver":"overlay2"}"#,
    };
    let length = body.len();
    write!(
        peer,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nApi-Version: 1.47\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// What appears on a terminal, as it comes.
struct Far(mpsc::Receiver<String>);

/// A terminal of 80x24: the far end, and the near one for a program.
fn terminal() -> (Far, File) {
    let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&far).unwrap();
    unlockpt(&far).unwrap();
    tcsetwinsize(&far, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let path = ptsname(&far, Vec::new()).unwrap().into_string().unwrap();
    let near = File::options().read(true).write(true).open(path).unwrap();
    let (tell, seen) = mpsc::channel();
    let mut far = File::from(far);
    thread::spawn(move || {
        let mut part = [0; 4096];
        while let Ok(read @ 1..) = far.read(&mut part) {
            if tell.send(String::from_utf8_lossy(&part[..read]).into_owned()).is_err() {
                return;
            }
        }
    });
    (Far(seen), near)
}

fn pull(folder: &Path, near: &File, vars: &[(&str, &str)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pulltrace"))
        .args(["pull", "--sizes", "engine", "registry.example.com/team/app:v1"])
        .env_clear()
        .envs([("TERM", "xterm-256color"), ("LANG", "C.UTF-8"), ("HOME", folder.to_str().unwrap())])
        .env("DOCKER_HOST", format!("unix://{}", folder.join("docker.sock").display()))
        .envs(vars.iter().copied())
        .stdin(Stdio::null())
        .stdout(near.try_clone().unwrap())
        .stderr(near.try_clone().unwrap())
        .spawn()
        .unwrap()
}

impl Far {
    /// What appears until these words do.
    fn until(&self, words: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(words) {
            seen += &self.0.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{words:?} did not appear in time: {seen:?}"));
        }
        seen
    }
}

#[test]
fn ctrl_c_ends_a_pull_with_130_and_gives_the_terminal_back() {
    let folder = tempfile::tempdir().unwrap();
    engine(&folder.path().join("docker.sock"));
    let (far, near) = terminal();
    let modes = tcgetattr(&near).unwrap();
    let mut child = pull(folder.path(), &near, &[]);
    let bars = far.until("download");
    assert!(bars.contains("\x1b[?25l") && bars.contains("745b5871eef5"), "{bars:?}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let end = far.until("\x1b[?25h\x1b[0m");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(end.contains("Canceled"), "{end:?}");
    for (on, off) in [("\x1b[?25h", "\x1b[?25l"), ("\x1b[?7h", "\x1b[?7l"), ("\x1b[0m", "\x1b[0;")] {
        assert!(end.rfind(on) > end.rfind(off), "{on:?} is the last word: {end:?}");
    }
    let now = tcgetattr(&near).unwrap();
    assert_eq!((now.local_modes, now.output_modes), (modes.local_modes, modes.output_modes));
}

#[test]
fn a_dumb_terminal_gets_lines() {
    let folder = tempfile::tempdir().unwrap();
    engine(&folder.path().join("docker.sock"));
    let (far, near) = terminal();
    let mut child = pull(folder.path(), &near, &[("TERM", "dumb")]);
    let lines = far.until("downloading");
    assert!(lines.contains("pulling registry.example.com/team/app:v1") && !lines.contains('\x1b'), "{lines:?}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
