//! Tests of the kit itself: that its link really slows and breaks, its images really pull, and its witnesses really see. A live
//! test is worth no more than these.

use std::io::Read as _;
use std::time::{Duration, Instant};

use e2e::clock;
use e2e::containerd::Containerd;
use e2e::docker::{Docker, Store};
use e2e::image::{self, Form, Image, LayerPlan, MIB, sha256};
use e2e::link::{Fault, Link};
use e2e::on_containerd;
use e2e::otlp_sink::Sink;
use e2e::registry::Registry;
use e2e::site::play_once_more;
use e2e::tools::{Need, Tools, Version};
use e2e::truth::Truth;
use serde_json::json;

/// A registry, a link in front of it and an image with one layer of 2 MiB behind both.
fn way(test: &str) -> Option<(Registry, Link, Image)> {
    let registry = Registry::start(&Tools::find(test, &[Need::Registry])?);
    let link = Link::start(registry.port());
    let image = image::push(&registry, "team/kit:v1", &image::layers(1, &[2]), Form::OciIndex);
    Some((registry, link, image))
}

/// Fetches the image's layer through the link: status, bytes that came, whether the body ended in order.
fn fetch(link: &Link, image: &Image) -> (u16, Vec<u8>, bool) {
    get(link, &format!("blobs/{}", image.layers[0].digest))
}

fn get(link: &Link, path: &str) -> (u16, Vec<u8>, bool) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("http://127.0.0.1:{}/v2/team/kit/{path}", link.port());
    let accept = "application/vnd.oci.image.index.v1+json";
    let answer = agent.get(url).header("Accept", accept).call().expect("the link answers");
    let (status, mut bytes) = (answer.status().as_u16(), Vec::new());
    let ended = answer.into_body().into_reader().read_to_end(&mut bytes).is_ok();
    (status, bytes, ended)
}

#[test]
fn the_link_keeps_its_rate_and_takes_a_new_one_at_once() {
    let Some((_registry, link, image)) = way("the_link_keeps_its_rate_and_takes_a_new_one_at_once") else { return };
    let timed = || {
        let begin = Instant::now();
        let (status, bytes, ended) = fetch(&link, &image);
        assert_eq!((status, sha256(&bytes), ended), (200, image.layers[0].digest.clone(), true));
        begin.elapsed().as_secs_f64()
    };
    link.set_rate(Some(1_000_000));
    let slow = timed();
    assert!((1.9..4.0).contains(&slow), "2.1 MB at 1 MB/s took {slow} s");
    link.set_rate(None);
    let fast = timed();
    assert!(fast < 1.5, "2.1 MB without limit took {fast} s");
    std::thread::scope(|s| {
        link.set_rate(Some(20_000));
        let fetching = s.spawn(timed);
        clock::until("a slow answer under way", Duration::from_secs(5), || (!fetching.is_finished()).then_some(()));
        link.set_rate(None);
        assert!(fetching.join().expect("a fetch does not panic") < 20.0, "100 s at the first rate");
    });
}

#[test]
fn every_fault_of_the_link_breaks_what_it_says() {
    let Some((_registry, link, image)) = way("every_fault_of_the_link_breaks_what_it_says") else { return };
    let (_, whole, _) = fetch(&link, &image);
    let half = whole.len() / 2;
    for (fault, blob, manifest) in [
        (Fault::Unauthorized, 401, 401),
        (Fault::Login, 401, 401),
        (Fault::NotFound, 404, 404),
        (Fault::TooManyRequests, 429, 200),
        (Fault::Unavailable, 503, 503),
    ] {
        link.set_fault(fault);
        assert_eq!((fetch(&link, &image).0, get(&link, "manifests/v1").0), (blob, manifest), "{fault:?}");
    }
    link.set_fault(Fault::Close);
    let (status, bytes, ended) = fetch(&link, &image);
    assert!(status == 200 && bytes == whole[..half] && !ended, "close: {} bytes", bytes.len());
    link.set_fault(Fault::Reset);
    let (status, bytes, ended) = fetch(&link, &image);
    assert!(status == 200 && bytes.len() <= half && !ended, "reset: {} bytes", bytes.len());
    link.set_fault(Fault::Corrupt);
    let (_, bytes, ended) = fetch(&link, &image);
    let wrong = bytes.iter().zip(&whole).filter(|(a, b)| a != b).count();
    assert!(ended && bytes.len() == whole.len() && wrong == 1, "corrupt: {wrong} wrong bytes");
    link.set_fault(Fault::SlowManifest(Duration::from_millis(700)));
    let begin = Instant::now();
    assert!(get(&link, "manifests/v1").0 == 200 && begin.elapsed() >= Duration::from_millis(700));
}

