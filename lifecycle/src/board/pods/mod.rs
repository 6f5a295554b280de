//! The pods that wait for images: folds what is seen of pods and heard from kubelets into who waits for what, since when, and how often it failed.
//!
//! Only pods that lack an image are kept, and those that did until the history is over, so memory follows what is waiting and not the size
//! of the cluster; all of it is bounded by [`MAX_PODS`] and [`MAX_PODS_PER_NODE`]. It refuses to know pulls: which pull a container waits for
//! is found in [`super::relate`].

mod asking;
mod status;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use self::asking::{Asking, Stand};
pub use self::status::{ContainerStatus, PodRef, PodStatus, QueueStatus};
use super::sighting::{ContainerKind, ContainerSeen, KubeletEvent, PodKey, PodSeen, Sighting, Workload};
use crate::{
    image::ImageRef,
    pull::{Failure, NodeName, Pull},
    time::Timestamp,
};

/// Most pods that are kept.
pub const MAX_PODS: usize = 50_000;
/// Most pods of one node that are kept.
pub const MAX_PODS_PER_NODE: usize = 1_000;
/// Most containers of one pod that are looked at.
const MAX_CONTAINERS: usize = 64;
/// Most nodes whose runtime is kept.
const MAX_RUNTIMES: usize = 20_000;
/// Events have whole seconds, and two clocks of one node are read one after the other: so far apart is still at the same time.
pub(super) const SLACK: Duration = Duration::from_secs(3);

/// The wait of one container for one attempt to get its image, which is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitOver {
    /// Who waited.
    pub pod: PodKey,
    /// The pod's uid.
    pub uid: Box<str>,
    /// Which of its containers.
    pub container: Box<str>,
    /// Who made the pod.
    pub workload: Option<Workload>,
    /// Where.
    pub node: NodeName,
    /// For which image, if its name can be read.
    pub image: Option<ImageRef>,
    /// When the kubelet first asked for the image.
    pub from: Timestamp,
    /// When it asked last: the attempt that is over.
    pub asked: Timestamp,
    /// When the image was there, or was not to be had.
    pub until: Timestamp,
    /// Why it was not to be had; the kubelet asks again after a pause.
    pub failure: Option<Failure>,
}

/// What one node's kubelet is asked for, one line for each container.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) image: ImageRef,
    pub(super) stand: Wished,
    pub(super) asked: Timestamp,
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wished {
    Pulling,
    Pulled(Timestamp),
    Failed(Timestamp, Failure),
}

/// What the pods that wait for one pull add to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) pods: Vec<PodRef>,
    pub(super) attempt: Option<u32>,
    pub(super) next_retry: Option<Timestamp>,
    /// Why the kubelet says that this pull failed.
    pub(super) failure: Option<Failure>,
}

#[derive(Debug, Default)]
pub(super) struct Pods {
    pods: BTreeMap<PodKey, Pod>,
    by_node: BTreeMap<NodeName, BTreeSet<PodKey>>,
    /// Pods that wait for nothing, by the time at which that became known.
    done: BTreeSet<(Timestamp, PodKey)>,
    runtimes: BTreeMap<NodeName, String>,
    /// Grows with every list that begins.
    generation: u64,
    /// The generation at which the list that is being told began, by what it is about; bounded by the namespaces that are watched.
    lists: BTreeMap<Option<Box<str>>, u64>,
    away: bool,
    waiting: usize,
    refused: u64,
    changed: BTreeSet<PodKey>,
    /// Bounded by the containers of what one call changes; whoever calls drains it before the next call.
    over: VecDeque<WaitOver>,
}

