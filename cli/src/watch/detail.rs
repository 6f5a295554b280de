//! One pull in full, as the collector answers when it is asked for it alone: layers, tries, and what happened when. Also as the JSON it came as.

use lifecycle::time::Timestamp;
use serde::Deserialize;

use super::{
    pull::Pull,
    text::{perhaps_plainly, plain, plainly},
};

/// The answer.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) whole: Whole,
    /// The same as lines of indented JSON.
    pub(super) json: Vec<String>,
}

/// A pull with its past.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Whole {
    #[serde(flatten)]
    pub(super) pull: Pull,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) cluster: Option<String>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) runtime: Option<String>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) containerd_namespace: Option<String>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) image_digest: Option<String>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) error_hint: Option<String>,
    pub(super) next_retry_at: Option<Timestamp>,
    pub(super) size_bytes: Option<u64>,
    pub(super) host: Option<Host>,
    #[serde(default)]
    pub(super) layers: Vec<Layer>,
    #[serde(default)]
    pub(super) attempts: Vec<Attempt>,
    #[serde(default)]
    pub(super) timeline: Vec<Moment>,
}

/// A layer, base first.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Layer {
    #[serde(deserialize_with = "plainly")]
    pub(super) digest: String,
    #[serde(deserialize_with = "plainly")]
    pub(super) state: String,
    #[serde(default)]
    pub(super) total_bytes: u64,
    #[serde(default)]
    pub(super) downloaded_bytes: u64,
    pub(super) started_at: Option<Timestamp>,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) unpack_started_at: Option<Timestamp>,
    pub(super) unpack_completed_at: Option<Timestamp>,
}

/// What else the node did; percent of time, and bytes per second.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Host {
    pub(super) network_bytes_per_sec: Option<u64>,
    pub(super) disk_busy: Option<u8>,
    pub(super) cpu_pressure: Option<u8>,
    pub(super) io_pressure: Option<Pressure>,
    pub(super) memory_pressure: Option<Pressure>,
}

/// Percent of time in which some task waited.
#[derive(Debug, Deserialize)]
pub(super) struct Pressure {
    pub(super) some: u8,
}

/// One try to get the image onto the node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attempt {
    #[serde(default)]
    pub(super) current: bool,
    pub(super) attempt: Option<u32>,
    pub(super) started_at: Timestamp,
    pub(super) completed_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) outcome: Option<String>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) error: Option<String>,
}

/// Something that happened.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    #[serde(deserialize_with = "plainly")]
    pub(super) what: String,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) source: Option<String>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) wait: Option<String>,
    #[serde(default, deserialize_with = "perhaps_plainly")]
    pub(super) layer: Option<String>,
    pub(super) pod: Option<Whom>,
}

/// A container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Whom {
    #[serde(deserialize_with = "plainly")]
    pub(super) namespace: String,
    #[serde(deserialize_with = "plainly")]
    pub(super) pod_name: String,
    #[serde(deserialize_with = "plainly")]
    pub(super) container: String,
}

impl Detail {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it is none about a pull.
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let json = serde_json::to_string_pretty(&value)?.lines().map(plain).collect();
        Ok(Self { whole: serde_json::from_value(value)?, json })
    }
}

impl Layer {
    /// Six hexadecimal digits, as everywhere.
    pub(super) fn short(&self) -> &str {
        short(&self.digest)
    }
}

/// The first six digits of a digest.
pub(super) fn short(digest: &str) -> &str {
    let digits = digest.split_once(':').map_or(digest, |(_, digits)| digits);
    digits.get(..6).unwrap_or(digits)
}
