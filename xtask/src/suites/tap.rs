//! What tests print (TAP, in the dialects of the two suites), as verdicts.

use std::collections::BTreeMap;

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fail,
    Skip,
}

/// A test's verdict and, where it did not pass, what it says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) why: String,
}

/// Outcomes by the names of the tests.
pub(crate) type Outcomes = BTreeMap<String, Outcome>;

impl Verdict {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

impl Outcome {
    pub(crate) fn pass() -> Self {
        Self { verdict: Verdict::Pass, why: String::new() }
    }

    pub(crate) fn fail(why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, why: why.into() }
    }

    pub(crate) fn skip(why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skip, why: why.into() }
    }
}

/// A result line: `[not ] ok NUMBER [- ]DESCRIPTION [# SKIP WHY]`.
struct Line<'a> {
    ok: bool,
    description: &'a str,
    /// What follows `# SKIP`.
    skipped: Option<&'a str>,
}

fn result(line: &str) -> Option<Line<'_>> {
    let (ok, rest) = match line.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok")?),
    };
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
    let rest = rest.strip_prefix("- ").unwrap_or(rest).trim();
    let (description, skipped) = match rest.rsplit_once('#') {
        Some((description, directive)) if starts_with_skip(directive.trim_start()) => {
            (description.trim(), Some(directive.trim_start()["skip".len()..].trim()))
        }
        _ => (rest, None),
    };
    Some(Line { ok, description, skipped })
}

fn starts_with_skip(directive: &str) -> bool {
    directive.get(.."skip".len()).is_some_and(|word| word.eq_ignore_ascii_case("skip"))
}

