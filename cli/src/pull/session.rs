//! Some pulls at once, from the first word to the last: asks the Engine, folds what it says, shows it, and ends when all have ended, when
//! time is up or when someone interrupts. Ending a task drops its connection, which is how the Engine learns that it shall stop.

use std::{process::ExitCode, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use lifecycle::{
    board::classify,
    image::ImageRef,
    pull::{ErrorClass, Outcome, PullId},
    time::Timestamp,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    Options,
    exit::{self, Cut},
    fold::{Beginning, Done, Fold, Store},
    picture::Picture,
    surfaces::Surfaces,
    tell,
};
use crate::{
    clock::Clock,
    docker::{Engine, EngineError, Facts, Message, Order},
};

/// Pictures are shown at most this often.
const FRAME: Duration = Duration::from_millis(100);
/// Words of the Engine that wait to be folded; beyond, the Engine waits.
const MAX_WAITING: usize = 1024;
/// Far enough away to be never.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The pulls of one command.
pub(super) struct Session {
    engine: Engine,
    clock: Clock,
    surfaces: Surfaces,
    folds: Vec<Fold>,
    orders: Vec<Order>,
    jobs: usize,
    timeout: Option<Duration>,
}

/// What tasks tell; about a pull, by its place.
enum Heard {
    Begun(usize),
    Said(usize, Message),
    Over(usize, Over),
    Facts(Facts),
}

/// How a stream of the Engine ended.
enum Over {
    /// It was read to its end, and the Engine has the image or not.
    Read {
        /// Whether an image of that name is there; asked only if no word said how it ended.
        there: Option<bool>,
    },
    /// It could not be.
    Broken(EngineError),
}

impl Session {
    pub(super) fn new(
        engine: Engine,
        clock: Clock,
        surfaces: Surfaces,
        images: Vec<(String, ImageRef)>,
        options: &Options,
    ) -> Self {
        let now = clock.now();
        let is_podman = engine.host().runtime == "podman";
        let begin = |(place, (asked, image)): (usize, &(String, ImageRef))| {
            let uid = engine.host().version.as_str();
            let mut fold = Fold::new(Beginning {
                asked: asked.clone(),
                image: image.clone(),
                id: PullId::derive(uid, "docker", &format!("{place} {image} {}", std::process::id()), now),
                namespace: if is_podman { "podman" } else { "moby" },
                at: now,
            });
            if is_podman {
                fold.set_store(Store::Podman, "");
            }
            fold
        };
        let folds = images.iter().enumerate().map(begin).collect();
        let orders = images.into_iter().map(|(_, image)| Order { image, platform: options.platform.clone() }).collect();
        let (jobs, timeout) = (usize::from(options.jobs), options.timeout);
        Self { engine, clock, surfaces, folds, orders, jobs, timeout }
    }

    /// Runs them all; the code to end with.
    pub(super) async fn run(mut self) -> ExitCode {
        let (mut terminate, mut interrupt) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
        let (tell_us, mut heard) = mpsc::channel(MAX_WAITING);
        let mut tasks = self.begin(&tell_us);
        drop(tell_us);
        let late = Instant::now() + self.timeout.unwrap_or(NEVER);
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.show();
        let cut = loop {
            tokio::select! {
                word = heard.recv() => match word {
                    Some(word) => self.take(word),
                    None => break None,
                },
                _ = frames.tick() => self.show(),
                () = sleep_until(late) => break Some(Cut::Late),
                () = caught(&mut interrupt) => break Some(Cut::Interrupted),
                () = caught(&mut terminate) => break Some(Cut::Interrupted),
            }
            if self.folds.iter().all(|fold| fold.outcome().is_some()) {
                break None;
            }
        };
        // The Engine stops a pull when its connection is closed.
        tasks.shutdown().await;
        self.close(cut);
        let pictures = self.pictures();
        self.surfaces.end(&pictures);
        self.surfaces.take_lost().iter().for_each(|lost| tell(lost));
        self.complain(cut);
        ExitCode::from(exit::of_all(cut, self.folds.iter().map(Fold::outcome)))
    }

    fn begin(&self, tell_us: &mpsc::Sender<Heard>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let slots = Arc::new(Semaphore::new(self.jobs));
        for (place, order) in self.orders.iter().cloned().enumerate() {
            let (engine, slots, tell_us) = (self.engine.clone(), slots.clone(), tell_us.clone());
            tasks.spawn(async move {
                // The semaphore is never closed; an error would mean that there is nothing to wait for.
                let _slot = slots.acquire_owned().await.ok();
                let over = one(&engine, &order, place, &tell_us).await;
                say(&tell_us, Heard::Over(place, over)).await;
            });
        }
        let (engine, tell_us) = (self.engine.clone(), tell_us.clone());
        tasks.spawn(async move {
            if let Ok(facts) = engine.facts().await {
                say(&tell_us, Heard::Facts(facts)).await;
            }
        });
        tasks
    }

    fn take(&mut self, heard: Heard) {
        let now = self.clock.now();
        match heard {
            Heard::Begun(place) => self.folds[place].begin(),
            Heard::Said(place, message) => self.folds[place].hear(&message, now),
            Heard::Over(place, over) => end(&mut self.folds[place], &over, now),
            Heard::Facts(facts) => {
                let store = if facts.containerd_store { Store::Containerd } else { Store::Classic };
                if self.engine.host().runtime == "docker" {
                    self.folds.iter_mut().for_each(|fold| fold.set_store(store, &facts.driver));
                }
            }
        }
    }

    /// Ends what has not ended by itself.
    fn close(&mut self, cut: Option<Cut>) {
        let now = self.clock.now();
        for fold in &mut self.folds {
            match cut {
                Some(Cut::Interrupted) => fold.end(Outcome::Canceled, now),
                Some(Cut::Late) => {
                    let limit =
                        self.timeout.map_or_else(String::new, |limit| format!(" within {}", lifecycle::explain::time(limit)));
                    fold.fail(ErrorClass::Timeout, format!("not done{limit}"), now);
                }
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
        self.folds.iter_mut().map(|fold| fold.picture(now)).collect()
    }

    /// Says on standard error what went wrong.
    fn complain(&self, cut: Option<Cut>) {
        for (fold, order) in self.folds.iter().zip(&self.orders) {
            match fold.outcome() {
                Some(Outcome::Failed(failure)) => {
                    tell(&format!("{}: {} ({})", order.image, failure.message, failure.class.as_str()));
                }
                Some(Outcome::Canceled) if cut == Some(Cut::Interrupted) => tell(&format!("{}: canceled", order.image)),
                Some(Outcome::Ready | Outcome::Canceled | Outcome::Lost) | None => {}
            }
        }
    }
}

/// One pull, from its turn on.
async fn one(engine: &Engine, order: &Order, place: usize, tell_us: &mpsc::Sender<Heard>) -> Over {
    say(tell_us, Heard::Begun(place)).await;
    let mut stream = engine.pull(order);
    let mut said_how = false;
    while let Some(word) = stream.next().await {
        match word {
            Ok(message) => {
                said_how |= matches!(message, Message::Done { .. } | Message::Failed(_));
                say(tell_us, Heard::Said(place, message)).await;
            }
            Err(error) => return Over::Broken(error),
        }
    }
    let there = if said_how { None } else { engine.has(&order.image).await.ok() };
    Over::Read { there }
}

/// Never says that an image is there without proof.
fn end(fold: &mut Fold, over: &Over, now: Timestamp) {
    match (over, fold.done().cloned()) {
        (_, Some(Done::Failed(text))) => fold.fail(classify(&text), text, now),
        (Over::Read { .. }, Some(Done::Ready)) | (Over::Read { there: Some(true) }, None) => fold.end(Outcome::Ready, now),
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

async fn say(tell_us: &mpsc::Sender<Heard>, heard: Heard) {
    // Nobody listens any more when all has ended.
    _ = tell_us.send(heard).await;
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
