//! What a suite's outcomes say about planc: tests that need a reason, and reasons that need none any more.

use std::collections::BTreeSet;

use super::tap::{Outcome, Outcomes, Verdict};

/// Where a suite is run, as reasons name it: a lane, or a lane and a kind of user.
pub(crate) type Place = str;

/// Why planc does not pass some tests.
#[derive(Debug)]
pub(crate) struct Reason {
    pub(crate) places: &'static [&'static str],
    pub(crate) tests: &'static [&'static str],
    pub(crate) why: &'static str,
    /// The runtimes that pass them, if any: then it is an exception, and `why` argues it. planc among them: a race.
    pub(crate) despite: &'static [&'static str],
}

/// A runtime and its outcomes.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) runtime: String,
    pub(crate) outcomes: Outcomes,
}

/// What a suite asks of planc, beside every test that another runtime passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// A reason for each test that planc does not pass.
    Reasons,
    /// Nothing: where the others fail as well, it is the place.
    Others,
    /// A reason for each test that fails: one that is not run says why itself.
    Failures,
}

impl Measure {
    /// Whether a test that planc does not pass has to have a reason.
    fn asks_reason(self, ours: &Outcome) -> bool {
        match self {
            Self::Reasons => true,
            Self::Failures => ours.verdict == Verdict::Fail,
            Self::Others => false,
        }
    }
}

/// The reason listed for a test.
pub(crate) fn reason<'a>(reasons: &'a [Reason], place: &Place, test: &str) -> Option<&'a Reason> {
    reasons.iter().find(|reason| reason.places.contains(&place) && reason.tests.contains(&test))
}

/// How a runtime did a test: one that another reported and this one did not is a failure.
pub(crate) fn outcome(run: &Run, test: &str) -> Outcome {
    run.outcomes.get(test).cloned().unwrap_or_else(|| Outcome::fail("not reported"))
}

/// Every test that any of the runtimes reported.
pub(crate) fn tests(runs: &[Run]) -> BTreeSet<&str> {
    runs.iter().flat_map(|run| run.outcomes.keys()).map(String::as_str).collect()
}

