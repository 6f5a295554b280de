//! How far a kubelet has come with the image of one container, folded from its events. Every field is the newest that is known, so events
//! that come twice, late or out of order end in the same state; what that state is follows from comparing times.

use std::time::Duration;

use crate::{
    board::{
        classify::classify,
        sighting::{ContainerSeen, EventKind, KubeletEvent, Waiting},
    },
    pull::{ErrorClass, Failure},
    time::Timestamp,
};

/// The kubelet's first pause after a failure; doubled with every further one.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
/// Its longest pause.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// Longest error text that is kept, in bytes.
pub(super) const MAX_ERROR: usize = 1024;

/// Reasons of a waiting container that say that its image was not to be had.
const FAILED_REASONS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// What the kubelet said about one image for one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asking {
    /// When it asked first.
    pub(super) first: Option<Timestamp>,
    /// When it asked last.
    pub(super) asked: Option<Timestamp>,
    /// When the image was there.
    pub(super) pulled: Option<Timestamp>,
    /// When it failed last, and why.
    pub(super) failed: Option<(Timestamp, Failure)>,
    /// How often it asked.
    pub(super) attempts: u32,
    /// Whether the container's status is from before it asked last: while it asks again the kubelet leaves the old reason there.
    pub(super) outdated: bool,
}

/// Where one container stands with its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Nobody has asked for the image yet. An event leads out.
    Unasked,
    /// The kubelet asks for it, or has it in its queue. Its next word leads out.
    Pulling,
    /// It failed; the kubelet asks again after a pause, which leads back to `Pulling`.
    Failed,
    /// The image is there. Only another `Pulling` leads out.
    Present,
}

impl Asking {
    /// Takes in one word of the kubelet.
    pub(super) fn hear(&mut self, event: &KubeletEvent) {
        match event.kind {
            EventKind::Pulling => {
                self.first = Some(self.first.map_or(event.first, |known| known.min(event.first)));
                self.outdated |= self.asked < Some(event.last);
                self.asked = self.asked.max(Some(event.last));
                self.attempts = self.attempts.max(event.count);
            }
            EventKind::Pulled => self.pulled = self.pulled.max(Some(event.last)),
            EventKind::Failed => {
                if let Some(text) = failure_text(&event.message)
                    && self.failed.as_ref().is_none_or(|(at, _)| *at <= event.last)
                {
                    self.failed = Some((event.last, failure(text)));
                }
            }
            EventKind::BackOff => {}
        }
    }

    /// Where this leaves a container.
    pub(super) fn stand(&self, seen: &ContainerSeen) -> Stand {
        let failed = self.failed.as_ref().map(|(at, _)| *at);
        if seen.has_image || self.pulled.is_some() && self.pulled >= self.asked.max(failed) {
            Stand::Present
        } else if failed.is_some() && failed >= self.asked || self.is_refused(seen) {
            Stand::Failed
        } else if self.asked.is_some() {
            Stand::Pulling
        } else {
            Stand::Unasked
        }
    }

    /// Why the last attempt failed, and when if that is known: as the events say, else as the container's status does.
    pub(super) fn failure(&self, seen: &ContainerSeen) -> Option<(Option<Timestamp>, Failure)> {
        let told = self.failed.clone().filter(|(at, _)| Some(*at) >= self.asked);
        let shown =
            || seen.waiting.as_ref().filter(|_| self.is_refused(seen)).map(|waiting| (self.asked, failure_of_status(waiting)));
        told.map(|(at, failure)| (Some(at), failure)).or_else(shown)
    }

    /// When the kubelet asks again, about: its pauses double from 10 s to 300 s. What it never asked for it does not ask for again.
    pub(super) fn next_retry(&self, seen: &ContainerSeen) -> Option<Timestamp> {
        self.asked.filter(|_| self.stand(seen) == Stand::Failed)?;
        let (at, _) = self.failure(seen)?;
        let doubled = FIRST_BACK_OFF.saturating_mul(1 << self.attempts.saturating_sub(1).min(10));
        Some(at? + doubled.min(LONGEST_BACK_OFF))
    }

    /// Whether the container's status says that its image was not to be had the last time.
    fn is_refused(&self, seen: &ContainerSeen) -> bool {
        !self.outdated && seen.waiting.as_ref().is_some_and(|waiting| FAILED_REASONS.contains(&&*waiting.reason))
    }
}

fn failure(text: &str) -> Failure {
    Failure { class: classify(text), message: cut(text).to_owned() }
}

/// A status has the class in its reason where the kubelet gives one, and the cause behind the repeated reason.
fn failure_of_status(waiting: &Waiting) -> Failure {
    let text = waiting.message.split_once("ErrImagePull: ").map_or(&*waiting.message, |(_, cause)| cause);
    let said = failure(text);
    let class = match &*waiting.reason {
        "InvalidImageName" => ErrorClass::InvalidImageName,
        "SignatureValidationFailed" => ErrorClass::Signature,
        "RegistryUnavailable" if said.class == ErrorClass::Other => ErrorClass::RegistryUnavailable,
        _ => said.class,
    };
    Failure { class, ..said }
}

/// The cause in a `Failed` event; `None` for those that only repeat the reason, or are not about the image.
fn failure_text(message: &str) -> Option<&str> {
    match message.strip_prefix("Failed to pull image ") {
        Some(rest) => Some(rest.split_once("\": ").map_or(rest, |(_, cause)| cause)),
        None => (message.starts_with("Failed to apply default image tag") || message.contains("is not present with pull policy"))
            .then_some(message),
    }
}

/// The beginning of a text, at most [`MAX_ERROR`] bytes.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ERROR)]
}
