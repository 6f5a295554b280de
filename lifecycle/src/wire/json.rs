//! OTLP in JSON: turned into protobuf on entry, so that everything behind knows one encoding and can pass it on, and out of protobuf for
//! people to read.
//!
//! The text is read once, field by field after [`super::schema`], and written as protobuf at once: no tree is built, so no text makes more
//! memory than its own length. Follows the specification's deviations from protobuf's JSON: ids are hexadecimal, enumerations are numbers,
//! names are lowerCamelCase, unknown fields are skipped; `null` is absence. A name that stands twice in an object is refused.

use std::{borrow::Cow, fmt};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use prost::encoding::encode_varint;
use serde::{
    Serialize,
    de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor},
};

use super::{
    DecodeError, Signal,
    schema::{Field, Holds, Message, request},
};

/// Turns an export request in JSON into the same in protobuf.
///
/// # Errors
/// When it is not the signal's request; the error says line and column.
pub fn transcode_json(signal: Signal, json: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let mut out = Vec::with_capacity(json.len() / 2);
    let whole = Object { message: request(signal), out: &mut out };
    let read = whole.deserialize(&mut reader).and_then(|()| reader.end());
    read.map(|()| out).map_err(|source| DecodeError::Json { signal, source })
}

/// An export request in protobuf as JSON, for people: for golden files, debugging and examples.
///
/// # Errors
/// When the bytes are not the signal's request.
pub fn to_json(signal: Signal, protobuf: &[u8]) -> Result<serde_json::Value, DecodeError> {
    fn show<M: prost::Message + Default + Serialize>(signal: Signal, bytes: &[u8]) -> Result<serde_json::Value, DecodeError> {
        let message = M::decode(bytes).map_err(DecodeError::Message)?;
        serde_json::to_value(message).map_err(|source| DecodeError::Json { signal, source })
    }
    match signal {
        Signal::Logs => show::<ExportLogsServiceRequest>(signal, protobuf),
        Signal::Traces => show::<ExportTraceServiceRequest>(signal, protobuf),
        Signal::Metrics => show::<ExportMetricsServiceRequest>(signal, protobuf),
    }
}

/// Reads the object of a message and writes its fields.
struct Object<'o> {
    message: &'static Message,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = 0_u32;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let Some((index, field)) = self.message.fields.iter().enumerate().find(|(_, field)| field.name == name) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen & 1 << index != 0 {
                return Err(Error::duplicate_field(field.name));
            }
            seen |= 1 << index;
            map.next_value_seed(Content { field, list: field.repeated, out: self.out })?;
        }
        Ok(())
    }
}

/// Reads the content of one field, or one element of a list, and writes it with its number.
struct Content<'o> {
    field: &'static Field,
    /// Whether the whole list is expected.
    list: bool,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.field.holds {
            _ if self.list => "a list",
            Holds::Text => "a text",
            Holds::Bool => "true or false",
            Holds::Hex => "an id in hexadecimal",
            Holds::Base64 => "bytes in base64",
            Holds::Int32 | Holds::Sint32 => "an integer of 32 bits",
            Holds::Uint32 | Holds::Fixed32 => "an unsigned integer of 32 bits",
            Holds::Int64 | Holds::Sfixed64 => "an integer of 64 bits",
            Holds::Uint64 | Holds::Fixed64 => "an unsigned integer of 64 bits",
            Holds::Double => "a number",
            Holds::Message(_) => "an object",
        };
        write!(f, "{what} as `{}`", self.field.name)
    }

    /// `null`: as if the field were not there.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        if !self.list {
            return Err(Error::invalid_type(Unexpected::Seq, &self));
        }
        while list.next_element_seed(Content { field: self.field, list: false, out: self.out })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let Holds::Message(message) = self.field.holds else { return Err(Error::invalid_type(Unexpected::Map, &self)) };
        if self.list {
            return Err(Error::invalid_type(Unexpected::Map, &self));
        }
        let mut inner = Vec::new();
        Object { message, out: &mut inner }.visit_map(map)?;
        self.delimited(&inner);
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, flag: bool) -> Result<(), E> {
        if self.list || !matches!(self.field.holds, Holds::Bool) {
            return Err(E::invalid_type(Unexpected::Bool(flag), &self));
        }
        self.varint(u64::from(flag));
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.number(i128::from(number), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.number(i128::from(number), Unexpected::Signed(number))
    }

    #[expect(clippy::cast_possible_truncation, reason = "only whole numbers within the range of all integers are cast")]
    fn visit_f64<E: Error>(mut self, number: f64) -> Result<(), E> {
        if !self.list && matches!(self.field.holds, Holds::Double) {
            self.double(number);
            return Ok(());
        }
        if number.fract() != 0.0 || number.abs() >= 2_f64.powi(64) {
            return Err(E::invalid_type(Unexpected::Float(number), &self));
        }
        self.number(number as i128, Unexpected::Float(number))
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        let unexpected = Unexpected::Str(shown(text));
        match self.field.holds {
            _ if self.list => return Err(E::invalid_type(unexpected, &self)),
            Holds::Text => self.delimited(text.as_bytes()),
            Holds::Hex => self.delimited(&hexadecimal(text).ok_or_else(|| E::invalid_value(unexpected, &self))?),
            Holds::Base64 => self.delimited(&base64(text).ok_or_else(|| E::invalid_value(unexpected, &self))?),
            Holds::Double => {
                let number = floating(text).ok_or_else(|| E::invalid_value(unexpected, &self))?;
                self.double(number);
            }
            // An enumeration's name is refused here: OTLP writes enumerations as numbers.
            Holds::Int32
            | Holds::Sint32
            | Holds::Uint32
            | Holds::Fixed32
            | Holds::Int64
            | Holds::Uint64
            | Holds::Fixed64
            | Holds::Sfixed64 => {
                let number = text.parse().map_err(|_| E::invalid_value(unexpected, &self))?;
                return self.number(number, unexpected);
            }
            Holds::Bool | Holds::Message(_) => return Err(E::invalid_type(unexpected, &self)),
        }
        Ok(())
    }
}

