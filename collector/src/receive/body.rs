//! Reads bodies within bounds: of the length of one request before and after decompression, of the memory of all requests together, and of
//! time. A body is read whole before anything is done with it, so a slow sender holds what it has sent and nothing else.
//!
//! Knows nothing of OTLP; what a body is framed in is the business of [`super::grpc`] and [`super::web`].

use std::{
    io::{self, Read},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::{COME_BACK, Refusal};

/// Longest request, in bytes, before and after decompression: the specification's recommendation.
pub(crate) const MAX_REQUEST: usize = 64 * 1024 * 1024;
/// Bytes of all requests that are being read or looked into at a time. Beyond it senders are asked to come back.
pub(crate) const MAX_READING: usize = 128 * 1024 * 1024;
/// A request must have arrived within this time.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes behind the limit that are still taken off the wire, for no use but that the sender gets to hear why it is refused.
const MAX_WASTE: usize = 64 * 1024 * 1024;
/// Bytes for which room is made before they are here.
const USUAL: usize = 128 * 1024;
/// What is decompressed at a time, in bytes.
const STEP: usize = 64 * 1024;
/// Most memory that a zstd frame may demand to look back, as a power of two: 8 MiB, which RFC 8878 tells everyone to support.
const WINDOW_LOG: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Reads the word of a header; `None` if it is none of those that are understood.
    pub(super) fn read(word: &[u8]) -> Option<Self> {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        if is(b"") || is(b"identity") {
            Some(Self::None)
        } else if is(b"gzip") || is(b"x-gzip") {
            Some(Self::Gzip)
        } else {
            is(b"zstd").then_some(Self::Zstd)
        }
    }
}

/// The memory that all requests share.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Semaphore>);

/// Bytes, and the share of the budget that they take as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

struct Buffer {
    /// The only piece so far, where it lies, if it may be the only one.
    only: Bytes,
    /// All pieces else.
    bytes: Vec<u8>,
    /// How many bytes there are at least.
    announced: usize,
    share: OwnedSemaphorePermit,
    budget: Budget,
    limit: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_READING)))
    }

    /// Reads a body of at most this length.
    pub(super) async fn read(&self, body: Body, limit: usize) -> Result<Held, Refusal> {
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let reading = self.collect(body, limit);
        tokio::time::timeout_at(deadline, reading).await.unwrap_or(Err(Refusal::TooSlow))
    }

    async fn collect(&self, body: Body, limit: usize) -> Result<Held, Refusal> {
        let mut body = pin!(body);
        let mut buffer = self.buffer(limit)?;
        // What a sender announces is not believed beyond what is usual.
        buffer.announced = usize::try_from(body.size_hint().lower()).unwrap_or(USUAL).min(USUAL);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::Unreadable(error.to_string()))?;
            let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) else { continue };
            match buffer.push(data).await {
                Err(refusal @ Refusal::TooLarge) => {
                    drop(buffer);
                    waste(body).await;
                    return Err(refusal);
                }
                pushed => pushed?,
            }
        }
        Ok(buffer.held())
    }

    /// Decompresses. Both, the compressed and the plain bytes, count while it lasts.
    pub(super) fn inflate(&self, held: Held, compression: Compression) -> Result<Held, Refusal> {
        let broken = |error: io::Error| Refusal::Unreadable(error.to_string());
        match compression {
            Compression::None => Ok(held),
            Compression::Gzip => self.fill(MultiGzDecoder::new(&*held.bytes)),
            Compression::Zstd => self.fill(zstd_reader(&held.bytes).map_err(broken)?),
        }
    }

    fn fill(&self, mut from: impl Read) -> Result<Held, Refusal> {
        let mut buffer = self.buffer(MAX_REQUEST)?;
        let mut step = vec![0; STEP];
        loop {
            match from.read(&mut step) {
                Ok(0) => return Ok(buffer.held()),
                Ok(length) => buffer.try_push(&step[..length])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Refusal::Unreadable(error.to_string())),
            }
        }
    }

    fn buffer(&self, limit: usize) -> Result<Buffer, Refusal> {
        let share = self.0.clone().try_acquire_many_owned(0).map_err(|_| Refusal::Busy)?;
        Ok(Buffer { only: Bytes::new(), bytes: Vec::new(), announced: 0, share, budget: self.clone(), limit })
    }
}