/// What has to be mended: in planc, or in the list of reasons. `runs[0]` is planc's. With `whole`, reasons for tests
/// that the suite does not have are found too.
pub(crate) fn faults(measure: Measure, place: &Place, runs: &[Run], reasons: &[Reason], whole: bool) -> Vec<String> {
    let Some((planc, others)) = runs.split_first() else { return vec!["nothing was run".to_owned()] };
    let tests = tests(runs);
    let mut faults = Vec::new();
    if planc.outcomes.values().all(|outcome| outcome.verdict != Verdict::Pass) {
        faults.push(format!("{place}: planc passes no test"));
    }
    for &test in &tests {
        let ours = outcome(planc, test);
        let listed = reason(reasons, place, test);
        if ours.verdict == Verdict::Pass {
            if listed.is_some_and(|reason| !reason.despite.contains(&planc.runtime.as_str())) {
                faults.push(format!("{place}: {test}: passes, but has a reason not to"));
            }
            continue;
        }
        let excused = listed.map_or(&[][..], |reason| reason.despite);
        let passing: Vec<&str> = others
            .iter()
            .filter(|other| outcome(other, test).verdict == Verdict::Pass)
            .map(|other| other.runtime.as_str())
            .filter(|other| !excused.contains(other))
            .collect();
        let told = format!("{place}: {test}: {}: {}", ours.verdict.name(), ours.why);
        if !passing.is_empty() {
            faults.push(format!("{told} ({} passes it)", passing.join(", ")));
        } else if measure.asks_reason(&ours) && listed.is_none() {
            faults.push(format!("{told} (without a reason)"));
        }
    }
    let unknown = reasons.iter().filter(|reason| whole && reason.places.contains(&place));
    for test in unknown.flat_map(|reason| reason.tests).filter(|test| !tests.contains(*test)) {
        faults.push(format!("{place}: {test}: has a reason, but the suite has no such test"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const REASONS: &[Reason] = &[
        Reason { places: &["native"], tests: &["old"], why: "older than the specification", despite: &[] },
        Reason { places: &["native"], tests: &["text"], why: "greps for runc's sources", despite: &["runc"] },
    ];

    fn run(runtime: &str, outcomes: &[(&str, Outcome)]) -> Run {
        let outcomes = outcomes.iter().map(|(test, outcome)| ((*test).to_owned(), outcome.clone()));
        Run { runtime: runtime.to_owned(), outcomes: outcomes.collect() }
    }

    fn found(measure: Measure, place: &str, planc: &[(&str, Outcome)], other: &[(&str, Outcome)]) -> Vec<String> {
        faults(measure, place, &[run("planc", planc), run("runc", other)], REASONS, false)
    }

    #[test]
    fn a_reason_excuses_in_its_place_only() {
        let outcomes = [("new", Outcome::pass()), ("old", Outcome::fail("x"))];
        assert!(found(Measure::Reasons, "native", &outcomes, &outcomes).is_empty());
        let elsewhere = found(Measure::Reasons, "uml", &outcomes, &outcomes);
        assert_eq!(elsewhere, ["uml: old: fail: x (without a reason)"]);
    }

    #[test]
    fn a_reason_that_is_stale_is_a_fault() {
        let outcomes = [("old", Outcome::pass())];
        let stale = found(Measure::Reasons, "native", &outcomes, &outcomes);
        assert_eq!(stale, ["native: old: passes, but has a reason not to"]);
        assert_eq!(found(Measure::Others, "native", &outcomes, &outcomes), stale);
    }

    #[test]
    fn a_race_is_never_stale() {
        let reasons = [Reason { places: &["native"], tests: &["race"], why: "a race", despite: &["planc", "runc"] }];
        for (ours, other) in [(Outcome::pass(), Outcome::fail("x")), (Outcome::fail("x"), Outcome::pass())] {
            let runs = [run("planc", &[("new", Outcome::pass()), ("race", ours)]), run("runc", &[("race", other)])];
            let faults = faults(Measure::Reasons, "native", &runs, &reasons, true);
            assert!(faults.is_empty(), "{faults:?}");
        }
    }

    #[test]
    fn what_another_passes_is_excused_by_an_exception_only() {
        let planc = [("new", Outcome::pass()), ("old", Outcome::skip("x")), ("text", Outcome::fail("y"))];
        let other = ["new", "old", "text"].map(|test| (test, Outcome::pass()));
        for measure in [Measure::Reasons, Measure::Others, Measure::Failures] {
            assert_eq!(found(measure, "native", &planc, &other), ["native: old: skip: x (runc passes it)"]);
            assert_eq!(found(measure, "uml", &planc, &other).len(), 2);
        }
        let runs = [run("planc", &planc[..1]), run("crun", &other[2..])];
        assert_eq!(faults(Measure::Others, "native", &runs, REASONS, false).len(), 1, "it is argued against runc");
    }

    #[test]
    fn what_no_other_passes_needs_no_exception() {
        let planc = [("new", Outcome::pass()), ("any", Outcome::fail("x"))];
        assert!(found(Measure::Others, "native", &planc, &planc).is_empty());
    }

    #[test]
    fn a_test_that_was_not_reported_is_a_failure() {
        let planc = [("new", Outcome::pass())];
        let runc = [("new", Outcome::pass()), ("late", Outcome::pass())];
        let faults = found(Measure::Others, "native", &planc, &runc);
        assert_eq!(faults, ["native: late: fail: not reported (runc passes it)"]);
    }

    #[test]
    fn a_suite_without_a_pass_is_a_fault() {
        let nothing = [("old", Outcome::skip("x"))];
        assert_eq!(found(Measure::Others, "native", &nothing, &nothing), ["native: planc passes no test"]);
    }

    #[test]
    fn a_reason_for_no_test_of_the_suite_is_a_fault() {
        let runs = [run("planc", &[("new", Outcome::pass())])];
        assert_eq!(faults(Measure::Reasons, "native", &runs, REASONS, true).len(), 2);
        assert!(faults(Measure::Reasons, "uml", &runs, REASONS, true).is_empty());
    }
}
