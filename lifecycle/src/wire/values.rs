//! What stands in an attribute: read by its type, held to its bounds, and refused with the attribute's name where it does not fit. The mirror of
//! [`super::attribute`]; which attribute means what is the business of [`super::report`].

use std::str::FromStr;

use super::{
    MAX_ATTRIBUTES, MAX_BYTES, MAX_LAYERS, MAX_TEXT, Reason,
    reject::Refusal,
    view::{Fields, Value, fields, repeated},
};
use crate::{pull::Percent, time::Timestamp};

/// An `AnyValue`, as far as the dialect uses it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Any<'a> {
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    /// An `ArrayValue`: values = 1.
    Array(&'a [u8]),
    Other,
}

impl<'a> Any<'a> {
    /// What [`Self::read`] gives for one field whose length or number is below 128; `None` for everything else.
    #[inline]
    pub(super) fn short(value: &'a [u8]) -> Option<Self> {
        match value {
            [0x0a, length @ ..0x80, text @ ..] if text.len() == usize::from(*length) => Some(Self::Text(text)),
            [0x10, flag @ ..0x80] => Some(Self::Bool(*flag != 0)),
            [0x18, number @ ..0x80] => Some(Self::Int(i64::from(*number))),
            _ => None,
        }
    }

    /// `AnyValue`: string_value = 1, bool_value = 2, int_value = 3, array_value = 5; of several the last counts.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        fields(value).try_fold(Self::Other, |_, field| {
            Some(match field.ok()? {
                (1, Value::Bytes(text)) => Self::Text(text),
                (2, Value::Varint(flag)) => Self::Bool(flag != 0),
                (3, Value::Varint(number)) => Self::Int(number.cast_signed()),
                (5, Value::Bytes(values)) => Self::Array(values),
                _ => Self::Other,
            })
        })
    }
}

/// The attributes of one record or resource, by name.
#[derive(Default)]
pub(super) struct Attributes<'a>(Vec<(&'a [u8], Any<'a>)>);

impl<'a> Attributes<'a> {
    /// With room for as many as a record usually has.
    pub(super) fn usual() -> Self {
        Self(Vec::with_capacity(48))
    }

    /// `KeyValue`: key = 1, value = 2.
    pub(super) fn add(&mut self, attribute: &'a [u8]) -> Result<(), Refusal> {
        if self.0.len() >= MAX_ATTRIBUTES {
            return Err(Refusal::new(Reason::TooMany, "the attributes of one record"));
        }
        let read = || {
            let (mut key, mut value) = (&[][..], &[][..]);
            for field in fields(attribute) {
                match field.ok()? {
                    (1, Value::Bytes(bytes)) => key = bytes,
                    (2, Value::Bytes(bytes)) => value = bytes,
                    (1 | 2, _) => return None,
                    _ => {}
                }
            }
            Some((key, Any::read(value)?))
        };
        self.0.push(read().ok_or(malformed("an attribute"))?);
        Ok(())
    }

