//! A node's `/proc` and `/sys` in a folder, as far as an agent reads them to tell what else its node does: one network card, the disk below
//! containerd, and pressure. The numbers are invented and go on like real ones; see `PULLTRACE_HOST_ROOT`.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{major, minor};
use tempfile::TempDir;

use crate::clock;

/// Between two changes of the counters.
const BEAT: Duration = Duration::from_millis(500);
/// What the card receives, bytes per second, of the 125 MB that its link carries.
const RECEIVED: f64 = 60e6;
/// Share of time in which the disk is busy.
const BUSY: f64 = 0.4;

/// The folder; its counters go on until this is dropped.
#[derive(Debug)]
pub struct Host {
    folder: TempDir,
    stop: Arc<AtomicBool>,
    counting: Option<JoinHandle<()>>,
}

impl Host {
    /// For a containerd that keeps everything in this folder. The disk can be told only where folders lie on a block device of this machine.
    ///
    /// # Panics
    /// When the folder cannot be written.
    #[must_use]
    pub fn start(root_of_containerd: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("pt-host-").tempdir().expect("the temporary folder is writable");
        let root = folder.path().to_owned();
        let below = root.join(root_of_containerd.strip_prefix("/").unwrap_or(root_of_containerd));
        fs::create_dir_all(below).expect("the temporary folder is writable");
        for (file, text) in [
            ("sys/class/net/eth0/device/vendor", "0x1af4\n"),
            ("sys/class/net/eth0/speed", "1000\n"),
            ("sys/class/net/eth0/operstate", "up\n"),
            (
                "proc/pressure/io",
                "some avg10=22.50 avg60=9.10 avg300=2.00 total=1\nfull avg10=11.00 avg60=4.00 avg300=1.00 total=1\n",
            ),
            (
                "proc/pressure/memory",
                "some avg10=3.00 avg60=1.00 avg300=0.50 total=1\nfull avg10=1.00 avg60=0.50 avg300=0.10 total=1\n",
            ),
            (
                "proc/pressure/cpu",
                "some avg10=14.00 avg60=8.00 avg300=5.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            ),
        ] {
            write(&root, file, text);
        }
        let begun = Instant::now();
        count(&root, 0.0);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let counting = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                count(&root, begun.elapsed().as_secs_f64());
                clock::pause(BEAT);
            }
        });
        Self { folder, stop, counting: Some(counting) }
    }

    /// The value of `PULLTRACE_HOST_ROOT`.
    #[must_use]
    pub fn root(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Whether temporary folders lie on a block device, so that an agent finds the disk below them.
    #[must_use]
    pub fn has_disk() -> bool {
        fs::metadata(std::env::temp_dir()).is_ok_and(|folder| major(folder.dev()) != 0)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.counting.take().map(JoinHandle::join);
    }
}

/// Writes the counters as they are so many seconds after the begin.
fn count(root: &Path, seconds: f64) {
    let received = (seconds * RECEIVED).round();
    let head = "Inter-|   Receive  |  Transmit\n face |bytes    packets errs\n";
    write(root, "proc/1/net/dev", &format!("{head}    lo: 9000 1 0\n  eth0: {received:.0} 1 0\n"));
    let device = fs::metadata(root).map(|folder| folder.dev()).unwrap_or_default();
    let stat = format!("sys/dev/block/{}:{}/stat", major(device), minor(device));
    let busy = (seconds * BUSY * 1000.0).round();
    write(root, &stat, &format!("1 0 8 1 1 0 8 1 0 {busy:.0} 2 0 0 0 0 0 0\n"));
}

/// Puts a file in place as a whole, so that nobody reads half of it.
fn write(root: &Path, file: &str, text: &str) {
    let path: PathBuf = root.join(file);
    let parent = path.parent().unwrap_or(root);
    let fresh = path.with_extension("new");
    let put = || -> std::io::Result<()> {
        fs::create_dir_all(parent)?;
        fs::write(&fresh, text)?;
        fs::rename(&fresh, &path)
    };
    put().expect("the temporary folder is writable");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_go_on() {
        let host = Host::start(Path::new("/var/lib/containerd"));
        let net = host.folder.path().join("proc/1/net/dev");
        let before = fs::read_to_string(&net).unwrap();
        clock::until("another number", Duration::from_secs(10), || (fs::read_to_string(&net).unwrap() != before).then_some(()));
        assert!(host.folder.path().join("var/lib/containerd").is_dir());
    }
}
