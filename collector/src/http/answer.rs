//! How questions are answered: from one picture, off the threads that take reports, a few at a time; with a tag by which the asker knows
//! whether anything is new, and compressed for those who can read it.

use std::{
    hash::{DefaultHasher, Hasher as _},
    io::Write as _,
};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use serde::Serialize;

use super::{Problem, Site};
use crate::snapshot::Snapshot;

/// Answers that are being written at a time; further questions wait for their turn.
pub(super) const MAX_ANSWERING: usize = 2;
/// Shorter answers are not worth compressing, bytes.
const WORTH_COMPRESSING: usize = 1024;

/// An answer, or that the asker has it.
enum Outcome {
    Same(String),
    Plain(String, Vec<u8>),
    Compressed(String, Vec<u8>),
}

impl Site {
    /// Answers a question from the present picture.
    ///
    /// # Errors
    /// What `write` says, or that it broke.
    pub(super) async fn answer(
        self,
        headers: HeaderMap,
        write: impl FnOnce(&Snapshot) -> Result<Vec<u8>, Problem> + Send + 'static,
    ) -> Result<Response, Problem> {
        let turn = self.answering.clone().acquire_owned().await.map_err(|_| Problem::Internal)?;
        let snapshot = self.view.now();
        let answering = tokio::task::spawn_blocking(move || {
            let answer = write(&snapshot).and_then(|body| Outcome::of(body, &headers));
            drop(turn);
            answer
        });
        Ok(answering.await.map_err(|_| Problem::Internal)??.into_response())
    }
}

impl Outcome {
    fn of(body: Vec<u8>, headers: &HeaderMap) -> Result<Self, Problem> {
        let tag = tag_of(&body);
        if is_known(headers, &tag) {
            return Ok(Self::Same(tag));
        }
        if body.len() < WORTH_COMPRESSING || !reads(headers, "gzip") {
            return Ok(Self::Plain(tag, body));
        }
        let mut gzip = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        let compressed = gzip.write_all(&body).and_then(|()| gzip.finish()).map_err(|_| Problem::Internal)?;
        Ok(Self::Compressed(tag, compressed))
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        const JSON: (header::HeaderName, &str) = (header::CONTENT_TYPE, "application/json");
        match self {
            Self::Same(tag) => (StatusCode::NOT_MODIFIED, tagged(&tag)).into_response(),
            Self::Plain(tag, body) => ([JSON], tagged(&tag), body).into_response(),
            Self::Compressed(tag, body) => ([JSON, (header::CONTENT_ENCODING, "gzip")], tagged(&tag), body).into_response(),
        }
    }
}

/// The JSON of an answer.
///
/// # Errors
/// Never for the types of the contract; the error is `serde_json`'s.
pub(super) fn written(answer: &(impl Serialize + ?Sized)) -> Result<Vec<u8>, Problem> {
    Ok(serde_json::to_vec(answer)?)
}

/// The same for the same bytes; weak, because the bytes on the wire may be compressed.
pub(super) fn tag_of(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("W/\"{:016x}\"", hasher.finish())
}

/// Whether the asker has what has this tag.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|tags| tags.split(',')).any(|known| known.trim() == "*" || bare(known) == bare(tag))
}

/// Whether `Accept-Encoding` allows this coding (RFC 9110, section 12.5.3).
pub(super) fn reads(headers: &HeaderMap, coding: &str) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let weight = |wanted: &str, coding: &str| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
        let weight = weight.trim().strip_prefix("q=").and_then(|text| text.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case(wanted).then(|| weight.is_some_and(|weight| weight > 0.0))
    };
    let codings: Vec<_> = lines.flat_map(|line| line.split(',')).collect();
    let said = |wanted| codings.iter().find_map(|coding| weight(wanted, coding));
    said(coding).or_else(|| said("*")).unwrap_or(false)
}

fn tagged(tag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_say_so() {
        for (said, reads) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("deflate", false),
            ("gzip;q=0", false),
            ("gzip; q=0, *", false),
            ("gzip;q=much", false),
            ("identity;q=1, *;q=0", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, said.parse().unwrap());
            assert_eq!(super::reads(&headers, "gzip"), reads, "{said}");
        }
        assert!(!reads(&HeaderMap::new(), "gzip"));
    }
}
