//! Some pulls at once, from the first word to the last: folds what the tasks (`asking`) hear, shows it, and ends when all have ended, when
//! time is up or when someone interrupts.

use std::{process::ExitCode, time::Duration};

use lifecycle::{
    board::classify,
    image::ImageRef,
    pull::{ErrorClass, Node, Outcome, PullId},
    time::Timestamp,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    asking::{Asking, Heard, Over},
    exit::{self, Cut},
    fold::{Beginning, Done, Fold, Store},
    picture::Picture,
    summary,
    surfaces::Surfaces,
    tell,
};
use crate::{clock::Clock, docker::EngineError};

/// Pictures are shown at most this often.
const FRAME: Duration = Duration::from_millis(100);
/// Words of the tasks that wait to be folded; beyond, the Engine waits.
pub(super) const MAX_WAITING: usize = 1024;
/// So long the last word waits for the registry's answer, if all was there at once.
const LAST_WORD: Duration = Duration::from_millis(300);
/// Far enough away to be never.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The pulls of one command.
pub(super) struct Session {
    clock: Clock,
    surfaces: Surfaces,
    pulls: Vec<One>,
    is_podman: bool,
    /// Whether who would read of a failure on standard error has its whole story before them already.
    is_told: bool,
}

/// One of them.
struct One {
    image: ImageRef,
    fold: Fold,
    /// Whether the registry has answered, or will not.
    sized: bool,
}

impl Session {
    /// The images as they were asked for and as they are, pulled on a node.
    pub(super) fn new(clock: Clock, surfaces: Surfaces, images: &[(String, ImageRef)], node: &Node, is_told: bool) -> Self {
        let now = clock.now();
        let is_podman = node.runtime_name == "podman";
        let begin = |(place, (asked, image)): (usize, &(String, ImageRef))| {
            let lease = format!("{} {place} {image}", std::process::id());
            let mut fold = Fold::new(Beginning {
                asked: asked.clone(),
                image: image.clone(),
                id: PullId::derive(&node.uid, &node.runtime_name, &lease, now),
                namespace: if is_podman { "podman" } else { "moby" },
                at: now,
            });
            if is_podman {
                fold.set_store(Store::Podman, "");
            }
            One { image: image.clone(), fold, sized: false }
        };
        Self { clock, surfaces, pulls: images.iter().enumerate().map(begin).collect(), is_podman, is_told }
    }

    /// Runs them all, so many at a time; the code to end with.
    pub(super) async fn run(
        mut self,
        asking: Asking,
        mut heard: mpsc::Receiver<Heard>,
        jobs: usize,
        timeout: Option<Duration>,
    ) -> ExitCode {
        let images: Vec<ImageRef> = self.pulls.iter().map(|one| one.image.clone()).collect();
        let mut tasks = asking.begin(images.into_iter(), jobs);
        let cut = self.follow(&mut heard, timeout).await;
        if cut.is_none() {
            self.wait_for_sizes(&mut heard).await;
        }
        stop(&mut tasks).await;
        self.close(cut);
        let pictures = self.pictures();
        self.surfaces.end(&pictures);
        self.surfaces.take_lost().iter().for_each(|lost| tell(lost));
        self.complain(cut);
        ExitCode::from(exit::of_all(cut, self.pulls.iter().map(|one| one.fold.outcome())))
    }

    /// Until all have ended, or something ends them; says what.
    async fn follow(&mut self, heard: &mut mpsc::Receiver<Heard>, timeout: Option<Duration>) -> Option<Cut> {
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
        let late = Instant::now() + timeout.unwrap_or(NEVER);
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.pulls.iter().any(|one| one.fold.outcome().is_none()) {
            tokio::select! {
                biased;
                () = caught(&mut interrupt) => return Some(Cut::Interrupted),
                () = caught(&mut terminate) => return Some(Cut::Interrupted),
                () = sleep_until(late) => return Some(Cut::Late),
                _ = frames.tick() => self.show(),
                word = heard.recv() => self.take(word?),
            }
        }
        None
    }

    /// What was here already has bytes too; nobody waits long for them.
    async fn wait_for_sizes(&mut self, heard: &mut mpsc::Receiver<Heard>) {
        let enough = Instant::now() + LAST_WORD;
        while self.pulls.iter().any(|one| !one.sized && one.fold.outcome() == Some(&Outcome::Ready)) {
            tokio::select! {
                () = sleep_until(enough) => return,
                word = heard.recv() => match word {
                    Some(word) => self.take(word),
                    None => return,
                }
            }
        }
    }

