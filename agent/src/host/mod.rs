//! What else the node does while a pull runs: facts that explain slowness. Read only when a pull's state goes out, and no file is open
//! in between: while nothing is pulled this costs nothing.
//!
//! | fact | from | not known |
//! |---|---|---|
//! | network | `net/dev` of process 1, cards from `/sys/class/net` | in a network of the agent's own, unless the host's `/proc` and `/sys` are seen below `PULLTRACE_HOST_ROOT` |
//! | disk | `stat` of the block device below containerd's folder | where that folder is out of reach, or lies on no block device |
//! | pressure | `/proc/pressure` | where the kernel does not measure it |
//!
//! What cannot be read is absent, and said once. Reading is here, understanding in [`parse`], judging in `lifecycle::explain`.

mod parse;

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use lifecycle::{
    pull::{Host, Percent, Pull},
    time::Timestamp,
};

/// Two samples are at least this far apart; what asks sooner gets the facts of the last one.
const SHORTEST: Duration = Duration::from_secs(2);
/// A sample that is older says nothing about now.
const LONGEST: Duration = Duration::from_secs(15);

/// Most that is read of a file: `net/dev` has 130 bytes a card.
const MAX_FILE: usize = 64 << 10;
/// Most files are smaller.
const USUAL_FILE: usize = 4 << 10;
/// Disks that are looked at: a node has one or two containerds.
const MAX_DISKS: usize = 8;

/// Reads the facts.
#[derive(Debug)]
pub struct Sampler {
    proc: PathBuf,
    sys: PathBuf,
    /// The `stat` files of the block devices below containerds' folders.
    disks: BTreeSet<PathBuf>,
    cards: Cards,
    last: Option<Sample>,
    facts: Host,
    /// Whether it was said what is not available.
    said: bool,
}

/// The network cards: what has a device behind it, so that bridges, tunnels and their members do not count twice.
#[derive(Debug, Default)]
struct Cards {
    names: Vec<String>,
    limit: Option<u64>,
}

#[derive(Debug)]
struct Sample {
    at: Timestamp,
    received: Option<u64>,
    /// Milliseconds in which each disk had something to do.
    busy: Vec<Option<u64>>,
}

impl Sampler {
    /// Below this root (`/`, or a folder that holds `proc` and `sys`). Reads nothing yet.
    pub fn new(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            sys: root.join("sys"),
            disks: BTreeSet::new(),
            cards: Cards::default(),
            last: None,
            facts: Host::default(),
            said: false,
        }
    }

    /// For the host whose files are seen below this folder: its own `proc` and `sys` if they are there, else those of this system.
    pub fn of_host(root: &Path) -> Self {
        Self::new(if root.join("proc/1").exists() { root } else { Path::new("/") })
    }

    /// Looks from now on at the disk on which this folder lies, too.
    pub fn look_at_disk_of(&mut self, folder: &Path) {
        let device = fs::metadata(folder).ok().and_then(|metadata| parse::block_device(metadata.dev()));
        let stat = device.map(|device| self.sys.join("dev/block").join(device).join("stat")).filter(|stat| stat.exists());
        self.disks.extend(stat.filter(|_| self.disks.len() < MAX_DISKS));
    }

    /// The facts for this state of a pull. What it runs beside needs two samples, so its first state may be without speed and disk; when it
    /// has ended, it is told with the last facts from before.
    pub fn beside(&mut self, pull: &Pull) -> Host {
        if pull.ending.is_some() { self.ended(pull.observed_at) } else { self.running(pull.observed_at) }
    }

    fn running(&mut self, now: Timestamp) -> Host {
        match self.last.as_ref().map(|last| now.since(last.at)) {
            Some(passed) if passed < SHORTEST => return self.facts,
            Some(passed) if passed <= LONGEST => {}
            Some(_) | None => self.begin(),
        }
        let sample = Sample {
            at: now,
            received: self.received(),
            busy: self.disks.iter().map(|stat| parse::busy(&read(stat)?)).collect(),
        };
        let pressure = |of: &str| read(&self.proc.join("pressure").join(of)).and_then(|text| parse::pressure(&text));
        self.facts = Host {
            network_rate: self.last.as_ref().and_then(|last| rate(last, &sample)),
            network_limit: self.cards.limit,
            disk_busy: self.last.as_ref().and_then(|last| busy(last, &sample)),
            io: pressure("io"),
            memory: pressure("memory"),
            cpu: pressure("cpu").map(|pressure| pressure.some),
        };
        self.say_once(&sample);
        self.last = Some(sample);
        self.facts
    }

    fn ended(&self, now: Timestamp) -> Host {
        let fresh = self.last.as_ref().is_some_and(|last| now.since(last.at) <= LONGEST);
        if fresh { self.facts } else { Host::default() }
    }

    /// After a time in which nothing was pulled: cards may have come and gone.
    fn begin(&mut self) {
        self.last = None;
        self.cards = Cards::read(&self.sys.join("class/net"));
    }

    fn received(&self) -> Option<u64> {
        if self.cards.names.is_empty() {
            return None;
        }
        parse::received(&read(&self.proc.join("1/net/dev"))?, &self.cards.names)
    }

    fn say_once(&mut self, sample: &Sample) {
        if std::mem::replace(&mut self.said, true) {
            return;
        }
        let facts = [
            ("network", sample.received.is_some()),
            ("speed of the network's links", sample.received.is_none() || self.cards.limit.is_some()),
            ("disk", sample.busy.iter().any(Option::is_some)),
            ("pressure", self.facts.io.is_some() || self.facts.memory.is_some()),
        ];
        let missing: Vec<_> = facts.into_iter().filter(|(_, known)| !known).map(|(name, _)| name).collect();
        if !missing.is_empty() {
            tracing::info!(?missing, "some facts about the host cannot be read here; pulls are told without them");
        }
    }
}

