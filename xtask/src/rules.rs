//! The recording rules and alerts of `rules/`: written once as a file for Prometheus, from which the PrometheusRule of its operator is made; and
//! what every alert has: a severity, words, a test and a page that says what to do. Names are the business of `vocab`, whether an
//! expression says what it should that of promtool and `e2e/tests/prometheus_rules.rs`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;

use crate::shell::{Repo, say};
use crate::tree::{Finding, Tree};

/// The rules as Prometheus reads them.
const RULES: &str = "rules/pulltrace-rules.yaml";
/// When each alert speaks, for promtool.
const TESTS: &str = "rules/pulltrace-rules.test.yaml";
/// The rules as the Prometheus operator reads them.
const OPERATOR: &str = "rules/pulltrace-prometheusrule.yaml";
/// One page for each alert.
const PAGES: &str = "docs/runbooks/";
/// What each page answers, as its headings.
const ANSWERS: [&str; 4] = ["## What it means", "## How to see it", "## What to do", "## When to ignore it"];
/// How urgent alerts are.
const SEVERITIES: [&str; 3] = ["critical", "warning", "info"];

/// Writes the PrometheusRule.
///
/// # Errors
/// When the rules cannot be read or it cannot be written.
pub(crate) fn generate(repo: &Repo) -> anyhow::Result<()> {
    let rules = fs::read_to_string(repo.root.join(RULES)).with_context(|| format!("cannot read {RULES}"))?;
    fs::write(repo.root.join(OPERATOR), prometheus_rule(&rules)).with_context(|| format!("cannot write {OPERATOR}"))?;
    say(format!("wrote {OPERATOR}, {} alerts", alerts(&rules).len()));
    Ok(())
}

/// What is wrong with the rules.
pub(crate) fn findings(tree: &Tree) -> Vec<Finding> {
    let Some(rules) = tree.get(RULES) else { return Vec::new() };
    let mut found = Vec::new();
    if tree.get(OPERATOR) != Some(prometheus_rule(rules).as_str()) {
        found.push(Finding::new(OPERATOR, format!("is not what {RULES} says: run `cargo xtask gen`")));
    }
    let alerts = alerts(rules);
    let tests = tree.get(TESTS).unwrap_or_default();
    for (name, text) in &alerts {
        found.extend(lacks(text).map(|what| Finding::new(RULES, format!("{name} has no {what}"))));
        let page = format!("{PAGES}{name}.md");
        if !text.contains(&format!("runbook_url: {page}\n")) {
            found.push(Finding::new(RULES, format!("the runbook_url of {name} is {page}")));
        }
        if !tests.contains(&format!("alertname: {name}\n")) || !tests.contains(&page) {
            found.push(Finding::new(TESTS, format!("no test in which {name} fires")));
        }
        let text = tree.get(&page).unwrap_or_default();
        let headings = [format!("# {name}")];
        for heading in headings.iter().map(String::as_str).chain(ANSWERS) {
            if !text.lines().any(|line| line == heading) {
                found.push(Finding::new(&page, format!("lacks `{heading}`")));
            }
        }
    }
    let pages = tree.files().filter_map(|(path, _)| path.strip_prefix(PAGES)?.strip_suffix(".md"));
    let strays = pages.filter(|page| *page != "README" && !alerts.contains_key(page));
    found.extend(strays.map(|page| Finding::new(format!("{PAGES}{page}.md"), "is about no alert")));
    found
}

/// The same rules as an object of the Prometheus operator: its `spec` is what Prometheus reads.
fn prometheus_rule(rules: &str) -> String {
    let groups = rules.lines().skip_while(|line| !line.starts_with("groups:"));
    let spec: String = groups.map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect();
    format!(
        "# Written by `cargo xtask gen` from pulltrace-rules.yaml; change it there.\n\
         apiVersion: monitoring.coreos.com/v1\n\
         kind: PrometheusRule\n\
         metadata:\n  name: pulltrace\n  labels:\n    app.kubernetes.io/name: pulltrace\n\
         spec:\n{spec}"
    )
}