    fn take(&mut self, heard: Heard) {
        let now = self.clock.now();
        match heard {
            Heard::Begun(place) => self.pulls[place].fold.begin(),
            Heard::Said(place, message) => self.pulls[place].fold.hear(&message, now),
            Heard::Over(place, over) => end(&mut self.pulls[place].fold, &over, now),
            Heard::Sizes(place, manifest) => {
                let one = &mut self.pulls[place];
                one.sized = true;
                if let Some(manifest) = manifest {
                    one.fold.learn(manifest);
                }
            }
            Heard::Facts(facts) => {
                let store = match (self.is_podman, facts.containerd_store) {
                    (true, _) => Store::Podman,
                    (false, true) => Store::Containerd,
                    (false, false) => Store::Classic,
                };
                self.pulls.iter_mut().for_each(|one| one.fold.set_store(store, &facts.driver));
            }
            Heard::Note(text) => tell(&text),
        }
    }

    /// Ends what has not ended by itself.
    fn close(&mut self, cut: Option<Cut>) {
        let now = self.clock.now();
        for One { fold, .. } in &mut self.pulls {
            match cut {
                // Whoever asked for it takes the request back.
                Some(Cut::Interrupted | Cut::Late) => fold.end(Outcome::Canceled, now),
                None => fold.end(Outcome::Lost, now),
            }
        }
    }

    fn show(&mut self) {
        let pictures = self.pictures();
        self.surfaces.show(&pictures);
        self.surfaces.take_lost().iter().for_each(|lost| tell(lost));
    }

    fn pictures(&mut self) -> Vec<Picture> {
        let now = self.clock.now();
        self.pulls.iter_mut().map(|one| one.fold.picture(now)).collect()
    }

    /// Says on standard error what went wrong.
    fn complain(&self, cut: Option<Cut>) {
        for One { image, fold, .. } in &self.pulls {
            match fold.outcome() {
                Some(Outcome::Failed(_)) if self.is_told => {}
                Some(Outcome::Failed(failure)) => {
                    let hint = summary::hint(failure.class);
                    tell(&format!("{image}: {}. {hint}", failure.message.trim_end_matches('.')));
                }
                Some(Outcome::Canceled) if cut == Some(Cut::Late) => tell(&format!("{image}: out of time (--timeout), stopped")),
                Some(Outcome::Canceled) => tell(&format!("{image}: canceled")),
                Some(Outcome::Lost) => tell(&format!("{image}: nobody knows how it ended")),
                Some(Outcome::Ready) | None => {}
            }
        }
    }
}

/// Never says that an image is there without proof.
fn end(fold: &mut Fold, over: &Over, now: Timestamp) {
    match (over, fold.done().cloned()) {
        (Over::Read { refusal: Some(class), .. }, Some(Done::Failed(text))) => fold.fail(*class, text, now),
        (_, Some(Done::Failed(text))) => fold.fail(classify(&text), text, now),
        (Over::Read { .. }, Some(Done::Ready)) | (Over::Read { there: Some(true), .. }, None) => fold.end(Outcome::Ready, now),
        (Over::Read { .. }, None) => {
            fold.fail(ErrorClass::RuntimeUnavailable, "the Engine stopped speaking before the image was there".to_owned(), now);
        }
        (Over::Broken(error), _) => {
            let text = error.to_string();
            let class = match (error, classify(&text)) {
                (EngineError::Refused { status: 404, .. }, ErrorClass::Other) => ErrorClass::NotFound,
                (EngineError::Refused { .. }, class) => class,
                (EngineError::Broke(_) | EngineError::Unreachable { .. } | EngineError::Denied { .. }, _) => {
                    ErrorClass::RuntimeUnavailable
                }
            };
            fold.fail(class, text, now);
        }
    }
}

/// The Engine stops a pull when its connection is closed, which it is when its task is gone.
async fn stop(tasks: &mut JoinSet<()>) {
    tasks.shutdown().await;
}

/// Where signals cannot be heard, they end the process as usual.
fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind).ok()
}

async fn caught(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}
