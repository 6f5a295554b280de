//! A child process that cannot outlive its test: log file, readiness with a deadline, TERM and KILL by its own pid only.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::clock;

/// How long a process may take to end on TERM before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running child. Dropping it ends it.
///
/// The kernel kills it, too, when the thread that started it ends (so that a killed test leaves nothing behind): start processes on
/// the test's own thread.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts `program`; its standard output goes to `folder/name.out`, its standard error to `folder/name.err`, both appended to.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(name: &str, folder: &Path, program: &Path, args: &[&str], env: &[(String, String)]) -> Self {
        let (out, err) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let append = |path: &Path| File::options().create(true).append(true).open(path).expect("the log folder is writable");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(args)
            .envs(env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(append(&out))
            .stderr(append(&err))
            .spawn()
            .unwrap_or_else(|e| panic!("{name}: setpriv does not start: {e}"));
        Self { name: name.to_owned(), child, out, err }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.ended().is_none()
    }

    /// Looks until the probe says yes.
    ///
    /// # Panics
    /// When the process ends before that or the deadline passes; the message has the end of its log.
    #[track_caller]
    pub fn ready(&mut self, limit: Duration, mut probe: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !probe() {
            let state = self.ended().map_or("is not ready".to_owned(), |s| format!("ended with {s}"));
            assert!(self.runs() && begin.elapsed() < limit, "{} {state}; its log ends with:\n{}", self.name, self.log_tail());
            clock::pause(Duration::from_millis(20));
        }
    }

    /// Waits for its end by itself and returns its exit code; none if a signal ended it.
    ///
    /// # Panics
    /// When it still runs after `limit`.
    #[track_caller]
    pub fn exit_code(&mut self, limit: Duration) -> Option<i32> {
        let name = self.name.clone();
        clock::until(&format!("{name}: its end"), limit, || self.ended()).code()
    }

    /// Ends it as a crash would: KILL, at once.
    pub fn kill9(&mut self) {
        self.signal(Signal::KILL);
        self.child.wait().ok();
    }

    /// Asks it to end as Ctrl-C does: INT.
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// Holds it up, so that it answers nobody any more; only its end leads out.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Ends it politely: TERM, then KILL after 10 s. Says whether TERM was enough.
    pub fn stop(&mut self) -> bool {
        self.signal(Signal::TERM);
        let begin = Instant::now();
        while self.runs() {
            if begin.elapsed() > PATIENCE {
                self.kill9();
                return false;
            }
            clock::pause(Duration::from_millis(10));
        }
        true
    }

    /// What it wrote to its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// What it wrote to its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let both = self.stdout() + &self.stderr();
        let lines: Vec<&str> = both.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// A child that was waited for has no pid any more, so nobody else's process can be hit.
    fn signal(&mut self, signal: Signal) {
        if self.runs() {
            kill_process(Pid::from_child(&self.child), signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> Process {
        Process::spawn("shell", folder, Path::new("sh"), &["-c", script], &[])
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let process = shell(folder.path(), "while :; do sleep 1; done");
        let stat = format!("/proc/{}", process.pid());
        assert!(Path::new(&stat).exists());
        drop(process);
        assert!(!Path::new(&stat).exists());
    }

    #[test]
    #[should_panic(expected = "no such luck")]
    fn a_process_that_ends_before_it_is_ready_fails_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        shell(folder.path(), "echo no such luck >&2; exit 3").ready(Duration::from_secs(10), || false);
    }

    #[test]
    fn exit_codes_and_outputs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell(folder.path(), "echo out; echo err >&2; exit 64");
        assert_eq!(process.exit_code(Duration::from_secs(10)), Some(64));
        assert_eq!((process.stdout().as_str(), process.stderr().as_str()), ("out\n", "err\n"));
    }
}
