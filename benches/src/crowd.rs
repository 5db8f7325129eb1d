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

/// `create` alone, then with the crowd, then alone again: what changes with the time of day is on both sides.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let runtimes = crate::runtime::all(folders);
    let planc = runtimes.iter().find(|runtime| runtime.kind == Kind::Planc).ok_or("there is no planc")?;
    let bundle = Bundle::new(folders.bundles.join("default"));
    bundle.write();
    let mut alone = create(planc, &bundle)?;
    let mut floor = floors(folders, &bundle).into_iter().take(1).collect::<Vec<_>>();
    let mut floor_alone = again(&mut floor)?;
    let mut sleeper = Bundle::new(folders.bundles.join("sleeper"));
    sleeper.remove("/linux/resources").sleep().write();
    let crowd = planc.crowd(&sleeper, CONTAINERS).ok_or("there is no crowd")?;
    let within = create(planc, &bundle)?;
    let floor_within = again(&mut floor)?;
    let list = [planc.contender(&["list", "--format", "json"])].into();
    let list = Race::run("`list` of 1,000 containers", list, rounds(ROUNDS))?;
    drop(crowd);
    alone.extend(create(planc, &bundle)?);
    floor_alone.extend(again(&mut floor)?);

    LIST.judge_or(list.times("planc").map(of_median), "", "planc did not run");
    CREATE.judge(ratio_apart(&within, &alone), "");
    // The rounds are not the same: no ratio in rounds.
    let row = |name: &str, times: &[f64]| (name.to_owned(), results::of_race(times, times)[..4].to_vec());
    let rows = [row("planc, with none", &alone), row("planc, with 1,000", &within)];
    results::table("`create` with live containers", "ms", &results::RACE[..4], &rows);
    if !floor_alone.is_empty() {
        let rows = [row("floor, with none", &floor_alone), row("floor, with 1,000", &floor_within)];
        results::table("the floor of `run` with live containers", "ms", &results::RACE[..4], &rows);
    }
    Ok(())
}

/// What each takes now; earlier times are forgotten.
fn again(floor: &mut [Contender]) -> Result<Vec<f64>, String> {
    launch_in_turn(floor, rounds(ROUNDS))?;
    Ok(floor.iter_mut().flat_map(|floor| std::mem::take(&mut floor.times)).collect())
}

fn create(planc: &Runtime, bundle: &Bundle) -> Result<Vec<f64>, String> {
    let delete = planc.words(&["delete", "--force", "one-more"]);
    let delete: Vec<&str> = delete.iter().map(String::as_str).collect();
    let mut create = [planc.contender(&["create", "--bundle", bundle.arg(), "one-more"]).followed_by(&delete)];
    launch_in_turn(&mut create, rounds(ROUNDS))?;
    let [create] = create;
    Ok(create.times)
}
