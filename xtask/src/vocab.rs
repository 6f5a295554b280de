//! `cargo xtask gen` and `cargo xtask vocab`: `docs/telemetry.md` is written from the table in `lifecycle::names`, and no document,
//! dashboard or line of code speaks of a metric or attribute that is not in it. The same for settings: `docs/configuration.md` names
//! exactly the environment variables that the programs' flags have. What else alerts have, and what the chart
//! carries, is looked at with it ([`rules`], [`chart`]).

use std::collections::BTreeSet;
use std::fs;

use anyhow::Context as _;
use lifecycle::names::{Entry, Kind, TABLE};
use proc_macro2::{TokenStream, TokenTree};

use crate::chart;
use crate::rules;
use crate::shell::{Repo, say};
use crate::tree::{Finding, Tree, conclude};

const TELEMETRY: &str = "docs/telemetry.md";
const CONFIGURATION: &str = "docs/configuration.md";

/// Where names are spoken: texts and configurations as a whole, of Rust files the string literals.
const SPOKEN: [&str; 11] = [
    "agent/src/",
    "charts/",
    "cli/src/",
    "collector/src/",
    "collector/ui/src/",
    "dashboards/",
    "docs/",
    "otel-config/",
    "otlp/src/",
    "README.md",
    "rules/",
];

/// The reference page: title, introduction and what belongs there.
const SECTIONS: [(&str, &str, &[Kind]); 7] = [
    ("Resource attributes", "On everything the agent sends.", &[Kind::Resource]),
    ("Log records", "The `event_name` of the agent's log records.", &[Kind::Event]),
    ("Spans", "One trace per pull, sent once, when the pull has ended.", &[Kind::Span]),
    ("Attributes", "Of log records and spans.", &[Kind::Attribute]),
    (
        "Metrics of the agent",
        "Sent by OTLP after something has changed, at most once a minute, and on the agent's `/metrics`. There dots are underscores, and the unit\n\
         (`_seconds`, `_bytes`) and the `_total` of counters stand behind the name. Registries beyond the first 20 of a node are `_OTHER`; series\n\
         beyond 200 of one metric are one, whose only label says so.",
        &[Kind::AgentGauge, Kind::AgentCounter, Kind::AgentHistogram],
    ),
    ("Metrics of the agent's process", "On its `/metrics` only.", &[Kind::Process]),
    ("Metrics of the collector", "On its `/metrics`.", &[Kind::Gauge, Kind::Counter, Kind::Histogram]),
];

/// What the endings of a histogram's time series are.
const SERIES: [&str; 3] = ["_bucket", "_count", "_sum"];

/// Writes every generated file.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn generate(repo: &Repo) -> anyhow::Result<()> {
    let path = repo.root.join(TELEMETRY);
    fs::create_dir_all(repo.root.join("docs")).context("cannot create docs/")?;
    fs::write(&path, telemetry(TABLE)).with_context(|| format!("cannot write {}", path.display()))?;
    say(format!("wrote {TELEMETRY}, {} names", TABLE.len()));
    Ok(())
}

/// Checks names and settings.
///
/// # Errors
/// When something says a name that does not exist, or a generated file is not what would be generated.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<()> {
    conclude(&findings(&Tree::read(repo)?, TABLE))
}

fn findings(tree: &Tree, table: &[Entry]) -> Vec<Finding> {
    let mut found = Vec::new();
    if tree.get(TELEMETRY) != Some(telemetry(table).as_str()) {
        found.push(Finding::new(TELEMETRY, "is not what the table says: run `cargo xtask gen`"));
    }
    for (path, text) in tree.files().filter(|(path, _)| SPOKEN.iter().any(|place| path.starts_with(place))) {
        for name in spoken(path, text).into_iter().filter(|name| !is_known(name, table)) {
            found.push(Finding::new(path, format!("`{name}` is not in lifecycle::names")));
        }
    }
    settings(tree, &mut found);
    found.extend(rules::findings(tree));
    found.extend(chart::findings(tree));
    found
}

