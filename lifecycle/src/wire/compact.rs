//! Keeps outcomes small while nobody takes them: a pull's log record in a fifth of its bytes, for the memory of the process that made it.
//!
//! Works on the record's attributes, whatever they are, so whatever the dialect carries survives: names become their place in the
//! vocabulary, digests 32 bytes, a text that is usual or was said before a reference, a time its distance from the one before. Nothing of this
//! travels or is stored, so there is no version of it. What travels is made by its neighbour [`super::encode`].

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value},
    logs::v1::LogRecord,
};
use prost::Message;

use super::{
    Event,
    encode::pull_record,
    report::{Record, pull},
    values::Attributes,
};
use crate::{image::hex, names, pull::Pull};

/// What stands before a digest that becomes bytes.
const SHA256: &str = "sha256:";
/// Texts that most records say.
const USUAL: [&str; 18] = [
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "docker.io",
    "k8s.io",
    "overlayfs",
    "ready",
    "cached",
    "failed",
    "canceled",
    "unpacking",
    "event",
    "poll",
    "record",
    "inferred",
    "none",
    "partial",
    "full",
];

/// The pull as few bytes, for [`restore`]. Cut and capped as on the wire, see [`super::encode::pulls`].
pub fn shrink(pull: &Pull) -> Box<[u8]> {
    let record = pull_record(Event::Finished, pull);
    let mut writer = Writer::default();
    writer.bytes(&record.trace_id);
    writer.time(i64::from_ne_bytes(record.time_unix_nano.to_ne_bytes()));
    for KeyValue { key, value, .. } in record.attributes {
        writer.text(&key);
        writer.value(value.unwrap_or_default());
    }
    writer.out.into_boxed_slice()
}

/// What [`shrink`] was given; `None` for bytes that are not from there.
pub fn restore(bytes: &[u8]) -> Option<Pull> {
    let mut reader = Reader { rest: bytes, words: USUAL.to_vec(), list: Vec::new(), last: 0 };
    let mut record = LogRecord { event_name: names::EVENT_FINISHED.to_owned(), ..LogRecord::default() };
    record.trace_id = reader.bytes()?.to_vec();
    record.time_unix_nano = u64::from_ne_bytes(reader.time()?.to_ne_bytes());
    while !reader.rest.is_empty() {
        record.attributes.push(KeyValue { key: reader.text()?, value: Some(reader.value()?), key_strindex: 0 });
    }
    pull(&Record::read(&record.encode_to_vec(), &mut Attributes::usual()).ok()?).ok()
}

/// How a value is written, or each of a list.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// As protobuf.
    Other,
    /// See [`Writer::text`].
    Text,
    /// As it is: a size, a count.
    Number,
    /// As its distance from the time before: those of one pull lie close together.
    Time,
    /// A byte.
    Truth,
}

impl Form {
    const ALL: [Self; 5] = [Self::Other, Self::Text, Self::Number, Self::Time, Self::Truth];

    fn of(value: &AnyValue) -> Self {
        match &value.value {
            Some(Value::StringValue(_)) => Self::Text,
            Some(Value::IntValue(number)) if number.unsigned_abs() >= TIMES => Self::Time,
            Some(Value::IntValue(_)) => Self::Number,
            Some(Value::BoolValue(_)) => Self::Truth,
            Some(
                Value::ArrayValue(_)
                | Value::DoubleValue(_)
                | Value::BytesValue(_)
                | Value::KvlistValue(_)
                | Value::StringValueStrindex(_),
            )
            | None => Self::Other,
        }
    }

    /// How all of these are written; times may be unknown, which is a zero.
    fn of_all(values: &[AnyValue]) -> Self {
        let mut forms = values.iter().map(Self::of);
        let first = forms.next().unwrap_or(Self::Other);
        forms.fold(first, |form, next| match (form, next) {
            (Self::Number | Self::Time, Self::Time) | (Self::Time, Self::Number) => Self::Time,
            (form, next) if form == next => form,
            (_, _) => Self::Other,
        })
    }
}

/// Numbers from here on are nanoseconds since 1970, or as far apart as these.
const TIMES: u64 = 1 << 56;
/// Added to the form of a list's values.
const LIST: u8 = 0x10;
/// In place of a list that is the one before, as all bytes of all layers have come.
const SAME: u8 = 0x20;

/// How a text is written. From the third on, even and odd in turn: texts that were said before, and places in the vocabulary.
const NEW: u64 = 0;
const DIGEST: u64 = 1;
const FIRST: u64 = 2;

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    words: Vec<String>,
    /// The list before.
    list: Vec<AnyValue>,
    last: i64,
}

impl Writer {
    fn value(&mut self, value: AnyValue) {
        if let Some(Value::ArrayValue(ArrayValue { values })) = value.value {
            if values == self.list {
                return self.out.push(SAME);
            }
            let form = Form::of_all(&values);
            self.out.push(form as u8 | LIST);
            self.varint(values.len() as u64);
            values.iter().for_each(|value| self.single(form, value));
            self.list = values;
        } else {
            let form = Form::of(&value);
            self.out.push(form as u8);
            self.single(form, &value);
        }
    }

