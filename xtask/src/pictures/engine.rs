//! An Engine and a registry that play a part: they speak just enough of both interfaces for a pull to look like one, from a script. What a real
//! Engine says is the business of the live tests.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Between two words about a layer.
const STEP: Duration = Duration::from_millis(100);
/// Layers that are fetched at a time, as Docker does.
const SLOTS: usize = 3;
/// Unpacking is faster than the network by so much.
const FASTER: u64 = 2;
const MIB: u64 = 1 << 20;
/// The registry's usual port; another one if that is taken.
const PORT: u16 = 5000;

/// An image and how its pull goes.
#[derive(Clone, Copy)]
pub(super) struct Story {
    pub(super) name: &'static str,
    pub(super) tag: &'static str,
    /// Size of each layer, MiB, and whether it is here already.
    pub(super) layers: &'static [(u64, bool)],
    /// MiB per second, of all layers together.
    pub(super) per_second: u64,
    pub(super) turn: Turn,
}

/// How a pull goes on after a share of its bytes.
#[derive(Clone, Copy)]
pub(super) enum Turn {
    End,
    Halt { percent: u64 },
    Fail { percent: u64, said: &'static str },
}

/// Both, as long as this is held.
pub(super) struct Engine {
    /// Name and port of the registry.
    pub(super) registry: String,
    port: u16,
    over: Arc<AtomicBool>,
}

impl Engine {
    /// Listens on a socket, and the registry on a port.
    ///
    /// # Errors
    /// When one of them cannot be listened on.
    pub(super) fn start(socket: &Path, stories: &'static [Story]) -> anyhow::Result<Self> {
        if socket.exists() {
            fs::remove_file(socket).context("an Engine that nobody needs any more")?;
        }
        let engine = UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
        let registry = TcpListener::bind(("127.0.0.1", PORT)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))?;
        let port = registry.local_addr()?.port();
        let over = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&over);
        thread::spawn(move || engine.incoming().flatten().for_each(|peer| spawn(peer, stories)));
        thread::spawn(move || {
            let peers = registry.incoming().flatten().take_while(|_| !closed.load(Ordering::Relaxed));
            peers.for_each(|peer| spawn(peer, stories));
        });
        Ok(Self { registry: format!("localhost:{port}"), port, over })
    }
}

