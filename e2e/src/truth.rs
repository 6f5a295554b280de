//! What containerd really did, from two witnesses that are not Pulltrace: the output of `ctr events`, and the files of the content
//! store, looked at every 20 ms.
//!
//! The store writes `ingest/<hash>/{ref,startedat,total,data}` while a blob arrives and sets the modification time of
//! `blobs/sha256/<hex>` when it commits it; `startedat` survives a resume. The events say when a snapshot was prepared and committed
//! and, from 2.1 on, when a blob was committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::clock::{self, Seconds};
use crate::containerd::Containerd;
use crate::http::lock;
use crate::image::{self, Image};
use crate::process::Process;

/// How often the ingest folder is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// One event of containerd.
#[derive(Debug, Clone)]
pub struct Event {
    /// containerd's own time of it.
    pub at: Seconds,
    /// The containerd namespace.
    pub namespace: String,
    /// For example `/snapshot/commit`.
    pub topic: String,
    /// Its fields.
    pub payload: Value,
}

/// A blob that was seen arriving.
#[derive(Debug, Clone, Default)]
pub struct Ingest {
    /// When containerd opened it, in its own words (`startedat`).
    pub opened: Option<Seconds>,
    /// When its first bytes were seen.
    pub first_bytes: Option<Seconds>,
    /// Bytes to come, as containerd recorded them.
    pub total: u64,
    /// Most bytes seen.
    pub most: u64,
    /// Whether fewer bytes were seen after more.
    pub fell: bool,
}

/// One layer's times, from both witnesses.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The layer's digest.
    pub digest: String,
    /// When its download was opened; with containerd 2.1 and later this includes waiting for a download slot.
    pub opened: Option<Seconds>,
    /// When its first bytes were seen, late by at most a look and the mebibyte containerd collects before it writes.
    pub first_bytes: Option<Seconds>,
    /// When it was committed: by its event where there is one, else by its file.
    pub committed: Option<Seconds>,
    /// When unpacking began: its snapshot was prepared and its blob was there.
    pub unpack_started: Option<Seconds>,
    /// When unpacking ended: its snapshot was committed.
    pub unpack_ended: Option<Seconds>,
}

/// Both witnesses of one containerd, watching from [`Truth::watch`] on.
#[derive(Debug)]
pub struct Truth {
    events: Process,
    content: PathBuf,
    seen: Arc<Mutex<BTreeMap<String, Ingest>>>,
    stop: Arc<AtomicBool>,
    watching: Option<JoinHandle<()>>,
}

impl Truth {
    /// Begins to watch and returns when both witnesses see.
    ///
    /// # Panics
    /// When no event comes within 15 s.
    #[must_use]
    pub fn watch(containerd: &Containerd) -> Self {
        let socket = containerd.socket().display().to_string();
        let args = ["--address", &socket, "events"];
        let events = Process::spawn("ctr-events", containerd.folder(), &containerd.program("ctr"), &args, &[]);
        let (seen, stop): (Arc<Mutex<BTreeMap<String, Ingest>>>, Arc<AtomicBool>) = Default::default();
        let (content, into, stopped) = (containerd.content(), seen.clone(), stop.clone());
        let ingests = content.join("ingest");
        let watching = std::thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                look(&ingests, &into);
                clock::pause(LOOK);
            }
        });
        let truth = Self { events, content, seen, stop, watching: Some(watching) };
        // Subscribing takes a moment; what shows that it is done is an event, so cause some.
        clock::until("an event of containerd", Duration::from_secs(15), || {
            containerd.ctr(&["namespaces", "create", "truth"]);
            containerd.ctr(&["namespaces", "remove", "truth"]);
            (!truth.events().is_empty()).then_some(())
        });
        truth
    }

    /// The events so far, in containerd's order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.events.stdout().lines().filter_map(event).collect()
    }

    /// How a blob arrived, if it was seen arriving.
    #[must_use]
    pub fn ingest(&self, digest: &str) -> Option<Ingest> {
        lock(&self.seen).get(digest).cloned()
    }

    /// When a blob was committed, by its file.
    #[must_use]
    pub fn blob(&self, digest: &str) -> Option<Seconds> {
        let file = self.content.join("blobs").join(digest.replace(':', "/"));
        let time = fs::metadata(file).ok()?.modified().ok()?;
        Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
    }

    /// The times of an image's layers, base first.
    #[must_use]
    pub fn layers(&self, image: &Image) -> Vec<Layer> {
        let events = self.events();
        let at = |topic: &str, field: &str, holds: &dyn Fn(&str) -> bool| {
            let named = |e: &&Event| e.topic == topic && e.payload[field].as_str().is_some_and(holds);
            events.iter().rev().find(named).map(|e| e.at)
        };
        let of = |layer: &image::Layer| {
            let ingest = self.ingest(&layer.digest).unwrap_or_default();
            let created = at("/content/create", "digest", &|d| d == layer.digest);
            let committed = created.or_else(|| self.blob(&layer.digest));
            let extracted = |key: &str| key.starts_with("extract-") && key.ends_with(&layer.chain_id);
            let prepared = at("/snapshot/prepare", "key", &extracted);
            Layer {
                digest: layer.digest.clone(),
                opened: ingest.opened,
                first_bytes: ingest.first_bytes,
                committed,
                unpack_started: prepared.zip(committed).map(|(p, c)| p.max(c)),
                unpack_ended: at("/snapshot/commit", "name", &|n| n == layer.chain_id),
            }
        };
        image.layers.iter().map(of).collect()
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.watching.take().map(JoinHandle::join);
    }
}

/// One look at every ingest. A file that is gone meanwhile was committed or given up.
fn look(ingests: &Path, into: &Mutex<BTreeMap<String, Ingest>>) {
    for folder in fs::read_dir(ingests).into_iter().flatten().flatten().map(|e| e.path()) {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let Some(digest) = read("ref").and_then(|r| r.find("sha256:").map(|at| r[at..].to_owned())) else { continue };
        let Ok(data) = fs::metadata(folder.join("data")) else { continue };
        let mut seen = lock(into);
        let ingest = seen.entry(digest).or_default();
        ingest.opened = ingest.opened.or_else(|| clock::parse(read("startedat")?.trim()));
        ingest.total = read("total").and_then(|t| t.parse().ok()).unwrap_or(ingest.total);
        if data.len() > 0 && ingest.first_bytes.is_none() {
            ingest.first_bytes = Some(clock::now());
        }
        ingest.fell |= data.len() < ingest.most;
        ingest.most = ingest.most.max(data.len());
    }
}

/// A line of `ctr events`: date, time, offset, zone, namespace, topic, fields as JSON.
fn event(line: &str) -> Option<Event> {
    let words: Vec<&str> = line.splitn(7, ' ').collect();
    let [date, time, offset, zone, namespace, topic, payload] = words[..] else { return None };
    Some(Event {
        at: clock::parse(&format!("{date} {time} {offset} {zone}"))?,
        namespace: namespace.to_owned(),
        topic: topic.to_owned(),
        payload: serde_json::from_str(payload).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_ctr_events_is_read() {
        let line = r#"2026-11-21 07:38:21.5 +0000 UTC k8s.io /snapshot/commit {"key":"extract-1 sha256:ab","name":"sha256:ab"}"#;
        let event = event(line).unwrap();
        assert_eq!((event.at, event.namespace.as_str(), event.topic.as_str()), (1_795_246_701.5, "k8s.io", "/snapshot/commit"));
        assert_eq!(event.payload["name"], "sha256:ab");
    }
}