#[test]
fn a_stalled_answer_goes_on_when_the_stall_is_lifted() {
    let Some((_registry, link, image)) = way("a_stalled_answer_goes_on_when_the_stall_is_lifted") else { return };
    link.set_fault(Fault::Stall);
    std::thread::scope(|s| {
        let fetching = s.spawn(|| fetch(&link, &image));
        clock::pause(Duration::from_millis(500));
        assert!(!fetching.is_finished(), "the answer came whole in spite of the stall");
        link.set_fault(Fault::None);
        let (status, bytes, _) = fetching.join().expect("a fetch does not panic");
        assert_eq!((status, sha256(&bytes)), (200, image.layers[0].digest.clone()));
    });
}

fn containerd_behind_a_link(test: &str, version: Version) -> Option<(Containerd, Link, Registry)> {
    let tools = Tools::find(test, &[Need::Root, Need::Registry, Need::Containerd(version)])?;
    let registry = Registry::start(&tools);
    let link = Link::start(registry.port());
    let containerd = Containerd::start(&tools, version);
    containerd.map("kit.test", link.port());
    Some((containerd, link, registry))
}

/// The witnesses see each layer open, arrive, commit and unpack, in that order, within the time of the pull.
fn witnesses_see_every_layer_of_a_real_pull(test: &str, version: Version) {
    let Some((containerd, link, registry)) = containerd_behind_a_link(test, version) else { return };
    let image = image::push(&registry, "team/seen:v1", &image::layers(2, &[4, 2]), Form::OciIndex);
    let truth = Truth::watch(&containerd);
    link.set_rate(Some(2_000_000));
    let begin = clock::now();
    containerd.pull("kit.test/team/seen:v1").wait().expect("the pull succeeds");
    let end = clock::now();
    assert_eq!(containerd.images(), ["kit.test/team/seen:v1"]);
    for (layer, pushed) in clock::until("the last event", Duration::from_secs(5), || {
        let layers = truth.layers(&image);
        layers.iter().all(|l| l.unpack_ended.is_some()).then_some(layers)
    })
    .iter()
    .zip(&image.layers)
    {
        let times = [layer.opened, layer.first_bytes, layer.committed, layer.unpack_started, layer.unpack_ended];
        let times: Vec<f64> = times.into_iter().map(|t| t.unwrap_or_else(|| panic!("{layer:?}"))).collect();
        assert!(times.is_sorted() && times[0] >= begin && times[4] <= end + 0.1, "from {begin} to {end}: {layer:?}");
        let ingest = truth.ingest(&layer.digest).expect("a layer with times was seen arriving");
        assert!(ingest.total == pushed.size && ingest.most <= pushed.size && !ingest.fell, "{ingest:?}");
        let file = truth.blob(&layer.digest).expect("a committed blob is a file");
        assert!((file - times[2]).abs() < 0.2, "event and file disagree: {} {file}", times[2]);
    }
    let created = truth.events().iter().any(|e| e.topic == "/content/create");
    assert_eq!(created, version.has_content_events());
}

on_containerd!(witnesses_see_every_layer_of_a_real_pull: V1_6, V1_7, V2_1, V2_4);

/// Images of every form, with many files, and a pull that was broken off, and a crash.
fn pulls_end_as_the_link_and_the_caller_want(test: &str, version: Version) {
    let Some((mut containerd, link, registry)) = containerd_behind_a_link(test, version) else { return };
    let many = [LayerPlan { bytes: MIB, seed: 5, files: 300 }];
    for (name, form) in [("index", Form::OciIndex), ("manifest", Form::OciManifest), ("docker", Form::DockerList)] {
        let _image = image::push(&registry, &format!("team/{name}:v1"), &many, form);
        containerd.pull(&format!("kit.test/team/{name}:v1")).wait().unwrap_or_else(|e| panic!("{name}: {e}"));
    }
    let _image = image::push(&registry, "team/broken:v1", &image::layers(6, &[3]), Form::OciIndex);
    let broken = "kit.test/team/broken:v1";
    for fault in [Fault::Unauthorized, Fault::NotFound, Fault::TooManyRequests, Fault::Unavailable, Fault::Reset, Fault::Corrupt]
    {
        link.set_fault(fault);
        assert!(containerd.pull(broken).wait().is_err(), "{fault:?} does not break a pull");
        containerd.until_quiet();
    }
    link.set_fault(Fault::Stall);
    let refused = containerd.pull_within(broken, Duration::from_secs(1)).wait().expect_err("a stalled pull ends at its deadline");
    assert!(matches!(refused.code, tonic::Code::DeadlineExceeded | tonic::Code::Cancelled), "{refused}");
    containerd.until_quiet();
    let under_way = containerd.pull(broken);
    clock::pause(Duration::from_millis(500));
    assert!(!under_way.ended());
    under_way.cancel();
    containerd.until_quiet();
    link.set_fault(Fault::Close);
    containerd.pull(broken).wait().expect("containerd resumes after a closed connection");
    containerd.remove_image(broken);
    containerd.kill9();
    assert!(!containerd.runs());
    containerd.restart();
    let images = containerd.images();
    assert!(images.len() == 3 && !images.contains(&broken.to_owned()), "{images:?}");
}

