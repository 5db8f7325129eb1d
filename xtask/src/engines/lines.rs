//! What scenarios print, as verdicts: `ok NAME (N ms)`, `FAIL NAME (N ms): WHY`, `NOT RUN NAME: WHY`, and at the end
//! `N passed, N failed, N not run`.

use crate::run::Result;
use crate::suites::tap::{self, Outcome};

/// The verdicts so far.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    outcomes: tap::Outcomes,
    ended: bool,
}

impl Outcomes {
    pub(super) fn add(&mut self, line: &str) {
        if let Some((name, outcome)) = verdict(line) {
            self.outcomes.insert(name.to_owned(), outcome);
        }
        self.ended |= line.contains(" passed, ") && line.ends_with(" not run");
    }

    /// All of them.
    ///
    /// # Errors
    /// When the last line did not come.
    pub(super) fn whole(mut self) -> Result<tap::Outcomes> {
        // It is told only where something is left behind.
        self.outcomes.entry("end".to_owned()).or_insert_with(Outcome::pass);
        if self.ended { Ok(self.outcomes) } else { Err("the run of the scenarios did not come to its end".to_owned()) }
    }
}

fn verdict(line: &str) -> Option<(&str, Outcome)> {
    if let Some(rest) = line.strip_prefix("ok ") {
        return Some((rest.split_once(" (")?.0, Outcome::pass()));
    }
    if let Some(rest) = line.strip_prefix("FAIL ") {
        let (name, rest) = rest.split_once(" (")?;
        return Some((name, Outcome::fail(rest.split_once("): ")?.1)));
    }
    let (name, why) = line.strip_prefix("NOT RUN ")?.split_once(": ")?;
    Some((name, Outcome::skip(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_verdicts() {
        let mut outcomes = Outcomes::default();
        for line in ["ok run::a (12 ms)", "FAIL run::b (3 ms): no: (x): y", "NOT RUN run::c: no criu", "time=x ok y"] {
            outcomes.add(line);
        }
        assert!(Outcomes { outcomes: outcomes.outcomes.clone(), ended: false }.whole().is_err());
        outcomes.add("1 passed, 1 failed, 1 not run");
        let outcomes = outcomes.whole().unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(outcomes.len(), 4);
        assert_eq!(outcomes["end"], Outcome::pass());
        assert_eq!(outcomes["run::a"], Outcome::pass());
        assert_eq!(outcomes["run::b"], Outcome::fail("no: (x): y"));
        assert_eq!(outcomes["run::c"], Outcome::skip("no criu"));
    }
}
