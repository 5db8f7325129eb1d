//! Compares `run` of the default bundle with /bin/true: planc, runc, crun and the floor, interleaved in one run.
//!
//! `PLANC` is planc's binary (default: beside this one), `FLOOR` the source of the floor (default:
//! ../shared/perf/floor.c), `ROUNDS` how many rounds are counted (default 60). Only in lane native.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot be made ends the program")]

mod report;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use integration_tests::bundle::Bundle;
use integration_tests::lane::Lane;

/// Rounds that are not counted: page cache, cgroup and namespace caches fill.
const WARM_UP: usize = 5;

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
}

fn main() -> ExitCode {
    if Lane::current() != Lane::Native {
        say("NOT RUN: benches: a figure of another kernel is none: lane native only (cargo xtask lane native)");
        return ExitCode::SUCCESS;
    }
    let dir = env::temp_dir().join(format!("planc-bench-{}", std::process::id()));
    let mut contenders = contenders(&dir);
    let failure = race(&mut contenders, rounds()).err();
    fs::remove_dir_all(&dir).unwrap();
    say(&report::table(&contenders));
    match failure {
        Some(failure) => {
            say(&format!("error: {failure}"));
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn rounds() -> usize {
    env::var("ROUNDS").ok().map_or(60, |rounds| rounds.parse().expect("ROUNDS is no number"))
}

/// Launches each once a round, in an order that turns, so that nobody always comes behind the same one.
fn race(contenders: &mut [Contender], rounds: usize) -> Result<(), String> {
    let count = contenders.len();
    for round in 0..WARM_UP + rounds {
        for place in 0..count {
            let contender = &mut contenders[(place + round) % count];
            let time = contender.launch().map_err(|why| format!("{} in round {round}: {why}", contender.name))?;
            if round >= WARM_UP {
                contender.times.push(time);
            }
        }
    }
    Ok(())
}

/// Everybody who can launch the bundle here; a NOT RUN line for each of the others.
fn contenders(dir: &Path) -> Vec<Contender> {
    let full = Bundle::new(dir.join("bundle"));
    full.write();
    let mut plain = Bundle::new(dir.join("plain"));
    plain.remove("/linux/resources").write();
    let beside = env::current_exe().unwrap().with_file_name("planc");
    let planc = env::var_os("PLANC").map_or(beside, PathBuf::from);
    let mut contenders = Vec::new();
    contenders.extend(floor(dir, &full).and_then(|program| {
        let rootfs = full.dir().join("rootfs");
        able("floor", &[program.to_str().unwrap(), rootfs.to_str().unwrap()])
    }));
    contenders.extend(runtime("planc", &planc, dir, &full));
    contenders.extend(runtime("runc", Path::new("/usr/sbin/runc"), dir, &full));
    // crun raises RLIMIT_MEMLOCK for its device filter, which a machine without CAP_SYS_RESOURCE denies.
    let crun = runtime("crun", Path::new("/usr/bin/crun"), dir, &full);
    contenders.extend(crun.or_else(|| runtime("crun, without device rules", Path::new("/usr/bin/crun"), dir, &plain)));
    contenders
}

fn runtime(name: &str, path: &Path, dir: &Path, bundle: &Bundle) -> Option<Contender> {
    if !path.is_file() {
        say(&format!("NOT RUN: {name}: there is no {}", path.display()));
        return None;
    }
    let root = dir.join(format!("root-{name}"));
    let id = format!("bench-{}", std::process::id());
    let words =
        [path, Path::new("--root"), &root, Path::new("run"), Path::new("--bundle"), bundle.dir(), Path::new(&id)];
    able(name, &words.map(|word| word.to_str().unwrap()))
}

/// Launches once, to see whether it can.
fn able(name: &str, words: &[&str]) -> Option<Contender> {
    let contender = Contender::new(name, words);
    let failure = contender.launch().err();
    if let Some(why) = &failure {
        say(&format!("NOT RUN: {name}: {why}"));
    }
    failure.is_none().then_some(contender)
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
