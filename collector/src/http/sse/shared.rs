//! Chunks that were written lately, so that each is written, and compressed, once for all readers who need the same.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;

use super::{
    beat::Beat,
    gzip::Packer,
    walk::{self, Class, Position},
};
use crate::metrics::Streams;

/// Bytes of chunks that are kept. Older ones are written anew for whoever is that slow.
const MAX_BYTES: usize = 8 << 20;
/// Chunks that are kept. One that says nothing takes memory too.
const MAX_CHUNKS: usize = 4096;

/// The next bytes for a reader, and where it is then.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) then: Position,
}

/// All chunks of all classes.
#[derive(Debug)]
pub(super) struct Shared {
    kept: Mutex<Kept>,
    packer: Mutex<Packer>,
    numbers: Streams,
}

/// What a chunk follows from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    class: Arc<Class>,
    at: Position,
    beat: (u64, u64),
}

/// `None` is a chunk that could not be written.
type Cell = Arc<OnceLock<Option<Chunk>>>;

#[derive(Debug, Default)]
struct Kept {
    cells: HashMap<Key, Cell>,
    /// Those that are written, oldest first, and their lengths.
    written: VecDeque<(Key, usize)>,
    bytes: usize,
}

impl Shared {
    pub(super) fn new(numbers: Streams) -> Self {
        Self { kept: Mutex::default(), packer: Mutex::new(Packer::new()), numbers }
    }

    /// The chunk for readers of a class at a position; `None` if it cannot be written.
    pub(super) fn chunk(&self, class: &Arc<Class>, at: Position, beat: &Beat) -> Option<Chunk> {
        let key = Key { class: class.clone(), at, beat: (beat.before.revision, beat.now.revision) };
        let cell = self.kept().cells.entry(key.clone()).or_default().clone();
        let mut written = None;
        let chunk = cell.get_or_init(|| {
            let chunk = self.write(class, at, beat);
            written = Some(chunk.as_ref().map_or(0, |chunk| chunk.bytes.len()));
            chunk
        });
        if let Some(bytes) = written {
            self.kept().keep(key, bytes);
        }
        chunk.clone()
    }

    fn write(&self, class: &Class, at: Position, beat: &Beat) -> Option<Chunk> {
        let (text, then) = walk::chunk(class, at, beat).ok()?;
        let bytes = match class.gzip && !text.is_empty() {
            true => self.packer.lock().unwrap_or_else(PoisonError::into_inner).pack(&text)?,
            false => text,
        };
        self.numbers.built();
        // Without the room that it might have grown into: a slow reader keeps it for long.
        Some(Chunk { bytes: bytes.into_boxed_slice().into(), then })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, key: Key, bytes: usize) {
        self.written.push_back((key, bytes));
        self.bytes += bytes;
        while self.bytes > MAX_BYTES || self.written.len() > MAX_CHUNKS {
            let Some((oldest, bytes)) = self.written.pop_front() else { return };
            self.cells.remove(&oldest);
            self.bytes -= bytes;
        }
    }
}
