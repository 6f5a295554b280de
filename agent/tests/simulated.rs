//! The simulated containerd as its clients meet it: over its socket, with the client library that the agent uses, and as a program.
//!
//! What happens in which order is tested beside `simulated::world`; here is what goes over the wire.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot go on fails the test")]

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use agent::containerd::simulated::{Play, Simulated, Simulation, StartError, personality::Personality, scenario::Scenario};
use containerd_client::{
    Client,
    events::SnapshotPrepare,
    services::v1::{
        CreateRequest, GetImageRequest, ImageCreate, InfoRequest, ListImagesRequest, ListNamespacesRequest, ListRequest,
        ListResourcesRequest, ListStatusesRequest, PluginsRequest, ReadContentRequest, StatusRequest, SubscribeRequest,
        snapshots::{ListSnapshotsRequest, StatSnapshotRequest},
    },
    types::Envelope,
};
use prost::{Message, Name};
use tempfile::TempDir;
use tonic::{Code, Request};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// A simulated containerd and a client of it.
struct House {
    folder: TempDir,
    simulated: Simulated,
    client: Client,
}

impl House {
    async fn open(scenario: &str, personality: Personality, speed: u32) -> Self {
        Self::play(scenario, Play { personality, speed, repeat: false }).await
    }

    /// Plays again and again, for those who come late on a busy machine.
    async fn repeat(scenario: &str, personality: Personality, speed: u32) -> Self {
        Self::play(scenario, Play { personality, speed, repeat: true }).await
    }

    async fn play(scenario: &str, play: Play) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let simulated = Simulated::start(&socket(&folder), Scenario::named(scenario).unwrap(), play).await.unwrap();
        let client = Client::from_path(socket(&folder)).await.unwrap();
        Self { folder, simulated, client }
    }

    async fn leases(&self, filter: &str) -> Vec<String> {
        let request = cri(ListRequest { filters: vec![filter.to_owned()] });
        let leases = self.client.leases().list(request).await.unwrap().into_inner().leases;
        leases.into_iter().map(|lease| lease.id).collect()
    }

    /// Type and id of what a lease keeps; nothing if it is gone.
    async fn resources(&self, lease: &str) -> Vec<(String, String)> {
        match self.client.leases().list_resources(cri(ListResourcesRequest { id: lease.to_owned() })).await {
            Ok(found) => found.into_inner().resources.into_iter().map(|resource| (resource.r#type, resource.id)).collect(),
            Err(status) if status.code() == Code::NotFound => Vec::new(),
            Err(status) => panic!("{status}"),
        }
    }

    async fn until(&self, what: &str, done: impl Fn(&Simulation) -> bool) {
        let since = Instant::now();
        while !self.simulated.look(&done) {
            assert!(since.elapsed() < DEADLINE, "{what}: not in time");
            tokio::task::yield_now().await;
        }
    }
}

fn socket(folder: &TempDir) -> PathBuf {
    folder.path().join("containerd.sock")
}

fn cri<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", "k8s.io".parse().unwrap());
    request
}

/// Collects events until one has this topic and this text in its payload.
async fn events_until(client: &Client, filter: &str, topic: &str, text: &str) -> Vec<Envelope> {
    let request = SubscribeRequest { filters: vec![filter.to_owned()] };
    let collect = async {
        let mut stream = client.events().subscribe(request).await.unwrap().into_inner();
        let mut found = Vec::new();
        while let Some(envelope) = stream.message().await.unwrap() {
            let payload = String::from_utf8_lossy(&envelope.event.as_ref().unwrap().value).into_owned();
            let last = envelope.topic == topic && payload.contains(text);
            found.push(envelope);
            if last {
                break;
            }
        }
        found
    };
    tokio::time::timeout(DEADLINE, collect).await.unwrap()
}

