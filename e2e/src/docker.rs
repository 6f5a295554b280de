//! A private Docker Engine with one of its two image stores: own containerd, data and socket in temporary folders, no network of its own,
//! and registries on loopback, which Docker asks without TLS. Pulls of the `docker` and of the `pulltrace` command line go through its
//! socket. When dropped, it and everything it mounted is gone.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::authority::Authority;
use crate::clock;
use crate::containerd::{Containerd, Extra, small_disk, unmount_below};
use crate::http::free_port;
use crate::process::Process;
use crate::tools::{Tools, Version, built};

/// How often the classic store asks for a layer in all. Its own five times take most of a minute.
const ATTEMPTS: u32 = 2;

/// Where an engine keeps its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Docker's own; it tells bytes that arrive and bytes that are extracted.
    Classic,
    /// containerd's; it tells bytes that arrive and how long a layer has been extracted.
    Containerd,
}

/// An engine that lives as long as this.
#[derive(Debug)]
pub struct Docker {
    store: Store,
    tools: Tools,
    process: Option<Process>,
    containerd: Containerd,
    /// Where it listens for whoever proves who they are, too.
    secured: Option<u16>,
    folder: TempDir,
}

impl Docker {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// When it does not within 30 s.
    #[must_use]
    pub fn start(tools: &Tools, store: Store) -> Self {
        Self::with_room(tools, store, None)
    }

