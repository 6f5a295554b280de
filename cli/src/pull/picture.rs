//! A running pull as every surface of the command gets it: bars, plain lines, JSON, log, console and OTLP. Plain values; what the engine
//! said is folded into them next door, and nothing here knows which engine it was.

use std::time::Duration;

use lifecycle::{pull::Pull, time::Timestamp};

/// One pull at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// The image as it was asked for, letter by letter.
    pub(crate) asked: String,
    /// Its whole present state, in the words of every other surface of Pulltrace.
    pub(crate) pull: Pull,
    /// How far each layer of `pull` is unpacked, in the same order.
    pub(crate) unpacked: Vec<Unpacked>,
    /// What is being done with each layer of `pull` beside what its state says, in the same order.
    pub(crate) doing: Vec<Doing>,
}

/// How far a layer is unpacked, as exactly as the engine says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// Nothing was said of it.
    Unsaid,
    /// So many of its compressed bytes went through (Docker's classic image store).
    Bytes(u64),
    /// It has been at it for so long (containerd's image store, which says no bytes).
    For(Duration),
}

/// What is being done with a layer beside what its state says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Nothing else.
    Usual,
    /// All its bytes are here and are being compared with its digest; its state is `downloading` until they are found right.
    Checking,
    /// Its connection was lost; the engine opens a new one.
    Retrying {
        /// When it was lost for the first time without a byte since.
        since: Timestamp,
        /// When the engine tries again.
        at: Timestamp,
    },
}

/// What is shown of pulls while they run, and once more when all have ended.
pub(crate) trait Surface {
    /// Something changed, or time passed.
    fn show(&mut self, pictures: &[Picture]) -> std::io::Result<()>;
    /// Every pull has ended.
    fn end(&mut self, pictures: &[Picture]) -> std::io::Result<()>;
    /// What people are to be told when every surface has shown the end, in sentences. May wait for what is on its way, for a bounded time.
    fn remarks(&mut self) -> Vec<String> {
        Vec::new()
    }
}
