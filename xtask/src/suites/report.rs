//! A suite's outcomes as people read them: a table on the terminal, and a part of docs/conformance.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::judge::{Reason, Run, outcome, reason, tests};
use super::tap::{Outcome, Verdict};
use crate::run::{Result, root};

/// Where the tables are kept.
const PAGE: &str = "docs/conformance.md";

/// One suite in one place, with every runtime that it was run on.
#[derive(Debug)]
pub(crate) struct Report {
    /// What the part of the page is called: no title, a name that stays.
    pub(crate) name: String,
    pub(crate) title: String,
    /// The suite's version and the kernel it was run on.
    pub(crate) source: String,
    /// `runs[0]` is planc's.
    pub(crate) runs: Vec<Run>,
    /// What each runtime says of its version, in the order of `runs`.
    pub(crate) versions: Vec<String>,
}

/// How many tests a run passed, failed and skipped.
fn counts(report: &Report, run: &Run) -> [usize; 3] {
    [Verdict::Pass, Verdict::Fail, Verdict::Skip]
        .map(|verdict| tests(&report.runs).into_iter().filter(|test| outcome(run, test).verdict == verdict).count())
}

/// Test × runtime, for the terminal; `all` or only those that planc does not pass.
pub(crate) fn table(report: &Report, all: bool) -> String {
    let tests = tests(&report.runs);
    let width = tests.iter().map(|test| test.len()).max().unwrap_or(0).max("passed / failed / skipped".len());
    let mut text = format!("\n{} ({})\n{:<width$}", report.title, report.source, "");
    for run in &report.runs {
        let _ = write!(text, "  {:<12}", run.runtime);
    }
    for test in tests {
        let outcomes: Vec<Outcome> = report.runs.iter().map(|run| outcome(run, test)).collect();
        if !all && outcomes.first().is_some_and(|ours| ours.verdict == Verdict::Pass) {
            continue;
        }
        let _ = write!(text, "\n{test:<width$}");
        for outcome in &outcomes {
            let _ = write!(text, "  {:<12}", outcome.verdict.name());
        }
        let _ = write!(text, "{}", outcomes.first().map_or("", |ours| &ours.why));
    }
    let _ = write!(text, "\n{:<width$}", "passed / failed / skipped");
    for run in &report.runs {
        let _ = write!(text, "  {:<12}", counts(report, run).map(|count| count.to_string()).join(" / "));
    }
    text.push('\n');
    text
}

/// The part of the page: figures, then what planc does not pass, by reason.
fn section(report: &Report, reasons: &[Reason], place: &str) -> String {
    let mut text =
        format!("## {}\n\n{}.\n\n| runtime | pass | fail | skip |\n|---|---|---|---|\n", report.title, report.source);
    for (run, version) in report.runs.iter().zip(&report.versions) {
        let [pass, fail, skip] = counts(report, run);
        let _ = writeln!(text, "| {version} | {pass} | {fail} | {skip} |");
    }
    let mut rows: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for test in tests(&report.runs) {
        let outcomes: Vec<Outcome> = report.runs.iter().map(|run| outcome(run, test)).collect();
        let Some((ours, others)) = outcomes.split_first().filter(|(ours, _)| ours.verdict != Verdict::Pass) else {
            continue;
        };
        let why = reason(reasons, place, test).map_or_else(|| stated(ours, others), |reason| reason.why.to_owned());
        let verdicts = outcomes.iter().map(|outcome| outcome.verdict.name()).collect::<Vec<_>>().join(" | ");
        rows.entry((why, verdicts)).or_default().push(test);
    }
    if rows.is_empty() {
        return text;
    }
    let names: Vec<&str> = report.runs.iter().map(|run| run.runtime.as_str()).collect();
    let _ = writeln!(text, "\n| not passed by planc | why | {} |", names.join(" | "));
    let _ = writeln!(text, "|---|---|{}", "---|".repeat(names.len()));
    for ((why, verdicts), tests) in rows {
        let _ = writeln!(text, "| {} | {} | {verdicts} |", cell(&tests.join("; ")), cell(&why));
    }
    text
}

