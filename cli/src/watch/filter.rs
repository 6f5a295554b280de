//! Which pulls are meant by what was typed: `node:gpu* state:stalled -ns:test text`, the same language as the box of the page. Terms of one key
//! are alternatives, different keys and texts must all hold, `-` turns a term round, `*` stands for anything, quotes hold spaces together.

use super::pull::{Pull, State};

/// Longest text that is taken, in characters.
pub(super) const MAX_TEXT: usize = 200;

/// What was typed, ready to be asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    key: Key,
    value: String,
    not: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    State,
    Namespace,
    Node,
    Registry,
    Class,
    Image,
    Pod,
    Workload,
    Text,
}

impl Key {
    /// What is typed before the colon, and what it means.
    const WORDS: [(&str, Self); 10] = [
        ("state", Self::State),
        ("is", Self::State),
        ("namespace", Self::Namespace),
        ("ns", Self::Namespace),
        ("node", Self::Node),
        ("registry", Self::Registry),
        ("class", Self::Class),
        ("image", Self::Image),
        ("pod", Self::Pod),
        ("workload", Self::Workload),
    ];
}

impl Filter {
    /// Reads what was typed; whatever it is, it means something.
    pub(super) fn read(text: &str) -> Self {
        Self { text: text.trim().to_owned(), terms: words(text).iter().filter_map(|word| Term::read(word)).collect() }
    }

    /// What was typed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether every pull is meant.
    pub(super) const fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether this pull is meant.
    pub(super) fn fits(&self, pull: &Pull) -> bool {
        let (alternatives, must): (Vec<_>, Vec<_>) = self.terms.iter().partition(|term| term.key != Key::Text && !term.not);
        must.iter().all(|term| term.holds(pull))
            && alternatives.iter().all(|term| {
                let mut of_key = alternatives.iter().filter(|other| other.key == term.key);
                of_key.any(|other| other.holds(pull))
            })
    }
}

impl Term {
    fn read(word: &str) -> Option<Self> {
        let (bare, not) = word.strip_prefix('-').filter(|bare| !bare.is_empty()).map_or((word, false), |bare| (bare, true));
        let keyed = bare.split_once(':').and_then(|(name, value)| {
            let (_, key) = Key::WORDS.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
            // `registry:5000/app` is the name of an image, not of a registry.
            (!value.contains('/') || matches!(key, Key::Image | Key::Pod | Key::Workload)).then_some((key, value))
        });
        let (key, value) = keyed.unwrap_or((Key::Text, bare));
        let value = value.replace('"', "").to_lowercase();
        (!value.is_empty()).then_some(Self { key, value, not })
    }

    fn holds(&self, pull: &Pull) -> bool {
        self.is_true(pull) != self.not
    }

    fn is_true(&self, pull: &Pull) -> bool {
        let value = &self.value;
        let part = |text: &str| if value.contains('*') { like(value, text) } else { contains(text, value) };
        let workload = |of: &dyn Fn(&str) -> bool| {
            pull.pods.iter().filter_map(|pod| pod.workload.as_ref()).any(|w| of(&format!("{}/{}", w.kind, w.name)))
        };
        match self.key {
            Key::State => is_in(pull, value),
            Key::Namespace => pull.pods.iter().any(|pod| like(value, &pod.namespace)),
            Key::Node => like(value, &pull.node),
            Key::Registry => pull.registry.as_ref().is_some_and(|registry| like(value, registry)),
            Key::Class => pull.error_class.as_ref().is_some_and(|class| like(value, class)),
            Key::Image => part(&pull.image()),
            Key::Pod => pull.pods.iter().any(|pod| part(&pod.pod_name)),
            Key::Workload => workload(&part),
            Key::Text => {
                let own = [&*pull.image(), &pull.node, &pull.summary, pull.error.as_deref().unwrap_or_default()];
                own.into_iter().any(part)
                    || pull.pods.iter().any(|pod| part(&pod.pod_name) || part(&pod.namespace))
                    || workload(&part)
                    || pull.id.to_string().starts_with(value)
            }
        }
    }
}

