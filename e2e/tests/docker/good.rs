//! Pulls that come to a good end. What is told is held against the manifest and against what the link sent.

use e2e::image;
use e2e::process::Process;

use crate::stage::{END, Stage};

/// Nothing is there: all of it comes, and then all of it is there.
pub(crate) fn fresh_then_cached(stage: &Stage) {
    let (image, full) = stage.image("team/fresh:v1", &[4, 2, 1]);
    let before = stage.answers();
    let told = stage.pull(&[&full]).ended(0);
    told.is_true(&full, image.size(), 0);
    assert_eq!(stage.sent(before, &image), image.size(), "the link knows");
    assert!(stage.docker.has(&full));
    let moving = told.of(&full).iter().filter(|p| (0.1..99.9).contains(&p["percent"].as_f64().unwrap_or(0.0))).count();
    assert!(moving >= 2, "a second of bytes is more than two looks: {}", told.out);

    let before = stage.answers();
    stage.pull(&[&full]).ended(0).is_true(&full, 0, image.size());
    assert_eq!(stage.sent(before, &image), 0, "the link knows");
}

/// The base is there, the rest comes.
pub(crate) fn partly_cached(stage: &Stage) {
    let base = stage.fresh(&[3, 1]);
    let first = stage.push("team/base:v1", &base);
    stage.pull(&[&stage.full(&first.name)]).ended(0);
    let second = stage.push("team/upper:v1", &[base, stage.fresh(&[2, 1])].concat());
    let (full, before) = (stage.full(&second.name), stage.answers());
    stage.pull(&[&full]).ended(0).is_true(&full, second.size() - first.size(), first.size());
    assert_eq!(stage.sent(before, &second), second.size() - first.size(), "the link knows");
}

/// A name that holds a digest, of the index and of the manifest.
pub(crate) fn by_digest(stage: &Stage) {
    let (image, _) = stage.image("team/digest:v1", &[2]);
    let full = stage.full(&format!("team/digest@{}", image.digest));
    let told = stage.pull(&[&full]).ended(0);
    told.is_true(&full, image.size(), 0);
    let last = told.of(&full).pop().expect("there is one");
    assert_eq!(last["imageDigest"], image.digest.as_str(), "{last:#}");
    assert!(stage.docker.docker(&["image", "ls", "--digests"]).contains(&image.digest));
}

/// Two at once, which share a layer: it comes once, and no total is wrong.
pub(crate) fn two_at_once(stage: &Stage) {
    let shared = stage.fresh(&[3]);
    let both = ["team/one:v1", "team/two:v1"].map(|name| stage.push(name, &[shared.clone(), stage.fresh(&[1, 1])].concat()));
    let names = both.clone().map(|image| stage.full(&image.name));
    let before = stage.answers();
    let told = stage.pull(&["-j", "2", &names[0], &names[1]]).ended(0);
    let (mut fetched, mut running) = (0, 0);
    for (image, full) in both.iter().zip(&names) {
        let pulls = told.of(full);
        let last = pulls.last().expect("there is one");
        assert_eq!(last["outcome"], "ready", "{last:#}");
        assert_eq!(last["sizeBytes"], image.size(), "{last:#}");
        fetched += last["totalBytes"].as_u64().unwrap_or_default();
        running += usize::from(pulls.iter().any(|p| p["outcome"].is_null()));
        assert!(stage.docker.has(full));
    }
    assert_eq!(running, 2, "both were told while they ran: {}", told.out);
    let (all, once) = (both.iter().map(image::Image::size).sum::<u64>(), both[0].layers[0].size);
    assert!(fetched == all || fetched == all - once, "{fetched} of {all}, of which {once} are shared: {}", told.out);
    let sent = stage.sent(before, &both[0]) + stage.sent(before, &both[1]);
    assert!(sent >= all - once, "{sent} of {all}");
}

/// One name for two kinds of machines: the sizes are those of the machine that was asked for.
pub(crate) fn another_platform(stage: &Stage) {
    let (here, there) = (stage.fresh(&[2, 1]), stage.fresh(&[1, 1, 1]));
    let foreign = if image::architecture() == "arm64" { "amd64" } else { "arm64" };
    let machines = [(image::architecture(), &here[..]), (foreign, &there[..])];
    let [own, other] = &image::push_index(&stage.registry, "team/machines:v1", &machines)[..] else { panic!("two machines") };
    let full = stage.full(&own.name);
    for (args, image) in [(&["--platform", &format!("linux/{foreign}"), &full][..], other), (&[&full], own)] {
        let before = stage.answers();
        let told = stage.pull(args).ended(0);
        told.is_true(&full, image.size(), 0);
        assert_eq!(told.of(&full).last().map(|p| p["layerCount"].clone()), Some(image.layers.len().into()));
        assert_eq!(stage.sent(before, image), image.size(), "the link knows");
    }
}

/// The other forms of output: a line for what matters, and the name alone.
pub(crate) fn plain_and_quiet(stage: &Stage) {
    let log = stage.log();
    let run = |progress: &str, full: &str| -> Process {
        let mut process = stage.docker.pulltrace(&["pull", "--progress", progress, "--log-file", &log, full], &[]);
        assert_eq!(process.exit_code(END), Some(0), "{}{}", process.stdout(), process.stderr());
        process
    };
    let (image, full) = stage.image("team/plain:v1", &[3, 1]);
    let plain = run("plain", &full);
    let both = plain.stdout() + &plain.stderr();
    assert!(!both.contains(['\u{1b}', '\r']), "no terminal, no control: {both:?}");
    let short = image.layers[0].digest.trim_start_matches("sha256:")[..12].to_owned();
    assert!(both.contains(&short) && both.contains(&image.digest), "layers and digest are told: {both}");
    let (_, full) = stage.image("team/quiet:v1", &[1]);
    let quiet = run("quiet", &full);
    assert_eq!((quiet.stdout().trim_end(), quiet.stderr().as_str()), (full.as_str(), ""));
}
