//! A node and its collector under random violence: agent, collector and containerd are killed, pulls are begun, canceled and broken,
//! images removed. What must hold at every look is held by `Follow`; when all is calm again, the board must tell the truth.
//!
//! Runs for 40 s; `PULLTRACE_SOAK=600` makes it ten minutes, `PULLTRACE_SOAK_SEED` another history. The truth is what CRI answered.

use std::io::Write as _;
use std::time::{Duration, Instant};

use e2e::clock::{self, Seconds};
use e2e::cri::Pull;
use e2e::follow::{Follow, ended};
use e2e::image::{Image, LayerPlan, MIB};
use e2e::link::Fault;
use e2e::on_containerd;
use e2e::site::{Site, reference};
use e2e::tools::Version;
use serde_json::Value;

/// How long everything may take to come to rest.
const CALM: Duration = Duration::from_secs(60);

/// Pulls at once.
const AT_ONCE: usize = 4;

/// Clocks are read at both ends of a call over a socket.
const SLACK: Seconds = 1.0;

fn the_board_tells_the_truth_after_every_crash(test: &str, version: Version) {
    let Some(site) = Site::start(test, version) else { return };
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(usual);
    let (length, seed) = (Duration::from_secs(number("PULLTRACE_SOAK", 40)), number("PULLTRACE_SOAK_SEED", 7));
    let mut soak = Soak::new(site, seed);
    let begin = Instant::now();
    while begin.elapsed() < length {
        soak.step();
    }
    soak.calm();
    soak.judge();
}

on_containerd!(the_board_tells_the_truth_after_every_crash: V1_7, V2_1);

/// A pull as its caller saw it.
#[derive(Debug)]
struct Call {
    image: usize,
    began: Seconds,
    ended: Seconds,
    answer: Answer,
}

/// What its caller was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The image is there.
    Success,
    /// containerd could not.
    Failure,
    /// Nobody told: the caller broke it off, or containerd was killed. It may have been done all the same.
    None,
}

impl Answer {
    fn of(pull: Pull) -> Self {
        match pull.wait() {
            Ok(_) => Self::Success,
            Err(refused) if refused.code == tonic::Code::Unavailable => Self::None,
            Err(_) => Self::Failure,
        }
    }
}

struct Soak {
    site: Site,
    images: Vec<Image>,
    running: Vec<(usize, Seconds, Pull)>,
    calls: Vec<Call>,
    /// When something was last killed and had come back.
    undisturbed_since: Seconds,
    follow: Follow,
    dice: Dice,
    kills: [u32; 3],
}

impl Soak {
    fn new(site: Site, seed: u64) -> Self {
        let base = LayerPlan { bytes: 2 * MIB, seed: 4_000, files: 1 };
        let own = |n: u64, mib: usize| LayerPlan { bytes: mib * MIB, seed: 4_001 + n, files: 1 };
        let plans = |n: u64| if n.is_multiple_of(3) { vec![base, own(n, 3)] } else { vec![own(n, 4), own(100 + n, 1)] };
        let images = (0..9).map(|n| site.push(&format!("team/soak-{n}:v1"), &plans(n))).collect();
        Self {
            site,
            images,
            running: Vec::new(),
            calls: Vec::new(),
            undisturbed_since: clock::now(),
            follow: Follow::default(),
            dice: Dice(seed.max(1)),
            kills: [0; 3],
        }
    }

    fn step(&mut self) {
        match self.dice.below(40) {
            0..=15 => self.begin(),
            16..=19 => self.cancel(),
            20..=23 => self.remove(),
            24 | 25 => self.site.link.set_fault(Fault::Reset),
            26 => self.site.link.set_fault(Fault::TooManyRequests),
            27..=30 => self.site.link.set_fault(Fault::None),
            31 => self.kill(0, |site| site.agent.kill9(), |site| site.agent.restart()),
            32 => self.kill(1, |site| site.collector.kill9(), |site| site.collector.restart()),
            33 => self.kill(2, |site| site.containerd.kill9(), |site| site.containerd.restart()),
            _ => {}
        }
        clock::pause(Duration::from_millis(50 + self.dice.below(300)));
        self.collect();
        self.follow.look(&self.site.collector);
    }

    fn begin(&mut self) {
        let image = self.dice.index(self.images.len());
        // CRI lets a second pull of one image wait for the first, which would be one pull with two callers.
        if self.running.len() < AT_ONCE && self.running.iter().all(|(other, ..)| *other != image) {
            let pull = self.site.containerd.pull(&reference(&self.images[image]));
            self.running.push((image, clock::now(), pull));
        }
    }

    fn cancel(&mut self) {
        if !self.running.is_empty() {
            let (image, began, pull) = self.running.swap_remove(self.dice.index(self.running.len()));
            pull.cancel();
            self.calls.push(Call { image, began, ended: clock::now(), answer: Answer::None });
        }
    }

