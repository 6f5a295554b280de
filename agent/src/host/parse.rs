//! Reads the kernel's texts (proc(5), sysfs). Pure: text in, numbers out; what does not fit is `None`.

use lifecycle::pull::{Percent, Pressure};

/// Bytes that these cards have received (`net/dev`), all together; `None` if one of them is not listed.
pub(super) fn received(net_dev: &str, cards: &[String]) -> Option<u64> {
    let of = |card: &String| {
        let rest = net_dev.lines().find_map(|line| line.trim_start().strip_prefix(card.as_str())?.strip_prefix(':'))?;
        rest.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    cards.iter().try_fold(0_u64, |sum, card| Some(sum.saturating_add(of(card)?)))
}

/// Milliseconds in which a block device had something to do: the tenth number of its `stat` file.
pub(super) fn busy(stat: &str) -> Option<u64> {
    stat.split_ascii_whitespace().nth(9)?.parse().ok()
}

/// Pressure over the last ten seconds. Kernels before 5.13 say no `full` for processors: nobody waited as a whole.
pub(super) fn pressure(text: &str) -> Option<Pressure> {
    let of = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let share = line.split_ascii_whitespace().find_map(|field| field.strip_prefix("avg10="))?;
        Percent::new(share.split('.').next()?.parse().ok()?)
    };
    Some(Pressure { some: of("some ")?, full: of("full ").unwrap_or_default() })
}

/// Bytes per second of a link, from megabits per second. Virtual cards say -1, others nothing.
pub(super) fn link_speed(speed: &str) -> Option<u64> {
    speed.trim().parse::<u64>().ok().filter(|megabits| *megabits > 0)?.checked_mul(1_000_000 / 8)
}

/// The name of a block device in `/sys/dev/block`, from the number of what lies on it (`stat`'s `st_dev`, glibc's encoding). `None` for a
/// file system without a device of its own (overlay, tmpfs, btrfs).
pub(super) fn block_device(number: u64) -> Option<String> {
    let major = ((number >> 8) & 0xfff) | ((number >> 32) & !0xfff);
    let minor = (number & 0xff) | ((number >> 12) & !0xff);
    (major != 0).then(|| format!("{major}:{minor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a kernel 6.1 wrote it, shortened.
    const NET_DEV: &str = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 26104496292 1733525    0    0    0     0          0         0 26104496292 1733525    0    0    0     0       0          0
  eth0: 1778276965   74974    0    0    0     0          0         0  5184710   53568    0    0    0     0       0          0
 eth0x:1000   74974    0    0    0     0          0         0  5184710   53568    0    0    0     0       0          0
";

    #[test]
    fn cards_are_added_up_and_a_missing_one_makes_the_sum_unknown() {
        let of = |cards: &[&str]| received(NET_DEV, &cards.iter().map(|card| (*card).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["eth0"]), Some(1_778_276_965));
        assert_eq!(of(&["eth0", "eth0x"]), Some(1_778_277_965));
        assert_eq!(of(&["eth0", "eth1"]), None);
        assert_eq!(received("", &["eth0".to_owned()]), None);
    }

    #[test]
    fn the_time_a_disk_was_busy_is_the_tenth_number() {
        let stat = " 2213544   187792 154779338  4029421   690044   664676 234612480   878509        0   289948  4967461   344504  76 1 2 3 4\n";
        assert_eq!(busy(stat), Some(289_948));
        assert_eq!(busy("1 2 3"), None);
        assert_eq!(busy(""), None);
    }

    #[test]
    fn pressure_is_whole_percent_of_the_last_ten_seconds() {
        let text =
            "some avg10=31.93 avg60=1.02 avg300=0.88 total=131573047\nfull avg10=0.99 avg60=0.06 avg300=0.21 total=73472530\n";
        let whole = |text| pressure(text).map(|pressure| (pressure.some.get(), pressure.full.get()));
        assert_eq!(whole(text), Some((31, 0)));
        assert_eq!(whole("some avg10=100.00 avg60=0.00 avg300=0.00 total=1\n"), Some((100, 0)));
        for broken in ["", "some", "some avg10=x", "some avg10=101.0", "full avg10=1.00"] {
            assert_eq!(whole(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_link_that_says_no_speed_has_none() {
        assert_eq!(link_speed("10000\n"), Some(1_250_000_000));
        assert_eq!(["-1\n", "0\n", "", "fast"].map(link_speed), [None; 4]);
    }

    #[test]
    fn a_file_systems_number_names_its_block_device() {
        assert_eq!(block_device(0xfe00).as_deref(), Some("254:0"));
        assert_eq!(block_device(0x0010_3081).as_deref(), Some("48:385"));
        assert_eq!(block_device(0x2f), None, "an overlay has no device");
    }
}