/// The next scene wants the port: whoever waits there is asked once more, and then told that it is over.
impl Drop for Engine {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

fn spawn(peer: impl Read + Write + Send + 'static, stories: &'static [Story]) {
    // A peer that goes away in the middle has seen enough.
    thread::spawn(move || drop(answer(peer, stories)));
}

/// Answers one request and closes.
fn answer(mut peer: impl Read + Write, stories: &[Story]) -> io::Result<()> {
    let mut head = String::new();
    let mut lines = BufReader::new(&mut peer);
    lines.read_line(&mut head)?;
    let mut line = String::new();
    while lines.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let story = |name: &str| stories.iter().find(|story| path.contains(name) && path.contains(story.name));
    if path.contains("/images/create") {
        return match stories.iter().find(|story| path.contains(&story.name.replace('/', "%2F")) || path.contains(story.name)) {
            Some(story) => pull(&mut peer, story),
            None => reply(&mut peer, &json!({"message": "no such story"})),
        };
    }
    if let Some(story) = story("/manifests/") {
        return reply(&mut peer, &manifest(story));
    }
    reply(
        &mut peer,
        &match path.rsplit('/').next().unwrap_or_default() {
            "version" => {
                json!({"Version": "28.5.2", "ApiVersion": "1.47", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"})
            }
            "info" => json!({
                "Name": "edge-7", "ID": "edge-7", "Driver": "overlay2", "DriverStatus": [["Backing Filesystem", "extfs"]],
                "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}},
            }),
            _ => json!({}),
        },
    )
}

fn reply(peer: &mut impl Write, body: &Value) -> io::Result<()> {
    let (body, kind) = (body.to_string(), body.get("mediaType").and_then(Value::as_str).unwrap_or("application/json"));
    write!(
        peer,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\nApi-Version: 1.47\r\n\
         Connection: close\r\n\r\n{body}",
        body.len(),
        digest(&body)
    )
}

fn digest(text: &str) -> String {
    let hex: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn blob(story: &Story, at: usize) -> String {
    digest(&format!("{} {at}", story.name))
}

fn manifest(story: &Story) -> Value {
    let layers = story.layers.iter().enumerate().map(|(at, (mib, _))| {
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": blob(story, at), "size": mib * MIB})
    });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(story.name), "size": 7023},
        "layers": layers.collect::<Vec<_>>(),
    })
}

/// What Docker's classic image store says of a pull, in its pace.
fn pull(peer: &mut (impl Read + Write), story: &Story) -> io::Result<()> {
    write!(peer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let mut said = Said { peer, last: BTreeMap::new(), story };
    for (at, (_, cached)) in story.layers.iter().enumerate() {
        said.layer(at, if *cached { "Already exists" } else { "Pulling fs layer" }, None)?;
    }
    let all: u64 = story.layers.iter().filter(|(_, cached)| !cached).map(|(mib, _)| mib * MIB).sum();
    let (mut fetched, mut unpacked) = (vec![0; story.layers.len()], vec![0; story.layers.len()]);
    let (_never, pace) = mpsc::channel::<()>();
    while advance(story, &mut fetched, &mut unpacked) {
        for at in 0..story.layers.len() {
            said.progress(at, fetched[at], unpacked[at])?;
        }
        let percent = fetched.iter().sum::<u64>() * 100 / all.max(1);
        match story.turn {
            Turn::Halt { percent: at } if percent >= at => return said.peer.read(&mut [0]).map(drop),
            Turn::Fail { percent: at, said: words } if percent >= at => {
                said.line(&json!({"errorDetail": {"message": words}, "error": words}))?;
                return write!(said.peer, "0\r\n\r\n");
            }
            Turn::Halt { .. } | Turn::Fail { .. } | Turn::End => {}
        }
        // Nothing ever comes; this is the pace.
        _ = pace.recv_timeout(STEP);
    }
    said.line(&json!({"status": format!("Digest: {}", digest(&manifest(story).to_string()))}))?;
    said.line(&json!({"status": format!("Status: Downloaded newer image for {}:{}", story.name, story.tag)}))?;
    write!(said.peer, "0\r\n\r\n")
}

/// One step on; whether anything was left to do.
fn advance(story: &Story, fetched: &mut [u64], unpacked: &mut [u64]) -> bool {
    let size = |at: usize| story.layers[at].0 * MIB;
    let todo: Vec<usize> = (0..story.layers.len()).filter(|at| !story.layers[*at].1).collect();
    let step = story.per_second * MIB / 10;
    let open: Vec<usize> = todo.iter().copied().filter(|at| fetched[*at] < size(*at)).take(SLOTS).collect();
    for at in &open {
        fetched[*at] = (fetched[*at] + step / open.len() as u64).min(size(*at));
    }
    let Some(next) = todo.into_iter().find(|at| unpacked[*at] < size(*at)) else { return false };
    if fetched[next] == size(next) {
        unpacked[next] = (unpacked[next] + step * FASTER).min(size(next));
    }
    true
}

/// What was said, so that nothing is said twice.
struct Said<'a, P> {
    peer: &'a mut P,
    last: BTreeMap<usize, (u64, u64)>,
    story: &'a Story,
}

impl<P: Write> Said<'_, P> {
    fn progress(&mut self, at: usize, fetched: u64, unpacked: u64) -> io::Result<()> {
        let size = self.story.layers[at].0 * MIB;
        let (before, unpacked_before) = self.last.insert(at, (fetched, unpacked)).unwrap_or_default();
        if fetched > before {
            self.layer(at, "Downloading", Some((fetched, size)))?;
            if fetched == size {
                self.layer(at, "Verifying Checksum", None)?;
                self.layer(at, "Download complete", None)?;
            }
        }
        if unpacked > unpacked_before {
            self.layer(at, "Extracting", Some((unpacked, size)))?;
            if unpacked == size {
                self.layer(at, "Pull complete", None)?;
            }
        }
        Ok(())
    }

    fn layer(&mut self, at: usize, status: &str, progress: Option<(u64, u64)>) -> io::Result<()> {
        let id: String = blob(self.story, at).chars().skip("sha256:".len()).take(12).collect();
        let detail = progress.map_or_else(|| json!({}), |(current, total)| json!({"current": current, "total": total}));
        self.line(&json!({"status": status, "progressDetail": detail, "id": id}))
    }

    fn line(&mut self, line: &Value) -> io::Result<()> {
        let line = format!("{line}\r\n");
        write!(self.peer, "{:x}\r\n{line}\r\n", line.len())?;
        self.peer.flush()
    }
}
