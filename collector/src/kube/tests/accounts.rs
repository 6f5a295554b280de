//! Agents that show tokens of service accounts, from the request to the review and back.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use http::HeaderMap;
use lifecycle::{
    pull::{Node, NodeName, NodeReport},
    time::Timestamp,
    wire::{self, Signal},
};
use tower::ServiceExt as _;

use super::*;
use crate::{
    auth::{
        Agents, Denied, Speaker,
        accounts::{Accounts, Rules},
    },
    http::report::{Desk, Reach},
    readiness::Readiness,
    receive::{Intake, PassOn},
};

const GOOD: &str = "head.good.sign";
const HOUR: Duration = Duration::from_secs(3600);

/// What the API says of a token of this account that was made for a pod on this node.
fn status(user: &str, audience: &str, node: Option<&str>) -> Value {
    let extra = node.map(|node| json!({ "authentication.kubernetes.io/node-name": [node] })).unwrap_or_default();
    json!({ "authenticated": true, "audiences": [audience], "user": { "username": user, "uid": "u", "extra": extra } })
}

fn agents(api: &Api) -> Agents {
    let rules = Rules { audience: "pulltrace".into(), accounts: vec!["watch/agent".into()] };
    Agents::Accounts(Arc::new(Accounts::new(rules, Some(Reviewer::new(api.client())))))
}

/// An API that knows one good token.
fn api() -> Api {
    let api = Api::new();
    let good = status("system:serviceaccount:watch:agent", "pulltrace", Some("node-1"));
    api.with(|cluster| cluster.tokens.insert(GOOD.into(), good));
    api
}

async fn ask(agents: &Agents, token: &str) -> Result<Speaker, Denied> {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    agents.admit(&headers).await
}

fn of_node() -> Result<Speaker, Denied> {
    let node: NodeName = "node-1".parse().unwrap();
    Ok(Speaker::Of(node))
}

fn fail(api: &Api, code: Option<u16>) {
    api.with(|cluster| match code {
        Some(code) => cluster.failing.insert("tokenreviews", code),
        None => cluster.failing.remove("tokenreviews"),
    });
}

#[tokio::test]
async fn a_token_speaks_for_its_node_if_account_and_audience_are_right_and_else_it_is_said_why_not() {
    let api = api();
    let agent = "system:serviceaccount:watch:agent";
    for (token, said) in [
        ("a.foreign.account", status("system:serviceaccount:shop:agent", "pulltrace", Some("node-1"))),
        ("a.human.being", status("kubernetes-admin", "pulltrace", Some("node-1"))),
        ("a.wrong.audience", status(agent, "https://kubernetes.default.svc", Some("node-1"))),
        ("an.unbound.one", status(agent, "pulltrace", None)),
        ("a.strange.node", status(agent, "pulltrace", Some(""))),
        ("an.expired.one", json!({ "authenticated": false, "error": "token has expired", "user": { "username": agent } })),
        ("a.silent.answer", json!({})),
    ] {
        api.with(|cluster| cluster.tokens.insert(token.into(), said));
    }
    let agents = agents(&api);
    for (token, told) in [
        (GOOD, of_node()),
        ("a.foreign.account", Err(Denied::ForeignAccount)),
        ("a.human.being", Err(Denied::ForeignAccount)),
        ("a.wrong.audience", Err(Denied::WrongToken)),
        ("an.unbound.one", Err(Denied::Unbound)),
        ("a.strange.node", Err(Denied::Unbound)),
        ("an.expired.one", Err(Denied::WrongToken)),
        ("a.silent.answer", Err(Denied::WrongToken)),
        ("an.unknown.one", Err(Denied::WrongToken)),
        ("not a token", Err(Denied::WrongToken)),
    ] {
        assert_eq!(ask(&agents, token).await, told, "{token}");
    }
    assert_eq!(agents.admit(&HeaderMap::new()).await, Err(Denied::NoToken));
    assert_eq!(api.asked("POST /apis/authentication.k8s.io/v1/tokenreviews"), 9, "what is no token is not asked about");
}

#[tokio::test(start_paused = true)]
async fn the_api_is_asked_once_about_many_requests_and_again_after_a_while() {
    let (api, agents) = {
        let api = api();
        let agents = agents(&api);
        (api, agents)
    };
    let together = futures_util::future::join_all((0..50).map(|_| ask(&agents, GOOD))).await;
    assert!(together.iter().all(|told| *told == of_node()));
    assert_eq!(
        (ask(&agents, "a.bad.one").await, ask(&agents, "a.bad.one").await),
        (Err(Denied::WrongToken), Err(Denied::WrongToken))
    );
    assert_eq!(api.asked("tokenreviews"), 2);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!((ask(&agents, GOOD).await, ask(&agents, "a.bad.one").await), (of_node(), Err(Denied::WrongToken)));
    assert_eq!(api.asked("tokenreviews"), 3, "a refusal is forgotten sooner");
    tokio::time::advance(Duration::from_secs(300)).await;
    api.with(|cluster| cluster.tokens.remove(GOOD));
    assert_eq!(ask(&agents, GOOD).await, Err(Denied::WrongToken), "whoever was let in may be refused later");
}