/// What the tests themselves say where no reason is listed: why one was skipped, or how the other runtime fails it.
fn stated(ours: &Outcome, others: &[Outcome]) -> String {
    match (ours.verdict, others.iter().find(|other| other.verdict == Verdict::Fail)) {
        (Verdict::Fail, Some(other)) => format!("fails beside us too: {}", without_numbers(&other.why)),
        _ => ours.why.clone(),
    }
}

/// A line without what is another number in each run: of tests' cgroups, of processes, of the clock.
fn without_numbers(line: &str) -> String {
    const AT_LEAST: usize = 2;
    let mut text = String::new();
    let mut digits = String::new();
    for c in line.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        text.push_str(if digits.len() < AT_LEAST { &digits } else { "N" });
        digits.clear();
        text.extend(Some(c).filter(|c| *c != '\0'));
    }
    text
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\r', '\n'], " ")
}

/// Puts the report into the page, in the place of the former one.
///
/// # Errors
/// When the page cannot be read or written.
pub(crate) fn write(report: &Report, reasons: &[Reason], place: &str) -> Result<()> {
    let path = root().join(PAGE);
    let failed = |why: std::io::Error| format!("{PAGE}: {why}");
    let page = std::fs::read_to_string(&path).map_err(failed)?;
    std::fs::write(&path, with_part(&page, &report.name, &section(report, reasons, place))).map_err(failed)
}

/// `page` with `part` between the marks of `name`; a part that is new comes at the end.
fn with_part(page: &str, name: &str, part: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let part = format!("{begin}\n{part}\n{end}");
    let found = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    match found {
        Some((before, after)) => format!("{before}{part}{after}"),
        None => format!("{}\n\n{part}", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let run = |runtime: &str, outcomes: &[(&str, Outcome)]| Run {
            runtime: runtime.to_owned(),
            outcomes: outcomes.iter().map(|(test, outcome)| ((*test).to_owned(), outcome.clone())).collect(),
        };
        let planc = [("a", Outcome::pass()), ("b", Outcome::fail("x")), ("c", Outcome::skip("no <criu>"))];
        let runc = [("a", Outcome::fail("y")), ("b", Outcome::fail("z|z")), ("c", Outcome::skip("no criu"))];
        Report {
            name: "suite native".to_owned(),
            title: "Suite, lane native".to_owned(),
            source: "suite 1".to_owned(),
            runs: vec![run("planc", &planc), run("runc", &runc)],
            versions: vec!["planc 1".to_owned(), "runc 2".to_owned()],
        }
    }

    #[test]
    fn what_differs_from_run_to_run_is_left_out() {
        assert_eq!(without_numbers("test-cgroup-10107/pids.max: 1 at 17:03"), "test-cgroup-N/pids.max: 1 at N:N");
        assert_eq!(without_numbers("n=0 of 12"), "n=0 of N");
    }

    #[test]
    fn a_part_has_figures_and_what_is_not_passed() {
        let reasons = [Reason { places: &["native"], tests: &["c"], why: "no criu here", despite: &[] }];
        let text = section(&report(), &reasons, "native");
        assert!(text.contains("| planc 1 | 1 | 1 | 1 |\n| runc 2 | 0 | 2 | 1 |\n"), "{text}");
        assert!(text.contains("| b | fails beside us too: z\\|z | fail | fail |\n"), "{text}");
        assert!(text.contains("| c | no criu here | skip | skip |\n"), "{text}");
        assert!(!text.contains("| a |"), "{text}");
        assert!(section(&report(), &[], "native").contains("| c | no &lt;criu> | skip | skip |\n"));
    }

    #[test]
    fn a_part_takes_the_place_of_the_former_one() {
        let first = with_part("# Page\n", "one", "1\n");
        let both = with_part(&first, "two", "2\n");
        assert_eq!(both, "# Page\n\n<!-- one -->\n\n1\n\n<!-- /one -->\n\n<!-- two -->\n\n2\n\n<!-- /two -->\n");
        let again = with_part(&both, "one", "3\n");
        assert_eq!(again, both.replace('1', "3"));
    }

    #[test]
    fn the_table_has_a_row_for_each_test() {
        let all = table(&report(), true);
        assert_eq!(all.lines().count(), 1 + 2 + 3 + 1, "{all}");
        assert!(all.contains("1 / 1 / 1"), "{all}");
        assert!(!table(&report(), false).contains("\na "));
    }
}
