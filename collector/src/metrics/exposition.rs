//! Writes the registry as text: OpenMetrics 1.0 for those who ask for it, else Prometheus' text format 0.0.4.
//!
//! The library writes OpenMetrics only; [`classic`] turns it into the older format, which has no exemplars and names counters in full.

use prometheus_client::encoding::text::{encode_eof, encode_registry};

use super::{Metrics, active, agents, pressing, rollouts};
use crate::snapshot::Snapshot;

/// Media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Media type of the classic format.
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// The text that someone who accepts this wants, and its media type.
///
/// # Errors
/// Never; the error is the library's.
pub(crate) fn write(metrics: &Metrics, snapshot: &Snapshot, accept: &str) -> Result<(&'static str, String), std::fmt::Error> {
    let mut text = String::new();
    encode_registry(&mut text, &metrics.0.registry)?;
    let mut live = active::registry(snapshot);
    pressing::register_all(&mut live, snapshot, metrics.followed().pulls);
    encode_registry(&mut text, &live)?;
    encode_registry(&mut text, &agents::registry(snapshot))?;
    encode_registry(&mut text, &rollouts::registry(snapshot, metrics.followed().workloads))?;
    encode_eof(&mut text)?;
    Ok(if wants_open_metrics(accept) { (OPEN_METRICS, text) } else { (CLASSIC, classic(&text)) })
}

/// Whether an `Accept` wants OpenMetrics 1.0 at least as much as the classic text (RFC 9110, section 12.5.1). Who only accepts anything, as
/// browsers and curl do, gets what people read.
fn wants_open_metrics(accept: &str) -> bool {
    let (mut open, mut classic) = (0.0_f32, 0.0_f32);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let (mut quality, mut version) = (1.0_f32, None);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => version = Some(value.trim().trim_matches('"')),
                _ => {}
            }
        }
        match media_type {
            "application/openmetrics-text" if version.is_none_or(|version| version == "1.0.0") => open = quality.max(open),
            "text/plain" if version.is_none_or(|version| version == "0.0.4") => classic = quality.max(classic),
            _ => {}
        }
    }
    open > 0.0 && open >= classic
}

fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = None;
    for line in open_metrics.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
        } else if let Some(described) = line.strip_prefix("# TYPE ") {
            let name = described.split(' ').next().unwrap_or_default();
            let suffix = if described.ends_with(" counter") { "_total" } else { "" };
            if let Some(help) = help.take().and_then(|h| h.strip_prefix("# HELP ")?.strip_prefix(name)) {
                text.extend(["# HELP ", name, suffix, help, "\n"]);
            }
            text.extend(["# TYPE ", name, suffix, &described[name.len()..], "\n"]);
        } else if !line.starts_with('#') {
            text.extend([without_exemplar(line), "\n"]);
        }
    }
    text
}

/// A sample without what stands behind ` # `. Values of labels may hold that too, so it is looked for behind the last of them.
fn without_exemplar(sample: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in sample.char_indices() {
        match character {
            '"' if !escaped => quoted = !quoted,
            '#' if !quoted => return sample[..at].trim_end(),
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prometheus_gets_what_it_wants_most() {
        let two = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
                   text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let three = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                     application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                     text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let protobuf_first = format!("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.7,{three}");
        for accept in
            [two, three, &protobuf_first, "application/openmetrics-text", "application/openmetrics-text; version=\"1.0.0\""]
        {
            assert!(wants_open_metrics(accept), "{accept}");
        }
        let classic_first = "text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5";
        let older = "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5";
        for accept in [classic_first, older, "", "*/*", "text/html", "application/openmetrics-text;q=0"] {
            assert!(!wants_open_metrics(accept), "{accept}");
        }
    }

    #[test]
    fn the_classic_text_has_full_counter_names_and_no_exemplars() {
        let open = "# HELP a_b Some help.\n# TYPE a_b counter\na_b_total{x=\"1 # \\\" 2\"} 5\n\
                    # HELP h Long.\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1 # {trace_id=\"abc\"} 0.4\nh_sum 0.4\n# EOF\n";
        assert_eq!(
            classic(open),
            "# HELP a_b_total Some help.\n# TYPE a_b_total counter\na_b_total{x=\"1 # \\\" 2\"} 5\n\
             # HELP h Long.\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_sum 0.4\n"
        );
    }
}
