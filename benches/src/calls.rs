//! What a system call costs in a container: without a filter, and under Docker's profile, as planc and as libseccomp's tree.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use integration_tests::bundle::Bundle;
use serde_json::Value;

use crate::Folders;
use crate::programs::{Linked, program};
use crate::race::{WARM_UP, rounds};
use crate::results::{self, Goal, not_run};
use crate::runtime::{Kind, Runtime};
use crate::stats::{median, ratio_in_rounds};

/// Two filters of which neither is run cannot be told apart more closely than this.
const SAME: f64 = 1.02;
const OVERHEAD: Goal = Goal::at_most("a system call under Docker's profile, times under libseccomp's tree", SAME, "×");

/// The calls of c/calls.c.
const CALLS: [&str; 2] = ["getppid", "personality"];
/// Slices of a container, and calls of a slice: 2 ms and less.
const SLICES: &str = "60";
const COUNT: &str = "5000";
const ROUNDS: usize = 200;

/// Who makes which container.
struct Caller<'a> {
    name: String,
    runtime: &'a Runtime,
    bundle: Bundle,
    times: Vec<f64>,
}

/// Both calls.
pub(crate) fn main(folders: &Folders) -> Result<(), String> {
    let profile = env::var_os("ENGINE_PROFILES").map(|folder| PathBuf::from(folder).join("docker.json"));
    let profile = profile.as_deref().map(fs::read).and_then(Result::ok);
    let Some(profile) = profile.and_then(|text| serde_json::from_slice::<Value>(&text).ok()) else {
        OVERHEAD.is_not_measured("ENGINE_PROFILES names no folder with docker.json");
        return Ok(());
    };
    let program = program("calls", Linked::Statically, folders).ok_or("calls.c does not compile")?;
    let runtimes = crate::runtime::all(folders);
    for call in CALLS {
        let bundle = |name: &str, profile: Option<&Value>| {
            let mut bundle = Bundle::new(folders.bundles.join(format!("{call}-{name}")));
            fs::copy(&program, bundle.rootfs("bin/calls")).unwrap();
            bundle.remove("/linux/resources").args(&["/bin/calls", call, SLICES, COUNT]);
            if let Some(profile) = profile {
                bundle.set("/linux/seccomp", profile.clone());
            }
            bundle.write();
            bundle
        };
        let (free, filtered) = (bundle("free", None), bundle("filtered", Some(&profile)));
        let mut callers = Vec::new();
        for runtime in &runtimes {
            if runtime.kind == Kind::Planc {
                callers.push(Caller::new(runtime, "no filter", &free));
            }
            callers.push(Caller::new(runtime, "Docker's profile", &filtered));
        }
        callers.retain(|caller| caller.call().map_err(|why| not_run(&caller.name, &why)).is_ok());
        race(&mut callers)?;
        report(call, &callers);
    }
    Ok(())
}

fn race(callers: &mut [Caller<'_>]) -> Result<(), String> {
    let count = callers.len();
    for round in 0..WARM_UP + rounds(ROUNDS) {
        for place in 0..count {
            let caller = &mut callers[(place + round) % count];
            let time = caller.call()?;
            if round >= WARM_UP {
                caller.times.push(time);
            }
        }
    }
    Ok(())
}

fn report(call: &str, callers: &[Caller<'_>]) {
    let first = callers.first().map(|caller| &*caller.times).unwrap_or_default();
    let row = |caller: &Caller<'_>| (caller.name.clone(), results::of_race(&caller.times, first));
    let rows: Vec<_> = callers.iter().map(row).collect();
    results::table(&format!("one `{call}` in a container"), "ns", results::RACE, &rows);
    let filtered = |caller: &&Caller<'_>| caller.name.ends_with("profile");
    let ours = callers.iter().filter(filtered).find(|caller| caller.runtime.kind == Kind::Planc);
    // The better one of the others.
    let others = callers.iter().filter(filtered).filter(|caller| caller.runtime.kind != Kind::Planc);
    let best = others.min_by(|one, other| median(&one.times).total_cmp(&median(&other.times)));
    match ours.zip(best) {
        Some((ours, best)) => {
            let beside = format!("`{call}`, beside {}", best.runtime.name);
            OVERHEAD.judge(ratio_in_rounds(&ours.times, &best.times), &beside);
        }
        None => OVERHEAD.is_not_measured("no runtime with libseccomp runs here"),
    }
}

impl<'a> Caller<'a> {
    fn new(runtime: &'a Runtime, what: &str, bundle: &Bundle) -> Self {
        let name = format!("{}, {what}", runtime.name);
        Self { name, runtime, bundle: bundle.clone(), times: Vec::new() }
    }

    /// Nanoseconds of one call, as the program in the container says.
    fn call(&self) -> Result<f64, String> {
        let words = self.runtime.words(&["run", "--bundle", self.bundle.arg(), "calls"]);
        let output = Command::new(&words[0]).args(&words[1..]).output().map_err(|why| why.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let why = || format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        said.trim().parse().ok().filter(|_| output.status.success()).ok_or_else(why)
    }
}
