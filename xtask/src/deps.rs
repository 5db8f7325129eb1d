//! `cargo xtask deps`: what each package that was asked for does for us, by the functions that call it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, UseTree};

use crate::run::{Result, root};

/// The packages, and the page that tells, with figures, why one of them is called by tests only.
const PACKAGES: &[(&str, Option<&str>)] = &[
    ("nix", None),
    ("libc", None),
    ("caps", None),
    ("oci-spec", None),
    ("seccompiler", Some("docs/decisions/seccomp-compiler.md")),
    ("serde_json", None),
    ("thiserror", None),
    ("procfs", None),
    ("cgroups-rs", Some("docs/decisions/cgroup-statistics.md")),
];
/// The sources of what is shipped.
const PRODUCT: &[&str] = &["runtime-core/src", "runtime-cli/src", "shim/src"];
/// How many functions are printed of a package.
const SHOWN: usize = 3;

/// Prints them, and fails where a package has neither a caller nor a page. Takes no arguments.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        return Err("takes no arguments".to_owned());
    }
    let product = product()?;
    let mut without = Vec::new();
    for (package, page) in PACKAGES {
        let callers = callers(&product, &package.replace('-', "_"));
        match page {
            _ if !callers.is_empty() => {
                println!("{package}: {} functions", callers.len());
                callers.iter().take(SHOWN).for_each(|caller| println!("  {caller}"));
            }
            Some(page) if measures(page, package) => println!("{package}: tests only; {page}"),
            _ => without.push(*package),
        }
    }
    if without.is_empty() { Ok(()) } else { Err(format!("neither called nor explained: {}", without.join(", "))) }
}

/// Whether a page has a line of a table with figures that is about the package.
fn measures(page: &str, package: &str) -> bool {
    let text = fs::read_to_string(root().join(page)).unwrap_or_default();
    let mut rows = text.lines().filter(|line| line.starts_with('|'));
    text.contains(package) && rows.any(|row| row.contains(|c: char| c.is_ascii_digit()))
}

/// A file of the product, by its path in the repository.
type Source = (String, syn::File);

/// What is shipped, in the order of its files.
fn product() -> Result<Vec<Source>> {
    let mut files = Vec::new();
    PRODUCT.iter().try_for_each(|folder| collect(&root().join(folder), &mut files))?;
    files.sort();
    let parse = |path: PathBuf| {
        let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let text = fs::read_to_string(&path).map_err(|why| failed(&why))?;
        let file = syn::parse_file(&text).map_err(|why| failed(&why))?;
        Ok((path.strip_prefix(root()).unwrap_or(&path).display().to_string(), file))
    };
    files.into_iter().map(parse).collect()
}

/// Each function of the product that calls something of the crate or has a type of it, as `file:line function`.
fn callers(product: &[Source], name: &str) -> Vec<String> {
    let of_file = |(path, file): &Source| {
        let found = callers_in(file, name).into_iter();
        found.map(|(line, caller)| format!("{path}:{line} {caller}")).collect::<Vec<_>>()
    };
    product.iter().flat_map(of_file).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        match path.file_name().and_then(|name| name.to_str()) {
            Some("tests" | "tests.rs") => {}
            _ if path.is_dir() => collect(&path, files)?,
            Some(name) if name.ends_with(".rs") => files.push(path),
            _ => {}
        }
    }
    Ok(())
}

fn callers_in(file: &syn::File, name: &str) -> Vec<(usize, String)> {
    let mut imports = Imports { name, words: BTreeSet::from([name.to_owned()]) };
    imports.visit_file(file);
    let mut callers = Callers { name, words: imports.words, inside: Vec::new(), found: Vec::new() };
    callers.visit_file(file);
    callers.found
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let test = |attribute: &Attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    };
    attributes.iter().any(test)
}

/// The words that a file has imported from the crate.
struct Imports<'a> {
    name: &'a str,
    words: BTreeSet<String>,
}

impl Visit<'_> for Imports<'_> {
    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &syn::ItemUse) {
        if let UseTree::Path(path) = &item.tree
            && path.ident == self.name
        {
            words(&path.tree, self.name, &mut self.words);
        }
    }
}

