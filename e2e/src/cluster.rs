//! A real Kubernetes of one node with everything that belongs to it (`cluster.sh`), in namespaces of its own, and a registry behind a link for
//! it. An API server alone, which starts in a fraction of the time, is `kubernetes`.
//!
//! A test runs in the cluster's network, so the addresses of pods and Services are its own; whatever it starts there is on the node's loopback.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;
use tempfile::TempDir;

use crate::clock;
use crate::containerd;
use crate::helm;
use crate::image::{self, Image, LayerPlan, Program};
use crate::kubectl::{self, Kubectl};
use crate::layout;
use crate::link::Link;
use crate::process::Process;
use crate::registry::Registry;
use crate::tools::{Tools, built};

/// The name of the registry that images come from as fast as they can.
pub const FAST: &str = "registry.test";
/// The name under which the same images come through [`Cluster::link`].
pub const SLOW: &str = "slow.test";

/// The node may take so long to be ready.
const START: Duration = Duration::from_secs(180);
/// Until the kernel has ended all of its processes.
const END: Duration = Duration::from_secs(20);
/// The image of every pod's sandbox, as `cluster.sh` has it.
const PAUSE: &str = "pause:1";

/// A cluster; with it everything in it ends. Fields are in the order in which they end.
#[derive(Debug)]
pub struct Cluster {
    /// Slow and faulty as told; in front of the registry.
    pub link: Link,
    /// Behind the link.
    pub registry: Registry,
    /// As whoever may do everything.
    pub kubectl: Kubectl,
    tools: Tools,
    _node: Node,
}

/// The processes of `cluster.sh`, and its folder.
#[derive(Debug)]
struct Node {
    process: Process,
    folder: TempDir,
}

