//! How what a collector said is shown: as a table, as JSON or as YAML.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use super::table::{Table, clean};
use crate::client::ClientError;

/// How it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table.
    #[default]
    #[value(skip)]
    Table,
    /// A table with more columns
    Wide,
    /// What the collector's API says
    Json,
    /// The same as YAML
    Yaml,
}

/// Writes answers one after the other.
#[derive(Debug)]
pub(crate) struct Speaker<W> {
    output: W,
    format: Format,
    /// Whether more will follow, so that each answer has to be told from the next.
    follows: bool,
    last: Option<(Table, String)>,
}

impl<W: Write> Speaker<W> {
    pub(crate) const fn new(output: W, format: Format, follows: bool) -> Self {
        Self { output, format, follows, last: None }
    }

    /// Writes what is new in an answer.
    pub(crate) fn say(&mut self, json: &Value, table: Table) -> Result<(), ClientError> {
        let text = json.to_string();
        let last = self.last.replace((table.clone(), text.clone()));
        if last.as_ref().is_some_and(|(_, before)| *before == text) {
            return Ok(());
        }
        match self.format {
            Format::Json if self.follows => writeln!(self.output, "{text}")?,
            Format::Json => writeln!(self.output, "{json:#}")?,
            Format::Yaml => {
                if self.follows {
                    writeln!(self.output, "---")?;
                }
                write!(self.output, "{}", yaml(json)?)?;
            }
            Format::Table | Format::Wide => {
                let is_wide = self.format == Format::Wide;
                match last.filter(|(before, _)| !before.is_empty()) {
                    None if table.is_empty() => {}
                    None => table.write(&mut self.output, is_wide, true)?,
                    Some((before, _)) => table.without(&before).write(&mut self.output, is_wide, false)?,
                }
            }
        }
        self.output.flush()?;
        Ok(())
    }
}

/// A document of YAML.
pub(crate) fn yaml(value: &impl Serialize) -> io::Result<String> {
    let mut text = serde_saphyr::to_string(value).map_err(io::Error::other)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A line of text for people.
pub(crate) fn line(output: &mut impl Write, text: &str) -> Result<(), ClientError> {
    Ok(writeln!(output, "{}", clean(text).trim_end())?)
}