/// Each alert's name and lines.
fn alerts(rules: &str) -> BTreeMap<&str, String> {
    let mut alerts = BTreeMap::<&str, String>::new();
    let mut at = None;
    for line in rules.lines() {
        let item = line.trim_start();
        if item.starts_with("- ") {
            at = item.strip_prefix("- alert: ");
        }
        if let Some(name) = at {
            let text = alerts.entry(name).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    alerts
}

/// What an alert does not say.
fn lacks(alert: &str) -> impl Iterator<Item = &'static str> {
    let severe = SEVERITIES.iter().any(|severity| alert.contains(&format!("severity: {severity}\n")));
    let says = |what: &str| alert.contains(&format!("  {what}: "));
    let place = ["$labels.node", "$labels.registry", "$labels.workload", "$labels.image", "$labels.cluster"];
    let named = place.iter().any(|label| alert.contains(label)) || alert.contains("by (cluster)");
    let lacking = [
        (severe, "severity that is known"),
        (says("summary"), "summary"),
        (says("description"), "description"),
        (named, "word of where it is"),
    ];
    lacking.into_iter().filter(|(is, _)| !is).map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALERT: &str = "groups:\n  - name: g\n    rules:\n      - record: a:b\n        expr: x\n      - alert: Slow\n        expr: x > 1\n        \
                         labels:\n          severity: warning\n        annotations:\n          summary: \"{{ $labels.node }}\"\n          \
                         description: \"d\"\n          runbook_url: docs/runbooks/Slow.md\n";
    const TEST: &str = "alertname: Slow\nrunbook_url: docs/runbooks/Slow.md\n";
    const PAGE: &str = "# Slow\n\n## What it means\n\n## How to see it\n\n## What to do\n\n## When to ignore it\n";

    fn found(rules: &str, tests: &str, page: (&str, &str)) -> Vec<String> {
        let operator = prometheus_rule(rules);
        let tree = Tree::from([(RULES, rules), (OPERATOR, operator.as_str()), (TESTS, tests), page]);
        findings(&tree).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn an_alert_with_everything_passes() {
        assert_eq!(found(ALERT, TEST, ("docs/runbooks/Slow.md", PAGE)), [""; 0]);
    }

    #[test]
    fn what_an_alert_lacks_is_found() {
        let page = ("docs/runbooks/Slow.md", PAGE);
        assert_eq!(
            found(&ALERT.replace("severity: warning", "severity: loud"), TEST, page),
            ["Slow has no severity that is known"]
        );
        assert_eq!(found(&ALERT.replace("$labels.node", "$value"), TEST, page), ["Slow has no word of where it is"]);
        assert_eq!(found(&ALERT.replace("summary", "title"), TEST, page).len(), 1);
        assert_eq!(found(&ALERT.replace("Slow.md", "Quick.md"), TEST, page).len(), 1);
        assert_eq!(found(ALERT, "alertname: Slow\n", page), ["no test in which Slow fires"]);
        assert_eq!(found(ALERT, TEST, ("docs/runbooks/Slow.md", &PAGE.replace("## What to do", ""))), ["lacks `## What to do`"]);
        assert_eq!(found(ALERT, TEST, ("docs/runbooks/Quick.md", PAGE)).len(), 6, "no page of its own, and one about no alert");
    }

    #[test]
    fn a_prometheus_rule_that_drifted_is_found() {
        let tree = Tree::from([(RULES, ALERT), (OPERATOR, "old"), (TESTS, TEST), ("docs/runbooks/Slow.md", PAGE)]);
        assert_eq!(findings(&tree).len(), 1);
        let made = prometheus_rule(ALERT);
        assert!(made.contains("\nspec:\n  groups:\n    - name: g\n      rules:\n"), "{made}");
    }
}