#[tokio::test]
async fn a_pull_is_told_in_events_of_the_right_types_in_every_version() {
    for personality in Personality::ALL {
        let house = House::repeat("four-layers", personality, 20).await;
        let events = events_until(&house.client, "namespace==k8s.io", "/images/create", "four-layers@sha256").await;
        let topics: BTreeSet<_> = events.iter().map(|event| event.topic.as_str()).collect();
        assert_eq!(topics.contains("/content/create"), personality >= Personality::V2_1, "{personality}");
        let prepared = events.iter().find(|event| event.topic == "/snapshot/prepare").unwrap().event.clone().unwrap();
        assert_eq!(prepared.type_url, "containerd.events.SnapshotPrepare");
        let prepared = SnapshotPrepare::decode(prepared.value.as_slice()).unwrap();
        assert!(prepared.key.starts_with("extract-") && prepared.key.contains(" sha256:"));
        assert_eq!(prepared.snapshotter, if personality == Personality::V1_6 { "" } else { "overlayfs" });
        let created = events.last().unwrap().event.clone().unwrap();
        assert_eq!(created.type_url, ImageCreate::full_name());
        assert!(events.is_sorted_by_key(|event| event.timestamp.as_ref().map(|at| (at.seconds, at.nanos))));
    }
}

#[tokio::test]
async fn a_subscription_gets_only_what_passes_its_filters() {
    let house = House::repeat("four-layers", Personality::V2_1, 20).await;
    let filter = "topic~=\"^/images/\",namespace==k8s.io";
    let events = events_until(&house.client, filter, "/images/create", "four-layers@sha256").await;
    assert!(events.iter().all(|event| event.topic.starts_with("/images/")));
}

#[tokio::test]
async fn a_lease_lists_the_ingests_content_and_snapshots_of_its_pull() {
    let house = House::open("four-layers", Personality::V2_1, 5).await;
    house.until("the first lease", |simulation| simulation.now().as_millis() > 0 && !simulation.is_over()).await;
    let since = Instant::now();
    let mut seen = BTreeSet::new();
    while !house.simulated.look(Simulation::is_over) {
        assert!(since.elapsed() < DEADLINE);
        for lease in house.leases("labels.\"containerd.io/gc.expire\"").await {
            let statuses = house.client.content().list_statuses(cri(ListStatusesRequest { filters: vec![] })).await.unwrap();
            for status in statuses.into_inner().statuses {
                assert!(status.total > 0 && status.offset <= status.total && status.expected.is_empty());
                assert!(status.started_at.is_some() && status.updated_at.is_some());
            }
            seen.extend(house.resources(&lease).await);
        }
    }
    let count = |kind: &str, start: &str| seen.iter().filter(|(k, id)| k == kind && id.starts_with(start)).count();
    assert_eq!(count("ingests", "layer-sha256:"), 4);
    assert_eq!(count("content", "sha256:"), 7);
    assert!(count("snapshots/overlayfs", "extract-") >= 2, "{seen:?}");
}

#[tokio::test]
async fn documents_can_be_read_and_lead_from_the_image_to_its_layers() {
    let house = House::open("cached", Personality::V2_4, 1).await;
    let name = "registry.example.com/team/cached:1";
    let request = cri(GetImageRequest { name: name.to_owned() });
    let target = house.client.images().get(request).await.unwrap().into_inner().image.unwrap().target.unwrap();
    let filters = vec![format!("target.digest=={}", target.digest)];
    let same = house.client.images().list(cri(ListImagesRequest { filters })).await.unwrap().into_inner().images;
    assert_eq!(same.len(), 3);

    let index = read(&house.client, &target.digest).await;
    let manifest = read(&house.client, index["manifests"][0]["digest"].as_str().unwrap()).await;
    let config = read(&house.client, manifest["config"]["digest"].as_str().unwrap()).await;
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 4);
    let layer = &manifest["layers"][1];
    let request = cri(InfoRequest { digest: layer["digest"].as_str().unwrap().to_owned() });
    let info = house.client.content().info(request).await.unwrap().into_inner().info.unwrap();
    assert_eq!(info.size, layer["size"].as_i64().unwrap());
    assert_eq!(info.labels["containerd.io/distribution.source.registry.example.com"], "team/cached");

    // The first chain id is the first diff id.
    let key = config["rootfs"]["diff_ids"][0].as_str().unwrap().to_owned();
    let request = cri(StatSnapshotRequest { snapshotter: "overlayfs".to_owned(), key });
    let snapshot = house.client.snapshots().stat(request).await.unwrap().into_inner().info.unwrap();
    assert!(snapshot.parent.is_empty() && snapshot.created_at.is_some());
}