/// Whether a pull is in a state of this name.
fn is_in(pull: &Pull, word: &str) -> bool {
    let state = pull.state();
    match word {
        "active" | "running" => state.is_running(),
        "ended" | "finished" => !state.is_running(),
        "waiting" => state.is_waiting(),
        "cached" => pull.is_cached(),
        "blocking" => !pull.pods.is_empty() && state != State::Ready,
        "unasked" => pull.pods.is_empty(),
        "lost" => matches!(state, State::Lost | State::Stale),
        "download_slot" | "slot" => state == State::Slot,
        "layer_lock" | "layer" => state == State::Layer,
        "failing" => state == State::Failed,
        _ => like(word, state.word()),
    }
}

/// Whether the whole text is so, where `*` stands for anything. The pattern is in lower case.
fn like(pattern: &str, text: &str) -> bool {
    let text = text.to_lowercase();
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// The needle is in lower case.
fn contains(text: &str, needle: &str) -> bool {
    text.contains(needle) || (text.contains(|c: char| c.is_uppercase()) && text.to_lowercase().contains(needle))
}

/// Runs without spaces; what stands in double quotes belongs together.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for character in text.chars().take(MAX_TEXT) {
        quoted ^= character == '"';
        match words.last_mut() {
            Some(last) if quoted || !character.is_whitespace() => last.push(character),
            Some(_) | None => words.push(String::new()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull(state: &str) -> Pull {
        let pods = r#"[{"namespace":"prod","podName":"web-1","container":"c","workload":{"kind":"Deployment","name":"web"}}]"#;
        let json = format!(
            r#"{{"id":"{:032x}","nodeName":"gpu-1","imageRef":"ghcr.io/Team/app:1","registry":"ghcr.io","summary":"Downloading.",
            "startedAt":"2026-01-01T00:00:00Z","updatedAt":"2026-01-01T00:00:00Z","pods":{pods},{state}}}"#,
            0xabc_u32
        );
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn terms_of_one_key_are_alternatives_and_everything_else_must_hold() {
        let pull = pull(r#""phase":"downloading","wait":{"kind":"stalled"}"#);
        let fits = |text: &str| Filter::read(text).fits(&pull);
        for text in [
            "",
            "   ",
            "node:gpu-1",
            "node:GPU*",
            "node:*-1 registry:ghcr.io",
            "node:other node:gpu*",
            "state:stalled is:active",
            "state:waiting",
            "namespace:prod ns:test",
            "workload:deployment/web",
            "workload:eb",
            "image:team/app",
            "image:ghcr.io*:1",
            "-node:cpu*",
            "team downloading",
            "\"Downloading.\"",
            "pod:web-1",
            "-state:ready",
            "0000000000000000",
        ] {
            assert!(fits(text), "{text}");
        }
        for text in [
            "node:gpu",
            "node:other",
            "-node:gpu*",
            "state:downloading",
            "ns:test",
            "node:gpu-1 registry:docker.io",
            "nowhere",
            "class:tls",
            "image:*:2",
        ] {
            assert!(!fits(text), "{text}");
        }
    }

    #[test]
    fn every_state_is_found_by_its_word() {
        assert!(Filter::read("state:failed").fits(&pull(r#""phase":"resolving","outcome":"failed""#)));
        assert!(Filter::read("state:slot").fits(&pull(r#""phase":"downloading","wait":{"kind":"download_slot"}"#)));
        assert!(Filter::read("is:lost").fits(&pull(r#""phase":"downloading","stale":true"#)));
        assert!(Filter::read("is:ended").fits(&pull(r#""phase":"downloading","outcome":"canceled""#)));
    }

    #[test]
    fn what_looks_like_a_key_but_is_an_image_is_a_text() {
        assert!(!Filter::read("registry:5000/app").fits(&pull(r#""phase":"queued""#)));
        assert_eq!(Filter::read("registry:5000/app").terms[0].key, Key::Text);
        assert!(Filter::read("-").terms[0].value == "-" && Filter::read("node:").is_empty());
    }
}
