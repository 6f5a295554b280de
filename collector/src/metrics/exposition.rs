//! Writes the registry as text: OpenMetrics 1.0 for those who ask for it, else Prometheus' text format 0.0.4.
//!
//! The library writes OpenMetrics only; [`classic`] turns it into the older format, which has no exemplars and names counters in full.

use super::Metrics;

/// Media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Media type of the classic format.
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";

/// The text that someone who accepts this wants, and its media type.
///
/// # Errors
/// Never; the error is the library's.
pub(crate) fn write(metrics: &Metrics, accept: &str) -> Result<(&'static str, String), std::fmt::Error> {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &metrics.0.registry)?;
    Ok(if accept.contains("application/openmetrics-text") { (OPEN_METRICS, text) } else { (CLASSIC, classic(&text)) })
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
