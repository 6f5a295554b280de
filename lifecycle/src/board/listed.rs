//! Pulls that come as lists: an agent of another make tells at every turn which downloads it sees, and nothing else. What began, went on and
//! ended is found here, by comparing one list with the next and with the kubelet's word.
//!
//! Such an agent never says that a pull ended, nor how: a pull vanishes from its lists. It is ready when the kubelet says so, or when every byte
//! of a pull whose total is known was there; failed when the kubelet says so; else nobody knows, and it is lost. A node with an agent of
//! ours listens to that one alone. How a list is written is the business of whoever receives it.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
    time::Duration,
};

use super::{
    Board,
    agents::{AgentKey, LISTER},
    entry::{Entry, Standing},
    pods::{SLACK, Wished, is_same_image},
    room::Room,
};
use crate::{
    image::{Digest, ImageRef},
    pull::{Ending, Host, Interval, Layer, LayerState, Node, NodeName, Outcome, Phase, Pull, PullId, Report, TimingSource, Wait},
    time::Timestamp,
};

/// Most layers that are kept of one listed pull; of the others no byte is counted, and its total is said to be open.
pub const MAX_LISTED_LAYERS: usize = 512;
/// A list that is older than the one before by less than this is late; one that is older still comes from a clock that was set.
const LATE: Duration = Duration::from_secs(60);
/// What a kubelet said so long after the last list that names a pull is about another one.
const RECENT: Duration = Duration::from_secs(600);
/// A listed pull of which no byte came for so long is stalled: such agents keep listing what a client has left behind.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// The namespace that such agents watch.
const NAMESPACE: &str = "k8s.io";

/// Everything that is downloaded on a node, as its agent lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Which node.
    pub node: NodeName,
    /// Name of its cluster; empty if none is known.
    pub cluster: String,
    /// When this was so, by the node's clock.
    pub at: Timestamp,
    /// The pulls.
    pub pulls: Vec<Listed>,
}

/// One pull of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The image; `None` where the agent sees a download and not what it is for. All of these are shown as one pull.
    pub image: Option<ImageRef>,
    /// When it began.
    pub started_at: Timestamp,
    /// Whether these are all layers. Of a pull without a name that is not believed.
    pub total_known: bool,
    /// Its layers.
    pub layers: Vec<ListedLayer>,
}

/// One download of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedLayer {
    /// Digest of the blob.
    pub digest: Digest,
    /// Its media type; empty if unknown.
    pub media_type: String,
    /// Its size, bytes; `None` while unknown.
    pub size: Option<u64>,
    /// Bytes that are here; at most the size.
    pub fetched: u64,
}

/// The agents that send lists, by their nodes. No more than there are agents.
pub(super) type Listers = BTreeMap<NodeName, Lister>;

/// What the last list said.
#[derive(Debug, Default)]
pub(super) struct Lister {
    at: Timestamp,
    /// Its pulls, and how many bytes they had since when.
    pulls: BTreeMap<PullId, (u64, Timestamp)>,
    /// The pull that stands for all downloads without a name.
    nameless: Option<PullId>,
}

impl Board {
    /// Takes in a list.
    pub(super) fn observe_listing(&mut self, listing: Listing, now: Timestamp) {
        let node = speaker(&listing);
        let key = AgentKey::of(&node);
        if self.agents.is_watched_beside(&key) {
            self.counts.refused_other_agent += 1;
            self.withdraw_lists(&listing.node);
            return;
        }
        let last = self.listers.get(&listing.node).map_or(Timestamp::EPOCH, |lister| lister.at);
        if listing.at <= last && last.since(listing.at) < LATE {
            self.counts.refused_stale += 1;
            return;
        }
        if self.agents.hear(&key, &node, Duration::ZERO, self.limits.nodes, now).is_none() {
            self.counts.refused_capacity += 1;
            return;
        }
        self.counts.accepted += 1;
        let (at, name) = (listing.at, listing.node.clone());
        let mut pulls = BTreeMap::new();
        for (nameless, listed) in merged(listing.pulls) {
            let id = self.listed_id(&name, nameless, &listed);
            if nameless {
                self.listers.entry(name.clone()).or_default().nameless = Some(id);
            }
            let btree_map::Entry::Vacant(place) = pulls.entry(id) else { continue };
            let moved = *place.insert(self.last_moved(&name, id, &listed, at));
            let since = (at.since(moved.1) >= STALLED_AFTER).then_some(moved.1);
            self.take_listed(&node, id, listed, (at, since), now);
        }
        let lister = self.listers.entry(name.clone()).or_default();
        (lister.at, lister.pulls) = (at, pulls);
        self.settle_listed(&name, now);
        if self.pods.knows(&name) || self.coarse.contains_key(&name) {
            self.relate(&name, now);
        }
    }