    fn remove(&mut self) {
        let image = self.dice.index(self.images.len());
        if self.running.iter().all(|(other, ..)| *other != image) {
            self.site.containerd.remove_image(&reference(&self.images[image]));
        }
    }

    fn kill(&mut self, which: usize, kill: impl Fn(&mut Site), restart: impl Fn(&mut Site)) {
        kill(&mut self.site);
        clock::pause(Duration::from_millis(self.dice.below(2_000)));
        restart(&mut self.site);
        self.kills[which] += 1;
        self.undisturbed_since = f64::INFINITY;
    }

    /// Takes in the calls that have ended.
    fn collect(&mut self) {
        let (over, running): (Vec<_>, Vec<_>) = self.running.drain(..).partition(|(.., pull)| pull.ended());
        self.running = running;
        for (image, began, pull) in over {
            self.calls.push(Call { image, began, ended: clock::now(), answer: Answer::of(pull) });
        }
        if self.undisturbed_since.is_infinite() && self.site.agent.is_ready() {
            let agents = self.site.collector.metric("pulltrace_agents_connected", &[]);
            self.undisturbed_since = if agents >= 1.0 { clock::now() } else { f64::INFINITY };
        }
    }

    /// Ends the violence, lets everything come to rest, and pulls every image once more.
    fn calm(&mut self) {
        self.site.link.set_fault(Fault::None);
        self.site.link.set_rate(None);
        self.settle("the end of the last pulls");
        for image in 0..self.images.len() {
            self.site.containerd.remove_image(&reference(&self.images[image]));
        }
        for image in 0..self.images.len() {
            self.running.push((image, clock::now(), self.site.containerd.pull(&reference(&self.images[image]))));
        }
        self.settle("the end of the calm pulls");
        assert!(
            self.calls.iter().rev().take(self.images.len()).all(|c| c.answer == Answer::Success),
            "calm pulls succeed: {:#?}",
            self.calls
        );
    }

    fn settle(&mut self, what: &str) {
        let begin = Instant::now();
        loop {
            self.collect();
            let pulls = self.follow.look(&self.site.collector);
            let quiet = self.running.is_empty() && pulls.iter().all(|p| !p["outcome"].is_null());
            if quiet && self.undisturbed_since.is_finite() && self.missing(&pulls).is_empty() {
                return;
            }
            let calls = &self.calls;
            assert!(
                begin.elapsed() < CALM,
                "{what}: after {CALM:?}, still running {}, undisturbed since {}, never told {:?}; {pulls:#?}\n{calls:#?}\n{}",
                self.running.len(),
                self.undisturbed_since,
                self.missing(&pulls),
                self.site.agent.log()
            );
            clock::pause(Duration::from_millis(100));
        }
    }

    /// Calls that nothing disturbed, and that the board does not tell as what they were.
    fn missing(&self, pulls: &[Value]) -> Vec<&Call> {
        let mut told: Vec<&Value> = pulls.iter().filter(|p| ended(p, "ready")).collect();
        let calm = self.calls.iter().filter(|c| c.answer == Answer::Success && c.began > self.undisturbed_since);
        calm.filter(|call| {
            let own = told.iter().position(|pull| self.is_of(pull, call));
            own.map(|at| told.swap_remove(at)).is_none()
        })
        .collect()
    }

    /// Whether a pull on the board may be this call.
    fn is_of(&self, pull: &Value, call: &Call) -> bool {
        let time = |key: &str| pull[key].as_str().and_then(clock::parse).unwrap_or(f64::NAN);
        pull["imageRef"] == reference(&self.images[call.image]).as_str()
            && time("startedAt") >= call.began - SLACK
            && time("completedAt") <= call.ended + SLACK
    }

    fn judge(&mut self) {
        let pulls = self.follow.look(&self.site.collector);
        // No success that was none: each has a call of its own that did not fail.
        let mut calls: Vec<&Call> = self.calls.iter().filter(|c| c.answer != Answer::Failure).collect();
        for pull in pulls.iter().filter(|p| ended(p, "ready")) {
            let is_own = |call: &Call| self.is_of(pull, call);
            let told = |call: &Call| call.answer == Answer::Success && is_own(call);
            let own = calls.iter().position(|c| told(c)).or_else(|| calls.iter().position(|c| is_own(c)));
            let own = own.unwrap_or_else(|| panic!("a success without a call: {pull:#}\n{:#?}", self.calls));
            calls.swap_remove(own);
        }
        for pull in &pulls {
            assert!(ended(pull, "ready") || pull["percent"].as_f64() < Some(100.0), "100 % without success: {pull:#}");
        }
        let [agent, collector, containerd] = self.kills;
        drop(writeln!(
            std::io::stderr(),
            "{} calls, {} told; killed: agent {agent}, collector {collector}, containerd {containerd}",
            self.calls.len(),
            pulls.len()
        ));
        assert!(self.site.agent.runs() && self.site.collector.runs());
        self.site.collector.has_not_panicked();
    }
}

/// A small generator (xorshift64): the same seed, the same history of decisions.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("less than a length")
    }
}
