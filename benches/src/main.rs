//! Compares planc with runc, crun and the floor, command by command, interleaved in one run: `run` of the default bundle
//! with /bin/true; `features`; `exec` of /bin/true, `state`, `ps` and `list` where containers run already.
//!
//! With the argument `seccomp`: how long a seccomp profile takes to compile, beside libseccomp; in any lane.
//!
//! With the argument `shim`: the shims under containerd (shim.rs says what); with `docker` or `podman`: the runtimes under that
//! engine (engines.rs).
//!
//! `PLANC` is planc's binary (default: beside this one), `FLOOR` the source of the floor (default:
//! ../shared/perf/floor.c), `ROUNDS` how many rounds of each race are counted (default 60). Only in lane native.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends the program")]

#[path = "../../runtime-core/tests/seccomp/engine_like.rs"]
mod engine_like;
mod engines;
#[path = "../../runtime-core/tests/seccomp/libseccomp.rs"]
mod libseccomp;
mod report;
mod runtime;
mod seccomp;
mod shim;
#[path = "../../runtime-core/src/compile/seccomp/table.rs"]
#[allow(dead_code, reason = "the compiler's")]
mod table;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use integration_tests::bundle::Bundle;
use integration_tests::lane::Lane;

use crate::runtime::Runtime;

/// Rounds that are not counted: page cache, cgroup and namespace caches fill.
const WARM_UP: usize = 5;

/// How many containers run while the commands that look at them are measured.
const CONTAINERS: usize = 20;

/// Who takes part: a name, and the command line of one launch.
pub(crate) struct Contender {
    name: String,
    words: Vec<String>,
    times: Vec<Duration>,
}

impl Contender {
    fn new(name: impl Into<String>, words: &[&str]) -> Self {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Self { name: name.into(), words, times: Vec::new() }
    }

