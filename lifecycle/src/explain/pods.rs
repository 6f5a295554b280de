//! The sentence about a pod and about a rollout: which image is missing, and how long that will take.

use std::time::Duration;

use super::{MAX_SENTENCE, cut_end, name, ordinal, time};

/// One image that a pod needs.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// As the pod names it.
    pub name: &'a str,
    /// `waiting`, `queued`, `pulling`, `failed` or `ready`.
    pub state: &'a str,
    /// Of its pull, if it is known.
    pub percent: Option<f64>,
    /// Of its pull, if it is known.
    pub eta_seconds: Option<f64>,
    /// Why no byte of its pull moves: `stalled`, `retrying`, ...; `None` if bytes move, or nothing is known.
    pub wait: Option<&'a str>,
    /// What the node pulls before, and the place behind it.
    pub behind: Option<(String, usize, usize)>,
    /// How often the kubelet asked for it.
    pub attempt: Option<u32>,
    /// Text of the last error.
    pub error: Option<&'a str>,
    /// What usually helps.
    pub hint: Option<&'a str>,
}

/// How far the nodes of a rollout are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rollout {
    /// Nodes that have all images.
    pub done: usize,
    /// Nodes that pull now.
    pub pulling: usize,
    /// Nodes that wait for their turn.
    pub queued: usize,
    /// Nodes on which a pull failed.
    pub failed: usize,
    /// Until the last node is ready, if that can be told.
    pub eta_seconds: Option<f64>,
}

impl Rollout {
    /// Nodes that lack an image.
    pub const fn open(&self) -> usize {
        self.pulling + self.queued + self.failed
    }
}

