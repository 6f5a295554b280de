//! What is told of a pull to others than the one who typed it: the log that another process follows, a collector, a webhook.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use e2e::clock;
use e2e::follow::{Follow, ended, number};
use e2e::hook::Hook;
use e2e::pulltrace::Collector;
use serde_json::Value;

use crate::stage::{END, Stage, Told};

/// How long what happened may take to be told elsewhere.
const TOLD: Duration = Duration::from_secs(15);

/// `pulltrace logs -f` shows a pull of another process while it runs, and its end.
pub(crate) fn followed(stage: &Stage) {
    let (image, full) = stage.image("team/followed:v1", &[4, 1]);
    let log = stage.docker.home().join("followed.log").display().to_string();
    let begin = |full: &str| stage.docker.pulltrace(&["pull", "--progress", "quiet", "--log-file", &log, full], &[]);
    let mut first = begin(&stage.image("team/before:v1", &[1]).1);
    assert_eq!(first.exit_code(END), Some(0), "{}", first.stderr());
    let follow = stage.docker.pulltrace(&["logs", "-n", "1", "-f", "-o", "json", "--log-file", &log], &[]);
    let mut pull = begin(&full);
    let told = || -> Vec<Value> {
        follow.stdout().lines().map(|line| serde_json::from_str(line).expect("whole lines of JSON")).collect()
    };
    let of = |event: &Value, kind: &str| event["type"] == kind && event["pull"]["imageRef"] == full.as_str();
    clock::until("its start in the log", TOLD, || told().iter().any(|e| of(e, "pull.started")).then_some(()));
    assert!(pull.runs(), "followed while it runs");
    assert_eq!(pull.exit_code(END), Some(0), "{}", pull.stderr());
    clock::until("its end in the log", TOLD, || told().iter().any(|e| of(e, "pull.completed")).then_some(()));
    let last = told().pop().expect("there is one");
    assert_eq!(number(&last["pull"], "downloadedBytes"), image.size(), "{last:#}");
    assert_eq!(told()[0]["type"], "pull.completed", "one line of what was, the last one");
    let mode = fs::metadata(&log).expect("there is a log").permissions().mode();
    assert_eq!(mode & 0o444, 0o444, "ordinary users may read it: {mode:o}");
    let mut people = stage.docker.pulltrace(&["logs", "-n", "1", "--log-file", &log], &[]);
    assert_eq!(people.exit_code(END), Some(0), "{}", people.stderr());
    assert!(people.stdout().lines().count() == 1 && people.stdout().contains(&full), "{}", people.stdout());
}

/// With `--otlp` a collector shows the pull while it runs, and how it ended.
pub(crate) fn reported(stage: &Stage) {
    let collector = Collector::start(&[]);
    let mut follow = Follow::default();
    let (image, full) = stage.image("team/reported:v1", &[4, 1]);
    // Long enough for somebody who is told once a second.
    stage.link.set_rate(Some(1_000_000));
    let pull = stage.begin(&["--otlp", &collector.endpoint(), &full], &[]);
    let ours = |pull: &Value| pull["imageRef"] == full.as_str();
    follow.until(&collector, "bytes of the pull", TOLD, |pulls| {
        pulls.iter().any(|p| ours(p) && p["outcome"].is_null() && number(p, "downloadedBytes") > 0)
    });
    let told = Told::by(pull).ended(0);
    let pulls = follow.until(&collector, "its end", TOLD, |pulls| pulls.iter().any(|p| ours(p) && ended(p, "ready")));
    let here = told.of(&full).pop().expect("there is one");
    let there = pulls.iter().find(|p| ours(p)).expect("there is one");
    for key in ["id", "totalBytes", "downloadedBytes", "cachedBytes", "layerCount", "imageDigest", "nodeName"] {
        assert_eq!(there[key], here[key], "{key} is told alike");
    }
    assert_eq!((number(there, "downloadedBytes"), pulls.len()), (image.size(), 1), "{pulls:#?}");

    let absent = stage.full("team/unreported:v1");
    stage.pull(&["--otlp", &collector.endpoint(), &absent]).ended(3);
    follow.until(&collector, "the failure", TOLD, |pulls| {
        pulls.iter().any(|p| p["imageRef"] == absent.as_str() && ended(p, "failed") && p["errorClass"] == "not_found")
    });
    // Nobody receives: the pull itself is none the worse for it.
    let (image, full) = stage.image("team/unheard:v1", &[1]);
    stage.pull(&["--otlp", "http://127.0.0.1:1", &full]).ended(0).is_true(&full, image.size(), 0);
}

/// With `--notify` a webhook gets the outcome of each pull, once, and its address stays a secret.
pub(crate) fn notified(stage: &Stage) {
    let hook = Hook::start();
    let url = hook.url("/services/hush");
    let (image, full) = stage.image("team/notified:v1", &[1]);
    let absent = stage.full("team/unnotified:v1");
    let told = stage.pull(&["--notify", &url, &full, &absent]).ended(3);
    let posted = clock::until("both outcomes", TOLD, || Some(hook.posted()).filter(|posted| posted.len() >= 2));
    assert_eq!(posted.len(), 2, "{posted:#?}");
    let of = |full: &str| posted.iter().find(|e| e["pull"]["imageRef"] == full).expect("each has an outcome");
    assert!(
        of(&full)["type"] == "pull.completed" && number(&of(&full)["pull"], "downloadedBytes") == image.size(),
        "{posted:#?}"
    );
    assert!(of(&absent)["type"] == "pull.failed" && of(&absent)["pull"]["errorClass"] == "not_found", "{posted:#?}");
    let (_, full) = stage.image("team/unposted:v1", &[1]);
    let unheard = stage.pull(&["--notify", "http://127.0.0.1:1/services/hush", &full]).ended(0);
    assert!(unheard.err.contains("127.0.0.1:1"), "who was not told is said: {}", unheard.err);
    assert!(![told.out, told.err, unheard.out, unheard.err].concat().contains("hush"), "a secret was told");
}
