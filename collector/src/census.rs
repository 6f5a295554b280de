//! All pulls of a picture, counted. The count is kept up with every change, because a picture may have a hundred thousand pulls and is
//! asked for its sums as often as a page is opened.

use lifecycle::board::PullView;

/// How many pulls are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) pulls: usize,
    pub(crate) active: usize,
    pub(crate) stalled: usize,
    pub(crate) stale: usize,
    pub(crate) ready: usize,
    pub(crate) failed: usize,
    pub(crate) canceled: usize,
    pub(crate) lost: usize,
    /// Of all that run.
    pub(crate) bytes_per_sec: u64,
}

impl Census {
    /// Counts a pull in.
    pub(crate) fn add(&mut self, pull: &PullView) {
        self.count(pull, |number| *number += 1, u64::wrapping_add);
    }

    /// Counts out a pull that was counted in as it is here.
    pub(crate) fn remove(&mut self, pull: &PullView) {
        self.count(pull, |number| *number -= 1, u64::wrapping_sub);
    }

    fn count(&mut self, pull: &PullView, one: impl Fn(&mut usize), bytes: impl Fn(u64, u64) -> u64) {
        one(&mut self.pulls);
        if pull.is_stale() {
            one(&mut self.stale);
        }
        match pull.outcome() {
            None => {
                one(&mut self.active);
                if pull.is_stalled() {
                    one(&mut self.stalled);
                }
                self.bytes_per_sec = bytes(self.bytes_per_sec, pull.bytes_per_sec().unwrap_or(0));
            }
            Some("ready") => one(&mut self.ready),
            Some("failed") => one(&mut self.failed),
            Some("canceled") => one(&mut self.canceled),
            Some(_) => one(&mut self.lost),
        }
    }
}
