//! How scenarios write numbers: sizes and rates with units, times in seconds. Refuses what is out of bounds.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// Longest time in a scenario, seconds: a day.
const MAX_SECONDS: f64 = 86_400.0;
/// Largest size and highest rate, bytes: 1 TiB, so that sums stay far from overflow.
const MAX_BYTES: u64 = 1 << 40;

/// A number of bytes or of bytes per second: `1500`, `"64KiB"`, `"2.5MiB"`, `"1GiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A time or a length of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || format!("{text:?} is not a size such as 1500, 64KiB or 2.5MiB, of at most {MAX_BYTES} bytes");
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(error()),
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let thousandths: u64 = format!("{decimals:0<3}").parse().ok().filter(|_| decimals.len() <= 3).ok_or_else(error)?;
        let whole: u64 = whole.parse().ok().filter(|n| *n <= MAX_BYTES).ok_or_else(error)?;
        let bytes = u128::from(whole * 1_000 + thousandths) * u128::from(unit) / 1_000;
        u64::try_from(bytes).ok().filter(|bytes| *bytes <= MAX_BYTES).map(Self).ok_or_else(error)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            return Err(de::Error::custom(format!("{seconds} is not between 0 and {MAX_SECONDS} seconds")));
        }
        Ok(Self(Duration::from_secs_f64(seconds)))
    }
}

/// Takes a [`Size`] as a number or as a text with a unit.
struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes or a text such as \"2.5MiB\"")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
        self.visit_str(&bytes.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_decimals() {
        let bytes = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(bytes("1500"), Ok(1500));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("2.5MiB"), Ok(2_621_440));
        assert_eq!(bytes("1024GiB"), Ok(1 << 40));
    }

    #[test]
    fn sizes_that_are_none_are_refused_by_their_text() {
        for wrong in ["", "MiB", "1 MiB", "-1", "2MB", "1025GiB", "1.0000MiB", "99999999999999999999"] {
            let error = wrong.parse::<Size>().unwrap_err();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
