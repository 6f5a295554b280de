//! What the agent's shell does: connects, carries questions to containerd and answers back, and hands reports to the outbox. With all the
//! bad luck that it may have: events that are missed, surveys that take long, answers that fail or come late, a connection that breaks.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use lifecycle::{
    image::{Digest, ImageRef},
    pull::{Node, Pull},
    time::Timestamp,
    track::{
        Answer, ContentFacts, Event, ImageRecord, Ingest, Inventory, Lease, LeaseKey, Output, Pace, Question, Reference,
        Resource, Runtime, Seen, SnapshotFacts, Subject, Survey, Tracker,
    },
};

use super::{
    channel::Outbox,
    containerd::{Containerd, NAMESPACE, at},
    history::BadLuck,
    luck::Luck,
    store,
};

/// Pause before the next attempt to connect, milliseconds.
const RECONNECT: u64 = 250;
/// Looks while nothing runs: where writes wake the agent, and where they do not.
const IDLE: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(5)];
pub(super) const VERSION: &str = "0.1.0";

/// One life of the agent.
pub(super) struct Agent {
    tracker: Tracker,
    link: Link,
    jobs: Vec<Job>,
    inbox: VecDeque<(u64, Seen)>,
    writes: u64,
    pub(super) outbox: Outbox,
}

enum Link {
    Down { retry_at: u64 },
    Up,
}

/// A question on its way.
struct Job {
    due: u64,
    what: Work,
}

enum Work {
    /// Leases are listed first, then what they hold, then the ingests: containerd has no call for all of it.
    Survey {
        survey: Survey,
        stage: u8,
        ingests: bool,
        dull: BTreeSet<LeaseKey>,
    },
    About(LeaseKey, Subject),
}

/// What came of one step.
#[derive(Default)]
pub(super) struct Said {
    /// States of pulls, in the order in which they were told.
    pub(super) pulls: Vec<Pull>,
    /// Leases that a survey showed with something in them.
    pub(super) listed: Vec<(String, Timestamp)>,
    /// Whether the tracker wants to be woken at once again, though it was just woken.
    pub(super) restless: bool,
}

impl Agent {
    pub(super) fn new(node: Node, stirs: bool, now: u64) -> Self {
        let pace = Pace { idle: IDLE[usize::from(!stirs)], active: Duration::from_millis(500) };
        Self {
            tracker: Tracker::new(node, VERSION, pace),
            link: Link::Down { retry_at: now },
            jobs: Vec::new(),
            inbox: VecDeque::new(),
            writes: 0,
            outbox: Outbox::default(),
        }
    }

    pub(super) const fn node(&self) -> &Node {
        self.tracker.node()
    }

    /// When something is to be done without anything happening in containerd; not before `now`.
    pub(super) fn next(&self) -> Option<u64> {
        let deadline = self.tracker.next_deadline().map(|deadline| deadline.since(at(0)).as_millis() + 1);
        let deadline = deadline.and_then(|millis| u64::try_from(millis).ok());
        let retry = match self.link {
            Link::Down { retry_at } => Some(retry_at),
            Link::Up => None,
        };
        let jobs = self.jobs.iter().map(|job| job.due).min();
        [deadline, retry, jobs, self.inbox.front().map(|(due, _)| *due)].into_iter().flatten().min()
    }

    /// Cuts the connection.
    pub(super) fn cut(&mut self, now: u64, said: &mut Said) {
        if matches!(self.link, Link::Up) {
            self.link = Link::Down { retry_at: now };
            self.jobs.clear();
            self.inbox.clear();
            self.observe(Seen::Disconnected, now, said, &mut Luck::new(0), 0);
        }
    }