#[derive(Clone, Debug)]
struct Pod {
    uid: Box<str>,
    node: Option<NodeName>,
    workload: Option<Workload>,
    containers: Vec<Container>,
    /// Whether the pod itself was seen, not only events about it.
    seen: bool,
    generation: u64,
    done_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Container {
    seen: ContainerSeen,
    image: Option<ImageRef>,
    asking: Asking,
    /// The end of its wait that was told last.
    told: Option<Timestamp>,
}

impl Pods {
    /// Takes in what was seen; gives the nodes on which something may have changed.
    pub(super) fn observe(&mut self, sighting: Sighting, now: Timestamp) -> Vec<NodeName> {
        match sighting {
            Sighting::Pod(seen) => self.see(*seen, now),
            Sighting::PodGone(key) => self.forget(&key).into_iter().collect(),
            Sighting::Event(event) => self.hear(&event, now).into_iter().collect(),
            Sighting::Node { name, runtime } => {
                if self.runtimes.len() < MAX_RUNTIMES || self.runtimes.contains_key(&name) {
                    self.runtimes.insert(name, runtime);
                }
                Vec::new()
            }
            Sighting::NodeGone(name) => {
                self.runtimes.remove(&name);
                Vec::new()
            }
            Sighting::Relisting(scope) => {
                self.generation += 1;
                self.lists.insert(scope, self.generation);
                Vec::new()
            }
            Sighting::Listed(scope) => {
                self.set_away(false);
                let Some(begun) = self.lists.get(&scope) else { return Vec::new() };
                let is_gone = |key: &PodKey, pod: &Pod| {
                    pod.seen && pod.generation < *begun && scope.as_ref().is_none_or(|namespace| key.namespace == *namespace)
                };
                let gone: Vec<_> = self.pods.iter().filter(|(key, pod)| is_gone(key, pod)).map(|(key, _)| key.clone()).collect();
                gone.iter().filter_map(|key| self.forget(key)).collect()
            }
            Sighting::Away => {
                self.set_away(true);
                Vec::new()
            }
        }
    }

    /// Forgets pods that have waited for nothing for as long as `history`.
    pub(super) fn expire(&mut self, history: Duration, now: Timestamp) {
        while let Some((_, key)) = self.done.first().filter(|(at, _)| *at + history <= now).cloned() {
            self.forget(&key);
        }
    }

    /// When [`Pods::expire`] has something to do next.
    pub(super) fn next_deadline(&self, history: Duration) -> Option<Timestamp> {
        self.done.first().map(|(at, _)| *at + history)
    }

    /// A pod whose status may be different now.
    pub(super) fn take_changed(&mut self) -> Option<PodKey> {
        self.changed.pop_first()
    }

    /// A wait that is over.
    pub(super) fn take_over(&mut self) -> Option<WaitOver> {
        self.over.pop_front()
    }

    /// Pods that lack an image for which the kubelet has asked.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// Pods and events for which there was no room.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether the cluster's nodes are known and this is none of them.
    pub(super) fn is_without(&self, node: &str) -> bool {
        let is_listed = |name: NodeName| self.runtimes.contains_key(&name);
        !self.runtimes.is_empty() && self.runtimes.len() < MAX_RUNTIMES && !node.parse().is_ok_and(is_listed)
    }

    pub(super) fn runtime(&self, node: &NodeName) -> &str {
        self.runtimes.get(node).map_or("", String::as_str)
    }

    /// What a node's kubelet was asked for.
    pub(super) fn wishes(&self, node: &NodeName) -> Vec<Wish> {
        self.containers(node).filter_map(|(_, _, container)| container.wish()).collect()
    }

    /// Marks the pods of a node as changed, because their pulls did.
    pub(super) fn touch(&mut self, node: &NodeName) {
        for key in self.by_node.get(node).into_iter().flatten() {
            if self.pods.get(key).is_some_and(|pod| pod.seen && pod.done_at.is_none()) {
                self.changed.insert(key.clone());
            }
        }
    }

    /// Whether any pod of this node is kept.
    pub(super) fn knows(&self, node: &NodeName) -> bool {
        self.by_node.contains_key(node)
    }

    /// What the pods of its node add to a pull.
    pub(super) fn relation(&self, node: &NodeName, pull: &Pull) -> Relation {
        let mut relation = Relation::default();
        for (key, pod, container) in self.containers(node).filter(|(_, pod, _)| pod.seen) {
            if !container.waited_for(pull) {
                continue;
            }
            if relation.pods.len() < status::MAX_PODS_PER_PULL {
                relation.pods.push(PodRef::of(key, pod, container));
            }
            let of_this_attempt = container.asking.asked.is_some_and(|asked| pull.started_at + SLACK >= asked);
            if of_this_attempt && container.asking.attempts > 0 {
                relation.attempt = relation.attempt.max(Some(container.asking.attempts));
                relation.next_retry = relation.next_retry.max(container.asking.next_retry(&container.seen));
                let ended = pull.ending.as_ref().map(|ending| ending.at);
                let said = container.asking.failed.as_ref().filter(|(at, _)| {
                    ended.is_some_and(|ended| at.distance(ended) <= SLACK * 2)
                        && container.asking.stand(&container.seen) == Stand::Failed
                });
                relation.failure = relation.failure.or_else(|| said.map(|(_, failure)| failure.clone()));
            }
        }
        relation
    }

