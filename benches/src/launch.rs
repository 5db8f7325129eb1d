//! `run` and `exec` of /bin/true beside the floors and the other runtimes.

use integration_tests::bundle::Bundle;

use crate::Folders;
use crate::programs::{self, Linked, program};
use crate::race::{Contender, Race, rounds};
use crate::results::Goal;
use crate::runtime::{Kind, Runtime, newest};
use crate::stats::ratio_in_rounds;

const RUN_FLOOR: Goal = Goal::at_most("`run`, times the floor", 1.25, "×");
const RUN_CRUN: Goal = Goal::at_least("`run`, times faster than crun", 2.2, "×");
const RUN_RUNC: Goal = Goal::at_least("`run`, times faster than runc 1.5", 8.0, "×");
const EXEC_FLOOR: Goal = Goal::at_most("`exec`, times the exec floor", 1.3, "×");
const EXEC_CRUN: Goal = Goal::at_least("`exec`, times faster than crun", 3.0, "×");

/// Rounds of each race.
const ROUNDS: usize = 200;

/// Both races.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let runtimes = crate::runtime::all(folders);
    run(folders, &runtimes)?;
    exec(folders, &runtimes)
}

/// The default bundle, and the same without `linux.resources`: crun 1.8 raises RLIMIT_MEMLOCK for its device filter, which a
/// machine without CAP_SYS_RESOURCE denies.
fn run(folders: &Folders, runtimes: &[Runtime]) -> Result<(), String> {
    let full = Bundle::new(folders.bundles.join("default"));
    full.write();
    let mut plain = Bundle::new(folders.bundles.join("plain"));
    plain.remove("/linux/resources").write();
    let of = |bundle: &Bundle| -> Vec<Contender> {
        let able = runtimes.iter().filter_map(|runtime| runtime.run(bundle).able());
        floors(folders, bundle).into_iter().chain(able).collect()
    };
    let race = Race::run("`run` of /bin/true", of(&full), rounds(ROUNDS))?;
    let without = Race::run("`run` of /bin/true without linux.resources", of(&plain), rounds(ROUNDS))?;
    let floor = race.pair("planc", "floor").map(|(planc, floor)| ratio_in_rounds(planc, floor));
    RUN_FLOOR.judge_or(floor, "", "the floor or planc did not run");
    let faster = |race: &Race, kind| {
        let other = newest(kind, named(race, runtimes))?.to_owned();
        race.pair(&other, "planc").map(|(other, planc)| ratio_in_rounds(other, planc)).map(|ratio| (ratio, other))
    };
    match faster(&race, Kind::Crun).or_else(|| {
        faster(&without, Kind::Crun).map(|(ratio, name)| (ratio, format!("{name}, both without linux.resources")))
    }) {
        Some((ratio, name)) => RUN_CRUN.judge(ratio, &name),
        None => RUN_CRUN.is_not_measured("no crun runs here"),
    }
    match faster(&race, Kind::Runc) {
        Some((ratio, name)) if name.starts_with("runc 1.5") => RUN_RUNC.judge(ratio, &name),
        Some((ratio, name)) => {
            let beside = format!("RUNC names no runc 1.5; {name} takes {:.2} times as long as planc", ratio.figure);
            RUN_RUNC.is_not_measured(&beside);
        }
        None => RUN_RUNC.is_not_measured("no runc runs here"),
    }
    Ok(())
}

/// Those of a race that are runtimes.
fn named<'a>(race: &'a Race, runtimes: &'a [Runtime]) -> impl Iterator<Item = (Kind, &'a str)> {
    let runs = |runtime: &&Runtime| race.times(&runtime.name).is_some();
    runtimes.iter().filter(runs).map(|runtime| (runtime.kind, runtime.name.as_str()))
}

/// The floor, linked as `cc` does, which the goals are of; and statically.
pub(crate) fn floors(folders: &Folders, bundle: &Bundle) -> Vec<Contender> {
    // It makes no mount points.
    for path in ["proc", "dev", "sys"] {
        std::fs::create_dir_all(bundle.rootfs(path)).unwrap();
    }
    let rootfs = bundle.rootfs("");
    let floor = |name: &str, linked| {
        let program = programs::floor(linked, folders)?;
        Contender::new(name, &[program.to_str().unwrap(), rootfs.to_str().unwrap()]).able()
    };
    [floor("floor", Linked::Dynamically), floor("floor, linked statically", Linked::Statically)]
        .into_iter()
        .flatten()
        .collect()
}

/// Each in a container of its own runtime; the floor in planc's.
fn exec(folders: &Folders, runtimes: &[Runtime]) -> Result<(), String> {
    let mut bundle = Bundle::new(folders.bundles.join("sleeper"));
    bundle.remove("/linux/resources").sleep().write();
    let crowds: Vec<_> = runtimes.iter().filter_map(|runtime| runtime.crowd(&bundle, 1)).collect();
    let mut contenders = Vec::new();
    let planc = crowds.iter().find(|crowd| crowd.runtime().kind == Kind::Planc);
    if let Some((pid, cgroup)) = planc.and_then(|crowd| crowd.place()) {
        let floor = |name: &str, linked| {
            let program = program("exec-floor", linked, folders)?;
            Contender::new(name, &[program.to_str().unwrap(), &pid.to_string(), &cgroup]).able()
        };
        contenders.extend(floor("exec floor", Linked::Dynamically));
        contenders.extend(floor("exec floor, linked statically", Linked::Statically));
    }
    contenders.extend(crowds.iter().filter_map(|crowd| {
        let words = ["exec", crowd.id(), "/bin/true"];
        crowd.runtime().contender(&words).able()
    }));
    let race = Race::run("`exec` of /bin/true", contenders, rounds(ROUNDS))?;
    let floor = race.pair("planc", "exec floor").map(|(planc, floor)| ratio_in_rounds(planc, floor));
    EXEC_FLOOR.judge_or(floor, "", "the exec floor or planc did not run");
    let crun = newest(Kind::Crun, named(&race, runtimes)).unwrap_or_default();
    let faster = race.pair(crun, "planc").map(|(crun, planc)| ratio_in_rounds(crun, planc));
    EXEC_CRUN.judge_or(faster, crun, "no crun runs here");
    Ok(())
}
