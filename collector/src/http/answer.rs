//! How questions are answered: from one picture, off the threads that take reports, a few at a time; with a tag by which the asker knows
//! whether anything is new.

use std::hash::{DefaultHasher, Hasher as _};

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{Problem, Site};
use crate::snapshot::Snapshot;

/// Answers that are being written at a time; further questions wait for their turn.
pub(super) const MAX_ANSWERING: usize = 4;

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
        let written = tokio::task::spawn_blocking(move || {
            let written = write(&snapshot);
            drop(turn);
            written
        });
        let body = written.await.map_err(|_| Problem::Internal)??;
        let tag = tag_of(&body);
        if is_known(&headers, &tag) { Ok((StatusCode::NOT_MODIFIED, tagged(&tag)).into_response()) } else { Ok(json(&tag, body)) }
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

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|tags| tags.split(',')).any(|known| known.trim() == "*" || bare(known) == bare(tag))
}

fn json(tag: &str, body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], tagged(tag), body).into_response()
}

fn tagged(tag: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers
}