#[tokio::test(start_paused = true)]
async fn while_the_api_is_away_the_known_go_on_for_an_hour_and_nobody_else_is_let_in() {
    for code in [500, 403, 429] {
        let (api, other) = (api(), "another.good.one");
        let agents = agents(&api);
        assert_eq!(ask(&agents, GOOD).await, of_node());
        fail(&api, Some(code));
        api.with(|cluster| cluster.tokens.insert(other.into(), cluster.tokens[GOOD].clone()));
        assert_eq!(ask(&agents, other).await, Err(Denied::Unchecked), "{code}");
        tokio::time::advance(HOUR / 2).await;
        let asked = api.asked("tokenreviews");
        for _ in 0..9 {
            assert_eq!(ask(&agents, GOOD).await, of_node(), "{code}");
        }
        assert_eq!(api.asked("tokenreviews"), asked + 1, "an absent API is not asked for every request");
        tokio::time::advance(HOUR / 2).await;
        assert_eq!(ask(&agents, GOOD).await, Err(Denied::Unchecked), "{code}");
        fail(&api, None);
        assert_eq!((ask(&agents, GOOD).await, ask(&agents, other).await), (of_node(), of_node()), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_agents_at_once_are_all_let_in_and_the_api_is_asked_by_few_at_a_time() {
    let (asking, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, peak) = (asking.clone(), most.clone());
    let good = status("system:serviceaccount:watch:agent", "pulltrace", Some("node-1"));
    let service = tower::service_fn(move |_: Request<Body>| {
        peak.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let answer = whole(
            201,
            &json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {},
            "spec": {}, "status": good }),
        );
        let now = now.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, Infallible>(answer)
        }
    });
    let rules = Rules { audience: "pulltrace".into(), accounts: vec!["watch/agent".into()] };
    let agents = Agents::Accounts(Arc::new(Accounts::new(rules, Some(Reviewer::new(Client::new(service, "default"))))));
    let tokens: Vec<_> = (0..10_000).map(|n| format!("head.{n}.sign")).collect();
    let told = futures_util::future::join_all(tokens.iter().map(|token| ask(&agents, token))).await;
    assert!(told.iter().all(|told| *told == of_node()));
    let most = most.load(Ordering::Relaxed);
    assert!((2..=16).contains(&most), "{most}");
}

#[tokio::test(start_paused = true)]
async fn an_api_that_never_answers_is_as_good_as_away() {
    let client =
        Client::new(tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Answer, Infallible>>()), "default");
    let rules = Rules { audience: "pulltrace".into(), accounts: vec!["watch/agent".into()] };
    let agents = Agents::Accounts(Arc::new(Accounts::new(rules.clone(), Some(Reviewer::new(client)))));
    assert_eq!(ask(&agents, GOOD).await, Err(Denied::Unchecked));
    let without = Agents::Accounts(Arc::new(Accounts::new(rules, None)));
    assert_eq!(ask(&without, GOOD).await, Err(Denied::Unchecked));
}

/// What the agent of a node says.
fn said(node: &str) -> Vec<u8> {
    let node = Node {
        name: node.parse().unwrap(),
        uid: format!("uid of {node}"),
        cluster: String::new(),
        runtime_name: String::new(),
        runtime_version: String::new(),
    };
    wire::encode::node(&NodeReport {
        node,
        observed_at: Timestamp::from_millis(1),
        agent_version: "0.1.0".into(),
        runtime_reachable: true,
        active_pulls: 0,
        queued_images: Vec::new(),
        dropped_progress: 0,
        dropped_outcomes: 0,
    })
}

struct Receiver {
    intake: Intake,
    keeper: Keeper,
}

impl Receiver {
    fn new(api: &Api) -> Self {
        let metrics = Metrics::new(&[]);
        let keeper = Keeper::start(Limits::default(), 1, metrics.clone(), std::future::pending());
        let readiness = Readiness::new(keeper.clone(), Arc::default(), 0);
        Self { intake: Intake::new(PassOn::default(), metrics, agents(api), readiness, ""), keeper }
    }

    async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Response<impl http_body::Body<Data = Bytes, Error: Debug>> {
        let request = Request::post(path).header("content-type", content_type).header("authorization", format!("Bearer {GOOD}"));
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        self.intake.clone().router().oneshot(request).await.unwrap()
    }

