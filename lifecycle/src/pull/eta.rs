//! How long a pull will still take, as far as that can be said honestly. Who estimates is [`crate::track`].

use std::time::Duration;

/// Estimated time to ready, from the moment of the observation on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eta {
    /// Likely so long, from an agent that does not say how sure it is.
    About(Duration),
    /// Likely so long, and four times in five within the bounds. Made by [`Eta::within`] only, so that the bounds are in order.
    Within(Bounds),
    /// So long or longer: the size of the image is not known yet, or nobody knows when what is waited for will be over.
    AtLeast(Duration),
}

/// A time between two others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    low: Duration,
    likely: Duration,
    high: Duration,
}

impl Eta {
    /// Likely so long, within bounds; `None` unless they are in order.
    pub fn within(low: Duration, likely: Duration, high: Duration) -> Option<Self> {
        (low <= likely && likely <= high).then_some(Self::Within(Bounds { low, likely, high }))
    }

    /// The one number, if there is one.
    pub const fn likely(self) -> Option<Duration> {
        match self {
            Self::About(likely) | Self::Within(Bounds { likely, .. }) => Some(likely),
            Self::AtLeast(_) => None,
        }
    }

    /// The lower bound, if there is one.
    pub const fn low(self) -> Option<Duration> {
        match self {
            Self::About(_) => None,
            Self::Within(Bounds { low, .. }) | Self::AtLeast(low) => Some(low),
        }
    }

    /// The upper bound, if there is one.
    pub const fn high(self) -> Option<Duration> {
        match self {
            Self::About(_) | Self::AtLeast(_) => None,
            Self::Within(Bounds { high, .. }) => Some(high),
        }
    }

    /// From the three numbers as they travel; `Err` if they say nothing that could be: an upper bound without a lower one, or out of order.
    pub fn from_parts(
        low: Option<Duration>,
        likely: Option<Duration>,
        high: Option<Duration>,
    ) -> Result<Option<Self>, BoundsError> {
        match (low, likely, high) {
            (None, None, None) => Ok(None),
            (None, Some(likely), None) => Ok(Some(Self::About(likely))),
            (Some(low), None, None) => Ok(Some(Self::AtLeast(low))),
            (Some(low), Some(likely), Some(high)) => Self::within(low, likely, high).map(Some).ok_or(BoundsError),
            (None, _, Some(_)) | (Some(_), Some(_), None) | (Some(_), None, Some(_)) => Err(BoundsError),
        }
    }
}

/// Bounds that are not around what they bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bounds of an estimate must stand around it, both or the lower one alone")]
pub struct BoundsError;

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn bounds_stand_around_what_they_bound() {
        let eta = Eta::within(s(1), s(2), s(5)).expect("in order");
        assert_eq!((eta.low(), eta.likely(), eta.high()), (Some(s(1)), Some(s(2)), Some(s(5))));
        assert_eq!((Eta::within(s(3), s(2), s(5)), Eta::within(s(1), s(6), s(5))), (None, None));
    }

    #[test]
    fn an_estimate_is_the_same_after_it_was_taken_apart() {
        for eta in [Eta::About(s(3)), Eta::AtLeast(s(4)), Eta::within(s(1), s(1), s(9)).expect("in order")] {
            assert_eq!(Eta::from_parts(eta.low(), eta.likely(), eta.high()), Ok(Some(eta)));
        }
        assert_eq!(Eta::from_parts(None, None, None), Ok(None));
        assert_eq!(Eta::from_parts(None, Some(s(1)), Some(s(2))), Err(BoundsError));
        assert_eq!(Eta::from_parts(Some(s(3)), Some(s(2)), Some(s(4))), Err(BoundsError));
    }
}