impl Cards {
    fn read(folder: &Path) -> Self {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let real = entries.filter(|card| card.path().join("device").exists());
        let up = real.filter(|card| read(&card.path().join("operstate")).is_none_or(|state| state.trim() != "down"));
        let (mut names, mut limit) = (Vec::new(), Some(0_u64));
        for card in up {
            let speed = read(&card.path().join("speed")).and_then(|text| parse::link_speed(&text));
            limit = limit.zip(speed).map(|(sum, speed)| sum.saturating_add(speed));
            names.extend(card.file_name().into_string());
        }
        Self { limit: limit.filter(|limit| *limit > 0), names }
    }
}

/// Bytes per second between two samples; `None` if a counter began anew.
fn rate(before: &Sample, now: &Sample) -> Option<u64> {
    let bytes = now.received?.checked_sub(before.received?)?;
    let rate = (u128::from(bytes) * 1000).checked_div(now.at.since(before.at).as_millis())?;
    u64::try_from(rate).ok()
}

/// The share of the busiest disk.
fn busy(before: &Sample, now: &Sample) -> Option<Percent> {
    let passed = u64::try_from(now.at.since(before.at).as_millis()).ok()?;
    let shares = before.busy.iter().zip(&now.busy).map(|(before, now)| Percent::of((*now)?.checked_sub((*before)?)?, passed));
    shares.max().flatten()
}

/// A file of the kernel, which says nothing of its size: with room for the whole it is read at once.
fn read(path: &Path) -> Option<String> {
    let mut text = String::with_capacity(USUAL_FILE);
    let file = fs::File::open(path).ok()?;
    file.take(MAX_FILE as u64).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NET: &str =
        "Inter-|   Receive  |  Transmit\n face |bytes    packets errs\n    lo: 9000 1 0\n  eth0: RX 1 0\nveth1: 500 1 0\n";

    /// A host in a folder: one card of 1 Gbit/s, and a bridge without a device.
    struct Stage {
        folder: tempfile::TempDir,
        sampler: Sampler,
    }

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let stage = Self { sampler: Sampler::new(folder.path()), folder };
            stage.write("sys/class/net/eth0/device/vendor", "0x1af4");
            stage.write("sys/class/net/eth0/speed", "1000\n");
            stage.write("sys/class/net/eth0/operstate", "up\n");
            stage.write("sys/class/net/veth1/operstate", "up\n");
            stage.write(
                "proc/pressure/io",
                "some avg10=31.90 avg60=1.02 avg300=0.88 total=1\nfull avg10=22.00 avg60=0 avg300=0 total=1\n",
            );
            stage
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder is made");
            fs::write(path, text).expect("a file is written");
        }

        fn at(&mut self, millis: u64, received: u64, busy: u64) -> Host {
            self.write("proc/1/net/dev", &NET.replace("RX", &received.to_string()));
            self.write("disk", &format!("1 0 8 1 1 0 8 1 0 {busy} 2 0 0 0 0 0 0"));
            self.sampler.disks = [self.folder.path().join("disk")].into();
            self.sampler.running(Timestamp::from_millis(1_000_000 + millis))
        }
    }

    #[test]
    fn facts_are_what_happened_between_two_samples() {
        let mut stage = Stage::new();
        let first = stage.at(0, 1_000, 50);
        assert_eq!((first.network_rate, first.disk_busy, first.network_limit), (None, None, Some(125_000_000)));
        assert_eq!(first.io.map(|io| (io.some.get(), io.full.get())), Some((31, 22)));
        let second = stage.at(2_000, 5_000_000, 1_990);
        assert_eq!((second.network_rate, second.disk_busy), (Some(2_499_500), Percent::new(97)));
        assert_eq!(stage.at(2_100, 9_000_000, 2_000), second, "too soon for a new sample");
    }

    #[test]
    fn what_lies_long_back_says_nothing_about_now() {
        let mut stage = Stage::new();
        stage.at(0, 1_000, 50);
        assert_eq!(stage.at(60_000, 2_000, 60).network_rate, None);
        assert_eq!(stage.at(62_000, 6_000, 60).network_rate, Some(2_000));
        assert!(!stage.sampler.ended(Timestamp::from_millis(1_062_000)).is_empty());
        assert!(stage.sampler.ended(Timestamp::from_millis(1_090_000)).is_empty());
    }

    #[test]
    fn a_counter_that_began_anew_is_no_speed() {
        let mut stage = Stage::new();
        stage.at(0, 1_000, 50);
        let host = stage.at(1_000, 10, 0);
        assert_eq!((host.network_rate, host.disk_busy), (None, None));
    }

    #[test]
    fn where_nothing_can_be_read_nothing_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sampler = Sampler::new(folder.path());
        sampler.look_at_disk_of(folder.path());
        assert!(sampler.running(Timestamp::from_millis(1)).is_empty());
        assert!(sampler.running(Timestamp::from_millis(2_000)).is_empty());
    }
}