    /// Ends what has ended of a node's listed pulls.
    pub(super) fn settle_listed(&mut self, name: &NodeName, now: Timestamp) {
        let Some(lister) = self.listers.get(name) else { return };
        let open: Vec<_> = self.agents.open(&AgentKey::of(&lister_node(name, ""))).collect();
        let gone: BTreeSet<_> = open.iter().filter(|id| !lister.pulls.contains_key(id)).copied().collect();
        for id in open {
            let Some(entry) = self.pulls.get(&id) else { continue };
            let pull = entry.whole();
            let said = self.kubelet_says(name, &pull);
            let standing = match (said, gone.contains(&id)) {
                (Some(Wished::Pulled(at)), _) => Some(Ending { outcome: Outcome::Ready, at, source: TimingSource::Event }),
                (Some(Wished::Failed(at, failure)), true) => {
                    Some(Ending { outcome: Outcome::Failed(failure), at, source: TimingSource::Event })
                }
                (Some(Wished::Pulling), true) | (_, false) => continue,
                (None, true) => {
                    complete_at(&pull).map(|at| Ending { outcome: Outcome::Ready, at, source: TimingSource::Inferred })
                }
            };
            self.end_listed(id, standing, now);
        }
    }

    /// Forgets the running pulls that were listed of a node, because an agent of ours tells of them.
    pub(super) fn withdraw_lists(&mut self, name: &NodeName) {
        if self.listers.remove(name).is_some() {
            let open: Vec<_> = self.agents.open(&AgentKey::of(&lister_node(name, ""))).collect();
            for id in open {
                self.remove(id);
            }
        }
    }

    /// How many bytes a pull has, and since when.
    fn last_moved(&self, node: &NodeName, id: PullId, listed: &Listed, at: Timestamp) -> (u64, Timestamp) {
        let bytes = listed.layers.iter().map(|layer| layer.fetched).fold(0, u64::saturating_add);
        let before = self.listers.get(node).and_then(|lister| lister.pulls.get(&id)).copied();
        before.filter(|(had, since)| *had == bytes && *since <= at).unwrap_or((bytes, at))
    }

    /// Takes in one pull as it was `at`, of which no byte has come since a time if one is given.
    fn take_listed(
        &mut self,
        node: &Node,
        id: PullId,
        listed: Listed,
        (at, stalled): (Timestamp, Option<Timestamp>),
        now: Timestamp,
    ) {
        let known = self.pulls.get(&id).map(AsRef::as_ref);
        if known.is_some_and(Entry::is_final) {
            return;
        }
        let before = known.map(|entry| entry.whole());
        let named = listed.image.clone().or_else(|| before.as_ref().and_then(|before| before.image.clone()));
        let image = named.or_else(|| self.only_wish(&node.name));
        let mut pull = pull(id, image, listed, at, before.as_deref());
        let is_whole = pull.layers.iter().all(Layer::is_complete);
        pull.wait = stalled.filter(|_| !is_whole).map(|since| Wait::Stalled { since });
        let (key, room) = (AgentKey::of(node), Room::of(known, &pull));
        if !self.make_room(&key, room) {
            self.counts.refused_capacity += 1;
            return;
        }
        self.put(Entry::new(Report { node: Arc::new(node.clone()), pull }, key, now), now);
    }

