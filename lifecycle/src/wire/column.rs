//! The layers of a pull travel as parallel arrays, one for each thing that is said of a layer. Here they are walked side by side where they lie,
//! and read by their type; what an attribute means is the business of [`super::report`].

use std::str::FromStr;

use super::{
    MAX_LAYERS, Reason,
    reject::Refusal,
    values::{Any, boolean, int, malformed, utf8},
    view::{Fields, Value, delimited, fields, whole_varint},
};
use crate::{
    pull::{Interval, TimingSource},
    time::Timestamp,
};

/// The elements of an `ArrayValue` (values = 1), where they lie: one for each layer.
pub(super) struct Column<'a> {
    pub(super) name: &'static str,
    values: Fields<'a>,
}

impl<'a> Column<'a> {
    /// The column of these elements, for an attribute of this name.
    pub(super) const fn new(name: &'static str, values: &'a [u8]) -> Self {
        Self { name, values: fields(values) }
    }

    /// A text, as the bytes it is.
    #[inline]
    pub(super) fn text(&mut self) -> Result<&'a [u8], Refusal> {
        if let Some((text, rest)) = self.values.element(0x0a)
            && let Some((text, [])) = delimited(text)
        {
            self.values = rest;
            return Ok(text);
        }
        let Any::Text(text) = self.next()? else { return Err(Refusal::new(Reason::WrongType, self.name)) };
        Ok(text)
    }

    #[inline]
    pub(super) fn int(&mut self) -> Result<u64, Refusal> {
        if let Some((number, rest)) = self.values.element(0x18)
            && let Some(number) = whole_varint(number)
        {
            self.values = rest;
            return Ok(number);
        }
        int(self.name, self.next()?)
    }

    #[inline]
    pub(super) fn boolean(&mut self) -> Result<bool, Refusal> {
        if let Some(([flag @ ..0x80], rest)) = self.values.element(0x10) {
            self.values = rest;
            return Ok(*flag != 0);
        }
        boolean(self.name, self.next()?)
    }

    /// Whatever comes, written in whatever way.
    #[cold]
    fn next(&mut self) -> Result<Any<'a>, Refusal> {
        match self.values.next() {
            Some(Ok((1, Value::Bytes(value)))) => Any::read(value).ok_or(malformed(self.name)),
            Some(_) => Err(malformed(self.name)),
            None => Err(Refusal::new(Reason::UnequalLengths, self.name)),
        }
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

/// A [`Column`] of words that nearly always are the same as the word before.
pub(super) struct Words<'a, T> {
    column: Column<'a>,
    last: Option<(&'a [u8], T)>,
    reason: Reason,
}

impl<'a, T: FromStr + Clone> Words<'a, T> {
    /// Words of which one that is not known is refused for this reason.
    pub(super) fn new(column: Column<'a>, reason: Reason) -> Self {
        Self { column, last: None, reason }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<T, Refusal> {
        let said = self.column.text()?;
        match &self.last {
            Some((last, word)) if *last == said => Ok(word.clone()),
            Some(_) | None => self.learn(said),
        }
    }

    /// There are no more.
    pub(super) fn end(self) -> Result<(), Refusal> {
        self.column.end()
    }

    fn learn(&mut self, said: &'a [u8]) -> Result<T, Refusal> {
        let name = self.column.name;
        let word: T = utf8(name, said)?.parse().map_err(|_| Refusal::new(self.reason, name))?;
        self.last = Some((said, word.clone()));
        Ok(word)
    }
}

/// Start, end and source of what happened to each layer.
pub(super) struct Intervals<'a> {
    pub(super) start: Column<'a>,
    pub(super) end: Column<'a>,
    pub(super) source: Words<'a, TimingSource>,
}

impl Intervals<'_> {
    /// A time of 0 is not known.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Interval, Refusal> {
        let known = |nanos: u64| (nanos != 0).then(|| Timestamp::from_nanos(nanos));
        Ok(Interval { start: known(self.start.int()?), end: known(self.end.int()?), source: self.source.next()? })
    }

    /// There are no more.
    pub(super) fn end(self) -> Result<(), Refusal> {
        self.start.end()?;
        self.end.end()?;
        self.source.end()
    }
}