impl Buffer {
    async fn push(&mut self, data: Bytes) -> Result<(), Refusal> {
        let more = self.fits(&data)?;
        let share = tokio::time::timeout(COME_BACK, self.budget.0.clone().acquire_many_owned(more)).await;
        self.share.merge(share.ok().and_then(Result::ok).ok_or(Refusal::Busy)?);
        if self.only.is_empty() && self.bytes.is_empty() {
            if data.len() >= self.announced {
                self.only = data;
                return Ok(());
            }
            self.bytes.reserve_exact(self.announced);
        }
        self.bytes.extend_from_slice(&std::mem::take(&mut self.only));
        self.bytes.extend_from_slice(&data);
        Ok(())
    }

    fn try_push(&mut self, data: &[u8]) -> Result<(), Refusal> {
        let more = self.fits(data)?;
        self.share.merge(self.budget.0.clone().try_acquire_many_owned(more).map_err(|_| Refusal::Busy)?);
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    /// How much more of the budget this needs.
    fn fits(&self, data: &[u8]) -> Result<u32, Refusal> {
        if data.len() > self.limit - self.only.len() - self.bytes.len() {
            return Err(Refusal::TooLarge);
        }
        u32::try_from(data.len()).map_err(|_| Refusal::TooLarge)
    }

    fn held(self) -> Held {
        let bytes = if self.bytes.is_empty() { self.only } else { self.bytes.into() };
        Held { bytes, _share: self.share }
    }
}

/// Takes what is left of a body off the wire, within a bound.
async fn waste(mut body: std::pin::Pin<&mut Body>) {
    let mut wasted = 0;
    while let Some(Ok(frame)) = body.frame().await {
        wasted += frame.data_ref().map_or(0, Bytes::len);
        if wasted > MAX_WASTE {
            return;
        }
    }
}

fn zstd_reader<'a>(bytes: &'a [u8]) -> io::Result<impl Read + use<'a>> {
    let mut reader = zstd::stream::read::Decoder::with_buffer(bytes)?;
    reader.window_log_max(WINDOW_LOG)?;
    Ok(reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(length: usize) -> Body {
        Body::from(vec![0; length])
    }

    #[tokio::test]
    async fn bodies_take_their_share_of_the_budget_and_give_it_back() {
        let budget = Budget::new();
        let held = budget.read(chunk(1000), 1000).await.unwrap();
        assert_eq!((held.bytes.len(), budget.0.available_permits()), (1000, MAX_READING - 1000));
        drop(held);
        assert!(matches!(budget.read(chunk(1001), 1000).await, Err(Refusal::TooLarge)));
        assert_eq!(budget.0.available_permits(), MAX_READING);
    }

    #[tokio::test]
    async fn a_body_in_one_piece_stays_where_it_is_and_pieces_are_put_together() {
        let budget = Budget::new();
        let pieces: [&'static [u8]; 4] = [b"", b"one", b"", b" two"];
        let read = async |pieces: &[&'static [u8]]| {
            let pieces: Vec<_> = pieces.iter().map(|piece| io::Result::Ok(Bytes::from_static(piece))).collect();
            budget.read(Body::from_stream(futures_util::stream::iter(pieces)), 7).await.unwrap()
        };
        assert_eq!(read(&pieces).await.bytes, "one two");
        assert_eq!(read(&pieces[..2]).await.bytes.as_ptr(), pieces[1].as_ptr());
        assert!(read(&pieces[..1]).await.bytes.is_empty());
        assert_eq!(budget.0.available_permits(), MAX_READING);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_no_room_waits_a_little_and_is_asked_to_come_back() {
        let budget = Budget::new();
        let all = budget.0.clone().try_acquire_many_owned(u32::try_from(MAX_READING - 10).unwrap()).unwrap();
        let asked = Instant::now();
        assert!(matches!(budget.read(chunk(11), MAX_REQUEST).await, Err(Refusal::Busy)));
        assert_eq!(asked.elapsed(), COME_BACK);
        drop(all);
        assert!(budget.read(chunk(11), MAX_REQUEST).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up_in_time() {
        let body = Body::from_stream(futures_util::stream::pending::<io::Result<Bytes>>());
        let asked = Instant::now();
        assert!(matches!(Budget::new().read(body, 1).await, Err(Refusal::TooSlow)));
        assert_eq!(asked.elapsed(), REQUEST_TIMEOUT);
    }

    #[test]
    fn only_known_compressions_are_read_and_none_within_another() {
        for (word, compression) in [
            ("", Some(Compression::None)),
            ("Identity", Some(Compression::None)),
            ("GZIP", Some(Compression::Gzip)),
            ("zstd", Some(Compression::Zstd)),
            ("gzip, gzip", None),
            ("deflate", None),
            ("br", None),
        ] {
            assert_eq!(Compression::read(word.as_bytes()), compression, "{word}");
        }
    }
}
