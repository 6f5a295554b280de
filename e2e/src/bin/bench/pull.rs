//! What `pulltrace pull` costs beside `docker pull`: the same image from a registry on loopback without any limit, so that nothing hides
//! what the command itself takes.
//!
//! In each round everybody pulls once, one after the other, and the order turns from round to round; `docker pull` pulls twice, which says
//! how much two equal pulls differ on this machine. A ratio is that of neighbours in time; what counts is the median over the rounds.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use e2e::clock;
use e2e::docker::{Docker, Store};
use e2e::image::{self, Form, LayerPlan, MIB};
use e2e::process::Process;
use e2e::registry::Registry;
use e2e::tools::{Need, Tools};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::{Value, json};

use crate::usage::Memory;
use crate::{mb, say, write};

/// Mebibytes of the image's layers.
const LAYERS: [usize; 6] = [96, 64, 48, 32, 8, 8];

/// Most that a pull may take, as a multiple of `docker pull`.
const GATE: f64 = 1.01;

/// Clock ticks of `/proc/PID/stat` per second: what the kernel tells every program, whatever it counts with itself (proc(5)).
const TICKS: f64 = 100.0;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Who pulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Puller {
    Docker,
    DockerAgain,
    Quiet,
    Plain,
}

impl Puller {
    const ALL: [Self; 4] = [Self::Docker, Self::Quiet, Self::Plain, Self::DockerAgain];

    const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker pull",
            Self::DockerAgain => "docker pull, again",
            Self::Quiet => "pulltrace pull --progress quiet",
            Self::Plain => "pulltrace pull --progress plain",
        }
    }

    fn begin(self, docker: &Docker, image: &str) -> Process {
        let log = docker.home().join("pull.log").display().to_string();
        let ours = |progress| docker.pulltrace(&["pull", "--progress", progress, "--log-file", &log, image], &[]);
        match self {
            Self::Docker | Self::DockerAgain => docker.docker_at(&["pull", image]),
            Self::Quiet => ours("quiet"),
            Self::Plain => ours("plain"),
        }
    }
}

/// What one pull took.
#[derive(Debug, Clone, Copy)]
struct Took {
    seconds: f64,
    cpu_ms: f64,
    rss: u64,
}

/// Pulls with each store; writes what it found.
pub(crate) fn run(rounds: usize, results: &Path) -> ExitCode {
    let tools = match Tools::look(&[Need::Root, Need::Docker, Need::Registry, Need::CommandLine]) {
        Ok(tools) => tools,
        Err(missing) => {
            say(format!("SKIPPED: {missing}"));
            return ExitCode::FAILURE;
        }
    };
    let stores = [Store::Classic, Store::Containerd].map(|store| measure(&tools, store, rounds));
    let passed = stores.iter().all(|store| store["passed"] == true);
    let report = json!({
        "bench": "pull", "measuredAtUnix": clock::now().floor(), "mebibytes": LAYERS, "gate": GATE,
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get), "stores": stores,
    });
    write(results, "pull", &report, passed)
}

fn measure(tools: &Tools, store: Store, rounds: usize) -> Value {
    let registry = Registry::start(tools);
    let docker = Docker::start(tools, store);
    let plan = |(seed, mebibytes): (u64, &usize)| LayerPlan { bytes: mebibytes * MIB, seed, files: 50 };
    let plans: Vec<_> = (0..).zip(&LAYERS).map(plan).collect();
    let image = image::push(&registry, "bench/pull:v1", &plans, Form::OciIndex);
    let full = format!("127.0.0.1:{}/{}", registry.port(), image.name);
    // Once for the machine to know the way: caches of files, and programs in memory.
    for puller in Puller::ALL {
        pull(puller, &docker, &full);
    }
    let mut took: [Vec<Took>; 4] = Default::default();
    for round in 0..rounds {
        for turn in 0..Puller::ALL.len() {
            let at = (round + turn) % Puller::ALL.len();
            took[at].push(pull(Puller::ALL[at], &docker, &full));
        }
    }
    say(format!("\n{store:?} store, {rounds} rounds              seconds     ratio   quartiles          CPU ms    RSS MB"));
    let lines: Vec<Value> = Puller::ALL.iter().zip(&took).map(|(puller, own)| line(*puller, own, &took[0])).collect();
    let passed = lines.iter().filter(|l| l["gated"] == true).all(|l| l["ratio"].as_f64().is_some_and(|r| r <= GATE));
    json!({"store": format!("{store:?}").to_lowercase(), "rounds": rounds, "pullers": lines, "passed": passed})
}

/// One puller against `docker pull`, said and as JSON.
fn line(puller: Puller, own: &[Took], docker: &[Took]) -> Value {
    let ratios: Vec<f64> = own.iter().zip(docker).map(|(own, docker)| own.seconds / docker.seconds).collect();
    let of = |value: fn(&Took) -> f64| at(own.iter().map(value).collect(), 50);
    let (seconds, cpu) = (of(|t| t.seconds), of(|t| t.cpu_ms));
    let rss = own.iter().map(|t| t.rss).max().unwrap_or_default();
    let [low, ratio, high] = [25, 50, 75].map(|percent| at(ratios.clone(), percent));
    say(format!("{:<34}{seconds:>9.3}{ratio:>10.4}{low:>10.4}..{high:.4}{cpu:>12.0}{:>10.1}", puller.name(), mb(rss)));
    json!({"puller": puller.name(), "seconds": seconds, "ratio": ratio, "quartiles": [low, high], "cpuMs": cpu, "rssBytes": rss,
           "gated": matches!(puller, Puller::Quiet | Puller::Plain), "all": own.iter().map(|t| t.seconds).collect::<Vec<_>>()})
}

/// One pull of an image that is not there.
fn pull(puller: Puller, docker: &Docker, image: &str) -> Took {
    docker.clear();
    let begin = Instant::now();
    let mut process = puller.begin(docker, image);
    let pid = process.pid();
    let ended = AtomicBool::new(false);
    let (seconds, rss) = std::thread::scope(|scope| {
        let memory = scope.spawn(|| {
            let mut most = 0;
            while !ended.load(Ordering::Acquire) {
                most = most.max(Memory::read(pid).rss);
                clock::pause(LOOK);
            }
            most
        });
        until_over(pid);
        let seconds = begin.elapsed().as_secs_f64();
        ended.store(true, Ordering::Release);
        (seconds, memory.join().expect("looking does not panic"))
    });
    let cpu_ms = cpu(pid);
    let code = process.exit_code(Duration::from_secs(5));
    assert!(code == Some(0) && docker.has(image), "{} ended with {code:?}: {}", puller.name(), process.stderr());
    Took { seconds, cpu_ms, rss }
}

/// Waits for the end of a child and leaves it to be asked.
fn until_over(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a child has a pid");
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("the child is ours");
}

/// Milliseconds of CPU that a child, which has ended and was not waited for, has used in all its threads.
fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / TICKS * 1000.0
}

/// The value at so many percent of the way from the least to the most.
fn at(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * percent / 100).copied().unwrap_or(f64::NAN)
}
