//! What of a pull is worth a line, and the line: a PullEvent as the event stream has it. Pure; time is what the pictures say.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lifecycle::{
    board::{
        Board, Input, Limits,
        status::{EventType, PullEvent, PullStatus},
    },
    pull::{Node, Outcome, Phase, Pull, PullId, Report},
    time::Timestamp,
};

/// Progress of a pull is told this often while bytes come.
const PROGRESS: Duration = Duration::from_secs(2);
/// And this often while nothing changes, so that whoever follows sees that somebody is still at it.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// Makes PullEvents of what is shown.
#[derive(Debug)]
pub(crate) struct Events {
    node: Arc<Node>,
    /// Knows how a pull looks outside.
    board: Board,
    told: BTreeMap<PullId, Told>,
}

/// What was told of a pull last.
#[derive(Debug)]
struct Told {
    at: Timestamp,
    phase: Phase,
    wait: Option<&'static str>,
    ended: bool,
    fetched: u64,
    layers_done: usize,
}

impl Events {
    /// Of pulls on this node.
    pub(crate) fn new(node: Node) -> Self {
        Self { node: Arc::new(node), board: Board::new(Limits::default()), told: BTreeMap::new() }
    }

    /// The lines that are due about a pull, without their ends: none for most of what is shown.
    pub(crate) fn lines(&mut self, pull: &Pull) -> Vec<String> {
        let due = due(self.told.get(&pull.id), pull);
        if due.is_empty() {
            return Vec::new();
        }
        self.told.insert(pull.id, Told::of(pull));
        due.into_iter().filter_map(|kind| self.line(kind, pull)).collect()
    }

    /// One event; with layers where they will change no more.
    pub(crate) fn line(&mut self, kind: EventType, pull: &Pull) -> Option<String> {
        let report = Report { node: Arc::clone(&self.node), pull: pull.clone() };
        self.board.observe(Input::Pull(Box::new(report)), pull.observed_at);
        while self.board.poll().is_some() {}
        let mut status = self.board.status(pull.id)?;
        status.layers = status.layers.filter(|_| pull.ending.is_some());
        let event = PullEvent::of_pull(kind, pull.observed_at, self.node.name.as_str(), &status);
        serde_json::to_string::<PullEvent<'_, &PullStatus>>(&event).ok()
    }
}

impl Told {
    fn of(pull: &Pull) -> Self {
        Self {
            at: pull.observed_at,
            phase: pull.phase,
            wait: pull.wait.as_ref().map(lifecycle::pull::Wait::as_str),
            ended: pull.ending.is_some(),
            fetched: pull.fetched_bytes(),
            layers_done: pull.layers_done(),
        }
    }
}

/// Which end it is, if it has ended.
pub(crate) fn end_of(pull: &Pull) -> Option<EventType> {
    pull.ending.as_ref().map(|ending| match ending.outcome {
        Outcome::Ready => EventType::PullCompleted,
        Outcome::Failed(_) | Outcome::Canceled | Outcome::Lost => EventType::PullFailed,
    })
}

fn due(told: Option<&Told>, pull: &Pull) -> Vec<EventType> {
    let Some(told) = told else {
        return [Some(EventType::PullStarted), end_of(pull)].into_iter().flatten().collect();
    };
    if told.ended {
        return Vec::new();
    }
    if let Some(end) = end_of(pull) {
        return vec![end];
    }
    let now = Told::of(pull);
    let passed = pull.observed_at.since(told.at);
    let turned = (now.phase, now.wait) != (told.phase, told.wait);
    let moved = (now.fetched, now.layers_done) != (told.fetched, told.layers_done);
    let is_due = turned || (moved && passed >= PROGRESS) || passed >= SIGN_OF_LIFE;
    if is_due { vec![EventType::PullProgress] } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use lifecycle::pull::Wait;
    use serde_json::Value;

    use super::*;
    use crate::log::tests::{START, ended, node, pull};

    fn at(mut pull: Pull, second: u64) -> Pull {
        pull.observed_at = START + Duration::from_secs(second);
        pull.sequence = 1 + second;
        pull
    }

    fn kinds(events: &mut Events, pull: &Pull) -> Vec<String> {
        let kind = |line: &String| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned();
        events.lines(pull).iter().map(kind).collect()
    }

    #[test]
    fn a_pull_is_a_line_when_it_begins_turns_or_ends_and_now_and_then_while_bytes_come() {
        let mut events = Events::new(node());
        let mut kinds = |pull| kinds(&mut events, &pull);
        assert_eq!(kinds(at(pull(0), 0)), ["pull.started"]);
        assert_eq!(kinds(at(pull(100), 1)), [""; 0], "too soon");
        assert_eq!(kinds(at(pull(200), 5)), ["pull.progress"]);
        let stalled = |second| Pull { wait: Some(Wait::Stalled { since: START }), ..at(pull(200), second) };
        assert_eq!(kinds(stalled(6)), ["pull.progress"], "it stalls");
        assert_eq!(kinds(stalled(60)), [""; 0], "nothing new");
        assert_eq!(kinds(stalled(66)), ["pull.progress"], "a sign of life");
        assert_eq!(kinds(at(ended(Outcome::Ready), 67)), ["pull.completed"]);
        assert_eq!(kinds(at(ended(Outcome::Ready), 300)), [""; 0], "once");
    }

    #[test]
    fn a_pull_that_has_ended_before_it_was_shown_is_told_all_the_same() {
        let mut events = Events::new(node());
        assert_eq!(kinds(&mut events, &ended(Outcome::Canceled)), ["pull.started", "pull.failed"]);
    }

    #[test]
    fn a_line_is_a_pull_event_with_its_sentence_and_layers_stand_in_the_last_one() {
        let mut events = Events::new(node());
        let mut line = |pull: &Pull| serde_json::from_str::<Value>(events.lines(pull).last().unwrap()).unwrap();
        let first = line(&at(pull(250), 0));
        assert_eq!((&first["schemaVersion"], &first["nodeName"]), (&"v1".into(), &"edge-1".into()));
        assert_eq!((&first["pull"]["percent"], &first["pull"]["layers"]), (&25.0.into(), &Value::Null));
        assert!(first["pull"]["summary"].as_str().unwrap().starts_with("Downloading"), "{first}");
        assert_eq!(line(&at(ended(Outcome::Ready), 9))["pull"]["layers"].as_array().unwrap().len(), 1);
    }
}