    fn single(&mut self, form: Form, value: &AnyValue) {
        match (form, &value.value) {
            (Form::Text, Some(Value::StringValue(text))) => self.text(text),
            (Form::Number, Some(Value::IntValue(number))) => self.number(*number),
            (Form::Time, Some(Value::IntValue(number))) => self.time(*number),
            (Form::Truth, Some(Value::BoolValue(is))) => self.out.push(u8::from(*is)),
            (_, _) => self.bytes(&value.encode_to_vec()),
        }
    }

    fn text(&mut self, text: &str) {
        let name = || names::TABLE.iter().position(|entry| entry.name == text).map(|at| at * 2 + 1);
        let word = USUAL.into_iter().chain(self.words.iter().map(String::as_str)).position(|word| word == text).map(|at| at * 2);
        if let Some(at) = word.or_else(name) {
            self.varint(FIRST + at as u64);
        } else if let Some(digest) = text.strip_prefix(SHA256).and_then(unhex) {
            self.varint(DIGEST);
            self.out.extend(digest);
        } else {
            self.varint(NEW);
            self.bytes(text.as_bytes());
            self.words.push(text.to_owned());
        }
    }

    fn time(&mut self, time: i64) {
        let last = std::mem::replace(&mut self.last, time);
        self.number(time.wrapping_sub(last));
    }

    /// The sign last, so that what is near zero is short on either side of it.
    fn number(&mut self, number: i64) {
        self.varint(u64::from_ne_bytes(((number << 1) ^ (number >> 63)).to_ne_bytes()));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.out.extend(bytes);
    }

    fn varint(&mut self, number: u64) {
        prost::encoding::encode_varint(number, &mut self.out);
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    words: Vec<&'a str>,
    list: Vec<AnyValue>,
    last: i64,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Option<AnyValue> {
        let (tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        if *tag == SAME {
            return Some(AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: self.list.clone() })) });
        }
        let form = Form::ALL.into_iter().find(|form| *form as u8 == tag & !LIST)?;
        if tag & LIST == 0 {
            return self.single(form);
        }
        let length = self.varint()?;
        let values: Vec<_> = (0..length).map(|_| self.single(form)).collect::<Option<_>>()?;
        self.list.clone_from(&values);
        Some(AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) })
    }

    fn single(&mut self, form: Form) -> Option<AnyValue> {
        let value = match form {
            Form::Other => return AnyValue::decode(self.bytes()?).ok(),
            Form::Text => Value::StringValue(self.text()?),
            Form::Number => Value::IntValue(self.number()?),
            Form::Time => Value::IntValue(self.time()?),
            Form::Truth => Value::BoolValue(self.take(1)? != [0]),
        };
        Some(AnyValue { value: Some(value) })
    }

    fn text(&mut self) -> Option<String> {
        match self.varint()? {
            NEW => {
                let text = std::str::from_utf8(self.bytes()?).ok()?;
                self.words.push(text);
                Some(text.to_owned())
            }
            DIGEST => self.take(32).map(|digest| format!("{SHA256}{}", hex(digest))),
            at => {
                let at = usize::try_from(at - FIRST).ok()?;
                let word = || self.words.get(at / 2).copied();
                let name = || names::TABLE.get(at / 2).map(|entry| entry.name);
                (if at % 2 == 0 { word() } else { name() }).map(str::to_owned)
            }
        }
    }

    fn time(&mut self) -> Option<i64> {
        self.last = self.last.wrapping_add(self.number()?);
        Some(self.last)
    }

    fn number(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some(i64::from_ne_bytes((number >> 1).to_ne_bytes()) ^ -i64::from_ne_bytes((number & 1).to_ne_bytes()))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        prost::encoding::decode_varint(&mut self.rest).ok()
    }
}

/// The bytes of 64 lowercase hexadecimal digits.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    if pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_any_distance_come_back() {
        let numbers = [0, 1, -1, i64::MAX, i64::MIN, 1_736_937_000_123_456_789, 5];
        let mut writer = Writer::default();
        numbers.iter().for_each(|number| writer.time(*number));
        let mut reader = Reader { rest: &writer.out, words: USUAL.to_vec(), list: Vec::new(), last: 0 };
        assert!(numbers.iter().all(|number| reader.time() == Some(*number)));
        assert!(reader.rest.is_empty());
    }

    #[test]
    fn only_what_is_exactly_a_digest_becomes_bytes() {
        let digest = format!("{SHA256}{}", "0a".repeat(32));
        let texts = [digest.as_str(), &digest.to_uppercase(), &digest[..70], "sha256:", "", "again", "again", names::PULL_PHASE];
        let mut writer = Writer::default();
        texts.iter().for_each(|text| writer.text(text));
        let mut reader = Reader { rest: &writer.out, words: USUAL.to_vec(), list: Vec::new(), last: 0 };
        assert!(texts.iter().all(|text| reader.text().as_deref() == Some(*text)));
        assert!(reader.rest.is_empty());
    }

    #[test]
    fn bytes_from_elsewhere_are_no_pull() {
        for bytes in [&b""[..], b"\x10", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"<html>"] {
            assert_eq!(restore(bytes), None, "{bytes:?}");
        }
    }
}
