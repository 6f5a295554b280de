//! Pulls that break off on the way: by the link, by the disk, by time, by the one who asked for them.

use std::time::Duration;

use e2e::clock;
use e2e::follow::number;
use e2e::link::Fault;
use serde_json::Value;

use crate::stage::{END, Stage, Told};

/// A reset in the middle of a layer. The classic store asks once more, which is told.
pub(crate) fn reset(stage: &Stage) {
    let (_, full) = stage.image("team/reset:v1", &[2, 1]);
    stage.link.set_fault(Fault::Reset);
    stage.pull(&[&full]).ended(6).failed(&full, "failed", &["connection"]);
    stage.link.set_fault(Fault::None);
    stage.pull(&[&full]).ended(0);
}

/// A wrong byte.
pub(crate) fn corrupt(stage: &Stage) {
    let (_, full) = stage.image("team/corrupt:v1", &[2, 1]);
    stage.link.set_fault(Fault::Corrupt);
    stage.pull(&[&full]).ended(1).failed(&full, "failed", &["digest_mismatch"]);
}

/// Half a layer, then silence: the time that was given runs out.
pub(crate) fn stalled(stage: &Stage) {
    let (_, full) = stage.image("team/stalled:v1", &[2, 1]);
    stage.link.set_fault(Fault::Stall);
    let told = stage.pull(&["--timeout", "4s", &full]).ended(124);
    told.failed(&full, "canceled", &[]);
    stage.link.set_fault(Fault::None);
    stage.until_nothing_is_fetched();
}

/// Ctrl-C while bytes come: the engine stops, the link sends nothing more.
pub(crate) fn interrupted(stage: &Stage) {
    let (image, full) = stage.image("team/interrupted:v1", &[4, 2]);
    stage.link.set_rate(Some(400_000));
    let before = stage.link.sent();
    let mut process = stage.begin(&[&full], &[]);
    clock::until("bytes that are told", END, || {
        let out = process.stdout();
        let told = |line: &str| serde_json::from_str(line).is_ok_and(|e: Value| number(&e["pull"], "downloadedBytes") > 0);
        out.lines().any(told).then_some(())
    });
    process.interrupt();
    let begin = std::time::Instant::now();
    let code = process.exit_code(END);
    assert!(begin.elapsed() < Duration::from_secs(5), "Ctrl-C took {:?}", begin.elapsed());
    assert_eq!(code, Some(130), "{}{}", process.stdout(), process.stderr());
    stage.until_nothing_is_fetched();
    assert!(stage.link.sent() - before < image.size() && !stage.docker.has(&full));
    Told::by(process).failed(&full, "canceled", &[]);
}

/// An image that is larger than the disk.
pub(crate) fn no_room(stage: &Stage) {
    stage.link.set_rate(None);
    let (_, full) = stage.image("team/large:v1", &[24]);
    stage.pull(&[&full]).ended(7).failed(&full, "failed", &["no_space"]);
    assert!(!stage.docker.has(&full));
}

/// Of two images one comes and one does not exist: the code is that of the failure, and the other came whole.
pub(crate) fn one_of_two(stage: &Stage) {
    let (image, full) = stage.image("team/there:v1", &[1]);
    let absent = stage.full("team/absent:v1");
    let told = stage.pull(&["-j", "2", &absent, &full]).ended(3);
    told.is_true(&full, image.size(), 0);
    told.failed(&absent, "failed", &["not_found"]);
}
