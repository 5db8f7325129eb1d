//! Gates over the source text: lengths, `unsafe`, and words that must not be in the tree.

use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::{Outcome, limits, shown};
use crate::run::{Result, bounded, root, stdout};

/// A tracked file that is text.
struct Source {
    path: PathBuf,
    text: String,
}

pub(super) fn gates() -> Vec<Outcome> {
    let sources = match tracked() {
        Ok(sources) => sources,
        Err(why) => return vec![Outcome::Fail(why)],
    };
    let (rust, broken) = rust(&sources);
    vec![
        Outcome::none_of("files that do not parse", &broken),
        longest_file(&rust),
        longest_function(&rust),
        Outcome::none_of("unsafe outside its rooms", &places(&rust, unsafe_outside_its_rooms)),
        Outcome::none_of("unfinished code", &places(&rust, unfinished)),
        Outcome::none_of("marks of unfinished work", &lines_with(&sources, &marks())),
        Outcome::none_of("registry hosts", &lines_with(&sources, &registry_hosts())),
    ]
}

/// Every file that git knows or would take, and that is text.
fn tracked() -> Result<Vec<Source>> {
    let names = stdout(&mut bounded(1, "git", &["ls-files", "--cached", "--others", "--exclude-standard"]))?;
    let paths = names.lines().map(|name| root().join(name));
    // A file that git still lists may be deleted in the work tree; one that is not UTF-8 is not a source.
    Ok(paths.filter_map(|path| Some(Source { text: std::fs::read_to_string(&path).ok()?, path })).collect())
}

/// A Rust file and what it parses to.
struct Rust<'a> {
    path: &'a Path,
    text: &'a str,
    file: syn::File,
    tokens: TokenStream,
}

fn rust(sources: &[Source]) -> (Vec<Rust<'_>>, Vec<String>) {
    let (mut parsed, mut broken) = (Vec::new(), Vec::new());
    for Source { path, text } in sources.iter().filter(|source| source.path.extension().is_some_and(|end| end == "rs"))
    {
        match (syn::parse_file(text), text.parse()) {
            (Ok(file), Ok(tokens)) => parsed.push(Rust { path, text, file, tokens }),
            (Err(why), _) => broken.push(format!("{}: {why}", shown(path))),
            (_, Err(why)) => broken.push(format!("{}: {why}", shown(path))),
        }
    }
    (parsed, broken)
}

fn longest_file(rust: &[Rust<'_>]) -> Outcome {
    let counted = rust.iter().filter(|file| !limits::TABLES.iter().any(|(table, _)| shown(file.path) == *table));
    let longest = counted.map(|file| (file.text.lines().count(), shown(file.path))).max();
    let (lines, path) = longest.unwrap_or_default();
    Outcome::counted("longest file, lines", lines as u64, limits::FILE_LINES, &path)
}

fn longest_function(rust: &[Rust<'_>]) -> Outcome {
    let mut longest = (0, String::new());
    let mut tables = 0;
    for file in rust {
        let mut functions = Functions { text: file.text.lines().collect(), longest: (0, String::new()), tables: 0 };
        functions.visit_file(&file.file);
        tables += functions.tables;
        if functions.longest.0 > longest.0 {
            longest = (functions.longest.0, format!("{}: {}", shown(file.path), functions.longest.1));
        }
    }
    let place = format!("{} ({tables} tables excepted)", longest.1);
    Outcome::counted("longest function, code lines", longest.0, limits::FUNCTION_LINES, &place)
}

/// Finds the longest function of one file.
struct Functions<'a> {
    text: Vec<&'a str>,
    longest: (u64, String),
    /// Functions that say themselves, with a reason, that clippy need not count them.
    tables: u64,
}

impl Functions<'_> {
    fn count(&mut self, attributes: &[syn::Attribute], name: &syn::Ident, body: &syn::Block) {
        if attributes.iter().any(excepts_length) {
            self.tables += 1;
            return;
        }
        let (first, last) = (body.span().start().line, body.span().end().line);
        // The lines of the braces are not code, nor are blank ones and those of comments.
        let inside = self.text.get(first..last.saturating_sub(1)).unwrap_or_default();
        let code = inside.iter().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).count();
        if code as u64 > self.longest.0 {
            self.longest = (code as u64, name.to_string());
        }
    }
}

