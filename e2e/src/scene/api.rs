//! As much of a Kubernetes API as lists and watches pods, events and nodes, over plain HTTP, for a scene's cluster. It knows no rights, no
//! selectors and nothing it was not told; where a real API server is to be shown, that is [`crate::kubernetes`].

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Head, Server, Stop, lock};

/// Changes that a watch can still be told of; who asks for older ones has to list again.
const MAX_CHANGES: usize = 20_000;
/// Most objects of one kind.
const MAX_OBJECTS: usize = 10_000;
/// How long a watch sleeps before it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(200);

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Pods.
    Pods,
    /// What the kubelets say.
    Events,
    /// Nodes.
    Nodes,
}

/// The API; ends when this is dropped.
#[derive(Debug)]
pub struct Api {
    shared: Shared,
    folder: TempDir,
    _server: Server,
}

type Shared = Arc<(Mutex<Cluster>, Condvar)>;

#[derive(Debug, Default)]
struct Cluster {
    /// Grows with every change.
    version: u64,
    objects: BTreeMap<(Resource, String), Value>,
    changes: Vec<(u64, Resource, &'static str, Value)>,
}

impl Api {
    /// Starts it on a free port, without a single object.
    ///
    /// # Panics
    /// When its folder cannot be written.
    #[must_use]
    pub fn start() -> Self {
        let shared = Shared::default();
        let of = shared.clone();
        let server = Server::start(move |stream, stop| serve(stream, stop, &of));
        let folder = tempfile::Builder::new().prefix("pt-scene-").tempdir().expect("the temporary folder is writable");
        let url = format!("http://127.0.0.1:{}", server.port);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "scene",
            "clusters": [{"name": "scene", "cluster": {"server": url}}], "users": [{"name": "scene", "user": {}}],
            "contexts": [{"name": "scene", "context": {"cluster": "scene", "user": "scene"}}],
        });
        fs::write(folder.path().join("config"), config.to_string()).expect("the temporary folder is writable");
        Self { shared, folder, _server: server }
    }

    /// The kubeconfig that leads here.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.folder.path().join("config").display().to_string()
    }

    /// Adds an object, or changes it. Its name is its `metadata`'s.
    ///
    /// # Panics
    /// When there are too many.
    pub fn put(&self, resource: Resource, mut object: Value) {
        let mut cluster = lock(&self.shared.0);
        cluster.version += 1;
        object["metadata"]["resourceVersion"] = json!(cluster.version.to_string());
        let (key, version) = (key(&object), cluster.version);
        let before = cluster.objects.insert((resource, key), object.clone());
        assert!(cluster.objects.len() <= 3 * MAX_OBJECTS, "a scene has no more than {MAX_OBJECTS} objects of a kind");
        cluster.changes.push((version, resource, if before.is_some() { "MODIFIED" } else { "ADDED" }, object));
        cluster.trim();
        self.shared.1.notify_all();
    }

    /// Removes an object, if it is there.
    pub fn remove(&self, resource: Resource, namespace: &str, name: &str) {
        let mut cluster = lock(&self.shared.0);
        let Some(object) = cluster.objects.remove(&(resource, format!("{namespace}/{name}"))) else { return };
        cluster.version += 1;
        let version = cluster.version;
        cluster.changes.push((version, resource, "DELETED", object));
        cluster.trim();
        self.shared.1.notify_all();
    }
}

impl Cluster {
    fn trim(&mut self) {
        let over = self.changes.len().saturating_sub(MAX_CHANGES);
        self.changes.drain(..over);
    }

    fn list(&self, resource: Resource) -> Value {
        let items: Vec<_> = self.objects.iter().filter(|((of, _), _)| *of == resource).map(|(_, object)| object).collect();
        json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": self.version.to_string()}, "items": items})
    }

    /// Changes after a version, as a watch tells them; none if some of them are forgotten.
    fn since(&self, version: u64, resource: Resource) -> Option<String> {
        let first = self.changes.first().map_or(self.version + 1, |(version, ..)| *version);
        let after = self.changes.iter().filter(|(at, of, ..)| *at > version && *of == resource);
        (version + 1 >= first)
            .then(|| after.map(|(_, _, kind, object)| format!("{}\n", json!({"type": kind, "object": object}))).collect())
    }
}

fn key(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

/// Answers the requests of one connection.
fn serve(stream: TcpStream, stop: &Stop, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(head) = Head::read(&mut reader)? {
        let (path, query) = head.word(1).split_once('?').unwrap_or((head.word(1), ""));
        let resource = match path.rsplit('/').next() {
            Some("pods") => Resource::Pods,
            Some("events") => Resource::Events,
            Some("nodes") => Resource::Nodes,
            _ => {
                answer(&stream, "404 Not Found", &json!({"kind": "Status", "status": "Failure", "code": 404}))?;
                continue;
            }
        };
        if query.split('&').any(|pair| pair == "watch=true") {
            let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")?.parse().ok());
            return watch(stream, stop, shared, resource, version.unwrap_or_default());
        }
        let list = lock(&shared.0).list(resource);
        answer(&stream, "200 OK", &list)?;
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, status: &str, body: &Value) -> io::Result<()> {
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())
}

/// Tells changes until the other side goes away.
fn watch(mut stream: TcpStream, stop: &Stop, shared: &Shared, resource: Resource, mut version: u64) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n")?;
    let mut cluster = lock(&shared.0);
    while !stop.load(Ordering::Acquire) {
        let told = cluster.since(version, resource);
        version = cluster.version;
        drop(cluster);
        let Some(lines) = told else {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired"});
            return stream.write_all(format!("{}\n", json!({"type": "ERROR", "object": status})).as_bytes());
        };
        stream.write_all(lines.as_bytes())?;
        cluster = lock(&shared.0);
        if cluster.version == version {
            cluster = shared.1.wait_timeout(cluster, LOOK).unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str) -> Value {
        json!({"metadata": {"namespace": "shop", "name": name}})
    }

    #[test]
    fn a_watch_is_told_of_what_came_after_its_list_and_of_no_other_resource() {
        let api = Api::start();
        api.put(Resource::Pods, pod("a"));
        let (before, list) = {
            let cluster = lock(&api.shared.0);
            (cluster.version, cluster.list(Resource::Pods))
        };
        assert_eq!((&list["metadata"]["resourceVersion"], list["items"].as_array().map(Vec::len)), (&json!("1"), Some(1)));
        api.put(Resource::Pods, pod("b"));
        api.put(Resource::Nodes, json!({"metadata": {"name": "n"}}));
        api.put(Resource::Pods, pod("b"));
        api.remove(Resource::Pods, "shop", "a");
        let told = lock(&api.shared.0).since(before, Resource::Pods).unwrap();
        let kinds: Vec<Value> = told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone()).collect();
        assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED"]);
    }

    #[test]
    fn who_asks_for_changes_that_are_forgotten_is_told_to_list_again() {
        let mut cluster = Cluster { version: 5, ..Cluster::default() };
        cluster.changes.push((5, Resource::Pods, "ADDED", pod("late")));
        assert!(cluster.since(4, Resource::Pods).is_some());
        assert_eq!(cluster.since(3, Resource::Pods), None);
    }
}
