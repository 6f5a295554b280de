//! Gzip of which every piece stands for itself, so that it is made once and sent to readers who have read different things before.
//!
//! A stream is one gzip member that never ends: a header, then blocks that are aligned to bytes and refer to nothing before them. When a
//! stream ends there is no trailer; decoders of streams take it for a connection that was cut.

use flate2::{Compress, Compression, FlushCompress};

/// What a stream begins with: deflate, no name, no time, unknown system.
pub(super) const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Makes pieces. Holds the memory of the compressor, about 300 kB.
#[derive(Debug)]
pub(super) struct Packer(Compress);

impl Packer {
    pub(super) fn new() -> Self {
        Self(Compress::new(Compression::fast(), false))
    }

    /// One piece; `None` if the library fails, which it does for no input.
    pub(super) fn pack(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.0.reset();
        let mut packed = Vec::with_capacity(bytes.len() / 4 + 64);
        loop {
            let done = usize::try_from(self.0.total_in()).ok()?;
            self.0.compress_vec(&bytes[done..], &mut packed, FlushCompress::Full).ok()?;
            if self.0.total_in() == bytes.len() as u64 && packed.len() < packed.capacity() {
                return Some(packed);
            }
            packed.reserve(packed.len().max(64));
        }
    }
}

/// A piece of at most 65,535 bytes that is not made smaller.
pub(super) fn stored(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut piece = vec![0];
    piece.extend(length.to_le_bytes());
    piece.extend((!length).to_le_bytes());
    piece.extend(bytes);
    piece
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// What a decoder has read when the connection is cut.
    fn read(stream: &[u8]) -> String {
        let mut decoder = flate2::read::GzDecoder::new(stream);
        let mut bytes = vec![0; 1 << 20];
        let mut length = 0;
        while let Ok(more @ 1..) = decoder.read(&mut bytes[length..]) {
            length += more;
        }
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn pieces_read_as_what_they_are_in_any_order() {
        let mut packer = Packer::new();
        let texts: Vec<String> = (0..4).map(|n| format!("piece {n} {}", "and so on ".repeat(n * 2000))).collect();
        let pieces: Vec<_> = texts.iter().map(|text| packer.pack(text.as_bytes()).unwrap()).collect();
        let noise: Vec<u8> = (0..40_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x7f).collect();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 2, 3, 0]] {
            let mut stream = HEADER.to_vec();
            stream.extend(stored(b"retry: 1\n\n"));
            let mut expected = "retry: 1\n\n".to_owned();
            for index in order {
                stream.extend(&pieces[index]);
                stream.extend(packer.pack(&noise).unwrap());
                expected += &texts[index];
                expected += str::from_utf8(&noise).unwrap();
            }
            assert_eq!(read(&stream), expected);
        }
    }
}
