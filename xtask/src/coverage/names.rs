//! The names of the tests that a row of docs/compat.md can point at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::run::{Result, root};

/// Where the black-box tests are.
const LANES: &str = "integration-tests/tests/runtime";
/// The golden plans.
const GOLDEN: &str = "runtime-core/tests/golden";
/// Tests of the crate as others see it, and unit tests.
const CORE: (&str, &str) = ("runtime-core/tests", "runtime-core/src");

/// Every name.
pub(super) struct Names {
    /// `module::function`, of the tables that [`LANES`]' main.rs runs.
    of_lanes: BTreeSet<String>,
}

impl Names {
    pub(super) fn of_the_tree() -> Result<Self> {
        let folder = root().join(LANES);
        let main = read(&folder.join("main.rs"))?;
        let mut of_lanes = BTreeSet::new();
        for module in main.lines().filter_map(|line| line.trim().strip_suffix("::TESTS,")) {
            let text = read(&folder.join(format!("{module}.rs")))?;
            of_lanes.extend(listed(&text).into_iter().map(|test| format!("{module}::{test}")));
        }
        if of_lanes.is_empty() {
            Err(format!("{LANES}/main.rs runs no tables of tests"))
        } else {
            Ok(Self { of_lanes })
        }
    }

    /// Whether there is such a test: `module::test` of the lanes, `golden/PLAN`, `core/FILE::test` below runtime-core/tests,
    /// `unit/FILE::test` below runtime-core/src.
    pub(super) fn has(&self, test: &str) -> bool {
        let file_has = |folder: &str, rest: &str| {
            let Some((file, test)) = rest.split_once("::") else { return false };
            read(&root().join(folder).join(file).with_extension("rs")).is_ok_and(|text| is_tested(&text, test))
        };
        match test.split_once('/') {
            Some(("golden", plan)) => root().join(GOLDEN).join(plan).join("plan.txt").is_file(),
            Some(("core", rest)) => file_has(CORE.0, rest),
            Some(("unit", rest)) => file_has(CORE.1, rest),
            Some(_) => false,
            None => self.of_lanes.contains(test),
        }
    }
}

/// Whether a test is one of the lanes'.
pub(super) fn is_of_a_lane(test: &str) -> bool {
    !test.contains('/')
}

/// Whether a test shows nothing but a refusal.
pub(super) fn is_refusal(test: &str) -> bool {
    test.starts_with("core/refusals::") || test.split("::").last().is_some_and(|name| name.starts_with("refuses_"))
}

/// The names in a table `tests! { name [Need…], … }`.
fn listed(text: &str) -> BTreeSet<String> {
    let table = text.split_once("tests! {").and_then(|(_, rest)| rest.split_once("\n}")).map_or("", |(table, _)| table);
    let entries = table.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let names = entries.map(|line| line.split([' ', ',', '[']).next().unwrap_or_default());
    let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    names.filter(|name| !name.is_empty()).filter(is_name).map(str::to_owned).collect()
}

/// Whether `text` has a function of that name with `#[test]` above it.
fn is_tested(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let heads = lines.iter().enumerate().filter(|(_, line)| line.starts_with(&format!("fn {name}(")));
    heads.into_iter().any(|(at, _)| lines[at.saturating_sub(3)..at].contains(&"#[test]"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_table_are_read_without_their_needs() {
        let text = "use x;\nintegration_tests::tests! {\n    plain,\n    // Why.\n    needy [Need::Planc, Need::Spec(1, 1)],\n    broken_over [\n        Need::Works(\"x\"),\n    ],\n}\n\nfn other() {}\n";
        assert_eq!(listed(text).into_iter().collect::<Vec<_>>(), ["broken_over", "needy", "plain"]);
    }

    #[test]
    fn a_function_is_a_test_where_it_says_so() {
        let text =
            "    #[test]\n    #[ignore]\n    fn yes() {}\n\n\n    fn no() {}\n    #[test]\n    fn also(x in 0..3) {}\n";
        assert!(is_tested(text, "yes") && is_tested(text, "also"));
        assert!(!is_tested(text, "no") && !is_tested(text, "ye"));
    }

    #[test]
    fn the_tree_has_the_tests_it_has() {
        let names = Names::of_the_tree().unwrap_or_else(|why| panic!("{why}"));
        for test in [
            "features::ask_for_nothing",
            "golden/docker",
            "core/refusals::the_process",
            "unit/compile/idmap::an_accepted_map_is_a_bijection",
        ] {
            assert!(names.has(test), "{test}");
        }
        for test in ["features::nothing", "golden/none", "core/refusals::compile", "unit/none::x", "other/x"] {
            assert!(!names.has(test), "{test}");
        }
    }
}
