//! containerd's filter language: `name==a,labels."b/c"~=^d`, as lists, inspections and subscriptions take it.
//!
//! Terms behind commas must all hold; of several filters one must hold; no filter and an empty one hold always. What a path means is the business of
//! who is filtered. Refuses what does not parse, in containerd's words where they matter: the code is always InvalidArgument.

use regex::Regex;
use thiserror::Error;

/// Longest filter that is looked at, bytes.
const MAX_LENGTH: usize = 8 * 1024;

/// One or more filters, of which one must hold.
#[derive(Debug)]
pub(super) struct Filters(Vec<Vec<Term>>);

/// A field path and what must hold for its value.
#[derive(Debug)]
struct Term {
    path: Vec<String>,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Present,
    Equal(String),
    NotEqual(String),
    /// A pattern that is no pattern matches nothing, as in containerd.
    Matches(Option<Regex>),
}

/// A text that is no filter.
#[derive(Debug, Error)]
#[error("filters: parse error: [{text}]: {problem}: invalid argument")]
pub(super) struct FilterError {
    text: String,
    problem: &'static str,
}

impl Filters {
    /// Parses a list of filters.
    pub(super) fn parse(filters: &[String]) -> Result<Self, FilterError> {
        filters.iter().map(|filter| Parser { text: filter, rest: filter }.filter()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether something passes, of which `field` tells the value at a path.
    pub(super) fn pass(&self, field: impl Fn(&[&str]) -> Option<String>) -> bool {
        self.0.is_empty() || self.0.iter().any(|terms| terms.iter().all(|term| term.holds(&field)))
    }
}

impl Term {
    fn holds(&self, field: impl Fn(&[&str]) -> Option<String>) -> bool {
        let path: Vec<_> = self.path.iter().map(String::as_str).collect();
        let value = field(&path);
        match &self.test {
            Test::Present => value.is_some(),
            Test::Equal(wanted) => value.as_ref() == Some(wanted),
            Test::NotEqual(unwanted) => value.unwrap_or_default() != *unwanted,
            Test::Matches(pattern) => pattern.as_ref().is_some_and(|pattern| pattern.is_match(&value.unwrap_or_default())),
        }
    }
}

/// The label of that name, where the name was split at dots.
pub(super) fn label<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>, path: &[&str]) -> Option<String> {
    let wanted = path.join(".");
    labels.into_iter().find(|(key, _)| **key == wanted).map(|(_, value)| value.clone())
}

/// Reads one filter from left to right.
struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Parser<'_> {
    fn filter(mut self) -> Result<Vec<Term>, FilterError> {
        if self.text.len() > MAX_LENGTH {
            self.text = "";
            return Err(self.error("longer than is looked at"));
        }
        if self.text.is_empty() {
            return Ok(Vec::new());
        }
        let mut terms = vec![self.term()?];
        while !self.rest.is_empty() {
            if !self.eat(",") {
                return Err(self.error("expected a comma"));
            }
            terms.push(self.term()?);
        }
        Ok(terms)
    }

    fn term(&mut self) -> Result<Term, FilterError> {
        let mut path = vec![self.field()?];
        while self.eat(".") {
            path.push(self.field()?);
        }
        let test = if self.rest.is_empty() || self.rest.starts_with(',') {
            Test::Present
        } else if self.eat("==") {
            Test::Equal(self.value(&['"'])?)
        } else if self.eat("!=") {
            Test::NotEqual(self.value(&['"'])?)
        } else if self.eat("~=") {
            Test::Matches(Regex::new(&self.value(&['"', '/', '|'])?).ok())
        } else {
            return Err(self.error("unsupported operator"));
        };
        Ok(Term { path, test })
    }

    fn field(&mut self) -> Result<String, FilterError> {
        if self.rest.starts_with('"') {
            return self.quoted('"');
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (field, rest) = self.rest.split_at(end);
        if field.is_empty() {
            return Err(self.error("expected field or quoted"));
        }
        self.rest = rest;
        Ok(field.to_owned())
    }

    fn value(&mut self, quotes: &[char]) -> Result<String, FilterError> {
        if let Some(quote) = quotes.iter().find(|quote| self.rest.starts_with(**quote)) {
            return self.quoted(*quote);
        }
        let end = self.rest.find(',').unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        if value.is_empty() {
            return Err(self.error("expected value or quoted"));
        }
        self.rest = rest;
        Ok(value.to_owned())
    }

    /// Between two quotes; a backslash before a quote or a backslash is taken away, before anything else it stays (for patterns).
    fn quoted(&mut self, quote: char) -> Result<String, FilterError> {
        let mut value = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.rest = &self.rest[at + c.len_utf8()..];
                return Ok(value);
            }
            if c != '\\' {
                value.push(c);
            } else if let Some((_, escaped)) = chars.next() {
                if escaped != quote && escaped != '\\' {
                    value.push('\\');
                }
                value.push(escaped);
            }
        }
        Err(self.error("quoted literal not terminated"))
    }

    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn error(&self, problem: &'static str) -> FilterError {
        FilterError { text: self.text.to_owned(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(filters: &[&str], field: impl Fn(&[&str]) -> Option<String>) -> bool {
        let filters: Vec<_> = filters.iter().map(|&filter| filter.to_owned()).collect();
        Filters::parse(&filters).unwrap().pass(field)
    }

    fn envelope(path: &[&str]) -> Option<String> {
        match path {
            ["topic"] => Some("/snapshot/prepare".to_owned()),
            ["namespace"] => Some("k8s.io".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn terms_are_joined_by_and_and_filters_by_or() {
        assert!(passes(&["topic~=\"^/(snapshot|images)/\",namespace==k8s.io"], envelope));
        assert!(!passes(&["topic~=/^.images/,namespace==k8s.io"], envelope));
        assert!(passes(&["namespace==moby", "topic==/snapshot/prepare"], envelope));
        assert!(passes(&[], envelope) && passes(&[""], envelope));
        assert!(passes(&["namespace!=moby"], envelope));
    }

    #[test]
    fn a_quoted_part_of_a_path_may_hold_dots_and_slashes() {
        let labels = [("containerd.io/gc.expire".to_owned(), "soon".to_owned())];
        let field = |path: &[&str]| match path {
            ["labels", rest @ ..] => label(labels.iter().map(|(key, value)| (key, value)), rest),
            _ => None,
        };
        assert!(passes(&["labels.\"containerd.io/gc.expire\""], field));
        assert!(!passes(&["labels.\"containerd.io/gc.root\""], field));
    }

    #[test]
    fn what_does_not_parse_is_refused_with_its_text() {
        for wrong in ["a=", "a==", "a.", "labels.\"x", "a==b,", "a b"] {
            let error = Filters::parse(&[wrong.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(&format!("[{wrong}]")) && error.ends_with("invalid argument"), "{error}");
        }
    }
}
