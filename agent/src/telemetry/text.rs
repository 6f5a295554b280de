//! The numbers as text for Prometheus: OpenMetrics 1.0 for those who ask for it, else the classic format 0.0.4, which names counters in full
//! and has no exemplars. Names follow from the vocabulary (`Entry::prometheus`).

use std::fmt::Write as _;

use lifecycle::{
    measure::{Labels, Measured, Metric, Spread},
    names::{self, Entry},
    time::Timestamp,
};

use super::{
    Telemetry,
    process::{self, Usage},
};

/// Media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Media type of the classic format.
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// In which of the two formats.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Open,
    Classic,
}

/// The text that someone who accepts this wants, and its media type.
pub(crate) fn write(telemetry: &Telemetry, accept: &str) -> (&'static str, String) {
    let format = if accept.contains("application/openmetrics-text") { Format::Open } else { Format::Classic };
    let media_type = if format == Format::Open { OPEN_METRICS } else { CLASSIC };
    (media_type, written(format, &telemetry.metrics(), process::usage(), telemetry.started()))
}

fn written(format: Format, metrics: &[Metric], usage: Usage, started: Timestamp) -> String {
    let mut text = String::new();
    for Metric { entry, series } in metrics {
        let name = entry.prometheus();
        let kind = match series.first().map(|series| &series.value) {
            Some(Measured::Count(_)) => "counter",
            Some(Measured::Level(_)) => "gauge",
            Some(Measured::Spread(_)) => "histogram",
            None => continue,
        };
        head(&mut text, format, &name, kind, entry.help);
        for series in series {
            match &series.value {
                Measured::Count(number) | Measured::Level(number) => sample(&mut text, &name, &series.labels, None, number),
                Measured::Spread(spread) => distribution(&mut text, format, &name, &series.labels, spread),
            }
        }
    }
    let whole = |number: Option<u64>| number.map(|number| number.to_string());
    let process = [
        (names::PROCESS_CPU, "counter", usage.cpu.map(|seconds| seconds.to_string())),
        (names::PROCESS_MEMORY, "gauge", whole(usage.memory)),
        (names::PROCESS_FDS, "gauge", whole(usage.files)),
        (names::PROCESS_START, "gauge", Some((started.as_nanos() / 1_000_000_000).to_string())),
    ];
    for (name, kind, value) in process {
        if let Some(value) = value {
            head(&mut text, format, name, kind, Entry::of(name).map_or("", |entry| entry.help));
            sample(&mut text, name, &Labels::new(), None, value);
        }
    }
    if format == Format::Open {
        text.push_str("# EOF\n");
    }
    text
}

fn head(text: &mut String, format: Format, name: &str, kind: &str, help: &str) {
    let family = if format == Format::Open { name.trim_end_matches("_total") } else { name };
    line(text, format_args!("# HELP {family} {help}"));
    line(text, format_args!("# TYPE {family} {kind}"));
}

fn distribution(text: &mut String, format: Format, name: &str, labels: &Labels, spread: &Spread) {
    let bucket = format!("{name}_bucket");
    let example = spread.example.filter(|_| format == Format::Open).map(|example| (spread.bucket(example.value), example));
    let mut sum = 0;
    for (index, count) in spread.counts.iter().enumerate() {
        sum += count;
        let bound = spread.bounds.get(index).map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound:?}"));
        sample(text, &bucket, labels, Some(&bound), sum);
        if let Some((_, example)) = example.filter(|(at, _)| *at == index) {
            text.pop();
            let at = example.at.as_nanos() / 1_000_000;
            let (seconds, millis) = (at / 1000, at % 1000);
            line(text, format_args!(" # {{trace_id=\"{}\"}} {:?} {seconds}.{millis:03}", example.trace, example.value));
        }
    }
    sample(text, &format!("{name}_sum"), labels, None, format_args!("{:?}", spread.sum));
    sample(text, &format!("{name}_count"), labels, None, sum);
}

