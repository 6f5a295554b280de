//! Reads protobuf where it lies: fields as borrowed slices, without building messages. What nobody asks for is not looked at, so a
//! request of others costs little, and no request can make memory of a few bytes.
//!
//! Refuses groups, which OTLP never had, and field numbers and lengths that cannot be.

use std::borrow::Cow;

use prost::encoding::encode_varint;

/// The value of one field, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

/// Bytes that are not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The fields of one message, in the order in which they lie. Ends after the first error.
#[derive(Clone)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

pub(super) const fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

/// All values of a repeated message, string or bytes field.
pub(super) fn repeated(message: &[u8], number: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    fields(message).filter_map(move |field| match field {
        Ok((found, Value::Bytes(bytes))) if found == number => Some(Ok(bytes)),
        Ok((found, _)) if found == number => Some(Err(Malformed("a field has another type"))),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

/// The number that these bytes are as a varint; `None` if they are not exactly one of at most 63 bits.
#[inline]
pub(super) fn whole_varint(bytes: &[u8]) -> Option<u64> {
    const MORE: u8 = 0x80;
    let (last, rest) = bytes.split_last().filter(|(last, rest)| **last < MORE && rest.len() < 9)?;
    if let Ok(eight) = <[u8; 8]>::try_from(rest) {
        // A time in nanoseconds is this long.
        let eight = u64::from_le_bytes(eight);
        return (eight & CONTINUED == CONTINUED).then(|| sevens(eight) | u64::from(*last) << 56);
    }
    let number = rest.iter().rev().fold(u64::from(*last), |number, byte| number << 7 | u64::from(byte & !MORE));
    rest.iter().all(|byte| *byte >= MORE).then_some(number)
}

/// What stands behind a length of one or two bytes, and what is left behind that; `None` for longer ones, and where too little is left.
#[inline]
pub(super) fn delimited(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes {
        [length @ ..0x80, rest @ ..] => rest.split_at_checked(usize::from(*length)),
        [low, high @ ..0x80, rest @ ..] => rest.split_at_checked(usize::from(low & 0x7f) | usize::from(*high) << 7),
        _ => None,
    }
}

/// The bit of every byte that says that a varint goes on.
const CONTINUED: u64 = 0x8080_8080_8080_8080;

/// The lower seven bits of eight bytes, side by side.
#[inline]
const fn sevens(bytes: u64) -> u64 {
    let pairs = bytes & 0x007f_007f_007f_007f | (bytes & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4
}

/// The value of a message, string or bytes field that may be there; the last one counts.
pub(super) fn optional(message: &[u8], number: u32) -> Result<Option<&[u8]>, Malformed> {
    repeated(message, number).try_fold(None, |_, found| found.map(Some))
}

/// The message with every value of a repeated message field changed or, for `None`, left out; all else stays byte for byte. Borrowed if
/// nothing changed.
pub(super) fn rewritten<'a>(
    message: &'a [u8],
    number: u32,
    mut change: impl FnMut(&'a [u8]) -> Result<Option<Cow<'a, [u8]>>, Malformed>,
) -> Result<Cow<'a, [u8]>, Malformed> {
    let mut out = Cow::Borrowed(message);
    let mut fields = fields(message);
    loop {
        let start = message.len() - fields.rest.len();
        let Some(field) = fields.next() else { return Ok(out) };
        let end = message.len() - fields.rest.len();
        let changed = match field? {
            (found, Value::Bytes(bytes)) if found == number => change(bytes)?,
            _ => Some(Cow::Borrowed(&message[start..end])),
        };
        match (changed, &mut out) {
            (Some(Cow::Borrowed(_)), Cow::Borrowed(_)) => {}
            (Some(Cow::Borrowed(_)), Cow::Owned(out)) => out.extend_from_slice(&message[start..end]),
            (changed, out) => {
                if let Cow::Borrowed(_) = out {
                    *out = Cow::Owned(message[..start].to_vec());
                }
                let out = out.to_mut();
                if let Some(bytes) = changed {
                    encode_varint(u64::from(number << 3 | 2), out);
                    encode_varint(bytes.len() as u64, out);
                    out.extend_from_slice(&bytes);
                }
            }
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    /// The next element of an array if it holds fewer than 128 bytes, as nearly all do, and begins with this key: what is behind the key. And the
    /// elements after it.
    #[inline]
    pub(super) fn element(&self, key: u8) -> Option<(&'a [u8], Self)> {
        let [0x0a, length @ 1..0x80, found, rest @ ..] = self.rest else { return None };
        if *found != key {
            return None;
        }
        let (element, rest) = rest.split_at_checked(usize::from(*length) - 1)?;
        Some((element, Self { rest }))
    }

    /// Whether no field is left.
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    #[inline]
    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        // Nearly all field numbers are below 16, and take one byte with their wire type.
        let (number, wire_type) = match self.rest {
            [key @ 0x08..0x80, rest @ ..] => {
                self.rest = rest;
                (u32::from(key >> 3), key & 7)
            }
            _ => self.long_key()?,
        };
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => Value::Bytes(self.bytes()?),
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            _ => return Err(Malformed("a field has an unknown wire type")),
        };
        Ok((number, value))
    }

    #[cold]
    fn long_key(&mut self) -> Result<(u32, u8), Malformed> {
        let key = self.varint()?;
        let number =
            u32::try_from(key >> 3).ok().filter(|n| (1..1 << 29).contains(n)).ok_or(Malformed("a field has no number"))?;
        Ok((number, (key & 7) as u8))
    }

    #[inline]
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        if let Some((bytes, rest)) = delimited(self.rest) {
            self.rest = rest;
            return Ok(bytes);
        }
        let length = self.varint()?;
        self.take(usize::try_from(length).map_err(|_| Malformed("a field is longer than memory"))?)
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        // Most numbers are lengths of one byte.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        prost::encoding::decode_varint(&mut self.rest).map_err(|_| Malformed("a number is too long or does not end"))
    }

    fn fixed64(&mut self) -> Result<u64, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed("a field is longer than what is left"))?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed("a field is longer than what is left"))?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::*;

    #[test]
    fn fields_are_read_in_order_by_their_wire_types() {
        let message = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x19, 1, 0, 0, 0, 0, 0, 0, 0, 0x25, 0, 0, 0, 0];
        let read: Result<Vec<_>, _> = fields(&message).collect();
        let expected = vec![(1, Value::Varint(150)), (2, Value::Bytes(b"hi")), (3, Value::Fixed64(1)), (4, Value::Fixed32)];
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn what_is_not_protobuf_ends_with_an_error_and_not_later() {
        let cases: [&[u8]; 6] = [
            &[0x12, 5, b'h'],
            &[0x08],
            &[0x0b, 0x0c],
            &[0x00, 0x01],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
        ];
        for case in cases {
            let read: Vec<_> = fields(case).collect();
            assert!(matches!(read.as_slice(), [Err(_)]), "{case:?}: {read:?}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_read_at_once_as_it_is_byte_by_byte(number: u64, more in 0_usize..2, wrong in prop::option::of(any::<u8>())) {
            let mut bytes = Vec::new();
            encode_varint(number, &mut bytes);
            bytes.extend(std::iter::repeat_n(0x01, more));
            bytes.extend(wrong);
            let mut rest = &*bytes;
            let slow = prost::encoding::decode_varint(&mut rest).ok().filter(|number| rest.is_empty() && *number < 1 << 63);
            assert_eq!(whole_varint(&bytes), slow);
        }
    }

    #[test]
    fn the_last_of_a_field_that_should_stand_once_counts() {
        assert_eq!(optional(&[0x0a, 1, b'a', 0x0a, 1, b'b'], 1), Ok(Some(b"b".as_slice())));
        assert_eq!(optional(&[0x0a, 1, b'a'], 2), Ok(None));
        assert_eq!(optional(&[0x08, 1], 1), Err(Malformed("a field has another type")));
    }
}
