//! Every way in which a socket can stand, and every way from one to another (`agent::place::Link`): what the agent says of it on `/readyz`
//! and in its heartbeats, and that it comes back by itself.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener as Deaf},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use agent::{
    config::Config,
    containerd::simulated::{Play, Simulated, personality::Personality, scenario::Scenario},
};
use lifecycle::pull::{Outcome, PullId};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::{
    sink::Sink,
    stage::{config, id, scenario, until},
};

/// An agent that finds its sockets in a folder of its own, and what it is asked and heard by.
struct Rig {
    folder: tempfile::TempDir,
    sink: Sink,
    probes: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    agent: JoinHandle<()>,
}

impl Rig {
    async fn start(sockets: &[&str]) -> Self {
        Self::prepared(sockets, |_| {}).await
    }

    /// Starts the agent in a folder that was prepared.
    async fn prepared(sockets: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let sink = Sink::open().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probes = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let mut config: Config = config(sockets.iter().map(|name| folder.path().join(name)).collect(), &sink);
        config.node.uid.clear();
        let agent = tokio::spawn(async move { agent::run(config, Some(listener), async { drop(stopped.await) }).await });
        Self { folder, sink, probes, stop, agent }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn play(&self, name: &str, what: Scenario, personality: Personality) -> Simulated {
        Simulated::start(&self.path(name), what, Play { personality, speed: 1, repeat: false }).await.unwrap()
    }

    async fn idle(&self, name: &str, personality: Personality) -> Simulated {
        let nothing = Scenario { pulls: Vec::new(), ..Scenario::named("four-layers").unwrap() };
        self.play(name, nothing, personality).await
    }

    async fn readiness(&self) -> String {
        let mut stream = TcpStream::connect(self.probes).await.unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Waits until `/readyz` says this.
    async fn says(&self, words: &str) {
        self.says_within(words, Duration::from_secs(40)).await;
    }

    async fn says_within(&self, words: &str, limit: Duration) {
        let since = Instant::now();
        loop {
            let answer = self.readiness().await;
            if answer.contains(words) {
                return;
            }
            assert!(since.elapsed() < limit, "waited in vain for {words:?}, the last answer was {answer:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the last heartbeat is of this version, or of none that answers.
    async fn beats(&self, version: Option<&str>) {
        let told = |n: &lifecycle::pull::NodeReport| n.runtime_reachable.then(|| n.node.runtime_version.clone());
        let fits = |heard: &super::sink::Heard| {
            heard.nodes.last().map(told).is_some_and(|told| match (&told, version) {
                (Some(told), Some(version)) => told.starts_with(version),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            })
        };
        until("a heartbeat", || self.sink.look(fits)).await;
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.agent.await.unwrap();
    }
}

const READY: &str = "200 OK";

#[tokio::test]
async fn a_socket_whose_folder_does_not_exist_yet_is_found_when_it_comes() {
    let rig = Rig::start(&["a/b/containerd.sock"]).await;
    rig.says("a/b/containerd.sock: no such socket").await;
    rig.beats(None).await;
    fs::create_dir(rig.path("a")).unwrap();
    rig.says("no such socket").await;
    fs::create_dir(rig.path("a/b")).unwrap();
    let _one = rig.idle("a/b/containerd.sock", Personality::V2_1).await;
    // No timer runs out within this time for a socket that is missing.
    rig.says_within(READY, Duration::from_secs(20)).await;
    rig.beats(Some("2.1")).await;
    rig.end().await;
}

#[tokio::test]
async fn a_folder_that_is_replaced_is_watched_anew() {
    let rig = Rig::prepared(&["a/containerd.sock"], |folder| fs::create_dir(folder.join("a")).unwrap()).await;
    rig.says("no such socket").await;
    fs::remove_dir(rig.path("a")).unwrap();
    fs::create_dir(rig.path("a")).unwrap();
    let _one = rig.idle("a/containerd.sock", Personality::V1_7).await;
    rig.says_within(READY, Duration::from_secs(20)).await;
    rig.end().await;
}

#[tokio::test]
async fn without_permission_it_says_what_to_do_and_begins_when_it_is_given() {
    // Root may open everything, unless it gives that right up; the right belongs to the thread, and this test has one of its own.
    let all = capabilities(None).unwrap();
    let mut fewer = all;
    fewer.effective.remove(CapabilitySet::DAC_OVERRIDE);
    set_capabilities(None, fewer).unwrap();
    let rig = Rig::start(&["containerd.sock"]).await;
    let one = rig.idle("containerd.sock", Personality::V2_4).await;
    rig.says(READY).await;
    fs::set_permissions(rig.path("containerd.sock"), fs::Permissions::from_mode(0o000)).unwrap();
    one.cut();
    rig.says("permission denied; the agent must run as root").await;
    fs::set_permissions(rig.path("containerd.sock"), fs::Permissions::from_mode(0o600)).unwrap();
    rig.says_within(READY, Duration::from_secs(20)).await;
    rig.end().await;
    set_capabilities(None, all).unwrap();
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_taken_up_again_by_its_successor() {
    let rig = Rig::prepared(&["containerd.sock"], |folder| drop(Deaf::bind(folder.join("containerd.sock")).unwrap())).await;
    rig.says("nobody listens there").await;
    let _one = rig.idle("containerd.sock", Personality::V1_6).await;
    rig.says_within(READY, Duration::from_secs(20)).await;
    rig.beats(Some("1.6")).await;
    rig.end().await;
}

#[tokio::test]
async fn what_is_not_containerd_is_named_and_left_alone() {
    let rig = Rig::start(&["web.sock", "grpc.sock"]).await;
    let web = UnixListener::bind(rig.path("web.sock")).unwrap();
    let web = tokio::spawn(async move {
        loop {
            let (mut stream, _) = web.accept().await.unwrap();
            // The first look only opens, and sends nothing.
            let mut asked = [0; 64];
            if stream.read(&mut asked).await.unwrap() == 0 {
                continue;
            }
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    rig.says("web.sock: what answers is not containerd").await;
    let other = UnixListener::bind(rig.path("grpc.sock")).unwrap();
    let other = tokio::spawn(async move {
        loop {
            let (stream, _) = other.accept().await.unwrap();
            let stranger = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(
                    tonic::Status::unimplemented("unknown service").into_http::<tonic::body::Body>(),
                )
            });
            let server = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
            tokio::spawn(server.serve_connection(hyper_util::rt::TokioIo::new(stream), stranger));
        }
    });
    rig.says("grpc.sock: what answers is not containerd: unknown service").await;
    web.abort();
    fs::remove_file(rig.path("web.sock")).unwrap();
    let _one = rig.idle("web.sock", Personality::V2_1).await;
    rig.says(READY).await;
    other.abort();
    rig.end().await;
}

#[tokio::test]
async fn who_accepts_and_never_answers_holds_up_nothing() {
    let rig = Rig::prepared(&["deaf.sock", "containerd.sock"], |_| {}).await;
    let deaf = Deaf::bind(rig.path("deaf.sock")).unwrap();
    rig.says("deaf.sock: no answer: none within 5s").await;
    let one = rig.play("containerd.sock", scenario("four-layers"), Personality::V2_1).await;
    rig.says(READY).await;
    until("the end of the pull", || rig.sink.look(|heard| heard.pulls.iter().any(|pull| pull.ending.is_some()))).await;
    drop((deaf, one));
    rig.end().await;
}

#[tokio::test]
async fn a_call_that_hangs_stops_neither_events_nor_the_agent() {
    let rig = Rig::start(&["containerd.sock"]).await;
    let one = rig.play("containerd.sock", scenario("four-layers"), Personality::V2_4).await;
    until("the pull", || rig.sink.look(|heard| !heard.pulls.is_empty())).await;
    one.hold("containerd.services.leases.v1.Leases/");
    rig.says("containerd.sock: no answer: none within 5s").await;
    rig.beats(None).await;
    until("the end of the pull in containerd", || one.look(|simulation| simulation.is_over())).await;
    one.hold("");
    rig.says(READY).await;
    until("the outcome", || rig.sink.look(|heard| heard.pulls.iter().any(|pull| pull.ending.is_some()))).await;
    let told = rig.sink.heard();
    assert_eq!(told.last_words().len(), 1, "one pull, with one id");
    assert_eq!(told.last_words()[0].ending.as_ref().map(|e| e.outcome.clone()), Some(Outcome::Ready));
    rig.end().await;
}

#[tokio::test]
async fn a_containerd_that_dies_within_a_survey_is_left_at_once_and_found_again() {
    let rig = Rig::start(&["containerd.sock"]).await;
    let one = rig.idle("containerd.sock", Personality::V2_1).await;
    rig.says(READY).await;
    one.hold("containerd.services.namespaces.v1.Namespaces/List");
    let asked =
        |one: &Simulated| one.asked().iter().filter(|(a, _)| a.path.ends_with("Namespaces/List")).map(|(_, n)| n).sum::<u64>();
    let before = asked(&one);
    until("a survey that hangs", || asked(&one) > before).await;
    drop(one);
    rig.says_within("containerd.sock: no such socket", Duration::from_secs(8)).await;
    rig.beats(None).await;
    let _two = rig.idle("containerd.sock", Personality::V2_1).await;
    rig.says(READY).await;
    rig.end().await;
}

#[tokio::test]
async fn an_upgraded_containerd_with_an_empty_root_is_another_at_the_same_node() {
    let rig = Rig::start(&["containerd.sock"]).await;
    let old = rig.idle("containerd.sock", Personality::V1_7).await;
    rig.beats(Some("1.7")).await;
    let uid = old.uuid().to_owned();
    drop(old);
    rig.beats(None).await;
    let new = rig.play("containerd.sock", scenario("four-layers"), Personality::V2_4).await;
    rig.beats(Some("2.4")).await;
    until("the end of the pull", || rig.sink.look(|heard| heard.pulls.iter().any(|pull| pull.ending.is_some()))).await;
    assert!(rig.sink.look(|heard| heard.nodes.iter().filter(|n| n.runtime_reachable).all(|n| n.node.uid == uid)), "one node");
    let diary = new.look(|simulation| simulation.diaries().next().cloned()).unwrap();
    let derived = PullId::derive(new.uuid(), &diary.namespace, &diary.lease, diary.began.unwrap());
    assert!(!rig.sink.heard().of(derived).is_empty(), "an agent that starts anew must find the same id");
    rig.end().await;
}

#[tokio::test]
async fn who_takes_the_place_of_a_containerd_that_lives_on_is_watched_in_its_stead() {
    let rig = Rig::start(&["containerd.sock"]).await;
    let _old = rig.idle("containerd.sock", Personality::V1_7).await;
    rig.beats(Some("1.7")).await;
    fs::rename(rig.path("containerd.sock"), rig.path("old.sock")).unwrap();
    let _new = rig.idle("containerd.sock", Personality::V2_1).await;
    rig.beats(Some("2.1")).await;
    rig.end().await;
}

#[tokio::test]
async fn a_containerd_with_two_sockets_is_watched_once_and_not_lost_with_one_of_them() {
    let rig = Rig::prepared(&["proxy.sock", "link.sock"], |folder| {
        std::os::unix::fs::symlink(folder.join("real.sock"), folder.join("link.sock")).unwrap();
    })
    .await;
    let one = rig.play("real.sock", scenario("four-layers"), Personality::V2_1).await;
    let proxy = UnixListener::bind(rig.path("proxy.sock")).unwrap();
    let real = rig.path("real.sock");
    let proxy = tokio::spawn(async move {
        let mut pairs = tokio::task::JoinSet::new();
        loop {
            let (mut near, _) = proxy.accept().await.unwrap();
            let mut far = UnixStream::connect(&real).await.unwrap();
            pairs.spawn(async move { copy_bidirectional(&mut near, &mut far).await.ok() });
        }
    });
    until("bytes", || rig.sink.look(|heard| heard.pulls.iter().any(|pull| pull.fetched_bytes() > 1 << 20))).await;
    assert_eq!(subscriptions(&one), 1, "the other socket is the same containerd's");
    proxy.abort();
    until("the end of the pull", || rig.sink.look(|heard| heard.pulls.iter().any(|pull| pull.ending.is_some()))).await;
    let diary = one.look(|simulation| simulation.diaries().next().cloned()).unwrap();
    let heard = rig.sink.heard();
    let derived = PullId::derive(one.uuid(), &diary.namespace, &diary.lease, diary.began.unwrap());
    assert_ne!(Some(derived), id(&diary), "this node has no uid of its own");
    assert_eq!((heard.last_words().len(), heard.of(derived).len()), (1, heard.pulls.len()), "one pull, with one id");
    assert!(heard.pulls.is_sorted_by_key(|pull| pull.sequence), "told by one tracker");
    assert_eq!(heard.last_words()[0].ending.as_ref().map(|e| e.outcome.clone()), Some(Outcome::Ready));
    rig.end().await;
}

fn subscriptions(one: &Simulated) -> u64 {
    one.asked().iter().filter(|(asked, _)| asked.path.ends_with("Events/Subscribe")).map(|(_, times)| times).sum()
}
