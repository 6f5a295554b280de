//! What holds for every pull and every terminal: nothing is wider or higher than the terminal, nothing drives it, and no bar falls while bytes
//! come.

use lifecycle::pull::{ErrorClass, Layer, LayerState, Outcome, Phase, Wait};
use proptest::prelude::*;

use super::super::{
    frame::{Extent, frame},
    last,
    line::{Ink, Line},
    look::{Colours, Letters, Look},
};
use super::sample::{at, ended, failed, layer, picture};
use crate::pull::picture::{Picture, Unpacked};

fn looks() -> impl Strategy<Value = Look> {
    let letters = prop_oneof![Just(Letters::Unicode), Just(Letters::Ascii)];
    let colours = prop_oneof![Just(Colours::None), Just(Colours::Sixteen), Just(Colours::Many)];
    (letters, colours).prop_map(|(letters, colours)| Look { letters, colours })
}

fn layers() -> impl Strategy<Value = Vec<(Layer, Unpacked)>> {
    let state = (0..LayerState::ALL.len()).prop_map(|at| LayerState::ALL[at]);
    let size = prop_oneof![Just(0u64), 0u64..2_000, 0u64..5_000_000_000, any::<u64>()];
    let one = (size, state, 0u64..=100, 0u64..200_000).prop_map(|(size, state, percent, start)| {
        let part = size / 100 * percent;
        let mut layer = layer(size, if state == LayerState::Cached { 0 } else { part }, state);
        layer.download.start = Some(at(0).before(std::time::Duration::from_secs(start)));
        (layer, Unpacked::Bytes(part / 2))
    });
    prop::collection::vec(one, 0..30)
}

fn pictures() -> impl Strategy<Value = Vec<Picture>> {
    let end = 0u8..6;
    let one = ("\\PC{0,60}|[a-z/:]{1,200}|[\\x00-\\x1f映像\u{202e}]{0,40}", layers(), any::<bool>(), any::<u64>(), end);
    let one = one.prop_map(|(name, layers, total_known, rate, end)| {
        let mut picture = picture(&name, Phase::Downloading, layers);
        (picture.pull.total_known, picture.pull.bytes_per_sec) = (total_known, Some(rate));
        match end {
            0 => ended(picture, Outcome::Ready, 9),
            1 => ended(picture, Outcome::Canceled, 9),
            2 => Picture { pull: failed(ErrorClass::Other, &name).pull, ..picture },
            3 => {
                picture.pull.wait = Some(Wait::Stalled { since: at(2) });
                picture
            }
            _ => picture,
        }
    });
    prop::collection::vec(one, 0..6)
}

fn drives(line: &Line) -> bool {
    line.text().chars().any(|c| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'))
}

/// How far the bar of a head reaches, in cells.
fn reach(line: &Line) -> usize {
    let cells = line.pieces().filter(|(ink, _)| matches!(ink, Ink::Fetched | Ink::Unpacked | Ink::Seam));
    cells.map(|(_, text)| text.chars().count()).sum()
}

proptest! {
    #[test]
    fn no_frame_is_larger_than_its_terminal_or_drives_it(
        pictures in pictures(), columns in 0usize..250, rows in 0usize..60, look in looks()
    ) {
        let node = "node-7".parse().unwrap();
        let shown = frame(&pictures, Extent { columns, rows }, look, &node);
        prop_assert!(shown.len() < rows.max(1), "{} lines on {rows} rows", shown.len());
        let last = last::lines(&pictures, columns, look, &node);
        for line in shown.iter().chain(&last) {
            prop_assert!(line.width() <= columns, "{} cells of {columns}: {:?}", line.width(), line.text());
            prop_assert!(!drives(line), "{:?}", line.text());
        }
    }

    #[test]
    fn no_total_bar_falls_while_bytes_come(
        sizes in prop::collection::vec(1u64..1_000_000_000, 1..12), steps in prop::collection::vec((any::<prop::sample::Index>(), 1u64..=100), 1..30),
        look in looks(), columns in 40usize..120
    ) {
        let layers = sizes.iter().map(|size| (layer(*size, 0, LayerState::Downloading), Unpacked::Unsaid)).collect();
        let mut picture = picture("app", Phase::Downloading, layers);
        let mut last = 0;
        for (which, percent) in steps {
            let layer = which.get_mut(&mut picture.pull.layers);
            layer.fetched = layer.fetched.saturating_add(layer.size / 100 * percent).min(layer.size - 1);
            let lines = frame(std::slice::from_ref(&picture), Extent { columns, rows: 24 }, look, &"node-7".parse().unwrap());
            prop_assert!(reach(&lines[1]) >= last, "{:?}", lines[1].text());
            last = reach(&lines[1]);
        }
        prop_assert!(!picture.pull.percent().is_some_and(|percent| percent >= 100.0));
    }
}
