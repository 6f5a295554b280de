//! A private Podman that serves its Docker-compatible socket, with its images in a temporary folder and every registry on loopback asked
//! without TLS. It is there for what its socket says of pulls; it runs no containers. When dropped, it is gone.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::containerd::unmount_below;
use crate::process::Process;
use crate::tools::Tools;

/// A Podman that lives as long as this.
#[derive(Debug)]
pub struct Podman {
    process: Option<Process>,
    folder: TempDir,
}

impl Podman {
    /// Starts it and waits until its socket answers.
    ///
    /// # Panics
    /// When it does not within 30 s.
    #[must_use]
    pub fn start(tools: &Tools) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-podman-").tempdir().expect("the temporary folder is writable");
        let mut podman = Self { process: None, folder };
        let at = |name: &str| podman.folder.path().join(name).display().to_string();
        let storage = format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n", at("graph"), at("run"));
        let containers = format!(
            "[engine]\nconmon_path = [\"{}\"]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\ntmp_dir = \"{}\"\n\
             [network]\nnetwork_backend = \"cni\"\n",
            tools.podman("bin/conmon").display(),
            at("tmp")
        );
        let registries = "unqualified-search-registries = []\n[[registry]]\nlocation = \"127.0.0.1\"\ninsecure = true\n";
        let policy = json!({"default": [{"type": "insecureAcceptAnything"}]}).to_string();
        let own = [
            ("storage.conf", storage.as_str()),
            ("containers.conf", &containers),
            ("registries.conf", registries),
            (".config/containers/policy.json", &policy),
        ];
        fs::create_dir_all(at(".config/containers")).expect("the temporary folder is writable");
        for (name, text) in own {
            fs::write(at(name), text).expect("the temporary folder is writable");
        }
        let path = format!("{}:{}", tools.program("").display(), std::env::var("PATH").unwrap_or_default());
        let env = [
            ("HOME", at("")),
            ("XDG_RUNTIME_DIR", at("")),
            ("TMPDIR", at("")),
            ("CONTAINERS_STORAGE_CONF", at("storage.conf")),
            ("CONTAINERS_CONF", at("containers.conf")),
            ("CONTAINERS_REGISTRIES_CONF", at("registries.conf")),
            ("LD_LIBRARY_PATH", tools.podman("lib").display().to_string()),
            ("PATH", path),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value));
        let (program, host, socket) = (tools.podman("bin/podman"), podman.host(), podman.socket());
        let args = ["system", "service", "--time", "0", &host];
        let mut process = Process::spawn("podman", podman.folder.path(), &program, &args, &env);
        process.ready(Duration::from_secs(30), || UnixStream::connect(&socket).is_ok());
        podman.process = Some(process);
        podman
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("podman.sock")
    }

    /// Its socket as `DOCKER_HOST` names it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        drop(self.process.take());
        unmount_below(self.folder.path());
    }
}
