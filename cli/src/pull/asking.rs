//! The tasks of a pull: who asks (credentials), how big it is (registry), and the pull itself (Engine). Each tells what it hears and decides
//! nothing; dropping a task drops its connection, which is how the Engine learns that it shall stop. Who listens is `session`.

use std::{path::PathBuf, sync::Arc};

use futures_util::StreamExt as _;
use lifecycle::{board::classify, image::ImageRef, pull::ErrorClass};
use tokio::{
    sync::{OnceCell, Semaphore, mpsc},
    task::{JoinSet, spawn_blocking},
};

use super::{
    Sizes,
    manifest::Manifest,
    platform::Platform,
    registry::{self, Question},
};
use crate::docker::{self, Credentials, Engine, EngineError, Facts, Message, Order};

/// What tasks tell; about a pull, by its place.
pub(super) enum Heard {
    /// The turn of this pull has come.
    Begun(usize),
    /// A word of the Engine.
    Said(usize, Message),
    /// The Engine's last word.
    Over(usize, Over),
    /// What the registry says; `None` if it says nothing, or is not asked.
    Sizes(usize, Option<Manifest>),
    /// What the Engine says of its storage.
    Facts(Facts),
    /// Something that people should know.
    Note(String),
}

/// How a stream of the Engine ended.
pub(super) enum Over {
    /// It was read to its end, and the Engine has the image or not.
    Read {
        /// Whether an image of that name is there; asked only if no word said how it ended.
        there: Option<bool>,
        /// Why the registry refused, if the Engine does not say.
        refusal: Option<ErrorClass>,
    },
    /// It could not be.
    Broken(EngineError),
}

/// What all pulls of one command have in common.
#[derive(Clone)]
pub(super) struct Asking {
    pub(super) engine: Engine,
    /// Folder of Docker's configuration.
    pub(super) config: Option<PathBuf>,
    pub(super) platform: Option<String>,
    pub(super) sizes: Sizes,
    pub(super) tell: mpsc::Sender<Heard>,
    /// What the Engine said of its storage, once it did; `None` if it did not.
    pub(super) facts: Arc<OnceCell<Option<Facts>>>,
}

impl Asking {
    /// Begins with all of them, so many at a time.
    pub(super) fn begin(self, images: impl Iterator<Item = ImageRef>, jobs: usize) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let slots = Arc::new(Semaphore::new(jobs));
        for (place, image) in images.enumerate() {
            let (asking, slots) = (self.clone(), slots.clone());
            tasks.spawn(async move {
                // The semaphore is never closed; an error would mean that there is nothing to wait for.
                let _slot = slots.acquire_owned().await.ok();
                asking.one(place, image).await;
            });
        }
        tasks.spawn(async move {
            if let Some(facts) = self.facts().await {
                self.say(Heard::Facts(facts.clone())).await;
            }
        });
        tasks
    }

    /// One pull, from its turn on.
    async fn one(&self, place: usize, image: ImageRef) {
        self.say(Heard::Begun(place)).await;
        let credentials = match docker::credentials(self.config.as_deref(), image.registry()).await {
            Ok(credentials) => credentials,
            Err(error) => {
                self.say(Heard::Note(format!("{error}; going on without credentials"))).await;
                None
            }
        };
        let order = Order { image: image.clone(), platform: self.platform.clone(), credentials: credentials.clone() };
        tokio::join!(self.pull(place, &order), self.read_sizes(place, image, credentials));
    }

    async fn pull(&self, place: usize, order: &Order) {
        let mut stream = self.engine.pull(order);
        let (mut said_how, mut is_riddle) = (false, false);
        while let Some(word) = stream.next().await {
            match word {
                Ok(message) => {
                    said_how |= matches!(message, Message::Done { .. } | Message::Failed(_));
                    is_riddle |= matches!(&message, Message::Failed(text) if is_unexplained(text));
                    self.say(Heard::Said(place, message)).await;
                }
                Err(error) => return self.say(Heard::Over(place, Over::Broken(error))).await,
            }
        }
        let there = if said_how { None } else { self.engine.has(&order.image).await.ok() };
        let refusal = if is_riddle { self.refusal(order).await } else { None };
        self.say(Heard::Over(place, Over::Read { there, refusal })).await;
    }

    async fn read_sizes(&self, place: usize, image: ImageRef, credentials: Option<Credentials>) {
        let mut manifest = None;
        if self.sizes.asks_registry_of(&image) {
            let question = self.question(image, credentials).await;
            let shown = question.image.clone();
            match spawn_blocking(move || registry::read(&question)).await {
                Ok(Ok(read)) => manifest = Some(read),
                Ok(Err(error)) if self.sizes == Sizes::Registry => {
                    self.say(Heard::Note(format!("{shown}: the total is not known before the end: {error}"))).await;
                }
                // Without sizes the total is a lower bound, and says so.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        self.say(Heard::Sizes(place, manifest)).await;
    }

    /// The registry's own word about why it refused, where it may be asked.
    async fn refusal(&self, order: &Order) -> Option<ErrorClass> {
        if !self.sizes.asks_registry_of(&order.image) {
            return None;
        }
        let question = self.question(order.image.clone(), order.credentials.clone()).await;
        spawn_blocking(move || registry::refusal(&question)).await.ok()?
    }

    async fn question(&self, image: ImageRef, credentials: Option<Credentials>) -> Question {
        let facts = self.facts().await.cloned().unwrap_or_default();
        let host = self.engine.host();
        let own = || Platform::of(&host.os, &host.arch, &facts.machine);
        let platform = self.platform.as_deref().and_then(Platform::parse).unwrap_or_else(own);
        Question { image, platform, credentials, insecure: facts.insecure }
    }

    async fn facts(&self) -> Option<&Facts> {
        self.facts.get_or_init(async || self.engine.facts().await.ok()).await.as_ref()
    }

    async fn say(&self, heard: Heard) {
        // Nobody listens any more when all has ended.
        _ = self.tell.send(heard).await;
    }
}

/// containerd's words for a refusal of the registry, without its kind.
fn is_unexplained(text: &str) -> bool {
    text.contains("error from registry") && classify(text) == ErrorClass::Other
}
