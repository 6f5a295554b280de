//! Plays scenes to a collector: keeps which pulls go on, and once a second tells the collector what is so now, as agents and a Kubernetes API
//! would. Scenes began [`LEAD`] ago, so that what takes minutes is there at once; pulls that were over by then never were.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use super::api::{Api, Resource};
use super::pods::{self, Placed};
use super::script::{Script, whole};
use super::told::{Speaker, Telling, heartbeat};
use super::{Cast, NodeRole, Scene};
use crate::clock::Seconds;

/// How long the scenes have been going on when the curtain rises, seconds.
pub const LEAD: f64 = 300.0;
/// A pod stays for so long after it has its image, or has it not, seconds.
const KEPT: f64 = 25.0;
/// Seconds between two heartbeats of a node.
const HEARTBEAT: f64 = 10.0;
/// Nodes of one request.
const TOGETHER: usize = 100;
/// In the image of a pull that happens again and again, the number of the round: another image each time.
const ROUND: &str = "{round}";

/// Scenes that are being played.
#[derive(Debug)]
pub struct Player {
    cluster: String,
    url: String,
    began: Seconds,
    nodes: Vec<NodeRole>,
    /// The next heartbeat of each node.
    beats: Vec<Seconds>,
    scripts: Vec<Next>,
    /// What goes on, in order of its begin.
    live: Vec<Live>,
    /// Pods that are to go, and when.
    leaving: VecDeque<(Seconds, Placed)>,
    http: ureq::Agent,
}

#[derive(Debug)]
struct Next {
    script: Script,
    at: Option<Seconds>,
    round: u64,
}

#[derive(Debug)]
struct Live {
    script: Script,
    began: Seconds,
    sequence: u64,
    pod: Option<Placed>,
}

impl Player {
    /// Raises the curtain for these scenes, with so many nodes for those that are about many. Reports go to the OTLP/HTTP URL of `/v1/logs`.
    #[must_use]
    pub fn new(scenes: &[Scene], nodes: usize, url: &str, api: &Api, now: Seconds) -> Self {
        let casts: Vec<Cast> = scenes.iter().map(|scene| (scene.cast)(scene.name, nodes)).collect();
        let (mut nodes, mut scripts) = (Vec::new(), Vec::new());
        for cast in casts {
            nodes.extend(cast.nodes);
            scripts.extend(cast.scripts);
        }
        nodes.iter().for_each(|node| api.put(Resource::Nodes, pods::node(&node.name)));
        let began = now - LEAD;
        let scripts = scripts.into_iter().map(|script| {
            let (lasts, every) = (script.lasts(), script.every.unwrap_or(f64::INFINITY));
            // The first round that is not over yet.
            let over = ((LEAD - script.at - lasts) / every).ceil().max(0.0);
            let missed = over > 0.0 && script.every.is_none();
            let round = if every.is_finite() { over } else { 0.0 };
            let at = (!missed).then_some(began + script.at + if round > 0.0 { round * every } else { 0.0 });
            Next { script, at, round: whole(round) }
        });
        let http = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
        Self {
            cluster: "scene".to_owned(),
            url: url.to_owned(),
            began: now,
            beats: vec![now; nodes.len()],
            nodes,
            scripts: scripts.collect(),
            live: Vec::new(),
            leaving: VecDeque::new(),
            http,
        }
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Tells what is so now. To be called about once a second.
    ///
    /// # Errors
    /// When the collector does not take it, with its words.
    pub fn tick(&mut self, api: &Api, now: Seconds) -> Result<(), String> {
        self.begin(api, now);
        let records = self.records(api, now);
        while self.leaving.front().is_some_and(|(at, _)| *at <= now) {
            self.leaving.pop_front().into_iter().for_each(|(_, pod)| pod.remove(api));
        }
        let parts: Vec<Value> = records
            .iter()
            .map(|(node, records)| Speaker { node: &self.nodes[*node].name, cluster: &self.cluster }.says(records))
            .collect();
        parts.chunks(TOGETHER).try_for_each(|parts| {
            let body = json!({"resourceLogs": parts}).to_string();
            let mut answer = self.http.post(&self.url).content_type("application/json").send(body).map_err(|e| e.to_string())?;
            let said = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
            if said == "{}" { Ok(()) } else { Err(said) }
        })
    }

    /// Begins what is due.
    fn begin(&mut self, api: &Api, now: Seconds) {
        for next in &mut self.scripts {
            while let Some(began) = next.at.filter(|at| *at <= now) {
                let image = next.script.image.replace(ROUND, &next.round.to_string());
                let script = Script { image, ..next.script.clone() };
                let place = |of| Placed::new(api, &script, of, &script.image, next.round, began);
                let pod = script.pod.as_ref().map(place);
                self.live.push(Live { script, began, sequence: 0, pod });
                next.round += 1;
                next.at = next.script.every.map(|every| began + every);
            }
        }
    }

    /// What each node has to say; what has ended is told for the last time.
    fn records(&mut self, api: &Api, now: Seconds) -> BTreeMap<usize, Vec<Value>> {
        let by_name: BTreeMap<String, usize> = self.nodes.iter().enumerate().map(|(i, node)| (node.name.clone(), i)).collect();
        let (mut records, mut active) = (BTreeMap::<usize, Vec<Value>>::new(), vec![0; self.nodes.len()]);
        let mut live = std::mem::take(&mut self.live);
        live.retain_mut(|live| {
            let Some(&node) = by_name.get(&live.script.node) else { return false };
            let (role, late) = (&self.nodes[node], self.nodes[node].late);
            let state = live.script.state(now - late - live.began);
            live.sequence += 1;
            if !role.mute && !self.is_silent(node, now) && now - late >= live.began {
                let told =
                    Telling { script: &live.script, began: live.began, state: &state, sequence: live.sequence, now: now - late };
                records.entry(node).or_default().push(told.record());
            }
            if let (Some(at), Some(pod)) = (state.ended, live.pod.take_if(|_| state.ended.is_some())) {
                pod.end(api, &live.script.end, live.began + at);
                self.leaving.push_back((now + KEPT, pod));
            }
            active[node] += usize::from(state.ended.is_none());
            state.ended.is_none()
        });
        self.live = live;
        for (node, active) in active.into_iter().enumerate() {
            if self.beats[node] <= now && !self.is_silent(node, now) {
                self.beats[node] = now + HEARTBEAT;
                let role = &self.nodes[node];
                records.entry(node).or_default().push(heartbeat(now - role.late, active, &role.queued));
            }
        }
        records
    }

    fn is_silent(&self, node: usize, now: Seconds) -> bool {
        self.nodes[node].silent_after.is_some_and(|after| now > self.began + after)
    }
}
