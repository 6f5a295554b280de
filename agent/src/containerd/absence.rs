//! Why there is no containerd to watch at a socket, worded so that the operator knows what to do.

use std::{error::Error, io, iter, time::Duration};

use thiserror::Error;
use tonic::{Code, Status};

/// Why there is no containerd to watch at a socket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Absence {
    /// There is no such file.
    #[error("no such socket")]
    Missing,
    /// It may not be opened.
    #[error(
        "permission denied; the agent must run as root or in the group that owns the socket, and on a node with SELinux as spc_t"
    )]
    Denied,
    /// It is there, and nobody listens: whoever made it is gone, or it is no socket.
    #[error("nobody listens there")]
    Deserted,
    /// It can be opened, and no answer comes.
    #[error("no answer: {0}")]
    Silent(String),
    /// Something answers that is not containerd.
    #[error("what answers is not containerd: {0}")]
    Foreign(String),
}

impl Absence {
    /// Whether it is likely to end with a change in the socket's folder: a process that begins to listen makes its socket anew.
    pub const fn ends_in_folder(&self) -> bool {
        match self {
            Self::Missing | Self::Denied | Self::Deserted | Self::Foreign(_) => true,
            Self::Silent(_) => false,
        }
    }

    /// Whether it is likely to need the operator.
    pub const fn is_trouble(&self) -> bool {
        match self {
            Self::Missing | Self::Deserted => false,
            Self::Denied | Self::Silent(_) | Self::Foreign(_) => true,
        }
    }

    /// No answer came for so long.
    pub(crate) fn late(patience: Duration) -> Self {
        Self::Silent(format!("none within {patience:?}"))
    }

    pub(super) fn of_socket(error: &io::Error) -> Self {
        let is = |kinds: &[io::ErrorKind]| kinds.contains(&error.kind());
        if is(&[io::ErrorKind::NotFound, io::ErrorKind::NotADirectory]) {
            Self::Missing
        } else if is(&[io::ErrorKind::PermissionDenied]) {
            Self::Denied
        } else if is(&[io::ErrorKind::ConnectionRefused]) {
            Self::Deserted
        } else {
            Self::Silent(error.to_string())
        }
    }

    /// What it means that no channel could be made over a socket that can be opened.
    pub(super) fn of_channel(error: &(dyn Error + 'static)) -> Self {
        if causes(error).any(|cause| cause.is::<io::Error>()) { Self::Silent(told(error)) } else { Self::Foreign(told(error)) }
    }

    /// What the answer to a call means that every containerd answers.
    pub(super) fn of_call(status: &Status) -> Self {
        match status.source() {
            Some(source) => Self::of_channel(source),
            None if [Code::Unavailable, Code::Cancelled, Code::DeadlineExceeded].contains(&status.code()) => {
                Self::Silent(status.message().to_owned())
            }
            None => Self::Foreign(status.message().to_owned()),
        }
    }
}

/// The last cause says most: "transport error" is what stands in front of it.
fn told(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}
