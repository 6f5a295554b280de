//! With which code `pull` ends, as the contract lists it, and with which words when it cannot even begin.

use std::{io, process::ExitCode};

use lifecycle::{
    image::{ImageRef, ParseImageRefError},
    pull::{ErrorClass, Outcome},
};
use thiserror::Error;

use super::registry::RegistryError;
use crate::{
    docker::{EngineError, PlaceError},
    fleet::{FleetError, NodeError},
};

/// The disk is too small.
pub(super) const NO_SPACE: u8 = 7;
/// Out of time.
const TIMEOUT: u8 = 124;
/// Interrupted by Ctrl-C or SIGTERM.
pub(super) const INTERRUPTED: u8 = 130;

/// Why no pull began.
#[derive(Debug, Error)]
pub(super) enum Exit {
    #[error("{text:?} names no image: {error}")]
    Image { text: String, error: ParseImageRefError },
    #[error("so many images at once are not pulled; {} are the most", super::MAX_IMAGES)]
    TooMany,
    #[error(transparent)]
    Place(PlaceError),
    #[error(transparent)]
    Engine(EngineError),
    #[error("cannot run `docker pull`: {0}; install Docker's command, or make its socket reachable")]
    NoDocker(io::Error),
    #[error(transparent)]
    Node(NodeError),
    #[error(transparent)]
    Fleet(FleetError),
    #[error("cannot start: {0}")]
    Start(io::Error),
    #[error("cannot write: {0}")]
    Output(io::Error),
    #[error(transparent)]
    Plan(PlanError),
}

/// Why nobody knows what a pull would fetch.
#[derive(Debug, Error)]
#[error("cannot plan a pull of {image}: {source}")]
pub(super) struct PlanError {
    pub(super) image: ImageRef,
    pub(super) source: RegistryError,
}

impl Exit {
    /// The code of the contract.
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Image { .. } | Self::TooMany | Self::Place(_) | Self::Node(_) => 2,
            Self::Fleet(FleetError::Otlp(_) | FleetError::Notify(_)) => 2,
            Self::Engine(_) | Self::Fleet(FleetError::Start(_)) | Self::NoDocker(_) | Self::Start(_) | Self::Output(_) => 1,
            Self::Plan(error) => code(error.source.class()),
        })
    }
}

/// The code for an error of this class.
pub(crate) const fn code(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::NotFound => 3,
        ErrorClass::Unauthorized | ErrorClass::Forbidden => 4,
        ErrorClass::RateLimited => 5,
        ErrorClass::RegistryUnavailable | ErrorClass::Dns | ErrorClass::Tls | ErrorClass::Connection | ErrorClass::Timeout => 6,
        ErrorClass::NoSpace => NO_SPACE,
        ErrorClass::PlatformMismatch => 8,
        ErrorClass::InvalidImageName => 2,
        ErrorClass::Canceled => INTERRUPTED,
        ErrorClass::DigestMismatch
        | ErrorClass::Signature
        | ErrorClass::Unpack
        | ErrorClass::RuntimeUnavailable
        | ErrorClass::Other => 1,
    }
}

/// How the whole command was ended from outside, if it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// By Ctrl-C or SIGTERM.
    Interrupted,
    /// By `--timeout`.
    Late,
}

/// The code for several pulls: that of what cut them all short, else that of the first in the order of the command line that failed.
pub(super) fn of_all<'a>(cut: Option<Cut>, outcomes: impl Iterator<Item = Option<&'a Outcome>>) -> u8 {
    let of_one = |outcome: Option<&Outcome>| match outcome {
        Some(Outcome::Ready) => None,
        Some(Outcome::Failed(failure)) => Some(code(failure.class)),
        Some(Outcome::Canceled) => Some(INTERRUPTED),
        Some(Outcome::Lost) | None => Some(1),
    };
    match cut {
        Some(Cut::Interrupted) => INTERRUPTED,
        Some(Cut::Late) => TIMEOUT,
        None => outcomes.filter_map(of_one).next().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::pull::Failure;

    use super::*;

    #[test]
    fn the_first_failure_in_order_gives_the_code_and_what_cut_all_short_goes_before() {
        let failed = |class| Outcome::Failed(Failure { class, message: String::new() });
        let outcomes = [Outcome::Ready, failed(ErrorClass::Unauthorized), failed(ErrorClass::NotFound)];
        assert_eq!(of_all(None, outcomes.iter().map(Some)), 4);
        assert_eq!(of_all(Some(Cut::Late), outcomes.iter().map(Some)), 124);
        assert_eq!(of_all(Some(Cut::Interrupted), outcomes.iter().map(Some)), 130);
        assert_eq!(of_all(None, [Some(&Outcome::Ready)].into_iter()), 0);
    }
}
