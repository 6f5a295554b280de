//! `cargo xtask book`: the documents as a book. Every page is in its table of contents, once, and opens with what it is for (part of `tidy`); mdBook, where
//! there is one, builds it into `target/book`. Pages also link to what lies beside `docs/` (dashboards, rules, configurations): on GitHub
//! that works as it stands, and for the book `cargo xtask book-links`, which mdBook starts, lets these links lead to the repository. That links
//! lead somewhere at all is the business of [`crate::links`].

mod built;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use crate::links::{Target, resolve};
use crate::markdown::Page;
use crate::shell::{self, Repo, say};
use crate::tool;
use crate::tree::{Finding, Tree, conclude};

/// The table of contents.
const SUMMARY: &str = "docs/SUMMARY.md";
/// Where the pages are.
const PAGES: &str = "docs/";
/// Where `book.toml` has the book built.
const BUILT: &str = "target/book";
/// Pages with a form of their own, which begins with a heading: see [`crate::rules`] and `tidy`.
const FORMS: [&str; 2] = ["docs/adr/0", "docs/runbooks/Pulltrace"];

/// Builds the book; where there is no mdBook says so and returns what it said.
///
/// # Errors
/// When mdBook fails, or a link in what it built leads nowhere; each is said first.
pub(crate) fn run(repo: &Repo) -> anyhow::Result<Option<String>> {
    let Some(mdbook) = tool::find("mdbook") else {
        let said = "SKIPPED book: no mdbook".to_owned();
        say(&said);
        return Ok(Some(said));
    };
    shell::run(Command::new(mdbook).current_dir(&repo.root).arg("build"))?;
    conclude(&built::findings(&repo.root.join(BUILT))?)?;
    say(format!("{BUILT}/index.html"));
    Ok(None)
}

/// What is wrong with the book.
pub(crate) fn findings(tree: &Tree) -> Vec<Finding> {
    let Some(summary) = tree.get(SUMMARY) else { return Vec::new() };
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    for link in Page::read(summary).links {
        if let Target::Here { place, .. } = resolve(SUMMARY, &link.to) {
            *listed.entry(place).or_default() += 1;
        }
    }
    let mut found = Vec::new();
    for (path, text) in tree.ending(".md").filter(|(path, _)| path.starts_with(PAGES) && *path != SUMMARY) {
        match listed.get(path) {
            Some(1) => {}
            Some(_) => found.push(Finding::new(path, format!("stands more than once in {SUMMARY}"))),
            None => found.push(Finding::new(path, format!("is not in {SUMMARY}"))),
        }
        let page = Page::read(text);
        if page.title.is_none() || !(page.has_introduction || FORMS.iter().any(|form| path.starts_with(form))) {
            found.push(Finding::new(path, "a page opens with a title and says below it what it is for"));
        }
    }
    found
}

/// What mdBook asks for: first whether this is for a format, then the pages with their links changed, both on standard input and output.
///
/// # Errors
/// When what mdBook says is not what it should be.
pub(crate) fn answer(repo: &Repo, question: &[String]) -> anyhow::Result<()> {
    if !question.is_empty() {
        // `supports RENDERER`: links are alike in all of them.
        return Ok(());
    }
    let mut said = String::new();
    std::io::stdin().read_to_string(&mut said).context("mdBook's pages are text")?;
    let (_, mut book): (Value, Value) = serde_json::from_str(&said).context("mdBook sends its context and the book")?;
    each_page(&mut book, &base(repo));
    say(book.to_string());
    Ok(())
}

/// Where the repository is for readers of the book: an address that a path is put behind.
fn base(repo: &Repo) -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    // GitHub's own variables, where its workflows build the book; elsewhere it is read where it was built. That has to be a whole
    // address too, because of relative ones to pages mdBook believes that they are in the book.
    match (variable("GITHUB_SERVER_URL"), variable("GITHUB_REPOSITORY"), variable("GITHUB_SHA")) {
        (Some(server), Some(repository), Some(commit)) => format!("{server}/{repository}/blob/{commit}/"),
        _ => format!("file://{}/", repo.root.display()),
    }
}

