//! What `pulltrace watch` costs while thousands of pulls change every second, told by a real collector, on a terminal of 200 x 50 cells: CPU and
//! memory of its own process, and the time from a key to the bytes that show what it did. The bench reads the terminal on the same machine, so latency
//! has its own delay in it.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use e2e::clock;
use e2e::pulltrace::Collector;
use e2e::terminal::Terminal;
use e2e::tools::built;
use serde_json::json;

use crate::collector::Line;
use crate::collector::body::Node;
use crate::collector::load::{self, Target, Wire};
use crate::usage::{Memory, Usage};
use crate::{mb, write};

/// Pulls of each node, and layers of each pull.
const PULLS: u64 = 50;
const LAYERS: u64 = 8;
/// Rounds of reports before anything is measured, and those that are left for what takes longer than expected.
const SPARE_ROUNDS: u64 = 60;
/// How often each key is pressed.
const TIMES: u32 = 20;
/// Between two keys: no whole number of pictures, so that keys fall anywhere between them.
const BETWEEN: Duration = Duration::from_millis(137);
/// What takes longer is broken.
const LIMIT: Duration = Duration::from_secs(30);
/// Gate and aim: percent of a core, milliseconds of 95 of 100 keys.
const CPU: (f64, f64) = (10.0, 5.0);
const LATENCY: (f64, f64) = (50.0, 25.0);
const SIZE: (u16, u16) = (200, 50);

/// A key, and what is on the screen, or is not any more, when it was obeyed.
struct Press {
    name: &'static str,
    keys: &'static str,
    shows: Seen,
}

enum Seen {
    Comes(&'static str),
    Goes(&'static str),
}

/// One round of keys; it ends where it began.
const ROUND: [Press; 6] = [
    Press { name: "help opens", keys: "?", shows: Seen::Comes("through the rows") },
    Press { name: "help closes", keys: "\x1b", shows: Seen::Goes("through the rows") },
    Press { name: "the filter is opened", keys: "/", shows: Seen::Comes("Enter keeps") },
    Press { name: "a letter filters all pulls", keys: "~", shows: Seen::Comes("No pull fits") },
    Press { name: "all pulls are back", keys: "\x7f", shows: Seen::Goes("No pull fits") },
    Press { name: "the filter is closed", keys: "\x1b", shows: Seen::Goes("Enter keeps") },
];

/// Measures, and writes what was found.
pub(crate) fn run(seconds: u64, pulls: u64, results: &Path) -> ExitCode {
    let collector = Collector::start(&[("PULLTRACE_LOG_LEVEL", "error")]);
    let nodes: Vec<_> = (0..pulls.div_ceil(PULLS)).map(|number| Node { number, pulls: PULLS, layers: LAYERS }).collect();
    let answered = Arc::new(AtomicU64::new(0));
    let target = Target { wire: Wire::Http, address: collector.otlp_url("").trim_start_matches("http://").to_owned() };
    let (all, counter) = (nodes.clone(), answered.clone());
    let sending = std::thread::spawn(move || load::cluster(&target, &all, 2 * seconds + SPARE_ROUNDS, &counter));
    clock::until("the first reports", 4 * LIMIT, || (answered.load(Ordering::Relaxed) >= 3 * nodes.len() as u64).then_some(()));
    let mut terminal = Terminal::start(&built("pulltrace"), &["watch", "--server", &collector.url("")], &[], SIZE);
    terminal.until(&format!("{pulls} active"), LIMIT);
    clock::pause(Duration::from_secs(3));
    let idle = cpu(&terminal, Duration::from_secs(seconds));
    let memory = Memory::read(terminal.pid());
    let mut lines = vec![
        Line::most(format!("{pulls} pulls that change every second: CPU"), "% of a core", idle, CPU.0, CPU.1),
        Line::plain("RSS", "MB", mb(memory.rss)),
    ];
    lines.extend(keys(&mut terminal));
    terminal.keys("q");
    let code = terminal.exit_code(LIMIT);
    // Senders end when the collector does, with a word that is of no use to anybody.
    std::panic::set_hook(Box::new(|_| {}));
    drop((collector, sending));
    lines.push(Line::most("exit code", "", f64::from(code.unwrap_or(-1).abs()), 0.0, 0.0));
    lines.iter().for_each(Line::print);
    let passed = lines.iter().all(Line::passed);
    let report = json!({
        "bench": "cli", "measuredAtUnix": clock::now().floor(), "pulls": pulls, "terminal": [SIZE.0, SIZE.1],
        "results": lines.iter().map(Line::json).collect::<Vec<_>>(),
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
    });
    write(results, "cli", &report, passed)
}

/// Percent of a core, while nobody presses a key.
fn cpu(terminal: &Terminal, time: Duration) -> f64 {
    let before = Usage::read(terminal.pid());
    clock::pause(time);
    let (cpu, took) = Usage::read(terminal.pid()).since_raw(before);
    cpu.as_secs_f64() / took.as_secs_f64() * 100.0
}

/// Presses every key many times.
fn keys(terminal: &mut Terminal) -> Vec<Line> {
    let mut found: Vec<Vec<Duration>> = ROUND.iter().map(|_| Vec::new()).collect();
    for _ in 0..TIMES {
        for (press, found) in ROUND.iter().zip(&mut found) {
            clock::pause(BETWEEN);
            let begin = Instant::now();
            terminal.keys(press.keys);
            let seen = match press.shows {
                Seen::Comes(text) => terminal.until(text, LIMIT),
                Seen::Goes(text) => terminal.until_gone(text, LIMIT),
            };
            found.push(seen.saturating_duration_since(begin));
        }
    }
    let mut lines = Vec::new();
    let all: Vec<Duration> = found.iter().flatten().copied().collect();
    for (name, mut times) in ROUND.iter().map(|press| press.name).zip(found).chain([("every key", all)]) {
        times.sort_unstable();
        let part = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
        lines.push(Line::plain(format!("{name}: key to picture, median"), "ms", part(50)));
        lines.push(Line::most(format!("{name}: key to picture, 95 of 100"), "ms", part(95), LATENCY.0, LATENCY.1));
    }
    lines
}