    fn containers(&self, node: &NodeName) -> impl Iterator<Item = (&PodKey, &Pod, &Container)> {
        let keys = self.by_node.get(node).into_iter().flatten();
        let pods = keys.filter_map(|key| Some((key, self.pods.get(key)?)));
        pods.flat_map(|(key, pod)| pod.containers.iter().map(move |container| (key, pod, container)))
    }

    fn set_away(&mut self, away: bool) {
        if self.away != away {
            self.away = away;
            self.changed.extend(self.pods.iter().filter(|(_, pod)| pod.seen).map(|(key, _)| key.clone()));
        }
    }

    /// A pod as it is now. One that has all its images and was never waited for is nobody's business.
    fn see(&mut self, mut seen: PodSeen, now: Timestamp) -> Vec<NodeName> {
        self.set_away(false);
        seen.containers.truncate(MAX_CONTAINERS);
        let has_all = seen.containers.iter().all(|container| container.has_image);
        let known = self.pods.get(&seen.key).filter(|pod| pod.uid == seen.uid).cloned();
        let watched = known.as_ref().is_some_and(|pod| pod.seen);
        let before = self.forget(&seen.key);
        if has_all && !watched || !self.has_room(seen.node.as_ref()) {
            self.refused += u64::from(!has_all);
            return before.into_iter().collect();
        }
        let old = known.map(|pod| pod.containers).unwrap_or_default();
        let containers = seen.containers.into_iter().map(|container| Container::new(container, &old)).collect();
        let (node, workload) = (seen.node.clone(), seen.workload);
        let pod =
            Pod { uid: seen.uid, node: seen.node, workload, containers, seen: true, generation: self.generation, done_at: None };
        self.keep(seen.key, pod, now);
        before.into_iter().chain(node).collect()
    }

    /// An event is kept for its pod, which may not have been seen yet.
    fn hear(&mut self, event: &KubeletEvent, now: Timestamp) -> Option<NodeName> {
        let known = self.pods.get(&event.pod).filter(|pod| pod.uid == event.uid).cloned();
        if known.is_none() && !self.has_room(None) {
            self.refused += 1;
            return None;
        }
        let mut pod = known.unwrap_or_else(|| Pod::unseen(event, self.generation));
        pod.hear(event);
        let node = pod.node.clone();
        self.forget(&event.pod);
        self.keep(event.pod.clone(), pod, now);
        node
    }

    fn has_room(&self, node: Option<&NodeName>) -> bool {
        let on_node = node.and_then(|node| self.by_node.get(node)).map_or(0, BTreeSet::len);
        self.pods.len() < MAX_PODS && on_node < MAX_PODS_PER_NODE
    }

    fn keep(&mut self, key: PodKey, mut pod: Pod, now: Timestamp) {
        if let Some(node) = &pod.node {
            self.by_node.entry(node.clone()).or_default().insert(key.clone());
            if pod.seen {
                self.over.extend(
                    pod.containers
                        .iter_mut()
                        .filter_map(|container| container.take_over(&key, &pod.uid, pod.workload.as_ref(), node)),
                );
            }
        }
        let is_done = !pod.seen || pod.containers.iter().all(|container| container.stand() == Stand::Present);
        pod.done_at = is_done.then_some(now);
        if is_done {
            self.done.insert((now, key.clone()));
        }
        self.waiting += usize::from(pod.is_waiting());
        if pod.seen {
            self.changed.insert(key.clone());
        }
        self.pods.insert(key, pod);
    }

    /// Takes a pod out, and gives the node where it was.
    fn forget(&mut self, key: &PodKey) -> Option<NodeName> {
        let pod = self.pods.remove(key)?;
        if let Some(at) = pod.done_at {
            self.done.remove(&(at, key.clone()));
        }
        self.waiting -= usize::from(pod.is_waiting());
        self.changed.insert(key.clone());
        let node = pod.node?;
        if let Some(keys) = self.by_node.get_mut(&node) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_node.remove(&node);
            }
        }
        Some(node)
    }
}

impl Pod {
    /// A pod of which only a word of its kubelet is known.
    fn unseen(event: &KubeletEvent, generation: u64) -> Self {
        let uid = event.uid.clone();
        Self { uid, node: None, workload: None, containers: Vec::new(), seen: false, generation, done_at: None }
    }

