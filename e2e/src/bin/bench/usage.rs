//! What a process has used so far, read from `/proc` (proc(5)); the difference of two readings is what it used between them.
//!
//! CPU time comes from the scheduler's own account in nanoseconds, not from the 10 ms ticks of `/proc/PID/stat`: an idle process uses
//! less than a tick. A thread that ends between two readings takes its account with it; the programs measured here keep theirs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    at: Instant,
    /// Nanoseconds on a CPU, all threads.
    cpu: u64,
    /// Times a thread was put on a CPU: voluntary and involuntary switches.
    switches: u64,
}

/// What was used per second between two readings.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    /// Milliseconds of CPU per second.
    pub(crate) cpu_ms: f64,
    /// Wakeups per second.
    pub(crate) wakeups: f64,
}

/// Memory of one moment, bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident, shared pages counted whole.
    pub(crate) rss: u64,
    /// Resident, shared pages divided by their users.
    pub(crate) pss: u64,
    /// Resident and backed by no file: heap and stacks.
    pub(crate) anonymous: u64,
}

impl Usage {
    /// Reads the accounts of a process.
    ///
    /// # Panics
    /// When there is no such process.
    pub(crate) fn read(pid: u32) -> Self {
        let at = Instant::now();
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the measured process runs");
        let (mut cpu, mut switches) = (0, 0);
        for task in tasks.flatten() {
            // A thread may end between the listing and this; then its files are empty to us.
            cpu += first_number(&read(&task.path(), "schedstat"));
            switches += fields(&read(&task.path(), "status"), "ctxt_switches");
        }
        Self { at, cpu, switches }
    }

    /// CPU time that was used since an earlier reading, and how long ago that was.
    pub(crate) fn since_raw(self, earlier: Self) -> (Duration, Duration) {
        (Duration::from_nanos(self.cpu.saturating_sub(earlier.cpu)), self.at.duration_since(earlier.at))
    }

    /// What was used per second since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Rate {
        let seconds = self.at.duration_since(earlier.at).max(Duration::from_millis(1)).as_secs_f64();
        Rate {
            cpu_ms: float(self.cpu.saturating_sub(earlier.cpu)) / 1e6 / seconds,
            wakeups: float(self.switches.saturating_sub(earlier.switches)) / seconds,
        }
    }
}

impl Rate {
    /// The mean of several rates over stretches of equal length.
    pub(crate) fn mean(rates: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> f64| rates.iter().map(of).sum::<f64>() / float(rates.len() as u64).max(1.0);
        Self { cpu_ms: mean(|rate| rate.cpu_ms), wakeups: mean(|rate| rate.wakeups) }
    }
}

impl Memory {
    /// Reads the memory of a process.
    pub(crate) fn read(pid: u32) -> Self {
        let text = read(Path::new(&format!("/proc/{pid}")), "smaps_rollup");
        Self {
            rss: fields(&text, "Rss:") * 1024,
            pss: fields(&text, "Pss:") * 1024,
            anonymous: fields(&text, "Anonymous:") * 1024,
        }
    }
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_default()
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// The sum of the numbers on all lines whose first word ends in `name`, its colon aside.
fn fields(text: &str, name: &str) -> u64 {
    let name = name.trim_end_matches(':');
    let lines = text.lines().filter_map(|line| line.split_once(':')).filter(|(word, _)| word.ends_with(name));
    lines.map(|(_, rest)| first_number(rest)).sum()
}

/// Exact up to 2^53, which is 104 days in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_summed_by_the_end_of_their_name() {
        let text = "Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(fields(text, "ctxt_switches"), 15);
        assert_eq!(fields("Rss:  2048 kB\nPss:   100 kB\nPss_Anon:  7 kB\n", "Pss:"), 100);
    }

    #[test]
    fn a_process_that_works_is_seen_to_work_and_its_memory_is_there() {
        let own = std::process::id();
        let before = Usage::read(own);
        let begin = Instant::now();
        let mut sum = 0_u64;
        while begin.elapsed() < Duration::from_millis(100) {
            sum = sum.wrapping_mul(31).wrapping_add(u64::from(begin.elapsed().subsec_nanos()));
        }
        let rate = Usage::read(own).since(before);
        assert!(rate.cpu_ms > 10.0, "{rate:?} after adding up to {sum}");
        let memory = Memory::read(own);
        assert!(memory.rss >= memory.pss && memory.pss > 100_000, "{memory:?}");
    }
}
