//! Profiles of the shape that engines have: some hundred calls allowed, a few by their arguments. Their programs must be no
//! longer and no slower than libseccomp's with its binary tree.

use oci_spec::runtime::LinuxSeccomp;
use runtime_core::compile::seccomp::{Machine, program};
use runtime_core::oci_spec;
use serde_json::Value;

use crate::engine_like::engine_like;
use crate::interpreter::{Data, is_valid, run};
use crate::libseccomp::{Answer, Libseccomp};
use crate::table::{CALLS, NONE};
use crate::{X32, X86, X86_64, model, profile};

/// Profiles of engines to measure beside it: files that `SECCOMP_PROFILES` names, with colons between them.
fn given() -> Vec<(String, LinuxSeccomp)> {
    let paths = std::env::var("SECCOMP_PROFILES").unwrap_or_default();
    let paths = paths.split(':').filter(|path| !path.is_empty());
    paths
        .map(|path| {
            let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            (path.to_owned(), profile(json))
        })
        .collect()
}

/// How many instructions a program executes for the calls of an architecture, on average.
fn executed(program: &[u8], column: usize, arch: u32) -> f64 {
    let numbers = CALLS.iter().map(|(_, row)| row[column]).filter(|number| *number != NONE);
    let counts: Vec<usize> =
        numbers.map(|number| run(program, &Data { number, arch, args: [0; 6] }).unwrap().1).collect();
    counts.iter().sum::<usize>() as f64 / counts.len() as f64
}

#[test]
#[expect(clippy::print_stderr, reason = "figures")]
fn no_longer_and_no_slower_than_libseccomps() {
    let Some(mut libseccomp) = Libseccomp::start() else { return };
    let profiles = [("engine-like".to_owned(), engine_like())].into_iter().chain(given());
    for (name, profile) in profiles {
        let ours = program(&profile, Machine::X86_64).unwrap();
        let (Answer::Program(theirs), _) = libseccomp.compile(&profile, Machine::X86_64) else {
            panic!("{name}: refused")
        };
        assert!(is_valid(&ours));
        eprintln!("{name}: {} instructions, libseccomp's {}", ours.len() / 8, theirs.len() / 8);
        assert!(ours.len() <= theirs.len());
        for (column, arch, of) in [(0, X86_64, "x86_64"), (1, X86, "x86"), (2, X86_64, "x32")] {
            let (our, their) = (executed(&ours, column, arch), executed(&theirs, column, arch));
            eprintln!("  {of}: {our:.2} executed on average, libseccomp's {their:.2}");
            assert!(our <= their, "{of}: {our} and {their}");
        }
        behaves(&name, &profile, &ours, &theirs);
    }
}

/// Every number of the tables and around them, with arguments that matter and that do not.
fn behaves(name: &str, profile: &LinuxSeccomp, ours: &[u8], theirs: &[u8]) {
    for arch in [X86_64, X86] {
        for number in (0..480).flat_map(|number| [number, number | X32]).chain([u32::MAX]) {
            if arch == X86 && number & X32 != 0 {
                continue;
            }
            let decides = [56, 41, 135, 120, 102, 359, 136].contains(&(number & !X32));
            for arg in
                [0, 40, 0x2_0000, 0x1000_0000, 0xffff_ffff, 1 << 32].into_iter().take(if decides { 6 } else { 1 })
            {
                let data = Data { number, arch, args: [arg; 6] };
                let verdict = run(ours, &data).unwrap().0;
                assert_eq!(verdict, model::verdict(profile, X86_64, &data), "{name}: {data:x?}");
                // libseccomp 2.5 knows no call of later kernels.
                if !model::is_newer(profile, &data) && number & !X32 <= 450 && ![335, 336].contains(&(number & !X32)) {
                    assert_eq!(verdict, run(theirs, &data).unwrap().0, "{name}: {data:x?}");
                }
            }
        }
    }
}
