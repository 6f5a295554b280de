//! A Kubernetes API of our own that lists, watches, bookmarks and fails as it is told, and what the keeper then knows.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use lifecycle::board::Limits;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::*;
use crate::metrics::Metrics;

mod accounts;
mod anything;
mod slow;
mod spans;

/// Whatever is waited for must happen within this time.
const DEADLINE: Duration = Duration::from_secs(20);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What the API answers now.
struct Cluster {
    objects: BTreeMap<&'static str, Vec<Value>>,
    /// Status codes with which lists of a resource fail.
    failing: BTreeMap<&'static str, u16>,
    /// Lines of watches: the resource and the line; an empty line ends the watch.
    lines: broadcast::Sender<(&'static str, String)>,
    /// What reviews of tokens say.
    tokens: BTreeMap<String, Value>,
    /// Method and path of every call.
    asked: Vec<String>,
}

#[derive(Clone)]
struct Api(Arc<Mutex<Cluster>>);

impl Api {
    fn new() -> Self {
        let lines = broadcast::channel(64).0;
        let (objects, failing, tokens) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Cluster { objects, failing, lines, tokens, asked: Vec::new() })))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Cluster) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.answer(request).await) }
        });
        Client::new(service, "default")
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().unwrap().as_str().to_owned();
        let resources = ["pods", "events", "nodes", "tokenreviews"];
        let resource = resources.into_iter().find(|r| head.uri.path().ends_with(r)).unwrap();
        let body = body.collect().await.unwrap().to_bytes();
        self.with(|cluster| {
            let is_watch = path.contains("watch=true");
            cluster.asked.push(format!("{} {path}", head.method));
            if let Some(code) = cluster.failing.get(resource) {
                return whole(*code, &failure(*code));
            }
            if is_watch && cluster.failing.contains_key("watch") {
                return whole(403, &failure(403));
            }
            if is_watch {
                let lines = tokio_lines(cluster.lines.subscribe(), resource);
                return Response::new(StreamBody::new(lines).boxed_unsync());
            }
            if resource == "tokenreviews" {
                let mut review: Value = serde_json::from_slice(&body).unwrap();
                let token = review["spec"]["token"].as_str().unwrap();
                review["status"] = cluster.tokens.get(token).cloned().unwrap_or(json!({ "error": "invalid bearer token" }));
                return whole(201, &review);
            }
            let items = cluster.objects.get(resource).cloned().unwrap_or_default();
            whole(200, &json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items }))
        })
    }

    /// Tells all watches of a resource.
    fn say(&self, resource: &'static str, kind: &str, object: &Value) {
        let line = format!("{}\n", json!({ "type": kind, "object": object }));
        self.with(|cluster| cluster.lines.send((resource, line))).unwrap();
    }

    fn asked(&self, part: &str) -> usize {
        self.with(|cluster| cluster.asked.iter().filter(|path| path.contains(part)).count())
    }
}

fn tokio_lines(
    lines: broadcast::Receiver<(&'static str, String)>,
    resource: &'static str,
) -> impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, Infallible>> {
    stream::unfold(lines, |mut lines| async { Some((lines.recv().await.ok()?, lines)) })
        .filter(move |(of, _)| std::future::ready(*of == resource))
        .take_while(|(_, line)| std::future::ready(!line.is_empty()))
        .map(|(_, line)| Ok(http_body::Frame::data(Bytes::from(line))))
}

fn whole(code: u16, body: &Value) -> Answer {
    Response::builder().status(code).body(Full::new(Bytes::from(body.to_string())).boxed_unsync()).unwrap()
}

fn failure(code: u16) -> Value {
    json!({ "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code, "reason": "Expired", "message": "no" })
}

fn pod(name: &str, has_image: bool) -> Value {
    let id = if has_image { "r@sha256:0" } else { "" };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": "shop", "name": name, "uid": name, "resourceVersion": "2" },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "app", "image": "web:1" }] },
        "status": { "containerStatuses": [{ "name": "app", "image": "web:1", "imageID": id, "ready": false, "restartCount": 0 }] },
    })
}

fn pulling(pod: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "namespace": "shop", "name": "e", "resourceVersion": "3" },
        "involvedObject": { "kind": "Pod", "namespace": "shop", "name": pod, "uid": pod, "fieldPath": "spec.containers{app}" },
        "reason": "Pulling", "message": "Pulling image \"web:1\"", "count": 1,
        "firstTimestamp": "2025-01-15T10:30:00Z", "lastTimestamp": "2025-01-15T10:30:00Z",
    })
}

/// A keeper that watches this API; the guard ends it.
fn watching(api: &Api, namespaces: &[&str]) -> (Keeper, tokio::task::JoinHandle<()>) {
    let keeper = Keeper::start(Limits::default(), 1, Metrics::new(&[]), std::future::pending());
    let (client, told) = (api.client(), keeper.clone());
    let namespaces: Vec<_> = namespaces.iter().map(|&n| n.to_owned()).collect();
    let task = tokio::spawn(async move { watch(client, &namespaces, &told).await });
    (keeper, task)
}

/// The pods that are known, and whether they are stale.
fn known(keeper: &Keeper) -> Vec<(String, bool)> {
    keeper.view().now().pods().map(|pod| (pod.pod_name.to_string(), pod.stale)).collect()
}

async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