    /// Does everything that is due.
    pub(super) fn step(&mut self, world: &mut Containerd, events: &[Event], bad: &BadLuck, luck: &mut Luck) -> Said {
        let (now, mut said) = (world.now, Said::default());
        match self.link {
            Link::Up if !world.up => self.cut(now, &mut said),
            Link::Down { retry_at } if now >= retry_at && world.up => self.connect(world, &mut said, luck),
            Link::Down { retry_at } if now >= retry_at => self.link = Link::Down { retry_at: now + RECONNECT },
            Link::Up => self.listen(world, events, bad, luck, &mut said),
            Link::Down { .. } => {}
        }
        while self.inbox.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, seen)) = self.inbox.pop_front() else { break };
            self.observe(seen, now, &mut said, luck, bad.answer_delay);
        }
        while let Some(n) = self.jobs.iter().position(|job| job.due <= now) {
            let job = self.jobs.swap_remove(n);
            self.work(job, world, bad, luck, &mut said);
        }
        if self.tracker.next_deadline().is_some_and(|deadline| deadline <= at(now)) {
            self.tracker.tick(at(now));
            self.collect(now, &mut said, luck, bad.answer_delay);
            said.restless = self.tracker.next_deadline().is_some_and(|deadline| deadline <= at(now));
        }
        said
    }

    fn connect(&mut self, world: &Containerd, said: &mut Said, luck: &mut Luck) {
        self.link = Link::Up;
        self.writes = world.store.writes;
        let runtime = Runtime {
            version: "2.1.9".to_owned(),
            uuid: "the-runtime".to_owned(),
            pid: world.pid,
            started_at: world.plan.start_visible.then_some(world.born),
        };
        self.observe(Seen::Connected(runtime), world.now, said, luck, 0);
    }

    fn listen(&mut self, world: &Containerd, events: &[Event], bad: &BadLuck, luck: &mut Luck, said: &mut Said) {
        for event in events {
            if !luck.percent(bad.event_lost) {
                let last = self.inbox.back().map_or(0, |(due, _)| *due);
                let due = (world.now + luck.below(bad.event_delay + 1)).max(last);
                self.inbox.push_back((due, Seen::Event(event.clone())));
            }
        }
        if bad.stirs && world.store.writes != self.writes {
            self.writes = world.store.writes;
            self.observe(Seen::Stirred, world.now, said, luck, bad.answer_delay);
        }
    }

    fn observe(&mut self, seen: Seen, now: u64, said: &mut Said, luck: &mut Luck, delay: u64) {
        self.tracker.observe(seen, at(now));
        self.collect(now, said, luck, delay);
    }

    /// Takes what the tracker wants. Without a connection questions are dropped.
    fn collect(&mut self, now: u64, said: &mut Said, luck: &mut Luck, delay: u64) {
        while let Some(output) = self.tracker.poll() {
            match output {
                Output::Ask(_) if matches!(self.link, Link::Down { .. }) => {}
                Output::Ask(Question::Survey { ingests }) => {
                    let survey = Survey { taken_at: at(now), ..Survey::default() };
                    let dull = self.tracker.dull();
                    self.jobs.push(Job { due: now, what: Work::Survey { survey, stage: 0, ingests, dull } });
                }
                Output::Ask(Question::About(key, subject)) => {
                    self.jobs.push(Job { due: now + luck.below(delay + 1), what: Work::About(key, subject) });
                }
                Output::Pull { first, pull } => {
                    said.pulls.push((*pull).clone());
                    self.outbox.pull(first, *pull);
                }
                Output::Node(report) => self.outbox.node(report),
            }
        }
    }

    fn work(&mut self, job: Job, world: &Containerd, bad: &BadLuck, luck: &mut Luck, said: &mut Said) {
        match job.what {
            Work::About(key, subject) => {
                let answer = if luck.percent(bad.unavailable) { Answer::Unavailable } else { answer(world, &subject) };
                self.observe(Seen::Answer(key, subject, answer), world.now, said, luck, bad.answer_delay);
            }
            Work::Survey { mut survey, stage, ingests, dull } => {
                look(world, &mut survey, stage, ingests, &dull);
                if stage < 3 {
                    let due = world.now + luck.below(bad.survey_delay / 3 + 1);
                    self.jobs.push(Job { due, what: Work::Survey { survey, stage: stage + 1, ingests, dull } });
                    return;
                }
                for lease in survey.namespaces.values().flat_map(|inventory| &inventory.leases) {
                    if !lease.resources.is_empty() {
                        said.listed.push((lease.id.clone(), lease.created_at));
                    }
                }
                self.observe(Seen::Survey(survey), world.now, said, luck, bad.answer_delay);
            }
        }
    }
}

