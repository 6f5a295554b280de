//! What happened to a pull, added up: how long each phase took, and each wait.

use lifecycle::{explain, time::Timestamp};

use super::super::detail::Whole;

/// The words of the moments in which a phase begins, and what the phase is called.
const PHASES: [(&str, &str); 4] =
    [("queued", "queued"), ("resolving", "resolve"), ("downloading", "download"), ("unpacking", "unpack")];
/// The moments in which the last phase ends.
const ENDS: [&str; 4] = ["ready", "failed", "canceled", "lost"];

/// `resolve 0.3 s, download 12 s, unpack 4 s`; the last one until `now` if the pull runs.
pub(super) fn phases(whole: &Whole, now: Timestamp) -> Option<String> {
    let mut said = Vec::new();
    let mut current: Option<(&str, Timestamp)> = None;
    for moment in &whole.timeline {
        let begins = PHASES.into_iter().find(|(word, _)| *word == moment.what);
        if begins.is_none() && !ENDS.contains(&moment.what.as_str()) {
            continue;
        }
        said.extend(current.map(|(name, since)| format!("{name} {}", explain::time(moment.at.since(since)))));
        current = begins.map(|(_, name)| (name, moment.at));
    }
    said.extend(current.map(|(name, since)| format!("{name} {} so far", explain::time(now.since(since)))));
    (!said.is_empty()).then(|| said.join(", "))
}

/// `download slot 3 s, stalled for 12 s now`, in the order in which they began.
pub(super) fn waits(whole: &Whole, now: Timestamp) -> Option<String> {
    let of = |what: &'static str| whole.timeline.iter().filter(move |moment| moment.what == what);
    let mut over: Vec<_> = of("wait_completed").collect();
    let mut said = Vec::new();
    for began in of("wait_started") {
        let word = began.wait.as_deref().unwrap_or("something").replace('_', " ");
        let end = over.iter().position(|end| end.wait == began.wait && end.at >= began.at).map(|at| over.remove(at));
        said.push(match end {
            Some(end) => format!("{word} {}", explain::time(end.at.since(began.at))),
            None => format!("{word} for {} now", explain::time(now.since(began.at))),
        });
    }
    (!said.is_empty()).then(|| said.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(timeline: &str) -> Whole {
        let json = format!(
            r#"{{"id":"{:032x}","nodeName":"n","phase":"queued","summary":"s","startedAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z","timeline":[{timeline}]}}"#,
            1
        );
        serde_json::from_str(&json).unwrap()
    }

    fn moment(second: u32, what: &str, wait: &str) -> String {
        let wait = if wait.is_empty() { String::new() } else { format!(r#","wait":"{wait}""#) };
        format!(r#"{{"at":"2026-01-01T00:00:{second:02}Z","what":"{what}"{wait}}}"#)
    }

    #[test]
    fn phases_and_waits_are_added_up() {
        let now = Timestamp::parse_rfc3339("2026-01-01T00:00:50Z").unwrap();
        let mut moments = vec![
            moment(0, "resolving", ""),
            moment(3, "downloading", ""),
            moment(4, "wait_started", "download_slot"),
            moment(9, "wait_completed", "download_slot"),
            moment(12, "wait_started", "stalled"),
        ];
        let running = whole(&moments.join(","));
        assert_eq!(phases(&running, now).as_deref(), Some("resolve 3 s, download 47 s so far"));
        assert_eq!(waits(&running, now).as_deref(), Some("download slot 5 s, stalled for 38 s now"));
        moments.extend([moment(20, "wait_completed", "stalled"), moment(30, "unpacking", ""), moment(40, "ready", "")]);
        let ready = whole(&moments.join(","));
        assert_eq!(phases(&ready, now).as_deref(), Some("resolve 3 s, download 27 s, unpack 10 s"));
        assert_eq!(waits(&ready, now).as_deref(), Some("download slot 5 s, stalled 8 s"));
        assert_eq!((phases(&whole(""), now), waits(&whole(""), now)), (None, None));
    }
}
