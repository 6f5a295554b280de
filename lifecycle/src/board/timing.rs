//! How long a pull spent in each phase, read off the times of its layers.

use std::time::Duration;

use crate::pull::{Interval, Phase, Pull};

/// The time an ended pull spent in each phase it went through, as far as its times are known.
///
/// Resolving lasts until manifest and config were here, downloading until the last blob was committed, unpacking until the last snapshot was.
pub fn phase_durations(pull: &Pull) -> impl Iterator<Item = (Phase, Duration)> {
    let last = |of: fn(&crate::pull::Layer) -> Interval| pull.layers.iter().filter_map(|l| of(l).end).max();
    let resolved = pull.resolved_at;
    let downloaded = last(|l| l.download);
    let unpacked = last(|l| l.unpack);
    let before_unpacking = downloaded.or(resolved);
    let resolving = resolved.map(|at| (Phase::Resolving, at.since(pull.started_at)));
    let downloading = resolved.zip(downloaded).map(|(from, to)| (Phase::Downloading, to.since(from)));
    let unpacking = before_unpacking.zip(unpacked).map(|(from, to)| (Phase::Unpacking, to.since(from)));
    [resolving, downloading, unpacking].into_iter().flatten()
}
