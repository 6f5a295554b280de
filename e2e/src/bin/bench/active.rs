//! What an agent costs while one pull downloads several layers at once.

use std::time::Duration;

use e2e::clock;
use e2e::containerd::{Containerd, Extra};
use e2e::cri::Pull;
use e2e::image::{self, Form, Image, LayerPlan, MIB};
use e2e::link::Link;
use e2e::pulltrace::Collector;
use e2e::registry::Registry;
use e2e::site::{REGISTRY, reference};
use e2e::tools::{Tools, Version};

use crate::{Agent, Compared, Cost, PAIRS, of_containerd, private, say};

/// How many layers come at once: a usual pull, and a node that was told to fetch many.
pub(crate) const LAYERS: [u32; 2] = [3, 15];

/// Bytes per second of each layer.
const RATE: u64 = 1_000_000;

/// How long each stretch is measured.
const STRETCH: Duration = Duration::from_secs(30);

/// Bytes of each layer: more than come before the stretch is over.
const LAYER: usize = 40 * MIB;

/// What an agent may cost for each layer that comes, milliseconds of CPU per second: the gate for three layers, divided by them.
const GATE_PER_LAYER: f64 = 0.2;

/// The Go Pulltrace agent with 3 active layers, measured 2026-11 on 2 cores.
const GO: Cost = Cost { cpu_ms: 1.04, wakeups: 30.8, rss_mb: 14.7, containerd_cpu_ms: 0.0 };

/// Measures pulls without and with an agent, in [`PAIRS`] of stretches.
pub(crate) fn measure(tools: &Tools, version: Version, layers: u32) -> Compared {
    let registry = Registry::start(tools);
    let link = Link::start(registry.port());
    link.set_rate(Some(RATE));
    let containerd = private(tools, version, Extra { downloads: Some(layers), ..Extra::default() });
    containerd.map(REGISTRY, link.port());
    let collector = Collector::start(&[]);
    let mut active = Compared {
        name: format!("{layers} layers at once, {} s a stretch, containerd {version}", STRETCH.as_secs()),
        gate: Cost {
            cpu_ms: GATE_PER_LAYER * f64::from(layers),
            wakeups: f64::INFINITY,
            rss_mb: 8.0,
            containerd_cpu_ms: f64::INFINITY,
        },
        others: if layers == 3 { vec![("  Go Pulltrace, 2026-11, 2 cores", GO)] } else { Vec::new() },
        alone: Vec::new(),
        watched: Vec::new(),
        agent: Vec::new(),
        memory: Vec::new(),
    };
    for pair in 0..PAIRS {
        let image = |watched: u32| push(&registry, layers, 2 * pair + watched);
        say(format!("{layers} layers, pair {} of {PAIRS}: without an agent ...", pair + 1));
        let pull = begin(&containerd, &image(0), layers);
        let before = of_containerd(&containerd);
        clock::pause(STRETCH);
        active.alone.push(of_containerd(&containerd).since(before));
        assert!(!pull.ended(), "the pull was to outlast the stretch");
        pull.cancel();
        containerd.until_quiet();
        say(format!("{layers} layers, pair {} of {PAIRS}: with an agent ...", pair + 1));
        let agent = Agent::start(&containerd, &collector);
        let pull = begin(&containerd, &image(1), layers);
        let before = (agent.usage(), of_containerd(&containerd));
        clock::pause(STRETCH);
        active.agent.push(agent.usage().since(before.0));
        active.watched.push(of_containerd(&containerd).since(before.1));
        active.memory.push(agent.memory());
        assert!(!pull.ended(), "the pull was to outlast the stretch");
        pull.cancel();
        containerd.until_quiet();
    }
    active
}

/// Layers that no other image has.
fn push(registry: &Registry, layers: u32, round: u32) -> Image {
    let plan = |n: u32| LayerPlan { bytes: LAYER, seed: u64::from(1_000 * round + n), files: 1 };
    let plans: Vec<_> = (0..layers).map(plan).collect();
    image::push(registry, &format!("bench/active-{layers}-{round}:v1"), &plans, Form::OciIndex)
}

/// A pull of which all layers have begun to come.
fn begin(containerd: &Containerd, image: &Image, layers: u32) -> Pull {
    let pull = containerd.pull(&reference(image));
    clock::until("all layers to come", Duration::from_secs(20), || (containerd.ingests() >= layers as usize).then_some(()));
    pull
}
