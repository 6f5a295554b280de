//! A private containerd of a given release: own root, state and socket in a temporary folder, CRI on, registry names mapped to
//! links. It can crash and come back with the same images; when dropped, it and everything it mounted is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::clock;
use crate::cri::{self, Pull};
use crate::process::Process;
use crate::tools::{Tools, Version};

/// How long containerd's garbage collector may take.
const COLLECTED: Duration = Duration::from_secs(15);

/// What a containerd is to have beside the usual.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// Where it serves its own metrics (`/v1/metrics`): a loopback address.
    pub metrics: Option<String>,
    /// Where it sends a span for each call it serves, as OTLP over HTTP: a URL.
    pub spans: Option<String>,
    /// How many layers it downloads at once, instead of three.
    pub downloads: Option<u32>,
    /// How many layers it unpacks at once, instead of one; 2.2 and later.
    pub unpacks: Option<u32>,
    /// After how long without a byte it gives a pull up, in seconds, instead of 300; 1.7 and later.
    pub patience: Option<u32>,
    /// Room for downloads and for unpacked layers, in bytes each, on disks of their own.
    pub room: Option<(u64, u64)>,
}

/// A containerd that lives as long as this.
#[derive(Debug)]
pub struct Containerd {
    version: Version,
    extra: Extra,
    tools: Tools,
    process: Option<Process>,
    folder: TempDir,
}

impl Containerd {
    /// Starts it and waits until CRI answers.
    ///
    /// # Panics
    /// When it does not within 30 s.
    #[must_use]
    pub fn start(tools: &Tools, version: Version) -> Self {
        Self::with(tools, version, Extra::default())
    }

