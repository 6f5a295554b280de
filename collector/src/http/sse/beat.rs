//! The pulse of all streams: from the keeper's many snapshots it takes one every [`BEAT`], and everyone is told from the same. That is what
//! makes their frames equal, so that each is written once.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::places::Places;
use crate::{keeper::View, snapshot::Snapshot};

/// Progress is told once in this time.
pub(super) const BEAT: Duration = Duration::from_millis(250);
/// What starts, ends or leaves is told after this time at the latest, while readers are few.
const URGENT: Duration = Duration::from_millis(20);
/// For each reader urgent beats are so much further apart, up to [`BEAT`]: all of them together get at most 5,000 frames a second.
const URGENT_PER_READER: Duration = Duration::from_micros(200);

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
            let mut urgent = view.clone();
            tokio::select! {
                () = sleep_until(at + BEAT) => {}
                () = urgent.urgent(before.revision) => sleep_until(at + gap(places.taken())).await,
            }
            beats.send_replace(Beat { before, now: view.now() });
            at = Instant::now();
        }
    });
    receiver
}

/// The least time between two beats.
fn gap(readers: usize) -> Duration {
    let readers = u32::try_from(readers).unwrap_or(u32::MAX);
    URGENT_PER_READER.saturating_mul(readers).clamp(URGENT, BEAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_readers_the_fewer_urgent_beats() {
        assert_eq!((gap(0), gap(100), gap(500), gap(100_000)), (URGENT, URGENT, Duration::from_millis(100), BEAT));
    }
}
