//! Follows pulls over REST while they run, and holds at every look what must always hold: a pull keeps its identity and its start,
//! its bytes never fall, its outcome is final, and it does not say 100 % before every byte is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clock;
use crate::pulltrace::Collector;

/// How often REST is asked.
const LOOK: Duration = Duration::from_millis(100);

/// What was seen of each pull so far.
#[derive(Debug, Default)]
pub struct Follow {
    last: BTreeMap<String, Value>,
}

impl Follow {
    /// Asks once, checks against what was seen before, and returns the pulls of now.
    ///
    /// # Panics
    /// When something does not hold that must always hold.
    #[track_caller]
    pub fn look(&mut self, collector: &Collector) -> Vec<Value> {
        let pulls = collector.pulls();
        let ids: BTreeSet<&str> = pulls.iter().map(id).collect();
        assert_eq!(ids.len(), pulls.len(), "a pull stands twice in the list: {pulls:#?}");
        for pull in &pulls {
            self.take(pull);
        }
        pulls
    }

    /// Checks a pull as it was told against what was told of it before.
    ///
    /// # Panics
    /// When something does not hold that must always hold.
    #[track_caller]
    pub fn take(&mut self, pull: &Value) {
        check(pull);
        if let Some(before) = self.last.insert(id(pull).to_owned(), pull.clone()) {
            compare(&before, pull);
        }
    }

    /// Looks until `done` says so; returns the pulls of the last look.
    ///
    /// # Panics
    /// When something does not hold that must always hold, and when the deadline passes.
    #[track_caller]
    pub fn until(
        &mut self,
        collector: &Collector,
        what: &str,
        limit: Duration,
        mut done: impl FnMut(&[Value]) -> bool,
    ) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let pulls = self.look(collector);
            if done(&pulls) {
                return pulls;
            }
            assert!(begin.elapsed() < limit, "{what}: did not come within {limit:?}; the pulls are {pulls:#?}");
            clock::pause(LOOK);
        }
    }

    /// Ids of all pulls that were ever seen.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<String> {
        self.last.keys().cloned().collect()
    }
}

/// A pull's id.
#[must_use]
pub fn id(pull: &Value) -> &str {
    pull["id"].as_str().unwrap_or_default()
}

/// A number of a pull or a layer; bytes and counts are far below 2^53. Absent is 0.
#[must_use]
pub fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or(0)
}

/// The digests of a pull's layers, in order.
#[must_use]
pub fn digests(pull: &Value) -> Vec<String> {
    pull["layers"].as_array().into_iter().flatten().filter_map(|l| l["digest"].as_str().map(str::to_owned)).collect()
}

/// Whether a pull has ended so.
#[must_use]
pub fn ended(pull: &Value, outcome: &str) -> bool {
    pull["outcome"] == outcome
}

#[track_caller]
fn check(pull: &Value) {
    let id = id(pull);
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "an id is 32 hex digits: {id}");
    assert!(pull["startedAt"].as_str().and_then(clock::parse).is_some(), "no readable start: {pull:#}");
    let (total, here) = (number(pull, "totalBytes"), number(pull, "downloadedBytes"));
    let percent = pull["percent"].as_f64().unwrap_or(0.0);
    assert!((0.0..=100.0).contains(&percent), "percent out of range: {pull:#}");
    assert!(pull["totalKnown"] != true || here <= total, "more bytes than there are: {pull:#}");
    let whole = pull["totalKnown"] == true && here == total;
    assert!(percent < 100.0 || whole, "100 % without every byte: {pull:#}");
}

#[track_caller]
fn compare(before: &Value, now: &Value) {
    for key in ["startedAt", "nodeName"] {
        assert_eq!(before[key], now[key], "{key} changed:\n{before:#}\n{now:#}");
    }
    assert!(number(before, "downloadedBytes") <= number(now, "downloadedBytes"), "bytes fell:\n{before:#}\n{now:#}");
    assert!(
        before["outcome"].is_null() || before["outcome"] == "lost" || before["outcome"] == now["outcome"],
        "an outcome changed:\n{before:#}\n{now:#}"
    );
    assert!(
        before["totalKnown"] != true || before["sizeBytes"] == now["sizeBytes"],
        "a known size changed:\n{before:#}\n{now:#}"
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pull(here: u64, percent: f64) -> Value {
        json!({"id": "0123456789abcdef0123456789abcdef", "startedAt": "2026-01-01T00:00:00Z", "totalBytes": 10,
            "downloadedBytes": here, "totalKnown": true, "percent": percent})
    }

    #[test]
    fn an_honest_pull_passes() {
        check(&pull(10, 100.0));
        compare(&pull(4, 40.0), &pull(5, 50.0));
    }

    #[test]
    #[should_panic(expected = "100 % without every byte")]
    fn a_false_hundred_is_caught() {
        check(&pull(9, 100.0));
    }

    #[test]
    #[should_panic(expected = "bytes fell")]
    fn falling_bytes_are_caught() {
        compare(&pull(5, 50.0), &pull(4, 40.0));
    }
}
