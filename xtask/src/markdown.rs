//! What the checks of documents want to know of a page of Markdown: where its links lead, which anchors it has, and what stands in it as code. It
//! judges nothing; that is for [`crate::links`], [`crate::book`] and [`crate::commands`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

/// A page, read.
#[derive(Default)]
pub(crate) struct Page {
    /// Links and pictures, in order.
    pub(crate) links: Vec<Link>,
    /// What may stand behind `#`: one for each heading, as GitHub and mdBook make them.
    pub(crate) anchors: BTreeSet<String>,
    /// Spans and blocks of code, in order.
    pub(crate) code: Vec<Code>,
    /// The text of the first heading.
    pub(crate) title: Option<String>,
    /// What stands right below the title is text, or a list, or a picture: anything but another heading.
    pub(crate) has_introduction: bool,
}

/// One link.
pub(crate) struct Link {
    /// Where it leads, as written.
    pub(crate) to: String,
    /// Line, counted from 1.
    pub(crate) line: usize,
    /// Where `to` stands in the page; none if it is not there word by word, as with links by reference.
    pub(crate) at: Option<Range<usize>>,
}

/// One piece of code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) text: String,
    /// What a fence says; none for spans, and for blocks without a word.
    pub(crate) language: Option<String>,
    /// Line, counted from 1.
    pub(crate) line: usize,
}

impl Page {
    /// Reads a page.
    pub(crate) fn read(text: &str) -> Self {
        let mut page = Self::default();
        let (mut seen, mut opened) = (BTreeMap::new(), false);
        let (mut heading, mut block): (Option<String>, Option<Code>) = (None, None);
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = 1 + text[..range.start].matches('\n').count();
            if page.title.is_some() && !std::mem::replace(&mut opened, true) {
                page.has_introduction = !matches!(event, Event::Start(Tag::Heading { .. }));
            }
            match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(Link::new(text, &dest_url, range, line));
                }
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => page.end_of_heading(heading.take().unwrap_or_default(), &mut seen),
                Event::Start(Tag::CodeBlock(kind)) => block = Some(Code { text: String::new(), language: language(kind), line }),
                Event::End(TagEnd::CodeBlock) => page.code.extend(block.take()),
                Event::Text(words) | Event::Code(words) if heading.is_some() => {
                    heading.iter_mut().for_each(|title| *title += &words)
                }
                Event::Text(words) if block.is_some() => block.iter_mut().for_each(|code| code.text += &words),
                Event::Code(words) => page.code.push(Code { text: words.into_string(), language: None, line }),
                Event::Start(_)
                | Event::End(_)
                | Event::Text(_)
                | Event::Html(_)
                | Event::InlineHtml(_)
                | Event::InlineMath(_)
                | Event::DisplayMath(_)
                | Event::FootnoteReference(_)
                | Event::SoftBreak
                | Event::HardBreak
                | Event::Rule
                | Event::TaskListMarker(_) => {}
            }
        }
        page
    }

    fn end_of_heading(&mut self, title: String, seen: &mut BTreeMap<String, usize>) {
        let slug = slug(&title);
        let before = seen.entry(slug.clone()).or_default();
        self.anchors.insert(if *before == 0 { slug } else { format!("{slug}-{before}") });
        *before += 1;
        self.title.get_or_insert(title);
    }
}

impl Link {
    fn new(text: &str, to: &CowStr<'_>, range: Range<usize>, line: usize) -> Self {
        let at = text[range.clone()].rfind(&**to).map(|at| range.start + at..range.start + at + to.len());
        Self { to: to.to_string(), line, at }
    }
}

fn language(kind: CodeBlockKind<'_>) -> Option<String> {
    match kind {
        CodeBlockKind::Fenced(word) if !word.is_empty() => Some(word.into_string()),
        CodeBlockKind::Fenced(_) | CodeBlockKind::Indented => None,
    }
}

/// A heading's anchor.
fn slug(title: &str) -> String {
    let kept = title.trim().chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c.to_lowercase().next().unwrap_or(c)),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_with_their_place_and_not_in_code() {
        let text = "# A\n\nSee [b](b.md#c), `[no](no.md)` and ![p](p.png).\n\n    [no](no.md)\n\n| [t](t.md) |\n|---|\n";
        let page = Page::read(text);
        let found: Vec<_> =
            page.links.iter().map(|link| (link.to.as_str(), link.line, &text[link.at.clone().unwrap()])).collect();
        assert_eq!(found, [("b.md#c", 3, "b.md#c"), ("p.png", 3, "p.png"), ("t.md", 7, "t.md")]);
    }

    #[test]
    fn a_link_by_reference_has_no_place_of_its_own() {
        let page = Page::read("[a][r]\n\n[r]: x.md\n");
        assert_eq!(page.links.iter().map(|link| (link.to.as_str(), link.at.clone())).collect::<Vec<_>>(), [("x.md", None)]);
    }

    #[test]
    fn anchors_are_those_of_github_and_mdbook() {
        let page = Page::read("# Where `containerd` is, *really*?\n## A & B\n## Same\n## Same\n## Über_uns 2\n");
        let expected = ["a--b", "same", "same-1", "where-containerd-is-really", "über_uns-2"];
        assert_eq!(page.anchors.iter().map(String::as_str).collect::<Vec<_>>(), expected);
        assert_eq!(page.title.as_deref(), Some("Where containerd is, really?"));
    }

    #[test]
    fn code_is_found_with_its_language() {
        let page = Page::read("# A\n\n`x y`\n\n```sh\na \\\n  b\n```\n\n    c\n");
        let code =
            |text: &str, language: Option<&str>, line| Code { text: text.into(), language: language.map(Into::into), line };
        assert_eq!(page.code, [code("x y", None, 3), code("a \\\n  b\n", Some("sh"), 5), code("c\n", None, 10)]);
    }

    #[test]
    fn a_page_that_goes_from_title_to_heading_has_no_introduction() {
        assert!(Page::read("# A\n\nFor this.\n\n## B\n").has_introduction);
        assert!(!Page::read("# A\n\n## B\n\nText.\n").has_introduction);
        assert!(!Page::read("# A\n").has_introduction);
    }
}