fn excepts_length(attribute: &syn::Attribute) -> bool {
    let meta = &attribute.meta;
    (meta.path().is_ident("expect") || meta.path().is_ident("allow"))
        && meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("too_many_lines"))
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.count(&function.attrs, &function.sig.ident, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.count(&function.attrs, &function.sig.ident, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.count(&function.attrs, &function.sig.ident, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// `file:line` of every token that `is_bad` names, given its file, the token and the one after it.
fn places(rust: &[Rust<'_>], is_bad: fn(&Path, &str, Option<char>) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in rust {
        words(file.tokens.clone(), &mut |word, next, line| {
            if is_bad(file.path, word, next) {
                found.push(format!("{}:{line}: {word}", shown(file.path)));
            }
        });
    }
    found
}

/// Shows every identifier and keyword, those inside macro calls too, with the punctuation that follows it.
fn words(tokens: TokenStream, see: &mut dyn FnMut(&str, Option<char>, usize)) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => words(group.stream(), see),
            TokenTree::Ident(word) => {
                let next = match tokens.peek() {
                    Some(TokenTree::Punct(punctuation)) => Some(punctuation.as_char()),
                    _ => None,
                };
                see(&word.to_string(), next, word.span().start().line);
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

fn unsafe_outside_its_rooms(path: &Path, word: &str, _next: Option<char>) -> bool {
    let in_its_room = path.iter().any(|part| limits::UNSAFE_FOLDERS.iter().any(|room| part == *room));
    word == "unsafe" && !in_its_room
}

fn unfinished(_path: &Path, word: &str, next: Option<char>) -> bool {
    matches!(word, "todo" | "unimplemented" | "dbg") && next == Some('!')
}

/// Spelt apart, so that this file does not hold them itself.
fn marks() -> Vec<String> {
    [["FIX", "ME"], ["TO", "DO"], ["XX", "X"]].map(|parts| parts.concat()).to_vec()
}

fn registry_hosts() -> Vec<String> {
    let hosts: &[&[&str]] = &[
        &["crates", "io"],
        &["pypi", "org"],
        &["pythonhosted", "org"],
        &["npmjs", "org"],
        &["npmjs", "com"],
        &["golang", "org"],
        &["maven", "org"],
        &["maven", "apache", "org"],
        &["debian", "org"],
    ];
    hosts.iter().map(|parts| parts.join(".")).collect()
}

/// `file:line` of every line that holds one of `words` as a word of its own.
fn lines_with(sources: &[Source], words: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate().filter(|(_, line)| !is_index_of_cargo(line)) {
            for word in words.iter().filter(|word| holds(line, word)) {
                found.push(format!("{}:{}: {word}", shown(&source.path), number + 1));
            }
        }
    }
    found
}

/// Cargo.lock and deny.toml name cargo's index by the address that cargo gives it.
fn is_index_of_cargo(line: &str) -> bool {
    line.contains(&["rust-lang/crates", "io-index"].join("."))
}

fn holds(line: &str, word: &str) -> bool {
    let part_of_a_word = |at: Option<char>| at.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !part_of_a_word(line[..at].chars().next_back()) && !part_of_a_word(line[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest(text: &str) -> (u64, String, u64) {
        let mut functions = Functions { text: text.lines().collect(), longest: (0, String::new()), tables: 0 };
        functions.visit_file(&syn::parse_file(text).unwrap());
        (functions.longest.0, functions.longest.1, functions.tables)
    }

    #[test]
    fn only_code_lines_of_a_body_count() {
        let text = "fn short() {}\nfn long(\n    a: u8,\n) {\n    // why\n\n    f(a);\n    g(a);\n}\n";
        assert_eq!(longest(text), (2, "long".to_owned(), 0));
    }

    #[test]
    fn a_method_counts_and_a_table_does_not() {
        let text = "impl A {\n    fn m() {\n        a();\n    }\n}\n\
                    #[expect(clippy::too_many_lines, reason = \"a table\")]\nfn t() {\n    a();\n    b();\n}\n";
        assert_eq!(longest(text), (1, "m".to_owned(), 1));
    }

    #[test]
    fn unsafe_is_seen_in_macros_and_not_in_comments() {
        let text = "// unsafe\nm! { unsafe { f() } }\nconst A: &str = \"unsafe\";\n";
        let file = Rust {
            path: Path::new("/a/src/b.rs"),
            text,
            file: syn::parse_file(text).unwrap(),
            tokens: text.parse().unwrap(),
        };
        assert_eq!(places(&[file], unsafe_outside_its_rooms), ["/a/src/b.rs:2: unsafe"]);
        assert!(!unsafe_outside_its_rooms(Path::new("/a/src/sys/b.rs"), "unsafe", None));
    }

    #[test]
    fn a_macro_that_stands_for_missing_code_is_seen() {
        assert!(unfinished(Path::new("a.rs"), "todo", Some('!')));
        assert!(!unfinished(Path::new("a.rs"), "todo", None));
    }

    #[test]
    fn a_host_is_a_word_of_its_own() {
        let host = &registry_hosts()[0];
        assert!(holds(&format!("https://{host}/x"), host));
        assert!(holds(&format!("static.{host}"), host));
        assert!(!holds(&format!("my{host}"), host));
        assert!(is_index_of_cargo(&format!("registry+https://github.com/rust-lang/{host}-index")));
    }
}
