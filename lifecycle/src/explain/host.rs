//! Whether the node itself is what makes a pull slow. Said only where it is clear, because a busy node is not yet a slow pull:
//!
//! | verdict | when |
//! |---|---|
//! | the link is full | a pull that downloads, and at least [`FULL_LINK`] of what the links carry is received |
//! | the disk is busy | busy for [`BUSY_DISK`] of the time, and tasks wait for disks [`IO_WAIT`] of it (or the kernel does not tell) |
//! | short of memory | all tasks together waited for memory [`MEMORY_WAIT`] of the time |
//!
//! A disk that serves several requests at once may be busy all the time and still have room: hence the second condition.

use super::speed;
use crate::pull::{Phase, Pull};

/// Share of the links' speed, percent, from which on a link counts as full; frames and headers take the rest.
const FULL_LINK: u64 = 90;
/// Share of time, percent, from which on a disk counts as busy.
const BUSY_DISK: u8 = 95;
/// Share of time, percent, in which tasks must have waited for disks.
const IO_WAIT: u8 = 10;
/// Share of time, percent, in which all tasks must have waited for memory.
const MEMORY_WAIT: u8 = 10;

/// What of a node holds a pull up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strain {
    /// Its links are full.
    Network,
    /// It is short of memory.
    Memory,
    /// The disk below containerd's folder is busy.
    Disk,
}

impl Strain {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    /// What holds this pull up, if it is clear that the node does.
    pub fn on(pull: &Pull) -> Option<Self> {
        let host = &pull.host;
        let downloading = match pull.phase {
            Phase::Downloading => true,
            Phase::Unpacking => false,
            Phase::Queued | Phase::Resolving => return None,
        };
        if let Some((rate, limit)) = host.network_rate.zip(host.network_limit)
            && downloading
            && u128::from(rate) * 100 >= u128::from(limit) * u128::from(FULL_LINK)
        {
            return Some(Self::Network);
        }
        if host.memory.is_some_and(|memory| memory.full.get() >= MEMORY_WAIT) {
            return Some(Self::Memory);
        }
        let waited_for = host.io.is_none_or(|io| io.some.get() >= IO_WAIT);
        host.disk_busy.filter(|busy| busy.get() >= BUSY_DISK && waited_for).map(|_| Self::Disk)
    }
}

/// One sentence about the node, if it is clear that the node holds the pull up.
pub(super) fn verdict(pull: &Pull) -> Option<String> {
    let host = &pull.host;
    Some(match Strain::on(pull)? {
        Strain::Network => format!("The node's network is full ({}).", speed(host.network_rate?)),
        Strain::Memory => "The node is short of memory.".to_owned(),
        Strain::Disk => format!("The node's disk is busy {} % of the time.", host.disk_busy?.get()),
    })
}
