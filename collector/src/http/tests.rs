//! What cannot be asked over a socket without a cluster or another machine: readiness, pods as they are told, and reports from afar.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{body::Body, http::Request};
use http_body_util::BodyExt as _;
use lifecycle::{
    board::{ContainerKind, ContainerSeen, EventKind, Input, KubeletEvent, Limits, PodKey, PodSeen, Sighting, Waiting, Workload},
    time::Timestamp,
};
use serde_json::Value;
use tower::ServiceExt as _;

use super::{report::Reach, *};
use crate::{
    auth::{Agents, Guard},
    keeper::Keeper,
    proxies::Proxies,
    serve::Peer,
};

struct House {
    keeper: Keeper,
    router: Router,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl House {
    fn new(reach: Reach, readiness: impl FnOnce(&Keeper) -> Readiness) -> Self {
        let numbers = Metrics::new(&[]);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        // The times of the tests are past, and nothing of them is history.
        let limits = Limits { history: std::time::Duration::from_secs(u32::MAX.into()), ..Limits::default() };
        let keeper = Keeper::start(limits, 1, numbers.clone(), async { _ = stopped.await });
        let desk = Desk::new(keeper.clone(), numbers.clone(), Agents::Guard(Guard::Everyone), reach, "");
        let door = Door::new(Guard::Everyone, Proxies::new(Vec::new(), HeaderName::from_static("x-forwarded-user")));
        let caps = Caps { total: 1, per_address: 1 };
        let router = site(keeper.view().clone(), &numbers, door, readiness(&keeper), desk, caps, Arc::default());
        Self { keeper, router, _stop: stop }
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, Value) {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// Asks again until it is there.
    async fn found(&self, path: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                match self.get(path).await {
                    (StatusCode::OK, answer) if fits(&answer) => return answer,
                    _ => tokio::task::yield_now().await,
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), asking).await.unwrap()
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(1_760_000_000_000 + second * 1000)
}

fn key() -> PodKey {
    PodKey { namespace: "shop".into(), name: "web-0".into() }
}

fn pod() -> Sighting {
    let waiting = Waiting { reason: "ImagePullBackOff".into(), message: "".into() };
    let container = ContainerSeen {
        name: "app".into(),
        kind: ContainerKind::Main,
        image: "ghcr.io/team/gone:1".into(),
        has_image: false,
        waiting: Some(waiting),
    };
    let workload = Some(Workload { kind: "StatefulSet".into(), name: "web".into() });
    let (node, containers) = ("node-1".parse().ok(), vec![container]);
    Sighting::Pod(Box::new(PodSeen { key: key(), uid: "u".into(), node, workload, containers }))
}

fn event(kind: EventKind, second: u64, count: u32, message: &str) -> Sighting {
    let (container, message) = ("app".into(), message.into());
    let (first, last) = (at(0), at(second));
    Sighting::Event(Box::new(KubeletEvent { pod: key(), uid: "u".into(), container, kind, message, count, first, last }))
}

/// Asserts that an answer is as the document says, and has nothing beside.
fn assert_fits(document: &Value, path: &str, answer: &Value) {
    fn close(schema: &mut Value) {
        if let Some(fields) = schema.as_object_mut() {
            if fields.get("properties").is_some_and(Value::is_object) && fields.contains_key("type") {
                fields.insert("additionalProperties".to_owned(), false.into());
            }
            fields.values_mut().for_each(close);
        }
    }
    let content = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    let mut schema = json!({ "allOf": [content], "components": document["components"] });
    close(&mut schema);
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{path}: {errors:#?}\n{answer:#}");
}

#[tokio::test]
async fn it_is_not_ready_while_a_listener_is_missing_or_the_keeper_has_ended() {
    let serving = Arc::new(AtomicUsize::new(3));
    let house = House::new(Reach::Here, |keeper| Readiness::new(keeper.clone(), serving.clone(), 4));
    assert_eq!(house.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    serving.store(4, Ordering::Relaxed);
    assert_eq!(house.get("/readyz").await.0, StatusCode::OK);
    let House { keeper, router, _stop: stop } = house;
    drop(stop);
    while keeper.is_alive() {
        tokio::task::yield_now().await;
    }
    let answer = router.oneshot(Request::get("/readyz").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_pod_that_does_not_get_its_image_is_told_with_every_try() {
    let house = House::new(Reach::Here, |keeper| Readiness::new(keeper.clone(), Arc::default(), 0));
    let gone = "Failed to pull image \"ghcr.io/team/gone:1\": ghcr.io/team/gone:1: not found";
    let told = [
        pod(),
        event(EventKind::Pulling, 0, 1, "Pulling image"),
        event(EventKind::Failed, 1, 1, gone),
        event(EventKind::Pulling, 15, 2, "Pulling image"),
        event(EventKind::Failed, 16, 2, gone),
    ];
    for sighting in told {
        assert!(house.keeper.tell(vec![Input::Sighting(sighting)]).await);
    }
    let document = house.get("/api/v1/openapi.json").await.1;
    let pod = house.found("/api/v1/pods/shop/web-0", |pod| pod["containers"][0]["attempt"] == 2).await;
    assert_fits(&document, "/api/v1/pods/{namespace}/{pod}", &pod);
    let container = &pod["containers"][0];
    assert_eq!((&container["state"], &container["errorClass"]), (&json!("failed"), &json!("not_found")));
    assert_eq!(container["nextRetryAt"], json!(at(36)));
    let workloads = house.get("/api/v1/workloads?namespace=shop").await.1;
    assert_fits(&document, "/api/v1/workloads", &workloads);
    assert_eq!((&workloads["workloads"][0]["name"], &workloads["workloads"][0]["nodesFailed"]), (&json!("web"), &json!(1)));
    assert_eq!(house.get("/api/v1/workloads?namespace=other").await.1["workloads"], json!([]));
    for (query, found) in
        [("", 1), ("?workload=StatefulSet/web&namespace=shop", 1), ("?workload=Deployment/other", 0), ("?cursor=shop/web-0", 0)]
    {
        let pods = house.get(&format!("/api/v1/pods{query}")).await.1;
        assert_fits(&document, "/api/v1/pods", &pods);
        assert_eq!(pods["pods"].as_array().map(Vec::len), Some(found), "{query}");
        assert!(
            pods["pods"].as_array().unwrap().iter().all(|pod| pod["state"] == "failed" && pod["pullId"] == container["pullId"])
        );
    }

    for query in ["q=WEB-0", "pod=web-0&outcome=failed", "namespace=shop", "q=gone:1"] {
        assert_eq!(house.get(&format!("/api/v1/pulls?{query}")).await.1["pulls"].as_array().map(Vec::len), Some(2), "{query}");
    }
    let pull = container["pullId"].as_str().unwrap();
    let pull = house.found(&format!("/api/v1/pulls/{pull}"), |pull| pull["attempts"].as_array().unwrap().len() == 2).await;
    assert_fits(&document, "/api/v1/pulls/{id}", &pull);
    let tries = pull["attempts"].as_array().unwrap();
    assert!(tries.iter().all(|a| a["source"] == "kubelet" && a["errorClass"] == "not_found" && a["outcome"] == "failed"));
    assert!(tries.iter().all(|a| a["error"].as_str().unwrap().contains("not found") && a["errorHint"].is_string()));
    assert_eq!((&tries[0]["attempt"], &tries[1]["attempt"]), (&json!(1), &json!(2)));
    assert_eq!(tries[1]["nextRetryAt"], json!(at(36)));
    let whats: Vec<_> = pull["timeline"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["what"].as_str().unwrap(), m["source"].as_str().unwrap()))
        .collect();
    assert_eq!(whats, [("image_wanted", "kubelet"), ("queued", "kubelet"), ("failed", "kubelet")]);
    assert_eq!(pull["timeline"][0]["pod"], json!({ "namespace": "shop", "podName": "web-0", "container": "app" }));
}

#[tokio::test]
async fn without_authentication_reports_are_taken_from_this_machine_only() {
    let report = r#"{"nodeName":"node-1","timestamp":"2026-01-15T08:30:00Z","pulls":null}"#;
    for (reach, peer, status) in [
        (Reach::Here, Some("127.0.0.1"), 200),
        (Reach::Here, Some("::1"), 200),
        (Reach::Here, Some("192.0.2.1"), 403),
        (Reach::Here, None, 403),
        (Reach::Everywhere, Some("192.0.2.1"), 200),
        (Reach::Nowhere, Some("127.0.0.1"), 403),
    ] {
        let house = House::new(reach, |keeper| Readiness::new(keeper.clone(), Arc::default(), 0));
        let mut request = Request::post(report::PATH).body(Body::from(report)).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(Peer(peer.parse::<IpAddr>().unwrap()));
        }
        assert_eq!(house.ask(request).await.0.as_u16(), status, "{reach:?} {peer:?}");
    }
}

#[tokio::test]
async fn a_busy_collector_says_when_to_come_back_with_a_report() {
    let House { keeper, router, _stop: stop } =
        House::new(Reach::Everywhere, |keeper| Readiness::new(keeper.clone(), Arc::default(), 0));
    drop(stop);
    while keeper.is_alive() {
        tokio::task::yield_now().await;
    }
    let report = r#"{"nodeName":"node-1","timestamp":"2026-01-15T08:30:00Z"}"#;
    let answer = router.oneshot(Request::post(report::PATH).body(Body::from(report)).unwrap()).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"5".parse::<HeaderValue>().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_report_that_does_not_end_is_given_up_in_time() {
    let house = House::new(Reach::Everywhere, |keeper| Readiness::new(keeper.clone(), Arc::default(), 0));
    let endless = Body::from_stream(futures_util::stream::pending::<std::io::Result<bytes::Bytes>>());
    let (status, answer) = house.ask(Request::post(report::PATH).body(endless).unwrap()).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (408, &json!("too_slow")));
}

#[test]
fn every_path_of_the_api_stands_in_the_table() {
    let source = include_str!("mod.rs");
    assert!(!source.contains("\"/api/"), "a path of the API belongs into routes.rs, where the document is made from it");
    let paths: Vec<_> = routes::routes().iter().map(|route| route.path).collect();
    assert_eq!(paths.iter().collect::<BTreeSet<_>>().len(), paths.len());
}
