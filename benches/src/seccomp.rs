//! How long a profile of an engine's shape takes to compile: planc's compiler, libseccomp with the binary tree that runc asks
//! it for, and seccompiler for that part of it which a filter of seccompiler's can say.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use runtime_core::compile::seccomp::{Machine, program};
use runtime_core::oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompOperator};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::libseccomp::{Answer, Libseccomp};
use crate::report::quantile;
use crate::{WARM_UP, engine_like, rounds, say};

/// The profiles: one of that shape, and those of the files that `SECCOMP_PROFILES` names, with colons between them.
pub(crate) fn race() -> Result<(), String> {
    let paths = std::env::var("SECCOMP_PROFILES").unwrap_or_default();
    let mut profiles = vec![("engine-like".to_owned(), engine_like::engine_like())];
    for path in paths.split(':').filter(|path| !path.is_empty()) {
        let bytes = std::fs::read(path).map_err(|why| format!("{path}: {why}"))?;
        profiles.push((path.to_owned(), serde_json::from_slice(&bytes).map_err(|why| format!("{path}: {why}"))?));
    }
    let mut libseccomp = Libseccomp::start();
    say(&format!("{:<28}{:>14}{:>10}{:>10}{:>10}", "seccomp", "instructions", "p10 us", "median", "p90 us"));
    for (name, profile) in profiles {
        say(&name);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut sizes = (0, 0);
        for round in 0..WARM_UP + rounds() {
            let (size, time) = compile(&profile)?;
            sizes.0 = size;
            if round >= WARM_UP {
                ours.push(time);
            }
            let Some(libseccomp) = &mut libseccomp else { continue };
            let (Answer::Program(program), nanoseconds) = libseccomp.compile(&profile, Machine::OWN) else {
                return Err(format!("{name}: libseccomp refuses it"));
            };
            sizes.1 = program.len() / 8;
            if round >= WARM_UP {
                theirs.push(Duration::from_nanos(nanoseconds));
            }
        }
        line("  planc", sizes.0, &ours);
        line("  libseccomp", sizes.1, &theirs);
        of_one_architecture(&profile)?;
    }
    Ok(())
}

/// A filter of seccompiler's has one architecture and one action beside the default: the rest of the profile is left out for
/// both.
fn of_one_architecture(profile: &LinuxSeccomp) -> Result<(), String> {
    let mut part = profile.clone();
    let rules = profile.syscalls().iter().flatten().filter(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow);
    part.set_syscalls(Some(rules.cloned().collect())).set_architectures(Some(vec![Arch::ScmpArchX86_64]));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut sizes = (0, 0);
    for round in 0..WARM_UP + rounds() {
        let (size, time) = compile(&part)?;
        let (their_size, their_time) = by_seccompiler(&part)?;
        sizes = (size, their_size);
        if round >= WARM_UP {
            ours.push(time);
            theirs.push(their_time);
        }
    }
    line("  planc, x86_64 alone", sizes.0, &ours);
    line("  seccompiler, the same", sizes.1, &theirs);
    Ok(())
}

/// With the names looked up before the clock starts: seccompiler takes numbers.
fn by_seccompiler(part: &LinuxSeccomp) -> Result<(usize, Duration), String> {
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
    Ok((program.len(), begin.elapsed()))
}

fn compile(profile: &LinuxSeccomp) -> Result<(usize, Duration), String> {
    let begin = Instant::now();
    let program = program(profile, Machine::OWN).map_err(|invalid| invalid.to_string())?;
    Ok((program.len() / 8, begin.elapsed()))
}

fn line(name: &str, size: usize, times: &[Duration]) {
    let us = |percent| quantile(times, percent).map_or_else(|| "-".to_owned(), |time| time.as_micros().to_string());
    say(&format!("{name:<28}{size:>14}{:>10}{:>10}{:>10}", us(10), us(50), us(90)));
}