fn words(tree: &UseTree, parent: &str, into: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => words(&path.tree, &path.ident.to_string(), into),
        UseTree::Name(name) if name.ident == "self" => drop(into.insert(parent.to_owned())),
        UseTree::Name(name) => drop(into.insert(name.ident.to_string())),
        UseTree::Rename(rename) => drop(into.insert(rename.rename.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| words(tree, parent, into)),
        UseTree::Glob(_) => {}
    }
}

/// The functions in which one of the words stands, and the types that derive one.
struct Callers<'a> {
    name: &'a str,
    words: BTreeSet<String>,
    /// The functions around the place, and whether each was found already.
    inside: Vec<(usize, String, bool)>,
    found: Vec<(usize, String)>,
}

impl Callers<'_> {
    fn enter(&mut self, attributes: &[Attribute], name: &syn::Ident, go_on: impl FnOnce(&mut Self)) {
        if is_for_tests(attributes) {
            return;
        }
        self.inside.push((name.span().start().line, name.to_string(), false));
        go_on(self);
        self.inside.pop();
    }

    fn see(&mut self, path: &syn::Path) {
        let first = path.segments.first().map(|first| first.ident.to_string()).unwrap_or_default();
        // The crate's own name alone is a variable's.
        let is_word = self.words.contains(&first) && (path.segments.len() > 1 || first != self.name);
        if let Some((line, name, is_found @ false)) = self.inside.last_mut().filter(|_| is_word) {
            *is_found = true;
            self.found.push((*line, name.clone()));
        }
    }
}

impl Visit<'_> for Callers<'_> {
    fn visit_item_mod(&mut self, item: &syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &syn::ItemFn) {
        self.enter(&item.attrs, &item.sig.ident, |this| visit::visit_item_fn(this, item));
    }

    fn visit_impl_item_fn(&mut self, item: &syn::ImplItemFn) {
        self.enter(&item.attrs, &item.sig.ident, |this| visit::visit_impl_item_fn(this, item));
    }

    fn visit_path(&mut self, path: &syn::Path) {
        self.see(path);
        visit::visit_path(self, path);
    }

    fn visit_item_enum(&mut self, item: &syn::ItemEnum) {
        self.derive(&item.attrs, &item.ident);
    }

    fn visit_item_struct(&mut self, item: &syn::ItemStruct) {
        self.derive(&item.attrs, &item.ident);
    }
}

impl Callers<'_> {
    /// A derive is a call at compile time.
    fn derive(&mut self, attributes: &[Attribute], name: &syn::Ident) {
        let derives = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
        for derive in derives {
            let _ = derive.parse_nested_meta(|meta| {
                let is_word =
                    meta.path.segments.first().is_some_and(|first| self.words.contains(&first.ident.to_string()));
                if is_word {
                    self.found.push((name.span().start().line, format!("derive of {name}")));
                }
                Ok(())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        callers_in(&syn::parse_file(text).unwrap_or_else(|why| panic!("{why}")), "nix")
    }

    #[test]
    fn a_caller_is_a_function_of_the_product() {
        let text = "use nix::sys::{signal::{self, Signal as Sig}, wait};\n\
                    fn one() { signal::kill(1); signal::kill(2) }\n\
                    struct S; impl S { fn two(&self) { if true { nix::unistd::getpid(); } } }\n\
                    fn none(nix: u8) { kill(nix); other::wait::now() }\n\
                    fn three() { Sig::try_from(1).map(drop) }\n\
                    #[cfg(test)] mod tests { fn four() { signal::kill(1) } }\n";
        let found = found(text);
        let found: Vec<_> = found.iter().map(|(line, name)| (*line, name.as_str())).collect();
        assert_eq!(found, [(2, "one"), (3, "two"), (5, "three")]);
    }

    #[test]
    fn a_derive_is_a_call() {
        assert_eq!(found("#[derive(Debug, nix::Error)]\nenum E { A }\n"), [(2, "derive of E".to_owned())]);
        assert_eq!(found("#[derive(Debug)]\nenum E { A }\n"), []);
    }

    #[test]
    fn every_package_is_called_or_explained() {
        assert_eq!(main(&[]), Ok(()));
    }
}
