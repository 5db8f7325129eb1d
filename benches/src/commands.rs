//! The commands that make no process: `features`, `state`, `kill`, `ps`, beside a program that does nothing.

use integration_tests::bundle::Bundle;

use crate::Folders;
use crate::programs::{Linked, program};
use crate::race::{Contender, Race, rounds};
use crate::results::Goal;
use crate::runtime::Crowd;
use crate::stats::{difference_in_rounds, of_median};

const FEATURES: Goal = Goal::at_most("`features`", 2.0, "ms");
const STATE: Goal = Goal::at_most("`state`, above an empty static program", 1.0, "ms");
const KILL: Goal = Goal::at_most("`kill`, above an empty static program", 1.0, "ms");

const ROUNDS: usize = 200;
const EMPTY: &str = "an empty static program";

/// All races.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let runtimes = crate::runtime::all(folders);
    let empty = program("empty", Linked::Statically, folders).ok_or("the empty program does not compile")?;
    let empty = || Contender::new(EMPTY, &[empty.to_str().unwrap()]);

    let features = runtimes.iter().filter_map(|runtime| runtime.contender(&["features"]).able());
    let race = Race::run("`features`", [empty()].into_iter().chain(features).collect(), rounds(ROUNDS))?;
    FEATURES.judge_or(race.times("planc").map(of_median), "", "planc did not run");

    let mut bundle = Bundle::new(folders.bundles.join("sleeper"));
    bundle.remove("/linux/resources").sleep().write();
    let crowds: Vec<Crowd<'_>> = runtimes.iter().filter_map(|runtime| runtime.crowd(&bundle, 1)).collect();
    let contest = |title: &str, words: &dyn Fn(&str) -> Vec<String>| {
        let contenders = crowds.iter().filter_map(|crowd| {
            let words = words(crowd.id());
            crowd.runtime().contender(&words.iter().map(String::as_str).collect::<Vec<_>>()).able()
        });
        Race::run(title, [empty()].into_iter().chain(contenders).collect(), rounds(ROUNDS))
    };
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let above = |race: &Race| race.pair("planc", EMPTY).map(|(planc, empty)| difference_in_rounds(planc, empty));
    let race = contest("`state`", &|id| words(&["state", id]))?;
    STATE.judge_or(above(&race), "", "planc did not run");
    // SIGWINCH: nothing happens to a program that has no handler for it.
    let race = contest("`kill` with SIGWINCH", &|id| words(&["kill", id, "WINCH"]))?;
    KILL.judge_or(above(&race), "", "planc did not run");
    contest("`ps --format json`", &|id| words(&["ps", "--format", "json", id])).map(drop)
}