    /// The id of a listed pull: what its list says of it, or for downloads without a name the pull that stands for them as long as it runs.
    fn listed_id(&self, node: &NodeName, nameless: bool, listed: &Listed) -> PullId {
        let known = self.listers.get(node).and_then(|lister| lister.nameless).filter(|_| nameless);
        let running =
            known.filter(|id| self.pulls.get(id).is_some_and(|entry| is_continued(&entry.whole(), listed) && entry.is_running()));
        running.unwrap_or_else(|| {
            let image = listed.image.as_ref().map(ToString::to_string).unwrap_or_default();
            PullId::derive(&lister_uid(node), NAMESPACE, &image, listed.started_at)
        })
    }

    /// The image that the node's kubelet pulls, if it is one alone.
    fn only_wish(&self, node: &NodeName) -> Option<ImageRef> {
        let wishes = self.pods.wishes(node);
        let images: BTreeSet<_> = wishes.iter().filter(|wish| wish.stand == Wished::Pulling).map(|wish| &wish.image).collect();
        images.first().filter(|_| images.len() == 1).map(|image| (*image).clone())
    }

    /// What the node's kubelet last said of this pull.
    fn kubelet_says(&self, node: &NodeName, pull: &Pull) -> Option<Wished> {
        let of_this = |at: Timestamp| at + SLACK >= pull.started_at && at <= pull.observed_at + RECENT;
        let stands = self.pods.wishes(node).into_iter().filter(|wish| is_same_image(&wish.image, pull)).map(|wish| wish.stand);
        let dated = stands.filter_map(|stand| match &stand {
            Wished::Pulling => Some((Timestamp::EPOCH, stand)),
            Wished::Pulled(at) | Wished::Failed(at, _) => of_this(*at).then_some((*at, stand)),
        });
        dated.max_by_key(|(at, _)| *at).map(|(_, stand)| stand)
    }

    /// Ends a listed pull; as lost if nobody knows how.
    fn end_listed(&mut self, id: PullId, ending: Option<Ending>, now: Timestamp) {
        let Some(before) = self.pulls.get(&id) else { return };
        if ending.is_none() && !before.is_running() {
            return;
        }
        let after = match ending {
            None => Entry { standing: Standing::Lost { at: now, silent: false }, ..Entry::clone(before) },
            Some(ending) => {
                let mut pull = Pull { sequence: before.pull.sequence + 1, bytes_per_sec: None, ..before.whole().into_owned() };
                if ending.outcome == Outcome::Ready {
                    pull.layers.iter_mut().for_each(|layer| (layer.state, layer.fetched) = (LayerState::Ready, layer.size));
                }
                pull.observed_at = pull.observed_at.max(ending.at);
                pull.ending = Some(ending);
                Entry::new(Report { node: before.node.clone(), pull }, before.agent.clone(), now)
            }
        };
        self.put(after, now);
    }
}

/// Whether a list goes on with the downloads of a pull.
fn is_continued(pull: &Pull, listed: &Listed) -> bool {
    pull.layers.is_empty() || listed.layers.iter().any(|layer| pull.layers.iter().any(|known| known.digest == layer.digest))
}

/// When the last byte was seen, if all are here and it is known that these are all.
fn complete_at(pull: &Pull) -> Option<Timestamp> {
    let all = pull.total_known && !pull.layers.is_empty() && pull.layers.iter().all(Layer::is_complete);
    all.then(|| pull.layers.iter().filter_map(|layer| layer.download.end).max().unwrap_or(pull.observed_at))
}

/// The pulls with a name, and all downloads without one together; `true` for that one.
fn merged(pulls: Vec<Listed>) -> Vec<(bool, Listed)> {
    let (mut named, mut nameless) = (Vec::new(), None::<Listed>);
    for pull in pulls {
        match (&pull.image, &mut nameless) {
            (Some(_), _) => named.push((false, pull)),
            (None, Some(all)) => {
                all.started_at = all.started_at.min(pull.started_at);
                all.layers.extend(pull.layers);
            }
            (None, empty) => *empty = Some(Listed { total_known: false, ..pull }),
        }
    }
    named.extend(nameless.map(|all| (true, all)));
    named
}

