//! The pulse of all streams: everyone is told from the same of the keeper's snapshots. That is what makes their frames equal, so that each is
//! written once. How often progress is told is the keeper's business.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::places::Places;
use crate::{keeper::View, snapshot::Snapshot};

/// Two beats are so far apart at least, while readers are few.
const GAP: Duration = Duration::from_millis(20);
/// For each reader beats are so much further apart, up to [`MAX_GAP`]: all of them together get at most 5,000 frames a second.
const GAP_PER_READER: Duration = Duration::from_micros(200);
/// Two beats need not be further apart, however many read.
const MAX_GAP: Duration = Duration::from_millis(250);

/// What everyone is told from, until the next.
#[derive(Clone, Debug)]
pub(super) struct Beat {
    /// The snapshot of the last beat.
    pub(super) before: Arc<Snapshot>,
    /// The snapshot of this one.
    pub(super) now: Arc<Snapshot>,
}

/// Starts the pulse; it ends with the keeper.
pub(super) fn start(mut view: View, places: Places) -> watch::Receiver<Beat> {
    let now = view.now();
    let (beats, receiver) = watch::channel(Beat { before: now.clone(), now });
    tokio::spawn(async move {
        let mut at = Instant::now();
        loop {
            let before = beats.borrow().now.clone();
            if view.after(before.revision).await.is_none() {
                return;
            }
            if places.taken() == 0 {
                // Nobody is told of anything, so nothing old is held.
                let now = view.now();
                beats.send_replace(Beat { before: now.clone(), now });
                continue;
            }
            sleep_until(at + gap(places.taken())).await;
            beats.send_replace(Beat { before, now: view.now() });
            at = Instant::now();
        }
    });
    receiver
}

/// The least time between two beats.
fn gap(readers: usize) -> Duration {
    let readers = u32::try_from(readers).unwrap_or(u32::MAX);
    GAP_PER_READER.saturating_mul(readers).clamp(GAP, MAX_GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_readers_the_fewer_beats() {
        assert_eq!((gap(0), gap(100), gap(500), gap(100_000)), (GAP, GAP, Duration::from_millis(100), MAX_GAP));
    }
}