impl Content<'_> {
    #[expect(clippy::cast_precision_loss, reason = "a double is what the field holds")]
    fn number<E: Error>(mut self, number: i128, unexpected: Unexpected<'_>) -> Result<(), E> {
        match self.field.holds {
            _ if self.list => return Err(E::invalid_type(unexpected, &self)),
            Holds::Int32 => self.varint(i64::from(self.fit::<i32, E>(number, unexpected)?).cast_unsigned()),
            Holds::Sint32 => {
                let number = i64::from(self.fit::<i32, E>(number, unexpected)?);
                self.varint((number << 1 ^ number >> 63).cast_unsigned());
            }
            Holds::Uint32 => self.varint(u64::from(self.fit::<u32, E>(number, unexpected)?)),
            Holds::Fixed32 => self.fixed(5, &self.fit::<u32, E>(number, unexpected)?.to_le_bytes()),
            Holds::Int64 => self.varint(self.fit::<i64, E>(number, unexpected)?.cast_unsigned()),
            Holds::Uint64 => self.varint(self.fit(number, unexpected)?),
            Holds::Fixed64 => self.fixed(1, &self.fit::<u64, E>(number, unexpected)?.to_le_bytes()),
            Holds::Sfixed64 => self.fixed(1, &self.fit::<i64, E>(number, unexpected)?.to_le_bytes()),
            Holds::Double => self.double(number as f64),
            Holds::Text | Holds::Bool | Holds::Hex | Holds::Base64 | Holds::Message(_) => {
                return Err(E::invalid_type(unexpected, &self));
            }
        }
        Ok(())
    }

    fn fit<T: TryFrom<i128>, E: Error>(&self, number: i128, unexpected: Unexpected<'_>) -> Result<T, E> {
        T::try_from(number).map_err(|_| E::invalid_value(unexpected, self))
    }

    fn varint(&mut self, number: u64) {
        self.key(0);
        encode_varint(number, self.out);
    }

    fn double(&mut self, number: f64) {
        self.fixed(1, &number.to_le_bytes());
    }

    fn fixed(&mut self, wire_type: u32, bytes: &[u8]) {
        self.key(wire_type);
        self.out.extend_from_slice(bytes);
    }

    fn delimited(&mut self, bytes: &[u8]) {
        self.key(2);
        encode_varint(bytes.len() as u64, self.out);
        self.out.extend_from_slice(bytes);
    }

    fn key(&mut self, wire_type: u32) {
        encode_varint(u64::from(self.field.number << 3 | wire_type), self.out);
    }
}

/// A number in quotes, or one of the words for what JSON has no number for.
fn floating(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// Pairs of hexadecimal digits of either case.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    if rest.is_empty() { bytes.collect() } else { None }
}

/// Both alphabets of RFC 4648, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let digits = text.trim_end_matches('=').as_bytes();
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        let whole = group.len().checked_sub(1).filter(|whole| *whole > 0)?;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

/// As much of a text as belongs into an error.
fn shown(text: &str) -> &str {
    super::attribute::cut(text, 40)
}

#[cfg(test)]
mod tests;
