//! `run` on a host with few mounts and with 4,000.

use std::fs;
use std::path::Path;

use integration_tests::bundle::Bundle;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::Folders;
use crate::launch::floors;
use crate::race::{Contender, launch_in_turn, rounds};
use crate::results::{self, Goal};
use crate::stats::ratio_apart;

const FLAT: Goal = Goal::at_most("`run` with 4,000 mounts on the host, times its own with few", 1.3, "×");

const MOUNTS: usize = 4000;
const ROUNDS: usize = 100;

/// With few, with many, and with few again: what changes with the time of day is on both sides.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let mut bundle = Bundle::new(folders.bundles.join("plain"));
    bundle.remove("/linux/resources").write();
    let runtimes = crate::runtime::all(folders);
    let floor = floors(folders, &bundle).into_iter().take(1);
    let able = runtimes.iter().filter_map(|runtime| runtime.run(&bundle).able());
    let mut contenders: Vec<Contender> = floor.chain(able).collect();
    let mut launch = |rounds: usize| -> Result<Vec<Contender>, String> {
        launch_in_turn(&mut contenders, rounds)?;
        let taken = |one: &mut Contender| Contender::launched(&one.name, std::mem::take(&mut one.times));
        Ok(contenders.iter_mut().map(taken).collect())
    };
    let usual = count()?;
    let folder = folders.states.join("mounts");
    let mut few = launch(rounds(ROUNDS) / 2)?;
    make(&folder, MOUNTS.saturating_sub(usual))?;
    let all = count()?;
    let many = launch(rounds(ROUNDS))?;
    umount2(&folder, MntFlags::MNT_DETACH).map_err(|why| format!("{}: {why}", folder.display()))?;
    for (few, more) in few.iter_mut().zip(launch(rounds(ROUNDS) / 2)?) {
        few.times.extend(more.times);
    }
    results::race(&format!("`run` with {usual} mounts on the host"), "ms", &few);
    results::race(&format!("`run` with {all} mounts on the host"), "ms", &many);
    let of = |all: &[Contender]| all.iter().find(|contender| contender.name == "planc").map(|all| all.times.clone());
    let ratio = of(&many).zip(of(&few)).map(|(many, few)| ratio_apart(&many, &few));
    FLAT.judge_or(ratio, &format!("{usual} and {all} mounts"), "planc did not run");
    Ok(())
}

fn count() -> Result<usize, String> {
    fs::read_to_string("/proc/self/mountinfo").map(|text| text.lines().count()).map_err(|why| why.to_string())
}

/// Bind mounts below a folder that is a mount itself, so that they go with it.
fn make(folder: &Path, count: usize) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|why| why.to_string())?;
    let none: Option<&str> = None;
    let failed = |why: nix::Error| format!("mounts below {}: {why}", folder.display());
    mount(Some("many"), folder, Some("tmpfs"), MsFlags::empty(), none).map_err(failed)?;
    for n in 1..count {
        let place = folder.join(n.to_string());
        fs::create_dir(&place).map_err(|why| why.to_string())?;
        mount(Some(&place), &place, none, MsFlags::MS_BIND, none).map_err(failed)?;
    }
    Ok(())
}