on_containerd!(pulls_end_as_the_link_and_the_caller_want: V1_7, V2_1);

#[test]
fn the_sink_keeps_what_a_stock_collector_took() {
    let Some(tools) = Tools::find("the_sink_keeps_what_a_stock_collector_took", &[Need::Otelcol]) else { return };
    let sink = Sink::start(&tools);
    let span = json!({"traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "pull image", "kind": 1,
        "startTimeUnixNano": "1700000000500000000", "endTimeUnixNano": "1700000001000000000",
        "attributes": [{"key": "n", "value": {"intValue": "7"}}]});
    let body = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let url = format!("{}/v1/traces", sink.http_endpoint());
    ureq::post(&url).content_type("application/json").send(&body).expect("otelcol takes a span");
    let spans = clock::until("the span", Duration::from_secs(5), || Some(sink.spans()).filter(|s| !s.is_empty()));
    assert_eq!((spans.len(), spans[0].name.as_str(), spans[0].parent_id.as_str()), (1, "pull image", ""));
    assert_eq!((spans[0].start, spans[0].end, spans[0].integer("n")), (1_700_000_000.5, 1_700_000_001.0, Some(7)));
}

/// Both stores pull, hold what a broken pull left, and stop when the caller goes.
fn an_engine_pulls_breaks_and_stops_as_it_should(store: Store) {
    let test = "an_engine_pulls_breaks_and_stops_as_it_should";
    let Some(tools) = Tools::find(test, &[Need::Root, Need::Registry, Need::Docker]) else { return };
    let registry = Registry::start(&tools);
    let link = Link::start(registry.port());
    let docker = Docker::start(&tools, store);
    let socket = docker.socket();
    let image = image::push(&registry, "team/docker:v1", &image::layers(90, &[2, 1]), Form::OciIndex);
    let name = format!("127.0.0.1:{}/{}", link.port(), image.name);
    for fault in [Fault::Login, Fault::NotFound, Fault::TooManyRequests, Fault::Corrupt] {
        link.set_fault(fault);
        let code = docker.docker_at(&["pull", "--quiet", &name]).exit_code(Duration::from_secs(20));
        assert!(code == Some(1) && !docker.has(&name), "{fault:?} ends a pull with {code:?}");
    }
    link.set_fault(Fault::None);
    link.set_rate(Some(100_000));
    let (before, stopped) = (link.sent(), docker.docker_at(&["pull", "--quiet", &name]));
    clock::until("bytes of a layer", Duration::from_secs(10), || (link.sent() > before + 100_000).then_some(()));
    assert!(docker.arriving() > 0);
    drop(stopped);
    clock::until("the end of every request", Duration::from_secs(10), || (link.under_way() == 0).then_some(()));
    link.set_rate(None);
    docker.docker(&["pull", "--quiet", &name]);
    assert!(docker.has(&name));
    docker.clear();
    assert!(!docker.has(&name));
    let folder = socket.parent().expect("a socket is in a folder").to_owned();
    drop(docker);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("Linux tells its mounts");
    assert!(!folder.exists() && !mounts.contains(&folder.display().to_string()), "something stays of {}", folder.display());
}

#[test]
fn a_classic_engine_pulls_breaks_and_stops_as_it_should() {
    play_once_more("a_classic_engine_pulls_breaks_and_stops_as_it_should", || {
        an_engine_pulls_breaks_and_stops_as_it_should(Store::Classic);
    });
}

#[test]
fn an_engine_on_containerd_pulls_breaks_and_stops_as_it_should() {
    play_once_more("an_engine_on_containerd_pulls_breaks_and_stops_as_it_should", || {
        an_engine_pulls_breaks_and_stops_as_it_should(Store::Containerd);
    });
}
