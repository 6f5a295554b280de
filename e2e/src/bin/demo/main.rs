//! `cargo xtask demo`, after building: a collector, an agent, and pulls to watch. Real ones, through a private containerd from a slow
//! registry, where this machine can; else those of the simulated containerd, which speaks the same protocol on a socket of its own.
//!
//! It says in sentences what it does and what Pulltrace made of it, and on Ctrl-C leaves nothing behind: no process, no file, no mount.
//! With `--once` it is a test as well: it fails when an outcome is not what was brought about. What it starts comes from the kit, which
//! fails by panicking with a sentence; that sentence is all a person sees here.

mod collector;
mod stage;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use e2e::clock;
use e2e::process::Process;
use e2e::stop::Stop;
use e2e::tools::{Need, Tools, Version, built};

use crate::collector::Collector;
use crate::stage::Stage;

/// How often the state of a pull is said while it runs.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Builds nothing: started by `cargo xtask demo`.
#[derive(Parser)]
struct Args {
    /// Use the simulated containerd even where a real one can run
    #[arg(long)]
    simulated: bool,
    /// One round of pulls, and a failure if one does not end as it should
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let stop = Stop::on_signals();
    let told = stop.clone();
    std::panic::set_hook(Box::new(move |panic| {
        if !told.is_set() {
            say(format!("The demo cannot go on: {}", panic.payload_as_str().unwrap_or("a panic without words")));
        }
    }));
    let ended = catch_unwind(AssertUnwindSafe(|| show(&args, &stop)));
    say("\nStopped. Every process started here has ended, every temporary folder is gone.");
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Err(_) if stop.is_set() => ExitCode::SUCCESS,
        Ok(false) | Err(_) => ExitCode::FAILURE,
    }
}

/// The whole demo; whether everything ended as it should.
fn show(args: &Args, stop: &Stop) -> bool {
    let found = if args.simulated { Err("--simulated was given".to_owned()) } else { real() };
    let mut collector = Collector::start();
    let right = match found {
        Ok((tools, version)) => {
            let mut stage = Stage::set(&tools, version, &collector);
            collector.print_urls();
            stage.play(&mut collector, args.once, stop)
        }
        Err(why) => {
            say(format!("No real containerd ({why}): showing the simulated one, which speaks the same protocol."));
            simulated(&mut collector, args.once, stop)
        }
    };
    say("\nStopping ...");
    right
}

/// The tools for real pulls, with the containerd that `tools.sh` provides on most machines first; else why there are none.
fn real() -> Result<(Tools, Version), String> {
    let needs = |version| [Need::Root, Need::Registry, Need::Containerd(version)];
    let mut why = String::new();
    for version in [Version::V2_1, Version::V2_4, Version::V1_7, Version::V1_6] {
        match Tools::look(&needs(version)) {
            Ok(tools) => return Ok((tools, version)),
            Err(missing) if why.is_empty() => why = missing,
            Err(_) => {}
        }
    }
    Err(format!("{why}; e2e/tools.sh installs what is missing"))
}

/// The written pulls of the simulated containerd; whether any was told.
fn simulated(collector: &mut Collector, once: bool, stop: &Stop) -> bool {
    let folder = tempfile::Builder::new().prefix("pt-demo-").tempdir().expect("the temporary folder is writable");
    let socket = folder.path().join("containerd.sock");
    let mut args = vec!["--socket", socket.to_str().expect("a temporary folder's name is text"), "--scenario-name", "demo"];
    if !once {
        args.push("--loop");
    }
    let mut containerd = Process::spawn("simulated-containerd", folder.path(), &built("simulated-containerd"), &args, &[]);
    containerd.ready(Duration::from_secs(10), || socket.exists());
    let _agent = collector.watch(&socket);
    collector.print_urls();
    say("\nPulls:");
    let mut said = Instant::now();
    let mut any = false;
    let mut quiet_since = Instant::now();
    while !stop.is_set() && containerd.runs() && !(once && any && quiet_since.elapsed() > Duration::from_secs(10)) {
        while let Some(ended) = collector.newly_ended("") {
            any = true;
            say(format!("  {}: {}", ended.image, ended.summary));
        }
        if collector.is_busy() {
            quiet_since = Instant::now();
        }
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            collector.say_running();
        }
        clock::pause(Duration::from_millis(200));
    }
    any || stop.is_set()
}

/// One line for the person who watches; that nobody reads any more is no reason to stop.
pub(crate) fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush()));
}