async fn read(client: &Client, digest: &str) -> serde_json::Value {
    let request = cri(ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 });
    let mut stream = client.content().read(request).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.message().await.unwrap() {
        bytes.extend(piece.data);
    }
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn refusals_have_the_codes_of_the_real_thing() {
    let house = House::open("four-layers", Personality::V1_7, 1).await;
    let zero = format!("sha256:{}", "0".repeat(64));
    let client = &house.client;
    let list = ListRequest { filters: vec![] };
    let filter = cri(ListRequest { filters: vec!["labels.".to_owned()] });
    let stat = StatSnapshotRequest { snapshotter: "none".to_owned(), key: String::new() };
    let codes = [
        client.leases().list(list).await.unwrap_err().code(),
        client.leases().list(filter).await.unwrap_err().code(),
        client.leases().list_resources(cri(ListResourcesRequest { id: "none".to_owned() })).await.unwrap_err().code(),
        client.content().info(cri(InfoRequest { digest: zero.clone() })).await.unwrap_err().code(),
        client.content().info(cri(InfoRequest { digest: "junk".to_owned() })).await.unwrap_err().code(),
        client.content().status(cri(StatusRequest { r#ref: "none".to_owned() })).await.unwrap_err().code(),
        client.content().read(cri(ReadContentRequest { digest: zero, offset: 0, size: 0 })).await.unwrap_err().code(),
        client.images().get(cri(GetImageRequest { name: "none".to_owned() })).await.unwrap_err().code(),
        client.snapshots().stat(cri(stat)).await.unwrap_err().code(),
        client.leases().create(cri(CreateRequest::default())).await.unwrap_err().code(),
    ];
    assert_eq!(
        codes,
        [
            Code::FailedPrecondition,
            Code::InvalidArgument,
            Code::NotFound,
            Code::NotFound,
            Code::InvalidArgument,
            Code::NotFound,
            Code::NotFound,
            Code::NotFound,
            Code::InvalidArgument,
            Code::Unimplemented,
        ]
    );
}

#[tokio::test]
async fn an_unknown_namespace_holds_nothing() {
    let house = House::open("cached", Personality::V2_1, 1).await;
    let mut request = Request::new(ListImagesRequest { filters: vec![] });
    request.metadata_mut().insert("containerd-namespace", "moby".parse().unwrap());
    assert!(house.client.images().list(request).await.unwrap().into_inner().images.is_empty());
    let namespaces = house.client.namespaces().list(ListNamespacesRequest { filter: String::new() }).await.unwrap();
    let names: Vec<_> = namespaces.into_inner().namespaces.into_iter().map(|namespace| namespace.name).collect();
    assert_eq!(names, ["k8s.io"]);
}

#[tokio::test]
async fn version_and_plugins_tell_which_containerd_is_played() {
    for personality in Personality::ALL {
        let house = House::open("four-layers", personality, 1).await;
        let version = house.client.version().version(()).await.unwrap().into_inner().version;
        assert!(version.starts_with(personality.name()), "{version}");
        let plugins =
            house.client.introspection().plugins(PluginsRequest { filters: vec![] }).await.unwrap().into_inner().plugins;
        let content = plugins.iter().find(|plugin| plugin.r#type == "io.containerd.content.v1").unwrap();
        assert!(content.exports["root"].ends_with("io.containerd.content.v1.content"));
        let rebase = plugins.iter().any(|plugin| plugin.capabilities.iter().any(|name| name == "rebase"));
        assert_eq!(rebase, personality == Personality::V2_4);
    }
}

#[tokio::test]
async fn sandbox_leases_do_not_pass_the_filter_for_pulls() {
    let house = House::open("demo", Personality::V2_1, 1).await;
    assert_eq!(house.leases("").await.len(), 3);
    assert!(house.leases("labels.\"containerd.io/gc.expire\"").await.is_empty());
}

#[tokio::test]
async fn snapshots_are_listed_with_their_parents() {
    let house = House::open("cached", Personality::V2_1, 1).await;
    let request = cri(ListSnapshotsRequest { snapshotter: "overlayfs".to_owned(), filters: vec![] });
    let listed = house.client.snapshots().list(request).await.unwrap().into_inner().message().await.unwrap().unwrap().info;
    let names: BTreeSet<_> = listed.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(listed.len(), 4);
    assert_eq!(listed.iter().filter(|info| names.contains(info.parent.as_str())).count(), 3);
}

#[tokio::test]
async fn a_crash_cuts_connections_and_the_next_life_has_another_pid_and_the_old_lease() {
    let house = House::open("crash", Personality::V2_1, 10).await;
    let server = house.client.introspection().server(()).await.unwrap().into_inner();
    let request = SubscribeRequest { filters: vec!["topic==/images/delete".to_owned()] };
    // As in the real containerd the answer begins with the first event, so this waits until the crash.
    let cut = tokio::time::timeout(DEADLINE, house.client.events().subscribe(request)).await.unwrap();
    assert!(cut.is_err());
    house.until("the crash", |simulation| !simulation.is_up() || simulation.incarnation() > 0).await;
    house.until("the next life", |simulation| simulation.incarnation() > 0).await;

    let since = Instant::now();
    let again = loop {
        assert!(since.elapsed() < DEADLINE);
        if let Ok(client) = Client::from_path(socket(&house.folder)).await
            && let Ok(answer) = client.introspection().server(()).await
        {
            break answer.into_inner();
        }
        tokio::task::yield_now().await;
    };
    assert_ne!(again.pid, server.pid);
    assert_eq!(again.uuid, server.uuid);
    assert!(!house.leases("labels.\"containerd.io/gc.expire\"").await.is_empty());
}

#[tokio::test]
async fn at_speed_one_its_times_are_those_of_the_wall() {
    let house = House::open("four-layers", Personality::V2_1, 1).await;
    house.until("the first lease", |simulation| simulation.now().as_nanos() % 1_000_000_000 != 0).await;
    let now = house.simulated.now();
    let file = house.folder.path().join("now");
    std::fs::write(&file, "").unwrap();
    let wall = std::fs::metadata(&file).unwrap().modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    let apart = now.as_nanos().abs_diff(u64::try_from(wall.as_nanos()).unwrap());
    assert!(apart < 1_000_000_000, "{apart} ns");
}

#[tokio::test]
async fn a_socket_in_use_is_refused_and_an_abandoned_one_is_taken_over() {
    let house = House::open("cached", Personality::V2_1, 1).await;
    let play = Play { personality: Personality::V2_1, speed: 1, repeat: false };
    let start = |path: PathBuf| async move { Simulated::start(&path, Scenario::named("cached").unwrap(), play).await };
    assert!(matches!(start(socket(&house.folder)).await, Err(StartError::InUse(_))));

    let plain = house.folder.path().join("plain");
    std::fs::write(&plain, "kept").unwrap();
    assert!(matches!(start(plain.clone()).await, Err(StartError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(plain).unwrap(), "kept");

    let abandoned = house.folder.path().join("abandoned");
    drop(std::os::unix::net::UnixListener::bind(&abandoned).unwrap());
    let taken = start(abandoned.clone()).await.unwrap();
    assert!(Client::from_path(&abandoned).await.unwrap().version().version(()).await.is_ok());
    drop(taken);
    assert!(!abandoned.exists());
}

#[test]
fn the_program_says_what_was_wrong_and_exits_with_64() {
    let folder = tempfile::tempdir().unwrap();
    let used = folder.path().join("used");
    let _listener = std::os::unix::net::UnixListener::bind(&used).unwrap();
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, "{\"about\": \"\", \"images\": [], \"pulls\": [{\"image\": \"example.com/a:1\"}]}").unwrap();
    let free = folder.path().join("free");
    let missing = folder.path().join("missing.json");
    let cases: [(&Path, [&str; 2], &str); 6] = [
        (&used, ["--scenario-name", "cached"], "in use"),
        (&free, ["--scenario-name", "nonsense"], "nonsense"),
        (&free, ["--scenario", missing.to_str().unwrap()], "missing.json"),
        (&free, ["--scenario", broken.to_str().unwrap()], "example.com/a:1"),
        (&free, ["--version", "3.0"], "3.0"),
        (&folder.path().join("no/such/folder"), ["--scenario-name", "cached"], "no/such/folder"),
    ];
    for (socket, arguments, named) in cases {
        let mut program = Command::new(env!("CARGO_BIN_EXE_simulated-containerd"));
        let output = program.arg("--socket").arg(socket).args(arguments).stdin(Stdio::null()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains(named), "{named:?} is not in {told:?}");
    }
}
