//! A pull as it might go: layers over a link whose speed wanders, three at a time, each unpacked in order behind them. It knows the truth;
//! what an agent would see of it is the business of [`super::watch`].
//!
//! The link is log-normal with memory (AR(1)): its logarithm wanders around a mean and forgets where it was within `memory` seconds.

use super::luck::Luck;

/// Seconds of one step.
const STEP: f64 = 0.05;
/// Layers that containerd fetches at once.
const SLOTS: usize = 3;
/// What containerd writes at once, bytes.
const WRITE: f64 = 1_048_576.0;
/// Seconds in which manifest and configuration come.
const RESOLVED_AFTER: f64 = 0.4;

/// How a link behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// Mean bytes per second.
    pub(super) mean: f64,
    /// Standard deviation of its logarithm.
    pub(super) spread: f64,
    /// Seconds after which it has forgotten how fast it was.
    pub(super) memory: f64,
    /// Bytes per second of each connection, if these are limited and not the link.
    pub(super) connection: Option<f64>,
}

/// One layer and how far it is.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) size: f64,
    pub(super) fetched: f64,
    pub(super) opened_at: Option<f64>,
    pub(super) committed_at: Option<f64>,
    pub(super) unpack_from: Option<f64>,
    pub(super) unpacked_at: Option<f64>,
    /// Seconds that unpacking it takes.
    effort: f64,
}

impl Layer {
    /// Bytes as containerd shows them: it writes in steps.
    pub(super) fn written(&self) -> f64 {
        if self.committed_at.is_some() { self.size } else { (self.fetched / WRITE).floor() * WRITE }
    }
}

/// A pull under way. Times are seconds since its begin.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) layers: Vec<Layer>,
    pub(super) now: f64,
    link: Link,
    unpack: f64,
    noise: f64,
    step: f64,
    luck: Luck,
}

impl World {
    /// A pull of layers of these sizes, unpacked at `unpack` compressed bytes per second, each a little faster or slower.
    pub(super) fn new(sizes: &[f64], link: Link, unpack: f64, mut luck: Luck) -> Self {
        let layers = sizes.iter().map(|&size| Layer {
            size,
            fetched: 0.0,
            opened_at: None,
            committed_at: None,
            unpack_from: None,
            unpacked_at: None,
            effort: 0.02 + size / unpack * (0.2 * luck.normal()).exp(),
        });
        let layers = layers.collect();
        let noise = luck.normal();
        Self { layers, now: 0.0, link, unpack, noise, step: STEP, luck }
    }

    pub(super) const fn is_resolved(&self) -> bool {
        self.now >= RESOLVED_AFTER
    }

    pub(super) fn is_over(&self) -> bool {
        self.layers.iter().all(|l| l.unpacked_at.is_some())
    }

    /// Lets `seconds` pass.
    pub(super) fn pass(&mut self, seconds: f64) {
        let until = self.now + seconds;
        while self.now + self.step / 2.0 < until {
            self.now += self.step;
            let Link { mean, spread, memory, connection } = self.link;
            let kept = (-self.step / memory).exp();
            self.noise = kept * self.noise + (1.0 - kept * kept).sqrt() * self.luck.normal();
            let wander = (spread * self.noise - spread * spread / 2.0).exp();
            if self.is_resolved() {
                match connection {
                    Some(each) => self.fetch(each * wander, true),
                    None => self.fetch(mean * wander, false),
                }
                self.unpack();
            }
        }
    }

    /// Fetches for one step, at `rate` bytes per second in all, or of each.
    fn fetch(&mut self, rate: f64, each: bool) {
        let mut from = self.now - self.step;
        loop {
            let is_open = |l: &Layer| l.opened_at.is_some() && l.committed_at.is_none();
            let open = self.layers.iter().filter(|l| is_open(l)).count();
            let fresh = self.layers.iter_mut().filter(|l| l.opened_at.is_none()).take(SLOTS - open);
            fresh.for_each(|l| l.opened_at = Some(from));
            let active: Vec<_> = self.layers.iter_mut().filter(|l| is_open(l)).collect();
            let share = if each { rate } else { rate / active.len() as f64 };
            let first = active.iter().map(|l| (l.size - l.fetched) / share).fold(f64::MAX, f64::min);
            let takes = first.min(self.now - from);
            from += takes;
            for layer in active {
                layer.fetched += share * takes;
                if layer.size - layer.fetched < 1.0 {
                    (layer.fetched, layer.committed_at) = (layer.size, Some(from));
                }
            }
            if first > takes {
                break;
            }
        }
    }

    fn unpack(&mut self) {
        let mut free_at = 0.0_f64;
        for layer in &mut self.layers {
            let Some(committed_at) = layer.committed_at else { break };
            let from = committed_at.max(free_at);
            layer.unpack_from = Some(from);
            if from + layer.effort > self.now {
                break;
            }
            free_at = from + layer.effort;
            layer.unpacked_at = Some(free_at);
        }
    }

    /// When the last layer was unpacked.
    pub(super) fn over_at(&self) -> f64 {
        self.layers.iter().filter_map(|l| l.unpacked_at).fold(0.0, f64::max)
    }

    /// What someone would expect who knows the mean rate of the link and the mean speed of unpacking, and how containerd works; seconds.
    pub(super) fn oracle(&self) -> f64 {
        let mut world = self.clone();
        world.link.spread = 0.0;
        world.step = 10.0 * STEP;
        for layer in world.layers.iter_mut().filter(|l| l.unpacked_at.is_none()) {
            let already = layer.unpack_from.map_or(0.0, |from| self.now - from);
            layer.effort = already.max(0.02 + layer.size / self.unpack);
        }
        while !world.is_over() {
            world.pass(world.step);
        }
        (world.over_at() - self.now).max(0.0)
    }
}