    /// As [`Containerd::start`], with something more.
    ///
    /// # Panics
    /// When CRI does not answer within 30 s.
    #[must_use]
    pub fn with(tools: &Tools, version: Version, extra: Extra) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-containerd-").tempdir().expect("the temporary folder is writable");
        let mut containerd = Self { version, extra, tools: tools.clone(), process: None, folder };
        fs::write(containerd.config(), containerd.toml()).expect("the temporary folder is writable");
        containerd.narrow();
        containerd.restart();
        containerd
    }

    /// Which release it is.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("containerd.sock")
    }

    /// The folder of its content store.
    #[must_use]
    pub fn content(&self) -> PathBuf {
        self.folder.path().join("root/io.containerd.content.v1.content")
    }

    /// Makes images named `registry/...` come from 127.0.0.1:`port`, from the next pull on.
    ///
    /// # Panics
    /// When the temporary folder is not writable.
    pub fn map(&self, registry: &str, port: u16) {
        map(&self.folder.path().join("certs.d"), registry, port);
    }

    /// Begins a pull through CRI.
    #[must_use]
    pub fn pull(&self, image: &str) -> Pull {
        Pull::start(&self.socket(), image, None)
    }

    /// Begins a pull through CRI that containerd ends when the deadline passes.
    #[must_use]
    pub fn pull_within(&self, image: &str, deadline: Duration) -> Pull {
        Pull::start(&self.socket(), image, Some(deadline))
    }

    /// Removes an image through CRI.
    ///
    /// # Panics
    /// When containerd refuses.
    pub fn remove_image(&self, image: &str) {
        cri::remove_image(&self.socket(), image).unwrap_or_else(|e| panic!("removing {image}: {e}"));
    }

    /// The names of the images CRI lists.
    ///
    /// # Panics
    /// When containerd does not answer.
    #[must_use]
    pub fn images(&self) -> Vec<String> {
        cri::images(&self.socket()).unwrap_or_else(|e| panic!("listing images: {e}"))
    }

    /// How many blobs are arriving.
    #[must_use]
    pub fn ingests(&self) -> usize {
        fs::read_dir(self.content().join("ingest")).map_or(0, Iterator::count)
    }

    /// Waits until no blob is arriving. What a pull that failed left behind is collected a moment later; a next pull before that
    /// would go on with it, wrong bytes and all.
    ///
    /// # Panics
    /// When something still is after 15 s.
    pub fn until_quiet(&self) {
        clock::until("the end of every ingest", COLLECTED, || (self.ingests() == 0).then_some(()));
    }

    /// Waits until a blob has been removed from the content store, some time after the last image with it.
    ///
    /// # Panics
    /// When it is still there after 15 s.
    pub fn until_collected(&self, digest: &str) {
        let blob = self.content().join("blobs").join(digest.replace(':', "/"));
        clock::until(&format!("the removal of {digest}"), COLLECTED, || (!blob.exists()).then_some(()));
    }

    /// Waits until no unpacked layer takes room any more, some time after the last pull or image with one.
    ///
    /// # Panics
    /// When one still does after 15 s.
    pub fn until_unpacked_are_collected(&self) {
        let folder = self.snapshots().join("snapshots");
        let count = || fs::read_dir(&folder).map_or(0, Iterator::count);
        clock::until("the removal of every snapshot", COLLECTED, || (count() == 0).then_some(()));
    }

    /// Runs this release's `ctr` and returns its output.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctr(&self, args: &[&str]) -> String {
        let out = Command::new(self.program("ctr")).arg("--address").arg(self.socket()).args(args).output().expect("ctr starts");
        assert!(out.status.success(), "ctr {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::runs)
    }

    /// Its process id; none while it is down.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// A crash: KILL. What it wrote stays; [`Containerd::restart`] goes on with it.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Ends it if it runs, starts it again and waits until CRI answers.
    ///
    /// # Panics
    /// When it does not within 30 s.
    pub fn restart(&mut self) {
        drop(self.process.take());
        let path = std::env::var("PATH").unwrap_or_default();
        let own = self.program("containerd");
        let bins = [own.parent().unwrap_or(Path::new("/")).to_owned(), self.tools.program("")];
        let path = format!("{}:{}:{path}:/usr/sbin:/sbin", bins[0].display(), bins[1].display());
        let config = self.config().display().to_string();
        // In UTC, so that the times it writes into its files read the same everywhere.
        let mut env = vec![("PATH".to_owned(), path), ("TZ".to_owned(), "UTC".to_owned())];
        if let Some(url) = &self.extra.spans {
            let spans = [("ENDPOINT", url.as_str()), ("PROTOCOL", "http/protobuf")];
            env.extend(spans.map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_{name}"), value.to_owned())));
        }
        let mut process = Process::spawn("containerd", self.folder.path(), &own, &["-c", &config], &env);
        let socket = self.socket();
        process.ready(Duration::from_secs(30), || cri::images(&socket).is_ok());
        self.process = Some(process);
    }

    /// Starts another release in its place, with all that it has.
    ///
    /// # Panics
    /// When that one is not up within 30 s.
    pub fn upgrade(&mut self, version: Version) {
        drop(self.process.take());
        self.version = version;
        fs::write(self.config(), self.toml()).expect("the temporary folder is writable");
        self.restart();
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.tools.containerd(self.version, name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Out-of-process pulls by `ctr`, from 127.0.0.1:`port` into the namespace `default`, with more arguments. It ends when dropped.
    #[must_use]
    pub fn ctr_pull(&self, more: &[&str], image: &str) -> Process {
        let socket = self.socket().display().to_string();
        let args: Vec<&str> =
            ["--address", &socket, "images", "pull", "--plain-http"].iter().chain(more).chain([&image]).copied().collect();
        Process::spawn("ctr-pull", self.folder.path(), &self.program("ctr"), &args, &[])
    }

    /// Gives the content store and the snapshots small disks of their own, if they are to have such.
    fn narrow(&self) {
        let Some((content, snapshots)) = self.extra.room else { return };
        small_disk(&self.content(), content);
        small_disk(&self.snapshots(), snapshots);
    }

    fn snapshots(&self) -> PathBuf {
        self.folder.path().join("root/io.containerd.snapshotter.v1.overlayfs")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Both generations of the configuration. `restrict_oom_score_adj` is for machines without that capability; no container runs
    /// here anyway.
    fn toml(&self) -> String {
        let at = self.folder.path().display();
        let mut common = format!("root = \"{at}/root\"\nstate = \"{at}/state\"\n[grpc]\naddress = \"{at}/containerd.sock\"\n");
        if let Some(address) = &self.extra.metrics {
            common += &format!("[metrics]\naddress = \"{address}\"\n");
        }
        let downloads = self.extra.downloads.map(|n| format!("max_concurrent_downloads = {n}\n")).unwrap_or_default();
        let unpacks = self.extra.unpacks.map(|n| format!("max_concurrent_unpacks = {n}\n")).unwrap_or_default();
        let patience = self.extra.patience.map(|s| format!("image_pull_progress_timeout = \"{s}s\"\n")).unwrap_or_default();
        match self.version {
            Version::V1_6 | Version::V1_7 => format!(
                "version = 2\n{common}{}[plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{at}/opt\"\n\
                 [plugins.\"io.containerd.grpc.v1.cri\"]\nrestrict_oom_score_adj = true\n{downloads}{patience}\
                 [plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"{at}/certs.d\"\n\
                 [plugins.\"io.containerd.grpc.v1.cri\".cni]\nconf_dir = \"{at}/cni\"\n",
                self.traced()
            ),
            Version::V2_1 | Version::V2_4 => format!(
                "version = 3\n{common}[plugins.'io.containerd.internal.v1.opt']\npath = \"{at}/opt\"\n\
                 [plugins.'io.containerd.nri.v1.nri']\ndisable = true\n\
                 [plugins.'io.containerd.transfer.v1.local']\n{downloads}{unpacks}\
                 [plugins.'io.containerd.cri.v1.images']\n{patience}\
                 [plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = \"{at}/certs.d\"\n\
                 [plugins.'io.containerd.cri.v1.runtime']\nrestrict_oom_score_adj = true\n\
                 [plugins.'io.containerd.cri.v1.runtime'.cni]\nconf_dir = \"{at}/cni\"\n"
            ),
        }
    }

    /// Before 2.0 tracing is configured here; later by the environment alone.
    fn traced(&self) -> String {
        let Some(url) = &self.extra.spans else { return String::new() };
        format!(
            "[plugins.\"io.containerd.tracing.processor.v1.otlp\"]\nendpoint = \"{url}\"\nprotocol = \"http/protobuf\"\n\
             [plugins.\"io.containerd.internal.v1.tracing\"]\nsampling_ratio = 1.0\nservice_name = \"containerd\"\n"
        )
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        drop(self.process.take());
        // A crash in the middle of unpacking leaves a layer mounted; a folder with a mount below cannot be removed.
        unmount_below(self.folder.path());
    }
}

/// Makes images named `registry/...` come from 127.0.0.1:`port`, for a containerd that looks for its registries in this folder.
pub(crate) fn map(registries: &Path, registry: &str, port: u16) {
    let folder = registries.join(registry);
    let text = format!(
        "server = \"http://127.0.0.1:{port}\"\n[host.\"http://127.0.0.1:{port}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    );
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(folder.join("hosts.toml"), text))
        .expect("the temporary folder is writable");
}

/// Makes a folder a disk of its own with room for so many bytes.
pub(crate) fn small_disk(folder: &Path, bytes: u64) {
    let options = std::ffi::CString::new(format!("size={bytes}")).expect("a number has no zero byte");
    fs::create_dir_all(folder).expect("the temporary folder is writable");
    mount("tmpfs", folder, "tmpfs", MountFlags::empty(), options.as_c_str()).expect("root can mount");
}

/// Ends every mount in a folder.
pub(crate) fn unmount_below(folder: &Path) {
    for point in mounts_below(folder) {
        unmount(&point, UnmountFlags::DETACH).ok();
    }
}

/// Mount points in a folder, the deepest first.
fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut points: Vec<PathBuf> = table.lines().filter_map(|l| l.split(' ').nth(4)).map(PathBuf::from).collect();
    points.retain(|p| p.starts_with(folder) && p != folder);
    points.reverse();
    points
}