    fn hear(&mut self, event: &KubeletEvent) {
        let named = self.containers.iter().position(|container| container.seen.name == event.container);
        let index = named.or_else(|| {
            let quoted = event.message.split('"').nth(1)?;
            self.containers.iter().position(|container| &*container.seen.image == quoted)
        });
        match index {
            Some(index) => self.containers[index].asking.hear(event),
            None if !self.seen && self.containers.len() < MAX_CONTAINERS => {
                let image = event.message.split('"').nth(1).unwrap_or_default().into();
                let (name, kind) = (event.container.clone(), ContainerKind::Main);
                let mut container = Container::new(ContainerSeen { name, kind, image, has_image: false, waiting: None }, &[]);
                container.asking.hear(event);
                self.containers.push(container);
            }
            None => {}
        }
    }

    fn is_waiting(&self) -> bool {
        self.seen && self.containers.iter().any(|container| matches!(container.stand(), Stand::Pulling | Stand::Failed))
    }
}

impl Container {
    fn new(seen: ContainerSeen, old: &[Self]) -> Self {
        let old = old.iter().find(|old| old.seen.name == seen.name && old.seen.image == seen.image);
        let (mut asking, told) = old.map(|old| (old.asking.clone(), old.told)).unwrap_or_default();
        asking.outdated &= old.is_some_and(|old| old.seen.waiting == seen.waiting);
        Self { image: seen.image.parse().ok(), seen, asking, told }
    }

    fn stand(&self) -> Stand {
        self.asking.stand(&self.seen)
    }

    fn wish(&self) -> Option<Wish> {
        let (image, asked) = (self.image.clone()?, self.asking.asked?);
        let stand = match self.stand() {
            Stand::Pulling => Wished::Pulling,
            Stand::Failed => self.asking.failure(&self.seen).and_then(|(at, failure)| Some(Wished::Failed(at?, failure)))?,
            Stand::Present => Wished::Pulled(self.asking.pulled?),
            Stand::Unasked => return None,
        };
        Some(Wish { image, stand, asked })
    }

    /// Whether this container waited for this pull: it is of the same image, and they were at the same time.
    fn waited_for(&self, pull: &Pull) -> bool {
        let (Some(image), Some(first)) = (&self.image, self.asking.first) else { return false };
        let until = (self.stand() == Stand::Present).then_some(self.asking.pulled).flatten();
        let in_time = until.is_none_or(|until| pull.started_at <= until + SLACK)
            && pull.ending.as_ref().is_none_or(|ending| ending.at + SLACK >= first);
        in_time && is_same_image(image, pull)
    }

    /// The end of its wait, the first time that it is asked for. Only a later end is another one.
    fn take_over(&mut self, pod: &PodKey, uid: &str, workload: Option<&Workload>, node: &NodeName) -> Option<WaitOver> {
        let (from, asked) = (self.asking.first?, self.asking.asked?);
        let (until, failure) = match self.stand() {
            Stand::Present => (self.asking.pulled?, None),
            // The status says so too, but not when; the event comes.
            Stand::Failed => {
                self.asking.failed.clone().filter(|(at, _)| *at >= asked).map(|(at, failure)| (at, Some(failure)))?
            }
            Stand::Unasked | Stand::Pulling => return None,
        };
        if self.told.is_some_and(|told| until <= told) {
            return None;
        }
        self.told = Some(until);
        Some(WaitOver {
            pod: pod.clone(),
            uid: uid.into(),
            container: self.seen.name.clone(),
            workload: workload.cloned(),
            node: node.clone(),
            image: self.image.clone(),
            from,
            asked: asked.min(until),
            until: until.max(from),
            failure,
        })
    }
}

/// The same repository, and the same tag or digest as far as both are known.
pub(super) fn is_same_image(image: &ImageRef, pull: &Pull) -> bool {
    let Some(pulled) = pull.image.as_ref().filter(|pulled| pulled.is_same_repository(image)) else { return false };
    match (image.digest(), pulled.digest().or(pull.digest.as_ref())) {
        (Some(wanted), Some(digest)) => wanted == digest,
        (Some(_), None) => pulled.tag().is_none() || pulled.tag() == image.tag(),
        (None, _) => pulled.tag().is_none() || pulled.tag() == image.tag(),
    }
}
