//! Who a pull is: its id, which is also its trace id, and the ids of its spans, all derived from what containerd itself records.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use sha2::Digest as _;
use thiserror::Error;

use crate::{
    image::{Digest, hex},
    time::Timestamp,
};

/// Tag of the recipe by which [`PullId::derive`] makes ids. A change of the recipe changes the tag.
const ID_RECIPE: &str = "pulltrace/1";

/// Identity of one pull, which is also the id of its trace. Never all zeros.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PullId([u8; 16]);

impl PullId {
    /// The id of the pull that runs under a lease of containerd: a pure function of what containerd records, so that an agent that was
    /// restarted finds the same id.
    pub fn derive(node_uid: &str, namespace: &str, lease: &str, created_at: Timestamp) -> Self {
        let hash = fingerprint(&[ID_RECIPE, node_uid, namespace, lease, &created_at.as_nanos().to_string()]);
        Self(first_bytes_nonzero(&hash))
    }

    /// From the 16 bytes of a trace id; `None` for another length or all zeros, which W3C Trace Context calls invalid.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id: [u8; 16] = bytes.try_into().ok()?;
        (id != [0; 16]).then_some(Self(id))
    }

    /// The bytes, as a trace id has them.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The id of one span of this pull's trace: the same for the same role and layer, whoever computes it.
    pub fn span(&self, role: &str, layer: Option<&Digest>) -> SpanId {
        let hash = fingerprint(&[&self.to_string(), role, layer.map_or("", Digest::as_str)]);
        SpanId(first_bytes_nonzero(&hash))
    }
}

impl FromStr for PullId {
    type Err = ParsePullIdError;

    /// Reads 32 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(text).ok_or(ParsePullIdError)?;
        let value = u128::from_str_radix(digits, 16).map_err(|_| ParsePullIdError)?;
        Self::from_bytes(&value.to_be_bytes()).ok_or(ParsePullIdError)
    }
}

impl fmt::Display for PullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for PullId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for PullId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no [`PullId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a pull id is 32 hexadecimal digits, not all zero")]
pub struct ParsePullIdError;

/// Identity of one span within a pull's trace. Never all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// The bytes, as OTLP has them.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// SHA-256 over length-prefixed parts, so that no two lists of parts look alike.
fn fingerprint(parts: &[&str]) -> [u8; 32] {
    let mut hash = sha2::Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The first bytes of a hash; the last bit is set in the one case in 2^64 or less that they are all zero.
fn first_bytes_nonzero<const N: usize>(hash: &[u8; 32]) -> [u8; N] {
    let mut id = [0; N];
    id.copy_from_slice(&hash[..N]);
    if id == [0; N] {
        id[N - 1] = 1;
    }
    id
}