    pub(super) fn get(&self, name: &str) -> Option<Any<'a>> {
        self.0.iter().rev().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
    }

    /// A text whose bound its own type knows.
    pub(super) fn any_text(&self, name: &'static str) -> Result<Option<&'a str>, Refusal> {
        self.get(name).map(|value| text(name, value)).transpose()
    }

    pub(super) fn text(&self, name: &'static str, max: usize) -> Result<Option<&'a str>, Refusal> {
        self.any_text(name)?.map(|text| short(name, text, max)).transpose()
    }

    pub(super) fn parsed<T: FromStr>(&self, name: &'static str, reason: Reason) -> Result<Option<T>, Refusal> {
        self.any_text(name)?.map(|text| text.parse().map_err(|_| Refusal::new(reason, name))).transpose()
    }

    pub(super) fn boolean(&self, name: &'static str) -> Result<Option<bool>, Refusal> {
        self.get(name).map(|value| boolean(name, value)).transpose()
    }

    pub(super) fn int(&self, name: &'static str) -> Result<Option<u64>, Refusal> {
        self.get(name).map(|value| int(name, value)).transpose()
    }

    pub(super) fn bytes(&self, name: &'static str) -> Result<Option<u64>, Refusal> {
        self.int(name)?.map(|number| plausible(name, number)).transpose()
    }

    pub(super) fn percent(&self, name: &'static str) -> Result<Option<Percent>, Refusal> {
        self.int(name)?.map(|number| Percent::new(number).ok_or(Refusal::new(Reason::OutOfRange, name))).transpose()
    }

    pub(super) fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Refusal> {
        self.int(name)?.map(|nanos| time(name, nanos)).transpose()
    }

    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<&'a str>, Refusal> {
        self.array(name, |value| short(name, text(name, value)?, MAX_TEXT))
    }

    pub(super) fn words<T: FromStr>(&self, name: &'static str, reason: Reason) -> Result<Vec<T>, Refusal> {
        self.array(name, |value| text(name, value)?.parse().map_err(|_| Refusal::new(reason, name)))
    }

    pub(super) fn ints(&self, name: &'static str) -> Result<Vec<u64>, Refusal> {
        self.array(name, |value| int(name, value))
    }

    /// An array whose elements are read one by one; none if the attribute is absent.
    pub(super) fn column(&self, name: &'static str) -> Result<Column<'a>, Refusal> {
        match self.get(name) {
            None => Ok(Column { name, values: fields(&[]) }),
            Some(Any::Array(values)) => Ok(Column { name, values: fields(values) }),
            Some(Any::Text(_) | Any::Bool(_) | Any::Int(_) | Any::Other) => Err(Refusal::new(Reason::WrongType, name)),
        }
    }

    /// The elements of an array; none if the attribute is absent.
    pub(super) fn array<T>(
        &self,
        name: &'static str,
        element: impl Fn(Any<'a>) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let Any::Array(values) = value else { return Err(Refusal::new(Reason::WrongType, name)) };
        let mut read = Vec::new();
        for value in repeated(values, 1) {
            if read.len() >= MAX_LAYERS {
                return Err(Refusal::new(Reason::TooManyLayers, name));
            }
            let value = value.ok().and_then(Any::read).ok_or(malformed(name))?;
            read.push(element(value)?);
        }
        Ok(read)
    }
}

/// The elements of an `ArrayValue` (values = 1), where they lie: one for each layer.
pub(super) struct Column<'a> {
    pub(super) name: &'static str,
    values: Fields<'a>,
}

impl<'a> Column<'a> {
    #[inline]
    pub(super) fn next(&mut self) -> Result<Any<'a>, Refusal> {
        if let Some(value) = self.values.short_first() {
            return Any::short(value).or_else(|| Any::read(value)).ok_or(malformed(self.name));
        }
        match self.values.next() {
            Some(Ok((1, Value::Bytes(value)))) => Any::read(value).ok_or(malformed(self.name)),
            Some(_) => Err(malformed(self.name)),
            None => Err(Refusal::new(Reason::UnequalLengths, self.name)),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Refusal> {
        text(self.name, self.next()?)
    }

    pub(super) fn word<T: FromStr>(&mut self, reason: Reason) -> Result<T, Refusal> {
        self.text()?.parse().map_err(|_| Refusal::new(reason, self.name))
    }

    pub(super) fn int(&mut self) -> Result<u64, Refusal> {
        int(self.name, self.next()?)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Refusal> {
        boolean(self.name, self.next()?)
    }

    /// How many there are, within the bound for layers.
    pub(super) fn length(&self) -> Result<usize, Refusal> {
        let length = self.values.clone().count();
        (length <= MAX_LAYERS).then_some(length).ok_or(Refusal::new(Reason::TooManyLayers, self.name))
    }

    /// There are no more.
    pub(super) fn end(self) -> Result<(), Refusal> {
        self.values.is_empty().then_some(()).ok_or(Refusal::new(Reason::UnequalLengths, self.name))
    }
}

pub(super) fn text<'a>(name: &'static str, value: Any<'a>) -> Result<&'a str, Refusal> {
    let Any::Text(text) = value else { return Err(Refusal::new(Reason::WrongType, name)) };
    std::str::from_utf8(text).map_err(|_| malformed(name))
}

pub(super) fn short<'a>(name: &'static str, text: &'a str, max: usize) -> Result<&'a str, Refusal> {
    (text.len() <= max).then_some(text).ok_or(Refusal::new(Reason::TooLong, name))
}

pub(super) fn boolean(name: &'static str, value: Any<'_>) -> Result<bool, Refusal> {
    let Any::Bool(flag) = value else { return Err(Refusal::new(Reason::WrongType, name)) };
    Ok(flag)
}

pub(super) fn int(name: &'static str, value: Any<'_>) -> Result<u64, Refusal> {
    let Any::Int(number) = value else { return Err(Refusal::new(Reason::WrongType, name)) };
    u64::try_from(number).map_err(|_| Refusal::new(Reason::OutOfRange, name))
}

pub(super) fn plausible(name: &'static str, bytes: u64) -> Result<u64, Refusal> {
    (bytes <= MAX_BYTES).then_some(bytes).ok_or(Refusal::new(Reason::OutOfRange, name))
}

pub(super) fn time(name: &'static str, nanos: u64) -> Result<Timestamp, Refusal> {
    (nanos != 0).then(|| Timestamp::from_nanos(nanos)).ok_or(Refusal::new(Reason::BadTime, name))
}

pub(super) const fn malformed(subject: &'static str) -> Refusal {
    Refusal::new(Reason::Malformed, subject)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::*;

    proptest! {
        #[test]
        fn what_is_read_the_short_way_is_what_is_read_the_long_way(
            key in prop::sample::select(vec![0x0a, 0x10, 0x18, 0x22, 0x2a]),
            length in 0_u8..8,
            rest in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let value = [&[key, length][..], &rest].concat();
            if let Some(short) = Any::short(&value) {
                assert_eq!(Some(short), Any::read(&value));
            }
        }
    }
}
