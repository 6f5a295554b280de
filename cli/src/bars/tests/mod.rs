//! Whole frames, as they are seen: `golden/*.txt` hold what a terminal shows. `UPDATE_GOLDEN=1` writes them anew; look at them then.

mod sample;
mod shell;
mod wide;

use std::{fs, path::Path};

use lifecycle::pull::{ErrorClass, Outcome, Phase};

use self::sample::{cached, ended, failed, picture, podman, ready, running, stalled, unpacking, unsure};
use super::{
    frame::{Extent, frame},
    last,
    line::Line,
    look::{Colours, Letters, Look},
};
use crate::pull::picture::Picture;

const COLOURS: Look = Look { letters: Letters::Unicode, colours: Colours::Many };
const NO_COLOUR: Look = Look { letters: Letters::Unicode, colours: Colours::None };
const ASCII: Look = Look { letters: Letters::Ascii, colours: Colours::None };

const RESET: &str = "failed to copy: httpReadSeeker: failed open: failed to do request: Get \
    \"https://registry.example.com/v2/team/app/blobs/sha256:6a1b\": read tcp 192.0.2.7:50312->192.0.2.9:443: read: connection reset by peer";

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.text() + "\n").collect()
}

fn shown(pictures: &[Picture], columns: usize, rows: usize, look: Look) -> String {
    text(&frame(pictures, Extent { columns, rows }, look, &"node-7".parse().unwrap()))
}

fn at_the_end(pictures: &[Picture], columns: usize, look: Look) -> String {
    text(&last::lines(pictures, columns, look, &"node-7".parse().unwrap()))
}

fn is_golden(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bars/tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, seen).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == seen, "{name} differs; look at it and run again with UPDATE_GOLDEN=1:\n{seen}");
}

#[test]
fn a_fresh_pull_shows_the_whole_and_every_layer() {
    let mut fresh = running();
    fresh.pull.layers.drain(..2);
    fresh.unpacked.drain(..2);
    is_golden("fresh.txt", &shown(&[fresh], 80, 24, COLOURS));
}

#[test]
fn cached_layers_are_one_line_that_says_what_they_saved() {
    is_golden("partly-cached.txt", &shown(&[running()], 80, 24, COLOURS));
}

#[test]
fn without_colours_and_without_unicode_bars_say_the_same() {
    is_golden("no-colour.txt", &shown(&[running()], 80, 24, NO_COLOUR));
    is_golden("ascii.txt", &shown(&[running()], 80, 24, ASCII));
}

#[test]
fn a_pull_that_asks_or_unpacks_says_so_in_words() {
    let mut asking = picture("nginx", Phase::Resolving, Vec::new());
    asking.pull.resolved_at = None;
    let queued = picture("redis", Phase::Queued, Vec::new());
    is_golden("words.txt", &shown(&[asking, queued, unpacking()], 80, 24, COLOURS));
}

#[test]
fn a_stalled_pull_says_it_and_shows_no_speed() {
    is_golden("stalled.txt", &shown(&[stalled()], 80, 24, COLOURS));
}

#[test]
fn a_total_that_is_a_lower_bound_is_marked_and_has_no_percentage() {
    is_golden("lower-bound.txt", &shown(&[unsure()], 80, 24, COLOURS));
}

#[test]
fn podman_is_shown_in_layers() {
    is_golden("podman.txt", &shown(&[podman()], 80, 24, COLOURS));
}

#[test]
fn several_images_share_the_terminal() {
    let two = [ready(), running(), failed(ErrorClass::Connection, RESET), stalled()];
    is_golden("several.txt", &shown(&two, 100, 40, COLOURS));
    is_golden("several-80x24.txt", &shown(&two, 80, 24, COLOURS));
}

#[test]
fn a_short_terminal_shows_what_moves_and_counts_the_rest() {
    is_golden("short.txt", &shown(&[running()], 80, 6, COLOURS));
    is_golden("shortest.txt", &shown(&[running(), stalled(), ready()], 80, 4, COLOURS));
}

#[test]
fn a_narrow_terminal_has_shorter_bars_and_then_fewer_columns() {
    let frames = [60, 50, 40].map(|columns| shown(&[stalled()], columns, 24, COLOURS));
    is_golden("narrow.txt", &frames.join("\n"));
}

#[test]
fn what_stays_of_a_pull_that_went_well_is_what_it_took() {
    is_golden("last-ready.txt", &at_the_end(&[ready(), cached()], 80, COLOURS));
    is_golden("last-ready-40.txt", &at_the_end(&[ready()], 40, ASCII));
}

#[test]
fn what_stays_of_a_failure_is_its_class_every_word_and_a_hint_and_never_100_percent() {
    let mut whole = failed(ErrorClass::DigestMismatch, "unexpected commit digest");
    whole.pull.layers.iter_mut().for_each(|layer| layer.fetched = layer.size);
    let seen = at_the_end(&[whole], 80, COLOURS);
    assert!(seen.contains(" 99 %") && !seen.contains("100 %"), "{seen}");
    is_golden("last-failed.txt", &at_the_end(&[failed(ErrorClass::Connection, RESET)], 80, COLOURS));
    is_golden("last-canceled.txt", &at_the_end(&[ended(running(), Outcome::Canceled, 12)], 80, COLOURS));
}
