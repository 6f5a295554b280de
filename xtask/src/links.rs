//! No document leads nowhere: every link in a page of Markdown that is not to the net names a file or folder of the repository, and its anchor a
//! heading there. Part of `tidy`. Whether an address in the net answers is nobody's business here: it would make a check of the weather. What
//! the book asks of its pages beside this is in [`crate::book`].

use std::collections::BTreeMap;

use crate::markdown::{Link, Page};
use crate::tree::{Finding, Tree};

/// What is wrong with the links of all pages.
pub(crate) fn findings(tree: &Tree) -> Vec<Finding> {
    let pages: BTreeMap<&str, Page> = tree.ending(".md").map(|(path, text)| (path, Page::read(text))).collect();
    let mut found = Vec::new();
    for (path, page) in &pages {
        for link in &page.links {
            if let Err(what) = follow(tree, &pages, path, link) {
                found.push(Finding::new(*path, format!("line {}: `{}` {what}", link.line, link.to)));
            }
        }
    }
    found
}

/// Follows one link.
fn follow(tree: &Tree, pages: &BTreeMap<&str, Page>, from: &str, link: &Link) -> Result<(), &'static str> {
    let (place, anchor) = match resolve(from, &link.to) {
        Target::Net => return Ok(()),
        Target::Outside => return Err("leads out of the repository"),
        Target::Here { place, anchor } => (place, anchor),
    };
    let is_page = pages.contains_key(place.as_str());
    if !is_page && !tree.has_file(&place) {
        // A book has no lists of its folders.
        let listed = tree.has_folder(&place) && !(from.starts_with("docs/") && place.starts_with("docs"));
        return if listed { Ok(()) } else { Err("leads nowhere") };
    }
    match anchor {
        Some(anchor) if !pages.get(place.as_str()).is_some_and(|page| page.anchors.contains(&anchor)) => {
            Err("names no heading there")
        }
        Some(_) | None => Ok(()),
    }
}

/// Where a link leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// To the net, or a program.
    Net,
    /// Above the root, or to a place that only one machine has.
    Outside,
    /// To a place in the repository, by its path from the root, and the heading there.
    Here { place: String, anchor: Option<String> },
}

/// Where a link in the page at `from` leads.
pub(crate) fn resolve(from: &str, to: &str) -> Target {
    let scheme =
        to.split_once(':').is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphabetic()));
    if scheme || to.starts_with("//") {
        return Target::Net;
    }
    let (path, anchor) = to.split_once('#').map_or((to, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    if path.is_empty() {
        return Target::Here { place: from.to_owned(), anchor };
    }
    if path.starts_with('/') {
        return Target::Outside;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Target::Outside;
                }
            }
            part => parts.push(part),
        }
    }
    Target::Here { place: parts.join("/"), anchor }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(link: &str) -> Vec<String> {
        let page = format!("# A\n\n## B c\n\n[x]({link})\n");
        let mut tree = Tree::from([("docs/a.md", page.as_str()), ("docs/sub/d.md", "# D\n\nText.\n"), ("rules/r.yaml", "")]);
        tree.add_picture("docs/p.png");
        findings(&tree).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn what_exists_is_found_whatever_it_is() {
        for link in [
            "sub/d.md",
            "./sub/d.md#d",
            "#b-c",
            "a.md#a",
            "p.png",
            "../rules/r.yaml",
            "../rules",
            "https://example.com/x#y",
            "mailto:a@example.com",
        ] {
            assert_eq!(of(link), [""; 0], "{link}");
        }
    }

    #[test]
    fn what_does_not_exist_is_a_finding_with_its_line() {
        assert_eq!(of("b.md"), ["line 5: `b.md` leads nowhere"]);
        assert_eq!(of("sub/d.md#e"), ["line 5: `sub/d.md#e` names no heading there"]);
        assert_eq!(of("#b"), ["line 5: `#b` names no heading there"]);
        assert_eq!(of("p.png#b"), ["line 5: `p.png#b` names no heading there"]);
    }

    #[test]
    fn a_link_stays_in_the_repository_and_a_book_has_no_lists_of_folders() {
        assert_eq!(of("../../x"), ["line 5: `../../x` leads out of the repository"]);
        assert_eq!(of("/docs/a.md"), ["line 5: `/docs/a.md` leads out of the repository"]);
        assert_eq!(of("sub"), ["line 5: `sub` leads nowhere"]);
    }
}
