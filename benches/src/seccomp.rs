//! How long a profile of an engine's shape takes to compile: planc's compiler, libseccomp with the binary tree that runc asks
//! it for, and seccompiler for that part of it which a filter of seccompiler's can say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use runtime_core::compile::seccomp::{Machine, program};
use runtime_core::oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompOperator};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::engine_like;
use crate::libseccomp::{Answer, Libseccomp};
use crate::race::{WARM_UP, rounds};
use crate::results::{self, Goal};
use crate::stats::{median, of_median, quantile};

const DOCKERS: Goal = Goal::at_most("Docker's profile compiled", 300.0, "µs");

const ROUNDS: usize = 500;

/// A line of the table: who, how many instructions, and how long it took, in microseconds.
type Row = (String, Vec<f64>);

const COLUMNS: &[&str] = &["instructions", "p10", "median", "p90"];

/// The argument that makes this program [`once`].
pub(crate) const ONCE: &str = "seccomp-once";

/// Its profiles: one of that shape, those that the folder `ENGINE_PROFILES` has, and the files that `SECCOMP_PROFILES` names,
/// with colons between them.
pub(crate) fn race() -> Result<(), String> {
    let named = std::env::var("SECCOMP_PROFILES").unwrap_or_default();
    let mut paths: Vec<PathBuf> = named.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    if let Some(folder) = std::env::var_os("ENGINE_PROFILES").map(PathBuf::from) {
        let made = ["docker.json", "podman.json", "containerd.json"].map(|name| folder.join(name));
        paths.extend(made.into_iter().filter(|path| path.is_file()));
    }
    let mut profiles = vec![("engine-like".to_owned(), engine_like::engine_like())];
    let mut dockers = None;
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if name == "docker" {
            dockers = Some(path.clone());
        }
        profiles.push((name, read(&path)?));
    }
    let mut libseccomp = Libseccomp::start();
    for (name, profile) in profiles {
        let mut rows = beside_libseccomp(&name, &profile, libseccomp.as_mut())?;
        rows.extend(of_one_architecture(&profile)?);
        results::table(&format!("the profile `{name}` compiled again and again"), "µs", COLUMNS, &rows);
    }
    match dockers {
        Some(path) => once_in_each_process(&path),
        None => {
            DOCKERS.is_not_measured("ENGINE_PROFILES names no folder with docker.json");
            Ok(())
        }
    }
}

fn read(path: &Path) -> Result<LinuxSeccomp, String> {
    let bytes = std::fs::read(path).map_err(|why| format!("{}: {why}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|why| format!("{}: {why}", path.display()))
}

fn beside_libseccomp(
    name: &str,
    profile: &LinuxSeccomp,
    mut libseccomp: Option<&mut Libseccomp>,
) -> Result<Vec<Row>, String> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut sizes = (0, 0);
    for round in 0..WARM_UP + rounds(ROUNDS) {
        let (size, time) = compile(profile)?;
        sizes.0 = size;
        if round >= WARM_UP {
            ours.push(time);
        }
        let Some(libseccomp) = &mut libseccomp else { continue };
        let (Answer::Program(program), nanoseconds) = libseccomp.compile(profile, Machine::OWN) else {
            return Err(format!("{name}: libseccomp refuses it"));
        };
        sizes.1 = program.len() / 8;
        if round >= WARM_UP {
            theirs.push(nanoseconds as f64 / 1000.0);
        }
    }
    Ok(vec![row("planc", sizes.0, &ours), row("libseccomp", sizes.1, &theirs)])
}

/// As a runtime does it: once in the life of a process, with nothing in its caches.
fn once_in_each_process(path: &Path) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|why| why.to_string())?;
    let mut times = Vec::new();
    for round in 0..WARM_UP + rounds(ROUNDS) {
        let output = Command::new(&own).arg(ONCE).arg(path).output().map_err(|why| why.to_string())?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let time = said.trim().parse::<f64>().map_err(|_| format!("{ONCE}: {}: {said:?}", output.status))?;
        if round >= WARM_UP {
            times.push(time);
        }
    }
    let rows = [row("planc", compile(&read(path)?)?.0, &times)];
    results::table("Docker's profile compiled once in each process", "µs", COLUMNS, &rows);
    DOCKERS.judge(of_median(&times), "once in each process");
    Ok(())
}

