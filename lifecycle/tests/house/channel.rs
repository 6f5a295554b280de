//! From the tracker to the board: an outbox that keeps to the rules of the agent's exporter, and a channel that keeps to none.
//!
//! Outcomes are repeated until they are accepted; of progress only the newest waits. What was accepted may still come late, twice, or behind
//! what was said after it, as through a chain of collectors.

use std::collections::{BTreeMap, VecDeque};

use lifecycle::{
    pull::{Node, NodeReport, Pull, PullId},
    wire::{Event, encode},
};

use super::{agent::VERSION, history::BadLuck, luck::Luck};

/// How long the sender waits for an answer, milliseconds.
const PATIENCE: u64 = 500;

/// What waits to be delivered.
#[derive(Default)]
pub(super) struct Outbox {
    running: BTreeMap<PullId, (Event, Pull)>,
    ended: VecDeque<Pull>,
    node: Option<NodeReport>,
    sending: Option<Sending>,
}

/// What was sent and not answered.
struct Sending {
    running: Vec<(Event, Pull)>,
    ended: Vec<Pull>,
    node: Option<NodeReport>,
    accepted: bool,
    answer_at: u64,
}

/// Requests on their way: when each arrives, and its bytes.
#[derive(Default)]
pub(super) struct Channel {
    flights: Vec<(u64, Vec<u8>)>,
}

impl Outbox {
    pub(super) fn pull(&mut self, first: bool, pull: Pull) {
        if pull.ending.is_some() {
            self.running.remove(&pull.id);
            self.ended.push_back(pull);
        } else {
            let started = first || matches!(self.running.get(&pull.id), Some((Event::Started, _)));
            self.running.insert(pull.id, (if started { Event::Started } else { Event::Progress }, pull));
        }
    }

    pub(super) fn node(&mut self, report: NodeReport) {
        self.node = Some(report);
    }

    /// When there is something to do.
    pub(super) fn next(&self, now: u64) -> Option<u64> {
        let waiting = !self.running.is_empty() || !self.ended.is_empty() || self.node.is_some();
        self.sending.as_ref().map(|sending| sending.answer_at).or_else(|| waiting.then_some(now))
    }

    /// Sends what waits, one request at a time.
    pub(super) fn step(&mut self, node: &Node, channel: &mut Channel, bad: &BadLuck, luck: &mut Luck, now: u64) {
        if self.sending.as_ref().is_some_and(|sending| now < sending.answer_at) {
            return;
        }
        if let Some(sending) = self.sending.take().filter(|sending| !sending.accepted) {
            self.put_back(sending);
        }
        if self.next(now).is_none() {
            return;
        }
        let running: Vec<_> = std::mem::take(&mut self.running).into_values().collect();
        let (ended, report) = (Vec::from(std::mem::take(&mut self.ended)), self.node.take());
        let records = running.iter().map(|(event, pull)| (*event, pull)).chain(ended.iter().map(|p| (Event::Finished, p)));
        let mut request = encode::pulls(node, VERSION, records);
        request.extend(report.as_ref().map(encode::node).unwrap_or_default());
        let lost = luck.percent(bad.request_lost);
        let accepted = !lost && !luck.percent(bad.acknowledgement_lost);
        for _ in 0..if lost { 0 } else { 1 + u8::from(luck.percent(bad.doubled)) } {
            channel.flights.push((now + luck.below(bad.request_delay + 1), request.clone()));
        }
        let answer_at = now + if accepted { 10 } else { PATIENCE };
        self.sending = Some(Sending { running, ended, node: report, accepted, answer_at });
    }

    fn put_back(&mut self, sending: Sending) {
        self.node = self.node.take().or(sending.node);
        for (event, pull) in sending.running {
            let over = self.ended.iter().any(|ended| ended.id == pull.id);
            match self.running.get_mut(&pull.id) {
                Some((newer, _)) if event == Event::Started => *newer = Event::Started,
                Some(_) => {}
                None if over => {}
                None => drop(self.running.insert(pull.id, (event, pull))),
            }
        }
        sending.ended.into_iter().rev().for_each(|pull| self.ended.push_front(pull));
    }
}

impl Channel {
    pub(super) fn next(&self) -> Option<u64> {
        self.flights.iter().map(|(due, _)| *due).min()
    }

    /// A request that has arrived, in no particular order.
    pub(super) fn arrived(&mut self, now: u64, luck: &mut Luck) -> Option<Vec<u8>> {
        let due: Vec<_> = (0..self.flights.len()).filter(|n| self.flights[*n].0 <= now).collect();
        let pick = usize::try_from(luck.below(due.len() as u64)).ok()?;
        due.get(pick).map(|n| self.flights.swap_remove(*n).1)
    }
}
