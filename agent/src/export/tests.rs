//! Delivery to real sockets: receivers that are away, refuse, or choke on one report.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use lifecycle::{
    pull::{Outcome, PullId},
    wire::{self, Said},
};
use otlp::{Endpoint, Files, Protocol};
use tokio::net::TcpListener;

mod cut;

pub(crate) use super::waiting::tests::{node, pull};
use super::*;

/// Long enough for anything that ought to happen.
const SOON: Duration = Duration::from_secs(20);

/// What a receiver was asked: path, authorization, and of logs the pulls.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    authorization: String,
    pulls: Vec<PullId>,
}

/// A receiver over HTTP that answers as it is told and remembers what it was asked and what it took.
pub(crate) struct Receiver {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(Asked, u16)>>>,
}

impl Receiver {
    pub(crate) async fn start(answer: impl Fn(usize, &Asked) -> u16 + Send + Sync + 'static) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.expect("a port"), answer)
    }

    fn listen(listener: TcpListener, answer: impl Fn(usize, &Asked) -> u16 + Send + Sync + 'static) -> Self {
        let (asked, answer) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(answer));
        let receiver = Self { address: listener.local_addr().expect("an address"), asked: Arc::clone(&asked) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                    async move {
                        let read = read(request).await;
                        let mut asked = asked.lock().expect("no panic");
                        let status = answer(asked.len(), &read);
                        asked.push((read, status));
                        let retry_after = if status == 429 { "1" } else { "" };
                        let response = Response::builder().status(status).header("retry-after", retry_after);
                        Ok::<_, Infallible>(response.body(Full::new(Bytes::new())).expect("a response"))
                    }
                });
                tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.is_ok() });
            }
        });
        receiver
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&format!("http://{}", self.address), Protocol::HttpProtobuf).expect("a URL")
    }

    pub(crate) fn asked(&self) -> Vec<(Asked, u16)> {
        self.asked.lock().expect("no panic").clone()
    }

    /// Pulls that were accepted, in this order.
    pub(crate) fn taken(&self) -> Vec<PullId> {
        self.asked().into_iter().filter(|(_, status)| *status == 200).flat_map(|(asked, _)| asked.pulls).collect()
    }
}

async fn read(request: Request<Incoming>) -> Asked {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let path = parts.uri.path().to_owned();
    let reports = if path == "/v1/logs" { wire::decode(Signal::Logs, &body).expect("logs").reports } else { Vec::new() };
    let pulls = reports.into_iter().filter_map(|said| match said {
        Said::Pull(report) => Some(report.pull.id),
        Said::Node(_) => None,
    });
    let authorization = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    Asked { path, authorization, pulls: pulls.collect() }
}

pub(crate) fn route(endpoint: Endpoint, signals: &[Signal]) -> Route {
    Route { endpoint, signals: signals.iter().copied().collect() }
}

fn begin(routes: &[Route]) -> (Arc<Outbox>, JoinSet<()>) {
    let outbox = Arc::new(Outbox::new(routes));
    let telemetry = Arc::new(Telemetry::new(lifecycle::time::Timestamp::EPOCH, std::time::Instant::now()));
    let tasks = start(routes, &outbox, node, "0.1.0", &telemetry);
    (outbox, tasks)
}

fn end(outbox: &Outbox, numbers: impl Iterator<Item = u64>) -> Vec<PullId> {
    let pulls = numbers.map(|n| pull(n, 1, Some(Outcome::Ready)));
    pulls.map(|pull| (pull.id, outbox.pull(false, pull)).0).collect()
}

async fn emptied(outbox: &Outbox) {
    tokio::time::timeout(SOON, outbox.emptied()).await.expect("everything was delivered");
}

#[tokio::test]
async fn outcomes_of_an_outage_arrive_once_and_in_order_when_the_receiver_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let endpoint = Endpoint::parse(&format!("http://{address}"), Protocol::HttpProtobuf).expect("a URL");
    let (outbox, _tasks) = begin(&[route(endpoint, &[Signal::Logs, Signal::Traces])]);
    let ended = end(&outbox, 1..=500);
    tokio::time::timeout(Duration::from_millis(700), outbox.emptied()).await.expect_err("nobody is there");
    let receiver = Receiver::listen(TcpListener::bind(address).await.expect("the port again"), |_, _| 200);
    emptied(&outbox).await;
    assert_eq!(receiver.taken(), ended);
    assert!(receiver.asked().iter().any(|(asked, _)| asked.path == "/v1/traces"));
}

#[tokio::test]
async fn a_report_on_which_the_receiver_chokes_is_the_only_one_that_is_lost() {
    let poison = pull(37, 1, Some(Outcome::Ready)).id;
    let receiver = Receiver::start(move |_, asked| if asked.pulls.contains(&poison) { 400 } else { 200 }).await;
    let (outbox, _tasks) = begin(&[route(receiver.endpoint(), &[Signal::Logs])]);
    let ended = end(&outbox, 1..=100);
    emptied(&outbox).await;
    let expected: Vec<_> = ended.into_iter().filter(|id| *id != poison).collect();
    assert_eq!(receiver.taken(), expected);
    let refused = receiver.asked().iter().filter(|(_, status)| *status == 400).count();
    assert!(refused <= 9, "{refused} requests to find it");
}

