//! Which paths a Rust file mentions, as `tidy` needs them: `lifecycle::board::Board`, `axum::Router`. Works on tokens, so comments and
//! texts do not count and code inside macros does. It resolves `crate`, `self`, `super` and names that the file itself declares or
//! imports; it does not follow re-exports, which is why the walls also stand in the `Cargo.toml` files.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The paths of `code`, each from its crate's name on, without those that begin with a name of the file's own. A glob ends in `*`.
///
/// # Errors
/// When the code is not Rust.
pub(crate) fn mentioned(file: &str, code: &str) -> Result<BTreeSet<String>, proc_macro2::LexError> {
    let tokens: TokenStream = code.parse()?;
    let mut walk = Walk { module: module_of(file), found: Vec::new(), own: BTreeSet::new() };
    walk.stream(tokens);
    let Walk { found, own, .. } = walk;
    let foreign = found.into_iter().filter(|path| path.len() == 1 || path.absolute || !own.contains(&path.segments[0]));
    Ok(foreign.map(|path| path.segments.join("::")).collect())
}

/// `lifecycle/src/track/rate.rs` is the module `lifecycle::track::rate`; a test or example is a crate of its own.
fn module_of(file: &str) -> Vec<String> {
    let (krate, inside) = file.split_once("/src/").unwrap_or(("", file));
    let stem = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut module = vec![krate.to_owned()];
    module.extend(stem.split('/').filter(|part| !matches!(*part, "lib" | "main" | "mod")).map(str::to_owned));
    module
}

/// One mentioned path.
struct Mention {
    segments: Vec<String>,
    /// It began with `crate`, `self` or `super`.
    absolute: bool,
}

impl Mention {
    fn len(&self) -> usize {
        self.segments.len()
    }
}

struct Walk {
    /// Where the walk is, inline modules included.
    module: Vec<String>,
    found: Vec<Mention>,
    /// Names this file declares as modules or imports from somewhere.
    own: BTreeSet<String>,
}

impl Walk {
    fn stream(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at = match token {
                TokenTree::Ident(word) if *word == "mod" => self.declared_module(&tokens, at + 1),
                TokenTree::Ident(word) if *word == "use" => self.used(&tokens, at + 1, &[]),
                TokenTree::Ident(_) => self.path(&tokens, at, &[], false),
                TokenTree::Group(group) => {
                    self.stream(group.stream());
                    at + 1
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => at + 1,
            };
        }
    }

    /// After `mod`: remembers the name and walks an inline body one module deeper.
    fn declared_module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let Some(TokenTree::Ident(name)) = tokens.get(at) else { return at };
        self.own.insert(name.to_string());
        if let Some(TokenTree::Group(body)) = tokens.get(at + 1) {
            self.module.push(name.to_string());
            self.stream(body.stream());
            self.module.pop();
            return at + 2;
        }
        at + 1
    }

    /// One tree of a `use`: a path, perhaps with a group, a glob or a new name at its end.
    fn used(&mut self, tokens: &[TokenTree], at: usize, prefix: &[String]) -> usize {
        let at = if is_colons(tokens, at) { at + 2 } else { at };
        let at = match tokens.get(at) {
            Some(TokenTree::Ident(_)) => self.path(tokens, at, prefix, true),
            Some(TokenTree::Punct(star)) if star.as_char() == '*' => {
                self.record(prefix.iter().cloned().chain(["*".to_owned()]).collect());
                at + 1
            }
            _ => at,
        };
        match (tokens.get(at), tokens.get(at + 1)) {
            (Some(TokenTree::Ident(word)), Some(TokenTree::Ident(name))) if *word == "as" => {
                self.own.insert(name.to_string());
                at + 2
            }
            _ => at,
        }
    }

    /// A path that starts with the identifier at `at`; in a `use` also one of a single segment.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, prefix: &[String], used: bool) -> usize {
        let mut segments = prefix.to_vec();
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(word)) if *word == "self" && !segments.is_empty() => at += 1,
                Some(TokenTree::Ident(word)) => {
                    segments.push(word.to_string());
                    at += 1;
                }
                Some(TokenTree::Group(group)) if used && group.delimiter() == Delimiter::Brace => {
                    self.group(group, &segments);
                    return at + 1;
                }
                Some(TokenTree::Punct(star)) if used && star.as_char() == '*' => {
                    segments.push("*".to_owned());
                    at += 1;
                }
                _ => break,
            }
            if !is_colons(tokens, at) {
                break;
            }
            at += 2;
        }
        if used && segments.len() > 1 {
            self.own.extend(segments.last().cloned());
        }
        if used || segments.len() > 1 {
            self.record(segments);
        }
        at
    }

    /// `prefix::{a, b::c}`.
    fn group(&mut self, group: &Group, prefix: &[String]) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        for tree in tokens.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',')) {
            self.used(tree, 0, prefix);
        }
    }

    fn record(&mut self, mut segments: Vec<String>) {
        let mut base = match segments[0].as_str() {
            "crate" => self.module[..1].to_vec(),
            "self" | "super" => self.module.clone(),
            _ => return self.found.push(Mention { segments, absolute: false }),
        };
        let ups = segments.iter().take_while(|segment| *segment == "super" || *segment == "self").count();
        for _ in segments.iter().take(ups).filter(|segment| *segment == "super") {
            base.truncate(base.len().saturating_sub(1).max(1));
        }
        base.extend(segments.drain(ups.max(1)..));
        self.found.push(Mention { segments: base, absolute: true });
    }
}

/// Whether `::` stands at `at`.
fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(at) && colon(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(file: &str, code: &str) -> Vec<String> {
        mentioned(file, code).unwrap().into_iter().collect()
    }

    #[test]
    fn groups_are_flattened_and_globs_kept() {
        let code = "use axum::{self, routing::{get, post}, extract::*};";
        assert_eq!(paths("a/src/lib.rs", code), ["axum", "axum::extract::*", "axum::routing::get", "axum::routing::post"]);
    }

    #[test]
    fn crate_self_and_super_become_the_crates_own_name() {
        let code =
            "use crate::board::Board; use super::rate; use self::deep::X; mod tests { use super::*; use super::super::wire; }";
        assert_eq!(
            paths("lifecycle/src/track/mod.rs", code),
            ["lifecycle::board::Board", "lifecycle::rate", "lifecycle::track::*", "lifecycle::track::deep::X", "lifecycle::wire"]
        );
    }

    #[test]
    fn a_path_in_code_and_in_a_macro_counts() {
        let code = "fn f() { let x: crate::board::Board = g(); assert_eq!(tokio::time::now(), 1); }";
        assert_eq!(paths("lifecycle/src/track/mod.rs", code), ["lifecycle::board::Board", "tokio::time::now"]);
    }

    #[test]
    fn comments_and_texts_do_not_count() {
        assert!(paths("a/src/lib.rs", "//! axum::Router\n/// axum::get\nfn f() -> &'static str { \"axum::x\" }").is_empty());
    }

    #[test]
    fn a_module_of_ones_own_is_not_the_crate_of_that_name() {
        assert_eq!(paths("collector/src/lib.rs", "mod kube; fn f() { kube::watch() }"), Vec::<String>::new());
        assert_eq!(paths("a/src/lib.rs", "use crate::kube; fn f() { kube::watch() }"), ["a::kube"]);
        assert_eq!(paths("a/src/lib.rs", "fn f() { kube::watch() }"), ["kube::watch"]);
    }

    #[test]
    fn a_struct_literal_is_no_group() {
        assert_eq!(paths("a/src/lib.rs", "fn f() -> T { E::V { tokio: 1 } }"), ["E::V"]);
    }
}