/// The exit status in the last line, which the suites' scripts write.
fn status(text: &str) -> Option<i32> {
    let rest = text.lines().next_back()?.strip_prefix("# status=")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// How many tests a line `1..N` announces.
fn plan(line: &str) -> Option<usize> {
    line.strip_prefix("1..")?.split_whitespace().next()?.parse().ok()
}

/// The outcome of a whole program of the OCI validation suite: it passes when something in it was ok, nothing was not,
/// and the program says so by its exit status. A skipped assertion is no pass.
pub(crate) fn program(text: &str) -> Outcome {
    let (mut passed, mut skipped) = (0, None);
    for line in text.lines() {
        // runtimetest's own output is nested in that of the program that started the container.
        let Some(line) = result(line.trim_start()) else { continue };
        match line.skipped {
            Some(why) => skipped = skipped.or(Some([line.description, why])),
            None if line.ok => passed += 1,
            None => return Outcome::fail(line.description),
        }
    }
    let announced = text.lines().find_map(plan);
    match status(text) {
        None => Outcome::fail("no exit status"),
        Some(124 | 137) => Outcome::fail("did not end in time"),
        Some(0) if passed > 0 => Outcome::pass(),
        Some(0) => match skipped {
            Some(why) => Outcome::skip(why.join(" ").trim()),
            None if announced == Some(0) => Outcome::skip("1..0"),
            None => Outcome::fail("no assertion"),
        },
        Some(status) => Outcome::fail(format!("exit status {status}")),
    }
}

/// The outcomes of the tests in one file of runc's suite, named `FILE: TEST`. Those that were announced and did not come
/// are left out: who compares finds them.
pub(crate) fn file(file: &str, text: &str) -> Outcomes {
    let mut outcomes = Outcomes::new();
    let mut failed: Option<(String, Vec<&str>)> = None;
    let keep = |outcomes: &mut Outcomes, failed: Option<(String, Vec<&str>)>| {
        if let Some((name, said)) = failed {
            outcomes.insert(name, Outcome::fail(failure(&said)));
        }
    };
    for line in text.lines() {
        if let Some(line) = result(line) {
            keep(&mut outcomes, failed.take());
            // bats tells of a test that took too long as of one that is skipped.
            let description = line.description.split(" # timeout").next().unwrap_or(line.description);
            let name = format!("{file}: {description}");
            match (line.ok, line.skipped) {
                (false, _) => failed = Some((name, Vec::new())),
                (true, Some(why)) => drop(outcomes.insert(name, Outcome::skip(why))),
                (true, None) => drop(outcomes.insert(name, Outcome::pass())),
            }
        } else if let Some((_, said)) = &mut failed {
            said.extend(line.strip_prefix('#').map(str::trim));
        }
    }
    keep(&mut outcomes, failed);
    outcomes
}

/// Of what bats prints about a failure: the line of the test, and the last that was said before.
fn failure(said: &[&str]) -> String {
    let line = said.iter().find_map(|line| Some(line.strip_prefix('`')?.rsplit_once('\'')?.0));
    let body = said.split(|line| line.starts_with("--- teardown")).next().unwrap_or_default();
    let last = body.iter().rfind(|line| {
        let is_place = line.starts_with('(') || line.starts_with("in test file") || line.starts_with('`');
        !is_place && !line.is_empty() && !line.starts_with("status=")
    });
    let last = last.map(|last| without_time(last));
    match (line, last) {
        (Some(line), Some(last)) => format!("{line}: {last}"),
        (Some(line), None) => line.to_owned(),
        (None, last) => last.unwrap_or("nothing said").to_owned(),
    }
}

/// A line of a log without its time, which would differ from run to run.
fn without_time(line: &str) -> &str {
    line.strip_prefix("time=\"").and_then(|rest| Some(rest.split_once("\" ")?.1)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_passes_when_something_was_ok_and_nothing_was_not() {
        let passed = "TAP version 13\n1..2\nok 1 - root\n  ok 2 - mount\n# status=0 seconds=1\n";
        assert_eq!(program(passed), Outcome::pass());
        let failed = "1..2\nok 1 - root\n  not ok 2 - mount\n  ---\n# status=0 seconds=1\n";
        assert_eq!(program(failed), Outcome::fail("mount"));
    }

    #[test]
    fn no_assertion_is_no_pass() {
        assert_eq!(program("TAP version 13\n1..0\n# status=0 seconds=0\n"), Outcome::skip("1..0"));
        assert_eq!(program("TAP version 13\n# status=0 seconds=0\n"), Outcome::fail("no assertion"));
        let skip = "1..1\nok 1 # SKIP requires SELinux\n# status=0 seconds=0\n";
        assert_eq!(program(skip), Outcome::skip("requires SELinux"));
        let both = "1..2\nok 1 # skip x\nok 2 y\n# status=0 seconds=0\n";
        assert_eq!(program(both), Outcome::pass());
    }

    #[test]
    fn a_program_that_ends_badly_fails() {
        assert_eq!(program("1..1\nok 1 - x\n# status=1 seconds=0\n"), Outcome::fail("exit status 1"));
        assert_eq!(program("1..1\nok 1 - x\n# status=124 seconds=60\n"), Outcome::fail("did not end in time"));
        assert_eq!(program("1..1\nok 1 - x\n"), Outcome::fail("no exit status"));
    }

    #[test]
    fn words_that_begin_with_ok_are_no_results() {
        assert!(result("okay").is_none());
        assert!(result("not okay").is_none());
        assert!(result("ok").is_some());
    }

    #[test]
    fn tests_of_a_file() {
        let text = "1..4\nok 1 runc run\nok 2 runc # two # skip test requires systemd\n\
            not ok 3 runc kill\n# (in test file kill.bats, line 9)\n#   `[ \"$status\" -eq 0 ]' failed\n\
            # runc spec (status=0)\n#\n# time=\"now\" level=error msg=\"no such thing\"\n# --- teardown ---\n# rmdir: no\n\
            not ok 4 runc slow # timeout after 45s\n# status=1 seconds=3\n";
        let outcomes = file("kill", text);
        assert_eq!(outcomes.len(), 4);
        assert_eq!(outcomes["kill: runc run"], Outcome::pass());
        assert_eq!(outcomes["kill: runc # two"], Outcome::skip("test requires systemd"));
        assert_eq!(
            outcomes["kill: runc kill"],
            Outcome::fail("[ \"$status\" -eq 0 ]: level=error msg=\"no such thing\"")
        );
        assert_eq!(outcomes["kill: runc slow"].verdict, Verdict::Fail);
    }
}
