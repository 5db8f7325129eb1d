//! Compares planc with runc, crun, youki and the floors, command by command, interleaved in one run, and says which goals are
//! met. The argument is one of [`BENCHES`].
//!
//! `PLANC` is planc's binary (default: beside this one); `RUNC`, `CRUN` and `YOUKI` are others than Debian's; `FLOOR` is the
//! source of the floor (default: ../shared/perf/floor.c); `ROUNDS` says how many rounds of each race are counted;
//! `ENGINE_PROFILES` is the folder with the engines' seccomp profiles; `BENCH_RESULTS` the file that results.rs writes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends the program")]

mod calls;
mod commands;
mod crowd;
#[path = "../../runtime-core/tests/seccomp/engine_like.rs"]
mod engine_like;
mod engines;
mod footprint;
mod host;
mod launch;
#[path = "../../runtime-core/tests/seccomp/libseccomp.rs"]
mod libseccomp;
mod memory;
mod mounts;
mod parallel;
mod programs;
mod race;
mod results;
mod runtime;
mod seccomp;
mod shim;
mod stats;
#[path = "../../runtime-core/src/compile/seccomp/table.rs"]
#[allow(dead_code, reason = "the compiler's")]
mod table;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use integration_tests::lane::Lane;

use crate::results::{not_run, say};

/// Where a bench puts things.
pub(crate) struct Folders {
    /// Bundles and programs.
    pub(crate) bundles: PathBuf,
    /// The states of the runtimes, on a tmpfs as /run is.
    pub(crate) states: PathBuf,
}

/// A name, the lane that a figure is one in, and what is measured.
type Bench = (&'static str, Lane, fn(&Folders) -> Result<(), String>);

const BENCHES: &[Bench] = &[
    ("launch", Lane::Native, launch::main),
    ("commands", Lane::Native, commands::main),
    ("crowd", Lane::Native, crowd::main),
    ("parallel", Lane::Native, parallel::main),
    ("footprint", Lane::Native, footprint::main),
    ("mounts", Lane::Native, mounts::main),
    ("calls", Lane::Native, calls::main),
    ("seccomp", Lane::Native, |_| seccomp::race()),
    ("memory", Lane::Uml, memory::main),
    ("shim", Lane::Native, shim::main),
    ("docker", Lane::Native, engines::docker),
    ("docker-uml", Lane::Uml, engines::docker),
    ("podman", Lane::Native, engines::podman),
];

fn main() -> ExitCode {
    let asked = env::args().nth(1).unwrap_or_default();
    let ended = match BENCHES.iter().find(|(name, ..)| *name == asked) {
        _ if asked == seccomp::ONCE => seccomp::once(),
        Some((name, lane, bench)) if *lane == Lane::current() => measure(name, *bench),
        Some((name, lane, _)) => {
            not_run(
                name,
                &format!("a figure of another kernel is none: lane {lane:?} only (cargo xtask bench -- {name})"),
            );
            Ok(())
        }
        None => {
            let names: Vec<&str> = BENCHES.iter().map(|(name, ..)| *name).collect();
            Err(format!("no bench is called {asked:?}: {}", names.join(", ")))
        }
    };
    ended.as_ref().err().into_iter().for_each(|why| say(&format!("error: {why}")));
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(name: &str, bench: fn(&Folders) -> Result<(), String>) -> Result<(), String> {
    let own = format!("planc-bench-{}", std::process::id());
    let folders = Folders { bundles: env::temp_dir().join(&own), states: PathBuf::from("/run").join(own) };
    for folder in [&folders.bundles, &folders.states] {
        fs::create_dir_all(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    }
    host::describe(name);
    let ended = bench(&folders);
    race::forget_complaints();
    // The states are in the lane's own /run.
    fs::remove_dir_all(&folders.bundles).map_err(|why| format!("{}: {why}", folders.bundles.display()))?;
    ended
}