/// What [`once_in_each_process`] starts: prints the microseconds of one compilation.
pub(crate) fn once() -> Result<(), String> {
    let path = std::env::args().nth(2).map(PathBuf::from).ok_or("a profile is wanted")?;
    let (_, time) = compile(&read(&path)?)?;
    results::say(&time.to_string());
    Ok(())
}

/// A filter of seccompiler's has one architecture and one action beside the default: the rest of the profile is left out for
/// both.
fn of_one_architecture(profile: &LinuxSeccomp) -> Result<Vec<Row>, String> {
    let mut part = profile.clone();
    let rules = profile.syscalls().iter().flatten().filter(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow);
    part.set_syscalls(Some(rules.cloned().collect())).set_architectures(Some(vec![Arch::ScmpArchX86_64]));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut sizes = (0, 0);
    for round in 0..WARM_UP + rounds(ROUNDS) {
        let (size, time) = compile(&part)?;
        let (their_size, their_time) = by_seccompiler(&part)?;
        sizes = (size, their_size);
        if round >= WARM_UP {
            ours.push(time);
            theirs.push(their_time);
        }
    }
    Ok(vec![row("planc, x86_64 alone", sizes.0, &ours), row("seccompiler, the same", sizes.1, &theirs)])
}

/// With the names looked up before the clock starts: seccompiler takes numbers.
fn by_seccompiler(part: &LinuxSeccomp) -> Result<(usize, f64), String> {
    let mut calls: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for rule in part.syscalls().iter().flatten() {
        let conditions = rule.args().iter().flatten().map(|arg| {
            let (op, value) = match arg.op() {
                LinuxSeccompOperator::ScmpCmpNe => (SeccompCmpOp::Ne, arg.value()),
                LinuxSeccompOperator::ScmpCmpMaskedEq => {
                    (SeccompCmpOp::MaskedEq(arg.value()), arg.value_two().unwrap_or_default())
                }
                _ => (SeccompCmpOp::Eq, arg.value()),
            };
            SeccompCondition::new(arg.index() as u8, SeccompCmpArgLen::Qword, op, value)
        });
        let conditions: Vec<_> = conditions.collect::<Result<_, _>>().map_err(|why| why.to_string())?;
        for name in rule.names() {
            let row = crate::table::CALLS.iter().find(|(known, _)| known == name);
            let Some(number) = row.map(|(_, row)| row[0]).filter(|number| *number != crate::table::NONE) else {
                continue;
            };
            let chain = calls.entry(number.into()).or_default();
            if !conditions.is_empty() {
                chain.push(SeccompRule::new(conditions.clone()).map_err(|why| why.to_string())?);
            }
        }
    }
    let begin = Instant::now();
    let errno = SeccompAction::Errno(1);
    let filter = SeccompFilter::new(calls, errno, SeccompAction::Allow, TargetArch::x86_64);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|why| why.to_string())?;
    Ok((program.len(), microseconds(begin)))
}

/// Instructions and microseconds.
fn compile(profile: &LinuxSeccomp) -> Result<(usize, f64), String> {
    let begin = Instant::now();
    let program = program(profile, Machine::OWN).map_err(|invalid| invalid.to_string())?;
    Ok((program.len() / 8, microseconds(begin)))
}

fn microseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e6
}

fn row(name: &str, size: usize, times: &[f64]) -> Row {
    let quantile = |percent| quantile(times, percent).unwrap_or(f64::NAN);
    (name.to_owned(), vec![size as f64, quantile(10), median(times), quantile(90)])
}
