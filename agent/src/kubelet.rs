//! What the kubelet says that it is about to pull: the files of its image manager, for the exact name of a pull while it runs and for
//! pulls that wait in the kubelet, of which containerd knows nothing.
//!
//! The kubelet keeps one file for every image that it pulls (Kubernetes KEP-2535, `pkg/kubelet/images/pullmanager`; on by default since
//! 1.35), written under another name and renamed. The folder is watched (inotify(7)) and only read; where it is not there yet, the nearest
//! folder above it is watched until it is. Refuses what is no intent and what is too large. Joining is `lifecycle::track`'s.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use lifecycle::{image::ImageRef, time::Timestamp, track::Intent};
use serde::Deserialize;

/// Where the kubelet keeps its files unless told otherwise.
pub(crate) const USUAL: &str = "/var/lib/kubelet";
/// Where the intents lie below the kubelet's folder.
const FOLDER: &str = "image_manager/pulling";
/// How the names of the files begin; those that are being written have others.
const PREFIX: &str = "sha256-";
/// The API group of the files, whichever its version, as kubelets write it.
const GROUP: &str = "kubelet.config.k8s.io/";
/// Most files that are read: a kubelet has one for each image that its pods wait for.
const MAX_FILES: usize = 256;
/// Largest file that is read, bytes: an image's name and some words.
const MAX_FILE: u64 = 16 << 10;
/// Room for the events of one read; a burst takes more reads and no more looks than that.
const BUFFER: usize = 4_096;

/// A watch on the kubelet's intents.
pub(crate) struct Kubelet {
    folder: PathBuf,
    watch: Option<Watch>,
    /// What was said last.
    known: BTreeMap<ImageRef, Timestamp>,
    said: bool,
    /// Whether something happened since the last look.
    stirred: bool,
}

struct Watch {
    events: EventStream<[u8; BUFFER]>,
    at: PathBuf,
}

impl Kubelet {
    /// Watches below the kubelet's folder, which need not exist. The first [`next`](Self::next) tells what is there.
    pub(crate) fn new(kubelet: &Path) -> Self {
        Self { folder: kubelet.join(FOLDER), watch: None, known: BTreeMap::new(), said: false, stirred: true }
    }

    /// Waits until the intents are others than those that were told last, and tells all of them. Never resolves where nothing can be
    /// watched.
    pub(crate) async fn next(&mut self) -> Vec<Intent> {
        loop {
            if self.stirred {
                self.stirred = false;
                self.follow();
                // Looked at after the watch is there, so that nothing falls between.
                let present = self.read();
                if present != self.known {
                    self.known.clone_from(&present);
                    return present.into_iter().map(|(image, since)| Intent { image, since }).collect();
                }
            }
            let Some(watch) = &mut self.watch else { return std::future::pending().await };
            let gone = EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF;
            if !matches!(watch.events.next().await, Some(Ok(event)) if !event.mask.intersects(gone)) {
                self.watch = None;
            }
            self.stirred = true;
        }
    }

    /// Watches the folder, or the nearest above it that exists, unless that is what is watched already.
    fn follow(&mut self) {
        let Some(nearest) = self.folder.ancestors().find(|path| path.is_dir()).map(Path::to_owned) else { return };
        let there = nearest == self.folder;
        if self.watch.as_ref().is_some_and(|watch| watch.at == nearest) {
            return;
        }
        let watch = Watch::new(&nearest);
        match (&watch, self.said) {
            (Ok(_), _) if there => tracing::info!(folder = %self.folder.display(), "reading what the kubelet is about to pull"),
            (Ok(_), false) => {
                let folder = self.folder.display();
                tracing::info!(%folder, "the kubelet says nothing of its pulls there (yet); tags come from containerd alone");
            }
            (Ok(_), true) => {}
            (Err(error), _) => {
                tracing::warn!(folder = %nearest.display(), %error, "cannot be watched; tags come from containerd alone");
            }
        }
        self.said = true;
        self.watch = watch.ok();
        // It may have been made while the watch was.
        if self.watch.is_some() && !there && self.folder.ancestors().find(|path| path.is_dir()) != Some(&nearest) {
            self.follow();
        }
    }

    /// All intents there are. A name that is still there keeps the time at which it was seen first: the kubelet may write it again.
    fn read(&self) -> BTreeMap<ImageRef, Timestamp> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let named = files.filter(|file| file.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)));
        let intents = named.take(MAX_FILES).filter_map(|file| intent(&file.path()).ok().flatten());
        let since = |intent: &Intent| self.known.get(&intent.image).map_or(intent.since, |known| intent.since.min(*known));
        intents.map(|intent| (since(&intent), intent.image)).map(|(since, image)| (image, since)).collect()
    }
}

