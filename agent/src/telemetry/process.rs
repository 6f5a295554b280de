//! What the kernel says about this process: read when somebody asks and at no other time. Understanding is pure, see the tests.

use std::fs;

/// Processor time, memory, open files; what cannot be read is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Seconds of processor time.
    pub(super) cpu: Option<f64>,
    /// Bytes of memory.
    pub(super) memory: Option<u64>,
    /// Open files.
    pub(super) files: Option<u64>,
}

/// Of this process.
pub(super) fn usage() -> Usage {
    let text = |file| fs::read_to_string(file).ok();
    Usage {
        cpu: text("/proc/self/stat").and_then(|stat| cpu(&stat)),
        memory: text("/proc/self/status").and_then(|status| memory(&status)),
        // The folder that is being read is itself among them.
        files: fs::read_dir("/proc/self/fd").ok().and_then(|files| u64::try_from(files.count()).ok()?.checked_sub(1)),
    }
}

/// `utime` and `stime`, fields 14 and 15 of proc(5)'s stat, in hundredths of a second: the kernel's unit towards programs on Linux.
#[expect(clippy::cast_precision_loss, reason = "hundredths of seconds stay exact for thousands of years")]
fn cpu(stat: &str) -> Option<f64> {
    // The second field is the program's name in brackets and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) as f64 / 100.0)
}

/// `VmRSS` of proc(5)'s status, which is in KiB.
fn memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_that_of_program_and_kernel_whatever_the_programs_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1011 0 3 0 150 25 0 0 20 0 1 0 1234 5 6";
        assert_eq!(cpu(stat), Some(1.75));
        assert_eq!(cpu("42 (a) S 1"), None);
        assert_eq!(cpu(""), None);
    }

    #[test]
    fn memory_is_what_is_resident() {
        assert_eq!(memory("VmPeak:\t 9000 kB\nVmRSS:\t    4096 kB\n"), Some(4 << 20));
        assert_eq!(memory("VmPeak:\t 9000 kB\n"), None);
    }

    #[test]
    fn this_process_has_memory_and_files() {
        let usage = usage();
        assert!(usage.memory.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        assert!(usage.files.is_some_and(|files| files >= 3), "{usage:?}");
    }
}
