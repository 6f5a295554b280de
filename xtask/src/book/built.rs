//! The built book, page by page as a browser gets it: no link in it leads nowhere. The pages' own links are looked at before ([`crate::links`]); here is
//! what mdBook made of them, and added.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::links::{Target, resolve};
use crate::tree::Finding;

/// Is shown at any address, so its links begin where the book is published.
const NOT_FOUND: &str = "404.html";

/// Files by their path in the book; of pages their text.
#[derive(Default)]
struct Built(BTreeMap<String, Option<String>>);

/// What is wrong with the links of the book in this folder.
///
/// # Errors
/// When it cannot be read.
pub(super) fn findings(folder: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut built = Built::default();
    built.read(folder, "")?;
    ensure!(built.0.contains_key("index.html"), "the book has no first page");
    Ok(built.findings())
}

impl Built {
    fn read(&mut self, folder: &Path, prefix: &str) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.read(&entry.path(), &format!("{path}/"))?;
            } else {
                let is_page = path.ends_with(".html");
                let text = is_page.then(|| fs::read_to_string(entry.path()).with_context(|| format!("cannot read {path}")));
                self.0.insert(path, text.transpose()?);
            }
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let pages =
            self.0.iter().filter_map(|(path, text)| Some((path, text.as_deref()?))).filter(|(path, _)| *path != NOT_FOUND);
        let anchors: BTreeMap<&str, BTreeSet<&str>> =
            pages.clone().map(|(path, text)| (path.as_str(), values(text, "id").collect())).collect();
        let mut found = Vec::new();
        for (path, text) in pages {
            for link in values(text, "href").chain(values(text, "src")) {
                let leads = match resolve(path, link) {
                    Target::Net => true,
                    Target::Outside => false,
                    Target::Here { place, anchor: None } => self.0.contains_key(&place),
                    Target::Here { place, anchor: Some(anchor) } => {
                        anchors.get(place.as_str()).is_some_and(|anchors| anchor.is_empty() || anchors.contains(anchor.as_str()))
                    }
                };
                if !leads {
                    found.push(Finding::new(path, format!("`{link}` leads nowhere")));
                }
            }
        }
        found
    }
}

/// The values of an attribute, as mdBook writes them: in double quotes.
fn values<'a>(html: &'a str, attribute: &str) -> impl Iterator<Item = &'a str> {
    let before = format!(" {attribute}=\"");
    let found = html.match_indices(&before).map(|(at, before)| &html[at + before.len()..]);
    found.filter_map(|rest| rest.split_once('"').map(|(value, _)| value)).collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(link: &str) -> usize {
        let page = format!("<h1 id=\"a\">A</h1><a class=\"x\" href=\"{link}\">x</a>");
        let other = "<h2 class=\"y\" id=\"b\">B</h2>".to_owned();
        let files = [("index.html", Some(page)), ("sub/other.html", Some(other)), ("p.png", None)];
        Built(files.map(|(path, text)| (path.to_owned(), text)).into_iter().collect()).findings().len()
    }

    #[test]
    fn links_of_the_built_book_lead_somewhere_or_are_found() {
        for link in ["#a", "sub/other.html", "sub/other.html#b", "p.png", "https://example.com", "file:///x/y"] {
            assert_eq!(of(link), 0, "{link}");
        }
        for link in ["#b", "sub/README.html", "other.html", "sub/other.html#a", "../x", "/x"] {
            assert_eq!(of(link), 1, "{link}");
        }
    }
}