    /// One launch to its end.
    fn launch(&self) -> Result<Duration, String> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let begin = Instant::now();
        let output = command.output().map_err(|error| format!("{}: {error}", self.words[0]))?;
        let time = begin.elapsed();
        let why = || String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        output.status.success().then_some(time).ok_or_else(|| format!("{}: {}", output.status, why()))
    }

    /// Itself, where one launch succeeds; else a NOT RUN line.
    fn able(self) -> Option<Self> {
        let failure = self.launch().err();
        if let Some(why) = &failure {
            say(&format!("NOT RUN: {}: {why}", self.name));
        }
        failure.is_none().then_some(self)
    }
}

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("seccomp") {
        let failed = seccomp::race().err();
        failed.iter().for_each(|why| say(&format!("error: {why}")));
        return if failed.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    if Lane::current() != Lane::Native {
        say("NOT RUN: benches: a figure of another kernel is none: lane native only (cargo xtask lane native)");
        return ExitCode::SUCCESS;
    }
    let asked: Option<fn() -> Result<(), String>> = match env::args().nth(1).as_deref() {
        Some("shim") => Some(shim::main),
        Some("docker") => Some(engines::docker),
        Some("podman") => Some(engines::podman),
        _ => None,
    };
    if let Some(bench) = asked {
        let failed = bench().err();
        failed.iter().for_each(|why| say(&format!("error: {why}")));
        return if failed.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let dir = env::temp_dir().join(format!("planc-bench-{}", std::process::id()));
    let failed = [race_of_features(&dir), race_of_run(&dir), race_among_containers(&dir)]
        .into_iter()
        .filter_map(Result::err)
        .collect::<Vec<_>>();
    fs::remove_dir_all(&dir).unwrap();
    failed.iter().for_each(|why| say(&format!("error: {why}")));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn rounds() -> usize {
    env::var("ROUNDS").ok().map_or(60, |rounds| rounds.parse().expect("ROUNDS is no number"))
}

/// Launches each once a round, in an order that turns, so that nobody always comes behind the same one.
fn race(title: &str, mut contenders: Vec<Contender>) -> Result<(), String> {
    let count = contenders.len();
    for round in 0..WARM_UP + rounds() {
        for place in 0..count {
            let contender = &mut contenders[(place + round) % count];
            let time = contender.launch().map_err(|why| format!("{} in round {round}: {why}", contender.name))?;
            if round >= WARM_UP {
                contender.times.push(time);
            }
        }
    }
    say(&report::table(title, &contenders));
    Ok(())
}

fn planc() -> PathBuf {
    let beside = env::current_exe().unwrap().with_file_name("planc");
    env::var_os("PLANC").map_or(beside, PathBuf::from)
}

/// The runtimes, by name and path.
fn all() -> [(&'static str, String); 3] {
    let planc = planc().to_str().unwrap().to_owned();
    [("planc", planc), ("runc", "/usr/sbin/runc".to_owned()), ("crun", "/usr/bin/crun".to_owned())]
}

fn race_of_run(dir: &Path) -> Result<(), String> {
    let full = Bundle::new(dir.join("bundle"));
    full.write();
    let mut plain = Bundle::new(dir.join("plain"));
    plain.remove("/linux/resources").write();
    let run = |name: &str, path: &str, bundle: &Bundle| {
        let runtime = Runtime::new(name, path, dir)?;
        runtime.contender(&["run", "--bundle", bundle.arg(), &format!("bench-{}", std::process::id())]).able()
    };
    let mut contenders = Vec::new();
    contenders.extend(floor(dir, &full).and_then(|program| {
        let rootfs = full.dir().join("rootfs");
        Contender::new("floor", &[program.to_str().unwrap(), rootfs.to_str().unwrap()]).able()
    }));
    contenders.extend(run("planc", planc().to_str().unwrap(), &full));
    contenders.extend(run("runc", "/usr/sbin/runc", &full));
    // crun raises RLIMIT_MEMLOCK for its device filter, which a machine without CAP_SYS_RESOURCE denies.
    let crun = run("crun", "/usr/bin/crun", &full);
    contenders.extend(crun.or_else(|| run("crun, without device rules", "/usr/bin/crun", &plain)));
    race("run of /bin/true", contenders)
}

/// Engines ask at each of their starts.
fn race_of_features(dir: &Path) -> Result<(), String> {
    let runtimes = all().into_iter().filter_map(|(name, path)| Runtime::new(name, &path, dir));
    race("features", runtimes.filter_map(|runtime| runtime.contender(&["features"]).able()).collect())
}

/// The commands that look at a container, or join it.
fn race_among_containers(dir: &Path) -> Result<(), String> {
    let mut bundle = Bundle::new(dir.join("sleeper"));
    bundle.remove("/linux/resources").sleep().write();
    let runtimes = all().into_iter().filter_map(|(name, path)| Runtime::new(name, &path, dir));
    let runtimes: Vec<Runtime> = runtimes.collect();
    let crowds: Vec<_> = runtimes.iter().filter_map(|runtime| runtime.crowd(&bundle, CONTAINERS)).collect();
    let contest = |title: &str, words: &dyn Fn(&str) -> Vec<String>| {
        let contenders = crowds.iter().filter_map(|crowd| {
            let words = words(crowd.id());
            crowd.runtime().contender(&words.iter().map(String::as_str).collect::<Vec<_>>()).able()
        });
        race(title, contenders.collect())
    };
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    contest("exec of /bin/true", &|id| words(&["exec", id, "/bin/true"]))?;
    contest("state", &|id| words(&["state", id]))?;
    contest("ps --format json", &|id| words(&["ps", "--format", "json", id]))?;
    contest(&format!("list of {CONTAINERS}"), &|_| words(&["list", "--format", "json"]))
}

/// Compiles the floor.
fn floor(dir: &Path, bundle: &Bundle) -> Option<PathBuf> {
    let source = env::var_os("FLOOR").map_or_else(|| PathBuf::from("../shared/perf/floor.c"), PathBuf::from);
    if !source.is_file() {
        say(&format!("NOT RUN: floor: there is no {}", source.display()));
        return None;
    }
    // It makes no mount points.
    for path in ["proc", "dev", "sys"] {
        fs::create_dir_all(bundle.rootfs(path)).unwrap();
    }
    let program = dir.join("floor");
    let output = Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(&source).output();
    let compiled = output.is_ok_and(|output| output.status.success());
    if !compiled {
        say(&format!("NOT RUN: floor: cc does not compile {}", source.display()));
    }
    compiled.then_some(program)
}

fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
}
