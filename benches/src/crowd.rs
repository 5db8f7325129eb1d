//! What 1,000 live containers cost those who come after: `list`, and `create`.

use integration_tests::bundle::Bundle;

use crate::Folders;
use crate::launch::floors;
use crate::race::{Contender, Race, launch_in_turn, rounds};
use crate::results::{self, Goal};
use crate::runtime::{Kind, Runtime};
use crate::stats::{of_median, ratio_apart};

const LIST: Goal = Goal::at_most("`list` of 1,000 containers", 30.0, "ms");
const CREATE: Goal = Goal::at_most("`create` with 1,000 live containers, times with none", 1.2, "×");

const CONTAINERS: usize = 1000;
const ROUNDS: usize = 300;
/// How often the crowd comes and goes: what changes with the time of day is with it and without.
const CROWDS: usize = 3;

/// `create` and the floor in turn, without the crowd and with it; `list` with the last one.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let runtimes = crate::runtime::all(folders);
    let planc = runtimes.iter().find(|runtime| runtime.kind == Kind::Planc).ok_or("there is no planc")?;
    let bundle = Bundle::new(folders.bundles.join("default"));
    bundle.write();
    let mut sleeper = Bundle::new(folders.bundles.join("sleeper"));
    sleeper.remove("/linux/resources").sleep().write();

    let (mut alone, mut within) = (racers(planc, &bundle, folders), racers(planc, &bundle, folders));
    let mut listed = None;
    for crowds in 1..=CROWDS {
        launch_in_turn(&mut alone, rounds(ROUNDS) / CROWDS)?;
        let crowd = planc.crowd(&sleeper, CONTAINERS).ok_or("there is no crowd")?;
        launch_in_turn(&mut within, rounds(ROUNDS) / CROWDS)?;
        if crowds == CROWDS {
            let list = [planc.contender(&["list", "--format", "json"])].into();
            listed = Some(Race::run("`list` of 1,000 containers", list, rounds(ROUNDS))?);
        }
        drop(crowd);
    }

    LIST.judge_or(listed.as_ref().and_then(|listed| listed.times("planc")).map(of_median), "", "planc did not run");
    CREATE.judge(ratio_apart(&within[0].times, &alone[0].times), "");
    // The rounds are not the same: no ratio in rounds.
    let columns = &results::RACE[..4];
    let row = |what: &str, one: &Contender| {
        (format!("{}, {what}", one.name), results::of_race(&one.times, &one.times)[..columns.len()].to_vec())
    };
    let rows: Vec<_> = alone
        .iter()
        .zip(&within)
        .flat_map(|(alone, within)| [row("with none", alone), row("with 1,000", within)])
        .collect();
    results::table("`create`, and the floor of `run`, with live containers", "ms", columns, &rows);
    Ok(())
}

/// `create` of planc, and the floor where there is one.
fn racers(planc: &Runtime, bundle: &Bundle, folders: &Folders) -> Vec<Contender> {
    let delete = planc.words(&["delete", "--force", "one-more"]);
    let delete: Vec<&str> = delete.iter().map(String::as_str).collect();
    let create = planc.contender(&["create", "--bundle", bundle.arg(), "one-more"]).followed_by(&delete);
    [create].into_iter().chain(floors(folders, bundle).into_iter().take(1)).collect()
}
