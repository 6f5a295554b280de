//! What a node with several runtimes says about itself, in one voice: pure, so that the rules can be read and tested here.
//!
//! The node is reachable if every runtime is that counts; pulls add up; versions stand side by side; the uid is that of the one that leads,
//! and stays, whoever comes and goes.

use std::time::Duration;

use lifecycle::{pull::NodeReport, time::Timestamp};

/// A runtime that is gone together with its socket counts no more after this: by then its pulls are lost, and it was taken away.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Makes one heartbeat of many.
#[derive(Debug, Default)]
pub(crate) struct Chorus {
    leader: usize,
    /// The node's uid, once the leader has met its runtime.
    uid: Option<String>,
    said: Option<NodeReport>,
}

/// Whether a runtime that went away at this time need not be waited for any more.
pub(crate) fn is_forgotten(lost_at: Option<Timestamp>, now: Timestamp) -> bool {
    lost_at.is_some_and(|at| now.since(at) >= FORGET_AFTER)
}

impl Chorus {
    /// Says whose uid is the node's.
    pub(crate) const fn lead(&mut self, leader: usize) {
        self.leader = leader;
    }

    /// The next heartbeat, if there is need of one: something changed, or the first of those that count repeats itself.
    ///
    /// `reports` is the last word of each runtime, nothing from those that do not count; `spoke` says whose words are new.
    pub(crate) fn speak(&mut self, reports: &[Option<&NodeReport>], spoke: &[usize]) -> Option<NodeReport> {
        let first = reports.iter().position(Option::is_some)?;
        let mut merged = merge(reports.iter().copied().flatten())?;
        let leader = reports.get(self.leader).copied().flatten();
        if let Some(leader) = leader.filter(|report| self.uid.is_none() && !report.node.runtime_version.is_empty()) {
            self.uid = Some(leader.node.uid.clone());
        }
        if let Some(uid) = &self.uid {
            merged.node.uid.clone_from(uid);
        }
        let changed =
            self.said.as_ref().is_none_or(|said| NodeReport { observed_at: said.observed_at, ..merged.clone() } != *said);
        if !changed && !spoke.contains(&first) {
            return None;
        }
        self.said = Some(merged.clone());
        Some(merged)
    }
}

fn merge<'a>(mut reports: impl Iterator<Item = &'a NodeReport>) -> Option<NodeReport> {
    let mut merged = reports.next()?.clone();
    for report in reports {
        merged.observed_at = merged.observed_at.max(report.observed_at);
        merged.runtime_reachable &= report.runtime_reachable;
        merged.active_pulls += report.active_pulls;
        // What one of them pulls does not wait.
        merged.queued_images.retain(|image| report.queued_images.contains(image));
        let (versions, other) = (&mut merged.node.runtime_version, &report.node.runtime_version);
        if !other.is_empty() && !versions.split(", ").any(|known| known == other) {
            versions.push_str(", ");
            versions.push_str(other);
        }
    }
    Some(merged)
}

#[cfg(test)]
mod tests {
    use lifecycle::pull::Node;

    use super::*;

    fn report(uid: &str, version: &str, reachable: bool, active: u64, second: u64) -> NodeReport {
        NodeReport {
            node: Node {
                name: "n1".parse().unwrap(),
                uid: uid.into(),
                cluster: String::new(),
                runtime_name: "containerd".into(),
                runtime_version: version.into(),
            },
            observed_at: Timestamp::from_millis(second * 1_000),
            agent_version: "0".into(),
            runtime_reachable: reachable,
            active_pulls: active,
            queued_images: Vec::new(),
            dropped_progress: 0,
            dropped_outcomes: 0,
        }
    }

    #[test]
    fn the_node_is_reachable_if_all_are_and_its_pulls_add_up() {
        let (one, two) = (report("a", "2.1.4", true, 2, 1), report("b", "1.7.24", false, 3, 5));
        let said = Chorus::default().speak(&[Some(&one), Some(&two)], &[0, 1]).unwrap();
        assert_eq!((said.runtime_reachable, said.active_pulls, said.observed_at), (false, 5, two.observed_at));
        assert_eq!((said.node.runtime_version.as_str(), said.node.uid.as_str()), ("2.1.4, 1.7.24", "a"));
    }

    #[test]
    fn the_uid_is_the_leaders_and_stays_when_others_speak_or_the_leader_is_forgotten() {
        let (one, two) = (report("a", "2.1.4", true, 0, 1), report("b", "1.7.24", true, 0, 1));
        let mut chorus = Chorus::default();
        chorus.lead(1);
        assert_eq!(chorus.speak(&[Some(&one), Some(&two)], &[0, 1]).unwrap().node.uid, "b");
        assert_eq!(chorus.speak(&[Some(&one), None], &[0]).unwrap().node.uid, "b");
    }

    #[test]
    fn before_any_runtime_has_answered_the_uid_is_provisional() {
        let (before, after) = (report("n1", "", false, 0, 1), report("a", "2.1.4", true, 0, 2));
        let mut chorus = Chorus::default();
        assert_eq!(chorus.speak(&[Some(&before)], &[0]).unwrap().node.uid, "n1");
        assert_eq!(chorus.speak(&[Some(&after)], &[0]).unwrap().node.uid, "a");
    }

    #[test]
    fn two_runtimes_beat_as_often_as_one() {
        let mut chorus = Chorus::default();
        let (one, two) = (report("a", "2.1.4", true, 0, 1), report("b", "2.1.4", true, 0, 1));
        assert!(chorus.speak(&[Some(&one), Some(&two)], &[0, 1]).is_some());
        let again = report("b", "2.1.4", true, 0, 31);
        assert_eq!(chorus.speak(&[Some(&one), Some(&again)], &[1]), None);
        assert!(chorus.speak(&[Some(&report("a", "2.1.4", true, 0, 31)), Some(&again)], &[0]).is_some());
        assert!(
            chorus.speak(&[Some(&one), Some(&report("b", "2.1.4", true, 1, 40))], &[1]).is_some(),
            "a change is told at once"
        );
    }

    #[test]
    fn a_runtime_is_forgotten_ten_minutes_after_it_went_away() {
        let at = Timestamp::from_millis(1_000);
        assert!(!is_forgotten(Some(at), at + Duration::from_secs(599)));
        assert!(is_forgotten(Some(at), at + Duration::from_secs(600)));
        assert!(!is_forgotten(None, at + Duration::from_secs(6_000)), "one that answers is not");
    }
}