    /// As [`Docker::start`], with room for so many bytes of downloads and as many of unpacked layers.
    ///
    /// # Panics
    /// When it does not answer within 30 s.
    #[must_use]
    pub fn with_room(tools: &Tools, store: Store, room: Option<u64>) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-docker-").tempdir().expect("the temporary folder is writable");
        // So that who may not use the socket is refused by the socket.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("the folder is ours");
        let extra = Extra { room: room.map(|bytes| (bytes, bytes)), ..Extra::default() };
        let containerd = Containerd::with(tools, Version::V2_1, extra);
        let mut docker = Self { store, tools: tools.clone(), process: None, containerd, secured: None, folder };
        if let (Store::Classic, Some(bytes)) = (store, room) {
            small_disk(&docker.data(), 2 * bytes);
        }
        fs::write(docker.config(), docker.settings()).expect("the temporary folder is writable");
        docker.restart();
        docker
    }

    /// Listens on TCP too, for those whom an authority knows; returns the address as `DOCKER_HOST` names it, and the folder with what a user
    /// needs, as `DOCKER_CERT_PATH` names it.
    ///
    /// # Panics
    /// When it does not answer within 30 s.
    pub fn listen_secured(&mut self) -> (String, PathBuf) {
        let port = *self.secured.insert(free_port());
        let authority = Authority::new(&self.certificates());
        for (file, key) in [("server", "server-key"), ("cert", "key")] {
            _ = authority.identity(&["127.0.0.1"], file, key);
        }
        fs::write(self.config(), self.settings()).expect("the temporary folder is writable");
        self.restart();
        (format!("tcp://127.0.0.1:{port}"), self.certificates())
    }

    /// Where it keeps its images.
    #[must_use]
    pub const fn store(&self) -> Store {
        self.store
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Its socket as `DOCKER_HOST` names it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A folder for what belongs to this engine's users: their home, logs, configurations.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        let home = self.folder.path().join("home");
        fs::create_dir_all(&home).expect("the temporary folder is writable");
        home
    }

    /// Its process id; none while it is down.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The process id of its containerd.
    #[must_use]
    pub fn containerd_pid(&self) -> Option<u32> {
        self.containerd.pid()
    }

    /// The socket of its containerd.
    #[must_use]
    pub fn containerd_socket(&self) -> PathBuf {
        self.containerd.socket()
    }

    /// Runs `docker` and returns its output.
    ///
    /// # Panics
    /// When it fails.
    pub fn docker(&self, args: &[&str]) -> String {
        let mut command = Command::new(self.tools.docker("docker"));
        let out = command.args(args).envs(self.environment()).output().expect("docker starts");
        assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Begins `docker` with these arguments; its outputs are its own.
    #[must_use]
    pub fn docker_at(&self, args: &[&str]) -> Process {
        self.run(&self.tools.docker("docker"), args, &[])
    }

    /// Begins `pulltrace` with these arguments and more environment variables, which win over those that lead to this engine.
    #[must_use]
    pub fn pulltrace(&self, args: &[&str], more: &[(&str, &str)]) -> Process {
        self.run(&built("pulltrace"), args, more)
    }

    /// What leads a command line to this engine and to nothing of the one who runs the tests.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        leads_to(&self.host(), &self.home())
    }

    /// Whether it has an image of this name.
    #[must_use]
    pub fn has(&self, image: &str) -> bool {
        self.docker(&["image", "ls", "--quiet", "--no-trunc", "--filter", &format!("reference={image}")]).contains("sha256:")
    }

    /// Removes every image and what only they used.
    ///
    /// # Panics
    /// When the engine refuses.
    pub fn clear(&self) {
        let listed = self.docker(&["image", "ls", "--all", "--quiet", "--no-trunc"]);
        for image in listed.split_whitespace() {
            // One of several names for the same image may have gone with another.
            drop(self.docker(&["image", "rm", "--force", image]));
        }
    }

    /// How many layers are arriving.
    #[must_use]
    pub fn arriving(&self) -> usize {
        match self.store {
            Store::Containerd => self.containerd.ingests(),
            Store::Classic => {
                let entries = fs::read_dir(self.data().join("tmp")).into_iter().flatten().flatten();
                entries.filter(|e| e.file_name().to_string_lossy().starts_with("GetImageBlob")).count()
            }
        }
    }

    /// Ends the engine if it runs, starts it again and waits until it answers.
    ///
    /// # Panics
    /// When it does not within 30 s.
    pub fn restart(&mut self) {
        drop(self.process.take());
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}:/usr/sbin:/sbin", self.tools.program("").display());
        let config = self.config().display().to_string();
        let env = [("PATH".to_owned(), path), ("TZ".to_owned(), "UTC".to_owned())];
        let mut process =
            Process::spawn("dockerd", self.folder.path(), &self.tools.docker("dockerd"), &["--config-file", &config], &env);
        let mut version = Command::new(self.tools.docker("docker"));
        version.args(["version", "--format", "{{.Server.Version}}"]).envs(self.environment());
        process.ready(Duration::from_secs(30), || version.output().is_ok_and(|out| out.status.success()));
        self.process = Some(process);
    }

    /// Ends the engine, as its service manager does; [`Docker::restart`] brings it back.
    pub fn stop(&mut self) {
        drop(self.process.take());
    }

    /// Waits until no layer is arriving.
    ///
    /// # Panics
    /// When one still is after `limit`.
    pub fn until_quiet(&self, limit: Duration) {
        clock::until("the end of every download", limit, || (self.arriving() == 0).then_some(()));
    }

    fn run(&self, program: &Path, args: &[&str], more: &[(&str, &str)]) -> Process {
        // A folder of its own for each, so that each has outputs of its own.
        let folder =
            tempfile::Builder::new().prefix("run-").tempdir_in(self.home()).expect("the temporary folder is writable").keep();
        let mut env = self.environment();
        env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        Process::spawn(&name, &folder, program, args, &env)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("daemon.json")
    }

    fn certificates(&self) -> PathBuf {
        self.folder.path().join("certificates")
    }

    fn settings(&self) -> String {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let mut settings = json!({
            "hosts": [self.host()], "containerd": self.containerd.socket(), "data-root": self.data(),
            "exec-root": at("exec"), "pidfile": at("dockerd.pid"),
            "features": {"containerd-snapshotter": self.store == Store::Containerd},
            "bridge": "none", "iptables": false, "ip6tables": false, "ip-forward": false, "userland-proxy": false,
            "max-download-attempts": ATTEMPTS,
        });
        if let Some(port) = self.secured {
            let file = |name: &str| json!(self.certificates().join(name));
            settings["hosts"] = json!([self.host(), format!("tcp://127.0.0.1:{port}")]);
            settings["tlsverify"] = json!(true);
            for (setting, name) in [("tlscacert", "ca.pem"), ("tlscert", "server.pem"), ("tlskey", "server-key.pem")] {
                settings[setting] = file(name);
            }
        }
        settings.to_string()
    }
}

/// The environment in which a command line asks this host, and keeps and finds its own things in this folder.
#[must_use]
pub fn leads_to(host: &str, home: &Path) -> Vec<(String, String)> {
    let own = [("DOCKER_HOST", host.to_owned()), ("DOCKER_CONFIG", home.join("docker").display().to_string())];
    let folders = ["HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"].map(|name| (name, home.display().to_string()));
    own.into_iter().chain(folders).map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.stop();
        unmount_below(self.folder.path());
    }
}