/// Changes every page in what mdBook sent, wherever it stands there: the shape around the pages is mdBook's, and changes with its versions.
fn each_page(value: &mut Value, base: &str) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| each_page(value, base)),
        Value::Object(fields) => {
            let path = fields.get("path").and_then(Value::as_str).map(str::to_owned);
            if let (Some(path), Some(Value::String(content))) = (path, fields.get_mut("content")) {
                *content = led_out(&path, content, base);
            }
            fields.values_mut().for_each(|value| each_page(value, base));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A page whose links out of `docs/` lead to the repository; `path` is below `docs/`.
fn led_out(path: &str, content: &str, base: &str) -> String {
    let mut page = content.to_owned();
    // From the end, so that places stay what they are.
    for link in Page::read(content).links.iter().rev() {
        let (Target::Here { place, anchor }, Some(at)) = (resolve(&format!("{PAGES}{path}"), &link.to), link.at.clone()) else {
            continue;
        };
        let anchor = anchor.map(|anchor| format!("#{anchor}")).unwrap_or_default();
        if !place.starts_with(PAGES) {
            page.replace_range(at, &format!("{base}{place}{anchor}"));
        } else if let Some(folder) = link.to.split('#').next().unwrap_or_default().strip_suffix("README.md") {
            // mdBook makes index.html of such a page and leaves links to it as they were.
            page.replace_range(at, &format!("{folder}index.md{anchor}"));
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whats(files: &[(&str, &str); 3]) -> Vec<String> {
        findings(&Tree::from(*files)).into_iter().map(|finding| format!("{} {}", finding.file, finding.what)).collect()
    }

    #[test]
    fn every_page_is_in_the_table_of_contents_once_and_opens_with_what_it_is_for() {
        let summary = (SUMMARY, "# Summary\n\n- [A](a.md)\n- [B](sub/b.md)\n");
        let good = ("docs/a.md", "# A\n\nFor this.\n");
        assert_eq!(whats(&[summary, good, ("docs/sub/b.md", "# B\n\nFor that.\n")]), [""; 0]);
        assert_eq!(whats(&[summary, good, ("docs/c.md", "# C\n\nFor that.\n")]), ["docs/c.md is not in docs/SUMMARY.md"]);
        let twice = (SUMMARY, "- [A](a.md)\n- [A](a.md)\n");
        assert_eq!(whats(&[twice, good, ("README.md", "")]), ["docs/a.md stands more than once in docs/SUMMARY.md"]);
        let mute = ("docs/sub/b.md", "# B\n\n## What\n");
        assert_eq!(whats(&[summary, good, mute]), ["docs/sub/b.md a page opens with a title and says below it what it is for"]);
    }

    #[test]
    fn only_links_out_of_the_folder_change() {
        let page = "[a](../rules/r.yaml#x) [b](api.md#x) [c](https://example.com) ![d](../x.png) `[e](../y)`";
        let expected = "[a](u/rules/r.yaml#x) [b](api.md#x) [c](https://example.com) ![d](u/x.png) `[e](../y)`";
        assert_eq!(led_out("a.md", page, "u/"), expected);
        assert_eq!(led_out("a.md", "[a](sub/README.md#x) [b](README.md)", "u/"), "[a](sub/index.md#x) [b](index.md)");
        assert_eq!(led_out("sub/a.md", "[a](../../SECURITY.md) [b](../api.md)", "u/"), "[a](u/SECURITY.md) [b](../api.md)");
    }

    #[test]
    fn pages_are_found_wherever_the_book_has_them() {
        let chapter = |content: &str| serde_json::json!({ "path": "a.md", "content": content, "sub_items": [] });
        let mut book = serde_json::json!({ "items": [{ "Chapter": chapter("[x](../y)") }, "Separator"] });
        each_page(&mut book, "u/");
        assert_eq!(book, serde_json::json!({ "items": [{ "Chapter": chapter("[x](u/y)") }, "Separator"] }));
    }
}
