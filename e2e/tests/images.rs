//! Pulltrace's own images in a real containerd, without Kubernetes: nothing is in them but the programs, and they run as the user that they say,
//! on a root that nobody can write. How they are made is tested where that is, in `xtask`; in a cluster they are in `cluster.rs`.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use e2e::clock;
use e2e::containerd::Containerd;
use e2e::layout;
use e2e::on_containerd;
use e2e::tools::{Need, Tools, Version};

/// Until a program in a container answers.
const START: Duration = Duration::from_secs(20);

/// Each image with all that is in it and its user.
const IMAGES: [(&str, &[&str], u32); 2] =
    [("pulltrace-agent", &["pulltrace-agent"], 0), ("pulltrace-collector", &["pulltrace", "pulltrace-collector"], 65532)];

/// What an image was seen to be.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    files: Vec<String>,
    users: Vec<u32>,
    alive: bool,
}

fn images_hold_their_programs_and_run_as_their_user_on_a_root_that_is_read_only(test: &str, version: Version) {
    let Some(tools) = Tools::find(test, &[Need::Root, Need::Containerd(version), Need::Images]) else { return };
    let containerd = Containerd::start(&tools, version);
    for (name, programs, user) in IMAGES {
        containerd.ctr(&["images", "import", &layout::own(name).with_extension("tar").display().to_string()]);
        let images = containerd.ctr(&["images", "ls", "-q"]);
        let image = images.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name} is in {images}"));
        let seen = Seen { files: files(&containerd, image), ..run(&containerd, image) };
        let files = programs.iter().map(|program| (*program).to_owned()).collect();
        assert_eq!(seen, Seen { files, users: vec![user; 4], alive: true }, "{name}");
    }
}

on_containerd!(images_hold_their_programs_and_run_as_their_user_on_a_root_that_is_read_only: V1_6, V2_1);

/// All that lies at the image's root.
fn files(containerd: &Containerd, image: &str) -> Vec<String> {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let path = folder.path().display().to_string();
    containerd.ctr(&["images", "mount", image, &path]);
    let found = fs::read_dir(folder.path()).expect("the image is mounted").flatten();
    let mut found: Vec<String> = found.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    containerd.ctr(&["images", "unmount", "--rm", &path]);
    found.sort();
    found
}

/// Starts it, asks whether it lives, looks as whom it runs, and ends it.
fn run(containerd: &Containerd, image: &str) -> Seen {
    // One of a kind on this machine: runc keeps all containers in one folder.
    let folder = containerd.socket().parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let id = folder.as_deref().expect("a temporary folder has a name");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("loopback has a free port").port();
    let asked = if image.contains("agent") { "METRICS" } else { "HTTP" };
    let listening = ["METRICS", "HTTP", "OTLP_GRPC", "OTLP_HTTP"]
        .map(|what| format!("PULLTRACE_{what}_ADDR=127.0.0.1:{}", if what == asked { port } else { 0 }));
    let env = listening.iter().flat_map(|variable| ["--env", variable]);
    let args: Vec<&str> = ["run", "-d", "--read-only", "--net-host"].into_iter().chain(env).chain([image, id]).collect();
    containerd.ctr(&args);
    let url = format!("http://127.0.0.1:{port}/healthz");
    let begin = clock::now();
    let mut alive = false;
    while !alive && clock::now() - begin < START.as_secs_f64() {
        clock::pause(Duration::from_millis(50));
        alive = ureq::get(&url).call().is_ok();
    }
    let tasks = containerd.ctr(&["tasks", "ls"]);
    let pid = tasks.lines().find_map(|line| line.strip_prefix(id)).and_then(|line| line.split_whitespace().next()).unwrap_or("0");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    let users = users.split_whitespace().filter_map(|user| user.parse().ok()).collect();
    containerd.ctr(&["tasks", "rm", "-f", id]);
    containerd.ctr(&["containers", "rm", id]);
    Seen { files: Vec::new(), users, alive }
}
