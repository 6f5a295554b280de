//! Content digests, as the OCI image specification has them (section "Digests").

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// A content digest: algorithm and encoded hash.
///
/// sha256, sha384 and sha512 must be lowercase hexadecimal of exact length; other algorithms only have to match the grammar. All clones
/// share one text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Arc<str>);

impl Digest {
    /// The digest of these bytes, by SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(bytes);
        Self(format!("sha256:{}", hex(&hash)).into())
    }

    /// The whole text, `algorithm:encoded`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the colon.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// The part behind the colon.
    pub fn encoded(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, encoded)| encoded)
    }

    /// The first six characters of the encoded hash: how people are shown a layer.
    pub fn short(&self) -> &str {
        let encoded = self.encoded();
        encoded.get(..6).unwrap_or(encoded)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Nearly all are of this kind.
        if text.strip_prefix("sha256:").is_some_and(|hash| hash.len() == 64 && is_hex(hash)) {
            return Ok(Self(text.into()));
        }
        let error = || ParseDigestError(shorten(text));
        let (algorithm, encoded) = text.split_once(':').ok_or_else(error)?;
        let algorithm_ok = algorithm
            .split(['+', '.', '_', '-'])
            .all(|component| !component.is_empty() && component.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        let encoded_ok = match algorithm {
            "sha256" => is_hex(encoded) && encoded.len() == 64,
            "sha384" => is_hex(encoded) && encoded.len() == 96,
            "sha512" => is_hex(encoded) && encoded.len() == 128,
            _ => {
                let allowed = |b: u8| b.is_ascii_alphanumeric() || b"=_-".contains(&b);
                (32..=256).contains(&encoded.len()) && encoded.bytes().all(allowed)
            }
        };
        if algorithm_ok && algorithm.len() <= 64 && encoded_ok { Ok(Self(text.into())) } else { Err(error()) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that is no content digest; carries the beginning of that text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a digest of the form algorithm:hex")]
pub struct ParseDigestError(String);

/// Lowercase hexadecimal of these bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Whether a text is lowercase hexadecimal.
pub(super) fn is_hex(text: &str) -> bool {
    // Without leaving early, so that many bytes are looked at at a time.
    !text.is_empty() && text.bytes().fold(true, |all, b| all & (b.is_ascii_digit() | (b'a'..=b'f').contains(&b)))
}

/// The beginning of a text that may be anything, for an error message.
fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_of_known_algorithms_have_their_exact_length() {
        assert!(format!("sha256:{HASH}").parse::<Digest>().is_ok());
        for text in [
            "sha256:",
            "sha256:abc",
            "sha256:zz",
            &format!("sha256:{}", HASH.to_uppercase()),
            &format!("sha512:{HASH}"),
            HASH,
            ":x",
        ] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        assert!(format!("blake3:{HASH}").parse::<Digest>().is_ok());
    }

    #[test]
    fn the_digest_of_nothing_is_the_known_one() {
        assert_eq!(Digest::of(b"").as_str(), format!("sha256:{HASH}"));
        assert_eq!(Digest::of(b"").short(), "e3b0c4");
    }

    proptest! {
        #[test]
        fn parsing_any_text_never_panics(text in "\\PC{0,200}") {
            drop(text.parse::<Digest>());
        }
    }
}