    async fn over_http(&self, body: Vec<u8>) -> (u16, wire::PartialSuccess) {
        let answer = self.post("/v1/logs", "application/x-protobuf", body).await;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, if status == 200 { wire::parse_response(&body).unwrap() } else { wire::PartialSuccess::default() })
    }

    async fn over_grpc(&self, body: Vec<u8>) -> Option<tonic::Code> {
        let frame = [&[0][..], &u32::try_from(body.len()).unwrap().to_be_bytes(), &body].concat();
        let answer = self.post(Signal::Logs.grpc_path(), "application/grpc", frame).await;
        tonic::Status::from_header_map(answer.headers()).map(|status| status.code())
    }

    fn nodes(&self) -> Vec<String> {
        self.keeper.view().now().nodes.iter().map(|node| node.name.to_string()).collect()
    }
}

#[tokio::test]
async fn nobody_speaks_for_another_node_and_what_is_their_own_is_taken() {
    let receiver = Receiver::new(&api());
    assert_eq!(receiver.over_http(said("node-2")).await.0, 403);
    assert_eq!(receiver.over_grpc(said("node-2")).await, Some(tonic::Code::PermissionDenied));
    let (status, partial) = receiver.over_http([said("node-2"), said("node-1"), said("node-3")].concat()).await;
    assert_eq!((status, partial.rejected), (200, 2));
    assert!(partial.message.contains("may speak for"), "{}", partial.message);
    eventually("its own word is known, and no other", || receiver.nodes() == ["node-1"]).await;
}

#[tokio::test]
async fn a_list_is_taken_from_the_node_that_the_token_is_of_and_from_no_other() {
    let metrics = Metrics::new(&[]);
    let keeper = Keeper::start(Limits::default(), 1, metrics.clone(), std::future::pending());
    let desk = Desk::new(keeper.clone(), metrics, agents(&api()), Reach::Everywhere, "").router();
    let list = async |node: &str, token: &str| {
        let list = json!({ "nodeName": node, "timestamp": "2026-01-15T08:30:00Z", "pulls": null }).to_string();
        let request = Request::post("/api/v1/report").header("authorization", format!("Bearer {token}"));
        let answer = desk.clone().oneshot(request.body(Full::new(Bytes::from(list))).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap())
    };
    let (status, text) = list("node-2", GOOD).await;
    assert!(status == 403 && text.contains("the token is another node's"), "{status} {text}");
    assert_eq!(list("node-1", "an.unknown.one").await.0, 401);
    assert_eq!(list("node-1", GOOD).await.0, 200);
    let nodes = || keeper.view().now().nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
    eventually("the node's own list is known, and no other", || nodes() == ["node-1"]).await;
}

#[tokio::test]
async fn who_cannot_be_checked_is_asked_to_come_back() {
    let api = api();
    fail(&api, Some(500));
    let receiver = Receiver::new(&api);
    let answer = receiver.post("/v1/logs", "application/json", b"{}".to_vec()).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(receiver.over_grpc(said("node-1")).await, Some(tonic::Code::Unavailable));
    assert!(receiver.nodes().is_empty());
}

#[tokio::test]
async fn the_documented_role_allows_exactly_the_calls_that_are_made() {
    let api = api();
    let (keeper, _task) = watching(&api, &[]);
    eventually("all are watched", || api.asked("watch=true") == 3).await;
    assert_eq!(ask(&agents(&api), GOOD).await, of_node());
    drop(keeper);
    let mut rules: BTreeMap<(String, String), BTreeSet<&str>> = BTreeMap::new();
    for call in api.with(|cluster| cluster.asked.clone()) {
        let (method, path) = call.split_once(' ').unwrap();
        let mut parts = path.split('?').next().unwrap().trim_matches('/').split('/').collect::<Vec<_>>();
        let group = if parts.remove(0) == "apis" { parts.remove(0) } else { "\"\"" };
        let verb = match (method, path.contains("watch=true")) {
            ("GET", false) => "list",
            ("GET", true) => "watch",
            ("POST", _) => "create",
            _ => panic!("{call}"),
        };
        assert_eq!(parts.len(), 2, "version and resource: {call}");
        rules.entry((group.to_owned(), parts[1].to_owned())).or_default().insert(verb);
    }
    let made: Vec<_> = rules
        .into_iter()
        .map(|((group, resource), verbs)| {
            let verbs = verbs.into_iter().collect::<Vec<_>>().join(", ");
            format!("  - {{apiGroups: [{group}], resources: [{resource}], verbs: [{verbs}]}}")
        })
        .collect();
    let documented = include_str!("../../../../docs/rbac.yaml");
    let allowed: Vec<_> = documented.lines().filter(|line| line.starts_with("  - {apiGroups")).collect();
    assert_eq!(made, allowed);
}
