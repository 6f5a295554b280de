//! Real pulls: a registry that is slow and breaks as told, a private containerd, an agent on its socket, and the acts played there.

use std::time::{Duration, Instant};

use e2e::clock;
use e2e::containerd::Containerd;
use e2e::cri::Pull;
use e2e::image::{self, Form, Image, LayerPlan};
use e2e::link::{Fault, Link};
use e2e::registry::Registry;
use e2e::stop::Stop;
use e2e::tools::{Tools, Version};

use crate::collector::{Agent, Collector};
use crate::{SAY_EVERY, say};

/// Bytes per second of each response of the registry: slow enough to watch.
const RATE: u64 = 2_500_000;

/// The registry's name in containerd.
const REGISTRY: &str = "slow.test";

/// How long an outcome may take to reach the collector.
const TOLD: Duration = Duration::from_secs(15);

/// What a real demo is played on. Fields are in the order in which they end.
pub(crate) struct Stage {
    _agent: Agent,
    containerd: Containerd,
    link: Link,
    _registry: Registry,
    images: Images,
}

/// What there is to pull.
struct Images {
    web: Image,
    app: Image,
    api: Image,
    model: Image,
    tool: Image,
}

/// One thing to see; whether it came out as it should.
type Act = fn(&Stage, &mut Collector, &Stop) -> bool;

impl Stage {
    /// Starts everything and fills the registry.
    pub(crate) fn set(tools: &Tools, version: Version, collector: &Collector) -> Self {
        say(format!("A private containerd {version} and a registry that gives {} MB/s per layer ...", RATE as f64 / 1e6));
        let registry = Registry::start(tools);
        let link = Link::start(registry.port());
        link.set_rate(Some(RATE));
        let containerd = Containerd::start(tools, version);
        containerd.map(REGISTRY, link.port());
        let agent = collector.watch(&containerd.socket());
        let images = Images::push(&registry);
        Self { _agent: agent, containerd, link, _registry: registry, images }
    }

    /// Round after round, or one; whether every pull ended as it should.
    pub(crate) fn play(&mut self, collector: &mut Collector, once: bool, stop: &Stop) -> bool {
        let mut right = true;
        while !stop.is_set() {
            right &= self.round(collector, stop);
            if once {
                break;
            }
            stop.rest(Duration::from_secs(5));
        }
        right
    }

    fn round(&self, collector: &mut Collector, stop: &Stop) -> bool {
        let acts: [Act; 6] = [Self::fresh, Self::cached, Self::shared, Self::canceled, Self::refused, Self::stalled];
        let mut right = true;
        for act in acts {
            if stop.is_set() {
                return right;
            }
            right &= act(self, collector, stop);
        }
        self.forget();
        right
    }

    fn fresh(&self, collector: &mut Collector, stop: &Stop) -> bool {
        say("\nAn image of four layers: 5, 20, 1 and 8 MiB.");
        self.pulls(collector, &[&self.images.web], "ready", stop)
    }

    fn cached(&self, collector: &mut Collector, stop: &Stop) -> bool {
        say("\nThe same image again; everything is here already.");
        self.pulls(collector, &[&self.images.web], "ready", stop)
    }

    fn shared(&self, collector: &mut Collector, stop: &Stop) -> bool {
        say("\nTwo at once that share their base.");
        self.pulls(collector, &[&self.images.app, &self.images.api], "ready", stop)
    }

    fn canceled(&self, collector: &mut Collector, stop: &Stop) -> bool {
        say("\nA pull that is canceled after 4 s.");
        let pull = self.begin(&self.images.model);
        stop.rest(Duration::from_secs(4));
        pull.cancel();
        tells(collector, &self.images.model, "canceled", stop)
    }

    fn refused(&self, collector: &mut Collector, stop: &Stop) -> bool {
        say("\nThe registry says 429 to every layer.");
        self.link.set_fault(Fault::TooManyRequests);
        let right = self.pulls(collector, &[&self.images.tool], "failed", stop);
        self.link.set_fault(Fault::None);
        right
    }

    fn stalled(&self, collector: &mut Collector, stop: &Stop) -> bool {
        say("\nThe registry falls silent in the middle of each layer, and recovers after half a minute.");
        self.link.set_fault(Fault::Stall);
        let pull = self.begin(&self.images.model);
        Self::watch(collector, &[&pull], stop, Duration::from_secs(30));
        self.link.set_fault(Fault::None);
        Self::watch(collector, &[&pull], stop, Duration::MAX);
        tells(collector, &self.images.model, "ready", stop)
    }

    fn begin(&self, image: &Image) -> Pull {
        self.containerd.pull(&reference(image))
    }

    /// Pulls at once, waits for the ends, and says what the collector tells; whether that is the outcome it should be.
    fn pulls(&self, collector: &mut Collector, images: &[&Image], outcome: &str, stop: &Stop) -> bool {
        let pulls: Vec<Pull> = images.iter().map(|image| self.begin(image)).collect();
        Self::watch(collector, &pulls.iter().collect::<Vec<_>>(), stop, Duration::MAX);
        drop(pulls);
        let told: Vec<bool> = images.iter().map(|image| tells(collector, image, outcome, stop)).collect();
        told.into_iter().all(|right| right)
    }

    /// Says what the collector tells of the running pulls, until all have ended, the time is over or Ctrl-C comes.
    fn watch(collector: &Collector, pulls: &[&Pull], stop: &Stop, limit: Duration) {
        let (begin, mut said) = (Instant::now(), Instant::now());
        while !stop.is_set() && begin.elapsed() < limit && !pulls.iter().all(|pull| pull.ended()) {
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                collector.say_running();
            }
            clock::pause(Duration::from_millis(50));
        }
    }

    /// Removes the images, so that the next round has something to fetch.
    fn forget(&self) {
        for name in self.containerd.images() {
            self.containerd.remove_image(&name);
        }
    }
}

impl Images {
    fn push(registry: &Registry) -> Self {
        let push = |name: &str, plans: &[LayerPlan]| image::push(registry, name, plans, Form::OciIndex);
        let base = image::layers(1, &[12, 6]);
        let on_base = |seed, sizes: &[usize]| [base.clone(), image::layers(seed, sizes)].concat();
        Self {
            web: push("team/web:1.0", &image::layers(2, &[5, 20, 1, 8])),
            app: push("team/app:1.0", &on_base(3, &[10, 2])),
            api: push("team/api:1.0", &on_base(4, &[7, 3])),
            model: push("team/model:4", &image::layers(5, &[2, 40, 30])),
            tool: push("team/tool:2", &image::layers(6, &[4, 6])),
        }
    }
}

/// The name under which containerd pulls it.
fn reference(image: &Image) -> String {
    format!("{REGISTRY}/{}", image.name)
}

/// Says what became of the newest pull of an image; whether that is the outcome it should be. On Ctrl-C nothing is wrong any more.
fn tells(collector: &mut Collector, image: &Image, outcome: &str, stop: &Stop) -> bool {
    let repository = image.name.split(':').next().unwrap_or_default();
    let begin = Instant::now();
    while !stop.is_set() && begin.elapsed() < TOLD {
        if let Some(told) = collector.newly_ended(repository) {
            say(format!("  {}: {}", told.image, told.summary));
            if told.outcome != outcome {
                say(format!("  It is {}. That should have been {outcome}.", told.outcome));
            }
            return told.outcome == outcome;
        }
        clock::pause(Duration::from_millis(50));
    }
    if !stop.is_set() {
        say(format!("  {}: the collector has not told of its end within {TOLD:?}.", reference(image)));
    }
    stop.is_set()
}