/// Starts a cluster and runs the test in its network.
///
/// # Panics
/// When the node is not ready within three minutes, and when the test does; then what is in the cluster is told first.
pub fn within(tools: &Tools, test: impl FnOnce(&Cluster) + Send) {
    // A thread stays in the network that it has moved to.
    let run = || test(&Cluster::start(tools));
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

impl Cluster {
    fn start(tools: &Tools) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-cluster-").tempdir().expect("the temporary folder is writable");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster.sh");
        let env = [("PULLTRACE_TOOLS".to_owned(), tools.folder().display().to_string())];
        let process = Process::spawn("cluster", folder.path(), &script, &[&folder.path().display().to_string()], &env);
        let mut node = Node { process, folder };
        let ready = node.folder.path().join("ready");
        node.process.ready(START, || ready.exists());
        let pid = fs::read_to_string(node.folder.path().join("pid")).expect("a node has a first process");
        let network = fs::File::open(format!("/proc/{}/ns/net", pid.trim())).expect("a process has a network");
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).expect("root may enter any network");
        let registry = Registry::start(tools);
        let link = Link::start(registry.port());
        let registries = node.folder.path().join("certs.d");
        containerd::map(&registries, FAST, registry.port());
        containerd::map(&registries, SLOW, link.port());
        let kubectl = Kubectl::new(tools.program("kubectl"), node.folder.path().join("admin.conf"));
        let cluster = Self { link, registry, kubectl, tools: tools.clone(), _node: node };
        cluster.push_shell(PAUSE, &[], &["busybox", "sleep", "2147483647"]);
        cluster
    }

    /// Pushes an image with a shell and so many other layers to the registry; its containers run this, with `busybox` in front.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub fn push_shell(&self, name: &str, plans: &[LayerPlan], command: &[&str]) -> Image {
        let bytes = fs::read(self.tools.program("busybox")).expect("the tools have a busybox");
        let command: Vec<&str> = std::iter::once("/bin/busybox").chain(command.iter().skip(1).copied()).collect();
        let program = Program { path: "bin/busybox", bytes: &bytes, command: &command };
        image::push_program(&self.registry, name, plans, program)
    }

    /// Pushes one of Pulltrace's own images to the registry as `name:tag`.
    ///
    /// # Panics
    /// When the registry refuses it.
    pub fn push_own(&self, image: &str, name: &str, tag: &str) {
        layout::push(&self.registry, &layout::own(image), &format!("{name}:{tag}"));
    }

    /// What this user asked of the API server so far: verbs and resources. Questions about itself, which everyone may ask, are left out.
    ///
    /// # Panics
    /// When there is no audit log.
    #[must_use]
    pub fn audit(&self, user: &str) -> BTreeSet<(String, String)> {
        let log =
            fs::read_to_string(self.kubectl.config().with_file_name("audit.log")).expect("the API server writes an audit log");
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let own = events.filter(|event| event["user"]["username"] == user);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        own.filter_map(|event| Some((text(&event["verb"])?, text(&event["objectRef"]["resource"])?))).collect()
    }

    /// Runs a line as people type it: `kubectl ...`, or `helm ...` with this release of Helm; what it says.
    ///
    /// # Errors
    /// What it says when it fails.
    pub fn shell(&self, helm: helm::Release, line: &str) -> Result<String, String> {
        let mut command = self.command(helm, "bash");
        command.args(["-euo", "pipefail", "-c", line]);
        kubectl::said(command, "")
    }

    /// Starts such a line and lets it run, with its logs in a folder.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn background(&self, helm: helm::Release, folder: &Path, line: &str) -> Process {
        let env: Vec<_> = self.environment(helm).into_iter().collect();
        Process::spawn("line", folder, Path::new("bash"), &["-euo", "pipefail", "-c", &format!("exec {line}")], &env)
    }

    fn command(&self, helm: helm::Release, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.environment(helm));
        command
    }

    /// `kubectl` with its plugin, which is ours, and `helm` are found, and know this cluster and nothing of whoever runs this.
    fn environment(&self, helm: helm::Release) -> [(String, String); 3] {
        let own = self.kubectl.config().with_file_name(format!("bin-{helm}"));
        fs::create_dir_all(&own).expect("the temporary folder is writable");
        for (name, program) in [("helm", helm.to_string()), ("kubectl", "kubectl".to_owned())] {
            // It may be there from before.
            std::os::unix::fs::symlink(self.tools.program(&program), own.join(name)).ok();
        }
        for name in ["kubectl-pulltrace", "kubectl_complete-pulltrace"] {
            std::os::unix::fs::symlink(built("pulltrace"), own.join(name)).ok();
        }
        let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap_or_default());
        let config = self.kubectl.config().display().to_string();
        [("PATH", path), ("KUBECONFIG", config), ("HOME", own.display().to_string())].map(|(key, value)| (key.to_owned(), value))
    }

    /// The socket of the node's containerd.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.kubectl.config().with_file_name("run").join("containerd/containerd.sock")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let logs =
            ["logs", "--all-containers", "--prefix", "--tail=60", "-n", "pulltrace", "-l", "app.kubernetes.io/name=pulltrace"];
        for args in [&["get", "pods", "-A", "-o", "wide"][..], &["get", "events", "-A"], &logs] {
            let said = self.kubectl.attempt(args, "").unwrap_or_else(|error| error);
            // Nobody is left to tell if this fails.
            drop(writeln!(io::stderr(), "{args:?}:\n{said}"));
        }
    }
}

impl Drop for Node {
    /// The first process is killed, and with it, by the kernel, all others; what is then left are empty control groups.
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.folder.path().join("pid")).unwrap_or_default();
        let groups = fs::read_to_string(self.folder.path().join("cgroups")).unwrap_or_default();
        self.process.kill9();
        let (begin, ended) = (clock::now(), || !Path::new("/proc").join(pid.trim()).exists());
        while !ended() && clock::now() - begin < END.as_secs_f64() {
            clock::pause(Duration::from_millis(20));
        }
        for group in groups.lines() {
            remove_group(Path::new(group));
        }
    }
}

/// Removes a control group with all below, the deepest first.
fn remove_group(group: &Path) {
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    fs::remove_dir(group).ok();
}