#[tokio::test]
async fn what_is_too_large_is_halved_until_it_fits() {
    let receiver = Receiver::start(|_, asked| if asked.pulls.len() > 3 { 413 } else { 200 }).await;
    let (outbox, _tasks) = begin(&[route(receiver.endpoint(), &[Signal::Logs])]);
    let ended = end(&outbox, 1..=40);
    emptied(&outbox).await;
    assert_eq!(receiver.taken(), ended);
}

#[tokio::test]
async fn a_dead_receiver_holds_up_no_other() {
    let dead = Receiver::start(|_, _| 503).await;
    let alive = Receiver::start(|_, _| 200).await;
    let signals = [Signal::Logs, Signal::Traces];
    let (outbox, _tasks) = begin(&[route(dead.endpoint(), &signals), route(alive.endpoint(), &signals)]);
    let ended = end(&outbox, 1..=100);
    let all = async {
        while alive.taken().len() < ended.len() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, all).await.expect("the other has everything");
    assert!(!outbox.lock().is_empty() && dead.taken().is_empty());
}

#[tokio::test]
async fn a_signal_that_the_receiver_does_not_take_is_left_out() {
    let receiver = Receiver::start(|_, asked| if asked.path == "/v1/logs" { 404 } else { 200 }).await;
    let (outbox, _tasks) = begin(&[route(receiver.endpoint(), &[Signal::Logs, Signal::Traces])]);
    end(&outbox, 1..=100);
    emptied(&outbox).await;
    let logs = receiver.asked().iter().filter(|(asked, _)| asked.path == "/v1/logs").count();
    assert_eq!(logs, 1, "asked once");
}

#[tokio::test]
async fn who_is_not_let_in_keeps_its_outcomes_until_the_token_is_the_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "old").expect("written");
    let receiver = Receiver::start(|_, asked| if asked.authorization == "Bearer new" { 200 } else { 401 }).await;
    let files = Files { token: Some(token.clone()), ..Files::default() };
    let endpoint = receiver.endpoint().with_files(files).expect("a token");
    let (outbox, _tasks) = begin(&[route(endpoint, &[Signal::Logs])]);
    let ended = end(&outbox, 1..=10);
    while receiver.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!((receiver.asked()[0].0.authorization.as_str(), receiver.taken().len()), ("Bearer old", 0));
    std::fs::write(&token, "new").expect("written");
    emptied(&outbox).await;
    assert_eq!(receiver.taken(), ended);
}

#[tokio::test]
async fn a_busy_receiver_is_left_alone_as_long_as_it_wants() {
    let receiver = Receiver::start(|n, _| if n == 0 { 429 } else { 200 }).await;
    let (outbox, _tasks) = begin(&[route(receiver.endpoint(), &[Signal::Logs])]);
    let begun = std::time::Instant::now();
    end(&outbox, 1..=1);
    emptied(&outbox).await;
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(receiver.asked().len(), 2);
}

#[tokio::test]
async fn a_receiver_that_refuses_everything_is_not_stormed() {
    let receiver = Receiver::start(|_, _| 400).await;
    let (outbox, _tasks) = begin(&[route(receiver.endpoint(), &[Signal::Logs])]);
    for n in 1..=2_000 {
        outbox.pull(true, pull(n, 1, None));
    }
    tokio::time::timeout(Duration::from_millis(300), outbox.emptied()).await.expect_err("there is a pause between batches");
    let (batches, asked) = (receiver.asked().len(), receiver.asked().iter().map(|(asked, _)| asked.pulls.len()).max());
    assert!(batches > 0 && asked.is_some_and(|most| most < 200), "{batches} {asked:?}");
}

#[test]
fn the_largest_report_and_its_trace_are_smaller_than_what_receivers_take() {
    use lifecycle::{
        image::Digest,
        pull::{Failure, Interval, Layer, LayerState, TimingSource},
        time::Timestamp,
    };
    let failure = Failure { class: lifecycle::pull::ErrorClass::Other, message: "m".repeat(wire::MAX_MESSAGE) };
    let mut largest = pull(1, 1, Some(Outcome::Failed(failure)));
    let times =
        Interval { start: Some(Timestamp::from_millis(1)), end: Some(Timestamp::from_millis(2)), source: TimingSource::Poll };
    let layer = |n: usize| Layer {
        digest: Digest::of(&n.to_be_bytes()),
        media_type: "t".repeat(wire::MAX_TEXT).into(),
        size: 1,
        fetched: 0,
        cached: false,
        lazy: false,
        state: LayerState::Failed,
        download: times,
        unpack: times,
    };
    largest.layers = (0..wire::MAX_LAYERS).map(layer).collect();
    let record = wire::encode::pulls(&node(), "0.1.0", [(wire::Event::Finished, &largest)]).len();
    let trace = wire::encode::spans(&node(), "0.1.0", &largest).map(|trace| trace.len());
    assert!(record < 1_000_000 && trace.is_some_and(|trace| (500_000..1_000_000).contains(&trace)), "{record} {trace:?}");
}
