//! What stands in an attribute: read by its type, held to its bounds, and refused with the attribute's name where it does not fit. The mirror of
//! [`super::attribute`]; which attribute means what is the business of [`super::report`].

use std::str::FromStr;

use super::{
    MAX_ATTRIBUTES, MAX_BYTES, MAX_LAYERS, MAX_TEXT, Reason,
    column::Column,
    reject::Refusal,
    view::{Value, delimited, fields, repeated, whole_varint},
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
    /// What [`Self::read`] gives for one field: a text or an array of fewer than 16 KiB, a flag, a number; `None` for everything else.
    #[inline]
    pub(super) fn short(value: &'a [u8]) -> Option<Self> {
        let (key, value) = value.split_first()?;
        let whole = || delimited(value).filter(|(_, rest)| rest.is_empty()).map(|(whole, _)| whole);
        match key {
            0x0a => whole().map(Self::Text),
            0x10 | 0x18 => whole_varint(value)
                .map(|number| if *key == 0x10 { Self::Bool(number != 0) } else { Self::Int(number.cast_signed()) }),
            0x2a => whole().map(Self::Array),
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
pub(super) struct Attributes<'a> {
    /// The look of each name.
    looks: Vec<u8>,
    all: Vec<(&'a [u8], Any<'a>)>,
}

impl<'a> Attributes<'a> {
    /// With room for so many, before it must grow.
    pub(super) fn with_room(room: usize) -> Self {
        Self { looks: Vec::with_capacity(room), all: Vec::with_capacity(room) }
    }

    /// With room for as many as a record usually has.
    pub(super) fn usual() -> Self {
        Self::with_room(48)
    }

    /// Leaves none, and the room for as many as there ever were.
    pub(super) fn clear(&mut self) {
        self.looks.clear();
        self.all.clear();
    }

    /// `KeyValue`: key = 1, value = 2.
    pub(super) fn add(&mut self, attribute: &'a [u8]) -> Result<(), Refusal> {
        if self.all.len() >= MAX_ATTRIBUTES {
            return Err(Refusal::new(Reason::TooMany, "the attributes of one record"));
        }
        let read = || {
            if let Some((key, value)) = short_pair(attribute) {
                return Some((key, Any::short(value).or_else(|| Any::read(value))?));
            }
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
        let (key, value) = read().ok_or(malformed("an attribute"))?;
        self.looks.push(look(key));
        self.all.push((key, value));
        Ok(())
    }

    /// The last that has this name.
    pub(super) fn get(&self, name: &str) -> Option<Any<'a>> {
        let (found, value) = self.all.get(memchr::memrchr(look(name.as_bytes()), &self.looks)?)?;
        if *found == name.as_bytes() {
            return Some(*value);
        }
        self.all.iter().rev().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
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
            None => Ok(Column::new(name, &[])),
            Some(Any::Array(values)) => Ok(Column::new(name, values)),
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

pub(super) fn text<'a>(name: &'static str, value: Any<'a>) -> Result<&'a str, Refusal> {
    let Any::Text(text) = value else { return Err(Refusal::new(Reason::WrongType, name)) };
    utf8(name, text)
}

pub(super) fn utf8<'a>(name: &'static str, text: &'a [u8]) -> Result<&'a str, Refusal> {
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

/// Key and value of a `KeyValue` that holds just these, in this order, neither of 16 KiB or more; `None` for much else.
#[inline]
fn short_pair(attribute: &[u8]) -> Option<(&[u8], &[u8])> {
    let (key, rest) = delimited(attribute.strip_prefix(&[0x0a])?)?;
    let (value, rest) = delimited(rest.strip_prefix(&[0x12])?)?;
    rest.is_empty().then_some((key, value))
}

/// What is quick to compare of a name: names with different looks differ. Where to look and how to mix it is chosen such that hardly two names
/// of ours look alike.
#[inline]
fn look(name: &[u8]) -> u8 {
    let length = name.len();
    let seen = [length / 2, length.wrapping_sub(2), length.wrapping_sub(4), length.wrapping_sub(12)];
    let bytes = seen.into_iter().map(|place| name.get(place).copied().unwrap_or_default());
    bytes.fold(length.to_le_bytes()[0], |look, byte| look.wrapping_mul(225).wrapping_add(byte))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::{any, prop, proptest};
    use prost::encoding::encode_varint;

    use super::*;
    use crate::names;

    #[test]
    fn hardly_two_names_of_ours_look_alike() {
        let attributes = names::TABLE.iter().filter(|entry| entry.kind == names::Kind::Attribute);
        let names: BTreeSet<_> = attributes.map(|entry| entry.name).collect();
        let looks: BTreeSet<_> = names.iter().map(|name| look(name.as_bytes())).collect();
        let alike = names.len() - looks.len();
        assert!(alike <= 4, "{alike} of {}", names.len());
    }

    #[test]
    fn of_many_attributes_every_one_is_found_and_of_equals_the_last() {
        let mut attributes = Attributes::default();
        let names: Vec<_> = (0..MAX_ATTRIBUTES - 1).map(|number| format!("{number:03}")).collect();
        let pair = |name: &str, value| [&[0x0a, 3][..], name.as_bytes(), &[0x12, 2, 0x18, value]].concat();
        let written: Vec<_> = (0..).zip(&names).map(|(value, name)| pair(name, value)).chain([pair("007", 99)]).collect();
        written.iter().for_each(|attribute| attributes.add(attribute).unwrap());
        assert!(attributes.add(&written[0]).is_err());
        for (value, name) in (0..).zip(&names) {
            assert_eq!(attributes.get(name), Some(Any::Int(if value == 7 { 99 } else { value })));
        }
        assert_eq!(attributes.get("1"), None);
    }

    proptest! {
        #[test]
        fn a_pair_is_split_at_once_as_field_by_field(
            key in prop::sample::select(vec![0_usize, 3, 127, 128]),
            value in prop::sample::select(vec![0_usize, 3, 127, 128, 300, 20_000]),
            order: bool,
            rest in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            let field = |number: u8, length: usize| {
                let mut field = vec![number << 3 | 2];
                encode_varint(length as u64, &mut field);
                field.resize(field.len() + length, b'x');
                field
            };
            let (key, value) = (field(1, key), field(2, value));
            let pair = if order { [key, value, rest].concat() } else { [value, key, rest].concat() };
            if let Some((key, value)) = short_pair(&pair) {
                let read: Result<Vec<_>, _> = fields(&pair).collect();
                assert_eq!(read, Ok(vec![(1, Value::Bytes(key)), (2, Value::Bytes(value))]));
            }
        }

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
