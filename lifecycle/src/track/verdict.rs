//! How a pull ended, from what it left behind.
//!
//! containerd tells nobody: a lease vanishes after a success as after a failure or a cancellation, and no event carries an error
//! (`containerd` core/leases, client/pull.go). Ready is claimed only with proof. Without it the remains are read:
//!
//! | what is left | what it means |
//! |---|---|
//! | an image record, written at the end of the lease's life, that points to this image | ready |
//! | such a record, but nothing of the index that it points to is on the node | failed, `platform_mismatch` |
//! | the runtime restarted under it | failed, `runtime_unavailable` |
//! | an ingest of full size that was never committed | failed, `digest_mismatch` |
//! | every blob committed, a layer not unpacked | failed, `unpack` |
//! | silence for as long as containerd's progress timeout takes | failed, `timeout` |
//! | no manifest, or no byte of any layer though nothing held it up | failed, `other`: the registry refused |
//! | a wait for another pull, a shorter silence, or bytes moving to the end | canceled |
//!
//! What such a record proves: all that was to be unpacked is unpacked, or the record is younger than the last change of the lease. `ctr` with
//! `--local` (1.6: always) records the image when all is fetched and unpacks it then, under the same lease. A lease that outlives its
//! client (`ctr`, Docker) proves nothing by a record that another pull wrote while it lay about: what it was fetching never arrived.
//!
//! What is seen to come in the last moment is no end of a silence: a writer that is broken off writes what it had in its buffer, less than
//! a mebibyte, and the lease may still be there then (2.4).
//!
//! A full disk leaves what a reset leaves, or while unpacking what any failure to unpack leaves: no observer of containerd can tell.
//!
//! The last row is the weakest: a connection that was reset while bytes moved leaves exactly the same remains as a cancellation. Who
//! knows more (the kubelet's events, read by the collector) corrects the class.

use std::time::Duration;

use crate::pull::{ErrorClass, Failure, Outcome};

/// From this silence on, the end of a pull is taken for containerd's own `image_pull_progress_timeout` (5 minutes by default; at least
/// one minute wherever it was seen configured) and not for somebody's impatience.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(55);

/// What a pull left behind when its lease vanished.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remains {
    /// An image record proves that it succeeded.
    pub(super) proven: bool,
    /// An image record was written for it, and points to an index of which nothing was fetched.
    pub(super) hollow: bool,
    /// Its runtime is not the one that it began under.
    pub(super) runtime_restarted: bool,
    /// The manifest was read.
    pub(super) planned: bool,
    /// Some layer was to be fetched.
    pub(super) had_to_fetch: bool,
    /// Every blob is committed.
    pub(super) all_complete: bool,
    /// A blob had all its bytes and was not committed.
    pub(super) full_but_uncommitted: bool,
    /// At least one byte of one layer came.
    pub(super) any_byte: bool,
    /// It waited for another pull, or for a download slot for longer than a refusal takes.
    pub(super) held_up: bool,
    /// How long no byte had come.
    pub(super) silence: Duration,
}

/// Judges. Never claims success without proof.
pub(super) fn judge(remains: Remains) -> Outcome {
    let failed = |class, message: &str| Outcome::Failed(Failure { class, message: message.to_owned() });
    match remains {
        Remains { proven: true, .. } => Outcome::Ready,
        Remains { hollow: true, .. } => failed(ErrorClass::PlatformMismatch, "nothing in the index is for this node's platform"),
        Remains { runtime_restarted: true, .. } => failed(ErrorClass::RuntimeUnavailable, "containerd stopped"),
        Remains { held_up: true, .. } => Outcome::Canceled,
        Remains { planned: false, .. } => failed(ErrorClass::Other, "no manifest came; containerd does not say why"),
        Remains { full_but_uncommitted: true, .. } => {
            failed(ErrorClass::DigestMismatch, "the bytes of a layer do not match its digest")
        }
        Remains { all_complete: true, .. } => failed(ErrorClass::Unpack, "the layers arrived but were not all unpacked"),
        Remains { silence, any_byte: true, .. } if silence >= PROGRESS_TIMEOUT => {
            failed(ErrorClass::Timeout, "no byte arrived for so long that containerd gave up")
        }
        Remains { any_byte: false, had_to_fetch: true, .. } => {
            failed(ErrorClass::Other, "no byte of a layer came; containerd does not say why")
        }
        Remains { .. } => Outcome::Canceled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn downloading() -> Remains {
        Remains { planned: true, had_to_fetch: true, any_byte: true, ..Remains::default() }
    }

    fn class(remains: Remains) -> Option<ErrorClass> {
        match judge(remains) {
            Outcome::Failed(failure) => Some(failure.class),
            Outcome::Ready | Outcome::Canceled | Outcome::Lost => None,
        }
    }

    #[test]
    fn only_proof_makes_a_pull_ready() {
        assert_eq!(judge(Remains { proven: true, ..downloading() }), Outcome::Ready);
        for silence in [0, 10, 100] {
            for flags in 0..128_u8 {
                let bit = |n: u8| flags & (1 << n) != 0;
                let remains = Remains {
                    proven: false,
                    hollow: bit(6),
                    runtime_restarted: bit(0),
                    planned: bit(1),
                    had_to_fetch: bit(2),
                    all_complete: bit(3),
                    full_but_uncommitted: bit(4),
                    any_byte: bit(5),
                    held_up: false,
                    silence: Duration::from_secs(silence),
                };
                assert_ne!(judge(remains), Outcome::Ready, "{remains:?}");
            }
        }
    }

    #[test]
    fn a_pull_that_ends_while_bytes_move_was_canceled() {
        assert_eq!(judge(downloading()), Outcome::Canceled);
    }

    #[test]
    fn the_remains_tell_failures_apart() {
        assert_eq!(class(Remains { full_but_uncommitted: true, ..downloading() }), Some(ErrorClass::DigestMismatch));
        assert_eq!(class(Remains { all_complete: true, ..downloading() }), Some(ErrorClass::Unpack));
        assert_eq!(class(Remains { silence: Duration::from_secs(300), ..downloading() }), Some(ErrorClass::Timeout));
        assert_eq!(class(Remains { any_byte: false, ..downloading() }), Some(ErrorClass::Other));
        assert_eq!(class(Remains::default()), Some(ErrorClass::Other));
        assert_eq!(class(Remains { runtime_restarted: true, ..downloading() }), Some(ErrorClass::RuntimeUnavailable));
        assert_eq!(class(Remains { hollow: true, ..Remains::default() }), Some(ErrorClass::PlatformMismatch));
    }

    #[test]
    fn waiting_for_another_pull_is_no_failure() {
        assert_eq!(judge(Remains { held_up: true, any_byte: false, ..downloading() }), Outcome::Canceled);
    }
}
