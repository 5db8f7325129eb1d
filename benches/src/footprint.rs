//! How much memory the commands take, and init in a created container.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use integration_tests::bundle::Bundle;

use crate::Folders;
use crate::programs::{Linked, program};
use crate::results::{self, Goal, not_run};
use crate::runtime::{Kind, Runtime};
use crate::stats::Interval;

const COMMANDS: Goal = Goal::at_most("peak resident size of any command", 2.5, "MB");
const INIT: Goal = Goal::at_most("init of a created container, PSS", 150.0, "KiB");

/// The commands.
const NAMES: [&str; 10] = ["features", "run", "create", "start", "state", "exec", "list", "ps", "kill", "delete"];

/// Of so many launches the greatest counts.
const LAUNCHES: usize = 3;

/// Every command of each runtime, in KiB.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let peak = program("peak", Linked::Statically, folders).ok_or("NOT RUN: peak.c does not compile")?;
    let mut bundle = Bundle::new(folders.bundles.join("sleeper"));
    bundle.remove("/linux/resources").sleep().write();
    let mut brief = Bundle::new(folders.bundles.join("brief"));
    brief.remove("/linux/resources").write();
    let (mut rows, mut inits) = (Vec::new(), Vec::new());
    for runtime in crate::runtime::all(folders) {
        match weigh(&peak, &runtime, &bundle, &brief) {
            Ok((sizes, init)) => {
                if runtime.kind == Kind::Planc {
                    judge(&sizes, init);
                }
                rows.push((runtime.name.clone(), sizes));
                inits.push((runtime.name, vec![init]));
            }
            Err(why) => not_run(&runtime.name, &why),
        }
    }
    results::table("peak resident size of each command", "KiB", &NAMES, &rows);
    results::table("init of a created container", "KiB", &["PSS"], &inits);
    Ok(())
}

fn judge(sizes: &[f64], init: f64) {
    let greatest = NAMES.iter().zip(sizes).max_by(|one, other| one.1.total_cmp(other.1));
    if let Some((name, size)) = greatest {
        COMMANDS.judge(Interval::exact(size * 1024.0 / 1e6), &format!("`{name}`"));
    }
    INIT.judge(Interval::exact(init), "");
}

/// The commands of a container's life, each some times; with the proportional set size of its init when it is created.
fn weigh(peak: &Path, runtime: &Runtime, bundle: &Bundle, brief: &Bundle) -> Result<(Vec<f64>, f64), String> {
    let commands: [&[&str]; NAMES.len()] = [
        &["features"],
        &["run", "--bundle", brief.arg(), "weighed"],
        &["create", "--bundle", bundle.arg(), "weighed"],
        &["start", "weighed"],
        &["state", "weighed"],
        &["exec", "weighed", "/bin/true"],
        &["list"],
        &["ps", "--format", "json", "weighed"],
        &["kill", "weighed", "WINCH"],
        &["delete", "--force", "weighed"],
    ];
    let (mut sizes, mut init) = (vec![0.0_f64; NAMES.len()], 0.0_f64);
    for _ in 0..LAUNCHES {
        for (words, size) in commands.iter().zip(&mut sizes) {
            match peak_of(peak, &runtime.words(words)) {
                Ok(peak) => *size = size.max(peak),
                // A command that it does not have.
                Err(_) if runtime.kind != Kind::Planc && words[0] == "features" => *size = f64::NAN,
                Err(why) => return Err(why),
            }
            if words[0] == "create" {
                let pss = runtime.pid("weighed").and_then(pss);
                init = init.max(pss.ok_or("init's smaps_rollup cannot be read")?);
            }
        }
    }
    Ok((sizes, init))
}

/// Kibibytes.
fn peak_of(peak: &Path, words: &[String]) -> Result<f64, String> {
    // Without a pipe for stderr: a created container would hold it open.
    let mut command = Command::new(peak);
    let output = command.args(words).stderr(Stdio::inherit()).output().map_err(|why| why.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match said.split_whitespace().collect::<Vec<_>>()[..] {
        [size, "0"] => size.parse().map_err(|_| format!("{size} is no size")),
        [_, status] => Err(format!("{}: exit status {status}", words.join(" "))),
        _ => Err(format!("peak: {}", output.status)),
    }
}

/// Kibibytes.
fn pss(pid: u64) -> Option<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?.trim().trim_end_matches(" kB").trim().parse().ok()
}
