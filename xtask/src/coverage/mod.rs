//! `cargo xtask coverage`: every property of config.json has a row in docs/compat.md, and every row a test that there is.

mod names;
mod results;
mod schema;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::run::{Result, root};

pub(crate) use results::Lines;

use names::Names;
use results::{Results, Verdict};
use table::{Mark, Row};

/// What is read.
const TABLE: &str = "docs/compat.md";

/// Prints what the table comes to, and fails as the gate does. Takes no arguments.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    if !arguments.is_empty() {
        return Err("takes no arguments".to_owned());
    }
    let rows = rows()?;
    report(&rows, &Results::of_all_lanes()?);
    match faults(&rows)?.as_slice() {
        [] => Ok(()),
        faults => Err(format!("{TABLE}:\n  {}", faults.join("\n  "))),
    }
}

/// How many rows there are, and what is wrong with them: the gate of `cargo xtask check`.
pub(crate) fn gate() -> Result<(usize, Vec<String>)> {
    let rows = rows()?;
    Ok((rows.len(), faults(&rows)?))
}

fn rows() -> Result<Vec<Row>> {
    let text = fs::read_to_string(root().join(TABLE)).map_err(|why| format!("{TABLE}: {why}"))?;
    table::rows(&text)
}

fn faults(rows: &[Row]) -> Result<Vec<String>> {
    let names = Names::of_the_tree()?;
    Ok(faults_of(rows, &schema::properties()?, |test| names.has(test)))
}

fn faults_of(rows: &[Row], properties: &BTreeSet<String>, is_test: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for row in rows {
        let mut fault = |why: String| faults.push(format!("line {}: {}: {why}", row.line, row.name));
        row.tests.iter().filter(|test| !is_test(test)).for_each(|test| fault(format!("there is no test {test}")));
        for path in row.paths.iter().filter(|path| !properties.iter().any(|property| table::covers(path, property))) {
            if !table::is_newer_than_the_types(path) {
                fault(format!("config.json has no {path}"));
            }
        }
        match &row.mark {
            Mark::Untested(_) => {}
            _ if row.tests.is_empty() => fault("it has neither a test nor the reason why not".to_owned()),
            Mark::MayRefuse => {}
            Mark::None | Mark::FakeTree if row.tests.iter().all(|test| names::is_refusal(test)) => {
                fault("it has tests of refusals only, and is not marked may refuse".to_owned());
            }
            Mark::None | Mark::FakeTree => {}
        }
    }
    let has_row = |property: &str| rows.iter().flat_map(|row| &row.paths).any(|path| table::covers(path, property));
    faults.extend(properties.iter().filter(|path| !has_row(path)).map(|path| format!("{path} has no row")));
    faults
}

fn report(rows: &[Row], results: &Results) {
    let tests: BTreeSet<&String> = rows.iter().flat_map(|row| &row.tests).collect();
    let in_lanes = tests.iter().filter(|test| names::is_of_a_lane(test)).count();
    let count = |mark: fn(&Mark) -> bool| rows.iter().filter(|row| mark(&row.mark)).count();
    println!("rows        {:>5}", rows.len());
    println!("tests       {:>5}  of which {in_lanes} run in lanes, the others on plans and files", tests.len());
    println!("may refuse  {:>5}", count(|mark| *mark == Mark::MayRefuse));
    println!("fake tree   {:>5}", count(|mark| *mark == Mark::FakeTree));
    println!("untested    {:>5}", count(|mark| matches!(mark, Mark::Untested(_))));
    for row in rows {
        if let Mark::Untested(why) = &row.mark {
            println!("  {}: {why}", row.name);
        }
    }
    if results.lanes.is_empty() {
        println!("lanes: no results; cargo xtask test leaves them");
        return;
    }
    for (lane, verdicts) in &results.lanes {
        let of = |verdict| tests.iter().filter(|test| verdicts.get(**test) == Some(&verdict)).count();
        let (passed, failed, skipped) = (of(Verdict::Passed), of(Verdict::Failed), of(Verdict::Skipped));
        println!("lane {lane:<12} {passed} of these tests passed, {failed} failed, {skipped} skipped");
    }
    let skipped = skipped(rows, &results.lanes);
    println!("rows whose tests were skipped in every lane: {}", skipped.len());
    for row in skipped {
        println!("  {}: {}", row.name, row.tests.join(", "));
    }
}

/// The rows that the lanes ought to show, and none did.
fn skipped<'a>(rows: &'a [Row], lanes: &BTreeMap<String, results::Verdicts>) -> Vec<&'a Row> {
    let ran = |test: &String| lanes.values().any(|verdicts| verdicts.get(test).is_some_and(|v| *v != Verdict::Skipped));
    let of_lanes = |row: &Row| row.tests.iter().any(|test| names::is_of_a_lane(test));
    rows.iter().filter(|row| of_lanes(row) && !row.tests.iter().any(ran)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_in(cells: &str) -> Vec<String> {
        let text = format!("{}\n|---|---|---|---|---|---|---|\n{cells}\n", table::HEAD);
        let rows = table::rows(&text).unwrap_or_else(|why| panic!("{why}"));
        let properties = ["root.path", "root.readonly"].map(str::to_owned).into_iter().collect();
        faults_of(&rows, &properties, |test| ["rootfs::is_read_only", "rootfs::refuses_a_file"].contains(&test))
    }

    #[test]
    fn a_row_with_a_test_for_each_property_is_no_fault() {
        let rows = "| `root.path`, `root.readonly` | yes | yes | yes | yes | `rootfs::is_read_only` | |";
        assert_eq!(faults_in(rows), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_told() {
        for (rows, told) in [
            ("| `root.*` | yes | yes | yes | yes | `rootfs::is_gone` | |", "there is no test rootfs::is_gone"),
            ("| `root.*` | yes | yes | yes | yes | | |", "neither a test nor the reason"),
            ("| `root.*` | yes | yes | yes | yes | `rootfs::refuses_a_file` | |", "refusals only"),
            ("| `root.path` | yes | yes | yes | yes | `rootfs::is_read_only` | |", "root.readonly has no row"),
            ("| `root.*`, `rot` | yes | yes | yes | yes | `rootfs::is_read_only` | |", "config.json has no rot"),
        ] {
            let faults = faults_in(rows);
            assert!(faults.len() == 1 && faults[0].contains(told), "{rows}: {faults:?}");
        }
        for mark in ["*may refuse*", "*untested*: no lane has it"] {
            let faults = faults_in(&format!("| `root.*` | no | no | no | no | `rootfs::refuses_a_file` | {mark} |"));
            assert_eq!(faults, Vec::<String>::new());
        }
    }

    #[test]
    fn a_row_is_skipped_where_no_lane_ran_any_of_its_tests() {
        let text =
            format!("{}\n|---|\n| `a` | | | | | `m::x`, `m::y` | |\n| `b` | | | | | `golden/b` | |\n", table::HEAD);
        let rows = table::rows(&text).unwrap_or_else(|why| panic!("{why}"));
        let lane =
            |verdict| [("m::x".to_owned(), Verdict::Skipped), ("m::y".to_owned(), verdict)].into_iter().collect();
        let lanes = |verdict| [("native".to_owned(), lane(Verdict::Skipped)), ("uml".to_owned(), lane(verdict))];
        assert_eq!(skipped(&rows, &lanes(Verdict::Skipped).into_iter().collect()).len(), 1);
        assert_eq!(skipped(&rows, &lanes(Verdict::Passed).into_iter().collect()).len(), 0);
    }
}
