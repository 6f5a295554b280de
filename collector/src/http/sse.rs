//! The event stream, and the dense one for the page. A reader is a cursor into the revisions of [`crate::snapshot`], and nothing else: it has
//! no queue, so a slow one gets one merged change when it reads again, and none can hold up another or the intake.
//!
//! ```text
//!  keeper ──▶ beat (250 ms) ──▶ reader: a position ──▶ shared ──▶ walk ──▶ plain, dense ──▶ gzip
//! ```
//!
//! A newcomer gets everything as it is, then the named event `sync`, then changes. An id says: everything up to here was told. Whoever comes back
//! with one gets what it missed: of every pull that it began, if that was missed, and how it is now.

mod beat;
mod dense;
mod gzip;
mod places;
mod plain;
mod reader;
mod shared;
mod walk;

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use tokio::sync::watch;

pub(crate) use self::places::{Caps, Full};
use self::{
    beat::Beat,
    places::Places,
    reader::Reader,
    shared::Shared,
    walk::{Class, Dialect, Position},
};
use super::{
    Problem, Site,
    door::Reader as Who,
    query::{Question, Wanted},
};
use crate::{
    keeper::View,
    metrics::{Metrics, Streams},
};

/// Longest `Last-Event-ID`, in bytes. Ours have at most 37; what is longer than this is an attack.
const MAX_ID: usize = 8 * 1024;

/// What all readers share; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    beats: watch::Receiver<Beat>,
    shared: Arc<Shared>,
    places: Places,
    numbers: Streams,
}

impl Stage {
    /// Starts the pulse of the streams.
    pub(super) fn new(view: View, metrics: &Metrics, caps: Caps) -> Self {
        let (places, numbers) = (Places::new(caps), metrics.streams());
        Self { beats: beat::start(view, places.clone()), shared: Arc::new(Shared::new(numbers.clone())), places, numbers }
    }

    fn open(&self, dialect: Dialect, wanted: Wanted, client: Option<IpAddr>, headers: &HeaderMap) -> Result<Response, Problem> {
        let header = headers.get("last-event-id");
        if header.is_some_and(|id| id.len() > MAX_ID) {
            self.numbers.refused("header");
            return Err(Problem::HeaderTooLarge(format!("last-event-id must be at most {MAX_ID} bytes")));
        }
        let address = client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let place = self.places.take(address).map_err(|full| {
            self.numbers.refused(full.as_str());
            Problem::TooManyReaders(full)
        })?;
        let said = header.and_then(|value| value.to_str().ok()).or(wanted.last_event_id.as_deref());
        let now = self.beats.borrow().now.clone();
        let resumed = said.and_then(|id| id.parse().ok()).and_then(|cursor| Position::resumed(cursor, &now));
        self.numbers.opened(match (said, resumed) {
            (_, Some(_)) => "resumed",
            (Some(_), None) => "unknown_id",
            (None, None) => "new",
        });
        let class = Class { filter: wanted.filter, dialect, gzip: takes_gzip(headers) };
        let (at, turn) = (resumed.unwrap_or_else(|| Position::newcomer(&now)), self.places.taken());
        let encoding = class.gzip.then(|| [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
        let reader = Reader::new((self.shared.clone(), self.beats.clone()), class, at, (self.numbers.clone(), place, turn));
        let body = Body::from_stream(stream::unfold(reader, Reader::next));
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
        ];
        let mut response = (headers, [("x-accel-buffering", "no")], body).into_response();
        response.headers_mut().extend(encoding.into_iter().flatten().map(|(name, value)| (Some(name), value)));
        Ok(response)
    }
}

/// `GET /api/v1/events`.
pub(super) async fn events(
    State(site): State<Site>,
    reader: Option<Extension<Who>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Wanted::read(&uri, Question::Stream)?;
    let dialect = Dialect::Events { layers: wanted.layers.unwrap_or(false) };
    site.stage.open(dialect, wanted, reader.and_then(|Extension(reader)| reader.client), &headers)
}

/// `GET /api/v1/frames`.
pub(super) async fn frames(
    State(site): State<Site>,
    reader: Option<Extension<Who>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Wanted::read(&uri, Question::Frames)?;
    let dialect = Dialect::Frames { layers: wanted.layers.unwrap_or(false), summary: wanted.summary.unwrap_or(false) };
    site.stage.open(dialect, wanted, reader.and_then(|Extension(reader)| reader.client), &headers)
}

/// Whether this reader can read gzip. Of the forms of the header only those that programs send are understood: a name, and perhaps `q=0`.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0_f32));
        matches!(name.trim(), "gzip" | "x-gzip") && !refused
    })
}
