//! What an agent costs while nothing is pulled.

use std::time::Duration;

use e2e::clock;
use e2e::containerd::{Containerd, Extra};
use e2e::pulltrace::Collector;
use e2e::tools::{Tools, Version};

use crate::{Agent, Compared, Cost, PAIRS, WARM_UP, is_connected, of_containerd, private, say};

/// A stretch that is shorter holds no heartbeat of the agent, so its result says too little.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// What an idle agent may cost.
const GATE: Cost = Cost { cpu_ms: 0.05, wakeups: 1.0, rss_mb: 8.0, containerd_cpu_ms: 0.05 };

/// The Go Pulltrace agent beside containerd 1.7.24, measured 2026-11 on 2 cores.
const GO: Cost = Cost { cpu_ms: 0.79, wakeups: 25.9, rss_mb: 16.8, containerd_cpu_ms: 0.61 };

/// Measures `seconds` without and as many with an agent, in [`PAIRS`] of stretches.
pub(crate) fn measure(tools: &Tools, version: Version, seconds: u32) -> Compared {
    let containerd = private(tools, version, Extra::default());
    let collector = Collector::start(&[]);
    let stretch = Duration::from_secs(seconds.max(PAIRS).into()) / PAIRS;
    if stretch < HEARTBEAT {
        say(format!("Stretches of {} s hold no heartbeat of the agent: good for trying this out only.", stretch.as_secs()));
    }
    let mut idle = Compared {
        name: format!("idle, {seconds} s, containerd {version}"),
        gate: GATE,
        others: vec![("  Go Pulltrace, 2026-11, 2 cores", GO)],
        alone: Vec::new(),
        watched: Vec::new(),
        agent: Vec::new(),
        memory: Vec::new(),
    };
    for pair in 1..=PAIRS {
        say(format!("idle, pair {pair} of {PAIRS}: containerd {version} alone for {} s ...", stretch.as_secs()));
        clock::pause(WARM_UP);
        let before = of_containerd(&containerd);
        clock::pause(stretch);
        idle.alone.push(of_containerd(&containerd).since(before));
        say(format!("idle, pair {pair} of {PAIRS}: with an agent for {} s ...", stretch.as_secs()));
        watched(&mut idle, &containerd, &collector, stretch);
    }
    idle
}

fn watched(idle: &mut Compared, containerd: &Containerd, collector: &Collector, stretch: Duration) {
    let agent = Agent::start(containerd, collector);
    clock::pause(WARM_UP);
    let before = (agent.usage(), of_containerd(containerd));
    clock::pause(stretch);
    idle.agent.push(agent.usage().since(before.0));
    idle.watched.push(of_containerd(containerd).since(before.1));
    idle.memory.push(agent.memory());
    assert!(is_connected(collector), "the agent lost the collector, so what was measured is not an idle agent");
}