#[tokio::test]
async fn pods_are_listed_and_followed_and_events_make_coarse_pulls() {
    let api = Api::new();
    api.with(|cluster| cluster.objects.insert("pods", vec![pod("a", false), pod("ready", true)]));
    let (keeper, _task) = watching(&api, &[]);
    eventually("the list is known", || known(&keeper) == [("a".to_owned(), false)]).await;
    eventually("all are watched", || api.asked("watch=true") == 3).await;
    api.say(
        "pods",
        "BOOKMARK",
        &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "resourceVersion": "9" }, "spec": {} }),
    );
    api.say("pods", "ADDED", &pod("b", false));
    api.say("events", "ADDED", &pulling("b"));
    eventually("both are known", || known(&keeper).len() == 2).await;
    eventually("there is a pull", || keeper.view().now().newest(None).count() == 1).await;
    let row = keeper.view().now().newest(None).next().unwrap().clone();
    assert_eq!((row.view.node().as_str(), &*row.view.pods()[0].pod_name), ("node-1", "b"));
    api.say("pods", "DELETED", &pod("b", false));
    eventually("it is gone", || known(&keeper).len() == 1).await;
}

#[tokio::test]
async fn an_expired_place_leads_to_a_new_list_that_drops_who_is_gone() {
    let api = Api::new();
    api.with(|cluster| cluster.objects.insert("pods", vec![pod("a", false), pod("b", false)]));
    let (keeper, _task) = watching(&api, &[]);
    eventually("both are known", || known(&keeper).len() == 2).await;
    eventually("all are watched", || api.asked("watch=true") == 3).await;
    api.with(|cluster| cluster.objects.insert("pods", vec![pod("b", false)]));
    api.say("pods", "ERROR", &failure(410));
    eventually("one is gone", || known(&keeper) == [("b".to_owned(), false)]).await;
}

#[tokio::test]
async fn while_the_api_is_away_pods_are_stale_and_come_back_with_it() {
    let api = Api::new();
    api.with(|cluster| cluster.objects.insert("pods", vec![pod("a", false)]));
    let (keeper, _task) = watching(&api, &[]);
    eventually("it is known", || known(&keeper).len() == 1).await;
    eventually("all are watched", || api.asked("watch=true") == 3).await;
    api.with(|cluster| cluster.failing.extend([("pods", 500), ("events", 500), ("nodes", 500)]));
    api.say("pods", "ERROR", &failure(500));
    eventually("it is stale", || known(&keeper) == [("a".to_owned(), true)]).await;
    assert!(keeper.is_alive());
    api.with(|cluster| cluster.failing.clear());
    eventually("it is back", || known(&keeper) == [("a".to_owned(), false)]).await;
}

#[tokio::test]
async fn a_missing_permission_is_not_asked_for_again_at_once_and_stops_nothing_else() {
    let api = Api::new();
    api.with(|cluster| {
        cluster.objects.insert("pods", vec![pod("a", false)]);
        cluster.failing.extend([("events", 403), ("nodes", 403)]);
    });
    let (keeper, _task) = watching(&api, &[]);
    eventually("pods are known all the same", || known(&keeper).len() == 1).await;
    api.say_when_watched("pods", "ADDED", &pod("b", false)).await;
    eventually("and followed", || known(&keeper).len() == 2).await;
    assert!(api.asked("/events") < 4 && api.asked("/nodes") < 4);
}

#[tokio::test(start_paused = true)]
async fn an_absent_api_is_asked_ever_less_and_a_missing_permission_too() {
    let all = ["pods", "events", "nodes"];
    // As often as the shortest pauses that the jitter allows.
    for (code, most, what) in [(500, 65, &all[..]), (403, 15, &all), (403, 30, &["watch"])] {
        let api = Api::new();
        api.with(|cluster| cluster.failing.extend(what.iter().map(|what| (*what, code))));
        let (keeper, task) = watching(&api, &[]);
        tokio::time::sleep(Duration::from_secs(120)).await;
        let asked = api.asked("/pods");
        assert!((5..=most).contains(&asked), "{code}: {asked}");
        api.with(|cluster| cluster.failing.clear());
        let before = api.asked("watch=true");
        let back = async {
            while api.asked("watch=true") < before + 3 {
                tokio::time::sleep(Duration::from_millis(10)).await
            }
        };
        let longest = if code == 403 { LONGEST_FORBIDDEN_PAUSE } else { LONGEST_PAUSE };
        assert!(tokio::time::timeout(longest + Duration::from_secs(1), back).await.is_ok(), "{code}");
        assert!(keeper.is_alive());
        task.abort();
    }
}

#[tokio::test]
async fn only_the_chosen_namespaces_are_asked_for() {
    let api = Api::new();
    api.with(|cluster| cluster.objects.insert("pods", vec![pod("a", false)]));
    let (keeper, _task) = watching(&api, &["shop", "other"]);
    eventually("all are watched", || api.asked("watch=true") == 5).await;
    assert_eq!((api.asked("/api/v1/pods"), api.asked("/namespaces/shop/pods?"), api.asked("/namespaces/other/pods?")), (0, 2, 2));
    assert!(api.with(|cluster| cluster.asked.iter().all(|path| !path.contains("secrets"))));
    assert_eq!(known(&keeper).len(), 1);
}

impl Api {
    /// Tells a watch as soon as there is one.
    async fn say_when_watched(&self, resource: &'static str, kind: &str, object: &Value) {
        eventually("it is watched", || self.with(|cluster| cluster.lines.receiver_count() > 0)).await;
        self.say(resource, kind, object);
    }
}

#[test]
fn the_verb_that_is_missing_is_named() {
    let refused = |code: u16| {
        let status: Status = serde_json::from_value(failure(code)).unwrap();
        Box::new(status)
    };
    assert_eq!(missing(&Error::InitialListFailed(kube::Error::Api(refused(403)))), Some("list"));
    assert_eq!(missing(&Error::WatchStartFailed(kube::Error::Api(refused(403)))), Some("watch"));
    assert_eq!(missing(&Error::WatchError(refused(403))), Some("watch"));
    assert_eq!(missing(&Error::WatchError(refused(410))), None);
}