/// The reference page.
fn telemetry(table: &[Entry]) -> String {
    let mut page = String::from(
        "# Telemetry reference\n\n\
         Every name Pulltrace says, written by `cargo xtask gen` from `lifecycle/src/names.rs`; change it there.\n\
         How the signals work together: [architecture](architecture.md) and [ADR 0002](adr/0002-otlp-dialect.md).\n",
    );
    for (title, intro, kinds) in SECTIONS {
        page += &format!("\n## {title}\n\n{intro}\n\n| name | kind | unit or type | labels | meaning |\n|---|---|---|---|---|\n");
        for Entry { name, kind, unit, labels, help } in table.iter().filter(|entry| kinds.contains(&entry.kind)) {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            page += &format!("| `{name}` | {} | {unit} | {} | {help} |\n", kind.as_str(), labels.join(", "));
        }
    }
    page
}

/// The names of ours that a file says. In the chart that is metrics only: its templates are called `pulltrace.something` too.
fn spoken(path: &str, text: &str) -> BTreeSet<String> {
    if path.starts_with("charts/") {
        return names(text).into_iter().filter(|name| name.starts_with("pulltrace_")).collect();
    }
    if !path.ends_with(".rs") {
        return names(text);
    }
    let tokens = text.parse::<TokenStream>().unwrap_or_default();
    literals(tokens).iter().flat_map(|literal| names(literal)).collect()
}

/// Every `pulltrace_...` metric and `pulltrace....` attribute in a text. `pulltrace_receiver_*` is the beginning `pulltrace_receiver_`.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    let found = text.match_indices("pulltrace").filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let word: &str = text[at..].split(|c| !is_part(c)).next().unwrap_or_default();
        let after = text[at + word.len()..].chars().next();
        let wild = after == Some('*');
        let word = if wild { word } else { word.trim_end_matches('.') };
        let alone = !before.is_some_and(|c| is_part(c) || c.is_alphanumeric() || matches!(c, '-' | '/'));
        let ours = word.starts_with("pulltrace_") || word.starts_with("pulltrace.");
        (alone && ours && after != Some('-')).then(|| word.to_owned())
    });
    found.collect()
}

/// Whether the table has the name, a histogram of which it is a series, or names that begin so.
fn is_known(name: &str, table: &[Entry]) -> bool {
    let prefix = name.ends_with(['_', '.']);
    table.iter().any(|entry| {
        let histogram = matches!(entry.kind, Kind::Histogram | Kind::AgentHistogram);
        [entry.name, &entry.prometheus()].into_iter().any(|known| {
            known == name
                || (prefix && known.starts_with(name))
                || (histogram && name.strip_prefix(known).is_some_and(|series| SERIES.contains(&series)))
        })
    })
}

/// The settings page names what the programs' flags have, no more and no less.
fn settings(tree: &Tree, found: &mut Vec<Finding>) {
    let programs = ["agent/src/", "collector/src/", "cli/src/"];
    let sources = tree.ending(".rs").filter(|(path, _)| programs.iter().any(|program| path.starts_with(program)));
    let read: BTreeSet<String> =
        sources.flat_map(|(_, text)| variables(text.parse::<TokenStream>().unwrap_or_default())).collect();
    let page = tree.get(CONFIGURATION).unwrap_or_default();
    let told: BTreeSet<String> = page
        .split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_')
        .filter(|word| word.starts_with("PULLTRACE_") || word.starts_with("OTEL_"))
        .map(str::to_owned)
        .collect();
    for name in read.difference(&told) {
        found.push(Finding::new(CONFIGURATION, format!("{name} is read and not told")));
    }
    for name in told.difference(&read) {
        found.push(Finding::new(CONFIGURATION, format!("{name} is told and not read")));
    }
}

/// The `env = "NAME"` of clap's derive.
fn variables(tokens: TokenStream) -> Vec<String> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match (token, tokens.get(at + 1), tokens.get(at + 2)) {
            (TokenTree::Ident(env), Some(TokenTree::Punct(is)), Some(TokenTree::Literal(name)))
                if *env == "env" && is.as_char() == '=' =>
            {
                found.push(name.to_string().trim_matches('"').to_owned());
            }
            (TokenTree::Group(group), _, _) => found.extend(variables(group.stream())),
            _ => {}
        }
    }
    found
}

