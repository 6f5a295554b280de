//! How good the estimated times to ready are for real pulls: a registry behind links of several speeds, images of several mixes.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use e2e::clock;
use e2e::follow::digests;
use e2e::image::{LayerPlan, MIB};
use e2e::site::{Site, reference};
use e2e::tools::{Tools, Version};
use serde_json::json;

use crate::say;

/// Bytes per second of each connection, one after the other.
const RATES: [u64; 5] = [1_500_000, 4_000_000, 800_000, 2_500_000, 6_000_000];

/// Mebibytes of the layers.
const MIXES: [&[usize]; 4] = [&[8, 8, 8, 8, 8, 8], &[1, 2, 20, 1, 3], &[4, 1, 12, 6, 2, 2, 9], &[16]];

/// How often the collector is asked.
const LOOK: Duration = Duration::from_millis(500);

/// An estimate: when it was told and its numbers, seconds.
struct Word {
    at: f64,
    likely: f64,
    low: f64,
    high: f64,
}

/// Pulls each mix at each rate, one pull after the other on one node.
pub(crate) fn run(tools: &Tools, version: Version, results: &Path) -> ExitCode {
    let site = Site::with(tools.clone(), version, &[]);
    say("pull   layers    MiB   MB/s each  seconds  words   error  within");
    let (mut errors, mut within, mut lines) = (Vec::new(), 0, Vec::new());
    let mixes = MIXES.iter().flat_map(|mix| RATES.iter().map(move |rate| (*mix, *rate)));
    for (number, (mix, rate)) in (1_u64..).zip(mixes) {
        site.link.set_rate(Some(rate));
        let (words, took) = pull(&site, number, mix);
        let counted: Vec<&Word> = words.iter().filter(|w| (0.1..0.9).contains(&(w.at / took))).collect();
        let off: Vec<f64> = counted.iter().map(|w| (w.likely - (took - w.at)).abs() / (took - w.at)).collect();
        let held = counted.iter().filter(|w| (w.low..=w.high).contains(&(took - w.at))).count();
        let (error, mebibytes) = (median(&off), mix.iter().sum::<usize>());
        let speed = Duration::from_micros(rate).as_secs_f64();
        say(format!("{number:>4}{:>9}{mebibytes:>7}{speed:>12.1}{took:>9.1}{:>7}{error:>8.3}{held:>8}", mix.len(), off.len()));
        lines.push(json!({"mebibytes": mix, "bytesPerSecond": rate, "seconds": took, "words": off.len(), "error": error, "within": held}));
        errors.extend(off);
        within += held;
    }
    let percent = ratio(within, errors.len()) * 100.0;
    say(format!("\nmedian error {:.3}, {percent:.1} % of {} words within the bounds", median(&errors), errors.len()));
    let report = json!({"bench": "eta", "pulls": lines, "medianError": median(&errors), "withinPercent": percent});
    fs::create_dir_all(results).expect("the results folder can be made");
    fs::write(results.join("eta-real.json"), format!("{report:#}\n")).expect("the results folder is writable");
    if errors.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Pulls an image that no other pull shares a layer with. What was told meanwhile, and how many seconds it took.
fn pull(site: &Site, number: u64, mebibytes: &[usize]) -> (Vec<Word>, f64) {
    let plan = |(i, m): (u64, &usize)| LayerPlan { bytes: m * MIB, seed: 1_000 * number + i, files: 20 };
    let plans: Vec<_> = (0..).zip(mebibytes).map(plan).collect();
    let image = site.push(&format!("bench/eta-{number}:v1"), &plans);
    let (begin, pull) = (Instant::now(), site.containerd.pull(&reference(&image)));
    let mut words = Vec::new();
    while !pull.ended() {
        let wanted: Vec<_> = image.layers.iter().map(|l| l.digest.clone()).collect();
        let ours = site.collector.pulls().into_iter().find(|p| digests(p) == wanted);
        let told = |key: &str| ours.as_ref().and_then(|p| p[key].as_f64());
        if let (Some(likely), Some(low), Some(high)) = (told("etaSeconds"), told("etaLowSeconds"), told("etaHighSeconds")) {
            words.push(Word { at: begin.elapsed().as_secs_f64(), likely, low, high });
        }
        clock::pause(LOOK);
    }
    let took = begin.elapsed().as_secs_f64();
    pull.wait().expect("the image is pulled");
    (words, took)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ratio(part: usize, whole: usize) -> f64 {
    f64::from(u32::try_from(part).unwrap_or(u32::MAX)) / f64::from(u32::try_from(whole.max(1)).unwrap_or(u32::MAX))
}