/// One of the calls that make a survey.
fn look(world: &Containerd, survey: &mut Survey, stage: u8, ingests: bool, dull: &BTreeSet<LeaseKey>) {
    let inventory: &mut Inventory = survey.namespaces.entry(NAMESPACE.to_owned()).or_default();
    let is_dull = |id: &str| dull.contains(&LeaseKey { namespace: NAMESPACE.to_owned(), lease: id.to_owned() });
    match stage {
        0 => {
            let lease = |(id, lease): (&String, &store::Lease)| Lease {
                id: id.clone(),
                created_at: lease.created_at,
                resources: Vec::new(),
            };
            inventory.leases = world.store.leases.iter().map(lease).collect();
        }
        1 => {
            inventory.leases.retain(|lease| is_dull(&lease.id) || world.store.leases.contains_key(&lease.id));
            for lease in inventory.leases.iter_mut().filter(|lease| !is_dull(&lease.id)) {
                lease.resources.clone_from(&world.store.leases[&lease.id].resources);
            }
        }
        2 if ingests || inventory.leases.iter().any(|lease| !is_dull(&lease.id)) => {
            let ingest = |(blob, ingest): (&Digest, &store::Ingest)| Ingest {
                reference: Reference { kind: ingest.kind.to_owned(), digest: blob.clone() },
                offset: ingest.offset,
                total: ingest.total,
                started_at: ingest.started_at,
                updated_at: ingest.updated_at,
            };
            inventory.ingests = world.store.ingests.iter().map(ingest).collect();
        }
        _ => {}
    }
}

/// What containerd answers now.
fn answer(world: &Containerd, subject: &Subject) -> Answer {
    let (store, now) = (&world.store, at(world.now));
    let record = |(name, written): (&String, &store::Written)| ImageRecord {
        name: if name.starts_with("sha256:") { None } else { name.parse().ok() },
        target: written.target.clone(),
        created_at: written.created_at,
        updated_at: written.updated_at,
    };
    match subject {
        Subject::Blob(digest) => {
            let documents = || world.images.iter().flat_map(|image| &image.documents);
            let here = store.content.contains_key(digest);
            Answer::Blob(documents().find(|d| here && d.digest == *digest).map(|d| d.bytes.clone()))
        }
        Subject::Content(digest) => Answer::Content(store.content.get(digest).map(|content| {
            let image = content.document_of.filter(|_| now >= content.labelled_at).map(|n| &world.images[n]);
            let document = image.and_then(|image| image.documents.iter().find(|d| d.digest == *digest));
            ContentFacts {
                created_at: content.created_at,
                labelled_at: if now >= content.labelled_at { content.labelled_at } else { content.created_at },
                size: content.size,
                has_children: document.is_some_and(|d| d.has_children),
                sources: image
                    .and_then(|i| ImageRef::repository_only(i.name.registry(), i.name.repository()).ok())
                    .into_iter()
                    .collect(),
            }
        })),
        Subject::Snapshot { key, .. } => {
            let chain = key.parse().ok().and_then(|chain: Digest| store.chains.get(&chain));
            let created_at = chain.or_else(|| store.extractions.get(key)).copied();
            let named = world.plan.names_snapshots && chain.is_none();
            let is_it = |r: &Resource| matches!(r, Resource::Extraction { key: open, .. } if open.as_str() == key.as_str());
            let lease = store.leases.iter().find(|(_, lease)| named && lease.resources.iter().any(is_it)).map(|(id, _)| id);
            let image = world.pulls.iter().find(|pull| Some(&pull.lease) == lease).map(|pull| &world.images[pull.image]);
            Answer::Snapshot(created_at.map(|created_at| SnapshotFacts {
                created_at,
                image: image.map(|i| i.name.clone()),
                remote: false,
            }))
        }
        Subject::ImagesOf(target) => {
            Answer::Images(store.records.iter().map(record).filter(|record| record.target == *target).collect())
        }
        Subject::ImageNamed(name) => Answer::Images(store.records.get_key_value(name).map(record).into_iter().collect()),
    }
}
