//! How long a profile of an engine's shape takes to compile: planc's compiler, and libseccomp with the binary tree that runc
//! asks it for.

use std::time::{Duration, Instant};

use runtime_core::compile::seccomp::{Machine, program};
use runtime_core::oci_spec::runtime::LinuxSeccomp;

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
    }
    Ok(())
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
