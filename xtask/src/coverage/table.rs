//! The tables of docs/compat.md.

use crate::run::Result;

/// The columns of each table.
pub(super) const HEAD: &str = "| property | planc | runc | crun | youki | shown by | mark |";

/// Properties of the specification that oci-spec's types do not have.
const NEWER: &[&str] = &["freebsd.**", "vm.hwConfig.**"];

/// One row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its line in the file, from 1.
    pub(super) line: usize,
    /// The first cell.
    pub(super) name: String,
    /// The properties of config.json in it; `*` is any one name, `**` all that is below.
    pub(super) paths: Vec<String>,
    pub(super) tests: Vec<String>,
    pub(super) mark: Mark,
}

/// What a row may claim beside its tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark {
    None,
    /// A refusal, or a warning, is all that is asked for: cgroup v1, other platforms.
    MayRefuse,
    /// No lane has what it is about; tested on files made for it.
    FakeTree,
    /// No lane can run it, and why.
    Untested(String),
}

/// The rows of every table with that head.
pub(super) fn rows(text: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        match line {
            HEAD => inside = true,
            line if inside && line.starts_with("|---") => {}
            line if inside && line.starts_with('|') => rows.push(row(number + 1, line)?),
            _ => inside = false,
        }
    }
    if rows.is_empty() { Err(format!("there is no table with the head {HEAD}")) } else { Ok(rows) }
}

fn row(line: usize, text: &str) -> Result<Row> {
    let cells: Vec<&str> = text.trim().trim_matches('|').split('|').map(str::trim).collect();
    let [name, _, _, _, _, tests, mark] = cells[..] else {
        return Err(format!("line {line}: {} cells, not 7", cells.len()));
    };
    let mark = match mark.split_once("*:") {
        None if mark.is_empty() => Mark::None,
        None if mark == "*may refuse*" => Mark::MayRefuse,
        None if mark == "*fake tree*" => Mark::FakeTree,
        Some(("*untested", why)) if !why.trim().is_empty() => Mark::Untested(why.trim().to_owned()),
        _ => return Err(format!("line {line}: no mark: {mark:?}")),
    };
    Ok(Row { line, name: name.replace('`', ""), paths: quoted(name), tests: quoted(tests), mark })
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether `pattern` means `property`, or something that it lies in.
pub(super) fn covers(pattern: &str, property: &str) -> bool {
    let (mut patterns, mut names) = (pattern.split('.'), property.split('.'));
    loop {
        match (patterns.next(), names.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some(pattern), Some(name)) if pattern == "*" || pattern == name => {}
            _ => return false,
        }
    }
}

/// Whether the specification has it, though the types do not.
pub(super) fn is_newer_than_the_types(path: &str) -> bool {
    NEWER.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_properties_its_tests_and_its_mark() {
        let text = format!(
            "# Title\n\n{HEAD}\n|---|---|---|---|---|---|---|\n| `a.b`, `c[]`: words | yes | no | no | no | `m::t`, `golden/g` | *untested*: no such host |\n\n| not | a row |\n"
        );
        let rows = rows(&text).unwrap_or_else(|why| panic!("{why}"));
        let mark = Mark::Untested("no such host".to_owned());
        let [paths, tests] = [["a.b", "c[]"], ["m::t", "golden/g"]].map(|list| list.map(str::to_owned).to_vec());
        assert_eq!(rows, [Row { line: 5, name: "a.b, c[]: words".to_owned(), paths, tests, mark }]);
    }

    #[test]
    fn what_is_no_row_is_told_with_its_line() {
        for line in ["| `a` | yes |", "| `a` | | | | | | *unknown* |", "| `a` | | | | | | *untested*: |"] {
            let told = rows(&format!("{HEAD}\n|---|\n{line}\n")).err().unwrap_or_default();
            assert!(told.starts_with("line 3: "), "{told}");
        }
        assert!(rows("| property |\n").is_err());
    }

    #[test]
    fn patterns_cover_what_they_mean() {
        for (pattern, property, is_covered) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("a.*.c", "a.b.c", true),
            ("a.**", "a.b.c", true),
            ("a", "a.b", false),
            ("a.b", "a", false),
        ] {
            assert_eq!(covers(pattern, property), is_covered, "{pattern} {property}");
        }
    }
}