fn sample(text: &mut String, name: &str, labels: &Labels, bound: Option<&str>, value: impl std::fmt::Display) {
    let bound = bound.map(|bound| ("le".to_owned(), bound));
    let labels = labels.iter().map(|(name, value)| (name.replace('.', "_"), value.as_str())).chain(bound);
    let labels: Vec<_> = labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    line(text, format_args!("{name}{labels} {value}"));
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A String takes everything.
    writeln!(text, "{line}").unwrap_or_default();
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use lifecycle::{
        measure::{Example, Series},
        pull::PullId,
    };

    use super::*;

    fn metrics() -> Vec<Metric> {
        let mut spread = Spread::new(&[1.0, 2.5]);
        [0.5, 2.0].into_iter().for_each(|value| spread.add(value));
        let at = Timestamp::from_millis(1_736_937_000_250);
        spread.example = Some(Example { trace: PullId::derive("n", "k8s.io", "l", at), value: 2.0, at });
        let series = |labels: &[(&'static str, &str)], value| Series {
            labels: labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            value,
        };
        let metric = |name, series| Metric { entry: Entry::of(name).expect("a name"), series: vec![series] };
        vec![
            metric(names::AGENT_METRIC_CALLS, series(&[(names::RPC_METHOD, "a \"b\"\\\n")], Measured::Count(7))),
            metric(names::AGENT_METRIC_ACTIVE, series(&[], Measured::Level(2))),
            metric(names::AGENT_METRIC_PULLS, series(&[(names::PULL_OUTCOME, "ready")], Measured::Spread(spread))),
        ]
    }

    fn of(format: Format) -> String {
        let usage = Usage { cpu: Some(1.75), memory: Some(4096), files: None };
        let text = written(format, &metrics(), usage, Timestamp::from_millis(1_736_937_000_000));
        text.lines().filter(|line| !line.starts_with("# HELP")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn open_metrics_has_families_exemplars_and_an_end() {
        let trace = PullId::derive("n", "k8s.io", "l", Timestamp::from_millis(1_736_937_000_250));
        let counter = Entry::of(names::AGENT_METRIC_CALLS).map(Entry::prometheus).expect("a name");
        let family = counter.trim_end_matches("_total");
        let expected = format!(
            "# TYPE {family} counter\n\
             pulltrace_agent_runtime_calls_total{{rpc_method=\"a \\\"b\\\"\\\\\\n\"}} 7\n\
             # TYPE pulltrace_image_pull_active gauge\n\
             pulltrace_image_pull_active 2\n\
             # TYPE pulltrace_image_pull_duration_seconds histogram\n\
             pulltrace_image_pull_duration_seconds_bucket{{pulltrace_pull_outcome=\"ready\",le=\"1.0\"}} 1\n\
             pulltrace_image_pull_duration_seconds_bucket{{pulltrace_pull_outcome=\"ready\",le=\"2.5\"}} 2 \
             # {{trace_id=\"{trace}\"}} 2.0 1736937000.250\n\
             pulltrace_image_pull_duration_seconds_bucket{{pulltrace_pull_outcome=\"ready\",le=\"+Inf\"}} 2\n\
             pulltrace_image_pull_duration_seconds_sum{{pulltrace_pull_outcome=\"ready\"}} 2.5\n\
             pulltrace_image_pull_duration_seconds_count{{pulltrace_pull_outcome=\"ready\"}} 2\n\
             # TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 1.75\n\
             # TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 4096\n\
             # TYPE process_start_time_seconds gauge\nprocess_start_time_seconds 1736937000\n# EOF\n"
        );
        assert_eq!(of(Format::Open), expected);
    }

    #[test]
    fn the_classic_text_names_counters_in_full_and_has_no_exemplars() {
        let text = of(Format::Classic);
        assert!(text.starts_with("# TYPE pulltrace_agent_runtime_calls_total counter\n"), "{text}");
        assert!(text.contains("le=\"2.5\"} 2\n") && !text.contains("trace_id") && !text.contains("EOF"), "{text}");
    }
}