impl Watch {
    fn new(folder: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let changes = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::MOVED_FROM | WatchMask::DELETE;
        inotify.watches().add(folder, changes | WatchMask::DELETE_SELF | WatchMask::MOVE_SELF | WatchMask::ONLYDIR)?;
        Ok(Self { events: inotify.into_event_stream([0; BUFFER])?, at: folder.to_owned() })
    }
}

/// The intent that a file holds; `None` if it holds something else.
fn intent(path: &Path) -> io::Result<Option<Intent>> {
    let facts = fs::metadata(path)?;
    if !facts.is_file() || facts.len() > MAX_FILE {
        return Ok(None);
    }
    let written = facts.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = Timestamp::from_nanos(u64::try_from(written.as_nanos()).unwrap_or(u64::MAX));
    Ok(parse(&fs::read(path)?).map(|image| Intent { image, since }))
}

/// The image of an `ImagePullIntent` of any version.
fn parse(text: &[u8]) -> Option<ImageRef> {
    let file: File = serde_json::from_slice(text).ok()?;
    let known = file.kind == "ImagePullIntent" && file.api_version.starts_with(GROUP);
    known.then(|| file.image.parse().ok()).flatten()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    kind: String,
    api_version: String,
    image: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn write(folder: &Path, name: &str, version: &str, image: &str) {
        let text = format!(r#"{{"apiVersion":"{GROUP}{version}","kind":"ImagePullIntent","image":"{image}"}}"#);
        fs::write(folder.join("tmp"), text).expect("a file");
        fs::rename(folder.join("tmp"), folder.join(name)).expect("a rename");
    }

    async fn names(kubelet: &mut Kubelet) -> Vec<String> {
        let told = tokio::time::timeout(Duration::from_secs(10), kubelet.next()).await.expect("a change is told");
        told.iter().map(|intent| intent.image.to_string()).collect()
    }

    #[tokio::test]
    async fn every_change_is_told_and_what_is_no_intent_is_not() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join(FOLDER);
        fs::create_dir_all(&folder).expect("folders");
        write(&folder, "sha256-1", "v1alpha1", "nginx");
        let mut kubelet = Kubelet::new(root.path());
        assert_eq!(names(&mut kubelet).await, ["docker.io/library/nginx:latest"]);
        write(&folder, "other", "v1alpha1", "q.io/no/intent");
        fs::write(folder.join("sha256-2"), "{").expect("a file");
        fs::write(folder.join("sha256-3"), vec![b' '; 20_000]).expect("a file");
        write(&folder, "sha256-4", "v1beta1", "127.0.0.1:5000/team/app:v2");
        assert_eq!(names(&mut kubelet).await, ["127.0.0.1:5000/team/app:v2", "docker.io/library/nginx:latest"]);
        fs::remove_file(folder.join("sha256-1")).expect("it is there");
        assert_eq!(names(&mut kubelet).await, ["127.0.0.1:5000/team/app:v2"]);
    }

    #[tokio::test]
    async fn a_folder_that_comes_later_or_again_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        let kubelet = root.path().join("kubelet");
        let folder = kubelet.join(FOLDER);
        let mut watched = Kubelet::new(&kubelet);
        for round in 1..=2 {
            let (seen, ()) = tokio::join!(names(&mut watched), async {
                tokio::task::yield_now().await;
                fs::create_dir_all(&folder).expect("folders");
                write(&folder, "sha256-1", "v1alpha1", "q.io/a:v1");
            });
            assert_eq!(seen, ["q.io/a:v1"], "round {round}");
            fs::remove_dir_all(&kubelet).expect("it is there");
            assert!(names(&mut watched).await.is_empty());
        }
    }

    #[test]
    fn the_kubelets_own_words_are_understood_in_every_version() {
        let text = |kind: &str, version: &str| format!(r#"{{"kind":"{kind}","apiVersion":"{version}","image":"busybox:1.36"}}"#);
        let read = |kind: &str, version: &str| parse(text(kind, version).as_bytes()).map(|image| image.to_string());
        for version in ["v1alpha1", "v1beta1", "v1"] {
            assert!(read("ImagePullIntent", &format!("{GROUP}{version}")).is_some());
        }
        // As Kubernetes 1.36 writes it.
        let real = r#"{"kind":"ImagePullIntent","apiVersion":"kubelet.config.k8s.io/v1beta1","image":"slow.test/team/shop:v1"}"#;
        assert_eq!(parse(real.as_bytes()).map(|image| image.to_string()).as_deref(), Some("slow.test/team/shop:v1"));
        assert_eq!(read("ImagePulledRecord", &format!("{GROUP}v1alpha1")), None);
        assert_eq!(read("ImagePullIntent", "other/v1"), None);
    }
}
