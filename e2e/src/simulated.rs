//! A containerd that is simulated at its socket, for a real agent to watch: the program that comes with the agent's feature `simulated`. What it
//! plays is written in `agent/scenarios/`, again and again; what is to happen in a real containerd is for [`crate::containerd`].

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::host::Host;
use crate::process::Process;
use crate::pulltrace::Agent;
use crate::tools::built;

/// It may take so long to listen.
const START: Duration = Duration::from_secs(10);

/// A simulated containerd; ends when this is dropped.
#[derive(Debug)]
pub struct Simulated {
    scenario: &'static str,
    process: Process,
    host: Host,
    folder: TempDir,
}

impl Simulated {
    /// Plays a scenario that comes along, by its name.
    ///
    /// # Panics
    /// When it does not listen within 10 s.
    #[must_use]
    pub fn start(scenario: &'static str) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-simulated-").tempdir().expect("the temporary folder is writable");
        let process = spawn(scenario, folder.path());
        // So it tells where it keeps everything.
        let host = Host::start(&PathBuf::from(format!("{}.root", socket(folder.path()).display())));
        Self { scenario, process, host, folder }
    }

    /// A real agent that watches it, as this node's, on a host of its own.
    ///
    /// # Panics
    /// As [`Agent::start`].
    #[must_use]
    pub fn watched(&self, node: &str, endpoint: &str) -> Agent {
        Agent::start(node, &self.socket(), endpoint, &[("PULLTRACE_HOST_ROOT", &self.host.root())])
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        socket(self.folder.path())
    }

    /// Holds it up, so that it answers nobody any more.
    pub fn freeze(&mut self) {
        self.process.freeze();
    }

    /// A crash, and it begins anew at the same socket.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn crash(&mut self) {
        self.process.kill9();
        // One that was killed leaves its socket behind.
        fs::remove_file(self.socket()).ok();
        self.process = spawn(self.scenario, self.folder.path());
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("containerd.sock")
}

fn spawn(scenario: &str, folder: &Path) -> Process {
    let socket = socket(folder);
    let path = socket.to_str().expect("a temporary folder's name is text");
    let args = ["--socket", path, "--scenario-name", scenario, "--loop"];
    let program = built("simulated-containerd");
    let mut process = Process::spawn("simulated-containerd", folder, &program, &args, &[]);
    process.ready(START, || socket.exists());
    process
}
