//! Plays a history: lets everything happen in its order of time until nothing happens any more, and looks at the board at every change.

use std::time::Duration;

use lifecycle::{
    board::{Board, Input, Limits},
    pull::Node,
    time::Timestamp,
    wire::{self, Signal},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed},
};

use super::{
    agent::Agent,
    channel::Channel,
    containerd::{Containerd, STEP, at},
    history::{BadLuck, History},
    luck::Luck,
    truth::Truth,
};

/// Histories that are tried.
const CASES: u32 = 800;
/// Chooses them.
const SEED: u64 = 3;
/// How long nothing happens at the end, milliseconds: longer than agent and board take to give up whoever fell silent.
const QUIET: u64 = 900_000;
/// No history takes longer, milliseconds.
const LONGEST: u64 = 200_000;

/// All of it.
struct House<'a> {
    history: &'a History,
    world: Containerd,
    luck: Luck,
    agent: Option<Agent>,
    /// Lives of the agent so far.
    lives: usize,
    /// When it is killed and comes back, in order of time.
    fates: Vec<(u64, bool)>,
    breaks: Vec<u64>,
    channel: Channel,
    board: Board,
    truth: Truth,
}

/// Plays a history to its end.
fn play(history: &History) -> Result<(), String> {
    let mut house = House::new(history);
    while !house.world.is_quiet() || !house.fates.is_empty() || !house.breaks.is_empty() {
        house.world.step();
        house.step(&history.bad_luck)?;
        if house.world.now > LONGEST {
            return Err("the history does not end".to_owned());
        }
    }
    let calm = BadLuck { request_lost: 0, acknowledgement_lost: 0, unavailable: 0, event_lost: 0, ..history.bad_luck.clone() };
    let end = house.world.now + QUIET;
    while house.world.now < end {
        house.world.now = house.next().unwrap_or(end).max(house.world.now + STEP).min(end);
        house.step(&calm)?;
    }
    house.truth.at_the_end(&house.world, &house.board, house.lives)
}

impl<'a> House<'a> {
    fn new(history: &'a History) -> Self {
        let mut fates: Vec<_> = history.agent_restarts.iter().flat_map(|(at, away)| [(*at, false), (at + away, true)]).collect();
        fates.sort_unstable();
        fates.reverse();
        let mut breaks = history.node.breaks.clone();
        breaks.sort_unstable_by(|a, b| b.cmp(a));
        let mut house = Self {
            history,
            world: Containerd::new(history),
            luck: Luck::new(history.seed),
            agent: None,
            lives: 0,
            fates,
            breaks,
            channel: Channel::default(),
            board: Board::new(Limits::default()),
            truth: Truth::new(if history.node.uid_given { "the-node" } else { "the-runtime" }, history.is_hazy()),
        };
        house.start_agent();
        house
    }

    fn start_agent(&mut self) {
        let node = Node {
            name: "worker-1".parse().expect("a name"),
            uid: if self.history.node.uid_given { "the-node".to_owned() } else { String::new() },
            cluster: String::new(),
            runtime_name: "containerd".to_owned(),
            runtime_version: String::new(),
        };
        self.agent = Some(Agent::new(node, self.history.bad_luck.stirs, self.world.now));
        self.lives += 1;
    }

    /// When something happens next without anything happening in containerd.
    fn next(&self) -> Option<u64> {
        let now = self.world.now;
        let agent = self.agent.as_ref();
        let board = self.board.next_deadline().map(|at| at.since(self.collector_time(0)).as_millis() + 1);
        let board = board.and_then(|millis| u64::try_from(millis).ok());
        let mine = [agent.and_then(Agent::next), agent.and_then(|a| a.outbox.next(now)), self.channel.next(), board];
        mine.into_iter().flatten().min()
    }

    /// Everything that happens now.
    fn step(&mut self, bad: &BadLuck) -> Result<(), String> {
        let now = self.world.now;
        let events = std::mem::take(&mut self.world.store.events);
        while let Some((_, alive)) = self.fates.pop_if(|(due, _)| *due <= now) {
            match (alive, &self.agent) {
                (false, _) => self.agent = None,
                (true, None) => self.start_agent(),
                (true, Some(_)) => {}
            }
        }
        if let Some(agent) = &mut self.agent {
            let mut said = agent.step(&mut self.world, &events, bad, &mut self.luck);
            while self.breaks.pop_if(|due| *due <= now).is_some() {
                agent.cut(now, &mut said);
            }
            self.truth.told(said, &self.world, self.lives)?;
            let node = agent.node().clone();
            agent.outbox.step(&node, &mut self.channel, bad, &mut self.luck, now);
        }
        self.breaks.retain(|due| *due > now);
        while let Some(request) = self.channel.arrived(now, &mut self.luck) {
            self.receive(&request)?;
        }
        if self.board.next_deadline().is_some_and(|deadline| deadline <= self.collector_time(now)) {
            self.board.tick(self.collector_time(now));
            self.look()?;
        }
        Ok(())
    }

    /// What the collector does with a request.
    fn receive(&mut self, request: &[u8]) -> Result<(), String> {
        let decoded = wire::decode(Signal::Logs, request).map_err(|error| error.to_string())?;
        if decoded.rejected.total() > 0 {
            return Err(format!("what the agent says is refused: {}", decoded.rejected.message()));
        }
        for said in decoded.reports {
            let input = match said {
                wire::Said::Pull(report) => Input::Pull(report),
                wire::Said::Node(report) => Input::Node(report),
            };
            self.board.observe(input, self.collector_time(self.world.now));
            self.look()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        while let Some(change) = self.board.poll() {
            self.truth.at_a_change(&self.world, &self.board, change)?;
        }
        Ok(())
    }

    /// What the collector's clock shows, which is not what the node's shows.
    fn collector_time(&self, now: u64) -> Timestamp {
        let middle = Duration::from_secs(3_600);
        at(now).before(middle) + Duration::from_millis(self.history.bad_luck.skew)
    }
}

fn config() -> Config {
    let default = Config::default();
    // These are 256 and random unless the environment says otherwise.
    let cases = if default.cases == 256 { CASES } else { default.cases };
    let rng_seed = if default.rng_seed == RngSeed::Random { RngSeed::Fixed(SEED) } else { default.rng_seed };
    Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 2_000, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_on_the_node_and_on_the_way_the_board_comes_to_the_truth_and_never_leaves_it(history in History::any()) {
        play(&history).map_err(TestCaseError::fail)?;
    }
}