/// Every literal, also inside macros; not the attributes, among which are the doc comments.
fn literals(tokens: TokenStream) -> Vec<String> {
    let mut found = Vec::new();
    let mut after_hash = false;
    for token in tokens {
        let hash = match &token {
            TokenTree::Punct(punct) => punct.as_char() == '#' || (after_hash && punct.as_char() == '!'),
            TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Literal(_) => false,
        };
        match token {
            TokenTree::Literal(literal) => found.push(literal.to_string()),
            TokenTree::Group(group) if !after_hash => found.extend(literals(group.stream())),
            TokenTree::Group(_) | TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
        after_hash = hash;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [Entry; 3] = [
        Entry { name: "pulltrace_pulls_total", kind: Kind::Counter, unit: "{pull}", labels: &["outcome"], help: "Ended." },
        Entry { name: "pulltrace_wait_seconds", kind: Kind::Histogram, unit: "s", labels: &[], help: "Waited." },
        Entry { name: "pulltrace.pull.phase", kind: Kind::Attribute, unit: "string", labels: &[], help: "Phase." },
    ];

    fn unknown(path: &str, text: &str) -> Vec<String> {
        let page = telemetry(&ROWS);
        let tree = Tree::from([(TELEMETRY, page.as_str()), (path, text)]);
        findings(&tree, &ROWS).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn the_page_has_a_row_for_every_name_of_the_real_table() {
        let page = telemetry(TABLE);
        for entry in TABLE {
            assert_eq!(page.matches(&format!("\n| `{}` | {} |", entry.name, entry.kind.as_str())).count(), 1, "{}", entry.name);
        }
    }

    #[test]
    fn a_page_that_drifted_is_found() {
        let stale = telemetry(&ROWS[1..]);
        assert_eq!(findings(&Tree::from([(TELEMETRY, stale.as_str())]), &ROWS).len(), 1);
    }

    #[test]
    fn names_that_exist_pass_in_every_form() {
        let text = "rate(pulltrace_pulls_total[5m]), pulltrace_wait_seconds_bucket, `pulltrace_pulls_*`, pulltrace.pull.phase. \
                    The pulltrace-agent in charts/pulltrace/x.yaml and PULLTRACE_LOG_LEVEL.";
        assert_eq!(unknown("dashboards/a.json", text), [""; 0]);
    }

    #[test]
    fn names_that_do_not_exist_are_found() {
        assert_eq!(unknown("docs/a.md", "see pulltrace_pull_total").len(), 1);
        assert_eq!(unknown("docs/a.md", "see pulltrace_pulls_total_bucket").len(), 1);
        assert_eq!(unknown("README.md", "attribute `pulltrace.pull.fase`").len(), 1);
        assert_eq!(unknown("docs/a.md", "all `pulltrace_nodes_*`").len(), 1);
    }

    #[test]
    fn in_the_chart_a_metric_counts_and_the_name_of_a_template_does_not() {
        assert_eq!(unknown("charts/pulltrace/templates/a.yaml", "{{ include \"pulltrace.labels\" . }}"), [""; 0]);
        assert_eq!(unknown("charts/pulltrace/values.yaml", "# see pulltrace_old_total").len(), 1);
    }

    #[test]
    fn of_code_only_the_texts_count() {
        assert_eq!(unknown("collector/src/a.rs", "/// pulltrace_old_total\nfn pulltrace_old_total() {}"), [""; 0]);
        assert_eq!(unknown("collector/src/a.rs", "fn f() { m(\"pulltrace_old_total\") }").len(), 1);
    }

    #[test]
    fn settings_are_told_exactly() {
        let code = "struct A { #[arg(long, env = \"PULLTRACE_A\")] a: u8 }";
        let of = |page: &str| {
            let telemetry = telemetry(&ROWS);
            let tree = Tree::from([(TELEMETRY, telemetry.as_str()), ("agent/src/config.rs", code), (CONFIGURATION, page)]);
            findings(&tree, &ROWS).len()
        };
        assert_eq!(of("`PULLTRACE_A`"), 0);
        assert_eq!(of("nothing"), 1);
        assert_eq!(of("`PULLTRACE_A`, `PULLTRACE_B`"), 1);
    }
}
