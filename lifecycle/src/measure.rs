//! Numbers that are collected over time: what a metric has to say at one moment. Cumulative since a beginning, as OTLP and Prometheus
//! want it. Names, units and help stand in [`crate::names`]; how it is written by OTLP is the business of [`crate::wire`].

use crate::{names::Entry, pull::PullId, time::Timestamp};

/// A metric and all its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its row in the vocabulary: one of the kinds of the agent's metrics.
    pub entry: &'static Entry,
    /// One for each set of labels.
    pub series: Vec<Series>,
}

/// One set of labels and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Names of the vocabulary, and values.
    pub labels: Labels,
    /// What was measured.
    pub value: Measured,
}

/// Labels of a series, in the order of the vocabulary.
pub type Labels = Vec<(&'static str, String)>;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// A sum since the beginning.
    Count(u64),
    /// What it is now.
    Level(u64),
    /// How values lie.
    Spread(Spread),
}

/// A distribution of seconds: how many values were at most each bound, none of them counted twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Upper bounds, rising.
    pub bounds: &'static [f64],
    /// One more than bounds: the last is for what is beyond them all.
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: f64,
    /// The last value that belongs to a trace.
    pub example: Option<Example>,
}

/// A value and the trace it belongs to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Example {
    /// The trace.
    pub trace: PullId,
    /// The value.
    pub value: f64,
    /// When it was measured.
    pub at: Timestamp,
}

impl Spread {
    /// Of nothing yet.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0, example: None }
    }

    /// Takes in a value.
    pub fn add(&mut self, value: f64) {
        let bucket = self.bucket(value);
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Which bucket a value belongs to.
    pub fn bucket(&self, value: f64) -> usize {
        self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_within_it_and_one_beyond_all_is_counted() {
        let mut spread = Spread::new(&[1.0, 2.0]);
        [0.5, 1.0, 1.5, 9.0].into_iter().for_each(|value| spread.add(value));
        assert_eq!((spread.counts.as_slice(), spread.count(), spread.sum), (&[2, 1, 1][..], 4, 12.0));
    }
}
