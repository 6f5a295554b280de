//! What the Engine says while it pulls (`POST /images/create`), one message a line, as words that cannot be misread. Both image stores and
//! Podman's compatible socket speak here; who makes a pull of it is [`crate::pull`]. The texts are those of moby's `daemon` and
//! `distribution` packages, observed on Docker Engine 28.

use bollard::models::CreateImageInfo;
use lifecycle::image::Digest;

/// Digits of a layer's digest that the Engine tells.
pub(crate) const SHORT: usize = 12;
/// Longest text of the Engine that is kept, bytes: an error names an image and an address or two.
const MAX_TEXT: usize = 4096;

/// One line of the Engine's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// About one layer, named by the first digits of its blob's digest.
    Layer(Short, Step),
    /// The digest that the name stands for.
    Digest(Digest),
    /// The image is there; `fresh` if it was not before.
    Done {
        /// Whether the name stood for another image, or none.
        fresh: bool,
    },
    /// It broke.
    Failed(String),
    /// Anything else, which changes nothing.
    Other,
}

/// The first digits of a digest: [`SHORT`] lowercase hexadecimal ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Short([u8; SHORT]);

/// What the Engine says of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It will be fetched.
    Named,
    /// It waits for others.
    Waiting,
    /// It need not be fetched.
    Exists,
    /// Its bytes come.
    Downloading {
        /// So many are here.
        current: u64,
        /// So many it has, if that is said.
        total: Option<u64>,
    },
    /// The connection was lost; it is opened again in so many seconds.
    Retrying {
        /// Seconds.
        seconds: u64,
    },
    /// All bytes are here and are being compared with the digest.
    Checking,
    /// All bytes are here and right.
    Downloaded,
    /// It is being unpacked, and so many of its compressed bytes went through.
    Extracting {
        /// So many went through.
        current: u64,
        /// Of so many.
        total: u64,
    },
    /// It is being unpacked; how far it is, is not said.
    ExtractingSince,
    /// It is unpacked.
    Complete,
}

impl Short {
    /// From a text; `None` for anything but so many lowercase hexadecimal digits.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let digits: [u8; SHORT] = text.as_bytes().try_into().ok()?;
        digits.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b)).then_some(Self(digits))
    }

    /// Of a whole digest; `None` if it is too short or not hexadecimal.
    pub(crate) fn of(digest: &Digest) -> Option<Self> {
        Self::new(digest.encoded().get(..SHORT)?)
    }

    /// The digits.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Message {
    /// From the line of the Engine.
    pub(crate) fn read(line: &CreateImageInfo) -> Self {
        if let Some(error) = line.error_detail.as_ref().and_then(|detail| detail.message.as_deref()) {
            return Self::Failed(clean(error));
        }
        let status = line.status.as_deref().unwrap_or_default();
        if let Some(digest) = status.strip_prefix("Digest: ").and_then(|text| text.trim().parse().ok()) {
            return Self::Digest(digest);
        }
        if let Some(said) = status.strip_prefix("Status: ") {
            return Self::Done { fresh: !said.starts_with("Image is up to date") };
        }
        let detail = line.progress_detail.as_ref();
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        let current = number(detail.and_then(|detail| detail.current));
        let total = number(detail.and_then(|detail| detail.total)).filter(|total| *total > 0);
        let layer = line.id.as_deref().and_then(|id| Short::new(id.get(..SHORT).unwrap_or(id)));
        match (layer, Step::read(status, current, total)) {
            (Some(layer), Some(step)) => Self::Layer(layer, step),
            (Some(_) | None, _) => Self::Other,
        }
    }
}

#[cfg(test)]
impl Message {
    /// From a line as it was recorded.
    pub(crate) fn of_json(json: &str) -> Self {
        Self::read(&serde_json::from_str(json).expect("a line of the Engine"))
    }
}

impl Step {
    fn read(status: &str, current: Option<u64>, total: Option<u64>) -> Option<Self> {
        if let Some(rest) = status.strip_prefix("Retrying in ") {
            return Some(Self::Retrying { seconds: rest.split(' ').next()?.parse().ok()? });
        }
        Some(match (status, current, total) {
            ("Pulling fs layer", ..) => Self::Named,
            ("Waiting", ..) => Self::Waiting,
            ("Already exists" | "Layer already exists", ..) => Self::Exists,
            ("Downloading", ..) => Self::Downloading { current: current.unwrap_or(0), total },
            ("Verifying Checksum", ..) => Self::Checking,
            ("Download complete", ..) => Self::Downloaded,
            ("Extracting", Some(current), Some(total)) => Self::Extracting { current, total },
            ("Extracting", ..) => Self::ExtractingSince,
            ("Pull complete", ..) => Self::Complete,
            _ => return None,
        })
    }
}

/// Text of the Engine without what would drive a terminal, and not longer than anyone reads.
pub(crate) fn clean(text: &str) -> String {
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].replace(char::is_control, " ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Message {
        Message::of_json(json)
    }

    fn layer(step: Step) -> Message {
        Message::Layer(Short::new("745b5871eef5").unwrap(), step)
    }

    #[test]
    fn lines_of_the_classic_store_are_read() {
        let said = |status: &str| read(&format!(r#"{{"status":"{status}","progressDetail":{{}},"id":"745b5871eef5"}}"#));
        assert_eq!(said("Pulling fs layer"), layer(Step::Named));
        assert_eq!(said("Already exists"), layer(Step::Exists));
        assert_eq!(said("Retrying in 1 second"), layer(Step::Retrying { seconds: 1 }));
        assert_eq!(said("Verifying Checksum"), layer(Step::Checking));
        let json =
            r#"{"status":"Extracting","progressDetail":{"current":5,"total":9},"progress":"[> ] 5B/9B","id":"745b5871eef5"}"#;
        assert_eq!(read(json), layer(Step::Extracting { current: 5, total: 9 }));
    }

    #[test]
    fn unpacking_that_says_only_seconds_says_no_bytes() {
        let json = r#"{"status":"Extracting","progressDetail":{"current":3,"units":"s"},"progress":"3 s","id":"745b5871eef5"}"#;
        assert_eq!(read(json), layer(Step::ExtractingSince));
    }

    #[test]
    fn only_the_last_words_say_that_the_image_is_there() {
        assert_eq!(read(r#"{"status":"Status: Image is up to date for a:1"}"#), Message::Done { fresh: false });
        assert_eq!(read(r#"{"status":"Status: Downloaded newer image for a:1"}"#), Message::Done { fresh: true });
        assert_eq!(read(r#"{"status":"Pulling from team/app","id":"v1"}"#), Message::Other);
        assert_eq!(read(r#"{"status":"Digest: sha256:short"}"#), Message::Other);
    }

    #[test]
    fn an_error_cannot_drive_a_terminal() {
        let json = r#"{"errorDetail":{"message":"no\u001b[2J space"},"error":"no space"}"#;
        assert_eq!(read(json), Message::Failed("no [2J space".into()));
    }
}