/// The sentence about a pod: what failed first, else what is missing longest.
pub fn pod(images: &[Image<'_>]) -> String {
    let ready = images.iter().filter(|image| image.state == "ready").count();
    let of = |state: &str| images.iter().find(|image| image.state == state);
    let sentence = match (of("failed"), of("pulling"), of("queued"), of("waiting")) {
        (Some(image), ..) => return failed(image),
        (None, Some(image), ..) => {
            format!("{}waiting for {}{}.", so_far(ready, images.len()), short(image.name), progress(image))
        }
        (None, None, Some(image), _) => format!("{}{}", so_far(ready, images.len()), queued(image)),
        (None, None, None, Some(image)) => format!("{}{} was not asked for yet.", so_far(ready, images.len()), short(image.name)),
        (None, None, None, None) => match images.len() {
            1 => "Its image is ready.".to_owned(),
            all => format!("All {all} images are ready."),
        },
    };
    cut_end(&capital(&sentence), MAX_SENTENCE)
}

/// The sentence about a rollout.
pub fn rollout(rollout: &Rollout) -> String {
    let all = rollout.done + rollout.pulling + rollout.queued + rollout.failed;
    if rollout.done == all {
        return match all {
            1 => "The one node that waited has the images.".to_owned(),
            all => format!("All {all} nodes that waited have the images."),
        };
    }
    let has = if rollout.done == 1 { "has" } else { "have" };
    let mut parts = vec![format!("{} of {all} nodes {has} the images", rollout.done)];
    let counted = [(rollout.pulling, "pulling"), (rollout.queued, "waiting"), (rollout.failed, "failing")];
    parts.extend(counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    let last = rollout
        .eta_seconds
        .filter(|_| rollout.failed == 0)
        .map(|eta| format!("; the last should be ready in about {}", seconds(eta)));
    cut_end(&format!("{}{}.", parts.join(", "), last.unwrap_or_default()), MAX_SENTENCE)
}

fn so_far(ready: usize, all: usize) -> String {
    if all > 1 { format!("{ready} of {all} images ready; ") } else { String::new() }
}

/// ` (62 %, about 1 m 40 s)` or ` (40 %, stalled)`, as far as it is known.
fn progress(image: &Image<'_>) -> String {
    let percent = image.percent.map(|percent| format!("{:.0} %", percent.floor().min(99.0)));
    let wait = image.wait.map(|wait| match wait {
        "download_slot" => "waits for a free download".to_owned(),
        "layer_lock" => "waits for a layer of another pull".to_owned(),
        word => word.to_owned(),
    });
    let eta = image.eta_seconds.map(|eta| format!("about {}", seconds(eta)));
    let parts: Vec<_> = percent.into_iter().chain(wait).chain(eta).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

fn queued(image: &Image<'_>) -> String {
    match &image.behind {
        Some((behind, position, of)) => {
            let place = ordinal(u32::try_from(*position).unwrap_or(u32::MAX));
            format!("{} is queued behind {} ({place} of {of} on this node).", short(image.name), name(behind))
        }
        None => format!("{} is queued.", short(image.name)),
    }
}

/// The hint is kept whole; what was said is cut to what remains.
fn failed(image: &Image<'_>) -> String {
    let times = image
        .attempt
        .filter(|attempt| *attempt > 1)
        .map_or_else(String::new, |attempt| format!(" ({} attempt)", ordinal(attempt)));
    let head = format!("No image {}{times}", short(image.name));
    let hint = image.hint.unwrap_or_default();
    let room = MAX_SENTENCE.saturating_sub(head.chars().count() + hint.chars().count() + ": . ".len());
    let words: Vec<_> = image.error.unwrap_or_default().split(super::is_unspeakable).filter(|word| !word.is_empty()).collect();
    let said = words.join(" ");
    let said = match said.is_empty() || room < 8 {
        true => String::new(),
        false => format!(": {}", cut_end(said.trim_end_matches('.'), room)),
    };
    cut_end(format!("{head}{said}. {hint}").trim_end(), MAX_SENTENCE)
}

/// What a pod calls its image, without what people leave out.
fn short(image: &str) -> String {
    image.parse::<crate::image::ImageRef>().map_or_else(|_| name(image), |image| name(&image.familiar()))
}

fn seconds(seconds: f64) -> String {
    time(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn capital(sentence: &str) -> String {
    match sentence.strip_prefix("waiting") {
        Some(rest) => format!("Waiting{rest}"),
        None => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image<'a>(name: &'a str, state: &'a str) -> Image<'a> {
        Image { name, state, percent: None, eta_seconds: None, wait: None, behind: None, attempt: None, error: None, hint: None }
    }

    #[test]
    fn a_pod_says_which_image_it_lacks() {
        let pulling = Image { percent: Some(62.9), eta_seconds: Some(100.0), ..image("team/llm:4", "pulling") };
        assert_eq!(pod(std::slice::from_ref(&pulling)), "Waiting for team/llm:4 (62 %, about 1 m 40 s).");
        let stalled = Image { percent: Some(40.0), wait: Some("stalled"), ..image("a", "pulling") };
        assert_eq!(pod(&[stalled]), "Waiting for a:latest (40 %, stalled).");
        let three = [image("a", "ready"), image("b", "ready"), pulling];
        assert_eq!(pod(&three), "2 of 3 images ready; waiting for team/llm:4 (62 %, about 1 m 40 s).");
        let behind = Some(("pytorch:2.4".to_owned(), 3, 5));
        assert_eq!(
            pod(&[Image { behind, ..image("b", "queued") }]),
            "b:latest is queued behind pytorch:2.4 (3rd of 5 on this node)."
        );
        assert_eq!(pod(&[image("a", "ready"), image("b", "ready")]), "All 2 images are ready.");
        assert_eq!(pod(&[image("UPPER", "waiting")]), "UPPER was not asked for yet.");
    }

    #[test]
    fn a_failure_comes_first_and_keeps_its_hint_whole() {
        let hint = crate::pull::ErrorClass::NotFound.hint();
        let long = "not found ".repeat(90);
        let failed = Image { attempt: Some(3), error: Some(&long), hint: Some(hint), ..image("nope:1", "failed") };
        let said = pod(&[image("a", "pulling"), failed]);
        assert!(said.starts_with("No image nope:1 (3rd attempt): not found") && said.ends_with(hint), "{said}");
        assert!(said.chars().count() <= MAX_SENTENCE, "{said}");
    }

    #[test]
    fn a_rollout_counts_its_nodes_and_promises_only_what_is_known() {
        let rolling = Rollout { done: 41, pulling: 12, queued: 7, failed: 0, eta_seconds: Some(240.0) };
        assert_eq!(
            rollout(&rolling),
            "41 of 60 nodes have the images, 12 pulling, 7 waiting; the last should be ready in about 4 m 00 s."
        );
        assert_eq!(
            rollout(&Rollout { failed: 1, ..rolling }),
            "41 of 61 nodes have the images, 12 pulling, 7 waiting, 1 failing."
        );
        let done = Rollout { done: 2, pulling: 0, queued: 0, failed: 0, eta_seconds: None };
        assert_eq!(rollout(&done), "All 2 nodes that waited have the images.");
    }
}