fn pull(id: PullId, image: Option<ImageRef>, mut listed: Listed, at: Timestamp, before: Option<&Pull>) -> Pull {
    let total_known = listed.total_known
        && !listed.layers.is_empty()
        && listed.layers.len() <= MAX_LISTED_LAYERS
        && listed.layers.iter().all(|layer| layer.size > Some(0));
    let mut digests = BTreeSet::new();
    listed.layers.retain(|layer| digests.len() < MAX_LISTED_LAYERS && digests.insert(layer.digest.clone()));
    let layers: Vec<_> = listed.layers.into_iter().map(|layer| self::layer(layer, at, before)).collect();
    let phase = match (layers.is_empty(), total_known && layers.iter().all(Layer::is_complete)) {
        (true, _) => Phase::Resolving,
        (false, false) => Phase::Downloading,
        (false, true) => Phase::Unpacking,
    };
    let mut pull = Pull {
        id,
        sequence: before.map_or(1, |before| before.sequence + 1),
        namespace: NAMESPACE.to_owned(),
        image,
        digest: None,
        snapshotter: String::new(),
        phase: before.map_or(phase, |before| before.phase.max(phase)),
        wait: None,
        waits: Vec::new(),
        ending: None,
        started_at: before.map_or(listed.started_at, |before| before.started_at),
        resolved_at: None,
        observed_at: at,
        total_known,
        bytes_per_sec: None,
        eta: None,
        host: Host::default(),
        layers,
    };
    pull.bytes_per_sec = before.filter(|_| phase == Phase::Downloading).and_then(|before| speed(before, &pull));
    pull
}

fn layer(listed: ListedLayer, at: Timestamp, before: Option<&Pull>) -> Layer {
    let before = before.and_then(|pull| pull.layers.iter().find(|layer| layer.digest == listed.digest));
    let is_complete = listed.size.is_some_and(|size| size > 0 && listed.fetched >= size);
    let start = before.map_or(Some(at), |before| before.download.start);
    let end = is_complete.then(|| before.and_then(|before| before.download.end).unwrap_or(at));
    Layer {
        digest: listed.digest,
        media_type: listed.media_type.into(),
        // Without its size a layer has at least the bytes that came, and one more.
        size: listed.size.unwrap_or(listed.fetched + 1),
        fetched: listed.fetched,
        cached: false,
        lazy: false,
        state: if is_complete { LayerState::Downloaded } else { LayerState::Downloading },
        download: Interval { start, end, source: TimingSource::Poll },
        unpack: Interval::default(),
    }
}

/// Bytes per second since the last list, of the layers that are in both.
fn speed(before: &Pull, now: &Pull) -> Option<u64> {
    let took = now.observed_at.since(before.observed_at).as_millis();
    let old = |layer: &Layer| before.layers.iter().find(|old| old.digest == layer.digest).map(|old| old.fetched);
    let more: u128 = now.layers.iter().filter_map(|layer| Some(u128::from(layer.fetched.saturating_sub(old(layer)?)))).sum();
    (took > 0).then(|| u64::try_from(more * 1000 / took).unwrap_or(u64::MAX)).filter(|rate| *rate > 0)
}

fn speaker(listing: &Listing) -> Node {
    lister_node(&listing.node, &listing.cluster)
}

/// The agent as the speaker for its pulls; its uid is none that an agent of ours has.
fn lister_node(name: &NodeName, cluster: &str) -> Node {
    Node {
        name: name.clone(),
        uid: lister_uid(name),
        cluster: cluster.to_owned(),
        runtime_name: "containerd".to_owned(),
        runtime_version: String::new(),
    }
}

fn lister_uid(name: &NodeName) -> String {
    format!("{LISTER}{name}")
}
