//! What a registry refuses.

use std::time::Duration;

use e2e::clock;
use e2e::follow::number;
use e2e::image;
use e2e::link::Fault;
use e2e::site::reference;

use crate::stage::{Stage, failed_as, is};

/// How often the shortest failure that leaves something is repeated.
const TIMES: u64 = 12;

/// Nothing comes: a registry that refuses at once leaves nothing to see, or an empty lease. Nothing false is told of it.
fn refused(stage: &mut Stage, fault: Fault) {
    let image = stage.push("team/refused:1", &image::layers(52, &[2]));
    assert!(!stage.with(fault, |stage| stage.pull(&image)), "the link refuses");
    if let Some(told) = stage.told_or_nothing() {
        failed_as(&told, &["other"]);
    }
}

/// 404 Not Found.
pub(crate) fn not_found(stage: &mut Stage) {
    refused(stage, Fault::NotFound);
}

/// 401 Unauthorized.
pub(crate) fn unauthorized(stage: &mut Stage) {
    refused(stage, Fault::Unauthorized);
}

/// 503 Service Unavailable.
pub(crate) fn unavailable(stage: &mut Stage) {
    refused(stage, Fault::Unavailable);
}

/// Manifest and configuration come, no layer does: the whole pull takes a tenth of a second. It is told each time, by its name.
pub(crate) fn too_many_requests(stage: &mut Stage) {
    let other = stage.push("team/before:1", &image::layers(50, &[2, 20]));
    let tool = stage.push("team/tool:2", &image::layers(51, &[4, 6]));
    for time in 0..TIMES {
        // Right after a pull of another image, or of the same, that was canceled.
        let canceled = if time % 2 == 0 { &tool } else { &other };
        if time % 3 == 0 {
            let pull = stage.site.containerd.pull(&reference(canceled));
            stage.until("bytes", Duration::from_secs(15), |p| number(p, "downloadedBytes") > 0);
            pull.cancel();
            let told = stage.told();
            is(&told, "canceled", canceled);
        }
        let pulled = stage.with(Fault::TooManyRequests, |stage| stage.pull(&tool));
        assert!(!pulled, "the link refuses");
        let told = stage.told();
        is(&told, "failed", &tool);
        clock::pause(Duration::from_millis(time * 70));
    }
}
